/* cli/dev_merge.h: bytes of several sources as whole lines, each with its source's name before it. Pure. */
#ifndef GRID_CLI_DEV_MERGE_H
#define GRID_CLI_DEV_MERGE_H

#include "base/buf.h"

enum merge_style { MERGE_PLAIN, MERGE_TERMINAL, MERGE_COLOUR };

/* One source. */
struct merge {
    char name[32];
    unsigned colour; /* counts up; few sources share one */
    enum merge_style style;
    struct buf partial; /* a line's beginning; cut at MERGE_LINE_MAX */
};

enum { MERGE_LINE_MAX = 32 * 1024 };

void merge_init(struct merge *m, const char *name, unsigned colour, enum merge_style style);
void merge_dispose(struct merge *m);

/* Appends the whole lines in `bytes` as "node1  | text". On terminals control characters are escaped, but in plain style lines stand as
 * they came. What is behind the last line end waits for the next call. */
void merge_feed(struct merge *m, struct slice bytes, struct buf *out);

/* Appends what waits, as a line; nothing when nothing does. */
void merge_flush(struct merge *m, struct buf *out);

#endif
