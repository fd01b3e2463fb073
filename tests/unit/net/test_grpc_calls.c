/* gRPC server and client against each other over HTTP/2 on loopback, and the client against servers that are none. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>

#include "base/err.h"
#include "net/grpc_client.h"
#include "net/grpc_server.h"
#include "tests/unit/net/identity.h"
#include "tests/unit/net/pump.h"

enum { MESSAGE_MAX = 100000, FLOOD_MESSAGES = 400, FLOOD_BYTES = 10000 };

struct rig {
    struct loop *loop;
    struct grpc_server *grpc;
    struct http_server *http;
    struct listener *listener;
    struct addr at;
    struct http_client *client;
    struct tls_context *server_tls, *client_tls; /* NULL: in the clear */
    int client_closed, server_closed;
    /* the handler's side */
    struct grpc_call *served;
    int calls, collected, half_closed, served_closed, served_err, flooded;
    size_t most_queued;
    uint64_t time_left_ms;
    /* the caller's side */
    struct grpc_client_call *call;
    struct buf got;
    char text[256];
    int messages, closed, status, sent;
    int64_t pushback_ms;
};

/* ---- handlers ---- */

static void echo_message(void *ctx, struct grpc_call *call, struct slice message)
{
    (void) ctx;
    grpc_call_add_header(call, SLICE("x-head"), grpc_call_metadata(call, "x-asked"));
    grpc_call_add_trailer(call, SLICE("x-trail"), SLICE("t"));
    assert_int_equal(grpc_call_send(call, message), 0);
    grpc_call_finish(call, GRPC_OK, NULL);
}

static void compressed_message(void *ctx, struct grpc_call *call, struct slice message)
{
    grpc_call_set_compress(call, true);
    echo_message(ctx, call, message);
}

static void collect_message(void *ctx, struct grpc_call *call, struct slice message)
{
    struct rig *r = ctx;
    (void) call;
    (void) message;
    r->collected++;
}

static void collect_half_close(void *ctx, struct grpc_call *call)
{
    struct rig *r = ctx;
    char text[16];
    r->half_closed++;
    snprintf(text, sizeof text, "%d", r->collected);
    assert_int_equal(grpc_call_send(call, slice_of_str(text)), 0);
    grpc_call_finish(call, GRPC_OK, NULL);
}

/* Sends as long as little is queued; on_writable goes on. */
static void flood(void *ctx, struct grpc_call *call)
{
    static const uint8_t zeros[FLOOD_BYTES];
    struct rig *r = ctx;
    while (r->flooded < FLOOD_MESSAGES && grpc_call_queued(call) < 64 * 1024) {
        assert_int_equal(grpc_call_send(call, slice_of(zeros, sizeof zeros)), 0);
        r->flooded++;
    }
    if (grpc_call_queued(call) > r->most_queued)
        r->most_queued = grpc_call_queued(call);
    if (r->flooded == FLOOD_MESSAGES)
        grpc_call_finish(call, GRPC_OK, NULL);
}

static void flood_message(void *ctx, struct grpc_call *call, struct slice message)
{
    (void) message;
    flood(ctx, call);
}

static void fail_message(void *ctx, struct grpc_call *call, struct slice message)
{
    (void) ctx;
    grpc_call_add_trailer(call, SLICE("grpc-retry-pushback-ms"), slice_equal_str(message, "x") ? SLICE("250") : message);
    grpc_call_finish(call, GRPC_NOT_FOUND, "100% not h\xc3\xa4re\n");
}

static void hang_message(void *ctx, struct grpc_call *call, struct slice message)
{
    (void) message;
    ((struct rig *) ctx)->time_left_ms = grpc_call_time_left_ms(call);
}

static void served_close(void *ctx, struct grpc_call *call, int err)
{
    struct rig *r = ctx;
    (void) call;
    r->served_closed++;
    r->served_err = err;
    r->served = NULL;
}

