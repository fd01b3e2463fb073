/* Calls to real loopback servers: what is sent, what each kind of answer becomes, methods, limits, cancellation, kept connections
 * and servers that serve one connection at a time. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/buf.h"
#include "base/err.h"
#include "server/exec/task_http.h"
#include "tests/unit/server/fake_task.h"

enum { GUARD_MS = 20000, CALLS_MAX = 64 };

struct bench;

struct call_record {
    struct bench *bench;
    struct invocation *inv;
    bool headed, ended;
    int http_status, status;
    enum attempt_seen seen;
    bool refused;
    char content_type[64], function_error[32], message[256];
    struct buf body;
    uint64_t took_ms, began_ms;
};

struct bench {
    struct loop *loop;
    struct task_pool *pools[2];
    struct instance *instance;
    struct call_record calls[CALLS_MAX];
    unsigned call_count, open_calls;
    unsigned closed_pools;
    struct loop_timer guard;
    bool cancel_on_head;
    int pool_count;
};

static void on_head(struct invocation *inv, const struct invocation_answer *a)
{
    struct call_record *r = inv->sink_ctx;
    assert_false(r->headed);
    r->headed = true;
    r->http_status = a->status;
    snprintf(r->content_type, sizeof r->content_type, "%.*s", SLICE_FMT(a->content_type));
    snprintf(r->function_error, sizeof r->function_error, "%.*s", SLICE_FMT(a->function_error));
    if (r->bench->cancel_on_head)
        inv->producer->cancel(inv);
}

static void on_data(struct invocation *inv, struct slice bytes)
{
    struct call_record *r = inv->sink_ctx;
    assert_true(r->headed && !r->ended);
    buf_append(&r->body, bytes);
}

static void on_end(struct invocation *inv, int status, const char *message, enum attempt_seen seen, bool refused,
                   int64_t pushback_ms)
{
    struct call_record *r = inv->sink_ctx;
    (void) pushback_ms;
    assert_false(r->ended);
    r->ended = true;
    r->status = status;
    r->seen = seen;
    r->refused = refused;
    r->took_ms = loop_now_ms(r->bench->loop) - r->began_ms;
    snprintf(r->message, sizeof r->message, "%s", message);
    invocation_destroy(inv);
    if (--r->bench->open_calls == 0)
        loop_stop(r->bench->loop);
}

static const struct attempt_events EVENTS = {on_head, on_data, on_end, NULL};

static void on_guard(void *arg)
{
    (void) arg;
    fail_msg("a call did not end in time");
}

static void close_elsewhere(void *ctx, uint64_t instance_id)
{
    struct bench *b = ctx;
    for (int i = 0; i < b->pool_count; i++)
        task_pool_close_idle(b->pools[i], instance_id);
}

static void bench_init(struct bench *b, uint16_t port, int pools)
{
    memset(b, 0, sizeof *b);
    assert_int_equal(loop_create(&b->loop), 0);
    b->pool_count = pools;
    struct task_pool_options options = {1024, 8, 30000, pools > 1 ? close_elsewhere : NULL, b};
    for (int i = 0; i < pools; i++)
        assert_int_equal(task_pool_create(b->loop, &options, &b->pools[i]), 0);
    b->instance = instance_create(7, "echo", 0, port);
}

static struct call_record *bench_send(struct bench *b, int pool, const char *body)
{
    struct call_record *r = &b->calls[b->call_count++];
    struct invocation *inv = invocation_create();
    *r = (struct call_record){.bench = b, .inv = inv, .began_ms = loop_now_ms(b->loop)};
    buf_init(&r->body, 0);
    inv->task = SLICE("echo");
    inv->payload = arena_copy(inv->arena, slice_of_str(body));
    inv->content_type = SLICE("text/plain");
    inv->deadline_ms = loop_now_ms(b->loop) + 60000;
    inv->sink_ctx = r;
    b->open_calls++;
    assert_int_equal(task_pool_send(b->pools[pool], b->instance, inv, &EVENTS), 0);
    assert_false(r->headed || r->ended);
    return r;
}

static void bench_run(struct bench *b)
{
    loop_timer_start(b->loop, &b->guard, GUARD_MS, on_guard, NULL);
    loop_run(b->loop);
    loop_timer_stop(&b->guard);
}

static struct call_record *bench_call(struct bench *b, const char *body)
{
    struct call_record *r = bench_send(b, 0, body);
    bench_run(b);
    return r;
}

static void on_pool_closed(void *arg)
{
    struct bench *b = arg;
    if (++b->closed_pools == (unsigned) b->pool_count)
        loop_stop(b->loop);
}

static void bench_dispose(struct bench *b)
{
    for (int i = 0; i < b->pool_count; i++)
        task_pool_close(b->pools[i], on_pool_closed, b);
    bench_run(b);
    assert_int_equal(b->instance->idle_connections, 0);
    assert_int_equal(b->instance->references, 1);
    instance_unref(b->instance);
    for (unsigned i = 0; i < b->call_count; i++)
        buf_dispose(&b->calls[i].body);
    loop_destroy(b->loop);
    invocation_thread_cleanup();
}

static void assert_ended(const struct call_record *r, int status, enum attempt_seen seen, const char *message)
{
    assert_true(r->ended);
    if (message && !strstr(r->message, message))
        print_error("said: %s\n", r->message);
    assert_int_equal(r->status, status);
    assert_int_equal(r->seen, seen);
    if (message)
        assert_non_null(strstr(r->message, message));
}

/* ---- what is sent ---- */

