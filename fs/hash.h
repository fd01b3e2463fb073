/* fs/hash.h: the identity of an object: SHA-256 over a type byte and the content. No state, any thread. */
#ifndef GRID_FS_HASH_H
#define GRID_FS_HASH_H

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "base/slice.h"

#define OBJECT_ID_BYTES 32
#define OBJECT_ID_HEX (2 * OBJECT_ID_BYTES)

struct object_id {
    uint8_t bytes[OBJECT_ID_BYTES];
};

/* The type byte. It is part of what is hashed, so that a directory can never pass for a chunk. */
enum object_type { OBJECT_CHUNK = 1, OBJECT_FILE = 2, OBJECT_DIRECTORY = 3 };

/* Content bytes at most: a chunk's, and those of a file's or directory's listing. */
#define OBJECT_CHUNK_MAX (256u * 1024)
#define OBJECT_LISTING_MAX (8u * 1024 * 1024)

static inline bool object_type_valid(unsigned type)
{
    return type >= OBJECT_CHUNK && type <= OBJECT_DIRECTORY;
}

/* The most content bytes an object of a (valid) type may have. */
static inline uint32_t object_type_limit(enum object_type type)
{
    return type == OBJECT_CHUNK ? OBJECT_CHUNK_MAX : OBJECT_LISTING_MAX;
}

/* The id of `content` as an object of `type`. 0, or GRID_ENOMEM. */
int object_id_compute(enum object_type type, struct slice content, struct object_id *out);

/* SHA-256 of bytes without a type. 0, or GRID_ENOMEM. */
int hash_sha256(struct slice in, uint8_t out[32]);

static inline bool object_id_equal(const struct object_id *a, const struct object_id *b)
{
    return memcmp(a->bytes, b->bytes, OBJECT_ID_BYTES) == 0;
}

/* Lowercase hex with a NUL. */
void object_id_to_hex(const struct object_id *id, char out[OBJECT_ID_HEX + 1]);

/* Exactly 64 hex digits of either case. 0 or GRID_EINVAL. */
int object_id_from_hex(struct slice hex, struct object_id *out);

/* Exactly 32 bytes. 0 or GRID_EINVAL. */
int object_id_from_slice(struct slice bytes, struct object_id *out);

#endif
