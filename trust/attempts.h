/* trust/attempts.h: how often a password may be tried, or be of use: by source and by all together where strangers come from (10 a minute; 5 a second), in all where we go
 * to strangers (30 an hour). Every exchange is taken as a failed one until it is known to have ended well. No sockets; time is
 * given, monotonic. One thread each. */
#ifndef GRID_TRUST_ATTEMPTS_H
#define GRID_TRUST_ATTEMPTS_H

#include "base/slice.h"

struct attempts;

enum { ATTEMPTS_SOURCE_SIZE = 16, ATTEMPTS_LIMIT_MAX = 4000 };

struct attempts_config {
    unsigned limit;      /* at most ATTEMPTS_LIMIT_MAX in any window_ms; older ones are forgotten */
    uint64_t window_ms;
    size_t source_count; /* remembered at a time; for one more, who has tried least is forgotten: who has many addresses locks nobody out */
    unsigned all_per_s, all_burst; /* by all sources together, a token bucket; all_burst 0: no such bound */
};

/* 0, GRID_EINVAL (a zero, or a limit that is too great) or GRID_ENOMEM. */
int attempts_create(const struct attempts_config *config, struct attempts **out);
void attempts_destroy(struct attempts *a);

/* Notes one attempt of a source: an IPv6 address, or an IPv4 one in its mapped form. IPv6 counts by /64, the least that one host
 * is given. False when it has used up its own; then nothing is noted and `*wait_ms` (may be NULL) says how long it must wait. */
bool attempts_take(struct attempts *a, const uint8_t source[ATTEMPTS_SOURCE_SIZE], uint64_t now_ms, uint64_t *wait_ms);

/* After attempts_take: whether all sources together may try once more. False when not: then that attempt is given back, and who comes again within
 * ATTEMPTS_TURN_MS keeps his place among those who were sent away so: who came first is let in first, so that a crowd that never comes twice holds nobody up. */
enum { ATTEMPTS_TURN_MS = 2000 };
bool attempts_take_of_all(struct attempts *a, const uint8_t source[ATTEMPTS_SOURCE_SIZE], uint64_t now_ms);

/* The attempt taken last of this source ended well: it does not count. */
void attempts_give_back(struct attempts *a, const uint8_t source[ATTEMPTS_SOURCE_SIZE]);

#endif
