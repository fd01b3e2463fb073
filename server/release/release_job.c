/* One job, from a folder, a kept root or an entry to tasks that run:
 *
 *   scan (pool) --> build (pool: tree, tasks) --> commit (pool: log, link) --> finish (loop: announce, apply)
 *   fetch (peers, pool) --^    \--something was damaged: fetch--^
 *
 * A publish begins at scan (release_scan.c); a rollback and an entry from a peer at fetch, which ends at once when nothing is missing. What fails, or is given up,
 * before the commit leaves no trace but objects for the tidy, which follows at once; after it the release is the grid's. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/log.h"
#include "fs/materialize.h"
#include "server/release/releases_internal.h"

enum { RETRY_MS = 5000, RETRY_MAX_MS = 300000, BUILD_ATTEMPTS = 3, PATIENCE_MS = 30000, STUCK_MS = 10000 };

/* ---- life ---- */

struct job *job_create(struct releases *r, const struct release_events *events, void *ctx)
{
    struct job *job = calloc(1, sizeof *job);
    if (!job)
        return NULL;
    job->releases = r;
    job->events = events;
    job->events_ctx = ctx;
    buf_init(&job->config, 0);
    buf_init(&job->certificate, 0);
    uv_mutex_init(&job->lock);
    return job;
}

void job_free(struct job *job)
{
    loop_timer_stop(&job->progress_timer);
    free(job->folder);
    buf_dispose(&job->config);
    buf_dispose(&job->certificate);
    fs_report_dispose(&job->report);
    release_plan_dispose(&job->plan);
    uv_mutex_destroy(&job->lock);
    free(job);
}

void job_refuse(struct job *job, int err, const char *sentence)
{
    job->err = err;
    snprintf(job->why, sizeof job->why, "%s", sentence);
}

/* What to tell about a failure: the job's own sentence, the report's, or the error's text. */
static const char *job_sentence(const struct job *job)
{
    if (job->why[0])
        return job->why;
    return job->report.error ? job->report.error : grid_err_text(job->err);
}

void job_tell_done(struct job *job, int err, const char *sentence, const struct release_entry *entry)
{
    if (job->events && job->events_ctx)
        job->events->on_done(job->events_ctx, err, sentence, entry);
    job->events_ctx = NULL;
}

void job_warn(struct job *job, const char *sentence)
{
    if (job->events && job->events_ctx)
        job->events->on_warning(job->events_ctx, sentence);
}

static bool is_passing(int err)
{
    return err == GRID_ENOSPC || err == GRID_EIO || err == GRID_ENOMEM || err == GRID_EAGAIN || err == GRID_EBUSY;
}

static void step_again(void *arg)
{
    releases_step_later(arg);
}

/* Where there is no room for it there may be none for long, and each try fetches what the last one could not keep. */
static uint64_t retry_delay(const struct job *job)
{
    const struct releases *r = job->releases;
    bool again = r->delayed.sequence == job->key.sequence && strcmp(r->delayed.publisher, job->key.publisher) == 0;
    if (job->err != GRID_ENOSPC || !again || r->retry_ms == 0)
        return RETRY_MS;
    return r->retry_ms * 2 < RETRY_MAX_MS ? r->retry_ms * 2 : RETRY_MAX_MS;
}

static void note_trouble(struct job *job)
{
    struct releases *r = job->releases;
    char hex[OBJECT_ID_HEX + 1];
    object_id_to_hex(&job->root, hex);
    snprintf(r->trouble, sizeof r->trouble, "release %.8s cannot be run here%s: %s", hex, r->current[0] ? ", the one before goes on" : "", job_sentence(job));
}

static void entry_failed(struct job *job)
{
    struct releases *r = job->releases;
    note_trouble(job);
    log_line(LOG_ERROR, "a release cannot be run here: the one before goes on", LOGF_INT("sequence", job->key.sequence), LOGF_STR("why", job_sentence(job)));
    if (!is_passing(job->err)) {
        r->refused = job->key;
        return;
    }
    r->retry_ms = retry_delay(job);
    r->delayed = job->key;
    loop_timer_start(r->options.loop, &r->retry, r->retry_ms, step_again, r);
}

void job_fail(struct job *job)
{
    if (job->mends)
        job_could_not_mend(job);
    else if (!job->makes_entry && !job->resumes && !job->cancelled)
        entry_failed(job);
    job->releases->tidy_due = job->releases->tidy_due || job->stored || job->err == GRID_ENOSPC; /* on a full disk it is what room there is */
    job_tell_done(job, job->err, job_sentence(job), NULL);
    releases_job_over(job->releases, job);
}

