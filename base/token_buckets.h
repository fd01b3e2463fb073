/* base/token_buckets.h: a token bucket for each of many, by their names: all of one rate and burst. No clock: time is given, monotonic. One thread at a time. */
#ifndef GRID_BASE_TOKEN_BUCKETS_H
#define GRID_BASE_TOKEN_BUCKETS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/slice.h"

struct token_buckets;

/* For at most `max` names at a time. NULL when out of memory. */
struct token_buckets *token_buckets_create(uint64_t rate_per_s, uint64_t burst, size_t max);
/* NULL is allowed. */
void token_buckets_destroy(struct token_buckets *b);

/* One token more for this name. False: it has had its share, or there are more names than `max`, all of late, or no memory. */
bool token_buckets_take(struct token_buckets *b, struct slice name, uint64_t now_ms);

#endif
