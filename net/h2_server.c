/* HTTP/2 on the serving side: nghttp2 between a connection and its exchanges.
 *
 * Frames are taken in by one mem_recv per read; handlers run inside it and only submit. Everything goes out in h2_server_flush,
 * which is deferred to the end of the iteration, so that nghttp2 is never asked to send from inside a receive callback. */
#include <stdlib.h>

#include "base/err.h"
#include "base/log.h"
#include "net/h2_common.h"
#include "net/h2_guard.h"

enum {
    SPARES_MAX = 256,
    LINGER_MS = 100,           /* a request that was answered before its end has so long to end by itself */
    DRAIN_PING_MS = 1000,      /* without an answer to the ping of a drain, its second GOAWAY goes out anyway */
    STALL_CLOSE_FACTOR = 3,    /* times limits.header_timeout_ms: a peer that took nothing of much for so long is left */
    STALL_REFUSE_DIVISOR = 5,  /* header_timeout_ms by this: and gets no new streams before that */
    QUEUE_HARD_FACTOR = 64,    /* times limits.queue_bytes: beyond that an answer is broken off */
    STATUS_BAD_REQUEST = 400,
    STATUS_TIMEOUT = 408,
    STATUS_OK = 200,
    STATUS_HEADERS_TOO_LARGE = 431,
};

enum h2_clock { CLOCK_NONE, CLOCK_PREFACE, CLOCK_HEADERS, CLOCK_IDLE, CLOCK_STALL };

struct h2_server;

struct h2_exchange {
    struct http_exchange base;
    struct h2_server *server;
    struct h2_exchange *next, **prev;
    struct h2_stream stream; /* ended: the handler has ended the answer */
    struct http_header *trailers;
    size_t trailer_count;
    struct loop_deferred writable;
    uint64_t came_ms;  /* when something of the request came last */
    uint64_t sent_ms;  /* when the answer was sent whole before the request's end */
    bool grpc;         /* its content-type begins as gRPC's */
    bool too_large;    /* header list over the limit: answered 431 without the handler */
    bool two_hosts;    /* Host and :authority differ: answered 400 without the handler */
    bool request_done; /* END_STREAM came */
    bool answering;    /* a head was submitted */
    bool sent;         /* END_STREAM went out */
    bool dead;         /* reset by us: further calls are ignored */
};

struct h2_server {
    struct http_session base;
    nghttp2_session *ng;
    struct loop *loop;
    struct h2_guard guard;
    struct loop_deferred flush;
    struct loop_timer timer;
    struct loop_timer drain_timer;
    struct loop_timer linger_timer;
    struct loop_timer body_timer; /* runs, once there was one, while the rest of a request is waited for */
    enum h2_clock clock;
    struct h2_exchange *exchanges;
    size_t exchange_count;
    size_t queued;          /* over all answers */
    uint64_t progress_ms;   /* when bytes of answers last went down, or began to wait */
    bool settled;           /* the peer's SETTINGS came */
    bool headers_open;      /* in the middle of a header block */
    bool goaway_final;      /* the drain's second GOAWAY went out */
    bool ending;            /* the connection is being finished */
};

static void h2_server_flush(void *arg);

static void flush_later(struct h2_server *s)
{
    loop_defer(s->loop, &s->flush, h2_server_flush, s);
}

/* ---- exchanges: memory ---- */

static const struct http_exchange_ops EXCHANGE_OPS;

static struct h2_exchange *exchange_take(struct h2_server *s)
{
    struct h2_spares *spares = http_server_h2_spares(s->base.server);
    struct h2_exchange *x = spares->first;
    if (x) {
        spares->first = x->next;
        spares->count--;
        return x;
    }
    x = calloc(1, sizeof *x);
    if (!x || h2_stream_init(&x->stream) == 0)
        return x;
    free(x);
    return NULL;
}

static void exchange_destroy(struct h2_exchange *x)
{
    h2_stream_dispose(&x->stream);
    free(x);
}

static struct h2_exchange *exchange_open(struct h2_server *s, int32_t id)
{
    struct h2_exchange *x = exchange_take(s);
    if (!x)
        return NULL;
    *x = (struct h2_exchange){.server = s, .stream = x->stream};
    x->stream.id = id;
    x->base = (struct http_exchange){.ops = &EXCHANGE_OPS, .conn = s->base.conn, .protocol = HTTP_2, .content_length = -1};
    x->next = s->exchanges;
    x->prev = &s->exchanges;
    if (x->next)
        x->next->prev = &x->next;
    s->exchanges = x;
    s->exchange_count++;
    return x;
}

