/* fs/reach.h: what a root reaches in the store. Blocking; for the thread pool. */
#ifndef GRID_FS_REACH_H
#define GRID_FS_REACH_H

#include "fs/store.h"

/* Adds the ids of all that `root` reaches in the store to `live`, its own too, and counts what the store lacks in *missing (may be
 * NULL): a release is whole when that is 0. What hangs below a missing directory is not known and not counted. GRID_EPROTO when the
 * manifest is malformed, GRID_ENOMEM, GRID_EIO. */
int release_mark(struct store *s, const struct object_id *root, struct id_map *live, uint64_t *missing);

/* Reads every object of `root` and checks its hash. What is damaged is dropped, so that it can be fetched again, and counted in *missing with what the
 * store lacks; what hangs below a missing directory is not. Errors as release_mark. */
int release_check(struct store *s, const struct object_id *root, uint64_t *missing);

/* Counts in *lost what `root` reaches that the store has lost (store_has_lost): a release that was never here, or came in part, has lost nothing by that. Errors as
 * release_mark. */
int release_lost(struct store *s, const struct object_id *root, uint64_t *lost);

#endif
