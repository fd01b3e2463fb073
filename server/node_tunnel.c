/* Calls of Tunnel that come, and all tunnels as a whole. */
#include "server/node_tunnel.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "api/pb.h"
#include "base/err.h"
#include "server/errands.h"
#include "server/node_tunnel_internal.h"
#include "server/node_trust.h"

enum {
    FIRST_MS = 1000,                   /* for the first message */
    COMING_OF_ONE_MAX = 16,            /* of one member that have said nothing yet */
    HERE_OF_ONE_MAX = TUNNELS_MAX / 2, /* and with those that end here: a relay brings those of many */
};

/* ---- calls that come ---- */

static size_t count_of(const struct node_tunnels *all, const char *peer, enum tunnel_role role)
{
    size_t count = 0;
    for (const struct node_tunnel *t = all->first; t; t = t->next)
        count += t->role == role && strcmp(t->peer, peer) == 0;
    return count;
}

static void refuse(struct tunnel_end *e, int status, const char *why)
{
    struct node_tunnel *t = e->tunnel;
    e->ended = true;
    grpc_call_finish(e->in, status, why);
    tunnel_finish(t);
}

/* It ends here: as if it had been dialled. */
static void far_begin(struct node_tunnel *t)
{
    int far;
    tunnel_set_role(t, TUNNEL_FAR);
    if (tunnel_end_pipe(&t->ends[1], &far) != 0) {
        refuse(&t->ends[0], GRPC_UNAVAILABLE, "out of descriptors");
        return;
    }
    tunnel_stands(t);
    worker_set_accept(t->node->workers, far, conn_peer_addr(grpc_call_conn(t->ends[0].in)));
    if (tunnel_end_say(&t->ends[0], "", slice_of(NULL, 0)) != 0)
        tunnel_finish(t);
}

/* Only by a link of this node's own: nothing is relayed twice. */
static void relay_begin(struct node_tunnel *t)
{
    struct node *n = t->node;
    struct addr at;
    enum gossip_path path = n->gossip ? gossip_path(n->gossip, t->target, &at) : GOSSIP_PATH_NONE;
    if (path == GOSSIP_PATH_TAKEN)
        addr_member(t->target, &at);
    if (path == GOSSIP_PATH_RELAYED || path == GOSSIP_PATH_NONE)
        refuse(&t->ends[0], GRPC_UNAVAILABLE, "this node is not linked with that member");
    else if (!errands_allow(n->errands, t->peer, loop_now_ms(n->loop)))
        refuse(&t->ends[0], GRPC_RESOURCE_EXHAUSTED, "this node has dialled often enough for the caller");
    else if (tunnel_end_dial(&t->ends[1], &at) != 0)
        refuse(&t->ends[0], GRPC_UNAVAILABLE, "that member cannot be dialled from here");
    else
        loop_timer_start(n->loop, &t->timer, TUNNEL_STAND_MS, tunnel_on_timeout, t);
}

static bool relay_has_room(const struct node_tunnel *t)
{
    const struct node *n = t->node;
    const struct node_tunnels *all = n->tunnels;
    size_t most = n->options->relay_tunnels;
    return all->counts[TUNNEL_RELAY] < most && count_of(all, t->peer, TUNNEL_RELAY) < (most + 3) / 4;
}

/* The first message says where it goes. */
static void in_route(struct node_tunnel *t, struct slice target)
{
    if (!member_id_valid(target)) {
        refuse(&t->ends[0], GRPC_INVALID_ARGUMENT, "the first message names a member by its id");
        return;
    }
    memcpy(t->target, target.data, target.size);
    if (slice_equal_str(target, node_id(t->node))) {
        far_begin(t);
        return;
    }
    if (!relay_has_room(t)) {
        refuse(&t->ends[0], GRPC_RESOURCE_EXHAUSTED, "this node relays for no more");
        return;
    }
    tunnel_set_role(t, TUNNEL_RELAY);
    atomic_fetch_add(&t->node->tunnels->begun, 1);
    relay_begin(t);
}

static void in_on_message(void *ctx, struct grpc_call *call, struct slice message)
{
    struct tunnel_end *e = ctx;
    struct arena *arena;
    const Grid__V1__TunnelPiece *piece = tunnel_read_piece(message, &arena);
    (void) call;
    if (e->ended)
        ;
    else if (!piece || piece->data.len > NODE_TUNNEL_DATA_MAX)
        refuse(e, GRPC_INVALID_ARGUMENT, "the message is malformed");
    else if (e->tunnel->target[0] == '\0')
        in_route(e->tunnel, pb_slice(piece->target));
    else
        tunnel_end_received(e, pb_slice(piece->data));
    arena_destroy(arena);
}

