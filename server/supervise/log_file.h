/* server/supervise/log_file.h: one log file of an instance, rotated by size: PATH, PATH.1 ... PATH.4, the oldest forgotten.
 * Writes go to the page cache on the caller's thread, which may block; nothing is synced. Any one thread at a time. */
#ifndef GRID_SERVER_SUPERVISE_LOG_FILE_H
#define GRID_SERVER_SUPERVISE_LOG_FILE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/slice.h"

enum { LOG_FILE_BYTES = 10 * 1024 * 1024, LOG_FILE_COUNT = 5 };

/* The policy, pure: whether a file of `size` bytes is turned before `more` are added. An empty file never is. */
bool log_file_is_full(uint64_t size_bytes, uint64_t more_bytes, uint64_t max_bytes);

struct log_file;

/* Opens PATH for appending (mode 0600), made when it is not there; `path` is copied. Its folder must exist. 0 or GRID_E*. */
int log_file_open(const char *path, uint64_t max_bytes, struct log_file **out);

/* Appends the line and a line end. GRID_EIO, GRID_ENOSPC: the line is lost; later ones are tried again. */
int log_file_write(struct log_file *f, struct slice line);

/* NULL is allowed. */
void log_file_close(struct log_file *f);

#endif
