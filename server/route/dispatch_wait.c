/* Calls that wait: for a task to be ready, for room at its instances, or for a while after all have failed. */
#include <stdio.h>
#include <stdlib.h>

#include "server/route/dispatch_internal.h"

enum {
    BUSY_LOOK_MS = 5, /* other workers free instances without a word */
    CALL_OVERHEAD_BYTES = 8 * 1024, /* what a waiting call holds beside its payload */
};

static void look_run(void *arg);

static void busy_timer_run(void *arg)
{
    look_run(arg);
}

void dispatch_look_soon(struct dispatch *d)
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
    call_fail(c, GRPC_RESOURCE_EXHAUSTED, c->text, DISPATCH_BUSY_PUSHBACK_MS);
    return false;
}

void call_wait_ready(struct call *c)
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
    call_fail(c, GRPC_RESOURCE_EXHAUSTED, c->text, DISPATCH_BUSY_PUSHBACK_MS);
}

void call_wait_busy(struct call *c)
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

void call_place_after(struct call *c, uint64_t delay_ms)
{
    c->state = CALL_BACKING_OFF;
    loop_timer_start(c->d->loop, &c->retry, delay_ms, call_retry_run, c);
}

/* Everything that could take it has failed it already: after a while it is routed as if nothing had been, and where nobody was
 * there to be burdened it owes nothing for that. */
void call_back_off(struct call *c)
{
    if (retry_may_wait(&c->failure))
        c->owes = false;
    waiting_remove(&c->d->waiting, &c->wait);
    c->avoid_nodes = 0;
    c->avoid_instance = 0;
    call_place_after(c, retry_backoff_ms(c->backoffs++, arc4random()));
}
