/* Packing by lz4 and the record header with its two checksums: one of the header, so that a scan may trust its sizes, one of the data. */
#include "fs/record.h"

#include <stdlib.h>

#include <lz4.h>

#include "base/crc32c.h"
#include "base/err.h"

/* Below this nothing is worth compressing. */
#define PACK_MIN_BYTES 64u
/* lz4 makes at most 255 bytes of one. */
#define LZ4_MAX_RATIO 255u

static const uint8_t record_magic[4] = {'G', 'O', 'B', '1'};

/* Offsets in the header. */
enum { AT_MAGIC = 0, AT_HEADER_CRC = 4, AT_DATA_CRC = 8, AT_RAW = 12, AT_STORED = 16, AT_CODEC = 20, AT_ZERO = 21, AT_ID = 24 };

void record_packer_dispose(struct record_packer *p)
{
    free(p->scratch);
    *p = (struct record_packer){0};
}

static int packer_reserve(struct record_packer *p, size_t size)
{
    if (size <= p->capacity)
        return 0;
    uint8_t *scratch = realloc(p->scratch, size);
    if (!scratch)
        return GRID_ENOMEM;
    p->scratch = scratch;
    p->capacity = size;
    return 0;
}

int record_pack(struct record_packer *p, enum object_type type, struct slice content, struct record_packed *out)
{
    int packed = 0;
    if (content.size > object_type_limit(type))
        return GRID_ELIMIT;
    int err = packer_reserve(p, content.size + 1);
    if (err != 0)
        return err;
    p->scratch[0] = (uint8_t) type;
    if (content.size >= PACK_MIN_BYTES)
        packed = LZ4_compress_default((const char *) content.data, (char *) p->scratch + 1, (int) content.size,
                                      (int) (content.size - content.size / 16));
    if (packed <= 0 && content.size > 0)
        memcpy(p->scratch + 1, content.data, content.size);
    size_t stored = packed > 0 ? (size_t) packed : content.size;
    *out = (struct record_packed){(uint32_t) content.size + 1, packed > 0 ? RECORD_LZ4 : RECORD_RAW, slice_of(p->scratch, stored + 1)};
    return 0;
}

/* Sizes that a packer could have made, of a type that exists. */
static bool packed_sound(const struct record_packed *p)
{
    if (p->data.size < 1 || p->raw_size < 1 || !object_type_valid(p->data.data[0]) ||
        p->raw_size - 1 > object_type_limit((enum object_type) p->data.data[0]))
        return false;
    if (p->codec == RECORD_RAW)
        return p->data.size == p->raw_size;
    return p->codec == RECORD_LZ4 && p->data.size > 1 && p->data.size < p->raw_size &&
           (p->raw_size - 1) / LZ4_MAX_RATIO <= p->data.size - 1;
}

static int unpack_lz4(const struct record_packed *packed, struct buf *out)
{
    size_t size = packed->raw_size - 1;
    uint8_t *content = malloc(size);
    if (!content)
        return GRID_ENOMEM;
    int got = LZ4_decompress_safe((const char *) packed->data.data + 1, (char *) content, (int) packed->data.size - 1, (int) size);
    int err = got >= 0 && (size_t) got == size ? buf_append(out, slice_of(content, size)) : GRID_EPROTO;
    free(content);
    return err;
}

int record_unpack(const struct record_packed *packed, enum object_type *type, struct buf *out)
{
    if (!packed_sound(packed))
        return GRID_EPROTO;
    *type = (enum object_type) packed->data.data[0];
    return packed->codec == RECORD_LZ4 ? unpack_lz4(packed, out) : buf_append(out, slice_from(packed->data, 1));
}

int record_verify(const struct record_packed *packed, const struct object_id *id)
{
    struct object_id real;
    enum object_type type;
    struct buf content;
    buf_init(&content, OBJECT_LISTING_MAX);
    int err = record_unpack(packed, &type, &content);
    if (err == 0)
        err = object_id_compute(type, buf_slice(&content), &real);
    if (err == 0 && !object_id_equal(&real, id))
        err = GRID_ECORRUPT;
    buf_dispose(&content);
    return err;
}

