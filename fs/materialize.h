/* fs/materialize.h: from a root in the store to a tree on disk, whole or not at all. Blocking; for the thread pool. Different trees of
 * one folder may be built at once by different threads; one name by one thread only.
 *
 * A folder of releases (`parent_fd`) holds finished trees, each under its own name, and a symlink to the current one. What begins with
 * ".new-" or ".old-" is rubbish of a crash: materialize_clean takes it away at start.
 *
 * A tree comes about in one of two ways. It is built anew under a rubbish name, files being taken from an older tree where that has them; or
 * an older tree that is no longer in use gets the rubbish name and is *patched*: only what differs between its manifest and the new one is
 * taken away and made, so that one changed line costs one file. Either is made durable and then gets its name, by one rename.
 *
 * Everything is made and removed relative to directory descriptors, without following links (openat2; name by name where that is missing). Files
 * get mode 0644, or 0755 when executable, less the umask. Files and folders get a modification time made from their id
 * (materialize_file_time): it changes when the content does, is the same on every node, and tells whether a file of an older tree is still what
 * it was, and whether a folder's names are. Files are never written to again: a changed one is made anew. */
#ifndef GRID_FS_MATERIALIZE_H
#define GRID_FS_MATERIALIZE_H

#include <time.h>

#include "fs/report.h"
#include "fs/store.h"

enum { MATERIALIZE_THREADS_MAX = 4, MATERIALIZE_SPARES_MAX = 4, MATERIALIZE_NAME_SIZE = OBJECT_ID_HEX + 16 };

struct materialize_options {
    /* Name of an older tree in the same folder that stays, NULL for none. Files of it that have the same path, size, mode and time are cloned
     * (where the file system can), linked (where `guarded`) or copied inside the kernel instead of being read from the store. */
    const char *previous;
    /* Trees that nobody uses, each named by its root (materialize_name_root): the one that differs least is patched, and is gone then. When
     * `name` is among them it is looked over and mended. Their manifests are read from the store; those whose are gone are passed over. */
    const char *const *spares;
    size_t spare_count; /* at most MATERIALIZE_SPARES_MAX count */
    /* Nobody but root can write into the trees (tasks run as another user): then files may be shared between trees by hard links, and a folder of a
     * spare whose time says that it is as listed is not gone into. Otherwise each file of it is looked at. */
    bool guarded;
    /* Makes the tree durable before it gets its name: one syncfs (or, for a patch of few changes, an fsync for each file and folder), then fsync
     * of the folder of releases; and that too when a tree to be patched has lost its name, before anything in it changes. Without it a power
     * failure may leave a finished name with files that are not. */
    bool sync;
    unsigned threads; /* 0: as many as cores, at most MATERIALIZE_THREADS_MAX */
    /* Called after each file, by one thread at a time; false ends it with GRID_ECANCELED. May be NULL. */
    bool (*progress)(void *arg, uint64_t files, uint64_t bytes);
    void *arg;
};

struct materialize_result {
    uint64_t files; /* made, or looked at: not those of folders that were not gone into */
    uint64_t bytes;
    uint64_t reused_files; /* of these, cloned, linked or copied from the previous tree */
    uint64_t kept_files;   /* of these, found in the patched tree as they have to be */
    bool patched;
    bool existed; /* a tree of that name was there already, and was left as it is */
};

/* Builds the tree of `root` as `name` (one component, not beginning with '.') in the folder. On any error nothing of it is left, nor of a
 * spare that was to be patched.
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

/* The root that a tree's name tells: its hex digits, behind which a dot and more may stand when there is another tree of that root. Together less than
 * MATERIALIZE_NAME_SIZE bytes. False for any other name. */
bool materialize_name_root(const char *name, struct object_id *root);

/* The modification time of a file or folder of this id: between 2000 and 2008, and 58 bits of the id. */
struct timespec materialize_file_time(const struct object_id *id);

#endif
