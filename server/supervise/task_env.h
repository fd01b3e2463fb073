/* server/supervise/task_env.h: the environment of a task's process. Pure. */
#ifndef GRID_SERVER_SUPERVISE_TASK_ENV_H
#define GRID_SERVER_SUPERVISE_TASK_ENV_H

#include <stdbool.h>

/* Whether a variable ("NAME=value") of the daemon's own environment goes to tasks: not GRID and GRID_* (the daemon's options, among them
 * its password), not what its service manager told it alone (NOTIFY_SOCKET, LISTEN_*, WATCHDOG_*, CREDENTIALS_DIRECTORY, ...). */
bool task_env_inherits(const char *variable);

/* The daemon's environment as far as it is inherited, then the project's, then `own`: a later variable of the same name wins. Each is a
 * NULL-terminated list of "NAME=value" (NULL: empty; without '=' or with an empty name: left out). One malloc'ed block of pointers and
 * copies for free(); NULL without memory. */
char **task_env_build(char *const *daemon, char *const *project, char *const *own);

#endif
