/* grpc.testing.TestService on our own server, for the standard interop clients: grpc_interop_server [--port N]. Plain HTTP/2 on loopback;
 * says {"port":N} on stdout when it is ready, and ends with SIGTERM. Each case is described in grpc/doc/interop-test-descriptions.md. */
#include <stdio.h>
#include <stdlib.h>

#include "base/err.h"
#include "grpc/testing/empty.pb-c.h"
#include "grpc/testing/messages.pb-c.h"
#include "net/grpc_server.h"

enum { MESSAGE_MAX = 4 * 1024 * 1024, RESPONSES_MAX = 64, STATUS_MESSAGE_MAX = 256 };

/* One answer that a streaming call still owes. */
struct response {
    size_t size;
    uint64_t delay_ms;
    bool compressed;
};

struct session {
    struct grpc_call *call;
    size_t received_bytes; /* of StreamingInputCall */
    struct response due[RESPONSES_MAX];
    size_t due_count, due_next;
    struct loop_timer timer;
    bool half_closed;
    bool status_set;
    int status;
    char status_message[STATUS_MESSAGE_MAX];
};

static struct loop *the_loop;

/* ---- messages ---- */

/* Packs any message as the next answer. */
static void send_packed(struct grpc_call *call, const ProtobufCMessage *message)
{
    uint8_t *at;
    if (grpc_call_send_begin(call, protobuf_c_message_get_packed_size(message), &at) != 0)
        return;
    protobuf_c_message_pack(message, at);
    grpc_call_send_commit(call);
}

static Grpc__Testing__Payload payload_of(size_t size)
{
    Grpc__Testing__Payload payload = GRPC__TESTING__PAYLOAD__INIT;
    payload.body.data = calloc(1, size ? size : 1);
    payload.body.len = payload.body.data ? size : 0;
    return payload;
}

/* False when the request says what compression it should have come with, and it did not. */
static bool compression_as_expected(struct grpc_call *call, const Grpc__Testing__BoolValue *expected)
{
    if (!expected || (expected->value != 0) == grpc_call_message_compressed(call))
        return true;
    grpc_call_finish(call, GRPC_INVALID_ARGUMENT, "the request's compression is not as it expects");
    return false;
}

static bool take_size(struct grpc_call *call, int32_t size)
{
    if (size >= 0 && size <= MESSAGE_MAX)
        return true;
    grpc_call_finish(call, GRPC_INVALID_ARGUMENT, "the wanted response size is out of range");
    return false;
}

static void take_status(struct session *s, const Grpc__Testing__EchoStatus *status)
{
    if (!status || status->code == 0)
        return;
    s->status_set = true;
    s->status = status->code;
    snprintf(s->status_message, sizeof s->status_message, "%.*s", (int) status->message.len, (const char *) status->message.data);
}

static void finish(struct session *s)
{
    grpc_call_finish(s->call, s->status_set ? s->status : GRPC_OK, s->status_set ? s->status_message : NULL);
}

/* Echoes the two pieces of custom metadata. */
static void echo_metadata(struct grpc_call *call)
{
    struct slice initial = grpc_call_metadata(call, "x-grpc-test-echo-initial");
    struct slice trailing = grpc_call_metadata(call, "x-grpc-test-echo-trailing-bin");
    if (initial.data)
        grpc_call_add_header(call, SLICE("x-grpc-test-echo-initial"), initial);
    if (trailing.data)
        grpc_call_add_trailer(call, SLICE("x-grpc-test-echo-trailing-bin"), trailing);
}

static void refuse_garbage(struct grpc_call *call)
{
    grpc_call_finish(call, GRPC_INTERNAL, "the request message is malformed");
}

/* ---- one request, one answer ---- */

static void empty_message(void *ctx, struct grpc_call *call, struct slice message)
{
    (void) ctx;
    (void) message;
    Grpc__Testing__Empty empty = GRPC__TESTING__EMPTY__INIT;
    send_packed(call, &empty.base);
    grpc_call_finish(call, GRPC_OK, NULL);
}

static void answer_unary(struct session *s, const Grpc__Testing__SimpleRequest *request)
{
    if (!compression_as_expected(s->call, request->expect_compressed) || !take_size(s->call, request->response_size))
        return;
    take_status(s, request->response_status);
    if (s->status_set) {
        finish(s);
        return;
    }
    Grpc__Testing__SimpleResponse response = GRPC__TESTING__SIMPLE_RESPONSE__INIT;
    Grpc__Testing__Payload payload = payload_of((size_t) request->response_size);
    response.payload = &payload;
    grpc_call_set_compress(s->call, request->response_compressed && request->response_compressed->value);
    send_packed(s->call, &response.base);
    free(payload.body.data);
    finish(s);
}

static void unary_message(void *ctx, struct grpc_call *call, struct slice message)
{
    Grpc__Testing__SimpleRequest *request = grpc__testing__simple_request__unpack(NULL, message.size, message.data);
    if (!request) {
        refuse_garbage(call);
        return;
    }
    answer_unary(ctx, request);
    grpc__testing__simple_request__free_unpacked(request, NULL);
}

