/* Connections that come: whose worker serves them, when a handshake begins, and whose loop has a peer's connection afterwards. */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "server/worker_internal.h"

enum { SENT_AWAY_SAID_MS = 60 * 1000 };

/* A peer's connection: the handshake's ALPN decides who owns it. Calls ("h2", "http/1.1") stay, the control plane's go to its loop. */

static void peer_on_read(void *ctx, struct conn *c, struct slice bytes)
{
    (void) ctx;
    (void) bytes; /* nothing is read before on_open gave the connection away */
    conn_close(c);
}

static void peer_moving_on_close(void *ctx, struct conn *c, int err)
{
    (void) ctx;
    (void) c;
    (void) err;
}

static const struct conn_events PEER_MOVING_EVENTS = {.on_read = peer_on_read, .on_close = peer_moving_on_close};

static void peer_on_open(void *ctx, struct conn *c)
{
    struct worker *w = ctx;
    const struct worker_set_options *o = &w->set->options;
    half_open_remove(&w->handshakes, c);
    if (w->gate && conn_tls_peer(c)->roles != TLS_ROLE_NONE)
        handshake_gate_know(w->gate, conn_peer_addr(c), loop_now_ms(w->loop));
    if (w->verdict && verdict_refuses(w->verdict, conn_tls_peer(c))) { /* its handshake began before the verdict did */
        conn_set_events(c, &PEER_MOVING_EVENTS, w);
        conn_close(c);
        return;
    }
    if (strcmp(conn_alpn(c), "h2") == 0 || strcmp(conn_alpn(c), "http/1.1") == 0) {
        http_server_adopt(w->peer_server, c);
        return;
    }
    conn_set_events(c, &PEER_MOVING_EVENTS, w);
    conn_migrate(c, o->control, o->on_control_conn, o->ctx); /* it may arrive when the workers are gone */
}

static void peer_on_close(void *ctx, struct conn *c, int err)
{
    struct worker *w = ctx;
    (void) err;
    half_open_remove(&w->handshakes, c);
}

static const struct conn_events PEER_HANDSHAKE_EVENTS = {.on_open = peer_on_open, .on_read = peer_on_read, .on_close = peer_on_close};

static void peer_handshake(struct worker *w, int fd, const struct addr *from)
{
    struct conn *c, *dropped;
    struct conn_options options = {.tls = w->set->options.peer_tls, .from = from};
    if (conn_adopt(w->loop, fd, &options, &PEER_HANDSHAKE_EVENTS, w, &c) != 0)
        return;
    dropped = half_open_add(&w->handshakes, c, conn_peer_addr(c));
    if (dropped)
        conn_close(dropped);
}

/* Says at most once a minute that some were. */
static void send_away(struct worker *w, int fd)
{
    uint64_t now_ms = loop_now_ms(w->loop);
    close(fd);
    w->sent_away++;
    if (w->sent_away_said_ms != 0 && now_ms < w->sent_away_said_ms + SENT_AWAY_SAID_MS)
        return;
    log_line(LOG_WARN, "more TLS connections come to the peers' port than --handshake-rate lets begin: some are sent away", LOGF_INT("sent_away", w->sent_away));
    w->sent_away = 0;
    w->sent_away_said_ms = now_ms;
}

/* Begins the handshakes whose turn it is, and looks again when it is the next one's. */
static void peer_turns(void *arg)
{
    struct worker *w = arg;
    uint64_t now_ms = loop_now_ms(w->loop), wait_ms;
    struct addr from;
    int fd;
    bool begins;
    while (handshake_gate_next(w->gate, now_ms, &fd, &from, &begins))
        if (begins)
            peer_handshake(w, fd, &from);
        else
            send_away(w, fd);
    wait_ms = handshake_gate_wait_ms(w->gate, now_ms);
    if (wait_ms != UINT64_MAX)
        loop_timer_start(w->loop, &w->turns, wait_ms > 0 ? wait_ms : 1, peer_turns, w);
}

/* Known by the addresses that members have in the routes. */
static bool is_members(const struct worker *w, const struct addr *from)
{
    const struct route_view *view = dispatch_view(w->dispatch);
    uint8_t source[ADDR_SOURCE_SIZE], own[ADDR_SOURCE_SIZE];
    addr_source(from, source);
    for (size_t i = 1; view && i < view->table->node_count; i++)
        for (unsigned a = 0; a < view->table->nodes[i].address_count; a++) {
            addr_source(&view->table->nodes[i].addresses[a], own);
            if (memcmp(source, own, sizeof own) == 0)
                return true;
        }
    return false;
}