static void put_u32(uint8_t *at, uint32_t value)
{
    for (unsigned i = 0; i < 4; i++)
        at[i] = (uint8_t) (value >> (24 - 8 * i));
}

static uint32_t get_u32(const uint8_t *at)
{
    return (uint32_t) at[0] << 24 | (uint32_t) at[1] << 16 | (uint32_t) at[2] << 8 | at[3];
}

/* Of all behind the checksum itself. */
static uint32_t header_crc(const uint8_t *header)
{
    return crc32c(0, slice_of(header + AT_DATA_CRC, RECORD_HEADER_BYTES - AT_DATA_CRC));
}

void record_header_encode(const struct record_header *h, uint8_t out[RECORD_HEADER_BYTES])
{
    memset(out, 0, RECORD_HEADER_BYTES);
    memcpy(out + AT_MAGIC, record_magic, sizeof record_magic);
    put_u32(out + AT_DATA_CRC, h->data_crc);
    put_u32(out + AT_RAW, h->raw_size);
    put_u32(out + AT_STORED, h->stored_size);
    out[AT_CODEC] = (uint8_t) h->codec;
    memcpy(out + AT_ID, h->id.bytes, OBJECT_ID_BYTES);
    put_u32(out + AT_HEADER_CRC, header_crc(out));
}

static bool header_sound(const struct record_header *h)
{
    if (h->raw_size < 1 || h->raw_size > OBJECT_LISTING_MAX + 1)
        return false;
    if (h->codec == RECORD_RAW)
        return h->stored_size == h->raw_size;
    return h->codec == RECORD_LZ4 && h->stored_size > 1 && h->stored_size < h->raw_size;
}

int record_header_decode(struct slice in, struct record_header *out)
{
    static const uint8_t zero[AT_ID - AT_ZERO];
    if (in.size < RECORD_HEADER_BYTES)
        return GRID_EAGAIN;
    if (memcmp(in.data, record_magic, sizeof record_magic) != 0 || get_u32(in.data + AT_HEADER_CRC) != header_crc(in.data) ||
        memcmp(in.data + AT_ZERO, zero, sizeof zero) != 0)
        return GRID_ECORRUPT;
    *out = (struct record_header){.raw_size = get_u32(in.data + AT_RAW),
                                  .stored_size = get_u32(in.data + AT_STORED),
                                  .data_crc = get_u32(in.data + AT_DATA_CRC),
                                  .codec = (enum record_codec) in.data[AT_CODEC]};
    memcpy(out->id.bytes, in.data + AT_ID, OBJECT_ID_BYTES);
    return header_sound(out) ? 0 : GRID_ECORRUPT;
}

int record_append(struct buf *out, const struct object_id *id, const struct record_packed *packed)
{
    uint8_t header[RECORD_HEADER_BYTES];
    struct record_header h = {*id, packed->raw_size, (uint32_t) packed->data.size, crc32c(0, packed->data), packed->codec};
    record_header_encode(&h, header);
    int err = buf_reserve(out, sizeof header + packed->data.size);
    if (err == 0)
        err = buf_append(out, slice_of(header, sizeof header));
    return err == 0 ? buf_append(out, packed->data) : err;
}

int record_decode(struct slice in, struct record_header *header, struct record_packed *packed)
{
    int err = record_header_decode(in, header);
    if (err != 0)
        return err;
    struct slice data = slice_from(in, RECORD_HEADER_BYTES);
    if (data.size < header->stored_size)
        return GRID_EAGAIN;
    data = slice_first(data, header->stored_size);
    if (crc32c(0, data) != header->data_crc)
        return GRID_ECORRUPT;
    *packed = (struct record_packed){header->raw_size, header->codec, data};
    return 0;
}
