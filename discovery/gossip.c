/* The driver of the membership core. One struct per control link, dialled or accepted:
 *
 *   dialled:  dialling (discovery/gossip_dial.h) -> up -> closing -> gone
 *   accepted:                                       up -> closing -> gone
 *
 * Everything that comes in is handed to the core; what the core wants done is done once, at the end of the loop's iteration. */
#include "discovery/gossip.h"

#include <bsd/stdlib.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/log.h"
#include "base/token_buckets.h"
#include "discovery/gossip_dial.h"
#include "discovery/member_reach.h"
#include "discovery/ways.h"
#include "net/grpc_client.h"

enum {
    CLOSE_MS = 1000,       /* for a link to end in order */
    LEAVE_MS = 1000,
    QUEUE_HIGH = 256 * 1024,
    LINKS_OF_ONE = 4,      /* that one member has made. An honest one has two at a time, while it gives up the older */
    LINES_PER_S = 1,       /* of the log, for what one member says */
    LINES_BURST = 10,
};

static const uint64_t UNASKED = UINT64_MAX; /* the token of a dial that the core has not wished for: it counts those of its own from 1 */

struct link {
    struct gossip *g;
    struct link *next;
    uint64_t id;
    bool up;      /* the core knows it */
    bool linked;  /* the core has known it */
    bool closing; /* ends in order, or is being torn down */
    struct loop_timer timer;
    char peer[MEMBER_ID_SIZE];
    /* accepted */
    struct grpc_call *in;
    /* dialled */
    uint64_t token;
    struct http_client *client;
    struct grpc_client_call *out;
    struct gossip_dial *dial; /* under way */
    char place[ADDR_TEXT_MAX]; /* its only address; "": there are several */
    bool connected; /* the core knows that a kernel is there */
};

struct gossip {
    struct loop *loop;
    struct tls_context *tls;
    struct resolver *resolver;
    const struct members_times *times;
    struct members *core;
    struct ways *ways;
    struct token_buckets *lines; /* by member */
    const struct gossip_events *events;
    void *ctx;
    bool (*admit)(void *ctx, const char *peer, const struct gossip_entry *entry);
    int (*seal)(void *ctx, struct slice record, struct buf *sealed);
    const struct link *heard; /* whose frame the core is reading */
    struct link *links;
    uint64_t last_id;
    struct loop_timer tick, leave;
    struct loop_deferred work;
    loop_fn on_left, on_closed;
    void *on_left_arg, *on_closed_arg;
    bool closing, resolver_gone;
    bool unreachable; /* this node is, as far as is known */
    struct grpc_method method;
    struct grpc_service service;
};

static void gossip_work(void *arg);
static void link_end(struct link *l);

static void kick(struct gossip *g)
{
    if (!g->closing)
        loop_defer(g->loop, &g->work, gossip_work, g);
}

/* The time, as the core is given it next. */
static uint64_t now_for_core(struct gossip *g)
{
    uint64_t now_ms = loop_now_ms(g->loop);
    members_set_precise(g->core, now_ms, loop_clock_us());
    return now_ms;
}

/* ---- links ---- */

static struct link *link_new(struct gossip *g)
{
    struct link *l = calloc(1, sizeof *l);
    if (!l)
        return NULL;
    l->g = g;
    l->id = ++g->last_id;
    l->next = g->links;
    g->links = l;
    return l;
}

static void gossip_finish_close(struct gossip *g)
{
    if (!g->closing || g->links || !g->resolver_gone)
        return;
    loop_fn on_closed = g->on_closed;
    void *arg = g->on_closed_arg;
    members_destroy(g->core);
    ways_destroy(g->ways);
    token_buckets_destroy(g->lines);
    tls_context_unref(g->tls);
    free(g);
    if (on_closed)
        on_closed(arg);
}

static void leave_done(void *arg)
{
    struct gossip *g = arg;
    loop_fn done = g->on_left;
    loop_timer_stop(&g->leave);
    g->on_left = NULL;
    if (done)
        done(g->on_left_arg);
}

