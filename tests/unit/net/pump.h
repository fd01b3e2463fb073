/* Runs a loop until a condition holds; a deadline instead of sleeps. */
#ifndef GRID_TESTS_NET_PUMP_H
#define GRID_TESTS_NET_PUMP_H

#include "net/loop.h"

enum { PUMP_DEADLINE_MS = 60000 }; /* only what hangs waits so long */

/* Starts itself anew: uv_run looks at timers before it polls too, and one that fired there would leave the poll without an end. */
static inline void pump_tick(void *arg)
{
    struct loop_timer *tick = arg;
    loop_timer_start(tick->loop, tick, 50, pump_tick, tick);
}

/* True when `condition` became non-zero in time. */
static inline bool pump_until_value(struct loop *l, const volatile int *condition, int value, uint64_t within_ms)
{
    uint64_t deadline = loop_clock_ms() + within_ms;
    struct loop_timer tick = {.loop = l};
    pump_tick(&tick);
    while (*condition < value && loop_clock_ms() < deadline)
        uv_run(loop_uv(l), UV_RUN_ONCE);
    loop_timer_stop(&tick);
    return *condition >= value;
}

#define PUMP(l, condition, value) assert_true(pump_until_value(l, &(condition), value, PUMP_DEADLINE_MS))

#endif
