/* One folder of a scan: its names are read, ruled out or looked at, and sorted; folders among them are left to whoever is free. */
#include "fs/scan_internal.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "base/err.h"
#include "fs/beneath.h"

#define ARENA_BLOCK_BYTES (256u * 1024)
#define NAMES_BYTES (32u * 1024)
#define PATH_BYTES_MAX (MANIFEST_DEPTH_MAX * (MANIFEST_NAME_MAX + 1))

/* Entries of one folder while it is read. */
struct listing {
    struct scan_entry *entries;
    uint32_t count;
    uint32_t capacity;
    bool has_ignore; /* .gridignore is among them */
};

/* ---- life ---- */

int walker_init(struct walker *w, struct walk *walk)
{
    *w = (struct walker){.walk = walk, .arena = arena_create(ARENA_BLOCK_BYTES, 0)};
    buf_init(&w->path, PATH_BYTES_MAX + MANIFEST_NAME_MAX + 1);
    w->names = w->arena ? arena_alloc(w->arena, NAMES_BYTES) : NULL;
    return w->names ? 0 : GRID_ENOMEM;
}

void walker_dispose(struct walker *w)
{
    for (struct scan_rules *r = w->rules; r; r = r->next)
        ignore_list_destroy(r->list);
    buf_dispose(&w->path);
}

/* ---- paths and sentences ---- */

/* Lengthens the path by a name; returns the size to give back to path_pop. */
static int path_push(struct walker *w, struct slice name, size_t *before)
{
    *before = w->path.size;
    int err = w->path.size > 0 ? buf_append_byte(&w->path, '/') : 0;
    return err == 0 ? buf_append(&w->path, name) : err;
}

static void path_pop(struct walker *w, size_t before)
{
    buf_truncate(&w->path, before);
}

/* Says of what is being looked at. */
static void warn(struct walker *w, const char *what, const char *why)
{
    struct walk *walk = w->walk;
    pthread_mutex_lock(&walk->lock);
    fs_report_warn(walk->report, "%.*s %s%s", (int) w->path.size, (const char *) w->path.data, what, why);
    pthread_mutex_unlock(&walk->lock);
}

static int fail(struct walker *w, int err, const char *what, const char *why, const char *remedy)
{
    struct walk *walk = w->walk;
    bool root = w->path.size == 0;
    pthread_mutex_lock(&walk->lock);
    fs_report_fail(walk->report, err, "%.*s %s%s%s " IGNORE_FILE_NAME, root ? 10 : (int) w->path.size, root ? "the folder" : (const char *) w->path.data, what, why,
                   remedy);
    pthread_mutex_unlock(&walk->lock);
    return err;
}

