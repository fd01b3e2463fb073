/* server/supervise/task_filter.h: the system calls that no task needs and many break-ins do, as seccomp instructions. libseccomp. */
#ifndef GRID_SERVER_SUPERVISE_TASK_FILTER_H
#define GRID_SERVER_SUPERVISE_TASK_FILTER_H

/* Hex for the plan (server/confine/plan.h), malloc'ed. A forbidden call gets EPERM, clone3 ENOSYS (its flags cannot be looked at; the C library
 * then uses clone), a call of a foreign architecture ends the process. NULL when the system has no seccomp or memory lacks. */
char *task_filter_make(void);

#endif
