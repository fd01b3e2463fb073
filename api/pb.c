/* protobuf-c over arenas and buffers. */
#include "api/pb.h"

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

void *pb_unpack(const ProtobufCMessageDescriptor *type, struct arena *a, struct slice packed)
{
    ProtobufCAllocator allocator = pb_arena_allocator(a);
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
