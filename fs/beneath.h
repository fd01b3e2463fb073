/* fs/beneath.h: opens what lies below a folder, whatever somebody puts in the way meanwhile. Blocking, any thread. */
#ifndef GRID_FS_BENEATH_H
#define GRID_FS_BENEATH_H

/* Opens `path` (names between single slashes) below the folder open as `dir_fd`, following no link on the way or at its end. Returns a descriptor
 * (close-on-exec), or -1 with errno: ELOOP or ENOTDIR for a link. By openat2(2); folder by folder where a kernel or a filter lacks
 * it, and for paths longer than the kernel takes. */
int beneath_open(int dir_fd, const char *path, int flags);

#endif
