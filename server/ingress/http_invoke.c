/* POST /invoke/TASK[.HANDLER]: headers to an invocation, the answer's pieces straight back. */
#include "server/ingress/http_invoke.h"

#include <stdio.h>

#include "base/err.h"
#include "base/percent.h"
#include "base/uuid.h"

enum { TIMEOUT_MAX_MS = 24 * 3600 * 1000, QUEUE_HIGH = 1024 * 1024, HTTP2_INTERNAL_ERROR = 2 };

static struct slice header_of(const struct door_request *r, const char *name)
{
    return arena_copy(r->arena, http_header_find(r->head->headers, r->head->header_count, name));
}

/* ---- the answer ---- */

static size_t grid_headers(const struct invocation *inv, const struct invocation_answer *answer, char attempts[12],
                           struct http_header out[6])
{
    size_t n = 0;
    snprintf(attempts, 12, "%u", answer->attempts);
    if (answer->content_type.size > 0)
        out[n++] = (struct http_header){SLICE("content-type"), answer->content_type};
    if (answer->function_error.size > 0)
        out[n++] = (struct http_header){SLICE("grid-function-error"), answer->function_error};
    out[n++] = (struct http_header){SLICE("grid-request-id"), slice_of_str(inv->id)};
    out[n++] = (struct http_header){SLICE("grid-node"), slice_of_str(answer->node->name)};
    out[n++] = (struct http_header){SLICE("grid-release"), answer->release};
    out[n++] = (struct http_header){SLICE("grid-attempts"), slice_of_str(attempts)};
    return n;
}

/* What is known of a call that failed: its id, the attempts if there were any, and where a task may have seen it. */
static size_t fault_headers(const struct invocation *inv, const struct invocation_fault *fault, char attempts[12],
                            struct http_header out[DOOR_EXTRA_MAX])
{
    size_t n = 0;
    snprintf(attempts, 12, "%u", fault->attempts);
    out[n++] = (struct http_header){SLICE("grid-request-id"), slice_of_str(inv->id)};
    if (fault->attempts > 0)
        out[n++] = (struct http_header){SLICE("grid-attempts"), slice_of_str(attempts)};
    if (fault->node)
        out[n++] = (struct http_header){SLICE("grid-node"), slice_of_str(fault->node->name)};
    if (fault->release.size > 0)
        out[n++] = (struct http_header){SLICE("grid-release"), fault->release};
    return n;
}

static void answer_fault(struct door_request *r, const struct invocation *inv, const struct invocation_fault *fault)
{
    struct http_header headers[DOOR_EXTRA_MAX];
    char attempts[12];
    door_answer_error_with(r, door_status_of_fault(fault->status), grpc_status_name(fault->status), fault->message,
                           fault->pushback_ms, headers, fault_headers(inv, fault, attempts, headers));
}

static void on_head(struct invocation *inv, const struct invocation_answer *answer)
{
    struct door_request *r = inv->sink_ctx;
    struct http_header headers[6];
    char attempts[12];
    r->answer_status = answer->status;
    if (r->x)
        http_respond_begin(r->x, answer->status, headers, grid_headers(inv, answer, attempts, headers));
}

static void on_data(struct invocation *inv, struct slice bytes)
{
    struct door_request *r = inv->sink_ctx;
    if (!r->x)
        return;
    http_respond_data(r->x, bytes);
    if (http_exchange_queued(r->x) > QUEUE_HIGH)
        dispatch_pause(inv);
}

static void on_end(struct invocation *inv, const struct invocation_fault *fault)
{
    struct door_request *r = inv->sink_ctx;
    if (r->x && !fault)
        http_respond_end(r->x, NULL, 0);
    else if (r->x && r->answer_status != 0)
        http_exchange_reset(r->x, HTTP2_INTERNAL_ERROR); /* the answer had begun: all that is left is to break it off */
    else if (r->x)
        answer_fault(r, inv, fault);
    door_invocation_ended(r);
}

static const struct invocation_sink INVOKE_SINK = {on_head, on_data, on_end};

/* ---- the request ---- */

static bool read_timeout(struct door_request *r, struct invocation *inv)
{
    struct slice text = http_header_find(r->head->headers, r->head->header_count, "grid-timeout-ms");
    uint64_t ms;
    if (!text.data)
        return true;
    if (slice_parse_u64(text, TIMEOUT_MAX_MS, &ms) != 0 || ms == 0)
        return false;
    inv->deadline_ms = loop_now_ms(r->ingress->loop) + ms;
    return true;
}

static bool read_strategy(const struct door_request *r, struct invocation *inv)
{
    struct slice text = http_header_find(r->head->headers, r->head->header_count, "grid-strategy");
    if (slice_equal_str(text, "local"))
        inv->strategy = INVOCATION_LOCAL;
    return text.size == 0 || slice_equal_str(text, "local") || slice_equal_str(text, "round-robin");
}

static void refuse_invocation(struct door_request *r, const char *message)
{
    struct invocation_fault fault = {.status = GRPC_INVALID_ARGUMENT, .message = message, .pushback_ms = -1, .unseen = true};
    answer_fault(r, r->inv, &fault);
    invocation_destroy(r->inv);
    r->inv = NULL;
}

static void invoke(struct door_request *r)
{
    struct buf name;
    struct slice task, handler;
    buf_init(&name, 0);
    int err = percent_decode(&name, slice_from(r->path, sizeof "/invoke/" - 1), PERCENT_PLUS_AS_IS);
    struct slice task_id = arena_copy(r->arena, buf_slice(&name));
    buf_dispose(&name);
    const char *why = "the path names no task: use /invoke/TASK or /invoke/TASK.HANDLER";
    if (err != 0 || task_id.size == 0 || (why = ingress_name_fault(task_id)) != NULL) {
        door_refuse(r, 400, "INVALID_ARGUMENT", why);
        return;
    }
    ingress_split_task(r->ingress, task_id, &task, &handler);
    struct invocation *inv = door_invocation(r, task, handler);
    if (!inv)
        return;
    inv->stream = true;
    if (inv->payload.size > 0 && inv->content_type.size == 0)
        inv->content_type = SLICE("application/octet-stream"); /* RFC 9110 section 8.3, and the same for local and remote tasks */
    inv->key = header_of(r, "grid-key");
    inv->node = header_of(r, "grid-node");
    inv->idempotency_key = header_of(r, "idempotency-key");
    inv->traceparent = header_of(r, "traceparent");
    if (!read_timeout(r, inv))
        refuse_invocation(r, "Grid-Timeout-Ms is not a whole number of milliseconds from 1 to 86400000");
    else if (!read_strategy(r, inv))
        refuse_invocation(r, "Grid-Strategy is neither round-robin nor local");
    else
        door_invoke(r, &INVOKE_SINK);
}

const struct door HTTP_INVOKE[] = {
    {.method = "POST", .path = "/invoke/", .prefix = true, .for_tasks = true, .handle = invoke},
    {0},
};
