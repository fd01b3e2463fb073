/* The public calls: requests packed, answers handed out. */
#include <stdlib.h>

#include "api/pb.h"
#include "base/err.h"
#include "client/fault.h"
#include "client/result.h"
#include "client/rpc.h"
#include "grid/v1/invoke.pb-c.h"

enum { INVOKE_TIMEOUT_MS = 60000, METADATA_MAX = 64 };

/* One message of a unary call, copied. */
struct single {
    void *data;
    size_t size;
    bool is_there;
    bool is_failed; /* out of memory, or a second message */
};

static bool take_single(void *ctx, const void *message, size_t size)
{
    struct single *single = ctx;
    single->is_failed = single->is_there || !(single->data = malloc(size + 1));
    if (single->is_failed)
        return false;
    memcpy(single->data, message, size);
    single->size = size;
    single->is_there = true;
    return true;
}

enum grid_code grid_unary(struct grid_client *client, const char *method, const void *request, size_t request_size, uint32_t timeout_ms,
                          void **out, size_t *out_size, struct grid_error *error)
{
    struct single single = {0};
    struct rpc_request rpc = {method, slice_of(request, request_size), timeout_ms};
    enum grid_code code = rpc_call(client, &rpc, take_single, &single, error);
    *out = NULL;
    *out_size = 0;
    if (single.is_failed)
        code = fault_set(error, GRID_CODE_INTERNAL, "the node's answer could not be taken");
    else if (code == GRID_CODE_OK && !single.is_there)
        code = fault_set(error, GRID_CODE_INTERNAL, "the node gave no answer");
    if (code != GRID_CODE_OK) {
        free(single.data);
        return code;
    }
    *out = single.data;
    *out_size = single.size;
    return code;
}

enum grid_code grid_server_stream(struct grid_client *client, const char *method, const void *request, size_t request_size,
                                  uint32_t timeout_ms, grid_message_fn on_message, void *ctx, struct grid_error *error)
{
    struct rpc_request rpc = {method, slice_of(request, request_size), timeout_ms};
    return rpc_call(client, &rpc, on_message, ctx, error);
}

static void set_input(Grid__V1__CallRequest *request, struct grid_input input)
{
    struct slice bytes = slice_of(input.data, input.size);
    if (input.kind == GRID_INPUT_JSON) {
        request->input_case = GRID__V1__CALL_REQUEST__INPUT_JSON;
        request->json = pb_bytes(bytes);
    } else if (input.kind == GRID_INPUT_BYTES) {
        request->input_case = GRID__V1__CALL_REQUEST__INPUT_PAYLOAD;
        request->payload = pb_bytes(bytes);
    }
}

static void set_metadata(const struct grid_call_options *options, Grid__V1__StringPair *pairs, Grid__V1__StringPair **pointers)
{
    for (size_t i = 0; i < options->metadata_count; i++) {
        grid__v1__string_pair__init(&pairs[i]);
        pairs[i].key = pb_str(options->metadata[i].key);
        pairs[i].value = pb_str(options->metadata[i].value);
        pointers[i] = &pairs[i];
    }
}

/* The packed request; the caller disposes of `out`. */
static enum grid_code pack_request(const char *task, const char *handler, struct grid_input input,
                                   const struct grid_call_options *options, struct buf *out, struct grid_error *error)
{
    Grid__V1__CallRequest request = GRID__V1__CALL_REQUEST__INIT;
    Grid__V1__StringPair pairs[METADATA_MAX], *pointers[METADATA_MAX];
    if (options->metadata_count > METADATA_MAX)
        return fault_set(error, GRID_CODE_INVALID_ARGUMENT, "metadata has %zu entries: give at most %d", options->metadata_count,
                         METADATA_MAX);
    set_input(&request, input);
    set_metadata(options, pairs, pointers);
    request.task = pb_str(task);
    request.handler = pb_str(handler);
    request.content_type = pb_str(options->content_type);
    request.node = pb_str(options->node);
    request.key = pb_str(options->key);
    request.idempotency_key = pb_str(options->idempotency_key);
    request.strategy = (Grid__V1__Strategy) options->strategy;
    request.metadata = pointers;
    request.n_metadata = options->metadata_count;
    if (pb_append(out, &request.base) != 0)
        return fault_set(error, GRID_CODE_RESOURCE_EXHAUSTED, "out of memory");
    return GRID_CODE_OK;
}

