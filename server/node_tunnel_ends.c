/* A tunnel's life and its two ends: what one says goes to the other, as fast as that one takes it and the relay's rate allows. */
#include <stdlib.h>

#include "api/pb.h"
#include "base/err.h"
#include "server/node_tunnel_internal.h"

enum {
    QUEUE_HIGH = 256 * 1024,
    END_MS = 2000,           /* for what was sent before an end */
    LIGHT_BYTES = 64 * 1024, /* a second: who says less is not held up for those who say much */
    LIGHT_DEBT_MS = 1000,    /* but those wait for it no longer than this */
    PIECE_ARENA_MAX = NODE_TUNNEL_MESSAGE_MAX + 16 * 1024,
};

/* ---- life ---- */

struct node_tunnel *tunnel_create(struct node *n, enum tunnel_role role)
{
    struct node_tunnels *all = n->tunnels;
    struct node_tunnel *t = all && !all->stopped ? calloc(1, sizeof *t) : NULL;
    if (!t)
        return NULL;
    *t = (struct node_tunnel){.node = n, .role = role, .next = all->first, .prev = &all->first};
    if (t->next)
        t->next->prev = &t->next;
    all->first = t;
    t->ends[0].tunnel = t->ends[1].tunnel = t;
    all->counts[role]++;
    return t;
}

static void tell_relaying(struct node_tunnels *all)
{
    atomic_store(&all->relaying, all->counts[TUNNEL_RELAY]);
}

void tunnel_set_role(struct node_tunnel *t, enum tunnel_role role)
{
    struct node_tunnels *all = t->node->tunnels;
    all->counts[t->role]--;
    all->counts[role]++;
    t->role = role;
    tell_relaying(all);
}

static bool end_is_gone(const struct tunnel_end *e)
{
    return !e->pipe && !e->in && !e->client;
}

static void tunnel_free_if_done(struct node_tunnel *t)
{
    struct node_tunnels *all = t->node->tunnels;
    if (!t->ending || !end_is_gone(&t->ends[0]) || !end_is_gone(&t->ends[1]))
        return;
    loop_timer_stop(&t->timer);
    loop_timer_stop(&t->pace);
    *t->prev = t->next;
    if (t->next)
        t->next->prev = t->prev;
    all->counts[t->role]--;
    tell_relaying(all);
    free(t);
}

/* ---- one end ---- */

static struct tunnel_end *other_of(struct tunnel_end *e)
{
    return e == &e->tunnel->ends[0] ? &e->tunnel->ends[1] : &e->tunnel->ends[0];
}

static size_t end_queued(const struct tunnel_end *e)
{
    return e->pipe ? conn_queued(e->pipe) : e->in ? grpc_call_queued(e->in) : e->out ? grpc_client_call_queued(e->out) : 0;
}

/* What comes from it is held back, or let on. */
static void end_hold(struct tunnel_end *e, bool hold)
{
    if (e->held == hold || e->ended)
        return;
    e->held = hold;
    if (e->pipe)
        (hold ? conn_pause : conn_resume)(e->pipe);
    else if (e->in)
        (hold ? grpc_call_pause : grpc_call_resume)(e->in);
    else if (e->out)
        (hold ? grpc_client_call_pause : grpc_client_call_resume)(e->out);
}

const Grid__V1__TunnelPiece *tunnel_read_piece(struct slice message, struct arena **arena)
{
    *arena = arena_create(1024, PIECE_ARENA_MAX);
    return *arena ? pb_unpack(&grid__v1__tunnel_piece__descriptor, *arena, message) : NULL;
}

int tunnel_end_say(struct tunnel_end *e, const char *target, struct slice data)
{
    Grid__V1__TunnelPiece piece = GRID__V1__TUNNEL_PIECE__INIT;
    struct buf packed;
    piece.target = pb_str(target);
    piece.data = pb_bytes(data);
    buf_init(&packed, 0);
    int err = pb_append(&packed, &piece.base);
    if (err == 0)
        err = e->in ? grpc_call_send(e->in, buf_slice(&packed)) : e->out ? grpc_client_call_send(e->out, buf_slice(&packed)) : GRID_ECLOSED;
    buf_dispose(&packed);
    return err;
}

static int end_send(struct tunnel_end *e, struct slice data)
{
    int err = 0;
    if (e->ended)
        return GRID_ECLOSED;
    if (e->pipe)
        return conn_write(e->pipe, data);
    for (; err == 0 && data.size > 0; data = slice_from(data, data.size < NODE_TUNNEL_DATA_MAX ? data.size : NODE_TUNNEL_DATA_MAX))
        err = tunnel_end_say(e, "", slice_first(data, NODE_TUNNEL_DATA_MAX));
    return err;
}

