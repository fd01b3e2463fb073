/* trust/file.h: small files that hold secrets: read only when nobody else can, written whole or not at all. Any thread; blocks. */
#ifndef GRID_TRUST_FILE_H
#define GRID_TRUST_FILE_H

#include <sys/types.h>

#include "base/buf.h"

enum { TRUST_FILE_MAX = 1 << 20, TRUST_SENTENCE_MAX = 640 };

/* Appends the file's content to an empty `out` (at most TRUST_FILE_MAX bytes), which holds the only copy in memory. `group_or_others` tells whether anybody but the owner has rights on it.
 * 0; GRID_ENOENT, GRID_EPERM (unreadable), GRID_ELIMIT, GRID_EINVAL (not a regular file), GRID_EIO. */
int trust_file_read(const char *path, struct buf *out, bool *group_or_others);

/* Replaces or makes the file: written beside it, synced, renamed; the old content or the new, never half. `mode` such as 0600.
 * 0, GRID_EPERM, GRID_ENOENT (no such folder), GRID_ENOSPC, GRID_EIO. */
int trust_file_write(const char *path, struct slice content, mode_t mode);
/* The same without waiting for the disk: for what other programs wait to see and a crash of the machine may take. */
int trust_file_show(const char *path, struct slice content, mode_t mode);
/* What a crash leaves beside it has this in its name, and may be taken away when nobody writes. */
#define TRUST_FILE_BESIDE ".new-"

/* Makes the file, whole or not at all; an existing one (a dangling link too) is left alone. 0, GRID_EEXIST, or trust_file_write's errors. */
int trust_file_create(const char *path, struct slice content, mode_t mode);

#endif
