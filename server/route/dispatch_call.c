/* One call: counted, placed by the newest table, ended, taken back. */
#include <stdio.h>

#include "base/log.h"
#include "server/route/dispatch_internal.h"

enum {
    WANTED_LOAD = 3, /* the least loaded instance has as many calls: the task could grow */
    WANTED_EVERY_MS = 100,
};

/* ---- counting ---- */

static struct route_counters *call_counters(const struct call *c)
{
    struct route_task_shared *shared = c->task->shared;
    return &shared->counters[c->d->options.worker < shared->workers ? c->d->options.worker : 0];
}

static void count(_Atomic uint64_t *counter)
{
    atomic_store_explicit(counter, atomic_load_explicit(counter, memory_order_relaxed) + 1, memory_order_relaxed);
}

/* Once the task is known: where it came in, or from whom. */
static void call_count_in(struct call *c)
{
    if (c->counted || !c->task)
        return;
    c->counted = true;
    count(c->inv->hops == 0 ? &call_counters(c)->invocations : &call_counters(c)->remote);
}

static void call_count_out(struct call *c, bool success)
{
    if (!c->counted || !c->task || c->inv->hops > 0)
        return;
    count(success ? &call_counters(c)->success : &call_counters(c)->errors);
    if (c->node != 0 && c->fault.status == GRPC_OK)
        count(&call_counters(c)->forwarded);
}

/* One line a call, the same id on every hop: at debug, but what a person would look for at info. */
static void call_log(const struct call *c)
{
    int status = c->fault.status;
    bool notable = status == GRPC_INTERNAL || status == GRPC_UNAVAILABLE || status == GRPC_DEADLINE_EXCEEDED;
    log_line(notable ? LOG_INFO : LOG_DEBUG, "invocation", LOGF_STR("id", c->inv->id), LOGF_SLICE("task", slice_first(c->inv->task, 128)),
             LOGF_SLICE("from", c->inv->from), LOGF_STR("ran_on", c->node != 0 ? c->inv->view->table->nodes[c->node].name : "here"),
             LOGF_STR("status", status == GRPC_OK ? "OK" : grpc_status_name(status)), LOGF_STR("why", status == GRPC_OK ? "" : c->text));
}

struct slice call_shown_task(const struct call *c)
{
    return slice_first(c->inv->task, 128);
}

/* ---- ends ---- */

void call_finish(struct call *c)
{
    struct dispatch *d = c->d;
    struct invocation *inv = c->inv;
    bool faulty = c->fault.status != GRPC_OK;
    loop_timer_stop(&c->deadline);
    loop_timer_stop(&c->retry);
    loop_defer_cancel(&inv->later);
    waiting_remove(&d->waiting, &c->wait);
    dispatch_list_remove(d, inv);
    call_count_out(c, !faulty && !c->erred);
    call_log(c);
    inv->producer = NULL;
    c->fault.unseen = faulty && !c->seen;
    c->fault.message = c->text;
    c->fault.node = faulty && c->seen ? &inv->view->table->nodes[c->node] : NULL;
    c->fault.release = c->fault.node && c->release ? slice_of_str(c->release) : slice_of(NULL, 0);
    c->fault.attempts = c->attempts;
    inv->sink->on_end(inv, faulty ? &c->fault : NULL);
    dispatch_check_closed(d);
}

static void call_finish_run(void *arg)
{
    call_finish(arg);
}

void call_set_fault(struct call *c, int status, const char *message, int64_t pushback_ms)
{
    c->fault.status = status;
    c->fault.pushback_ms = pushback_ms;
    if (message != c->text)
        snprintf(c->text, sizeof c->text, "%s", message);
}

void call_end_later(struct call *c)
{
    waiting_remove(&c->d->waiting, &c->wait);
    loop_timer_stop(&c->deadline);
    loop_timer_stop(&c->retry);
    c->state = CALL_ENDING;
    loop_defer(c->d->loop, &c->inv->later, call_finish_run, c);
}

void call_fail(struct call *c, int status, const char *message, int64_t pushback_ms)
{
    call_set_fault(c, status, message, pushback_ms);
    call_end_later(c);
}

/* ---- placing ---- */

/* The newest table is the one to go by, as long as nobody has been told of an older one's nodes. */
static void call_take_view(struct call *c)
{
    struct invocation *inv = c->inv;
    if (inv->view == c->d->view)
        return;
    waiting_set_busy(&c->wait, NULL); /* its count belongs to the old table */
    c->avoid_nodes = 0;               /* and so do the indexes */
    c->task = NULL;
    c->release = NULL;
    route_view_unref(inv->view);
    inv->view = c->d->view ? route_view_ref(c->d->view) : NULL;
}

/* Tells control, not too often, that the task's instances have their hands full. */
static void call_want_more(struct call *c)
{
    const struct dispatch_options *o = &c->d->options;
    uint64_t now = loop_now_ms(c->d->loop);
    _Atomic uint64_t *told = &c->task->shared->wanted_at_ms;
    uint64_t last = atomic_load_explicit(told, memory_order_relaxed);
    if (!o->on_task_wanted || now < last + WANTED_EVERY_MS)
        return;
    if (atomic_compare_exchange_strong_explicit(told, &last, now, memory_order_relaxed, memory_order_relaxed))
        o->on_task_wanted(o->ctx, c->task->name);
}

