/* One job at a time: publishes and rollbacks in the order they were asked for, then whatever newer entry the grid has told us of.
 *
 *   scan (pool) -> fetch (peers) -> build (pool: tree, tasks) -> finish (loop: entry, log, announce, apply)
 *
 * A publish begins at scan; a rollback and an entry from a peer at fetch, which ends at once when nothing is missing. */
#include "server/release/releases.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/err.h"
#include "base/log.h"
#include "fs/materialize.h"
#include "server/release/fetch.h"
#include "server/release/release_codec.h"
#include "server/release/release_plan.h"
#include "server/release/tidy.h"

#define LOG_NAME "releases.log"
#define APP SLICE("default")
#define CURRENT_LINK "current"

enum { RETRY_MS = 5000, TIDY_MS = 30000, BUILD_ATTEMPTS = 3, PROGRESS_MS = 100 };

struct job {
    struct job *next;
    struct releases *releases;
    /* What was asked for. */
    bool scans;           /* begins with a folder */
    bool makes_entry;     /* ends with a new entry; otherwise it puts an entry of the log in place */
    int dir_fd;           /* of a scan, -1 otherwise */
    struct buf config;    /* packed ReleaseConfig */
    struct object_id root;
    uint64_t sequence;    /* of the entry put in place */
    uint64_t files, bytes;
    const struct release_events *events;
    void *events_ctx;     /* NULL once forgotten */
    /* How it goes. */
    struct fetch *fetch;
    struct store_hold hold;
    unsigned attempts;
    int err;
    struct fs_report report;
    struct release_plan plan;
    char why[TASK_ERROR_MAX];
    char previous[OBJECT_ID_HEX + 1]; /* an older tree to take unchanged files from */
    bool cancelled;       /* the pool goes on to its end, but nothing comes of it */
    /* Progress, from the pool's thread. */
    uv_mutex_t lock;
    struct publish_progress progress;
    uint64_t told_ms;
};

struct releases {
    struct releases_options options;
    struct store *store;
    struct release_log *log;
    struct sync_service *sync_service;
    int state_fd;
    int trees_fd;
    char trees_path[PATH_MAX];
    struct job *running;
    struct job *queue, **queue_tail;
    bool on_pool;            /* the running job's work, or a tidy */
    bool tidy_due;           /* once after each release */
    struct loop_deferred step;
    struct loop_timer retry, tidy;
    struct release_entry current_entry; /* what runs: only root and sequence are used */
    char current[OBJECT_ID_HEX + 1];
    uint64_t applied_sequence;
    struct object_id applied_root;
    bool applied;            /* since the start */
    uint64_t failed_sequence; /* an entry that cannot run here (no tasks in it, say): not tried again */
    bool closing;
    loop_fn closed;
    void *closed_arg;
};

static void releases_step(void *arg);

static void step_later(struct releases *r)
{
    loop_defer(r->options.loop, &r->step, releases_step, r);
}

static void tell_change(struct releases *r)
{
    r->options.on_change(r->options.ctx);
}

/* ---- jobs ---- */

static struct job *job_create(struct releases *r, const struct release_events *events, void *ctx)
{
    struct job *job = calloc(1, sizeof *job);
    if (!job)
        return NULL;
    job->releases = r;
    job->dir_fd = -1;
    job->events = events;
    job->events_ctx = ctx;
    buf_init(&job->config, 0);
    uv_mutex_init(&job->lock);
    return job;
}

static void job_free(struct job *job)
{
    if (job->dir_fd >= 0)
        close(job->dir_fd);
    buf_dispose(&job->config);
    fs_report_dispose(&job->report);
    release_plan_dispose(&job->plan);
    uv_mutex_destroy(&job->lock);
    free(job);
}

static void job_enqueue(struct releases *r, struct job *job)
{
    job->next = NULL;
    *r->queue_tail = job;
    r->queue_tail = &job->next;
    step_later(r);
}

/* What to tell about a failure: the report's sentence, the plan's, or the error's text. */
static const char *job_sentence(const struct job *job)
{
    if (job->report.error)
        return job->report.error;
    return job->why[0] ? job->why : grid_err_text(job->err);
}

static void job_tell_done(struct job *job, int err, const char *sentence, const struct release_entry *entry)
{
    if (job->events && job->events_ctx)
        job->events->on_done(job->events_ctx, err, sentence, entry);
}