/* Out of the session, the handler told, and the memory kept for the next request. */
static void exchange_close(struct h2_exchange *x, int err)
{
    struct h2_server *s = x->server;
    *x->prev = x->next;
    if (x->next)
        x->next->prev = x->prev;
    s->exchange_count--;
    http_session_used(&s->base);
    s->queued -= h2_queue_size(&x->stream.out);
    loop_defer_cancel(&x->writable);
    x->dead = true;
    if (x->base.events)
        x->base.events->on_close(x->base.ctx, &x->base, err);
    struct h2_spares *spares = http_server_h2_spares(s->base.server);
    if (spares->count >= SPARES_MAX) {
        exchange_destroy(x);
        return;
    }
    h2_stream_reset(&x->stream);
    x->next = spares->first;
    spares->first = x;
    spares->count++;
}

void h2_spares_dispose(struct h2_spares *spares)
{
    while (spares->first) {
        struct h2_exchange *x = spares->first;
        spares->first = x->next;
        exchange_destroy(x);
    }
    spares->count = 0;
}

/* ---- ending ---- */

/* Says why, answers nothing more, and leaves once that is out. */
static void server_go_away(struct h2_server *s, uint32_t code, const char *why)
{
    char peer[ADDR_TEXT_MAX];
    if (s->ending)
        return;
    s->ending = true;
    addr_format(conn_peer_addr(s->base.conn), peer);
    log_line(LOG_WARN, "an HTTP/2 connection was ended", LOGF_STR("peer", peer), LOGF_STR("why", why));
    nghttp2_submit_goaway(s->ng, NGHTTP2_FLAG_NONE, nghttp2_session_get_last_proc_stream_id(s->ng), code, (const uint8_t *) why,
                          strlen(why));
    flush_later(s);
}

static void server_calm(struct h2_server *s, const char *why)
{
    if (why)
        server_go_away(s, NGHTTP2_ENHANCE_YOUR_CALM, why);
}

/* ---- clocks ---- */

static bool server_is_stalled(const struct h2_server *s, uint64_t for_ms)
{
    return s->queued > http_server_limits(s->base.server)->queue_bytes && loop_now_ms(s->loop) - s->progress_ms > for_ms;
}

static uint64_t stall_close_ms(const struct h2_server *s)
{
    return (uint64_t) http_server_limits(s->base.server)->header_timeout_ms * STALL_CLOSE_FACTOR;
}

static uint64_t stall_refuse_ms(const struct h2_server *s)
{
    return http_server_limits(s->base.server)->header_timeout_ms / STALL_REFUSE_DIVISOR;
}

static void on_clock(void *arg);

static void clock_set(struct h2_server *s, enum h2_clock clock, uint64_t delay_ms)
{
    if (s->clock == clock)
        return;
    s->clock = clock;
    if (clock == CLOCK_NONE)
        loop_timer_stop(&s->timer);
    else
        loop_timer_start(s->loop, &s->timer, delay_ms, on_clock, s);
}

static uint32_t idle_limit_ms(const struct h2_server *s)
{
    const struct http_server_limits *limits = http_server_limits(s->base.server);
    return s->base.used ? limits->idle_timeout_ms : limits->unused_timeout_ms;
}

/* One timer, for whatever is being waited for. */
static void clock_choose(struct h2_server *s)
{
    const struct http_server_limits *limits = http_server_limits(s->base.server);
    if (!s->settled)
        clock_set(s, CLOCK_PREFACE, limits->header_timeout_ms);
    else if (s->headers_open)
        clock_set(s, CLOCK_HEADERS, limits->header_timeout_ms);
    else if (s->queued > limits->queue_bytes)
        clock_set(s, CLOCK_STALL, stall_close_ms(s));
    else if (s->exchange_count == 0 && idle_limit_ms(s) > 0)
        clock_set(s, CLOCK_IDLE, idle_limit_ms(s));
    else
        clock_set(s, CLOCK_NONE, 0);
}

static void server_drain(struct http_session *session);

static void on_clock(void *arg)
{
    struct h2_server *s = arg;
    enum h2_clock clock = s->clock;
    s->clock = CLOCK_NONE;
    if (clock == CLOCK_IDLE && !s->base.draining)
        server_drain(&s->base);
    else if (clock != CLOCK_STALL || server_is_stalled(s, stall_close_ms(s) - 1))
        conn_close(s->base.conn);
    else
        clock_choose(s);
}

/* The rest of this request is missing, and nothing has begun of it. */
static bool request_is_awaited(const struct h2_exchange *x)
{
    if (x->request_done || x->answering || x->dead || x->stream.paused)
        return false;
    bool head_is_whole = x->base.events != NULL;
    return !head_is_whole || x->base.events->on_overdue;
}

static void on_body_clock(void *arg)
{
    struct h2_server *s = arg;
    uint64_t now = loop_now_ms(s->loop), next = UINT64_MAX;
    for (struct h2_exchange *x = s->exchanges; x; x = x->next) {
        uint64_t due = x->came_ms + http_server_limits(s->base.server)->body_timeout_ms;
        if (!request_is_awaited(x) || !x->base.events)
            continue;
        if (due <= now)
            x->base.events->on_overdue(x->base.ctx, &x->base, STATUS_TIMEOUT);
        else if (due < next)
            next = due;
    }
    if (next != UINT64_MAX)
        loop_timer_start(s->loop, &s->body_timer, next - now, on_body_clock, s);
}