void job_given_up(struct job *job)
{
    if (!job->releases->closing && job->makes_entry)
        log_line(LOG_INFO, "a release was given up before it was published: who asked for it is gone", LOGF_STR("folder", job->folder ? job->folder : ""));
    job_refuse(job, GRID_ECANCELED, "the node is stopping: deploy again when it is back, or on another node");
    job_fail(job);
}

void job_cancel(struct job *job)
{
    uv_mutex_lock(&job->lock);
    job->cancelled = true;
    uv_mutex_unlock(&job->lock);
    if (job->fetch)
        fetch_cancel(job->fetch);
}

bool job_work(struct job *job, loop_fn work, loop_fn done)
{
    struct releases *r = job->releases;
    r->on_pool = true;
    if (loop_work(r->options.loop, work, done, job) == 0)
        return true;
    r->on_pool = false;
    job->err = GRID_ENOMEM;
    job_fail(job);
    return false;
}

/* ---- finish: announce, apply ---- */

/* What was published or fetched is whole in the store; of what ran before a restart only the tree was looked at. */
void job_note_whole(struct job *job, uint64_t dropped)
{
    struct releases *r = job->releases;
    r->whole_dropped = dropped;
    snprintf(r->whole, sizeof r->whole, "%s", job->resumes ? "" : r->current);
    if (strcmp(r->whole, r->lost) == 0)
        r->lost[0] = '\0';
}

static void job_apply(struct job *job)
{
    struct releases *r = job->releases;
    job->err = supervisor_apply(r->options.supervisor, &job->plan.tasks, &job->plan.env);
    if (job->err != 0) {
        job->makes_entry = false; /* it is the grid's release: tried again */
        job_fail(job);
        return;
    }
    for (size_t i = 0; i < job->plan.tasks.note_count; i++)
        log_line(LOG_INFO, "not a task", LOGF_STR("note", job->plan.tasks.notes[i]));
    for (size_t i = 0; i < job->plan.tasks.elsewhere_count; i++)
        log_line(LOG_INFO, "a task is not run here", LOGF_STR("task", job->plan.tasks.elsewhere[i].name), LOGF_STR("why", job->plan.tasks.elsewhere[i].why));
    releases_keep_elsewhere(r, &job->plan.tasks);
    memcpy(r->current, job->plan.env.release, sizeof r->current);
    job_note_whole(job, releases_damage(r));
    r->runs = job->key;
    r->fetched_bytes = job->fetched_bytes;
    log_line(LOG_INFO, "a release runs", LOGF_STR("release", r->current), LOGF_INT("sequence", job->key.sequence), LOGF_INT("tasks", job->plan.tasks.count));
    releases_tidy_later(r);
}

/* Another node's entry of the same or a later sequence came while this one was made. */
static void lost(struct job *job)
{
    const struct release_entry *winner = release_log_current(job->releases->log, RELEASES_APP);
    char hex[OBJECT_ID_HEX + 1], sentence[TASK_ERROR_MAX];
    object_id_to_hex(&winner->root, hex);
    snprintf(sentence, sizeof sentence, "release %.8s was published at the same time by node %.*s and won: deploy again if yours is the one to run", hex,
             SLICE_FMT(slice_first(winner->publisher, winner->publisher.size < 8 ? winner->publisher.size : 8)));
    job_refuse(job, GRID_ECANCELED, sentence);
    job_fail(job);
}

/* The entry is on disk: from here on it is the grid's newest, unless another came first. */
static bool publish_entry(struct job *job)
{
    struct releases *r = job->releases;
    enum release_outcome outcome;
    job->err = release_log_add(r->log, &job->entry, &outcome);
    if (job->err != 0) {
        job_fail(job);
        return false;
    }
    entry_key_set(&job->key, &job->entry);
    r->save_due = true; /* what came meanwhile is not in what was written */
    if (outcome != RELEASE_NEW_CURRENT) {
        lost(job);
        return false;
    }
    releases_announce(r, release_log_current(r->log, RELEASES_APP));
    return true;
}

static void job_finish(struct job *job)
{
    struct releases *r = job->releases;
    bool publishes = job->makes_entry;
    if (publishes && !publish_entry(job))
        return;
    job_apply(job);
    if (job->err != 0)
        return;
    job_tell_done(job, 0, NULL, publishes ? release_log_current(r->log, RELEASES_APP) : &job->entry);
    const struct release_entry *newest = release_log_current(r->log, RELEASES_APP), *loser = publishes ? releases_find_conflict(r, newest) : NULL;
    if (loser)
        releases_tell_conflict(r, newest, loser);
    releases_job_over(r, job);
}

