/* grid.v1.Invoke: Call, CallStream and Broadcast, for clients and for the one hop between nodes.
 *
 * A hop (metadata grid-hops: 1 from a peer with the role node) is answered with the task's raw body as payload and the
 * function-error mark as error.type, so that the node the client asked translates once; faults carry the trailer grid-seen, and both the
 * trailer grid-load. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/err.h"
#include "base/json.h"
#include "base/uuid.h"
#include "server/ingress/call_codec.h"
#include "server/ingress/call_request.h"
#include "server/ingress/guard.h"
#include "server/ingress/ingress_internal.h"

enum { QUEUE_HIGH = 1024 * 1024, FREE_CALLS_MAX = 256, BODY_KEPT = 16 * 1024 };

/* Answers of these sizes are gzipped for who takes that: smaller ones do not gain, and larger ones would hold up the worker's other
 * calls for tens of milliseconds. */
enum { COMPRESS_FROM = 1024, COMPRESS_UP_TO = 1024 * 1024 };

static const char OUT_OF_MEMORY[] = "the node is out of memory: try again later";

struct rpc_call {
    struct ingress *ingress;
    struct grpc_call *call; /* NULL once closed */
    struct invocation *inv; /* NULL once ended */
    bool stream;
    bool broadcasting;
    bool hop;
    bool json; /* the request gave json */
    struct dispatch_broadcast *broadcast;
    /* The answer so far. */
    struct invocation_answer answer;
    struct buf body;
    struct rpc_call *next_free;
};

/* One for a new call, zeroed but for its emptied body; NULL when out of memory. */
static struct rpc_call *rpc_take(struct ingress *i)
{
    struct rpc_call *r = i->free_calls;
    if (!r) {
        r = calloc(1, sizeof *r);
        if (r)
            buf_init(&r->body, 0);
        return r;
    }
    struct buf body = r->body;
    i->free_calls = r->next_free;
    i->free_call_count--;
    *r = (struct rpc_call){.body = body};
    return r;
}

static void rpc_free(struct rpc_call *r)
{
    struct ingress *i = r->ingress;
    if (r->call || r->inv)
        return;
    if (i->free_call_count == FREE_CALLS_MAX) {
        buf_dispose(&r->body);
        free(r);
        return;
    }
    if (r->body.capacity > BODY_KEPT)
        buf_dispose(&r->body);
    buf_clear(&r->body);
    r->next_free = i->free_calls;
    i->free_calls = r;
    i->free_call_count++;
}

void rpc_invoke_dispose(struct ingress *i)
{
    while (i->free_calls) {
        struct rpc_call *r = i->free_calls;
        i->free_calls = r->next_free;
        buf_dispose(&r->body);
        free(r);
    }
}

/* ---- statuses ---- */

static void finish_fault(struct rpc_call *r, int status, const char *message, int64_t pushback_ms, bool unseen)
{
    char text[24];
    if (!r->call)
        return;
    if (pushback_ms >= 0) {
        snprintf(text, sizeof text, "%" PRId64, pushback_ms);
        grpc_call_add_trailer(r->call, SLICE("grpc-retry-pushback-ms"), slice_of_str(text));
    }
    if (r->hop)
        grpc_call_add_trailer(r->call, SLICE("grid-seen"), unseen ? SLICE("0") : SLICE("1"));
    grpc_call_finish(r->call, status, message);
}

/* ---- unary answers ---- */

/* JSON answers come as `json` when the request gave `json`. */
static bool answers_json(const struct rpc_call *r, struct slice body)
{
    struct slice raw;
    return r->json && guard_media_type_is(r->answer.content_type, "application/json") && json_validate(body, &raw, NULL) == 0;
}

/* A header's text. Foreign decoders take nothing of a message with one that is no UTF-8, and nothing of a stream behind it. A node reads the
 * bytes as they came. */
static struct slice told(const struct rpc_call *r, struct slice text, struct slice instead)
{
    return r->hop || slice_is_utf8(text) ? text : instead;
}