#define EVENTS_OF(name) static const struct grpc_call_events name##_EVENTS = {.on_message = name##_message, .on_close = served_close}
EVENTS_OF(echo);
EVENTS_OF(compressed);
EVENTS_OF(fail);
EVENTS_OF(hang);
static const struct grpc_call_events FLOOD_EVENTS = {.on_message = flood_message, .on_writable = flood, .on_close = served_close};
static const struct grpc_call_events COLLECT_EVENTS = {collect_message, collect_half_close, NULL, served_close};

static void serve(struct rig *r, struct grpc_call *call, const struct grpc_call_events *events)
{
    r->calls++;
    r->served = call;
    grpc_call_bind(call, events, r);
}

static void on_echo(void *ctx, struct grpc_call *call)
{
    serve(ctx, call, &echo_EVENTS);
}

static void on_compressed(void *ctx, struct grpc_call *call)
{
    serve(ctx, call, &compressed_EVENTS);
}

static void on_fail(void *ctx, struct grpc_call *call)
{
    serve(ctx, call, &fail_EVENTS);
}

static void on_hang(void *ctx, struct grpc_call *call)
{
    serve(ctx, call, &hang_EVENTS);
}

static void on_flood(void *ctx, struct grpc_call *call)
{
    serve(ctx, call, &FLOOD_EVENTS);
}

static void on_collect(void *ctx, struct grpc_call *call)
{
    serve(ctx, call, &COLLECT_EVENTS);
}

static const struct grpc_method METHODS[] = {
    {"/t.T/Echo", false, false, on_echo, 0, false},       {"/t.T/Small", false, false, on_echo, 10, false},
    {"/t.T/Compressed", false, false, on_compressed, 0, false}, {"/t.T/Fail", false, false, on_fail, 0, false},
    {"/t.T/Hang", false, true, on_hang, 0, false},        {"/t.T/Flood", false, true, on_flood, 0, false},
    {"/t.T/Collect", true, false, on_collect, 0, false},  {"/t.T/Node", false, false, on_echo, 0, false},
    {"/t.T/Admin", false, false, on_echo, 0, false},
};

/* ---- what is no gRPC ---- */

static void plain_data(void *ctx, struct http_exchange *x, struct slice bytes)
{
    (void) ctx;
    (void) x;
    (void) bytes;
}

static void plain_end(void *ctx, struct http_exchange *x)
{
    struct http_header type = {SLICE("content-type"), SLICE("application/grpc")};
    struct slice path = http_exchange_head(x)->target;
    (void) ctx;
    if (slice_equal_str(path, "/plain/503")) {
        http_respond(x, 503, NULL, 0, SLICE("busy"));
    } else if (slice_equal_str(path, "/plain/ok")) {
        http_respond(x, 200, NULL, 0, SLICE("hello"));
    } else if (slice_equal_str(path, "/plain/no-trailers")) {
        http_respond_begin(x, 200, &type, 1);
        http_respond_end(x, NULL, 0);
    } else if (slice_equal_str(path, "/plain/half-message")) {
        struct http_header status = {SLICE("grpc-status"), SLICE("0")};
        http_respond_begin(x, 200, &type, 1);
        http_respond_data(x, SLICE("\0\0\0\0\5ab"));
        http_respond_end(x, &status, 1);
    } else if (slice_equal_str(path, "/plain/bad-flag")) {
        http_respond_begin(x, 200, &type, 1);
        http_respond_data(x, SLICE("\7\0\0\0\5ab"));
    } else if (slice_equal_str(path, "/plain/refused")) {
        http_exchange_reset(x, 7);
    } else if (slice_equal_str(path, "/plain/gone")) {
        conn_close(http_exchange_conn(x));
    } else {
        http_exchange_reset(x, 11);
    }
}

static void plain_close(void *ctx, struct http_exchange *x, int err)
{
    (void) ctx;
    (void) x;
    (void) err;
}

