/* fs/stat_cache.h: what files held when they were last read, so that those which have not changed are not read again. The bytes are in
 * docs/formats/stat-cache.md. What it says is a hint: whoever uses it checks that the store has the objects. No I/O. A cache is
 * immutable once opened. */
#ifndef GRID_FS_STAT_CACHE_H
#define GRID_FS_STAT_CACHE_H

#include "fs/chunker.h"
#include "fs/manifest.h"
#include "fs/scan.h"

#define STAT_CACHE_BYTES_MAX (256u * 1024 * 1024)

/* What holds for all entries: how files were cut, and the device that they are on. */
struct stat_cache_head {
    struct chunker_params chunker;
    uint64_t device;
};

struct stat_cache_entry {
    struct slice name; /* within its folder: whether a file counts as a private key goes by it */
    struct scan_stamp stamp;
    enum manifest_kind kind; /* MANIFEST_FILE or MANIFEST_LONG_FILE */
    struct object_id id;
    struct slice chunks; /* of a long file: the ids of its chunks, one behind the other */
};

struct stat_cache {
    struct stat_cache_head head;
    struct slice bytes; /* of all entries */
    uint32_t count;
    uint32_t *slots; /* where an entry begins + 1, 0 when free */
    uint32_t slot_count; /* a power of two */
};

/* Checks all of `content`, which lives longer than *out. 0; GRID_EPROTO for anything that no writer writes, GRID_ECORRUPT for a wrong
 * checksum, GRID_EUNSUPPORTED for another version, GRID_ENOMEM. On success the caller disposes of *out. */
int stat_cache_open(struct slice content, struct stat_cache *out);
void stat_cache_dispose(struct stat_cache *c);

/* The entry of a file of this name that has not changed by its stamp. Slices borrow from the content. */
bool stat_cache_find(const struct stat_cache *c, struct slice name, const struct scan_stamp *stamp, struct stat_cache_entry *out);

/* All entries, one after the other: *at is 0 at first. False after the last. */
bool stat_cache_next(const struct stat_cache *c, size_t *at, struct stat_cache_entry *out);

/* Writes a cache behind what `out` holds (nothing, as a rule); `out` is borrowed until _end. */
struct stat_cache_writer {
    struct buf *out;
    size_t begin_at;
    uint32_t count;
    int err; /* the first error; later calls do nothing and _end returns it */
};
void stat_cache_begin(struct stat_cache_writer *w, struct buf *out, const struct stat_cache_head *head);
void stat_cache_add(struct stat_cache_writer *w, const struct stat_cache_entry *entry);
/* 0, GRID_EINVAL for an entry that is none, GRID_ELIMIT, GRID_ENOMEM. */
int stat_cache_end(struct stat_cache_writer *w);

/* Whether a stamp taken before `now` tells of every later change. A file changed within the same tick of the clock as it was read in keeps its stamp; so it is
 * trusted only when both its times are older than `now` by more than the coarsest clock of a file system. */
bool stat_cache_trusts(const struct scan_stamp *stamp, struct timespec now);

#endif
