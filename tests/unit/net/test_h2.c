/* HTTP/2, both sides over loopback, and what a hostile client gets; raw frames where our own client is too polite. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <nghttp2/nghttp2.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/err.h"
#include "net/h2_guard.h"
#include "net/http.h"
#include "tests/unit/net/pump.h"

enum { BIG_BYTES = 8 << 20 };

/* ---- a server whose path says what it does ---- */

struct world {
    struct loop *loop;
    struct listener *listener;
    struct addr at;
    struct http_server *server;
    struct http_client *client;
    int requests, ends, overdue, closed_ok, closed_canceled, server_drained, server_closed;
    int client_opened, client_draining, client_closed, client_err;
    struct http_exchange *held, *flow;
    uint64_t came_ms, idle_ms; /* of a body, before it was overdue */
    size_t received, queued_most;
    struct http_server_limits limits;
};

struct handler {
    struct world *world;
    struct buf body;
    size_t left; /* of a big answer */
};

static void big_go_on(struct handler *h, struct http_exchange *x)
{
    static uint8_t block[32 * 1024];
    while (h->left > 0 && http_exchange_queued(x) < 256 * 1024) {
        size_t size = h->left < sizeof block ? h->left : sizeof block;
        http_respond_data(x, slice_of(block, size));
        h->left -= size;
    }
    if (http_exchange_queued(x) > h->world->queued_most)
        h->world->queued_most = http_exchange_queued(x);
    if (h->left == 0)
        http_respond_end(x, NULL, 0);
}

static bool path_is(struct http_exchange *x, const char *path)
{
    return slice_equal_str(http_exchange_head(x)->target, path);
}

static void handler_on_data(void *ctx, struct http_exchange *x, struct slice bytes)
{
    struct handler *h = ctx;
    h->world->received += bytes.size;
    h->world->came_ms = loop_now_ms(h->world->loop);
    if (path_is(x, "/echo") || path_is(x, "/trailers"))
        assert_int_equal(buf_append(&h->body, bytes), 0);
}

static void handler_on_end(void *ctx, struct http_exchange *x)
{
    static const struct http_header trailer = {SLICE_INIT("grpc-status"), SLICE_INIT("0")};
    static const struct http_header header = {SLICE_INIT("x-a"), SLICE_INIT("b")};
    struct handler *h = ctx;
    h->world->ends++;
    if (path_is(x, "/echo")) {
        http_respond(x, 200, &header, 1, buf_slice(&h->body));
    } else if (path_is(x, "/trailers")) {
        http_respond_begin(x, 200, &header, 1);
        http_respond_data(x, buf_slice(&h->body));
        http_respond_end(x, &trailer, 1);
    } else if (path_is(x, "/big")) {
        http_respond_begin(x, 200, NULL, 0);
        h->left = BIG_BYTES;
        big_go_on(h, x);
    } else if (path_is(x, "/burst")) {
        static uint8_t block[512 * 1024];
        http_respond(x, 200, NULL, 0, slice_of(block, sizeof block));
    } else if (path_is(x, "/head-only")) {
        http_respond_head_only(x, 200, &trailer, 1);
    } else if (path_is(x, "/huge-head")) {
        static uint8_t value[80 * 1024];
        memset(value, 'a', sizeof value);
        http_respond(x, 200, &(struct http_header){SLICE("x-a"), slice_of(value, sizeof value)}, 1, SLICE("body"));
    } else if (path_is(x, "/huge-trailers")) {
        static uint8_t value[80 * 1024];
        memset(value, 'a', sizeof value);
        http_respond_begin(x, 200, NULL, 0);
        http_respond_data(x, SLICE("body"));
        http_respond_end(x, &(struct http_header){SLICE("x-a"), slice_of(value, sizeof value)}, 1);
    } else if (path_is(x, "/refuse")) {
        http_exchange_reset(x, NGHTTP2_REFUSED_STREAM);
    } else if (path_is(x, "/half")) {
        http_respond_begin(x, 200, NULL, 0);
        http_respond_data(x, SLICE("half"));
    }
}

static void handler_on_writable(void *ctx, struct http_exchange *x)
{
    big_go_on(ctx, x);
}

static void handler_on_close(void *ctx, struct http_exchange *x, int err)
{
    struct handler *h = ctx;
    if (err == 0)
        h->world->closed_ok++;
    else
        h->world->closed_canceled++;
    if (h->world->held == x)
        h->world->held = NULL;
    buf_dispose(&h->body);
    free(h);
}

static void handler_on_overdue(void *ctx, struct http_exchange *x, int status)
{
    struct handler *h = ctx;
    h->world->overdue = status;
    h->world->idle_ms = loop_now_ms(h->world->loop) - h->world->came_ms;
    http_respond(x, status, NULL, 0, SLICE("late"));
}

static const struct http_exchange_events HANDLER = {handler_on_data, handler_on_end, handler_on_writable, handler_on_close, handler_on_overdue};
/* Of a handler that lives with the request as it comes. */
static const struct http_exchange_events STREAM_HANDLER = {handler_on_data, handler_on_end, handler_on_writable, handler_on_close, NULL};

static void on_request(void *ctx, struct http_exchange *x)
{
    struct world *w = ctx;
    struct handler *h = calloc(1, sizeof *h);
    h->world = w;
    buf_init(&h->body, 0);
    w->requests++;
    w->held = x;
    if (path_is(x, "/flow"))
        w->flow = x;
    http_exchange_bind(x, path_is(x, "/flow") ? &STREAM_HANDLER : &HANDLER, h);
    if (path_is(x, "/early"))
        http_respond(x, 403, NULL, 0, SLICE("no"));
    if (path_is(x, "/paused"))
        http_exchange_pause(x);
}

static void on_accept(void *ctx, int fd, const struct addr *from)
{
    struct world *w = ctx;
    (void) from;
    http_server_accept(w->server, fd, NULL);
}

