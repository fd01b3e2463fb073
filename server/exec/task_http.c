/* Calls at the instances of tasks.
 *
 *   call:        go --sent--> unanswered --head--> answering --end--> on_end
 *                 ^              \--501, or 405 without POST, on the first call: once more as GET--\
 *                 |              \--417 to its Expect, before the body went: once more without------|
 *                 \---------------------------------------------------------------------------------/
 */
#include "server/exec/task_http.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/err.h"
#include "base/log.h"
#include "net/http1_client.h"
#include "server/exec/task_conns.h"
#include "server/exec/task_request.h"

enum {
    STARVED_MS = 100,      /* a new connection unanswered for as long may be waiting behind an idle one */
    STARVED_LONG_MS = 300, /* ... or behind one that is never idle long enough to be seen */
    STARVED_SWEEP_MS = 50,
    STARVED_PROOF_MS = 100, /* an answer within this after idle connections were closed had waited for just that */
};

struct task_pool {
    struct loop *loop;
    struct task_pool_options options;
    struct task_conns conns;
    struct task_call *first_unanswered, **last_unanswered;
    struct loop_timer starved_timer;
    bool closing;
    loop_fn done;
    void *done_arg;
};

/* One invocation at an instance; in its arena. */
struct task_call {
    struct task_pool *pool;
    struct instance *instance;
    struct invocation *inv;
    const struct attempt_events *events;
    struct task_conn *conn; /* NULL when it is on none */
    struct http_call *http;
    struct task_call *next, **prev; /* the unanswered ones, oldest first; prev NULL when not among them */
    uint64_t sent_ms;
    uint64_t relieved_ms; /* when idle connections were closed for its sake, 0 for never */
    size_t body_bytes;
    bool probing; /* the first call: may turn into a GET */
    bool get;
    bool no_expect; /* the task refused the expectation: the body goes with the head */
    bool headed, cancelled, repeat, paused;
    int fault; /* GRPC_INTERNAL once we broke its answer off */
    struct loop_deferred later;
    int end_status;
    bool end_refused;
    char text[224];
};

/* ---- ends ---- */

__attribute__((format(printf, 2, 3))) static void call_say(struct task_call *c, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    vsnprintf(c->text, sizeof c->text, format, args);
    va_end(args);
}

static void call_end_run(void *arg)
{
    struct task_call *c = arg;
    c->events->on_end(c->inv, c->end_status, c->text, ATTEMPT_UNSEEN, c->end_refused, -1);
}

/* Ends a call that was not sent; text is set. */
static void call_end_later(struct task_call *c, int status, bool refused)
{
    c->end_status = status;
    c->end_refused = refused;
    loop_defer(c->pool->loop, &c->later, call_end_run, c);
}

/* ---- starvation ---- */

static void on_starved_timer(void *arg);

static void unanswered_add(struct task_call *c)
{
    struct task_pool *p = c->pool;
    c->sent_ms = loop_now_ms(p->loop);
    c->next = NULL;
    c->prev = p->last_unanswered;
    *p->last_unanswered = c;
    p->last_unanswered = &c->next;
    if (!loop_timer_running(&p->starved_timer))
        loop_timer_start(p->loop, &p->starved_timer, STARVED_SWEEP_MS, on_starved_timer, p);
}

static void unanswered_remove(struct task_call *c)
{
    if (!c->prev)
        return;
    *c->prev = c->next;
    if (c->next)
        c->next->prev = c->prev;
    else
        c->pool->last_unanswered = c->prev;
    c->prev = NULL;
}

/* Closes what the instance may be waiting on instead of this call, here and at the other workers. */
static void call_relieve(struct task_call *c, uint64_t now)
{
    const struct task_pool_options *o = &c->pool->options;
    if (c->relieved_ms == 0 && atomic_load_explicit(&c->instance->idle_connections, memory_order_relaxed) > 0)
        c->relieved_ms = now;
    task_conns_close_idle(&c->pool->conns, c->instance->id);
    if (o->close_idle_elsewhere)
        o->close_idle_elsewhere(o->ctx, c->instance->id);
}

