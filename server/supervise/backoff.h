/* server/supervise/backoff.h: when a task's process that has ended is started again. Pure: times and chance are arguments. */
#ifndef GRID_SERVER_SUPERVISE_BACKOFF_H
#define GRID_SERVER_SUPERVISE_BACKOFF_H

#include <stdbool.h>
#include <stdint.h>

enum {
    BACKOFF_FIRST_MS = 100,
    BACKOFF_MAX_MS = 15000,
    BACKOFF_RESET_MS = 30000, /* who served this long starts anew */
    BACKOFF_QUICK_MS = 1000,  /* who served shorter, or never, has failed quickly */
    BACKOFF_HOPELESS = 16,    /* quick failures in a row */
};

/* Zeroed is new. */
struct backoff {
    uint64_t next_ms; /* 0: BACKOFF_FIRST_MS */
    uint32_t quick;   /* quick failures in a row */
};

/* A process ended that had served for `served_ms`, 0 when it never was ready; returns how long to wait before the next start. The wait is BACKOFF_FIRST_MS at first and grows by
 * half up to BACKOFF_MAX_MS; `chance` (any number) takes up to a quarter off. */
uint64_t backoff_ended(struct backoff *b, uint64_t served_ms, uint32_t chance);

/* The last one failed quickly. */
bool backoff_is_errored(const struct backoff *b);

/* BACKOFF_HOPELESS quick failures in a row. It is still started again every BACKOFF_MAX_MS: what it lacks may come. */
bool backoff_is_hopeless(const struct backoff *b);

#endif
