/* A tree ahead of the next release: when no tree stands free to be patched, as after the first deploy, or while tasks that a release has not changed go on in
 * theirs, a second one of the release that runs is made beside it, by one thread of the pool, while the node does what else it does. So the next release costs what
 * has changed and not the whole tree. A job whose turn it is to make its tree meanwhile waits for it: to begin another one beside it would take longer. */
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statvfs.h>

#include "base/err.h"
#include "base/log.h"
#include "server/release/releases_internal.h"

#define SPARE_SUFFIX ".spare"

/* A tree of fewer files and bytes is made anew at once. */
#define SPARE_FILES_MIN 1000u
#define SPARE_BYTES_MIN (64u * 1024 * 1024)
/* The disk has to have room for so many trees more. */
#define SPARE_ROOM 4u

enum { SPARE_AFTER_MS = 500, SPARE_PATIENCE_MS = 5000 /* processes of the release before end by then, mostly, and leave its tree */ };

struct spare_work {
    struct releases *releases;
    struct object_id root;
    char name[MATERIALIZE_NAME_SIZE];
    char previous[OBJECT_ID_HEX + 1];
    bool guarded;
    atomic_bool cancelled;
    struct store_hold hold;
    struct fs_report report;
    struct materialize_result result;
    int err;
};

/* ---- on the pool ---- */

static bool goes_on(void *arg, uint64_t files, uint64_t bytes)
{
    struct spare_work *w = arg;
    (void) files, (void) bytes;
    return !atomic_load(&w->cancelled);
}

static void spare_build(void *arg)
{
    struct spare_work *w = arg;
    const struct materialize_options options = {.previous = w->previous, .guarded = w->guarded, .sync = true, .threads = 1, .progress = goes_on, .arg = w};
    w->err = materialize_tree(w->releases->store, &w->root, w->releases->trees_fd, w->name, &options, &w->report, &w->result);
}

/* ---- on the loop ---- */

static void go_on(struct job *job)
{
    if (job->cancelled)
        job_given_up(job);
    else
        job_build(job);
}

static void spare_done(void *arg)
{
    struct spare_work *w = arg;
    struct releases *r = w->releases;
    store_hold_end(r->store, &w->hold);
    if (w->err != 0 && w->err != GRID_ECANCELED)
        log_line(LOG_INFO, "no tree could be made ahead of the next release, which will take longer therefore", LOGF_STR("why", w->report.error ? w->report.error : grid_err_text(w->err)));
    fs_report_dispose(&w->report);
    free(w);
    r->spare_work = NULL;
    if (r->running && r->running->awaits_spare)
        go_on(r->running);
    releases_step_later(r);
}

static void spare_begin(struct releases *r, const struct object_id *root)
{
    struct spare_work *w = calloc(1, sizeof *w);
    if (!w)
        return;
    w->releases = r;
    w->root = *root;
    w->guarded = supervisor_user(r->options.supervisor)->own;
    memcpy(w->previous, r->current, sizeof w->previous);
    snprintf(w->name, sizeof w->name, "%s" SPARE_SUFFIX, r->current);
    store_hold_begin(r->store, &w->hold);
    if (loop_work(r->options.loop, spare_build, spare_done, w) == 0) {
        r->spare_work = w;
        return;
    }
    store_hold_end(r->store, &w->hold);
    free(w);
}

static bool has_room(const struct releases *r, const struct release_entry *e)
{
    struct statvfs fs;
    if (e->size_bytes > UINT64_MAX / SPARE_ROOM || fstatvfs(r->trees_fd, &fs) != 0)
        return false;
    return (uint64_t) fs.f_bavail * fs.f_frsize / SPARE_ROOM >= e->size_bytes && (fs.f_files == 0 || fs.f_favail / SPARE_ROOM >= e->files);
}

/* Once for each root: what did not work then is not to be had now. */
static bool is_worth_it(const struct releases *r, const struct release_entry *e)
{
    return (e->files >= SPARE_FILES_MIN || e->size_bytes >= SPARE_BYTES_MIN) && strcmp(r->spare_tried, r->current) != 0 && has_room(r, e);
}

static bool is_current(void *ctx, const char *name)
{
    const struct releases *r = ctx;
    return strcmp(name, r->current) == 0;
}

static bool has_free_tree(struct releases *r)
{
    struct spare_trees found;
    releases_find_spares(r, &found);
    return found.count > 0;
}

static bool has_older_tree(struct releases *r)
{
    struct spare_trees found;
    spare_trees_find(r->trees_fd, r->store, is_current, r, &found);
    return found.count > 0;
}

static void spare_look(void *arg)
{
    struct releases *r = arg;
    const struct release_entry *e = release_log_current(r->log, RELEASES_APP);
    if (r->closing || r->running || r->on_pool || r->spare_work || !e || !entry_key_is(&r->runs, e) || !is_worth_it(r, e) || has_free_tree(r))
        return;
    if (!r->spare_patient && has_older_tree(r)) {
        r->spare_patient = true;
        loop_timer_start(r->options.loop, &r->spare, SPARE_PATIENCE_MS, spare_look, r);
        return;
    }
    memcpy(r->spare_tried, r->current, sizeof r->spare_tried);
    spare_begin(r, &e->root);
}

void releases_spare_later(struct releases *r)
{
    r->spare_patient = false;
    if (!r->closing)
        loop_timer_start(r->options.loop, &r->spare, SPARE_AFTER_MS, spare_look, r);
}

void releases_spare_cancel(struct releases *r)
{
    if (r->spare_work)
        atomic_store(&r->spare_work->cancelled, true);
}
