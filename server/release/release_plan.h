/* server/release/release_plan.h: what a release asks of the supervisor: its tasks with their digests, and their environment. Blocking; for
 * the thread pool. */
#ifndef GRID_SERVER_RELEASE_RELEASE_PLAN_H
#define GRID_SERVER_RELEASE_RELEASE_PLAN_H

#include "base/arena.h"
#include "fs/store.h"
#include "server/supervise/supervisor.h"

struct release_plan {
    struct arena *arena;
    struct task_set tasks;
    struct release_env env; /* strings in the arena */
};

/* Reads the tasks of the tree at `path` (the materialized `root`), with a packed ReleaseConfig, as a node of `platform` runs them. A task's digest covers its own file or folder,
 * everything outside the tasks folder, what in the tasks folder is no task, and the environment: it is what must be the same for a process to
 * go on. Other tasks' files are not in it, unless the task is a link. 0; GRID_EINVAL or GRID_ENOENT (no tasks, two of one name, a bad
 * task_folder or variable) with a sentence in `why`; else as the store. release_plan_dispose in any case. */
int release_plan_read(struct store *store, const struct object_id *root, const char *path, const char *platform, struct slice config, struct release_plan *out, char why[TASK_ERROR_MAX]);
void release_plan_dispose(struct release_plan *p);

#endif