/* ---- many requests, one answer ---- */

static void input_message(void *ctx, struct grpc_call *call, struct slice message)
{
    struct session *s = ctx;
    Grpc__Testing__StreamingInputCallRequest *request = grpc__testing__streaming_input_call_request__unpack(NULL, message.size, message.data);
    if (!request) {
        refuse_garbage(call);
        return;
    }
    if (compression_as_expected(call, request->expect_compressed) && request->payload)
        s->received_bytes += request->payload->body.len;
    grpc__testing__streaming_input_call_request__free_unpacked(request, NULL);
}

static void input_half_close(void *ctx, struct grpc_call *call)
{
    struct session *s = ctx;
    Grpc__Testing__StreamingInputCallResponse response = GRPC__TESTING__STREAMING_INPUT_CALL_RESPONSE__INIT;
    response.aggregated_payload_size = (int32_t) s->received_bytes;
    send_packed(call, &response.base);
    grpc_call_finish(call, GRPC_OK, NULL);
}

/* ---- many answers ---- */

static void send_response(struct session *s, const struct response *r)
{
    Grpc__Testing__StreamingOutputCallResponse response = GRPC__TESTING__STREAMING_OUTPUT_CALL_RESPONSE__INIT;
    Grpc__Testing__Payload payload = payload_of(r->size);
    response.payload = &payload;
    grpc_call_set_compress(s->call, r->compressed);
    send_packed(s->call, &response.base);
    free(payload.body.data);
}

static void send_due(struct session *s);

static void on_interval(void *arg)
{
    struct session *s = arg;
    s->due[s->due_next].delay_ms = 0;
    send_due(s);
}

/* Sends what is owed, waiting where an interval is asked for, and finishes behind the last request's last answer. */
static void send_due(struct session *s)
{
    while (s->due_next < s->due_count) {
        struct response *r = &s->due[s->due_next];
        if (r->delay_ms > 0) {
            loop_timer_start(the_loop, &s->timer, r->delay_ms, on_interval, s);
            return;
        }
        send_response(s, r);
        s->due_next++;
    }
    s->due_next = s->due_count = 0;
    if (s->half_closed || s->status_set)
        finish(s);
}

/* False when the call is refused. */
static bool add_due(struct session *s, const Grpc__Testing__ResponseParameters *p)
{
    if (!take_size(s->call, p->size))
        return false;
    if (s->due_count == RESPONSES_MAX) {
        grpc_call_finish(s->call, GRPC_RESOURCE_EXHAUSTED, "too many responses are asked for at once");
        return false;
    }
    s->due[s->due_count++] = (struct response){
        .size = (size_t) p->size,
        .delay_ms = p->interval_us > 0 ? (uint64_t) p->interval_us / 1000 : 0,
        .compressed = p->compressed && p->compressed->value,
    };
    return true;
}

static void output_message(void *ctx, struct grpc_call *call, struct slice message)
{
    struct session *s = ctx;
    Grpc__Testing__StreamingOutputCallRequest *request = grpc__testing__streaming_output_call_request__unpack(NULL, message.size, message.data);
    if (!request) {
        refuse_garbage(call);
        return;
    }
    bool going = true;
    for (size_t i = 0; i < request->n_response_parameters && going; i++)
        going = add_due(s, request->response_parameters[i]);
    take_status(s, request->response_status);
    grpc__testing__streaming_output_call_request__free_unpacked(request, NULL);
    if (going && !loop_timer_running(&s->timer))
        send_due(s);
}

static void output_half_close(void *ctx, struct grpc_call *call)
{
    struct session *s = ctx;
    (void) call;
    s->half_closed = true;
    if (!loop_timer_running(&s->timer))
        send_due(s);
}

static void session_close(void *ctx, struct grpc_call *call, int err)
{
    struct session *s = ctx;
    (void) call;
    (void) err;
    loop_timer_stop(&s->timer);
    free(s);
}

static const struct grpc_call_events EMPTY_EVENTS = {.on_message = empty_message, .on_close = session_close};
static const struct grpc_call_events UNARY_EVENTS = {.on_message = unary_message, .on_close = session_close};
static const struct grpc_call_events INPUT_EVENTS = {.on_message = input_message, .on_half_close = input_half_close, .on_close = session_close};
static const struct grpc_call_events OUTPUT_EVENTS = {.on_message = output_message, .on_half_close = output_half_close, .on_close = session_close};

static void start(struct grpc_call *call, const struct grpc_call_events *events)
{
    struct session *s = calloc(1, sizeof *s);
    if (!s) {
        grpc_call_finish(call, GRPC_RESOURCE_EXHAUSTED, "out of memory");
        return;
    }
    s->call = call;
    grpc_call_bind(call, events, s);
    echo_metadata(call);
    /* Announces gzip before it is known whether a message will want it. */
    grpc_call_set_compress(call, true);
}

