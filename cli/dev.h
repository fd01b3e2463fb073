/* cli/dev.h: a grid of several nodes on this machine, for development. One thread; never loads gRPC itself, since it forks: deploys and logs
 * are `grid deploy` and `grid logs` of their own. */
#ifndef GRID_CLI_DEV_H
#define GRID_CLI_DEV_H

#include <stdint.h>

#include "cli/cli.h"

enum { DEV_NODES_MAX = 16 };

struct dev_options {
    const char *folder; /* absolute */
    const char *gridd;  /* paths of the programs */
    const char *grid;
    unsigned nodes;     /* 1 to DEV_NODES_MAX */
    uint16_t port;      /* API port of the first node, 0 for any */
    const char *log_level;
    const char *task_user, *task_sandbox; /* gridd's options; NULL when not given */
    const char *const *deploy_arguments; /* passed on to grid deploy */
    size_t deploy_argument_count;
};

/* Runs until a signal or a node's end, and leaves no process and no folder behind. An exit code. */
int dev_run(const struct cli *cli, const struct dev_options *options);

#endif
