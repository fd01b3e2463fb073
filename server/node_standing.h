/* server/node_standing.h: what a node keeps of its place in a grid: its Gridfile and STATE/trust (trust/standing.h), read, put together and kept. Control thread. */
#ifndef GRID_SERVER_NODE_STANDING_H
#define GRID_SERVER_NODE_STANDING_H

#include "server/node_internal.h"

/* Both of them, into the node's standing, ledger, authority, Gridfile and grid name. *taken: the authority is the Gridfile's, and new here. 0, or GRID_E* with a sentence:
 * they may be of two grids. */
int node_standing_load(struct node *n, bool *taken, char why[NODE_WHY_MAX]);
/* The Gridfile alone. *card: its authority, the caller's; NULL when there is no Gridfile or it names none. */
int node_standing_load_card(struct node *n, struct authority **card, char why[NODE_WHY_MAX]);

/* The Gridfile's authority becomes the state folder's, with a ledger of its own. 0 or GRID_E*. */
int node_standing_adopt_card(struct node *n);
/* The Gridfile's key, where it has one, stays with this node: an issuer is one at later starts too. 0 or GRID_ENOMEM. */
int node_standing_keep_key(struct node *n);

/* The grid's authorities from the ledger, with the keys that are kept. 0, or GRID_E* with a sentence. */
int node_standing_load_authorities(struct node *n, char why[NODE_WHY_MAX]);
/* Ledger and standing to STATE/trust; keys that count no more are forgotten. 0, or GRID_E* with a sentence. */
int node_standing_keep(struct node *n, char why[NODE_WHY_MAX]);

#endif
