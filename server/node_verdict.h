/* server/node_verdict.h: who is let in (server/verdict.h) by what the grid has decided, and the TLS contexts that judge by it; and whose release entries count. Control thread. */
#ifndef GRID_SERVER_NODE_VERDICT_H
#define GRID_SERVER_NODE_VERDICT_H

#include "server/node_internal.h"
#include "server/verdict.h"

/* Makes server_tls and those of dials, empty. 0 or GRID_ENOMEM. */
int node_verdict_open(struct node *n);
/* Verifier, verdict, the node's certificate and what the contexts present and judge by, anew from the ledger. 0, or GRID_E* with a sentence and nothing changed. */
int node_verdict_remake(struct node *n, char why[NODE_WHY_MAX]);

/* Whether this is the member `id`, who still belongs: a handshake may have begun before the verdict did. `peer` may be NULL. */
bool node_verdict_is_member(const struct node *n, const struct tls_peer *peer, const char *id);

/* Whether the Gridfile lets the node `id` publish: all may when it names nobody. */
bool node_may_publish(const struct node *n, const char *id);

/* Whether a release entry counts: its certificate holds, is its publisher's, who may publish, and signed it. 0, or GRID_EPERM with a clause. */
int node_verdict_of_entry(void *node, struct slice certificate_der, const char *publisher, struct slice bytes, struct slice signature, char why[160]);

/* Whether an authority of this grid issued it, by what it says: the present one, the coming one, or one that they replaced. */
bool node_verdict_is_of_grid(const void *node, struct slice certificate_der);

#endif
