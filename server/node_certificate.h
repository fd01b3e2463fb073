/* server/node_certificate.h: the node's certificate, and those that it issues to others where it holds an authority's key. Control thread. */
#ifndef GRID_SERVER_NODE_CERTIFICATE_H
#define GRID_SERVER_NODE_CERTIFICATE_H

#include "server/node_internal.h"

/* What the node's certificate is asked for beside its name, so that clients that dial it by any of these can verify it: the host's name, --advertise's
 * hosts, the host's addresses. Borrowed from the node; how many. */
enum { NODE_CERTIFICATE_NAMES_MAX = TRUST_ADDRESSES_MAX };
size_t node_certificate_names(const struct node *n, const char *names[NODE_CERTIFICATE_NAMES_MAX]);

/* The newest authority in use. Never NULL in a grid. */
const struct authority *node_certificate_issuer(const struct node *n);

/* ---- the own one ---- */

/* Sees to it that the standing has one that `v` takes, or that others may: the kept one, a new one where this node issues, or STATE/node.crt. 0, or GRID_E* with a sentence. */
int node_certificate_take(struct node *n, const struct verifier *v, char why[NODE_WHY_MAX]);
/* Signs it with the newest authority in use, when its key is here: true. */
bool node_certificate_sign_own(struct node *n);
/* Which authority it is of: its sequence, or -1 when it is none that counts. */
int64_t node_certificate_sequence(const struct node *n);
/* Whether these bytes are a node's certificate for this node's key, by an authority that `v` accepts; `clause` says why not. */
bool node_certificate_is_ours(const struct node *n, const struct verifier *v, struct slice der, char clause[TRUST_WHY_MAX]);
/* The same, by the newest authority in use. */
bool node_certificate_is_newest(const struct node *n, struct slice der, char clause[TRUST_WHY_MAX]);

/* ---- others' ---- */

/* Signs a certificate for a request of somebody who was let in; appends DER. Its name becomes a host name where that takes nobody's place, or where the caller has seen
 * that it may (name_is_host). 0; GRID_EPERM when this node cannot issue (yet) or the key was evicted; GRID_EINVAL for a bad request; each with a sentence. */
int node_certificate_issue(struct node *n, const struct certificate_request *request, struct buf *der, char why[NODE_WHY_MAX]);
/* The same for one who joins, and is told of the grid's root alone: a certificate of the root also while another authority is in use already; it is renewed at once. */
int node_certificate_issue_joiner(struct node *n, const struct certificate_request *request, struct buf *der, char why[NODE_WHY_MAX]);

#endif
