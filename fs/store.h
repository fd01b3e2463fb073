/* fs/store.h: all objects a node has: a log of segment files with an index in memory. docs/formats/store.md.
 *
 * Blocking, and meant for the thread pool: every function may be called by any number of threads at once unless it says otherwise.
 * Three mutexes are inside, taken in this order: sync (one at a time), append (one writer of the last segment), index (short; never held
 * over I/O). Reads do their I/O under none.
 *
 * Durability: what a batch committed is in the page cache; it is on disk when store_sync, called after, returns 0. */
#ifndef GRID_FS_STORE_H
#define GRID_FS_STORE_H

#include "fs/id_map.h"
#include "fs/record.h"
#include "fs/report.h"

struct store;

struct store_options {
    uint64_t segment_bytes; /* size at which the next segment is begun; 0 means 64 MiB, at most 1 GiB */
    uint64_t max_bytes;     /* of all segments; beyond it commits are GRID_ENOSPC; 0: as the disk has */
};

struct store_stats {
    uint64_t objects;
    uint64_t stored_bytes; /* of those objects' records */
    uint64_t disk_bytes;   /* of all segments, dead records too */
    uint32_t segments;
    uint64_t dropped; /* damaged records noticed since it was opened */
};

/* Opens or makes the store in folder `path` (its parent exists): hint files tell what it holds, and what they do not tell of is read. A torn tail is cut off,
 * damage is passed over.
 * `options` may be NULL. GRID_EBUSY when another process has it open, GRID_EUNSUPPORTED for a newer format, GRID_ENOSPC, GRID_EPERM,
 * GRID_EIO, GRID_ENOMEM; `report` gets a sentence. */
int store_open(const char *path, const struct store_options *options, struct fs_report *report, struct store **out);

/* Does not sync; what is synced already is found at once by the next store_open. No other thread may be inside the store. NULL is allowed. */
void store_close(struct store *s);

bool store_has(struct store *s, const struct object_id *id);

/* Whether the object was dropped since it was damaged, after the store was opened, and has not been put again. */
bool store_has_lost(struct store *s, const struct object_id *id);

/* The content, put in the place of what `out` held, and the type. The hash has been checked. GRID_ENOENT when the store has it not;
 * GRID_ECORRUPT when what is there is damaged: then it has been dropped, so that store_has is false and it can be fetched again. */
int store_get(struct store *s, const struct object_id *id, enum object_type *type, struct buf *out);

/* The same of an object that must be of `type`, else GRID_EPROTO. */
int store_get_typed(struct store *s, const struct object_id *id, enum object_type type, struct buf *out);

/* The stored bytes as they are, for sending to a peer (which checks the hash itself); here only the checksum has been checked.
 * out->data borrows from `memory`. Errors as store_get. */
int store_get_packed(struct store *s, const struct object_id *id, struct buf *memory, struct record_packed *out);

/* Objects gathered in memory and written with one write. One thread at a time for one batch. */
struct store_batch {
    struct store *store;
    struct buf records;
    struct id_map ids; /* of those in `records` */
    struct store_batch_row *rows;
    uint32_t row_capacity;
    struct record_packer packer;
    bool beyond_budget; /* the collector's own: max_bytes does not bound it */
    /* Sums since init: */
    uint64_t raw_bytes;   /* contents put */
    uint64_t new_bytes;   /* stored bytes really written */
    uint64_t saved_bytes; /* contents the store (or this batch) had already */
};

void store_batch_init(struct store_batch *b, struct store *s);

/* What was not committed is forgotten. */
void store_batch_dispose(struct store_batch *b);

/* Computes the id and adds the object unless the store has it. Commits by itself when 1 MiB is gathered. 0, GRID_ELIMIT for too much
 * content, or as store_batch_commit. */
int store_batch_put(struct store_batch *b, enum object_type type, struct slice content, struct object_id *id);

/* Adds an object received in packed form whose id the caller has verified (sync_receive, record_verify). */
int store_batch_put_packed(struct store_batch *b, const struct object_id *id, const struct record_packed *packed);

/* Writes what was gathered; then others see it. On an error (GRID_ENOSPC, GRID_EIO, GRID_ENOMEM) the store is as before and the batch
 * still holds what it held. */
int store_batch_commit(struct store_batch *b);

/* Why a commit was GRID_ENOSPC last: a clause with its remedy, of the disk or, with the numbers, of max_bytes. */
enum { STORE_FULL_MAX = 240 };
void store_full_clause(struct store *s, char out[STORE_FULL_MAX]);

/* Makes all commits that returned before this call durable (fdatasync of what was written, fsync of the folder when a file was made).
 * GRID_EIO is final: the store takes no more commits until it is opened anew, since the kernel forgets failed writes. */
int store_sync(struct store *s);

/* A hold protects objects not yet reachable from any kept root: everything put, found or read by anyone from store_hold_begin on stays
 * until a collection that begins after store_hold_end. A publisher and a fetcher hold, record the root as kept, then end the hold. */
struct store_hold {
    uint32_t epoch;
    struct store_hold *next, **prev;
};
void store_hold_begin(struct store *s, struct store_hold *h);
void store_hold_end(struct store *s, struct store_hold *h);

/* Collection in two steps: begin; then list the kept roots and gather what they reach (release_mark in fs/reach.h) into `live`; then
 * sweep. What came into use after begin, or during a hold that was open at begin, is kept whatever `live` says. What lies dead at the end
 * of a segment is cut off; segments of which less than half is alive then are rewritten and unlinked, the copies being synced first; all is synced in the end. begin is GRID_EBUSY while another collection runs;
 * a begun one ends with sweep, or with abort. An error of sweep leaves everything that is alive. */
struct store_collection {
    uint32_t limit;
    bool thorough; /* false after begin; true, for want of room: segments of which a sixteenth is dead are rewritten too */
};
struct store_collected {
    uint32_t segments;     /* removed */
    uint64_t freed_bytes;  /* of disk */
    uint64_t copied_bytes;
};
int store_collect_begin(struct store *s, struct store_collection *c);
int store_collect_sweep(struct store *s, struct store_collection *c, const struct id_map *live, struct store_collected *out);
void store_collect_abort(struct store *s, struct store_collection *c);

/* What a piece of a scrub has read. */
struct store_scrubbed {
    uint64_t bytes;   /* of records */
    uint64_t damaged; /* records, which have been dropped */
};
/* Reads records that nobody may have asked for in long, and drops those that are damaged, as store_get does. Goes on at *next, a number from 0, until `bytes` have been
 * read or all of them: then *next is 0. What comes and goes meanwhile may change the order, so that a pass misses a few. GRID_EIO or GRID_ENOMEM: *next is behind what could
 * not be read. One thread at a time for one *next. */
int store_scrub(struct store *s, uint32_t *next, uint64_t bytes, struct store_scrubbed *out);

void store_stats(struct store *s, struct store_stats *out);

#endif
