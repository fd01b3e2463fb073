/* server/node_delegate.h: what an administrator of this node decides about trust, and an issuer must carry out. Whoever says of himself that he is one is asked, and not believed: the
 * administrator is told that it is done once this node's own ledger, whose statements the authority has signed, shows it. A password is handed on stretched. Control thread. */
#ifndef GRID_SERVER_NODE_DELEGATE_H
#define GRID_SERVER_NODE_DELEGATE_H

#include "grid/v1/trust.pb-c.h"
#include "server/admin.h"
#include "server/node_internal.h"

enum { NODE_DELEGATE_WAIT_MS = 3000 }; /* until a member's statements must have come here by gossip */

/* Asks an issuer, and ends the call in any case. `request` is borrowed for the call. */
void node_delegate(struct node *n, struct admin_call *call, const Grid__V1__DecideRequest *request);
/* The same for a new password, by what it is when stretched (STRETCH_SIZE bytes, borrowed for the call). */
void node_delegate_password(struct node *n, struct admin_call *call, const uint8_t *stretched);

/* Why nobody can be asked now, NULL when somebody can. */
const char *node_delegate_refusal(const struct node *n);

/* The node stops: who waits is told so, while the workers can still say it. */
void node_delegate_stop(struct node *n);

#endif
