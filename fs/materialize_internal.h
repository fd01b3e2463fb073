/* fs/materialize_internal.h: what the parts of materialize share: one tree being built by several threads, and names of trees. */
#ifndef GRID_FS_MATERIALIZE_INTERNAL_H
#define GRID_FS_MATERIALIZE_INTERNAL_H

#include <pthread.h>
#include <stdatomic.h>
#include <sys/stat.h>

#include "fs/manifest.h"
#include "fs/materialize.h"

#define TREE_NEW_PREFIX ".new-"
#define TREE_OLD_PREFIX ".old-"
#define TREE_NAME_CAPACITY 256
#define NO_FOLDER (-1)

/* One folder that is still to be built. */
struct folder_job {
    struct folder_job *next;
    struct object_id id;
    bool held;               /* the folder may hold something; otherwise it is new and empty */
    bool old_known;          /* then it was built as this one once: */
    struct object_id old_id;
    unsigned depth;
    char path[];             /* below the top of the tree: "", "a/b" */
};

/* One tree being built. What is below `lock` is shared by the threads and changed under it. */
struct builder {
    struct store *store;
    struct materialize_options options;
    const char *name; /* for sentences */
    int tree_fd;      /* top of the tree */
    int previous_fd;  /* top of the older tree that files are taken from, or NO_FOLDER */
    atomic_bool no_clone; /* the file system has no reflinks */
    pthread_mutex_t lock;
    pthread_cond_t news;
    struct folder_job *jobs; /* last in, first out */
    unsigned job_count, busy;
    pthread_t helpers[MATERIALIZE_THREADS_MAX];
    unsigned helper_count, helpers_max;
    uint64_t entries;
    unsigned changes; /* each on disk by itself, while there are few */
    int err;
    struct fs_report *report;
    struct materialize_result result;
};

/* A folder in work, by one thread. */
struct folder {
    struct builder *builder;
    const struct folder_job *job;
    int fd;
    int previous_fd; /* the same folder of the older tree; NO_FOLDER until one is looked for */
    bool previous_sought;
    bool changed;
    struct buf path; /* of the entry in work, for sentences */
};

/* ---- materialize_build.c ---- */

/* Builds what `root` says in the tree at b->tree_fd, which is empty, or, with `old`, was built by that root. All fields up to `no_clone` are
 * set, the others zero. Uses helper threads. 0 or GRID_E* with a sentence in the report. */
int builder_run(struct builder *b, const struct object_id *root, const struct object_id *old);
/* Another folder to build; `path` is the folder's it lies in. GRID_ENOMEM. */
int builder_push(struct builder *b, const struct folder_job *job, const char *path, const char *name);
/* Counts entries that a listing claims. GRID_ELIMIT. */
int builder_claim(struct builder *b, uint32_t entries);
/* A file is done. GRID_ECANCELED when the caller wants no more. */
int builder_count_file(struct builder *b, uint64_t bytes, bool kept, bool reused);
/* Whether a change is to be made durable by itself: there are few. Otherwise the whole file system is synced in the end. */
bool builder_syncs_each(struct builder *b);
/* Says that `path` cannot be written. Any thread. */
int builder_fail(struct builder *b, const struct buf *path, int err, const char *what);

/* ---- materialize_folder.c ---- */

int folder_build(struct builder *b, const struct folder_job *job);
int folder_fail(struct folder *f, int err, const char *what);
int folder_fail_errno(struct folder *f, int errnum);
/* 0 for 0; else explains that an object could not be read. */
int folder_explain_read(struct folder *f, int err);
/* The same folder of the older tree, or NO_FOLDER. */
int folder_previous(struct folder *f);

/* ---- materialize_file.c ---- */

/* Whether this is what a build made of the entry, untouched since. */
bool file_is_built(const struct stat *st, const struct manifest_entry *e);
bool file_time_is(const struct timespec *t, const struct object_id *id);
/* Makes the file, which is not there: cloned, linked or copied from the older tree, or from the store. */
int file_build(struct folder *f, const struct manifest_entry *e, const char *name);

/* ---- materialize_remove.c ---- */

/* Opens a folder by one name, never through a link, nor beside or above `dir_fd`. -1 with errno. */
int tree_open_folder(int dir_fd, const char *name);
/* The same along a path of any length ("": `top_fd` itself, anew). */
int tree_open_path(int top_fd, const char *path);
/* Deletes whatever has that name. 0 also when there is nothing. */
int tree_delete(int dir_fd, const char *name);
bool tree_name_valid(const char *name);
void tree_prefixed(const char *prefix, const char *name, char out[TREE_NAME_CAPACITY]);

#endif