/* The running job is over. */
static void job_end(struct job *job)
{
    struct releases *r = job->releases;
    store_hold_end(r->store, &job->hold);
    r->running = NULL;
    job_free(job);
    step_later(r);
    tell_change(r);
}

static bool is_passing(int err)
{
    return err == GRID_ENOSPC || err == GRID_EIO || err == GRID_ENOMEM || err == GRID_EAGAIN || err == GRID_EBUSY;
}

static void job_fail(struct job *job)
{
    struct releases *r = job->releases;
    const char *sentence = job_sentence(job);
    if (!job->makes_entry && !job->cancelled) {
        log_line(LOG_ERROR, "a release cannot be run here: the one before goes on", LOGF_INT("sequence", job->sequence), LOGF_STR("why", sentence));
        if (is_passing(job->err))
            loop_timer_start(r->options.loop, &r->retry, RETRY_MS, releases_step, r);
        else
            r->failed_sequence = job->sequence;
    }
    job_tell_done(job, job->err, sentence, NULL);
    job_end(job);
}

/* ---- finish: entry, log, announce, apply ---- */

static int entry_sign(struct releases *r, struct release_entry *e, uint8_t signature[ENTRY_SIGNATURE_BYTES])
{
    struct buf bytes;
    size_t size = 0;
    buf_init(&bytes, 0);
    int err = release_entry_signing_bytes(e, &bytes);
    if (err == 0)
        err = r->options.sign(r->options.ctx, buf_slice(&bytes), signature, &size);
    buf_dispose(&bytes);
    e->signature = slice_of(signature, size);
    return err;
}

static void announce(struct releases *r, const struct release_entry *e)
{
    struct buf packed;
    buf_init(&packed, 0);
    if (release_entry_pack(e, &packed) == 0)
        r->options.announce(r->options.ctx, buf_slice(&packed));
    buf_dispose(&packed);
}

static int log_save(struct releases *r)
{
    int err = release_log_save(r->log, r->state_fd, LOG_NAME);
    if (err != 0)
        log_line(LOG_ERROR, "the log of releases cannot be written: free space or mend the state folder", LOGF_ERR(err));
    return err;
}

/* Makes the job's release the newest of the grid. */
static int job_make_entry(struct job *job)
{
    struct releases *r = job->releases;
    const struct release_entry *newest = release_log_current(r->log, APP);
    uint8_t signature[ENTRY_SIGNATURE_BYTES];
    enum release_outcome outcome;
    struct release_entry e = {.app = APP, .sequence = newest ? newest->sequence + 1 : 1, .root = job->root, .has_parent = newest != NULL,
                              .publisher = slice_of_str(r->options.publisher), .published_at_ms = loop_wall_ms(), .files = job->files, .size_bytes = job->bytes,
                              .config = buf_slice(&job->config), .certificate = r->options.certificate_der};
    if (newest)
        e.parent = newest->root;
    int err = hash_sha256(e.config, e.config_hash);
    if (err == 0)
        err = entry_sign(r, &e, signature);
    if (err == 0)
        err = release_log_add(r->log, &e, &outcome);
    if (err == 0)
        err = log_save(r);
    if (err == 0) {
        job->sequence = e.sequence;
        announce(r, release_log_current(r->log, APP));
    }
    return err;
}

static void tidy_now(void *arg)
{
    struct releases *r = arg;
    r->tidy_due = true;
    step_later(r);
}

static void job_finish(struct job *job)
{
    struct releases *r = job->releases;
    if (job->makes_entry)
        job->err = job_make_entry(job);
    if (job->err == 0)
        job->err = supervisor_apply(r->options.supervisor, &job->plan.tasks, &job->plan.env);
    if (job->err != 0) {
        job_fail(job);
        return;
    }
    for (size_t i = 0; i < job->plan.tasks.note_count; i++)
        log_line(LOG_INFO, "not a task", LOGF_STR("note", job->plan.tasks.notes[i]));
    memcpy(r->current, job->plan.env.release, sizeof r->current);
    r->applied_root = job->root;
    r->applied_sequence = job->sequence;
    r->applied = true;
    log_line(LOG_INFO, "a release runs", LOGF_STR("release", r->current), LOGF_INT("sequence", job->sequence), LOGF_INT("tasks", job->plan.tasks.count));
    job_tell_done(job, 0, NULL, release_log_current(r->log, APP));
    loop_timer_start(r->options.loop, &r->tidy, TIDY_MS, tidy_now, r);
    job_end(job);
}

