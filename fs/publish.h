/* fs/publish.h: from a folder to a root in the store. Blocking; for the thread pool. */
#ifndef GRID_FS_PUBLISH_H
#define GRID_FS_PUBLISH_H

#include "fs/contents.h"

struct publish_options {
    struct chunker_params chunker; /* all zero: the default */
    /* As struct contents_source has them. */
    bool (*progress)(void *arg, const struct publish_progress *progress);
    void *arg;
    const struct rights *rights;
    const struct closed *closed;
    /* The state folder, in which is kept what files held (fs/stat_cache_disk.h), so that an unchanged tree is looked at without being read. NULL: all is read. */
    const int *state_fd;
};

struct publish_result {
    struct object_id root;
    uint64_t files;
    uint64_t bytes;        /* of files */
    uint64_t stored_bytes; /* written to the store by this call */
    uint64_t saved_bytes;  /* contents that were there already */
    uint64_t unread_files; /* not read, for they had not changed */
};

/* Stores the folder open as `dir_fd` (borrowed) as a release and makes it durable. Private keys are left out with a warning. A file
 * that changes while it is read is read again, a few times. `options` may be NULL. The caller has a store_hold open and records the
 * root as kept before ending it. Errors: those of scan_folder and of the store; GRID_EBUSY for a file that does not stop changing;
 * GRID_ELIMIT for too large a file or folder; GRID_ECANCELED. `report` gets a sentence. */
int release_publish(struct store *s, int dir_fd, const struct publish_options *options, struct fs_report *report,
                    struct publish_result *out);

#endif
