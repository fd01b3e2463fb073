/* Opening folders of trees without following links, and taking trees away. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/err.h"
#include "fs/materialize_internal.h"

/* A tree being removed is gone into this deep; deeper folders are first moved up. */
#define REMOVE_DEPTH 64
#define REMOVE_ROUNDS 100000
#define ASIDE_TRIES 10000
/* Of a path, what is opened at once: the kernel takes 4,095 bytes. */
#define PATH_PIECE 4000

enum { FOLDER_FLAGS = O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC };

bool tree_name_valid(const char *name)
{
    return name[0] != '.' && strlen(name) < TREE_NAME_CAPACITY - sizeof TREE_NEW_PREFIX && manifest_name_valid(slice_of_str(name));
}

void tree_prefixed(const char *prefix, const char *name, char out[TREE_NAME_CAPACITY])
{
    snprintf(out, TREE_NAME_CAPACITY, "%s%s", prefix, name);
}

/* ---- opening ---- */

/* Old kernels and sandboxes have no openat2. */
static bool lacks_openat2(void)
{
    return errno == ENOSYS || errno == EPERM;
}

static int open_beneath(int dir_fd, const char *path)
{
    struct open_how how = {.flags = FOLDER_FLAGS, .resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS};
    return (int) syscall(SYS_openat2, dir_fd, path, &how, sizeof how);
}

/* One name without a slash leads nowhere else than beneath, and O_NOFOLLOW not through a link: the same without openat2. */
int tree_open_folder(int dir_fd, const char *name)
{
    int fd = open_beneath(dir_fd, name);
    return fd < 0 && lacks_openat2() ? openat(dir_fd, name, FOLDER_FLAGS) : fd;
}

/* The first `size` bytes of a path, name by name. */
static int open_by_names(int dir_fd, const char *path, size_t size)
{
    char name[MANIFEST_NAME_MAX + 1];
    int fd = openat(dir_fd, ".", FOLDER_FLAGS);
    for (size_t at = 0; fd >= 0 && at < size;) {
        const char *slash = memchr(path + at, '/', size - at);
        size_t length = slash ? (size_t) (slash - path) - at : size - at;
        snprintf(name, sizeof name, "%.*s", (int) length, path + at);
        int next = openat(fd, name, FOLDER_FLAGS);
        close(fd);
        fd = next;
        at += length + 1;
    }
    return fd;
}

static int open_piece(int dir_fd, const char *path, size_t size)
{
    char piece[PATH_PIECE + 1];
    memcpy(piece, path, size);
    piece[size] = '\0';
    int fd = open_beneath(dir_fd, size > 0 ? piece : ".");
    return fd < 0 && lacks_openat2() ? open_by_names(dir_fd, path, size) : fd;
}

/* Up to the last slash that a piece has room for. */
static size_t piece_size(const char *path, size_t size)
{
    if (size <= PATH_PIECE)
        return size;
    for (size = PATH_PIECE; path[size] != '/'; size--) {
    }
    return size;
}

int tree_open_path(int top_fd, const char *path)
{
    size_t left = strlen(path), size = piece_size(path, left);
    int fd = open_piece(top_fd, path, size);
    while (fd >= 0 && size < left) {
        path += size + 1;
        left -= size + 1;
        size = piece_size(path, left);
        int next = open_piece(fd, path, size);
        close(fd);
        fd = next;
    }
    return fd;
}

/* ---- removal ---- */

/* `top_fd` is the tree being removed; folders too deep are moved there under a number of their own. */
struct remover {
    int top_fd;
    unsigned moved;
    size_t left; /* entries that may still be taken away in this step */
};

static int remove_entries(struct remover *r, int fd, unsigned depth);

static int move_up(struct remover *r, int dir_fd, const char *name)
{
    char up[32];
    do {
        snprintf(up, sizeof up, "%u", r->moved++);
    } while (renameat2(dir_fd, name, r->top_fd, up, RENAME_NOREPLACE) != 0 && errno == EEXIST && r->moved < REMOVE_ROUNDS);
    return 0; /* when that failed the folder above is not empty, and the removal fails there */
}

static int remove_folder(struct remover *r, int dir_fd, const char *name, unsigned depth)
{
    if (depth >= REMOVE_DEPTH)
        return move_up(r, dir_fd, name);
    int fd = tree_open_folder(dir_fd, name);
    if (fd < 0 && errno == EACCES && fchmodat(dir_fd, name, 0700, 0) == 0)
        fd = tree_open_folder(dir_fd, name);
    if (fd < 0)
        return grid_err_from_errno(errno);
    int err = remove_entries(r, fd, depth + 1);
    close(fd);
    if (err == 0 && unlinkat(dir_fd, name, AT_REMOVEDIR) != 0 && errno != ENOENT)
        err = grid_err_from_errno(errno);
    r->left -= r->left > 0; /* now, so that the way down to it leaves something for what lies there */
    return err;
}