/* ---- our client ---- */

struct asked {
    struct http_call *call;
    struct buf body;
    int status, closed, err, data;
    enum http_sent sent;
    uint32_t code;
    bool cancel_on_data;
    char trailer[16];
    char header[16];
};

static void copy_field(char out[16], const struct http_header *headers, size_t count, const char *name)
{
    struct slice value = slice_first(http_header_find(headers, count, name), 15);
    if (value.size > 0)
        memcpy(out, value.data, value.size);
    out[value.size] = '\0';
}

static void asked_on_head(void *ctx, struct http_call *c, int status, const struct http_header *headers, size_t count)
{
    struct asked *a = ctx;
    (void) c;
    a->status = status;
    copy_field(a->header, headers, count, "x-a");
}

static void asked_on_data(void *ctx, struct http_call *c, struct slice bytes)
{
    struct asked *a = ctx;
    a->data += (int) bytes.size;
    assert_int_equal(buf_append(&a->body, bytes), 0);
    if (a->cancel_on_data)
        http_call_cancel(c);
}

static void asked_on_close(void *ctx, struct http_call *c, int err, enum http_sent sent, uint32_t code, const struct http_header *trailers, size_t count)
{
    struct asked *a = ctx;
    (void) c;
    a->call = NULL;
    a->closed++;
    a->err = err;
    a->sent = sent;
    a->code = code;
    copy_field(a->trailer, trailers, count, "grpc-status");
    buf_dispose(&a->body);
}

static const struct http_call_events ASKED = {asked_on_head, asked_on_data, asked_on_close, NULL};

static void client_on_open(void *ctx, struct http_client *c)
{
    (void) c;
    ((struct world *) ctx)->client_opened++;
}

static void client_on_draining(void *ctx, struct http_client *c)
{
    (void) c;
    ((struct world *) ctx)->client_draining++;
}

static void client_on_close(void *ctx, struct http_client *c, int err)
{
    struct world *w = ctx;
    (void) c;
    w->client = NULL;
    w->client_closed++;
    w->client_err = err;
}

static const struct http_client_events CLIENT = {client_on_open, client_on_draining, client_on_close};

static int ask(struct world *w, struct asked *a, const char *path, struct slice body, bool more)
{
    const struct http_request_head head = {.method = SLICE("POST"), .target = slice_of_str(path), .authority = SLICE("localhost")};
    *a = (struct asked){.closed = 0};
    buf_init(&a->body, 0);
    return http_client_call(w->client, &head, body, more, &ASKED, a, &a->call);
}

/* ---- set-up ---- */

static void count_up(void *arg)
{
    ++*(int *) arg;
}

static void world_serve(struct world *w, const struct http_server_limits *limits)
{
    struct addr at;
    *w = (struct world){.limits = *limits};
    addr_loopback_v4(0, &at);
    assert_int_equal(loop_create(&w->loop), 0);
    assert_int_equal(http_server_create(w->loop, limits, on_request, w, &w->server), 0);
    assert_int_equal(listener_create(w->loop, &at, NULL, on_accept, w, &w->at, &w->listener), 0);
}

static void world_open(struct world *w)
{
    struct http_server_limits limits = HTTP_SERVER_LIMITS_DEFAULT;
    limits.streams = 1000;
    world_serve(w, &limits);
    assert_int_equal(http2_client_dial(w->loop, &w->at, NULL, &CLIENT, w, &w->client), 0);
}

static void world_shut(struct world *w)
{
    listener_close(w->listener);
    if (w->client)
        http_client_close(w->client);
    http_server_close(w->server, count_up, &w->server_closed);
    PUMP(w->loop, w->server_closed, 1);
    loop_destroy(w->loop);
    assert_null(w->client);
    assert_int_equal(w->closed_ok + w->closed_canceled, w->requests);
}

/* ---- calls ---- */

static void test_h2__echoes_a_thousand_streams_at_once(void **state)
{
    (void) state;
    enum { COUNT = 1000 };
    struct world w;
    struct asked warm;
    static struct asked calls[COUNT];
    world_open(&w);
    assert_int_equal(ask(&w, &warm, "/echo", SLICE("w"), false), 0); /* queued before the connection is open */
    PUMP(w.loop, warm.closed, 1);
    for (int i = 0; i < COUNT; i++)
        assert_int_equal(ask(&w, &calls[i], "/echo", SLICE("payload"), false), 0);
    struct asked beyond;
    assert_int_equal(ask(&w, &beyond, "/echo", SLICE("x"), false), GRID_EAGAIN);
    PUMP(w.loop, w.closed_ok, COUNT + 1);
    for (int i = 0; i < COUNT; i++) {
        PUMP(w.loop, calls[i].closed, 1);
        assert_int_equal(calls[i].err, 0);
        assert_int_equal(calls[i].status, 200);
        assert_int_equal(calls[i].data, 7);
        assert_string_equal(calls[i].header, "b");
        assert_int_equal(calls[i].sent, HTTP_ANSWERED);
    }
    assert_int_equal(http_client_active(w.client), 0);
    world_shut(&w);
}

static void test_h2__carries_trailers_and_streams_a_request_in_pieces(void **state)
{
    (void) state;
    struct world w;
    struct asked a;
    world_open(&w);
    assert_int_equal(ask(&w, &a, "/trailers", SLICE("one "), true), 0);
    PUMP(w.loop, w.requests, 1);
    assert_int_equal(http_call_data(a.call, SLICE("two"), true), 0);
    PUMP(w.loop, a.closed, 1);
    assert_int_equal(a.err, 0);
    assert_int_equal(a.data, 7);
    assert_string_equal(a.trailer, "0");
    assert_int_equal(ask(&w, &a, "/head-only", SLICE(""), false), 0);
    PUMP(w.loop, a.closed, 1);
    assert_int_equal(a.err, 0);
    assert_int_equal(a.status, 200);
    assert_int_equal(a.data, 0);
    world_shut(&w);
}

