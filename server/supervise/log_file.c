/* Appending to a bounded set of files. */
#include "server/supervise/log_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include "base/err.h"

struct log_file {
    int fd;
    uint64_t size, max;
    char path[];
};

bool log_file_is_full(uint64_t size_bytes, uint64_t more_bytes, uint64_t max_bytes)
{
    return size_bytes > 0 && size_bytes + more_bytes > max_bytes;
}

static int open_current(struct log_file *f)
{
    f->fd = open(f->path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (f->fd < 0)
        return grid_err_from_errno(errno);
    struct stat s;
    f->size = fstat(f->fd, &s) == 0 ? (uint64_t) s.st_size : 0;
    return 0;
}

int log_file_open(const char *path, uint64_t max_bytes, struct log_file **out)
{
    size_t size = strlen(path) + 1;
    struct log_file *f = malloc(sizeof *f + size);
    if (!f)
        return GRID_ENOMEM;
    memcpy(f->path, path, size);
    f->max = max_bytes;
    int err = open_current(f);
    if (err != 0) {
        free(f);
        return err;
    }
    *out = f;
    return 0;
}

static void rename_numbered(const char *path, int from)
{
    char *old = NULL, *new = NULL;
    int made = from == 0 ? asprintf(&old, "%s", path) : asprintf(&old, "%s.%d", path, from);
    if (made >= 0 && asprintf(&new, "%s.%d", path, from + 1) >= 0) {
        rename(old, new);
        free(new);
    }
    if (made >= 0)
        free(old);
}

static int turn(struct log_file *f)
{
    close(f->fd);
    for (int i = LOG_FILE_COUNT - 2; i >= 0; i--)
        rename_numbered(f->path, i);
    return open_current(f);
}

int log_file_write(struct log_file *f, struct slice line)
{
    int err = f->fd < 0 ? open_current(f) : 0;
    if (err == 0 && log_file_is_full(f->size, line.size + 1, f->max))
        err = turn(f);
    if (err != 0)
        return err;
    struct iovec parts[] = {{(void *) line.data, line.size}, {(void *) "\n", 1}};
    ssize_t written = writev(f->fd, parts, 2);
    if (written < 0)
        return grid_err_from_errno(errno);
    f->size += (uint64_t) written;
    return (size_t) written == line.size + 1 ? 0 : GRID_ENOSPC;
}

void log_file_close(struct log_file *f)
{
    if (!f)
        return;
    if (f->fd >= 0)
        close(f->fd);
    free(f);
}
