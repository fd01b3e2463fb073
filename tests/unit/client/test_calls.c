/* The client library against a node of our own making, on loopback: answers, streams, deadlines, statuses, and nobody there. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#include <gridcontrol/client.h>

#include "api/pb.h"
#include "grid/v1/invoke.pb-c.h"
#include "net/grpc_server.h"
#include "net/loop.h"

struct node {
    struct loop *loop;
    struct grpc_server *grpc;
    struct http_server *http;
    struct listener *listener;
    struct addr at;
    pthread_t thread;
    struct grid_client *client;
    unsigned calls;
};

static void send_message(struct grpc_call *call, const ProtobufCMessage *message)
{
    struct buf packed;
    buf_init(&packed, 0);
    assert_int_equal(pb_append(&packed, message), 0);
    assert_int_equal(grpc_call_send(call, buf_slice(&packed)), 0);
    buf_dispose(&packed);
}

static void send_response(struct grpc_call *call, const Grid__V1__CallRequest *request, const char *name)
{
    Grid__V1__CallResponse response = GRID__V1__CALL_RESPONSE__INIT;
    Grid__V1__Host node = GRID__V1__HOST__INIT;
    Grid__V1__FunctionError error = GRID__V1__FUNCTION_ERROR__INIT;
    ProtobufCBinaryData stack[] = {pb_str("at one"), pb_str("at two")};
    bool is_json = request->input_case == GRID__V1__CALL_REQUEST__INPUT_JSON;
    response.output_case = is_json ? GRID__V1__CALL_RESPONSE__OUTPUT_JSON : GRID__V1__CALL_RESPONSE__OUTPUT_PAYLOAD;
    response.payload = is_json ? request->json : request->payload;
    node.name = pb_str(name);
    response.node = &node;
    response.content_type = request->content_type;
    response.request_id = pb_str("id-1");
    response.status = 200;
    response.attempts = 1;
    error.type = pb_str("TypeError");
    error.message = request->handler;
    error.stack = stack;
    error.n_stack = 2;
    response.error = slice_equal_str(pb_slice(request->task), "throws") ? &error : NULL;
    send_message(call, &response.base);
}

static void send_chunk(struct grpc_call *call, Grid__V1__CallChunk__PartCase part, void *body)
{
    Grid__V1__CallChunk chunk = GRID__V1__CALL_CHUNK__INIT;
    chunk.part_case = part;
    if (part == GRID__V1__CALL_CHUNK__PART_DATA)
        chunk.data = *(ProtobufCBinaryData *) body;
    else
        chunk.head = body;
    send_message(call, &chunk.base);
}

static void send_stream(struct grpc_call *call)
{
    Grid__V1__CallHead head = GRID__V1__CALL_HEAD__INIT;
    Grid__V1__CallEnd end = GRID__V1__CALL_END__INIT;
    ProtobufCBinaryData pieces[] = {pb_str("one "), pb_str("two "), pb_str("three")};
    head.status = 206;
    head.content_type = pb_str("text/plain");
    send_chunk(call, GRID__V1__CALL_CHUNK__PART_HEAD, &head);
    for (size_t i = 0; i < 3; i++)
        send_chunk(call, GRID__V1__CALL_CHUNK__PART_DATA, &pieces[i]);
    send_chunk(call, GRID__V1__CALL_CHUNK__PART_END, &end);
}

static bool ends_otherwise(struct slice task)
{
    return slice_equal_str(task, "absent") || slice_equal_str(task, "sleeps") || slice_equal_str(task, "unavailable") || slice_equal_str(task, "dies");
}

/* The task's name says what happens. "sleeps" never answers. */
static void on_message(void *ctx, struct grpc_call *call, struct slice message)
{
    struct arena *arena = arena_create(4096, 0);
    Grid__V1__CallRequest *request = pb_unpack(&grid__v1__call_request__descriptor, arena, message);
    struct slice task = request ? pb_slice(request->task) : SLICE("");
    const char *path = grpc_call_method(call)->path;
    (void) ctx;
    if (slice_equal_str(task, "absent"))
        grpc_call_finish(call, GRPC_NOT_FOUND, "Task file absent does not exists");
    else if (slice_equal_str(task, "unavailable"))
        grpc_call_finish(call, GRPC_UNAVAILABLE, "said by the node");
    else if (slice_equal_str(task, "dies"))
        conn_close(grpc_call_conn(call));
    else if (slice_equal_str(task, "garbage"))
        grpc_call_send(call, SLICE("\xff\xff\xff"));
    else if (strstr(path, "CallStream"))
        send_stream(call);
    else if (!slice_equal_str(task, "sleeps"))
        send_response(call, request, "node1");
    if (strstr(path, "Broadcast"))
        send_response(call, request, "node2");
    if (!ends_otherwise(task))
        grpc_call_finish(call, GRPC_OK, NULL);
    arena_destroy(arena);
}

