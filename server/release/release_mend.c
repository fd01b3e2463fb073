/* What is kept here is whole in the store, or is made so: when an object has turned out damaged, the release that runs is read whole, and what it lacks is fetched from
 * other nodes; then likewise what other kept releases have lost. Tasks go on meanwhile.
 *
 *   what runs: read (pool) --lacks something--> fetch --> read again
 *                |whole
 *   each other kept release: looked through (pool) --has lost something--> fetch --> looked through again
 *
 * What lies below a damaged listing cannot be read before the listing has come: so it is read again after each fetch, until nothing is lacking. What was never here of
 * a former release is fetched when it is gone back to, not by this. */
#include <stdio.h>

#include "base/err.h"
#include "base/log.h"
#include "fs/reach.h"
#include "server/release/releases_internal.h"

enum {
    /* The first fetch brings listings, and with them everything that they name can be read: whoever needs more has a disk that damages what it is given. */
    MEND_ROUNDS = 4,
    MEND_WAIT_MS = 600000, MEND_WAIT_MAX_MS = 12 * 3600000, /* until what nobody had is asked for again */
};

static void next_former(struct job *job);

/* ---- the end ---- */

static void mend_again(void *arg)
{
    struct releases *r = arg;
    r->mend_due = true;
    releases_step_later(r);
}

static void over(struct job *job)
{
    struct releases *r = job->releases;
    if (job->missed) {
        r->mend_wait_ms = r->mend_wait_ms == 0 ? MEND_WAIT_MS : r->mend_wait_ms * 2 < MEND_WAIT_MAX_MS ? r->mend_wait_ms * 2 : MEND_WAIT_MAX_MS;
        loop_timer_start(r->options.loop, &r->mend_timer, r->mend_wait_ms, mend_again, r);
    } else {
        r->lost[0] = '\0';
        r->mend_due = r->mend_due || releases_may_lack(r); /* more has turned out damaged meanwhile */
    }
    releases_job_over(r, job);
}

void job_could_not_mend(struct job *job)
{
    struct releases *r = job->releases;
    r->mend_due = true;
    r->mend_waits = !job->cancelled;
    if (!job->cancelled)
        log_line(LOG_WARN, "what is damaged in the store could not be fetched: it is tried again when other nodes are there; or deploy again",
                 LOGF_STR("release", r->current), LOGF_ERR(job->err));
}

static void pass_over(struct job *job, int err)
{
    struct releases *r = job->releases;
    object_id_to_hex(&job->root, r->lost);
    job->missed = true;
    log_line(LOG_WARN, "what is damaged of a former release could not be fetched, and it cannot be gone back to from here: it is tried again later", LOGF_STR("release", r->lost),
             LOGF_ERR(err));
    next_former(job);
}

void job_mend_missed(struct job *job, int err, const char *sentence)
{
    if (job->is_former) {
        pass_over(job, err);
        return;
    }
    job_refuse(job, err, sentence);
    job_fail(job);
}

/* ---- one release ---- */

static void check_work(void *arg)
{
    struct job *job = arg;
    struct store *store = job->releases->store;
    job->dropped = releases_damage(job->releases);
    job->err = job->is_former ? release_lost(store, &job->root, &job->lacking) : release_check(store, &job->root, &job->lacking);
}

static void found_whole(struct job *job)
{
    char hex[OBJECT_ID_HEX + 1];
    object_id_to_hex(&job->root, hex);
    if (job->attempts > 0)
        log_line(LOG_INFO, "what was damaged in the store is whole again", LOGF_STR("release", hex));
    if (!job->is_former)
        job_note_whole(job, job->dropped);
    next_former(job);
}

static void fetch_lacking(struct job *job)
{
    char hex[OBJECT_ID_HEX + 1];
    if (job->attempts == MEND_ROUNDS) {
        job_mend_missed(job, GRID_ECORRUPT, grid_err_text(GRID_ECORRUPT));
        return;
    }
    object_id_to_hex(&job->root, hex);
    log_line(LOG_WARN, job->is_former ? "parts of a former release are damaged in the store: they are fetched from other nodes"
                                      : "parts of the release that runs are damaged in the store: they are fetched from other nodes",
             LOGF_STR("release", hex), LOGF_INT("objects", job->lacking));
    job_fetch(job);
}

static void check_done(void *arg)
{
    struct job *job = arg;
    job->releases->on_pool = false;
    if (job->cancelled)
        job_given_up(job);
    else if (job->err == GRID_EPROTO && job->is_former)
        next_former(job); /* nobody can go back to it, whatever is fetched */
    else if (job->err != 0)
        job_fail(job);
    else if (job->lacking == 0)
        found_whole(job);
    else
        fetch_lacking(job);
}

static void check(struct job *job)
{
    job_work(job, check_work, check_done);
}

void job_mend_again(struct job *job)
{
    job->attempts++;
    check(job);
}

/* ---- one after the other ---- */

static void next_former(struct job *job)
{
    if (job->former_next == job->former_count) {
        over(job);
        return;
    }
    job->root = job->formers[job->former_next++];
    job->is_former = true;
    job->attempts = 0;
    job->made_room = false;
    check(job);
}

static void list_formers(struct job *job)
{
    const struct release_log *log = job->releases->log;
    for (size_t i = 0; i < release_log_count(log, RELEASES_APP) && job->former_count < RELEASE_KEPT; i++) {
        const struct release_entry *e = release_log_at(log, RELEASES_APP, i);
        if (!object_id_equal(&e->root, &job->root))
            job->formers[job->former_count++] = e->root;
    }
}

void job_mend(struct job *job)
{
    list_formers(job);
    if (releases_may_lack(job->releases))
        check(job);
    else
        next_former(job);
}
