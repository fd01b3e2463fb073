/* discovery/swim_health.h: how much a node distrusts itself (Lifeguard, section IV-A, the local health multiplier): what goes wrong in ways that
 * hint at its own slowness raises it, what goes well lowers it, and it waits for others that many times longer. No clock. */
#ifndef GRID_DISCOVERY_SWIM_HEALTH_H
#define GRID_DISCOVERY_SWIM_HEALTH_H

#include <stdint.h>

enum { SWIM_HEALTH_MAX = 8 };

/* What moves it. */
enum swim_health_event {
    SWIM_HEALTH_ANSWERED,     /* a probe was acknowledged in time: -1 */
    SWIM_HEALTH_UNANSWERED,   /* one was not: +1 */
    SWIM_HEALTH_CORROBORATED, /* others say that it was not our fault: -1 */
    SWIM_HEALTH_CONTRADICTED, /* others hear whom we do not: +1 */
    SWIM_HEALTH_ACCUSED,      /* we were suspected, and refute it: +1 */
    SWIM_HEALTH_PAUSED,       /* we did not run when we should have: +1 */
};

struct swim_health {
    unsigned score; /* 0 .. SWIM_HEALTH_MAX */
};

void swim_health_note(struct swim_health *h, enum swim_health_event event);

/* A time to wait for others: times 1 + score. */
static inline uint64_t swim_health_scale(const struct swim_health *h, uint64_t ms)
{
    return ms * (1 + h->score);
}

#endif
