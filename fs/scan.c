/* The walk: names of a folder are read, ruled out or looked at, sorted, and gone into. */
#include "fs/scan.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "base/arena.h"
#include "base/err.h"
#include "fs/ignore.h"

#define ARENA_BLOCK_BYTES (256u * 1024)
#define PATH_BYTES_MAX (MANIFEST_DEPTH_MAX * (MANIFEST_NAME_MAX + 1))

struct walk {
    struct scan *scan;
    struct fs_report *report;
    const struct closed *closed;
    struct buf path; /* of what is being looked at, from the root */
    uint64_t entries;
};

/* Entries of one folder while it is read. */
struct listing {
    struct scan_entry *entries;
    uint32_t count;
    uint32_t capacity;
};

void scan_stamp_from_stat(const struct stat *st, struct scan_stamp *out)
{
    *out = (struct scan_stamp){st->st_dev, st->st_ino, (uint64_t) st->st_size, st->st_mtim, st->st_ctim};
}

static bool times_equal(struct timespec a, struct timespec b)
{
    return a.tv_sec == b.tv_sec && a.tv_nsec == b.tv_nsec;
}

bool scan_stamp_equal(const struct scan_stamp *a, const struct scan_stamp *b)
{
    return a->device == b->device && a->inode == b->inode && a->size == b->size && times_equal(a->modified, b->modified) &&
           times_equal(a->changed, b->changed);
}

/* Lengthens the path by a name; returns the size to give back to path_pop. */
static int path_push(struct walk *w, struct slice name, size_t *before)
{
    *before = w->path.size;
    int err = w->path.size > 0 ? buf_append_byte(&w->path, '/') : 0;
    return err == 0 ? buf_append(&w->path, name) : err;
}

static void path_pop(struct walk *w, size_t before)
{
    buf_truncate(&w->path, before);
}

static int unreadable(struct walk *w, int errnum)
{
    bool root = w->path.size == 0;
    return fs_report_fail(w->report, grid_err_from_errno(errnum),
                          "%.*s cannot be read: %s; make it readable to the user who publishes, or name it in " IGNORE_FILE_NAME,
                          root ? 10 : (int) w->path.size, root ? "the folder" : (const char *) w->path.data, strerror(errnum));
}

/* ---- .gridignore ---- */

static int read_bounded(int fd, size_t max, struct buf *out)
{
    uint8_t block[16 * 1024];
    for (;;) {
        ssize_t n = read(fd, block, sizeof block);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return n < 0 ? GRID_EIO : 0;
        if (out->size + (size_t) n > max)
            return GRID_ELIMIT;
        int err = buf_append(out, slice_of(block, (size_t) n));
        if (err != 0)
            return err;
    }
}

