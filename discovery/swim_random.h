/* discovery/swim_random.h: the randomness of membership: one state, seeded once, so that a run can be had again. Not for secrets. */
#ifndef GRID_DISCOVERY_SWIM_RANDOM_H
#define GRID_DISCOVERY_SWIM_RANDOM_H

#include <stdint.h>

/* xorshift64* (Vigna 2016); *state is never 0. */
static inline uint64_t swim_random(uint64_t *state)
{
    *state ^= *state >> 12;
    *state ^= *state << 25;
    *state ^= *state >> 27;
    return *state * UINT64_C(2685821657736338717);
}

/* 0 .. limit - 1, and 0 for a limit of 0. */
static inline uint64_t swim_random_below(uint64_t *state, uint64_t limit)
{
    return limit > 0 ? (swim_random(state) >> 16) % limit : 0;
}

#endif
