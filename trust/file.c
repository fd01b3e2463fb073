/* Reading with the mode looked at on the open descriptor, writing by rename. */
#include "trust/file.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/err.h"

enum { READ_BYTES = 4096 };

static int read_all(int fd, struct buf *out)
{
    for (;;) {
        int err = buf_reserve(out, READ_BYTES);
        if (err != 0)
            return err;
        ssize_t got = read(fd, out->data + out->size, READ_BYTES);
        if (got < 0 && errno != EINTR)
            return grid_err_from_errno(errno);
        if (got == 0)
            return 0;
        out->size += got > 0 ? (size_t) got : 0;
        if (out->size > TRUST_FILE_MAX)
            return GRID_ELIMIT;
    }
}

int trust_file_read(const char *path, struct buf *out, bool *group_or_others)
{
    struct stat info;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY), err;
    if (fd < 0)
        return grid_err_from_errno(errno);
    if (fstat(fd, &info) != 0)
        err = grid_err_from_errno(errno);
    else if (!S_ISREG(info.st_mode))
        err = GRID_EINVAL;
    else if (info.st_size > TRUST_FILE_MAX)
        err = GRID_ELIMIT;
    else if ((err = buf_reserve(out, (size_t) info.st_size + READ_BYTES)) == 0) /* so that it does not move, and leaves no copy behind */
        err = read_all(fd, out);
    if (err == 0)
        *group_or_others = (info.st_mode & 077) != 0;
    close(fd);
    return err;
}

static int write_all(int fd, struct slice content)
{
    while (content.size > 0) {
        ssize_t put = write(fd, content.data, content.size);
        if (put < 0 && errno != EINTR)
            return grid_err_from_errno(errno);
        content = slice_from(content, put > 0 ? (size_t) put : 0);
    }
    return 0;
}

/* The rename is only safe against a crash once the folder is on disk too. */
static void sync_folder_of(const char *path)
{
    char copy[PATH_MAX];
    snprintf(copy, sizeof copy, "%s", path);
    int fd = open(dirname(copy), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return;
    fsync(fd);
    close(fd);
}

static int write_beside(int fd, const char *beside, const char *path, struct slice content, mode_t mode, bool synced)
{
    int err = write_all(fd, content);
    if (err == 0 && (fchmod(fd, mode) != 0 || (synced && fsync(fd) != 0)))
        err = grid_err_from_errno(errno);
    if (close(fd) != 0 && err == 0)
        err = grid_err_from_errno(errno);
    if (err == 0 && rename(beside, path) != 0)
        err = grid_err_from_errno(errno);
    return err;
}

static int replace_file(const char *path, struct slice content, mode_t mode, bool synced)
{
    char beside[PATH_MAX];
    int length = snprintf(beside, sizeof beside, "%s" TRUST_FILE_BESIDE "XXXXXX", path);
    if (length < 0 || (size_t) length >= sizeof beside)
        return GRID_ELIMIT;
    int fd = mkostemp(beside, O_CLOEXEC);
    if (fd < 0)
        return grid_err_from_errno(errno);
    int err = write_beside(fd, beside, path, content, mode, synced);
    if (err != 0)
        unlink(beside);
    else if (synced)
        sync_folder_of(path);
    return err;
}

int trust_file_write(const char *path, struct slice content, mode_t mode)
{
    return replace_file(path, content, mode, true);
}

int trust_file_show(const char *path, struct slice content, mode_t mode)
{
    return replace_file(path, content, mode, false);
}

int trust_file_create(const char *path, struct slice content, mode_t mode)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (fd < 0)
        return grid_err_from_errno(errno);
    int err = write_all(fd, content);
    if (err == 0 && (fchmod(fd, mode) != 0 || fsync(fd) != 0))
        err = grid_err_from_errno(errno);
    if (close(fd) != 0 && err == 0)
        err = grid_err_from_errno(errno);
    if (err != 0)
        unlink(path);
    else
        sync_folder_of(path);
    return err;
}
