/* The HTTP/1.1 asking side: one call at a time on a kept connection to a local task.
 *
 *   connecting -> idle --call--> busy --answer complete--> idle        (or spent: the connection goes, usable() is false)
 *
 * A connection is spent by Connection: close, a body that ends with it, bytes that no call asked for, an answer before the whole
 * request was sent, or anything that is no HTTP. */
#include "net/http1_client.h"

#include <stdlib.h>

#include "base/err.h"
#include "net/http1.h"
#include "net/http_internal.h"

enum { HEADER_LIST_MAX = 64 * 1024 }; /* of a task's answer */

struct http1_call {
    struct http_call base;
    bool active;
    bool fresh;         /* nothing of its answer was parsed */
    bool answered;      /* the final head has come */
    bool head_only;
    bool chunked;       /* the request's body */
    bool request_ended; /* all of it was given to us */
    bool expecting;     /* the body waits in `held` */
    bool cancelled, paused;
    int err;              /* why it fails, when we know better than the connection */
    uint64_t length_left; /* of a body with a length */
    uint64_t written_before; /* bytes the kernel had taken of earlier calls */
};

struct http1_client {
    struct http_client base;
    struct http1_call call;
    struct http1_parser parser;
    struct buf held;  /* body that waits for 100 */
    struct buf input; /* answer that waits for resume */
    struct loop *loop;
    struct loop_timer expect_timer;
    struct loop_deferred work;
    bool open, spent, told_draining, peer_ended;
};

static struct http1_client *client_of(struct http_client *c)
{
    return (struct http1_client *) (void *) c;
}

static struct http1_client *client_of_call(const struct http_call *call)
{
    return (struct http1_client *) (void *) ((char *) (uintptr_t) call - offsetof(struct http1_client, call));
}

/* ---- the end of a call ---- */

static void tell_draining(struct http1_client *c)
{
    c->spent = true;
    if (!c->told_draining && c->base.events->on_draining)
        c->base.events->on_draining(c->base.ctx, &c->base);
    c->told_draining = true;
}

static void fail_call(struct http1_client *c, int err)
{
    if (c->call.active && c->call.err == 0)
        c->call.err = err;
    c->spent = true;
    conn_close(c->base.conn);
}

static enum http_sent call_sent(const struct http1_client *c)
{
    if (c->call.answered)
        return HTTP_ANSWERED;
    return c->open && conn_written(c->base.conn) > c->call.written_before ? HTTP_SENT : HTTP_NOT_SENT;
}

/* The call is over; the connection is idle again when its owner hears of it. */
static void close_call(struct http1_client *c, int err, const struct http_header *trailers, size_t count)
{
    struct http1_call call = c->call;
    enum http_sent sent = call_sent(c);
    loop_timer_stop(&c->expect_timer);
    buf_clear(&c->held);
    c->call.active = false;
    call.base.events->on_close(call.base.ctx, &c->call.base, err, sent, 0, trailers, count);
}

static void complete_call(struct http1_client *c, bool more_input)
{
    const struct http1_head *head = &c->parser.head;
    bool reusable = head->keep_alive && c->call.request_ended && !c->call.expecting && !more_input && !c->spent && !c->peer_ended;
    if (!reusable)
        tell_draining(c);
    close_call(c, 0, head->trailers, head->trailer_count);
    if (!reusable)
        conn_finish(c->base.conn);
}

/* ---- the request ---- */

/* Writes body bytes in the request's framing. */
static int write_body(struct http1_client *c, struct slice bytes)
{
    struct buf *out = conn_out(c->base.conn);
    int err = c->call.chunked ? http1_write_chunk(out, bytes) : buf_append(out, bytes);
    conn_flush_later(c->base.conn);
    return err;
}

/* The whole of the request has been given: closes the chunks. */
static int write_end(struct http1_client *c)
{
    if (!c->call.chunked)
        return 0;
    conn_flush_later(c->base.conn);
    return http1_write_last_chunk(conn_out(c->base.conn), NULL, 0);
}