/* One timer for all requests of the connection: it looks again when the next of them may be due. */
static void body_clock_start(struct h2_server *s, struct h2_exchange *x)
{
    x->came_ms = loop_now_ms(s->loop);
    if (request_is_awaited(x) && !loop_timer_running(&s->body_timer))
        loop_timer_start(s->loop, &s->body_timer, http_server_limits(s->base.server)->body_timeout_ms, on_body_clock, s);
}

/* ---- sending ---- */

/* Deferred, and after everything that could have been submitted in this iteration. */
static void h2_server_flush(void *arg)
{
    struct h2_server *s = arg;
    if (h2_pump(s->ng, s->base.conn) != 0) {
        conn_close(s->base.conn);
        return;
    }
    if (nghttp2_session_get_outbound_queue_size(s->ng) > H2_CONTROL_QUEUE_MAX) {
        conn_close(s->base.conn); /* it makes us answer and does not read */
        return;
    }
    clock_choose(s);
    if (s->ending || (!nghttp2_session_want_read(s->ng) && !nghttp2_session_want_write(s->ng)))
        conn_finish(s->base.conn);
}

static ssize_t on_data_wanted(nghttp2_session *ng, int32_t id, uint8_t *room, size_t length, uint32_t *flags,
                              nghttp2_data_source *source, void *ctx)
{
    struct h2_exchange *x = source->ptr;
    (void) room;
    (void) ctx;
    ssize_t ready = h2_stream_ready(&x->stream, length, flags);
    bool last = *flags & NGHTTP2_DATA_FLAG_EOF;
    if (last && x->trailer_count > 0 && h2_submit_trailers(ng, id, x->trailers, x->trailer_count) == 0)
        *flags |= NGHTTP2_DATA_FLAG_NO_END_STREAM;
    return ready;
}

static void exchange_writable(void *arg)
{
    struct h2_exchange *x = arg;
    x->base.events->on_writable(x->base.ctx, &x->base);
}

static void exchange_was_taken(struct h2_exchange *x, size_t size)
{
    struct h2_server *s = x->server;
    s->queued -= size;
    s->progress_ms = loop_now_ms(s->loop);
    if (h2_stream_ran_low(&x->stream) && x->base.events && x->base.events->on_writable)
        loop_defer(s->loop, &x->writable, exchange_writable, x);
}

static int on_send_data(nghttp2_session *ng, nghttp2_frame *frame, const uint8_t *framehd, size_t length,
                        nghttp2_data_source *source, void *ctx)
{
    struct h2_server *s = ctx;
    struct h2_exchange *x = source->ptr;
    (void) ng;
    (void) frame;
    if (h2_is_full(s->base.conn))
        return NGHTTP2_ERR_WOULDBLOCK;
    int err = h2_write_data(s->base.conn, framehd, h2_queue_take(&x->stream.out, length));
    exchange_was_taken(x, length);
    return err;
}

static void on_linger(void *arg)
{
    struct h2_server *s = arg;
    uint64_t now = loop_now_ms(s->loop), next = 0;
    for (struct h2_exchange *x = s->exchanges; x; x = x->next) {
        if (!x->sent || x->request_done)
            continue;
        if (now - x->sent_ms >= LINGER_MS)
            nghttp2_submit_rst_stream(s->ng, NGHTTP2_FLAG_NONE, x->stream.id, NGHTTP2_NO_ERROR);
        else if (next == 0 || x->sent_ms + LINGER_MS < next)
            next = x->sent_ms + LINGER_MS;
    }
    if (next > 0)
        loop_timer_start(s->loop, &s->linger_timer, next - now, on_linger, s);
    flush_later(s);
}

/* RFC 9113 8.1: a whole answer before the request's end asks the client to stop. Not at once: a body that is on its way anyway may
 * end, since clients (curl 7.88) that see the reset together with the answer throw the answer away. */
static void exchange_answer_sent(struct h2_exchange *x)
{
    struct h2_server *s = x->server;
    x->sent = true;
    x->sent_ms = loop_now_ms(s->loop);
    if (!x->request_done && !loop_timer_running(&s->linger_timer))
        loop_timer_start(s->loop, &s->linger_timer, LINGER_MS, on_linger, s);
}

/* A reset that the application did not ask for was caused by the client (MadeYouReset). */
static const char *reset_was_sent(struct h2_server *s, const struct h2_exchange *x, uint32_t code)
{
    bool ours = code == NGHTTP2_NO_ERROR || (x && x->dead);
    return ours ? NULL : h2_guard_reset(&s->guard, loop_now_ms(s->loop));
}

