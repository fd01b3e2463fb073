/* An invocation's way through a worker:
 *
 *   start --> place --run here / forward--> SENT --answer--> on_end
 *               |  \--nothing ready, busy--> WAITING --table, room, timer--> place
 *               |  \--all that is left failed it--> BACKING_OFF --timer--> place
 *               \--refused--> ENDING --end of iteration--> on_end
 *   SENT --failed unseen, within attempts and budget--> place
 *   any --deadline, cancel--> on_end (SENT: once the attempt has been taken back)
 */
#include "server/route/dispatch.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/err.h"
#include "base/log.h"
#include "server/route/peer_link.h"
#include "server/route/retry.h"
#include "server/route/router.h"
#include "server/route/waiting.h"

enum {
    IDLE_TIMEOUT_MS = 30 * 1000,
    BUSY_LOOK_MS = 5, /* other workers free instances without a word */
    BUSY_PUSHBACK_MS = 500,
    WANTED_LOAD = 3, /* the least loaded instance has as many calls: the task could grow */
    WANTED_EVERY_MS = 100,
    REFUSED_EVERY_MS = 100,
    CALL_TEXT_MAX = 320,
    CALL_OVERHEAD_BYTES = 8 * 1024, /* what a waiting call holds beside its payload */
};
#define WAITING_BYTES_MAX ((size_t) 256 * 1024 * 1024)

struct dispatch {
    struct loop *loop;
    struct dispatch_options options;
    struct route_view *view;
    struct task_pool *tasks;
    struct peer_links *links;
    struct invocation *first, *last;
    size_t in_flight;
    struct waiting waiting;
    uint64_t refused_id, refused_told_ms; /* the instance that control was last told of */
    struct loop_deferred look;            /* at all that wait */
    struct loop_timer busy_timer;
    struct loop_deferred closed;
    bool closing;
    unsigned parts; /* pool and links that are not closed yet */
    loop_fn done;
    void *done_arg;
};

enum call_state { CALL_PLACING, CALL_SENT, CALL_WAITING, CALL_BACKING_OFF, CALL_ENDING };

/* dispatch's record of an invocation, in its arena. */
struct call {
    struct dispatch *d;
    struct invocation *inv;
    const struct route_task *task; /* in inv->view's table; NULL while unknown */
    enum call_state state;
    struct loop_timer deadline;
    struct loop_timer retry; /* backoff, pushback, or the end of patience with a task that cannot be started */
    struct waiting_entry wait;
    uint64_t started_ms;
    struct instance *instance; /* of the attempt under way, NULL when it went to a node */
    const char *release;       /* that instance's, in inv->view's table; NULL likewise */
    unsigned node;
    unsigned attempts, backoffs;
    uint64_t avoid_nodes, avoid_instance;
    bool counted;                 /* as an invocation of its task */
    bool seen;                    /* a task may have seen it */
    bool erred;                   /* the task's own error */
    bool owes;                    /* a token, before the next attempt may go out */
    bool taken_back;              /* deadline or cancel: what the attempt still says is not passed on */
    struct retry_attempt failure; /* the last one */
    struct invocation_fault fault;
    char text[CALL_TEXT_MAX]; /* fault.message */
};

static void call_place(struct call *c);

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

/* ---- ends ---- */

static void list_add(struct dispatch *d, struct invocation *inv)
{
    inv->next = NULL;
    inv->prev = d->last;
    *(d->last ? &d->last->next : &d->first) = inv;
    d->last = inv;
    d->in_flight++;
}

static void list_remove(struct dispatch *d, struct invocation *inv)
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

static void check_closed(struct dispatch *d)
{
    if (d->closing && d->parts == 0 && d->in_flight == 0)
        loop_defer(d->loop, &d->closed, closed_run, d);
}

/* Lets go of everything and tells the sink, which may destroy the invocation. */
static void call_finish(struct call *c)
{
    struct dispatch *d = c->d;
    struct invocation *inv = c->inv;
    bool faulty = c->fault.status != GRPC_OK;
    loop_timer_stop(&c->deadline);
    loop_timer_stop(&c->retry);
    loop_defer_cancel(&inv->later);
    waiting_remove(&d->waiting, &c->wait);
    list_remove(d, inv);
    call_count_out(c, !faulty && !c->erred);
    call_log(c);
    inv->producer = NULL;
    c->fault.unseen = faulty && !c->seen;
    c->fault.message = c->text;
    c->fault.node = faulty && c->seen ? &inv->view->table->nodes[c->node] : NULL;
    c->fault.release = c->fault.node && c->release ? slice_of_str(c->release) : slice_of(NULL, 0);
    c->fault.attempts = c->attempts;
    inv->sink->on_end(inv, faulty ? &c->fault : NULL);
    check_closed(d);
}

