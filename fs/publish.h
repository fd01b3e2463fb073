/* fs/publish.h: from a folder to a root in the store. Blocking; for the thread pool. */
#ifndef GRID_FS_PUBLISH_H
#define GRID_FS_PUBLISH_H

#include "fs/report.h"
#include "fs/scan.h"
#include "fs/store.h"

struct publish_progress {
    uint64_t files_done;
    uint64_t files_total;
    uint64_t bytes_done;
    uint64_t bytes_total;
    uint64_t bytes_saved; /* contents that were in the store already */
};

struct publish_options {
    struct chunker_params chunker; /* all zero: the default */
    /* Called on the publishing thread after each file; false ends it with GRID_ECANCELED. May be NULL. */
    bool (*progress)(void *arg, const struct publish_progress *progress);
    void *arg;
    const struct rights *rights;       /* as scan_folder says; both may be NULL */
    const struct closed *closed;
};

struct publish_result {
    struct object_id root;
    uint64_t files;
    uint64_t bytes;        /* of files */
    uint64_t stored_bytes; /* written to the store by this call */
    uint64_t saved_bytes;  /* contents that were there already */
};

/* Stores the folder open as `dir_fd` (borrowed) as a release and makes it durable. Private keys are left out with a warning. A file
 * that changes while it is read is read again, a few times. `options` may be NULL. The caller has a store_hold open and records the
 * root as kept before ending it. Errors: those of scan_folder and of the store; GRID_EBUSY for a file that does not stop changing;
 * GRID_ELIMIT for too large a file or folder; GRID_ECANCELED. `report` gets a sentence. */
int release_publish(struct store *s, int dir_fd, const struct publish_options *options, struct fs_report *report,
                    struct publish_result *out);

#endif
