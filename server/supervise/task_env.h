/* server/supervise/task_env.h: the environment of a task's process. Pure. */
#ifndef GRID_SERVER_SUPERVISE_TASK_ENV_H
#define GRID_SERVER_SUPERVISE_TASK_ENV_H

#include <stdbool.h>
#include <stddef.h>

/* Further names of variables that tasks get (--task-env): whole, or the beginning of names with a '*' behind it. */
struct task_env_names {
    const char *const *names;
    size_t count;
};

/* Whether a variable ("NAME=value") of the daemon's own environment goes to tasks: what programs need of a machine (PATH, HOME, LANG, TZ,
 * proxies, certificates: the table in the .c), and what `more` names; never GRID, GRID_* and what a service manager told the daemon alone. */
bool task_env_inherits(const char *variable, const struct task_env_names *more);

/* The daemon's environment as far as it is inherited, then the project's, then `own`: a later variable of the same name wins. Each is a
 * NULL-terminated list of "NAME=value" (NULL: empty; without '=' or with an empty name: left out). One malloc'ed block of pointers and
 * copies for free(); NULL without memory. */
char **task_env_build(char *const *daemon, const struct task_env_names *more, char *const *project, char *const *own);

#endif
