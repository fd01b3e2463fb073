/* Token buckets against floods, and gRPC's policing of keepalive pings. */
#include "net/h2_guard.h"

#include <stddef.h>

enum {
    RESETS_BURST = 200,
    RESETS_PER_SECOND = 33,
    NUISANCE_BURST = 10000,
    NUISANCE_PER_SECOND = 1000,
    NUISANCE_EARNED = 20, /* by each piece of real work */
    PING_INTERVAL_MS = 5 * 60 * 1000,
    PING_STRIKES = 2,
};

static const uint64_t WEIGHTS[] = {
    [H2_PING] = 10, [H2_SETTINGS] = 50, [H2_PRIORITY] = 5, [H2_EMPTY_DATA] = 5, [H2_UNKNOWN] = 5, [H2_WINDOW_UPDATE] = 2,
};

void h2_bucket_init(struct h2_bucket *b, uint64_t burst, uint64_t per_second, uint64_t now_ms)
{
    *b = (struct h2_bucket){.level = burst * 1000, .burst = burst * 1000, .per_second = per_second, .filled_ms = now_ms};
}

static void bucket_add(struct h2_bucket *b, uint64_t milli)
{
    b->level = milli >= b->burst - b->level ? b->burst : b->level + milli;
}

bool h2_bucket_take(struct h2_bucket *b, uint64_t tokens, uint64_t now_ms)
{
    if (now_ms > b->filled_ms) {
        uint64_t passed = now_ms - b->filled_ms;
        bucket_add(b, passed > b->burst ? b->burst : passed * b->per_second);
        b->filled_ms = now_ms;
    }
    if (b->level < tokens * 1000)
        return false;
    b->level -= tokens * 1000;
    return true;
}

void h2_bucket_give(struct h2_bucket *b, uint64_t tokens)
{
    bucket_add(b, tokens * 1000);
}

void h2_guard_init(struct h2_guard *g, uint64_t now_ms)
{
    *g = (struct h2_guard){.ping_strikes = 0};
    h2_bucket_init(&g->resets, RESETS_BURST, RESETS_PER_SECOND, now_ms);
    h2_bucket_init(&g->nuisance, NUISANCE_BURST, NUISANCE_PER_SECOND, now_ms);
}

static bool ping_is_too_often(struct h2_guard *g, uint64_t now_ms)
{
    bool early = g->last_ping_ms != 0 && now_ms - g->last_ping_ms < PING_INTERVAL_MS;
    g->last_ping_ms = now_ms ? now_ms : 1;
    return early && ++g->ping_strikes > PING_STRIKES;
}

const char *h2_guard_nuisance(struct h2_guard *g, enum h2_nuisance kind, uint64_t now_ms)
{
    if (kind == H2_PING && ping_is_too_often(g, now_ms))
        return "too_many_pings";
    return h2_bucket_take(&g->nuisance, WEIGHTS[kind], now_ms) ? NULL : "too_many_control_frames";
}

const char *h2_guard_reset(struct h2_guard *g, uint64_t now_ms)
{
    return h2_bucket_take(&g->resets, 1, now_ms) ? NULL : "too_many_resets";
}

void h2_guard_work(struct h2_guard *g)
{
    h2_bucket_give(&g->nuisance, NUISANCE_EARNED);
}

void h2_guard_answered(struct h2_guard *g)
{
    g->last_ping_ms = 0;
    g->ping_strikes = 0;
}
