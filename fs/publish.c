/* A scanned tree is read file by file, cut, stored, and described from the leaves up. */
#include "fs/publish.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/err.h"
#include "fs/ignore.h"

#define WINDOW_BYTES (1024u * 1024)
/* A file that changes while it is read is read again so many times, with a growing pause between. */
#define READ_ATTEMPTS 6
#define READ_PAUSE_NS 5000000L

struct publisher {
    struct store_batch batch;
    struct chunker chunker;
    struct publish_options options;
    struct publish_progress progress;
    struct fs_report *report;
    struct buf path;    /* of what is being read */
    struct buf listing; /* of the chunks of the file being read */
    uint8_t *window;
};

/* One reading of one file. */
struct reading {
    int fd;
    size_t used;  /* bytes in the window */
    size_t chunk; /* where the chunk begun starts in it */
    size_t fed;   /* up to where the chunker has seen it */
    bool ended;
    uint64_t bytes;
    struct manifest_writer writer;
    struct object_id first; /* chunk */
};

static int fail_path(struct publisher *p, int err, const char *what)
{
    return fs_report_fail(p->report, err, "%.*s %s", (int) p->path.size, (const char *) p->path.data, what);
}

/* ---- one file ---- */

static int window_fill(struct publisher *p, struct reading *r)
{
    if (r->chunk > 0) {
        memmove(p->window, p->window + r->chunk, r->used - r->chunk);
        r->used -= r->chunk;
        r->fed -= r->chunk;
        r->chunk = 0;
    }
    while (r->used < WINDOW_BYTES && !r->ended) {
        ssize_t n = read(r->fd, p->window + r->used, WINDOW_BYTES - r->used);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return GRID_EIO;
        r->ended = n == 0;
        r->used += (size_t) n;
        r->bytes += (uint64_t) n;
    }
    return 0;
}

static int put_chunk(struct publisher *p, struct reading *r, size_t end)
{
    struct manifest_chunk chunk = {.size = (uint32_t) (end - r->chunk)};
    int err = store_batch_put(&p->batch, OBJECT_CHUNK, slice_of(p->window + r->chunk, chunk.size), &chunk.id);
    if (err != 0)
        return err;
    if (r->writer.count == 0)
        r->first = chunk.id;
    if (chunk.size > 0)
        manifest_file_add(&r->writer, &chunk);
    r->chunk = end;
    return r->writer.err;
}

/* Cuts all that is in the window. */
static int put_chunks(struct publisher *p, struct reading *r)
{
    bool cut;
    int err = 0;
    while (err == 0 && r->fed < r->used) {
        r->fed += chunker_feed(&p->chunker, slice_of(p->window + r->fed, r->used - r->fed), &cut);
        if (cut)
            err = put_chunk(p, r, r->fed);
    }
    if (err == 0 && r->ended && (r->chunk < r->used || r->bytes == 0))
        err = put_chunk(p, r, r->used);
    return err;
}

/* Reads the whole file and describes it in `entry`; *secret when it turned out to be a private key. */
static int read_content(struct publisher *p, struct reading *r, struct manifest_entry *entry, bool *secret)
{
    chunker_reset(&p->chunker);
    buf_clear(&p->listing);
    manifest_file_begin(&r->writer, &p->listing);
    int err = window_fill(p, r);
    *secret = err == 0 && ignore_is_private_key(entry->name, slice_of(p->window, r->used));
    if (err != 0 || *secret)
        return err;
    err = put_chunks(p, r);
    while (err == 0 && !r->ended && (err = window_fill(p, r)) == 0)
        err = put_chunks(p, r);
    if (err != 0)
        return err;
    entry->size = r->bytes;
    entry->kind = r->writer.count < 2 ? MANIFEST_FILE : MANIFEST_LONG_FILE;
    entry->id = r->first;
    if (entry->kind == MANIFEST_FILE)
        return 0;
    err = manifest_end(&r->writer);
    return err == 0 ? store_batch_put(&p->batch, OBJECT_FILE, buf_slice(&p->listing), &entry->id) : err;
}

