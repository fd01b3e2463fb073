/* Building beside, renaming into place, and taking away. */
#include "fs/materialize.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/err.h"
#include "fs/manifest.h"

#define NEW_PREFIX ".new-"
#define OLD_PREFIX ".old-"
#define NAME_CAPACITY 256
#define NO_FOLDER (-1)
/* A tree being removed is gone into this deep; deeper folders are first moved up. */
#define REMOVE_DEPTH 64
#define REMOVE_ROUNDS 100000
#define ASIDE_TRIES 10000

struct builder {
    struct store *store;
    struct materialize_options options;
    struct fs_report *report;
    struct materialize_result result;
    struct buf path; /* of what is being built */
    uint64_t entries;
};

static int fail_path(struct builder *b, int err, const char *what)
{
    return fs_report_fail(b->report, err, "%.*s cannot be written: %s", (int) b->path.size, (const char *) b->path.data, what);
}

static int fail_errno(struct builder *b, int errnum)
{
    return fail_path(b, grid_err_from_errno(errnum), errnum == ENOSPC ? "the disk is full; free some space" : strerror(errnum));
}

/* Opens a folder by one name, never through a link. Old kernels and sandboxes without openat2 get the same by O_NOFOLLOW. */
static int open_folder(int dir_fd, const char *name)
{
    struct open_how how = {.flags = O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC, .resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS};
    long fd = syscall(SYS_openat2, dir_fd, name, &how, sizeof how);
    if (fd < 0 && (errno == ENOSYS || errno == EPERM))
        return openat(dir_fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    return (int) fd;
}

/* ---- one file ---- */

struct timespec materialize_file_time(const struct object_id *id)
{
    uint32_t seconds = 0, nanoseconds = 0;
    for (size_t i = 0; i < 4; i++) {
        seconds = seconds << 8 | id->bytes[i];
        nanoseconds = nanoseconds << 8 | id->bytes[4 + i];
    }
    return (struct timespec){946684800 + (time_t) (seconds & 0x0fffffff), (long) (nanoseconds % 1000000000u)};
}

/* Whether an open file is what a build made of this entry, untouched since. */
static bool file_untouched(int fd, const struct manifest_entry *e)
{
    struct stat st;
    struct timespec expected = materialize_file_time(&e->id);
    return fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && (uint64_t) st.st_size == e->size && st.st_mtim.tv_sec == expected.tv_sec &&
           st.st_mtim.tv_nsec == expected.tv_nsec;
}

static bool copy_in_kernel(int from, int to, uint64_t size)
{
    if (ioctl(to, FICLONE, from) == 0)
        return true;
    while (size > 0) {
        ssize_t n = copy_file_range(from, NULL, to, NULL, size, 0);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return false;
        size -= (uint64_t) n;
    }
    return true;
}

/* Fills the file from the older tree. False when that has it not, or not any more: then the file is empty. */
static bool reuse_file(int previous_fd, int fd, const struct manifest_entry *e, const char *name)
{
    if (previous_fd == NO_FOLDER || e->size == 0)
        return false;
    int from = openat(previous_fd, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    if (from < 0)
        return false;
    bool done = file_untouched(from, e) && copy_in_kernel(from, fd, e->size) && file_untouched(from, e);
    close(from);
    if (!done && (ftruncate(fd, 0) != 0 || lseek(fd, 0, SEEK_SET) != 0))
        return false;
    return done;
}

static int write_all(int fd, struct slice bytes)
{
    while (bytes.size > 0) {
        ssize_t n = write(fd, bytes.data, bytes.size);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return n < 0 ? errno : EIO;
        bytes = slice_from(bytes, (size_t) n);
    }
    return 0;
}

static int explain_read(struct builder *b, int err)
{
    if (err == GRID_ENOENT || err == GRID_ECORRUPT)
        return fail_path(b, err, "some of its content is missing or damaged here and must be fetched again");
    return err == 0 ? 0 : fail_path(b, err, grid_err_text(err));
}

static int write_chunk(struct builder *b, int fd, const struct object_id *id, uint64_t size, struct buf *content)
{
    int err = explain_read(b, store_get_typed(b->store, id, OBJECT_CHUNK, content));
    if (err != 0)
        return err;
    if (content->size != size)
        return fail_path(b, GRID_EPROTO, "the release's manifest is malformed; deploy again");
    int errnum = write_all(fd, buf_slice(content));
    return errnum == 0 ? 0 : fail_errno(b, errnum);
}

static int write_chunks(struct builder *b, int fd, const struct manifest_entry *e, struct buf *content)
{
    struct manifest_file file;
    struct manifest_chunk chunk;
    struct buf listing;
    buf_init(&listing, OBJECT_LISTING_MAX);
    int err = store_get_typed(b->store, &e->id, OBJECT_FILE, &listing);
    if (err == 0)
        err = manifest_file_open(buf_slice(&listing), &file);
    if (err == 0 && file.size != e->size)
        err = GRID_EPROTO;
    err = explain_read(b, err);
    while (err == 0 && manifest_file_next(&file, &chunk))
        err = write_chunk(b, fd, &chunk.id, chunk.size, content);
    buf_dispose(&listing);
    return err;
}

static int write_content(struct builder *b, int fd, const struct manifest_entry *e)
{
    struct buf content;
    buf_init(&content, OBJECT_LISTING_MAX);
    int err = e->kind == MANIFEST_LONG_FILE ? write_chunks(b, fd, e, &content) : write_chunk(b, fd, &e->id, e->size, &content);
    buf_dispose(&content);
    return err;
}

static int build_file(struct builder *b, int dir_fd, int previous_fd, const struct manifest_entry *e, const char *name)
{
    struct timespec times[2] = {materialize_file_time(&e->id), materialize_file_time(&e->id)};
    int err = 0, fd = openat(dir_fd, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, e->executable ? 0755 : 0644);
    if (fd < 0)
        return fail_errno(b, errno);
    if (reuse_file(previous_fd, fd, e, name))
        b->result.reused_files++;
    else
        err = write_content(b, fd, e);
    if (err == 0 && futimens(fd, times) != 0)
        err = fail_errno(b, errno);
    if (close(fd) != 0 && err == 0)
        err = fail_errno(b, errno);
    b->result.files++;
    b->result.bytes += e->size;
    if (err == 0 && b->options.progress && !b->options.progress(b->options.arg, b->result.files, b->result.bytes))
        err = fs_report_fail(b->report, GRID_ECANCELED, "building the release was cancelled");
    return err;
}

/* ---- folders ---- */

static int build_folder(struct builder *b, const struct object_id *id, int dir_fd, int previous_fd, size_t depth);

static int build_subfolder(struct builder *b, int dir_fd, int previous_fd, size_t depth, const struct manifest_entry *e,
                           const char *name)
{
    if (mkdirat(dir_fd, name, 0755) != 0)
        return fail_errno(b, errno);
    int fd = open_folder(dir_fd, name);
    if (fd < 0)
        return fail_errno(b, errno);
    int previous = previous_fd == NO_FOLDER ? NO_FOLDER : open_folder(previous_fd, name);
    int err = build_folder(b, &e->id, fd, previous < 0 ? NO_FOLDER : previous, depth + 1);
    if (previous >= 0)
        close(previous);
    close(fd);
    return err;
}

static int build_link(struct builder *b, int dir_fd, size_t depth, const struct manifest_entry *e, const char *name)
{
    char target[MANIFEST_TARGET_MAX + 1];
    if ((size_t) manifest_target_climb(e->target) > depth)
        return fail_path(b, GRID_EPROTO, "the release has a link that leads out of it; deploy again from a sound node");
    memcpy(target, e->target.data, e->target.size);
    target[e->target.size] = '\0';
    return symlinkat(target, dir_fd, name) == 0 ? 0 : fail_errno(b, errno);
}

static int build_entry(struct builder *b, int dir_fd, int previous_fd, size_t depth, const struct manifest_entry *e)
{
    char name[MANIFEST_NAME_MAX + 1];
    memcpy(name, e->name.data, e->name.size);
    name[e->name.size] = '\0';
    if (++b->entries > MANIFEST_ENTRIES_MAX)
        return fail_path(b, GRID_ELIMIT, "the release has too many files");
    if (e->kind == MANIFEST_DIRECTORY)
        return build_subfolder(b, dir_fd, previous_fd, depth, e, name);
    if (e->kind == MANIFEST_SYMLINK)
        return build_link(b, dir_fd, depth, e, name);
    return build_file(b, dir_fd, previous_fd, e, name);
}

static int build_entries(struct builder *b, struct slice content, int dir_fd, int previous_fd, size_t depth)
{
    struct manifest_dir dir;
    struct manifest_entry entry;
    int err = manifest_dir_open(content, &dir);
    if (err == 0 && dir.root != (depth == 0))
        err = GRID_EPROTO;
    if (err != 0)
        return fail_path(b, err, "the release's manifest is malformed; deploy again");
    while (err == 0 && manifest_dir_next(&dir, &entry)) {
        size_t before = b->path.size;
        err = buf_append_byte(&b->path, '/');
        if (err == 0)
            err = buf_append(&b->path, entry.name);
        if (err == 0)
            err = build_entry(b, dir_fd, previous_fd, depth, &entry);
        buf_truncate(&b->path, before);
    }
    return err;
}

static int build_folder(struct builder *b, const struct object_id *id, int dir_fd, int previous_fd, size_t depth)
{
    struct buf content;
    if (depth >= MANIFEST_DEPTH_MAX)
        return fail_path(b, GRID_ELIMIT, "the release has too many folders inside one another");
    buf_init(&content, OBJECT_LISTING_MAX);
    int err = explain_read(b, store_get_typed(b->store, id, OBJECT_DIRECTORY, &content));
    if (err == 0)
        err = build_entries(b, buf_slice(&content), dir_fd, previous_fd, depth);
    buf_dispose(&content);
    return err;
}

/* ---- the whole tree ---- */

static bool tree_name_valid(const char *name)
{
    return name[0] != '.' && strlen(name) < NAME_CAPACITY - sizeof NEW_PREFIX && manifest_name_valid(slice_of_str(name));
}

static void prefixed(const char *prefix, const char *name, char out[NAME_CAPACITY])
{
    snprintf(out, NAME_CAPACITY, "%s%s", prefix, name);
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
    int fd = open_folder(dir_fd, name);
    if (fd < 0 && errno == EACCES && fchmodat(dir_fd, name, 0700, 0) == 0)
        fd = open_folder(dir_fd, name);
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
    struct remover r = {.top_fd = open_folder(parent_fd, name), .left = *left};
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

static int remove_tree(int parent_fd, const char *name)
{
    size_t all = SIZE_MAX;
    return remove_some(parent_fd, name, &all);
}

int materialize_remove(int parent_fd, const char *name)
{
    char old[NAME_CAPACITY];
    if (!tree_name_valid(name))
        return GRID_EINVAL;
    prefixed(OLD_PREFIX, name, old);
    int err = remove_tree(parent_fd, old);
    if (err != 0)
        return err;
    if (renameat(parent_fd, name, parent_fd, old) != 0)
        return errno == ENOENT ? 0 : grid_err_from_errno(errno);
    return remove_tree(parent_fd, old);
}

static bool is_rubbish(const char *name)
{
    return strncmp(name, NEW_PREFIX, strlen(NEW_PREFIX)) == 0 || strncmp(name, OLD_PREFIX, strlen(OLD_PREFIX)) == 0;
}

int materialize_set_aside(int parent_fd, const char *name)
{
    char old[NAME_CAPACITY], unique[NAME_CAPACITY];
    if (!tree_name_valid(name))
        return GRID_EINVAL;
    prefixed(OLD_PREFIX, name, old);
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
    for (struct dirent *e; err != GRID_EAGAIN && (e = readdir(dir));) {
        int failed = is_rubbish(e->d_name) ? remove_some(parent_fd, e->d_name, &entries_max) : 0;
        err = failed != 0 ? failed : err; /* what cannot be deleted keeps nothing else from it */
    }
    closedir(dir);
    return err;
}

int materialize_clean(int parent_fd)
{
    return materialize_clean_some(parent_fd, SIZE_MAX);
}

/* ---- building ---- */

static int build_root(struct builder *b, const struct object_id *root, int parent_fd, const char *temporary)
{
    int fd = open_folder(parent_fd, temporary);
    if (fd < 0)
        return fail_errno(b, errno);
    int previous = b->options.previous ? open_folder(parent_fd, b->options.previous) : NO_FOLDER;
    int err = build_folder(b, root, fd, previous < 0 ? NO_FOLDER : previous, 0);
    if (err == 0 && b->options.sync && syncfs(fd) != 0)
        err = fail_errno(b, errno);
    if (previous >= 0)
        close(previous);
    close(fd);
    return err;
}

static int finish(struct builder *b, int parent_fd, const char *temporary, const char *name)
{
    if (renameat(parent_fd, temporary, parent_fd, name) != 0)
        return fail_errno(b, errno);
    if (b->options.sync && fsync(parent_fd) != 0) {
        int err = fail_errno(b, errno);
        remove_tree(parent_fd, name);
        return err;
    }
    return 0;
}

static int build_beside(struct builder *b, const struct object_id *root, int parent_fd, const char *name)
{
    char temporary[NAME_CAPACITY];
    prefixed(NEW_PREFIX, name, temporary);
    int err = remove_tree(parent_fd, temporary);
    if (err != 0)
        return fail_path(b, err, "what an earlier attempt left cannot be removed");
    if (mkdirat(parent_fd, temporary, 0755) != 0)
        return fail_errno(b, errno);
    err = build_root(b, root, parent_fd, temporary);
    if (err == 0)
        err = finish(b, parent_fd, temporary, name);
    if (err != 0)
        remove_tree(parent_fd, temporary);
    return err;
}

int materialize_tree(struct store *s, const struct object_id *root, int parent_fd, const char *name,
                     const struct materialize_options *options, struct fs_report *report, struct materialize_result *out)
{
    struct builder b = {.store = s, .report = report};
    struct stat st;
    *out = (struct materialize_result){0};
    if (!tree_name_valid(name))
        return GRID_EINVAL;
    if (fstatat(parent_fd, name, &st, AT_SYMLINK_NOFOLLOW) == 0) {
        out->existed = S_ISDIR(st.st_mode);
        return out->existed ? 0 : GRID_EEXIST;
    }
    if (options)
        b.options = *options;
    buf_init(&b.path, 0);
    int err = buf_append_str(&b.path, name);
    if (err == 0)
        err = build_beside(&b, root, parent_fd, name);
    buf_dispose(&b.path);
    *out = b.result;
    return err;
}

int materialize_switch(int parent_fd, const char *link, const char *name)
{
    char temporary[NAME_CAPACITY];
    if (!tree_name_valid(link) || !tree_name_valid(name))
        return GRID_EINVAL;
    prefixed(NEW_PREFIX, link, temporary);
    if (unlinkat(parent_fd, temporary, 0) != 0 && errno != ENOENT)
        return grid_err_from_errno(errno);
    if (symlinkat(name, parent_fd, temporary) != 0)
        return grid_err_from_errno(errno);
    if (renameat(parent_fd, temporary, parent_fd, link) != 0) {
        int err = grid_err_from_errno(errno);
        unlinkat(parent_fd, temporary, 0);
        return err;
    }
    return fsync(parent_fd) == 0 ? 0 : grid_err_from_errno(errno);
}

int materialize_current(int parent_fd, const char *link, char *name, size_t capacity)
{
    ssize_t size = readlinkat(parent_fd, link, name, capacity);
    if (size < 0)
        return grid_err_from_errno(errno);
    if ((size_t) size >= capacity)
        return GRID_ELIMIT;
    name[size] = '\0';
    return 0;
}
