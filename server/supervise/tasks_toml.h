/* server/supervise/tasks_toml.h: tasks.toml of a tasks folder: for which platforms tasks are whose names do not say it. Pure.
 *
 *     [resize]
 *     platforms = ["linux-x64", "linux-arm64"]
 */
#ifndef GRID_SERVER_SUPERVISE_TASKS_TOML_H
#define GRID_SERVER_SUPERVISE_TASKS_TOML_H

#include "base/toml.h"
#include "server/supervise/task_set.h"

#define TASKS_TOML_NAME "tasks.toml"

enum { TASKS_TOML_BYTES_MAX = 64 * 1024, TASKS_TOML_PLATFORMS_MAX = 64 };

struct tasks_toml {
    struct arena *arena;
    struct toml_document document;
};

/* Reads the text, which is borrowed for the call, of `folder`/tasks.toml; an empty one says nothing. 0; GRID_EINVAL with a sentence in `error`: no TOML, a key other
 * than platforms, one outside of a table, a list that is empty, too long or holds what is no platform; GRID_ENOMEM. Nothing is to be disposed of after an error. */
int tasks_toml_open(struct slice text, const char *folder, struct tasks_toml *out, char error[TASK_ERROR_MAX]);
void tasks_toml_dispose(struct tasks_toml *t);

/* The platforms of a task, the first of a list of strings; NULL: any. As long as `t`. */
const struct toml_value *tasks_toml_platforms(const struct tasks_toml *t, const char *task);

/* The task that an entry of the document is about, in `out`; cut when it is longer than a task's name. */
void tasks_toml_task_of(const struct toml_entry *e, char out[TASK_NAME_MAX + 2]);

#endif
