/* A bucket that is full again says no more than none would, and makes room for another. */
#include "base/token_buckets.h"

#include <stdlib.h>

#include "base/map.h"
#include "base/token_bucket.h"

struct token_buckets {
    uint64_t rate_per_s, burst;
    size_t max;
    struct map *buckets; /* name -> struct token_bucket */
};

struct token_buckets *token_buckets_create(uint64_t rate_per_s, uint64_t burst, size_t max)
{
    struct token_buckets *b = calloc(1, sizeof *b);
    struct map *buckets = map_create(free);
    if (!b || !buckets) {
        free(b);
        map_destroy(buckets);
        return NULL;
    }
    *b = (struct token_buckets){rate_per_s, burst, max, buckets};
    return b;
}

void token_buckets_destroy(struct token_buckets *b)
{
    if (!b)
        return;
    map_destroy(b->buckets);
    free(b);
}

static void forget_full(struct token_buckets *b, uint64_t now_ms)
{
    for (struct map_iter it = map_begin(b->buckets); map_next(&it);)
        if (token_bucket_wait_ms(it.value, b->burst, now_ms) == 0)
            map_remove(b->buckets, it.key);
}

static struct token_bucket *bucket_add(struct token_buckets *b, struct slice name, uint64_t now_ms)
{
    if (map_count(b->buckets) >= b->max)
        forget_full(b, now_ms);
    struct token_bucket *fresh = map_count(b->buckets) < b->max ? malloc(sizeof *fresh) : NULL;
    if (!fresh)
        return NULL;
    token_bucket_init(fresh, b->rate_per_s, b->burst, now_ms);
    if (map_set(b->buckets, name, fresh) == 0)
        return fresh;
    free(fresh);
    return NULL;
}

bool token_buckets_take(struct token_buckets *b, struct slice name, uint64_t now_ms)
{
    struct token_bucket *found = map_get(b->buckets, name);
    if (!found)
        found = bucket_add(b, name, now_ms);
    return found && token_bucket_take(found, 1, now_ms);
}
