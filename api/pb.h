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

/* Whether a packed message of the type has at most so many fields, those of messages within it among them: to be asked before a decoder takes some 100
 * bytes for each, which may have been sent in two. 0; GRID_ELIMIT when it has more; GRID_EPROTO when it is malformed. */
int pb_fields_within(const ProtobufCMessageDescriptor *type, struct slice packed, unsigned max);

enum { PB_FIELDS_MAX = 64 * 1024 };

/* Decodes into the arena; NULL when malformed, over the arena's cap, or of more than PB_FIELDS_MAX fields. */
void *pb_unpack(const ProtobufCMessageDescriptor *type, struct arena *a, struct slice packed);

/* Appends the packed message. 0, GRID_ELIMIT or GRID_ENOMEM. */
int pb_append(struct buf *out, const ProtobufCMessage *message);

#endif
