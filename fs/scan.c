/* A scan as folders to go through, by a few threads with the same rights; what each of them found makes one tree. */
#include "fs/scan_internal.h"

#include <sys/stat.h>

#include "base/err.h"

/* A thread more is worth its start when so many folders wait. */
#define FOLDERS_A_THREAD 16

/* ---- stamps ---- */

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

/* ---- threads ---- */

static int enter(void *arg, unsigned member)
{
    struct walk *w = arg;
    int err = w->walkers[member].walk ? 0 : walker_init(&w->walkers[member], w);
    if (err != 0 || (err = rights_assume(w->options.rights)) == 0 || member > 0)
        return err;
    return fs_report_fail(w->report, err, "the folder could not be read: the node cannot take on the rights of user %u", (unsigned) w->options.rights->uid);
}

static void leave(void *arg, unsigned member)
{
    const struct walk *w = arg;
    (void) member;
    rights_restore(w->options.rights);
}

static bool goes_on(struct walk *w)
{
    if (!w->options.goes_on)
        return true;
    pthread_mutex_lock(&w->lock);
    bool on = w->options.goes_on(w->options.arg);
    pthread_mutex_unlock(&w->lock);
    return on;
}

static int run(void *arg, unsigned member, struct crew_job *job)
{
    struct walk *w = arg;
    if (!goes_on(w))
        return GRID_ECANCELED;
    return walker_go(&w->walkers[member], (const struct scan_job *) job);
}

static int walk_all(struct walk *w, struct scan_entry *root)
{
    const struct crew_plan plan = {.jobs_a_member = FOLDERS_A_THREAD, .enter = enter, .leave = leave, .run = run, .arg = w};
    struct scan_job top = {.dir = root, .path = ""};
    pthread_mutex_init(&w->lock, NULL);
    crew_init(&w->crew, &plan);
    crew_push(&w->crew, &top.job);
    int err = crew_run(&w->crew);
    crew_dispose(&w->crew);
    pthread_mutex_destroy(&w->lock);
    return err;
}

/* What the threads found. */
static void gather(struct walk *w, struct scan *out)
{
    for (unsigned i = 0; i < CREW_MAX; i++) {
        struct walker *walker = &w->walkers[i];
        out->files += walker->files;
        out->directories += walker->directories;
        out->bytes += walker->bytes;
        out->arenas[i] = walker->arena;
    }
    for (unsigned i = 0; i < CREW_MAX; i++)
        if (w->walkers[i].walk)
            walker_dispose(&w->walkers[i]);
}

int scan_folder(int dir_fd, const struct scan_options *options, struct fs_report *report, struct scan *out)
{
    struct walk w = {.root_fd = dir_fd, .options = options ? *options : (struct scan_options){0}, .report = report};
    *out = (struct scan){.root.kind = MANIFEST_DIRECTORY};
    int err = walk_all(&w, &out->root);
    gather(&w, out);
    if (err == 0)
        return 0;
    scan_dispose(out);
    return fs_report_fail(report, err, "the folder could not be read: %s", grid_err_text(err));
}

void scan_dispose(struct scan *s)
{
    for (unsigned i = 0; i < CREW_MAX; i++)
        arena_destroy(s->arenas[i]);
    *s = (struct scan){0};
}