static const struct http_exchange_events PLAIN_EVENTS = {.on_data = plain_data, .on_end = plain_end, .on_close = plain_close};

static void on_request(void *ctx, struct http_exchange *x)
{
    struct rig *r = ctx;
    if (slice_has_prefix(http_exchange_head(x)->target, SLICE("/plain/")))
        http_exchange_bind(x, &PLAIN_EVENTS, r);
    else
        assert_true(grpc_server_handle(r->grpc, x));
}

/* ---- the caller ---- */

static void on_message(void *ctx, struct grpc_client_call *call, struct slice message)
{
    struct rig *r = ctx;
    (void) call;
    r->messages++;
    assert_int_equal(buf_append(&r->got, message), 0);
}

static void on_close(void *ctx, struct grpc_client_call *call, int status, struct slice message, enum http_sent sent, int64_t pushback_ms)
{
    struct rig *r = ctx;
    (void) call;
    r->closed++;
    r->status = status;
    r->sent = (int) sent;
    r->pushback_ms = pushback_ms;
    snprintf(r->text, sizeof r->text, "%.*s", SLICE_FMT(message));
    r->call = NULL;
}

static const struct grpc_client_events CALL_EVENTS = {.on_message = on_message, .on_close = on_close};

static void start(struct rig *r, const char *path, uint64_t deadline_ms, struct slice message, bool more)
{
    struct http_header asked = {SLICE("x-asked"), SLICE("a")};
    r->closed = r->messages = 0;
    buf_clear(&r->got);
    assert_int_equal(
        grpc_client_call_start(r->client, path, deadline_ms, &asked, 1, message, more, MESSAGE_MAX, &CALL_EVENTS, r, &r->call), 0);
}

static void call(struct rig *r, const char *path, struct slice message)
{
    start(r, path, 0, message, false);
    PUMP(r->loop, r->closed, 1);
}

static void client_closed(void *ctx, struct http_client *c, int err)
{
    struct rig *r = ctx;
    (void) c;
    (void) err;
    r->client = NULL;
    r->client_closed++;
}

static const struct http_client_events CLIENT_EVENTS = {.on_close = client_closed};

static void dial(struct rig *r)
{
    const struct conn_options options = {.tls = r->client_tls};
    r->client_closed = 0;
    assert_int_equal(http2_client_dial(r->loop, &r->at, &options, &CLIENT_EVENTS, r, &r->client), 0);
}

static void on_accept(void *ctx, int fd, const struct addr *from)
{
    (void) from;
    struct rig *r = ctx;
    http_server_accept(r->http, fd, r->server_tls);
}

static unsigned roles_of(struct slice path)
{
    if (slice_equal_str(path, "/t.T/Node"))
        return TLS_ROLE_NODE | TLS_ROLE_ADMIN;
    return slice_equal_str(path, "/t.T/Admin") || slice_equal_str(path, "/other.O/Admin") ? TLS_ROLE_ADMIN | TLS_ROLE_INVOKE : TLS_ROLE_NONE;
}

static struct grpc_service service = {"t.T", METHODS, sizeof METHODS / sizeof METHODS[0], NULL};

static int setup_with(void **state, const struct http_server_limits *limits)
{
    struct rig *r = calloc(1, sizeof *r);
    static const struct listener_options options = {0};
    struct addr any;
    addr_loopback_v4(0, &any);
    buf_init(&r->got, 0);
    service.ctx = r;
    assert_int_equal(loop_create(&r->loop), 0);
    assert_int_equal(grpc_server_create(r->loop, MESSAGE_MAX, &r->grpc), 0);
    grpc_server_set_roles(r->grpc, roles_of);
    assert_int_equal(grpc_server_add(r->grpc, &service), 0);
    assert_int_equal(http_server_create(r->loop, limits, on_request, r, &r->http), 0);
    assert_int_equal(listener_create(r->loop, &any, &options, on_accept, r, &r->at, &r->listener), 0);
    dial(r);
    *state = r;
    return 0;
}

