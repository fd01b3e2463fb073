/* server/release/tidy.h: takes away what no kept release needs: trees that nobody runs in, objects that no entry of the log reaches. */
#ifndef GRID_SERVER_RELEASE_TIDY_H
#define GRID_SERVER_RELEASE_TIDY_H

#include "fs/release_log.h"
#include "fs/store.h"
#include "net/loop.h"

struct tidy_options {
    struct store *store;
    const struct release_log *log; /* what it has is kept */
    int trees_fd;
    bool thorough; /* there is no room: what is dead in the store costs more than taking it out */
    bool (*is_used)(void *ctx, const char *name); /* whether a tree stays */
    void *ctx;
};

/* Looks at the folder of trees and the log now (`is_used` is asked on this thread), works on the thread pool, then calls done. No tree may be
 * built meanwhile; the roots of the log are copied. 0 or GRID_ENOMEM (then done is not called). */
int tidy_start(struct loop *l, const struct tidy_options *options, loop_fn done, void *arg);

#endif
