/* The score of one's own health. */
#include "discovery/swim_health.h"

void swim_health_note(struct swim_health *h, enum swim_health_event event)
{
    static const int change[] = {[SWIM_HEALTH_ANSWERED] = -1,    [SWIM_HEALTH_UNANSWERED] = 1, [SWIM_HEALTH_CORROBORATED] = -1,
                                 [SWIM_HEALTH_CONTRADICTED] = 1, [SWIM_HEALTH_ACCUSED] = 1,    [SWIM_HEALTH_PAUSED] = 1};
    if (change[event] < 0 && h->score > 0)
        h->score--;
    if (change[event] > 0 && h->score < SWIM_HEALTH_MAX)
        h->score++;
}