static void fill_answer(const struct rpc_call *r, const char *request_id, const struct route_node *node, struct call_answer *out)
{
    *out = (struct call_answer){.content_type = told(r, r->answer.content_type, slice_of(NULL, 0)),
                                .status = r->answer.status,
                                .request_id = slice_of_str(request_id),
                                .release = r->answer.release,
                                .attempts = r->answer.attempts,
                                .function_error = told(r, r->answer.function_error, SLICE("Unhandled"))};
    if (!r->hop)
        out->node_packed = node->host_packed;
}

/* The failure to show: a client's is read from the body, a hop's is only the mark. */
static const struct task_error *answer_error(const struct rpc_call *r, struct arena *arena, struct slice body,
                                             struct task_error *error)
{
    if (r->hop) {
        *error = (struct task_error){.type = r->answer.function_error};
        return r->answer.function_error.size > 0 ? error : NULL;
    }
    return task_error_from_answer(arena, r->answer.status, r->answer.function_error, body, error) ? error : NULL;
}

static void send_response(struct rpc_call *r, struct arena *arena, const char *request_id, const struct route_node *node,
                          struct slice body)
{
    struct call_answer a;
    struct task_error error;
    uint8_t *at;
    fill_answer(r, request_id, node, &a);
    a.error = answer_error(r, arena, body, &error);
    a.json = !r->hop && answers_json(r, body);
    a.output = body;
    size_t size = call_response_size(&a);
    if (!r->broadcasting) /* whose head must say it for all answers */
        grpc_call_set_compress(r->call, size >= COMPRESS_FROM && size <= COMPRESS_UP_TO);
    if (grpc_call_send_begin(r->call, size, &at) != 0)
        return;
    call_response_write(&a, at);
    grpc_call_send_commit(r->call);
}

/* ---- the sink ---- */

static void send_chunk(struct rpc_call *r, struct buf *packed)
{
    grpc_call_send(r->call, buf_slice(packed));
    buf_dispose(packed);
}

static void on_head(struct invocation *inv, const struct invocation_answer *answer)
{
    struct rpc_call *r = inv->sink_ctx;
    r->answer = *answer;
    r->answer.content_type = arena_copy(inv->arena, answer->content_type);
    r->answer.function_error = arena_copy(inv->arena, answer->function_error);
    if (r->stream && r->call) {
        struct call_answer a;
        struct buf packed;
        buf_init(&packed, 0);
        fill_answer(r, inv->id, answer->node, &a);
        if (call_chunk_head(&a, &packed) == 0)
            send_chunk(r, &packed);
    }
}

static bool is_failure(const struct rpc_call *r)
{
    return r->answer.function_error.size > 0 || r->answer.status >= 500;
}

static void stream_data(struct rpc_call *r, struct invocation *inv, struct slice bytes)
{
    while (bytes.size > 0 && r->call) {
        struct slice piece = slice_first(bytes, CALL_DATA_MAX);
        struct buf packed;
        buf_init(&packed, 0);
        if (call_chunk_data(piece, &packed) == 0)
            send_chunk(r, &packed);
        bytes = slice_from(bytes, piece.size);
    }
    if (r->call && grpc_call_queued(r->call) > QUEUE_HIGH)
        dispatch_pause(inv);
}

static void on_data(struct invocation *inv, struct slice bytes)
{
    struct rpc_call *r = inv->sink_ctx;
    /* A client's failure is told in the end chunk, so its body is kept; a hop passes it on. */
    if (r->stream && (r->hop || !is_failure(r)))
        stream_data(r, inv, bytes);
    else
        (void) buf_append(&r->body, bytes); /* dispatch bounds an answer */
}

static void stream_end(struct rpc_call *r, struct invocation *inv)
{
    struct task_error error;
    struct buf packed;
    buf_init(&packed, 0);
    if (call_chunk_end(answer_error(r, inv->arena, buf_slice(&r->body), &error), &packed) == 0)
        send_chunk(r, &packed);
}

/* Only a node hears how busy this one is with the task. */
static void tell_load(struct rpc_call *r, struct slice task)
{
    struct route_load load;
    char text[ROUTE_LOAD_TEXT];
    if (r->hop && r->call && dispatch_load(r->ingress->dispatch, task, &load))
        grpc_call_add_trailer(r->call, SLICE("grid-load"), route_load_format(&load, text));
}