/* Also those that end in order and have not been written out yet. */
static bool any_link_left(const struct gossip *g)
{
    for (const struct link *l = g->links; l; l = l->next)
        if (l->linked)
            return true;
    return false;
}

static void link_free(struct link *l)
{
    struct gossip *g = l->g;
    struct link **at = &g->links;
    while (*at != l)
        at = &(*at)->next;
    *at = l->next;
    loop_timer_stop(&l->timer);
    free(l);
    if (g->on_left && !any_link_left(g))
        leave_done(g);
    gossip_finish_close(g);
}

static struct link *link_find(const struct gossip *g, uint64_t id)
{
    for (struct link *l = g->links; l; l = l->next)
        if (l->id == id)
            return l;
    return NULL;
}

static struct conn *link_conn(const struct link *l)
{
    return l->in ? grpc_call_conn(l->in) : l->client ? http_client_conn(l->client) : NULL;
}

/* Of two that cannot be dialled one may have dialled for the other (net/carrier.h): that is taken, whoever asks on it. */
static enum gossip_path link_path(const struct link *l)
{
    const struct conn *c = link_conn(l);
    if (!c)
        return GOSSIP_PATH_NONE;
    if (conn_is_relayed(c))
        return GOSSIP_PATH_RELAYED;
    return l->in || addr_is_member(conn_peer_addr(c)) ? GOSSIP_PATH_TAKEN : GOSSIP_PATH_DIALLED;
}

static void link_up(struct link *l, const struct tls_peer *peer)
{
    l->up = members_link_up(l->g->core, l->id, peer->id, l->token, loop_now_ms(l->g->loop)) == 0;
    if (l->up && link_path(l) == GOSSIP_PATH_RELAYED)
        members_link_relayed(l->g->core, l->id);
    l->token = 0;
    l->linked = true;
    memcpy(l->peer, peer->id, sizeof l->peer);
    if (!l->up)
        link_end(l);
    kick(l->g);
}

/* Any member may say what is worth a line, without end: of each a few are said, then one a second. "": of those that are not known. */
static bool may_say(struct gossip *g, const char *peer)
{
    return token_buckets_take(g->lines, slice_of_str(peer), loop_now_ms(g->loop));
}

/* The core hears of a loss once, and only of links that it did not close itself. */
static void link_lost(struct link *l, enum members_loss loss)
{
    struct gossip *g = l->g;
    uint64_t now = loop_now_ms(g->loop);
    if (!l->up)
        return;
    l->up = false;
    members_link_down(g->core, l->id, loss, now);
    kick(g);
}

static void link_abort(void *arg)
{
    struct link *l = arg;
    if (l->client)
        http_client_close(l->client);
}

/* Ends it in order: what was sent before still arrives. */
static void link_end(struct link *l)
{
    if (l->closing)
        return;
    l->closing = true;
    l->up = false;
    if (l->in) {
        struct grpc_call *in = l->in;
        l->in = NULL;
        grpc_call_finish(in, GRPC_OK, NULL);
    } else if (l->out) {
        grpc_client_call_half_close(l->out);
        loop_timer_start(l->g->loop, &l->timer, CLOSE_MS, link_abort, l);
    } else
        link_abort(l);
}

static void link_turn(const struct link *l, enum gossip_plane plane)
{
    const struct gossip *g = l->g;
    bool dialled = link_path(l) == GOSSIP_PATH_DIALLED;
    if (g->events->on_turn)
        g->events->on_turn(g->ctx, l->peer, plane, dialled ? conn_peer_addr(http_client_conn(l->client)) : NULL);
}

static void link_receive(struct link *l, struct slice message)
{
    enum gossip_plane plane;
    if (!l->up)
        return;
    if (gossip_turn_unpack(message, &plane)) {
        link_turn(l, plane);
        return;
    }
    l->g->heard = l;
    int err = members_receive(l->g->core, l->id, message, now_for_core(l->g));
    l->g->heard = NULL;
    if (err != 0) {
        if (may_say(l->g, l->peer))
            log_line(LOG_WARN, "a gossip frame is malformed: the link is closed", LOGF_STR("peer", l->peer), LOGF_ERR(err));
        link_lost(l, MEMBERS_LOST_RESET);
        link_end(l);
    }
    kick(l->g);
}

