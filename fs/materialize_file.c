/* One file of a tree: from the older tree where it is untouched there, else from the store. */
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "base/err.h"
#include "fs/materialize_internal.h"

enum {
    HOLE_LEAST = 16 * 1024, /* bytes of zeros that are worth leaving out */
    STAT_BLOCK = 512,       /* of st_blocks */
};

struct timespec materialize_file_time(const struct object_id *id)
{
    uint32_t seconds = 0, nanoseconds = 0;
    for (size_t i = 0; i < 4; i++) {
        seconds = seconds << 8 | id->bytes[i];
        nanoseconds = nanoseconds << 8 | id->bytes[4 + i];
    }
    return (struct timespec){946684800 + (time_t) (seconds & 0x0fffffff), (long) (nanoseconds % 1000000000u)};
}

bool file_time_is(const struct timespec *t, const struct object_id *id)
{
    struct timespec expected = materialize_file_time(id);
    return t->tv_sec == expected.tv_sec && t->tv_nsec == expected.tv_nsec;
}

bool file_is_built(const struct stat *st, const struct manifest_entry *e)
{
    return S_ISREG(st->st_mode) && st->st_uid == geteuid() && (uint64_t) st->st_size == e->size && ((st->st_mode & 0100) != 0) == e->executable &&
           (st->st_mode & 07000) == 0 && file_time_is(&st->st_mtim, &e->id);
}

/* ---- from the older tree ---- */

