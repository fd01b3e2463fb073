/* net/refusal_log.h: which refused connections are named in the log, so that strangers cannot fill a disk by being refused: REFUSAL_LOG_BURST in all, then
 * REFUSAL_LOG_PER_S; of one source for one reason REFUSAL_LOG_SOURCE_BURST, then one each REFUSAL_LOG_SOURCE_MS, so that one that comes again and again (an
 * evicted node, say) leaves room for others. Pure: time is given, monotonic. One thread. */
#ifndef GRID_NET_REFUSAL_LOG_H
#define GRID_NET_REFUSAL_LOG_H

#include "net/addr.h"

enum {
    REFUSAL_LOG_BURST = 100,
    REFUSAL_LOG_PER_S = 2,
    REFUSAL_LOG_SOURCE_BURST = 50,
    REFUSAL_LOG_SOURCE_MS = 60 * 1000,
    REFUSAL_LOG_SOURCES = 64, /* beyond that the one that came longest ago is forgotten */
};

struct refusal_log_source {
    uint64_t key; /* of source and reason */
    uint64_t came_ms;
    uint64_t paid_ms; /* generic cell rate (ITU-T I.371): up to when what was named is paid for */
};

/* All zero is one that has named nothing. */
struct refusal_log {
    struct refusal_log_source sources[REFUSAL_LOG_SOURCES];
    uint64_t paid_ms;
    uint64_t left_out;
};

/* Whether this one is named. Then *left_out says how many were not since the last that was; else it is counted. */
bool refusal_log_names(struct refusal_log *l, const struct addr *from, const char *why, uint64_t now_ms, uint64_t *left_out);

#endif