static void empty_call(void *ctx, struct grpc_call *call)
{
    (void) ctx;
    start(call, &EMPTY_EVENTS);
}

static void unary_call(void *ctx, struct grpc_call *call)
{
    (void) ctx;
    start(call, &UNARY_EVENTS);
}

static void streaming_input_call(void *ctx, struct grpc_call *call)
{
    (void) ctx;
    start(call, &INPUT_EVENTS);
}

static void streaming_output_call(void *ctx, struct grpc_call *call)
{
    (void) ctx;
    start(call, &OUTPUT_EVENTS);
}

#define TEST_SERVICE "grpc.testing.TestService"

static const struct grpc_method METHODS[] = {
    {"/" TEST_SERVICE "/EmptyCall", false, false, empty_call, 0, false},
    {"/" TEST_SERVICE "/UnaryCall", false, false, unary_call, 0, false},
    {"/" TEST_SERVICE "/CacheableUnaryCall", false, false, unary_call, 0, false},
    {"/" TEST_SERVICE "/StreamingOutputCall", false, true, streaming_output_call, 0, false},
    {"/" TEST_SERVICE "/StreamingInputCall", true, false, streaming_input_call, 0, false},
    {"/" TEST_SERVICE "/FullDuplexCall", true, true, streaming_output_call, 0, false},
    {"/" TEST_SERVICE "/HalfDuplexCall", true, true, streaming_output_call, 0, false},
};

static const struct grpc_service SERVICE = {TEST_SERVICE, METHODS, sizeof METHODS / sizeof METHODS[0], NULL};

/* ---- the program ---- */

static void ignore_data(void *ctx, struct http_exchange *x, struct slice bytes)
{
    (void) ctx;
    (void) x;
    (void) bytes;
}

static void ignore_end(void *ctx, struct http_exchange *x)
{
    (void) ctx;
    (void) x;
}

static void ignore_close(void *ctx, struct http_exchange *x, int err)
{
    (void) ctx;
    (void) x;
    (void) err;
}

static void on_request(void *ctx, struct http_exchange *x)
{
    static const struct http_exchange_events events = {.on_data = ignore_data, .on_end = ignore_end, .on_close = ignore_close};
    if (grpc_server_handle(ctx, x))
        return;
    http_exchange_bind(x, &events, NULL);
    http_respond(x, 415, NULL, 0, SLICE("only gRPC is spoken here\n"));
}

static void on_accept(void *ctx, int fd, const struct addr *from)
{
    (void) from;
    http_server_accept(ctx, fd, NULL);
}

static void on_signal(uv_signal_t *handle, int number)
{
    (void) number;
    uv_close((uv_handle_t *) handle, NULL);
    loop_stop(the_loop);
}

static void on_closed(void *arg)
{
    *(bool *) arg = true;
}

/* Serves until SIGTERM. 0 or GRID_E*. */
static int serve(uint16_t port)
{
    struct grpc_server *grpc = NULL;
    struct http_server *http = NULL;
    struct listener *listener = NULL;
    struct addr at, bound;
    uv_signal_t terminate;
    static const struct listener_options options = {0};
    bool closed = false;
    addr_loopback_v4(port, &at);
    int err = grpc_server_create(the_loop, MESSAGE_MAX, &grpc);
    if (err == 0)
        err = grpc_server_add(grpc, &SERVICE);
    if (err == 0)
        err = http_server_create(the_loop, &HTTP_SERVER_LIMITS_DEFAULT, on_request, grpc, &http);
    if (err == 0)
        err = listener_create(the_loop, &at, &options, on_accept, http, &bound, &listener);
    if (err != 0)
        return err;
    uv_signal_init(loop_uv(the_loop), &terminate);
    uv_signal_start(&terminate, on_signal, SIGTERM);
    printf("{\"port\":%u}\n", addr_port(&bound));
    fflush(stdout);
    loop_run(the_loop);
    listener_close(listener);
    http_server_close(http, on_closed, &closed);
    while (!closed)
        uv_run(loop_uv(the_loop), UV_RUN_ONCE);
    grpc_server_destroy(grpc);
    return 0;
}

int main(int argc, char **argv)
{
    uint64_t port = 0;
    bool wrong = argc != 1 && (argc != 3 || strcmp(argv[1], "--port") != 0);
    if (wrong || (argc == 3 && slice_parse_u64(slice_of_str(argv[2]), UINT16_MAX, &port) != 0)) {
        fputs("usage: grpc_interop_server [--port N]\n", stderr);
        return 2;
    }
    if (loop_create(&the_loop) != 0)
        return 1;
    int err = serve((uint16_t) port);
    if (err != 0)
        fprintf(stderr, "grpc_interop_server: cannot serve on port %u: %s\n", (unsigned) port, grid_err_text(err));
    loop_destroy(the_loop);
    return err != 0;
}
