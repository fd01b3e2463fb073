/* Reading listings in order. */
#include "fs/manifest_listing.h"

#include "base/err.h"

int listing_open(struct listing *l, struct store *s, const struct object_id *id)
{
    *l = (struct listing){0};
    buf_init(&l->content, OBJECT_LISTING_MAX);
    int err = store_get_typed(s, id, OBJECT_DIRECTORY, &l->content);
    if (err == 0)
        err = manifest_dir_open(buf_slice(&l->content), &l->dir);
    if (err == 0)
        listing_next(l);
    return err;
}

void listing_dispose(struct listing *l)
{
    buf_dispose(&l->content);
}

void listing_next(struct listing *l)
{
    l->has = manifest_dir_next(&l->dir, &l->entry);
}

void listing_rewind(struct listing *l)
{
    if (manifest_dir_open(buf_slice(&l->content), &l->dir) == 0)
        listing_next(l);
}

const struct manifest_entry *listing_find(struct listing *l, struct slice name)
{
    while (l->has && slice_compare(l->entry.name, name) < 0)
        listing_next(l);
    return l->has && slice_equal(l->entry.name, name) ? &l->entry : NULL;
}

bool manifest_entry_same(const struct manifest_entry *a, const struct manifest_entry *b)
{
    if (a->kind != b->kind || a->executable != b->executable || a->size != b->size)
        return false;
    return a->kind == MANIFEST_SYMLINK ? slice_equal(a->target, b->target) : object_id_equal(&a->id, &b->id);
}
