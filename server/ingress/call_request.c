/* Reads a CallRequest: counts its fields, has protobuf-c decode them into the invocation's arena, and holds them to their limits.
 */
#include "server/ingress/call_request.h"

#include "api/pb.h"
#include "base/err.h"
#include "grid/v1/invoke.pb-c.h"

enum { REQUEST_FIELDS_MAX = 256 }; /* an entry of metadata is three: itself, key and value */
/* Counted before memory is taken for them: each costs the decoder some 100 bytes, and may be sent in two. */
static const char *fields_fault(struct slice in)
{
    switch (pb_fields_within(&grid__v1__call_request__descriptor, in, REQUEST_FIELDS_MAX)) {
    case 0:
        return NULL;
    case GRID_ELIMIT:
        return "the message has more than 256 fields: metadata takes at most 64 entries";
    default:
        return "the message is not a CallRequest";
    }
}

static const char *request_fault(const Grid__V1__CallRequest *m)
{
    size_t bytes = 0;
    if (m->task.len == 0)
        return "task is missing: name the task to call";
    if (m->task.len > CALL_TASK_MAX || m->handler.len > CALL_HANDLER_MAX)
        return "task or handler is longer than a name may be (128 and 256 bytes)";
    if (!slice_is_utf8(pb_slice(m->task)) || !slice_is_utf8(pb_slice(m->handler)) || !slice_is_utf8(pb_slice(m->node)))
        return "task, handler or node is not UTF-8";
    if (m->strategy != GRID__V1__STRATEGY__STRATEGY_UNSPECIFIED && m->strategy != GRID__V1__STRATEGY__STRATEGY_ROUND_ROBIN &&
        m->strategy != GRID__V1__STRATEGY__STRATEGY_LOCAL)
        return "strategy is none of the enum's: use STRATEGY_ROUND_ROBIN or STRATEGY_LOCAL";
    if (m->n_metadata > CALL_METADATA_MAX)
        return "metadata has more than 64 entries";
    for (size_t i = 0; i < m->n_metadata; i++)
        bytes += m->metadata[i]->key.len + m->metadata[i]->value.len;
    return bytes > CALL_METADATA_BYTES ? "metadata is larger than 8 KiB" : NULL;
}

/* A map: of one key the last counts, as protobuf has it; protobuf-c keeps them all. */
static void put_metadata(struct http_header *headers, size_t *count, struct slice key, struct slice value)
{
    for (size_t i = 0; i < *count; i++)
        if (slice_equal(headers[i].name, key)) {
            headers[i].value = value;
            return;
        }
    headers[(*count)++] = (struct http_header){key, value};
}

static int take_metadata(const Grid__V1__CallRequest *m, struct invocation *inv)
{
    struct http_header *headers = m->n_metadata ? arena_calloc(inv->arena, m->n_metadata, sizeof *headers) : NULL;
    if (m->n_metadata && !headers)
        return GRID_ENOMEM;
    inv->metadata_count = 0;
    for (size_t i = 0; i < m->n_metadata; i++)
        put_metadata(headers, &inv->metadata_count, pb_slice(m->metadata[i]->key), pb_slice(m->metadata[i]->value));
    inv->metadata = headers;
    return 0;
}

static void take_input(const Grid__V1__CallRequest *m, struct invocation *inv, bool json)
{
    if (m->input_case == GRID__V1__CALL_REQUEST__INPUT__NOT_SET)
        inv->payload = slice_of(NULL, 0);
    else
        inv->payload = json ? pb_slice(m->json) : pb_slice(m->payload);
    inv->content_type = pb_slice(m->content_type);
    if (inv->content_type.size == 0 && inv->payload.size > 0) /* nothing at all has no type */
        inv->content_type = json ? SLICE("application/json") : SLICE("application/octet-stream");
}

int call_request_decode(struct slice packed, struct invocation *inv, bool *json, const char **why)
{
    *why = fields_fault(packed);
    if (*why)
        return GRID_EPROTO;
    const Grid__V1__CallRequest *m = pb_unpack(&grid__v1__call_request__descriptor, inv->arena, packed);
    *why = m ? request_fault(m) : "the message is not a CallRequest";
    if (*why)
        return GRID_EPROTO;
    *json = m->input_case == GRID__V1__CALL_REQUEST__INPUT_JSON;
    inv->task = pb_slice(m->task);
    inv->handler = pb_slice(m->handler);
    take_input(m, inv, *json);
    inv->key = pb_slice(m->key);
    inv->node = pb_slice(m->node);
    inv->idempotency_key = pb_slice(m->idempotency_key);
    inv->strategy = m->strategy == GRID__V1__STRATEGY__STRATEGY_LOCAL ? INVOCATION_LOCAL : INVOCATION_ROUND_ROBIN;
    if (take_metadata(m, inv) == 0)
        return 0;
    *why = "the node is out of memory";
    return GRID_EPROTO;
}