static void test_h2__sends_large_bodies_both_ways_within_its_queues(void **state)
{
    (void) state;
    struct world w;
    struct asked up, down;
    uint8_t *block = calloc(1, BIG_BYTES);
    world_open(&w);
    assert_int_equal(ask(&w, &up, "/echo", slice_of(block, BIG_BYTES), false), 0);
    PUMP(w.loop, up.closed, 1);
    assert_int_equal(up.err, 0);
    assert_int_equal(up.data, BIG_BYTES);
    assert_int_equal(ask(&w, &down, "/big", SLICE(""), false), 0);
    PUMP(w.loop, down.closed, 1);
    assert_int_equal(down.data, BIG_BYTES);
    assert_true(w.queued_most <= 320 * 1024);
    free(block);
    world_shut(&w);
}

static void test_h2__a_paused_request_body_stops_at_the_stream_window(void **state)
{
    (void) state;
    struct world w;
    struct asked a;
    int never = 0;
    uint8_t *block = calloc(1, BIG_BYTES);
    world_open(&w);
    assert_int_equal(ask(&w, &a, "/paused", slice_of(block, BIG_BYTES), false), 0);
    PUMP(w.loop, w.requests, 1);
    pump_until_value(w.loop, &never, 1, 200);
    assert_int_equal(w.ends, 0);
    assert_true(w.received > 0 && w.received <= 1024 * 1024);
    http_exchange_resume(w.held);
    PUMP(w.loop, w.ends, 1);
    assert_int_equal(w.received, BIG_BYTES);
    free(block);
    world_shut(&w);
}

static void test_h2__an_answer_before_the_requests_end_stops_the_request(void **state)
{
    (void) state;
    struct world w;
    struct asked a;
    world_open(&w);
    assert_int_equal(ask(&w, &a, "/early", SLICE("begin"), true), 0);
    PUMP(w.loop, a.closed, 1);
    assert_int_equal(a.err, 0);
    assert_int_equal(a.status, 403);
    PUMP(w.loop, w.closed_ok, 1);
    world_shut(&w);
}

static void test_h2__a_refused_stream_was_not_sent(void **state)
{
    (void) state;
    struct world w;
    struct asked a;
    world_open(&w);
    assert_int_equal(ask(&w, &a, "/refuse", SLICE(""), false), 0);
    PUMP(w.loop, a.closed, 1);
    assert_int_equal(a.err, GRID_EREFUSED);
    assert_int_equal(a.sent, HTTP_NOT_SENT);
    assert_int_equal(a.code, NGHTTP2_REFUSED_STREAM);
    world_shut(&w);
}

/* nghttp2 drops such a head and says so to nobody but a callback. */
static void test_h2__an_answer_whose_header_is_too_large_is_broken_off(void **state)
{
    static const char *const paths[] = {"/huge-head", "/huge-trailers"};
    (void) state;
    struct world w;
    struct asked a;
    world_open(&w);
    for (size_t i = 0; i < sizeof paths / sizeof *paths; i++) {
        assert_int_equal(ask(&w, &a, paths[i], SLICE("x"), false), 0);
        PUMP(w.loop, a.closed, 1);
        assert_int_not_equal(a.err, 0);
        assert_int_equal(a.code, NGHTTP2_INTERNAL_ERROR);
    }
    assert_int_equal(ask(&w, &a, "/echo", SLICE("x"), false), 0); /* the connection goes on */
    PUMP(w.loop, a.closed, 1);
    assert_int_equal(a.err, 0);
    world_shut(&w);
}

static void test_h2__cancel_reaches_the_handler_and_comes_back_later(void **state)
{
    (void) state;
    struct world w;
    struct asked held, half;
    world_open(&w);
    assert_int_equal(ask(&w, &held, "/hold", SLICE(""), false), 0);
    PUMP(w.loop, w.ends, 1);
    http_call_cancel(held.call);
    assert_int_equal(held.closed, 0);
    PUMP(w.loop, held.closed, 1);
    assert_int_equal(held.err, GRID_ECANCELED);
    assert_int_equal(held.sent, HTTP_SENT);
    PUMP(w.loop, w.closed_canceled, 1);
    assert_int_equal(ask(&w, &half, "/half", SLICE(""), false), 0);
    half.cancel_on_data = true;
    PUMP(w.loop, half.closed, 1);
    assert_int_equal(half.err, GRID_ECANCELED);
    assert_int_equal(half.sent, HTTP_ANSWERED);
    PUMP(w.loop, w.closed_canceled, 2);
    world_shut(&w);
}

static void test_h2__a_connection_lost_in_the_middle_ends_every_call(void **state)
{
    (void) state;
    struct world w;
    struct asked held, half;
    world_open(&w);
    assert_int_equal(ask(&w, &held, "/hold", SLICE(""), false), 0);
    assert_int_equal(ask(&w, &half, "/half", SLICE(""), false), 0);
    PUMP(w.loop, half.data, 4);
    conn_close(http_exchange_conn(w.held));
    PUMP(w.loop, w.client_closed, 1);
    assert_int_equal(held.err, GRID_ECLOSED);
    assert_int_equal(held.sent, HTTP_SENT);
    assert_int_equal(half.err, GRID_ECLOSED);
    assert_int_equal(half.sent, HTTP_ANSWERED);
    PUMP(w.loop, w.closed_canceled, 2);
    world_shut(&w);
}

static void test_h2__calls_on_a_connection_that_never_opened_were_not_sent(void **state)
{
    (void) state;
    struct world w;
    struct asked a;
    world_serve(&w, &HTTP_SERVER_LIMITS_DEFAULT);
    listener_close(w.listener);
    assert_int_equal(http2_client_dial(w.loop, &w.at, NULL, &CLIENT, &w, &w.client), 0);
    assert_int_equal(ask(&w, &a, "/echo", SLICE(""), false), 0);
    PUMP(w.loop, w.client_closed, 1);
    assert_int_equal(a.closed, 1);
    assert_int_equal(a.err, GRID_EREFUSED);
    assert_int_equal(a.sent, HTTP_NOT_SENT);
    http_server_close(w.server, count_up, &w.server_closed);
    PUMP(w.loop, w.server_closed, 1);
    loop_destroy(w.loop);
}

