/* One call: the request goes out whole; answers are read one by one; the status comes last.
 *
 *     start: send metadata, request, half-close; receive metadata  --.
 *     watch: receive the status (completes when the call is over)     > three batches, each with its own tag
 *     read:  receive a message; again until there is none          --'
 */
#include "client/rpc.h"

#include <grpc/byte_buffer.h>
#include <grpc/byte_buffer_reader.h>
#include <grpc/support/alloc.h>
#include <grpc/support/time.h>

#include "client/fault.h"

struct rpc {
    grpc_completion_queue *queue;
    grpc_call *call;
    grpc_metadata_array head, trailer;
    grpc_byte_buffer *message; /* what the read batch fills */
    grpc_status_code status;
    grpc_slice details;
    const char *address; /* of the node, borrowed */
    uint32_t timeout_ms;
    bool is_over;
    grid_message_fn on_message;
    void *ctx;
};

/* Tags are addresses of these. */
static char TAG_START, TAG_WATCH, TAG_READ;

gpr_timespec rpc_deadline(uint32_t timeout_ms)
{
    if (timeout_ms == 0)
        return gpr_inf_future(GPR_CLOCK_MONOTONIC);
    return gpr_time_add(gpr_now(GPR_CLOCK_MONOTONIC), gpr_time_from_millis(timeout_ms, GPR_TIMESPAN));
}

void rpc_queue_destroy(grpc_completion_queue *queue)
{
    grpc_completion_queue_shutdown(queue);
    while (grpc_completion_queue_next(queue, gpr_inf_future(GPR_CLOCK_MONOTONIC), NULL).type != GRPC_QUEUE_SHUTDOWN)
        ;
    grpc_completion_queue_destroy(queue);
}

static void rpc_init(struct rpc *rpc, struct grid_client *client, const struct rpc_request *request)
{
    grpc_slice method = grpc_slice_from_copied_string(request->method);
    rpc->queue = grpc_completion_queue_create_for_next(NULL);
    rpc->call = grpc_channel_create_call(client->channel, NULL, GRPC_PROPAGATE_DEFAULTS, rpc->queue, method, NULL,
                                         rpc_deadline(request->timeout_ms), NULL);
    grpc_slice_unref(method);
    rpc->address = client->address;
    rpc->timeout_ms = request->timeout_ms;
    grpc_metadata_array_init(&rpc->head);
    grpc_metadata_array_init(&rpc->trailer);
    rpc->details = grpc_empty_slice();
}

static void rpc_dispose(struct rpc *rpc)
{
    grpc_call_unref(rpc->call);
    rpc_queue_destroy(rpc->queue);
    grpc_metadata_array_destroy(&rpc->head);
    grpc_metadata_array_destroy(&rpc->trailer);
    grpc_slice_unref(rpc->details);
    if (rpc->message)
        grpc_byte_buffer_destroy(rpc->message);
}

/* True when the batch has begun and its tag will come. */
static bool begin(struct rpc *rpc, const grpc_op *ops, size_t count, void *tag)
{
    return grpc_call_start_batch(rpc->call, ops, count, tag, NULL) == GRPC_CALL_OK;
}

static bool begin_start(struct rpc *rpc, grpc_byte_buffer *body)
{
    grpc_op ops[4] = {{.op = GRPC_OP_SEND_INITIAL_METADATA},
                      {.op = GRPC_OP_SEND_MESSAGE},
                      {.op = GRPC_OP_SEND_CLOSE_FROM_CLIENT},
                      {.op = GRPC_OP_RECV_INITIAL_METADATA}};
    ops[1].data.send_message.send_message = body;
    ops[3].data.recv_initial_metadata.recv_initial_metadata = &rpc->head;
    return begin(rpc, ops, 4, &TAG_START);
}

static bool begin_watch(struct rpc *rpc)
{
    grpc_op op = {.op = GRPC_OP_RECV_STATUS_ON_CLIENT};
    op.data.recv_status_on_client.trailing_metadata = &rpc->trailer;
    op.data.recv_status_on_client.status = &rpc->status;
    op.data.recv_status_on_client.status_details = &rpc->details;
    return begin(rpc, &op, 1, &TAG_WATCH);
}

static bool begin_read(struct rpc *rpc)
{
    grpc_op op = {.op = GRPC_OP_RECV_MESSAGE};
    op.data.recv_message.recv_message = &rpc->message;
    return begin(rpc, &op, 1, &TAG_READ);
}

