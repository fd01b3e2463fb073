/* The one encoding of directories and long files. Integers are big-endian and of fixed size. */
#include "fs/manifest.h"

#include "base/err.h"

#define FLAG_ROOT 1u
#define CHUNK_ROW_BYTES 36u /* u32 size, id */

/* ---- names and targets ---- */

bool manifest_name_valid(struct slice name)
{
    if (name.size == 0 || name.size > MANIFEST_NAME_MAX || slice_equal_str(name, ".") || slice_equal_str(name, ".."))
        return false;
    return slice_find_byte(name, 0, '/') < 0 && slice_find_byte(name, 0, '\0') < 0;
}

int manifest_target_climb(struct slice target)
{
    int climb = 0;
    bool named = false;
    if (target.size == 0 || target.size > MANIFEST_TARGET_MAX || target.data[0] == '/' || slice_find_byte(target, 0, '\0') >= 0)
        return -1;
    for (size_t start = 0; start <= target.size;) {
        ptrdiff_t slash = slice_find_byte(target, start, '/');
        size_t end = slash < 0 ? target.size : (size_t) slash;
        struct slice part = slice_of(target.data + start, end - start);
        if (slice_equal_str(part, "..")) {
            if (named)
                return -1;
            climb++;
        } else if (part.size > 0 && !slice_equal_str(part, ".")) {
            named = true;
        }
        start = end + 1;
    }
    return climb;
}

/* ---- decoding ---- */

static bool take_u32(struct slice *in, uint32_t *out)
{
    uint64_t wide;
    if (!slice_take_uint(in, 4, &wide))
        return false;
    *out = (uint32_t) wide;
    return true;
}

static bool take_id(struct slice *in, struct object_id *out)
{
    struct slice bytes;
    return slice_take(in, OBJECT_ID_BYTES, &bytes) && object_id_from_slice(bytes, out) == 0;
}

static bool take_params(struct slice *in, struct chunker_params *out)
{
    return take_u32(in, &out->min_bytes) && take_u32(in, &out->average_bytes) && take_u32(in, &out->max_bytes) &&
           slice_take_uint(in, 8, &out->seed);
}

static bool entry_sound(const struct manifest_entry *e)
{
    switch (e->kind) {
    case MANIFEST_FILE:
        return e->size <= OBJECT_CHUNK_MAX;
    case MANIFEST_LONG_FILE:
        return e->size >= 2 && e->size <= (uint64_t) OBJECT_LISTING_MAX / CHUNK_ROW_BYTES * OBJECT_CHUNK_MAX;
    case MANIFEST_DIRECTORY:
        return !e->executable && e->size >= 6 && e->size <= OBJECT_LISTING_MAX;
    case MANIFEST_SYMLINK:
        return !e->executable && e->size == e->target.size && manifest_target_climb(e->target) >= 0;
    }
    return false;
}

static bool take_entry(struct slice *in, struct manifest_entry *out)
{
    uint64_t kind, mode, name_size;
    *out = (struct manifest_entry){0};
    if (!slice_take_uint(in, 1, &kind) || !slice_take_uint(in, 1, &mode) || !slice_take_uint(in, 1, &name_size) || mode > 1 ||
        !slice_take(in, (size_t) name_size, &out->name) || !slice_take_uint(in, 8, &out->size))
        return false;
    out->kind = (enum manifest_kind) kind;
    out->executable = mode == 1;
    if (kind == MANIFEST_SYMLINK)
        return out->size <= MANIFEST_TARGET_MAX && slice_take(in, (size_t) out->size, &out->target);
    return take_id(in, &out->id);
}

static int dir_header(struct slice *in, struct manifest_dir *out)
{
    uint64_t version, flags;
    if (!slice_take_uint(in, 1, &version))
        return GRID_EPROTO;
    if (version != MANIFEST_VERSION)
        return GRID_EUNSUPPORTED;
    if (!slice_take_uint(in, 1, &flags) || flags > FLAG_ROOT)
        return GRID_EPROTO;
    out->root = flags == FLAG_ROOT;
    if (out->root && !take_params(in, &out->chunker))
        return GRID_EPROTO;
    return take_u32(in, &out->count) ? 0 : GRID_EPROTO;
}

int manifest_dir_open(struct slice content, struct manifest_dir *out)
{
    struct manifest_entry entry;
    *out = (struct manifest_dir){0};
    if (content.size > OBJECT_LISTING_MAX)
        return GRID_EPROTO;
    int err = dir_header(&content, out);
    if (err != 0)
        return err;
    struct slice rest = content, last = {0};
    for (uint32_t i = 0; i < out->count; i++) {
        if (!take_entry(&rest, &entry) || !manifest_name_valid(entry.name) || !entry_sound(&entry) ||
            (i > 0 && slice_compare(last, entry.name) >= 0))
            return GRID_EPROTO;
        last = entry.name;
    }
    out->rest = content;
    return rest.size == 0 ? 0 : GRID_EPROTO;
}