static void link_send(struct link *l, struct slice bytes)
{
    int err = l->in ? grpc_call_send(l->in, bytes) : l->out ? grpc_client_call_send(l->out, bytes) : GRID_ECLOSED;
    size_t queued = l->in ? grpc_call_queued(l->in) : l->out ? grpc_client_call_queued(l->out) : 0;
    if (err == 0 && queued > QUEUE_HIGH)
        members_link_pause(l->g->core, l->id, true);
}

static void link_writable(struct link *l)
{
    members_link_pause(l->g->core, l->id, false);
    kick(l->g);
}

/* ---- the accepted side ---- */

static void in_message(void *ctx, struct grpc_call *call, struct slice message)
{
    (void) call;
    link_receive(ctx, message);
}

static void in_half_close(void *ctx, struct grpc_call *call)
{
    struct link *l = ctx;
    (void) call;
    link_lost(l, MEMBERS_LOST_RESET);
    link_end(l);
}

static void in_writable(void *ctx, struct grpc_call *call)
{
    (void) call;
    link_writable(ctx);
}

static void in_close(void *ctx, struct grpc_call *call, int err)
{
    struct link *l = ctx;
    (void) err;
    l->in = NULL;
    link_lost(l, conn_has_timed_out(grpc_call_conn(call)) ? MEMBERS_LOST_TIMEOUT : MEMBERS_LOST_RESET);
    link_free(l);
}

static const struct grpc_call_events IN_EVENTS = {in_message, in_half_close, in_writable, in_close};

/* One that has made more links than LINKS_OF_ONE loses its oldest: all that are told to everybody go over each link, and the core, which dials nobody when it has as many
 * as it needs, does not ask whose they are. */
static void end_surplus(struct gossip *g, const char *peer)
{
    struct link *oldest = NULL;
    unsigned count = 0;
    for (struct link *l = g->links; l; l = l->next) /* the newest first */
        if (l->in && l->up && strcmp(l->peer, peer) == 0) {
            oldest = l;
            count++;
        }
    if (count <= LINKS_OF_ONE)
        return;
    link_lost(oldest, MEMBERS_LOST_RESET);
    link_end(oldest);
}

static void on_call(void *service_ctx, struct grpc_call *call)
{
    struct gossip *g = service_ctx;
    const struct tls_peer *peer = conn_tls_peer(grpc_call_conn(call));
    struct link *l = peer && !g->closing ? link_new(g) : NULL;
    if (!l) {
        grpc_call_finish(call, peer ? GRPC_UNAVAILABLE : GRPC_UNAUTHENTICATED, peer ? "the node is closing" : "gossip is for nodes, over mutual TLS");
        return;
    }
    l->in = call;
    conn_make_thin(grpc_call_conn(call), g->times->unacknowledged_ms);
    grpc_call_bind(call, &IN_EVENTS, l);
    link_up(l, peer);
    end_surplus(g, peer->id);
}

/* ---- the dialled side ---- */

static void out_message(void *ctx, struct grpc_client_call *call, struct slice message)
{
    (void) call;
    link_receive(ctx, message);
}

static void out_writable(void *ctx, struct grpc_client_call *call)
{
    (void) call;
    link_writable(ctx);
}

static void out_close(void *ctx, struct grpc_client_call *call, int status, struct slice message, enum http_sent sent, int64_t pushback_ms)
{
    struct link *l = ctx;
    (void) call, (void) sent, (void) pushback_ms;
    l->out = NULL;
    if (status != GRPC_OK && l->up)
        log_line(LOG_DEBUG, "a control link ended", LOGF_STR("peer", l->peer), LOGF_STR("status", grpc_status_name(status)),
                 LOGF_SLICE("message", message));
    if (!l->closing && !http_client_usable(l->client)) { /* the connection itself ends: client_closed knows how */
        loop_timer_start(l->g->loop, &l->timer, CLOSE_MS, link_abort, l);
        return;
    }
    link_lost(l, MEMBERS_LOST_RESET);
    http_client_close(l->client);
}