static void release_body(struct http1_client *c)
{
    if (!c->call.active || !c->call.expecting)
        return;
    loop_timer_stop(&c->expect_timer);
    c->call.expecting = false;
    int err = write_body(c, buf_slice(&c->held));
    if (err == 0 && c->call.request_ended)
        err = write_end(c);
    buf_clear(&c->held);
    if (err != 0)
        fail_call(c, err);
}

static void on_expect_timeout(void *arg)
{
    release_body(arg);
}

static void wait_for_continue(struct http1_client *c)
{
    if (c->open && c->call.active && c->call.expecting)
        loop_timer_start(c->loop, &c->expect_timer, HTTP1_EXPECT_WAIT_MS, on_expect_timeout, c);
}

static int call_data(struct http_call *base, struct slice bytes, bool last)
{
    struct http1_client *c = client_of_call(base);
    if (!c->call.active || c->call.request_ended || c->spent)
        return GRID_ECLOSED;
    if (!c->call.chunked && (bytes.size > c->call.length_left || (last && bytes.size != c->call.length_left)))
        return GRID_EINVAL;
    int err = c->call.expecting ? buf_append(&c->held, bytes) : write_body(c, bytes);
    if (err != 0)
        return err;
    c->call.length_left -= c->call.chunked ? 0 : bytes.size;
    c->call.request_ended = last;
    return last && !c->call.expecting ? write_end(c) : 0;
}

/* How the body is framed: whole, with a length the caller knows, or in chunks. */
static int frame_request(const struct http_request_head *head, struct slice body, bool more, struct http1_framed *framed)
{
    struct slice length = http_header_find(head->headers, head->header_count, "content-length");
    bool empty = slice_equal_str(head->method, "GET") || slice_equal_str(head->method, "HEAD");
    framed->length = body.size;
    framed->framing = HTTP1_BODY_LENGTH;
    if (!more) {
        if (body.size == 0 && empty)
            framed->framing = HTTP1_BODY_NONE;
        return 0;
    }
    if (!length.data) {
        framed->framing = HTTP1_BODY_CHUNKED;
        return 0;
    }
    int64_t announced = http_parse_content_length(length);
    if (announced < 0 || (uint64_t) announced < body.size)
        return GRID_EINVAL;
    framed->length = (uint64_t) announced;
    return 0;
}

static void begin_call(struct http1_client *c, const struct http1_framed *framed, const struct http_call_events *events, void *ctx);

static int client_begin(struct http_client *base, const struct http_request_head *head, struct slice body, bool more, bool expect,
                        const struct http_call_events *events, void *ctx, struct http_call **out)
{
    struct http1_client *c = client_of(base);
    struct http1_framed framed = {.expect_continue = expect};
    if (c->spent)
        return GRID_ECLOSED;
    if (c->call.active)
        return GRID_EAGAIN;
    size_t before = conn_out(base->conn)->size;
    int err = frame_request(head, body, more, &framed);
    if (err == 0)
        err = http1_write_request(conn_out(base->conn), head, &framed);
    if (err != 0)
        return err;
    begin_call(c, &framed, events, ctx);
    c->call.head_only = slice_equal_str(head->method, "HEAD");
    err = call_data(&c->call.base, body, !more);
    if (err != 0) {
        c->call.active = false;
        conn_out(base->conn)->size = before;
        return err;
    }
    conn_flush_later(base->conn);
    wait_for_continue(c);
    *out = &c->call.base;
    return 0;
}

static int client_call(struct http_client *base, const struct http_request_head *head, struct slice body, bool more,
                       const struct http_call_events *events, void *ctx, struct http_call **out)
{
    return client_begin(base, head, body, more, false, events, ctx, out);
}

int http1_client_call_expect(struct http_client *c, const struct http_request_head *head, struct slice body, bool more,
                             const struct http_call_events *events, void *ctx, struct http_call **out)
{
    return client_begin(c, head, body, more, true, events, ctx, out);
}

