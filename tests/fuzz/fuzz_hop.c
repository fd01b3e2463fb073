/* What a node reads from another: a CallResponse, a CallChunk or a load that is understood is packed again from what was understood, and
 * must then be understood as the same. What it sends, with any bytes as task, payload and metadata, is read back as the same. */
// links: server_route grid_api
// covers: server/route/hop.c
#include <stdlib.h>

#include "base/err.h"
#include "grid/v1/invoke.pb-c.h"
#include "server/route/hop.h"
#include "server/route/route_load.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static ProtobufCBinaryData bytes_of(struct slice s)
{
    return (ProtobufCBinaryData){.len = s.size, .data = (uint8_t *) (uintptr_t) s.data};
}

static struct slice pack(struct arena *arena, const ProtobufCMessage *message)
{
    uint8_t *packed = arena_alloc(arena, protobuf_c_message_get_packed_size(message) + 1);
    if (!packed)
        abort();
    return slice_of(packed, protobuf_c_message_pack(message, packed));
}

static struct slice encode_response(struct arena *arena, const struct hop_answer *a)
{
    Grid__V1__CallResponse r = GRID__V1__CALL_RESPONSE__INIT;
    Grid__V1__FunctionError error = GRID__V1__FUNCTION_ERROR__INIT;
    r.status = a->status;
    r.content_type = bytes_of(a->content_type);
    r.release = bytes_of(a->release);
    error.type = bytes_of(a->function_error);
    if (a->function_error.size > 0)
        r.error = &error;
    r.output_case = GRID__V1__CALL_RESPONSE__OUTPUT_PAYLOAD;
    r.payload = bytes_of(a->body);
    return pack(arena, &r.base);
}

static struct slice encode_chunk(struct arena *arena, enum hop_part part, const struct hop_answer *a)
{
    Grid__V1__CallChunk c = GRID__V1__CALL_CHUNK__INIT;
    Grid__V1__CallHead head = GRID__V1__CALL_HEAD__INIT;
    Grid__V1__CallEnd end = GRID__V1__CALL_END__INIT;
    head.status = a->status;
    head.content_type = bytes_of(a->content_type);
    head.function_error = bytes_of(a->function_error);
    head.release = bytes_of(a->release);
    if (part == HOP_HEAD) {
        c.part_case = GRID__V1__CALL_CHUNK__PART_HEAD;
        c.head = &head;
    } else if (part == HOP_DATA) {
        c.part_case = GRID__V1__CALL_CHUNK__PART_DATA;
        c.data = bytes_of(a->body);
    } else {
        c.part_case = GRID__V1__CALL_CHUNK__PART_END;
        c.end = &end;
    }
    return pack(arena, &c.base);
}

static void expect_same(const struct hop_answer *a, const struct hop_answer *b)
{
    if (a->status != b->status || !slice_equal(a->content_type, b->content_type) ||
        !slice_equal(a->function_error, b->function_error) || !slice_equal(a->release, b->release) || !slice_equal(a->body, b->body))
        abort();
}

static void check_response(struct arena *arena, struct slice message)
{
    struct hop_answer first, second;
    if (hop_unpack_response(arena, message, &first) != 0)
        return;
    if (hop_unpack_response(arena, encode_response(arena, &first), &second) != 0)
        abort();
    expect_same(&first, &second);
}

static void check_chunk(struct arena *arena, struct slice message)
{
    struct hop_answer first, second;
    enum hop_part part, again;
    if (hop_unpack_chunk(arena, message, &part, &first) != 0)
        return;
    if (hop_unpack_chunk(arena, encode_chunk(arena, part, &first), &again, &second) != 0 || part != again)
        abort();
    expect_same(&first, &second);
}

/* Rounded once, a load stays as it is. */
static void check_load(struct slice value)
{
    struct route_load first, second;
    char text[ROUTE_LOAD_TEXT], again[ROUTE_LOAD_TEXT];
    if (!route_load_parse(value, &first))
        return;
    struct slice told = route_load_format(&first, text);
    if (!route_load_parse(told, &second) || !slice_equal(route_load_format(&second, again), told))
        abort();
    if ((first.room == 0) != (second.room == 0))
        abort();
}

static void expect_bytes(struct slice a, ProtobufCBinaryData b)
{
    if (!slice_equal(a, slice_of(b.data, b.len)))
        abort();
}

static void check_request(struct arena *arena, struct slice bytes)
{
    struct http_header metadata = {slice_first(bytes, 3), slice_from(bytes, 3)}, out[HOP_METADATA_MAX];
    struct invocation inv = {
        .arena = arena, .task = slice_first(bytes, 9), .payload = bytes, .metadata = &metadata, .traceparent = bytes};
    struct slice packed;
    inv.metadata_count = bytes.size % 2;
    if (hop_metadata(&inv, SLICE("node"), out) != (bytes.size > 0 ? 4u : 3u) || hop_pack_request(&inv, &packed) != 0)
        abort();
    Grid__V1__CallRequest *r = grid__v1__call_request__unpack(NULL, packed.size, packed.data);
    if (!r || r->n_metadata != inv.metadata_count)
        abort();
    expect_bytes(inv.task, r->task);
    expect_bytes(inv.payload, r->payload);
    if (r->n_metadata > 0)
        expect_bytes(metadata.value, r->metadata[0]->value);
    grid__v1__call_request__free_unpacked(r, NULL);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct arena *arena = arena_create(4096, 0);
    if (!arena)
        return 0;
    check_response(arena, slice_of(data, size));
    check_chunk(arena, slice_of(data, size));
    check_request(arena, slice_of(data, size));
    check_load(slice_of(data, size));
    arena_destroy(arena);
    return 0;
}
