/* api/pb_reader.h: reads a message of protobuf's wire format field after field, each by its own call, in the order of their numbers, which is that in which encoders put
 * them. What comes in another order, twice, or is not known here is left over, and pb_reader_done tells: the general decoder is to judge such bytes. Takes no
 * memory; what is read points into the bytes. A reader that has met malformed bytes finds nothing more. */
#ifndef GRID_API_PB_READER_H
#define GRID_API_PB_READER_H

#include "api/pb.h"

/* Of a field's number (below 2048) and its type. */
#define PB_TAG_NUMBER(field) ((field) << 3)
#define PB_TAG_FIXED64(field) ((field) << 3 | 1)
#define PB_TAG_BYTES(field) ((field) << 3 | 2)

enum { PB_LENGTH_MAX = 4 }; /* bytes of a length */

struct pb_reader {
    const uint8_t *at, *end;
    bool fine;
};

static inline struct pb_reader pb_reader_of(struct slice bytes)
{
    return (struct pb_reader){bytes.data, bytes.size > 0 ? bytes.data + bytes.size : bytes.data, true};
}

/* All was read, and well-formed. */
static inline bool pb_reader_done(const struct pb_reader *r)
{
    return r->fine && r->at == r->end;
}

/* Takes the tag if it is the next one. */
static inline bool pb_reader_tag(struct pb_reader *r, unsigned tag)
{
    size_t left = (size_t) (r->end - r->at), size = tag < 0x80 ? 1 : 2;
    bool next = left >= size && (tag < 0x80 ? r->at[0] == tag : r->at[0] == ((tag & 0x7f) | 0x80) && r->at[1] == tag >> 7);
    if (next)
        r->at += size;
    return next;
}

static inline uint64_t pb_reader_varint(struct pb_reader *r, unsigned max_bytes)
{
    uint64_t number;
    if (r->at < r->end && *r->at < 0x80) /* most are short */
        return *r->at++;
    const uint8_t *rest = pb_varint_read(r->at, r->end, max_bytes, &number);
    r->fine &= rest != NULL;
    r->at = rest ? rest : r->end;
    return rest ? number : 0;
}

/* The number of the field if that is the next one; 0 if not. Malformed above max. */
static inline uint64_t pb_reader_number(struct pb_reader *r, unsigned tag, uint64_t max)
{
    if (!pb_reader_tag(r, tag))
        return 0;
    uint64_t number = pb_reader_varint(r, PB_VARINT_MAX);
    r->fine &= number <= max;
    return number;
}

/* What is inside the next field, if it is this one; empty and false if not. */
static inline bool pb_reader_inside(struct pb_reader *r, unsigned tag, struct slice *inside)
{
    *inside = slice_of(NULL, 0);
    if (!pb_reader_tag(r, tag))
        return false;
    size_t size = (size_t) pb_reader_varint(r, PB_LENGTH_MAX);
    r->fine &= size <= (size_t) (r->end - r->at);
    if (!r->fine)
        return false;
    *inside = slice_of(r->at, size);
    r->at += size;
    return true;
}

#endif
