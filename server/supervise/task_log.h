/* server/supervise/task_log.h: what tasks write, cut into lines and the last of them kept. Pure; any one thread at a time. */
#ifndef GRID_SERVER_SUPERVISE_TASK_LOG_H
#define GRID_SERVER_SUPERVISE_TASK_LOG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/slice.h"

enum { TASK_LINE_MAX = 16 * 1024, LINE_RING_LINES = 1000, LINE_RING_BYTES = 256 * 1024 };

enum task_stream { TASK_STREAM_STDOUT, TASK_STREAM_STDERR, TASK_STREAM_GRID };

/* "stdout", "stderr", "grid". Static storage. */
const char *task_stream_name(enum task_stream stream);

/* One line: any bytes without the line end, at most TASK_LINE_MAX. `text` and `task` are borrowed for the call it is given in. */
struct task_line {
    int64_t time_ms; /* Unix time */
    const char *task;
    uint32_t instance;
    enum task_stream stream;
    struct slice text;
};

typedef void (*line_fn)(void *ctx, struct slice text);

/* Bytes in, lines out. A line longer than TASK_LINE_MAX comes in pieces of that size; "\r\n" ends a line too. Zeroed is new. */
struct line_splitter {
    uint8_t *part; /* the line so far, TASK_LINE_MAX bytes once needed */
    size_t size;
};
void line_splitter_feed(struct line_splitter *s, struct slice in, line_fn emit, void *ctx);
/* Gives out what stands without a line end, and frees its memory. */
void line_splitter_finish(struct line_splitter *s, line_fn emit, void *ctx);

/* The last lines of a task: at most LINE_RING_LINES of at most LINE_RING_BYTES in all. Zeroed is empty. */
struct line_ring {
    struct line_ring_entry **entries; /* LINE_RING_LINES once needed */
    size_t first, count, bytes;
};
/* Keeps a copy (without `task`); a line that memory lacks for is dropped. */
void line_ring_push(struct line_ring *r, const struct task_line *line);
/* The last `count` lines, oldest first, with `task` put into each. */
void line_ring_last(const struct line_ring *r, const char *task, size_t count, void (*emit)(void *ctx, const struct task_line *line),
                   void *ctx);
void line_ring_dispose(struct line_ring *r);

/* Whether a line of stderr says what went wrong: not blank, not a stack frame, not an interpreter's farewell. */
bool task_line_tells(struct slice text);

/* Copies the line as one that may stand in a sentence: control characters and malformed UTF-8 become blanks and '?'; cut to fit. */
void task_line_copy(struct slice text, char *out, size_t size);

#endif