/* ---- build: tree and tasks, on the pool ---- */

static void build_work(void *arg)
{
    struct job *job = arg;
    struct releases *r = job->releases;
    struct materialize_options options = {.previous = job->previous[0] ? job->previous : NULL, .sync = true};
    struct materialize_result result;
    char hex[OBJECT_ID_HEX + 1], path[PATH_MAX + OBJECT_ID_HEX + 2];
    object_id_to_hex(&job->root, hex);
    snprintf(path, sizeof path, "%s/%s", r->trees_path, hex);
    job->err = materialize_tree(r->store, &job->root, r->trees_fd, hex, &options, &job->report, &result);
    if (job->err == 0)
        job->err = release_plan_read(r->store, &job->root, path, buf_slice(&job->config), &job->plan, job->why);
    if (job->err == 0)
        job->err = materialize_switch(r->trees_fd, CURRENT_LINK, hex);
}

static void job_fetch(struct job *job);

static void build_done(void *arg)
{
    struct job *job = arg;
    struct releases *r = job->releases;
    r->on_pool = false;
    if (r->closing || job->cancelled) {
        job->err = job->err ? job->err : GRID_ECANCELED;
        job_fail(job);
    } else if ((job->err == GRID_ENOENT || job->err == GRID_ECORRUPT) && !job->why[0] && ++job->attempts < BUILD_ATTEMPTS) {
        fs_report_dispose(&job->report);
        job->report = (struct fs_report){0};
        release_plan_dispose(&job->plan);
        job_fetch(job); /* something was damaged and dropped: fetch it again */
    } else if (job->err != 0) {
        job_fail(job);
    } else {
        job_finish(job);
    }
}

static void job_build(struct job *job)
{
    struct releases *r = job->releases;
    if (r->current[0])
        memcpy(job->previous, r->current, sizeof job->previous);
    r->on_pool = true;
    if (loop_work(r->options.loop, build_work, build_done, job) != 0) {
        r->on_pool = false;
        job->err = GRID_ENOMEM;
        job_fail(job);
    }
}

/* ---- fetch ---- */

static void fetched(void *ctx, int err, const char *sentence)
{
    struct job *job = ctx;
    job->fetch = NULL;
    job->err = err;
    if (err == 0) {
        job_build(job);
    } else {
        snprintf(job->why, sizeof job->why, "%s", sentence ? sentence : grid_err_text(err));
        job_fail(job);
    }
}

static void job_fetch(struct job *job)
{
    struct releases *r = job->releases;
    struct fetch_options options = {.loop = r->options.loop, .store = r->store, .tls = r->options.peer_tls, .peers = r->options.peers,
                                    .peers_ctx = r->options.ctx, .on_done = fetched, .ctx = job};
    job->err = fetch_start(&options, &job->root, &job->fetch);
    if (job->err != 0)
        job_fail(job);
}

/* ---- scan: folder to store, on the pool ---- */

static void tell_progress(void *arg)
{
    struct job *job = arg;
    uv_mutex_lock(&job->lock);
    struct publish_progress progress = job->progress;
    uv_mutex_unlock(&job->lock);
    if (job->events && job->events_ctx)
        job->events->on_progress(job->events_ctx, "store", &progress);
}

/* On the pool. The job outlives every message posted before its work is done. */
static bool on_progress(void *arg, const struct publish_progress *progress)
{
    struct job *job = arg;
    uint64_t now_ms = loop_clock_ms();
    uv_mutex_lock(&job->lock);
    bool tells = now_ms - job->told_ms >= PROGRESS_MS;
    job->progress = *progress;
    if (tells)
        job->told_ms = now_ms;
    bool goes_on = !job->cancelled;
    uv_mutex_unlock(&job->lock);
    if (tells)
        (void) loop_post(job->releases->options.loop, tell_progress, job);
    return goes_on;
}

