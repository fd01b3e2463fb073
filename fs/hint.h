/* fs/hint.h: what a segment holds, as bytes that stand beside it, so that a start need not read the segment. docs/formats/store.md. Pure; any thread. */
#ifndef GRID_FS_HINT_H
#define GRID_FS_HINT_H

#include "base/buf.h"
#include "fs/hash.h"

#define HINT_HEADER_BYTES 24u
#define HINT_ROW_BYTES 44u
#define HINT_BYTES_MIN (HINT_HEADER_BYTES + 4u)

/* Where an object's record lies in the segment, as in its header. */
struct hint_row {
    struct object_id id;
    uint32_t offset;
    uint32_t raw_size;
    uint32_t stored_size;
};

/* Writing: begin, a row for each object, end. `out` is empty at first. Errors of buf_append. */
int hint_begin(struct buf *out, uint32_t segment, uint32_t row_count, uint32_t covered);
int hint_add(struct buf *out, const struct hint_row *row);
int hint_end(struct buf *out);

struct hint {
    uint32_t segment;   /* number */
    uint32_t row_count;
    uint32_t covered;   /* bytes from the segment's start of which the hint tells */
    struct slice rows;  /* borrowed */
};

/* Checks all of it: checksum, sizes, and that every row lies within what is covered. 0; GRID_EUNSUPPORTED for another version's; GRID_ECORRUPT. */
int hint_open(struct slice in, struct hint *out);
/* `index` is below row_count. */
void hint_row_at(const struct hint *h, uint32_t index, struct hint_row *out);

/* The bytes that a hint of that many rows has. */
static inline uint64_t hint_bytes(uint32_t row_count)
{
    return HINT_BYTES_MIN + (uint64_t) row_count * HINT_ROW_BYTES;
}

#endif
