/* fs/folder.h: opens the folder that somebody wants published, with that user's rights. Blocking; for the thread pool. */
#ifndef GRID_FS_FOLDER_H
#define GRID_FS_FOLDER_H

#include "fs/closed.h"
#include "fs/report.h"
#include "fs/rights.h"

/* Opens an absolute path as `rights` (NULL: the node's own) may. Links on the way are followed, those of /proc that lead into a process's own
 * (/proc/self/fd, /proc/self/root) are not: they would lead where this process may go. The folder must not be one of `closed` (may be NULL) nor lie in one.
 * 0 with *fd the caller's; GRID_EINVAL, GRID_ENOENT, GRID_EPERM with a sentence in `report`. */
int folder_open(const char *path, const struct rights *rights, const struct closed *closed, struct fs_report *report, int *fd);

#endif
