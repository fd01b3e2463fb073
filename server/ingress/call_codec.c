/* Answers are written by hand, straight into the frame, since they are the hot path and one of their fields (the node) is packed
 * already. Protocol buffers encoding: length-delimited fields and varints. */
#include "server/ingress/call_codec.h"

#include "api/pb.h"
#include "base/err.h"

enum { WIRE_VARINT = 0, WIRE_BYTES = 2 };

/* Field numbers here are below 16: one byte of tag. Empty fields are left out, as proto3 has it. */
static size_t bytes_size(struct slice s)
{
    return s.size == 0 ? 0 : 1 + pb_varint_size(s.size) + s.size;
}

static uint8_t *put_bytes_always(uint8_t *at, unsigned field, struct slice s)
{
    *at++ = (uint8_t) (field << 3 | WIRE_BYTES);
    at = pb_varint_put(at, s.size);
    if (s.size > 0)
        memcpy(at, s.data, s.size);
    return at + s.size;
}

static uint8_t *put_bytes(uint8_t *at, unsigned field, struct slice s)
{
    return s.size == 0 ? at : put_bytes_always(at, field, s);
}

static size_t number_size(uint64_t value)
{
    return value == 0 ? 0 : 1 + pb_varint_size(value);
}

static uint8_t *put_number(uint8_t *at, unsigned field, uint64_t value)
{
    if (value == 0)
        return at;
    *at++ = (uint8_t) (field << 3 | WIRE_VARINT);
    return pb_varint_put(at, value);
}

static size_t error_size(const struct task_error *e)
{
    size_t size = bytes_size(e->type) + bytes_size(e->message);
    for (size_t i = 0; i < e->stack_count; i++)
        size += 1 + pb_varint_size(e->stack[i].size) + e->stack[i].size;
    return size;
}

static uint8_t *put_error(uint8_t *at, unsigned field, const struct task_error *e)
{
    *at++ = (uint8_t) (field << 3 | WIRE_BYTES);
    at = pb_varint_put(at, error_size(e));
    at = put_bytes(at, 1, e->type);
    at = put_bytes(at, 2, e->message);
    for (size_t i = 0; i < e->stack_count; i++)
        at = put_bytes_always(at, 3, e->stack[i]);
    return at;
}

size_t call_response_size(const struct call_answer *a)
{
    size_t size = 1 + pb_varint_size(a->output.size) + a->output.size; /* a oneof's member is there even when it is empty */
    size += bytes_size(a->content_type) + number_size((uint64_t) a->status);
    if (a->error)
        size += 1 + pb_varint_size(error_size(a->error)) + error_size(a->error);
    return size + bytes_size(a->node_packed) + bytes_size(a->request_id) + bytes_size(a->release) + number_size(a->attempts);
}

void call_response_write(const struct call_answer *a, uint8_t *at)
{
    at = put_bytes_always(at, a->json ? 2 : 1, a->output);
    at = put_bytes(at, 3, a->content_type);
    at = put_number(at, 4, (uint64_t) a->status);
    if (a->error)
        at = put_error(at, 5, a->error);
    at = put_bytes(at, 6, a->node_packed);
    at = put_bytes(at, 7, a->request_id);
    at = put_bytes(at, 8, a->release);
    put_number(at, 9, a->attempts);
}

static int chunk_begin(struct buf *out, unsigned field, size_t inner, uint8_t **at)
{
    size_t size = 1 + pb_varint_size(inner) + inner;
    if (buf_reserve(out, size) != 0)
        return GRID_ENOMEM;
    *at = out->data + out->size;
    out->size += size;
    *(*at)++ = (uint8_t) (field << 3 | WIRE_BYTES);
    *at = pb_varint_put(*at, inner);
    return 0;
}

int call_chunk_head(const struct call_answer *a, struct buf *out)
{
    uint8_t *at;
    size_t inner = bytes_size(a->content_type) + number_size((uint64_t) a->status) + bytes_size(a->node_packed) +
                   bytes_size(a->request_id) + bytes_size(a->release) + number_size(a->attempts) + bytes_size(a->function_error);
    int err = chunk_begin(out, 1, inner, &at);
    if (err != 0)
        return err;
    at = put_bytes(at, 1, a->content_type);
    at = put_number(at, 2, (uint64_t) a->status);
    at = put_bytes(at, 3, a->node_packed);
    at = put_bytes(at, 4, a->request_id);
    at = put_bytes(at, 5, a->release);
    at = put_number(at, 6, a->attempts);
    put_bytes(at, 7, a->function_error);
    return 0;
}

int call_chunk_data(struct slice bytes, struct buf *out)
{
    uint8_t *at;
    int err = chunk_begin(out, 2, bytes.size, &at);
    if (err == 0 && bytes.size > 0)
        memcpy(at, bytes.data, bytes.size);
    return err;
}

int call_chunk_end(const struct task_error *error, struct buf *out)
{
    uint8_t *at;
    size_t inner = error ? 1 + pb_varint_size(error_size(error)) + error_size(error) : 0;
    int err = chunk_begin(out, 3, inner, &at);
    if (err == 0 && error)
        put_error(at, 1, error);
    return err;
}
