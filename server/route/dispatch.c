/* The worker's set of calls: its parts, its end, and the routing table that it goes by. */
#include <stdlib.h>

#include "base/err.h"
#include "base/log.h"
#include "server/route/dispatch_internal.h"

enum { IDLE_TIMEOUT_MS = 30 * 1000 };
#define WAITING_BYTES_MAX ((size_t) 256 * 1024 * 1024)

/* ---- its calls ---- */

void dispatch_list_add(struct dispatch *d, struct invocation *inv)
{
    inv->next = NULL;
    inv->prev = d->last;
    *(d->last ? &d->last->next : &d->first) = inv;
    d->last = inv;
    d->in_flight++;
}

void dispatch_list_remove(struct dispatch *d, struct invocation *inv)
{
    *(inv->prev ? &inv->prev->next : &d->first) = inv->next;
    *(inv->next ? &inv->next->prev : &d->last) = inv->prev;
    d->in_flight--;
}

static void closed_run(void *arg)
{
    struct dispatch *d = arg;
    loop_fn done = d->done;
    void *done_arg = d->done_arg;
    loop_timer_stop(&d->busy_timer);
    loop_defer_cancel(&d->look);
    route_view_unref(d->view);
    free(d);
    done(done_arg);
}

void dispatch_check_closed(struct dispatch *d)
{
    if (d->closing && d->parts == 0 && d->in_flight == 0)
        loop_defer(d->loop, &d->closed, closed_run, d);
}

/* ---- its life ---- */

static void options_fill(struct dispatch_options *o)
{
    o->max_payload = o->max_payload ? o->max_payload : (size_t) 6 * 1024 * 1024;
    o->in_flight_limit = o->in_flight_limit ? o->in_flight_limit : 100;
    o->queue_limit = o->queue_limit ? o->queue_limit : 1000;
    o->unstartable_ms = o->unstartable_ms ? o->unstartable_ms : 5000;
    o->attempts = o->attempts ? o->attempts : 3;
}

static void discard(void *arg)
{
    (void) arg;
}

int dispatch_create(struct loop *l, const struct dispatch_options *options, struct dispatch **out)
{
    struct dispatch *d = calloc(1, sizeof *d);
    if (!d)
        return GRID_ENOMEM;
    d->loop = l;
    d->options = *options;
    options_fill(&d->options);
    waiting_init(&d->waiting, WAITING_BYTES_MAX);
    /* As many as may be in flight: a burst's answers come together, and what is not kept between them is dialled anew for the next. */
    struct task_pool_options pool = {d->options.max_payload, d->options.in_flight_limit, IDLE_TIMEOUT_MS, options->close_idle_elsewhere,
                                     options->ctx};
    int err = task_pool_create(l, &pool, &d->tasks);
    struct peer_links_options links = {.max_answer = d->options.max_payload, .in_clear = options->peers_in_clear};
    if (!err && (err = peer_links_create(l, &links, &d->links)) != 0)
        task_pool_close(d->tasks, discard, NULL);
    if (err) {
        free(d);
        return err;
    }
    d->parts = 2;
    *out = d;
    return 0;
}

static bool call_end_waiting(void *ctx, struct waiting_entry *e)
{
    (void) ctx;
    call_fail(e->owner, GRPC_UNAVAILABLE, "this node is shutting down", -1);
    return true;
}

static void part_closed(void *arg)
{
    struct dispatch *d = arg;
    d->parts--;
    dispatch_check_closed(d);
}

void dispatch_close(struct dispatch *d, loop_fn done, void *arg)
{
    d->closing = true;
    d->done = done;
    d->done_arg = arg;
    waiting_each(&d->waiting, call_end_waiting, d);
    for (struct invocation *inv = d->first; inv; inv = inv->next) {
        struct call *c = inv->dispatch;
        if (c->state == CALL_BACKING_OFF)
            call_fail(c, GRPC_UNAVAILABLE, "this node is shutting down", -1);
    }
    task_pool_close(d->tasks, part_closed, d);
    peer_links_close(d->links, part_closed, d);
}

void dispatch_publish(struct dispatch *d, struct route_table *table)
{
    struct route_view *view = route_view_create(table);
    if (!view) {
        log_line(LOG_ERROR, "out of memory: a worker goes by an old routing table");
        return;
    }
    route_view_unref(d->view);
    d->view = view;
    peer_links_publish(d->links, table);
    dispatch_look_soon(d);
}

struct route_view *dispatch_view(const struct dispatch *d)
{
    return d->view;
}

bool dispatch_load(const struct dispatch *d, struct slice task, struct route_load *out)
{
    return d->view && route_load_here(d->view->table, task, d->options.in_flight_limit, out);
}

const struct invocation *dispatch_processing(const struct dispatch *d)
{
    return d->first;
}

size_t dispatch_in_flight(const struct dispatch *d)
{
    return d->in_flight;
}

struct loop *dispatch_loop(const struct dispatch *d)
{
    return d->loop;
}

struct peer_links *dispatch_peer_links(struct dispatch *d)
{
    return d->links;
}

void dispatch_close_idle(struct dispatch *d, uint64_t instance_id)
{
    task_pool_close_idle(d->tasks, instance_id);
}