/* The folder's own patterns, which come before those of the folders above; *own stays NULL when it has no .gridignore. */
static int load_ignore(struct walk *w, int dir_fd, const struct ignore_list *above, struct ignore_list **own)
{
    struct buf content;
    struct stat st;
    uint32_t line = 0;
    *own = NULL;
    int fd = openat(dir_fd, IGNORE_FILE_NAME, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    if (fd < 0)
        return errno == ENOENT || errno == ELOOP ? 0 : unreadable(w, errno);
    buf_init(&content, 0);
    int err = fstat(fd, &st) == 0 && S_ISREG(st.st_mode) ? read_bounded(fd, IGNORE_CONTENT_MAX, &content) : 0;
    close(fd);
    if (err == 0)
        err = ignore_list_create(above, buf_slice(&w->path), buf_slice(&content), own, &line);
    buf_dispose(&content);
    if (err != 0)
        fs_report_fail(w->report, err, "%.*s%s" IGNORE_FILE_NAME " cannot be used (line %u): %s; shorten it", (int) w->path.size,
                       (const char *) w->path.data, w->path.size > 0 ? "/" : "", line, grid_err_text(err));
    return err;
}

/* ---- one entry ---- */

static int count_entry(struct walk *w)
{
    if (++w->entries > MANIFEST_ENTRIES_MAX)
        return fs_report_fail(w->report, GRID_ELIMIT, "the folder has more than %u files; name what is not needed in " IGNORE_FILE_NAME,
                              MANIFEST_ENTRIES_MAX);
    return 0;
}

static bool refuse(struct walk *w, const char *what)
{
    fs_report_warn(w->report, "%.*s is left out: it is %s", (int) w->path.size, (const char *) w->path.data, what);
    return false;
}

static bool look_at_link(struct walk *w, int dir_fd, size_t depth, struct scan_entry *e, int *err)
{
    char target[MANIFEST_TARGET_MAX + 1];
    ssize_t size = readlinkat(dir_fd, (const char *) e->name.data, target, sizeof target);
    if (size < 0) {
        if (errno != ENOENT)
            *err = unreadable(w, errno);
        return false;
    }
    int climb = manifest_target_climb(slice_of(target, (size_t) size));
    if (climb < 0 || (size_t) climb > depth)
        return refuse(w, "a link that leads out of the folder, or may");
    e->kind = MANIFEST_SYMLINK;
    e->target = arena_copy(w->scan->arena, slice_of(target, (size_t) size));
    if (!e->target.data)
        *err = GRID_ENOMEM;
    return *err == 0;
}

static bool look_at_file(struct walk *w, const struct stat *st, struct scan_entry *e)
{
    if (st->st_mode & (S_ISUID | S_ISGID | S_ISVTX))
        fs_report_warn(w->report, "%.*s loses its setuid, setgid or sticky bit", (int) w->path.size, (const char *) w->path.data);
    e->kind = MANIFEST_FILE;
    e->executable = (st->st_mode & S_IXUSR) != 0;
    return true;
}

/* Fills an entry whose path is pushed; false when it is left out, or with *err set. */
static bool look_at(struct walk *w, int dir_fd, size_t depth, const struct ignore_list *ignore, struct scan_entry *e, int *err)
{
    struct stat st;
    if (fstatat(dir_fd, (const char *) e->name.data, &st, AT_SYMLINK_NOFOLLOW) != 0) {
        if (errno != ENOENT) /* else it has just been deleted */
            *err = unreadable(w, errno);
        return false;
    }
    if (ignore_list_excludes(ignore, buf_slice(&w->path), S_ISDIR(st.st_mode)))
        return false;
    scan_stamp_from_stat(&st, &e->stamp);
    if (closed_has(w->closed, &st))
        return refuse(w, "the node's own state");
    if (S_ISREG(st.st_mode))
        return look_at_file(w, &st, e);
    if (S_ISLNK(st.st_mode))
        return look_at_link(w, dir_fd, depth, e, err);
    if (!S_ISDIR(st.st_mode))
        return refuse(w, S_ISFIFO(st.st_mode) ? "a fifo" : S_ISSOCK(st.st_mode) ? "a socket" : "a device");
    e->kind = MANIFEST_DIRECTORY;
    return true;
}

/* ---- one folder ---- */

static int listing_add(struct listing *l, const struct scan_entry *e)
{
    if (l->count == l->capacity) {
        uint32_t capacity = l->capacity ? l->capacity * 2 : 32;
        struct scan_entry *entries = realloc(l->entries, capacity * sizeof *entries);
        if (!entries)
            return GRID_ENOMEM;
        l->entries = entries;
        l->capacity = capacity;
    }
    l->entries[l->count++] = *e;
    return 0;
}

static int list_name(struct walk *w, int dir_fd, size_t depth, const struct ignore_list *ignore, const char *name, struct listing *l)
{
    struct scan_entry e = {0};
    size_t before;
    if (!manifest_name_valid(slice_of_str(name)) || ignore_name_reserved(slice_of_str(name)))
        return 0;
    int err = count_entry(w);
    if (err != 0)
        return err;
    e.name = arena_copy(w->scan->arena, slice_of_str(name));
    err = e.name.data ? path_push(w, e.name, &before) : GRID_ENOMEM;
    if (err != 0)
        return err;
    if (look_at(w, dir_fd, depth, ignore, &e, &err) && err == 0)
        err = listing_add(l, &e);
    path_pop(w, before);
    return err;
}

static int list_names(struct walk *w, int dir_fd, size_t depth, const struct ignore_list *ignore, struct listing *l)
{
    int err = 0, fd = openat(dir_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *dir = fd >= 0 ? fdopendir(fd) : NULL;
    if (!dir) {
        err = unreadable(w, errno);
        if (fd >= 0)
            close(fd);
        return err;
    }
    for (;;) {
        errno = 0;
        struct dirent *entry = readdir(dir);
        if (!entry && errno != 0)
            err = unreadable(w, errno);
        if (!entry || (err = list_name(w, dir_fd, depth, ignore, entry->d_name, l)) != 0)
            break;
    }
    closedir(dir);
    return err;
}

static int compare_entries(const void *a, const void *b)
{
    return slice_compare(((const struct scan_entry *) a)->name, ((const struct scan_entry *) b)->name);
}

static int keep_listing(struct walk *w, const struct listing *l, struct scan_entry *dir)
{
    if (l->count == 0)
        return 0;
    qsort(l->entries, l->count, sizeof *l->entries, compare_entries);
    dir->children = arena_calloc(w->scan->arena, l->count, sizeof *l->entries);
    if (!dir->children)
        return GRID_ENOMEM;
    memcpy(dir->children, l->entries, l->count * sizeof *l->entries);
    dir->child_count = l->count;
    return 0;
}

static int walk_folder(struct walk *w, int dir_fd, size_t depth, const struct ignore_list *above, struct scan_entry *dir);

/* What /proc shows depends on the process that looks, not on the user it looks for. */
static bool is_of_processes(int dir_fd)
{
    struct statfs fs;
    return fstatfs(dir_fd, &fs) == 0 && fs.f_type == PROC_SUPER_MAGIC;
}

static int walk_child(struct walk *w, int dir_fd, size_t depth, const struct ignore_list *ignore, struct scan_entry *child)
{
    size_t before;
    if (child->kind != MANIFEST_DIRECTORY) {
        w->scan->files += child->kind == MANIFEST_FILE;
        w->scan->bytes += child->kind == MANIFEST_FILE ? child->stamp.size : 0;
        return 0;
    }
    int err = path_push(w, child->name, &before);
    if (err != 0)
        return err;
    int fd = openat(dir_fd, (const char *) child->name.data, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0) {
        /* A folder deleted meanwhile is an empty one now. */
        err = errno == ENOENT ? 0 : unreadable(w, errno);
    } else if (is_of_processes(fd)) {
        fs_report_warn(w->report, "%.*s is taken as empty: it shows the machine's processes", (int) w->path.size, (const char *) w->path.data);
        close(fd);
    } else {
        err = walk_folder(w, fd, depth + 1, ignore, child);
        close(fd);
    }
    path_pop(w, before);
    return err;
}

static int walk_folder(struct walk *w, int dir_fd, size_t depth, const struct ignore_list *above, struct scan_entry *dir)
{
    struct listing listing = {0};
    struct ignore_list *own = NULL;
    w->scan->directories++;
    if (depth >= MANIFEST_DEPTH_MAX)
        return fs_report_fail(w->report, GRID_ELIMIT, "%.*s lies deeper than %u folders; name it in " IGNORE_FILE_NAME,
                              (int) w->path.size, (const char *) w->path.data, MANIFEST_DEPTH_MAX);
    int err = load_ignore(w, dir_fd, above, &own);
    const struct ignore_list *ignore = own ? own : above;
    if (err == 0)
        err = list_names(w, dir_fd, depth, ignore, &listing);
    if (err == 0)
        err = keep_listing(w, &listing, dir);
    free(listing.entries);
    for (uint32_t i = 0; err == 0 && i < dir->child_count; i++)
        err = walk_child(w, dir_fd, depth, ignore, &dir->children[i]);
    ignore_list_destroy(own);
    return err;
}

int scan_folder(int dir_fd, const struct rights *rights, const struct closed *closed, struct fs_report *report, struct scan *out)
{
    struct walk w = {.scan = out, .report = report, .closed = closed};
    *out = (struct scan){.arena = arena_create(ARENA_BLOCK_BYTES, 0)};
    if (!out->arena)
        return GRID_ENOMEM;
    int err = rights_assume(rights);
    if (err != 0) {
        scan_dispose(out);
        return fs_report_fail(report, err, "the folder could not be read: the node cannot take on the rights of user %u", (unsigned) rights->uid);
    }
    out->root.kind = MANIFEST_DIRECTORY;
    buf_init(&w.path, PATH_BYTES_MAX + MANIFEST_NAME_MAX + 1);
    err = is_of_processes(dir_fd) ? fs_report_fail(report, GRID_EINVAL, "the folder shows the machine's processes: give the project's folder")
                                  : walk_folder(&w, dir_fd, 0, NULL, &out->root);
    rights_restore(rights);
    buf_dispose(&w.path);
    if (err != 0) {
        fs_report_fail(report, err, "the folder could not be read: %s", grid_err_text(err));
        scan_dispose(out);
    }
    return err;
}

void scan_dispose(struct scan *s)
{
    arena_destroy(s->arena);
    *s = (struct scan){0};
}
