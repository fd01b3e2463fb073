/* Suspicion: who accuses, and how long that leaves. */
#include "discovery/swim_suspicion.h"

/* log2(1 .. 8) in thousandths: the same on every machine. */
static const uint32_t LOG[SWIM_ACCUSERS_MAX] = {0, 1000, 1585, 2000, 2322, 2585, 2807, 3000};

void swim_suspicion_begin(struct swim_suspicion *s, uint64_t incarnation, uint16_t accuser, unsigned needed, uint32_t min_ms, uint32_t max_ms,
                          uint64_t now_ms)
{
    *s = (struct swim_suspicion){.active = true,
                                 .incarnation = incarnation,
                                 .began_ms = now_ms,
                                 .min_ms = min_ms,
                                 .max_ms = max_ms,
                                 .needed = needed < SWIM_ACCUSERS_MAX ? needed : SWIM_ACCUSERS_MAX - 1,
                                 .accuser_count = 1,
                                 .accusers = {accuser}};
}

bool swim_suspicion_accused_by(const struct swim_suspicion *s, uint16_t accuser)
{
    for (unsigned i = 0; s->active && i < s->accuser_count; i++)
        if (s->accusers[i] == accuser)
            return true;
    return false;
}

bool swim_suspicion_confirm(struct swim_suspicion *s, uint16_t accuser)
{
    if (!s->active || s->accuser_count == SWIM_ACCUSERS_MAX || swim_suspicion_accused_by(s, accuser))
        return false;
    s->accusers[s->accuser_count++] = accuser;
    return s->accuser_count <= s->needed + 1;
}

void swim_suspicion_need(struct swim_suspicion *s, unsigned needed)
{
    if (needed < s->needed)
        s->needed = needed;
}

uint64_t swim_suspicion_due_ms(const struct swim_suspicion *s)
{
    unsigned confirmed = s->accuser_count - 1;
    if (confirmed >= s->needed)
        return s->began_ms + s->min_ms;
    return s->began_ms + s->max_ms - (uint64_t) (s->max_ms - s->min_ms) * LOG[confirmed] / LOG[s->needed];
}

void swim_suspicion_end(struct swim_suspicion *s)
{
    s->active = false;
    s->accuser_count = 0;
}