bool http1_client_call_held(const struct http_call *call)
{
    return client_of_call((struct http_call *) (uintptr_t) call)->call.expecting;
}

/* ---- the answer ---- */

static void on_answer_head(struct http1_client *c)
{
    const struct http1_head *head = &c->parser.head;
    struct http_call *call = &c->call.base;
    c->call.answered = true;
    loop_timer_stop(&c->expect_timer);
    call->announced = head->chunked ? -1 : head->content_length;
    call->events->on_head(call->ctx, call, head->status, head->request.headers, head->request.header_count);
}

/* Parses what has come until the call ends, is paused or wants more. */
static void parse(struct http1_client *c, struct slice *in)
{
    if (c->call.active && c->call.fresh) {
        http1_parser_reset(&c->parser);
        http1_parser_expect_head_only(&c->parser, c->call.head_only);
        c->call.fresh = false;
    }
    while (c->call.active && !c->call.paused && !c->call.cancelled && c->call.err == 0) {
        switch (http1_parser_next(&c->parser, in)) {
        case HTTP1_INFORMATIONAL:
            if (c->parser.head.status == 100)
                release_body(c);
            break;
        case HTTP1_HEAD:
            on_answer_head(c);
            break;
        case HTTP1_DATA:
            c->call.base.events->on_data(c->call.base.ctx, &c->call.base, c->parser.data);
            break;
        case HTTP1_END:
            complete_call(c, in->size > 0);
            return;
        case HTTP1_FAILED:
            fail_call(c, GRID_EPROTO);
            return;
        default:
            return;
        }
    }
}

/* The task ended its half: the end of an answer, or of the connection. */
static void parse_end(struct http1_client *c)
{
    if (c->call.active && !c->call.cancelled && c->call.err == 0) {
        if (c->call.paused)
            return; /* resume comes back here */
        enum http1_event event = c->call.fresh ? HTTP1_MORE : http1_parser_eof(&c->parser);
        if (event == HTTP1_END) {
            complete_call(c, false);
            return;
        }
        c->call.err = c->call.answered || event == HTTP1_FAILED ? GRID_EPROTO : GRID_ECLOSED;
    }
    tell_draining(c);
    conn_close(c->base.conn);
}

static void keep_input(struct http1_client *c, struct slice rest)
{
    if (rest.size > 0 && buf_append(&c->input, rest) != 0)
        fail_call(c, GRID_ENOMEM);
}

static void on_read(void *ctx, struct conn *conn, struct slice bytes)
{
    struct http1_client *c = ctx;
    if (!c->call.active) {
        tell_draining(c); /* nobody asked */
        conn_close(conn);
        return;
    }
    if (c->input.size > 0) {
        keep_input(c, bytes);
        return;
    }
    parse(c, &bytes);
    if (c->call.active && c->call.paused)
        keep_input(c, bytes);
}

static void on_work(void *arg)
{
    struct http1_client *c = arg;
    struct slice in = buf_slice(&c->input);
    if (!c->call.active || c->call.paused || c->call.cancelled)
        return;
    parse(c, &in);
    buf_consume(&c->input, c->input.size - in.size);
    if (!c->call.paused && c->peer_ended)
        parse_end(c);
}

static void on_open(void *ctx, struct conn *conn)
{
    (void) conn;
    struct http1_client *c = ctx;
    c->open = true;
    wait_for_continue(c);
    if (c->base.events->on_open)
        c->base.events->on_open(c->base.ctx, &c->base);
}

static void on_end(void *ctx, struct conn *conn)
{
    (void) conn;
    struct http1_client *c = ctx;
    c->peer_ended = true;
    parse_end(c);
}

static void on_drained(void *ctx, struct conn *conn)
{
    (void) conn;
    struct http1_client *c = ctx;
    if (c->call.active && c->call.base.events->on_writable)
        c->call.base.events->on_writable(c->call.base.ctx, &c->call.base);
}

