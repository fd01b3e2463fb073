/* HTTP/2 on the asking side. As on the serving side, receive callbacks only submit, and everything is sent in one deferred
 * flush. */
#include <stdlib.h>

#include "base/err.h"
#include "net/h2_common.h"

enum {
    FREE_CALLS = 64,
    STREAMS_BEFORE_SETTINGS = 100, /* RFC 9113 6.5.2 recommends that a server allow at least as many */
    RESPONSE_LIST_BYTES = 64 * 1024,
    SETTINGS_TIMEOUT_MS = 5000,
};

struct h2_client;

struct h2_call {
    struct http_call base;
    struct h2_client *client;
    struct h2_call *next, **prev;
    struct h2_stream stream; /* fields: of the answer, then of its trailers; ended: the caller has said `last` */
    struct loop_deferred writable;
    int status;       /* of the head being received */
    uint32_t code;    /* of the RST_STREAM that came or went */
    bool head_sent;   /* the request's head left nghttp2 */
    bool answered;    /* on_head was called */
    bool complete;    /* the answer's END_STREAM came */
    bool body_sent;   /* END_STREAM went out */
    bool canceled;    /* by us */
    bool too_large;
};

struct h2_client {
    struct http_client base;
    struct loop *loop;
    nghttp2_session *ng;
    struct loop_deferred flush;
    struct loop_timer timer; /* until the peer's SETTINGS */
    struct h2_call *calls, *free;
    size_t active, free_count;
    bool open, settled;
    bool tls;
    bool draining; /* takes no new calls */
    bool finishing;
};

static void h2_client_flush(void *arg);

static void flush_later(struct h2_client *c)
{
    if (c->open)
        loop_defer(c->loop, &c->flush, h2_client_flush, c);
}

/* ---- calls: memory ---- */

static const struct http_call_ops CALL_OPS;

static struct h2_call *call_take(struct h2_client *c)
{
    struct h2_call *call = c->free;
    if (call) {
        c->free = call->next;
        c->free_count--;
        return call;
    }
    call = calloc(1, sizeof *call);
    if (!call || h2_stream_init(&call->stream) == 0)
        return call;
    free(call);
    return NULL;
}

static void call_destroy(struct h2_call *call)
{
    h2_stream_dispose(&call->stream);
    free(call);
}

static struct h2_call *call_open(struct h2_client *c, const struct http_call_events *events, void *ctx)
{
    struct h2_call *call = call_take(c);
    if (!call)
        return NULL;
    *call = (struct h2_call){.base = {&CALL_OPS, events, ctx, -1}, .client = c, .stream = call->stream};
    call->next = c->calls;
    call->prev = &c->calls;
    if (call->next)
        call->next->prev = &call->next;
    c->calls = call;
    c->active++;
    return call;
}

static void call_unlink(struct h2_call *call)
{
    *call->prev = call->next;
    if (call->next)
        call->next->prev = call->prev;
    call->client->active--;
    loop_defer_cancel(&call->writable);
}

static void call_recycle(struct h2_call *call)
{
    struct h2_client *c = call->client;
    if (c->free_count >= FREE_CALLS) {
        call_destroy(call);
        return;
    }
    h2_stream_reset(&call->stream);
    call->next = c->free;
    c->free = call;
    c->free_count++;
}

static void call_close(struct h2_call *call, int err, enum http_sent sent)
{
    const struct http_header *trailers = call->complete ? call->stream.fields.at : NULL;
    call_unlink(call);
    call->canceled = true;
    call->base.events->on_close(call->base.ctx, &call->base, err, sent, call->code, trailers,
                                trailers ? call->stream.fields.count : 0);
    call_recycle(call);
}

/* ---- sending ---- */

static void client_end_when_idle(struct h2_client *c)
{
    if (c->finishing && c->active == 0)
        nghttp2_session_terminate_session(c->ng, NGHTTP2_NO_ERROR);
}

