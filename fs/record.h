/* fs/record.h: an object as it lies in a segment and travels between nodes. docs/formats/store.md. No I/O, any thread. */
#ifndef GRID_FS_RECORD_H
#define GRID_FS_RECORD_H

#include "base/buf.h"
#include "fs/hash.h"

enum record_codec { RECORD_RAW = 0, RECORD_LZ4 = 1 };

/* The stored bytes are the type byte and behind it the content, as it is or as one lz4 block. This is what ObjectRecord carries. */
struct record_packed {
    uint32_t raw_size; /* bytes of type byte and content before compression */
    enum record_codec codec;
    struct slice data; /* the stored bytes */
};

#define RECORD_HEADER_BYTES 56u

/* What stands before the stored bytes in a segment. */
struct record_header {
    struct object_id id;
    uint32_t raw_size;
    uint32_t stored_size; /* bytes of data behind the header */
    uint32_t data_crc;
    enum record_codec codec;
};

/* Scratch memory of one thread for packing. Zero-initialized is valid. */
struct record_packer {
    uint8_t *scratch;
    size_t capacity;
};
void record_packer_dispose(struct record_packer *p);

/* Packs content (within object_type_limit), compressed when that saves at least a sixteenth. `out->data` lives until the next call on
 * `p`. 0, GRID_ELIMIT, or GRID_ENOMEM. */
int record_pack(struct record_packer *p, enum object_type type, struct slice content, struct record_packed *out);

/* The content, put behind what `out` holds (unchanged on an error), and the type. All sizes are checked before memory is taken for
 * them. 0; GRID_EPROTO for what no packer writes (unknown type or codec, sizes that do not fit, a broken block); GRID_ENOMEM or
 * GRID_ELIMIT by `out`. The id is not checked. */
int record_unpack(const struct record_packed *packed, enum object_type *type, struct buf *out);

/* Whether the id is that of the packed bytes, which are unpacked for that. 0, GRID_ECORRUPT when it is another's, or as record_unpack. */
int record_verify(const struct record_packed *packed, const struct object_id *id);

void record_header_encode(const struct record_header *h, uint8_t out[RECORD_HEADER_BYTES]);

/* Reads the header at the start of `in`. 0; GRID_EAGAIN when it is shorter than a header; GRID_ECORRUPT for anything that is not an
 * undamaged header with sizes within limits. */
int record_header_decode(struct slice in, struct record_header *out);

/* Appends header and data to `out`. 0, GRID_ENOMEM or GRID_ELIMIT. */
int record_append(struct buf *out, const struct object_id *id, const struct record_packed *packed);

/* Reads the whole record at the start of `in`, borrowing from it. 0, GRID_EAGAIN when more bytes are needed, GRID_ECORRUPT. */
int record_decode(struct slice in, struct record_header *header, struct record_packed *packed);

#endif
