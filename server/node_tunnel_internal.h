/* server/node_tunnel_internal.h: one tunnel and its ends, for the files node_tunnel*.c alone. Control thread. */
#ifndef GRID_SERVER_NODE_TUNNEL_INTERNAL_H
#define GRID_SERVER_NODE_TUNNEL_INTERNAL_H

#include "base/pacer.h"
#include "grid/v1/reach.pb-c.h"
#include "net/grpc_client.h"
#include "server/node_tunnel.h"

enum {
    TUNNELS_MAX = 256, /* that begin here; and as many that have come and are not passed on */
    TUNNEL_RELAYS_TRIED_MAX = 3,
    TUNNEL_STAND_MS = 5000, /* for all of it */
    TUNNEL_UNACKNOWLEDGED_MS = 6 * 1000,
};

/* What this node is to it. Of one that has come its first message tells. */
enum tunnel_role { TUNNEL_NEAR, TUNNEL_COMING, TUNNEL_RELAY, TUNNEL_FAR, TUNNEL_ROLES };

/* One of a pipe, a call that came, and a call that was made. */
struct tunnel_end {
    struct node_tunnel *tunnel;
    struct conn *pipe;
    struct grpc_call *in;
    struct http_client *client;
    struct grpc_client_call *out;
    bool held;  /* its flow is stopped */
    bool ended; /* it says nothing more, or is told nothing more */
};

struct node_tunnel {
    struct node *node;
    struct node_tunnel *next, **prev;
    enum tunnel_role role;
    bool stands, ending;
    struct tunnel_end ends[2]; /* that which is nearer to who began it first */
    struct loop_timer timer, pace;
    uint64_t second_ms, second_bytes; /* relayed since then, for a second */
    char target[65];
    char peer[65]; /* who made the call that came */
    /* TUNNEL_NEAR */
    struct carrier *carrier; /* NULL once answered */
    uint64_t ticket;
    char relays[TUNNEL_RELAYS_TRIED_MAX][65];
    size_t relay_count, relay;
};

struct node_tunnels {
    struct node_tunnel *first;
    size_t counts[TUNNEL_ROLES];
    struct pacer pacer;
    _Atomic uint64_t bytes, relaying, begun;
    bool stopped;
};

/* node_tunnel_ends.c. NULL: no memory, or the node stops. */
struct node_tunnel *tunnel_create(struct node *n, enum tunnel_role role);
void tunnel_set_role(struct node_tunnel *t, enum tunnel_role role);
/* Ends it; what was sent before is still passed on. Frees it when nothing of it is left: only who has an end at hand may look at it afterwards. */
void tunnel_finish(struct node_tunnel *t);
/* A timer's: tunnel_finish. */
void tunnel_on_timeout(void *tunnel);
/* Closes what its ends have, without waiting for what was sent. */
void tunnel_drop(struct node_tunnel *t);
/* Both ends are there: what one says is passed on from now on. */
void tunnel_stands(struct node_tunnel *t);

/* Makes it a pipe, whose far end is the caller's. 0, GRID_ENOMEM, GRID_EIO. */
int tunnel_end_pipe(struct tunnel_end *e, int *far);
/* Says one piece on its call. 0, GRID_ECLOSED, GRID_ENOMEM. */
int tunnel_end_say(struct tunnel_end *e, const char *target, struct slice data);
/* It has said this, which goes to the other; it has room again; it is gone. */
void tunnel_end_received(struct tunnel_end *e, struct slice data);
void tunnel_end_writable(struct tunnel_end *e);
void tunnel_end_gone(struct tunnel_end *e);
/* NULL when it is malformed. In *arena, which is the caller's also then; NULL without memory. */
const Grid__V1__TunnelPiece *tunnel_read_piece(struct slice message, struct arena **arena);

/* node_tunnel_out.c: makes the end a call of Tunnel to the tunnel's target. 0 and errors of conn_dial. */
int tunnel_end_dial(struct tunnel_end *e, const struct addr *to);

#endif
