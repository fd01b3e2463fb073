/* Records as they lie in segments and come from peers: what unpacks must pack and unpack to the same content. */
// links: grid_fs
// covers: fs/record.c
#include <stdlib.h>

#include "base/err.h"
#include "fs/record.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(bool holds)
{
    if (!holds)
        abort();
}

static void try_unpack(const struct record_packed *packed)
{
    struct record_packer packer = {0};
    struct record_packed again;
    struct object_id id, other = {{0}};
    enum object_type type, second;
    struct buf content, unpacked;
    buf_init(&content, OBJECT_LISTING_MAX);
    buf_init(&unpacked, OBJECT_LISTING_MAX);
    if (record_unpack(packed, &type, &content) == 0) {
        check(content.size + 1 == packed->raw_size && object_id_compute(type, buf_slice(&content), &id) == 0);
        check(record_verify(packed, &id) == 0 && record_verify(packed, &other) == GRID_ECORRUPT);
        check(record_pack(&packer, type, buf_slice(&content), &again) == 0);
        check(record_unpack(&again, &second, &unpacked) == 0 && second == type);
        check(slice_equal(buf_slice(&content), buf_slice(&unpacked)));
    }
    record_packer_dispose(&packer);
    buf_dispose(&content);
    buf_dispose(&unpacked);
}

static void try_segment(struct slice in)
{
    struct record_header header, second;
    struct record_packed packed;
    struct buf again;
    if (record_decode(in, &header, &packed) != 0)
        return;
    buf_init(&again, 0);
    check(record_append(&again, &header.id, &packed) == 0);
    check(slice_equal(buf_slice(&again), slice_first(in, again.size)));
    check(record_decode(buf_slice(&again), &second, &packed) == 0 && second.raw_size == header.raw_size);
    try_unpack(&packed);
    buf_dispose(&again);
}

/* As from a peer: codec, raw size, then data. */
static void try_peer(struct slice in)
{
    if (in.size < 5)
        return;
    uint32_t raw = (uint32_t) in.data[1] << 24 | (uint32_t) in.data[2] << 16 | (uint32_t) in.data[3] << 8 | in.data[4];
    struct record_packed packed = {raw, (enum record_codec) in.data[0], slice_from(in, 5)};
    try_unpack(&packed);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    try_segment(slice_of(data, size));
    try_peer(slice_of(data, size));
    return 0;
}
