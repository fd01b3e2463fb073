/* server/supervise/supervisor.h: keeps every task of the release running on this node. Control thread only; instances alone are shared
 * with the workers.
 *
 * A task has slots (its instances); a slot has at most one process that serves and one that is starting to take its place:
 *
 *     spawn -> starting --port accepts--> ready --replaced, removed--> draining --in_flight 0--> stopping --exit--> gone
 *                 |  exit, or not ready in time     |  exit                                       (SIGTERM, then SIGKILL)
 *                 +--------- backoff, spawn <-------+
 */
#ifndef GRID_SERVER_SUPERVISE_SUPERVISOR_H
#define GRID_SERVER_SUPERVISE_SUPERVISOR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "net/loop.h"
#include "server/supervise/instance.h"
#include "server/supervise/task_confine.h"
#include "server/supervise/task_env.h"
#include "server/supervise/task_log.h"
#include "server/supervise/task_set.h"

struct supervisor;

enum { SUPERVISOR_INSTANCES_MAX = 1024 }; /* processes of one task on a node that may be asked for */

/* Strings are copied. 0 in a number means the default in brackets. */
struct supervisor_options {
    const char *state_dir;       /* logs/, data/, tmp/ and tasks.pids are made in it */
    const char *exec_helper;     /* path of grid-task-exec */
    const char *runtimes;        /* folder of the two below, which tasks may read */
    const char *node_runtime;    /* path of runtimes/node/run.js */
    const char *python_runtime;  /* path of runtimes/python/run.py */
    const char *grid_name;       /* GRID_NAME; "" for none */
    const char *node_name;       /* GRID_NODE */
    const char *node_id;         /* GRID_NODE_ID */
    bool first_start;            /* nothing has run from state_dir before: no leftovers are looked for among the machine's processes */
    const char *api;             /* GRID_API, such as "127.0.0.1:10000" */
    const char *task_user;       /* --task-user, NULL for none */
    enum task_sandbox sandbox;
    struct task_env_names task_env; /* borrowed: variables of the daemon that tasks get too */
    uint64_t max_payload;        /* GRID_MAX_PAYLOAD, bytes [6 MiB] */
    uint16_t first_port;         /* task ports from here upward */
    uint32_t max_instances;      /* how far a task grows on demand [1] */
    uint64_t late_timeout_ms;    /* from start to an accepting port, until it is said that the process does not listen [10,000] */
    uint64_t ready_timeout_ms;   /* and until it is ended, and another one tried [60,000] */
    uint64_t stop_timeout_ms;    /* from SIGTERM to SIGKILL [1,600] */
    uint64_t drain_timeout_ms;   /* for calls in flight before SIGTERM [30,000] */
    /* The set of ready instances, a status or a reason has changed; once for all changes of a loop turn, never inside a call. */
    void (*on_change)(void *ctx);
    void *ctx;
};

/* The folder state_dir must exist. Ends what a crashed daemon left running (state_dir/tasks.pids). 0, or GRID_E* with a sentence in `why`. */
int supervisor_create(struct loop *l, const struct supervisor_options *options, struct supervisor **out, char why[TASK_WHY_MAX]);

/* Whom tasks run as. */
const struct task_user *supervisor_user(const struct supervisor *s);

/* Stops every task, draining; `done` comes when no process is left, and the memory is gone then. */
void supervisor_close(struct supervisor *s, loop_fn done, void *arg);

/* What a release's tasks run in. Everything is copied. */
struct release_env {
    const char *root;         /* the release's folder, by a path without links: working directory of every task */
    const char *tasks_folder; /* relative to root, "tasks" */
    const char *release;      /* hex root: GRID_RELEASE */
    const char *const *env;   /* the project's "NAME=value" strings, NULL at the end; NULL for none */
    uint32_t instances;       /* processes per task; 0: one, and more on demand */
};