/* ---- commit: the entry, and the log with it, to the disk ---- */

static int entry_sign(struct job *job)
{
    struct releases *r = job->releases;
    struct buf bytes;
    size_t size = 0;
    buf_init(&bytes, 0);
    int err = release_entry_signing_bytes(&job->entry, &bytes);
    if (err == 0)
        err = r->options.sign(r->options.ctx, buf_slice(&bytes), job->signature, &size);
    buf_dispose(&bytes);
    job->entry.signature = slice_of(job->signature, size);
    return err;
}

/* The job's release as the newest of the grid. */
static int entry_make(struct job *job)
{
    struct releases *r = job->releases;
    const struct release_entry *newest = release_log_current(r->log, RELEASES_APP);
    buf_clear(&job->certificate);
    int err = buf_append(&job->certificate, r->options.certificate_der);
    job->entry = (struct release_entry){.app = RELEASES_APP, .sequence = newest ? newest->sequence + 1 : 1, .root = job->root, .has_parent = newest != NULL,
                                        .publisher = slice_of_str(r->options.publisher), .published_at_ms = loop_wall_ms(), .files = job->files,
                                        .size_bytes = job->bytes, .config = buf_slice(&job->config), .certificate = buf_slice(&job->certificate)};
    if (newest)
        job->entry.parent = newest->root;
    if (err == 0)
        err = hash_sha256(job->entry.config, job->entry.config_hash);
    return err == 0 ? entry_sign(job) : err;
}

static void job_commit(struct job *job)
{
    if (job->makes_entry)
        job->err = entry_make(job);
    if (job->err != 0) {
        job_fail(job);
        return;
    }
    job->committing = true;
    releases_save(job->releases);
}

void job_committed(struct job *job, int err)
{
    job->committing = false;
    job->err = err;
    if (err == 0) {
        job_finish(job);
        return;
    }
    snprintf(job->why, sizeof job->why, "the state folder cannot be written (%s): free space or mend its permissions", grid_err_text(err));
    job_fail(job);
}

/* ---- build: tree and tasks, on the pool ---- */

static void build_work(void *arg)
{
    struct job *job = arg;
    struct releases *r = job->releases;
    const char *spares[SPARE_TREES_MAX];
    for (size_t i = 0; i < job->spares.count; i++)
        spares[i] = job->spares.names[i];
    struct materialize_options options = {.previous = job->previous[0] ? job->previous : NULL, .spares = spares, .spare_count = job->spares.count,
                                          .guarded = supervisor_user(r->options.supervisor)->own, .sync = true};
    struct materialize_result result;
    char hex[OBJECT_ID_HEX + 1], path[PATH_MAX + OBJECT_ID_HEX + 2];
    object_id_to_hex(&job->root, hex);
    snprintf(path, sizeof path, "%s/%s", r->trees_path, hex);
    job->err = materialize_tree(r->store, &job->root, r->trees_fd, hex, &options, &job->report, &result);
    if (job->err == 0)
        job->err = release_plan_read(r->store, &job->root, path, r->options.platform, buf_slice(&job->config), &job->plan, job->why);
}

/* Something was damaged and dropped: it is taken from the folder or fetched again, a few times. */
static bool is_repairable(const struct job *job)
{
    return (job->err == GRID_ENOENT || job->err == GRID_ECORRUPT) && !job->why[0] && !job->resumes && job->attempts + 1 < BUILD_ATTEMPTS;
}

/* Of what is published here; what others published, they were told of. */
static void warn_forgotten(struct job *job)
{
    for (size_t i = 0; job->scans && i < job->plan.tasks.forgotten_count; i++)
        job_warn(job, job->plan.tasks.forgotten[i]);
}

static void begin_anew(struct job *job)
{
    if (job->scans)
        job_scan(job);
    else
        job_fetch(job);
}

/* ---- room ---- */

static void made_room(void *arg)
{
    struct job *job = arg;
    job->releases->on_pool = false;
    if (job->cancelled)
        job_given_up(job);
    else
        begin_anew(job);
}

/* Once, when there is no room for it: what no kept release needs goes, and what it has stored so far stays. */
bool job_makes_room(struct job *job)
{
    if (job->err != GRID_ENOSPC || job->made_room || job->cancelled || job->resumes || releases_make_room(job->releases, made_room, job) != 0)
        return false;
    job->made_room = job->releases->on_pool = true;
    job->err = 0;
    fs_report_dispose(&job->report);
    return true;
}

