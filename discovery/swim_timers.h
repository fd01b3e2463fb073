/* discovery/swim_timers.h: when each member (by slot) is to be looked at again: a heap with one moment per slot. No clock, no memory of its own. */
#ifndef GRID_DISCOVERY_SWIM_TIMERS_H
#define GRID_DISCOVERY_SWIM_TIMERS_H

#include "discovery/swim_probe.h"

struct swim_timers {
    size_t count;
    uint16_t heap[SWIM_SLOTS_MAX];
    uint64_t due_ms[SWIM_SLOTS_MAX];
    uint16_t place[SWIM_SLOTS_MAX]; /* 1 + index in the heap; 0: none */
};

/* Sets or moves it. */
void swim_timers_set(struct swim_timers *t, uint16_t slot, uint64_t due_ms);

void swim_timers_remove(struct swim_timers *t, uint16_t slot);

/* The earliest; UINT64_MAX when there is none. */
static inline uint64_t swim_timers_next_ms(const struct swim_timers *t)
{
    return t->count > 0 ? t->due_ms[t->heap[0]] : UINT64_MAX;
}

/* Takes one that is due out. False when none is. */
bool swim_timers_pop(struct swim_timers *t, uint64_t now_ms, uint16_t *slot);

#endif
