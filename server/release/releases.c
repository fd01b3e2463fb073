/* What a node does about releases next: publishes and rollbacks in the order they were asked for, then the newest entry that the grid has
 * told of. How one of them is done is in release_job.c. */
#include "server/release/releases.h"

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/err.h"
#include "base/log.h"
#include "fs/materialize.h"
#include "server/release/release_codec.h"
#include "server/release/release_config.h"
#include "server/release/releases_internal.h"
#include "server/release/tidy.h"
#include "trust/certificate.h"

#define LOG_NAME "releases.log"

enum { CLOSE_LOOK_MS = 10, TIDY_MS = 30000, AGE_LOOK_MS = 600000, STUCK_AFTER_MS = 10000, SEQUENCE_AHEAD_MS = 24 * 3600 * 1000, DROPPED_LINES_PER_S = 1, DROPPED_LINES_BURST = 10 };

static void releases_step(void *arg);
static void count_damage(struct releases *r);

void releases_step_later(struct releases *r)
{
    loop_defer(r->options.loop, &r->step, releases_step, r);
}

static void tell_change(void *arg)
{
    struct releases *r = arg;
    sync_service_have_changed(r->sync_service);
    r->options.on_change(r->options.ctx);
}

void releases_tell_change(struct releases *r)
{
    loop_defer(r->options.loop, &r->change, tell_change, r);
}

static const struct release_entry *newest_entry(const struct releases *r)
{
    return release_log_current(r->log, RELEASES_APP);
}

void releases_announce(struct releases *r, const struct release_entry *e)
{
    struct buf packed;
    buf_init(&packed, 0);
    if (release_entry_pack(e, &packed) == 0)
        r->options.announce(r->options.ctx, buf_slice(&packed));
    buf_dispose(&packed);
}

/* ---- two publishers at once ---- */

const struct release_entry *releases_find_conflict(struct releases *r, const struct release_entry *e)
{
    for (size_t i = 0; i < release_log_count(r->log, RELEASES_APP); i++) {
        const struct release_entry *other = release_log_at(r->log, RELEASES_APP, i);
        if (other->sequence == e->sequence && !slice_equal(other->publisher, e->publisher))
            return other;
    }
    return NULL;
}

void releases_tell_conflict(struct releases *r, const struct release_entry *winner, const struct release_entry *loser)
{
    log_line(LOG_WARN, "two releases were published at the same time: the one of the greater node id stays", LOGF_INT("sequence", winner->sequence),
             LOGF_SLICE("winner", winner->publisher), LOGF_SLICE("loser", loser->publisher));
    if (r->options.on_conflict)
        r->options.on_conflict(r->options.ctx, winner, loser);
}

/* ---- the log's way to the disk ---- */

/* The log as it is, with the entry that the waiting job would add. */
static int encode_log(struct releases *r)
{
    struct release_log *copy;
    enum release_outcome outcome;
    buf_clear(&r->save_bytes);
    int err = release_log_encode(r->log, &r->save_bytes);
    if (err != 0 || !r->save_job || !r->save_job->makes_entry)
        return err;
    err = release_log_decode(buf_slice(&r->save_bytes), &copy);
    if (err != 0)
        return err;
    buf_clear(&r->save_bytes);
    err = release_log_add(copy, &r->save_job->entry, &outcome);
    if (err == 0)
        err = release_log_encode(copy, &r->save_bytes);
    release_log_destroy(copy);
    return err;
}

static void save_work(void *arg)
{
    struct releases *r = arg;
    char hex[OBJECT_ID_HEX + 1];
    r->save_err = release_log_write(buf_slice(&r->save_bytes), r->state_fd, LOG_NAME);
    if (r->save_err != 0 || !r->save_job)
        return;
    object_id_to_hex(&r->save_job->root, hex);
    r->save_err = materialize_switch(r->trees_fd, RELEASES_LINK, hex);
}

static void saved(void *arg)
{
    struct releases *r = arg;
    struct job *job = r->save_job;
    r->saving = false;
    r->save_job = NULL;
    if (r->save_err != 0)
        log_line(LOG_ERROR, "the log of releases cannot be written: free space or mend the state folder", LOGF_ERR(r->save_err));
    if (job)
        job_committed(job, r->save_err);
    releases_save(r);
    releases_step_later(r);
}

