/* fs/contents.h: what every file of a scanned folder holds: as it is known from the last time, or read, cut and put into the store, by several threads at
 * once. Blocking. */
#ifndef GRID_FS_CONTENTS_H
#define GRID_FS_CONTENTS_H

#include "fs/file_reader.h"
#include "fs/stat_cache.h"

#define CONTENTS_THREADS_MAX 4

struct publish_progress {
    uint64_t files_done;
    uint64_t files_total;
    uint64_t bytes_done;
    uint64_t bytes_total;
    uint64_t bytes_saved; /* contents that were in the store already */
};

/* All borrowed. */
struct contents_source {
    int dir_fd; /* the scanned folder */
    const struct scan *scan;
    struct store *store;
    const struct chunker_params *chunker;
    const struct rights *rights; /* to read with, NULL for the process's own */
    const struct closed *closed; /* NULL: nothing is */
    const struct stat_cache *known; /* NULL: nothing is */
    /* Called at first and after each file that was read, by one thread at a time; false ends it all with GRID_ECANCELED. May be NULL. */
    bool (*progress)(void *arg, const struct publish_progress *progress);
    void *arg;
    struct fs_report *report; /* may be NULL */
};

struct contents_file {
    const struct scan_entry *entry;
    uint32_t folder; /* where it lies, by number */
    bool found; /* known from the last time */
    struct content content;
};

/* Files in this order: those of the root in its order, then likewise those of each of its folders and of what is below it. */
struct contents {
    struct contents_file *files;
    uint32_t count;
    uint32_t found; /* of these, known from the last time */
    struct publish_progress progress;
    uint64_t stored_bytes; /* written to the store */
    struct arena *arenas[CONTENTS_THREADS_MAX];
};

/* 0 with all objects committed; GRID_EPERM for what cannot be read, GRID_EBUSY for a file or folder that does not stand still, GRID_ELIMIT, GRID_ECANCELED, GRID_EIO,
 * GRID_ENOMEM, the store's errors; `report` gets a sentence. The caller disposes of *out in any case, and keeps scan and cache until then. */
int contents_gather(const struct contents_source *source, struct contents *out);
void contents_dispose(struct contents *c);

#endif