/* One attempt. `st` is what the file was before it, and after. *again when it was written to meanwhile. */
static int read_once(struct publisher *p, int fd, struct stat *st, struct manifest_entry *entry, bool *secret, bool *again)
{
    struct reading r = {.fd = fd};
    struct scan_stamp before, after;
    scan_stamp_from_stat(st, &before);
    entry->executable = (st->st_mode & S_IXUSR) != 0;
    int err = read_content(p, &r, entry, secret);
    if (err != 0 || *secret)
        return err;
    if (fstat(fd, st) != 0)
        return GRID_EIO;
    scan_stamp_from_stat(st, &after);
    *again = !scan_stamp_equal(&before, &after) || after.size != r.bytes;
    return 0;
}

static int read_steadily(struct publisher *p, int fd, struct stat *st, struct manifest_entry *entry, bool *secret)
{
    for (int attempt = 1; attempt <= READ_ATTEMPTS; attempt++) {
        bool again = false;
        int err = read_once(p, fd, st, entry, secret, &again);
        if (err != 0 || !again)
            return err;
        nanosleep(&(struct timespec){.tv_nsec = READ_PAUSE_NS * attempt}, NULL);
        if (fstat(fd, st) != 0 || lseek(fd, 0, SEEK_SET) != 0)
            return GRID_EIO;
    }
    return fail_path(p, GRID_EBUSY, "keeps changing while it is read; stop what writes to it, or name it in " IGNORE_FILE_NAME);
}

static int explain(struct publisher *p, int err)
{
    if (err == GRID_ENOSPC)
        return fail_path(p, err, "could not be stored: the disk of the state folder is full; free some space");
    if (err == GRID_ELIMIT)
        return fail_path(p, err, "is too large for a release; name it in " IGNORE_FILE_NAME);
    return err == 0 ? 0 : fail_path(p, err, grid_err_text(err));
}

static int cannot_open(struct publisher *p, int errnum)
{
    return fs_report_fail(p->report, grid_err_from_errno(errnum),
                          "%.*s cannot be read: %s; make it readable to the user who publishes, or name it in " IGNORE_FILE_NAME,
                          (int) p->path.size, (const char *) p->path.data, strerror(errnum));
}

