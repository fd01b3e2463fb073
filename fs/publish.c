/* A scanned tree, what its files hold, and from these its folders, described from the leaves up. */
#include "fs/publish.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <time.h>

#include "base/err.h"
#include "fs/ignore.h"
#include "fs/stat_cache_disk.h"

/* Less than this of what is known is read again each time rather than written down: a part of the files, and bytes. */
#define LEARNT_SHARE 64
#define LEARNT_BYTES (1024u * 1024)

struct publisher {
    struct publish_options options;
    struct fs_report *report;
    struct store_batch batch; /* of folders */
    struct scan scan;
    struct timespec began;
    struct contents contents;
    uint32_t next; /* of the contents */
    struct buf path; /* of the folder that is described */
    /* What is known from the last time. */
    char cache_name[STAT_CACHE_NAME_SIZE]; /* "": nothing is, nor is it kept */
    struct buf cache_bytes;
    struct stat_cache cache;
};

/* ---- folders ---- */

static int fail_path(struct publisher *p, int err, const char *what)
{
    bool root = p->path.size == 0;
    return fs_report_fail(p->report, err, "%.*s %s", root ? 10 : (int) p->path.size, root ? "the folder" : (const char *) p->path.data, what);
}

static int put_folder(struct publisher *p, struct slice content, struct object_id *id)
{
    int err = store_batch_put(&p->batch, OBJECT_DIRECTORY, content, id);
    if (err == GRID_ENOSPC)
        return err; /* said of the release as a whole */
    if (err == GRID_ELIMIT)
        return fail_path(p, err, "has too many files; spread them, or name some in " IGNORE_FILE_NAME);
    return err == 0 ? 0 : fail_path(p, err, grid_err_text(err));
}

static int describe_folder(struct publisher *p, const struct scan_entry *dir, const struct chunker_params *root, struct manifest_entry *entry);

static int describe_subfolder(struct publisher *p, const struct scan_entry *dir, struct manifest_entry *entry)
{
    size_t before = p->path.size;
    int err = before > 0 ? buf_append_byte(&p->path, '/') : 0;
    if (err == 0)
        err = buf_append(&p->path, dir->name);
    if (err == 0)
        err = describe_folder(p, dir, NULL, entry);
    buf_truncate(&p->path, before);
    return err;
}

/* Describes one child; `content` is a file's. */
static int describe_child(struct publisher *p, const struct scan_entry *child, const struct content *content, struct manifest_entry *entry)
{
    *entry = (struct manifest_entry){.name = child->name, .kind = child->kind};
    if (child->kind == MANIFEST_DIRECTORY)
        return describe_subfolder(p, child, entry);
    if (child->kind == MANIFEST_SYMLINK) {
        entry->target = child->target;
        entry->size = child->target.size;
        return 0;
    }
    entry->kind = content->kind;
    entry->executable = content->executable;
    entry->size = content->stamp.size;
    entry->id = content->id;
    return 0;
}

static uint32_t count_files(const struct scan_entry *dir)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < dir->child_count; i++)
        count += dir->children[i].kind == MANIFEST_FILE;
    return count;
}

static int describe_children(struct publisher *p, const struct scan_entry *dir, struct manifest_writer *writer)
{
    const struct contents_file *file = p->contents.files + p->next;
    struct manifest_entry entry;
    int err = 0;
    p->next += count_files(dir); /* those of the folders below come behind */
    for (uint32_t i = 0; i < dir->child_count && err == 0; i++) {
        const struct content *content = dir->children[i].kind == MANIFEST_FILE ? &file++->content : NULL;
        if (content && content->left_out)
            continue;
        err = describe_child(p, &dir->children[i], content, &entry);
        if (err == 0)
            manifest_dir_add(writer, &entry);
    }
    return err;
}

static int describe_folder(struct publisher *p, const struct scan_entry *dir, const struct chunker_params *root, struct manifest_entry *entry)
{
    struct manifest_writer writer;
    struct buf content;
    buf_init(&content, 2 * OBJECT_LISTING_MAX);
    manifest_dir_begin(&writer, &content, root);
    int err = describe_children(p, dir, &writer);
    if (err == 0)
        err = manifest_end(&writer);
    if (err == GRID_ELIMIT)
        fail_path(p, err, "has too many files in one folder; spread them, or name some in " IGNORE_FILE_NAME);
    entry->size = content.size;
    if (err == 0)
        err = put_folder(p, buf_slice(&content), &entry->id);
    buf_dispose(&content);
    return err;
}

/* ---- what is known from the last time ---- */

static bool same_params(const struct chunker_params *a, const struct chunker_params *b)
{
    return a->min_bytes == b->min_bytes && a->average_bytes == b->average_bytes && a->max_bytes == b->max_bytes && a->seed == b->seed;
}

/* What a server elsewhere changes shows in the stamps of such a file system only after a while; opening a file asks. */
static bool is_remote(int dir_fd)
{
    static const uint32_t magics[] = {0x6969 /* NFS */, 0x517b /* SMB */, 0xff534d42 /* CIFS */, 0xfe534d42 /* SMB 2 */, 0x01021997 /* 9P */,
                                      0x00c36400 /* Ceph */, 0x65735546 /* FUSE */, 0x5346414f /* AFS */, 0x73757245 /* Coda */};
    struct statfs fs;
    if (fstatfs(dir_fd, &fs) != 0)
        return true;
    for (size_t i = 0; i < sizeof magics / sizeof *magics; i++)
        if ((uint32_t) fs.f_type == magics[i])
            return true;
    return false;
}