static bool call_is_starved(const struct task_call *c, uint64_t now)
{
    if (!c->conn || c->conn->answered || atomic_load_explicit(&c->instance->serial, memory_order_relaxed) == INSTANCE_SERIAL_YES)
        return false;
    if (task_conn_keeps_none(c->conn, now) && now - c->sent_ms >= STARVED_LONG_MS)
        return false; /* it was seen to lately */
    return now - c->sent_ms >= STARVED_LONG_MS || atomic_load_explicit(&c->instance->idle_connections, memory_order_relaxed) > 0;
}

static void on_starved_timer(void *arg)
{
    struct task_pool *p = arg;
    uint64_t now = loop_now_ms(p->loop);
    for (struct task_call *c = p->first_unanswered; c && now - c->sent_ms >= STARVED_MS; c = c->next)
        if (call_is_starved(c, now))
            call_relieve(c, now);
    if (p->first_unanswered)
        loop_timer_start(p->loop, &p->starved_timer, STARVED_SWEEP_MS, on_starved_timer, p);
}

/* An answer that came as soon as others were closed: twice so, and the instance is known to be serial. */
static void call_judge_serial(struct task_call *c)
{
    if (c->relieved_ms == 0 || loop_now_ms(c->pool->loop) - c->relieved_ms > STARVED_PROOF_MS)
        return;
    int serial = INSTANCE_SERIAL_NO;
    if (atomic_compare_exchange_strong(&c->instance->serial, &serial, INSTANCE_SERIAL_SUSPECTED))
        return;
    if (serial != INSTANCE_SERIAL_SUSPECTED || !atomic_compare_exchange_strong(&c->instance->serial, &serial, INSTANCE_SERIAL_YES))
        return;
    log_line(LOG_INFO, "a task serves one connection at a time: none to it is kept open", LOGF_STR("task", c->instance->task),
             LOGF_INT("instance", c->instance->number));
    task_conns_close_idle(&c->pool->conns, c->instance->id);
}

/* ---- sending ---- */

static const struct http_call_events CALL_EVENTS;

/* Begins it on one connection. */
static int call_begin(struct task_call *c, struct task_conn *conn)
{
    struct task_request request;
    const struct http_request_head *head = &request.head;
    int err = task_request_make(c->inv, c->get, task_conn_authority(conn), loop_now_ms(c->pool->loop), loop_wall_ms(), &request);
    if (err)
        return err;
    struct slice body = c->get ? slice_of(NULL, 0) : c->inv->payload;
    if (c->probing && body.size > 0 && !c->no_expect)
        return http1_client_call_expect(conn->http, head, body, false, &CALL_EVENTS, c, &c->http);
    return http_client_call(conn->http, head, body, false, &CALL_EVENTS, c, &c->http);
}

static void call_begun(struct task_call *c, struct task_conn *conn)
{
    c->conn = conn;
    if (c->paused)
        http_call_pause(c->http);
    unanswered_add(c);
}

static void call_not_begun(struct task_call *c, int err)
{
    if (err == GRID_EINVAL) {
        call_say(c, "the call's handler, key or metadata holds characters that an HTTP header cannot carry");
        call_end_later(c, GRPC_INVALID_ARGUMENT, false);
    } else if (err == GRID_ENOMEM) {
        call_say(c, "this node is out of memory");
        call_end_later(c, GRPC_RESOURCE_EXHAUSTED, false);
    } else {
        call_say(c, "the task %s cannot be called on port %u: %s", c->instance->task, (unsigned) c->instance->port,
                 grid_err_text(err));
        call_end_later(c, GRPC_UNAVAILABLE, true);
    }
}

/* Sends it over a kept connection, or a new one. */
static void call_go(struct task_call *c)
{
    struct task_conn *conn;
    c->probing = !c->get && atomic_load_explicit(&c->instance->method, memory_order_relaxed) == INSTANCE_METHOD_UNKNOWN;
    int err = task_conns_take(&c->pool->conns, c->instance, &conn);
    if (!err && (err = call_begin(c, conn)) != 0)
        task_conn_release(conn, false);
    if (!err)
        call_begun(c, conn);
    else
        call_not_begun(c, err);
}

/* ---- the answer ---- */

static bool allows_post(const struct http_header *headers, size_t count)
{
    struct slice allow = http_header_find(headers, count, "allow");
    while (allow.size > 0) {
        ptrdiff_t comma = slice_find_byte(allow, 0, ',');
        struct slice method = comma < 0 ? allow : slice_first(allow, (size_t) comma);
        if (slice_equal_str(slice_trim(method), "POST"))
            return true;
        allow = comma < 0 ? slice_of(NULL, 0) : slice_from(allow, (size_t) comma + 1);
    }
    return false;
}

