/* One system call, or one for each folder of the path. */
#include "fs/beneath.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { NAME_SIZE = 256 };

static int open_stepwise(int dir_fd, const char *path, int flags)
{
    char name[NAME_SIZE];
    int at = dir_fd;
    for (;;) {
        size_t size = strcspn(path, "/");
        bool last = path[size] == '\0';
        errno = ENAMETOOLONG;
        int next = -1;
        if (size < sizeof name) {
            memcpy(name, path, size);
            name[size] = '\0';
            next = openat(at, name, O_NOFOLLOW | O_CLOEXEC | (last ? flags : O_PATH | O_DIRECTORY));
        }
        if (at != dir_fd) {
            int kept = errno;
            close(at);
            errno = kept;
        }
        if (next < 0 || last)
            return next;
        at = next;
        path += size + 1;
    }
}

int beneath_open(int dir_fd, const char *path, int flags)
{
    struct open_how how = {.flags = (uint64_t) (unsigned) (flags | O_CLOEXEC | O_NOFOLLOW), .resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS};
    long fd = syscall(SYS_openat2, dir_fd, path, &how, sizeof how);
    return fd < 0 && (errno == ENOSYS || errno == EPERM || errno == ENAMETOOLONG) ? open_stepwise(dir_fd, path, flags) : (int) fd;
}