static int on_frame_sent(nghttp2_session *ng, const nghttp2_frame *frame, void *ctx)
{
    struct h2_server *s = ctx;
    struct h2_exchange *x;
    switch (frame->hd.type) {
    case NGHTTP2_DATA:
    case NGHTTP2_HEADERS:
        h2_guard_answered(&s->guard);
        h2_guard_work(&s->guard);
        x = nghttp2_session_get_stream_user_data(ng, frame->hd.stream_id);
        if (x && frame->hd.flags & NGHTTP2_FLAG_END_STREAM)
            exchange_answer_sent(x);
        break;
    case NGHTTP2_RST_STREAM:
        x = nghttp2_session_get_stream_user_data(ng, frame->hd.stream_id);
        server_calm(s, reset_was_sent(s, x, frame->rst_stream.error_code));
        break;
    default:
        break;
    }
    return 0;
}

/* ---- answering ---- */

static bool exchange_is_open(const struct h2_exchange *x)
{
    return !x->dead && !x->stream.ended;
}

struct answer_head {
    struct h2_nv_list list;
    char status[3];
};

/* False when it is too late for a head. */
static bool head_make(const struct h2_exchange *x, int status, const struct http_header *headers, size_t count,
                      struct answer_head *out)
{
    if (!exchange_is_open(x) || x->answering)
        return false;
    for (int i = 2; i >= 0; i--, status /= 10)
        out->status[i] = (char) ('0' + status % 10);
    out->list.count = 0;
    h2_nv_add(&out->list, SLICE(":status"), slice_of(out->status, 3), true);
    h2_nv_add(&out->list, SLICE("date"), http_date(), true);
    h2_nv_add_all(&out->list, headers, count);
    return true;
}

static void exchange_reset(struct http_exchange *base, uint32_t code)
{
    struct h2_exchange *x = (struct h2_exchange *) base;
    if (x->dead)
        return;
    x->dead = true;
    nghttp2_submit_rst_stream(x->server->ng, NGHTTP2_FLAG_NONE, x->stream.id, code);
    flush_later(x->server);
}

/* A head or trailers that nghttp2 finds too large (64 KiB) it drops without a word: the stream would wait for them for ever. */
static int on_frame_not_sent(nghttp2_session *ng, const nghttp2_frame *frame, int why, void *ctx)
{
    struct h2_exchange *x = frame->hd.type == NGHTTP2_HEADERS ? nghttp2_session_get_stream_user_data(ng, frame->hd.stream_id) : NULL;
    (void) ctx;
    if (!x || x->dead)
        return 0;
    log_line(LOG_WARN, "an answer's header could not be sent, and the answer was broken off", LOGF_STR("why", nghttp2_strerror(why)));
    exchange_reset(&x->base, NGHTTP2_INTERNAL_ERROR);
    return 0;
}

static void exchange_submit(struct h2_exchange *x, const struct h2_nv_list *list, bool body)
{
    const nghttp2_data_provider provider = {.source.ptr = x, .read_callback = on_data_wanted};
    x->answering = true;
    if (nghttp2_submit_response(x->server->ng, x->stream.id, list->at, list->count, body ? &provider : NULL) != 0)
        exchange_reset(&x->base, NGHTTP2_INTERNAL_ERROR);
    flush_later(x->server);
}

/* Queues bytes of the answer; what nobody reads is bounded. */
static void exchange_queue(struct h2_exchange *x, struct slice bytes)
{
    struct h2_server *s = x->server;
    size_t hard = http_server_limits(s->base.server)->queue_bytes * QUEUE_HARD_FACTOR;
    if (bytes.size > hard || s->queued > hard - bytes.size || h2_stream_put(&x->stream, bytes) != 0) {
        exchange_reset(&x->base, NGHTTP2_ENHANCE_YOUR_CALM);
        return;
    }
    if (s->queued == 0)
        s->progress_ms = loop_now_ms(s->loop);
    s->queued += bytes.size;
}

static void exchange_wake(struct h2_exchange *x)
{
    h2_stream_wake(&x->stream, x->server->ng);
    flush_later(x->server);
}

/* RFC 9110 6.4.1: HEAD, 204 and 304 have no content; 204 has no length either. */
static bool status_has_content(int status)
{
    return status != 204 && status != 304;
}

static void exchange_respond(struct http_exchange *base, int status, const struct http_header *headers, size_t count,
                             struct slice body)
{
    struct h2_exchange *x = (struct h2_exchange *) base;
    struct answer_head head;
    char length[SLICE_U64_TEXT];
    if (!head_make(x, status, headers, count, &head))
        return;
    bool content = body.size > 0 && status_has_content(status) && !slice_equal_str(x->base.head.method, "HEAD");
    if (status_has_content(status))
        h2_nv_add(&head.list, SLICE("content-length"), slice_of_u64(body.size, length), true);
    x->stream.ended = true;
    if (content)
        exchange_queue(x, body);
    if (!x->dead)
        exchange_submit(x, &head.list, content);
}

