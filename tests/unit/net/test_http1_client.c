/* The HTTP/1.1 asking side against a scripted task on loopback: what is sent, what is understood, and how far a failed call got. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>

#include "base/err.h"
#include "net/http1_client.h"
#include "tests/unit/net/pump.h"

struct rig {
    struct loop *loop;
    struct listener *listener;
    struct addr at;
    struct http_client *client;
    struct http_call *call;
    struct conn *task; /* the scripted side */
    struct buf asked, answer;
    int accepted, task_bytes, task_closed;
    int opened, draining, client_closed, heads, status, data, closed, err, sent;
    size_t trailer_count;
    bool reuse_inside;
};

static const struct http_request_head HEAD = {.method = SLICE_INIT("POST"), .target = SLICE_INIT("/"), .authority = SLICE_INIT("a")};
static const struct http_request_head GET = {.method = SLICE_INIT("GET"), .target = SLICE_INIT("/"), .authority = SLICE_INIT("a")};

/* ---- the task ---- */

static void task_read(void *ctx, struct conn *c, struct slice bytes)
{
    struct rig *r = ctx;
    (void) c;
    assert_int_equal(buf_append(&r->asked, bytes), 0);
    r->task_bytes += (int) bytes.size;
}

static void task_close(void *ctx, struct conn *c, int err)
{
    struct rig *r = ctx;
    (void) err;
    if (r->task == c)
        r->task = NULL;
    r->task_closed++;
}

static const struct conn_events TASK_EVENTS = {.on_read = task_read, .on_close = task_close};

static void on_accept(void *ctx, int fd, const struct addr *from)
{
    struct rig *r = ctx;
    static const struct conn_options options = {0};
    (void) from;
    assert_int_equal(conn_adopt(r->loop, fd, &options, &TASK_EVENTS, r, &r->task), 0);
    r->accepted++;
}

static void answer(struct rig *r, const char *text)
{
    assert_int_equal(conn_write(r->task, slice_of_str(text)), 0);
}

/* Runs until the task was asked for `text`. */
static void expect_asked(struct rig *r, const char *text)
{
    while (!strstr(buf_cstr(&r->asked), text)) {
        int before = r->task_bytes;
        if (!pump_until_value(r->loop, &r->task_bytes, before + 1, 2000))
            fail_msg("waited for '%s', was asked '%s'", text, buf_cstr(&r->asked));
    }
}

/* ---- the caller ---- */

static void on_open(void *ctx, struct http_client *c)
{
    (void) c;
    ((struct rig *) ctx)->opened++;
}

static void on_draining(void *ctx, struct http_client *c)
{
    ((struct rig *) ctx)->draining++;
    assert_false(http_client_usable(c));
}

static void on_client_close(void *ctx, struct http_client *c, int err)
{
    struct rig *r = ctx;
    (void) c;
    (void) err;
    r->client = NULL;
    r->client_closed++;
}

static const struct http_client_events CLIENT_EVENTS = {on_open, on_draining, on_client_close};

static void on_head(void *ctx, struct http_call *c, int status, const struct http_header *headers, size_t count)
{
    struct rig *r = ctx;
    (void) c;
    (void) headers;
    (void) count;
    r->heads++;
    r->status = status;
}

static void on_data(void *ctx, struct http_call *c, struct slice bytes)
{
    struct rig *r = ctx;
    (void) c;
    r->data++;
    assert_int_equal(buf_append(&r->answer, bytes), 0);
}

static void ask(struct rig *r, const struct http_request_head *head, struct slice body);

static void on_close(void *ctx, struct http_call *c, int err, enum http_sent sent, uint32_t code, const struct http_header *trailers, size_t count)
{
    struct rig *r = ctx;
    (void) c;
    (void) code;
    (void) trailers;
    r->closed++;
    r->err = err;
    r->sent = (int) sent;
    r->trailer_count = count;
    r->call = NULL;
    if (r->reuse_inside && r->closed == 1)
        ask(r, &GET, slice_of(NULL, 0));
}

static const struct http_call_events CALL_EVENTS = {.on_head = on_head, .on_data = on_data, .on_close = on_close};

