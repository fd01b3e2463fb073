/* server/node_adopt.h: an administrator has this node leave its grid's authority for another one. A node that holds the authority's key waits until another member holds it too:
 * where each of them has left before the next had been handed it, nobody could let anybody in any more. Control thread. */
#ifndef GRID_SERVER_NODE_ADOPT_H
#define GRID_SERVER_NODE_ADOPT_H

#include "server/admin.h"
#include "server/node_internal.h"

enum { NODE_ADOPT_WAIT_MS = 10 * 1000 };

/* The method Adopt of grid.v1.Control; `node` is a struct node. */
void node_control_adopt(void *node, struct admin_call *call, struct slice request);
/* The node stops: who waits is told so, while the workers can still say it. */
void node_adopt_stop(struct node *n);

#endif
