/* The HTTP/1 side of a server, over real loopback sockets: raw bytes in, raw bytes out. */
// cost: 6
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>

#include "base/err.h"
#include "net/http.h"
#include "tests/unit/net/pump.h"

struct rig {
    struct loop *loop;
    struct http_server *server;
    struct listener *listener;
    struct addr at;
    struct conn *peer;
    struct buf got;
    int received, peer_opened, peer_closed, peer_drained; /* what the caller saw */
    struct http_exchange *held;
    struct buf body;
    int requests, ended, closed, close_err, data_calls, overdue, server_closed;
    bool keep_getting;
};

/* ---- a handler whose behaviour is the target's ---- */

static bool at(struct http_exchange *x, const char *path)
{
    return slice_equal_str(http_target_path(http_exchange_head(x)->target), path);
}

static void on_data(void *ctx, struct http_exchange *x, struct slice bytes)
{
    struct rig *r = ctx;
    (void) x;
    r->data_calls++;
    assert_int_equal(buf_append(&r->body, bytes), 0);
}

static void respond_stream(struct http_exchange *x)
{
    struct http_header trailer = {SLICE("x-sum"), SLICE("1")};
    http_respond_begin(x, 200, NULL, 0);
    http_respond_data(x, SLICE("one"));
    http_respond_data(x, SLICE("two"));
    http_respond_end(x, &trailer, 1);
}

static void on_end(void *ctx, struct http_exchange *x)
{
    struct rig *r = ctx;
    struct http_header type = {SLICE("content-type"), SLICE("text/x")};
    struct http_header bad = {SLICE("x"), SLICE("a\r\nb: c")};
    r->ended++;
    if (at(x, "/echo") || at(x, "/pause"))
        http_respond(x, 200, &type, 1, buf_slice(&r->body));
    else if (at(x, "/stream"))
        respond_stream(x);
    else if (at(x, "/204"))
        http_respond(x, 204, NULL, 0, SLICE("ignored"));
    else if (at(x, "/bad"))
        http_respond(x, 200, &bad, 1, SLICE("x"));
    else if (at(x, "/reset"))
        http_exchange_reset(x, 2);
    buf_clear(&r->body);
}

static void on_close(void *ctx, struct http_exchange *x, int err)
{
    struct rig *r = ctx;
    r->closed++;
    r->close_err = err;
    if (r->held == x)
        r->held = NULL;
}

static void on_overdue(void *ctx, struct http_exchange *x, int status)
{
    struct rig *r = ctx;
    r->overdue = status;
    http_respond(x, status, NULL, 0, SLICE("late"));
}

static const struct http_exchange_events EVENTS = {.on_data = on_data, .on_end = on_end, .on_close = on_close, .on_overdue = on_overdue};

static void on_request(void *ctx, struct http_exchange *x)
{
    struct rig *r = ctx;
    r->requests++;
    r->held = x;
    http_exchange_bind(x, &EVENTS, r);
    if (at(x, "/early"))
        http_respond(x, 413, NULL, 0, SLICE("no"));
    if (at(x, "/pause"))
        http_exchange_pause(x);
}

/* ---- the other end ---- */

static void peer_open(void *ctx, struct conn *c)
{
    (void) c;
    ((struct rig *) ctx)->peer_opened++;
}

static void peer_read(void *ctx, struct conn *c, struct slice bytes)
{
    struct rig *r = ctx;
    (void) c;
    r->received += (int) bytes.size;
    assert_int_equal(buf_append(&r->got, bytes), 0);
}

static void peer_close(void *ctx, struct conn *c, int err)
{
    struct rig *r = ctx;
    (void) c;
    (void) err;
    r->peer = NULL;
    r->peer_closed++;
}

static const struct conn_events PEER_EVENTS = {.on_open = peer_open, .on_read = peer_read, .on_close = peer_close};