static void test_task_http__sends_the_call_and_gives_the_answer_back(void **state)
{
    (void) state;
    struct fake_task t;
    struct bench b;
    fake_start(&t, fake_serve_echo, false);
    bench_init(&b, t.port, 1);
    struct call_record *r = bench_call(&b, "hello");
    assert_ended(r, GRPC_OK, ATTEMPT_ANSWERED, NULL);
    assert_int_equal(r->http_status, 200);
    assert_string_equal(r->content_type, "text/plain");
    assert_memory_equal(r->body.data, "hello", 5);
    assert_int_equal(b.instance->method, INSTANCE_METHOD_POST);
    bench_dispose(&b);
    fake_stop(&t);
}

static void test_task_http__says_who_and_until_when(void **state)
{
    (void) state;
    struct fake_task t;
    struct bench b;
    fake_start(&t, fake_serve_echo, false);
    bench_init(&b, t.port, 1);
    struct call_record *r = bench_send(&b, 0, "x");
    struct http_header metadata[] = {{SLICE("colour"), SLICE("green")}};
    bench_run(&b);
    struct invocation *inv = invocation_create();
    r = &b.calls[b.call_count++];
    *r = (struct call_record){.bench = &b, .inv = inv};
    char id[37];
    memcpy(id, inv->id, sizeof id);
    inv->handler = SLICE("h");
    inv->traceparent = SLICE("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01");
    inv->idempotency_key = SLICE("k1");
    inv->metadata = metadata;
    inv->metadata_count = 1;
    inv->deadline_ms = loop_now_ms(b.loop) + 60000;
    inv->sink_ctx = r;
    b.open_calls++;
    assert_int_equal(task_pool_send(b.pools[0], b.instance, inv, &EVENTS), 0);
    bench_run(&b);
    assert_true(strncmp(t.last_head, "POST / HTTP/1.1\r\n", 17) == 0);
    assert_non_null(strstr(t.last_head, "grid-handler: h\r\n"));
    assert_non_null(strstr(t.last_head, id));
    assert_non_null(strstr(t.last_head, "traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01\r\n"));
    assert_non_null(strstr(t.last_head, "idempotency-key: k1\r\n"));
    assert_non_null(strstr(t.last_head, "grid-meta-colour: green\r\n"));
    const char *deadline = strstr(t.last_head, "grid-deadline-ms: ");
    assert_non_null(deadline);
    assert_in_range(strtoll(deadline + 18, NULL, 10), (uintmax_t) loop_wall_ms() + 50000, (uintmax_t) loop_wall_ms() + 60001);
    assert_null(strstr(t.last_head, "Expect"));
    bench_dispose(&b);
    fake_stop(&t);
}