static void test_h2__drain_finishes_what_is_in_flight_and_tells_the_client(void **state)
{
    (void) state;
    struct world w;
    struct asked held, late;
    world_open(&w);
    assert_int_equal(ask(&w, &held, "/hold", SLICE(""), false), 0);
    PUMP(w.loop, w.ends, 1);
    http_server_drain(w.server, count_up, &w.server_drained);
    PUMP(w.loop, w.client_draining, 1);
    assert_int_equal(ask(&w, &late, "/echo", SLICE(""), false), GRID_ECLOSED);
    assert_int_equal(w.server_drained, 0);
    http_respond(w.held, 200, NULL, 0, SLICE("done"));
    PUMP(w.loop, held.closed, 1);
    assert_int_equal(held.err, 0);
    PUMP(w.loop, w.server_drained, 1);
    PUMP(w.loop, w.client_closed, 1);
    assert_int_equal(w.client_err, 0);
    world_shut(&w);
}

static void test_h2__client_finish_waits_for_its_calls(void **state)
{
    (void) state;
    struct world w;
    struct asked held;
    world_open(&w);
    assert_int_equal(ask(&w, &held, "/hold", SLICE(""), false), 0);
    PUMP(w.loop, w.ends, 1);
    http_client_finish(w.client);
    assert_false(http_client_usable(w.client));
    http_respond(w.held, 200, NULL, 0, SLICE("done"));
    PUMP(w.loop, w.client_closed, 1);
    assert_int_equal(held.err, 0);
    assert_int_equal(w.client_err, 0);
    world_shut(&w);
}

/* ---- raw clients ---- */

struct raw {
    struct loop *loop; /* of a raw server */
    struct conn *conn;
    bool server_side;
    struct buf got;
    int opened, closed, goaway, streams_reset, data_bytes, status_headers;
    uint32_t goaway_code, reset_code;
    char debug[32];
};

/* Counts the frames that have arrived whole. */
static void raw_parse(struct raw *r)
{
    size_t at = r->server_side ? 24 : 0; /* behind the preface */
    r->goaway = r->streams_reset = r->data_bytes = r->status_headers = 0;
    while (at + 9 <= r->got.size) {
        const uint8_t *f = r->got.data + at;
        size_t length = (size_t) f[0] << 16 | (size_t) f[1] << 8 | f[2];
        if (at + 9 + length > r->got.size)
            return;
        r->streams_reset += f[3] == NGHTTP2_RST_STREAM;
        if (f[3] == NGHTTP2_RST_STREAM)
            r->reset_code = (uint32_t) f[9] << 24 | (uint32_t) f[10] << 16 | (uint32_t) f[11] << 8 | f[12];
        r->status_headers += f[3] == NGHTTP2_HEADERS;
        r->data_bytes += f[3] == NGHTTP2_DATA ? (int) length : 0;
        if (f[3] == NGHTTP2_GOAWAY) {
            size_t text = length - 8 < sizeof r->debug - 1 ? length - 8 : sizeof r->debug - 1;
            r->goaway++;
            r->goaway_code = (uint32_t) f[13] << 24 | (uint32_t) f[14] << 16 | (uint32_t) f[15] << 8 | f[16];
            memcpy(r->debug, f + 17, text);
            r->debug[text] = '\0';
        }
        at += 9 + length;
    }
}

static void raw_on_open(void *ctx, struct conn *c)
{
    (void) c;
    ((struct raw *) ctx)->opened++;
}

static void raw_on_read(void *ctx, struct conn *c, struct slice bytes)
{
    struct raw *r = ctx;
    (void) c;
    assert_int_equal(buf_append(&r->got, bytes), 0);
    raw_parse(r);
}

static void raw_on_close(void *ctx, struct conn *c, int err)
{
    struct raw *r = ctx;
    (void) c;
    (void) err;
    r->conn = NULL;
    r->closed++;
}

static const struct conn_events RAW = {.on_open = raw_on_open, .on_read = raw_on_read, .on_close = raw_on_close};

static void raw_send(struct raw *r, const void *bytes, size_t size)
{
    if (r->conn)
        conn_write(r->conn, slice_of(bytes, size));
}

static void raw_frame(struct raw *r, uint8_t type, uint8_t flags, uint32_t stream, const void *payload, size_t size)
{
    const uint8_t head[9] = {(uint8_t) (size >> 16), (uint8_t) (size >> 8), (uint8_t) size, type, flags, (uint8_t) (stream >> 24),
                             (uint8_t) (stream >> 16), (uint8_t) (stream >> 8), (uint8_t) stream};
    raw_send(r, head, sizeof head);
    raw_send(r, payload, size);
}

/* GET http /hold (or /big), all literal or static HPACK (RFC 7541 appendix A). */
static void raw_request(struct raw *r, uint32_t stream, const char *path, const char *extra_value, size_t extra_size)
{
    struct buf block;
    buf_init(&block, 0);
    buf_append(&block, SLICE("\x82\x86\x41\x01h")); /* :method GET, :scheme http, :authority h */
    buf_append_byte(&block, 0x04);
    buf_append_byte(&block, (uint8_t) strlen(path));
    buf_append_str(&block, path);
    if (extra_size > 0) { /* literal without indexing, name "x", a length of two bytes more than 126 */
        size_t rest = extra_size - 127;
        buf_append(&block, SLICE("\x00\x01x\x7f"));
        while (rest >= 128) {
            buf_append_byte(&block, (uint8_t) (rest % 128 | 128));
            rest /= 128;
        }
        buf_append_byte(&block, (uint8_t) rest);
        buf_append(&block, slice_of(extra_value, extra_size));
    }
    for (size_t at = 0; at < block.size;) {
        size_t size = block.size - at < 16000 ? block.size - at : 16000;
        bool last = at + size == block.size;
        raw_frame(r, at == 0 ? NGHTTP2_HEADERS : NGHTTP2_CONTINUATION, (uint8_t) ((at == 0 ? 1 : 0) | (last ? 4 : 0)), stream, block.data + at, size);
        at += size;
    }
    buf_dispose(&block);
}

