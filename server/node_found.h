/* server/node_found.h: how this node found each member first, and how it reaches it now, for `grid list`. Control thread. */
#ifndef GRID_SERVER_NODE_FOUND_H
#define GRID_SERVER_NODE_FOUND_H

#include "base/arena.h"
#include "server/node_internal.h"

/* A member is new here, or linked. */
void node_found_hear(struct node *n, const struct member *m);

/* Fills in how `m` was found, how it is reached and how far it is, in an own record or another's; strings live in the arena or for ever. */
void node_found_show(const struct node *n, const struct member *m, struct arena *a, Grid__V1__Host *out);

/* After gossip has closed. */
void node_found_dispose(struct node *n);

#endif
