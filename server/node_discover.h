/* server/node_discover.h: looks for other nodes by what --join and --discover say beyond plain addresses, and has those that are found tried: by gossip where this node has a
 * place in a grid, by joining where it has none yet. Each way of looking is one row of a table. Control thread. */
#ifndef GRID_SERVER_NODE_DISCOVER_H
#define GRID_SERVER_NODE_DISCOVER_H

#include "server/node_internal.h"

/* Begins, after gossip and node_join. 0, GRID_ENOMEM, GRID_EIO with a sentence. */
int node_discover_open(struct node *n, char why[NODE_WHY_MAX]);
/* Ends what is under way; `done` comes, perhaps inside the call, when nothing of it is left on the loop. Before gossip and node_join are closed. */
void node_discover_close(struct node *n, loop_fn done, void *arg);

#endif
