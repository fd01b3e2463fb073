/* tests/sim/sim_wheel.h: virtual time. Events in the order of their milliseconds and, within one, of their adding; adding and taking cost the
 * same however many wait. Times are milliseconds since the simulation's beginning. */
#ifndef GRID_TESTS_SIM_WHEEL_H
#define GRID_TESTS_SIM_WHEEL_H

#include <stdbool.h>
#include <stdint.h>

enum { SIM_WHEEL_SLOTS = 1 << 14 };

struct sim_event {
    uint32_t at, kind, a, b;
    uint32_t next; /* the wheel's own */
};

struct sim_wheel {
    uint32_t now;
    uint32_t heads[SIM_WHEEL_SLOTS], tails[SIM_WHEEL_SLOTS]; /* 1 + place in the pool; 0: none */
    uint64_t used[SIM_WHEEL_SLOTS / 64];
    struct sim_event *pool;
    uint32_t pool_count, pool_capacity, free;
    uint64_t taken; /* events so far */
};

/* Zeroed memory is an empty wheel at 0. Keeps the pool's memory. */
void sim_wheel_reset(struct sim_wheel *w);
void sim_wheel_dispose(struct sim_wheel *w);

/* An event at `at`, or now when that is past. Aborts without memory. */
void sim_wheel_add(struct sim_wheel *w, uint32_t at, uint32_t kind, uint32_t a, uint32_t b);

/* Takes the next event at or before `until` and goes to its time; false, and the time is `until`, when there is none. */
bool sim_wheel_next(struct sim_wheel *w, uint32_t until, struct sim_event *out);

#endif
