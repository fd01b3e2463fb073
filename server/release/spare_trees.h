/* server/release/spare_trees.h: trees that nobody runs in, of older releases or made ahead (release_spare.c), kept so that the next release can be made of one
 * of them: a few, the rest is rubbish. Blocking for a moment (one folder is listed). */
#ifndef GRID_SERVER_RELEASE_SPARE_TREES_H
#define GRID_SERVER_RELEASE_SPARE_TREES_H

#include "fs/materialize.h"

/* Two: the next release may come while processes of the one before still drain. */
enum { SPARE_TREES_KEPT = 2, SPARE_TREES_MAX = 4 };

struct spare_trees {
    char names[SPARE_TREES_MAX][MATERIALIZE_NAME_SIZE]; /* of the trees, the last finished first */
    int64_t finished_ns[SPARE_TREES_MAX];           /* Unix time */
    size_t count;
};

/* The unused trees in the folder whose manifests the store has, the last finished. `is_used` may be asked of any name. */
void spare_trees_find(int trees_fd, struct store *store, bool (*is_used)(void *ctx, const char *name), void *ctx, struct spare_trees *out);

/* Whether the tree is one of those to be kept. */
bool spare_trees_keep(const struct spare_trees *s, const char *name);

#endif