static void raw_open(struct world *w, struct raw *r, bool settings)
{
    *r = (struct raw){.opened = 0};
    buf_init(&r->got, 0);
    assert_int_equal(conn_dial(w->loop, &w->at, NULL, &RAW, r, &r->conn), 0);
    PUMP(w->loop, r->opened, 1);
    if (settings) {
        raw_send(r, NGHTTP2_CLIENT_MAGIC, 24);
        raw_frame(r, NGHTTP2_SETTINGS, 0, 0, NULL, 0);
    }
}

static void raw_shut(struct world *w, struct raw *r)
{
    if (r->conn)
        conn_close(r->conn);
    buf_dispose(&r->got);
    world_shut(w);
}

static void world_raw(struct world *w, struct raw *r)
{
    world_serve(w, &HTTP_SERVER_LIMITS_DEFAULT);
    raw_open(w, r, true);
}

/* POST http of a path, whose body is to come. */
static void raw_post(struct raw *r, uint32_t stream, const char *path)
{
    char block[64];
    int size = snprintf(block, sizeof block, "\x83\x86\x41\x01h\x04%c%s", (int) strlen(path), path);
    raw_frame(r, NGHTTP2_HEADERS, NGHTTP2_FLAG_END_HEADERS, stream, block, (size_t) size);
}

static void test_h2__a_request_that_is_answered_early_may_end_by_itself(void **state)
{
    (void) state;
    struct world w;
    struct raw r;
    world_raw(&w, &r);
    raw_post(&r, 1, "/early");
    PUMP(w.loop, r.data_bytes, 2);
    raw_frame(&r, NGHTTP2_DATA, NGHTTP2_FLAG_END_STREAM, 1, "body", 4);
    PUMP(w.loop, w.closed_ok, 1);
    assert_int_equal(r.streams_reset, 0);
    raw_post(&r, 3, "/early"); /* this one goes on */
    PUMP(w.loop, r.streams_reset, 1);
    assert_int_equal(w.closed_ok, 2);
    raw_shut(&w, &r);
}

static void test_h2__a_host_unlike_the_authority_is_refused(void **state)
{
    (void) state;
    static const char same[] = "\x82\x86\x41\x01h\x04\x05/hold\x00\x04host\x01H", other[] = "\x82\x86\x41\x01h\x04\x05/hold\x00\x04host\x01i";
    struct world w;
    struct raw r;
    world_raw(&w, &r);
    raw_frame(&r, NGHTTP2_HEADERS, NGHTTP2_FLAG_END_HEADERS | NGHTTP2_FLAG_END_STREAM, 1, same, sizeof same - 1);
    PUMP(w.loop, w.requests, 1);
    raw_frame(&r, NGHTTP2_HEADERS, NGHTTP2_FLAG_END_HEADERS | NGHTTP2_FLAG_END_STREAM, 3, other, sizeof other - 1);
    PUMP(w.loop, r.status_headers, 1);
    assert_int_equal(w.requests, 1);
    raw_shut(&w, &r);
}

static void test_h2__a_reset_flood_is_told_to_calm_down(void **state)
{
    (void) state;
    static const uint8_t cancel[4] = {0, 0, 0, NGHTTP2_CANCEL};
    struct world w;
    struct raw r;
    world_raw(&w, &r);
    for (uint32_t i = 0; i < 400; i++) {
        raw_request(&r, 2 * i + 1, "/hold", NULL, 0);
        raw_frame(&r, NGHTTP2_RST_STREAM, 0, 2 * i + 1, cancel, 4);
    }
    PUMP(w.loop, r.closed, 1);
    assert_int_equal(r.goaway_code, NGHTTP2_ENHANCE_YOUR_CALM);
    assert_true(w.requests <= 260);
    raw_shut(&w, &r);
}

static void test_h2__making_us_reset_streams_counts_like_resetting_them(void **state)
{
    (void) state;
    static const uint8_t overflow[4] = {0x7f, 0xff, 0xff, 0xff}; /* WINDOW_UPDATE beyond 2^31-1: a stream error */
    struct world w;
    struct raw r;
    world_raw(&w, &r);
    for (uint32_t i = 0; i < 1000 && r.conn; i++) {
        raw_request(&r, 2 * i + 1, "/hold", NULL, 0);
        raw_frame(&r, NGHTTP2_WINDOW_UPDATE, 0, 2 * i + 1, overflow, 4);
        if (i % 50 == 49)
            uv_run(loop_uv(w.loop), UV_RUN_NOWAIT);
    }
    PUMP(w.loop, r.closed, 1);
    assert_int_equal(r.goaway_code, NGHTTP2_ENHANCE_YOUR_CALM);
    raw_shut(&w, &r);
}

