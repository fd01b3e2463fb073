/* server/supervise/log_writer.h: lines of tasks on their way to their files. The loop queues them, the thread pool writes them, in order and one
 * batch at a time: a slow disk holds up neither the loop nor the tasks. The loop's thread only. */
#ifndef GRID_SERVER_SUPERVISE_LOG_WRITER_H
#define GRID_SERVER_SUPERVISE_LOG_WRITER_H

#include "base/slice.h"
#include "net/loop.h"

enum { LOG_WRITER_BYTES = 4 * 1024 * 1024 };

struct log_writer;

/* `max_bytes`: of lines that wait, of all files (0: LOG_WRITER_BYTES). What would be more is dropped and counted; the file says so where it goes
 * on ("... 3 lines were dropped here ..."), and the log once they are written again. 0 or GRID_ENOMEM. */
int log_writer_create(struct loop *l, size_t max_bytes, struct log_writer **out);

/* All sinks are closed. What waits is written, and the memory freed; then `done`, also inside when nothing waits. */
void log_writer_close(struct log_writer *w, loop_fn done, void *arg);

/* One file with its rotated ones (server/supervise/log_file.h), opened with its first line; `path` is copied. NULL: out of memory. */
struct log_sink;
struct log_sink *log_sink_create(struct log_writer *w, const char *path, uint64_t max_file_bytes);

/* Copies the line. A file that cannot be written loses lines, never the task. */
void log_sink_write(struct log_sink *s, struct slice line);

/* What was written before still comes to the file; the sink is gone for the caller. NULL is allowed. */
void log_sink_close(struct log_sink *s);

#endif
