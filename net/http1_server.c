/* The HTTP/1.x side of a server's connection: one exchange at a time over one parser.
 *
 *   idle --head--> open (request flows in, answer flows out) --both ended--> on_close(0), next request or the end
 *                    \--answer ended first--> the rest of a small body is skipped; behind a large one the connection ends
 *
 * Pipelined requests wait, unparsed, in `input` until the answer before them has been handed down; beyond INPUT_MAX reading is
 * paused. Calls of the handler only write; what follows from them (on_close, the next request) happens later, in `work`. */
#include <stdio.h>
#include <stdlib.h>

#include "base/err.h"
#include "base/log.h"
#include "net/http1.h"
#include "net/http_internal.h"

enum {
    INPUT_MAX = 64 * 1024, /* unparsed bytes held before reading is paused */
    SKIP_MAX = 64 * 1024,  /* rest of an unwanted body that is read rather than ending the connection */
    HALF_CLOSE_MS = 100,   /* an end this soon after the request may be a half-close (as of `nc -N`), later the caller has left */
    HALF_CLOSE_ANSWER_MS = 1000, /* what an answer may take to begin after one; TCP does not tell it from one who has left */
    REFUSAL_MAX = 512,
    STATUS_TIMEOUT = 408,
    STATUS_INTERNAL = 500,
    STATUS_UNAVAILABLE = 503,
};

struct http1_exchange {
    struct http_exchange base;
    bool open;          /* the handler has it */
    bool request_ended;
    bool begun, ended;  /* the answer */
    bool chunked, bodyless_answer;
    bool paused;
    bool continue_due;  /* the peer waits for 100 */
    uint64_t request_ended_ms;
};

struct http1_session {
    struct http_session base;
    struct http1_exchange exchange;
    struct http1_parser parser;
    struct buf input;
    struct loop_timer timer;
    struct loop_timer half_closed;
    struct loop_deferred work;
    bool close_after; /* the answer being written is the last */
    bool peer_ended;
    bool dead;        /* conn_finish or conn_close was called */
    bool reading_paused;
};

static struct http1_session *session_of(struct http_exchange *x)
{
    struct http1_exchange *e = (struct http1_exchange *) (void *) x;
    return (struct http1_session *) (void *) ((char *) e - offsetof(struct http1_session, exchange));
}

static const struct http1_session *session_of_const(const struct http_exchange *x)
{
    return session_of((struct http_exchange *) (uintptr_t) x);
}

static void work_later(struct http1_session *s);

static void abort_session(struct http1_session *s)
{
    s->dead = true;
    conn_close(s->base.conn);
}

static void finish_session(struct http1_session *s)
{
    if (!s->dead)
        conn_finish(s->base.conn);
    s->dead = true;
}

/* ---- answers ---- */

static bool status_without_body(int status)
{
    return status < 200 || status == 204 || status == 304;
}

/* True when this answer is the connection's last: nothing after it could be read or is wanted. */
static bool answer_is_last(const struct http1_session *s)
{
    const struct http1_parser *p = &s->parser;
    bool much_left = !s->exchange.request_ended && (p->head.chunked || p->remaining > SKIP_MAX);
    return s->close_after || !p->head.keep_alive || much_left || http_server_draining(s->base.server);
}

static void end_answer(struct http1_session *s)
{
    s->exchange.ended = true;
    conn_flush_later(s->base.conn);
    work_later(s);
}

static const char *refusal_code(int status)
{
    switch (status) {
    case STATUS_TIMEOUT:
        return "DEADLINE_EXCEEDED";
    case STATUS_INTERNAL:
        return "INTERNAL";
    case STATUS_UNAVAILABLE:
        return "UNAVAILABLE";
    default:
        return "INVALID_ARGUMENT";
    }
}

