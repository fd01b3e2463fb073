/* fs/release_keep.h: how many old releases are kept to go back to. Pure. */
#ifndef GRID_FS_RELEASE_KEEP_H
#define GRID_FS_RELEASE_KEEP_H

#include "fs/release_log.h"

struct release_keep {
    uint32_t count;  /* the newest, and those before it; from 1 to RELEASE_KEPT */
    uint64_t age_ms; /* since another one took its place; 0: whatever its age */
};

/* How many of an app's newest entries are to be kept at `now_ms` (Unix time): the newest whatever its age, and each one before it as long as the one
 * that came after it is not older than that, by its publisher's clock. */
size_t release_keep_count(const struct release_log *l, struct slice app, const struct release_keep *keep, int64_t now_ms);

/* Whether there was an entry, by those that follow it, that is not here and would be kept. */
bool release_keep_lacks(const struct release_log *l, struct slice app, const struct release_keep *keep, int64_t now_ms);

#endif