/* Makes the tasks be those of `set` (copied). A task whose digest is as before keeps its processes, which stay in the folder they were
 * started in (supervisor_uses_root); a changed one is started beside the old process, which is drained and stopped once the new one is
 * ready and stays when that never comes; a task that is gone is drained and stopped. 0, or GRID_ENOMEM with some tasks applied. */
int supervisor_apply(struct supervisor *s, const struct task_set *set, const struct release_env *env);

/* Drains and stops all tasks, and forgets them. */
void supervisor_clear(struct supervisor *s);

/* Asks for `count` instances of a task, within 1 and max_instances (a release that says how many: within that number). An unknown task is
 * nothing. */
void supervisor_want(struct supervisor *s, const char *task, uint32_t count);
/* One more, unless one is still coming up: its instances are all busy. */
void supervisor_grow(struct supervisor *s, const char *task);

/* The data plane was refused by an instance: it is looked at now, and replaced when its port no longer accepts. */
void supervisor_report_refused(struct supervisor *s, uint64_t instance_id);

enum supervisor_status {
    SUPERVISOR_ONLINE,   /* at least one instance is ready */
    SUPERVISOR_STARTING, /* none is, yet: a first start, or one after a process that had served a while */
    SUPERVISOR_ERRORED,  /* none is, and the last start failed (backoff_is_errored): until one is ready, or another release is applied */
};
/* "online", "starting", "errored". Static storage. */
const char *supervisor_status_name(enum supervisor_status status);

struct supervisor_instance {
    struct instance *instance; /* borrowed: take a reference to keep it */
    int pid;
    int64_t started_at_ms; /* Unix time */
    const char *release;   /* hex root of the last release in which the task was as this process runs it */
    bool ready;            /* otherwise it is starting */
    bool wide;             /* it listens on other addresses than loopback's */
    bool shut;             /* and is shut off from other machines */
};

/* One of the processes that a task is to have. */
struct supervisor_place {
    bool errored;              /* what it had last has failed quickly, or what starts there is late */
    int64_t next_start_at_ms;  /* Unix time of the next try, 0 when none is waited for */
};

struct supervisor_task {
    const char *name;
    const char *path;   /* inside the release: "tasks/req.js" */
    enum supervisor_status status;
    const char *reason; /* why it, or its newest version, is not ready: "it exited with status 1: ..."; "" when all is well */
    uint64_t restarts;
    uint32_t wanted;
    uint16_t port; /* of its first instance, 0 before it has one */
    const struct supervisor_instance *instances;
    size_t instance_count; /* ready and starting */
    const struct supervisor_place *places; /* by instance number */
    size_t place_count;
    uint32_t ready;
    bool renewing;            /* a ready instance is of a version before the present one, which is not ready there (yet) */
    bool hopeless;            /* not ready, and backoff_is_hopeless: nobody need wait for it */
    int64_t next_start_at_ms; /* of the place that comes first, 0 for none */
};

/* All tasks, sorted by name. Valid until the next supervisor_* call or loop turn. NULL and 0 when there are none or memory lacks. */
const struct supervisor_task *supervisor_list(struct supervisor *s, size_t *count);

/* Whether a process still runs in that release folder, named as it was in release_env (also one that is draining): it must not be reused or deleted yet. */
bool supervisor_uses_root(const struct supervisor *s, const char *root);

/* The last `lines` lines of a task, or of each task when `task` is NULL, oldest first within a task. */
void supervisor_logs(struct supervisor *s, const char *task, size_t lines, void (*emit)(void *ctx, const struct task_line *line), void *ctx);

/* Calls `emit` for each new line of a task (every task when NULL; `task` is copied) until supervisor_unfollow. NULL without memory. Both
 * must not be called from within `emit`. A follower not ended by supervisor_close is freed by it. */
struct log_follower;
struct log_follower *supervisor_follow(struct supervisor *s, const char *task, void (*emit)(void *ctx, const struct task_line *line),
                                       void *ctx);
void supervisor_unfollow(struct supervisor *s, struct log_follower *f);

#endif
