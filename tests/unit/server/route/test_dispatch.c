/* Invocations through one worker's dispatch, against real loopback tasks and nodes of the test's own: every row of the failure
 * table, waiting, queues, deadlines, broadcast, links. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/buf.h"
#include "base/err.h"
#include "grid/v1/invoke.pb-c.h"
#include "net/grpc_server.h"
#include "server/route/dispatch.h"
#include "tests/unit/server/fake_task.h"

enum { GUARD_MS = 20000, CALLS_MAX = 256, NODES_MAX = 4, HTTP2_REFUSED_STREAM = 7 };

/* What a node says its answers come from. */
static const char PEER_RELEASE[] = "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff";

/* ---- another node ---- */

enum behaviour {
    PEER_ANSWER,
    PEER_MARK,      /* answers a function's error document */
    PEER_NOT_READY, /* UNAVAILABLE, unseen */
    PEER_FAULT,     /* UNAVAILABLE, seen */
    PEER_NOT_FOUND, /* unseen */
    PEER_BUSY,      /* RESOURCE_EXHAUSTED, unseen, pushback 30 ms */
    PEER_BUSY_LONG, /* pushback 100 s */
    PEER_REFUSE_STREAM,
    PEER_DROP, /* ends the connection */
    PEER_HANG,
    PEER_GARBAGE, /* no CallResponse */
    PEER_NO_ROOT, /* a release that is none */
};

struct grid;

struct peer {
    struct grid *grid;
    enum behaviour behaviour;
    const char *load; /* grid-load of its answers; NULL: it says none */
    struct route_node_shared *shared;
    struct addr at, dead_first; /* size 0: no such address */
    struct listener *listener;
    struct http_server *http;
    struct grpc_server *grpc;
    struct grpc_method methods[2];
    struct grpc_service service;
    unsigned calls, cancelled;
    char name[16], last_hops[8], last_from[32], last_id[40], last_task[32], last_payload[64];
};

static void peer_send(struct grpc_call *call, const ProtobufCMessage *message)
{
    uint8_t packed[1024];
    grpc_call_send(call, slice_of(packed, protobuf_c_message_pack(message, packed)));
}

static ProtobufCBinaryData bytes(const char *text)
{
    return (ProtobufCBinaryData){strlen(text), (uint8_t *) (uintptr_t) text};
}

static void peer_answer(struct peer *p, struct grpc_call *call)
{
    Grid__V1__CallResponse r = GRID__V1__CALL_RESPONSE__INIT;
    Grid__V1__FunctionError error = GRID__V1__FUNCTION_ERROR__INIT;
    r.output_case = GRID__V1__CALL_RESPONSE__OUTPUT_PAYLOAD;
    r.payload = bytes(p->name);
    r.content_type = bytes("text/plain");
    r.status = 200;
    r.release = bytes(p->behaviour == PEER_NO_ROOT ? "12\r\nX: y" : PEER_RELEASE);
    error.type = bytes("Handled");
    if (p->behaviour == PEER_MARK)
        r.error = &error;
    peer_send(call, &r.base);
    grpc_call_finish(call, GRPC_OK, NULL);
}

static void peer_stream(struct peer *p, struct grpc_call *call)
{
    Grid__V1__CallChunk chunk = GRID__V1__CALL_CHUNK__INIT;
    Grid__V1__CallHead head = GRID__V1__CALL_HEAD__INIT;
    Grid__V1__CallEnd end = GRID__V1__CALL_END__INIT;
    head.status = 200;
    head.function_error = bytes("Unhandled");
    chunk.part_case = GRID__V1__CALL_CHUNK__PART_HEAD;
    chunk.head = &head;
    peer_send(call, &chunk.base);
    chunk.part_case = GRID__V1__CALL_CHUNK__PART_DATA;
    chunk.data = bytes(p->name);
    peer_send(call, &chunk.base);
    peer_send(call, &chunk.base);
    chunk.part_case = GRID__V1__CALL_CHUNK__PART_END;
    chunk.end = &end;
    peer_send(call, &chunk.base);
    grpc_call_finish(call, GRPC_OK, NULL);
}

static void peer_fault(struct grpc_call *call, int status, const char *seen, const char *pushback)
{
    grpc_call_add_trailer(call, SLICE("grid-seen"), slice_of_str(seen));
    if (pushback)
        grpc_call_add_trailer(call, SLICE("grpc-retry-pushback-ms"), slice_of_str(pushback));
    grpc_call_finish(call, status, "the peer says no");
}

static void copy_text(char *out, size_t size, const void *data, size_t length)
{
    size_t kept = length < size - 1 ? length : size - 1;
    memcpy(out, data, kept);
    out[kept] = '\0';
}

static void copy_slice(char *out, size_t size, struct slice s)
{
    copy_text(out, size, s.data ? (const void *) s.data : "", s.size);
}

static void peer_note(struct peer *p, struct grpc_call *call, struct slice message)
{
    p->calls++;
    copy_slice(p->last_hops, sizeof p->last_hops, grpc_call_metadata(call, "grid-hops"));
    copy_slice(p->last_from, sizeof p->last_from, grpc_call_metadata(call, "grid-from"));
    copy_slice(p->last_id, sizeof p->last_id, grpc_call_metadata(call, "grid-request-id"));
    Grid__V1__CallRequest *request = grid__v1__call_request__unpack(NULL, message.size, message.data);
    assert_non_null(request);
    copy_text(p->last_task, sizeof p->last_task, request->task.data, request->task.len);
    copy_text(p->last_payload, sizeof p->last_payload, request->payload.data, request->payload.len);
    grid__v1__call_request__free_unpacked(request, NULL);
    assert_true(grpc_call_time_left_ms(call) < 120000);
}

static void peer_on_message(void *ctx, struct grpc_call *call, struct slice message)
{
    struct peer *p = ctx;
    peer_note(p, call, message);
    if (p->load)
        grpc_call_add_trailer(call, SLICE("grid-load"), slice_of_str(p->load));
    switch (p->behaviour) {
    case PEER_ANSWER:
    case PEER_MARK:
    case PEER_NO_ROOT:
        if (grpc_call_method(call) == &p->methods[1])
            peer_stream(p, call);
        else
            peer_answer(p, call);
        break;
    case PEER_NOT_READY:
        peer_fault(call, GRPC_UNAVAILABLE, "0", NULL);
        break;
    case PEER_FAULT:
        peer_fault(call, GRPC_UNAVAILABLE, "1", NULL);
        break;
    case PEER_NOT_FOUND:
        peer_fault(call, GRPC_NOT_FOUND, "0", NULL);
        break;
    case PEER_BUSY:
        peer_fault(call, GRPC_RESOURCE_EXHAUSTED, "0", "30");
        break;
    case PEER_BUSY_LONG:
        peer_fault(call, GRPC_RESOURCE_EXHAUSTED, "0", "100000");
        break;
    case PEER_DROP:
        conn_close(grpc_call_conn(call));
        break;
    case PEER_GARBAGE:
        grpc_call_send(call, SLICE("\xff\xff\xff"));
        grpc_call_finish(call, GRPC_OK, NULL);
        break;
    default:
        break;
    }
}

