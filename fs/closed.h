/* fs/closed.h: folders that nothing is read from, whoever asks: the node's state folder, by whatever path. Told by device and inode, so that
 * neither links nor names matter; a mount that shows a part of the folder elsewhere is found in the kernel's list of mounts. Blocking. */
#ifndef GRID_FS_CLOSED_H
#define GRID_FS_CLOSED_H

#include <stdbool.h>
#include <sys/stat.h>

#include "base/slice.h"

enum { CLOSED_MAX = 64 };

struct closed {
    struct {
        dev_t device;
        ino_t inode;
    } places[CLOSED_MAX];
    size_t count;
};

/* The folder open as `fd`, and what mounts show of it. 0; GRID_EIO; GRID_ELIMIT when it is mounted at too many places. */
int closed_make(int fd, struct closed *out);
/* Whether this file or folder is one of them. `c` may be NULL: nothing is closed. */
bool closed_has(const struct closed *c, const struct stat *st);
/* Whether the folder open as `dir_fd` is one of them or lies below one. */
bool closed_holds(const struct closed *c, int dir_fd);

/* Where a folder is within its file system. */
struct mount_place {
    unsigned major, minor;
    char path[4096];
};

/* The pure part, for one line of /proc/self/mountinfo (proc_pid_mountinfo(5)). The first tells whether the line is of mount `id`, and gives the place
 * of `path` (absolute) in it; the second whether the line shows `place` or what is below it, and gives where. */
bool mount_line_places(const char *line, unsigned long id, const char *path, struct mount_place *out);
bool mount_line_shows(const char *line, const struct mount_place *place, char mounted_at[4096]);

#endif
