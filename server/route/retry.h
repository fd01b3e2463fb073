/* server/route/retry.h: what follows when an attempt has ended without an answer. Pure: the failure table of docs/flow-invoke.md. */
#ifndef GRID_SERVER_ROUTE_RETRY_H
#define GRID_SERVER_ROUTE_RETRY_H

#include <stdbool.h>
#include <stdint.h>

#include "server/exec/task_http.h"

enum {
    RETRY_BACKOFF_MIN_MS = 10,
    RETRY_BACKOFF_MAX_MS = 100,
};

/* An attempt that ended with something else than GRPC_OK. */
struct retry_attempt {
    int status; /* of enum grpc_status */
    enum attempt_seen seen;
    bool refused;          /* nobody was there: no connection came about */
    int64_t pushback_ms;   /* -1 for none */
    unsigned attempts;     /* that were made, this one included; 1 or more */
    unsigned attempts_max; /* 3 */
    uint64_t left_ms;      /* until the deadline */
};

enum retry_verdict {
    RETRY_GIVE_UP,   /* the caller hears of the fault */
    RETRY_FREE,      /* elsewhere at once, without a token of the budget */
    RETRY_NOW,       /* elsewhere at once, for a token; without one see retry_without_token */
    RETRY_LATER,     /* elsewhere after the pushback, for a token */
};

/* Decides. Any thread. */
enum retry_verdict retry_decide(const struct retry_attempt *a);

/* The budget is spent: true when the call may still wait to be routed anew, since there was nobody to be burdened by it. */
bool retry_may_wait(const struct retry_attempt *a);

/* How long to wait before the n-th look (from 0) at a call that found nothing to go to: full jitter below a bound that doubles from
 * 10 ms to 100 ms. `random` is any 32 bits. At least 1. */
uint64_t retry_backoff_ms(unsigned n, uint32_t random);

#endif