static void call_finish_run(void *arg)
{
    call_finish(arg);
}

static void call_set_fault(struct call *c, int status, const char *message, int64_t pushback_ms)
{
    c->fault.status = status;
    c->fault.pushback_ms = pushback_ms;
    if (message != c->text)
        snprintf(c->text, sizeof c->text, "%s", message);
}

/* Ends it at the end of the iteration. */
static void call_end_later(struct call *c)
{
    waiting_remove(&c->d->waiting, &c->wait);
    loop_timer_stop(&c->deadline);
    loop_timer_stop(&c->retry);
    c->state = CALL_ENDING;
    loop_defer(c->d->loop, &c->inv->later, call_finish_run, c);
}

static void call_fail(struct call *c, int status, const char *message, int64_t pushback_ms)
{
    call_set_fault(c, status, message, pushback_ms);
    call_end_later(c);
}

/* ---- waiting ---- */

static struct slice call_shown_task(const struct call *c)
{
    return slice_first(c->inv->task, 128);
}

static void look_run(void *arg);

static void busy_timer_run(void *arg)
{
    look_run(arg);
}

static void dispatch_look_soon(struct dispatch *d)
{
    if (d->waiting.count > 0)
        loop_defer(d->loop, &d->look, look_run, d);
}

/* A tenth earlier than promised, so that the answer is there in time. */
static uint64_t unstartable_after_ms(const struct dispatch *d)
{
    return d->options.unstartable_ms - d->options.unstartable_ms / 10;
}

/* True, with the call ended, when its task cannot be started and it has waited for that long enough. */
static bool call_give_up_unstartable(struct call *c)
{
    struct dispatch *d = c->d;
    const char *fault = c->task ? router_fault(c->inv->view->table, c->task, c->inv->node) : NULL;
    if (!fault || loop_now_ms(d->loop) - c->wait.since_ms < unstartable_after_ms(d))
        return false;
    snprintf(c->text, sizeof c->text, "Cannot request %.*s: %s", SLICE_FMT(call_shown_task(c)), fault);
    call_fail(c, GRPC_UNAVAILABLE, c->text, -1);
    return true;
}

static void call_patience_over(void *arg)
{
    struct call *c = arg;
    if (!call_give_up_unstartable(c)) /* a fault that becomes known later ends it with the table that says so */
        dispatch_look_soon(c->d);
}

/* Enters the queue, or stays in its place there. */
static bool call_queue(struct call *c)
{
    struct dispatch *d = c->d;
    c->state = CALL_WAITING;
    if (c->wait.queue)
        return true;
    if (c->wait.since_ms == 0)
        c->wait.since_ms = loop_now_ms(d->loop);
    c->wait.owner = c;
    c->wait.deadline_ms = c->inv->deadline_ms;
    c->wait.bytes = c->inv->payload.size + CALL_OVERHEAD_BYTES;
    if (waiting_add(&d->waiting, c->inv->task, &c->wait) == 0)
        return true;
    snprintf(c->text, sizeof c->text, "too many calls wait on this node: %.*s is not ready", SLICE_FMT(call_shown_task(c)));
    call_fail(c, GRPC_RESOURCE_EXHAUSTED, c->text, BUSY_PUSHBACK_MS);
    return false;
}

static void call_wait_ready(struct call *c)
{
    if (!call_queue(c) || call_give_up_unstartable(c))
        return;
    uint64_t waited = loop_now_ms(c->d->loop) - c->wait.since_ms, patience = unstartable_after_ms(c->d);
    if (waited < patience && !loop_timer_running(&c->retry))
        loop_timer_start(c->d->loop, &c->retry, patience - waited, call_patience_over, c);
}

static void call_refuse_busy(struct call *c)
{
    snprintf(c->text, sizeof c->text, "all instances of the task %.*s are busy and enough calls wait already",
             SLICE_FMT(call_shown_task(c)));
    call_fail(c, GRPC_RESOURCE_EXHAUSTED, c->text, BUSY_PUSHBACK_MS);
}

