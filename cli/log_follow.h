/* cli/log_follow.h: the new lines of every node of the grid in one stream, as nodes come and go. */
#ifndef GRID_CLI_LOG_FOLLOW_H
#define GRID_CLI_LOG_FOLLOW_H

#include "cli/log_mark.h"
#include "cli/node_link.h"

/* How many old lines a stream brings again, to lose none. */
enum { LOG_FOLLOW_OLD_LINES = 1000 };

struct log_follow;

struct log_follow_options {
    struct cli *cli;  /* borrowed, with its link open */
    const char *task; /* only this one's, NULL for all */
    /* A packed grid.v1.LogLine, borrowed for the call. One call at a time, from any thread; false ends everything. */
    bool (*show)(void *ctx, struct slice packed);
    void *ctx;
};

/* NULL when memory lacks. It is never destroyed: its threads end with the process. */
struct log_follow *log_follow_create(const struct log_follow_options *options);

/* Where a node's lines have been read to, for who has read its old ones; before log_follow_run. NULL when memory lacks. */
struct log_mark *log_follow_mark(struct log_follow *f, struct slice node_id);

/* Follows each member from its mark on; one that cannot be followed is named on stderr and asked again while it is a member. Ends when the
 * node that is asked ends it, or `show` does; `show` is not called afterwards. An exit code, with the reason said. */
int log_follow_run(struct log_follow *f);

#endif