/* Puts a file; *left_out when it is a private key, or is no longer there. */
static int publish_file(struct publisher *p, int dir_fd, struct manifest_entry *entry, bool *left_out)
{
    struct stat st;
    int fd = rights_openat(p->options.rights, dir_fd, (const char *) entry->name.data, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    *left_out = fd < 0 && (errno == ENOENT || errno == ELOOP);
    if (*left_out)
        return 0;
    if (fd < 0)
        return cannot_open(p, errno);
    bool regular = fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && !closed_has(p->options.closed, &st);
    *left_out = !regular; /* it became something else since the scan */
    int err = regular ? explain(p, read_steadily(p, fd, &st, entry, left_out)) : 0;
    close(fd);
    if (err == 0 && *left_out && regular)
        fs_report_warn(p->report, "%.*s is left out: it holds a private key", (int) p->path.size, (const char *) p->path.data);
    return err;
}

static int report_progress(struct publisher *p, uint64_t bytes)
{
    p->progress.files_done++;
    p->progress.bytes_done += bytes;
    p->progress.bytes_saved = p->batch.saved_bytes;
    if (p->options.progress && !p->options.progress(p->options.arg, &p->progress))
        return fs_report_fail(p->report, GRID_ECANCELED, "publishing was cancelled");
    return 0;
}

/* ---- folders ---- */

static int publish_folder(struct publisher *p, int dir_fd, const struct scan_entry *dir, const struct chunker_params *root,
                          struct manifest_entry *entry);

static int publish_subfolder(struct publisher *p, int dir_fd, const struct scan_entry *dir, struct manifest_entry *entry)
{
    struct stat st;
    int fd = rights_openat(p->options.rights, dir_fd, (const char *) dir->name.data, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0)
        return fail_path(p, GRID_EBUSY, "went away while the folder was read; publish again");
    bool open = fstat(fd, &st) == 0 && !closed_has(p->options.closed, &st); /* another one than was scanned may have its name by now */
    int err = open ? publish_folder(p, fd, dir, NULL, entry) : fail_path(p, GRID_EBUSY, "was moved while the folder was read; publish again");
    close(fd);
    return err;
}

/* Puts one child and what is below it; *left_out when it does not become part of the release. */
static int publish_child(struct publisher *p, int dir_fd, const struct scan_entry *child, struct manifest_entry *entry, bool *left_out)
{
    int err = 0;
    *entry = (struct manifest_entry){.name = child->name, .kind = child->kind, .executable = child->executable};
    *left_out = false;
    if (child->kind == MANIFEST_DIRECTORY)
        return publish_subfolder(p, dir_fd, child, entry);
    if (child->kind == MANIFEST_SYMLINK) {
        entry->target = child->target;
        entry->size = child->target.size;
        return 0;
    }
    err = publish_file(p, dir_fd, entry, left_out);
    return err == 0 ? report_progress(p, *left_out ? 0 : entry->size) : err;
}

static int publish_children(struct publisher *p, int dir_fd, const struct scan_entry *dir, struct manifest_writer *writer)
{
    struct manifest_entry entry;
    int err = 0;
    for (uint32_t i = 0; i < dir->child_count && err == 0; i++) {
        size_t before = p->path.size;
        bool left_out = false;
        if (before > 0)
            err = buf_append_byte(&p->path, '/');
        if (err == 0)
            err = buf_append(&p->path, dir->children[i].name);
        if (err == 0)
            err = publish_child(p, dir_fd, &dir->children[i], &entry, &left_out);
        if (err == 0 && !left_out)
            manifest_dir_add(writer, &entry);
        buf_truncate(&p->path, before);
    }
    return err;
}

static int publish_folder(struct publisher *p, int dir_fd, const struct scan_entry *dir, const struct chunker_params *root,
                          struct manifest_entry *entry)
{
    struct manifest_writer writer;
    struct buf content;
    buf_init(&content, 2 * OBJECT_LISTING_MAX);
    manifest_dir_begin(&writer, &content, root);
    int err = publish_children(p, dir_fd, dir, &writer);
    if (err == 0)
        err = manifest_end(&writer);
    if (err == GRID_ELIMIT)
        fail_path(p, err, "has too many files in one folder; spread them, or name some in " IGNORE_FILE_NAME);
    entry->size = content.size;
    if (err == 0)
        err = explain(p, store_batch_put(&p->batch, OBJECT_DIRECTORY, buf_slice(&content), &entry->id));
    buf_dispose(&content);
    return err;
}

static int publish_tree(struct publisher *p, int dir_fd, struct publish_result *out)
{
    struct manifest_entry root = {0};
    struct scan scan;
    int err = scan_folder(dir_fd, p->options.rights, p->options.closed, p->report, &scan);
    if (err != 0)
        return err;
    p->progress.files_total = scan.files;
    p->progress.bytes_total = scan.bytes;
    err = publish_folder(p, dir_fd, &scan.root, &p->chunker.params, &root);
    scan_dispose(&scan);
    if (err == 0)
        err = store_batch_commit(&p->batch);
    if (err == 0)
        err = store_sync(p->batch.store);
    out->root = root.id;
    return err;
}

static int publisher_init(struct publisher *p, struct store *s, const struct publish_options *options, struct fs_report *report)
{
    *p = (struct publisher){.report = report};
    if (options)
        p->options = *options;
    if (p->options.chunker.max_bytes == 0)
        p->options.chunker = chunker_default_params;
    store_batch_init(&p->batch, s);
    buf_init(&p->path, 0);
    buf_init(&p->listing, 2 * OBJECT_LISTING_MAX);
    p->window = malloc(WINDOW_BYTES);
    return p->window ? chunker_init(&p->chunker, &p->options.chunker) : GRID_ENOMEM;
}

static void publisher_dispose(struct publisher *p)
{
    store_batch_dispose(&p->batch);
    buf_dispose(&p->path);
    buf_dispose(&p->listing);
    free(p->window);
}

int release_publish(struct store *s, int dir_fd, const struct publish_options *options, struct fs_report *report,
                    struct publish_result *out)
{
    struct publisher p;
    *out = (struct publish_result){0};
    int err = publisher_init(&p, s, options, report);
    if (err == 0)
        err = publish_tree(&p, dir_fd, out);
    out->files = p.progress.files_done;
    out->bytes = p.progress.bytes_done;
    out->stored_bytes = p.batch.new_bytes;
    out->saved_bytes = p.batch.saved_bytes;
    publisher_dispose(&p);
    if (err == GRID_ENOSPC)
        fs_report_fail(report, err, "the release could not be stored: the disk of the state folder is full; free some space");
    return err == 0 ? 0 : fs_report_fail(report, err, "the release could not be stored: %s", grid_err_text(err));
}