static void ask(struct rig *r, const struct http_request_head *head, struct slice body)
{
    assert_int_equal(http_client_call(r->client, head, body, false, &CALL_EVENTS, r, &r->call), 0);
}

static int setup(void **state)
{
    struct rig *r = calloc(1, sizeof *r);
    struct addr any;
    static const struct listener_options options = {0};
    addr_loopback_v4(0, &any);
    assert_int_equal(loop_create(&r->loop), 0);
    buf_init(&r->asked, 0);
    buf_init(&r->answer, 0);
    assert_int_equal(listener_create(r->loop, &any, &options, on_accept, r, &r->at, &r->listener), 0);
    assert_int_equal(http1_client_dial(r->loop, &r->at, &CLIENT_EVENTS, r, &r->client), 0);
    *state = r;
    return 0;
}

static int teardown(void **state)
{
    struct rig *r = *state;
    if (r->client)
        http_client_close(r->client);
    PUMP(r->loop, r->client_closed, 1);
    if (r->task)
        conn_close(r->task);
    PUMP(r->loop, r->task_closed, r->accepted);
    if (r->listener)
        listener_close(r->listener);
    loop_destroy(r->loop);
    buf_dispose(&r->asked);
    buf_dispose(&r->answer);
    free(r);
    return 0;
}

/* ---- the claims ---- */

static void test_http1_client__keeps_the_connection_after_a_complete_answer(void **state)
{
    struct rig *r = *state;
    ask(r, &HEAD, SLICE("hello"));
    assert_false(http_client_usable(r->client));
    struct http_call *second;
    assert_int_equal(http_client_call(r->client, &HEAD, SLICE(""), false, &CALL_EVENTS, r, &second), GRID_EAGAIN);
    expect_asked(r, "POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 5\r\n\r\nhello");
    r->reuse_inside = true;
    answer(r, "HTTP/1.1 103 Early\r\n\r\nHTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\nx: y\r\n\r\n");
    PUMP(r->loop, r->closed, 1);
    assert_int_equal(r->err, 0);
    assert_int_equal(r->sent, HTTP_ANSWERED);
    assert_int_equal(r->trailer_count, 1);
    assert_string_equal(buf_cstr(&r->answer), "hi");
    expect_asked(r, "GET / HTTP/1.1\r\nhost: a\r\n\r\n");
    answer(r, "HTTP/1.1 204 No\r\n\r\n");
    PUMP(r->loop, r->closed, 2);
    assert_true(http_client_usable(r->client));
    assert_int_equal(r->accepted, 1);
}

static void test_http1_client__does_not_use_a_connection_again_that_is_spent(void **state)
{
    struct rig *r = *state;
    static const char *const answers[] = {
        "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nhi",
        "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhimore",
        "HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nhi",
    };
    for (size_t i = 0; i < sizeof answers / sizeof answers[0]; i++) {
        if (i > 0)
            assert_int_equal(http1_client_dial(r->loop, &r->at, &CLIENT_EVENTS, r, &r->client), 0);
        buf_clear(&r->asked);
        buf_clear(&r->answer);
        ask(r, &GET, slice_of(NULL, 0));
        expect_asked(r, "\r\n\r\n");
        answer(r, answers[i]);
        PUMP(r->loop, r->closed, (int) i + 1);
        assert_int_equal(r->err, 0);
        assert_string_equal(buf_cstr(&r->answer), "hi");
        assert_int_equal(r->draining, (int) i + 1);
        PUMP(r->loop, r->client_closed, (int) i + 1);
    }
    assert_int_equal(http1_client_dial(r->loop, &r->at, &CLIENT_EVENTS, r, &r->client), 0);
    r->client_closed = 0;
}

static void test_http1_client__reads_to_the_end_of_the_connection(void **state)
{
    struct rig *r = *state;
    ask(r, &GET, slice_of(NULL, 0));
    expect_asked(r, "\r\n\r\n");
    answer(r, "HTTP/1.0 200 OK\n\nall");
    conn_finish(r->task);
    PUMP(r->loop, r->closed, 1);
    assert_int_equal(r->err, 0);
    assert_string_equal(buf_cstr(&r->answer), "all");
}

struct failure {
    const char *answer; /* then the task closes */
    int err;
    int sent;
};