static void exchange_begin(struct http_exchange *base, int status, const struct http_header *headers, size_t count)
{
    struct h2_exchange *x = (struct h2_exchange *) base;
    struct answer_head head;
    if (head_make(x, status, headers, count, &head))
        exchange_submit(x, &head.list, true);
}

static void exchange_data(struct http_exchange *base, struct slice bytes)
{
    struct h2_exchange *x = (struct h2_exchange *) base;
    if (!exchange_is_open(x) || !x->answering || bytes.size == 0 || slice_equal_str(x->base.head.method, "HEAD"))
        return;
    exchange_queue(x, bytes);
    exchange_wake(x);
}

static void exchange_end(struct http_exchange *base, const struct http_header *trailers, size_t count)
{
    struct h2_exchange *x = (struct h2_exchange *) base;
    if (!exchange_is_open(x) || !x->answering)
        return;
    if (count > 0 && h2_trailers_copy(x->stream.fields.arena, trailers, count, &x->trailers))
        x->trailer_count = count;
    x->stream.ended = true;
    exchange_wake(x);
}

static void exchange_head_only(struct http_exchange *base, int status, const struct http_header *headers, size_t count)
{
    struct h2_exchange *x = (struct h2_exchange *) base;
    struct answer_head head;
    if (!head_make(x, status, headers, count, &head))
        return;
    x->stream.ended = true;
    exchange_submit(x, &head.list, false);
}

static size_t exchange_queued(const struct http_exchange *base)
{
    return h2_queue_size(&((const struct h2_exchange *) base)->stream.out);
}

static void exchange_pause(struct http_exchange *base)
{
    ((struct h2_exchange *) base)->stream.paused = true;
}

static void exchange_resume(struct http_exchange *base)
{
    struct h2_exchange *x = (struct h2_exchange *) base;
    if (x->dead)
        return;
    h2_stream_resume(&x->stream, x->server->ng);
    body_clock_start(x->server, x);
    flush_later(x->server);
}

static const struct http_exchange_ops EXCHANGE_OPS = {
    .respond = exchange_respond,
    .respond_begin = exchange_begin,
    .respond_data = exchange_data,
    .respond_end = exchange_end,
    .respond_head_only = exchange_head_only,
    .reset = exchange_reset,
    .queued = exchange_queued,
    .pause = exchange_pause,
    .resume = exchange_resume,
};

/* ---- receiving ---- */

static int on_begin_headers(nghttp2_session *ng, const nghttp2_frame *frame, void *ctx)
{
    struct h2_server *s = ctx;
    s->headers_open = true;
    if (frame->headers.cat != NGHTTP2_HCAT_REQUEST)
        return 0;
    if (s->ending)
        return 0;
    h2_guard_work(&s->guard);
    struct h2_exchange *x = server_is_stalled(s, stall_refuse_ms(s)) ? NULL : exchange_open(s, frame->hd.stream_id);
    if (x)
        nghttp2_session_set_stream_user_data(ng, frame->hd.stream_id, x);
    else
        nghttp2_submit_rst_stream(ng, NGHTTP2_FLAG_NONE, frame->hd.stream_id, NGHTTP2_REFUSED_STREAM);
    return 0;
}

static void head_set_pseudo(struct h2_exchange *x, struct slice name, struct slice value)
{
    struct slice copy = arena_copy(x->stream.fields.arena, value);
    x->stream.fields.list_bytes += name.size + value.size + 32;
    if (!copy.data)
        x->too_large = true;
    else if (slice_equal_str(name, ":method"))
        x->base.head.method = copy;
    else if (slice_equal_str(name, ":path"))
        x->base.head.target = copy;
    else if (slice_equal_str(name, ":authority"))
        x->base.head.authority = copy;
}

/* RFC 9113 8.3.1: Host says what :authority leaves out, and nothing else than that. */
static void head_set_field(struct h2_exchange *x, struct slice name, struct slice value, size_t limit)
{
    if (slice_equal_str(name, "host")) {
        if (x->base.head.authority.size == 0)
            x->base.head.authority = arena_copy(x->stream.fields.arena, value);
        else if (!slice_equal_nocase(x->base.head.authority, value))
            x->two_hosts = true;
        x->stream.fields.list_bytes += name.size + value.size + 32;
        return;
    }
    if (slice_equal_str(name, "content-length"))
        x->base.content_length = http_parse_content_length(value);
    if (h2_fields_add(&x->stream.fields, name, value, limit) != 0)
        x->too_large = true;
}

