/* fs/scan.h: what a folder holds, as a sorted tree in memory, through directory descriptors and without following links, by a few threads
 * when it is large. Blocking; any thread. Contents of files are not read here. */
#ifndef GRID_FS_SCAN_H
#define GRID_FS_SCAN_H

#include <stdint.h>
#include <time.h>

#include "fs/closed.h"
#include "fs/crew.h"
#include "fs/manifest.h"
#include "fs/report.h"
#include "fs/rights.h"

/* What tells whether a file has changed since it was looked at. */
struct scan_stamp {
    uint64_t device;
    uint64_t inode;
    uint64_t size; /* bytes */
    struct timespec modified;
    struct timespec changed;
};

struct scan_entry {
    struct slice name; /* NUL-terminated behind its end; empty for the root */
    enum manifest_kind kind; /* MANIFEST_FILE for files of any length */
    bool executable; /* by its owner */
    struct scan_stamp stamp;
    struct slice target; /* of a symlink */
    struct scan_entry *children; /* of a directory, sorted by name */
    uint32_t child_count;
};

/* The tree and all its memory. */
struct scan {
    struct scan_entry root;
    uint64_t files; /* symlinks not counted */
    uint64_t directories;
    uint64_t bytes; /* of files */
    struct arena *arenas[CREW_MAX];
};

struct scan_options {
    const struct rights *rights; /* NULL: the process's own */
    const struct closed *closed; /* what is left out besides; NULL: nothing is. A project may lie around the node's own state */
    /* Asked at each folder, by one thread at a time; false ends the scan. NULL: it goes on. */
    bool (*goes_on)(void *arg);
    void *arg;
};

/* Walks the folder open as `dir_fd` (borrowed; any descriptor of a directory). `options` may be NULL. Leaves out what
 * .gridignore files and ignore_name_reserved say, and, each with a warning: links that lead out of the tree, devices, sockets and fifos, the
 * kernel's process file system, and what is closed. Setuid, setgid and
 * sticky bits are dropped with a warning. 0; GRID_EPERM for something unreadable; GRID_ELIMIT beyond MANIFEST_DEPTH_MAX or
 * MANIFEST_ENTRIES_MAX or for a .gridignore that is too long; GRID_ENOENT, GRID_EIO, GRID_ENOMEM, GRID_ECANCELED; `report` gets a sentence with the
 * remedy. On success the caller disposes of *out. */
int scan_folder(int dir_fd, const struct scan_options *options, struct fs_report *report, struct scan *out);
void scan_dispose(struct scan *s);

struct stat;
void scan_stamp_from_stat(const struct stat *st, struct scan_stamp *out);
bool scan_stamp_equal(const struct scan_stamp *a, const struct scan_stamp *b);

#endif