/* {"error":{"code","message"}} and the end of the connection. `why` is a sentence of ours: plain ASCII without quotes. */
static void write_refusal(struct http1_session *s, int status, const char *why)
{
    char body[REFUSAL_MAX];
    int size = snprintf(body, sizeof body, "{\"error\":{\"code\":\"%s\",\"message\":\"%s.\"}}", refusal_code(status), why);
    struct http1_framed framed = {.framing = HTTP1_BODY_LENGTH, .length = (uint64_t) size, .close = true};
    struct http_header type = {SLICE("content-type"), SLICE("application/json")};
    if (http1_write_response(conn_out(s->base.conn), status, &type, 1, &framed, http_date()) == 0)
        buf_append(conn_out(s->base.conn), slice_of(body, (size_t) size));
    conn_flush_later(s->base.conn);
}

/* Writes the answer's head; false when it could not be, and the connection's end has been seen to. */
static bool write_head(struct http1_session *s, int status, const struct http_header *headers, size_t count,
                       struct http1_framed framed)
{
    s->exchange.begun = true;
    s->exchange.continue_due = false;
    s->close_after = framed.close;
    int err = http1_write_response(conn_out(s->base.conn), status, headers, count, &framed, http_date());
    if (err == 0)
        return true;
    log_line(LOG_WARN, "an answer's header is malformed and was not sent", LOGF_INT("status", status), LOGF_ERR(err));
    s->close_after = true;
    write_refusal(s, STATUS_INTERNAL, "An answer's header is malformed");
    end_answer(s);
    return false;
}

static bool may_answer(const struct http1_session *s, bool begun)
{
    return !s->dead && s->exchange.open && !s->exchange.ended && s->exchange.begun == begun;
}

static void exchange_respond(struct http_exchange *x, int status, const struct http_header *headers, size_t count,
                             struct slice body)
{
    struct http1_session *s = session_of(x);
    if (!may_answer(s, false))
        return;
    bool none = status_without_body(status);
    struct http1_framed framed = {
        .framing = none ? HTTP1_BODY_NONE : HTTP1_BODY_LENGTH, .length = body.size, .close = answer_is_last(s)};
    if (!write_head(s, status, headers, count, framed))
        return;
    if (!none && !s->exchange.bodyless_answer && buf_append(conn_out(s->base.conn), body) != 0) {
        abort_session(s);
        return;
    }
    end_answer(s);
}

static void exchange_respond_begin(struct http_exchange *x, int status, const struct http_header *headers, size_t count)
{
    struct http1_session *s = session_of(x);
    if (!may_answer(s, false))
        return;
    bool none = status_without_body(status);
    bool old = x->protocol == HTTP_1_0;
    struct http1_framed framed = {.framing = none ? HTTP1_BODY_NONE : old ? HTTP1_BODY_UNTIL_CLOSE : HTTP1_BODY_CHUNKED};
    framed.close = answer_is_last(s) || (old && !none);
    s->exchange.bodyless_answer |= none;
    s->exchange.chunked = framed.framing == HTTP1_BODY_CHUNKED;
    if (write_head(s, status, headers, count, framed))
        conn_flush_later(s->base.conn);
}

static void exchange_respond_data(struct http_exchange *x, struct slice bytes)
{
    struct http1_session *s = session_of(x);
    if (!may_answer(s, true) || s->exchange.bodyless_answer)
        return;
    struct buf *out = conn_out(s->base.conn);
    if ((s->exchange.chunked ? http1_write_chunk(out, bytes) : buf_append(out, bytes)) != 0)
        abort_session(s);
    else
        conn_flush_later(s->base.conn);
}

static void exchange_respond_end(struct http_exchange *x, const struct http_header *trailers, size_t count)
{
    struct http1_session *s = session_of(x);
    if (!may_answer(s, true))
        return;
    if (s->exchange.chunked && !s->exchange.bodyless_answer && http1_write_last_chunk(conn_out(s->base.conn), trailers, count) != 0)
        abort_session(s);
    else
        end_answer(s);
}