static int on_header(nghttp2_session *ng, const nghttp2_frame *frame, const uint8_t *name, size_t name_size, const uint8_t *value,
                     size_t value_size, uint8_t flags, void *ctx)
{
    struct h2_server *s = ctx;
    struct h2_exchange *x = nghttp2_session_get_stream_user_data(ng, frame->hd.stream_id);
    size_t limit = http_server_limits(s->base.server)->header_list_bytes;
    (void) flags;
    struct slice n = slice_of(name, name_size), v = slice_of(value, value_size);
    if (x && slice_equal_str(n, "content-type"))
        x->grpc = slice_has_prefix(v, SLICE("application/grpc"));
    if (!x || x->too_large)
        return 0;
    if (frame->headers.cat != NGHTTP2_HCAT_REQUEST)
        x->stream.fields.list_bytes += name_size + value_size + 32; /* trailers */
    else if (name_size > 0 && name[0] == ':')
        head_set_pseudo(x, n, v);
    else
        head_set_field(x, n, v, limit);
    if (x->stream.fields.list_bytes > limit)
        x->too_large = true;
    return 0;
}

static void exchange_request_ended(struct h2_exchange *x)
{
    x->request_done = true;
    if (x->base.events && x->base.events->on_end && !x->dead)
        x->base.events->on_end(x->base.ctx, &x->base);
}

/* RFC 9110 10.1.1: who waits for leave to send the body gets it at once. */
static void request_continue(struct h2_server *s, struct h2_exchange *x)
{
    struct h2_nv_list list;
    struct slice expect = http_header_find(x->stream.fields.at, x->stream.fields.count, "expect");
    if (!slice_equal_nocase(expect, SLICE("100-continue")))
        return;
    list.count = 0;
    h2_nv_add(&list, SLICE(":status"), SLICE("100"), true);
    nghttp2_submit_headers(s->ng, NGHTTP2_FLAG_NONE, x->stream.id, NULL, list.at, list.count, NULL);
}

/* gRPC's callers know statuses of their own alone: 431 would be UNKNOWN to them. */
static void refuse_large_head(struct h2_exchange *x)
{
    static const struct http_header GRPC[] = {
        {SLICE_INIT("content-type"), SLICE_INIT("application/grpc")},
        {SLICE_INIT("grpc-status"), SLICE_INIT("8")}, /* RESOURCE_EXHAUSTED */
        {SLICE_INIT("grpc-message"), SLICE_INIT("the headers and metadata are larger than the limit: send less")},
    };
    if (x->grpc)
        exchange_head_only(&x->base, STATUS_OK, GRPC, sizeof GRPC / sizeof *GRPC);
    else
        exchange_head_only(&x->base, STATUS_HEADERS_TOO_LARGE, NULL, 0);
}

static void request_arrived(struct h2_server *s, struct h2_exchange *x, bool bodyless)
{
    x->request_done = bodyless;
    x->base.bodyless = bodyless;
    if (x->too_large) {
        refuse_large_head(x);
        return;
    }
    if (x->base.head.target.size == 0 || x->two_hosts) { /* CONNECT: nothing here is a proxy */
        exchange_head_only(&x->base, STATUS_BAD_REQUEST, NULL, 0);
        return;
    }
    x->base.head.headers = x->stream.fields.at;
    x->base.head.header_count = x->stream.fields.count;
    if (!bodyless)
        request_continue(s, x);
    http_server_handle(s->base.server, &x->base);
    if (bodyless)
        exchange_request_ended(x);
    else
        body_clock_start(s, x);
}

/* A reset that the client asked for, though the call to make it is ours. */
static void trailers_too_large(struct h2_server *s, struct h2_exchange *x)
{
    exchange_reset(&x->base, NGHTTP2_ENHANCE_YOUR_CALM);
    server_calm(s, h2_guard_reset(&s->guard, loop_now_ms(s->loop)));
}

static void headers_arrived(struct h2_server *s, const nghttp2_frame *frame)
{
    struct h2_exchange *x = nghttp2_session_get_stream_user_data(s->ng, frame->hd.stream_id);
    bool end = frame->hd.flags & NGHTTP2_FLAG_END_STREAM;
    s->headers_open = false;
    if (!x || x->dead)
        return;
    if (frame->headers.cat == NGHTTP2_HCAT_REQUEST)
        request_arrived(s, x, end);
    else if (x->too_large)
        trailers_too_large(s, x);
    else if (end)
        exchange_request_ended(x);
}

static const char *data_frame_arrived(struct h2_server *s, const nghttp2_frame *frame)
{
    struct h2_exchange *x = nghttp2_session_get_stream_user_data(s->ng, frame->hd.stream_id);
    bool end = frame->hd.flags & NGHTTP2_FLAG_END_STREAM;
    if (x && end)
        exchange_request_ended(x);
    if (frame->hd.length > 0 || end) {
        h2_guard_work(&s->guard);
        return NULL;
    }
    return h2_guard_nuisance(&s->guard, H2_EMPTY_DATA, loop_now_ms(s->loop));
}

