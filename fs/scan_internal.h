/* fs/scan_internal.h: what the files of a scan share: its threads (scan.c), and what each does with a folder (scan_folder.c). */
#ifndef GRID_FS_SCAN_INTERNAL_H
#define GRID_FS_SCAN_INTERNAL_H

#include <stdatomic.h>

#include "base/arena.h"
#include "fs/crew.h"
#include "fs/ignore.h"
#include "fs/scan.h"

/* A folder to go through. Lives in an arena of the scan. */
struct scan_job {
    struct crew_job job;
    struct scan_entry *dir;
    const char *path; /* from the root, "" for it */
    size_t depth;
    const struct ignore_list *rules; /* of the folders above */
    uint64_t device_above;
};

/* The .gridignore of some folder, kept until the scan is done. */
struct scan_rules {
    struct scan_rules *next;
    struct ignore_list *list;
};

struct walk;

/* One thread's part. */
struct walker {
    struct walk *walk;
    struct arena *arena; /* the scan's in the end */
    char *names;     /* as the kernel lists them */
    struct buf path; /* of what is being looked at, from the root */
    struct scan_rules *rules;
    uint64_t files, directories, bytes;
};

struct walk {
    int root_fd;
    struct scan_options options;
    struct crew crew;
    struct walker walkers[CREW_MAX];
    _Atomic uint64_t entries;
    pthread_mutex_t lock; /* guards the report, and whoever is asked whether it goes on */
    struct fs_report *report;
};

/* ---- scan_folder.c ---- */

/* Room for what a walker needs; dispose of it in any case. 0 or GRID_ENOMEM. */
int walker_init(struct walker *w, struct walk *walk);
/* All but the arena. */
void walker_dispose(struct walker *w);

/* Goes through one folder and pushes those in it. 0 or GRID_E* with a sentence. */
int walker_go(struct walker *w, const struct scan_job *job);

#endif