/* Packs, calls `method`, and gives each answer to `on_message`. */
static enum grid_code invoke(struct grid_client *client, const char *method, const char *task, const char *handler,
                             struct grid_input input, const struct grid_call_options *options, grid_message_fn on_message, void *ctx,
                             struct grid_error *error)
{
    static const struct grid_call_options DEFAULTS = {0};
    struct buf packed;
    if (!options)
        options = &DEFAULTS;
    buf_init(&packed, 0);
    enum grid_code code = pack_request(task, handler, input, options, &packed, error);
    struct rpc_request rpc = {method, buf_slice(&packed), options->timeout_ms ? options->timeout_ms : INVOKE_TIMEOUT_MS};
    if (code == GRID_CODE_OK)
        code = rpc_call(client, &rpc, on_message, ctx, error);
    buf_dispose(&packed);
    return code;
}

static enum grid_code explain_bad_answer(int err, struct grid_error *error)
{
    return fault_set(error, GRID_CODE_INTERNAL, "the node's answer could not be read: %s", grid_err_text(err));
}

/* The one answer of Call, or each of Broadcast. */
struct answers {
    struct grid_result *only;
    grid_result_fn on_result; /* of Broadcast */
    void *ctx;
    int err;
};

static bool take_only(void *ctx, const void *message, size_t size)
{
    struct answers *answers = ctx;
    answers->err = answers->only ? GRID_EPROTO : result_from_response(slice_of(message, size), &answers->only);
    return answers->err == 0;
}

static bool take_each(void *ctx, const void *message, size_t size)
{
    struct answers *answers = ctx;
    struct grid_result *result;
    answers->err = result_from_response(slice_of(message, size), &result);
    if (answers->err != 0)
        return false;
    bool go_on = answers->on_result(answers->ctx, result);
    grid_result_destroy(result);
    return go_on;
}

enum grid_code grid_call(struct grid_client *client, const char *task, const char *handler, struct grid_input input,
                         const struct grid_call_options *options, struct grid_result **out, struct grid_error *error)
{
    struct answers answers = {0};
    enum grid_code code = invoke(client, "/grid.v1.Invoke/Call", task, handler, input, options, take_only, &answers, error);
    if (answers.err != 0 || (code == GRID_CODE_OK && !answers.only))
        code = explain_bad_answer(answers.err ? answers.err : GRID_EPROTO, error);
    *out = code == GRID_CODE_OK ? answers.only : NULL;
    if (code != GRID_CODE_OK)
        grid_result_destroy(answers.only);
    return code;
}

enum grid_code grid_broadcast(struct grid_client *client, const char *task, const char *handler, struct grid_input input,
                              const struct grid_call_options *options, grid_result_fn on_result, void *ctx, struct grid_error *error)
{
    struct answers answers = {.on_result = on_result, .ctx = ctx};
    enum grid_code code = invoke(client, "/grid.v1.Invoke/Broadcast", task, handler, input, options, take_each, &answers, error);
    return answers.err != 0 ? explain_bad_answer(answers.err, error) : code;
}

static bool take_chunk(void *ctx, const void *message, size_t size)
{
    return result_stream_take(ctx, slice_of(message, size));
}

enum grid_code grid_call_stream(struct grid_client *client, const char *task, const char *handler, struct grid_input input,
                                const struct grid_call_options *options, grid_data_fn on_data, void *ctx, struct grid_result **out,
                                struct grid_error *error)
{
    struct result_stream stream = {.on_data = on_data, .ctx = ctx};
    enum grid_code code = invoke(client, "/grid.v1.Invoke/CallStream", task, handler, input, options, take_chunk, &stream, error);
    if (stream.is_cancelled)
        code = fault_set(error, GRID_CODE_CANCELLED, "cancelled by the caller");
    else if (stream.err != 0 || (code == GRID_CODE_OK && !stream.result))
        code = explain_bad_answer(stream.err ? stream.err : GRID_EPROTO, error);
    *out = code == GRID_CODE_OK ? stream.result : NULL;
    if (code != GRID_CODE_OK)
        grid_result_destroy(stream.result);
    return code;
}