static void test_h2__nuisance_frames_are_told_to_calm_down(void **state)
{
    (void) state;
    static const struct {
        uint8_t type;
        uint32_t stream;
        size_t size;
        const char *debug;
    } cases[] = {
        {NGHTTP2_PING, 0, 8, "too_many_pings"},           {NGHTTP2_SETTINGS, 0, 0, "too_many_control_frames"},
        {NGHTTP2_PRIORITY, 1, 5, "too_many_control_frames"}, {NGHTTP2_WINDOW_UPDATE, 1, 4, "too_many_control_frames"},
        {NGHTTP2_DATA, 1, 0, "too_many_control_frames"},  {0xee, 0, 4, "too_many_control_frames"},
    };
    static const uint8_t payload[8] = {0, 0, 0, 3, 1};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct world w;
        struct raw r;
        world_raw(&w, &r);
        raw_request(&r, 3, "/hold", NULL, 0);
        if (cases[i].stream == 1) { /* a stream with its body still open */
            static const uint8_t open[] = {0x83, 0x86, 0x41, 1, 'h', 0x04, 5, '/', 'h', 'o', 'l', 'd'};
            raw_frame(&r, NGHTTP2_HEADERS, 4, 5, open, sizeof open);
        }
        for (int n = 0; n < 8000; n++)
            raw_frame(&r, cases[i].type, 0, cases[i].stream == 1 ? 5 : 0, payload, cases[i].size);
        PUMP(w.loop, r.closed, 1);
        assert_int_equal(r.goaway_code, NGHTTP2_ENHANCE_YOUR_CALM);
        assert_string_equal(r.debug, cases[i].debug);
        raw_shut(&w, &r);
    }
}

static void test_h2__a_header_list_over_the_limit_is_answered_431(void **state)
{
    (void) state;
    enum { SIZE = 40000 };
    struct world w;
    struct raw r;
    char *value = malloc(SIZE);
    memset(value, 'a', SIZE);
    world_raw(&w, &r);
    raw_request(&r, 1, "/echo", value, SIZE);
    PUMP(w.loop, r.status_headers, 1);
    assert_int_equal(w.requests, 0);
    raw_request(&r, 3, "/echo", value, 1000);
    PUMP(w.loop, w.requests, 1);
    free(value);
    raw_shut(&w, &r);
}

static void test_h2__a_client_that_opens_no_window_gets_bounded_queues(void **state)
{
    (void) state;
    struct world w;
    struct raw r;
    int never = 0;
    world_raw(&w, &r);
    for (uint32_t i = 0; i < 20; i++)
        raw_request(&r, 2 * i + 1, "/big", NULL, 0);
    PUMP(w.loop, w.requests, 20);
    pump_until_value(w.loop, &never, 1, 100);
    assert_true(r.data_bytes <= 65535);
    assert_true(w.queued_most <= 320 * 1024);
    raw_shut(&w, &r);
}

static void test_h2__a_client_that_reads_nothing_is_left(void **state)
{
    (void) state;
    struct http_server_limits limits = HTTP_SERVER_LIMITS_DEFAULT;
    struct world w;
    struct raw r;
    limits.header_timeout_ms = 100;
    world_serve(&w, &limits);
    raw_open(&w, &r, true);
    for (uint32_t i = 0; i < 20; i++)
        raw_request(&r, 2 * i + 1, "/burst", NULL, 0);
    PUMP(w.loop, w.requests, 20);
    PUMP(w.loop, r.closed, 1);
    assert_true(r.data_bytes <= 65535);
    raw_shut(&w, &r);
}

static void test_h2__a_client_that_waits_for_100_gets_it(void **state)
{
    (void) state;
    static const uint8_t block[] = "\x83\x86\x41\x01h\x04\x05/echo\x00\x06" "expect\x0c" "100-continue";
    struct world w;
    struct raw r;
    world_raw(&w, &r);
    raw_frame(&r, NGHTTP2_HEADERS, 4, 1, block, sizeof block - 1);
    PUMP(w.loop, r.status_headers, 1);
    assert_int_equal(w.ends, 0);
    raw_frame(&r, NGHTTP2_DATA, 1, 1, "abc", 3);
    PUMP(w.loop, r.status_headers, 2);
    PUMP(w.loop, r.data_bytes, 3);
    raw_shut(&w, &r);
}

static void test_h2__connect_is_answered_400_without_the_handler(void **state)
{
    (void) state;
    static const uint8_t block[] = "\x02\x07" "CONNECT\x41\x03" "a:1";
    struct world w;
    struct raw r;
    world_raw(&w, &r);
    raw_frame(&r, NGHTTP2_HEADERS, 4, 1, block, sizeof block - 1);
    PUMP(w.loop, r.status_headers, 1);
    assert_int_equal(w.requests, 0);
    raw_shut(&w, &r);
}

/* ---- raw servers ---- */

static void on_raw_accept(void *ctx, int fd, const struct addr *from)
{
    struct raw *r = ctx;
    (void) from;
    assert_int_equal(conn_adopt(r->loop, fd, NULL, &RAW, r, &r->conn), 0);
    raw_frame(r, NGHTTP2_SETTINGS, 0, 0, NULL, 0);
}

/* Our client, and in place of a server whatever the test sends. */
static void world_raw_server(struct world *w, struct raw *r)
{
    struct addr at;
    *w = (struct world){.requests = 0};
    *r = (struct raw){.server_side = true};
    buf_init(&r->got, 0);
    addr_loopback_v4(0, &at);
    assert_int_equal(loop_create(&w->loop), 0);
    r->loop = w->loop;
    assert_int_equal(listener_create(w->loop, &at, NULL, on_raw_accept, r, &w->at, &w->listener), 0);
    assert_int_equal(http2_client_dial(w->loop, &w->at, NULL, &CLIENT, w, &w->client), 0);
}

static void world_raw_server_shut(struct world *w, struct raw *r)
{
    listener_close(w->listener);
    if (r->conn)
        conn_close(r->conn);
    PUMP(w->loop, w->client_closed, 1);
    loop_destroy(w->loop);
    buf_dispose(&r->got);
}

