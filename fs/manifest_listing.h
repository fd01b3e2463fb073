/* fs/manifest_listing.h: a folder's listing, read from the store and gone through entry by entry. One thread at a time for one listing. */
#ifndef GRID_FS_MANIFEST_LISTING_H
#define GRID_FS_MANIFEST_LISTING_H

#include "fs/manifest.h"
#include "fs/store.h"

struct listing {
    struct buf content;
    struct manifest_dir dir;
    struct manifest_entry entry; /* the present one, borrowing from `content` */
    bool has;                    /* there is one: false behind the last */
};

/* Stands at the first entry. GRID_ENOENT or GRID_ECORRUPT as store_get; GRID_EPROTO, GRID_EUNSUPPORTED, GRID_ENOMEM, GRID_EIO. The caller
 * disposes of it in any case; of a zeroed one too. */
int listing_open(struct listing *l, struct store *s, const struct object_id *id);
void listing_dispose(struct listing *l);

void listing_next(struct listing *l);
/* Back to the first entry. */
void listing_rewind(struct listing *l);
/* Goes on to that name, or behind where it would stand. The entry, or NULL when there is none of that name there or further on. */
const struct manifest_entry *listing_find(struct listing *l, struct slice name);

/* The same kind, mode and content, whatever the names. */
bool manifest_entry_same(const struct manifest_entry *a, const struct manifest_entry *b);

#endif