static void h2_client_flush(void *arg)
{
    struct h2_client *c = arg;
    client_end_when_idle(c);
    if (h2_pump(c->ng, c->base.conn) != 0 || nghttp2_session_get_outbound_queue_size(c->ng) > H2_CONTROL_QUEUE_MAX) {
        conn_close(c->base.conn);
        return;
    }
    if (!nghttp2_session_want_read(c->ng) && !nghttp2_session_want_write(c->ng))
        conn_finish(c->base.conn);
}

static ssize_t on_data_wanted(nghttp2_session *ng, int32_t id, uint8_t *room, size_t length, uint32_t *flags,
                              nghttp2_data_source *source, void *ctx)
{
    struct h2_call *call = source->ptr;
    (void) ng;
    (void) id;
    (void) room;
    (void) ctx;
    return h2_stream_ready(&call->stream, length, flags);
}

static void call_writable(void *arg)
{
    struct h2_call *call = arg;
    call->base.events->on_writable(call->base.ctx, &call->base);
}

static int on_send_data(nghttp2_session *ng, nghttp2_frame *frame, const uint8_t *framehd, size_t length,
                        nghttp2_data_source *source, void *ctx)
{
    struct h2_client *c = ctx;
    struct h2_call *call = source->ptr;
    (void) ng;
    (void) frame;
    if (h2_is_full(c->base.conn))
        return NGHTTP2_ERR_WOULDBLOCK;
    int err = h2_write_data(c->base.conn, framehd, h2_queue_take(&call->stream.out, length));
    if (h2_stream_ran_low(&call->stream) && call->base.events->on_writable)
        loop_defer(c->loop, &call->writable, call_writable, call);
    return err;
}

static int on_frame_sent(nghttp2_session *ng, const nghttp2_frame *frame, void *ctx)
{
    struct h2_call *call = nghttp2_session_get_stream_user_data(ng, frame->hd.stream_id);
    (void) ctx;
    if (!call)
        return 0;
    if (frame->hd.type == NGHTTP2_HEADERS)
        call->head_sent = true;
    if (frame->hd.type == NGHTTP2_RST_STREAM)
        call->code = frame->rst_stream.error_code;
    if ((frame->hd.type == NGHTTP2_HEADERS || frame->hd.type == NGHTTP2_DATA) && frame->hd.flags & NGHTTP2_FLAG_END_STREAM)
        call->body_sent = true;
    return 0;
}

/* ---- calling ---- */

static bool call_is_open(const struct h2_call *call)
{
    return !call->canceled && !call->complete;
}

static void call_cancel(struct http_call *base)
{
    struct h2_call *call = (struct h2_call *) base;
    if (call->canceled)
        return;
    call->canceled = true;
    nghttp2_submit_rst_stream(call->client->ng, NGHTTP2_FLAG_NONE, call->stream.id, NGHTTP2_CANCEL);
    flush_later(call->client);
}

static int call_data(struct http_call *base, struct slice bytes, bool last)
{
    struct h2_call *call = (struct h2_call *) base;
    if (!call_is_open(call) || call->stream.ended)
        return GRID_ECLOSED;
    int err = h2_stream_put(&call->stream, bytes);
    if (err != 0)
        return err;
    call->stream.ended = last;
    h2_stream_wake(&call->stream, call->client->ng);
    flush_later(call->client);
    return 0;
}

static size_t call_queued(const struct http_call *base)
{
    return h2_queue_size(&((const struct h2_call *) base)->stream.out);
}

static void call_pause(struct http_call *base)
{
    ((struct h2_call *) base)->stream.paused = true;
}

static void call_resume(struct http_call *base)
{
    struct h2_call *call = (struct h2_call *) base;
    if (call->canceled)
        return;
    h2_stream_resume(&call->stream, call->client->ng);
    flush_later(call->client);
}

static const struct http_call_ops CALL_OPS = {call_data, call_queued, call_cancel, call_pause, call_resume};

static void request_head(struct h2_nv_list *list, const struct http_request_head *head, bool tls)
{
    list->count = 0;
    h2_nv_add(list, SLICE(":method"), head->method, true);
    h2_nv_add(list, SLICE(":scheme"), tls ? SLICE("https") : SLICE("http"), true);
    if (head->authority.size > 0)
        h2_nv_add(list, SLICE(":authority"), head->authority, true);
    h2_nv_add(list, SLICE(":path"), head->target, true);
    h2_nv_add_all(list, head->headers, head->header_count);
}

