/* A header, rows of one size, a checksum over all before it. */
#include "fs/hint.h"

#include <endian.h>
#include <string.h>

#include "base/crc32c.h"
#include "base/err.h"
#include "fs/record.h"
#include "fs/segment.h"

static const uint8_t hint_magic[8] = {'G', 'R', 'I', 'D', 'H', 'N', 'T', 1};

static uint32_t get_u32(const uint8_t *at)
{
    uint32_t value;
    memcpy(&value, at, sizeof value);
    return be32toh(value);
}

static void put_u32(uint8_t *at, uint32_t value)
{
    value = htobe32(value);
    memcpy(at, &value, sizeof value);
}

int hint_begin(struct buf *out, uint32_t segment, uint32_t row_count, uint32_t covered)
{
    int err = buf_reserve(out, (size_t) hint_bytes(row_count));
    if (err == 0)
        err = buf_append(out, slice_of(hint_magic, sizeof hint_magic));
    if (err == 0)
        err = buf_append_u32be(out, segment);
    if (err == 0)
        err = buf_append_u32be(out, row_count);
    if (err == 0)
        err = buf_append_u32be(out, covered);
    return err == 0 ? buf_append_u32be(out, 0) : err;
}

int hint_add(struct buf *out, const struct hint_row *row)
{
    uint8_t bytes[HINT_ROW_BYTES];
    memcpy(bytes, row->id.bytes, OBJECT_ID_BYTES);
    put_u32(bytes + 32, row->offset);
    put_u32(bytes + 36, row->raw_size);
    put_u32(bytes + 40, row->stored_size);
    return buf_append(out, slice_of(bytes, sizeof bytes));
}

int hint_end(struct buf *out)
{
    return buf_append_u32be(out, crc32c(0, buf_slice(out)));
}

static bool row_fits(const struct hint_row *row, uint32_t covered)
{
    return row->offset >= SEGMENT_HEADER_BYTES && row->raw_size > 0 && row->raw_size <= OBJECT_LISTING_MAX + 1 && row->stored_size > 0 &&
           row->stored_size <= row->raw_size && (uint64_t) row->offset + RECORD_HEADER_BYTES + row->stored_size <= covered;
}

void hint_row_at(const struct hint *h, uint32_t index, struct hint_row *out)
{
    const uint8_t *at = h->rows.data + (size_t) index * HINT_ROW_BYTES;
    memcpy(out->id.bytes, at, OBJECT_ID_BYTES);
    out->offset = get_u32(at + 32);
    out->raw_size = get_u32(at + 36);
    out->stored_size = get_u32(at + 40);
}

int hint_open(struct slice in, struct hint *out)
{
    struct hint_row row;
    if (in.size < HINT_BYTES_MIN || memcmp(in.data, hint_magic, 7) != 0 || crc32c(0, slice_first(in, in.size - 4)) != get_u32(in.data + in.size - 4))
        return GRID_ECORRUPT;
    if (in.data[7] != hint_magic[7])
        return GRID_EUNSUPPORTED;
    *out = (struct hint){.segment = get_u32(in.data + 8), .row_count = get_u32(in.data + 12), .covered = get_u32(in.data + 16)};
    if (in.size != hint_bytes(out->row_count) || get_u32(in.data + 20) != 0)
        return GRID_ECORRUPT;
    out->rows = slice_of(in.data + HINT_HEADER_BYTES, (size_t) out->row_count * HINT_ROW_BYTES);
    for (uint32_t i = 0; i < out->row_count; i++) {
        hint_row_at(out, i, &row);
        if (!row_fits(&row, out->covered))
            return GRID_ECORRUPT;
    }
    return 0;
}