static void on_accept(void *ctx, int fd, const struct addr *from)
{
    (void) from;
    http_server_accept(((struct rig *) ctx)->server, fd, NULL);
}

static void dial(struct rig *r)
{
    static const struct conn_options options = {0};
    buf_clear(&r->got);
    r->received = r->peer_closed = 0;
    assert_int_equal(conn_dial(r->loop, &r->at, &options, &PEER_EVENTS, r, &r->peer), 0);
}

static void say(struct rig *r, const char *text)
{
    assert_int_equal(conn_write(r->peer, slice_of_str(text)), 0);
}

/* Runs until the answer holds `text`. */
static void expect(struct rig *r, const char *text)
{
    uint64_t deadline = loop_clock_ms() + PUMP_DEADLINE_MS;
    while (!strstr(buf_cstr(&r->got), text)) {
        int before = r->received;
        if (loop_clock_ms() > deadline || r->peer_closed || !pump_until_value(r->loop, &r->received, before + 1, 2000)) {
            if (strstr(buf_cstr(&r->got), text))
                return;
            fail_msg("waited for '%s', got '%s'", text, buf_cstr(&r->got));
        }
    }
}

static void expect_closed(struct rig *r)
{
    PUMP(r->loop, r->peer_closed, 1);
}

static size_t count_of(struct rig *r, const char *text)
{
    size_t count = 0;
    for (const char *p = buf_cstr(&r->got); (p = strstr(p, text)); p++)
        count++;
    return count;
}

static int setup_with(void **state, const struct http_server_limits *limits)
{
    struct rig *r = calloc(1, sizeof *r);
    struct addr any;
    addr_loopback_v4(0, &any);
    static const struct listener_options options = {0};
    assert_int_equal(loop_create(&r->loop), 0);
    buf_init(&r->got, 0);
    buf_init(&r->body, 0);
    assert_int_equal(http_server_create(r->loop, limits, on_request, r, &r->server), 0);
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
    limits.header_timeout_ms = limits.body_timeout_ms = 60;
    limits.idle_timeout_ms = 120;
    return setup_with(state, &limits);
}

static void on_server_closed(void *arg)
{
    ((struct rig *) arg)->server_closed++;
}

static int teardown(void **state)
{
    struct rig *r = *state;
    if (r->peer)
        conn_close(r->peer);
    listener_close(r->listener);
    http_server_close(r->server, on_server_closed, r);
    PUMP(r->loop, r->server_closed, 1);
    assert_int_equal(r->closed, r->requests);
    loop_destroy(r->loop);
    buf_dispose(&r->got);
    buf_dispose(&r->body);
    free(r);
    return 0;
}

/* ---- the claims ---- */

static void test_http1_server__answers_and_keeps_the_connection(void **state)
{
    struct rig *r = *state;
    say(r, "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello");
    expect(r, "\r\n\r\nhello");
    assert_int_equal(count_of(r, "HTTP/1.1 200 OK\r\ndate: "), 1);
    assert_int_equal(count_of(r, "content-type: text/x\r\ncontent-length: 5\r\n\r\n"), 1);
    say(r, "POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n");
    expect(r, "\r\n\r\nabc");
    assert_int_equal(r->requests, 2);
    assert_int_equal(r->close_err, 0);
    assert_int_equal(r->peer_closed, 0);
}

static void test_http1_server__answers_pipelined_requests_in_order_one_at_a_time(void **state)
{
    struct rig *r = *state;
    say(r, "POST /hold HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\n1"
           "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\n2"
           "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\n3");
    PUMP(r->loop, r->ended, 1);
    assert_int_equal(r->requests, 1);
    http_respond(r->held, 200, NULL, 0, SLICE("first"));
    expect(r, "\r\n\r\nfirstHTTP/1.1");
    expect(r, "\r\n\r\n2HTTP/1.1");
    expect(r, "\r\n\r\n3");
    assert_int_equal(r->requests, 3);
}