static size_t client_room(const struct h2_client *c)
{
    uint32_t limit = nghttp2_session_get_remote_settings(c->ng, NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS);
    if (!c->settled && limit > STREAMS_BEFORE_SETTINGS)
        limit = STREAMS_BEFORE_SETTINGS;
    return c->active < limit ? limit - c->active : 0;
}

static int client_call(struct http_client *base, const struct http_request_head *head, struct slice body, bool more,
                       const struct http_call_events *events, void *ctx, struct http_call **out)
{
    struct h2_client *c = (struct h2_client *) base;
    struct h2_nv_list list;
    if (c->draining)
        return GRID_ECLOSED;
    if (client_room(c) == 0)
        return GRID_EAGAIN;
    struct h2_call *call = call_open(c, events, ctx);
    if (!call)
        return GRID_ENOMEM;
    const nghttp2_data_provider provider = {.source.ptr = call, .read_callback = on_data_wanted};
    bool has_body = more || body.size > 0;
    call->stream.ended = !more;
    buf_set_wiped(&call->stream.out.bytes, conn_is_wiped(base->conn));
    request_head(&list, head, c->tls);
    int32_t id = h2_queue_append(&call->stream.out, body) == 0
                     ? nghttp2_submit_request(c->ng, NULL, list.at, list.count, has_body ? &provider : NULL, call)
                     : NGHTTP2_ERR_NOMEM;
    if (id < 0) {
        call_unlink(call);
        call_recycle(call);
        c->draining = id == NGHTTP2_ERR_STREAM_ID_NOT_AVAILABLE;
        return c->draining ? GRID_ECLOSED : GRID_ENOMEM;
    }
    call->stream.id = id;
    *out = &call->base;
    flush_later(c);
    return 0;
}

static bool client_usable(const struct http_client *base)
{
    return !((const struct h2_client *) base)->draining;
}

static size_t client_active(const struct http_client *base)
{
    return ((const struct h2_client *) base)->active;
}

static void client_finish(struct http_client *base)
{
    struct h2_client *c = (struct h2_client *) base;
    c->draining = c->finishing = true;
    if (c->open)
        flush_later(c);
    else if (c->active == 0)
        conn_close(base->conn);
}

static void client_close(struct http_client *base)
{
    ((struct h2_client *) base)->draining = true;
    conn_close(base->conn);
}

static const struct http_client_ops CLIENT_OPS = {client_call, client_usable, client_active, client_finish, client_close};

/* ---- receiving ---- */

/* A new list begins: the answer's head (anew after each 1xx), or its trailers. */
static int on_begin_headers(nghttp2_session *ng, const nghttp2_frame *frame, void *ctx)
{
    struct h2_call *call = nghttp2_session_get_stream_user_data(ng, frame->hd.stream_id);
    (void) ctx;
    if (call) {
        h2_fields_reset(&call->stream.fields);
        call->status = 0;
    }
    return 0;
}

static int status_parse(struct slice value)
{
    uint64_t status;
    return slice_parse_u64(value, 999, &status) == 0 ? (int) status : 0;
}

static int on_header(nghttp2_session *ng, const nghttp2_frame *frame, const uint8_t *name, size_t name_size, const uint8_t *value,
                     size_t value_size, uint8_t flags, void *ctx)
{
    struct h2_call *call = nghttp2_session_get_stream_user_data(ng, frame->hd.stream_id);
    struct slice n = slice_of(name, name_size), v = slice_of(value, value_size);
    (void) flags;
    (void) ctx;
    if (!call || call->too_large)
        return 0;
    if (slice_equal_str(n, ":status"))
        call->status = status_parse(v);
    else if (h2_fields_add(&call->stream.fields, n, v, RESPONSE_LIST_BYTES) != 0)
        call->too_large = true;
    return 0;
}