static void in_on_half_close(void *ctx, struct grpc_call *call)
{
    struct tunnel_end *e = ctx;
    (void) call;
    tunnel_finish(e->tunnel);
}

static void in_on_writable(void *ctx, struct grpc_call *call)
{
    (void) call;
    tunnel_end_writable(ctx);
}

static void in_on_close(void *ctx, struct grpc_call *call, int err)
{
    (void) call, (void) err;
    tunnel_end_gone(ctx);
}

static const struct grpc_call_events IN_EVENTS = {in_on_message, in_on_half_close, in_on_writable, in_on_close};

static void on_silence(void *arg)
{
    struct node_tunnel *t = arg;
    refuse(&t->ends[0], GRPC_DEADLINE_EXCEEDED, "the first message, which names a member, has not come in time");
}

static bool has_room(const struct node_tunnels *all, const char *peer)
{
    size_t coming = count_of(all, peer, TUNNEL_COMING), here = coming + count_of(all, peer, TUNNEL_FAR);
    return all->counts[TUNNEL_COMING] + all->counts[TUNNEL_FAR] < TUNNELS_MAX && coming < COMING_OF_ONE_MAX && here < HERE_OF_ONE_MAX;
}

void node_tunnel_on_call(void *node, struct grpc_call *call)
{
    struct node *n = node;
    const struct tls_peer *peer = conn_tls_peer(grpc_call_conn(call));
    struct node_tunnel *t = peer && has_room(n->tunnels, peer->id) && !conn_is_relayed(grpc_call_conn(call)) ? tunnel_create(n, TUNNEL_COMING) : NULL;
    if (!t) {
        grpc_call_finish(call, peer ? GRPC_RESOURCE_EXHAUSTED : GRPC_UNAUTHENTICATED, peer ? "there are too many tunnels here" : "tunnels are for nodes, over mutual TLS");
        return;
    }
    memcpy(t->peer, peer->id, sizeof t->peer);
    t->ends[0].in = call;
    conn_make_thin(grpc_call_conn(call), TUNNEL_UNACKNOWLEDGED_MS);
    loop_timer_start(n->loop, &t->timer, FIRST_MS, on_silence, t);
    grpc_call_bind(call, &IN_EVENTS, &t->ends[0]);
}

/* ---- the whole ---- */

void node_tunnel_cut(struct node *n, bool (*whom)(const void *arg, const struct tls_peer *peer), const void *arg)
{
    for (struct node_tunnel *t = n->tunnels ? n->tunnels->first : NULL, *next; t; t = next) {
        const struct tls_peer *peer = t->ends[1].client ? conn_tls_peer(http_client_conn(t->ends[1].client)) : NULL;
        next = t->next;
        if (peer && whom(arg, peer))
            http_client_close(t->ends[1].client);
    }
}

int node_tunnel_open(struct node *n)
{
    n->tunnels = calloc(1, sizeof *n->tunnels);
    if (n->tunnels)
        pacer_init(&n->tunnels->pacer, n->options->relay_rate);
    return n->tunnels ? 0 : GRID_ENOMEM;
}

void node_tunnel_free(struct node *n)
{
    free(n->tunnels);
    n->tunnels = NULL;
}

void node_tunnel_stop(struct node *n)
{
    struct node_tunnels *all = n->tunnels;
    if (!all) /* never opened */
        return;
    all->stopped = true;
    for (struct node_tunnel *t = all->first, *next; t; t = next) {
        next = t->next;
        tunnel_drop(t);
        tunnel_finish(t);
    }
}

void node_tunnel_metrics(struct node *n, struct buf *out)
{
    struct node_tunnels *all = n->tunnels;
    buf_printf(out, "# HELP grid_relay_tunnels Tunnels between other members that this node relays.\n# TYPE grid_relay_tunnels gauge\ngrid_relay_tunnels %" PRIu64 "\n",
               atomic_load(&all->relaying));
    buf_printf(out, "# HELP grid_relay_tunnels_total Of these, those that were begun.\n# TYPE grid_relay_tunnels_total counter\ngrid_relay_tunnels_total %" PRIu64 "\n",
               atomic_load(&all->begun));
    buf_printf(out, "# HELP grid_relayed_bytes_total Bytes relayed between other members.\n# TYPE grid_relayed_bytes_total counter\ngrid_relayed_bytes_total %" PRIu64 "\n",
               atomic_load(&all->bytes));
}
