/* Connections to instances, by instance; one that nothing leads to any more is forgotten.
 *
 *   dialled, BUSY --released, may be kept--> IDLE --taken--> BUSY
 *       \------------ otherwise --------------> LEAVING --on_close--> gone
 */
#include "server/exec/task_conns.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/err.h"
#include "net/http1_client.h"

enum {
    NO_KEEP_MS = 1000, /* for as long after the idle ones were closed none is kept */
    IDLE_SWEEP_MS = 5000,
    IDLE_TRUSTED_MS = 5, /* one idle for less is used without asking the kernel whether it still stands */
};

/* One instance as this worker knows it; there while it has connections. */
struct task_upstream {
    struct task_conns *of;
    struct instance *instance;
    struct task_upstream *next, **prev; /* of the bucket */
    struct task_conn *conns, *idle;
    unsigned idle_count;
    uint64_t no_keep_until_ms;
    char authority[32];
};

/* ---- upstreams ---- */

static struct task_upstream **bucket_of(struct task_conns *t, uint64_t instance_id)
{
    return &t->buckets[instance_id % TASK_CONNS_BUCKETS];
}

static struct task_upstream *upstream_find(struct task_conns *t, uint64_t instance_id)
{
    struct task_upstream *up = *bucket_of(t, instance_id);
    while (up && up->instance->id != instance_id)
        up = up->next;
    return up;
}

static struct task_upstream *upstream_get(struct task_conns *t, struct instance *instance)
{
    struct task_upstream *up = upstream_find(t, instance->id);
    if (up)
        return up;
    up = calloc(1, sizeof *up);
    if (!up)
        return NULL;
    up->of = t;
    up->instance = instance_ref(instance);
    snprintf(up->authority, sizeof up->authority, "127.0.0.1:%u", (unsigned) instance->port);
    struct task_upstream **bucket = bucket_of(t, instance->id);
    up->next = *bucket;
    up->prev = bucket;
    if (up->next)
        up->next->prev = &up->next;
    *bucket = up;
    return up;
}

static void upstream_free_if_unused(struct task_upstream *up)
{
    if (up->conns)
        return;
    *up->prev = up->next;
    if (up->next)
        up->next->prev = up->prev;
    instance_unref(up->instance);
    free(up);
}

/* ---- idle ones ---- */

static void idle_add(struct task_conn *conn)
{
    struct task_upstream *up = conn->up;
    conn->state = TASK_CONN_IDLE;
    conn->idle_since_ms = loop_now_ms(up->of->loop);
    conn->idle_next = up->idle;
    conn->idle_prev = &up->idle;
    if (conn->idle_next)
        conn->idle_next->idle_prev = &conn->idle_next;
    up->idle = conn;
    up->idle_count++;
    atomic_fetch_add_explicit(&up->instance->idle_connections, 1, memory_order_relaxed);
}

static void idle_remove(struct task_conn *conn, enum task_conn_state state)
{
    *conn->idle_prev = conn->idle_next;
    if (conn->idle_next)
        conn->idle_next->idle_prev = conn->idle_prev;
    conn->state = state;
    conn->up->idle_count--;
    atomic_fetch_sub_explicit(&conn->up->instance->idle_connections, 1, memory_order_relaxed);
}

/* No call of ours is on it any more: ends it in order. */
static void conn_leave(struct task_conn *conn)
{
    if (conn->state == TASK_CONN_IDLE)
        idle_remove(conn, TASK_CONN_LEAVING);
    conn->state = TASK_CONN_LEAVING;
    http_client_finish(conn->http);
}

/* The last used connection that still stands, or NULL. */
static struct task_conn *idle_take(struct task_upstream *up)
{
    uint64_t now = loop_now_ms(up->of->loop);
    while (up->idle) {
        struct task_conn *conn = up->idle;
        bool trusted = now - conn->idle_since_ms < IDLE_TRUSTED_MS;
        if (http_client_usable(conn->http) && (trusted || conn_is_quiet(http_client_conn(conn->http)))) {
            idle_remove(conn, TASK_CONN_BUSY);
            return conn;
        }
        conn_leave(conn);
    }
    return NULL;
}

static void upstream_close_old(struct task_upstream *up, uint64_t now)
{
    struct task_conn *next;
    for (struct task_conn *conn = up->idle; conn; conn = next) {
        next = conn->idle_next;
        if (now - conn->idle_since_ms >= up->of->idle_timeout_ms)
            conn_leave(conn);
    }
}