static const struct grpc_client_events OUT_EVENTS = {out_message, out_writable, out_close};

static void client_open(void *ctx, struct http_client *client)
{
    struct link *l = ctx;
    const struct tls_peer *peer = conn_tls_peer(http_client_conn(client));
    l->dial = NULL;
    l->client = client;
    int err = grpc_client_call_start(client, "/grid.v1.PeerGossip/Link", 0, NULL, 0, slice_of(NULL, 0), true, GOSSIP_FRAME_MAX + 64, &OUT_EVENTS, l,
                                     &l->out);
    if (err != 0) {
        http_client_close(client);
        return;
    }
    if (link_path(l) == GOSSIP_PATH_DIALLED)
        ways_found(l->g->ways, peer->id, conn_peer_addr(http_client_conn(client)));
    link_up(l, peer);
}

static void client_draining(void *ctx, struct http_client *client)
{
    (void) ctx, (void) client;
}

/* With TLS 1.3 the other side judges when this one has finished: the link may have been up for a moment. */
static void tell_denied(const struct gossip *g, const struct conn *c)
{
    char address[ADDR_TEXT_MAX];
    if (g->closing || !g->events->on_denied)
        return;
    addr_format(conn_peer_addr(c), address);
    g->events->on_denied(g->ctx, address, conn_tls_why(c), conn_tls_refusal(c));
}

static void dial_lost(void *ctx, enum members_dial_fault fault)
{
    struct link *l = ctx;
    struct gossip *g = l->g;
    l->dial = NULL;
    if (l->place[0] && g->events->on_missed)
        g->events->on_missed(g->ctx, l->place, fault);
    members_dial_failed(g->core, l->token, fault, loop_now_ms(g->loop));
    kick(g);
    link_free(l);
}

static void client_closed(void *ctx, struct http_client *client, int err)
{
    struct link *l = ctx;
    if (err == GRID_EPERM)
        tell_denied(l->g, http_client_conn(client));
    l->client = NULL;
    if (l->token != 0) { /* it never came up */
        dial_lost(l, MEMBERS_DIAL_TIMEOUT);
        return;
    }
    link_lost(l, err == GRID_ETIMEOUT ? MEMBERS_LOST_TIMEOUT : err == GRID_EPERM ? MEMBERS_LOST_DENIED : MEMBERS_LOST_RESET); /* in TLS 1.3 who dials hears last that he was refused */
    link_free(l);
}

static void dial_denied(void *ctx, const struct conn *c)
{
    const struct link *l = ctx;
    tell_denied(l->g, c);
}

static const struct gossip_dial_events DIAL_EVENTS = {{client_open, client_draining, client_closed}, dial_denied, dial_lost};

static void dial_start(struct gossip *g, const struct members_dial *dial)
{
    struct link *l = link_new(g);
    const struct member *m = dial->id[0] != '\0' ? members_find(g->core, dial->id) : NULL;
    bool hidden = m && member_has(m, MEMBER_UNREACHABLE);
    const struct gossip_dial_config config = {.loop = g->loop, .tls = g->tls, .resolver = g->resolver, .times = g->times, .wish = dial, .self = members_at(g->core, 0)->id,
                                              .known = m ? ways_of(g->ways, dial->id) : NULL, .hidden = hidden, .carry = hidden && g->unreachable};
    if (!l || gossip_dial_create(&config, &DIAL_EVENTS, l, &l->dial) != 0) {
        members_dial_failed(g->core, dial->token, MEMBERS_DIAL_TIMEOUT, loop_now_ms(g->loop));
        if (l)
            link_free(l);
        return;
    }
    l->token = dial->token;
    if (dial->address_count == 1)
        snprintf(l->place, sizeof l->place, "%s", dial->addresses[0]);
}

/* ---- the core's wishes ---- */

