/* server/supervise/task_folders.h: the folders in STATE that tasks own. Walks by open descriptors without following links, since tasks may
 * change what is in them at the same time. Blocking; any thread. */
#ifndef GRID_SERVER_SUPERVISE_TASK_FOLDERS_H
#define GRID_SERVER_SUPERVISE_TASK_FOLDERS_H

#include "server/supervise/task_user.h"

/* STATE passable for the user's group alone; logs/ the node's; data/, tmp/ and releases/ passable; tmp/ empty.
 * What was in it is set aside (materialize_set_aside) for rubbish_create: deleting it may take any time. 0 or GRID_E*. */
int task_folders_prepare(const char *state, const struct task_user *user);

/* STATE/data/TASK and STATE/tmp/TASK, 0700, the user's with all that is in them. 0 or GRID_E*. */
int task_folders_make(const char *state, const char *task, const struct task_user *user);

#endif