static int setup(void **state)
{
    return setup_with(state, &HTTP_SERVER_LIMITS_DEFAULT);
}

static int setup_impatient(void **state)
{
    struct http_server_limits limits = HTTP_SERVER_LIMITS_DEFAULT;
    limits.body_timeout_ms = 50;
    return setup_with(state, &limits);
}

static void server_closed(void *arg)
{
    ((struct rig *) arg)->server_closed++;
}

static int teardown(void **state)
{
    struct rig *r = *state;
    if (r->client) {
        http_client_close(r->client);
        PUMP(r->loop, r->client_closed, 1);
    }
    listener_close(r->listener);
    http_server_close(r->http, server_closed, r);
    PUMP(r->loop, r->server_closed, 1);
    assert_int_equal(r->served_closed, r->calls);
    grpc_server_destroy(r->grpc);
    loop_destroy(r->loop);
    buf_dispose(&r->got);
    free(r);
    return 0;
}

/* ---- the claims ---- */

static void test_grpc__answers_a_unary_call(void **state)
{
    struct rig *r = *state;
    for (int i = 0; i < 3; i++) { /* the second is made of the first one's memory */
        call(r, "/t.T/Echo", SLICE("hello"));
        assert_int_equal(r->status, GRPC_OK);
        assert_int_equal(r->sent, HTTP_ANSWERED);
        assert_int_equal(r->messages, 1);
        assert_string_equal(buf_cstr(&r->got), "hello");
        assert_int_equal(r->pushback_ms, -1);
    }
    call(r, "/t.T/Echo", SLICE(""));
    assert_int_equal(r->status, GRPC_OK);
    assert_int_equal(r->messages, 1);
    PUMP(r->loop, r->served_closed, 4);
    assert_int_equal(r->served_err, 0);
}

static void test_grpc__compresses_when_asked_and_accepted(void **state)
{
    struct rig *r = *state;
    uint8_t *zeros = calloc(1, 50000);
    call(r, "/t.T/Compressed", slice_of(zeros, 50000));
    assert_int_equal(r->status, GRPC_OK);
    assert_int_equal(r->got.size, 50000);
    free(zeros);
}

static void test_grpc__carries_status_message_and_pushback(void **state)
{
    struct rig *r = *state;
    call(r, "/t.T/Fail", SLICE("x"));
    assert_int_equal(r->status, GRPC_NOT_FOUND);
    assert_string_equal(r->text, "100% not h\xc3\xa4re\n");
    assert_int_equal(r->pushback_ms, 250);
    assert_int_equal(r->messages, 0);
}

/* Whoever answers chooses it: INT64_MAX has overflowed what was made of it, the seconds of Retry-After. */
static void test_grpc__passes_over_a_pushback_that_is_no_number_of_31_bits(void **state)
{
    static const struct {
        const char *text;
        int64_t ms;
    } cases[] = {{"0", 0}, {"2147483647", INT32_MAX}, {"2147483648", -1}, {"9223372036854775807", -1}, {"-1", -1}, {"soon", -1}};
    struct rig *r = *state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        call(r, "/t.T/Fail", slice_of_str(cases[i].text));
        assert_int_equal(r->pushback_ms, cases[i].ms);
    }
}

static void test_grpc__refuses_what_it_does_not_serve(void **state)
{
    struct rig *r = *state;
    call(r, "/t.T/Nope", SLICE("x"));
    assert_int_equal(r->status, GRPC_UNIMPLEMENTED);
    assert_string_equal(r->text, "there is no method /t.T/Nope");
    call(r, "/t.U/Echo", SLICE("x"));
    assert_int_equal(r->status, GRPC_UNIMPLEMENTED);
    assert_string_equal(r->text, "there is no service for /t.U/Echo");
    call(r, "/t.T/Small", SLICE("more than ten bytes"));
    assert_int_equal(r->status, GRPC_RESOURCE_EXHAUSTED);
    call(r, "/t.T/Small", SLICE("ten bytes!"));
    assert_int_equal(r->status, GRPC_OK);
}