static void call_wait_busy(struct call *c)
{
    struct dispatch *d = c->d;
    struct waiting_entry *oldest;
    enum waiting_room room =
        waiting_room(&d->waiting, c->inv->task, &c->task->shared->queued, d->options.queue_limit, loop_now_ms(d->loop), &oldest);
    if (room == WAITING_FULL && !c->wait.queue) {
        call_refuse_busy(c);
        return;
    }
    if (room == WAITING_PUSH_OUT && !c->wait.queue)
        call_refuse_busy(oldest->owner);
    if (!call_queue(c))
        return;
    waiting_set_busy(&c->wait, &c->task->shared->queued);
    if (!loop_timer_running(&d->busy_timer))
        loop_timer_start(d->loop, &d->busy_timer, BUSY_LOOK_MS, busy_timer_run, d);
}

/* Places one that waits; the task's turn is over when all is busy again. */
static bool call_look(void *ctx, struct waiting_entry *e)
{
    struct call *c = e->owner;
    (void) ctx;
    call_place(c);
    return !(c->state == CALL_WAITING && c->wait.busy);
}

static void look_run(void *arg)
{
    struct dispatch *d = arg;
    waiting_each(&d->waiting, call_look, d);
}

static void call_retry_run(void *arg)
{
    call_place(arg);
}

static void call_place_after(struct call *c, uint64_t delay_ms)
{
    c->state = CALL_BACKING_OFF;
    loop_timer_start(c->d->loop, &c->retry, delay_ms, call_retry_run, c);
}

/* Everything that could take it has failed it already: after a while it is routed as if nothing had been, and where nobody was
 * there to be burdened it owes nothing for that. */
static void call_back_off(struct call *c)
{
    if (retry_may_wait(&c->failure))
        c->owes = false;
    waiting_remove(&c->d->waiting, &c->wait);
    c->avoid_nodes = 0;
    c->avoid_instance = 0;
    call_place_after(c, retry_backoff_ms(c->backoffs++, arc4random()));
}

/* ---- attempts ---- */

static void call_say_late(const struct call *c, const char *what, char text[CALL_TEXT_MAX])
{
    unsigned long long had = c->inv->deadline_ms - c->started_ms;
    snprintf(text, CALL_TEXT_MAX, "the task %.*s %s within %llu ms", SLICE_FMT(call_shown_task(c)), what, had);
}

static void call_release_instance(struct call *c)
{
    if (!c->instance)
        return;
    atomic_fetch_sub_explicit(&c->instance->in_flight, 1, memory_order_relaxed);
    c->instance = NULL;
    dispatch_look_soon(c->d);
}

/* A node that does not say answers from what it runs. */
static struct slice call_release(const struct call *c, struct slice told)
{
    if (c->release)
        return slice_of_str(c->release);
    return told.size > 0 ? arena_copy(c->inv->arena, told) : slice_of_str(c->inv->view->table->nodes[c->node].release);
}

static void attempt_on_head(struct invocation *inv, const struct invocation_answer *answer)
{
    struct call *c = inv->dispatch;
    c->seen = true;
    if (c->taken_back)
        return;
    struct invocation_answer out = *answer;
    out.node = &inv->view->table->nodes[c->node];
    out.release = call_release(c, answer->release);
    out.attempts = c->attempts;
    c->erred = answer->function_error.size > 0 || answer->status >= 500;
    inv->sink->on_head(inv, &out);
}

static void attempt_on_data(struct invocation *inv, struct slice bytes)
{
    struct call *c = inv->dispatch;
    if (!c->taken_back)
        inv->sink->on_data(inv, bytes);
}

/* Once for all calls that find out at about the same time. */
static void dispatch_tell_refused(struct dispatch *d, uint64_t instance_id)
{
    uint64_t now = loop_now_ms(d->loop);
    if (!d->options.on_instance_refused || (d->refused_id == instance_id && now < d->refused_told_ms + REFUSED_EVERY_MS))
        return;
    d->refused_id = instance_id;
    d->refused_told_ms = now;
    d->options.on_instance_refused(d->options.ctx, instance_id);
}