static void test_h2__calls_above_a_goaway_were_not_sent_and_the_others_go_on(void **state)
{
    (void) state;
    static const uint8_t last_is_1[8] = {0, 0, 0, 1};
    struct world w;
    struct raw r;
    struct asked first, second;
    world_raw_server(&w, &r);
    assert_int_equal(ask(&w, &first, "/", SLICE(""), false), 0);
    assert_int_equal(ask(&w, &second, "/", SLICE(""), false), 0);
    PUMP(w.loop, r.status_headers, 2);
    raw_frame(&r, NGHTTP2_GOAWAY, 0, 0, last_is_1, 8);
    PUMP(w.loop, second.closed, 1);
    assert_int_equal(second.err, GRID_EREFUSED);
    assert_int_equal(second.sent, HTTP_NOT_SENT);
    assert_int_equal(w.client_draining, 1);
    assert_int_equal(first.closed, 0);
    raw_frame(&r, NGHTTP2_HEADERS, 5, 1, "\x88", 1); /* :status 200 */
    PUMP(w.loop, first.closed, 1);
    assert_int_equal(first.err, 0);
    assert_int_equal(first.status, 200);
    world_raw_server_shut(&w, &r);
}

static void test_h2__interim_answers_are_swallowed(void **state)
{
    (void) state;
    struct world w;
    struct raw r;
    struct asked a;
    world_raw_server(&w, &r);
    assert_int_equal(ask(&w, &a, "/", SLICE(""), false), 0);
    PUMP(w.loop, r.status_headers, 1);
    raw_frame(&r, NGHTTP2_HEADERS, 4, 1, "\x08\x03" "103", 5);
    raw_frame(&r, NGHTTP2_HEADERS, 4, 1, "\x8e", 1); /* :status 500 */
    raw_frame(&r, NGHTTP2_DATA, 0, 1, "ab", 2);
    raw_frame(&r, NGHTTP2_HEADERS, 5, 1, "\x00\x0bgrpc-status\x01" "7", 15);
    PUMP(w.loop, a.closed, 1);
    assert_int_equal(a.err, 0);
    assert_int_equal(a.status, 500);
    assert_string_equal(a.trailer, "7");
    world_raw_server_shut(&w, &r);
}

static void test_h2__garbage_from_a_server_ends_the_calls(void **state)
{
    (void) state;
    struct world w;
    struct raw r;
    struct asked a;
    world_raw_server(&w, &r);
    assert_int_equal(ask(&w, &a, "/", SLICE(""), false), 0);
    PUMP(w.loop, r.status_headers, 1);
    raw_frame(&r, NGHTTP2_HEADERS, 4, 1, "\xff\xff\xff\xff\xff\xff", 6);
    PUMP(w.loop, a.closed, 1);
    assert_int_not_equal(a.err, 0);
    assert_int_equal(a.sent, HTTP_SENT);
    world_raw_server_shut(&w, &r);
}

static void test_h2__a_slow_preface_a_slow_header_and_silence_are_cut_off(void **state)
{
    (void) state;
    struct http_server_limits limits = HTTP_SERVER_LIMITS_DEFAULT;
    limits.header_timeout_ms = 100;
    for (int kind = 0; kind < 4; kind++) {
        struct world w;
        struct raw r;
        world_serve(&w, &limits);
        raw_open(&w, &r, kind == 3);
        if (kind == 1)
            raw_send(&r, "PRI * HT", 8);
        if (kind == 2)
            raw_send(&r, NGHTTP2_CLIENT_MAGIC, 24);
        if (kind == 3)
            raw_frame(&r, NGHTTP2_HEADERS, 1, 1, "\x82\x86", 2); /* no END_HEADERS */
        PUMP(w.loop, r.closed, 1);
        assert_int_equal(w.requests, 0);
        raw_shut(&w, &r);
    }
}

static void test_h2__a_body_that_stalls_is_answered_408(void **state)
{
    (void) state;
    struct http_server_limits limits = HTTP_SERVER_LIMITS_DEFAULT;
    struct world w;
    struct raw r;
    limits.body_timeout_ms = 150;
    world_serve(&w, &limits);
    raw_open(&w, &r, true);
    raw_post(&r, 1, "/flow");
    raw_post(&r, 3, "/echo");
    for (int i = 0; i < 5 && w.overdue == 0; i++) {
        raw_frame(&r, NGHTTP2_DATA, 0, 3, "x", 1);
        pump_until_value(w.loop, &w.overdue, 408, 60);
    }
    PUMP(w.loop, w.overdue, 408);
    assert_true(w.idle_ms >= limits.body_timeout_ms); /* as long as something comes, it is waited for */
    PUMP(w.loop, r.data_bytes, 4);
    PUMP(w.loop, r.streams_reset, 1); /* the rest of it is not wanted */
    assert_int_equal(r.reset_code, NGHTTP2_NO_ERROR);
    assert_int_equal(w.closed_ok, 1);
    assert_int_equal(w.closed_canceled, 0); /* the stream may be idle */
    raw_shut(&w, &r);
}

static void test_h2__a_drain_refuses_what_has_not_arrived_whole(void **state)
{
    (void) state;
    struct world w;
    struct raw r;
    world_raw(&w, &r);
    raw_request(&r, 1, "/hold", NULL, 0);
    PUMP(w.loop, w.ends, 1);
    struct http_exchange *held = w.held;
    raw_post(&r, 3, "/flow");
    raw_post(&r, 5, "/echo");
    raw_frame(&r, NGHTTP2_HEADERS, 1, 7, "\x82\x86", 2); /* no END_HEADERS */
    PUMP(w.loop, w.requests, 3);
    http_server_drain(w.server, count_up, &w.server_drained);
    assert_true(pump_until_value(w.loop, &r.streams_reset, 2, 4000));
    assert_int_equal(r.reset_code, NGHTTP2_REFUSED_STREAM);
    assert_int_equal(w.closed_canceled, 1);
    assert_int_equal(w.server_drained, 0); /* two calls are in flight */
    http_respond(held, 200, NULL, 0, SLICE("held"));
    http_respond(w.flow, 200, NULL, 0, SLICE("flow"));
    PUMP(w.loop, w.server_drained, 1);
    assert_int_equal(r.data_bytes, 8);
    raw_shut(&w, &r);
}