/* The answer is complete; what is left of the request is of no use to the other side. */
static void answer_ended(struct h2_call *call)
{
    call->complete = true;
    if (call->body_sent)
        return;
    nghttp2_submit_rst_stream(call->client->ng, NGHTTP2_FLAG_NONE, call->stream.id, NGHTTP2_NO_ERROR);
}

static void answer_head_arrived(struct h2_call *call, bool end)
{
    bool interim = !call->answered && call->status >= 100 && call->status < 200;
    if (call->too_large) {
        nghttp2_submit_rst_stream(call->client->ng, NGHTTP2_FLAG_NONE, call->stream.id, NGHTTP2_ENHANCE_YOUR_CALM);
        return;
    }
    if (!call->answered && !interim) {
        call->answered = true;
        if (!call->canceled)
            call->base.events->on_head(call->base.ctx, &call->base, call->status, call->stream.fields.at,
                                       call->stream.fields.count);
        h2_fields_reset(&call->stream.fields); /* gRPC's Trailers-Only is a head: no trailers come with it */
    }
    if (end)
        answer_ended(call);
}

static void client_drains(struct h2_client *c)
{
    if (c->draining)
        return;
    c->draining = true;
    if (c->base.events->on_draining)
        c->base.events->on_draining(c->base.ctx, &c->base);
}

static int on_frame(nghttp2_session *ng, const nghttp2_frame *frame, void *ctx)
{
    struct h2_client *c = ctx;
    struct h2_call *call = nghttp2_session_get_stream_user_data(ng, frame->hd.stream_id);
    bool end = frame->hd.flags & NGHTTP2_FLAG_END_STREAM;
    switch (frame->hd.type) {
    case NGHTTP2_HEADERS:
        if (call)
            answer_head_arrived(call, end);
        break;
    case NGHTTP2_DATA:
        if (call && end) {
            h2_fields_reset(&call->stream.fields); /* no trailers */
            answer_ended(call);
        }
        break;
    case NGHTTP2_RST_STREAM:
        if (call)
            call->code = frame->rst_stream.error_code;
        break;
    case NGHTTP2_SETTINGS:
        c->settled = true;
        loop_timer_stop(&c->timer);
        break;
    case NGHTTP2_GOAWAY:
        client_drains(c);
        break;
    default:
        break;
    }
    return 0;
}

static int on_data_chunk(nghttp2_session *ng, uint8_t flags, int32_t id, const uint8_t *data, size_t size, void *ctx)
{
    struct h2_call *call = nghttp2_session_get_stream_user_data(ng, id);
    (void) flags;
    (void) ctx;
    nghttp2_session_consume_connection(ng, size);
    if (call && !call->canceled)
        call->base.events->on_data(call->base.ctx, &call->base, slice_of(data, size));
    if (call)
        h2_stream_took(&call->stream, ng, size);
    else
        nghttp2_session_consume_stream(ng, id, size);
    return 0;
}

/* What the end of a stream means to whoever asked (RFC 9113 section 7, 8.7). */
static int error_of_stream(const struct h2_call *call, uint32_t code, bool canceled)
{
    if (call->complete)
        return 0;
    if (canceled)
        return GRID_ECANCELED;
    if (call->too_large || code == NGHTTP2_ENHANCE_YOUR_CALM)
        return GRID_ELIMIT;
    if (code == NGHTTP2_REFUSED_STREAM || !call->head_sent)
        return GRID_EREFUSED;
    return code == NGHTTP2_PROTOCOL_ERROR ? GRID_EPROTO : GRID_ECLOSED;
}

static enum http_sent sent_of_stream(const struct h2_call *call, uint32_t code)
{
    if (call->answered)
        return HTTP_ANSWERED;
    return !call->head_sent || code == NGHTTP2_REFUSED_STREAM ? HTTP_NOT_SENT : HTTP_SENT;
}