void releases_save(struct releases *r)
{
    bool wanted = r->running && r->running->committing;
    if (r->saving || !(r->save_due || wanted))
        return;
    r->saving = true;
    r->save_due = false;
    r->save_job = wanted ? r->running : NULL;
    r->save_err = encode_log(r);
    if (r->save_err == 0 && loop_work(r->options.loop, save_work, saved, r) == 0)
        return;
    r->save_err = r->save_err ? r->save_err : GRID_ENOMEM;
    saved(r);
}

/* ---- what to do next ---- */

static struct job *job_for_entry(struct releases *r, const struct release_entry *e)
{
    struct job *job = job_create(r, NULL, NULL);
    if (!job || buf_append(&job->config, e->config) != 0) {
        if (job)
            job_free(job);
        return NULL;
    }
    job->root = e->root;
    entry_key_set(&job->key, e);
    return job;
}

/* The newest entry, when it does not run here yet and may. */
static struct job *job_for_newest(struct releases *r)
{
    const struct release_entry *e = newest_entry(r);
    if (!e || entry_key_is(&r->runs, e) || entry_key_is(&r->refused, e) || (loop_timer_running(&r->retry) && entry_key_is(&r->delayed, e)))
        return NULL;
    return job_for_entry(r, e);
}

/* What ran before the restart; asked once. NULL when it is the newest, or not in the log any more. */
static struct job *job_for_last(struct releases *r)
{
    const struct release_entry *e = NULL, *newest = newest_entry(r);
    if (!r->last[0])
        return NULL;
    int err = release_log_find(r->log, RELEASES_APP, slice_of_str(r->last), &e);
    r->last[0] = '\0';
    if (err != 0 || object_id_equal(&e->root, &newest->root))
        return NULL;
    struct job *job = job_for_entry(r, e);
    if (job)
        job->resumes = true;
    return job;
}

/* What runs here, when something of the store was damaged and the grid has nothing newer. */
static struct job *job_for_mending(struct releases *r)
{
    const struct release_entry *e = newest_entry(r);
    if (!r->mend_due || r->mend_waits || !e || !entry_key_is(&r->runs, e))
        return NULL;
    r->mend_due = false;
    struct job *job = job_for_entry(r, e);
    if (job)
        job->mends = true;
    return job;
}

static struct job *queue_take(struct releases *r)
{
    struct job *job = r->queue;
    if (!job)
        return NULL;
    r->queue = job->next;
    if (!r->queue)
        r->queue_tail = &r->queue;
    return job;
}

static struct job *job_next(struct releases *r)
{
    static struct job *(*const kinds[])(struct releases *) = {job_for_last, queue_take, job_for_newest, job_for_mending};
    struct job *job = NULL;
    for (size_t i = 0; !job && i < sizeof kinds / sizeof *kinds; i++)
        job = kinds[i](r);
    return job;
}

/* A fetch for an entry that is no longer the newest, or while somebody waits to publish, makes room. */
static void give_way(struct releases *r)
{
    struct job *job = r->running;
    const struct release_entry *newest = newest_entry(r);
    if (job && job->fetch && !job->makes_entry && !job->cancelled && (r->queue || !newest || !entry_key_is(&job->key, newest)))
        job_cancel(job);
}

static bool tree_is_used(void *ctx, const char *name)
{
    struct releases *r = ctx;
    char path[PATH_MAX + OBJECT_ID_HEX + 2];
    snprintf(path, sizeof path, "%s/%s", r->trees_path, name);
    return strcmp(name, r->current) == 0 || supervisor_uses_root(r->options.supervisor, path);
}

void releases_find_spares(struct releases *r, struct spare_trees *out)
{
    spare_trees_find(r->trees_fd, r->store, tree_is_used, r, out);
}

/* What a tidy leaves. */
struct kept_trees {
    struct releases *releases;
    struct spare_trees spares;
};

static bool tree_is_kept(void *ctx, const char *name)
{
    const struct kept_trees *kept = ctx;
    return tree_is_used(kept->releases, name) || spare_trees_keep(&kept->spares, name);
}