static void call_pick(struct call *c, struct router_decision *out)
{
    const struct invocation *inv = c->inv;
    struct router_query q = {
        .task = inv->task,
        .node = inv->node,
        .strategy = inv->strategy,
        .from_peer = inv->hops > 0,
        .in_flight_limit = c->d->options.in_flight_limit,
        .avoid_nodes = c->avoid_nodes | peer_links_down(c->d->links),
        .avoid_instance = c->avoid_instance,
        .now_ms = loop_now_ms(c->d->loop),
    };
    router_pick(inv->view->table, &q, out);
    c->task = out->task;
    c->instance = out->verdict == ROUTER_RUN_HERE ? out->instance : NULL;
    c->release = out->release;
    c->node = out->verdict == ROUTER_FORWARD ? out->node : 0;
    call_count_in(c);
}

static void call_refused(struct call *c, const struct router_decision *decision)
{
    /* A retry that found no place ends with what went wrong before it. */
    if (c->fault.status != GRPC_OK)
        call_end_later(c);
    else
        call_fail(c, decision->status, decision->message, -1);
}

void call_place(struct call *c)
{
    struct router_decision decision;
    call_take_view(c);
    if (!c->inv->view) {
        call_wait_ready(c);
        return;
    }
    call_pick(c, &decision);
    if (decision.verdict == ROUTER_BUSY || (decision.verdict == ROUTER_RUN_HERE && decision.load >= WANTED_LOAD))
        call_want_more(c);
    if (decision.verdict != ROUTER_BUSY)
        waiting_set_busy(&c->wait, NULL);
    switch (decision.verdict) {
    case ROUTER_RUN_HERE:
    case ROUTER_FORWARD:
        call_send(c);
        break;
    case ROUTER_WAIT:
        if (decision.avoided)
            call_back_off(c);
        else
            call_wait_ready(c);
        break;
    case ROUTER_BUSY:
        call_wait_busy(c);
        break;
    case ROUTER_REFUSE:
        call_refused(c, &decision);
        break;
    }
}

/* ---- taking back ---- */

static void call_take_back(struct call *c, int status, const char *message)
{
    if (c->state == CALL_ENDING || c->taken_back)
        return;
    call_set_fault(c, status, message, -1);
    loop_timer_stop(&c->deadline);
    if (c->state != CALL_SENT) {
        call_end_later(c);
        return;
    }
    c->taken_back = true;
    c->seen = true;
    c->inv->producer->cancel(c->inv);
}

void call_say_late(const struct call *c, const char *what, char text[CALL_TEXT_MAX])
{
    unsigned long long had = c->inv->deadline_ms - c->started_ms;
    snprintf(text, CALL_TEXT_MAX, "the task %.*s %s within %llu ms", SLICE_FMT(call_shown_task(c)), what, had);
}

static void call_deadline(void *arg)
{
    struct call *c = arg;
    char text[CALL_TEXT_MAX];
    call_say_late(c, c->state == CALL_SENT ? "did not answer" : "was not ready", text);
    call_take_back(c, GRPC_DEADLINE_EXCEEDED, text);
}

void dispatch_cancel(struct dispatch *d, struct invocation *inv)
{
    (void) d;
    if (inv->dispatch)
        call_take_back(inv->dispatch, GRPC_CANCELLED, "the caller left");
}

void dispatch_pause(struct invocation *inv)
{
    if (inv->producer)
        inv->producer->pause(inv);
}

void dispatch_resume(struct invocation *inv)
{
    if (inv->producer)
        inv->producer->resume(inv);
}

/* ---- starting ---- */

static void on_invocation_destroy(struct invocation *inv)
{
    route_view_unref(inv->view);
}

/* Not even a record could be made. */
static void no_memory_run(void *arg)
{
    struct invocation *inv = arg;
    static const struct invocation_fault fault = {.status = GRPC_RESOURCE_EXHAUSTED,
                                                  .message = "this node is out of memory",
                                                  .pushback_ms = DISPATCH_BUSY_PUSHBACK_MS,
                                                  .unseen = true};
    inv->sink->on_end(inv, &fault);
}

void dispatch_start(struct dispatch *d, struct invocation *inv)
{
    struct call *c = arena_calloc(inv->arena, 1, sizeof *c);
    if (!c) {
        loop_defer(d->loop, &inv->later, no_memory_run, inv);
        return;
    }
    c->d = d;
    c->inv = inv;
    c->started_ms = loop_now_ms(d->loop);
    inv->dispatch = c;
    inv->on_destroy = on_invocation_destroy;
    dispatch_list_add(d, inv);
    if (d->closing) {
        call_fail(c, GRPC_UNAVAILABLE, "this node is shutting down", -1);
        return;
    }
    uint64_t left = inv->deadline_ms > c->started_ms ? inv->deadline_ms - c->started_ms : 0;
    loop_timer_start(d->loop, &c->deadline, left, call_deadline, c);
    if (d->view)
        route_budget_deposit(d->view->table->shared);
    call_place(c);
}