static void test_http1_server__writes_chunks_when_the_length_is_unknown(void **state)
{
    struct rig *r = *state;
    say(r, "GET /stream HTTP/1.1\r\nHost: a\r\n\r\n");
    expect(r, "transfer-encoding: chunked\r\n\r\n3\r\none\r\n3\r\ntwo\r\n0\r\nx-sum: 1\r\n\r\n");
    say(r, "HEAD /stream HTTP/1.1\r\nHost: a\r\n\r\nGET /204 HTTP/1.1\r\nHost: a\r\n\r\n");
    expect(r, "HTTP/1.1 204");
    expect(r, "GMT\r\n\r\n");
    assert_int_equal(count_of(r, "one"), 1);
    assert_int_equal(count_of(r, "ignored"), 0);
}

static void test_http1_server__ends_an_http_1_0_answer_with_the_connection(void **state)
{
    struct rig *r = *state;
    say(r, "GET /stream HTTP/1.0\r\n\r\n");
    expect_closed(r);
    expect(r, "connection: close\r\n\r\nonetwo");
}

static void test_http1_server__keeps_http_1_0_alive_when_asked_and_possible(void **state)
{
    struct rig *r = *state;
    say(r, "POST /echo HTTP/1.0\r\nConnection: keep-alive\r\nContent-Length: 1\r\n\r\nx");
    expect(r, "\r\n\r\nx");
    say(r, "POST /echo HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: 1\r\n\r\ny");
    expect_closed(r);
    expect(r, "connection: close\r\n\r\ny");
}

static void test_http1_server__asks_for_the_body_only_when_it_is_wanted(void **state)
{
    struct rig *r = *state;
    say(r, "POST /echo HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n");
    expect(r, "HTTP/1.1 100 Continue\r\n\r\n");
    say(r, "ok");
    expect(r, "\r\n\r\nok");
    say(r, "POST /early HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n");
    expect(r, "HTTP/1.1 413");
    say(r, "ok");
    say(r, "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhi");
    expect(r, "\r\n\r\nhi");
    assert_int_equal(count_of(r, "100 Continue"), 1);
}

static void test_http1_server__says_close_when_it_answers_before_a_large_body(void **state)
{
    struct rig *r = *state;
    say(r, "POST /early HTTP/1.1\r\nHost: a\r\nContent-Length: 10000000\r\n\r\nbegin");
    expect_closed(r);
    expect(r, "connection: close\r\n\r\nno");
    assert_int_equal(r->close_err, 0);
}

