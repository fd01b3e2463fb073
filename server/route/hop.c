/* Translates between struct invocation and the messages of grid.v1.Invoke. */
#include "server/route/hop.h"

#include <string.h>

#include "base/err.h"
#include "grid/v1/invoke.pb-c.h"

enum { RELEASE_DIGITS = 64 };

/* protobuf-c wants zeroed memory (it does not clear unknown fields itself) and frees nothing that lives in an arena. */
static void *arena_take(void *arena, size_t size)
{
    return arena_calloc(arena, 1, size ? size : 1);
}

static void arena_leave(void *arena, void *memory)
{
    (void) arena;
    (void) memory;
}

static ProtobufCAllocator allocator_of(struct arena *arena)
{
    return (ProtobufCAllocator){.alloc = arena_take, .free = arena_leave, .allocator_data = arena};
}

static ProtobufCBinaryData bytes_of(struct slice s)
{
    return (ProtobufCBinaryData){.len = s.size, .data = (uint8_t *) (uintptr_t) s.data};
}

static struct slice slice_of_bytes(ProtobufCBinaryData b)
{
    return slice_of(b.data, b.len);
}

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
        pairs[i].key = bytes_of(inv->metadata[i].name);
        pairs[i].value = bytes_of(inv->metadata[i].value);
        list[i] = &pairs[i];
    }
    request->metadata = list;
    request->n_metadata = inv->metadata_count;
    return 0;
}

int hop_pack_request(struct invocation *inv, struct slice *out)
{
    Grid__V1__CallRequest request = GRID__V1__CALL_REQUEST__INIT;
    request.task = bytes_of(inv->task);
    request.handler = bytes_of(inv->handler);
    request.input_case = GRID__V1__CALL_REQUEST__INPUT_PAYLOAD;
    request.payload = bytes_of(inv->payload);
    request.content_type = bytes_of(inv->content_type);
    request.strategy = GRID__V1__STRATEGY__STRATEGY_LOCAL;
    request.key = bytes_of(inv->key);
    request.idempotency_key = bytes_of(inv->idempotency_key);
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

static bool status_valid(int32_t status)
{
    return status >= 100 && status <= 999;
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
    ProtobufCAllocator allocator = allocator_of(arena);
    Grid__V1__CallResponse *r = grid__v1__call_response__unpack(&allocator, message.size, message.data);
    if (!r || !status_valid(r->status) || !release_valid(r->release))
        return GRID_EPROTO;
    *out = (struct hop_answer){.status = r->status, .content_type = slice_of_bytes(r->content_type), .release = slice_of_bytes(r->release)};
    if (r->error)
        out->function_error = slice_of_bytes(r->error->type);
    if (r->output_case == GRID__V1__CALL_RESPONSE__OUTPUT_PAYLOAD)
        out->body = slice_of_bytes(r->payload);
    else if (r->output_case == GRID__V1__CALL_RESPONSE__OUTPUT_JSON)
        out->body = slice_of_bytes(r->json);
    return 0;
}

static int head_of(const Grid__V1__CallHead *head, struct hop_answer *out)
{
    if (!status_valid(head->status) || !release_valid(head->release))
        return GRID_EPROTO;
    out->release = slice_of_bytes(head->release);
    out->status = head->status;
    out->content_type = slice_of_bytes(head->content_type);
    out->function_error = slice_of_bytes(head->function_error);
    return 0;
}

int hop_unpack_chunk(struct arena *arena, struct slice message, enum hop_part *part, struct hop_answer *out)
{
    ProtobufCAllocator allocator = allocator_of(arena);
    Grid__V1__CallChunk *chunk = grid__v1__call_chunk__unpack(&allocator, message.size, message.data);
    *out = (struct hop_answer){0};
    if (!chunk)
        return GRID_EPROTO;
    switch (chunk->part_case) {
    case GRID__V1__CALL_CHUNK__PART_HEAD:
        *part = HOP_HEAD;
        return head_of(chunk->head, out);
    case GRID__V1__CALL_CHUNK__PART_DATA:
        *part = HOP_DATA;
        out->body = slice_of_bytes(chunk->data);
        return 0;
    case GRID__V1__CALL_CHUNK__PART_END:
        *part = HOP_END;
        return 0;
    default:
        return GRID_EPROTO;
    }
}
