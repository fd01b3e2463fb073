/* The tree becomes a list of files; those that are not known go, a few at a time, to whichever thread is free. */
#include "fs/contents.h"

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/err.h"
#include "fs/beneath.h"
#include "fs/ignore.h"

/* Files that a thread takes at a time, and those (or bytes) for which one more thread is worth starting. */
#define FILES_AT_ONCE 8u
#define FILES_A_THREAD 128u
#define BYTES_A_THREAD (4u * 1024 * 1024)
#define ARENA_BLOCK_BYTES (64u * 1024)

struct folder {
    const struct scan_entry *entry;
    const char *path; /* from the root, "" for it */
};

struct gather {
    const struct contents_source *source;
    struct contents *out;
    struct arena *arena; /* of folders, paths and `unread` */
    struct folder *folders;
    uint32_t folder_count, file_count;
    uint32_t *unread; /* files to read, by number */
    uint32_t unread_count;
    uint64_t unread_bytes;
    struct reader_claims claims;
    atomic_uint next;    /* of `unread` */
    atomic_bool stopped; /* something failed */
    pthread_mutex_t lock; /* guards progress, report and err */
    int err;
};

struct worker {
    struct gather *gather;
    struct file_reader reader;
    uint32_t folder; /* the one open as folder_fd, when that is not -1 */
    int folder_fd;
    pthread_t thread;
};

/* ---- failing ---- */

/* The first error stays. Under the lock. */
static int stop(struct gather *g, int err)
{
    if (g->err == 0)
        g->err = err;
    atomic_store(&g->stopped, true);
    return err;
}

static int fail_plainly(struct gather *g, int err)
{
    pthread_mutex_lock(&g->lock);
    stop(g, err);
    pthread_mutex_unlock(&g->lock);
    return err;
}

static int fail(struct gather *g, const struct folder *folder, struct slice name, int err, const char *what)
{
    const char *where = *folder->path || name.size > 0 ? folder->path : "the folder";
    pthread_mutex_lock(&g->lock);
    if (g->err == 0)
        fs_report_fail(g->source->report, err, "%s%s%.*s %s", where, *folder->path && name.size > 0 ? "/" : "", SLICE_FMT(name), what);
    stop(g, err);
    pthread_mutex_unlock(&g->lock);
    return err;
}

static int cannot_open(struct gather *g, const struct folder *folder, struct slice name, int errnum)
{
    char what[256];
    snprintf(what, sizeof what, "cannot be read: %s; make it readable to the user who publishes, or name it in " IGNORE_FILE_NAME, strerror(errnum));
    return fail(g, folder, name, grid_err_from_errno(errnum), what);
}

static int cannot_store(struct gather *g, const struct folder *folder, struct slice name)
{
    char clause[STORE_FULL_MAX], what[STORE_FULL_MAX + 32];
    store_full_clause(g->source->store, clause);
    snprintf(what, sizeof what, "could not be stored: %s", clause);
    return fail(g, folder, name, GRID_ENOSPC, what);
}

static int explain(struct gather *g, const struct folder *folder, struct slice name, int err)
{
    static const struct {
        int err;
        const char *what;
    } sentences[] = {
        {GRID_EBUSY, "keeps changing while it is read; stop what writes to it, or name it in " IGNORE_FILE_NAME},
        {GRID_ELIMIT, "is too large for a release; name it in " IGNORE_FILE_NAME},
    };
    if (err == GRID_ENOSPC)
        return cannot_store(g, folder, name);
    for (size_t i = 0; i < sizeof sentences / sizeof *sentences; i++)
        if (sentences[i].err == err)
            return fail(g, folder, name, err, sentences[i].what);
    return err == 0 ? 0 : fail(g, folder, name, err, grid_err_text(err));
}

/* ---- the list ---- */

static bool chunks_in_store(struct store *s, struct slice ids)
{
    struct object_id id;
    for (struct slice one; slice_take(&ids, OBJECT_ID_BYTES, &one);)
        if (object_id_from_slice(one, &id) != 0 || !store_has(s, &id))
            return false;
    return true;
}

/* What is known of a file, if the store has all of it still. */
static bool recall(const struct contents_source *source, const struct scan_entry *e, struct content *out)
{
    struct stat_cache_entry known;
    if (!source->known || !stat_cache_find(source->known, e->name, &e->stamp, &known) || !store_has(source->store, &known.id) ||
        !chunks_in_store(source->store, known.chunks))
        return false;
    *out = (struct content){.kind = known.kind, .executable = e->executable, .id = known.id, .stamp = known.stamp, .chunks = known.chunks};
    return true;
}

