/* fs/manifest_measure.h: how large a release is, and how far two lie apart, by their manifests alone. Blocking; any thread. */
#ifndef GRID_FS_MANIFEST_MEASURE_H
#define GRID_FS_MANIFEST_MEASURE_H

#include "fs/store.h"

/* Sees to it that the tree of `root` has at most MANIFEST_ENTRIES_MAX entries and MANIFEST_DEPTH_MAX folders in one another, each listing being read
 * once, wherever and however often the tree has it. 0 and their number; GRID_ELIMIT; GRID_EPROTO for a listing that is malformed, or a root where
 * none belongs; GRID_ENOENT, GRID_ECORRUPT as store_get; GRID_ENOMEM, GRID_EIO. */
int manifest_measure(struct store *s, const struct object_id *root, uint64_t *entries);

/* Counts the entries that are in one tree and not, or not so, in the other; folders of the same id are not gone into. 0; GRID_ELIMIT when there are
 * more than `max`; otherwise as above. */
int manifest_difference(struct store *s, const struct object_id *a, const struct object_id *b, uint32_t max, uint32_t *entries);

#endif
