/* The store is read through in the background, a little at a time while nothing else is done with it: what has rotted on the disk is found while others have it, and is
 * fetched again for the releases that are kept, as when a peer had asked for it. */
#include <stdatomic.h>
#include <stdlib.h>

#include "base/err.h"
#include "base/log.h"
#include "server/release/releases_internal.h"

static void step(void *arg);

static void step_after(struct releases *r, uint64_t delay_ms)
{
    loop_timer_start(r->options.loop, &r->scrub_timer, delay_ms, step, r);
}

static void scrub_work(void *arg)
{
    struct releases *r = arg;
    r->scrub_err = store_scrub(r->store, &r->scrub.next, SCRUB_STEP_BYTES, &r->scrubbed);
}

static void scrub_done(void *arg)
{
    struct releases *r = arg;
    struct store_stats stats;
    r->scrubbing = false;
    store_stats(r->store, &stats);
    if (r->options.traffic)
        atomic_fetch_add_explicit(&r->options.traffic->scrubbed, r->scrubbed.bytes, memory_order_relaxed);
    if (r->scrubbed.damaged > 0) {
        log_line(LOG_WARN, "the disk has damaged what the store keeps: look at its health", LOGF_INT("objects", r->scrubbed.damaged));
        releases_damaged(r);
    }
    if (r->scrub_err != 0)
        log_line(LOG_WARN, "a part of the store cannot be read: look at the disk's health", LOGF_ERR(r->scrub_err));
    uint64_t wait_ms = scrub_pass_step(&r->scrub, r->scrubbed.bytes, stats.stored_bytes, loop_now_ms(r->options.loop));
    if (!r->closing)
        step_after(r, wait_ms);
    releases_step_later(r);
}

static void step(void *arg)
{
    struct releases *r = arg;
    if (r->closing)
        return;
    r->scrubbing = !r->running && !r->on_pool && !r->spare_work && loop_work(r->options.loop, scrub_work, scrub_done, r) == 0;
    if (!r->scrubbing)
        step_after(r, SCRUB_STEP_MS);
}

void releases_scrub_start(struct releases *r)
{
    struct store_stats stats;
    store_stats(r->store, &stats);
    r->scrub = (struct scrub_pass){.next = stats.objects > 0 ? arc4random_uniform((uint32_t) stats.objects) : 0, .began_ms = loop_now_ms(r->options.loop) + SCRUB_FIRST_MS};
    step_after(r, SCRUB_FIRST_MS);
}

void releases_scrub_now(struct releases *r)
{
    if (!r->scrubbing)
        step_after(r, 0);
}