static void scan_work(void *arg)
{
    struct job *job = arg;
    struct publish_options options = {.progress = on_progress, .arg = job};
    struct publish_result result;
    job->err = release_publish(job->releases->store, job->dir_fd, &options, &job->report, &result);
    if (job->err != 0)
        return;
    job->root = result.root;
    job->files = result.files;
    job->bytes = result.bytes;
}

static void scan_done(void *arg)
{
    struct job *job = arg;
    struct releases *r = job->releases;
    r->on_pool = false;
    for (size_t i = 0; i < job->report.kept && job->events && job->events_ctx; i++)
        job->events->on_warning(job->events_ctx, job->report.warnings[i]);
    if (job->err == 0 && (r->closing || job->cancelled))
        job->err = GRID_ECANCELED;
    if (job->err != 0) {
        job_fail(job);
        return;
    }
    tell_progress(job);
    job_build(job);
}

static void job_scan(struct job *job)
{
    struct releases *r = job->releases;
    r->on_pool = true;
    if (loop_work(r->options.loop, scan_work, scan_done, job) != 0) {
        r->on_pool = false;
        job->err = GRID_ENOMEM;
        job_fail(job);
    }
}

/* ---- what to do next ---- */

/* The newest entry, when it does not run here yet and may. */
static struct job *job_for_newest(struct releases *r)
{
    const struct release_entry *e = release_log_current(r->log, APP);
    if (!e || e->sequence == r->failed_sequence)
        return NULL;
    if (r->applied && e->sequence == r->applied_sequence && object_id_equal(&e->root, &r->applied_root))
        return NULL;
    struct job *job = job_create(r, NULL, NULL);
    if (!job || buf_append(&job->config, e->config) != 0) {
        if (job)
            job_free(job);
        return NULL;
    }
    job->root = e->root;
    job->sequence = e->sequence;
    return job;
}

static struct job *job_next(struct releases *r)
{
    struct job *job = r->queue;
    if (!job)
        return job_for_newest(r);
    r->queue = job->next;
    if (!r->queue)
        r->queue_tail = &r->queue;
    return job;
}

static void job_start(struct job *job)
{
    job->releases->running = job;
    store_hold_begin(job->releases->store, &job->hold);
    if (job->err != 0)
        job_fail(job); /* refused when it was asked for */
    else if (job->scans)
        job_scan(job);
    else
        job_fetch(job);
}

/* A fetch for an entry that is no longer the newest, or while somebody waits to publish, makes room. */
static void give_way(struct releases *r)
{
    struct job *job = r->running;
    const struct release_entry *newest = release_log_current(r->log, APP);
    if (!job || !job->fetch || job->makes_entry || (!r->queue && newest && newest->sequence == job->sequence))
        return;
    fetch_cancel(job->fetch);
    job->fetch = NULL;
    job->cancelled = true;
    job->err = GRID_ECANCELED;
    job_fail(job);
}

static void close_if_idle(struct releases *r);

static void tidied(void *ctx)
{
    struct releases *r = ctx;
    r->on_pool = false;
    step_later(r);
}

static bool tree_is_used(void *ctx, const char *name)
{
    struct releases *r = ctx;
    char path[PATH_MAX + OBJECT_ID_HEX + 2];
    snprintf(path, sizeof path, "%s/%s", r->trees_path, name);
    return strcmp(name, r->current) == 0 || supervisor_uses_root(r->options.supervisor, path);
}

static void releases_step(void *arg)
{
    struct releases *r = arg;
    give_way(r);
    if (r->closing) {
        close_if_idle(r);
        return;
    }
    if (r->running || r->on_pool)
        return;
    struct job *job = job_next(r);
    if (job) {
        tell_change(r);
        job_start(job);
    } else if (r->tidy_due) {
        r->tidy_due = false;
        r->on_pool = tidy_start(r->options.loop, r->store, r->log, r->trees_fd, tree_is_used, r, tidied, r) == 0;
    }
}

/* ---- the interface ---- */

int releases_publish(struct releases *r, int dir_fd, struct slice config, const struct release_events *events, void *ctx)
{
    struct job *job = job_create(r, events, ctx);
    if (!job || buf_append(&job->config, config) != 0) {
        if (job)
            job_free(job);
        close(dir_fd);
        return GRID_ENOMEM;
    }
    job->scans = job->makes_entry = true;
    job->dir_fd = dir_fd;
    job_enqueue(r, job);
    return 0;
}