static void build_done(void *arg)
{
    struct job *job = arg;
    job->releases->on_pool = false;
    if (job->cancelled) {
        job_given_up(job);
    } else if (is_repairable(job)) {
        job->attempts++;
        fs_report_dispose(&job->report);
        job->report = (struct fs_report){0};
        release_plan_dispose(&job->plan);
        begin_anew(job);
    } else if (job_makes_room(job)) {
        return;
    } else if (job->err != 0) {
        job_fail(job);
    } else {
        warn_forgotten(job);
        job_commit(job);
    }
}

void job_build(struct job *job)
{
    job->awaits_spare = job->releases->spare_work != NULL;
    if (job->awaits_spare)
        return; /* release_spare.c goes on */
    memcpy(job->previous, job->releases->current, sizeof job->previous);
    if (!job->resumes) /* what ran before the restart runs again as it is */
        releases_find_spares(job->releases, &job->spares);
    job_work(job, build_work, build_done);
}

/* ---- fetch ---- */

static void fetched(void *ctx, int err, const char *sentence)
{
    struct job *job = ctx;
    job->fetch = NULL;
    loop_timer_stop(&job->releases->stuck);
    job->err = err;
    if (job->cancelled) {
        job_given_up(job);
    } else if (err == 0 && job->mends) {
        job_mend_again(job);
    } else if (err == 0) {
        job_build(job);
    } else if (job_makes_room(job)) {
        return;
    } else if (job->mends) {
        job_mend_missed(job, err, sentence ? sentence : grid_err_text(err));
    } else {
        job_refuse(job, err, sentence ? sentence : grid_err_text(err));
        job_fail(job);
    }
}

/* Once for each time that nothing comes. */
static void say_stuck(struct job *job)
{
    char hex[OBJECT_ID_HEX + 1];
    bool stuck = job->fetch && fetch_idle_ms(job->fetch) >= STUCK_MS;
    if (stuck && !job->stuck_said && !job->is_former) {
        object_id_to_hex(&job->root, hex);
        log_line(LOG_WARN, "parts of a release are lacking or damaged here and no node that can be reached has them: bring back a node that ran it, or deploy again",
                 LOGF_STR("release", hex), LOGF_INT("sequence", job->key.sequence));
    }
    job->stuck_said = stuck;
}

static void maybe_stuck(void *arg)
{
    struct job *job = arg;
    say_stuck(job);
    releases_tell_change(job->releases);
    loop_timer_start(job->releases->options.loop, &job->releases->stuck, STUCK_MS, maybe_stuck, job);
}

/* More is here: nodes that fetch the same hear of it. */
static void on_fetch_progress(void *ctx)
{
    struct job *job = ctx;
    struct fetch_sum sum;
    fetch_sum(job->fetch, &sum);
    job->fetched_bytes = job->fetched_before + sum.bytes_received;
    sync_service_have_changed(job->releases->sync_service);
}

/* What ran until now, when all of it is in the store: unless this fetch is to find what was not. */
static bool fetch_base(const struct job *job, struct object_id *base)
{
    const struct releases *r = job->releases;
    return job->attempts == 0 && releases_damage(r) == r->whole_dropped && object_id_from_hex(slice_of_str(r->whole), base) == 0;
}

void job_fetch(struct job *job)
{
    struct releases *r = job->releases;
    struct object_id base;
    struct fetch_options options = {.loop = r->options.loop, .store = r->store, .tls = r->options.peer_tls, .self = r->options.publisher,
                                    .base = fetch_base(job, &base) ? &base : NULL, .traffic = r->options.traffic, .pacer = &r->fetch_pacer, .peers = r->options.peers,
                                    .peers_ctx = r->options.ctx, .patience_ms = job->makes_entry || job->mends ? PATIENCE_MS : 0, .on_progress = on_fetch_progress,
                                    .on_done = fetched, .ctx = job};
    job->fetched_before = job->fetched_bytes;
    job->err = fetch_start(&options, &job->root, &job->fetch);
    if (job->err != 0)
        job_fail(job);
    else
        loop_timer_start(r->options.loop, &r->stuck, STUCK_MS, maybe_stuck, job);
}

/* ---- start ---- */

void job_start(struct job *job)
{
    store_hold_begin(job->releases->store, &job->hold);
    if (job->err != 0)
        job_fail(job); /* refused when it was asked for */
    else if (job->scans)
        job_scan(job);
    else if (job->mends)
        job_mend(job);
    else if (job->resumes)
        job_build(job);
    else
        job_fetch(job);
}
