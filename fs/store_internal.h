/* fs/store_internal.h: what the files of the store share. store.h tells of the three mutexes and their order. */
#ifndef GRID_FS_STORE_INTERNAL_H
#define GRID_FS_STORE_INTERNAL_H

#include <pthread.h>

#include "fs/segment.h"
#include "fs/store.h"

/* Where an object's record lies, beside its id in the map. */
struct store_location {
    uint32_t segment; /* number */
    uint32_t offset;
    uint32_t raw_size;
    uint32_t stored_size;
    uint32_t epoch; /* when it was last put, found or read */
};

struct store_batch_row {
    uint32_t offset; /* in the batch */
    uint32_t raw_size;
    uint32_t stored_size;
};

struct store {
    int dir_fd;
    int lock_fd;
    struct store_options options;
    pthread_mutex_t sync;
    pthread_mutex_t append;
    pthread_mutex_t index; /* guards all below */
    struct id_map ids;
    struct store_location *locations;
    uint32_t location_capacity;
    struct segment **segments; /* by ascending number; the last one is written to */
    uint32_t segment_count;
    uint32_t segment_capacity;
    uint64_t stored_bytes;
    uint64_t disk_bytes;
    uint64_t dropped;
    struct id_map lost; /* of them, what has not come again; where memory is short, not all */
    uint32_t epoch;
    struct store_hold *holds;
    bool dir_dirty;
    bool collecting;
    bool broken; /* a sync failed; guarded by the append mutex */
    bool refused; /* a commit for max_bytes, more lately than for want of room on the disk; likewise */
};

static inline uint32_t store_record_bytes(uint32_t stored_size)
{
    return RECORD_HEADER_BYTES + stored_size;
}

/* ---- store_index.c: under the index mutex ---- */

/* Sets where an object lies; a record of it elsewhere is dead from now on. 0 or GRID_ENOMEM. */
int store_index_set(struct store *s, const struct object_id *id, const struct store_location *at);
void store_index_remove(struct store *s, uint32_t number);
/* Finds an object and notes that it is in use. NULL when there is none. */
struct store_location *store_index_touch(struct store *s, const struct object_id *id);

/* Which of `count` segments by ascending number has this one; `count` when none. Needs no mutex. */
uint32_t store_segments_place(struct segment *const *segments, uint32_t count, uint32_t number);
/* A segment by its number, NULL when there is none; its place in the table, segment_count when there is none. */
struct segment *store_segment_find(struct store *s, uint32_t number);
uint32_t store_segment_at(const struct store *s, uint32_t number);
/* Takes over an open segment. 0 or GRID_ENOMEM. */
int store_segments_add(struct store *s, const struct segment *segment);
/* Ends one use of it. */
void store_segment_release(struct segment *segment);

/* The one that is written to, NULL when there is none. Under the append or the index mutex. */
struct segment *store_last_segment(struct store *s);

/* Takes the index mutex itself. */
void store_segment_unref(struct store *s, struct segment *segment);

/* ---- store.c ---- */

/* Reads a record and checks its checksums. out->data borrows from *memory, which the caller frees. 0, GRID_ECORRUPT, GRID_EIO, GRID_ENOMEM. */
int store_read_record(const struct segment *segment, const struct object_id *id, const struct store_location *at, uint8_t **memory,
                      struct record_packed *out);
/* Forgets an object whose record turned out damaged, unless it has been put anew elsewhere. Takes the index mutex itself. */
void store_drop_damaged(struct store *s, const struct object_id *id, const struct store_location *at);

/* ---- store_hint.c ---- */

/* "NNNNNNNN.hint". False for any other name. */
bool store_hint_parse_name(const char *name, uint32_t *number);
/* Takes what the segment's hint tells into the index; segment->hinted says how far that reaches. A hint that is damaged or does not fit is taken away. 0, GRID_ENOMEM,
 * or as store_hint_drop. */
int store_hint_load(struct store *s, struct segment *segment);
/* Writes hints of those segments (by ascending number) that are on disk as they are, and whose names are, and that have no hint of all of them yet. The index is gone
 * through once for many of them. A hint that cannot be written is none. Under the append mutex. */
void store_hints_write(struct store *s, struct segment *const *segments, uint32_t count);
/* Takes the hint away for good: before what it tells of is cut. Under the append mutex. */
int store_hint_drop(struct store *s, struct segment *segment);
/* Takes one away whose segment is gone, or goes. */
void store_hint_unlink(struct store *s, uint32_t number);

/* ---- store_batch.c ---- */

/* Adds a packed object to a batch, whether or not the store has it. As store_batch_put_packed. */
int store_batch_add(struct store_batch *b, const struct object_id *id, const struct record_packed *packed);
/* Begins the next segment. Under the append mutex. */
int store_begin_segment(struct store *s);

#endif