static void peer_on_close(void *ctx, struct grpc_call *call, int err)
{
    struct peer *p = ctx;
    (void) call;
    p->cancelled += err != 0;
}

static const struct grpc_call_events PEER_CALL_EVENTS = {.on_message = peer_on_message, .on_close = peer_on_close};

static void peer_on_call(void *ctx, struct grpc_call *call)
{
    grpc_call_bind(call, &PEER_CALL_EVENTS, ctx);
}

static void refused_on_close(void *ctx, struct http_exchange *x, int err)
{
    (void) ctx;
    (void) x;
    (void) err;
}

static void refused_on_data(void *ctx, struct http_exchange *x, struct slice data)
{
    (void) ctx;
    (void) x;
    (void) data;
}

static void refused_on_end(void *ctx, struct http_exchange *x)
{
    (void) ctx;
    (void) x;
}

static void peer_on_request(void *ctx, struct http_exchange *x)
{
    static const struct http_exchange_events none = {refused_on_data, refused_on_end, NULL, refused_on_close, NULL};
    struct peer *p = ctx;
    if (p->behaviour == PEER_REFUSE_STREAM) {
        p->calls++;
        http_exchange_bind(x, &none, NULL);
        http_exchange_reset(x, HTTP2_REFUSED_STREAM);
    } else {
        assert_true(grpc_server_handle(p->grpc, x));
    }
}

static void peer_on_accept(void *ctx, int fd, const struct addr *from)
{
    struct peer *p = ctx;
    (void) from;
    http_server_accept(p->http, fd, NULL);
}

/* ---- a grid of this node and others ---- */

struct record {
    struct grid *grid;
    struct invocation *inv;
    bool headed, ended, unseen, failed;
    int http_status, status;
    uint32_t attempts;
    int64_t pushback_ms;
    char message[256], node[64], function_error[32], release[80];
    struct buf body;
    uint64_t began_ms, took_ms;
};

struct grid {
    struct loop *loop;
    struct dispatch *dispatch;
    struct route_shared *shared;
    struct route_task_shared *task;
    struct instance *instance; /* ours; NULL for none */
    struct peer peers[NODES_MAX];
    unsigned peer_count;
    uint64_t incarnations[NODES_MAX];
    const char *faults[NODES_MAX + 1];
    bool settling, task_is_shared;
    uint64_t version;
    struct record calls[CALLS_MAX];
    unsigned call_count, open_calls, closing;
    unsigned refused_instances, failed_peers, wanted;
    struct loop_timer guard;
};

static void on_instance_refused(void *ctx, uint64_t instance_id)
{
    struct grid *g = ctx;
    assert_int_equal(instance_id, 7);
    g->refused_instances++;
}

static void on_task_wanted(void *ctx, const char *task)
{
    struct grid *g = ctx;
    assert_string_equal(task, "echo");
    g->wanted++;
}

static void on_peer_failed(void *ctx, const char *node_id)
{
    struct grid *g = ctx;
    assert_int_equal(strlen(node_id), 64);
    g->failed_peers++;
}

static void node_fill(const struct grid *g, unsigned index, struct route_node *n)
{
    *n =
        (struct route_node){.local = index == 0, .routable = true, .host_json = SLICE("{}"), .incarnation = g->incarnations[index]};
    snprintf(n->id, sizeof n->id, "%064u", index);
    snprintf(n->name, sizeof n->name, "node-%u", index);
    snprintf(n->release, sizeof n->release, "of-node-%u", index);
    if (index > 0) {
        n->addresses[0] = g->peers[index - 1].dead_first;
        n->address_count = n->addresses[0].size ? 1 : 0;
        n->addresses[n->address_count++] = g->peers[index - 1].at;
        n->shared = g->peers[index - 1].shared;
    }
}

/* Publishes what the grid is now: our instance, and every peer with one. */
static void grid_publish(struct grid *g)
{
    struct route_builder *b = route_builder_create(++g->version, g->shared);
    uint32_t ready[NODES_MAX + 1] = {g->instance ? 1 : 0};
    for (unsigned i = 0; i <= g->peer_count; i++) {
        struct route_node n;
        if (i > 0)
            ready[i] = g->faults[i] ? 0 : 1;
        node_fill(g, i, &n);
        assert_int_equal(route_builder_node(b, &n), i);
    }
    struct route_task_spec spec = {"echo", g->task, ready, &g->instance, (const char *const[]){"of-the-instance"}, g->instance ? 1 : 0, g->faults, true, NULL};
    assert_int_equal(route_builder_task(b, &spec), 0);
    dispatch_publish(g->dispatch, route_builder_finish(b, g->settling, "", NULL));
}

static void grid_init(struct grid *g, struct dispatch_options options)
{
    memset(g, 0, sizeof *g);
    assert_int_equal(loop_create(&g->loop), 0);
    options.max_payload = 4096;
    options.peers_in_clear = true;
    options.on_instance_refused = on_instance_refused;
    options.on_task_wanted = on_task_wanted;
    options.on_peer_failed = on_peer_failed;
    options.ctx = g;
    assert_int_equal(dispatch_create(g->loop, &options, &g->dispatch), 0);
    g->shared = route_shared_create();
    g->task = route_task_shared_create(2);
}

static void grid_add_instance(struct grid *g, uint16_t port)
{
    g->instance = instance_create(7, "echo", 0, port);
    g->instance->method = INSTANCE_METHOD_POST;
}

static struct peer *grid_add_peer(struct grid *g, enum behaviour behaviour)
{
    struct peer *p = &g->peers[g->peer_count++];
    struct addr at;
    addr_loopback_v4(0, &at);
    p->grid = g;
    p->behaviour = behaviour;
    p->shared = route_node_shared_create();
    snprintf(p->name, sizeof p->name, "peer-%u", g->peer_count);
    assert_int_equal(http_server_create(g->loop, &HTTP_SERVER_LIMITS_DEFAULT, peer_on_request, p, &p->http), 0);
    assert_int_equal(grpc_server_create(g->loop, 65536, &p->grpc), 0);
    p->methods[0] = (struct grpc_method){.path = "/grid.v1.Invoke/Call", .on_call = peer_on_call};
    p->methods[1] = (struct grpc_method){.path = "/grid.v1.Invoke/CallStream", .server_streams = true, .on_call = peer_on_call};
    p->service = (struct grpc_service){"grid.v1.Invoke", p->methods, 2, p};
    assert_int_equal(grpc_server_add(p->grpc, &p->service), 0);
    assert_int_equal(listener_create(g->loop, &at, &(struct listener_options){0}, peer_on_accept, p, &p->at, &p->listener), 0);
    return p;
}