static bool copy_in_kernel(int from, int to, uint64_t size)
{
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

static bool has_holes(int fd, uint64_t size)
{
    struct stat st;
    return size >= HOLE_LEAST && fstat(fd, &st) == 0 && (uint64_t) st.st_blocks * STAT_BLOCK + HOLE_LEAST <= size;
}

/* Where the data at or behind `at` is: from *begin to before *end, and empty at `size` when there is none. */
static bool find_data(int fd, off_t at, off_t size, off_t *begin, off_t *end)
{
    *end = *begin = lseek(fd, at, SEEK_DATA);
    if (*begin < 0 && errno == ENXIO)
        *end = *begin = size;
    if (*begin >= 0 && *begin < size)
        *end = lseek(fd, *begin, SEEK_HOLE);
    *end = *end < size ? *end : size;
    return *begin == size || (*begin >= 0 && *end > *begin);
}

/* The kernel's own copy fills the holes. */
static bool copy_data(int from, int to, off_t size)
{
    off_t begin, end;
    for (off_t at = 0; at < size; at = end) {
        if (!find_data(from, at, size, &begin, &end) || lseek(from, begin, SEEK_SET) < 0 || lseek(to, begin, SEEK_SET) < 0)
            return false;
        if (!copy_in_kernel(from, to, (uint64_t) (end - begin)))
            return false;
    }
    return ftruncate(to, size) == 0;
}

static bool clone_or_copy(struct builder *b, int from, int to, uint64_t size)
{
    if (!atomic_load_explicit(&b->no_clone, memory_order_relaxed)) {
        if (ioctl(to, FICLONE, from) == 0)
            return true;
        atomic_store_explicit(&b->no_clone, true, memory_order_relaxed);
    }
    return has_holes(from, size) ? copy_data(from, to, (off_t) size) : copy_in_kernel(from, to, size);
}

/* Whether the older tree's file is the entry, before it is used and after. */
static bool is_untouched(int fd, const struct manifest_entry *e)
{
    struct stat st;
    return fstat(fd, &st) == 0 && file_is_built(&st, e);
}

/* Fills the new file from the older tree. False when that has it not, or not any more: then the file is empty. */
static bool fill_from_previous(struct folder *f, int fd, const struct manifest_entry *e, const char *name)
{
    if (e->size == 0 || folder_previous(f) == NO_FOLDER)
        return false;
    int from = openat(f->previous_fd, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    if (from < 0)
        return false;
    bool done = is_untouched(from, e) && clone_or_copy(f->builder, from, fd, e->size) && is_untouched(from, e);
    close(from);
    if (!done && (ftruncate(fd, 0) != 0 || lseek(fd, 0, SEEK_SET) != 0))
        return false;
    return done;
}

/* The same inode under the new name, where nobody but root can write to it and there are no reflinks. */
static bool link_from_previous(struct folder *f, const struct manifest_entry *e, const char *name)
{
    struct stat st;
    if (!f->builder->options.guarded || !atomic_load_explicit(&f->builder->no_clone, memory_order_relaxed) || folder_previous(f) == NO_FOLDER)
        return false;
    return fstatat(f->previous_fd, name, &st, AT_SYMLINK_NOFOLLOW) == 0 && file_is_built(&st, e) && linkat(f->previous_fd, name, f->fd, name, 0) == 0;
}

/* ---- from the store ---- */

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

/* A file that is being filled. */
struct output {
    int fd;
    bool ends_in_hole;
};

/* The first byte tells of nearly all that are none. */
static bool is_all_zero(struct slice bytes)
{
    return bytes.size >= HOLE_LEAST && bytes.data[0] == 0 && memcmp(bytes.data, bytes.data + 1, bytes.size - 1) == 0;
}

/* Zeros take no room. Returns an errno. */
static int output_append(struct output *o, struct slice bytes)
{
    o->ends_in_hole = is_all_zero(bytes);
    if (!o->ends_in_hole)
        return write_all(o->fd, bytes);
    return lseek(o->fd, (off_t) bytes.size, SEEK_CUR) < 0 ? errno : 0;
}

static int write_chunk(struct folder *f, struct output *o, const struct object_id *id, uint64_t size, struct buf *content)
{
    int err = folder_explain_read(f, store_get_typed(f->builder->store, id, OBJECT_CHUNK, content));
    if (err != 0)
        return err;
    if (content->size != size)
        return folder_fail(f, GRID_EPROTO, "the release's manifest is malformed; deploy again");
    int errnum = output_append(o, buf_slice(content));
    return errnum == 0 ? 0 : folder_fail_errno(f, errnum);
}

static int write_chunks(struct folder *f, struct output *o, const struct manifest_entry *e, struct buf *content)
{
    struct manifest_file file;
    struct manifest_chunk chunk;
    struct buf listing;
    buf_init(&listing, OBJECT_LISTING_MAX);
    int err = store_get_typed(f->builder->store, &e->id, OBJECT_FILE, &listing);
    if (err == 0)
        err = manifest_file_open(buf_slice(&listing), &file);
    if (err == 0 && file.size != e->size)
        err = GRID_EPROTO;
    err = folder_explain_read(f, err);
    while (err == 0 && manifest_file_next(&file, &chunk))
        err = write_chunk(f, o, &chunk.id, chunk.size, content);
    buf_dispose(&listing);
    return err;
}

static int write_content(struct folder *f, int fd, const struct manifest_entry *e)
{
    struct output o = {.fd = fd};
    struct buf content;
    buf_init(&content, OBJECT_LISTING_MAX);
    int err = e->kind == MANIFEST_LONG_FILE ? write_chunks(f, &o, e, &content) : write_chunk(f, &o, &e->id, e->size, &content);
    buf_dispose(&content);
    if (err == 0 && o.ends_in_hole && ftruncate(fd, (off_t) e->size) != 0)
        err = folder_fail_errno(f, errno);
    return err;
}

/* ---- either ---- */

static int file_finish(struct folder *f, int fd, const struct manifest_entry *e)
{
    struct timespec time = materialize_file_time(&e->id), times[2] = {time, time};
    if (futimens(fd, times) != 0 || (builder_syncs_each(f->builder) && fsync(fd) != 0))
        return folder_fail_errno(f, errno);
    return 0;
}

static int file_write(struct folder *f, const struct manifest_entry *e, const char *name, bool *reused)
{
    int err = 0, fd = openat(f->fd, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, e->executable ? 0755 : 0644);
    if (fd < 0)
        return folder_fail_errno(f, errno);
    *reused = fill_from_previous(f, fd, e, name);
    if (!*reused)
        err = write_content(f, fd, e);
    if (err == 0)
        err = file_finish(f, fd, e);
    if (close(fd) != 0 && err == 0)
        err = folder_fail_errno(f, errno);
    return err;
}

int file_build(struct folder *f, const struct manifest_entry *e, const char *name)
{
    bool reused = link_from_previous(f, e, name);
    int err = reused ? 0 : file_write(f, e, name, &reused);
    return err == 0 ? builder_count_file(f->builder, e->size, false, reused) : err;
}
