/* Device and inode of a folder and of every place where a mount shows a part of it. */
#include "fs/closed.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/err.h"

enum { LINE_MAX_BYTES = 16 * 1024, CLIMB_MAX = 4096 };

/* ---- lines of mountinfo ---- */

struct mount_line {
    unsigned long id;
    unsigned major, minor;
    char root[4096], mounted_at[4096];
};

/* Blanks, line ends and backslashes come as three octal digits. */
static void unescape(char *text)
{
    char *to = text;
    for (const char *from = text; *from; to++) {
        unsigned code;
        if (*from == '\\' && sscanf(from + 1, "%3o", &code) == 1 && strlen(from) >= 4) {
            *to = (char) code;
            from += 4;
        } else {
            *to = *from++;
        }
    }
    *to = '\0';
}

static bool line_parse(const char *line, struct mount_line *out)
{
    if (sscanf(line, "%lu %*u %u:%u %4095s %4095s", &out->id, &out->major, &out->minor, out->root, out->mounted_at) != 5)
        return false;
    unescape(out->root);
    unescape(out->mounted_at);
    return true;
}

/* What follows `folder` in `path`: "" or "/...", NULL when it lies elsewhere. */
static const char *path_below(const char *path, const char *folder)
{
    size_t size = strcmp(folder, "/") == 0 ? 0 : strlen(folder);
    return strncmp(path, folder, size) == 0 && (path[size] == '/' || path[size] == '\0') ? path + size : NULL;
}

bool mount_line_places(const char *line, unsigned long id, const char *path, struct mount_place *out)
{
    struct mount_line l;
    const char *below;
    if (!line_parse(line, &l) || l.id != id || !(below = path_below(path, l.mounted_at)))
        return false;
    out->major = l.major;
    out->minor = l.minor;
    int size = snprintf(out->path, sizeof out->path, "%s%s", strcmp(l.root, "/") == 0 && below[0] != '\0' ? "" : l.root, below);
    return size > 0 && (size_t) size < sizeof out->path;
}

bool mount_line_shows(const char *line, const struct mount_place *place, char mounted_at[4096])
{
    struct mount_line l;
    if (!line_parse(line, &l) || l.major != place->major || l.minor != place->minor || !path_below(l.root, place->path))
        return false;
    memcpy(mounted_at, l.mounted_at, sizeof l.mounted_at);
    return true;
}

/* ---- the set ---- */

static int closed_add(struct closed *c, const struct stat *st)
{
    if (closed_has(c, st))
        return 0;
    if (c->count == CLOSED_MAX)
        return GRID_ELIMIT;
    c->places[c->count].device = st->st_dev;
    c->places[c->count++].inode = st->st_ino;
    return 0;
}

/* The mount that a descriptor is of: "mnt_id:" in /proc/self/fdinfo (proc_pid_fdinfo(5)). */
static bool mount_id(int fd, unsigned long *out)
{
    char path[64], line[256];
    bool found = false;
    snprintf(path, sizeof path, "/proc/self/fdinfo/%d", fd);
    FILE *info = fopen(path, "re");
    while (info && !found && fgets(line, sizeof line, info))
        found = sscanf(line, "mnt_id: %lu", out) == 1;
    if (info)
        fclose(info);
    return found;
}

static bool absolute_path(int fd, char out[4096])
{
    char link[64];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t size = readlink(link, out, 4095);
    if (size <= 0)
        return false;
    out[size] = '\0';
    return true;
}

/* Calls `each` with every line until it returns false. */
static void mounts_walk(bool (*each)(void *arg, const char *line), void *arg)
{
    char *line = malloc(LINE_MAX_BYTES);
    FILE *mounts = line ? fopen("/proc/self/mountinfo", "re") : NULL;
    while (mounts && fgets(line, LINE_MAX_BYTES, mounts) && each(arg, line))
        ;
    if (mounts)
        fclose(mounts);
    free(line);
}

struct search {
    unsigned long id;
    char path[4096];
    struct mount_place place;
    bool placed;
    struct closed *closed;
    int err;
};

static bool find_place(void *arg, const char *line)
{
    struct search *s = arg;
    s->placed = mount_line_places(line, s->id, s->path, &s->place);
    return !s->placed;
}

static bool add_shown(void *arg, const char *line)
{
    struct search *s = arg;
    struct stat st;
    if (mount_line_shows(line, &s->place, s->path) && stat(s->path, &st) == 0)
        s->err = closed_add(s->closed, &st);
    return s->err == 0;
}

int closed_make(int fd, struct closed *out)
{
    struct search *s = calloc(1, sizeof *s);
    struct stat st;
    *out = (struct closed){0};
    if (!s)
        return GRID_ENOMEM;
    s->closed = out;
    s->err = fstat(fd, &st) == 0 ? closed_add(out, &st) : GRID_EIO;
    if (s->err == 0 && mount_id(fd, &s->id) && absolute_path(fd, s->path))
        mounts_walk(find_place, s);
    if (s->placed)
        mounts_walk(add_shown, s);
    int err = s->err;
    free(s);
    return err;
}

bool closed_has(const struct closed *c, const struct stat *st)
{
    for (size_t i = 0; c && i < c->count; i++)
        if (c->places[i].device == st->st_dev && c->places[i].inode == st->st_ino)
            return true;
    return false;
}

/* Up to the root, which is its own parent. A folder that cannot be gone up from is not in the node's own state, all of which it may enter. */
bool closed_holds(const struct closed *c, int dir_fd)
{
    struct stat st, below = {0};
    int fd = fcntl(dir_fd, F_DUPFD_CLOEXEC, 0);
    bool found = false;
    for (int i = 0; i < CLIMB_MAX && fd >= 0 && fstat(fd, &st) == 0; i++) {
        found = closed_has(c, &st);
        if (found || (i > 0 && st.st_dev == below.st_dev && st.st_ino == below.st_ino))
            break;
        int up = openat(fd, "..", O_PATH | O_DIRECTORY | O_CLOEXEC);
        close(fd);
        fd = up;
        below = st;
    }
    if (fd >= 0)
        close(fd);
    return found;
}