/* The first answer of an instance tells how it wants to be called. True when this call is to be repeated. */
static bool call_learn_method(struct task_call *c, int status, const struct http_header *headers, size_t count)
{
    bool get = status == 501 || (status == 405 && !allows_post(headers, count));
    int unknown = INSTANCE_METHOD_UNKNOWN;
    bool first =
        atomic_compare_exchange_strong_explicit(&c->instance->method, &unknown, get ? INSTANCE_METHOD_GET : INSTANCE_METHOD_POST,
                                                memory_order_relaxed, memory_order_relaxed);
    if (first && get)
        log_line(LOG_INFO, "a task takes no POST: it is called with GET from now on", LOGF_STR("task", c->instance->task),
                 LOGF_INT("status", status));
    return get;
}

/* Breaks the answer off: the task is at fault. Text is set. */
static void call_break_off(struct task_call *c)
{
    c->fault = GRPC_INTERNAL;
    http_call_cancel(c->http);
}

static void call_too_much(struct task_call *c)
{
    call_say(c, "the task %s answered more than %zu bytes: let it answer less, or raise --max-payload", c->instance->task,
             c->pool->options.max_answer);
    call_break_off(c);
}

/* RFC 9110 section 10.1.1: 417 says that expectations are not for this task. Nothing of the body has been sent, so it is safe to
 * repeat; a 417 to a call whose body has gone is the task's own answer. */
static bool call_refused_expect(struct task_call *c, int status)
{
    if (status != 417 || !c->probing || c->get || c->no_expect || !http1_client_call_held(c->http))
        return false;
    c->no_expect = true;
    return true;
}

/* Asks once more, otherwise, when this answer is dealt with. */
static void call_repeat(struct task_call *c)
{
    c->repeat = true;
    http_call_cancel(c->http);
}

static void on_head(void *ctx, struct http_call *http, int status, const struct http_header *headers, size_t count)
{
    struct task_call *c = ctx;
    unanswered_remove(c);
    call_judge_serial(c);
    c->conn->answered = true;
    if (c->cancelled)
        return;
    if (call_refused_expect(c, status)) {
        call_repeat(c);
        return;
    }
    if (c->probing && call_learn_method(c, status, headers, count)) {
        c->get = true;
        call_repeat(c);
        return;
    }
    if (http_call_announced(http) > 0 && (uint64_t) http_call_announced(http) > c->pool->options.max_answer) {
        call_too_much(c); /* said before anything of it was passed on */
        return;
    }
    c->headed = true;
    struct invocation_answer answer = {
        .status = status,
        .content_type = http_header_find(headers, count, "content-type"),
        .function_error = http_header_find(headers, count, "grid-function-error"),
        .headers = headers,
        .header_count = count,
    };
    c->events->on_head(c->inv, &answer);
}

static void on_data(void *ctx, struct http_call *http, struct slice bytes)
{
    struct task_call *c = ctx;
    (void) http;
    if (c->cancelled || c->repeat || c->fault)
        return;
    c->body_bytes += bytes.size;
    if (c->body_bytes > c->pool->options.max_answer)
        call_too_much(c);
    else
        c->events->on_data(c->inv, bytes);
}

/* How it ended: what dispatch is told. */
struct ending {
    int status;
    enum attempt_seen seen;
    bool refused;
};

static struct ending ending_unsent(struct task_call *c, int err)
{
    if (err == GRID_EREFUSED)
        call_say(c, "the task %s does not listen on its port %u", c->instance->task, (unsigned) c->instance->port);
    else
        call_say(c, "the task %s could not be reached on port %u", c->instance->task, (unsigned) c->instance->port);
    return (struct ending){GRPC_UNAVAILABLE, ATTEMPT_UNSEEN, err == GRID_EREFUSED};
}