static void list_file(struct gather *g, const struct scan_entry *e, uint32_t folder)
{
    struct contents *out = g->out;
    struct contents_file *file = &out->files[out->count++];
    *file = (struct contents_file){.entry = e, .folder = folder};
    file->found = recall(g->source, e, &file->content);
    if (file->found) {
        out->found++;
        out->progress.files_done++;
        out->progress.bytes_done += e->stamp.size;
        out->progress.bytes_saved += e->stamp.size;
        return;
    }
    g->unread[g->unread_count++] = out->count - 1;
    g->unread_bytes += e->stamp.size;
}

static int list_folder(struct gather *g, const struct scan_entry *dir, const char *path)
{
    uint32_t number = g->folder_count++;
    g->folders[number] = (struct folder){dir, path};
    for (uint32_t i = 0; i < dir->child_count; i++)
        if (dir->children[i].kind == MANIFEST_FILE)
            list_file(g, &dir->children[i], number);
    for (uint32_t i = 0; i < dir->child_count; i++) {
        const struct scan_entry *child = &dir->children[i];
        if (child->kind != MANIFEST_DIRECTORY)
            continue;
        const char *below = arena_printf(g->arena, "%s%s%.*s", path, *path ? "/" : "", SLICE_FMT(child->name));
        int err = below ? list_folder(g, child, below) : GRID_ENOMEM;
        if (err != 0)
            return err;
    }
    return 0;
}

static int list_tree(struct gather *g)
{
    const struct scan *scan = g->source->scan;
    g->out->files = calloc(scan->files + 1, sizeof *g->out->files);
    g->folders = arena_calloc(g->arena, scan->directories + 1, sizeof *g->folders);
    g->unread = arena_calloc(g->arena, scan->files + 1, sizeof *g->unread);
    g->out->progress.files_total = scan->files;
    g->out->progress.bytes_total = scan->bytes;
    if (!g->out->files || !g->folders || !g->unread)
        return GRID_ENOMEM;
    return list_folder(g, &scan->root, "");
}

/* ---- one file ---- */

/* Another folder than was scanned may have the name by now: not one that is closed, nor one in it. */
static bool may_read(const struct gather *g, const struct folder *folder, int fd)
{
    struct stat st;
    if (fstat(fd, &st) != 0 || closed_has(g->source->closed, &st))
        return false;
    bool same = st.st_dev == folder->entry->stamp.device && st.st_ino == folder->entry->stamp.inode;
    return same || !closed_holds(g->source->closed, fd);
}