static void exchange_respond_head_only(struct http_exchange *x, int status, const struct http_header *headers, size_t count)
{
    exchange_respond(x, status, headers, count, slice_of(NULL, 0));
}

static void exchange_reset(struct http_exchange *x, uint32_t http2_code)
{
    (void) http2_code;
    struct http1_session *s = session_of(x);
    if (!s->exchange.ended)
        abort_session(s);
}

static size_t exchange_queued(const struct http_exchange *x)
{
    return conn_queued(session_of_const(x)->base.conn);
}

static void exchange_pause(struct http_exchange *x)
{
    session_of(x)->exchange.paused = true;
}

static void exchange_resume(struct http_exchange *x)
{
    struct http1_session *s = session_of(x);
    s->exchange.paused = false;
    work_later(s);
}

static const struct http_exchange_ops EXCHANGE_OPS = {
    exchange_respond, exchange_respond_begin, exchange_respond_data, exchange_respond_end, exchange_respond_head_only,
    exchange_reset,   exchange_queued,        exchange_pause,        exchange_resume,
};

/* ---- requests ---- */

/* Asks for the body once somebody wants it and none of it is here (RFC 9110 section 10.1.1). */
static void send_continue(struct http1_session *s)
{
    if (!s->exchange.continue_due || s->exchange.paused || s->exchange.begun || s->dead)
        return;
    s->exchange.continue_due = false;
    conn_write(s->base.conn, SLICE("HTTP/1.1 100 Continue\r\n\r\n"));
}

static void begin_exchange(struct http1_session *s)
{
    const struct http1_head *head = &s->parser.head;
    bool bodyless = !head->chunked && head->content_length <= 0;
    s->exchange = (struct http1_exchange){
        .base = {.ops = &EXCHANGE_OPS,
                 .head = head->request,
                 .conn = s->base.conn,
                 .bodyless = bodyless,
                 .content_length = head->content_length},
        .open = true,
        .bodyless_answer = slice_equal_str(head->request.method, "HEAD"),
        .continue_due = head->expect_continue && !head->version_1_0 && !bodyless,
    };
    s->exchange.base.protocol = head->version_1_0 ? HTTP_1_0 : HTTP_1_1;
    http_server_handle(s->base.server, &s->exchange.base);
}

static void deliver_data(struct http1_session *s)
{
    struct http_exchange *x = &s->exchange.base;
    s->exchange.continue_due = false;
    if (s->exchange.open && !s->exchange.ended)
        x->events->on_data(x->ctx, x, s->parser.data);
}

static void end_request(struct http1_session *s)
{
    struct http_exchange *x = &s->exchange.base;
    s->exchange.request_ended = true;
    s->exchange.request_ended_ms = loop_now_ms(http_server_loop(s->base.server));
    if (!s->exchange.open)
        work_later(s);
    else if (!s->exchange.ended)
        x->events->on_end(x->ctx, x);
}

/* The request is no HTTP. What of an answer has begun cannot be mended. */
static void refuse(struct http1_session *s)
{
    if (s->dead)
        return;
    if (s->exchange.open && s->exchange.begun) {
        abort_session(s);
        return;
    }
    write_refusal(s, s->parser.status, s->parser.why);
    finish_session(s);
}

static bool wants_input(const struct http1_session *s)
{
    if (s->dead)
        return false;
    return s->exchange.open ? !s->exchange.request_ended && !s->exchange.paused : !s->exchange.request_ended;
}

static void parse(struct http1_session *s, struct slice *in)
{
    while (wants_input(s)) {
        switch (http1_parser_next(&s->parser, in)) {
        case HTTP1_HEAD:
            begin_exchange(s);
            break;
        case HTTP1_DATA:
            deliver_data(s);
            break;
        case HTTP1_END:
            end_request(s);
            break;
        case HTTP1_FAILED:
            refuse(s);
            return;
        default:
            return;
        }
    }
}

/* ---- time ---- */