/* A node whose address nobody answers on. */
static void grid_add_dead_peer(struct grid *g)
{
    struct peer *p = &g->peers[g->peer_count++];
    addr_loopback_v4(fake_dead_port(), &p->at);
}

static void on_guard(void *arg)
{
    (void) arg;
    fail_msg("not done in time");
}

static void grid_run(struct grid *g)
{
    loop_timer_start(g->loop, &g->guard, GUARD_MS, on_guard, NULL);
    loop_run(g->loop);
    loop_timer_stop(&g->guard);
}

static void closed_one(void *arg)
{
    struct grid *g = arg;
    if (--g->closing == 0)
        loop_stop(g->loop);
}

static void grid_dispose(struct grid *g)
{
    g->closing = 1;
    dispatch_close(g->dispatch, closed_one, g);
    for (unsigned i = 0; i < g->peer_count; i++)
        if (g->peers[i].http) {
            g->closing++;
            listener_close(g->peers[i].listener);
            http_server_close(g->peers[i].http, closed_one, g);
        }
    grid_run(g);
    for (unsigned i = 0; i < g->peer_count; i++)
        if (g->peers[i].grpc) {
            grpc_server_destroy(g->peers[i].grpc);
            assert_int_equal(g->peers[i].shared->references, 1);
            route_node_shared_unref(g->peers[i].shared);
        }
    if (g->instance) {
        assert_int_equal(g->instance->in_flight, 0);
        assert_int_equal(g->instance->references, 1);
    }
    instance_unref(g->instance);
    assert_int_equal(g->task->queued, 0);
    assert_true(g->task_is_shared || g->task->references == 1);
    route_task_shared_unref(g->task);
    route_shared_unref(g->shared);
    for (unsigned i = 0; i < g->call_count; i++)
        buf_dispose(&g->calls[i].body);
    loop_destroy(g->loop);
    invocation_thread_cleanup();
}

/* ---- calls ---- */

static void on_head(struct invocation *inv, const struct invocation_answer *a)
{
    struct record *r = inv->sink_ctx;
    assert_false(r->headed || r->ended);
    r->headed = true;
    r->http_status = a->status;
    r->attempts = a->attempts;
    snprintf(r->node, sizeof r->node, "%s", a->node->name);
    copy_slice(r->function_error, sizeof r->function_error, a->function_error);
    copy_slice(r->release, sizeof r->release, a->release);
}

static void on_data(struct invocation *inv, struct slice data)
{
    struct record *r = inv->sink_ctx;
    assert_true(r->headed && !r->ended);
    buf_append(&r->body, data);
}

static void on_end(struct invocation *inv, const struct invocation_fault *fault)
{
    struct record *r = inv->sink_ctx;
    assert_false(r->ended);
    r->ended = true;
    r->failed = fault != NULL;
    r->took_ms = loop_now_ms(r->grid->loop) - r->began_ms;
    if (fault) {
        assert_int_not_equal(fault->status, GRPC_OK);
        r->status = fault->status;
        r->unseen = fault->unseen;
        r->pushback_ms = fault->pushback_ms;
        snprintf(r->message, sizeof r->message, "%s", fault->message);
        copy_slice(r->release, sizeof r->release, fault->release);
    }
    invocation_destroy(inv);
    if (--r->grid->open_calls == 0)
        loop_stop(r->grid->loop);
}

static const struct invocation_sink SINK = {on_head, on_data, on_end};

static struct record *grid_start_with(struct grid *g, const char *task, uint64_t deadline_ms,
                                      void (*change)(struct invocation *inv))
{
    struct record *r = &g->calls[g->call_count++];
    struct invocation *inv = invocation_create();
    *r = (struct record){.grid = g, .inv = inv, .began_ms = loop_now_ms(g->loop)};
    buf_init(&r->body, 0);
    inv->task = slice_of_str(task);
    inv->payload = SLICE("body");
    inv->deadline_ms = loop_now_ms(g->loop) + deadline_ms;
    inv->sink = &SINK;
    inv->sink_ctx = r;
    if (change)
        change(inv);
    g->open_calls++;
    dispatch_start(g->dispatch, inv);
    assert_false(r->headed || r->ended);
    return r;
}

static struct record *grid_start(struct grid *g, uint64_t deadline_ms)
{
    return grid_start_with(g, "echo", deadline_ms, NULL);
}

static struct record *grid_call(struct grid *g, uint64_t deadline_ms)
{
    struct record *r = grid_start(g, deadline_ms);
    grid_run(g);
    return r;
}

static void assert_body(const struct record *r, const char *text)
{
    if (r->failed)
        print_error("failed: %d %s\n", r->status, r->message);
    assert_false(r->failed);
    assert_int_equal(r->body.size, strlen(text));
    assert_memory_equal(r->body.data, text, r->body.size);
}

static void assert_fault(const struct record *r, int status, bool unseen, const char *message)
{
    assert_true(r->ended && r->failed);
    if (!strstr(r->message, message) || r->status != status)
        print_error("said: %d %s\n", r->status, r->message);
    assert_int_equal(r->status, status);
    assert_int_equal(r->unseen, unseen);
    assert_non_null(strstr(r->message, message));
}

static const struct dispatch_options PLAIN = {0};

/* ---- the failure table ---- */

static int64_t tokens_spent(const struct grid *g)
{
    return (10000 + 100 * (int64_t) g->call_count - g->shared->retry_tokens_milli) / 1000;
}

