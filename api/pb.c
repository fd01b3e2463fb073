/* protobuf-c over arenas and buffers. */
#include "api/pb.h"

#include "base/err.h"

static void *arena_allocate(void *arena, size_t size)
{
    return arena_calloc(arena, 1, size);
}

static void arena_release(void *arena, void *pointer)
{
    (void) arena;
    (void) pointer;
}

ProtobufCAllocator pb_arena_allocator(struct arena *a)
{
    return (ProtobufCAllocator){.alloc = arena_allocate, .free = arena_release, .allocator_data = a};
}

/* Wire types of the encoding; groups (3 and 4) are not taken. */
enum { WIRE_VARINT = 0, WIRE_FIXED64 = 1, WIRE_BYTES = 2, WIRE_FIXED32 = 5 };

/* One field with its tag; `content` is what one of WIRE_BYTES holds. */
static bool take_field(struct slice *in, uint64_t *tag, struct slice *content)
{
    uint64_t size = 0;
    *content = slice_of(NULL, 0);
    if (!pb_varint_take(in, tag))
        return false;
    if ((*tag & 7) == WIRE_VARINT)
        return pb_varint_take(in, &size);
    if ((*tag & 7) == WIRE_FIXED64 || (*tag & 7) == WIRE_FIXED32)
        size = (*tag & 7) == WIRE_FIXED64 ? 8 : 4;
    else if ((*tag & 7) != WIRE_BYTES || !pb_varint_take(in, &size))
        return false;
    if (size > in->size)
        return false;
    if ((*tag & 7) == WIRE_BYTES)
        *content = slice_first(*in, (size_t) size);
    *in = slice_from(*in, (size_t) size);
    return true;
}

/* As deep as the types are, none of which holds itself. */
static int count_fields(const ProtobufCMessageDescriptor *type, struct slice in, unsigned *left)
{
    while (in.size > 0) {
        uint64_t tag;
        struct slice content;
        if (*left == 0)
            return GRID_ELIMIT;
        if (!take_field(&in, &tag, &content))
            return GRID_EPROTO;
        --*left;
        const ProtobufCFieldDescriptor *field = protobuf_c_message_descriptor_get_field(type, (unsigned) (tag >> 3));
        if (field && field->type == PROTOBUF_C_TYPE_MESSAGE && (tag & 7) == WIRE_BYTES) {
            int err = count_fields(field->descriptor, content, left);
            if (err != 0)
                return err;
        }
    }
    return 0;
}

int pb_fields_within(const ProtobufCMessageDescriptor *type, struct slice packed, unsigned max)
{
    return count_fields(type, packed, &max);
}

void *pb_unpack(const ProtobufCMessageDescriptor *type, struct arena *a, struct slice packed)
{
    ProtobufCAllocator allocator = pb_arena_allocator(a);
    if (pb_fields_within(type, packed, PB_FIELDS_MAX) != 0)
        return NULL;
    return protobuf_c_message_unpack(type, &allocator, packed.size, packed.data);
}

int pb_append(struct buf *out, const ProtobufCMessage *message)
{
    size_t size = protobuf_c_message_get_packed_size(message);
    int err = buf_reserve(out, size);
    if (err == 0 && size > 0) /* nothing may be reserved for a message without fields */
        out->size += protobuf_c_message_pack(message, out->data + out->size);
    return err;
}
