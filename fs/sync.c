/* The planner's life: the tree as its listings come, objects as they arrive, and where it stands. */
#include <stdlib.h>

#include "base/err.h"
#include "fs/sync_internal.h"

#define REQUESTS_PER_PEER 4u
#define BACKOFF_MS 500u
#define BACKOFF_MAX_MS 60000u
#define LIAR_BACKOFF_MS 30000u

/* ---- the base's directory of the same path ---- */

struct twin {
    struct buf content;
    struct manifest_dir dir;
    struct manifest_entry entry;
    bool more;
};

/* Without it this node's numbers would be its own. */
static void twin_open(struct sync *s, uint32_t number, struct twin *t)
{
    buf_init(&t->content, OBJECT_LISTING_MAX);
    t->more = false;
    if (number == SYNC_NOBODY)
        return;
    struct object_id id = s->twins.ids[number];
    int err = s->source.load(s->source.arg, &id, OBJECT_DIRECTORY, &t->content);
    if (err == 0)
        err = manifest_dir_open(buf_slice(&t->content), &t->dir);
    if (err == 0)
        t->more = manifest_dir_next(&t->dir, &t->entry);
    else
        s->misnumbered = true;
}

/* Its entry of that name; NULL when it has none. Names come in order. */
static const struct manifest_entry *twin_find(struct twin *t, struct slice name)
{
    while (t->more && slice_compare(t->entry.name, name) < 0)
        t->more = manifest_dir_next(&t->dir, &t->entry);
    return t->more && slice_equal(t->entry.name, name) ? &t->entry : NULL;
}

/* ---- listings ---- */

static int expand_entry(struct sync *s, const struct manifest_entry *e, const struct manifest_entry *old)
{
    enum object_type type = manifest_kind_object(e->kind);
    bool alike = old && old->kind != MANIFEST_SYMLINK && manifest_kind_object(old->kind) == type;
    if (e->kind == MANIFEST_SYMLINK || (alike && object_id_equal(&old->id, &e->id)))
        return 0;
    return sync_row_meet(s, &e->id, type, e->size, alike && type == OBJECT_DIRECTORY ? &old->id : NULL);
}

static int expand_directory(struct sync *s, uint32_t number, struct slice content)
{
    struct manifest_dir dir;
    struct manifest_entry entry;
    struct twin twin;
    int err = manifest_dir_open(content, &dir);
    if (err == 0 && (dir.root != (number == 0) || (number != 0 && content.size != s->rows[number].size)))
        err = GRID_EPROTO;
    twin_open(s, err == 0 ? s->rows[number].twin : SYNC_NOBODY, &twin);
    while (err == 0 && manifest_dir_next(&dir, &entry))
        err = expand_entry(s, &entry, twin_find(&twin, entry.name));
    buf_dispose(&twin.content);
    return err;
}

static int expand_file(struct sync *s, uint32_t number, struct slice content)
{
    struct manifest_file file;
    struct manifest_chunk chunk;
    int err = manifest_file_open(content, &file);
    if (err == 0 && file.size != s->rows[number].size)
        err = GRID_EPROTO;
    while (err == 0 && manifest_file_next(&file, &chunk))
        err = sync_row_meet(s, &chunk.id, OBJECT_CHUNK, chunk.size, NULL);
    return err;
}

static void pass_chunks(struct sync *s)
{
    while (s->expand_at < s->ids.count && s->rows[s->expand_at].type == OBJECT_CHUNK)
        s->expand_at++;
}

/* Looks into the listing whose turn it is. */
static int expand(struct sync *s, struct slice content)
{
    uint32_t number = s->expand_at;
    int err = s->rows[number].type == OBJECT_DIRECTORY ? expand_directory(s, number, content) : expand_file(s, number, content);
    s->expand_at++;
    pass_chunks(s);
    return err;
}

static bool walks_on(const struct sync *s)
{
    return s->expand_at < s->ids.count && s->rows[s->expand_at].state == ROW_HAD;
}

static int walk_one(struct sync *s, struct buf *content)
{
    uint32_t number = s->expand_at;
    struct object_id id = s->ids.ids[number];
    buf_clear(content);
    int err = s->source.load(s->source.arg, &id, (enum object_type) s->rows[number].type, content);
    if (err == GRID_ENOENT || err == GRID_ECORRUPT) {
        sync_row_lost(s, number);
        return 0;
    }
    return err == 0 ? expand(s, buf_slice(content)) : err;
}

