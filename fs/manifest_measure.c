/* Trees of listings, gone through once or side by side. */
#include "fs/manifest_measure.h"

#include <stdlib.h>

#include "base/err.h"
#include "fs/manifest_listing.h"

/* ---- how large ---- */

/* What is known of the folder with the number that its id has in the map. */
struct folder_measure {
    uint64_t entries; /* with all that lies below; beyond MANIFEST_ENTRIES_MAX it does not matter how many */
    unsigned height;  /* folders inside one another, itself too */
};

struct measure {
    struct store *store;
    struct id_map known;
    struct folder_measure *folders;
    uint32_t capacity;
};

static int measure_keep(struct measure *m, const struct object_id *id, const struct folder_measure *folder)
{
    if (m->known.count == m->capacity) {
        uint32_t capacity = m->capacity ? m->capacity * 2 : 256;
        struct folder_measure *folders = realloc(m->folders, capacity * sizeof *folders);
        if (!folders)
            return GRID_ENOMEM;
        m->folders = folders;
        m->capacity = capacity;
    }
    uint32_t number = id_map_add(&m->known, id);
    if (number == ID_MAP_NONE)
        return GRID_ENOMEM;
    m->folders[number] = *folder;
    return 0;
}

static int measure_folder(struct measure *m, const struct object_id *id, unsigned depth, struct folder_measure *out);

static int measure_entry(struct measure *m, const struct manifest_entry *e, unsigned depth, struct folder_measure *sum)
{
    struct folder_measure below = {0};
    int err = e->kind == MANIFEST_DIRECTORY ? measure_folder(m, &e->id, depth + 1, &below) : 0;
    sum->entries += 1 + below.entries;
    sum->height = below.height + 1 > sum->height ? below.height + 1 : sum->height;
    return err == 0 && (sum->entries > MANIFEST_ENTRIES_MAX || depth + sum->height > MANIFEST_DEPTH_MAX) ? GRID_ELIMIT : err;
}

static int measure_listing(struct measure *m, const struct object_id *id, unsigned depth, struct folder_measure *out)
{
    struct listing l;
    *out = (struct folder_measure){.height = 1};
    if (depth >= MANIFEST_DEPTH_MAX)
        return GRID_ELIMIT;
    int err = listing_open(&l, m->store, id);
    if (err == 0 && l.dir.root != (depth == 0))
        err = GRID_EPROTO;
    if (err == 0 && l.dir.count > MANIFEST_ENTRIES_MAX)
        err = GRID_ELIMIT;
    for (; err == 0 && l.has; listing_next(&l))
        err = measure_entry(m, &l.entry, depth, out);
    listing_dispose(&l);
    return err == 0 ? measure_keep(m, id, out) : err;
}

static int measure_folder(struct measure *m, const struct object_id *id, unsigned depth, struct folder_measure *out)
{
    uint32_t number = id_map_find(&m->known, id);
    if (number == ID_MAP_NONE)
        return measure_listing(m, id, depth, out);
    *out = m->folders[number];
    return 0;
}

int manifest_measure(struct store *s, const struct object_id *root, uint64_t *entries)
{
    struct measure m = {.store = s};
    struct folder_measure sum;
    id_map_init(&m.known);
    int err = measure_folder(&m, root, 0, &sum);
    *entries = sum.entries;
    id_map_dispose(&m.known);
    free(m.folders);
    return err;
}

/* ---- how far apart ---- */

struct difference {
    struct store *store;
    uint32_t left; /* entries that may still differ */
};

static int count_folder(struct difference *d, const struct object_id *id, unsigned depth);

/* What is on one side only, with all that lies below. */
static int count_whole(struct difference *d, const struct manifest_entry *e, unsigned depth)
{
    if (d->left == 0)
        return GRID_ELIMIT;
    d->left--;
    return e->kind == MANIFEST_DIRECTORY ? count_folder(d, &e->id, depth + 1) : 0;
}

static int count_folder(struct difference *d, const struct object_id *id, unsigned depth)
{
    struct listing l;
    if (depth >= MANIFEST_DEPTH_MAX)
        return GRID_ELIMIT;
    int err = listing_open(&l, d->store, id);
    for (; err == 0 && l.has; listing_next(&l))
        err = count_whole(d, &l.entry, depth);
    listing_dispose(&l);
    return err;
}

static int compare_folders(struct difference *d, const struct object_id *a, const struct object_id *b, unsigned depth);

static int compare_entries(struct difference *d, const struct manifest_entry *a, const struct manifest_entry *b, unsigned depth)
{
    if (a->kind == MANIFEST_DIRECTORY && b->kind == MANIFEST_DIRECTORY)
        return compare_folders(d, &a->id, &b->id, depth + 1);
    if (manifest_entry_same(a, b))
        return 0;
    int err = count_whole(d, a, depth);
    return err == 0 && (a->kind == MANIFEST_DIRECTORY || b->kind == MANIFEST_DIRECTORY) ? count_whole(d, b, depth) : err;
}

static int compare_listings(struct difference *d, struct listing *a, struct listing *b, unsigned depth)
{
    int err = 0;
    while (err == 0 && (a->has || b->has)) {
        int order = !a->has ? 1 : !b->has ? -1 : slice_compare(a->entry.name, b->entry.name);
        err = order == 0 ? compare_entries(d, &a->entry, &b->entry, depth) : count_whole(d, order < 0 ? &a->entry : &b->entry, depth);
        if (order <= 0)
            listing_next(a);
        if (order >= 0)
            listing_next(b);
    }
    return err;
}

static int compare_folders(struct difference *d, const struct object_id *a, const struct object_id *b, unsigned depth)
{
    struct listing x = {0}, y = {0};
    if (object_id_equal(a, b))
        return 0;
    if (depth >= MANIFEST_DEPTH_MAX)
        return GRID_ELIMIT;
    int err = listing_open(&x, d->store, a);
    if (err == 0)
        err = listing_open(&y, d->store, b);
    if (err == 0)
        err = compare_listings(d, &x, &y, depth);
    listing_dispose(&x);
    listing_dispose(&y);
    return err;
}

int manifest_difference(struct store *s, const struct object_id *a, const struct object_id *b, uint32_t max, uint32_t *entries)
{
    struct difference d = {.store = s, .left = max};
    int err = compare_folders(&d, a, b, 0);
    *entries = max - d.left;
    return err;
}