static void test_grpc__counts_the_messages_of_a_method_that_takes_one(void **state)
{
    struct rig *r = *state;
    start(r, "/t.T/Echo", 0, slice_of(NULL, 0), true);
    grpc_client_call_half_close(r->call);
    PUMP(r->loop, r->closed, 1);
    assert_int_equal(r->status, GRPC_UNIMPLEMENTED);
    start(r, "/t.T/Echo", 0, SLICE("one"), true);
    assert_int_equal(grpc_client_call_send(r->call, SLICE("two")), 0);
    PUMP(r->loop, r->closed, 1);
    assert_int_equal(r->status, GRPC_UNIMPLEMENTED);
}

static void test_grpc__streams_requests(void **state)
{
    struct rig *r = *state;
    start(r, "/t.T/Collect", 0, slice_of(NULL, 0), true);
    for (int i = 0; i < 100; i++)
        assert_int_equal(grpc_client_call_send(r->call, SLICE("message")), 0);
    grpc_client_call_half_close(r->call);
    PUMP(r->loop, r->closed, 1);
    assert_int_equal(r->status, GRPC_OK);
    assert_string_equal(buf_cstr(&r->got), "100");
}

static void test_grpc__waits_for_idle_streams_and_not_for_the_one_message_of_a_method(void **state)
{
    struct rig *r = *state;
    start(r, "/t.T/Echo", 0, slice_of(NULL, 0), true);
    PUMP(r->loop, r->closed, 1);
    assert_int_equal(r->status, GRPC_UNAVAILABLE);
    start(r, "/t.T/Collect", 0, slice_of(NULL, 0), true);
    pump_until_value(r->loop, &r->closed, 1, 200);
    assert_int_equal(r->closed, 0);
    grpc_client_call_half_close(r->call);
    PUMP(r->loop, r->closed, 1);
    assert_int_equal(r->status, GRPC_OK);
}

static void test_grpc__streams_answers_no_faster_than_they_are_read(void **state)
{
    struct rig *r = *state;
    start(r, "/t.T/Flood", 0, SLICE("go"), false);
    grpc_client_call_pause(r->call);
    PUMP(r->loop, r->flooded, 1);
    pump_until_value(r->loop, &r->flooded, FLOOD_MESSAGES, 100);
    assert_true(r->flooded < FLOOD_MESSAGES);
    grpc_client_call_resume(r->call);
    PUMP(r->loop, r->closed, 1);
    assert_int_equal(r->status, GRPC_OK);
    assert_int_equal(r->messages, FLOOD_MESSAGES);
    assert_int_equal(r->got.size, FLOOD_MESSAGES * FLOOD_BYTES);
    assert_true(r->most_queued < 64 * 1024 + 2 * FLOOD_BYTES);
}

static void test_grpc__ends_a_call_at_its_deadline(void **state)
{
    struct rig *r = *state;
    start(r, "/t.T/Hang", 30, SLICE("x"), false);
    PUMP(r->loop, r->closed, 1);
    assert_int_equal(r->status, GRPC_DEADLINE_EXCEEDED);
    PUMP(r->loop, r->served_closed, 1);
    assert_int_equal(r->served_err, GRID_ETIMEOUT);
    assert_in_range(r->time_left_ms, 1, 30);
}

static void test_grpc__tells_the_handler_of_a_cancelled_call(void **state)
{
    struct rig *r = *state;
    start(r, "/t.T/Hang", 0, SLICE("x"), false);
    PUMP(r->loop, r->calls, 1);
    grpc_client_call_cancel(r->call);
    PUMP(r->loop, r->closed, 1);
    assert_int_equal(r->status, GRPC_CANCELLED);
    PUMP(r->loop, r->served_closed, 1);
    assert_int_equal(r->served_err, GRID_ECANCELED);
}