/* Two peers; the first one of them fails in some way, the second answers. */
static void test_dispatch__follows_the_failure_table_between_nodes(void **state)
{
    (void) state;
    static const struct {
        const char *claim;
        enum behaviour behaviour;
        int status; /* GRPC_OK: the other node answered */
        uint32_t attempts;
        int64_t spent;
        uint64_t least_ms;
        bool unseen;
        const char *message;
    } cases[] = {
        {"nothing ready there: elsewhere", PEER_NOT_READY, GRPC_OK, 2, 1, 0, false, ""},
        {"not in its release: elsewhere", PEER_NOT_FOUND, GRPC_OK, 2, 1, 0, false, ""},
        {"REFUSED_STREAM: elsewhere, free", PEER_REFUSE_STREAM, GRPC_OK, 2, 0, 0, false, ""},
        {"load with pushback: obeyed, then elsewhere", PEER_BUSY, GRPC_OK, 2, 1, 25, false, ""},
        {"pushback beyond the deadline", PEER_BUSY_LONG, GRPC_RESOURCE_EXHAUSTED, 1, 0, 0, true, "the peer says no"},
        {"a fault that the task may have seen", PEER_FAULT, GRPC_UNAVAILABLE, 1, 0, 0, false, "the peer says no"},
        {"the connection is lost before an answer", PEER_DROP, GRPC_UNAVAILABLE, 1, 0, 0, false,
         "the connection to the node node-1 was lost before it had answered"},
        {"garbage", PEER_GARBAGE, GRPC_INTERNAL, 1, 0, 0, false, "the node node-1 answered something malformed"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct grid g;
        grid_init(&g, PLAIN);
        struct peer *bad = grid_add_peer(&g, cases[i].behaviour), *good = grid_add_peer(&g, PEER_ANSWER);
        grid_publish(&g);
        struct record *r = grid_call(&g, 5000);
        if (r->status != cases[i].status)
            print_error("%s\n", cases[i].claim);
        if (cases[i].status == GRPC_OK) {
            assert_body(r, "peer-2");
            assert_int_equal(r->attempts, cases[i].attempts);
            assert_string_equal(r->node, "node-2");
        } else {
            assert_fault(r, cases[i].status, cases[i].unseen, cases[i].message);
        }
        assert_int_equal(bad->calls, 1);
        assert_int_equal(good->calls, cases[i].attempts - 1);
        assert_int_equal(tokens_spent(&g), cases[i].spent);
        assert_true(r->took_ms >= cases[i].least_ms);
        grid_dispose(&g);
    }
}

/* Two peers; the first one says with its answer, or with its refusal, that it is full. */
static void test_dispatch__passes_over_a_node_that_said_it_was_full(void **state)
{
    (void) state;
    static const struct {
        enum behaviour behaviour;
        const char *load;
        bool in_turn;
    } cases[] = {
        {PEER_ANSWER, "96 4 50 1 0", false}, {PEER_BUSY, "96 896 50 1 0", false}, {PEER_NOT_READY, "0 0 5 0 0", false},
        {PEER_ANSWER, "96 0 50 1 1", true},  {PEER_ANSWER, "96 4 50 1", true},    {PEER_ANSWER, NULL, true},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct grid g;
        grid_init(&g, PLAIN);
        struct peer *first = grid_add_peer(&g, cases[i].behaviour), *second = grid_add_peer(&g, PEER_ANSWER);
        first->load = cases[i].load;
        second->load = "1 0 50 1 96";
        grid_publish(&g);
        uint64_t began = loop_now_ms(g.loop);
        for (int k = 0; k < 20; k++)
            assert_false(grid_call(&g, 5000)->failed);
        /* Once to hear it, and once in a while to hear whether it is still so. */
        uint64_t to_see = 2 + (loop_now_ms(g.loop) - began) / ROUTE_FULL_MS;
        if (cases[i].in_turn)
            assert_int_equal(first->calls, 10);
        else
            assert_true(first->calls <= to_see);
        assert_true(second->calls + first->calls >= 20);
        grid_dispose(&g);
    }
}

static void serve_close(struct fake_task *t, int fd)
{
    fake_read(t, fd);
}

static void serve_half(struct fake_task *t, int fd)
{
    if (fake_read(t, fd))
        fake_write(fd, "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf");
}

static void serve_500(struct fake_task *t, int fd)
{
    while (fake_read(t, fd))
        fake_answer(fd, "500 Oh", "", "own");
}

static void test_dispatch__follows_the_failure_table_at_a_task(void **state)
{
    (void) state;
    static const struct {
        fake_serve serve;
        int status, http_status;
        const char *message;
    } cases[] = {
        {fake_serve_echo, GRPC_OK, 200, NULL},
        {serve_500, GRPC_OK, 500, NULL}, /* the task's own error is returned */
        {serve_close, GRPC_UNAVAILABLE, 0, "the task echo closed the connection without an answer"},
        {serve_half, GRPC_INTERNAL, 200, "the task echo broke its answer off"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct fake_task t;
        struct grid g;
        fake_start(&t, cases[i].serve, false);
        grid_init(&g, PLAIN);
        grid_add_instance(&g, t.port);
        struct peer *other = grid_add_peer(&g, PEER_ANSWER);
        grid_publish(&g);
        struct record *r = grid_call(&g, 5000);
        assert_int_equal(r->status, cases[i].status);
        assert_int_equal(r->http_status, cases[i].http_status);
        if (cases[i].message)
            assert_fault(r, cases[i].status, false, cases[i].message);
        assert_int_equal(t.requests, 1);
        assert_int_equal(other->calls, 0);
        bool success = cases[i].status == GRPC_OK && cases[i].http_status == 200;
        assert_int_equal(g.task->counters[0].success, success);
        assert_int_equal(g.task->counters[0].errors, !success);
        assert_int_equal(g.task->counters[0].invocations, 1);
        grid_dispose(&g);
        fake_stop(&t);
    }
}

static void test_dispatch__goes_elsewhere_when_its_instance_refuses(void **state)
{
    (void) state;
    struct grid g;
    grid_init(&g, PLAIN);
    grid_add_instance(&g, fake_dead_port());
    grid_add_peer(&g, PEER_ANSWER);
    grid_publish(&g);
    assert_body(grid_call(&g, 5000), "peer-1");
    assert_int_equal(g.refused_instances, 1);
    grid_dispose(&g);
}

static void test_dispatch__goes_elsewhere_when_a_node_refuses_and_remembers_it(void **state)
{
    (void) state;
    struct grid g;
    grid_init(&g, PLAIN);
    grid_add_dead_peer(&g);
    grid_add_peer(&g, PEER_ANSWER);
    grid_publish(&g);
    for (int i = 0; i < 6; i++)
        assert_body(grid_call(&g, 5000), "peer-2");
    assert_int_equal(g.failed_peers, 1);
    assert_int_equal(tokens_spent(&g), 1);
    grid_dispose(&g);
}

struct swap {
    struct grid *grid;
    struct fake_task *task;
    struct loop_timer timer;
};

static void swap_instance(void *arg)
{
    struct swap *s = arg;
    instance_unref(s->grid->instance);
    grid_add_instance(s->grid, s->task->port);
    grid_publish(s->grid);
}

static void test_dispatch__loses_no_call_while_its_only_instance_restarts(void **state)
{
    (void) state;
    struct fake_task t;
    struct grid g;
    fake_start(&t, fake_serve_echo, false);
    grid_init(&g, PLAIN);
    grid_add_instance(&g, fake_dead_port());
    grid_publish(&g);
    struct swap s = {.grid = &g, .task = &t};
    loop_timer_start(g.loop, &s.timer, 150, swap_instance, &s);
    for (int i = 0; i < 30; i++)
        grid_start(&g, 5000);
    grid_run(&g);
    for (int i = 0; i < 30; i++)
        assert_body(&g.calls[i], "body");
    assert_true(tokens_spent(&g) <= 1);
    grid_dispose(&g);
    fake_stop(&t);
}

static void test_dispatch__stops_retrying_when_the_budget_is_spent(void **state)
{
    (void) state;
    struct grid g;
    grid_init(&g, PLAIN);
    struct peer *a = grid_add_peer(&g, PEER_NOT_READY), *b = grid_add_peer(&g, PEER_NOT_READY);
    grid_publish(&g);
    for (int i = 0; i < 40; i++)
        assert_fault(grid_call(&g, 5000), GRPC_UNAVAILABLE, true, "the peer says no");
    /* 40 first attempts, 10 tokens to begin with, 4 earned. */
    assert_in_range(a->calls + b->calls, 50, 54);
    grid_dispose(&g);
}

static void serve_hang(struct fake_task *t, int fd)
{
    if (fake_read(t, fd))
        fake_await_hang_up(t, fd);
}

static void test_dispatch__cancels_at_the_task_when_the_deadline_passes(void **state)
{
    (void) state;
    struct fake_task t;
    struct grid g;
    fake_start(&t, serve_hang, false);
    grid_init(&g, PLAIN);
    grid_add_instance(&g, t.port);
    grid_publish(&g);
    struct record *r = grid_call(&g, 80);
    assert_fault(r, GRPC_DEADLINE_EXCEEDED, false, "the task echo did not answer within 80 ms");
    assert_true(r->took_ms >= 80);
    for (int i = 0; i < 20000 && t.hung_up == 0; i++)
        usleep(1000);
    assert_int_equal(t.hung_up, 1);
    assert_int_equal(t.requests, 1);
    grid_dispose(&g);
    fake_stop(&t);
}

static void test_dispatch__cancels_at_the_peer_when_the_deadline_passes(void **state)
{
    (void) state;
    struct grid g;
    grid_init(&g, PLAIN);
    struct peer *p = grid_add_peer(&g, PEER_HANG);
    grid_publish(&g);
    assert_fault(grid_call(&g, 80), GRPC_DEADLINE_EXCEEDED, false, "the task echo did not answer within 80 ms");
    grid_dispose(&g);
    assert_int_equal(p->calls, 1);
    assert_int_equal(p->cancelled, 1);
}

static void cancel_first(void *arg)
{
    struct grid *g = arg;
    dispatch_cancel(g->dispatch, g->calls[0].inv);
    if (!g->calls[0].ended)
        dispatch_cancel(g->dispatch, g->calls[0].inv);
}

static void test_dispatch__ends_a_call_whose_caller_left(void **state)
{
    (void) state;
    for (int ready = 0; ready < 2; ready++) {
        struct grid g;
        struct loop_timer timer = {0};
        grid_init(&g, PLAIN);
        if (ready)
            grid_add_peer(&g, PEER_HANG);
        grid_publish(&g);
        grid_start(&g, 5000);
        loop_timer_start(g.loop, &timer, 30, cancel_first, &g);
        grid_run(&g);
        assert_fault(&g.calls[0], GRPC_CANCELLED, !ready, "the caller left");
        grid_dispose(&g);
    }
}

/* ---- refusals and waiting ---- */

static void test_dispatch__refuses_an_unknown_task_with_the_originals_words(void **state)
{
    (void) state;
    struct grid g;
    grid_init(&g, PLAIN);
    grid_publish(&g);
    struct record *r = grid_start_with(&g, "nosuch", 5000, NULL);
    grid_run(&g);
    assert_fault(r, GRPC_NOT_FOUND, true, "Task file nosuch does not exists");
    assert_string_equal(r->message, "Task file nosuch does not exists");
    grid_dispose(&g);
}

static void settle(void *arg)
{
    struct grid *g = arg;
    g->settling = false;
    grid_publish(g);
}

static void test_dispatch__waits_with_an_unknown_task_while_the_grid_settles(void **state)
{
    (void) state;
    struct grid g;
    struct loop_timer timer = {0};
    grid_init(&g, PLAIN);
    g.settling = true;
    grid_publish(&g);
    struct record *r = grid_start_with(&g, "nosuch", 5000, NULL);
    loop_timer_start(g.loop, &timer, 60, settle, &g);
    grid_run(&g);
    assert_fault(r, GRPC_NOT_FOUND, true, "Task file nosuch does not exists");
    assert_true(r->took_ms >= 50);
    grid_dispose(&g);
}

static void test_dispatch__buffers_until_something_is_ready(void **state)
{
    (void) state;
    struct fake_task t;
    struct grid g;
    struct swap s = {.grid = &g, .task = &t};
    fake_start(&t, fake_serve_echo, false);
    grid_init(&g, PLAIN);
    loop_timer_start(g.loop, &s.timer, 60, swap_instance, &s); /* the first table of all */
    for (int i = 0; i < 5; i++)
        grid_start(&g, 5000);
    grid_run(&g);
    for (int i = 0; i < 5; i++)
        assert_body(&g.calls[i], "body");
    assert_int_equal(g.task->counters[0].invocations, 5);
    grid_dispose(&g);
    fake_stop(&t);
}

static void test_dispatch__ends_what_waits_when_the_deadline_passes(void **state)
{
    (void) state;
    struct grid g;
    grid_init(&g, PLAIN);
    grid_publish(&g);
    assert_fault(grid_call(&g, 50), GRPC_DEADLINE_EXCEEDED, true, "the task echo was not ready within 50 ms");
    grid_dispose(&g);
}

static void test_dispatch__says_why_a_task_cannot_be_started(void **state)
{
    (void) state;
    struct grid g;
    grid_init(&g, (struct dispatch_options){.unstartable_ms = 200});
    g.faults[0] = "it exited with status 1";
    grid_publish(&g);
    struct record *r = grid_call(&g, 5000);
    assert_fault(r, GRPC_UNAVAILABLE, true, "Cannot request echo: it exited with status 1");
    assert_true(r->took_ms >= 150);
    grid_dispose(&g);
}

static void to_peer(struct invocation *inv)
{
    inv->node = SLICE("node-1");
}

static void test_dispatch__says_why_the_node_asked_for_cannot_start_a_task(void **state)
{
    (void) state;
    struct grid g;
    grid_init(&g, (struct dispatch_options){.unstartable_ms = 200});
    struct peer *broken = grid_add_peer(&g, PEER_ANSWER);
    grid_add_peer(&g, PEER_ANSWER);
    g.faults[1] = "it exited with status 1";
    grid_publish(&g);
    struct record *r = grid_start_with(&g, "echo", 5000, to_peer);
    grid_run(&g);
    assert_fault(r, GRPC_UNAVAILABLE, true, "Cannot request echo: it exited with status 1");
    assert_true(r->took_ms >= 150);
    assert_int_equal(broken->calls, 0);
    grid_dispose(&g);
}

static void break_task(void *arg)
{
    struct grid *g = arg;
    g->faults[0] = "it exited with status 1";
    grid_publish(g);
}

static void test_dispatch__gives_up_with_the_table_that_names_the_fault(void **state)
{
    (void) state;
    struct grid g;
    struct loop_timer timer = {0};
    grid_init(&g, (struct dispatch_options){.unstartable_ms = 20});
    grid_publish(&g);
    grid_start(&g, 5000);
    loop_timer_start(g.loop, &timer, 100, break_task, &g);
    grid_run(&g);
    assert_fault(&g.calls[0], GRPC_UNAVAILABLE, true, "Cannot request echo: it exited with status 1");
    grid_dispose(&g);
}

static void from_peer(struct invocation *inv)
{
    inv->hops = 1;
    inv->from = SLICE("node-2");
}

static void test_dispatch__refuses_a_peers_call_that_it_cannot_run(void **state)
{
    (void) state;
    struct grid g;
    grid_init(&g, PLAIN);
    struct peer *p = grid_add_peer(&g, PEER_ANSWER);
    grid_publish(&g);
    struct record *r = grid_start_with(&g, "echo", 5000, from_peer);
    grid_run(&g);
    assert_fault(r, GRPC_UNAVAILABLE, true, "no instance of the task echo is ready on this node");
    assert_int_equal(p->calls, 0);
    assert_int_equal(g.task->counters[0].remote, 1);
    assert_int_equal(g.task->counters[0].invocations, 0);
    grid_dispose(&g);
}

/* ---- load ---- */

static void serve_50ms(struct fake_task *t, int fd)
{
    while (fake_read(t, fd)) {
        usleep(50 * 1000);
        fake_answer(fd, "200 OK", "", "ok");
    }
}

static void test_dispatch__queues_when_busy_and_refuses_beyond(void **state)
{
    (void) state;
    struct fake_task t;
    struct grid g;
    fake_start(&t, serve_50ms, false);
    grid_init(&g, (struct dispatch_options){.in_flight_limit = 1, .queue_limit = 2});
    grid_add_instance(&g, t.port);
    grid_publish(&g);
    for (int i = 0; i < 4; i++)
        grid_start(&g, 5000);
    assert_int_equal(g.task->queued, 2);
    grid_run(&g);
    for (int i = 0; i < 3; i++)
        assert_body(&g.calls[i], "ok");
    assert_fault(&g.calls[3], GRPC_RESOURCE_EXHAUSTED, true, "all instances of the task echo are busy");
    assert_true(g.calls[3].pushback_ms > 0);
    assert_true(g.calls[2].took_ms > g.calls[1].took_ms && g.calls[1].took_ms > g.calls[0].took_ms);
    assert_in_range(g.wanted, 1, 3); /* not for every call */
    grid_dispose(&g);
    fake_stop(&t);
}

static void free_instance(void *arg)
{
    struct grid *g = arg;
    g->instance->in_flight--; /* as another worker does */
}

static void test_dispatch__notices_an_instance_that_another_worker_freed(void **state)
{
    (void) state;
    struct fake_task t;
    struct grid g;
    struct loop_timer timer = {0};
    fake_start(&t, fake_serve_echo, false);
    grid_init(&g, (struct dispatch_options){.in_flight_limit = 1});
    grid_add_instance(&g, t.port);
    g.instance->in_flight = 1;
    grid_publish(&g);
    loop_timer_start(g.loop, &timer, 50, free_instance, &g);
    assert_body(grid_call(&g, 5000), "body");
    grid_dispose(&g);
    fake_stop(&t);
}

/* ---- hops ---- */

static void test_dispatch__tells_a_peer_who_asks_what(void **state)
{
    (void) state;
    struct grid g;
    grid_init(&g, PLAIN);
    struct peer *p = grid_add_peer(&g, PEER_MARK);
    grid_publish(&g);
    struct record *r = grid_start(&g, 5000);
    char id[37];
    memcpy(id, r->inv->id, sizeof id);
    grid_run(&g);
    assert_body(r, "peer-1");
    assert_string_equal(r->function_error, "Handled");
    assert_string_equal(p->last_hops, "1");
    assert_string_equal(p->last_from, "node-0");
    assert_string_equal(p->last_id, id);
    assert_string_equal(p->last_task, "echo");
    assert_string_equal(p->last_payload, "body");
    assert_int_equal(g.task->counters[0].errors, 1);
    grid_dispose(&g);
}

static void test_dispatch__reaches_a_node_by_its_second_address(void **state)
{
    (void) state;
    struct grid g;
    grid_init(&g, PLAIN);
    struct peer *p = grid_add_peer(&g, PEER_ANSWER);
    addr_loopback_v4(fake_dead_port(), &p->dead_first);
    grid_publish(&g);
    for (int i = 0; i < 10; i++)
        grid_start(&g, 5000);
    grid_run(&g);
    for (int i = 0; i < 10; i++)
        assert_body(&g.calls[i], "peer-1");
    assert_int_equal(http_server_connections(p->http), 1);
    assert_int_equal(g.failed_peers, 0);
    grid_dispose(&g);
}

static void test_dispatch__opens_a_second_link_when_the_first_is_full(void **state)
{
    (void) state;
    struct grid g;
    grid_init(&g, PLAIN);
    struct peer *p = grid_add_peer(&g, PEER_HANG);
    grid_publish(&g);
    for (unsigned i = 0; i < HTTP_SERVER_LIMITS_DEFAULT.streams + 20; i++)
        grid_start(&g, 400);
    grid_run(&g);
    for (unsigned i = 0; i < HTTP_SERVER_LIMITS_DEFAULT.streams + 20; i++)
        assert_int_equal(g.calls[i].status, GRPC_DEADLINE_EXCEEDED);
    assert_int_equal(p->calls, HTTP_SERVER_LIMITS_DEFAULT.streams + 20);
    assert_int_equal(http_server_connections(p->http), 2);
    grid_dispose(&g);
}

static void streamed(struct invocation *inv)
{
    inv->stream = true;
}

static void test_dispatch__streams_a_peers_answer(void **state)
{
    (void) state;
    struct grid g;
    grid_init(&g, PLAIN);
    grid_add_peer(&g, PEER_ANSWER);
    grid_publish(&g);
    struct record *r = grid_start_with(&g, "echo", 5000, streamed);
    grid_run(&g);
    assert_body(r, "peer-1peer-1");
    assert_string_equal(r->function_error, "Unhandled");
    grid_dispose(&g);
}

static void test_dispatch__names_the_release_that_answered(void **state)
{
    (void) state;
    struct grid g;
    for (int i = 0; i < 2; i++) {
        struct fake_task t;
        fake_start(&t, i == 0 ? fake_serve_echo : serve_half, false);
        grid_init(&g, PLAIN);
        grid_add_instance(&g, t.port);
        grid_publish(&g);
        struct record *r = grid_call(&g, 5000);
        assert_int_equal(r->failed, i);
        assert_string_equal(r->release, "of-the-instance");
        grid_dispose(&g);
        fake_stop(&t);
    }
    grid_init(&g, PLAIN);
    struct peer *p = grid_add_peer(&g, PEER_ANSWER);
    grid_publish(&g);
    assert_string_equal(grid_call(&g, 5000)->release, PEER_RELEASE);
    struct record *streams = grid_start_with(&g, "echo", 5000, streamed); /* whose head does not say */
    grid_run(&g);
    assert_string_equal(streams->release, "of-node-1");
    p->behaviour = PEER_NO_ROOT;
    assert_fault(grid_call(&g, 5000), GRPC_INTERNAL, false, "the node node-1 answered something malformed");
    p->behaviour = PEER_FAULT;
    assert_string_equal(grid_call(&g, 5000)->release, ""); /* nobody knows */
    grid_dispose(&g);
}

static void restart_peer(void *arg)
{
    struct grid *g = arg;
    g->incarnations[1]++;
    g->peers[0].behaviour = PEER_ANSWER;
    grid_publish(g);
}

static void test_dispatch__fails_what_was_in_flight_to_an_older_incarnation(void **state)
{
    (void) state;
    struct grid g;
    struct loop_timer timer = {0};
    grid_init(&g, PLAIN);
    struct peer *p = grid_add_peer(&g, PEER_HANG);
    grid_publish(&g);
    grid_start(&g, 5000);
    loop_timer_start(g.loop, &timer, 50, restart_peer, &g);
    grid_run(&g);
    assert_fault(&g.calls[0], GRPC_UNAVAILABLE, false, "the connection to the node node-1 was lost");
    assert_body(grid_call(&g, 5000), "peer-1");
    assert_int_equal(p->calls, 2);
    grid_dispose(&g);
}

static void test_dispatch__visits_nodes_in_turn(void **state)
{
    (void) state;
    struct fake_task t;
    struct grid g;
    fake_start(&t, fake_serve_echo, false);
    grid_init(&g, PLAIN);
    grid_add_instance(&g, t.port);
    grid_add_peer(&g, PEER_ANSWER);
    grid_add_peer(&g, PEER_ANSWER);
    grid_publish(&g);
    static const char *const order[] = {"node-0", "node-1", "node-2"};
    for (int i = 0; i < 9; i++)
        assert_string_equal(grid_call(&g, 5000)->node, order[i % 3]);
    grid_dispose(&g);
    fake_stop(&t);
}

/* Two workers with a loop and a dispatch each, one set of cursors. */
struct worker {
    struct grid grid;
    pthread_t thread;
    unsigned visits[3];
};

static void *worker_run(void *arg)
{
    struct worker *w = arg;
    for (int i = 0; i < 30; i++) {
        struct record *r = grid_call(&w->grid, 5000);
        if (!r->failed)
            w->visits[r->node[5] - '0']++;
    }
    grid_dispose(&w->grid);
    return NULL;
}

static void test_dispatch__shares_the_turn_between_two_workers(void **state)
{
    (void) state;
    static struct worker workers[2];
    struct fake_task t;
    struct route_task_shared *shared = route_task_shared_create(2);
    fake_start(&t, fake_serve_echo, false);
    for (int i = 0; i < 2; i++) {
        struct grid *g = &workers[i].grid;
        grid_init(g, PLAIN);
        route_task_shared_unref(g->task);
        g->task = route_task_shared_ref(shared);
        g->task_is_shared = true;
        grid_add_instance(g, t.port);
        grid_add_peer(g, PEER_ANSWER);
        grid_add_peer(g, PEER_ANSWER);
        grid_publish(g);
    }
    route_task_shared_unref(shared);
    unsigned visits[3] = {0};
    for (int i = 0; i < 2; i++)
        pthread_create(&workers[i].thread, NULL, worker_run, &workers[i]);
    for (int i = 0; i < 2; i++) {
        pthread_join(workers[i].thread, NULL);
        for (int n = 0; n < 3; n++)
            visits[n] += workers[i].visits[n];
    }
    for (int n = 0; n < 3; n++)
        assert_int_equal(visits[n], 20);
    fake_stop(&t);
}

/* ---- broadcast ---- */

struct heard {
    struct grid *grid;
    unsigned answers, faults, done;
    size_t nodes;
    unsigned bodies[3];
};

static void on_each(void *ctx, const struct invocation_answer *answer, struct slice body, const struct invocation_fault *fault,
                    const struct route_node *node)
{
    struct heard *h = ctx;
    h->answers += fault == NULL;
    h->faults += fault != NULL;
    h->bodies[node->name[5] - '0']++;
    if (!fault) {
        assert_int_equal(answer->status, 200);
        assert_true(slice_equal_str(body, node->local ? "body" : node->name[5] == '1' ? "peer-1" : "peer-2"));
    }
}

static void on_done(void *ctx, size_t nodes)
{
    struct heard *h = ctx;
    h->done++;
    h->nodes = nodes;
    loop_stop(h->grid->loop);
}

static const struct dispatch_broadcast_events BROADCAST_EVENTS = {on_each, on_done};

static struct invocation *broadcast_invocation(struct grid *g, uint64_t deadline_ms)
{
    struct invocation *inv = invocation_create();
    inv->task = SLICE("echo");
    inv->payload = SLICE("body");
    inv->deadline_ms = loop_now_ms(g->loop) + deadline_ms;
    return inv;
}

static void test_dispatch__broadcasts_to_every_node_once(void **state)
{
    (void) state;
    static const struct {
        bool include_local;
        enum behaviour second;
        unsigned answers, faults;
    } cases[] = {{true, PEER_ANSWER, 3, 0}, {false, PEER_ANSWER, 2, 0}, {true, PEER_FAULT, 2, 1}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct fake_task t;
        struct grid g;
        struct heard h = {.grid = &g};
        fake_start(&t, fake_serve_echo, false);
        grid_init(&g, PLAIN);
        grid_add_instance(&g, t.port);
        grid_add_peer(&g, PEER_ANSWER);
        grid_add_peer(&g, cases[i].second);
        grid_publish(&g);
        struct invocation *inv = broadcast_invocation(&g, 5000);
        assert_non_null(dispatch_broadcast(g.dispatch, inv, cases[i].include_local, &BROADCAST_EVENTS, &h));
        assert_int_equal(h.done, 0);
        grid_run(&g);
        assert_int_equal(h.answers, cases[i].answers);
        assert_int_equal(h.faults, cases[i].faults);
        assert_int_equal(h.nodes, cases[i].answers + cases[i].faults);
        assert_int_equal(h.bodies[1], 1);
        invocation_destroy(inv);
        grid_dispose(&g);
        fake_stop(&t);
    }
}

static void test_dispatch__ends_a_broadcast_to_nobody(void **state)
{
    (void) state;
    struct grid g;
    struct heard h = {.grid = &g};
    grid_init(&g, PLAIN);
    grid_publish(&g);
    struct invocation *inv = broadcast_invocation(&g, 5000);
    dispatch_broadcast(g.dispatch, inv, false, &BROADCAST_EVENTS, &h);
    grid_run(&g);
    assert_int_equal(h.done, 1);
    assert_int_equal(h.nodes, 0);
    invocation_destroy(inv);
    grid_dispose(&g);
}

static void cancel_broadcast(void *arg)
{
    dispatch_broadcast_cancel(arg);
}

static void test_dispatch__cancels_a_broadcast(void **state)
{
    (void) state;
    struct grid g;
    struct heard h = {.grid = &g};
    grid_init(&g, PLAIN);
    grid_add_peer(&g, PEER_HANG);
    grid_publish(&g);
    struct invocation *inv = broadcast_invocation(&g, 60000);
    struct dispatch_broadcast *b = dispatch_broadcast(g.dispatch, inv, true, &BROADCAST_EVENTS, &h);
    struct loop_timer timer = {0};
    loop_timer_start(g.loop, &timer, 50, cancel_broadcast, b);
    grid_run(&g);
    assert_int_equal(h.answers + h.faults, 0);
    assert_int_equal(h.done, 1);
    invocation_destroy(inv);
    grid_dispose(&g);
}

/* ---- the end ---- */

static void test_dispatch__ends_everything_when_it_is_closed(void **state)
{
    (void) state;
    struct fake_task t;
    struct grid g;
    fake_start(&t, serve_hang, false);
    grid_init(&g, PLAIN);
    grid_add_instance(&g, t.port);
    grid_add_peer(&g, PEER_HANG);
    grid_publish(&g);
    for (int i = 0; i < 4; i++)
        grid_start(&g, 60000);
    grid_start_with(&g, "echo", 60000, NULL);
    assert_int_equal(dispatch_in_flight(g.dispatch), 5);
    assert_ptr_equal(dispatch_processing(g.dispatch), g.calls[0].inv);
    grid_dispose(&g);
    for (int i = 0; i < 5; i++)
        assert_true(g.calls[i].ended && g.calls[i].status == GRPC_UNAVAILABLE);
    fake_stop(&t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_dispatch__follows_the_failure_table_between_nodes),
        cmocka_unit_test(test_dispatch__passes_over_a_node_that_said_it_was_full),
        cmocka_unit_test(test_dispatch__follows_the_failure_table_at_a_task),
        cmocka_unit_test(test_dispatch__goes_elsewhere_when_its_instance_refuses),
        cmocka_unit_test(test_dispatch__goes_elsewhere_when_a_node_refuses_and_remembers_it),
        cmocka_unit_test(test_dispatch__loses_no_call_while_its_only_instance_restarts),
        cmocka_unit_test(test_dispatch__stops_retrying_when_the_budget_is_spent),
        cmocka_unit_test(test_dispatch__cancels_at_the_task_when_the_deadline_passes),
        cmocka_unit_test(test_dispatch__cancels_at_the_peer_when_the_deadline_passes),
        cmocka_unit_test(test_dispatch__ends_a_call_whose_caller_left),
        cmocka_unit_test(test_dispatch__refuses_an_unknown_task_with_the_originals_words),
        cmocka_unit_test(test_dispatch__waits_with_an_unknown_task_while_the_grid_settles),
        cmocka_unit_test(test_dispatch__buffers_until_something_is_ready),
        cmocka_unit_test(test_dispatch__ends_what_waits_when_the_deadline_passes),
        cmocka_unit_test(test_dispatch__says_why_a_task_cannot_be_started),
        cmocka_unit_test(test_dispatch__says_why_the_node_asked_for_cannot_start_a_task),
        cmocka_unit_test(test_dispatch__gives_up_with_the_table_that_names_the_fault),
        cmocka_unit_test(test_dispatch__refuses_a_peers_call_that_it_cannot_run),
        cmocka_unit_test(test_dispatch__queues_when_busy_and_refuses_beyond),
        cmocka_unit_test(test_dispatch__notices_an_instance_that_another_worker_freed),
        cmocka_unit_test(test_dispatch__tells_a_peer_who_asks_what),
        cmocka_unit_test(test_dispatch__reaches_a_node_by_its_second_address),
        cmocka_unit_test(test_dispatch__opens_a_second_link_when_the_first_is_full),
        cmocka_unit_test(test_dispatch__streams_a_peers_answer),
        cmocka_unit_test(test_dispatch__names_the_release_that_answered),
        cmocka_unit_test(test_dispatch__fails_what_was_in_flight_to_an_older_incarnation),
        cmocka_unit_test(test_dispatch__visits_nodes_in_turn),
        cmocka_unit_test(test_dispatch__shares_the_turn_between_two_workers),
        cmocka_unit_test(test_dispatch__broadcasts_to_every_node_once),
        cmocka_unit_test(test_dispatch__ends_a_broadcast_to_nobody),
        cmocka_unit_test(test_dispatch__cancels_a_broadcast),
        cmocka_unit_test(test_dispatch__ends_everything_when_it_is_closed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