static void on_idle_timer(void *arg)
{
    struct task_conns *t = arg;
    uint64_t now = loop_now_ms(t->loop);
    for (size_t i = 0; i < TASK_CONNS_BUCKETS; i++)
        for (struct task_upstream *up = t->buckets[i]; up; up = up->next)
            upstream_close_old(up, now);
    loop_timer_start(t->loop, &t->idle_timer, IDLE_SWEEP_MS, on_idle_timer, t);
}

/* ---- a connection's life ---- */

static void closed_run(void *arg)
{
    struct task_conns *t = arg;
    t->done(t->done_arg);
}

static void check_closed(struct task_conns *t)
{
    if (t->closing && t->count == 0)
        loop_defer(t->loop, &t->closed, closed_run, t);
}

static void on_conn_draining(void *ctx, struct http_client *http)
{
    struct task_conn *conn = ctx;
    (void) http;
    if (conn->state == TASK_CONN_IDLE)
        idle_remove(conn, TASK_CONN_LEAVING);
}

static void on_conn_close(void *ctx, struct http_client *http, int err)
{
    struct task_conn *conn = ctx;
    struct task_upstream *up = conn->up;
    struct task_conns *t = up->of;
    (void) http;
    (void) err;
    if (conn->state == TASK_CONN_IDLE)
        idle_remove(conn, TASK_CONN_LEAVING);
    *conn->prev = conn->next;
    if (conn->next)
        conn->next->prev = conn->prev;
    free(conn);
    t->count--;
    upstream_free_if_unused(up);
    check_closed(t);
}

static const struct http_client_events CONN_EVENTS = {NULL, on_conn_draining, on_conn_close};

static int conn_dial_new(struct task_upstream *up, struct task_conn **out)
{
    struct task_conn *conn = calloc(1, sizeof *conn);
    if (!conn)
        return GRID_ENOMEM;
    struct addr to;
    addr_loopback_v4(up->instance->port, &to);
    conn->up = up;
    int err = http1_client_dial(up->of->loop, &to, &CONN_EVENTS, conn, &conn->http);
    if (err) {
        free(conn);
        return err;
    }
    conn->next = up->conns;
    conn->prev = &up->conns;
    if (conn->next)
        conn->next->prev = &conn->next;
    up->conns = conn;
    up->of->count++;
    *out = conn;
    return 0;
}

static bool conn_may_stay(const struct task_conn *conn)
{
    const struct task_upstream *up = conn->up;
    const struct task_conns *t = up->of;
    return !t->closing && http_client_usable(conn->http) && up->idle_count < t->idle_per_instance && loop_now_ms(t->loop) >= up->no_keep_until_ms &&
           atomic_load_explicit(&up->instance->serial, memory_order_relaxed) != INSTANCE_SERIAL_YES &&
           !atomic_load_explicit(&up->instance->draining, memory_order_relaxed);
}

int task_conns_take(struct task_conns *t, struct instance *instance, struct task_conn **out)
{
    struct task_upstream *up = upstream_get(t, instance);
    if (!up)
        return GRID_ENOMEM;
    *out = idle_take(up);
    int err = *out ? 0 : conn_dial_new(up, out);
    upstream_free_if_unused(up);
    return err;
}

void task_conn_release(struct task_conn *conn, bool complete)
{
    if (complete && conn_may_stay(conn))
        idle_add(conn);
    else
        conn_leave(conn);
}

const char *task_conn_authority(const struct task_conn *conn)
{
    return conn->up->authority;
}

void task_conns_close_idle(struct task_conns *t, uint64_t instance_id)
{
    struct task_upstream *up = upstream_find(t, instance_id);
    if (!up)
        return;
    up->no_keep_until_ms = loop_now_ms(t->loop) + NO_KEEP_MS;
    while (up->idle)
        conn_leave(up->idle);
}

bool task_conn_keeps_none(const struct task_conn *conn, uint64_t now_ms)
{
    return conn->up->no_keep_until_ms > now_ms;
}

/* ---- all ---- */

void task_conns_init(struct task_conns *t, struct loop *l, unsigned idle_per_instance, uint32_t idle_timeout_ms)
{
    *t = (struct task_conns){.loop = l, .idle_per_instance = idle_per_instance, .idle_timeout_ms = idle_timeout_ms};
    loop_timer_start(l, &t->idle_timer, IDLE_SWEEP_MS, on_idle_timer, t);
}

void task_conns_close(struct task_conns *t, loop_fn done, void *arg)
{
    t->closing = true;
    t->done = done;
    t->done_arg = arg;
    loop_timer_stop(&t->idle_timer);
    for (size_t i = 0; i < TASK_CONNS_BUCKETS; i++)
        for (struct task_upstream *up = t->buckets[i]; up; up = up->next)
            for (struct task_conn *conn = up->conns; conn; conn = conn->next)
                http_client_close(conn->http);
    check_closed(t);
}