static void test_grpc__makes_a_status_of_whatever_comes(void **state)
{
    struct rig *r = *state;
    static const struct {
        const char *path;
        int status, sent;
    } cases[] = {
        {"/plain/503", GRPC_UNAVAILABLE, HTTP_ANSWERED},       {"/plain/ok", GRPC_UNKNOWN, HTTP_ANSWERED},
        {"/plain/no-trailers", GRPC_INTERNAL, HTTP_ANSWERED},  {"/plain/half-message", GRPC_INTERNAL, HTTP_ANSWERED},
        {"/plain/bad-flag", GRPC_INTERNAL, HTTP_ANSWERED},     {"/plain/refused", GRPC_UNAVAILABLE, HTTP_NOT_SENT},
        {"/plain/calm", GRPC_RESOURCE_EXHAUSTED, HTTP_SENT},   {"/plain/gone", GRPC_UNAVAILABLE, HTTP_SENT},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        call(r, cases[i].path, SLICE("x"));
        if (r->status != cases[i].status || r->sent != cases[i].sent)
            fail_msg("%s: status %d sent %d: %s", cases[i].path, r->status, r->sent, r->text);
    }
}

/* ---- heads that only a raw HTTP/2 request has ---- */

struct raw {
    int closed, status;
    char grpc_status[8], accept[32];
};

static void raw_find(const struct http_header *headers, size_t count, const char *name, char *out, size_t size)
{
    struct slice value = http_header_find(headers, count, name);
    if (value.data)
        snprintf(out, size, "%.*s", SLICE_FMT(value));
}

static void raw_head(void *ctx, struct http_call *c, int status, const struct http_header *headers, size_t count)
{
    struct raw *raw = ctx;
    (void) c;
    raw->status = status;
    raw_find(headers, count, "grpc-status", raw->grpc_status, sizeof raw->grpc_status);
    raw_find(headers, count, "grpc-accept-encoding", raw->accept, sizeof raw->accept);
}

static void raw_data(void *ctx, struct http_call *c, struct slice bytes)
{
    (void) ctx;
    (void) c;
    (void) bytes;
}

static void raw_close(void *ctx, struct http_call *c, int err, enum http_sent sent, uint32_t code, const struct http_header *trailers, size_t count)
{
    struct raw *raw = ctx;
    (void) c;
    (void) err;
    (void) sent;
    (void) code;
    raw_find(trailers, count, "grpc-status", raw->grpc_status, sizeof raw->grpc_status);
    raw->closed++;
}

static const struct http_call_events RAW_EVENTS = {.on_head = raw_head, .on_data = raw_data, .on_close = raw_close};

