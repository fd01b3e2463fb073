/* server/node.h: one gridd: opens everything in order, runs the control loop, drains and closes. */
#ifndef GRID_SERVER_NODE_H
#define GRID_SERVER_NODE_H

#include "server/options.h"

struct node;

/* Runs the node until SIGTERM or SIGINT. Returns the process's exit status: 0 after a drain, 1 when something failed while it ran, 2 for a
 * configuration fault; faults have been said on stderr in one sentence. */
int node_run(const struct options *options);

/* Opens Gridfile and state folder as a start would, and closes them again: 0, or 2 with the sentence on stderr. */
int node_check(const struct options *options);

#endif