/* Also for the streams above a GOAWAY's last id: nghttp2 closes them with REFUSED_STREAM. */
static int on_stream_closed(nghttp2_session *ng, int32_t id, uint32_t code, void *ctx)
{
    struct h2_call *call = nghttp2_session_get_stream_user_data(ng, id);
    struct h2_client *c = ctx;
    if (!call)
        return 0;
    nghttp2_session_set_stream_user_data(ng, id, NULL);
    if (call->code == 0)
        call->code = code;
    call_close(call, error_of_stream(call, code, call->canceled), sent_of_stream(call, code));
    flush_later(c);
    return 0;
}

/* ---- the connection ---- */

static void on_settings_timeout(void *arg)
{
    struct h2_client *c = arg;
    conn_close(c->base.conn);
}

static void client_on_open(void *ctx, struct conn *conn)
{
    struct h2_client *c = ctx;
    (void) conn;
    c->open = true;
    loop_timer_start(c->loop, &c->timer, SETTINGS_TIMEOUT_MS, on_settings_timeout, c);
    flush_later(c);
    if (c->base.events->on_open)
        c->base.events->on_open(c->base.ctx, &c->base);
}

static void client_on_read(void *ctx, struct conn *conn, struct slice bytes)
{
    struct h2_client *c = ctx;
    if (nghttp2_session_mem_recv(c->ng, bytes.data, bytes.size) < 0) {
        conn_close(conn);
        return;
    }
    flush_later(c);
}

static void client_on_drained(void *ctx, struct conn *conn)
{
    (void) conn;
    flush_later(ctx);
}

static void client_dispose(struct h2_client *c)
{
    loop_defer_cancel(&c->flush);
    loop_timer_stop(&c->timer);
    while (c->free) {
        struct h2_call *call = c->free;
        c->free = call->next;
        call_destroy(call);
    }
    h2_session_delete(c->ng);
    free(c);
}

static void client_on_close(void *ctx, struct conn *conn, int err)
{
    struct h2_client *c = ctx;
    (void) conn;
    c->draining = true;
    while (c->calls) {
        struct h2_call *call = c->calls;
        int why = call->complete ? 0 : call->canceled ? GRID_ECANCELED : !c->open && err != 0 ? err : GRID_ECLOSED;
        call_close(call, why, c->open ? sent_of_stream(call, 0) : HTTP_NOT_SENT);
    }
    c->base.events->on_close(c->base.ctx, &c->base, err);
    client_dispose(c);
}

static const struct conn_events CLIENT_EVENTS = {
    .on_open = client_on_open,
    .on_read = client_on_read,
    .on_drained = client_on_drained,
    .on_close = client_on_close,
};

static const struct h2_callbacks CALLBACKS = {
    .on_begin_headers = on_begin_headers,
    .on_header = on_header,
    .on_frame = on_frame,
    .on_data_chunk = on_data_chunk,
    .on_stream_closed = on_stream_closed,
    .on_frame_sent = on_frame_sent,
    .on_send_data = on_send_data,
};

static void options_set(nghttp2_option *option)
{
    nghttp2_option_set_peer_max_concurrent_streams(option, UINT32_MAX); /* client_room counts */
}

static int session_make(struct h2_client *c)
{
    static const nghttp2_settings_entry settings[] = {
        {NGHTTP2_SETTINGS_ENABLE_PUSH, 0},
        {NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, H2_STREAM_WINDOW},
        {NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE, RESPONSE_LIST_BYTES},
    };
    return h2_session_new(nghttp2_session_client_new3, &CALLBACKS, options_set, settings, sizeof settings / sizeof *settings, c,
                          &c->ng);
}

int http2_client_dial(struct loop *l, const struct addr *to, const struct conn_options *options,
                      const struct http_client_events *events, void *ctx, struct http_client **out)
{
    struct h2_client *c = calloc(1, sizeof *c);
    if (!c)
        return GRID_ENOMEM;
    c->base = (struct http_client){.ops = &CLIENT_OPS, .events = events, .ctx = ctx};
    c->loop = l;
    c->tls = options && options->tls;
    int err = session_make(c);
    if (err == 0)
        err = conn_dial(l, to, options, &CLIENT_EVENTS, c, &c->base.conn);
    if (err != 0) {
        client_dispose(c);
        return err;
    }
    *out = &c->base;
    return 0;
}
