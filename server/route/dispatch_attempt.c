/* Attempts: one at a time, at an instance here or at another node; what they answer, and what follows when they fail. */
#include "server/route/dispatch_internal.h"

enum { REFUSED_EVERY_MS = 100 };

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

void call_send(struct call *c)
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
    call_fail(c, GRPC_RESOURCE_EXHAUSTED, "this node is out of memory", DISPATCH_BUSY_PUSHBACK_MS);
}