/* The rest of the request is not waited for: whoever has it answers, or else we do, and the connection ends. */
static void give_up(struct http1_session *s, int status, const char *why)
{
    struct http_exchange *x = &s->exchange.base;
    if (s->exchange.open && !s->exchange.begun && x->events->on_overdue) {
        s->close_after = true;
        x->events->on_overdue(x->ctx, x, status);
        return;
    }
    if (!s->exchange.begun && !http1_parser_idle(&s->parser))
        write_refusal(s, status, why);
    finish_session(s);
}

static void on_timeout(void *arg)
{
    give_up(arg, STATUS_TIMEOUT, "The request did not arrive in time");
}

/* What the connection waits for now decides how long: a head once begun, a body's next byte, or another request. */
static void watch_time(struct http1_session *s)
{
    const struct http_server_limits *limits = http_server_limits(s->base.server);
    struct loop *l = http_server_loop(s->base.server);
    bool in_head = !s->exchange.open && !s->exchange.request_ended && s->parser.head.request.method.size == 0;
    if (s->dead || (s->exchange.open && (s->exchange.paused || s->exchange.request_ended)))
        loop_timer_stop(&s->timer);
    else if (!in_head)
        loop_timer_start(l, &s->timer, limits->body_timeout_ms, on_timeout, s);
    else if (http1_parser_idle(&s->parser) && limits->idle_timeout_ms > 0)
        loop_timer_start(l, &s->timer, limits->idle_timeout_ms, on_timeout, s);
    else if (http1_parser_idle(&s->parser))
        loop_timer_stop(&s->timer);
    else if (!loop_timer_running(&s->timer) || s->timer.due_ms > loop_now_ms(l) + limits->header_timeout_ms)
        loop_timer_start(l, &s->timer, limits->header_timeout_ms, on_timeout, s);
}

/* ---- the connection ---- */

static void pause_when_full(struct http1_session *s)
{
    bool full = s->input.size > INPUT_MAX;
    if (full == s->reading_paused || s->dead)
        return;
    s->reading_paused = full;
    if (full)
        conn_pause(s->base.conn);
    else
        conn_resume(s->base.conn);
}

/* Parses what was held back, then `bytes`; keeps what is not wanted yet. */
static void advance(struct http1_session *s, struct slice bytes)
{
    struct slice in = bytes;
    if (s->input.size > 0) {
        if (buf_append(&s->input, bytes) != 0) {
            abort_session(s);
            return;
        }
        in = buf_slice(&s->input);
    }
    parse(s, &in);
    if (s->input.size > 0)
        buf_consume(&s->input, s->input.size - in.size);
    else if (in.size > 0 && !s->dead && buf_append(&s->input, in) != 0)
        abort_session(s);
    send_continue(s);
    pause_when_full(s);
    watch_time(s);
}

/* The answer is with the connection: the exchange goes, and then the next request comes, or the end. */
static void close_exchange(struct http1_session *s)
{
    struct http_exchange *x = &s->exchange.base;
    s->exchange.open = false;
    http_session_used(&s->base);
    x->events->on_close(x->ctx, x, 0);
}

/* True when no further request will be answered here. */
static bool session_is_over(const struct http1_session *s)
{
    bool last = s->exchange.ended && s->close_after;
    bool nothing_left = s->input.size == 0 && (s->peer_ended || http_server_draining(s->base.server));
    return !s->exchange.open && (last || (nothing_left && (s->exchange.request_ended || s->peer_ended)));
}

static void on_work(void *arg)
{
    struct http1_session *s = arg;
    if (s->exchange.open && s->exchange.ended)
        close_exchange(s);
    if (session_is_over(s))
        finish_session(s);
    if (s->dead)
        return;
    if (!s->exchange.open && s->exchange.request_ended) {
        http1_parser_reset(&s->parser);
        s->exchange.request_ended = s->exchange.ended = s->exchange.begun = false;
    }
    advance(s, slice_of(NULL, 0));
    if (s->peer_ended && !s->exchange.open)
        finish_session(s);
}