static int call_error(const struct http1_client *c, int err)
{
    if (c->call.cancelled)
        return GRID_ECANCELED;
    if (c->call.err != 0)
        return c->call.err;
    return err != 0 ? err : GRID_ECLOSED;
}

static void on_close(void *ctx, struct conn *conn, int err)
{
    (void) conn;
    struct http1_client *c = ctx;
    c->spent = true;
    loop_defer_cancel(&c->work);
    loop_timer_stop(&c->expect_timer);
    if (c->call.active)
        close_call(c, call_error(c, err), NULL, 0);
    c->base.events->on_close(c->base.ctx, &c->base, err);
    http1_parser_dispose(&c->parser);
    buf_dispose(&c->held);
    buf_dispose(&c->input);
    free(c);
}

static const struct conn_events CONN_EVENTS = {on_open, on_read, on_end, on_drained, on_close};

/* ---- the tables ---- */

static size_t call_queued(const struct http_call *base)
{
    const struct http1_client *c = client_of_call(base);
    return conn_queued(c->base.conn) + c->held.size;
}

static void call_cancel(struct http_call *base)
{
    struct http1_client *c = client_of_call(base);
    c->call.cancelled = true;
    c->spent = true;
    conn_close(c->base.conn);
}

static void call_pause(struct http_call *base)
{
    struct http1_client *c = client_of_call(base);
    c->call.paused = true;
    conn_pause(c->base.conn);
}

static void call_resume(struct http_call *base)
{
    struct http1_client *c = client_of_call(base);
    if (!c->call.paused)
        return;
    c->call.paused = false;
    conn_resume(c->base.conn);
    loop_defer(c->loop, &c->work, on_work, c);
}

static const struct http_call_ops CALL_OPS = {call_data, call_queued, call_cancel, call_pause, call_resume};

static void begin_call(struct http1_client *c, const struct http1_framed *framed, const struct http_call_events *events, void *ctx)
{
    c->call = (struct http1_call){
        .base = {.ops = &CALL_OPS, .events = events, .ctx = ctx},
        .active = true,
        .fresh = true,
        .chunked = framed->framing == HTTP1_BODY_CHUNKED,
        .expecting = framed->expect_continue,
        .length_left = framed->length,
        .written_before = conn_written(c->base.conn),
    };
}

static bool client_usable(const struct http_client *base)
{
    const struct http1_client *c = client_of((struct http_client *) (uintptr_t) base);
    return !c->spent && !c->call.active;
}

static size_t client_active(const struct http_client *base)
{
    return client_of((struct http_client *) (uintptr_t) base)->call.active ? 1 : 0;
}

static void client_finish(struct http_client *base)
{
    struct http1_client *c = client_of(base);
    c->spent = true;
    if (!c->call.active)
        conn_finish(base->conn);
}

static void client_close(struct http_client *base)
{
    client_of(base)->spent = true;
    conn_close(base->conn);
}

static const struct http_client_ops CLIENT_OPS = {client_call, client_usable, client_active, client_finish, client_close};

int http1_client_dial(struct loop *l, const struct addr *to, const struct http_client_events *events, void *ctx,
                      struct http_client **out)
{
    static const struct conn_options OPTIONS = {0};
    struct http1_client *c = calloc(1, sizeof *c);
    if (!c)
        return GRID_ENOMEM;
    c->base = (struct http_client){.ops = &CLIENT_OPS, .events = events, .ctx = ctx};
    c->loop = l;
    http1_parser_init(&c->parser, HTTP1_RESPONSE, HEADER_LIST_MAX);
    buf_init(&c->held, 0);
    buf_init(&c->input, 0);
    int err = conn_dial(l, to, &OPTIONS, &CONN_EVENTS, c, &c->base.conn);
    if (err != 0) {
        http1_parser_dispose(&c->parser);
        free(c);
        return err;
    }
    *out = &c->base;
    return 0;
}
