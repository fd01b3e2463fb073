/* cli/dev_output.h: what tasks write, as `grid dev` shows it: the lines of `grid logs --json` of every node, with failures that come again counted. One thread. */
#ifndef GRID_CLI_DEV_OUTPUT_H
#define GRID_CLI_DEV_OUTPUT_H

#include "cli/dev_merge.h"

enum { DEV_OUTPUT_SOURCES_MAX = 16 };

struct dev_output;

/* NULL when memory lacks. */
struct dev_output *dev_output_create(void);
void dev_output_destroy(struct dev_output *o); /* NULL is allowed */

/* From now on the lines of `m` are a node's, and `o` takes them; `index` is the node's, below DEV_OUTPUT_SOURCES_MAX. `m` must live as long as `o`. */
void dev_output_take(struct dev_output *o, unsigned index, struct merge *m);

/* What time it is for lines that come: monotonic milliseconds. */
void dev_output_set_time(struct dev_output *o, uint64_t now_ms);
/* Milliseconds until dev_output_release is due, 0 now, -1 when it is not. */
int dev_output_wait(const struct dev_output *o);
/* Appends what has been held long enough. */
void dev_output_release(struct dev_output *o, struct buf *out);

/* Appends what is held, and tells every failure in full again: there is a new version of the tasks. */
void dev_output_forget(struct dev_output *o, struct buf *out);

#endif
