/* cli/dev_child.h: processes that `grid dev` runs, each in a group of its own with its output in one pipe. One thread. */
#ifndef GRID_CLI_DEV_CHILD_H
#define GRID_CLI_DEV_CHILD_H

#include <sys/types.h>

#include "cli/dev_merge.h"

struct dev_child {
    pid_t pid;  /* 0 when it does not run */
    int output; /* non-blocking; -1 when closed */
    int status; /* of waitpid, once it has ended */
    struct merge merge;
};

/* Starts `argv` (argv[0] is a path) without the GRID_* variables of the environment; it gets SIGTERM when this process dies. 0, or -1 with
 * errno. */
int dev_child_start(struct dev_child *c, char *const argv[]);

/* Reads what is there and appends it as lines. False once the output has ended. */
bool dev_child_read(struct dev_child *c, struct buf *out);

/* Sends a signal to its group while it runs. */
void dev_child_signal(const struct dev_child *c, int number);

/* "exit 1" or "signal 9". */
void dev_child_describe(int status, char out[32]);

/* Kills and reaps every process that is below this one, its own children and those that orphaned processes left to it. */
void dev_children_kill_all(void);

#endif