static void recall(struct publisher *p, int dir_fd, const struct stat *folder)
{
    if (!p->options.state_fd || is_remote(dir_fd) || stat_cache_file_name(folder, p->options.rights, p->cache_name) != 0)
        return;
    stat_cache_load(*p->options.state_fd, p->cache_name, &p->cache_bytes);
    if (stat_cache_open(buf_slice(&p->cache_bytes), &p->cache) == 0 &&
        (!same_params(&p->cache.head.chunker, &p->options.chunker) || p->cache.head.device != folder->st_dev))
        stat_cache_dispose(&p->cache);
}

static bool may_remember(const struct content *c, uint64_t device, struct timespec began)
{
    return !c->left_out && c->stamp.device == device && stat_cache_trusts(&c->stamp, began);
}

/* Writing all of it down is worth it when a part of it was learnt that takes longer to read again, or most of what was known is of no more use. */
static bool worth_remembering(const struct publisher *p, uint64_t device)
{
    const struct contents *c = &p->contents;
    uint64_t files = 0, bytes = 0;
    for (uint32_t i = 0; i < c->count && c->found < c->count; i++)
        if (!c->files[i].found && may_remember(&c->files[i].content, device, p->began)) {
            files++;
            bytes += c->files[i].content.stamp.size;
        }
    return files > c->found / LEARNT_SHARE || bytes > LEARNT_BYTES || c->found < p->cache.count / 2;
}

static void remember(struct publisher *p, uint64_t device)
{
    struct stat_cache_writer w;
    struct buf bytes;
    if (!p->cache_name[0] || !worth_remembering(p, device))
        return;
    buf_init(&bytes, STAT_CACHE_BYTES_MAX);
    stat_cache_begin(&w, &bytes, &(struct stat_cache_head){p->options.chunker, device});
    for (uint32_t i = 0; i < p->contents.count; i++) {
        const struct contents_file *file = &p->contents.files[i];
        const struct content *c = &file->content;
        if (may_remember(c, device, p->began))
            stat_cache_add(&w, &(struct stat_cache_entry){file->entry->name, c->stamp, c->kind, c->id, c->chunks});
    }
    if (stat_cache_end(&w) == 0)
        stat_cache_save(*p->options.state_fd, p->cache_name, buf_slice(&bytes));
    buf_dispose(&bytes);
}

/* ---- the tree ---- */

static int gather(struct publisher *p, int dir_fd)
{
    const struct publish_options *o = &p->options;
    struct contents_source source = {.dir_fd = dir_fd, .scan = &p->scan, .store = p->batch.store, .chunker = &o->chunker, .rights = o->rights,
                                     .closed = o->closed, .known = p->cache.count > 0 ? &p->cache : NULL, .progress = o->progress, .arg = o->arg,
                                     .report = p->report};
    return contents_gather(&source, &p->contents);
}

/* Nothing is known of how much there is until all folders have been gone through. */
static bool scan_goes_on(void *arg)
{
    const struct publish_options *o = arg;
    return !o->progress || o->progress(o->arg, &(struct publish_progress){0});
}

static int publish_tree(struct publisher *p, int dir_fd, struct object_id *root)
{
    const struct scan_options options = {.rights = p->options.rights, .closed = p->options.closed, .goes_on = scan_goes_on, .arg = &p->options};
    struct manifest_entry entry = {0};
    struct stat folder;
    if (fstat(dir_fd, &folder) != 0)
        return GRID_EIO;
    clock_gettime(CLOCK_REALTIME_COARSE, &p->began);
    int err = scan_folder(dir_fd, &options, p->report, &p->scan);
    if (err != 0)
        return err;
    recall(p, dir_fd, &folder);
    err = gather(p, dir_fd);
    if (err == 0)
        err = describe_folder(p, &p->scan.root, &p->options.chunker, &entry);
    if (err == 0)
        err = store_batch_commit(&p->batch);
    if (err == 0)
        err = store_sync(p->batch.store);
    if (err == 0)
        remember(p, folder.st_dev);
    *root = entry.id;
    return err;
}

static void publisher_init(struct publisher *p, struct store *s, const struct publish_options *options, struct fs_report *report)
{
    *p = (struct publisher){.report = report};
    if (options)
        p->options = *options;
    if (p->options.chunker.max_bytes == 0)
        p->options.chunker = chunker_default_params;
    store_batch_init(&p->batch, s);
    buf_init(&p->path, 0);
    buf_init(&p->cache_bytes, STAT_CACHE_BYTES_MAX);
}

static void publisher_dispose(struct publisher *p)
{
    contents_dispose(&p->contents);
    stat_cache_dispose(&p->cache);
    buf_dispose(&p->cache_bytes);
    scan_dispose(&p->scan);
    store_batch_dispose(&p->batch);
    buf_dispose(&p->path);
}

static int cannot_store(struct store *s, struct fs_report *report, int err)
{
    char clause[STORE_FULL_MAX];
    snprintf(clause, sizeof clause, "%s", grid_err_text(err));
    if (err == GRID_ENOSPC)
        store_full_clause(s, clause);
    return fs_report_fail(report, err, "the release could not be stored: %s", clause);
}

int release_publish(struct store *s, int dir_fd, const struct publish_options *options, struct fs_report *report,
                    struct publish_result *out)
{
    struct publisher p;
    publisher_init(&p, s, options, report);
    *out = (struct publish_result){0};
    int err = publish_tree(&p, dir_fd, &out->root);
    out->files = p.contents.progress.files_done;
    out->bytes = p.contents.progress.bytes_done;
    out->stored_bytes = p.contents.stored_bytes + p.batch.new_bytes;
    out->saved_bytes = p.contents.progress.bytes_saved + p.batch.saved_bytes;
    out->unread_files = p.contents.found;
    publisher_dispose(&p);
    return err == 0 ? 0 : cannot_store(s, report, err);
}
