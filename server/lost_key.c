/* Who replaces an authority whose key somebody evicted holds, and when. */
#include "server/lost_key.h"

/* One that sees nobody else may be the one that is cut off. */
static bool may_replace(const struct lost_key_view *v)
{
    return v->lost && v->may && v->living > 1 && v->living > v->known / 2;
}

static uint64_t step_ms(const struct lost_key *k, uint64_t now_ms)
{
    uint64_t passed = now_ms > k->looked_ms ? now_ms - k->looked_ms : 0;
    return passed < LOST_KEY_STEP_MS ? passed : LOST_KEY_STEP_MS;
}

bool lost_key_is_due(struct lost_key *k, const struct lost_key_view *v, uint64_t now_ms)
{
    bool waits = may_replace(v);
    if (!waits || !k->waits || k->before != v->before)
        *k = (struct lost_key){.waits = waits, .before = v->before, .looked_ms = now_ms};
    k->waited_ms += step_ms(k, now_ms);
    k->looked_ms = now_ms;
    return waits && k->waited_ms >= LOST_KEY_FIRST_MS + v->before * (uint64_t) LOST_KEY_TURN_MS;
}
