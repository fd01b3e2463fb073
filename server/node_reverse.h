/* server/node_reverse.h: connections to members that cannot be dialled. What a loop's carrier is asked for (net/carrier.h) is had, in this order, by
 *
 *   - asking the member, by the control link that it has made to this node, for a connection on which it serves (Turn): the dialler is TLS's client and HTTP/2's server;
 *   - a tunnel by way of a member that both are linked with (node_tunnel.h).
 *
 * And what such a member does when it is asked. Control thread unless said otherwise. */
#ifndef GRID_SERVER_NODE_REVERSE_H
#define GRID_SERVER_NODE_REVERSE_H

#include "net/carrier.h"
#include "server/node_internal.h"

/* What the dialler will serve: calls, or what the control plane serves. */
#define NODE_REVERSE_ALPN "grid-reverse/1"
#define NODE_REVERSE_CONTROL_ALPN "grid-reverse-control/1"

/* A carrier_wanted_fn whose ctx is the node. Any thread. */
void node_reverse_wanted(void *node, struct carrier *k, uint64_t ticket, const char *member, const struct tls_context *tls);

/* gossip_events' on_turn: dials, and serves what comes. */
void node_reverse_turn(void *node, const char *peer, enum gossip_plane plane, const struct addr *at);

/* True for a connection that its dialler serves; it is taken, and closed if nobody waits for it. */
bool node_reverse_take(struct node *n, struct conn *c);

/* Nobody waits any more, and dials end. What is asked for afterwards is refused. */
void node_reverse_stop(struct node *n);

#endif