static void tell_event(struct gossip *g, const struct members_event *e)
{
    if (e->kind == MEMBERS_RELEASE) {
        g->events->on_release(g->ctx, e->bytes, e->member);
    } else if (e->kind == MEMBERS_LEDGER) {
        if (g->events->on_ledger)
            g->events->on_ledger(g->ctx, e->bytes, e->member);
    } else if (e->kind == MEMBERS_REFUSED) {
        if (may_say(g, e->member ? e->member->id : ""))
            log_line(LOG_WARN, e->by_peer ? "a node refused this one" : "a node was refused", LOGF_SLICE("reason", e->bytes));
        if (g->events->on_refused)
            g->events->on_refused(g->ctx, e->refusal, e->bytes, e->by_peer);
    } else
        g->events->on_event(g->ctx, e->kind, e->member);
}

static void carry_out(struct gossip *g)
{
    struct members_event event;
    struct members_dial dial;
    struct slice bytes;
    uint64_t id;
    struct link *l;
    while (members_next_send(g->core, &id, &bytes))
        if ((l = link_find(g, id)) != NULL)
            link_send(l, bytes);
    while (members_next_close(g->core, &id))
        if ((l = link_find(g, id)) != NULL)
            link_end(l);
    while (members_next_dial(g->core, &dial))
        dial_start(g, &dial);
    while (members_next_event(g->core, &event))
        tell_event(g, &event);
}

/* A handshake may wait for a process that stands still: that its kernel is there is told before. */
static void tell_connected(struct gossip *g)
{
    for (struct link *l = g->links; l; l = l->next)
        if (l->dial && !l->connected && gossip_dial_is_connected(l->dial)) {
            l->connected = true;
            members_dial_connected(g->core, l->token, loop_now_ms(g->loop));
        }
}

static void on_tick(void *arg)
{
    gossip_work(arg);
}

static void gossip_work(void *arg)
{
    struct gossip *g = arg;
    if (g->closing)
        return;
    tell_connected(g);
    uint64_t delay = members_tick(g->core, now_for_core(g));
    loop_timer_start(g->loop, &g->tick, delay, on_tick, g);
    carry_out(g);
}

/* ---- what others call ---- */

const struct grpc_service *gossip_service(struct gossip *g)
{
    return &g->service;
}

void gossip_set_authorities(struct gossip *g, const char *const *authorities, size_t count, const char *grid)
{
    members_set_authorities(g->core, authorities, count, grid, loop_now_ms(g->loop));
    kick(g);
}

int gossip_set_ledger(struct gossip *g, struct slice digest, struct slice packed)
{
    int err = members_set_ledger(g->core, digest, packed, loop_now_ms(g->loop));
    kick(g);
    return err;
}

int gossip_add_seed(struct gossip *g, const char *address, uint64_t delay_ms)
{
    int err = members_add_seed(g->core, address, delay_ms, loop_now_ms(g->loop));
    kick(g);
    return err;
}

void gossip_remove_seed(struct gossip *g, const char *address)
{
    members_remove_seed(g->core, address);
}

enum members_seed_state gossip_seed_look(const struct gossip *g, const char *address, unsigned *failures)
{
    return members_seed_look(g->core, address, failures);
}

const char *gossip_next_seed(const struct gossip *g, const char *id, size_t *at)
{
    return members_next_seed(g->core, id, at);
}

bool gossip_is_seed(const struct gossip *g, const char *id)
{
    return members_is_seed(g->core, id);
}

int gossip_evict(struct gossip *g, const char *id)
{
    int err = members_evict(g->core, id, loop_now_ms(g->loop));
    kick(g);
    return err;
}

void gossip_cut(struct gossip *g, bool (*refuses)(const void *arg, const struct tls_peer *peer), const void *arg)
{
    for (struct link *l = g->links; l; l = l->next) {
        const struct tls_peer *peer = l->linked && link_conn(l) ? conn_tls_peer(link_conn(l)) : NULL;
        if (peer && refuses(arg, peer))
            conn_close(link_conn(l)); /* its end is heard as any other's */
    }
}