static void on_close(void *ctx, struct grpc_call *call, int err)
{
    (void) ctx;
    (void) call;
    (void) err;
}

static void on_call(void *ctx, struct grpc_call *call)
{
    static const struct grpc_call_events EVENTS = {.on_message = on_message, .on_close = on_close};
    ((struct node *) ctx)->calls++;
    grpc_call_bind(call, &EVENTS, ctx);
}

static const struct grpc_method METHODS[] = {
    {.path = "/grid.v1.Invoke/Call", .on_call = on_call},
    {.path = "/grid.v1.Invoke/CallStream", .server_streams = true, .on_call = on_call},
    {.path = "/grid.v1.Invoke/Broadcast", .server_streams = true, .on_call = on_call},
};
static struct grpc_service service = {"grid.v1.Invoke", METHODS, 3, NULL};

static void on_request(void *ctx, struct http_exchange *x)
{
    assert_true(grpc_server_handle(((struct node *) ctx)->grpc, x));
}

static void on_accept(void *ctx, int fd, const struct addr *from)
{
    (void) from;
    http_server_accept(((struct node *) ctx)->http, fd, NULL);
}

static void *run_loop(void *arg)
{
    struct node *n = arg;
    loop_run(n->loop);
    grpc_server_destroy(n->grpc);
    loop_destroy(n->loop);
    return NULL;
}

static void on_server_closed(void *arg)
{
    loop_stop(((struct node *) arg)->loop);
}

static void close_server(void *arg)
{
    struct node *n = arg;
    listener_close(n->listener);
    http_server_close(n->http, on_server_closed, n);
}

static int setup(void **state)
{
    static const struct listener_options OPTIONS = {0};
    struct grid_client_options options = {0};
    struct grid_error error;
    struct node *n = calloc(1, sizeof *n);
    struct addr any;
    char address[64];
    addr_loopback_v4(0, &any);
    service.ctx = n;
    assert_int_equal(loop_create(&n->loop), 0);
    assert_int_equal(grpc_server_create(n->loop, 1 << 20, &n->grpc), 0);
    assert_int_equal(grpc_server_add(n->grpc, &service), 0);
    assert_int_equal(http_server_create(n->loop, &HTTP_SERVER_LIMITS_DEFAULT, on_request, n, &n->http), 0);
    assert_int_equal(listener_create(n->loop, &any, &OPTIONS, on_accept, n, &n->at, &n->listener), 0);
    assert_int_equal(pthread_create(&n->thread, NULL, run_loop, n), 0);
    snprintf(address, sizeof address, "127.0.0.1:%u", addr_port(&n->at));
    options.address = address;
    assert_int_equal(grid_client_create(&options, &n->client, &error), GRID_CODE_OK);
    assert_string_equal(grid_client_address(n->client), address);
    *state = n;
    return 0;
}

static int teardown(void **state)
{
    struct node *n = *state;
    grid_client_destroy(n->client);
    assert_int_equal(loop_post(n->loop, close_server, n), 0);
    pthread_join(n->thread, NULL);
    free(n);
    return 0;
}

static void test_client__calls_with_json_byte_for_byte(void **state)
{
    struct node *n = *state;
    struct grid_result *result;
    struct grid_error error;
    const char *text = "{\"n\": 12345678901234567890, \"e\": 1e2}";
    for (int i = 0; i < 3; i++) {
        assert_int_equal(grid_call(n->client, "echo", NULL, grid_json(text), NULL, &result, &error), GRID_CODE_OK);
        assert_true(result->output_is_json);
        assert_string_equal(result->output, text);
        assert_int_equal(result->output_size, strlen(text));
        assert_string_equal(result->node, "node1");
        assert_string_equal(result->request_id, "id-1");
        assert_int_equal(result->status, 200);
        assert_null(result->task_error);
        grid_result_destroy(result);
    }
}