static void tidied(void *ctx)
{
    struct releases *r = ctx;
    r->on_pool = false;
    releases_step_later(r);
}

static void tidy_now(void *arg)
{
    struct releases *r = arg;
    r->tidy_due = true;
    releases_step_later(r);
}

void releases_tidy_later(struct releases *r)
{
    bool is_soon = loop_timer_running(&r->tidy) && !r->tidy_is_far; /* releases that follow one another closely do not put it off for ever */
    r->tidy_is_far = false;
    if (!is_soon)
        loop_timer_start(r->options.loop, &r->tidy, TIDY_MS, tidy_now, r);
}

/* Entries that are not to be gone back to any more; what runs here stays, whatever its age. */
static void let_go(struct releases *r)
{
    struct object_id runs;
    size_t keep = release_keep_count(r->log, RELEASES_APP, &r->options.keep, loop_wall_ms());
    bool is_known = object_id_from_hex(slice_of_str(r->current[0] ? r->current : r->last), &runs) == 0;
    if (release_log_keep_newest(r->log, RELEASES_APP, keep, is_known ? &runs : NULL) > 0)
        r->save_due = true;
}

int releases_make_room(struct releases *r, loop_fn done, void *arg)
{
    releases_spare_cancel(r);
    let_go(r);
    struct tidy_options tidy = {.store = r->store, .log = r->log, .trees_fd = r->trees_fd, .thorough = true, .is_used = tree_is_used, .ctx = r};
    return tidy_start(r->options.loop, &tidy, done, arg);
}

static void tidy_begin(struct releases *r)
{
    struct kept_trees kept = {.releases = r};
    r->tidy_due = false;
    let_go(r);
    releases_find_spares(r, &kept.spares);
    struct tidy_options tidy = {.store = r->store, .log = r->log, .trees_fd = r->trees_fd, .is_used = tree_is_kept, .ctx = &kept};
    r->on_pool = tidy_start(r->options.loop, &tidy, tidied, r) == 0;
    if (r->options.keep.age_ms > 0)
        loop_timer_start(r->options.loop, &r->tidy, AGE_LOOK_MS, tidy_now, r);
    r->tidy_is_far = true;
}

static void close_if_idle(struct releases *r);

static void releases_step(void *arg)
{
    struct releases *r = arg;
    give_way(r);
    releases_save(r);
    if (r->closing) {
        close_if_idle(r);
        return;
    }
    if (r->running || r->on_pool)
        return;
    struct job *job = job_next(r);
    if (job) {
        r->running = job;
        releases_tell_change(r);
        job_start(job);
    } else if (r->tidy_due && !r->spare_work) {
        tidy_begin(r);
    }
}

void releases_job_over(struct releases *r, struct job *job)
{
    store_hold_end(r->store, &job->hold);
    loop_timer_stop(&r->stuck);
    r->running = NULL;
    job_free(job);
    let_go(r);
    if (r->sign_due)
        releases_set_certificate(r, r->options.certificate_der);
    count_damage(r);
    releases_spare_later(r);
    releases_step_later(r);
    releases_tell_change(r);
}

/* ---- the interface ---- */

void releases_enqueue(struct releases *r, struct job *job)
{
    job->next = NULL;
    *r->queue_tail = job;
    r->queue_tail = &job->next;
    releases_step_later(r);
}

int releases_publish(struct releases *r, const struct release_folder *folder, struct slice config, const struct release_events *events, void *ctx)
{
    struct job *job = job_create(r, events, ctx);
    if (!job || buf_append(&job->config, config) != 0 || !(job->folder = strdup(folder->path))) {
        if (job)
            job_free(job);
        return GRID_ENOMEM;
    }
    job->scans = job->makes_entry = true;
    job->has_rights = folder->rights != NULL;
    job->groups_unknown = folder->groups_unknown;
    if (folder->rights)
        job->rights = *folder->rights;
    releases_enqueue(r, job);
    return 0;
}

void releases_forget(struct releases *r, void *ctx)
{
    if (!r)
        return;
    if (r->running && r->running->events_ctx == ctx)
        r->running->events_ctx = NULL;
    for (struct job *job = r->queue; job; job = job->next)
        if (job->events_ctx == ctx)
            job->events_ctx = NULL;
}

