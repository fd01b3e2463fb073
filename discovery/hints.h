/* discovery/hints.h: addresses where members may live, as the sources of discovery name them, and which of them to try now. Nobody is believed for having been
 * found: whoever answers must pass the certificate check, or join. However many are named, by however many liars, the number kept, tried at once and tried a second is
 * bounded, each source has a share of its own, and what is not tried now has its chance by lot. No sockets, no clock, no randomness but its seed. One thread at a time.
 *
 *     waiting -> trying -> found              a member answers there: it stays until its source no longer names it
 *        ^          |
 *        +- failed -+                         again after HINTS_AGAIN_MS, doubled each time */
#ifndef GRID_DISCOVERY_HINTS_H
#define GRID_DISCOVERY_HINTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/slice.h"

enum {
    HINTS_PER_SOURCE = 128,
    HINTS_TRYING_MAX = 40,
    HINTS_TRYING_REMEMBERED_MAX = 8, /* of those that this node remembers */
    HINTS_TRYING_FOUND_MAX = 24, /* of those that anybody may name: the others have room beside them */
    HINTS_PER_SECOND = 10,
    HINTS_AGAIN_MS = 15 * 1000,
    HINTS_AGAIN_MAX_MS = 10 * 60 * 1000,
    HINT_ADDRESS_MAX = 63, /* "[v6]:port" */
};

/* Who named an address. The first two are the operator's own, whatever others name: they go first. Then come those where members were before this start, a few at a time. */
enum hint_source { HINT_DNS, HINT_FILE, HINT_REMEMBERED, HINT_DHT, HINT_MDNS, HINT_SOURCE_COUNT };

const char *hint_source_name(enum hint_source source);
bool hint_source_is_operators(enum hint_source source);

enum hint_state { HINT_WAITING, HINT_TRYING, HINT_FOUND };

struct hint {
    char address[HINT_ADDRESS_MAX + 1];
    enum hint_source source;
    enum hint_state state;
    unsigned failures;
    uint64_t due_ms;     /* waiting: not before; trying: since */
    uint64_t expires_ms; /* unless it is named again */
};

struct hints;

/* `seed` is for all that is left to chance. 0 or GRID_ENOMEM. */
int hints_create(uint64_t seed, struct hints **out);
/* NULL is allowed. */
void hints_destroy(struct hints *h);

/* A source names an address ("host:port", numeric), which holds for ttl_ms. When its share is full, one by lot of those that wait makes room, those that have failed
 * first. What anybody has named before is the operator's from then on when he names it. 0; GRID_EINVAL for an address that is too long; GRID_ELIMIT when all of its share are being tried or found. */
int hints_add(struct hints *h, enum hint_source source, struct slice address, uint64_t ttl_ms, uint64_t now_ms);

/* The next one to try, which is trying from now on: the operator's first, then the remembered, then new ones, by lot among those that are due alike. NULL when there is none now; `*wait_ms` (may be NULL) is then how long until there may be one
 * (UINT64_MAX: until one is added). Lives until the next call. */
const struct hint *hints_take(struct hints *h, uint64_t now_ms, uint64_t *wait_ms);

/* How a try ended. For what is not there (any more), nothing happens. */
void hints_found(struct hints *h, const char *address);
void hints_failed(struct hints *h, const char *address, uint64_t now_ms);

/* What this source has named holds no longer. */
void hints_withdraw(struct hints *h, enum hint_source source);

/* Forgets one that has expired, and gives it in *out, so that nobody goes there any more. False when there is none. */
bool hints_expire(struct hints *h, uint64_t now_ms, struct hint *out);

/* By index, below the count; until the next call that changes something. */
size_t hints_count(const struct hints *h);
const struct hint *hints_at(const struct hints *h, size_t index);

#endif