static void drain_answered(struct h2_server *s);

static const char *ping_arrived(struct h2_server *s, const nghttp2_frame *frame)
{
    if (frame->hd.flags & NGHTTP2_FLAG_ACK && s->base.draining && !s->goaway_final) {
        drain_answered(s);
        return NULL;
    }
    return h2_guard_nuisance(&s->guard, H2_PING, loop_now_ms(s->loop));
}

static const char *settings_arrived(struct h2_server *s, const nghttp2_frame *frame)
{
    if (frame->hd.flags & NGHTTP2_FLAG_ACK)
        return NULL;
    s->settled = true;
    return h2_guard_nuisance(&s->guard, H2_SETTINGS, loop_now_ms(s->loop));
}

static int on_frame(nghttp2_session *ng, const nghttp2_frame *frame, void *ctx)
{
    struct h2_server *s = ctx;
    uint64_t now = loop_now_ms(s->loop);
    const char *calm = NULL;
    (void) ng;
    switch (frame->hd.type) {
    case NGHTTP2_HEADERS:
        headers_arrived(s, frame);
        break;
    case NGHTTP2_DATA:
        calm = data_frame_arrived(s, frame);
        break;
    case NGHTTP2_PING:
        calm = ping_arrived(s, frame);
        break;
    case NGHTTP2_SETTINGS:
        calm = settings_arrived(s, frame);
        break;
    case NGHTTP2_WINDOW_UPDATE:
        calm = h2_guard_nuisance(&s->guard, H2_WINDOW_UPDATE, now);
        break;
    case NGHTTP2_RST_STREAM:
        calm = h2_guard_reset(&s->guard, now);
        break;
    default:
        break;
    }
    server_calm(s, calm);
    return s->ending ? NGHTTP2_ERR_CALLBACK_FAILURE : 0; /* nothing more of this read is looked at */
}

/* Frames of unknown types are seen only here, and PRIORITY, which nghttp2 skips since we have said that we do (RFC 9218 2.1). */
static int on_begin_frame(nghttp2_session *ng, const nghttp2_frame_hd *head, void *ctx)
{
    struct h2_server *s = ctx;
    (void) ng;
    if (head->type == NGHTTP2_PRIORITY)
        server_calm(s, h2_guard_nuisance(&s->guard, H2_PRIORITY, loop_now_ms(s->loop)));
    else if (head->type > NGHTTP2_CONTINUATION)
        server_calm(s, h2_guard_nuisance(&s->guard, H2_UNKNOWN, loop_now_ms(s->loop)));
    return s->ending ? NGHTTP2_ERR_CALLBACK_FAILURE : 0;
}

/* Reached because all types beyond HTTP/2's own are declared ours: so they are counted, and then dropped (RFC 9113 4.1). */
static int on_unpack_extension(nghttp2_session *ng, void **payload, const nghttp2_frame_hd *head, void *ctx)
{
    (void) ng;
    (void) payload;
    (void) head;
    (void) ctx;
    return NGHTTP2_ERR_CANCEL;
}

static int on_data_chunk(nghttp2_session *ng, uint8_t flags, int32_t id, const uint8_t *data, size_t size, void *ctx)
{
    struct h2_server *s = ctx;
    struct h2_exchange *x = nghttp2_session_get_stream_user_data(ng, id);
    (void) flags;
    nghttp2_session_consume_connection(ng, size);
    if (x && x->sent)
        return 0; /* its window stays closed: nobody wants more */
    if (!x || x->dead || x->stream.ended || !x->base.events) {
        nghttp2_session_consume_stream(ng, id, size);
        return 0;
    }
    x->came_ms = loop_now_ms(s->loop);
    x->base.events->on_data(x->base.ctx, &x->base, slice_of(data, size));
    h2_stream_took(&x->stream, ng, size);
    flush_later(s);
    return 0;
}

static int on_stream_closed(nghttp2_session *ng, int32_t id, uint32_t code, void *ctx)
{
    struct h2_exchange *x = nghttp2_session_get_stream_user_data(ng, id);
    (void) code;
    (void) ctx;
    if (!x)
        return 0;
    nghttp2_session_set_stream_user_data(ng, id, NULL);
    exchange_close(x, x->sent ? 0 : GRID_ECANCELED);
    return 0;
}

/* ---- draining: RFC 9113 6.8 ---- */

static void drain_answered(struct h2_server *s)
{
    if (s->goaway_final)
        return;
    s->goaway_final = true;
    loop_timer_stop(&s->drain_timer);
    nghttp2_submit_goaway(s->ng, NGHTTP2_FLAG_NONE, nghttp2_session_get_last_proc_stream_id(s->ng), NGHTTP2_NO_ERROR, NULL, 0);
    flush_later(s);
}

