/* discovery/swim_spread.h: the news that is still to be passed on: whose claims (by slot), each a bounded number of times, least-passed first
 * (SWIM, section 4.1). A newer claim about a member takes the place of the older one. What the claim is now is the caller's to know. */
#ifndef GRID_DISCOVERY_SWIM_SPREAD_H
#define GRID_DISCOVERY_SWIM_SPREAD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "discovery/swim_probe.h"

struct swim_spread_item {
    uint16_t slot, sent;
};

struct swim_spread {
    size_t count;
    uint64_t queued[SWIM_SLOTS_MAX / 64]; /* by slot */
    struct swim_spread_item items[SWIM_SLOTS_MAX]; /* least sent first */
};

/* There is news of this member: it begins at the front, unsent. */
void swim_spread_put(struct swim_spread *s, uint16_t slot);

void swim_spread_drop(struct swim_spread *s, uint16_t slot);

/* How often a piece is passed on in a group of `members`: lambda * log2(n + 1), so that all but surely everybody hears it. */
unsigned swim_spread_limit(unsigned lambda, size_t members);

/* Takes up to `max` pieces for one receiver; those that have then been sent `limit` times leave the queue. Returns how many. */
size_t swim_spread_take(struct swim_spread *s, unsigned limit, size_t max, uint16_t *slots);

/* Somebody else has just told it too: one time less is needed. */
void swim_spread_echo(struct swim_spread *s, uint16_t slot, unsigned limit);

#endif