static void end_close(struct tunnel_end *e)
{
    bool before = e->ended;
    e->ended = true;
    if (before)
        return;
    if (e->pipe)
        conn_finish(e->pipe);
    else if (e->in)
        grpc_call_finish(e->in, e->tunnel->stands ? GRPC_OK : GRPC_UNAVAILABLE, e->tunnel->stands ? NULL : "there is no way to that member from here");
    else if (e->out)
        grpc_client_call_half_close(e->out);
    else if (e->client)
        http_client_close(e->client);
}

/* ---- both ---- */

void tunnel_drop(struct node_tunnel *t)
{
    for (int i = 0; i < 2; i++)
        if (t->ends[i].pipe)
            conn_close(t->ends[i].pipe);
        else if (t->ends[i].client)
            http_client_close(t->ends[i].client);
}

static void on_end_timeout(void *arg)
{
    tunnel_drop(arg);
}

static void tunnel_begin_end(struct node_tunnel *t)
{
    t->ending = true;
    loop_timer_stop(&t->pace);
    if (t->carrier)
        carrier_refuse(t->carrier, t->ticket);
    t->carrier = NULL;
    loop_timer_start(t->node->loop, &t->timer, END_MS, on_end_timeout, t);
    for (int i = 0; i < 2; i++) {
        end_hold(&t->ends[i], false);
        end_close(&t->ends[i]);
    }
}

void tunnel_finish(struct node_tunnel *t)
{
    if (!t->ending)
        tunnel_begin_end(t);
    tunnel_free_if_done(t);
}

void tunnel_on_timeout(void *tunnel)
{
    tunnel_finish(tunnel);
}

void tunnel_stands(struct node_tunnel *t)
{
    t->stands = true;
    loop_timer_stop(&t->timer);
}

/* Both are let on as far as the other has room. */
static void on_paced(void *arg)
{
    struct node_tunnel *t = arg;
    for (int i = 0; i < 2; i++)
        end_hold(&t->ends[i], end_queued(&t->ends[1 - i]) > QUEUE_HIGH);
}

/* Gossip goes on beside whatever else fills the rate. */
static bool is_light(struct node_tunnel *t, size_t size, uint64_t now_ms)
{
    if (now_ms >= t->second_ms + 1000) {
        t->second_ms = now_ms;
        t->second_bytes = 0;
    }
    t->second_bytes += size;
    return t->second_bytes <= LIGHT_BYTES;
}

static void tunnel_pace(struct node_tunnel *t, size_t size)
{
    struct node_tunnels *all = t->node->tunnels;
    uint64_t now_ms = loop_now_ms(t->node->loop), wait_ms;
    if (t->role != TUNNEL_RELAY)
        return;
    atomic_fetch_add_explicit(&all->bytes, size, memory_order_relaxed);
    if (is_light(t, size, now_ms)) {
        pacer_spend_within(&all->pacer, size, LIGHT_DEBT_MS, now_ms);
        return;
    }
    pacer_spend(&all->pacer, size, now_ms);
    wait_ms = pacer_wait_ms(&all->pacer, now_ms);
    if (wait_ms == 0)
        return;
    end_hold(&t->ends[0], true);
    end_hold(&t->ends[1], true);
    if (!loop_timer_running(&t->pace))
        loop_timer_start(t->node->loop, &t->pace, wait_ms, on_paced, t);
}

void tunnel_end_received(struct tunnel_end *e, struct slice data)
{
    struct node_tunnel *t = e->tunnel;
    struct tunnel_end *other = other_of(e);
    if (t->ending || data.size == 0)
        return;
    if (!t->stands || end_send(other, data) != 0) {
        tunnel_finish(t);
        return;
    }
    if (end_queued(other) > QUEUE_HIGH)
        end_hold(e, true);
    tunnel_pace(t, data.size);
}

void tunnel_end_writable(struct tunnel_end *e)
{
    if (!e->tunnel->ending && !loop_timer_running(&e->tunnel->pace))
        end_hold(other_of(e), false);
}

/* It was one of the three. */
void tunnel_end_gone(struct tunnel_end *e)
{
    e->pipe = NULL;
    e->in = NULL;
    e->client = NULL;
    e->ended = true;
    tunnel_finish(e->tunnel);
}

/* ---- pipes ---- */

static void pipe_on_read(void *ctx, struct conn *c, struct slice bytes)
{
    (void) c;
    tunnel_end_received(ctx, bytes);
}

static void pipe_on_drained(void *ctx, struct conn *c)
{
    (void) c;
    tunnel_end_writable(ctx);
}

static void pipe_on_close(void *ctx, struct conn *c, int err)
{
    (void) c, (void) err;
    tunnel_end_gone(ctx);
}

static const struct conn_events PIPE_EVENTS = {.on_read = pipe_on_read, .on_drained = pipe_on_drained, .on_close = pipe_on_close};

int tunnel_end_pipe(struct tunnel_end *e, int *far)
{
    return conn_pair(e->tunnel->node->loop, &PIPE_EVENTS, e, &e->pipe, far);
}

