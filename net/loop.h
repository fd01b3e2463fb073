/* net/loop.h: one thread's event loop: libuv with a mailbox, deferred work and timers. The home of uv.h for everybody above. */
#ifndef GRID_NET_LOOP_H
#define GRID_NET_LOOP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <uv.h>

struct loop;

/* A loop for the thread that will call loop_run. 0 or GRID_E*. */
int loop_create(struct loop **out);

/* Closes what is the loop's own, runs until every handle's close callback has come, frees it. On its thread, after loop_run. */
void loop_destroy(struct loop *l);

/* Runs until loop_stop. On its thread. */
void loop_run(struct loop *l);

/* Makes loop_run return at the end of the iteration. Any thread. */
void loop_stop(struct loop *l);

uv_loop_t *loop_uv(struct loop *l);

/* Who carries connections of this loop to members that cannot be dialled (net/carrier.h); NULL, as at first: nobody. Borrowed. Its thread, or before it runs. */
struct carrier;
void loop_set_carrier(struct loop *l, struct carrier *k);
struct carrier *loop_carrier(const struct loop *l);

/* Lets the loop look for events up to max_us microseconds before it sleeps, as long as they come so soon (net/busy_poll.h); 0, as
 * at first: it sleeps at once. loop_event tells it that one came, from a poll callback. Its thread. */
void loop_busy_poll(struct loop *l, uint64_t max_us);
void loop_event(struct loop *l);

/* One block per loop (128 KiB) that a callback may use until it returns or calls anybody who might use it too: reads go here. */
struct loop_scratch {
    uint8_t *data;
    size_t size;
};
struct loop_scratch loop_scratch(struct loop *l);

/* Monotonic milliseconds: cached per iteration, and read anew. Its thread; loop_clock_ms and loop_wall_ms any thread. */
uint64_t loop_now_ms(const struct loop *l);
uint64_t loop_clock_ms(void);
/* The same clock in microseconds, read anew: for measuring. Any thread. */
uint64_t loop_clock_us(void);
/* Unix time in milliseconds, for what people and records see; never for deadlines. */
int64_t loop_wall_ms(void);

typedef void (*loop_fn)(void *arg);

/* Runs fn(arg) on the loop's thread, in order of posting. Any thread. Posted before the loop is destroyed means run. 0 or
 * GRID_ENOMEM. */
int loop_post(struct loop *l, loop_fn fn, void *arg);

/* Runs a deferred item once at the end of this iteration, before the loop sleeps (writes are coalesced this way). Its thread.
 * Embed it in the owner, zeroed at first; arming an armed one does nothing. */
struct loop_deferred {
    loop_fn fn;
    void *arg;
    struct loop_deferred *next, **prev;
};
void loop_defer(struct loop *l, struct loop_deferred *d, loop_fn fn, void *arg);
void loop_defer_cancel(struct loop_deferred *d);

/* A timer without a close callback: plain memory of the owner, zeroed at first; may be started, restarted and stopped at will and
 * freed whenever it is stopped. A binary heap per loop, one uv_timer under it. Its thread. */
struct loop_timer {
    loop_fn fn;
    void *arg;
    uint64_t due_ms;
    uint64_t sequence;
    size_t heap_index; /* 1-based; 0 when not running */
    struct loop *loop;
};
void loop_timer_start(struct loop *l, struct loop_timer *t, uint64_t delay_ms, loop_fn fn, void *arg);
void loop_timer_stop(struct loop_timer *t);
static inline bool loop_timer_running(const struct loop_timer *t)
{
    return t->heap_index != 0;
}

/* Runs work(arg) on the thread pool, then done(arg) on the loop's thread. Its thread. `arg` is owned by the work until done.
 * 0 or GRID_ENOMEM. */
int loop_work(struct loop *l, loop_fn work, loop_fn done, void *arg);

#endif