static void test_http1_server__refuses_what_is_no_http_with_a_sentence_and_closes(void **state)
{
    struct rig *r = *state;
    static const struct {
        const char *text, *status, *why;
    } cases[] = {
        {"GET / HTTP/1.1\r\n\r\n", "HTTP/1.1 400 Bad Request", "Host is missing."},
        {"GET / HTTP/3.0\r\nHost: a\r\n\r\n", "HTTP/1.1 505 ", "HTTP/1.1"},
        {"GET / HTTP/1.1\nHost: a\n\n", "HTTP/1.1 400 ", "bare LF"},
        {"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n", "HTTP/1.1 501 ", "chunked"},
        {"POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nxyz", "HTTP/1.1 400 ", "hexadecimal"},
        {"PRI * HTTP/1.1\r\n\r\n", "HTTP/1.1 400 ", "path"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        if (i > 0)
            dial(r);
        say(r, cases[i].text);
        expect_closed(r);
        expect(r, cases[i].status);
        expect(r, "{\"error\":{\"code\":\"INVALID_ARGUMENT\",\"message\":\"");
        expect(r, cases[i].why);
        expect(r, "connection: close\r\n");
    }
    assert_int_equal(r->closed, r->requests);
}

static void test_http1_server__refuses_long_targets_and_header_lists(void **state)
{
    struct rig *r = *state;
    char *text = malloc(40000);
    memset(text, 'a', 40000);
    memcpy(text, "GET /", 5);
    text[30000] = '\0';
    say(r, text);
    expect_closed(r);
    expect(r, "HTTP/1.1 414 ");
    dial(r);
    memcpy(text, "GET / HTTP/1.1\r\nHost: a\r\nx: ", 28);
    say(r, text);
    expect_closed(r);
    expect(r, "HTTP/1.1 431 ");
    free(text);
}

static void test_http1_server__never_sends_a_malformed_header(void **state)
{
    struct rig *r = *state;
    say(r, "GET /bad HTTP/1.1\r\nHost: a\r\n\r\n");
    expect_closed(r);
    expect(r, "HTTP/1.1 500 ");
    assert_int_equal(count_of(r, "b: c"), 0);
}

static void test_http1_server__tells_the_handler_when_the_caller_leaves(void **state)
{
    struct rig *r = *state;
    say(r, "GET /hold HTTP/1.1\r\nHost: a\r\n\r\n");
    PUMP(r->loop, r->ended, 1);
    pump_until_value(r->loop, &r->closed, 1, 150); /* an end within the first 100 ms is a half-close */
    conn_close(r->peer);
    PUMP(r->loop, r->closed, 1);
    assert_int_equal(r->close_err, GRID_ECANCELED);
}

static void test_http1_server__answers_who_ended_its_half_at_once(void **state)
{
    struct rig *r = *state;
    say(r, "GET /hold HTTP/1.1\r\nHost: a\r\n\r\n");
    PUMP(r->loop, r->peer_opened, 1);
    conn_finish(r->peer); /* reads on for a second, but hears nothing of it: what counts is that the handler goes on */
    PUMP(r->loop, r->ended, 1);
    pump_until_value(r->loop, &r->closed, 1, 20);
    assert_int_equal(r->closed, 0);
    http_respond(r->held, 200, NULL, 0, SLICE("late"));
    PUMP(r->loop, r->closed, 1);
    assert_int_equal(r->close_err, 0);
    expect_closed(r);
}

static void test_http1_server__tells_the_handler_when_the_body_breaks_off(void **state)
{
    struct rig *r = *state;
    say(r, "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nhalf");
    PUMP(r->loop, r->data_calls, 1);
    conn_close(r->peer);
    PUMP(r->loop, r->closed, 1);
    assert_int_equal(r->close_err, GRID_ECANCELED);
    assert_int_equal(r->ended, 0);
}

static void test_http1_server__resets_by_closing(void **state)
{
    struct rig *r = *state;
    say(r, "GET /reset HTTP/1.1\r\nHost: a\r\n\r\n");
    expect_closed(r);
    assert_int_equal(r->received, 0);
    assert_int_equal(r->close_err, GRID_ECANCELED);
}

static void test_http1_server__holds_a_paused_body_back(void **state)
{
    struct rig *r = *state;
    say(r, "POST /pause HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n");
    PUMP(r->loop, r->requests, 1);
    say(r, "hello");
    int never = 0;
    pump_until_value(r->loop, &never, 1, 20);
    assert_int_equal(r->data_calls, 0);
    http_exchange_resume(r->held);
    expect(r, "\r\n\r\nhello");
}

static void test_http1_server__does_not_wait_for_slow_heads(void **state)
{
    struct rig *r = *state;
    say(r, "GET / HT");
    expect_closed(r);
    expect(r, "HTTP/1.1 408 ");
    dial(r);
    say(r, "GET /204 HTTP/1.1\r\nHost: a\r\n\r\n");
    expect(r, "GMT\r\n\r\n");
    expect_closed(r); /* idle */
    assert_int_equal(count_of(r, "408"), 0);
}

static void test_http1_server__does_not_wait_for_a_body_that_stalls(void **state)
{
    struct rig *r = *state;
    say(r, "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhe");
    expect_closed(r);
    expect(r, "HTTP/1.1 408 ");
    expect(r, "connection: close\r\n\r\nlate");
    assert_int_equal(r->overdue, 408);
    assert_int_equal(r->ended, 0);
}

static void on_drained(void *arg)
{
    ((struct rig *) arg)->peer_drained++;
}

static void test_http1_server__drains_after_the_answer(void **state)
{
    struct rig *r = *state;
    say(r, "GET /hold HTTP/1.1\r\nHost: a\r\n\r\n");
    PUMP(r->loop, r->ended, 1);
    http_server_drain(r->server, on_drained, r);
    http_respond(r->held, 200, NULL, 0, SLICE("last"));
    expect_closed(r);
    expect(r, "connection: close\r\n\r\nlast");
    PUMP(r->loop, r->peer_drained, 1);
}

/* Each is drained well before the clocks of heads and bodies run out. */
static void test_http1_server__a_drain_refuses_what_has_not_arrived_whole(void **state)
{
    static const struct {
        const char *said, *answer;
        int overdue;
    } cases[] = {
        {"POST /echo HTTP/1.1\r\nHos", "\"code\":\"UNAVAILABLE\"", 0},
        {"POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhe", "connection: close\r\n\r\nlate", 503},
        {"POST /early HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhe", "\r\n\r\nno", 0}, /* answered, and the rest of it never comes */
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        setup(state);
        struct rig *r = *state;
        say(r, cases[i].said);
        PUMP(r->loop, r->peer_opened, 1);
        for (int turn = 0; turn < 20; turn++) /* what is sent on loopback is there to be read */
            uv_run(loop_uv(r->loop), UV_RUN_NOWAIT);
        http_server_drain(r->server, on_drained, r);
        assert_true(pump_until_value(r->loop, &r->peer_drained, 1, 4000));
        expect_closed(r);
        expect(r, cases[i].answer);
        assert_int_equal(r->overdue, cases[i].overdue);
        assert_int_equal(r->ended, 0);
        teardown(state);
    }
}

int main(void)
{
#define CLAIM(test) cmocka_unit_test_setup_teardown(test, setup, teardown)
    const struct CMUnitTest tests[] = {
        CLAIM(test_http1_server__answers_and_keeps_the_connection),
        CLAIM(test_http1_server__answers_pipelined_requests_in_order_one_at_a_time),
        CLAIM(test_http1_server__writes_chunks_when_the_length_is_unknown),
        CLAIM(test_http1_server__ends_an_http_1_0_answer_with_the_connection),
        CLAIM(test_http1_server__keeps_http_1_0_alive_when_asked_and_possible),
        CLAIM(test_http1_server__asks_for_the_body_only_when_it_is_wanted),
        CLAIM(test_http1_server__says_close_when_it_answers_before_a_large_body),
        CLAIM(test_http1_server__refuses_what_is_no_http_with_a_sentence_and_closes),
        CLAIM(test_http1_server__refuses_long_targets_and_header_lists),
        CLAIM(test_http1_server__never_sends_a_malformed_header),
        CLAIM(test_http1_server__tells_the_handler_when_the_caller_leaves),
        CLAIM(test_http1_server__answers_who_ended_its_half_at_once),
        CLAIM(test_http1_server__tells_the_handler_when_the_body_breaks_off),
        CLAIM(test_http1_server__resets_by_closing),
        CLAIM(test_http1_server__holds_a_paused_body_back),
        cmocka_unit_test_setup_teardown(test_http1_server__does_not_wait_for_slow_heads, setup_impatient, teardown),
        cmocka_unit_test_setup_teardown(test_http1_server__does_not_wait_for_a_body_that_stalls, setup_impatient, teardown),
        CLAIM(test_http1_server__drains_after_the_answer),
        cmocka_unit_test(test_http1_server__a_drain_refuses_what_has_not_arrived_whole),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