/* Fails a job that never ran; later, as every event comes. */
static void refuse_job(struct job *job, int err, const char *sentence)
{
    job->err = err;
    job->cancelled = true;
    snprintf(job->why, sizeof job->why, "%s", sentence);
}

int releases_rollback(struct releases *r, struct slice prefix, const struct release_events *events, void *ctx)
{
    const struct release_entry *e = NULL, *newest = release_log_current(r->log, APP);
    struct job *job = job_create(r, events, ctx);
    int err = 0;
    if (!job)
        return GRID_ENOMEM;
    if (prefix.size > 0)
        err = release_log_find(r->log, APP, prefix, &e);
    else
        for (size_t i = 1; !e && i < release_log_count(r->log, APP); i++)
            if (!object_id_equal(&release_log_at(r->log, APP, i)->root, &newest->root))
                e = release_log_at(r->log, APP, i);
    job->makes_entry = true;
    if (err == GRID_EINVAL)
        refuse_job(job, err, "the root is not 8 or more hex digits that name one kept release: \"grid releases\" lists them");
    else if (!e)
        refuse_job(job, GRID_ENOENT, "there is no such kept release to go back to: \"grid releases\" lists them");
    else if (buf_append(&job->config, e->config) == 0) {
        job->root = e->root;
        job->files = e->files;
        job->bytes = e->size_bytes;
    }
    job_enqueue(r, job);
    return 0;
}

void releases_forget(struct releases *r, void *ctx)
{
    if (r->running && r->running->events_ctx == ctx)
        r->running->events_ctx = NULL;
    for (struct job *job = r->queue; job; job = job->next)
        if (job->events_ctx == ctx)
            job->events_ctx = NULL;
}

static int entry_verify(struct releases *r, const struct release_entry *e, char why[160])
{
    char publisher[RELEASE_PUBLISHER_MAX + 1];
    struct buf bytes;
    snprintf(publisher, sizeof publisher, "%.*s", SLICE_FMT(e->publisher));
    buf_init(&bytes, 0);
    int err = release_entry_signing_bytes(e, &bytes);
    snprintf(why, 160, "%s", grid_err_text(err));
    if (err == 0)
        err = r->options.verify(r->options.ctx, e->certificate, publisher, buf_slice(&bytes), e->signature, why);
    buf_dispose(&bytes);
    return err;
}

void releases_receive(struct releases *r, struct slice packed)
{
    struct arena *arena = arena_create(4096, 4 * 1024 * 1024);
    struct release_entry e;
    enum release_outcome outcome = RELEASE_KNOWN;
    char why[160] = "it is malformed";
    int err = arena ? release_entry_unpack(packed, arena, &e) : GRID_ENOMEM;
    if (err == 0 && slice_equal(e.app, APP))
        err = entry_verify(r, &e, why);
    if (err == 0)
        err = release_log_add(r->log, &e, &outcome);
    if (err != 0)
        log_line(LOG_WARN, "a release entry from a peer was dropped", LOGF_STR("why", why), LOGF_ERR(err));
    if (err == 0 && outcome == RELEASE_SUPERSEDED)
        log_line(LOG_WARN, "a release was superseded by a newer one published at the same time", LOGF_INT("sequence", e.sequence));
    if (err == 0 && outcome == RELEASE_NEW_CURRENT) {
        log_save(r);
        announce(r, release_log_current(r->log, APP));
        step_later(r);
        tell_change(r);
    }
    arena_destroy(arena);
}

void releases_peers_changed(struct releases *r)
{
    if (r->running && r->running->fetch)
        fetch_peers_changed(r->running->fetch);
}

void releases_clear(struct releases *r)
{
    supervisor_clear(r->options.supervisor);
    tell_change(r);
}

const char *releases_current(const struct releases *r)
{
    return r->current;
}

const struct release_entry *releases_newest(const struct releases *r)
{
    return release_log_current(r->log, APP);
}

bool releases_synchronized(const struct releases *r)
{
    const struct release_entry *e = releases_newest(r);
    return !e || (r->applied && e->sequence == r->applied_sequence);
}

bool releases_settling(const struct releases *r)
{
    const struct release_entry *e = releases_newest(r);
    return (r->running != NULL && !r->running->makes_entry) || (e && !r->applied && e->sequence != r->failed_sequence);
}

