/* server/supervise/task_confine.h: how this node's tasks are kept apart from it: decided once, from the options and from what the kernel
 * allows, and then the plan of each process. Control thread. */
#ifndef GRID_SERVER_SUPERVISE_TASK_CONFINE_H
#define GRID_SERVER_SUPERVISE_TASK_CONFINE_H

#include "server/confine/plan.h"
#include "server/supervise/task_user.h"

enum task_sandbox { TASK_SANDBOX_OFF, TASK_SANDBOX_STANDARD, TASK_SANDBOX_STRICT };

struct task_confine_options {
    const char *state_dir; /* exists */
    const char *runtimes;  /* folder of the language runtimes */
    const char *task_user; /* --task-user, NULL when not given */
    const char *node_id;
    enum task_sandbox sandbox;
};

struct task_confine;

/* Says in the log what the kernel does not give; refuses, with a sentence in `why`, what was asked for and cannot be. 0 or GRID_E*. */
int task_confine_create(const struct task_confine_options *options, struct task_confine **out, char why[TASK_WHY_MAX]);
void task_confine_destroy(struct task_confine *c);

const struct task_user *task_confine_user(const struct task_confine *c);
/* The state folder's real path. */
const char *task_confine_state(const struct task_confine *c);

/* Makes the folders that belong to a task: STATE/data/TASK (kept), STATE/tmp/TASK, and those that all share; they are the task's user's, and
 * nobody else's. What another user has left in them is given to it. 0 or GRID_E*. */
int task_confine_folders(const struct task_confine *c, const char *task);
/* Those above them, at the node's start; what tasks left in STATE/tmp is set aside. 0 or GRID_E*. */
int task_confine_prepare(const struct task_confine *c);

/* One process. Strings are borrowed until the plan is encoded, argv and env are the caller's. */
struct task_confine_request {
    const char *task;
    const char *root; /* its release's folder, and where it starts */
    uint16_t port;
    char **argv, **env;
};
/* Encodes the plan into *out (a buf of the caller's). 0 or GRID_E*. */
struct buf;
int task_confine_plan(const struct task_confine *c, const struct task_confine_request *request, struct buf *out);

/* The sentence that --task-sandbox strict is refused with on such a kernel, or NULL when it has all. Pure. */
const char *task_confine_lacks(int landlock_version, bool has_seccomp);

/* The first folder above `path` that this user cannot pass, or NULL; malloc'ed. */
char *task_confine_closed(const char *path, const struct task_user *user);

#endif
