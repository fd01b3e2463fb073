/* Translates between struct invocation and the messages of grid.v1.Invoke. */
#include "server/route/hop.h"

#include <string.h>

#include "api/pb.h"
#include "base/err.h"
#include "grid/v1/invoke.pb-c.h"
#include "net/http1.h"

enum { RELEASE_DIGITS = 64, FIELDS_MAX = 256, HEADERS_MAX = 64 * 1024 };

static int metadata_pack(struct invocation *inv, Grid__V1__CallRequest *request)
{
    if (inv->metadata_count == 0)
        return 0;
    Grid__V1__StringPair *pairs = arena_alloc(inv->arena, inv->metadata_count * sizeof *pairs);
    Grid__V1__StringPair **list = arena_alloc(inv->arena, inv->metadata_count * sizeof(Grid__V1__StringPair *));
    if (!pairs || !list)
        return GRID_ENOMEM;
    for (size_t i = 0; i < inv->metadata_count; i++) {
        grid__v1__string_pair__init(&pairs[i]);
        pairs[i].key = pb_bytes(inv->metadata[i].name);
        pairs[i].value = pb_bytes(inv->metadata[i].value);
        list[i] = &pairs[i];
    }
    request->metadata = list;
    request->n_metadata = inv->metadata_count;
    return 0;
}

int hop_pack_request(struct invocation *inv, struct slice *out)
{
    Grid__V1__CallRequest request = GRID__V1__CALL_REQUEST__INIT;
    request.task = pb_bytes(inv->task);
    request.handler = pb_bytes(inv->handler);
    request.input_case = GRID__V1__CALL_REQUEST__INPUT_PAYLOAD;
    request.payload = pb_bytes(inv->payload);
    request.content_type = pb_bytes(inv->content_type);
    request.strategy = GRID__V1__STRATEGY__STRATEGY_LOCAL;
    request.key = pb_bytes(inv->key);
    request.idempotency_key = pb_bytes(inv->idempotency_key);
    if (metadata_pack(inv, &request) != 0)
        return GRID_ENOMEM;
    uint8_t *packed = arena_alloc(inv->arena, grid__v1__call_request__get_packed_size(&request) + 1);
    if (!packed)
        return GRID_ENOMEM;
    *out = slice_of(packed, grid__v1__call_request__pack(&request, packed));
    return 0;
}

size_t hop_metadata(const struct invocation *inv, struct slice from, struct http_header out[HOP_METADATA_MAX])
{
    size_t count = 0;
    out[count++] = (struct http_header){SLICE("grid-hops"), SLICE("1")};
    out[count++] = (struct http_header){SLICE("grid-request-id"), slice_of_str(inv->id)};
    out[count++] = (struct http_header){SLICE("grid-from"), from};
    if (inv->traceparent.size > 0)
        out[count++] = (struct http_header){SLICE("traceparent"), inv->traceparent};
    return count;
}

/* What a task's answer may end with: no interim status, after which a client would wait for another. */
static bool status_valid(int32_t status)
{
    return status >= 200 && status <= 999;
}

/* They become headers of the answer: no more, and nothing else, than a task's own head may hold. */
static bool headers_valid(ProtobufCBinaryData content_type, ProtobufCBinaryData function_error)
{
    return content_type.len <= HEADERS_MAX && function_error.len <= HEADERS_MAX - content_type.len && http1_value_valid(pb_slice(content_type)) &&
           http1_value_valid(pb_slice(function_error));
}

/* It becomes a header of the answer. */
static bool release_valid(ProtobufCBinaryData release)
{
    for (size_t i = 0; i < release.len; i++)
        if (!memchr("0123456789abcdef", release.data[i], 16))
            return false;
    return release.len == 0 || release.len == RELEASE_DIGITS;
}

int hop_unpack_response(struct arena *arena, struct slice message, struct hop_answer *out)
{
    if (pb_fields_within(&grid__v1__call_response__descriptor, message, FIELDS_MAX) != 0)
        return GRID_EPROTO;
    const Grid__V1__CallResponse *r = pb_unpack(&grid__v1__call_response__descriptor, arena, message);
    if (!r || !status_valid(r->status) || !release_valid(r->release) ||
        !headers_valid(r->content_type, r->error ? r->error->type : (ProtobufCBinaryData){0}))
        return GRID_EPROTO;
    *out = (struct hop_answer){.status = r->status, .content_type = pb_slice(r->content_type), .release = pb_slice(r->release)};
    if (r->error)
        out->function_error = pb_slice(r->error->type);
    if (r->output_case == GRID__V1__CALL_RESPONSE__OUTPUT_PAYLOAD)
        out->body = pb_slice(r->payload);
    else if (r->output_case == GRID__V1__CALL_RESPONSE__OUTPUT_JSON)
        out->body = pb_slice(r->json);
    return 0;
}

static int head_of(const Grid__V1__CallHead *head, struct hop_answer *out)
{
    if (!status_valid(head->status) || !release_valid(head->release) || !headers_valid(head->content_type, head->function_error))
        return GRID_EPROTO;
    out->release = pb_slice(head->release);
    out->status = head->status;
    out->content_type = pb_slice(head->content_type);
    out->function_error = pb_slice(head->function_error);
    return 0;
}

int hop_unpack_chunk(struct arena *arena, struct slice message, enum hop_part *part, struct hop_answer *out)
{
    *out = (struct hop_answer){0};
    if (pb_fields_within(&grid__v1__call_chunk__descriptor, message, FIELDS_MAX) != 0)
        return GRID_EPROTO;
    const Grid__V1__CallChunk *chunk = pb_unpack(&grid__v1__call_chunk__descriptor, arena, message);
    if (!chunk)
        return GRID_EPROTO;
    switch (chunk->part_case) {
    case GRID__V1__CALL_CHUNK__PART_HEAD:
        *part = HOP_HEAD;
        return head_of(chunk->head, out);
    case GRID__V1__CALL_CHUNK__PART_DATA:
        *part = HOP_DATA;
        out->body = pb_slice(chunk->data);
        return 0;
    case GRID__V1__CALL_CHUNK__PART_END:
        *part = HOP_END;
        return 0;
    default:
        return GRID_EPROTO;
    }
}
