/* server/node_reach.h: whether others can dial this node, and what it looks like from there (discovery/reachability.h), found out by asking members, and answered when
 * they ask: grid.v1.PeerReach's Look. Control thread. */
#ifndef GRID_SERVER_NODE_REACH_H
#define GRID_SERVER_NODE_REACH_H

#include "discovery/reachability.h"
#include "net/grpc_server.h"
#include "server/node_internal.h"

struct node_reach;

/* After gossip was opened. 0 or GRID_ENOMEM. */
int node_reach_open(struct node *n);
/* Asks nobody any more, and ends dials for others. */
void node_reach_stop(struct node *n);
/* After the loop has run what that left. */
void node_reach_free(struct node *n);

/* The node has started, or a link was made: somebody may be asked. */
void node_reach_look_soon(struct node *n);

enum reachability_state node_reach_state(const struct node *n);
/* The address others see, without a port, if it is none of this host's; "" while nothing is known of one. */
const char *node_reach_seen(const struct node *n);

/* What its record says of it: fills in at most NODE_REACH_CAPABILITIES; returns how many. */
enum { NODE_REACH_CAPABILITIES = 3 };
size_t node_reach_capabilities(const struct node *n, const char *out[NODE_REACH_CAPABILITIES]);

/* grid.v1.PeerReach, for the control plane's server; Tunnel is node_tunnel.c's. */
const struct grpc_service *node_reach_service(struct node *n);

/* How calls to a member go: "direct" (it can be dialled, as far as is known), "reverse" (it dials this node for them), "relayed" (by way of a third); "" while there is no
 * link. Static storage. */
const char *node_reach_path(const struct node *n, const struct member *m);

#endif