/* The best one that is up; NULL: there is none. */
static const struct link *link_to(const struct gossip *g, const char *id)
{
    const struct link *best = NULL;
    for (const struct link *l = g->links; l; l = l->next)
        if (l->up && strcmp(l->peer, id) == 0 && (!best || link_path(l) < link_path(best)))
            best = l;
    return best;
}

enum gossip_path gossip_path(const struct gossip *g, const char *id, struct addr *at)
{
    const struct link *l = link_to(g, id);
    enum gossip_path path = l ? link_path(l) : GOSSIP_PATH_NONE;
    if (at && path == GOSSIP_PATH_DIALLED)
        *at = *conn_peer_addr(link_conn(l));
    return path;
}

bool gossip_where(const struct gossip *g, const struct member *m, struct addr *out)
{
    return gossip_path(g, m->id, out) == GOSSIP_PATH_DIALLED || member_dial(m, out);
}

uint32_t gossip_round_trip_us(const struct gossip *g, const char *id)
{
    const struct link *l = link_to(g, id);
    return l && link_conn(l) ? conn_round_trip_us(link_conn(l)) : 0;
}

const struct ways *gossip_ways(const struct gossip *g)
{
    return g->ways;
}

int gossip_turn(struct gossip *g, const char *id, enum gossip_plane plane)
{
    struct link *taken = NULL;
    struct buf frame;
    for (struct link *l = g->links; l && !taken; l = l->next)
        if (l->up && l->in && strcmp(l->peer, id) == 0 && link_path(l) != GOSSIP_PATH_RELAYED)
            taken = l;
    if (!taken)
        return GRID_ENOENT;
    buf_init(&frame, 0);
    int err = gossip_turn_pack(plane, &frame);
    if (err == 0)
        err = grpc_call_send(taken->in, buf_slice(&frame));
    buf_dispose(&frame);
    return err;
}

static bool is_dialled_directly(const struct gossip *g, const char *id)
{
    for (const struct link *l = g->links; l; l = l->next)
        if (l->dial && l->token == UNASKED && strcmp(l->peer, id) == 0)
            return true;
    return false;
}

/* Whoever else is found is no news: that the member's addresses may mean other hosts here is why there is a relay. */
int gossip_dial_direct(struct gossip *g, const char *id)
{
    const struct member *m = members_find(g->core, id);
    if (!m || g->closing || g->on_left || gossip_path(g, id, NULL) != GOSSIP_PATH_RELAYED)
        return GRID_ENOENT;
    if (is_dialled_directly(g, id))
        return GRID_EEXIST;
    const struct members_dial wish = {UNASKED, m->id, m->addresses, m->address_count, g->times->connect_ms};
    const struct gossip_dial_config config = {.loop = g->loop, .tls = g->tls, .resolver = g->resolver, .times = g->times, .wish = &wish, .self = members_at(g->core, 0)->id,
                                              .known = ways_of(g->ways, id), .hidden = true};
    struct link *l = link_new(g);
    if (!l)
        return GRID_ENOMEM;
    int err = gossip_dial_create(&config, &DIAL_EVENTS, l, &l->dial);
    if (err != 0) {
        link_free(l);
        return err;
    }
    l->token = UNASKED;
    memcpy(l->peer, m->id, sizeof l->peer);
    return 0;
}

void gossip_set_unreachable(struct gossip *g, bool unreachable)
{
    g->unreachable = unreachable;
}

int gossip_update_self(struct gossip *g, const struct member *self)
{
    int err = members_set_self(g->core, self, loop_now_ms(g->loop));
    kick(g);
    return err;
}

int gossip_reseal(struct gossip *g)
{
    int err = members_reseal(g->core, loop_now_ms(g->loop));
    kick(g);
    return err;
}

void gossip_update_load(struct gossip *g, uint32_t in_flight, uint32_t queued, uint32_t cpu_percent)
{
    members_set_load(g->core, in_flight, queued, cpu_percent);
}

int gossip_announce_release(struct gossip *g, struct slice packed)
{
    int err = members_announce_release(g->core, packed, loop_now_ms(g->loop));
    kick(g);
    return err;
}

