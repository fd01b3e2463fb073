/* Buckets by member; those that are full again say no more than none would. */
#include "server/errands.h"

#include <stdlib.h>

#include "base/map.h"
#include "base/token_bucket.h"

struct errands {
    struct map *buckets; /* id -> struct token_bucket */
};

struct errands *errands_create(void)
{
    struct errands *e = calloc(1, sizeof *e);
    if (e && !(e->buckets = map_create(free))) {
        free(e);
        return NULL;
    }
    return e;
}

void errands_destroy(struct errands *e)
{
    if (!e)
        return;
    map_destroy(e->buckets);
    free(e);
}

static void forget_full(struct errands *e, uint64_t now_ms)
{
    for (struct map_iter it = map_begin(e->buckets); map_next(&it);)
        if (token_bucket_wait_ms(it.value, ERRANDS_BURST, now_ms) == 0)
            map_remove(e->buckets, it.key);
}

static struct token_bucket *bucket_add(struct errands *e, struct slice id, uint64_t now_ms)
{
    if (map_count(e->buckets) >= ERRANDS_MEMBERS_MAX)
        forget_full(e, now_ms);
    struct token_bucket *b = map_count(e->buckets) < ERRANDS_MEMBERS_MAX ? malloc(sizeof *b) : NULL;
    if (!b)
        return NULL;
    token_bucket_init(b, ERRANDS_PER_S, ERRANDS_BURST, now_ms);
    if (map_set(e->buckets, id, b) == 0)
        return b;
    free(b);
    return NULL;
}

bool errands_allow(struct errands *e, const char *member, uint64_t now_ms)
{
    struct slice id = slice_of_str(member);
    struct token_bucket *b = map_get(e->buckets, id);
    if (!b)
        b = bucket_add(e, id, now_ms);
    return b && token_bucket_take(b, 1, now_ms);
}
