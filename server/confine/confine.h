/* server/confine/confine.h: what a process gives up before it becomes a task. Linux system calls; the C library alone. For the one thread of
 * grid-task-exec, except confine_view_possible and the questions to the kernel. All return 0 or -1 with errno, unless said otherwise. */
#ifndef GRID_SERVER_CONFINE_CONFINE_H
#define GRID_SERVER_CONFINE_CONFINE_H

#include "server/confine/plan.h"

/* Everything above standard error is closed by the next exec. */
int confine_descriptors(void);

/* Default dispositions, nothing blocked, no core dumps, umask 022. */
void confine_signals_and_limits(void);

/* A mount namespace (and, when this is not root, a user namespace with the same uid) of its own with the plan's covers and places. */
int confine_view(const struct confine_plan *p);

/* Whether confine_view would be allowed: tried once, in a process of its own, by a process that may still be traced (PR_SET_DUMPABLE), else its maps belong to root. Any one thread at a time. */
bool confine_view_possible(void);

/* The plan's user and group, for good. */
int confine_user(const struct confine_plan *p);

/* No exec gives more rights than the process has, then Landlock as far as the plan asks and the kernel knows. */
int confine_landlock(const struct confine_plan *p);

/* The kernel's version of Landlock, 0 without it. Any thread. */
int confine_landlock_version(void);

/* Loads seccomp instructions given in hex. */
int confine_filter(const char *hex);

/* All of the above in order, and the plan's folder. 0, or the stage that failed, with errno. */
enum confine_stage confine_apply(const struct confine_plan *p);

#endif
