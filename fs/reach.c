/* A stored release from its root down, breadth first. */
#include "fs/reach.h"

#include <string.h>

#include "base/err.h"
#include "fs/manifest.h"

/* An object that is to be read. */
struct inner {
    struct object_id id;
    enum object_type type;
};

struct marking {
    struct store *store;
    struct id_map *live;
    struct buf queue; /* of struct inner */
    size_t queue_at;
    struct buf content;
    uint64_t missing;
    uint64_t lost; /* of them, by damage */
    bool reads_chunks;
};

static void count_missing(struct marking *m, const struct object_id *id)
{
    m->missing++;
    m->lost += store_has_lost(m->store, id);
}

static int mark_id(struct marking *m, const struct object_id *id, enum object_type type)
{
    struct inner inner = {*id, type};
    uint32_t before = m->live->count;
    if (id_map_add(m->live, id) == ID_MAP_NONE)
        return GRID_ENOMEM;
    if (m->live->count == before)
        return 0;
    if (!store_has(m->store, id)) {
        count_missing(m, id);
        return 0;
    }
    return type == OBJECT_CHUNK && !m->reads_chunks ? 0 : buf_append(&m->queue, slice_of(&inner, sizeof inner));
}

static int mark_directory(struct marking *m)
{
    struct manifest_dir dir;
    struct manifest_entry entry;
    int err = manifest_dir_open(buf_slice(&m->content), &dir);
    while (err == 0 && manifest_dir_next(&dir, &entry))
        if (entry.kind != MANIFEST_SYMLINK)
            err = mark_id(m, &entry.id, manifest_kind_object(entry.kind));
    return err;
}

static int mark_file(struct marking *m)
{
    struct manifest_file file;
    struct manifest_chunk chunk;
    int err = manifest_file_open(buf_slice(&m->content), &file);
    while (err == 0 && manifest_file_next(&file, &chunk))
        err = mark_id(m, &chunk.id, OBJECT_CHUNK);
    return err;
}

static int mark_inner(struct marking *m, const struct inner *inner)
{
    int err = store_get_typed(m->store, &inner->id, inner->type, &m->content);
    if (err == GRID_ENOENT || err == GRID_ECORRUPT) {
        count_missing(m, &inner->id);
        return 0;
    }
    if (err != 0)
        return err;
    if (inner->type == OBJECT_CHUNK)
        return 0;
    return inner->type == OBJECT_DIRECTORY ? mark_directory(m) : mark_file(m);
}

static int walk(struct marking *m, const struct object_id *root)
{
    struct inner inner;
    buf_init(&m->queue, 0);
    buf_init(&m->content, OBJECT_LISTING_MAX);
    int err = mark_id(m, root, OBJECT_DIRECTORY);
    while (err == 0 && m->queue_at < m->queue.size) {
        memcpy(&inner, m->queue.data + m->queue_at, sizeof inner);
        m->queue_at += sizeof inner;
        err = mark_inner(m, &inner);
    }
    buf_dispose(&m->queue);
    buf_dispose(&m->content);
    return err;
}

int release_mark(struct store *s, const struct object_id *root, struct id_map *live, uint64_t *missing)
{
    struct marking m = {.store = s, .live = live};
    int err = walk(&m, root);
    if (missing)
        *missing = m.missing;
    return err;
}

int release_check(struct store *s, const struct object_id *root, uint64_t *missing)
{
    struct id_map seen;
    struct marking m = {.store = s, .live = &seen, .reads_chunks = true};
    id_map_init(&seen);
    int err = walk(&m, root);
    *missing = m.missing;
    id_map_dispose(&seen);
    return err;
}

int release_lost(struct store *s, const struct object_id *root, uint64_t *lost)
{
    struct id_map seen;
    struct marking m = {.store = s, .live = &seen};
    id_map_init(&seen);
    int err = walk(&m, root);
    *lost = m.lost;
    id_map_dispose(&seen);
    return err;
}
