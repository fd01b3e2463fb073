/* The driver of net/race.h: one attempt for each address; the race's memory goes with the last of them. */
#include "net/h2_race.h"

#include <stdlib.h>

#include "base/err.h"

struct attempt {
    struct h2_race *race;
    struct http_client *client; /* NULL: none is under way, or it is the winner */
};

struct h2_race {
    struct loop *loop;
    struct race core;
    struct attempt attempts[RACE_MAX];
    struct h2_race_options options;
    const struct h2_race_events *events;
    void *ctx;
    struct loop_timer timer;
    bool over;    /* won, lost or given up: nobody is told of anything */
    bool running; /* it goes on inside run() */
};

static void run(void *arg);

static int index_of(const struct attempt *a)
{
    return (int) (a - a->race->attempts);
}

static void free_if_done(struct h2_race *r)
{
    bool open = !r->over || r->running;
    for (size_t i = 0; i < RACE_MAX; i++)
        open |= r->attempts[i].client != NULL;
    if (open)
        return;
    loop_timer_stop(&r->timer);
    if (r->options.conn.tls)
        tls_context_unref(r->options.conn.tls);
    free(r);
}

static void run_at(struct h2_race *r, uint64_t delay_ms)
{
    loop_timer_start(r->loop, &r->timer, delay_ms, run, r);
}

/* Nobody is told of those that are still under way. */
static void end(struct h2_race *r)
{
    r->over = true;
    loop_timer_stop(&r->timer);
    for (size_t i = 0; i < RACE_MAX; i++)
        if (r->attempts[i].client)
            http_client_close(r->attempts[i].client);
}

static void on_open(void *ctx, struct http_client *client)
{
    struct attempt *a = ctx;
    struct h2_race *r = a->race;
    if (r->over)
        return;
    bool last = !r->options.awaits && race_is_last(&r->core, index_of(a));
    if (r->events->may_win && !r->events->may_win(r->ctx, client, last)) {
        http_client_close(client);
        return;
    }
    a->client = NULL;
    end(r);
    http_client_set_events(client, &r->events->client, r->ctx);
    r->events->client.on_open(r->ctx, client);
    free_if_done(r);
}

static void on_draining(void *ctx, struct http_client *client)
{
    (void) ctx, (void) client;
}

static void on_close(void *ctx, struct http_client *client, int err)
{
    struct attempt *a = ctx;
    struct h2_race *r = a->race;
    if (!r->over && r->events->on_failed)
        r->events->on_failed(r->ctx, client, err);
    a->client = NULL;
    if (!r->over) {
        race_failed(&r->core, index_of(a));
        run_at(r, 0);
    }
    free_if_done(r);
}

static const struct http_client_events EVENTS = {on_open, on_draining, on_close};

static void dial(struct h2_race *r, int index)
{
    struct attempt *a = &r->attempts[index];
    a->race = r;
    int err = http2_client_dial(r->loop, &r->core.at[index], &r->options.conn, &EVENTS, a, &a->client);
    if (err == 0 && r->events->on_dial)
        r->events->on_dial(r->ctx, a->client);
    if (err == 0)
        return;
    race_failed(&r->core, index);
    if (r->events->on_failed)
        r->events->on_failed(r->ctx, NULL, err);
}

static void run(void *arg)
{
    struct h2_race *r = arg;
    uint64_t wait = 0;
    r->running = true;
    for (int index; !r->over && (index = race_next(&r->core, loop_now_ms(r->loop), &wait)) >= 0;)
        dial(r, index);
    if (!r->over && !r->options.awaits && race_is_lost(&r->core)) {
        r->over = true;
        r->events->on_lost(r->ctx);
    }
    r->running = false;
    if (r->over)
        free_if_done(r);
    else if (wait != UINT64_MAX)
        run_at(r, wait);
}

int h2_race_create(struct loop *l, const struct race *addresses, const struct h2_race_options *options, const struct h2_race_events *events, void *ctx, struct h2_race **out)
{
    struct h2_race *r = calloc(1, sizeof *r);
    if (!r)
        return GRID_ENOMEM;
    *r = (struct h2_race){.loop = l, .core = *addresses, .options = *options, .events = events, .ctx = ctx};
    if (options->conn.tls)
        tls_context_ref(options->conn.tls);
    run_at(r, 0);
    *out = r;
    return 0;
}

void h2_race_add(struct h2_race *r, const struct addr *at)
{
    race_add(&r->core, at);
    run_at(r, 0);
}

void h2_race_complete(struct h2_race *r)
{
    r->options.awaits = false;
    run_at(r, 0);
}

bool h2_race_is_connected(const struct h2_race *r)
{
    for (size_t i = 0; i < RACE_MAX; i++)
        if (r->attempts[i].client && conn_was_connected(http_client_conn(r->attempts[i].client)))
            return true;
    return false;
}

void h2_race_close(struct h2_race *r)
{
    end(r);
    free_if_done(r);
}
