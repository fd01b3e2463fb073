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

/* ---- varints: seven bits a byte, the least first ---- */

enum { PB_VARINT_MAX = 10 };

static inline size_t pb_varint_size(uint64_t number)
{
    size_t size = 1;
    for (; number >= 0x80; number >>= 7)
        size++;
    return size;
}

/* At most PB_VARINT_MAX bytes at `at`; returns what is behind them. */
static inline uint8_t *pb_varint_put(uint8_t *at, uint64_t number)
{
    for (; number >= 0x80; number >>= 7)
        *at++ = (uint8_t) (number | 0x80);
    *at++ = (uint8_t) number;
    return at;
}

/* The one that stands at `at`; returns what is behind it, or NULL when it is cut off, of more than max_bytes, or of more than 64 bits. */
static inline const uint8_t *pb_varint_read(const uint8_t *at, const uint8_t *end, unsigned max_bytes, uint64_t *number)
{
    *number = 0;
    for (unsigned i = 0; i < max_bytes && at < end; i++) {
        uint8_t byte = *at++;
        *number |= (uint64_t) (byte & 0x7f) << 7 * i;
        if (byte < 0x80)
            return i < PB_VARINT_MAX - 1 || byte <= 1 ? at : NULL;
    }
    return NULL;
}

/* Takes one off the front. False, and `in` is as it was, when there is none. */
static inline bool pb_varint_take(struct slice *in, uint64_t *number)
{
    const uint8_t *end = in->size > 0 ? in->data + in->size : in->data;
    const uint8_t *rest = pb_varint_read(in->data, end, PB_VARINT_MAX, number);
    if (rest)
        *in = slice_from(*in, (size_t) (rest - in->data));
    return rest != NULL;
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