bool manifest_dir_next(struct manifest_dir *d, struct manifest_entry *out)
{
    return d->rest.size > 0 && take_entry(&d->rest, out);
}

static bool take_chunk(struct slice *in, struct manifest_chunk *out)
{
    return take_u32(in, &out->size) && take_id(in, &out->id);
}

int manifest_file_open(struct slice content, struct manifest_file *out)
{
    struct manifest_chunk chunk;
    uint64_t version;
    *out = (struct manifest_file){0};
    if (content.size > OBJECT_LISTING_MAX || !slice_take_uint(&content, 1, &version))
        return GRID_EPROTO;
    if (version != MANIFEST_VERSION)
        return GRID_EUNSUPPORTED;
    if (!take_u32(&content, &out->count) || out->count < 2 || content.size != (uint64_t) out->count * CHUNK_ROW_BYTES)
        return GRID_EPROTO;
    for (struct slice rest = content; take_chunk(&rest, &chunk); out->size += chunk.size)
        if (chunk.size == 0 || chunk.size > OBJECT_CHUNK_MAX)
            return GRID_EPROTO;
    out->rest = content;
    return 0;
}

bool manifest_file_next(struct manifest_file *f, struct manifest_chunk *out)
{
    return f->rest.size > 0 && take_chunk(&f->rest, out);
}

/* ---- encoding ---- */

static void put(struct manifest_writer *w, struct slice bytes)
{
    if (w->err == 0)
        w->err = buf_append(w->out, bytes);
}

static void put_uint(struct manifest_writer *w, size_t size, uint64_t value)
{
    uint8_t bytes[8];
    for (size_t i = 0; i < size; i++)
        bytes[i] = (uint8_t) (value >> (8 * (size - 1 - i)));
    put(w, slice_of(bytes, size));
}

static void put_count(struct manifest_writer *w)
{
    w->count_at = w->out->size;
    put_uint(w, 4, 0);
}

void manifest_dir_begin(struct manifest_writer *w, struct buf *out, const struct chunker_params *root)
{
    *w = (struct manifest_writer){.out = out};
    put_uint(w, 1, MANIFEST_VERSION);
    put_uint(w, 1, root ? FLAG_ROOT : 0);
    if (root) {
        put_uint(w, 4, root->min_bytes);
        put_uint(w, 4, root->average_bytes);
        put_uint(w, 4, root->max_bytes);
        put_uint(w, 8, root->seed);
    }
    put_count(w);
}

static bool follows_last(const struct manifest_writer *w, struct slice name)
{
    return w->count == 0 || slice_compare(slice_of(w->out->data + w->last_name_at, w->last_name_size), name) < 0;
}

void manifest_dir_add(struct manifest_writer *w, const struct manifest_entry *e)
{
    if (w->err == 0 && (!manifest_name_valid(e->name) || !entry_sound(e) || !follows_last(w, e->name)))
        w->err = GRID_EINVAL;
    put_uint(w, 1, e->kind);
    put_uint(w, 1, e->executable);
    put_uint(w, 1, e->name.size);
    w->last_name_at = w->out->size;
    w->last_name_size = e->name.size;
    put(w, e->name);
    put_uint(w, 8, e->size);
    put(w, e->kind == MANIFEST_SYMLINK ? e->target : slice_of(e->id.bytes, OBJECT_ID_BYTES));
    w->count++;
}

void manifest_file_begin(struct manifest_writer *w, struct buf *out)
{
    *w = (struct manifest_writer){.out = out};
    put_uint(w, 1, MANIFEST_VERSION);
    put_count(w);
}

void manifest_file_add(struct manifest_writer *w, const struct manifest_chunk *chunk)
{
    if (w->err == 0 && (chunk->size == 0 || chunk->size > OBJECT_CHUNK_MAX))
        w->err = GRID_EINVAL;
    put_uint(w, 4, chunk->size);
    put(w, slice_of(chunk->id.bytes, OBJECT_ID_BYTES));
    w->count++;
}

int manifest_end(struct manifest_writer *w)
{
    if (w->err != 0)
        return w->err;
    for (size_t i = 0; i < 4; i++)
        w->out->data[w->count_at + i] = (uint8_t) (w->count >> (24 - 8 * i));
    return w->out->size > OBJECT_LISTING_MAX ? GRID_ELIMIT : 0;
}
