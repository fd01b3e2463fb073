/* Collects rubbish: what to keep is decided on the loop, the taking away is done on the pool. */
#include "server/release/tidy.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/err.h"
#include "base/log.h"
#include "fs/materialize.h"
#include "fs/reach.h"

enum { TIDY_TREES_MAX = 64, TIDY_ROOTS_MAX = 640 };

struct tidy {
    struct store *store;
    bool thorough;
    int trees_fd;
    char trees[TIDY_TREES_MAX][MATERIALIZE_NAME_SIZE];
    size_t tree_count;
    struct object_id roots[TIDY_ROOTS_MAX];
    size_t root_count;
    struct store_collected collected;
    int err;
    loop_fn done;
    void *arg;
};

static void list_trees(struct tidy *t, const struct tidy_options *options)
{
    int fd = openat(t->trees_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *dir = fd < 0 ? NULL : fdopendir(fd);
    struct dirent *entry;
    if (!dir) {
        if (fd >= 0)
            close(fd);
        return;
    }
    while (t->tree_count < TIDY_TREES_MAX && (entry = readdir(dir))) {
        struct object_id id;
        if (materialize_name_root(entry->d_name, &id) && !options->is_used(options->ctx, entry->d_name))
            snprintf(t->trees[t->tree_count++], MATERIALIZE_NAME_SIZE, "%.*s", MATERIALIZE_NAME_SIZE - 1, entry->d_name);
    }
    closedir(dir);
}

static int collect(struct tidy *t)
{
    struct store_collection collection;
    struct id_map live;
    int err = store_collect_begin(t->store, &collection);
    if (err != 0)
        return err;
    collection.thorough = t->thorough;
    id_map_init(&live);
    for (size_t i = 0; err == 0 && i < t->root_count; i++)
        err = release_mark(t->store, &t->roots[i], &live, NULL);
    if (err == 0)
        err = store_collect_sweep(t->store, &collection, &live, &t->collected);
    else
        store_collect_abort(t->store, &collection);
    id_map_dispose(&live);
    return err;
}

static void tidy_work(void *arg)
{
    struct tidy *t = arg;
    for (size_t i = 0; i < t->tree_count; i++)
        materialize_remove(t->trees_fd, t->trees[i]);
    t->err = collect(t);
}

static void tidy_done(void *arg)
{
    struct tidy *t = arg;
    if (t->err != 0)
        log_line(LOG_WARN, "the store could not be tidied: it is tried again after the next release", LOGF_ERR(t->err));
    else if (t->collected.freed_bytes > 0)
        log_line(LOG_INFO, "the store was tidied", LOGF_INT("freed_bytes", t->collected.freed_bytes), LOGF_INT("trees", t->tree_count));
    t->done(t->arg);
    free(t);
}

int tidy_start(struct loop *l, const struct tidy_options *options, loop_fn done, void *arg)
{
    struct tidy *t = calloc(1, sizeof *t);
    if (!t)
        return GRID_ENOMEM;
    t->store = options->store;
    t->thorough = options->thorough;
    t->trees_fd = options->trees_fd;
    t->done = done;
    t->arg = arg;
    list_trees(t, options);
    for (size_t i = 0; i < release_log_total(options->log) && t->root_count < TIDY_ROOTS_MAX; i++)
        t->roots[t->root_count++] = release_log_any(options->log, i)->root;
    int err = loop_work(l, tidy_work, tidy_done, t);
    if (err != 0)
        free(t);
    return err;
}
