/* A mount namespace in which some folders are empty but for what the task is to see. mount(2), open_tree(2), user_namespaces(7). */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "server/confine/confine.h"

static int write_text(const char *path, const char *text)
{
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    size_t size = strlen(text);
    if (fd < 0)
        return -1;
    ssize_t written = write(fd, text, size);
    close(fd);
    return written == (ssize_t) size ? 0 : -1;
}

/* Inside, the user is who it was. Without setgroups(2) an ordinary user may map its own group (user_namespaces(7)). */
static int map_itself(uid_t uid, gid_t gid)
{
    char users[64], groups[64];
    snprintf(users, sizeof users, "%u %u 1", uid, uid);
    snprintf(groups, sizeof groups, "%u %u 1", gid, gid);
    if (write_text("/proc/self/setgroups", "deny") != 0 || write_text("/proc/self/gid_map", groups) != 0)
        return -1;
    return write_text("/proc/self/uid_map", users);
}

/* Changes of the system's mounts are still seen; ours are seen by nobody else. */
static int separate(void)
{
    uid_t uid = geteuid();
    gid_t gid = getegid();
    if (unshare(uid == 0 ? CLONE_NEWNS : CLONE_NEWNS | CLONE_NEWUSER) != 0)
        return -1;
    if (uid != 0 && map_itself(uid, gid) != 0)
        return -1;
    return mount(NULL, "/", NULL, MS_REC | MS_SLAVE, NULL);
}

static int make_folders(const char *path)
{
    char part[PATH_MAX];
    size_t size = strlen(path);
    if (size >= sizeof part) {
        errno = ENAMETOOLONG;
        return -1;
    }
    for (size_t i = 1; i <= size; i++) {
        if (path[i] != '/' && path[i] != '\0')
            continue;
        memcpy(part, path, i);
        part[i] = '\0';
        if (mkdir(part, 0711) != 0 && errno != EEXIST && errno != EROFS && errno != EACCES)
            return -1;
    }
    return 0;
}

/* Detached copies of the places, made before anything is covered. */
static int take_places(const struct confine_plan *p, int trees[CONFINE_PLACES_MAX])
{
    for (size_t i = 0; i < p->place_count; i++) {
        struct mount_attr attributes = {.attr_set = p->places[i].writes ? 0 : MOUNT_ATTR_RDONLY};
        trees[i] = open_tree(AT_FDCWD, p->places[i].from, OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_RECURSIVE);
        if (trees[i] < 0 || mount_setattr(trees[i], "", AT_EMPTY_PATH | AT_RECURSIVE, &attributes, sizeof attributes) != 0)
            return -1;
    }
    return 0;
}

static int cover(const struct confine_plan *p)
{
    for (size_t i = 0; i < p->cover_count; i++)
        if (mount("none", p->covers[i], "tmpfs", MS_NOSUID | MS_NODEV | MS_NOEXEC, "mode=0711,size=64k") != 0)
            return -1;
    return 0;
}

static int place(const struct confine_plan *p, const int trees[CONFINE_PLACES_MAX])
{
    for (size_t i = 0; i < p->place_count; i++)
        if (make_folders(p->places[i].to) != 0 || move_mount(trees[i], "", AT_FDCWD, p->places[i].to, MOVE_MOUNT_F_EMPTY_PATH) != 0)
            return -1;
    return 0;
}

/* Only now: the places' names had to be made in them. */
static int seal(const struct confine_plan *p)
{
    struct mount_attr attributes = {.attr_set = MOUNT_ATTR_RDONLY};
    for (size_t i = 0; i < p->cover_count; i++)
        if (mount_setattr(AT_FDCWD, p->covers[i], 0, &attributes, sizeof attributes) != 0)
            return -1;
    return 0;
}

int confine_view(const struct confine_plan *p)
{
    int trees[CONFINE_PLACES_MAX];
    if (separate() != 0 || take_places(p, trees) != 0 || cover(p) != 0 || place(p, trees) != 0)
        return -1;
    return seal(p);
}

static bool try_view(void)
{
    int status = -1;
    pid_t child = fork();
    if (child == 0) {
        int tree = separate() == 0 ? open_tree(AT_FDCWD, "/", OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_RECURSIVE) : -1;
        struct mount_attr attributes = {.attr_set = MOUNT_ATTR_RDONLY};
        bool able = tree >= 0 && mount_setattr(tree, "", AT_EMPTY_PATH | AT_RECURSIVE, &attributes, sizeof attributes) == 0 &&
                    mount("none", "/proc", "tmpfs", MS_NOSUID | MS_NODEV, "size=4k") == 0;
        _exit(able ? 0 : 1);
    }
    while (child > 0 && waitpid(child, &status, 0) < 0 && errno == EINTR)
        ;
    return child > 0 && WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

bool confine_view_possible(void)
{
    static int known = -1;
    if (known < 0)
        known = try_view();
    return known;
}
