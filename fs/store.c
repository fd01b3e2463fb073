/* Reading a store: what it has, and what comes out of it is what was put in. */
#include <pthread.h>
#include <stdlib.h>

#include "base/err.h"
#include "fs/store_internal.h"

bool store_has(struct store *s, const struct object_id *id)
{
    pthread_mutex_lock(&s->index);
    bool has = store_index_touch(s, id) != NULL;
    pthread_mutex_unlock(&s->index);
    return has;
}

bool store_has_lost(struct store *s, const struct object_id *id)
{
    pthread_mutex_lock(&s->index);
    bool lost = id_map_find(&s->lost, id) != ID_MAP_NONE;
    pthread_mutex_unlock(&s->index);
    return lost;
}

/* Where the object lies, and its segment with a reference. */
static int locate(struct store *s, const struct object_id *id, struct store_location *at, struct segment **segment)
{
    pthread_mutex_lock(&s->index);
    struct store_location *found = store_index_touch(s, id);
    *segment = found ? store_segment_find(s, found->segment) : NULL;
    if (*segment) {
        *at = *found;
        (*segment)->refs++;
    }
    pthread_mutex_unlock(&s->index);
    return *segment ? 0 : GRID_ENOENT;
}

/* Forgets an object whose record turned out damaged, unless it has been put anew elsewhere. */
void store_drop_damaged(struct store *s, const struct object_id *id, const struct store_location *at)
{
    pthread_mutex_lock(&s->index);
    uint32_t number = id_map_find(&s->ids, id);
    if (number != ID_MAP_NONE && s->locations[number].segment == at->segment && s->locations[number].offset == at->offset) {
        store_index_remove(s, number);
        id_map_add(&s->lost, id);
        s->dropped++;
    }
    pthread_mutex_unlock(&s->index);
}

/* Reads a record and checks its checksums. out->data borrows from *memory, which the caller frees. */
int store_read_record(const struct segment *segment, const struct object_id *id, const struct store_location *at, uint8_t **memory,
                      struct record_packed *out)
{
    struct record_header header;
    size_t size = store_record_bytes(at->stored_size);
    *memory = malloc(size);
    if (!*memory)
        return GRID_ENOMEM;
    int err = segment_read(segment, at->offset, *memory, size);
    if (err == 0)
        err = record_decode(slice_of(*memory, size), &header, out);
    if (err == 0 && !object_id_equal(&header.id, id))
        err = GRID_ECORRUPT;
    return err == GRID_EAGAIN ? GRID_ECORRUPT : err;
}

/* What is done with a record once it is read. */
typedef int (*record_fn)(const struct object_id *id, const struct record_packed *packed, enum object_type *type, struct buf *out);

static int unpack_checked(const struct object_id *id, const struct record_packed *packed, enum object_type *type, struct buf *out)
{
    struct object_id real;
    int err = record_unpack(packed, type, out);
    if (err == 0)
        err = object_id_compute(*type, buf_slice(out), &real);
    if (err == GRID_EPROTO || (err == 0 && !object_id_equal(&real, id)))
        err = GRID_ECORRUPT;
    return err;
}

static int copy_packed(const struct object_id *id, const struct record_packed *packed, enum object_type *type, struct buf *out)
{
    (void) id;
    *type = (enum object_type) packed->data.data[0];
    return buf_append(out, packed->data);
}

static int read_object(struct store *s, const struct object_id *id, record_fn fn, struct record_packed *packed, enum object_type *type,
                       struct buf *out)
{
    struct store_location at;
    struct segment *segment;
    uint8_t *memory = NULL;
    buf_clear(out);
    int err = locate(s, id, &at, &segment);
    if (err != 0)
        return err;
    err = store_read_record(segment, id, &at, &memory, packed);
    if (err == 0)
        err = fn(id, packed, type, out);
    free(memory);
    if (err == GRID_ECORRUPT)
        store_drop_damaged(s, id, &at);
    if (err != 0)
        buf_clear(out);
    store_segment_unref(s, segment);
    return err;
}

int store_get(struct store *s, const struct object_id *id, enum object_type *type, struct buf *out)
{
    struct record_packed packed;
    return read_object(s, id, unpack_checked, &packed, type, out);
}

int store_get_typed(struct store *s, const struct object_id *id, enum object_type type, struct buf *out)
{
    enum object_type real;
    int err = store_get(s, id, &real, out);
    return err == 0 && real != type ? GRID_EPROTO : err;
}

int store_get_packed(struct store *s, const struct object_id *id, struct buf *memory, struct record_packed *out)
{
    enum object_type type;
    int err = read_object(s, id, copy_packed, out, &type, memory);
    if (err == 0)
        out->data = buf_slice(memory);
    return err;
}

void store_stats(struct store *s, struct store_stats *out)
{
    pthread_mutex_lock(&s->index);
    *out = (struct store_stats){s->ids.count, s->stored_bytes, s->disk_bytes, s->segment_count, s->dropped};
    pthread_mutex_unlock(&s->index);
}