static int remove_entry(struct remover *r, int dir_fd, const char *name, unsigned depth)
{
    if (r->left == 0)
        return GRID_EAGAIN;
    if (unlinkat(dir_fd, name, 0) == 0 || errno == ENOENT) {
        r->left--;
        return 0;
    }
    if (errno != EISDIR && errno != EPERM)
        return grid_err_from_errno(errno);
    return remove_folder(r, dir_fd, name, depth);
}

static int remove_entries(struct remover *r, int fd, unsigned depth)
{
    int err = 0, own = openat(fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *dir = own >= 0 ? fdopendir(own) : NULL;
    if (!dir) {
        err = grid_err_from_errno(errno);
        if (own >= 0)
            close(own);
        return err;
    }
    fchmod(fd, 0700); /* a task may have taken the right to delete from its own folder */
    for (struct dirent *e; err == 0 && (e = readdir(dir));)
        if (strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0)
            err = remove_entry(r, fd, e->d_name, depth);
    closedir(dir);
    return err;
}

/* Deletes a folder, or whatever else has that name. 0 also when there is nothing; GRID_EAGAIN when `*left` entries were not all of it. */
static int remove_some(int parent_fd, const char *name, size_t *left)
{
    if (unlinkat(parent_fd, name, 0) == 0 || errno == ENOENT)
        return 0;
    struct remover r = {.top_fd = tree_open_folder(parent_fd, name), .left = *left};
    if (r.top_fd < 0)
        return grid_err_from_errno(errno);
    int err = 0;
    for (int round = 0; round < REMOVE_ROUNDS && err == 0; round++) {
        unsigned moved = r.moved;
        err = remove_entries(&r, r.top_fd, 1);
        if (err == 0 && unlinkat(parent_fd, name, AT_REMOVEDIR) == 0)
            break;
        if (err == 0 && moved == r.moved)
            err = grid_err_from_errno(errno);
    }
    close(r.top_fd);
    *left = r.left;
    return err;
}

int tree_delete(int dir_fd, const char *name)
{
    size_t all = SIZE_MAX;
    return remove_some(dir_fd, name, &all);
}

/* What loses a release's name has lost it on the disk too before anything in it is taken away: after a power failure no name leads to half a tree. */
static int keep_names(int parent_fd)
{
    return fsync(parent_fd) == 0 ? 0 : grid_err_from_errno(errno);
}

int materialize_remove(int parent_fd, const char *name)
{
    char old[TREE_NAME_CAPACITY];
    if (!tree_name_valid(name))
        return GRID_EINVAL;
    tree_prefixed(TREE_OLD_PREFIX, name, old);
    int err = tree_delete(parent_fd, old);
    if (err != 0)
        return err;
    if (renameat(parent_fd, name, parent_fd, old) != 0)
        return errno == ENOENT ? 0 : grid_err_from_errno(errno);
    err = keep_names(parent_fd);
    return err == 0 ? tree_delete(parent_fd, old) : err;
}

static bool is_rubbish(const char *name)
{
    return strncmp(name, TREE_NEW_PREFIX, strlen(TREE_NEW_PREFIX)) == 0 || strncmp(name, TREE_OLD_PREFIX, strlen(TREE_OLD_PREFIX)) == 0;
}

int materialize_set_aside(int parent_fd, const char *name)
{
    char old[TREE_NAME_CAPACITY], unique[TREE_NAME_CAPACITY];
    if (!tree_name_valid(name))
        return GRID_EINVAL;
    tree_prefixed(TREE_OLD_PREFIX, name, old);
    for (unsigned i = 0; i < ASIDE_TRIES; i++) {
        snprintf(unique, sizeof unique, "%.200s-%u", old, i);
        if (renameat2(parent_fd, name, parent_fd, unique, RENAME_NOREPLACE) == 0 || errno == ENOENT)
            return 0;
        if (errno != EEXIST)
            return grid_err_from_errno(errno);
    }
    return GRID_ELIMIT;
}

int materialize_clean_some(int parent_fd, size_t entries_max)
{
    int err = 0, fd = openat(parent_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *dir = fd >= 0 ? fdopendir(fd) : NULL;
    if (!dir) {
        err = grid_err_from_errno(errno);
        if (fd >= 0)
            close(fd);
        return err;
    }
    bool kept = false;
    for (struct dirent *e; err != GRID_EAGAIN && (e = readdir(dir));) {
        if (!is_rubbish(e->d_name))
            continue;
        int failed = kept ? 0 : keep_names(parent_fd);
        kept = failed == 0;
        if (failed == 0)
            failed = remove_some(parent_fd, e->d_name, &entries_max);
        err = failed != 0 ? failed : err; /* what cannot be deleted keeps nothing else from it */
    }
    closedir(dir);
    return err;
}

int materialize_clean(int parent_fd)
{
    return materialize_clean_some(parent_fd, SIZE_MAX);
}
