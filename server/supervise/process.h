/* server/supervise/process.h: one operating system process in a session and group of its own, its output as lines. Decides nothing.
 * The loop's thread only. */
#ifndef GRID_SERVER_SUPERVISE_PROCESS_H
#define GRID_SERVER_SUPERVISE_PROCESS_H

#include "net/loop.h"
#include "server/confine/plan.h"
#include "server/supervise/task_log.h"

struct process;

/* Borrowed for process_spawn. */
struct process_spec {
    const char *helper; /* path of grid-task-exec, which becomes the program */
    struct slice plan;  /* what it is told: server/supervise/task_plan.h */
};

struct process_events {
    /* A line of TASK_STREAM_STDOUT or TASK_STREAM_STDERR; borrowed for the call. */
    void (*on_line)(void *ctx, enum task_stream stream, struct slice text);
    /* The process has ended (its group is killed); lines may still come. */
    void (*on_exit)(void *ctx, int64_t status, int signal);
    /* After on_exit and the last line. The process's memory is gone after it. */
    void (*on_done)(void *ctx);
};

/* 0; or GRID_E* with libuv's error (negative, such as UV_ENOENT) in *reason, and no event ever comes. */
int process_spawn(struct loop *l, const struct process_spec *spec, const struct process_events *events, void *ctx, struct process **out,
                  int *reason);

/* After on_exit: true when it ended because grid-task-exec could not start the program, and why. */
bool process_failed(const struct process *p, struct confine_report *out);

/* Also its group and session. */
int process_pid(const struct process *p);

/* Sends a signal to the whole group; after on_exit nothing. */
void process_signal(struct process *p, int signal);

#endif
