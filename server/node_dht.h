/* server/node_dht.h: the node in the mainline DHT: looks there for the grid's other nodes, says where this one is, and keeps what it knows of the DHT in the state folder's
 * file `dht` (docs/formats/dht-table.md). Control thread. */
#ifndef GRID_SERVER_NODE_DHT_H
#define GRID_SERVER_NODE_DHT_H

#include "server/node_internal.h"

struct node_dht;

/* Begins. `on_found` comes when node_dht_next gives an address. 0, GRID_EIO (no UDP socket could be bound), GRID_ENOMEM. */
int node_dht_open(struct node *n, loop_fn on_found, void *arg, struct node_dht **out);

/* Takes the address ("host:port") of one who may be of this grid: false when there is none now. */
bool node_dht_next(struct node_dht *d, char out[ADDR_TEXT_MAX]);

/* Keeps the table, and ends: `done` comes when its memory is gone. */
void node_dht_close(struct node_dht *d, loop_fn done, void *arg);

#endif
