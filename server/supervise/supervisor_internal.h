/* server/supervise/supervisor_internal.h: what supervisor.c (tasks) and child.c (their processes) share. */
#ifndef GRID_SERVER_SUPERVISE_SUPERVISOR_INTERNAL_H
#define GRID_SERVER_SUPERVISE_SUPERVISOR_INTERNAL_H

#include "server/supervise/backoff.h"
#include "server/supervise/firewall.h"
#include "server/supervise/log_writer.h"
#include "server/supervise/rubbish.h"
#include "server/supervise/ports.h"
#include "server/supervise/probe.h"
#include "server/supervise/process.h"
#include "server/supervise/supervisor.h"

enum { REASON_MAX = 512, TELLING_MAX = 256 };

struct sup_task;
struct sup_child;

/* A release's surroundings, shared by the tasks that run in it. */
struct sup_release {
    unsigned references;
    char *root, *tasks_folder, *release;
    char **env;
    uint32_t instances;
};

/* One of a task's instances. */
struct sup_slot {
    struct sup_task *task;
    uint32_t number;
    struct backoff backoff;
    struct loop_timer restart;
    int64_t restart_at_ms; /* Unix time, while that timer runs */
    struct sup_child *serving;  /* ready */
    struct sup_child *starting; /* not ready yet: the first, or the one that will replace `serving` */
    struct log_sink *log;
    unsigned ports_lost; /* in a row */
};

struct sup_task {
    struct supervisor *supervisor;
    struct task spec; /* entry and path are its own copies */
    struct sup_release *release;
    uint32_t wanted;
    struct sup_slot **slots;
    size_t slot_count;
    uint64_t restarts;
    char reason[REASON_MAX];
    struct line_ring ring;
    bool seen; /* while applying */
    bool told_wide;
};

enum sup_child_state { CHILD_STARTING, CHILD_READY, CHILD_DRAINING, CHILD_STOPPING };

/* One process and the instance that the data plane knows of it. */
struct sup_child {
    struct supervisor *supervisor;
    struct sup_slot *slot; /* NULL once the slot has let go of it */
    struct sup_release *release;   /* whose folder it runs in */
    struct sup_release *confirmed; /* the last one in which its task was as it is: what its answers come from */
    uint8_t digest[TASK_DIGEST_BYTES];
    struct instance *instance;
    struct process *process;
    struct probe *probe;
    struct loop_timer timer; /* readiness, then drain, then stop */
    enum sup_child_state state;
    uint64_t start_time; /* struct proc_stat */
    uint64_t began_ms, ready_ms, drain_until_ms; /* monotonic; ready_ms 0 before it was */
    int64_t started_at_ms;
    bool exited, port_lost;
    bool late; /* it has not listened for options.late_timeout_ms: its task's reason says so */
    bool wide; /* listens on more than loopback */
    unsigned idle_looks;
    int64_t exit_status;
    int exit_signal;
    char telling[TELLING_MAX]; /* the last line of stderr that says something */
    struct sup_child *next, **link;
};

struct log_follower {
    char *task;
    void (*emit)(void *ctx, const struct task_line *line);
    void *ctx;
    struct log_follower *next;
};

struct supervisor {
    struct loop *loop;
    struct supervisor_options options;
    struct ports ports;
    struct task_confine *confine;
    struct firewall *firewall; /* NULL: gridd is not root */
    struct sup_task **tasks; /* sorted by name */
    size_t task_count;
    struct sup_child *children; /* all, also those that no slot holds any more */
    uint64_t next_instance;
    uint32_t chance;
    struct loop_deferred changed;
    struct log_follower *followers;
    struct log_writer *log_writer;
    struct rubbish *rubbish; /* NULL: none */
    void *listed; /* the last supervisor_list */
    bool closing;
    loop_fn close_done;
    void *close_arg;
};

/* supervisor.c */
void supervisor_changed(struct supervisor *s);
void supervisor_child_gone(struct supervisor *s);
void supervisor_log(struct sup_slot *slot, enum task_stream stream, struct slice text);
/* NULL when there is no such task or instance (any more). */
struct sup_slot *supervisor_slot(struct supervisor *s, const char *task, uint32_t number);
struct sup_release *sup_release_ref(struct sup_release *r);
void sup_release_unref(struct sup_release *r);

/* child.c: starts what the slot lacks: nothing serves, or what serves is not of the task's present digest. What is of it answers from the
 * task's present release from now on. */
void slot_reconcile(struct sup_slot *slot);
/* Drains and stops what the slot has, and lets go of it. */
void slot_retire(struct sup_slot *slot);
/* Looks whether a ready child still accepts; replaces it when not. */
void child_check(struct sup_child *c);

#endif