static void test_http_server__refuses_what_is_nearly_a_preface_of_http2(void **state)
{
    (void) state;
    static const char *const near[] = {"PRI * HTTP/2.1\r\n\r\nSM\r\n\r\n", "PRI * HTTP/2.0\r\nHost: a\r\n\r\n", "PRI * HTTP/2.0\n\nSM\n\n"};
    for (size_t i = 0; i < sizeof near / sizeof *near; i++) {
        struct world w;
        struct raw r;
        world_serve(&w, &HTTP_SERVER_LIMITS_DEFAULT);
        raw_open(&w, &r, false);
        raw_send(&r, near[i], strlen(near[i]));
        PUMP(w.loop, r.closed, 1);
        assert_int_equal(r.got.size, 0);
        assert_int_equal(w.requests, 0);
        raw_shut(&w, &r);
    }
}

static void test_http_server__takes_a_preface_that_comes_byte_by_byte(void **state)
{
    (void) state;
    struct world w;
    struct raw r;
    world_serve(&w, &HTTP_SERVER_LIMITS_DEFAULT);
    raw_open(&w, &r, false);
    for (size_t i = 0; i < 24; i++) {
        raw_send(&r, &NGHTTP2_CLIENT_MAGIC[i], 1);
        for (int turn = 0; turn < 3; turn++)
            uv_run(loop_uv(w.loop), UV_RUN_NOWAIT);
    }
    raw_frame(&r, NGHTTP2_SETTINGS, 0, 0, NULL, 0);
    raw_request(&r, 1, "/echo", NULL, 0);
    PUMP(w.loop, w.closed_ok, 1);
    raw_shut(&w, &r);
}

static void test_h2_guard__lets_pings_measure_while_data_flows(void **state)
{
    (void) state;
    struct h2_guard g;
    h2_guard_init(&g, 1000);
    for (int i = 0; i < 100; i++) {
        assert_null(h2_guard_nuisance(&g, H2_PING, 1000 + (uint64_t) i * 10));
        h2_guard_answered(&g);
        h2_guard_work(&g);
    }
    assert_null(h2_guard_nuisance(&g, H2_PING, 10000));
    assert_null(h2_guard_nuisance(&g, H2_PING, 20000));
    assert_null(h2_guard_nuisance(&g, H2_PING, 30000));
    assert_string_equal(h2_guard_nuisance(&g, H2_PING, 40000), "too_many_pings");
}

static void test_h2_guard__refills_its_buckets_with_time(void **state)
{
    (void) state;
    struct h2_bucket b;
    h2_bucket_init(&b, 10, 2, 0);
    for (int i = 0; i < 10; i++)
        assert_true(h2_bucket_take(&b, 1, 0));
    assert_false(h2_bucket_take(&b, 1, 400));
    assert_true(h2_bucket_take(&b, 1, 500));
    assert_false(h2_bucket_take(&b, 11, UINT64_MAX / 2));
    assert_true(h2_bucket_take(&b, 10, UINT64_MAX / 2));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_h2__echoes_a_thousand_streams_at_once),
        cmocka_unit_test(test_h2__carries_trailers_and_streams_a_request_in_pieces),
        cmocka_unit_test(test_h2__sends_large_bodies_both_ways_within_its_queues),
        cmocka_unit_test(test_h2__a_paused_request_body_stops_at_the_stream_window),
        cmocka_unit_test(test_h2__an_answer_before_the_requests_end_stops_the_request),
        cmocka_unit_test(test_h2__a_refused_stream_was_not_sent),
        cmocka_unit_test(test_h2__an_answer_whose_header_is_too_large_is_broken_off),
        cmocka_unit_test(test_h2__cancel_reaches_the_handler_and_comes_back_later),
        cmocka_unit_test(test_h2__a_connection_lost_in_the_middle_ends_every_call),
        cmocka_unit_test(test_h2__calls_on_a_connection_that_never_opened_were_not_sent),
        cmocka_unit_test(test_h2__drain_finishes_what_is_in_flight_and_tells_the_client),
        cmocka_unit_test(test_h2__client_finish_waits_for_its_calls),
        cmocka_unit_test(test_h2__a_request_that_is_answered_early_may_end_by_itself),
        cmocka_unit_test(test_h2__a_host_unlike_the_authority_is_refused),
        cmocka_unit_test(test_h2__a_reset_flood_is_told_to_calm_down),
        cmocka_unit_test(test_h2__making_us_reset_streams_counts_like_resetting_them),
        cmocka_unit_test(test_h2__nuisance_frames_are_told_to_calm_down),
        cmocka_unit_test(test_h2__a_header_list_over_the_limit_is_answered_431),
        cmocka_unit_test(test_h2__a_client_that_opens_no_window_gets_bounded_queues),
        cmocka_unit_test(test_h2__a_client_that_reads_nothing_is_left),
        cmocka_unit_test(test_h2__a_client_that_waits_for_100_gets_it),
        cmocka_unit_test(test_h2__connect_is_answered_400_without_the_handler),
        cmocka_unit_test(test_h2__calls_above_a_goaway_were_not_sent_and_the_others_go_on),
        cmocka_unit_test(test_h2__interim_answers_are_swallowed),
        cmocka_unit_test(test_h2__garbage_from_a_server_ends_the_calls),
        cmocka_unit_test(test_h2__a_slow_preface_a_slow_header_and_silence_are_cut_off),
        cmocka_unit_test(test_h2__a_body_that_stalls_is_answered_408),
        cmocka_unit_test(test_h2__a_drain_refuses_what_has_not_arrived_whole),
        cmocka_unit_test(test_http_server__refuses_what_is_nearly_a_preface_of_http2),
        cmocka_unit_test(test_http_server__takes_a_preface_that_comes_byte_by_byte),
        cmocka_unit_test(test_h2_guard__lets_pings_measure_while_data_flows),
        cmocka_unit_test(test_h2_guard__refills_its_buckets_with_time),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
