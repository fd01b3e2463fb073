/* datagram -> core -> (deferred) tick: datagrams out, addresses found, next moment. */
#include "discovery/dht_uv.h"

#include <stdlib.h>
#include <string.h>

#include <bsd/stdlib.h>

#include "base/err.h"
#include "base/token_bucket.h"
#include "net/resolve.h"
#include "net/udp.h"

enum {
    DAY_MS = 24 * 60 * 60 * 1000,
    NODES_FEW = 8,
    ASK_AGAIN_MS = 60 * 1000,           /* for names that were not found */
    ASK_AGAIN_FOUND_MS = 5 * 60 * 1000, /* and for those that were, while few nodes are known */
    READ_PER_S = 4000,
    READ_BURST = 400,
    PAUSE_MS = 20,
};

struct dht_uv {
    struct loop *loop;
    struct dht *dht;
    struct udp *sockets[DHT_FAMILIES];
    struct resolver *resolver;
    const char *const *bootstrap;
    size_t bootstrap_count;
    uint64_t ask_ms; /* when the names are looked up again, if need be */
    struct loop_timer timer, pause;
    struct loop_deferred soon;
    struct token_bucket reading;
    dht_uv_fn on_found;
    void *ctx;
    unsigned open; /* parts on the loop */
    bool closing;
    loop_fn on_closed;
    void *on_closed_arg;
};

/* ---- addresses ---- */

static bool to_endpoint(const struct addr *a, struct dht_endpoint *out)
{
    static const uint8_t mapped[12] = {[10] = 0xff, [11] = 0xff};
    if (a->u.any.sa_family != AF_INET && a->u.any.sa_family != AF_INET6)
        return false;
    out->port = addr_port(a);
    if (a->u.any.sa_family == AF_INET6) {
        memcpy(out->ip, &a->u.v6.sin6_addr, sizeof out->ip);
        return true;
    }
    memcpy(out->ip, mapped, sizeof mapped);
    memcpy(out->ip + sizeof mapped, &a->u.v4.sin_addr, 4);
    return true;
}

static void to_addr(const struct dht_endpoint *e, struct addr *out)
{
    memset(out, 0, sizeof *out);
    if (dht_endpoint_is_v4(e)) {
        out->size = sizeof out->u.v4;
        out->u.v4.sin_family = AF_INET;
        memcpy(&out->u.v4.sin_addr, e->ip + 12, 4);
    } else {
        out->size = sizeof out->u.v6;
        out->u.v6.sin6_family = AF_INET6;
        memcpy(&out->u.v6.sin6_addr, e->ip, sizeof e->ip);
    }
    addr_set_port(out, e->port);
}

/* ---- running ---- */

static void run(void *arg);

static void on_resolved(void *arg, const struct resolved *answer)
{
    struct dht_uv *d = arg;
    struct dht_endpoint at;
    if (d->closing || answer->err != 0)
        return;
    for (size_t i = 0; i < answer->count; i++)
        if (to_endpoint(&answer->addresses[i], &at))
            dht_add_router(d->dht, &at);
    d->ask_ms = loop_now_ms(d->loop) + ASK_AGAIN_FOUND_MS;
    loop_defer(d->loop, &d->soon, run, d);
}

static void ask_names(struct dht_uv *d, uint64_t now)
{
    struct dht_counts counts;
    dht_count(d->dht, &counts);
    if (now < d->ask_ms || counts.nodes[0] + counts.nodes[1] >= NODES_FEW)
        return;
    d->ask_ms = now + ASK_AGAIN_MS;
    for (size_t i = 0; i < d->bootstrap_count; i++)
        (void) resolver_lookup(d->resolver, slice_of_str(d->bootstrap[i]), on_resolved, d); /* no memory: another time */
}

static void send_all(struct dht_uv *d)
{
    struct dht_send send;
    struct addr to;
    while (dht_next_send(d->dht, &send)) {
        struct udp *socket = d->sockets[dht_endpoint_family(&send.to)];
        to_addr(&send.to, &to);
        if (socket)
            (void) udp_send(socket, &to, send.bytes); /* lost: it is asked again, or another one */
    }
}

static void run(void *arg)
{
    struct dht_uv *d = arg;
    uint64_t now = loop_now_ms(d->loop);
    if (d->closing)
        return;
    ask_names(d, now);
    uint64_t wait = dht_tick(d->dht, now, loop_wall_ms() / DAY_MS);
    send_all(d);
    loop_timer_start(d->loop, &d->timer, wait, run, d);
    if (dht_found_in_ms(d->dht, now) != UINT64_MAX)
        d->on_found(d->ctx);
}

static void go_on_reading(void *arg)
{
    struct dht_uv *d = arg;
    for (size_t f = 0; f < DHT_FAMILIES; f++)
        if (d->sockets[f])
            udp_go_on(d->sockets[f]);
}

static void pause_reading(struct dht_uv *d)
{
    for (size_t f = 0; f < DHT_FAMILIES; f++)
        if (d->sockets[f])
            udp_pause(d->sockets[f]);
    loop_timer_start(d->loop, &d->pause, PAUSE_MS, go_on_reading, d);
}

