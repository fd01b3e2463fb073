/* fs/stat_cache_disk.h: the files of a node's stat caches, one for each folder and whoever published it: what one user's rights opened is
 * nothing that another may have. They lie in STATE/stat-cache; the least recently used go when there are too many. Blocking; one thread at a time
 * for one state folder. */
#ifndef GRID_FS_STAT_CACHE_DISK_H
#define GRID_FS_STAT_CACHE_DISK_H

#include "base/buf.h"
#include "fs/rights.h"

#define STAT_CACHE_FILES_MAX 16
#define STAT_CACHE_NAME_SIZE 33 /* hex and a NUL */

struct stat;

/* The file's name, by the published folder (by device and inode) and by whose rights it is read with (NULL: the process's own). 0 or GRID_ENOMEM. */
int stat_cache_file_name(const struct stat *folder, const struct rights *rights, char out[STAT_CACHE_NAME_SIZE]);

/* Appends what the file holds; nothing when it cannot be read. */
void stat_cache_load(int state_fd, const char *name, struct buf *out);

/* Puts the bytes in the file's place at once. It is not synced: a file that a crash left half written has a wrong checksum. Failing costs time alone, later. */
void stat_cache_save(int state_fd, const char *name, struct slice bytes);

#endif