static int open_path(const struct gather *g, const char *path)
{
    if (rights_assume(g->source->rights) != 0) {
        errno = EPERM;
        return -1;
    }
    int fd = *path ? beneath_open(g->source->dir_fd, path, O_RDONLY | O_DIRECTORY) : openat(g->source->dir_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    rights_restore(g->source->rights);
    return fd;
}

static int enter_folder(struct worker *w, uint32_t number)
{
    struct gather *g = w->gather;
    const struct folder *folder = &g->folders[number];
    if (w->folder_fd >= 0 && w->folder == number)
        return 0;
    if (w->folder_fd >= 0)
        close(w->folder_fd);
    w->folder = number;
    w->folder_fd = open_path(g, folder->path);
    if (w->folder_fd < 0 && (errno == ENOENT || errno == ELOOP || errno == ENOTDIR || errno == EXDEV))
        return fail(g, folder, SLICE(""), GRID_EBUSY, "went away while the folder was read; publish again");
    if (w->folder_fd < 0)
        return cannot_open(g, folder, SLICE(""), errno);
    if (!may_read(g, folder, w->folder_fd))
        return fail(g, folder, SLICE(""), GRID_EBUSY, "was moved while the folder was read; publish again");
    return 0;
}

static void warn_secret(struct gather *g, const struct folder *folder, struct slice name)
{
    pthread_mutex_lock(&g->lock);
    fs_report_warn(g->source->report, "%s%s%.*s is left out: it holds a private key", folder->path, *folder->path ? "/" : "", SLICE_FMT(name));
    pthread_mutex_unlock(&g->lock);
}

/* Of a file of the folder that the worker has open. */
static int read_file(struct worker *w, struct contents_file *file)
{
    struct gather *g = w->gather;
    const struct folder *folder = &g->folders[file->folder];
    struct slice name = file->entry->name;
    struct stat st;
    bool secret = false;
    int fd = rights_openat(g->source->rights, w->folder_fd, (const char *) name.data, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    file->content.left_out = true; /* what is gone, or has become something else since the scan */
    if (fd < 0)
        return errno == ENOENT || errno == ELOOP ? 0 : cannot_open(g, folder, name, errno);
    bool regular = fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && !closed_has(g->source->closed, &st);
    int err = regular ? file_reader_read(&w->reader, fd, name, &file->content, &secret) : 0;
    close(fd);
    if (secret)
        warn_secret(g, folder, name);
    return explain(g, folder, name, err);
}

/* Under the lock, but for the first time. */
static int tell_progress(struct gather *g)
{
    if (!g->source->progress || g->source->progress(g->source->arg, &g->out->progress))
        return 0;
    if (g->err == 0)
        fs_report_fail(g->source->report, GRID_ECANCELED, "publishing was cancelled");
    return stop(g, GRID_ECANCELED);
}

static int count_file(struct worker *w, const struct content *content, uint64_t saved_before)
{
    struct gather *g = w->gather;
    struct publish_progress *p = &g->out->progress;
    pthread_mutex_lock(&g->lock);
    p->files_done++;
    p->bytes_done += content->left_out ? 0 : content->stamp.size;
    p->bytes_saved += w->reader.saved_bytes - saved_before;
    int err = tell_progress(g);
    pthread_mutex_unlock(&g->lock);
    return err;
}

static int take_file(struct worker *w, struct contents_file *file)
{
    uint64_t saved_before = w->reader.saved_bytes;
    int err = enter_folder(w, file->folder);
    if (err == 0)
        err = read_file(w, file);
    return err == 0 ? count_file(w, &file->content, saved_before) : err;
}

/* ---- threads ---- */

static void *work(void *arg)
{
    struct worker *w = arg;
    struct gather *g = w->gather;
    while (!atomic_load(&g->stopped)) {
        uint32_t at = atomic_fetch_add(&g->next, FILES_AT_ONCE), end = at + FILES_AT_ONCE;
        if (at >= g->unread_count)
            break;
        for (; at < end && at < g->unread_count; at++)
            if (take_file(w, &g->out->files[g->unread[at]]) != 0)
                return NULL;
    }
    int err = atomic_load(&g->stopped) ? 0 : store_batch_commit(&w->reader.batch);
    if (err != 0)
        fail_plainly(g, err);
    return NULL;
}

/* How many threads the work is worth, with the calling one. */
static unsigned count_threads(const struct gather *g)
{
    unsigned most = crew_cpus(CONTENTS_THREADS_MAX);
    uint64_t by_files = g->unread_count / FILES_A_THREAD, by_bytes = g->unread_bytes / BYTES_A_THREAD;
    uint64_t worth = 1 + (by_files > by_bytes ? by_files : by_bytes);
    return worth < most ? (unsigned) worth : most;
}

static bool worker_init(struct worker *w, struct gather *g)
{
    *w = (struct worker){.gather = g, .folder_fd = -1};
    int err = file_reader_init(&w->reader, g->source->store, &g->claims, g->source->chunker);
    if (err != 0)
        fail_plainly(g, err);
    return err == 0;
}

static void worker_dispose(struct worker *w, unsigned number)
{
    struct contents *out = w->gather->out;
    if (w->folder_fd >= 0)
        close(w->folder_fd);
    out->stored_bytes += w->reader.batch.new_bytes;
    out->arenas[number] = file_reader_dispose(&w->reader);
}

/* The calling thread works too. A thread that cannot be started is done without. */
static void read_all(struct gather *g)
{
    struct worker workers[CONTENTS_THREADS_MAX];
    unsigned wanted = count_threads(g), count = 0, started = 0;
    while (count < wanted && worker_init(&workers[count], g))
        count++;
    unsigned made = count < wanted ? count + 1 : count; /* one of which was not made whole */
    while (count == wanted && started + 1 < count && pthread_create(&workers[started + 1].thread, NULL, work, &workers[started + 1]) == 0)
        started++;
    if (count == wanted)
        work(&workers[0]);
    for (unsigned i = 1; i <= started; i++)
        pthread_join(workers[i].thread, NULL);
    for (unsigned i = 0; i < made; i++)
        worker_dispose(&workers[i], i);
}

int contents_gather(const struct contents_source *source, struct contents *out)
{
    struct gather g = {.source = source, .out = out, .arena = arena_create(ARENA_BLOCK_BYTES, 0)};
    *out = (struct contents){0};
    if (!g.arena)
        return GRID_ENOMEM;
    pthread_mutex_init(&g.lock, NULL);
    reader_claims_init(&g.claims);
    int err = list_tree(&g);
    if (err != 0)
        fail_plainly(&g, err);
    else if (tell_progress(&g) == 0 && g.unread_count > 0)
        read_all(&g);
    reader_claims_dispose(&g.claims);
    pthread_mutex_destroy(&g.lock);
    arena_destroy(g.arena);
    return g.err;
}

void contents_dispose(struct contents *c)
{
    for (unsigned i = 0; i < CONTENTS_THREADS_MAX; i++)
        arena_destroy(c->arenas[i]);
    free(c->files);
    *c = (struct contents){0};
}
