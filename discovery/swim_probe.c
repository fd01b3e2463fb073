/* The order of probing: an array, a place in it, and a shuffle when the end is reached. */
#include "discovery/swim_probe.h"

#include <string.h>

#include "discovery/swim_random.h"

bool swim_probe_add(struct swim_probe *p, uint16_t slot, uint64_t *random)
{
    if (p->count == SWIM_SLOTS_MAX)
        return false;
    size_t at = (size_t) swim_random_below(random, p->count + 1);
    memmove(&p->order[at + 1], &p->order[at], (p->count - at) * sizeof p->order[0]);
    p->order[at] = slot;
    p->count++;
    if (at < p->at)
        p->at++; /* its turn comes in the next round: nobody else's is lost */
    return true;
}

void swim_probe_remove(struct swim_probe *p, uint16_t slot)
{
    size_t at = 0;
    while (at < p->count && p->order[at] != slot)
        at++;
    if (at == p->count)
        return;
    p->count--;
    memmove(&p->order[at], &p->order[at + 1], (p->count - at) * sizeof p->order[0]);
    if (at < p->at)
        p->at--;
}

/* Fisher and Yates. */
static void shuffle(struct swim_probe *p, uint64_t *random)
{
    for (size_t i = p->count; i > 1; i--) {
        size_t other = (size_t) swim_random_below(random, i);
        uint16_t slot = p->order[i - 1];
        p->order[i - 1] = p->order[other];
        p->order[other] = slot;
    }
}

bool swim_probe_next(struct swim_probe *p, uint64_t *random, uint16_t *slot)
{
    if (p->count == 0)
        return false;
    if (p->at >= p->count) {
        shuffle(p, random);
        p->at = 0;
    }
    *slot = p->order[p->at++];
    return true;
}