static void test_client__calls_with_bytes_of_any_value(void **state)
{
    struct node *n = *state;
    struct grid_result *result;
    struct grid_call_options options = {.content_type = "image/png", .metadata = &(struct grid_metadata){"k", "v"}, .metadata_count = 1};
    char bytes[70000];
    for (size_t i = 0; i < sizeof bytes; i++)
        bytes[i] = (char) i;
    assert_int_equal(grid_call(n->client, "echo", "h", grid_bytes(bytes, sizeof bytes), &options, &result, NULL), GRID_CODE_OK);
    assert_false(result->output_is_json);
    assert_string_equal(result->content_type, "image/png");
    assert_int_equal(result->output_size, sizeof bytes);
    assert_memory_equal(result->output, bytes, sizeof bytes);
    grid_result_destroy(result);
}

static void test_client__gives_the_tasks_own_error(void **state)
{
    struct node *n = *state;
    struct grid_result *result;
    assert_int_equal(grid_call(n->client, "throws", "what", grid_nothing(), NULL, &result, NULL), GRID_CODE_OK);
    assert_string_equal(result->task_error->type, "TypeError");
    assert_string_equal(result->task_error->message, "what");
    assert_int_equal(result->task_error->stack_count, 2);
    assert_string_equal(result->task_error->stack[1], "at two");
    grid_result_destroy(result);
}

static void test_client__tells_statuses_and_their_sentences(void **state)
{
    struct node *n = *state;
    struct grid_result *result;
    struct grid_error error;
    assert_int_equal(grid_call(n->client, "absent", NULL, grid_nothing(), NULL, &result, &error), GRID_CODE_NOT_FOUND);
    assert_int_equal(error.code, GRID_CODE_NOT_FOUND);
    assert_string_equal(error.message, "Task file absent does not exists");
    assert_null(result);
    assert_int_equal(grid_call(n->client, "garbage", NULL, grid_nothing(), NULL, &result, &error), GRID_CODE_INTERNAL);
    assert_null(result);
    void *out;
    size_t size;
    assert_int_equal(grid_unary(n->client, "/no.Such/Method", "", 0, 1000, &out, &size, &error), GRID_CODE_UNIMPLEMENTED);
    assert_null(out);
}

static void test_client__keeps_the_deadline(void **state)
{
    struct node *n = *state;
    struct grid_result *result;
    struct grid_error error;
    struct grid_call_options options = {.timeout_ms = 50};
    assert_int_equal(grid_call(n->client, "sleeps", NULL, grid_nothing(), &options, &result, &error), GRID_CODE_DEADLINE_EXCEEDED);
    assert_null(result);
    assert_non_null(strstr(error.message, "within 50 ms"));
}

static void test_client__says_what_a_connection_that_ends_leaves_open(void **state)
{
    struct node *n = *state;
    struct grid_result *result;
    struct grid_error error;
    char sentence[128];
    snprintf(sentence, sizeof sentence, "the connection to %s ended before the answer came (", grid_client_address(n->client));
    assert_int_equal(grid_call(n->client, "dies", NULL, grid_nothing(), NULL, &result, &error), GRID_CODE_UNAVAILABLE);
    assert_int_equal(strncmp(error.message, sentence, strlen(sentence)), 0);
    /* A call that was made before the client saw the connection's end has had no answer either. */
    for (int i = 0; i < 100 && strncmp(error.message, sentence, strlen(sentence)) == 0; i++)
        assert_int_equal(grid_call(n->client, "unavailable", NULL, grid_nothing(), NULL, &result, &error), GRID_CODE_UNAVAILABLE);
    assert_string_equal(error.message, "said by the node");
}

struct collected {
    char text[64];
    size_t size;
    unsigned count, stop_after;
};

static bool collect(void *ctx, const void *data, size_t size)
{
    struct collected *c = ctx;
    memcpy(c->text + c->size, data, size);
    c->size += size;
    return ++c->count != c->stop_after;
}