int sync_walk(struct sync *s, uint32_t max_objects)
{
    struct buf content;
    buf_init(&content, OBJECT_LISTING_MAX);
    for (; max_objects > 0 && s->err == 0 && walks_on(s); max_objects--)
        s->err = walk_one(s, &content);
    buf_dispose(&content);
    if (s->err != 0)
        return s->err;
    return walks_on(s) ? GRID_EAGAIN : 0;
}

/* ---- life ---- */

static uint32_t or_default(uint32_t value, uint32_t fallback)
{
    return value ? value : fallback;
}

static struct sync_options options_complete(const struct sync_options *given)
{
    struct sync_options o = given ? *given : (struct sync_options){0};
    o.requests_per_peer = or_default(o.requests_per_peer, REQUESTS_PER_PEER);
    if (o.requests_per_peer > SYNC_REQUESTS_PER_PEER_MAX)
        o.requests_per_peer = SYNC_REQUESTS_PER_PEER_MAX;
    o.backoff_ms = or_default(o.backoff_ms, BACKOFF_MS);
    o.backoff_max_ms = or_default(o.backoff_max_ms, BACKOFF_MAX_MS);
    o.liar_backoff_ms = or_default(o.liar_backoff_ms, LIAR_BACKOFF_MS);
    return o;
}

int sync_create(const struct object_id *root, const struct sync_source *source, const struct sync_options *options, struct sync **out)
{
    struct sync *s = calloc(1, sizeof *s);
    *out = s;
    if (!s)
        return GRID_ENOMEM;
    s->source = *source;
    s->options = options_complete(options);
    id_map_init(&s->ids);
    id_map_init(&s->twins);
    sync_queues_init(s);
    int err = sync_row_meet(s, root, OBJECT_DIRECTORY, 0, s->options.base);
    s->options.base = NULL; /* borrowed for the call */
    if (err != 0) {
        sync_destroy(s);
        *out = NULL;
    }
    return err;
}

void sync_destroy(struct sync *s)
{
    if (!s)
        return;
    sync_slots_dispose(s);
    for (uint32_t i = 0; i < SYNC_PEERS_MAX; i++)
        free(s->peers[i].bits);
    id_map_dispose(&s->ids);
    id_map_dispose(&s->twins);
    free(s->rows);
    free(s->had_log);
    free(s);
}

/* ---- answers ---- */

/* A listing that comes before its turn is looked into by sync_walk, from the store. */
static int arrived(struct sync *s, uint32_t number, enum object_type type, struct slice content)
{
    if (type != (enum object_type) s->rows[number].type || (type == OBJECT_CHUNK && content.size != s->rows[number].size))
        return GRID_EPROTO;
    return number == s->expand_at ? expand(s, content) : 0;
}

int sync_receive(struct sync *s, uint32_t peer, const struct object_id *id, enum object_type type, struct slice content,
                 uint64_t now_ms)
{
    struct object_id real;
    uint32_t number = id_map_find(&s->ids, id);
    if (s->err != 0)
        return s->err;
    if (!sync_peer_is(s, peer) || number == ID_MAP_NONE || !sync_row_open(&s->rows[number]))
        return GRID_ENOENT;
    int err = object_id_compute(type, content, &real);
    if (err != 0)
        return s->err = err;
    if (!object_id_equal(&real, id)) {
        sync_peer_lied(s, peer, now_ms);
        return GRID_ECORRUPT;
    }
    s->peers[peer].failures = 0;
    s->active_ms = now_ms;
    s->bytes_received += content.size;
    sync_row_arrived(s, number);
    return s->err = arrived(s, number, type, content);
}

/* ---- state ---- */

enum sync_state sync_status(const struct sync *s, uint64_t now_ms, uint64_t *retry_at_ms)
{
    if (retry_at_ms)
        *retry_at_ms = UINT64_MAX;
    if (s->err != 0)
        return SYNC_FAILED;
    if (s->had == s->ids.count && s->expand_at == s->ids.count)
        return SYNC_DONE;
    if (s->asked > 0 || sync_can_ask(s, now_ms))
        return SYNC_MORE;
    if (walks_on(s))
        return SYNC_WALK;
    if (retry_at_ms)
        *retry_at_ms = sync_ask_later(s, now_ms);
    return SYNC_STUCK;
}

int sync_error(const struct sync *s)
{
    return s->err;
}

void sync_progress_get(const struct sync *s, struct sync_progress *out)
{
    *out = (struct sync_progress){s->ids.count, s->had, s->bytes_wanted, s->bytes_received};
}

const uint32_t *sync_had(const struct sync *s, size_t *count)
{
    *count = s->had_log_count;
    return s->had_log;
}

bool sync_is_numbered_alike(const struct sync *s)
{
    return !s->misnumbered;
}