static int unreadable(struct walker *w, int errnum)
{
    return fail(w, grid_err_from_errno(errnum), "cannot be read: ", strerror(errnum), "; make it readable to the user who publishes, or name it in");
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

static int refuse_ignore(struct walker *w, int err, uint32_t line)
{
    struct walk *walk = w->walk;
    pthread_mutex_lock(&walk->lock);
    fs_report_fail(walk->report, err, "%.*s%s" IGNORE_FILE_NAME " cannot be used (line %u): %s; shorten it", (int) w->path.size, (const char *) w->path.data,
                   w->path.size > 0 ? "/" : "", line, grid_err_text(err));
    pthread_mutex_unlock(&walk->lock);
    return err;
}

/* Until the scan is done: folders below go by them. */
static int keep_rules(struct walker *w, struct ignore_list *list)
{
    struct scan_rules *kept = arena_alloc(w->arena, sizeof *kept);
    if (!kept) {
        ignore_list_destroy(list);
        return GRID_ENOMEM;
    }
    *kept = (struct scan_rules){w->rules, list};
    w->rules = kept;
    return 0;
}

/* The folder's own patterns go before those of the folders above. */
static int load_ignore(struct walker *w, int dir_fd, const struct ignore_list **rules)
{
    struct ignore_list *own;
    struct buf content;
    struct stat st;
    uint32_t line = 0;
    int fd = openat(dir_fd, IGNORE_FILE_NAME, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    if (fd < 0)
        return errno == ENOENT || errno == ELOOP ? 0 : unreadable(w, errno);
    buf_init(&content, 0);
    int err = fstat(fd, &st) == 0 && S_ISREG(st.st_mode) ? read_bounded(fd, IGNORE_CONTENT_MAX, &content) : 0;
    close(fd);
    if (err == 0)
        err = ignore_list_create(*rules, buf_slice(&w->path), buf_slice(&content), &own, &line);
    buf_dispose(&content);
    if (err != 0)
        return refuse_ignore(w, err, line);
    *rules = own;
    return keep_rules(w, own);
}

/* ---- one entry ---- */

static int count_entry(struct walker *w)
{
    struct walk *walk = w->walk;
    if (atomic_fetch_add(&walk->entries, 1) < MANIFEST_ENTRIES_MAX)
        return 0;
    pthread_mutex_lock(&walk->lock);
    fs_report_fail(walk->report, GRID_ELIMIT, "the folder has more than %u files; name what is not needed in " IGNORE_FILE_NAME, MANIFEST_ENTRIES_MAX);
    pthread_mutex_unlock(&walk->lock);
    return GRID_ELIMIT;
}

static bool refuse(struct walker *w, const char *what)
{
    warn(w, "is left out: it is ", what);
    return false;
}

static bool look_at_link(struct walker *w, int dir_fd, size_t depth, struct scan_entry *e, int *err)
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
    e->target = arena_copy(w->arena, slice_of(target, (size_t) size));
    if (!e->target.data)
        *err = GRID_ENOMEM;
    return *err == 0;
}

static bool look_at_file(struct walker *w, const struct stat *st, struct scan_entry *e)
{
    if (st->st_mode & (S_ISUID | S_ISGID | S_ISVTX))
        warn(w, "loses its setuid, setgid or sticky bit", "");
    e->kind = MANIFEST_FILE;
    e->executable = (st->st_mode & S_IXUSR) != 0;
    return true;
}

/* Fills an entry whose path is pushed; false when it is left out, or with *err set. */
static bool look_at(struct walker *w, int dir_fd, size_t depth, const struct ignore_list *ignore, struct scan_entry *e, int *err)
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
    if (closed_has(w->walk->options.closed, &st))
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

static int list_name(struct walker *w, const char *name, struct listing *l)
{
    struct scan_entry e = {.name = slice_of_str(name)};
    if (!manifest_name_valid(e.name) || ignore_name_reserved(e.name))
        return 0;
    int err = count_entry(w);
    if (err != 0)
        return err;
    l->has_ignore |= slice_equal_str(e.name, IGNORE_FILE_NAME);
    e.name = arena_copy(w->arena, e.name);
    return e.name.data ? listing_add(l, &e) : GRID_ENOMEM;
}

/* The names alone. The descriptor is at its beginning. */
static int list_names(struct walker *w, int dir_fd, struct listing *l)
{
    int err = 0;
    for (;;) {
        ssize_t size = getdents64(dir_fd, w->names, NAMES_BYTES);
        if (size <= 0)
            return size < 0 ? unreadable(w, errno) : 0;
        for (ssize_t at = 0; at < size && err == 0;) {
            const struct dirent64 *entry = (const void *) (w->names + at);
            err = list_name(w, entry->d_name, l);
            at += entry->d_reclen;
        }
        if (err != 0)
            return err;
    }
}

/* Fills in what has a name, and drops what is left out. */
static int look_at_all(struct walker *w, int dir_fd, size_t depth, const struct ignore_list *ignore, struct listing *l)
{
    uint32_t kept = 0;
    int err = 0;
    for (uint32_t i = 0; err == 0 && i < l->count; i++) {
        struct scan_entry e = l->entries[i];
        size_t before = w->path.size;
        err = path_push(w, e.name, &before);
        if (err == 0 && look_at(w, dir_fd, depth, ignore, &e, &err) && err == 0)
            l->entries[kept++] = e;
        path_pop(w, before);
    }
    l->count = kept;
    return err;
}

static int compare_entries(const void *a, const void *b)
{
    return slice_compare(((const struct scan_entry *) a)->name, ((const struct scan_entry *) b)->name);
}

static int keep_listing(struct walker *w, const struct listing *l, struct scan_entry *dir)
{
    if (l->count == 0)
        return 0;
    qsort(l->entries, l->count, sizeof *l->entries, compare_entries);
    dir->children = arena_calloc(w->arena, l->count, sizeof *l->entries);
    if (!dir->children)
        return GRID_ENOMEM;
    memcpy(dir->children, l->entries, l->count * sizeof *l->entries);
    dir->child_count = l->count;
    return 0;
}

/* What /proc shows depends on the process that looks, not on the user it looks for. */
static bool is_of_processes(int dir_fd)
{
    struct statfs fs;
    return fstatfs(dir_fd, &fs) == 0 && fs.f_type == PROC_SUPER_MAGIC;
}

static int push_folder(struct walker *w, const struct scan_job *above, struct scan_entry *dir, const struct ignore_list *rules)
{
    struct scan_job *job = arena_alloc(w->arena, sizeof *job);
    const char *path = arena_printf(w->arena, "%s%s%.*s", above->path, *above->path ? "/" : "", SLICE_FMT(dir->name));
    if (!job || !path)
        return GRID_ENOMEM;
    *job = (struct scan_job){.dir = dir, .path = path, .depth = above->depth + 1, .rules = rules, .device_above = above->dir->stamp.device};
    crew_push(&w->walk->crew, &job->job);
    return 0;
}

/* Counts what the folder holds. Its folders are pushed the last one first, so that a thread alone goes by their names. */
static int pass_on(struct walker *w, const struct scan_job *job, const struct ignore_list *rules)
{
    int err = 0;
    for (uint32_t i = job->dir->child_count; err == 0 && i-- > 0;) {
        struct scan_entry *child = &job->dir->children[i];
        if (child->kind == MANIFEST_DIRECTORY)
            err = push_folder(w, job, child, rules);
        w->files += child->kind == MANIFEST_FILE;
        w->bytes += child->kind == MANIFEST_FILE ? child->stamp.size : 0;
    }
    return err;
}

static int go_through(struct walker *w, const struct scan_job *job, int dir_fd)
{
    struct listing listing = {0};
    const struct ignore_list *rules = job->rules;
    int err = list_names(w, dir_fd, &listing);
    if (err == 0 && listing.has_ignore)
        err = load_ignore(w, dir_fd, &rules);
    if (err == 0)
        err = look_at_all(w, dir_fd, job->depth, rules, &listing);
    if (err == 0)
        err = keep_listing(w, &listing, job->dir);
    free(listing.entries);
    return err == 0 ? pass_on(w, job, rules) : err;
}

/* The top has no stamp before it is opened with the rights to be had. */
static int open_top(struct walker *w, const struct scan_job *job)
{
    struct stat st;
    int fd = openat(w->walk->root_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd >= 0 && fstat(fd, &st) == 0)
        scan_stamp_from_stat(&st, &job->dir->stamp);
    return fd;
}

static int go_through_top(struct walker *w, const struct scan_job *job, int dir_fd)
{
    if (!is_of_processes(dir_fd))
        return go_through(w, job, dir_fd);
    return fs_report_fail(w->walk->report, GRID_EINVAL, "the folder shows the machine's processes: give the project's folder");
}

/* Another folder may have the name by now: not one that is closed, nor one in it. */
static bool may_enter(const struct walker *w, const struct scan_job *job, int dir_fd)
{
    const struct scan_stamp *stamp = &job->dir->stamp;
    struct stat st;
    if (fstat(dir_fd, &st) != 0)
        return false;
    return (st.st_dev == stamp->device && st.st_ino == stamp->inode) || !closed_holds(w->walk->options.closed, dir_fd);
}

static int go_through_below(struct walker *w, const struct scan_job *job, int dir_fd)
{
    if (!may_enter(w, job, dir_fd))
        return 0;
    if (job->device_above == job->dir->stamp.device || !is_of_processes(dir_fd))
        return go_through(w, job, dir_fd);
    warn(w, "is taken as empty: it shows the machine's processes", "");
    return 0;
}

static int refuse_depth(struct walker *w)
{
    char what[64];
    snprintf(what, sizeof what, "lies deeper than %u folders", MANIFEST_DEPTH_MAX);
    return fail(w, GRID_ELIMIT, what, "", "; name it in");
}

int walker_go(struct walker *w, const struct scan_job *job)
{
    w->directories++;
    buf_clear(&w->path);
    if (buf_append(&w->path, slice_of_str(job->path)) != 0)
        return GRID_ENOMEM;
    if (job->depth >= MANIFEST_DEPTH_MAX)
        return refuse_depth(w);
    int fd = job->depth == 0 ? open_top(w, job) : beneath_open(w->walk->root_fd, job->path, O_RDONLY | O_DIRECTORY);
    if (fd < 0)
        return errno == ENOENT && job->depth > 0 ? 0 : unreadable(w, errno); /* a folder deleted meanwhile is an empty one now */
    int err = job->depth == 0 ? go_through_top(w, job, fd) : go_through_below(w, job, fd);
    close(fd);
    return err;
}
