/* cli/dev_repeat.h: lines of tasks as `grid dev` shows them: a failure is shown in full once; when a task fails in the same way again, on the same node or on
 * another, that is counted in a line of its own, told for the 1st, 2nd, 4th, 8th... time. Pure; any one thread at a time. */
#ifndef GRID_CLI_DEV_REPEAT_H
#define GRID_CLI_DEV_REPEAT_H

#include <stdbool.h>
#include <stdint.h>

#include "base/slice.h"

struct dev_line {
    unsigned source; /* the node */
    int64_t time_ms; /* Unix time */
    struct slice task;
    uint32_t instance;
    struct slice stream; /* "stdout", "stderr", or "grid": the node's remark that the process has failed */
    struct slice text;
};

/* The line is borrowed for the call. */
typedef void (*dev_line_fn)(void *ctx, const struct dev_line *line);

struct dev_repeat;

/* NULL when memory lacks. */
struct dev_repeat *dev_repeat_create(dev_line_fn show, void *ctx);
void dev_repeat_destroy(struct dev_repeat *r); /* NULL is allowed */

/* The next line of its source, borrowed. It is shown at once, or held as long as it may be part of a failure that was shown before, at most half a second.
 * `now_ms` is monotonic. */
void dev_repeat_take(struct dev_repeat *r, const struct dev_line *line, uint64_t now_ms);

/* Milliseconds until lines have been held too long, 0 now, -1 when none are held. */
int dev_repeat_wait(const struct dev_repeat *r, uint64_t now_ms);
/* Shows those. */
void dev_repeat_release(struct dev_repeat *r, uint64_t now_ms);

/* Shows what is held, and every failure in full again: there is a new version of the tasks. */
void dev_repeat_forget(struct dev_repeat *r);

#endif