static void test_grpc__judges_heads(void **state)
{
    struct rig *r = *state;
    static const struct {
        const char *method, *type, *name, *value, *body;
        int status;
        const char *grpc_status;
    } cases[] = {
        {"POST", "application/grpc", "x", "y", "", 200, "0"},
        {"POST", "application/grpc+proto", "grpc-encoding", "identity", "", 200, "0"},
        {"POST", "application/grpc; x=y", "grpc-timeout", "5S", "", 200, "0"},
        {"POST", "application/grpc", "grpc-encoding", "deflate", "", 200, "12"},
        {"POST", "application/grpc", "grpc-timeout", "soon", "", 200, "13"},
        {"POST", "application/grpc", "grpc-timeout", "0m", "", 200, "4"},
        {"POST", "application/grpc", "x", "compressed", "\1", 200, "13"},
        {"POST", "application/grpc", "x", "flag", "\2", 200, "13"},
        {"POST", "application/json", "x", "y", "", 415, ""},
        {"POST", "application/grpc-web", "x", "y", "", 415, ""},
        {"GET", "application/grpc", "x", "y", "", 405, ""},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct raw raw = {0};
        struct http_call *c;
        struct http_header headers[] = {{SLICE("content-type"), slice_of_str(cases[i].type)}, {slice_of_str(cases[i].name), slice_of_str(cases[i].value)}};
        struct http_request_head head = {.method = slice_of_str(cases[i].method), .target = SLICE("/t.T/Echo"), .authority = SLICE("a"), .headers = headers, .header_count = 2};
        uint8_t body[GRPC_PREFIX_SIZE] = {(uint8_t) cases[i].body[0]};
        assert_int_equal(http_client_call(r->client, &head, slice_of(body, sizeof body), false, &RAW_EVENTS, &raw, &c), 0);
        PUMP(r->loop, raw.closed, 1);
        if (raw.status != cases[i].status || strcmp(raw.grpc_status, cases[i].grpc_status) != 0)
            fail_msg("row %zu: status %d grpc-status '%s'", i, raw.status, raw.grpc_status);
        if (raw.status == 200)
            assert_string_equal(raw.accept, "identity,gzip");
    }
}

static void test_grpc__holds_callers_over_tls_to_their_roles(void **state)
{
    struct rig *r = *state;
    struct identity server = identity_make("server"), caller = identity_make("caller");
    http_client_close(r->client);
    PUMP(r->loop, r->client_closed, 1);
    r->server_tls = identity_context(&server, &caller, "h2");
    r->client_tls = identity_context(&caller, &server, "h2");
    dial(r);
    call(r, "/t.T/Node", SLICE("x"));
    assert_int_equal(r->status, GRPC_OK);
    call(r, "/t.T/Admin", SLICE("x"));
    assert_int_equal(r->status, GRPC_PERMISSION_DENIED);
    assert_string_equal(r->text, "/t.T/Admin needs a certificate with the role admin or invoke");
    call(r, "/t.T/Echo", SLICE("x"));
    assert_int_equal(r->status, GRPC_PERMISSION_DENIED); /* a method that no role may call is for local callers */
    call(r, "/other.O/Admin", SLICE("x"));
    assert_int_equal(r->status, GRPC_PERMISSION_DENIED); /* served elsewhere: who may not is told so first */
    call(r, "/other.O/None", SLICE("x"));
    assert_int_equal(r->status, GRPC_UNIMPLEMENTED);
    http_client_close(r->client);
    PUMP(r->loop, r->client_closed, 1);
    tls_context_unref(r->server_tls);
    tls_context_unref(r->client_tls);
    identity_dispose(&server);
    identity_dispose(&caller);
}

int main(void)
{
#define CLAIM(test) cmocka_unit_test_setup_teardown(test, setup, teardown)
    const struct CMUnitTest tests[] = {
        CLAIM(test_grpc__answers_a_unary_call),
        CLAIM(test_grpc__compresses_when_asked_and_accepted),
        CLAIM(test_grpc__carries_status_message_and_pushback),
        CLAIM(test_grpc__passes_over_a_pushback_that_is_no_number_of_31_bits),
        CLAIM(test_grpc__refuses_what_it_does_not_serve),
        CLAIM(test_grpc__counts_the_messages_of_a_method_that_takes_one),
        CLAIM(test_grpc__streams_requests),
        cmocka_unit_test_setup_teardown(test_grpc__waits_for_idle_streams_and_not_for_the_one_message_of_a_method, setup_impatient, teardown),
        CLAIM(test_grpc__streams_answers_no_faster_than_they_are_read),
        CLAIM(test_grpc__ends_a_call_at_its_deadline),
        CLAIM(test_grpc__tells_the_handler_of_a_cancelled_call),
        CLAIM(test_grpc__makes_a_status_of_whatever_comes),
        CLAIM(test_grpc__judges_heads),
        CLAIM(test_grpc__holds_callers_over_tls_to_their_roles),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