static void on_end(struct invocation *inv, const struct invocation_fault *fault)
{
    struct rpc_call *r = inv->sink_ctx;
    tell_load(r, inv->task);
    if (r->call && fault) {
        finish_fault(r, fault->status, fault->message, fault->pushback_ms, fault->unseen);
    } else if (r->call) {
        if (r->stream)
            stream_end(r, inv);
        else
            send_response(r, inv->arena, inv->id, r->answer.node, buf_slice(&r->body));
        grpc_call_finish(r->call, GRPC_OK, NULL);
    }
    r->inv = NULL;
    invocation_destroy(inv);
    rpc_free(r);
}

static const struct invocation_sink RPC_SINK = {on_head, on_data, on_end};

/* ---- broadcast ---- */

static void broadcast_on_each(void *ctx, const struct invocation_answer *answer, struct slice body,
                              const struct invocation_fault *fault, const struct route_node *node)
{
    struct rpc_call *r = ctx;
    struct task_error error;
    if (!r->call)
        return;
    if (!fault) {
        r->answer = *answer;
        send_response(r, r->inv->arena, r->inv->id, node, body);
        return;
    }
    struct call_answer a = {.error = &error,
                            .node_packed = node->host_packed,
                            .request_id = slice_of_str(r->inv->id),
                            .release = fault->release};
    uint8_t *at;
    error = (struct task_error){.type = slice_of_str(grpc_status_name(fault->status)), .message = slice_of_str(fault->message)};
    if (grpc_call_send_begin(r->call, call_response_size(&a), &at) == 0) {
        call_response_write(&a, at);
        grpc_call_send_commit(r->call);
    }
}

static void broadcast_on_done(void *ctx, size_t nodes)
{
    struct rpc_call *r = ctx;
    struct invocation *inv = r->inv;
    r->broadcast = NULL;
    if (r->call && nodes == 0)
        grpc_call_finish(r->call, GRPC_UNAVAILABLE, "no synchronized node has this task: deploy it, or wait until nodes are ready");
    else if (r->call)
        grpc_call_finish(r->call, GRPC_OK, NULL);
    r->inv = NULL;
    invocation_destroy(inv);
    rpc_free(r);
}

static const struct dispatch_broadcast_events BROADCAST_EVENTS = {broadcast_on_each, broadcast_on_done};

/* ---- the request ---- */

static bool is_peer_hop(struct grpc_call *call)
{
    const struct tls_peer *peer = conn_tls_peer(grpc_call_conn(call));
    return peer && (peer->roles & TLS_ROLE_NODE) && slice_equal_str(grpc_call_metadata(call, "grid-hops"), "1");
}

static void take_hop(struct rpc_call *r, struct invocation *inv)
{
    struct slice id = grpc_call_metadata(r->call, "grid-request-id");
    struct uuid parsed;
    if (uuid_parse(id, &parsed) == 0)
        uuid_format(&parsed, inv->id);
    inv->hops = 1;
    inv->from = arena_copy(inv->arena, grpc_call_metadata(r->call, "grid-from"));
}

static void set_deadline(struct rpc_call *r, struct invocation *inv)
{
    uint64_t left = grpc_call_time_left_ms(r->call);
    inv->deadline_ms = loop_now_ms(r->ingress->loop) + (left == UINT64_MAX ? r->ingress->options.default_deadline_ms : left);
}

static void invocation_abandon(struct rpc_call *r, int status, const char *message)
{
    finish_fault(r, status, message, -1, true);
    invocation_destroy(r->inv);
    r->inv = NULL;
}

/* No node needs to be asked for a task that the release does not have. */
static bool is_unknown(const struct ingress *i, struct slice task)
{
    const struct route_table *t = ingress_table(i);
    return t && !t->settling && !route_table_task(t, task);
}

