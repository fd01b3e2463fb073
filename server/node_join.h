/* server/node_join.h: joining by name and password, while the node runs: answers those who come, and goes to --join's nodes
 * until this node and they are in one grid. Who is let in is trust/join.h's business, what follows is node_trust's. Control
 * thread.
 *
 * A provisional node's standing is promised to one exchange at a time: it may not yield to one while another yields to it. A young
 * grid stays provisional for five seconds of peace, or until its first release: pairs that have found each other meanwhile are one
 * grid in the end, since each node goes to those of --join again and again, and the least authority spreads from neighbour to
 * neighbour. */
#ifndef GRID_SERVER_NODE_JOIN_H
#define GRID_SERVER_NODE_JOIN_H

#include "server/node_internal.h"

/* Reads the password (--password-file, GRID_AUTH, the Gridfile's grid_password) or takes --open, judges it, and makes the
 * certificate for guests. Before the grid's standing is looked at. 0, or GRID_EINVAL or a file's error with a sentence. */
int node_join_open(struct node *n, char why[NODE_WHY_MAX]);
/* True when the node was given a password, or --open. */
bool node_join_wanted(const struct node *n);

/* Begins: stretches the password on the pool (unless the grid has set one, which is kept stretched), then dials. After gossip. */
void node_join_start(struct node *n);

/* This node has yet to join by its password, and something is done about it: the password is being stretched, or a node of --join is asked. */
bool node_join_is_under_way(const struct node *n);

/* Who of --join has refused this node for good, each a sentence with a remedy in the arena; at most `max`. Returns how many. */
size_t node_join_faults(const struct node *n, struct arena *arena, const char **out, size_t max);

/* A node may be at this address, as discovery has found: it is gone to while this node has yet to join; `operators`: he named it, and no other's word uses its guesses up. Again and
 * again is fine. And: there seems to be none. */
void node_join_try(struct node *n, const char *address, bool operators);
void node_join_forget(struct node *n, const char *address);

/* A guest's connection that a worker has accepted: taken over. */
void node_join_accept(struct node *n, struct conn *c);

/* The grid's password, stretched (STRETCH_SIZE bytes), NULL before there is one; and a new one, by which this node answers and
 * joins from now on. */
const uint8_t *node_join_password(const struct node *n);
void node_join_set_password(struct node *n, const uint8_t *stretched);
/* The one that this node knows opens nothing any more: it is overwritten, and this node joins nobody by it. */
void node_join_forget_password(struct node *n);
/* This node has left its grid and founded one of its own, to join anew by its password: those of --join are gone to at once, as at a start. */
void node_join_anew(struct node *n);

/* Ends what is under way; `done` comes when nothing of it is left on the loop. */
void node_join_close(struct node *n, loop_fn done, void *arg);
void node_join_free(struct node *n);

/* Another node of the grid is linked: a young grid settles a while after the last change. */
void node_join_linked(struct node *n);
/* The grid has a release: it is settled at once. */
void node_join_settle(struct node *n);

/* What strangers are shown under ALPN "grid-join/1": a certificate that says nothing, minted at each start. Live as long as n. */
#define NODE_JOIN_ALPN "grid-join/1"
struct slice node_join_guest_certificate(const struct node *n);
struct slice node_join_guest_key(const struct node *n);
/* To dial as a guest; NULL without memory. Lives as long as n. */
struct tls_context *node_join_guest_tls(const struct node *n);

#endif
