/* The record of what runs, for who comes after a crash. */
#include "server/supervise/pid_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/err.h"
#include "server/supervise/proc.h"

enum { PID_FILE_LINES_MAX = 65536 };

static int write_whole(const char *path, struct slice content)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0)
        return grid_err_from_errno(errno);
    ssize_t n = write(fd, content.data, content.size);
    int err = n == (ssize_t) content.size ? 0 : n < 0 ? grid_err_from_errno(errno) : GRID_ENOSPC;
    close(fd);
    return err;
}

static int compose(struct buf *out, const struct pid_entry *entries, size_t count)
{
    char boot[37];
    proc_boot_id(boot);
    int err = buf_printf(out, "%s\n", boot);
    for (size_t i = 0; err == 0 && i < count; i++)
        err = buf_printf(out, "%d %llu\n", entries[i].group, (unsigned long long) entries[i].start_time);
    return err;
}

int pid_file_write(const char *path, const struct pid_entry *entries, size_t count)
{
    struct buf content;
    char *beside = NULL;
    buf_init(&content, 0);
    int err = compose(&content, entries, count);
    if (err == 0 && asprintf(&beside, "%s.new", path) < 0) {
        beside = NULL;
        err = GRID_ENOMEM;
    }
    if (err == 0)
        err = write_whole(beside, buf_slice(&content));
    if (err == 0 && rename(beside, path) != 0)
        err = grid_err_from_errno(errno);
    free(beside);
    buf_dispose(&content);
    return err;
}

unsigned pid_file_end_leftovers(const char *path)
{
    FILE *f = fopen(path, "re");
    if (!f)
        return 0;
    char boot[37], line[128];
    unsigned ended = 0;
    proc_boot_id(boot);
    if (fgets(line, sizeof line, f) && boot[0] && strncmp(line, boot, strlen(boot)) == 0) {
        int group;
        unsigned long long start;
        for (int i = 0; i < PID_FILE_LINES_MAX && fgets(line, sizeof line, f); i++) {
            if (sscanf(line, "%d %llu", &group, &start) == 2)
                ended += proc_group_end(group, start);
        }
    }
    fclose(f);
    return ended;
}