/* Fills the invocation from the request. GRPC_OK, or a status and what is wrong. */
static int take_request(struct rpc_call *r, struct invocation *inv, struct slice message, const char **why)
{
    struct slice raw;
    if (call_request_decode(message, inv, &r->json, why) != 0)
        return GRPC_INVALID_ARGUMENT;
    *why = r->ingress->payload_limit;
    if (inv->payload.size > r->ingress->options.max_payload)
        return GRPC_RESOURCE_EXHAUSTED;
    *why = "json is not one valid JSON value: send other bytes as payload";
    if (r->json && !r->hop && json_validate(inv->payload, &raw, NULL) != 0)
        return GRPC_INVALID_ARGUMENT;
    if (!r->hop && (*why = ingress_name_fault(inv->task)) != NULL)
        return GRPC_INVALID_ARGUMENT;
    if (inv->handler.size == 0 && !r->hop)
        ingress_split_task(r->ingress, inv->task, &inv->task, &inv->handler);
    inv->stream = r->stream;
    inv->traceparent = arena_copy(inv->arena, grpc_call_metadata(r->call, "traceparent"));
    inv->sink = &RPC_SINK;
    inv->sink_ctx = r;
    set_deadline(r, inv);
    if (r->hop)
        take_hop(r, inv);
    if (!r->broadcasting || !is_unknown(r->ingress, inv->task))
        return GRPC_OK;
    *why = arena_printf(inv->arena, "Task file %.*s does not exists", SLICE_FMT(inv->task));
    return GRPC_NOT_FOUND;
}

static void on_message(void *ctx, struct grpc_call *call, struct slice message)
{
    struct rpc_call *r = ctx;
    r->hop = is_peer_hop(call);
    r->inv = invocation_create();
    const char *why = NULL;
    int status = r->inv ? take_request(r, r->inv, message, &why) : GRPC_OK;
    if (!r->inv)
        finish_fault(r, GRPC_UNAVAILABLE, OUT_OF_MEMORY, -1, true);
    else if (status != GRPC_OK)
        invocation_abandon(r, status, why);
    else if (!r->broadcasting)
        dispatch_start(r->ingress->dispatch, r->inv);
    else if (!(r->broadcast = dispatch_broadcast(r->ingress->dispatch, r->inv, true, &BROADCAST_EVENTS, r)))
        invocation_abandon(r, GRPC_UNAVAILABLE, OUT_OF_MEMORY);
}

static void on_writable(void *ctx, struct grpc_call *call)
{
    struct rpc_call *r = ctx;
    (void) call;
    if (r->inv && r->stream)
        dispatch_resume(r->inv);
}

static void on_close(void *ctx, struct grpc_call *call, int err)
{
    struct rpc_call *r = ctx;
    struct invocation *inv = r->inv;
    (void) call;
    (void) err;
    r->call = NULL;
    if (inv && r->broadcast)
        dispatch_broadcast_cancel(r->broadcast);
    else if (inv)
        dispatch_cancel(r->ingress->dispatch, inv);
    else
        rpc_free(r);
}

static const struct grpc_call_events CALL_EVENTS = {.on_message = on_message, .on_writable = on_writable, .on_close = on_close};

static void call_begin(void *ctx, struct grpc_call *call, bool stream, bool broadcasting)
{
    struct rpc_call *r = rpc_take(ctx);
    if (!r) {
        grpc_call_finish(call, GRPC_UNAVAILABLE, OUT_OF_MEMORY);
        return;
    }
    r->ingress = ctx;
    r->call = call;
    r->stream = stream;
    r->broadcasting = broadcasting;
    if (stream || broadcasting)
        grpc_call_set_compress(call, true);
    grpc_call_bind(call, &CALL_EVENTS, r);
}

static void on_call(void *ctx, struct grpc_call *call)
{
    call_begin(ctx, call, false, false);
}

static void on_call_stream(void *ctx, struct grpc_call *call)
{
    call_begin(ctx, call, true, false);
}

static void on_broadcast(void *ctx, struct grpc_call *call)
{
    call_begin(ctx, call, false, true);
}

static const struct grpc_method METHODS[] = {
    {.path = "/grid.v1.Invoke/Call", .on_call = on_call},
    {.path = "/grid.v1.Invoke/CallStream", .server_streams = true, .on_call = on_call_stream},
    {.path = "/grid.v1.Invoke/Broadcast", .server_streams = true, .on_call = on_broadcast},
};

const struct grpc_service RPC_INVOKE = {
    .name = "grid.v1.Invoke", .methods = METHODS, .method_count = sizeof METHODS / sizeof *METHODS};
