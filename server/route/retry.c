/* The failure table: only what no task has seen is tried again. */
#include "server/route/retry.h"

#include "net/grpc.h"

static bool unseen(const struct retry_attempt *a)
{
    return a->seen == ATTEMPT_UNSEEN || a->seen == ATTEMPT_UNPROCESSED;
}

/* Faults that another node may not share. NOT_FOUND: a peer whose release changed since our table was made. */
static bool worth_another(int status)
{
    return status == GRPC_UNAVAILABLE || status == GRPC_RESOURCE_EXHAUSTED || status == GRPC_NOT_FOUND;
}

enum retry_verdict retry_decide(const struct retry_attempt *a)
{
    if (!unseen(a) || !worth_another(a->status) || a->left_ms == 0 || a->attempts >= a->attempts_max)
        return RETRY_GIVE_UP;
    if (a->pushback_ms > 0)
        return (uint64_t) a->pushback_ms < a->left_ms ? RETRY_LATER : RETRY_GIVE_UP;
    return a->seen == ATTEMPT_UNPROCESSED ? RETRY_FREE : RETRY_NOW;
}

bool retry_may_wait(const struct retry_attempt *a)
{
    return unseen(a) && a->refused && a->status == GRPC_UNAVAILABLE && a->left_ms > 0;
}

uint64_t retry_backoff_ms(unsigned n, uint32_t random)
{
    uint64_t bound = n < 4 ? (uint64_t) RETRY_BACKOFF_MIN_MS << n : RETRY_BACKOFF_MAX_MS;
    if (bound > RETRY_BACKOFF_MAX_MS)
        bound = RETRY_BACKOFF_MAX_MS;
    return 1 + random % bound;
}