static void call_note_failure(struct call *c)
{
    const struct dispatch_options *o = &c->d->options;
    if (!c->instance) {
        if (c->node < 64)
            c->avoid_nodes |= (uint64_t) 1 << c->node;
        if (c->failure.refused && o->on_peer_failed)
            o->on_peer_failed(o->ctx, c->inv->view->table->nodes[c->node].id);
        return;
    }
    c->avoid_instance = c->instance->id;
    if (c->failure.refused)
        dispatch_tell_refused(c->d, c->instance->id);
}

/* By the failure table. The fault is set already, for the case that it is the end. */
static void call_retry_or_finish(struct call *c)
{
    enum retry_verdict verdict = c->d->closing ? RETRY_GIVE_UP : retry_decide(&c->failure);
    bool may_wait = !c->d->closing && retry_may_wait(&c->failure);
    if (may_wait)
        c->attempts--; /* nobody was there: it was none */
    c->owes = verdict == RETRY_NOW || verdict == RETRY_LATER;
    if (verdict == RETRY_LATER)
        call_place_after(c, (uint64_t) c->failure.pushback_ms);
    else if (verdict != RETRY_GIVE_UP)
        call_place(c);
    else if (may_wait)
        call_back_off(c);
    else
        call_finish(c);
}

static void attempt_on_end(struct invocation *inv, int status, const char *message, enum attempt_seen seen, bool refused,
                           int64_t pushback_ms)
{
    struct call *c = inv->dispatch;
    uint64_t now = loop_now_ms(c->d->loop);
    inv->producer = NULL;
    c->seen = c->seen || seen == ATTEMPT_UNKNOWN || seen == ATTEMPT_ANSWERED;
    if (c->taken_back || status == GRPC_OK) {
        call_release_instance(c);
        call_finish(c);
        return;
    }
    c->failure = (struct retry_attempt){.status = status,
                                        .seen = seen,
                                        .refused = refused,
                                        .pushback_ms = pushback_ms,
                                        .attempts = c->attempts,
                                        .attempts_max = c->d->options.attempts,
                                        .left_ms = inv->deadline_ms > now ? inv->deadline_ms - now : 0};
    call_set_fault(c, status, message, pushback_ms);
    if (status == GRPC_DEADLINE_EXCEEDED) /* the other node's clock was ahead: it is the same deadline, in the same words */
        call_say_late(c, "did not answer", c->text);
    call_note_failure(c);
    call_release_instance(c);
    call_retry_or_finish(c);
}

/* The newest word of the node that the attempt went to. */
static void attempt_on_load(struct invocation *inv, struct slice told)
{
    const struct call *c = inv->dispatch;
    struct route_node_shared *node = inv->view->table->nodes[c->node].shared;
    struct route_load load;
    if (node && c->task && route_load_parse(told, &load))
        route_load_note(node, c->task->shared, &load, loop_now_ms(c->d->loop));
}

static const struct attempt_events attempt_events = {attempt_on_head, attempt_on_data, attempt_on_end, attempt_on_load};

/* A retry is paid for when it has found its place. False: the budget is spent, and the call has been seen to. */
static bool call_pay(struct call *c)
{
    if (!c->owes || route_budget_withdraw(c->inv->view->table->shared)) {
        c->owes = false;
        return true;
    }
    call_release_instance(c);
    c->owes = false;
    if (retry_may_wait(&c->failure))
        call_back_off(c);
    else
        call_end_later(c);
    return false;
}

static void call_send(struct call *c)
{
    struct dispatch *d = c->d;
    waiting_remove(&d->waiting, &c->wait);
    loop_timer_stop(&c->retry);
    if (!call_pay(c))
        return;
    c->wait.since_ms = 0;
    c->state = CALL_SENT;
    c->attempts++;
    c->fault.status = GRPC_OK;
    int err = c->instance ? task_pool_send(d->tasks, c->instance, c->inv, &attempt_events)
                          : peer_links_send(d->links, c->node, c->inv, &attempt_events);
    if (err == 0)
        return;
    call_release_instance(c);
    call_fail(c, GRPC_RESOURCE_EXHAUSTED, "this node is out of memory", BUSY_PUSHBACK_MS);
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

static void call_place(struct call *c)
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
                                                  .pushback_ms = BUSY_PUSHBACK_MS,
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
    list_add(d, inv);
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

/* ---- the worker's dispatch ---- */

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
    check_closed(d);
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