static void drain_timed_out(void *arg)
{
    drain_answered(arg);
}

/* The greatest id first; the real one when the peer must have seen it, a round trip later. */
static void server_drain(struct http_session *session)
{
    struct h2_server *s = (struct h2_server *) session;
    session->draining = true;
    if (s->ending)
        return;
    nghttp2_submit_shutdown_notice(s->ng);
    nghttp2_submit_ping(s->ng, NGHTTP2_FLAG_NONE, NULL);
    loop_timer_start(s->loop, &s->drain_timer, DRAIN_PING_MS, drain_timed_out, s);
    flush_later(s);
}

/* What is refused so may be sent elsewhere (RFC 9113 8.7). */
static void server_drain_late(struct http_session *session)
{
    struct h2_server *s = (struct h2_server *) session;
    for (struct h2_exchange *x = s->exchanges; x && !s->ending; x = x->next)
        if (request_is_awaited(x))
            exchange_reset(&x->base, NGHTTP2_REFUSED_STREAM);
}

static bool server_is_idle(const struct http_session *session)
{
    const struct h2_server *s = (const struct h2_server *) session;
    return s->exchange_count == 0 && !s->headers_open;
}

static const struct http_session_ops SESSION_OPS = {.drain = server_drain, .drain_late = server_drain_late, .is_idle = server_is_idle};

/* ---- the connection ---- */

static void server_on_read(void *ctx, struct conn *c, struct slice bytes)
{
    struct h2_server *s = ctx;
    if (s->ending)
        return;
    ssize_t taken = nghttp2_session_mem_recv(s->ng, bytes.data, bytes.size);
    if (taken == NGHTTP2_ERR_FLOODED)
        server_calm(s, "too_many_control_frames");
    if (taken < 0 && !s->ending) {
        conn_close(c);
        return;
    }
    clock_choose(s);
    flush_later(s);
}

static void server_on_drained(void *ctx, struct conn *c)
{
    (void) c;
    flush_later(ctx);
}

static void server_on_close(void *ctx, struct conn *c, int err)
{
    struct h2_server *s = ctx;
    (void) c;
    (void) err;
    s->ending = true;
    while (s->exchanges)
        exchange_close(s->exchanges, GRID_ECANCELED);
    loop_defer_cancel(&s->flush);
    loop_timer_stop(&s->timer);
    loop_timer_stop(&s->drain_timer);
    loop_timer_stop(&s->linger_timer);
    loop_timer_stop(&s->body_timer);
    h2_session_delete(s->ng);
    http_session_dispose(&s->base);
    free(s);
}

static const struct conn_events SERVER_EVENTS = {
    .on_read = server_on_read,
    .on_drained = server_on_drained,
    .on_close = server_on_close,
};

static const struct h2_callbacks CALLBACKS = {
    .on_begin_frame = on_begin_frame,
    .on_begin_headers = on_begin_headers,
    .on_header = on_header,
    .on_frame = on_frame,
    .on_data_chunk = on_data_chunk,
    .on_stream_closed = on_stream_closed,
    .on_frame_sent = on_frame_sent,
    .on_frame_not_sent = on_frame_not_sent,
    .on_send_data = on_send_data,
    .on_unpack_extension = on_unpack_extension,
};

static void options_set(nghttp2_option *option)
{
    nghttp2_option_set_no_closed_streams(option, 1);
    for (unsigned type = NGHTTP2_CONTINUATION + 1; type <= UINT8_MAX; type++)
        nghttp2_option_set_user_recv_extension_type(option, (uint8_t) type);
}

static int session_make(struct h2_server *s)
{
    const struct http_server_limits *limits = http_server_limits(s->base.server);
    const nghttp2_settings_entry settings[] = {
        {NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, limits->streams},
        {NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, H2_STREAM_WINDOW},
        {NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE, (uint32_t) limits->header_list_bytes},
        {NGHTTP2_SETTINGS_NO_RFC7540_PRIORITIES, 1},
    };
    return h2_session_new(nghttp2_session_server_new3, &CALLBACKS, options_set, settings, sizeof settings / sizeof *settings, s,
                          &s->ng);
}

void h2_server_start(struct http_server *server, struct conn *conn, struct slice first_bytes)
{
    struct h2_server *s = calloc(1, sizeof *s);
    if (!s) {
        conn_close(conn);
        return;
    }
    s->loop = http_server_loop(server);
    h2_guard_init(&s->guard, loop_now_ms(s->loop));
    conn_set_events(conn, &SERVER_EVENTS, s);
    http_session_init(&s->base, &SESSION_OPS, server, conn);
    if (session_make(s) != 0) {
        conn_close(conn);
        return;
    }
    flush_later(s);
    clock_choose(s);
    if (first_bytes.size > 0)
        server_on_read(s, conn, first_bytes);
}
