/* Restarts that begin eagerly and become patient. */
#include "server/supervise/backoff.h"

static uint64_t grown(uint64_t delay_ms)
{
    uint64_t next = delay_ms + delay_ms / 2;
    return next < BACKOFF_MAX_MS ? next : BACKOFF_MAX_MS;
}

uint64_t backoff_ended(struct backoff *b, uint64_t served_ms, uint32_t chance)
{
    if (served_ms >= BACKOFF_RESET_MS)
        *b = (struct backoff){0};
    b->quick = served_ms < BACKOFF_QUICK_MS ? b->quick + 1 : 0;
    uint64_t delay_ms = b->next_ms ? b->next_ms : BACKOFF_FIRST_MS;
    if (backoff_is_hopeless(b))
        delay_ms = BACKOFF_MAX_MS;
    b->next_ms = grown(delay_ms);
    return delay_ms - delay_ms / 4 * (chance % 1001) / 1000;
}

bool backoff_is_errored(const struct backoff *b)
{
    return b->quick > 0;
}

bool backoff_is_hopeless(const struct backoff *b)
{
    return b->quick >= BACKOFF_HOPELESS;
}
