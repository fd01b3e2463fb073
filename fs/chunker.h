/* fs/chunker.h: where a file is cut into chunks, by its content. FastCDC: a gear hash with normalized chunking
 * (Xia et al., USENIX ATC 2016; IEEE TPDS 2020). docs/formats/chunks.md has the rule to the bit. No I/O, no memory of its own. */
#ifndef GRID_FS_CHUNKER_H
#define GRID_FS_CHUNKER_H

#include "base/slice.h"

/* Bytes. A file of at most `min_bytes` is one chunk; no chunk is larger than `max_bytes`. */
struct chunker_params {
    uint32_t min_bytes;
    uint32_t average_bytes; /* a power of two */
    uint32_t max_bytes;
    uint64_t seed; /* of the gear table */
};

#define CHUNKER_MIN_BYTES (16u * 1024)
#define CHUNKER_AVERAGE_BYTES (64u * 1024)
#define CHUNKER_MAX_BYTES (256u * 1024)
#define CHUNKER_SEED UINT64_C(0x6772696463686e6b) /* "gridchnk" */

extern const struct chunker_params chunker_default_params;

/* 256 random numbers, the average's masks, and the state of one file. Plain memory of the caller. */
struct chunker {
    uint64_t gear[256];
    uint64_t mask_small; /* before the average: more bits, a cut is less likely */
    uint64_t mask_large; /* after it: fewer bits */
    struct chunker_params params;
    uint64_t fingerprint;
    uint32_t chunk_bytes; /* of the chunk begun */
};

/* GRID_EINVAL unless 64 <= min < average < max <= 256 KiB and average is a power of two. */
int chunker_init(struct chunker *c, const struct chunker_params *params);

/* Forgets the file begun. */
void chunker_reset(struct chunker *c);

/* Takes bytes of the file up to and with the last one of the chunk begun, or all of `in`. Returns how many; `*cut` tells whether
 * the chunk ends behind them. The file's end ends a chunk too: the caller knows it. The cuts do not depend on how a file is fed. */
size_t chunker_feed(struct chunker *c, struct slice in, bool *cut);

#endif