void gossip_leave(struct gossip *g, loop_fn done, void *arg)
{
    g->on_left = done;
    g->on_left_arg = arg;
    members_leave(g->core, loop_now_ms(g->loop));
    gossip_work(g);
    loop_timer_start(g->loop, &g->leave, any_link_left(g) ? LEAVE_MS : 0, leave_done, g);
    for (struct link *l = g->links, *next; l; l = next) {
        next = l->next;
        if (l->in || l->out)
            link_end(l);
    }
}

const struct members *gossip_members(const struct gossip *g)
{
    return g->core;
}

/* ---- life ---- */

static bool admit(void *ctx, const struct gossip_entry *entry)
{
    const struct gossip *g = ctx;
    return g->admit(g->ctx, g->heard ? g->heard->peer : "", entry);
}

static int seal(void *ctx, struct slice record, struct buf *sealed)
{
    const struct gossip *g = ctx;
    return g->seal(g->ctx, record, sealed);
}

int gossip_create(const struct gossip_config *config, struct gossip **out)
{
    struct members_config core = {.authority = config->authority,   .grid = config->grid,
                                  .self = config->self,             .seeds = config->seeds,
                                  .seed_count = config->seed_count, .seed = (uint64_t) arc4random() << 32 | arc4random()};
    struct gossip *g = calloc(1, sizeof *g);
    if (!g)
        return GRID_ENOMEM;
    g->loop = config->loop;
    g->events = config->events;
    g->times = config->times ? config->times : &MEMBERS_LAN;
    g->ctx = config->ctx;
    g->admit = config->admit;
    g->seal = config->seal;
    core.admit = config->admit ? admit : NULL;
    core.seal = config->seal ? seal : NULL;
    core.ctx = g;
    core.times = g->times;
    int err = members_create(&core, loop_now_ms(g->loop), &g->core);
    g->ways = ways_create();
    g->lines = token_buckets_create(LINES_PER_S, LINES_BURST, MEMBERS_MAX);
    if (err == 0 && (!g->ways || !g->lines))
        err = GRID_ENOMEM;
    if (err == 0)
        err = resolver_create(g->loop, &g->resolver);
    if (err != 0) {
        members_destroy(g->core);
        ways_destroy(g->ways);
        token_buckets_destroy(g->lines);
        free(g);
        return err;
    }
    g->tls = tls_context_ref(config->tls);
    g->method = (struct grpc_method){.path = "/grid.v1.PeerGossip/Link",
                                     .client_streams = true,
                                     .server_streams = true,
                                     .on_call = on_call,
                                     .max_message = GOSSIP_FRAME_MAX + 64};
    g->service = (struct grpc_service){"grid.v1.PeerGossip", &g->method, 1, g};
    kick(g);
    *out = g;
    return 0;
}

static void on_resolver_gone(void *arg)
{
    struct gossip *g = arg;
    g->resolver_gone = true;
    gossip_finish_close(g);
}

static void link_tear_down(struct link *l)
{
    l->closing = true;
    l->up = false;
    loop_timer_stop(&l->timer);
    if (l->in) {
        struct grpc_call *in = l->in;
        l->in = NULL;
        grpc_call_finish(in, GRPC_UNAVAILABLE, "the node is closing");
    } else if (l->client) {
        http_client_close(l->client);
    } else if (l->dial) {
        gossip_dial_close(l->dial);
        link_free(l);
    }
}

void gossip_close(struct gossip *g, loop_fn on_closed, void *arg)
{
    g->closing = true;
    g->on_closed = on_closed;
    g->on_closed_arg = arg;
    loop_timer_stop(&g->tick);
    loop_timer_stop(&g->leave);
    g->on_left = NULL;
    loop_defer_cancel(&g->work);
    for (struct link *l = g->links, *next; l; l = next) {
        next = l->next;
        link_tear_down(l);
    }
    resolver_close(g->resolver, on_resolver_gone, g); /* ends the lookups, for which dials may wait */
}
