/* server/supervise/log_lines.h: what tasks write, cut into lines and the last of them kept. Pure; any one thread at a time. */
#ifndef GRID_SERVER_SUPERVISE_LOG_LINES_H
#define GRID_SERVER_SUPERVISE_LOG_LINES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/slice.h"

enum { LOG_LINE_MAX = 16 * 1024, LOG_RING_LINES = 1000, LOG_RING_BYTES = 256 * 1024 };

enum log_stream { LOG_STREAM_STDOUT, LOG_STREAM_STDERR, LOG_STREAM_GRID };

/* "stdout", "stderr", "grid". Static storage. */
const char *log_stream_name(enum log_stream stream);

/* One line: any bytes without the line end, at most LOG_LINE_MAX. `text` and `task` are borrowed for the call it is given in. */
struct log_line {
    int64_t time_ms; /* Unix time */
    const char *task;
    uint32_t instance;
    enum log_stream stream;
    struct slice text;
};

typedef void (*log_text_fn)(void *ctx, struct slice text);

/* Bytes in, lines out. A line longer than LOG_LINE_MAX comes in pieces of that size; "\r\n" ends a line too. Zeroed is new. */
struct log_splitter {
    uint8_t *part; /* the line so far, LOG_LINE_MAX bytes once needed */
    size_t size;
};
void log_splitter_feed(struct log_splitter *s, struct slice in, log_text_fn emit, void *ctx);
/* Gives out what stands without a line end, and frees its memory. */
void log_splitter_finish(struct log_splitter *s, log_text_fn emit, void *ctx);

/* The last lines of a task: at most LOG_RING_LINES of at most LOG_RING_BYTES in all. Zeroed is empty. */
struct log_ring {
    struct log_ring_entry **entries; /* LOG_RING_LINES once needed */
    size_t first, count, bytes;
};
/* Keeps a copy (without `task`); a line that memory lacks for is dropped. */
void log_ring_push(struct log_ring *r, const struct log_line *line);
/* The last `count` lines, oldest first, with `task` put into each. */
void log_ring_last(const struct log_ring *r, const char *task, size_t count, void (*emit)(void *ctx, const struct log_line *line),
                   void *ctx);
void log_ring_dispose(struct log_ring *r);

/* Whether a line of stderr says what went wrong: not blank, not a stack frame, not an interpreter's farewell. */
bool log_line_tells(struct slice text);

/* Copies the line as one that may stand in a sentence: control characters and malformed UTF-8 become blanks and '?'; cut to fit. */
void log_line_copy(struct slice text, char *out, size_t size);

#endif