/* Takes a job out of the queue. */
static void job_drop(struct releases *r, struct job **at)
{
    struct job *job = *at;
    *at = job->next;
    if (r->queue_tail == &job->next)
        r->queue_tail = at;
    job_free(job);
}

void releases_abandon(struct releases *r, void *ctx)
{
    struct job *running = r->running;
    if (running && running->events_ctx == ctx && !running->committing)
        job_cancel(running);
    for (struct job **at = &r->queue; *at;)
        if ((*at)->events_ctx == ctx)
            job_drop(r, at);
        else
            at = &(*at)->next;
    releases_forget(r, ctx);
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

/* Whether this very entry is in the log: gossip repeats itself, and a signature costs to check. */
static bool is_known(struct releases *r, const struct release_entry *e)
{
    for (size_t i = 0; i < release_log_count(r->log, RELEASES_APP); i++) {
        const struct release_entry *known = release_log_at(r->log, RELEASES_APP, i);
        if (release_entry_compare(known, e) == 0 && object_id_equal(&known->root, &e->root) && slice_equal(known->config, e->config))
            return true;
    }
    return false;
}

static void take_new(struct releases *r, const struct release_entry *e, enum release_outcome outcome, bool is_former)
{
    const struct release_entry *other = is_former ? NULL : releases_find_conflict(r, e);
    if (outcome != RELEASE_NEW_CURRENT && outcome != RELEASE_SUPERSEDED)
        return;
    r->save_due = true;
    if (outcome == RELEASE_NEW_CURRENT)
        releases_announce(r, newest_entry(r));
    if (other)
        releases_tell_conflict(r, outcome == RELEASE_NEW_CURRENT ? e : other, outcome == RELEASE_NEW_CURRENT ? other : e);
    releases_step_later(r);
    releases_tell_change(r);
}

/* Any member may send entries that do not hold, without end: a few are said, then one a second. */
static void drop_entry(struct releases *r, struct slice publisher, const char *why, int err)
{
    if (token_bucket_take(&r->dropped_lines, 1, loop_now_ms(r->options.loop)))
        log_line(LOG_WARN, "a release entry from a peer was dropped", LOGF_SLICE("publisher", publisher), LOGF_STR("why", why), LOGF_ERR(err));
}

/* Sequences count releases, and nobody publishes one every millisecond since 1970: by this bound, which moves on, no entry can be the last that
 * there ever is. */
static bool is_beyond_counting(const struct release_entry *e)
{
    return e->sequence > (uint64_t) loop_wall_ms() + SEQUENCE_AHEAD_MS;
}

/* Whether an entry may stand in the log: what could never run here must not become the newest. */
static int judge_entry(struct releases *r, const struct release_entry *e, struct arena *arena, char why[TASK_ERROR_MAX])
{
    const Grid__V1__ReleaseConfig *config;
    char clause[160];
    if (is_beyond_counting(e)) {
        snprintf(why, TASK_ERROR_MAX, "its sequence is beyond what counting releases could have reached");
        return GRID_ELIMIT;
    }
    int err = entry_verify(r, e, clause);
    if (err == 0)
        return release_config_read(e->config, arena, &config, why);
    snprintf(why, TASK_ERROR_MAX, "%s", clause);
    return err;
}

bool releases_is_of_grid(const struct releases *r, const struct release_entry *e)
{
    return e->certificate.size > 0 && (!r->options.is_of_grid || r->options.is_of_grid(r->options.ctx, e->certificate));
}

bool releases_is_publishing(const struct releases *r)
{
    return r->queue || (r->running && r->running->makes_entry);
}

static bool is_of_no_grid(const void *arg, const struct release_entry *e)
{
    return !releases_is_of_grid(arg, e);
}

/* What this node ran while it was in no grid, or in one that it has left, had a count of its own, and is taken by nobody: an entry of the grid stands above all of it. */
static void leave_foreign_releases(struct releases *r, const struct release_entry *e)
{
    size_t dropped = releases_is_of_grid(r, e) ? release_log_drop_some(r->log, RELEASES_APP, is_of_no_grid, r) : 0;
    if (dropped > 0)
        log_line(LOG_WARN, "what this node ran in no grid, or in one that it has left, gives way to the grid's release: deploy again if it is the one to run",
                 LOGF_INT("releases", dropped));
}

/* An entry that somebody sent, into the log if it holds. Entries of other apps are for versions to come. */
static int take_entry(struct releases *r, struct slice packed, struct arena *arena, struct release_entry *e, enum release_outcome *outcome, char why[TASK_ERROR_MAX])
{
    *outcome = RELEASE_KNOWN;
    int err = release_entry_unpack(packed, arena, e);
    snprintf(why, TASK_ERROR_MAX, "it is malformed");
    if (err != 0)
        return err;
    if (!slice_equal(e->app, RELEASES_APP) || is_known(r, e))
        return 0;
    err = judge_entry(r, e, arena, why);
    if (err != 0)
        return err;
    leave_foreign_releases(r, e);
    err = release_log_add(r->log, e, outcome);
    if (err != 0)
        snprintf(why, TASK_ERROR_MAX, "%s", err == GRID_EEXIST ? "its publisher signed two of one sequence: the first stays" : grid_err_text(err));
    return err;
}

static void receive_entry(struct releases *r, struct slice packed, struct arena *arena)
{
    struct release_entry e = {0};
    enum release_outcome outcome;
    char why[TASK_ERROR_MAX];
    int err = take_entry(r, packed, arena, &e, &outcome, why);
    if (err != 0) {
        drop_entry(r, e.publisher, why, err);
        return;
    }
    if (outcome != RELEASE_KNOWN)
        take_new(r, &e, outcome, false);
    r->history_due = true;
    releases_history_soon(r);
}

void releases_receive(struct releases *r, struct slice packed)
{
    struct arena *arena = arena_create(4096, 4 * 1024 * 1024);
    if (arena)
        receive_entry(r, packed, arena);
    else
        drop_entry(r, slice_of(NULL, 0), "out of memory", GRID_ENOMEM);
    arena_destroy(arena);
}

int releases_take_former(struct releases *r, struct slice packed, bool *taken, char why[TASK_ERROR_MAX])
{
    struct arena *arena = arena_create(4096, 4 * 1024 * 1024);
    struct release_entry e = {0};
    enum release_outcome outcome = RELEASE_KNOWN;
    snprintf(why, TASK_ERROR_MAX, "out of memory");
    int err = arena ? take_entry(r, packed, arena, &e, &outcome, why) : GRID_ENOMEM;
    *taken = err == 0 && (outcome == RELEASE_NEW_CURRENT || outcome == RELEASE_SUPERSEDED);
    if (*taken)
        take_new(r, &e, outcome, true);
    arena_destroy(arena);
    return err;
}

/* What an authority's replacement makes of the newest entry, when it is this node's own: a node that comes later could not take it. */
static bool is_to_be_signed_anew(struct releases *r)
{
    const struct release_entry *newest = newest_entry(r);
    return newest && newest->certificate.size > 0 && slice_equal_str(newest->publisher, r->options.publisher) &&
           !slice_equal(newest->certificate, r->options.certificate_der) &&
           !certificate_same_issuer(newest->certificate, r->options.certificate_der) && releases_is_of_grid(r, newest);
}

void releases_set_certificate(struct releases *r, struct slice der)
{
    char hex[OBJECT_ID_HEX + 1];
    r->options.certificate_der = der;
    r->sign_due = releases_is_publishing(r); /* what comes then may do, or be looked at */
    if (r->closing || r->sign_due || !is_to_be_signed_anew(r))
        return;
    object_id_to_hex(&newest_entry(r)->root, hex);
    log_line(LOG_INFO, "the newest release is signed anew, with this node's certificate of the new authority", LOGF_STR("release", hex));
    if (releases_rollback(r, slice_of_str(hex), NULL, NULL) != 0)
        log_line(LOG_ERROR, "the newest release is not signed anew: deploy again", LOGF_ERR(GRID_ENOMEM));
}

void releases_close_some(struct releases *r, bool (*whom)(const void *arg, const struct tls_peer *peer), const void *arg)
{
    if (r->running && r->running->fetch)
        fetch_close_some(r->running->fetch, whom, arg);
    releases_history_close_some(r, whom, arg);
}

uint64_t releases_damage(const struct releases *r)
{
    struct store_stats stats;
    store_stats(r->store, &stats);
    return stats.dropped;
}

static void count_damage(struct releases *r)
{
    if (r->options.traffic)
        atomic_store_explicit(&r->options.traffic->damaged, releases_damage(r), memory_order_relaxed);
}

void releases_damaged(struct releases *r)
{
    count_damage(r);
    r->mend_due = true;
    r->mend_waits = false;
    r->mend_wait_ms = 0;
    releases_step_later(r);
}

/* Of the sync service: what it was asked for is damaged. */
static void on_damage(void *ctx)
{
    releases_damaged(ctx);
}

void releases_peers_changed(struct releases *r)
{
    if (r->mend_waits)
        releases_step_later(r);
    r->mend_waits = false;
    if (r->running && r->running->fetch)
        fetch_peers_changed(r->running->fetch);
    releases_history_soon(r);
}

static void forget_elsewhere(struct releases *r)
{
    task_elsewhere_free(r->elsewhere, r->elsewhere_count);
    r->elsewhere = NULL;
    r->elsewhere_count = 0;
}

void releases_keep_elsewhere(struct releases *r, struct task_set *set)
{
    forget_elsewhere(r);
    r->elsewhere = task_set_take_elsewhere(set, &r->elsewhere_count);
}

const struct task_elsewhere *releases_elsewhere(const struct releases *r, size_t *count)
{
    *count = r->elsewhere_count;
    return r->elsewhere;
}

void releases_clear(struct releases *r)
{
    supervisor_clear(r->options.supervisor);
    forget_elsewhere(r);
    releases_tell_change(r);
}

const char *releases_current(const struct releases *r)
{
    return r->current;
}

uint64_t releases_running(const struct releases *r, const char **publisher)
{
    *publisher = r->runs.publisher;
    return r->runs.sequence;
}

uint64_t releases_fetched_bytes(const struct releases *r)
{
    return r->fetched_bytes;
}

const struct fetch_claim *releases_claim(const struct releases *r, const char *node, const char *root)
{
    struct object_id id;
    return object_id_from_hex(slice_of_str(root), &id) == 0 ? sync_service_claim(r->sync_service, node, &id) : NULL;
}

const struct release_entry *releases_newest(const struct releases *r)
{
    return newest_entry(r);
}

const char *releases_trouble(const struct releases *r)
{
    const struct release_entry *e = newest_entry(r);
    bool is_tried = e && !entry_key_is(&r->runs, e) && (entry_key_is(&r->refused, e) || entry_key_is(&r->delayed, e));
    return is_tried ? r->trouble : "";
}

bool releases_may_lack(const struct releases *r)
{
    return strcmp(r->whole, r->current) != 0 || releases_damage(r) != r->whole_dropped;
}

bool releases_is_mending(const struct releases *r)
{
    return (r->mend_due || (r->running && r->running->mends)) && releases_may_lack(r);
}

const char *releases_lost(const struct releases *r)
{
    const struct release_entry *e;
    return r->lost[0] && release_log_find(r->log, RELEASES_APP, slice_of_str(r->lost), &e) == 0 ? r->lost : "";
}

bool releases_synchronized(const struct releases *r)
{
    const struct release_entry *e = newest_entry(r);
    return !e || entry_key_is(&r->runs, e);
}

/* Nothing has come for a while, and another release runs. */
static bool is_stuck(const struct releases *r)
{
    return r->runs.sequence > 0 && r->running->fetch && fetch_idle_ms(r->running->fetch) >= STUCK_AFTER_MS;
}

bool releases_settling(const struct releases *r)
{
    const struct release_entry *e = newest_entry(r);
    if (r->running && !r->running->makes_entry && !r->running->mends)
        return !is_stuck(r);
    return e && r->runs.sequence == 0 && !entry_key_is(&r->refused, e);
}

size_t releases_list(const struct releases *r, const struct release_entry **out, size_t max)
{
    size_t count = release_log_count(r->log, RELEASES_APP);
    if (count > max)
        count = max;
    for (size_t i = 0; i < count; i++)
        out[i] = release_log_at(r->log, RELEASES_APP, i);
    return count;
}

const struct grpc_service *releases_sync_service(const struct releases *r)
{
    return sync_service_grpc(r->sync_service);
}

/* ---- for nodes that fetch a release ---- */

static void have_of_job(const struct job *job, const struct object_id *base, struct sync_have *out)
{
    if (!job->fetch) {
        out->kind = job->mends ? SYNC_HAVE_MAYBE : SYNC_HAVE_WHOLE;
    } else if (fetch_counts_from(job->fetch, base)) {
        out->kind = SYNC_HAVE_FILLING;
        out->had = fetch_had(job->fetch, &out->had_count, &out->serial);
    } else {
        out->kind = SYNC_HAVE_MAYBE;
    }
}

static void have_look(void *ctx, const struct object_id *root, const struct object_id *base, struct sync_have *out)
{
    const struct releases *r = ctx;
    char hex[OBJECT_ID_HEX + 1];
    object_id_to_hex(root, hex);
    if (strcmp(r->current, hex) == 0)
        out->kind = SYNC_HAVE_WHOLE;
    else if (r->running && object_id_equal(&r->running->root, root))
        have_of_job(r->running, base, out);
    else
        out->kind = store_has(r->store, root) ? SYNC_HAVE_MAYBE : SYNC_HAVE_NOTHING_YET;
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
        err = store_open(store_path, &(struct store_options){.max_bytes = r->options.store_max}, report, &r->store);
    if (err == 0)
        err = release_log_load(r->state_fd, LOG_NAME, report, &r->log);
    if (err == 0 && materialize_current(r->trees_fd, RELEASES_LINK, r->last, sizeof r->last) != 0)
        r->last[0] = '\0';
    if (err == 0)
        err = sync_service_create(r->options.loop, r->store, &r->sync_service);
    if (err != 0)
        return err;
    pacer_init(&r->fetch_pacer, r->options.sync_rate);
    sync_service_set_rate(r->sync_service, r->options.sync_rate);
    sync_service_count(r->sync_service, r->options.traffic);
    sync_service_set_have(r->sync_service, have_look, r);
    sync_service_set_history(r->sync_service, releases_history_next, r);
    sync_service_set_damaged(r->sync_service, on_damage, r);
    return 0;
}

static void releases_free(struct releases *r)
{
    loop_defer_cancel(&r->step);
    loop_defer_cancel(&r->change);
    loop_timer_stop(&r->retry);
    loop_timer_stop(&r->tidy);
    loop_timer_stop(&r->stuck);
    loop_timer_stop(&r->mend_timer);
    loop_timer_stop(&r->spare);
    loop_timer_stop(&r->scrub_timer);
    buf_dispose(&r->save_bytes);
    forget_elsewhere(r);
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
    if (r->options.keep.count == 0)
        r->options.keep.count = RELEASE_KEPT;
    r->state_fd = r->trees_fd = -1;
    token_bucket_init(&r->dropped_lines, DROPPED_LINES_PER_S, DROPPED_LINES_BURST, 0);
    r->queue_tail = &r->queue;
    buf_init(&r->save_bytes, 0);
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
    const struct release_entry *e = newest_entry(r);
    if (e && releases_is_of_grid(r, e))
        releases_announce(r, e);
    releases_scrub_start(r);
    releases_tidy_later(r); /* a crash, or a stop in the middle of a publish, may have left some */
    releases_step_later(r);
}

static void end_queue(struct releases *r)
{
    while (r->queue) {
        struct job *job = r->queue;
        r->queue = job->next;
        job_tell_done(job, GRID_ECANCELED, "the node is stopping: deploy again when it is back, or on another node", NULL);
        job_free(job);
    }
    r->queue_tail = &r->queue;
}

static void close_if_idle(struct releases *r)
{
    end_queue(r);
    if (r->running || r->on_pool || r->saving || r->spare_work || r->scrubbing)
        return;
    if (!sync_service_idle(r->sync_service)) {
        loop_timer_start(r->options.loop, &r->retry, CLOSE_LOOK_MS, releases_step, r);
        return;
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
    if (r->running)
        job_cancel(r->running);
    releases_history_stop(r);
    releases_spare_cancel(r);
    releases_step_later(r);
}
