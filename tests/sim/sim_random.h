/* tests/sim/sim_random.h: splitmix64, the only randomness of a simulation. */
#ifndef GRID_TESTS_SIM_RANDOM_H
#define GRID_TESTS_SIM_RANDOM_H

#include <stdint.h>

static inline uint64_t sim_random(uint64_t *state)
{
    *state += UINT64_C(0x9e3779b97f4a7c15);
    uint64_t z = *state;
    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return z ^ (z >> 31);
}

/* 0 .. limit - 1; 0 when limit is 0. */
static inline uint32_t sim_below(uint64_t *state, uint32_t limit)
{
    return (uint32_t) (((sim_random(state) >> 32) * limit) >> 32);
}

/* low .. high, both possible. */
static inline uint32_t sim_between(uint64_t *state, uint32_t low, uint32_t high)
{
    return low + sim_below(state, high - low + 1);
}

#endif
