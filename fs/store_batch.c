/* Writing to a store: objects gathered in memory, appended with one write, then made known. */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/err.h"
#include "fs/store_internal.h"

#define BATCH_BYTES (1024u * 1024)
#define MIB 1048576.0

void store_batch_init(struct store_batch *b, struct store *s)
{
    *b = (struct store_batch){.store = s};
    buf_init(&b->records, BATCH_BYTES + OBJECT_LISTING_MAX + 1 + RECORD_HEADER_BYTES);
    id_map_init(&b->ids);
}

void store_batch_dispose(struct store_batch *b)
{
    buf_dispose(&b->records);
    id_map_dispose(&b->ids);
    free(b->rows);
    record_packer_dispose(&b->packer);
}

static bool batch_reserve(struct store_batch *b)
{
    if (b->ids.count < b->row_capacity)
        return true;
    uint32_t capacity = b->row_capacity ? b->row_capacity * 2 : 64;
    struct store_batch_row *rows = realloc(b->rows, capacity * sizeof *rows);
    if (!rows)
        return false;
    b->rows = rows;
    b->row_capacity = capacity;
    return true;
}

int store_batch_add(struct store_batch *b, const struct object_id *id, const struct record_packed *packed)
{
    struct store_batch_row row = {(uint32_t) b->records.size, packed->raw_size, (uint32_t) packed->data.size};
    if (!batch_reserve(b))
        return GRID_ENOMEM;
    int err = record_append(&b->records, id, packed);
    if (err != 0)
        return err;
    uint32_t number = id_map_add(&b->ids, id);
    if (number == ID_MAP_NONE) {
        buf_truncate(&b->records, row.offset);
        return GRID_ENOMEM;
    }
    b->rows[number] = row;
    return b->records.size >= BATCH_BYTES ? store_batch_commit(b) : 0;
}

static bool batch_knows(struct store_batch *b, const struct object_id *id)
{
    return id_map_find(&b->ids, id) != ID_MAP_NONE || store_has(b->store, id);
}

int store_batch_put(struct store_batch *b, enum object_type type, struct slice content, struct object_id *id)
{
    struct record_packed packed;
    if (content.size > object_type_limit(type))
        return GRID_ELIMIT;
    int err = object_id_compute(type, content, id);
    if (err != 0)
        return err;
    b->raw_bytes += content.size;
    if (batch_knows(b, id)) {
        b->saved_bytes += content.size;
        return 0;
    }
    err = record_pack(&b->packer, type, content, &packed);
    return err == 0 ? store_batch_add(b, id, &packed) : err;
}

int store_batch_put_packed(struct store_batch *b, const struct object_id *id, const struct record_packed *packed)
{
    b->raw_bytes += packed->raw_size - 1;
    if (!batch_knows(b, id))
        return store_batch_add(b, id, packed);
    b->saved_bytes += packed->raw_size - 1;
    return 0;
}

/* Begins the next segment. Under the append mutex. */
int store_begin_segment(struct store *s)
{
    struct segment segment, *last = store_last_segment(s);
    uint32_t number = last ? last->number + 1 : 1;
    int err = segment_create(s->dir_fd, number, &segment);
    if (err != 0)
        return err;
    pthread_mutex_lock(&s->index);
    err = store_segments_add(s, &segment);
    s->dir_dirty = true;
    pthread_mutex_unlock(&s->index);
    if (err != 0) {
        segment_close(&segment);
        segment_unlink(s->dir_fd, number);
    }
    return err;
}

static bool is_within_budget(struct store *s, size_t size)
{
    s->refused = s->options.max_bytes > 0 && s->disk_bytes + size > s->options.max_bytes;
    return !s->refused;
}

/* Makes sure that the last segment takes `size` bytes more. Under the append mutex. */
static int make_room(struct store *s, size_t size, bool beyond_budget)
{
    struct segment *last = store_last_segment(s);
    if (s->broken)
        return GRID_EIO;
    if (!beyond_budget && !is_within_budget(s, size))
        return GRID_ENOSPC;
    if (last && !last->damaged && (last->size <= SEGMENT_HEADER_BYTES || last->size + size <= s->options.segment_bytes))
        return 0;
    return store_begin_segment(s);
}

/* Makes written records known. Under the append mutex. */
static int publish_rows(struct store *s, const struct store_batch *b, const struct segment *segment, uint64_t start)
{
    int err = 0;
    pthread_mutex_lock(&s->index);
    s->disk_bytes += b->records.size;
    for (uint32_t i = 0; i < b->ids.count && err == 0; i++) {
        struct store_location at = {segment->number, (uint32_t) (start + b->rows[i].offset), b->rows[i].raw_size, b->rows[i].stored_size,
                              s->epoch};
        err = store_index_set(s, &b->ids.ids[i], &at);
    }
    pthread_mutex_unlock(&s->index);
    return err;
}

static int append_batch(struct store *s, struct store_batch *b)
{
    int err = make_room(s, b->records.size, b->beyond_budget);
    if (err != 0)
        return err;
    struct segment *segment = store_last_segment(s);
    uint64_t start = segment->size;
    err = segment_append(segment, buf_slice(&b->records));
    return err == 0 ? publish_rows(s, b, segment, start) : err;
}

int store_batch_commit(struct store_batch *b)
{
    struct store *s = b->store;
    if (b->ids.count == 0)
        return 0;
    pthread_mutex_lock(&s->append);
    int err = append_batch(s, b);
    pthread_mutex_unlock(&s->append);
    if (err != 0)
        return err;
    b->new_bytes += b->records.size;
    buf_clear(&b->records);
    id_map_clear(&b->ids);
    return 0;
}

void store_full_clause(struct store *s, char out[STORE_FULL_MAX])
{
    pthread_mutex_lock(&s->append);
    bool refused = s->refused;
    double used = (double) s->disk_bytes / MIB, allowed = (double) s->options.max_bytes / MIB;
    pthread_mutex_unlock(&s->append);
    if (refused)
        snprintf(out, STORE_FULL_MAX, "the node keeps %.1f MiB of releases already and --store-max allows %.1f MiB: raise it, keep fewer releases (--keep-releases, --keep-age), or name what needs no server in .gridignore", used, allowed);
    else
        snprintf(out, STORE_FULL_MAX, "the disk of the state folder is full; free some space");
}
