/* Buckets by member. */
#include "server/errands.h"

#include <stdlib.h>

#include "base/token_buckets.h"

struct errands {
    struct token_buckets *buckets;
};

struct errands *errands_create(void)
{
    struct errands *e = calloc(1, sizeof *e);
    if (e && !(e->buckets = token_buckets_create(ERRANDS_PER_S, ERRANDS_BURST, ERRANDS_MEMBERS_MAX))) {
        free(e);
        return NULL;
    }
    return e;
}

void errands_destroy(struct errands *e)
{
    if (!e)
        return;
    token_buckets_destroy(e->buckets);
    free(e);
}

bool errands_allow(struct errands *e, const char *member, uint64_t now_ms)
{
    return token_buckets_take(e->buckets, slice_of_str(member), now_ms);
}
