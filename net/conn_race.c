/* The driver of net/race.h: one attempt for each address; the race's memory goes with the last of them. */
#include "net/conn_race.h"

#include <stdlib.h>

#include "base/err.h"

struct attempt {
    struct conn_race *race;
    struct conn *conn; /* NULL: none is under way, or it is the winner */
    bool unwanted;     /* it was open, and not taken */
};

struct conn_race {
    struct loop *loop;
    struct race core;
    struct attempt attempts[RACE_MAX];
    struct conn_options options;
    const struct conn_race_events *events;
    void *ctx;
    struct loop_timer timer;
    int err;      /* of those that have failed */
    bool over;    /* won, lost or given up: nobody is told of anything */
    bool running; /* it goes on inside run() */
};

static void run(void *arg);

static void free_if_done(struct conn_race *r)
{
    bool open = !r->over || r->running;
    for (size_t i = 0; i < RACE_MAX; i++)
        open |= r->attempts[i].conn != NULL;
    if (open)
        return;
    loop_timer_stop(&r->timer);
    if (r->options.tls)
        tls_context_unref(r->options.tls);
    free(r);
}

/* Nobody is told of those that are still under way. */
static void end(struct conn_race *r)
{
    r->over = true;
    loop_timer_stop(&r->timer);
    for (size_t i = 0; i < RACE_MAX; i++)
        if (r->attempts[i].conn)
            conn_close(r->attempts[i].conn);
}

static int weight_of(int err)
{
    return err == 0 ? 0 : err == GRID_EREFUSED ? 1 : err == GRID_ETIMEOUT ? 2 : 3;
}

static void failed(struct conn_race *r, const struct attempt *a, int err)
{
    int index = (int) (a - r->attempts);
    err = a->unwanted ? 0 : err == 0 ? GRID_ECLOSED : err;
    r->err = weight_of(err) > weight_of(r->err) ? err : r->err;
    race_failed(&r->core, index);
    if (r->events->on_failed)
        r->events->on_failed(r->ctx, &r->core.at[index], err);
}

static void on_open(void *ctx, struct conn *c)
{
    struct attempt *a = ctx;
    struct conn_race *r = a->race;
    if (r->over)
        return;
    if (r->events->may_win && !r->events->may_win(r->ctx, c)) {
        a->unwanted = true;
        conn_close(c);
        return;
    }
    a->conn = NULL;
    end(r);
    conn_set_events(c, &r->events->conn, r->ctx);
    r->events->conn.on_open(r->ctx, c);
    free_if_done(r);
}

/* In the clear the other side's first bytes come after on_open: only of who has not been taken. */
static void on_read(void *ctx, struct conn *c, struct slice bytes)
{
    (void) ctx, (void) c, (void) bytes;
}

static void on_close(void *ctx, struct conn *c, int err)
{
    struct attempt *a = ctx;
    struct conn_race *r = a->race;
    (void) c;
    a->conn = NULL;
    if (!r->over) {
        failed(r, a, err);
        loop_timer_start(r->loop, &r->timer, 0, run, r);
    }
    free_if_done(r);
}

static const struct conn_events EVENTS = {.on_open = on_open, .on_read = on_read, .on_close = on_close};

static void dial(struct conn_race *r, int index)
{
    struct attempt *a = &r->attempts[index];
    a->race = r;
    int err = conn_dial(r->loop, &r->core.at[index], &r->options, &EVENTS, a, &a->conn);
    if (err == 0)
        return;
    a->conn = NULL;
    failed(r, a, err);
}

static void run(void *arg)
{
    struct conn_race *r = arg;
    uint64_t wait = 0;
    r->running = true;
    for (int index; (index = race_next(&r->core, loop_now_ms(r->loop), &wait)) >= 0;)
        dial(r, index);
    if (race_is_lost(&r->core)) {
        r->over = true;
        r->events->on_lost(r->ctx, r->err);
    }
    r->running = false;
    if (r->over)
        free_if_done(r);
    else if (wait != UINT64_MAX)
        loop_timer_start(r->loop, &r->timer, wait, run, r);
}

int conn_race_create(struct loop *l, const struct race *addresses, const struct conn_options *options, const struct conn_race_events *events, void *ctx, struct conn_race **out)
{
    struct conn_race *r = calloc(1, sizeof *r);
    if (!r)
        return GRID_ENOMEM;
    *r = (struct conn_race){.loop = l, .core = *addresses, .options = *options, .events = events, .ctx = ctx};
    if (options->tls)
        tls_context_ref(options->tls);
    loop_timer_start(l, &r->timer, 0, run, r);
    *out = r;
    return 0;
}

void conn_race_add(struct conn_race *r, const struct addr *at)
{
    race_add(&r->core, at);
    if (!r->running)
        loop_timer_start(r->loop, &r->timer, 0, run, r);
}

void conn_race_close(struct conn_race *r)
{
    end(r);
    free_if_done(r);
}
