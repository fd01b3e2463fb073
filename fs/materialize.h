/* fs/materialize.h: from a root in the store to a tree on disk, whole or not at all. Blocking; for the thread pool. Different trees of
 * one folder may be built at once by different threads; one name by one thread only.
 *
 * A folder of releases (`parent_fd`) holds finished trees, each under its own name, and a symlink to the current one. What begins with
 * ".new-" or ".old-" is rubbish of a crash: materialize_clean takes it away at start.
 *
 * Everything is made and removed by single names relative to directory descriptors, without following links. Files get mode 0644, or
 * 0755 when executable, less the umask, and a modification time made from their id (materialize_file_time): it changes when the
 * content does, is the same on every node, and tells whether a file of an older tree is still what it was. */
#ifndef GRID_FS_MATERIALIZE_H
#define GRID_FS_MATERIALIZE_H

#include <time.h>

#include "fs/report.h"
#include "fs/store.h"

struct materialize_options {
    /* Name of an older tree in the same folder, NULL for none. Files of it that have the same path, size and time are cloned (where the
     * file system can) or copied inside the kernel instead of being read from the store. */
    const char *previous;
    /* Makes the tree durable before it gets its name: one syncfs, then fsync of the folder. Without it a power failure may leave a
     * finished name with files that are not. */
    bool sync;
    /* Called after each file; false ends it with GRID_ECANCELED. May be NULL. */
    bool (*progress)(void *arg, uint64_t files, uint64_t bytes);
    void *arg;
};

struct materialize_result {
    uint64_t files;
    uint64_t bytes;
    uint64_t reused_files; /* cloned or copied from the older tree */
    bool existed;          /* a tree of that name was there already, and was left as it is */
};

/* Builds the tree of `root` as `name` (one component, not beginning with '.') in the folder. On any error nothing of it is left.
 * GRID_ENOENT: the store lacks an object (sync first); GRID_ECORRUPT: one was damaged and dropped (sync again); GRID_EPROTO: malformed
 * manifest; GRID_ELIMIT: too deep or too many entries; GRID_ENOSPC, GRID_EIO, GRID_EPERM, GRID_ENOMEM, GRID_ECANCELED. `options` and
 * `report` may be NULL. */
int materialize_tree(struct store *s, const struct object_id *root, int parent_fd, const char *name,
                     const struct materialize_options *options, struct fs_report *report, struct materialize_result *out);

/* Makes the symlink `link` point to tree `name`, by one rename, and makes that durable. Who opens `link` gets the old tree or the new. */
int materialize_switch(int parent_fd, const char *link, const char *name);

/* Where the symlink points. GRID_ENOENT when there is none. */
int materialize_current(int parent_fd, const char *link, char *name, size_t capacity);

/* Removes a tree, however deep. 0 also when there is none. */
int materialize_remove(int parent_fd, const char *name);

/* Removes what crashed builds and removals left. What cannot be removed stays, and is told by the result. */
int materialize_clean(int parent_fd);

/* Gives a tree, however large, a name among that rubbish, by one rename. 0 also when there is none. */
int materialize_set_aside(int parent_fd, const char *name);
/* materialize_clean in steps of so many entries: GRID_EAGAIN while there is more. */
int materialize_clean_some(int parent_fd, size_t entries_max);

/* The modification time of a file of this id: between 2000 and 2008, and 58 bits of the id. */
struct timespec materialize_file_time(const struct object_id *id);

#endif