/* Hands the message over, or the call is cancelled. */
static void deliver(struct rpc *rpc)
{
    grpc_byte_buffer_reader reader;
    bool go_on = false;
    if (grpc_byte_buffer_reader_init(&reader, rpc->message)) {
        grpc_slice whole = grpc_byte_buffer_reader_readall(&reader);
        go_on = rpc->on_message(rpc->ctx, GRPC_SLICE_START_PTR(whole), GRPC_SLICE_LENGTH(whole));
        grpc_slice_unref(whole);
        grpc_byte_buffer_reader_destroy(&reader);
    }
    grpc_byte_buffer_destroy(rpc->message);
    rpc->message = NULL;
    if (!go_on)
        grpc_call_cancel(rpc->call, NULL);
}

/* Runs until all begun batches have ended. */
static void run(struct rpc *rpc, unsigned pending)
{
    while (pending > 0) {
        grpc_event event = grpc_completion_queue_next(rpc->queue, gpr_inf_future(GPR_CLOCK_MONOTONIC), NULL);
        pending--;
        if (event.tag == &TAG_WATCH)
            rpc->is_over = true;
        if (event.tag != &TAG_READ || !rpc->message)
            continue;
        deliver(rpc);
        pending += begin_read(rpc);
    }
}

/* gRPC tells a lost connection by the same status and in the same place as the node's own refusals, but in words of its own. */
static bool is_lost_connection(struct slice details)
{
    static const struct slice WORDS[] = {SLICE_INIT("Socket closed"), SLICE_INIT("Connection reset"), SLICE_INIT("Connection refused"), SLICE_INIT("Connection timed out"),
                                         SLICE_INIT("Broken pipe"), SLICE_INIT("Endpoint read failed"), SLICE_INIT("Transport closed"), SLICE_INIT("GOAWAY received"),
                                         SLICE_INIT("recvmsg"), SLICE_INIT("sendmsg"), SLICE_INIT("failed to connect"), SLICE_INIT("Stream removed")};
    for (size_t i = 0; i < sizeof WORDS / sizeof *WORDS; i++)
        if (slice_has_prefix(details, WORDS[i]))
            return true;
    return false;
}

/* What gRPC's clock here says, and a node's that is a little ahead: nothing of what was waited for. */
static bool is_only_the_clock(struct slice details)
{
    return slice_equal_str(details, "Deadline Exceeded") || slice_equal_str(details, "the deadline passed");
}

static enum grid_code conclude(struct rpc *rpc, struct grid_error *error)
{
    struct slice details = slice_of(GRPC_SLICE_START_PTR(rpc->details), GRPC_SLICE_LENGTH(rpc->details));
    if (!rpc->is_over)
        return fault_set(error, GRID_CODE_INTERNAL, "the call could not be started");
    if (rpc->status == GRPC_STATUS_OK)
        return GRID_CODE_OK;
    /* gRPC's own timer says no more than this. */
    if (rpc->status == GRPC_STATUS_DEADLINE_EXCEEDED && is_only_the_clock(details))
        return fault_set(error, GRID_CODE_DEADLINE_EXCEEDED, "no answer came from %s within %u ms", rpc->address, rpc->timeout_ms);
    if (rpc->status == GRPC_STATUS_UNAVAILABLE && is_lost_connection(details))
        return fault_set(error, GRID_CODE_UNAVAILABLE, "the connection to %s ended before the answer came (%.*s): see whether gridd runs there, and what its log says; what was asked may have been done all the same",
                         rpc->address, SLICE_FMT(slice_first(details, 200)));
    return fault_set_slice(error, (enum grid_code) rpc->status, details);
}

enum grid_code rpc_call(struct grid_client *client, const struct rpc_request *request, grid_message_fn on_message, void *ctx,
                        struct grid_error *error)
{
    struct rpc rpc = {.on_message = on_message, .ctx = ctx};
    grpc_slice slice = grpc_slice_from_copied_buffer((const char *) request->body.data, request->body.size);
    grpc_byte_buffer *body = grpc_raw_byte_buffer_create(&slice, 1);
    rpc_init(&rpc, client, request);
    unsigned pending = begin_watch(&rpc);
    pending += begin_start(&rpc, body);
    pending += begin_read(&rpc);
    run(&rpc, pending);
    enum grid_code code = conclude(&rpc, error);
    rpc_dispose(&rpc);
    grpc_byte_buffer_destroy(body);
    grpc_slice_unref(slice);
    return code;
}
