/* Bytes from the connection into the core, and back; the core's wishes to whoever decides. */
#include "server/join_exchange.h"

#include <stdlib.h>
#include <time.h>

#include <bsd/stdlib.h>

#include "base/err.h"
#include "net/conn_race.h"

struct join_exchange {
    struct join_exchange_config config;
    struct conn_race *race; /* while it dials */
    struct conn *conn;      /* NULL while it dials, and once it is gone */
    struct join *join;
    struct loop_timer timer;
    struct addr peer;
    size_t places, own; /* addresses that are dialled; of these, those where this node itself is */
    bool over;
};

static void exchange_free(struct join_exchange *x)
{
    loop_timer_stop(&x->timer);
    join_destroy(x->join);
    free(x);
}

/* Tells the end once. The memory stays until the connection is gone. */
static void exchange_over(struct join_exchange *x, const char *why)
{
    if (x->over)
        return;
    x->over = true;
    loop_timer_stop(&x->timer);
    x->config.events->on_end(x->config.ctx, x, x->join, why);
}

static void exchange_gone(void *arg)
{
    struct join_exchange *x = arg;
    if (x->config.events)
        x->config.events->on_gone(x->config.ctx, x);
    exchange_free(x);
}

/* Of one that still dials nothing is on the loop but its timer. */
static void exchange_drop(struct join_exchange *x)
{
    if (x->conn)
        conn_close(x->conn);
    if (x->race)
        conn_race_close(x->race);
    x->race = NULL;
    if (!x->conn)
        loop_timer_start(x->config.loop, &x->timer, 0, exchange_gone, x);
}

void join_exchange_end(struct join_exchange *x, const char *why)
{
    exchange_over(x, why);
    exchange_drop(x);
}

static void on_timeout(void *arg)
{
    join_exchange_end(arg, "it took too long");
}

static void exchange_flush(struct join_exchange *x)
{
    struct buf *out = join_output(x->join);
    if (out->size > 0)
        (void) conn_write(x->conn, buf_slice(out)); /* a connection that has closed says so itself */
    buf_clear(out);
}

/* Goes on until the core waits for bytes or is done. */
static void exchange_pump(struct join_exchange *x)
{
    enum join_step before = JOIN_STEP_RECEIVE, step;
    while ((step = join_step(x->join)) != before && (step == JOIN_STEP_STAND || step == JOIN_STEP_ISSUE)) {
        before = step;
        if (step == JOIN_STEP_STAND)
            x->config.events->on_stand(x->config.ctx, x, x->join);
        else
            x->config.events->on_issue(x->config.ctx, x, x->join);
    }
    exchange_flush(x);
    if (step < JOIN_STEP_GRANTED)
        return;
    if (step == JOIN_STEP_BROKEN)
        conn_close(x->conn);
    else
        conn_finish(x->conn);
    exchange_over(x, join_why(x->join));
}

static int make_core(struct join_exchange *x, bool joiner)
{
    struct tls_channel channel;
    uint8_t seed[JOIN_SEED_SIZE];
    struct join_config terms = *x->config.terms;
    int err = conn_tls_channel(x->conn, &channel);
    if (err != 0)
        return err;
    arc4random_buf(seed, sizeof seed);
    terms.joiner = joiner;
    terms.own_public_der = slice_of(channel.own_public, channel.own_public_size);
    terms.peer_public_der = slice_of(channel.peer_public, channel.peer_public_size);
    terms.exporter = channel.exporter;
    terms.seed = seed;
    terms.now_s = (int64_t) time(NULL);
    err = join_create(&terms, &x->join);
    explicit_bzero(seed, sizeof seed);
    return err;
}

/* ---- the connection ---- */

static const char *why_lost(int err, bool begun)
{
    return err == GRID_EREFUSED ? "nobody listens there" : err == GRID_ETIMEOUT ? "it does not answer" : begun ? "it closed the connection" : "it does not take part in joining by password";
}

static void on_read(void *ctx, struct conn *c, struct slice bytes)
{
    struct join_exchange *x = ctx;
    (void) c;
    if (x->over || !x->join)
        return;
    join_receive(x->join, bytes);
    exchange_pump(x);
}

static void on_close(void *ctx, struct conn *c, int err)
{
    struct join_exchange *x = ctx;
    (void) c;
    x->conn = NULL;
    exchange_over(x, why_lost(err, x->join != NULL));
    exchange_gone(x);
}