static void work_later(struct http1_session *s)
{
    loop_defer(http_server_loop(s->base.server), &s->work, on_work, s);
}

static void on_read(void *ctx, struct conn *c, struct slice bytes)
{
    (void) c;
    struct http1_session *s = ctx;
    if (!s->dead)
        advance(s, bytes);
}

static void on_half_closed(void *arg)
{
    struct http1_session *s = arg;
    if (s->exchange.open && !s->exchange.begun)
        abort_session(s);
}

/* The caller ended its half: at once after its request it may still read; later it has left. */
static void on_end(void *ctx, struct conn *c)
{
    struct http1_session *s = ctx;
    uint64_t now = loop_now_ms(conn_loop(c));
    s->peer_ended = true;
    bool waits = s->exchange.open && s->exchange.request_ended && now - s->exchange.request_ended_ms <= HALF_CLOSE_MS;
    if (s->exchange.open && !waits && !s->exchange.ended)
        abort_session(s);
    else if (!s->exchange.open)
        finish_session(s);
    else
        loop_timer_start(conn_loop(c), &s->half_closed, HALF_CLOSE_ANSWER_MS, on_half_closed, s);
}

static void on_drained(void *ctx, struct conn *c)
{
    (void) c;
    struct http1_session *s = ctx;
    struct http_exchange *x = &s->exchange.base;
    if (s->exchange.open && !s->exchange.ended && x->events->on_writable)
        x->events->on_writable(x->ctx, x);
}

static void on_close(void *ctx, struct conn *c, int err)
{
    (void) c;
    (void) err;
    struct http1_session *s = ctx;
    struct http_exchange *x = &s->exchange.base;
    s->dead = true;
    loop_defer_cancel(&s->work);
    loop_timer_stop(&s->timer);
    loop_timer_stop(&s->half_closed);
    if (s->exchange.open) {
        s->exchange.open = false;
        x->events->on_close(x->ctx, x, s->exchange.ended ? 0 : GRID_ECANCELED);
    }
    http_session_dispose(&s->base);
    http1_parser_dispose(&s->parser);
    buf_dispose(&s->input);
    free(s);
}

static const struct conn_events CONN_EVENTS = {
    .on_read = on_read, .on_end = on_end, .on_drained = on_drained, .on_close = on_close};

static bool session_is_idle(const struct http_session *base)
{
    const struct http1_session *s = (const struct http1_session *) (const void *) base;
    return !s->exchange.open && http1_parser_idle(&s->parser) && s->input.size == 0;
}

/* Requests already begun are answered, with Connection: close (answer_is_last). */
static void session_drain(struct http_session *base)
{
    if (session_is_idle(base))
        finish_session((struct http1_session *) (void *) base);
}

static void session_drain_late(struct http_session *base)
{
    struct http1_session *s = (struct http1_session *) (void *) base;
    bool in_flight = s->exchange.open && (s->exchange.request_ended || s->exchange.begun || s->exchange.paused);
    if (!s->dead && !in_flight)
        give_up(s, STATUS_UNAVAILABLE, "The node stops, and the request did not arrive in time");
}

static const struct http_session_ops SESSION_OPS = {.drain = session_drain, .drain_late = session_drain_late, .is_idle = session_is_idle};

void http1_server_start(struct http_server *server, struct conn *conn, struct slice first_bytes)
{
    struct http1_session *s = calloc(1, sizeof *s);
    if (!s) {
        conn_close(conn);
        return;
    }
    http1_parser_init(&s->parser, HTTP1_REQUEST, http_server_limits(server)->header_list_bytes);
    buf_init(&s->input, 0);
    http_session_init(&s->base, &SESSION_OPS, server, conn);
    conn_set_events(conn, &CONN_EVENTS, s);
    advance(s, first_bytes);
}
