/* server/node_tunnel.h: streams of bytes between two members that cannot dial one another, by way of a third that is linked with both (grid.v1.PeerReach's Tunnel). What
 * is said in them is TLS from end to end: who relays can break it off and count it, and nothing else.
 *
 *   NEAR: pipe <-> call to the relay     RELAY: call from near <-> call to far     FAR: call from the relay <-> pipe
 *
 * A pipe is one end of a socket pair; the other one is a connection like any other, to the loop that wanted one or to this node's listeners. Each tunnel has a connection
 * of its own on either side of the relay, so that tunnels do not hold one another up. Control thread. */
#ifndef GRID_SERVER_NODE_TUNNEL_H
#define GRID_SERVER_NODE_TUNNEL_H

#include "net/carrier.h"
#include "net/grpc_server.h"
#include "server/node_internal.h"

enum { NODE_TUNNEL_DATA_MAX = 64 * 1024, NODE_TUNNEL_MESSAGE_MAX = NODE_TUNNEL_DATA_MAX + 256 };

/* Before the workers start. 0 or GRID_ENOMEM. */
int node_tunnel_open(struct node *n);
/* After node_tunnel_stop, once the loop has run what that left. */
void node_tunnel_free(struct node *n);

/* Tries relays one after the other; then the ticket is given a stream, or refused. 0; GRID_ELIMIT; GRID_ENOENT (no member relays); GRID_ENOMEM. */
int node_tunnel_begin(struct node *n, const char *target, struct carrier *k, uint64_t ticket);

/* Serves a call of Tunnel; ctx is the node. */
void node_tunnel_on_call(void *node, struct grpc_call *call);

/* Ends those whose connections are to members that `whom` names. */
void node_tunnel_cut(struct node *n, bool (*whom)(const void *arg, const struct tls_peer *peer), const void *arg);

/* Ends all; none begins afterwards. */
void node_tunnel_stop(struct node *n);

/* Counters and gauges for /metrics. Any thread. */
void node_tunnel_metrics(struct node *n, struct buf *out);

#endif
