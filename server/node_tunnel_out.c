/* Calls of Tunnel that this node makes: to a relay, for who wants a stream to a member that cannot be dialled; and as a relay, to the member itself. */
#include <bsd/stdlib.h>
#include <stdio.h>
#include <string.h>

#include "api/pb.h"
#include "base/err.h"
#include "base/log.h"
#include "discovery/member_reach.h"
#include "server/node_tunnel_internal.h"

enum {
    CONNECT_MS = 1000,
    HANDSHAKE_MS = 2000,
    REVERSE_MS = 3500, /* for a member to dial this node */
};

#define PATH "/grid.v1.PeerReach/Tunnel"

static void near_next(struct node_tunnel *t);

/* The target has answered: the stream is given to whoever wanted it. */
static void near_stands(struct node_tunnel *t)
{
    int far;
    if (tunnel_end_pipe(&t->ends[0], &far) != 0) {
        tunnel_finish(t);
        return;
    }
    struct carrier *k = t->carrier;
    t->carrier = NULL;
    tunnel_stands(t);
    carrier_give_fd(k, t->ticket, far);
}

static void relay_stands(struct node_tunnel *t)
{
    tunnel_stands(t);
    if (tunnel_end_say(&t->ends[0], "", slice_of(NULL, 0)) != 0)
        tunnel_finish(t);
}

static void out_on_message(void *ctx, struct grpc_client_call *call, struct slice message)
{
    struct tunnel_end *e = ctx;
    struct arena *arena;
    const Grid__V1__TunnelPiece *piece = tunnel_read_piece(message, &arena);
    (void) call;
    if (!piece)
        tunnel_finish(e->tunnel);
    else if (e->tunnel->stands)
        tunnel_end_received(e, pb_slice(piece->data));
    else if (!e->tunnel->ending)
        (e->tunnel->role == TUNNEL_NEAR ? near_stands : relay_stands)(e->tunnel);
    arena_destroy(arena);
}

static void out_on_writable(void *ctx, struct grpc_client_call *call)
{
    (void) call;
    tunnel_end_writable(ctx);
}

static void out_on_close(void *ctx, struct grpc_client_call *call, int status, struct slice message, enum http_sent sent, int64_t pushback_ms)
{
    struct tunnel_end *e = ctx;
    (void) call, (void) sent, (void) pushback_ms;
    if (status != GRPC_OK)
        log_line(LOG_DEBUG, "a tunnel has ended", LOGF_STR("target", e->tunnel->target), LOGF_STR("status", grpc_status_name(status)), LOGF_SLICE("message", message));
    e->out = NULL;
    http_client_close(e->client);
}

static const struct grpc_client_events OUT_EVENTS = {.on_message = out_on_message, .on_writable = out_on_writable, .on_close = out_on_close};

/* Whom the call goes to. */
static const char *out_peer(const struct node_tunnel *t)
{
    return t->role == TUNNEL_NEAR ? t->relays[t->relay - 1] : t->target;
}

static void client_on_open(void *ctx, struct http_client *client)
{
    struct tunnel_end *e = ctx;
    struct node_tunnel *t = e->tunnel;
    const struct tls_peer *peer = conn_tls_peer(http_client_conn(client));
    bool right = !t->ending && peer && strcmp(peer->id, out_peer(t)) == 0 && (peer->roles & TLS_ROLE_NODE);
    conn_make_thin(http_client_conn(client), TUNNEL_UNACKNOWLEDGED_MS);
    if (!right || grpc_client_call_start(client, PATH, 0, NULL, 0, slice_of(NULL, 0), true, NODE_TUNNEL_MESSAGE_MAX, &OUT_EVENTS, e, &e->out) != 0 ||
        tunnel_end_say(e, t->target, slice_of(NULL, 0)) != 0)
        http_client_close(client);
}

static void client_on_draining(void *ctx, struct http_client *client)
{
    (void) ctx, (void) client;
}

static void client_on_close(void *ctx, struct http_client *client, int err)
{
    struct tunnel_end *e = ctx;
    struct node_tunnel *t = e->tunnel;
    (void) client, (void) err;
    e->client = NULL;
    if (t->role == TUNNEL_NEAR && !t->stands && !t->ending)
        near_next(t);
    else
        tunnel_end_gone(e);
}

static const struct http_client_events CLIENT_EVENTS = {client_on_open, client_on_draining, client_on_close};

int tunnel_end_dial(struct tunnel_end *e, const struct addr *to)
{
    struct node *n = e->tunnel->node;
    const struct conn_options options = {.tls = n->control_tls, .connect_timeout_ms = addr_is_member(to) ? REVERSE_MS : CONNECT_MS, .handshake_timeout_ms = HANDSHAKE_MS};
    return http2_client_dial(n->loop, to, &options, &CLIENT_EVENTS, e, &e->client);
}

/* ---- near ---- */

static bool may_relay(const struct node *n, const struct member *m, const char *target)
{
    struct addr at;
    return m->state == MEMBER_ALIVE && strcmp(m->id, target) != 0 && member_has(m, MEMBER_RELAYS) && gossip_path(n->gossip, m->id, &at) == GOSSIP_PATH_DIALLED;
}

/* Some by lot of those that this node has dialled. */
static void near_choose(struct node_tunnel *t)
{
    size_t seen = 0;
    for (size_t i = 1; i < node_member_count(t->node); i++) {
        const struct member *m = node_member(t->node, i);
        if (!may_relay(t->node, m, t->target))
            continue;
        size_t place = seen < TUNNEL_RELAYS_TRIED_MAX ? seen : arc4random_uniform((uint32_t) seen + 1);
        seen++;
        if (place < TUNNEL_RELAYS_TRIED_MAX)
            memcpy(t->relays[place], m->id, sizeof t->relays[place]);
    }
    t->relay_count = seen < TUNNEL_RELAYS_TRIED_MAX ? seen : TUNNEL_RELAYS_TRIED_MAX;
}

static void near_next(struct node_tunnel *t)
{
    struct addr at;
    while (t->relay < t->relay_count) {
        const char *relay = t->relays[t->relay++];
        if (t->node->gossip && gossip_path(t->node->gossip, relay, &at) == GOSSIP_PATH_DIALLED && tunnel_end_dial(&t->ends[1], &at) == 0)
            return;
    }
    tunnel_finish(t);
}

int node_tunnel_begin(struct node *n, const char *target, struct carrier *k, uint64_t ticket)
{
    if (n->tunnels->counts[TUNNEL_NEAR] >= TUNNELS_MAX)
        return GRID_ELIMIT;
    struct node_tunnel *t = tunnel_create(n, TUNNEL_NEAR);
    if (!t)
        return GRID_ENOMEM;
    snprintf(t->target, sizeof t->target, "%s", target);
    near_choose(t);
    if (t->relay_count == 0) {
        tunnel_finish(t);
        return GRID_ENOENT;
    }
    t->carrier = k;
    t->ticket = ticket;
    loop_timer_start(n->loop, &t->timer, TUNNEL_STAND_MS, tunnel_on_timeout, t);
    near_next(t);
    return 0;
}