size_t releases_list(const struct releases *r, const struct release_entry **out, size_t max)
{
    size_t count = release_log_count(r->log, APP);
    if (count > max)
        count = max;
    for (size_t i = 0; i < count; i++)
        out[i] = release_log_at(r->log, APP, i);
    return count;
}

const struct grpc_service *releases_sync_service(const struct releases *r)
{
    return sync_service_grpc(r->sync_service);
}

/* ---- opening and closing ---- */

static int folder_open(int parent_fd, const char *name, int *fd)
{
    if (mkdirat(parent_fd, name, 0755) != 0 && errno != EEXIST)
        return grid_err_from_errno(errno);
    *fd = openat(parent_fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    return *fd < 0 ? grid_err_from_errno(errno) : 0;
}

static int open_parts(struct releases *r, struct fs_report *report)
{
    char store_path[PATH_MAX];
    snprintf(store_path, sizeof store_path, "%s/store", r->options.state_dir);
    r->state_fd = open(r->options.state_dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (r->state_fd < 0)
        return grid_err_from_errno(errno);
    int err = folder_open(r->state_fd, "releases", &r->trees_fd);
    if (err == 0)
        err = materialize_clean(r->trees_fd);
    if (err == 0)
        err = store_open(store_path, NULL, report, &r->store);
    if (err == 0)
        err = release_log_load(r->state_fd, LOG_NAME, report, &r->log);
    if (err == 0)
        err = sync_service_create(r->options.loop, r->store, &r->sync_service);
    return err;
}

static void releases_free(struct releases *r)
{
    loop_defer_cancel(&r->step);
    loop_timer_stop(&r->retry);
    loop_timer_stop(&r->tidy);
    if (r->sync_service)
        sync_service_destroy(r->sync_service);
    release_log_destroy(r->log);
    store_close(r->store);
    if (r->trees_fd >= 0)
        close(r->trees_fd);
    if (r->state_fd >= 0)
        close(r->state_fd);
    free(r);
}

int releases_create(const struct releases_options *options, struct releases **out, char why[512])
{
    struct releases *r = calloc(1, sizeof *r);
    struct fs_report report = {0};
    if (!r) {
        snprintf(why, 512, "out of memory");
        return GRID_ENOMEM;
    }
    r->options = *options;
    r->state_fd = r->trees_fd = -1;
    r->queue_tail = &r->queue;
    char state[PATH_MAX];
    if (!realpath(options->state_dir, state))
        snprintf(state, sizeof state, "%s", options->state_dir);
    snprintf(r->trees_path, sizeof r->trees_path, "%.*s/releases", (int) sizeof r->trees_path - 16, state);
    int err = open_parts(r, &report);
    if (err != 0) {
        snprintf(why, 512, "--state: %.200s cannot be used: %.250s", options->state_dir, report.error ? report.error : grid_err_text(err));
        releases_free(r);
    } else {
        *out = r;
    }
    fs_report_dispose(&report);
    return err;
}

void releases_start(struct releases *r)
{
    const struct release_entry *e = release_log_current(r->log, APP);
    if (e)
        announce(r, e);
    step_later(r);
}

static void close_if_idle(struct releases *r)
{
    if (r->running || r->on_pool)
        return;
    if (!sync_service_idle(r->sync_service)) {
        loop_timer_start(r->options.loop, &r->retry, 10, releases_step, r);
        return;
    }
    while (r->queue) {
        struct job *job = r->queue;
        r->queue = job->next;
        job_tell_done(job, GRID_ECANCELED, "the node is stopping: deploy again when it is back", NULL);
        job_free(job);
    }
    loop_fn closed = r->closed;
    void *arg = r->closed_arg;
    releases_free(r);
    closed(arg);
}

void releases_close(struct releases *r, loop_fn done, void *arg)
{
    r->closing = true;
    r->closed = done;
    r->closed_arg = arg;
    if (r->running) {
        uv_mutex_lock(&r->running->lock);
        r->running->cancelled = true;
        uv_mutex_unlock(&r->running->lock);
        if (r->running->fetch) {
            fetch_cancel(r->running->fetch);
            r->running->fetch = NULL;
            r->running->err = GRID_ECANCELED;
            job_fail(r->running);
        }
    }
    step_later(r);
}
