/* server/node_direct.h: members that are linked by way of a third are dialled directly now and then, as discovery/direct_retry.h says
 * when: the link that comes of it takes the place of the relayed one, and calls follow it. Control thread. */
#ifndef GRID_SERVER_NODE_DIRECT_H
#define GRID_SERVER_NODE_DIRECT_H

#include "server/node_internal.h"

struct node_direct;

/* Before anything is heard of members. 0 or GRID_ENOMEM. */
int node_direct_open(struct node *n);
/* Dials nobody any more. */
void node_direct_stop(struct node *n);
/* After the loop has run what that left. */
void node_direct_free(struct node *n);

/* A link was made, or a member says something else of itself. */
void node_direct_look_soon(struct node *n);
/* This node's addresses, or whether others can dial it, are not what they were. */
void node_direct_network_changed(struct node *n);

#endif