static void test_http1_client__says_how_far_a_failed_call_got(void **state)
{
    struct rig *r = *state;
    static const struct failure cases[] = {
        {"", GRID_ECLOSED, HTTP_SENT},
        {"HTTP/1.1 100 Continue\r\n\r\n", GRID_ECLOSED, HTTP_SENT},
        {"garbage\r\n\r\n", GRID_EPROTO, HTTP_SENT},
        {"HTTP/1.1 200", GRID_EPROTO, HTTP_SENT},
        {"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf", GRID_EPROTO, HTTP_ANSWERED},
        {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nxyz", GRID_EPROTO, HTTP_ANSWERED},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        if (i > 0)
            assert_int_equal(http1_client_dial(r->loop, &r->at, &CLIENT_EVENTS, r, &r->client), 0);
        buf_clear(&r->asked);
        ask(r, &GET, slice_of(NULL, 0));
        expect_asked(r, "\r\n\r\n");
        answer(r, cases[i].answer);
        conn_finish(r->task);
        PUMP(r->loop, r->client_closed, (int) i + 1);
        if (r->err != cases[i].err || r->sent != cases[i].sent)
            fail_msg("'%s': err %d sent %d", cases[i].answer, r->err, r->sent);
    }
}

static void test_http1_client__a_refused_connection_means_not_sent(void **state)
{
    struct rig *r = *state;
    PUMP(r->loop, r->opened, 1);
    http_client_close(r->client);
    PUMP(r->loop, r->client_closed, 1);
    listener_close(r->listener);
    r->listener = NULL;
    assert_int_equal(http1_client_dial(r->loop, &r->at, &CLIENT_EVENTS, r, &r->client), 0);
    ask(r, &HEAD, SLICE("x"));
    PUMP(r->loop, r->client_closed, 2);
    assert_int_equal(r->err, GRID_EREFUSED);
    assert_int_equal(r->sent, HTTP_NOT_SENT);
}

static void test_http1_client__notices_that_an_idle_connection_ended_or_spoke_unasked(void **state)
{
    struct rig *r = *state;
    PUMP(r->loop, r->accepted, 1);
    PUMP(r->loop, r->opened, 1);
    conn_close(r->task);
    PUMP(r->loop, r->draining, 1);
    PUMP(r->loop, r->client_closed, 1);
    assert_int_equal(http1_client_dial(r->loop, &r->at, &CLIENT_EVENTS, r, &r->client), 0);
    PUMP(r->loop, r->accepted, 2);
    PUMP(r->loop, r->opened, 2);
    answer(r, "HTTP/1.1 408 Request Timeout\r\n\r\n");
    PUMP(r->loop, r->client_closed, 2);
    assert_int_equal(r->draining, 2);
    assert_int_equal(r->heads, 0);
}

static void test_http1_client__sends_bodies_in_pieces(void **state)
{
    struct rig *r = *state;
    assert_int_equal(http_client_call(r->client, &HEAD, SLICE("one"), true, &CALL_EVENTS, r, &r->call), 0);
    expect_asked(r, "transfer-encoding: chunked\r\n\r\n3\r\none\r\n");
    assert_int_equal(http_call_data(r->call, SLICE("two"), true), 0);
    assert_int_equal(http_call_data(r->call, SLICE("x"), true), GRID_ECLOSED);
    expect_asked(r, "3\r\ntwo\r\n0\r\n\r\n");
    answer(r, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
    PUMP(r->loop, r->closed, 1);
    struct http_header length = {SLICE("content-length"), SLICE("6")};
    struct http_request_head head = HEAD;
    head.headers = &length;
    head.header_count = 1;
    buf_clear(&r->asked);
    assert_int_equal(http_client_call(r->client, &head, SLICE("one"), true, &CALL_EVENTS, r, &r->call), 0);
    assert_int_equal(http_call_data(r->call, SLICE("four"), true), GRID_EINVAL);
    assert_int_equal(http_call_data(r->call, SLICE("two"), true), 0);
    expect_asked(r, "content-length: 6\r\n\r\nonetwo");
    answer(r, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
    PUMP(r->loop, r->closed, 2);
    assert_true(http_client_usable(r->client));
}

static void test_http1_client__holds_the_body_until_100(void **state)
{
    struct rig *r = *state;
    assert_int_equal(http1_client_call_expect(r->client, &HEAD, SLICE("body"), false, &CALL_EVENTS, r, &r->call), 0);
    expect_asked(r, "expect: 100-continue\r\n\r\n");
    assert_null(strstr(buf_cstr(&r->asked), "body"));
    answer(r, "HTTP/1.1 100 Continue\r\n\r\n");
    expect_asked(r, "\r\n\r\nbody");
    answer(r, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
    PUMP(r->loop, r->closed, 1);
    assert_true(http_client_usable(r->client));
    buf_clear(&r->asked);
    assert_int_equal(http1_client_call_expect(r->client, &HEAD, SLICE("body"), false, &CALL_EVENTS, r, &r->call), 0);
    expect_asked(r, "\r\n\r\nbody"); /* nobody said 100: after 200 ms */
    answer(r, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
    PUMP(r->loop, r->closed, 2);
    assert_true(http_client_usable(r->client));
}

static void test_http1_client__keeps_the_body_back_when_the_answer_comes_first(void **state)
{
    struct rig *r = *state;
    assert_int_equal(http1_client_call_expect(r->client, &HEAD, SLICE("body"), false, &CALL_EVENTS, r, &r->call), 0);
    expect_asked(r, "\r\n\r\n");
    answer(r, "HTTP/1.1 501 No\r\nContent-Length: 0\r\n\r\n");
    PUMP(r->loop, r->closed, 1);
    assert_int_equal(r->status, 501);
    assert_int_equal(r->draining, 1);
    PUMP(r->loop, r->client_closed, 1);
    assert_null(strstr(buf_cstr(&r->asked), "body"));
}

static void test_http1_client__pauses_resumes_and_cancels(void **state)
{
    struct rig *r = *state;
    ask(r, &GET, slice_of(NULL, 0));
    http_call_pause(r->call);
    expect_asked(r, "\r\n\r\n");
    answer(r, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi");
    pump_until_value(r->loop, &r->heads, 1, 20);
    assert_int_equal(r->heads, 0);
    http_call_resume(r->call);
    PUMP(r->loop, r->closed, 1);
    assert_int_equal(r->err, 0);
    ask(r, &GET, slice_of(NULL, 0));
    http_call_cancel(r->call);
    assert_int_equal(r->closed, 1);
    PUMP(r->loop, r->closed, 2);
    assert_int_equal(r->err, GRID_ECANCELED);
}

static void test_http1_client__refuses_a_head_that_would_split(void **state)
{
    struct rig *r = *state;
    struct http_header bad = {SLICE("x"), SLICE("a\r\nb: c")};
    struct http_request_head head = HEAD;
    head.headers = &bad;
    head.header_count = 1;
    assert_int_equal(http_client_call(r->client, &head, SLICE("x"), false, &CALL_EVENTS, r, &r->call), GRID_EINVAL);
    ask(r, &HEAD, SLICE("x"));
    expect_asked(r, "POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 1\r\n\r\nx");
}

int main(void)
{
#define CLAIM(test) cmocka_unit_test_setup_teardown(test, setup, teardown)
    const struct CMUnitTest tests[] = {
        CLAIM(test_http1_client__keeps_the_connection_after_a_complete_answer),
        CLAIM(test_http1_client__does_not_use_a_connection_again_that_is_spent),
        CLAIM(test_http1_client__reads_to_the_end_of_the_connection),
        CLAIM(test_http1_client__says_how_far_a_failed_call_got),
        CLAIM(test_http1_client__a_refused_connection_means_not_sent),
        CLAIM(test_http1_client__notices_that_an_idle_connection_ended_or_spoke_unasked),
        CLAIM(test_http1_client__sends_bodies_in_pieces),
        CLAIM(test_http1_client__holds_the_body_until_100),
        CLAIM(test_http1_client__keeps_the_body_back_when_the_answer_comes_first),
        CLAIM(test_http1_client__pauses_resumes_and_cancels),
        CLAIM(test_http1_client__refuses_a_head_that_would_split),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
