/* api/pb.h: between protobuf-c's types and ours. Strings are bytes in the generated code (cmake/BytesProto.cmake). */
#ifndef GRID_API_PB_H
#define GRID_API_PB_H

#include <protobuf-c/protobuf-c.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/slice.h"

static inline struct slice pb_slice(ProtobufCBinaryData b)
{
    return slice_of(b.data, b.len);
}

/* Borrows: the message must not outlive the slice. */
static inline ProtobufCBinaryData pb_bytes(struct slice s)
{
    return (ProtobufCBinaryData){.len = s.size, .data = (uint8_t *) (uintptr_t) s.data};
}

static inline ProtobufCBinaryData pb_str(const char *str)
{
    return pb_bytes(slice_of_str(str));
}

/* An allocator that takes from an arena and never frees; zeroed, since protobuf-c leaves unknown_fields as it finds them. The
 * arena's cap bounds what a message may make us take. */
ProtobufCAllocator pb_arena_allocator(struct arena *a);

/* Decodes into the arena; NULL when malformed or over the arena's cap. */
void *pb_unpack(const ProtobufCMessageDescriptor *type, struct arena *a, struct slice packed);

/* Appends the packed message. 0, GRID_ELIMIT or GRID_ENOMEM. */
int pb_append(struct buf *out, const ProtobufCMessage *message);

#endif