static void test_task_http__refuses_what_no_header_can_carry(void **state)
{
    (void) state;
    struct fake_task t;
    struct bench b;
    fake_start(&t, fake_serve_echo, false);
    bench_init(&b, t.port, 1);
    struct call_record *r = bench_send(&b, 0, "x");
    bench_run(&b);
    struct invocation *inv = invocation_create();
    r = &b.calls[b.call_count++];
    *r = (struct call_record){.bench = &b, .inv = inv};
    inv->handler = SLICE("h\r\nX-Evil: 1");
    inv->deadline_ms = loop_now_ms(b.loop) + 60000;
    inv->sink_ctx = r;
    b.open_calls++;
    assert_int_equal(task_pool_send(b.pools[0], b.instance, inv, &EVENTS), 0);
    bench_run(&b);
    assert_ended(r, GRPC_INVALID_ARGUMENT, ATTEMPT_UNSEEN, "header");
    assert_int_equal(t.requests, 1);
    bench_dispose(&b);
    fake_stop(&t);
}

/* ---- what goes wrong ---- */

static void serve_garbage(struct fake_task *t, int fd)
{
    if (fake_read(t, fd))
        fake_write(fd, "I am no HTTP server\r\n\r\n");
}

static void serve_nothing(struct fake_task *t, int fd)
{
    fake_read(t, fd);
}

static void serve_half(struct fake_task *t, int fd)
{
    if (fake_read(t, fd))
        fake_write(fd, "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf");
}

static void serve_half_a_head(struct fake_task *t, int fd)
{
    if (fake_read(t, fd))
        fake_write(fd, "HTTP/1.1 200 OK\r\nConten");
}

static void serve_too_long(struct fake_task *t, int fd)
{
    char answer[1200];
    snprintf(answer, sizeof answer, "HTTP/1.1 200 OK\r\nContent-Length: 1025\r\n\r\n%01025d", 0);
    if (fake_read(t, fd))
        fake_write(fd, answer);
    fake_await_hang_up(t, fd);
}

