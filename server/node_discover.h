/* server/node_discover.h: looks for other nodes by what --join and --discover say beyond plain addresses, and has those that are found tried: by gossip where this node has a
 * place in a grid, by joining where it has none yet. Each way of looking is one row of a table. Control thread. */
#ifndef GRID_SERVER_NODE_DISCOVER_H
#define GRID_SERVER_NODE_DISCOVER_H

#include "server/node_internal.h"

/* Begins, after gossip and node_join. 0, GRID_ENOMEM, GRID_EIO with a sentence. */
int node_discover_open(struct node *n, char why[NODE_WHY_MAX]);
/* The way of looking that has named this address ("dns", "file", "remembered", "dht", "mdns"); NULL: none. Static storage. */
const char *node_discover_source(const struct node *n, const char *address);
/* The operator has named this place: by --join, in a file, in DNS. Others may be anybody's. */
bool node_discover_is_operators(const struct node *n, const char *address);
/* Whether other nodes are looked for by multicast DNS. */
bool node_discover_by_mdns(const struct node *n);
/* Looks in the DHT, told to or by itself. */
bool node_discover_looks_in_dht(const struct node *n);
/* Ends what is under way; `done` comes, perhaps inside the call, when nothing of it is left on the loop. Before gossip and node_join are closed. */
void node_discover_close(struct node *n, loop_fn done, void *arg);

#endif
