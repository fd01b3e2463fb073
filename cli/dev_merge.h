/* cli/dev_merge.h: bytes of several sources as whole lines, each with its source's name before it. Pure. */
#ifndef GRID_CLI_DEV_MERGE_H
#define GRID_CLI_DEV_MERGE_H

#include "base/buf.h"

enum merge_style { MERGE_PLAIN, MERGE_TERMINAL, MERGE_COLOUR };

struct merge;
/* Takes a whole line, borrowed for the call, in place of the merge, and appends what is to be shown. */
typedef void (*merge_line_fn)(void *ctx, const struct merge *m, struct slice line, struct buf *out);

/* One source. */
struct merge {
    char name[32];
    unsigned colour; /* counts up; few sources share one */
    enum merge_style style;
    struct buf partial; /* a line's beginning; cut at MERGE_LINE_MAX */
    merge_line_fn on_line; /* NULL: lines are appended as merge_append does */
    void *ctx;
};

enum { MERGE_LINE_MAX = 128 * 1024 }; /* a task's longest line, with every byte escaped in JSON */

void merge_init(struct merge *m, const char *name, unsigned colour, enum merge_style style);
void merge_dispose(struct merge *m);

/* Appends a line as "node1  | text". On terminals control characters are escaped, but in plain style it stands as it came. */
void merge_append(const struct merge *m, struct slice line, struct buf *out);

/* Appends the whole lines in `bytes`. What is behind the last line end waits for the next call. */
void merge_feed(struct merge *m, struct slice bytes, struct buf *out);

/* Appends what waits, as a line; nothing when nothing does. */
void merge_flush(struct merge *m, struct buf *out);

#endif
