/* Making folders, and giving them to whom tasks run as. */
#include "server/supervise/task_folders.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/err.h"
#include "fs/materialize.h"

enum { DEPTH_MAX = 200, FOLDER_FLAGS = O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC };

static int give_entries(int fd, const struct task_user *user, unsigned depth);

/* A file with a second name may be anybody's file, linked here: it stays whose it is. */
static int give_entry(int dir_fd, const char *name, const struct task_user *user, unsigned depth)
{
    struct stat st;
    if (fstatat(dir_fd, name, &st, AT_SYMLINK_NOFOLLOW) != 0)
        return errno == ENOENT ? 0 : grid_err_from_errno(errno);
    if (st.st_uid == user->uid && !S_ISDIR(st.st_mode))
        return 0;
    if (S_ISDIR(st.st_mode)) {
        int fd = openat(dir_fd, name, FOLDER_FLAGS);
        int err = fd < 0 ? grid_err_from_errno(errno) : give_entries(fd, user, depth + 1);
        if (fd >= 0)
            close(fd);
        return err;
    }
    int fd = S_ISREG(st.st_mode) && st.st_nlink == 1 ? openat(dir_fd, name, O_PATH | O_NOFOLLOW | O_CLOEXEC) : -1;
    if (fd >= 0 && fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && st.st_nlink == 1)
        fchownat(fd, "", user->uid, user->gid, AT_EMPTY_PATH);
    if (fd >= 0)
        close(fd);
    return 0;
}

static int give_entries(int fd, const struct task_user *user, unsigned depth)
{
    int err = 0, own = depth < DEPTH_MAX ? openat(fd, ".", FOLDER_FLAGS) : -1;
    DIR *dir = own >= 0 ? fdopendir(own) : NULL;
    if (!dir) {
        if (own >= 0)
            close(own);
        return GRID_ELIMIT;
    }
    for (struct dirent *e; err == 0 && (e = readdir(dir));)
        if (strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0)
            err = give_entry(fd, e->d_name, user, depth);
    closedir(dir);
    return err == 0 && fchown(fd, user->uid, user->gid) != 0 ? grid_err_from_errno(errno) : err;
}

/* The folder last, so that a walk that was cut short begins again. */
static int make_own(int parent, const char *name, const struct task_user *user)
{
    struct stat st;
    if (mkdirat(parent, name, 0700) != 0 && errno != EEXIST)
        return grid_err_from_errno(errno);
    int fd = openat(parent, name, FOLDER_FLAGS);
    if (fd < 0)
        return grid_err_from_errno(errno);
    int err = fstat(fd, &st) != 0 ? grid_err_from_errno(errno) : 0;
    if (err == 0 && st.st_uid != user->uid)
        err = give_entries(fd, user, 0);
    if (err == 0 && fchmod(fd, 0700) != 0)
        err = grid_err_from_errno(errno);
    close(fd);
    return err;
}

/* A folder of the node's: with `passable` the tasks' group may go through it and list nothing. */
static int make_above(int state, const char *name, bool passable, const struct task_user *user)
{
    if (mkdirat(state, name, 0700) != 0 && errno != EEXIST)
        return grid_err_from_errno(errno);
    if (!user->own)
        return 0;
    if (passable && fchownat(state, name, (uid_t) -1, user->gid, AT_SYMLINK_NOFOLLOW) != 0)
        return grid_err_from_errno(errno);
    return fchmodat(state, name, passable ? 0710 : 0700, 0) == 0 ? 0 : grid_err_from_errno(errno);
}

static int open_state(const char *state, int *out)
{
    *out = open(state, FOLDER_FLAGS & ~O_NOFOLLOW);
    return *out >= 0 ? 0 : grid_err_from_errno(errno);
}

int task_folders_prepare(const char *state, const struct task_user *user)
{
    static const struct {
        const char *name;
        bool passable;
    } above[] = {{"logs", false}, {"data", true}, {"tmp", true}, {"releases", true}};
    int fd, err = open_state(state, &fd);
    if (err != 0)
        return err;
    materialize_set_aside(fd, "tmp"); /* where that fails it stays as it is */
    materialize_set_aside(fd, "pycache"); /* of a version in which all tasks shared it */
    err = make_above(fd, ".", true, user);
    for (size_t i = 0; err == 0 && i < sizeof above / sizeof *above; i++)
        err = make_above(fd, above[i].name, above[i].passable, user);
    close(fd);
    return err;
}

int task_folders_make(const char *state, const char *task, const struct task_user *user)
{
    static const char *const kinds[] = {"data", "tmp"};
    int fd, err = open_state(state, &fd);
    for (size_t i = 0; err == 0 && i < sizeof kinds / sizeof *kinds; i++) {
        int parent = openat(fd, kinds[i], FOLDER_FLAGS);
        err = parent < 0 ? grid_err_from_errno(errno) : make_own(parent, task, user);
        if (parent >= 0)
            close(parent);
    }
    if (fd >= 0)
        close(fd);
    return err;
}