static void test_client__streams_the_pieces_in_order(void **state)
{
    struct node *n = *state;
    struct grid_result *result;
    struct collected c = {0};
    assert_int_equal(grid_call_stream(n->client, "s", NULL, grid_nothing(), NULL, collect, &c, &result, NULL), GRID_CODE_OK);
    assert_string_equal(c.text, "one two three");
    assert_int_equal(result->status, 206);
    assert_string_equal(result->content_type, "text/plain");
    grid_result_destroy(result);
}

static void test_client__cancels_a_stream_that_is_not_wanted(void **state)
{
    struct node *n = *state;
    struct grid_result *result;
    struct grid_error error;
    struct collected c = {.stop_after = 1};
    assert_int_equal(grid_call_stream(n->client, "s", NULL, grid_nothing(), NULL, collect, &c, &result, &error), GRID_CODE_CANCELLED);
    assert_string_equal(c.text, "one ");
    assert_null(result);
}

static bool note_node(void *ctx, const struct grid_result *result)
{
    return collect(ctx, result->node, strlen(result->node));
}

static void test_client__broadcasts(void **state)
{
    struct node *n = *state;
    struct collected c = {0};
    assert_int_equal(grid_broadcast(n->client, "echo", NULL, grid_json("1"), NULL, note_node, &c, NULL), GRID_CODE_OK);
    assert_string_equal(c.text, "node1node2");
}

static void *call_often(void *arg)
{
    struct grid_result *result;
    for (int i = 0; i < 20; i++) {
        if (grid_call(arg, "echo", NULL, grid_json("[1]"), NULL, &result, NULL) != GRID_CODE_OK)
            return arg;
        grid_result_destroy(result);
    }
    return NULL;
}

static void test_client__serves_several_threads(void **state)
{
    struct node *n = *state;
    pthread_t threads[4];
    void *failed;
    for (size_t i = 0; i < 4; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, call_often, n->client), 0);
    for (size_t i = 0; i < 4; i++) {
        pthread_join(threads[i], &failed);
        assert_null(failed);
    }
    assert_int_equal(n->calls, 80);
}

static void test_client__says_that_nobody_is_there(void **state)
{
    struct grid_client *client;
    struct grid_error error;
    struct grid_client_options options = {.address = "127.0.0.1:1"};
    (void) state;
    assert_int_equal(grid_client_create(&options, &client, &error), GRID_CODE_UNAVAILABLE);
    assert_null(client);
    assert_string_equal(error.message, "no node reachable at 127.0.0.1:1");
    options.address = "/no/such.sock";
    assert_int_equal(grid_client_create(&options, &client, &error), GRID_CODE_UNAVAILABLE);
    assert_string_equal(error.message, "no node reachable at unix:/no/such.sock");
    options.address = "no.such.name.invalid:1";
    assert_int_equal(grid_client_create(&options, &client, &error), GRID_CODE_NOT_FOUND);
    assert_non_null(strstr(error.message, "the name in the address no.such.name.invalid:1 is not found ("));
    options.address = "nonsense";
    assert_int_equal(grid_client_create(&options, &client, &error), GRID_CODE_INVALID_ARGUMENT);
    assert_non_null(strstr(error.message, "nonsense is not an address"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_client__calls_with_json_byte_for_byte, setup, teardown),
        cmocka_unit_test_setup_teardown(test_client__calls_with_bytes_of_any_value, setup, teardown),
        cmocka_unit_test_setup_teardown(test_client__gives_the_tasks_own_error, setup, teardown),
        cmocka_unit_test_setup_teardown(test_client__tells_statuses_and_their_sentences, setup, teardown),
        cmocka_unit_test_setup_teardown(test_client__keeps_the_deadline, setup, teardown),
        cmocka_unit_test_setup_teardown(test_client__says_what_a_connection_that_ends_leaves_open, setup, teardown),
        cmocka_unit_test_setup_teardown(test_client__streams_the_pieces_in_order, setup, teardown),
        cmocka_unit_test_setup_teardown(test_client__cancels_a_stream_that_is_not_wanted, setup, teardown),
        cmocka_unit_test_setup_teardown(test_client__broadcasts, setup, teardown),
        cmocka_unit_test_setup_teardown(test_client__serves_several_threads, setup, teardown),
        cmocka_unit_test(test_client__says_that_nobody_is_there),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