static const struct conn_events EVENTS = {.on_read = on_read, .on_close = on_close};

/* ---- dialling ---- */

static bool may_win(void *ctx, struct conn *c)
{
    struct join_exchange *x = ctx;
    struct tls_channel channel;
    bool own = conn_tls_channel(c, &channel) == 0 && tls_channel_is_own(&channel);
    x->own += own;
    return !own;
}

static void on_open(void *ctx, struct conn *c)
{
    struct join_exchange *x = ctx;
    x->race = NULL;
    x->conn = c;
    x->peer = *conn_peer_addr(c);
    loop_timer_start(x->config.loop, &x->timer, JOIN_EXCHANGE_MS, on_timeout, x);
    x->config.events->on_reached(x->config.ctx, x);
    if (make_core(x, true) != 0) {
        conn_close(c);
        exchange_over(x, "the exchange could not be begun");
        return;
    }
    exchange_flush(x);
}

#define OWN "it is this node itself"

static void on_failed(void *ctx, const struct addr *at, int err)
{
    struct join_exchange *x = ctx;
    if (!x->over)
        x->config.events->on_unreached(x->config.ctx, x, at, err == 0, err == 0 ? OWN : why_lost(err, false));
}

static void on_lost(void *ctx, int err)
{
    struct join_exchange *x = ctx;
    x->race = NULL;
    exchange_over(x, err == 0 ? OWN : why_lost(err, false));
    exchange_gone(x);
}

static const struct conn_race_events RACE_EVENTS = {.may_win = may_win, .on_failed = on_failed, .conn = {.on_open = on_open, .on_read = on_read, .on_close = on_close}, .on_lost = on_lost};

/* One that nobody could take over. */
static void on_drop_read(void *ctx, struct conn *c, struct slice bytes)
{
    (void) ctx, (void) c, (void) bytes;
}

static void on_drop_close(void *ctx, struct conn *c, int err)
{
    (void) ctx, (void) c, (void) err;
}

static const struct conn_events DROP_EVENTS = {.on_read = on_drop_read, .on_close = on_drop_close};

/* ---- life ---- */

static struct join_exchange *exchange_new(const struct join_exchange_config *config)
{
    struct join_exchange *x = calloc(1, sizeof *x);
    if (!x)
        return NULL;
    x->config = *config;
    loop_timer_start(config->loop, &x->timer, JOIN_EXCHANGE_MS, on_timeout, x);
    return x;
}

int join_exchange_serve(const struct join_exchange_config *config, struct conn *c, enum join_reason refuse,
                        struct join_exchange **out)
{
    struct join_exchange *x = exchange_new(config);
    if (!x) {
        conn_set_events(c, &DROP_EVENTS, NULL);
        conn_close(c);
        return GRID_ENOMEM;
    }
    x->conn = c;
    x->peer = *conn_peer_addr(c);
    conn_set_events(c, &EVENTS, x);
    int err = make_core(x, false);
    if (err != 0) {
        x->config.events = NULL;
        join_exchange_close(x);
        return err;
    }
    *out = x;
    if (refuse)
        join_refuse(x->join, refuse, NULL, 0);
    exchange_pump(x);
    return 0;
}

int join_exchange_dial(const struct join_exchange_config *config, const struct race *to, struct tls_context *tls,
                       struct join_exchange **out)
{
    const struct conn_options options = {.tls = tls};
    struct join_exchange *x = exchange_new(config);
    if (!x)
        return GRID_ENOMEM;
    x->places = to->count;
    int err = conn_race_create(config->loop, to, &options, &RACE_EVENTS, x, &x->race);
    if (err != 0) {
        exchange_free(x);
        return err;
    }
    *out = x;
    return 0;
}

void join_exchange_add(struct join_exchange *x, const struct addr *to)
{
    if (x->race && x->places < RACE_MAX) {
        x->places++;
        conn_race_add(x->race, to);
    }
}

const struct join *join_exchange_core(const struct join_exchange *x)
{
    return x->join;
}

bool join_exchange_is_own(const struct join_exchange *x)
{
    return x->places > 0 && x->own == x->places;
}

const struct addr *join_exchange_peer(const struct join_exchange *x)
{
    return &x->peer;
}

void join_exchange_close(struct join_exchange *x)
{
    x->over = true;
    loop_timer_stop(&x->timer);
    exchange_drop(x);
}