static struct ending ending_of(struct task_call *c, int err, enum http_sent sent)
{
    if (c->cancelled) {
        call_say(c, "cancelled");
        return (struct ending){GRPC_CANCELLED, c->headed ? ATTEMPT_ANSWERED : ATTEMPT_UNKNOWN, false};
    }
    if (c->fault)
        return (struct ending){c->fault, ATTEMPT_ANSWERED, false};
    if (err == 0)
        return (struct ending){GRPC_OK, ATTEMPT_ANSWERED, false};
    if (c->headed) {
        call_say(c, "the task %s broke its answer off", c->instance->task);
        return (struct ending){GRPC_INTERNAL, ATTEMPT_ANSWERED, false};
    }
    if (err == GRID_EPROTO) {
        call_say(c, "the task %s answered something that is no HTTP", c->instance->task);
        return (struct ending){GRPC_INTERNAL, ATTEMPT_ANSWERED, false};
    }
    if (sent == HTTP_NOT_SENT)
        return ending_unsent(c, err);
    call_say(c, "the task %s closed the connection without an answer", c->instance->task);
    return (struct ending){GRPC_UNAVAILABLE, ATTEMPT_UNKNOWN, false};
}

static void on_close(void *ctx, struct http_call *http, int err, enum http_sent sent, uint32_t http2_code,
                     const struct http_header *trailers, size_t count)
{
    struct task_call *c = ctx;
    (void) http;
    (void) http2_code;
    (void) trailers;
    (void) count;
    unanswered_remove(c);
    task_conn_release(c->conn, err == 0);
    c->conn = NULL;
    c->http = NULL;
    if (c->repeat && !c->cancelled && !c->pool->closing) {
        c->repeat = false;
        call_go(c);
        return;
    }
    struct ending e = ending_of(c, err, sent);
    c->events->on_end(c->inv, e.status, c->text, e.seen, e.refused, -1);
}

static const struct http_call_events CALL_EVENTS = {on_head, on_data, on_close, NULL};

/* ---- producing ---- */

static void producer_cancel(struct invocation *inv)
{
    struct task_call *c = inv->producer_ctx;
    c->cancelled = true;
    if (c->http)
        http_call_cancel(c->http);
}

static void producer_pause(struct invocation *inv)
{
    struct task_call *c = inv->producer_ctx;
    c->paused = true;
    if (c->http)
        http_call_pause(c->http);
}

static void producer_resume(struct invocation *inv)
{
    struct task_call *c = inv->producer_ctx;
    c->paused = false;
    if (c->http)
        http_call_resume(c->http);
}

static const struct invocation_producer PRODUCER = {producer_cancel, producer_pause, producer_resume};

/* ---- the pool ---- */

int task_pool_create(struct loop *l, const struct task_pool_options *options, struct task_pool **out)
{
    struct task_pool *p = calloc(1, sizeof *p);
    if (!p)
        return GRID_ENOMEM;
    p->loop = l;
    p->options = *options;
    p->last_unanswered = &p->first_unanswered;
    task_conns_init(&p->conns, l, options->idle_per_instance, options->idle_timeout_ms);
    *out = p;
    return 0;
}

static void pool_closed(void *arg)
{
    struct task_pool *p = arg;
    loop_fn done = p->done;
    void *done_arg = p->done_arg;
    free(p);
    done(done_arg);
}

void task_pool_close(struct task_pool *p, loop_fn done, void *arg)
{
    p->closing = true;
    p->done = done;
    p->done_arg = arg;
    loop_timer_stop(&p->starved_timer);
    task_conns_close(&p->conns, pool_closed, p);
}

int task_pool_send(struct task_pool *p, struct instance *instance, struct invocation *inv, const struct attempt_events *events)
{
    struct task_call *c = arena_calloc(inv->arena, 1, sizeof *c);
    if (!c)
        return GRID_ENOMEM;
    c->pool = p;
    c->instance = instance; /* the caller's route view holds it until on_end */
    c->inv = inv;
    c->events = events;
    c->get = atomic_load_explicit(&instance->method, memory_order_relaxed) == INSTANCE_METHOD_GET;
    inv->producer = &PRODUCER;
    inv->producer_ctx = c;
    if (p->closing) {
        call_say(c, "this node is shutting down");
        call_end_later(c, GRPC_UNAVAILABLE, false);
    } else {
        call_go(c);
    }
    return 0;
}

void task_pool_close_idle(struct task_pool *p, uint64_t instance_id)
{
    task_conns_close_idle(&p->conns, instance_id);
}