static void serve_endless(struct fake_task *t, int fd)
{
    char chunk[300];
    if (!fake_read(t, fd))
        return;
    fake_write(fd, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
    snprintf(chunk, sizeof chunk, "100\r\n%0256d\r\n", 0);
    for (int i = 0; i < 10; i++)
        fake_write(fd, chunk);
    fake_await_hang_up(t, fd);
}

static void test_task_http__names_the_task_when_its_answer_is_no_answer(void **state)
{
    (void) state;
    static const struct {
        fake_serve serve;
        int status;
        enum attempt_seen seen;
        const char *message;
    } cases[] = {
        {serve_garbage, GRPC_INTERNAL, ATTEMPT_ANSWERED, "the task echo answered something that is no HTTP"},
        {serve_nothing, GRPC_UNAVAILABLE, ATTEMPT_UNKNOWN, "the task echo closed the connection without an answer"},
        {serve_half, GRPC_INTERNAL, ATTEMPT_ANSWERED, "the task echo broke its answer off"},
        {serve_half_a_head, GRPC_INTERNAL, ATTEMPT_ANSWERED, "the task echo answered something that is no HTTP"},
        {serve_too_long, GRPC_INTERNAL, ATTEMPT_ANSWERED, "the task echo answered more than 1024 bytes"},
        {serve_endless, GRPC_INTERNAL, ATTEMPT_ANSWERED, "the task echo answered more than 1024 bytes"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct fake_task t;
        struct bench b;
        fake_start(&t, cases[i].serve, false);
        bench_init(&b, t.port, 1);
        b.instance->method = INSTANCE_METHOD_POST;
        assert_ended(bench_call(&b, "x"), cases[i].status, cases[i].seen, cases[i].message);
        bench_dispose(&b);
        fake_stop(&t);
    }
}

static void test_task_http__tells_when_nobody_listens(void **state)
{
    (void) state;
    struct bench b;
    bench_init(&b, fake_dead_port(), 1);
    struct call_record *r = bench_call(&b, "x");
    assert_ended(r, GRPC_UNAVAILABLE, ATTEMPT_UNSEEN, "the task echo does not listen on its port");
    assert_true(r->refused);
    bench_dispose(&b);
}

static void serve_failure(struct fake_task *t, int fd)
{
    while (fake_read(t, fd))
        fake_answer(fd, "500 Internal Server Error", "Grid-Function-Error: Unhandled\r\n", "{}");
}

static void test_task_http__passes_statuses_and_the_error_mark(void **state)
{
    (void) state;
    struct fake_task t;
    struct bench b;
    fake_start(&t, serve_failure, false);
    bench_init(&b, t.port, 1);
    struct call_record *r = bench_call(&b, "x");
    assert_ended(r, GRPC_OK, ATTEMPT_ANSWERED, NULL);
    assert_int_equal(r->http_status, 500);
    assert_string_equal(r->function_error, "Unhandled");
    bench_dispose(&b);
    fake_stop(&t);
}

/* ---- methods ---- */

static void serve_get_only_501(struct fake_task *t, int fd)
{
    if (!fake_read_head(t, fd))
        return;
    if (strncmp(fake_head, "GET ", 4) == 0)
        fake_answer(fd, "200 OK", "Connection: close\r\n", "got");
    else
        fake_answer(fd, "501 Unsupported method ('POST')", "Connection: close\r\n", "no");
}

static void serve_get_only_405(struct fake_task *t, int fd)
{
    while (fake_read(t, fd))
        if (strncmp(fake_head, "GET ", 4) == 0)
            fake_answer(fd, "200 OK", "", "got");
        else
            fake_answer(fd, "405 Method Not Allowed", "Allow: GET, HEAD\r\n", "no");
}

static void serve_405_with_post(struct fake_task *t, int fd)
{
    while (fake_read(t, fd))
        fake_answer(fd, "405 Method Not Allowed", "Allow: GET, POST\r\n", "no");
}

/* No expectation is taken, as RFC 9110 allows. */
static void serve_refusing_expect(struct fake_task *t, int fd)
{
    if (!fake_read_head(t, fd))
        return;
    if (strstr(fake_head, "xpect: "))
        fake_answer(fd, "417 Expectation Failed", "Connection: close\r\n", "");
    else
        fake_answer(fd, "200 OK", "Connection: close\r\n", "got");
}

/* Its own 417, whatever it was asked. */
static void serve_417(struct fake_task *t, int fd)
{
    if (fake_read_head(t, fd))
        fake_answer(fd, "417 Expectation Failed", "Connection: close\r\n", "no");
}

static void test_task_http__repeats_a_call_whose_expectation_was_refused(void **state)
{
    (void) state;
    static const struct {
        fake_serve serve;
        int http_status;
        unsigned requests; /* after two calls */
    } cases[] = {{serve_refusing_expect, 200, 3}, {serve_417, 417, 3}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct fake_task t;
        struct bench b;
        fake_start(&t, cases[i].serve, false);
        bench_init(&b, t.port, 1);
        for (int k = 0; k < 2; k++) {
            struct call_record *r = bench_call(&b, "x");
            assert_ended(r, GRPC_OK, ATTEMPT_ANSWERED, NULL);
            assert_int_equal(r->http_status, cases[i].http_status);
        }
        assert_int_equal(b.instance->method, INSTANCE_METHOD_POST);
        assert_int_equal(t.requests, cases[i].requests);
        bench_dispose(&b);
        fake_stop(&t);
    }
}

static void test_task_http__learns_get_from_the_first_answer_and_repeats_that_call(void **state)
{
    (void) state;
    static const struct {
        fake_serve serve;
        int http_status;
        enum instance_method method;
        unsigned requests; /* after two calls */
    } cases[] = {
        {serve_get_only_501, 200, INSTANCE_METHOD_GET, 3},
        {serve_get_only_405, 200, INSTANCE_METHOD_GET, 3},
        {serve_405_with_post, 405, INSTANCE_METHOD_POST, 2},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct fake_task t;
        struct bench b;
        fake_start(&t, cases[i].serve, false);
        bench_init(&b, t.port, 1);
        for (int k = 0; k < 2; k++) {
            struct call_record *r = bench_call(&b, "x");
            assert_ended(r, GRPC_OK, ATTEMPT_ANSWERED, NULL);
            assert_int_equal(r->http_status, cases[i].http_status);
            assert_memory_equal(r->body.data, cases[i].http_status == 200 ? "got" : "no", r->body.size);
        }
        assert_int_equal(b.instance->method, cases[i].method);
        assert_int_equal(t.requests, cases[i].requests);
        if (cases[i].method == INSTANCE_METHOD_GET) {
            assert_null(strstr(t.last_head, "ontent-"));
            assert_non_null(strstr(t.last_head, "grid-request-id: "));
        }
        bench_dispose(&b);
        fake_stop(&t);
    }
}

/* Answers 100 and only then reads the body. */
static void serve_continue(struct fake_task *t, int fd)
{
    while (fake_read_head(t, fd)) {
        if (strstr(fake_head, "100-continue"))
            fake_write(fd, "HTTP/1.1 100 Continue\r\n\r\n");
        if (!fake_read_body(t, fd))
            return;
        fake_answer(fd, "200 OK", "", strstr(fake_head, "100-continue") ? "asked" : "plain");
    }
}

/* The time that a first call took. */
static uint64_t call_asking_first(void)
{
    struct fake_task t;
    struct bench b;
    fake_start(&t, serve_continue, false);
    bench_init(&b, t.port, 1);
    struct call_record *first = bench_call(&b, "body"), *second = bench_call(&b, "body");
    assert_memory_equal(first->body.data, "asked", 5);
    assert_memory_equal(second->body.data, "plain", 5);
    assert_int_equal(t.connections, 1);
    uint64_t took_ms = first->took_ms;
    bench_dispose(&b);
    fake_stop(&t);
    return took_ms;
}

static void test_task_http__asks_before_its_first_body_only(void **state)
{
    (void) state;
    uint64_t took_ms = call_asking_first();
    for (int i = 0; i < 10 && took_ms >= 200; i++) /* a stalled machine may be slow, but not each time */
        took_ms = call_asking_first();
    assert_true(took_ms < 200);
}

static void test_task_http__sends_the_body_to_a_task_that_never_says_continue(void **state)
{
    (void) state;
    struct fake_task t;
    struct bench b;
    fake_start(&t, fake_serve_echo, false);
    bench_init(&b, t.port, 1);
    struct call_record *r = bench_call(&b, "late");
    assert_memory_equal(r->body.data, "late", 4);
    assert_in_range(r->took_ms, 190, 5000);
    bench_dispose(&b);
    fake_stop(&t);
}

/* ---- connections ---- */

static void test_task_http__keeps_connections_and_counts_the_idle_ones(void **state)
{
    (void) state;
    struct fake_task t;
    struct bench b;
    fake_start(&t, fake_serve_echo, false);
    bench_init(&b, t.port, 1);
    b.instance->method = INSTANCE_METHOD_POST;
    for (int i = 0; i < 20; i++)
        assert_ended(bench_call(&b, "x"), GRPC_OK, ATTEMPT_ANSWERED, NULL);
    assert_int_equal(t.connections, 1);
    assert_int_equal(b.instance->idle_connections, 1);
    for (int i = 0; i < 10; i++)
        bench_send(&b, 0, "x");
    bench_run(&b);
    assert_int_equal(t.connections, 10);
    assert_int_equal(b.instance->idle_connections, 8);
    task_pool_close_idle(b.pools[0], b.instance->id);
    assert_int_equal(b.instance->idle_connections, 0);
    bench_dispose(&b);
    fake_stop(&t);
}

static atomic_uint ended_by_task;

static void serve_one_then_close(struct fake_task *t, int fd)
{
    if (!fake_read(t, fd))
        return;
    fake_answer(fd, "200 OK", "", "once");
    shutdown(fd, SHUT_RDWR); /* without a word */
    atomic_fetch_add(&ended_by_task, 1);
}

static void await_end(unsigned count)
{
    for (int i = 0; i < GUARD_MS && atomic_load(&ended_by_task) < count; i++)
        usleep(1000);
    assert_int_equal(ended_by_task, count);
}

static void test_task_http__never_loses_a_call_to_an_idle_connection_that_was_closed(void **state)
{
    (void) state;
    struct fake_task t;
    struct bench b;
    fake_start(&t, serve_one_then_close, false);
    bench_init(&b, t.port, 1);
    b.instance->method = INSTANCE_METHOD_POST;
    for (unsigned i = 0; i < 20; i++) {
        assert_ended(bench_call(&b, "x"), GRPC_OK, ATTEMPT_ANSWERED, NULL);
        await_end(i + 1);
        usleep(10 * 1000); /* older than what is used unseen: the end has arrived, the loop has not run */
        uv_update_time(loop_uv(b.loop));
    }
    assert_int_equal(t.connections, 20);
    bench_dispose(&b);
    fake_stop(&t);
}

static void serve_hang(struct fake_task *t, int fd)
{
    if (fake_read(t, fd))
        fake_await_hang_up(t, fd);
}

static void cancel_run(void *arg)
{
    struct call_record *r = arg;
    r->inv->producer->cancel(r->inv);
}

static void test_task_http__closes_the_connection_of_a_cancelled_call(void **state)
{
    (void) state;
    struct fake_task t;
    struct bench b;
    fake_start(&t, serve_hang, false);
    bench_init(&b, t.port, 1);
    b.instance->method = INSTANCE_METHOD_POST;
    struct call_record *r = bench_send(&b, 0, "x");
    struct loop_timer timer = {0};
    loop_timer_start(b.loop, &timer, 50, cancel_run, r);
    bench_run(&b);
    assert_ended(r, GRPC_CANCELLED, ATTEMPT_UNKNOWN, NULL);
    for (int i = 0; i < 2000 && t.hung_up == 0; i++)
        usleep(1000);
    assert_int_equal(t.hung_up, 1);
    bench_dispose(&b);
    fake_stop(&t);
}

static void test_task_http__may_be_cancelled_by_who_hears_the_head(void **state)
{
    (void) state;
    struct fake_task t;
    struct bench b;
    fake_start(&t, fake_serve_echo, false);
    bench_init(&b, t.port, 1);
    b.cancel_on_head = true;
    struct call_record *r = bench_call(&b, "x");
    assert_ended(r, GRPC_CANCELLED, ATTEMPT_ANSWERED, NULL);
    assert_int_equal(r->body.size, 0);
    bench_dispose(&b);
    fake_stop(&t);
}

static void test_task_http__ends_its_calls_when_it_is_closed(void **state)
{
    (void) state;
    struct fake_task t;
    struct bench b;
    fake_start(&t, serve_hang, false);
    bench_init(&b, t.port, 1);
    struct call_record *r = bench_send(&b, 0, "x");
    bench_dispose(&b);
    assert_ended(r, GRPC_UNAVAILABLE, r->seen, NULL);
    fake_stop(&t);
}

/* ---- one connection at a time ---- */

static void test_task_http__never_starves_a_serial_server_between_two_pools(void **state)
{
    (void) state;
    struct fake_task t;
    struct bench b;
    fake_start(&t, fake_serve_echo, true);
    bench_init(&b, t.port, 2);
    b.instance->method = INSTANCE_METHOD_POST;
    for (int i = 0; i < 50 && b.instance->serial != INSTANCE_SERIAL_YES; i++) {
        struct call_record *r = bench_send(&b, i % 2, "x");
        bench_run(&b);
        assert_ended(r, GRPC_OK, ATTEMPT_ANSWERED, NULL);
        assert_true(r->took_ms < 5000);
    }
    assert_int_equal(b.instance->serial, INSTANCE_SERIAL_YES);
    unsigned before = t.connections;
    for (int i = 0; i < 6; i++) {
        bench_send(&b, i % 2, "x");
        bench_run(&b);
    }
    assert_int_equal(t.connections, before + 6);
    assert_int_equal(b.instance->idle_connections, 0);
    bench_dispose(&b);
    fake_stop(&t);
}

static void test_task_http__serves_many_calls_at_once_through_a_serial_server(void **state)
{
    (void) state;
    struct fake_task t;
    struct bench b;
    fake_start(&t, fake_serve_echo, true);
    bench_init(&b, t.port, 2);
    b.instance->method = INSTANCE_METHOD_POST;
    for (int i = 0; i < 20; i++)
        bench_send(&b, i % 2, "x");
    bench_run(&b);
    for (int i = 0; i < 20; i++)
        assert_ended(&b.calls[i], GRPC_OK, ATTEMPT_ANSWERED, NULL);
    bench_dispose(&b);
    fake_stop(&t);
}

static void serve_slow(struct fake_task *t, int fd)
{
    while (fake_read(t, fd)) {
        usleep(250 * 1000);
        fake_answer(fd, "200 OK", "", "slow");
    }
}

static void test_task_http__does_not_take_a_slow_server_for_a_serial_one(void **state)
{
    (void) state;
    struct fake_task t;
    struct bench b;
    fake_start(&t, serve_slow, false);
    bench_init(&b, t.port, 2);
    b.instance->method = INSTANCE_METHOD_POST;
    for (int i = 0; i < 4; i++) {
        bench_send(&b, i % 2, "x");
        bench_run(&b);
    }
    assert_int_not_equal(b.instance->serial, INSTANCE_SERIAL_YES);
    bench_dispose(&b);
    fake_stop(&t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_task_http__sends_the_call_and_gives_the_answer_back),
        cmocka_unit_test(test_task_http__says_who_and_until_when),
        cmocka_unit_test(test_task_http__refuses_what_no_header_can_carry),
        cmocka_unit_test(test_task_http__names_the_task_when_its_answer_is_no_answer),
        cmocka_unit_test(test_task_http__tells_when_nobody_listens),
        cmocka_unit_test(test_task_http__passes_statuses_and_the_error_mark),
        cmocka_unit_test(test_task_http__repeats_a_call_whose_expectation_was_refused),
        cmocka_unit_test(test_task_http__learns_get_from_the_first_answer_and_repeats_that_call),
        cmocka_unit_test(test_task_http__asks_before_its_first_body_only),
        cmocka_unit_test(test_task_http__sends_the_body_to_a_task_that_never_says_continue),
        cmocka_unit_test(test_task_http__keeps_connections_and_counts_the_idle_ones),
        cmocka_unit_test(test_task_http__never_loses_a_call_to_an_idle_connection_that_was_closed),
        cmocka_unit_test(test_task_http__closes_the_connection_of_a_cancelled_call),
        cmocka_unit_test(test_task_http__may_be_cancelled_by_who_hears_the_head),
        cmocka_unit_test(test_task_http__ends_its_calls_when_it_is_closed),
        cmocka_unit_test(test_task_http__never_starves_a_serial_server_between_two_pools),
        cmocka_unit_test(test_task_http__serves_many_calls_at_once_through_a_serial_server),
        cmocka_unit_test(test_task_http__does_not_take_a_slow_server_for_a_serial_one),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