static void peer_came(struct worker *w, int fd, const struct addr *from)
{
    if (!w->gate) {
        peer_handshake(w, fd, from);
        return;
    }
    int dropped = handshake_gate_come(w->gate, fd, from, is_members(w, from), loop_now_ms(w->loop));
    if (dropped >= 0)
        send_away(w, dropped);
    peer_turns(w);
}

static void worker_serve(struct worker *w, int fd, const struct addr *from, bool peer)
{
    if (peer)
        peer_came(w, fd, from);
    else
        http_server_accept(w->api_server, fd, NULL);
}

static void deliver_accepted(void *arg)
{
    struct worker_message *message = arg;
    struct worker *w = message->worker;
    if (w->closing > 0 || !w->dispatch) /* it was on its way when this worker stopped */
        close(message->u.accepted.fd);
    else
        worker_serve(w, message->u.accepted.fd, &message->u.accepted.from, message->u.accepted.peer);
    free(message);
}

/* The kernel spreads many connections evenly and a few fat ones badly: whoever has had more than the least gives the next one away. */
static struct worker *worker_for_next(struct worker *self)
{
    struct worker *least = self;
    uint32_t own = atomic_load_explicit(&self->connections, memory_order_relaxed), fewest = own;
    for (unsigned i = 0; i < self->set->options.count; i++) {
        uint32_t n = atomic_load_explicit(&self->set->workers[i].connections, memory_order_relaxed);
        if (n < fewest) {
            fewest = n;
            least = &self->set->workers[i];
        }
    }
    return fewest < own ? least : self;
}

static bool worker_hand_on(struct worker *to, int fd, const struct addr *from, bool peer)
{
    if (!worker_send(to, deliver_accepted, &(struct worker_message){.u.accepted = {.fd = fd, .peer = peer, .from = *from}}))
        return false;
    atomic_fetch_add_explicit(&to->connections, 1, memory_order_relaxed);
    return true;
}

/* Whoever cannot hand a connection on serves it, as far as memory allows. */
static void worker_accepted(struct worker *w, int fd, const struct addr *from, bool peer)
{
    struct worker *owner = worker_for_next(w);
    if (owner != w && worker_hand_on(owner, fd, from, peer))
        return;
    if (owner != w)
        log_line(LOG_WARN, "a connection was not handed on to another worker: out of memory");
    atomic_fetch_add_explicit(&w->connections, 1, memory_order_relaxed);
    worker_serve(w, fd, from, peer);
}

void worker_on_api_accept(void *ctx, int fd, const struct addr *from)
{
    worker_accepted(ctx, fd, from, false);
}

void worker_on_peer_accept(void *ctx, int fd, const struct addr *from)
{
    worker_accepted(ctx, fd, from, true);
}

/* ---- what control brings ---- */

static struct worker *next_in_turn(struct worker_set *s)
{
    return &s->workers[s->next++ % s->options.count];
}

void worker_set_accept(struct worker_set *s, int fd, const struct addr *from)
{
    if (s->stopped || !worker_hand_on(next_in_turn(s), fd, from, true))
        close(fd);
}

/* The worker's thread. */
static void reverse_arrived(void *ctx, struct conn *c)
{
    struct worker *w = ctx;
    bool refused = w->closing > 0 || !w->dispatch || (w->verdict && verdict_refuses(w->verdict, conn_tls_peer(c)));
    conn_set_events(c, &PEER_MOVING_EVENTS, w);
    if (refused)
        conn_close(c);
    else
        http_server_adopt(w->peer_server, c);
}

void worker_set_adopt(struct worker_set *s, struct conn *c)
{
    struct worker *w = next_in_turn(s);
    conn_set_events(c, &PEER_MOVING_EVENTS, w);
    if (s->stopped)
        conn_close(c);
    else
        conn_migrate(c, w->loop, reverse_arrived, w);
}

void worker_forget_turns(struct worker *w)
{
    loop_timer_stop(&w->turns);
    for (int fd; w->gate && (fd = handshake_gate_take(w->gate)) >= 0;)
        close(fd);
}
