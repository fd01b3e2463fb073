/* discovery/swim_probe.h: whom to probe next: all members in turn, in an order that is shuffled after each round (SWIM, Das, Gupta, Motivala
 * 2002, section 4.3). So each is probed within two rounds at the latest, and nobody can tell when. Members are small numbers (slots) of the
 * caller's. No clock, no memory of its own. */
#ifndef GRID_DISCOVERY_SWIM_PROBE_H
#define GRID_DISCOVERY_SWIM_PROBE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { SWIM_SLOTS_MAX = 1024 };

struct swim_probe {
    size_t count, at;
    uint16_t order[SWIM_SLOTS_MAX];
};

/* Puts a newcomer in at a random place, so that many who come at once are not probed in the order they came. False when full. */
bool swim_probe_add(struct swim_probe *p, uint16_t slot, uint64_t *random);

/* Nothing when it is not there. */
void swim_probe_remove(struct swim_probe *p, uint16_t slot);

/* The next one; at the end of a round the order is shuffled. False when there is none. */
bool swim_probe_next(struct swim_probe *p, uint64_t *random, uint16_t *slot);

#endif
