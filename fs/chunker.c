/* FastCDC: skip the minimum, hash one byte a step, cut where the masked bits of the gear hash are zero. */
#include "fs/chunker.h"

#include "base/err.h"
#include "fs/hash.h"

/* The masks of the average 2^n have n + 2 and n - 2 bits, downward from bit 62. Bit 63 stays clear so that a variant hashing two
 * bytes a round, which looks at the hash shifted by one, finds the same cuts. */
#define MASK_TOP_BIT 62
#define NORMALIZATION 2

enum { STRIDE = 8 /* bytes */ };

const struct chunker_params chunker_default_params = {CHUNKER_MIN_BYTES, CHUNKER_AVERAGE_BYTES, CHUNKER_MAX_BYTES, CHUNKER_SEED};

/* SplitMix64 (Steele, Lea and Flood, OOPSLA 2014). */
static uint64_t splitmix64(uint64_t *state)
{
    uint64_t z = *state += UINT64_C(0x9e3779b97f4a7c15);
    z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
    return z ^ z >> 31;
}

static uint64_t mask_of_bits(unsigned bits)
{
    return ((UINT64_C(1) << bits) - 1) << (MASK_TOP_BIT + 1 - bits);
}

static bool params_valid(const struct chunker_params *p)
{
    return p->min_bytes >= 64 && p->min_bytes < p->average_bytes && p->average_bytes < p->max_bytes &&
           p->max_bytes <= OBJECT_CHUNK_MAX && (p->average_bytes & (p->average_bytes - 1)) == 0;
}

int chunker_init(struct chunker *c, const struct chunker_params *params)
{
    if (!params_valid(params))
        return GRID_EINVAL;
    uint64_t state = params->seed;
    for (size_t i = 0; i < 256; i++)
        c->gear[i] = splitmix64(&state);
    unsigned bits = (unsigned) __builtin_ctz(params->average_bytes);
    c->mask_small = mask_of_bits(bits + NORMALIZATION);
    c->mask_large = mask_of_bits(bits - NORMALIZATION);
    c->params = *params;
    chunker_reset(c);
    return 0;
}

void chunker_reset(struct chunker *c)
{
    c->fingerprint = 0;
    c->chunk_bytes = 0;
}

/* Hashes `count` bytes, or up to and with the first cut among them; returns how many. `count` is a constant where this is called, so that no jump back is
 * left for each byte, which would cost as much as all the rest. */
static inline size_t gear_stride(const struct chunker *c, const uint8_t *data, size_t count, uint64_t mask, uint64_t *fingerprint, bool *cut)
{
#pragma GCC unroll 8
    for (size_t i = 0; i < count; i++) {
        *fingerprint = (*fingerprint << 1) + c->gear[data[i]];
        if ((*fingerprint & mask) == 0) {
            *cut = true;
            return i + 1;
        }
    }
    return count;
}

/* Hashes from `at` until a cut or `end`; returns the offset behind the last byte taken. */
static size_t gear_scan(struct chunker *c, const uint8_t *data, size_t at, size_t end, uint64_t mask, bool *cut)
{
    uint64_t fingerprint = c->fingerprint;
    while (at < end && !*cut)
        if (end - at >= STRIDE)
            at += gear_stride(c, data + at, STRIDE, mask, &fingerprint, cut);
        else
            at += gear_stride(c, data + at, 1, mask, &fingerprint, cut);
    c->fingerprint = fingerprint;
    return at;
}

/* Offset in `in` at which the chunk begun is `chunk_size` long, at most in.size. */
static size_t offset_of_size(const struct chunker *c, struct slice in, uint32_t chunk_size)
{
    size_t left = chunk_size > c->chunk_bytes ? chunk_size - c->chunk_bytes : 0;
    return left < in.size ? left : in.size;
}

size_t chunker_feed(struct chunker *c, struct slice in, bool *cut)
{
    size_t at = offset_of_size(c, in, c->params.min_bytes);
    size_t average = offset_of_size(c, in, c->params.average_bytes), max = offset_of_size(c, in, c->params.max_bytes);
    *cut = false;
    at = gear_scan(c, in.data, at, average, c->mask_small, cut);
    if (!*cut)
        at = gear_scan(c, in.data, at, max, c->mask_large, cut);
    c->chunk_bytes += (uint32_t) at;
    if (c->chunk_bytes == c->params.max_bytes)
        *cut = true;
    if (*cut)
        chunker_reset(c);
    return at;
}