static void on_datagram(void *arg, const struct addr *from, struct slice datagram)
{
    struct dht_uv *d = arg;
    struct dht_endpoint at;
    uint64_t now = loop_now_ms(d->loop);
    if (d->closing || !to_endpoint(from, &at))
        return;
    if (!token_bucket_take(&d->reading, 1, now))
        pause_reading(d); /* this one is read yet */
    if (dht_receive(d->dht, &at, datagram, now))
        loop_defer(d->loop, &d->soon, run, d);
}

int dht_uv_look_for(struct dht_uv *d, struct slice grid, uint16_t peer_port)
{
    int err = dht_look_for(d->dht, grid, peer_port, loop_now_ms(d->loop));
    loop_defer(d->loop, &d->soon, run, d);
    return err;
}

void dht_uv_set_lonely(struct dht_uv *d, bool lonely)
{
    dht_set_lonely(d->dht, lonely, loop_now_ms(d->loop));
    loop_defer(d->loop, &d->soon, run, d);
}

bool dht_uv_next(struct dht_uv *d, struct addr *out, uint64_t *wait_ms)
{
    struct dht_endpoint at;
    uint64_t now = loop_now_ms(d->loop);
    bool found = dht_next_found(d->dht, now, &at);
    if (found)
        to_addr(&at, out);
    if (wait_ms)
        *wait_ms = dht_found_in_ms(d->dht, now);
    return found;
}

int dht_uv_save(const struct dht_uv *d, struct buf *out)
{
    return dht_save(d->dht, out);
}

void dht_uv_count(const struct dht_uv *d, struct dht_counts *out)
{
    dht_count(d->dht, out);
}

uint16_t dht_uv_port(const struct dht_uv *d, unsigned family)
{
    return d->sockets[family] ? udp_port(d->sockets[family]) : 0;
}

/* ---- life ---- */

static void part_closed(void *arg)
{
    struct dht_uv *d = arg;
    loop_fn on_closed = d->on_closed;
    void *on_closed_arg = d->on_closed_arg;
    if (--d->open > 0)
        return;
    dht_destroy(d->dht);
    free(d);
    if (on_closed)
        on_closed(on_closed_arg);
}

void dht_uv_close(struct dht_uv *d, loop_fn on_closed, void *arg)
{
    d->closing = true;
    d->on_closed = on_closed;
    d->on_closed_arg = arg;
    loop_timer_stop(&d->timer);
    loop_timer_stop(&d->pause);
    loop_defer_cancel(&d->soon);
    for (size_t f = 0; f < DHT_FAMILIES; f++)
        if (d->sockets[f])
            udp_close(d->sockets[f], part_closed, d);
    resolver_close(d->resolver, part_closed, d);
}

static void bind_one(struct dht_uv *d, const struct addr *wanted)
{
    struct addr at = *wanted;
    struct udp **out = &d->sockets[at.u.any.sa_family == AF_INET6];
    int err = udp_create(d->loop, &at, on_datagram, d, out);
    if (err == GRID_EBUSY) {
        addr_set_port(&at, 0);
        err = udp_create(d->loop, &at, on_datagram, d, out);
    }
    d->open += err == 0;
}

static int bind_all(struct dht_uv *d, const struct addr *listen)
{
    struct addr any[DHT_FAMILIES];
    uint16_t port = addr_port(listen);
    if (!addr_is_any(listen)) {
        bind_one(d, listen);
    } else {
        (void) addr_parse(SLICE("0.0.0.0:1"), &any[0]);
        (void) addr_parse(SLICE("[::]:1"), &any[1]);
        for (size_t f = 0; f < DHT_FAMILIES; f++) {
            addr_set_port(&any[f], port);
            bind_one(d, &any[f]);
        }
    }
    return d->sockets[0] || d->sockets[1] ? 0 : GRID_EIO;
}

static int make_core(struct dht_uv *d, const struct addr *listen, struct slice saved)
{
    struct dht_config config = {.families = {d->sockets[0] != NULL, d->sockets[1] != NULL}, .loopback = addr_is_loopback(listen)};
    uint64_t now = loop_now_ms(d->loop);
    token_bucket_init(&d->reading, READ_PER_S, READ_BURST, now);
    arc4random_buf(config.seed, sizeof config.seed);
    int err = dht_create(&config, now, &d->dht);
    if (err == 0 && saved.size > 0)
        (void) dht_restore(d->dht, saved, now);
    return err;
}

int dht_uv_create(struct loop *l, const struct dht_uv_config *config, dht_uv_fn on_found, void *ctx, struct dht_uv **out)
{
    struct dht_uv *d = calloc(1, sizeof *d);
    if (!d)
        return GRID_ENOMEM;
    *d = (struct dht_uv){.loop = l, .bootstrap = config->bootstrap, .bootstrap_count = config->bootstrap_count, .on_found = on_found, .ctx = ctx};
    int err = resolver_create(l, &d->resolver);
    if (err != 0) {
        free(d);
        return err;
    }
    d->open++;
    err = bind_all(d, &config->listen);
    if (err == 0)
        err = make_core(d, &config->listen, config->saved);
    if (err != 0) {
        dht_uv_close(d, NULL, NULL);
        return err;
    }
    *out = d;
    loop_defer(l, &d->soon, run, d);
    return 0;
}
