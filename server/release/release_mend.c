/* What runs here is whole in the store, or is made so: when an object has turned out damaged, the release is read whole and what it lacks is fetched from
 * other nodes. Tasks go on meanwhile.
 *
 * What lies below a damaged listing cannot be read before the listing has come: so it is read again after each fetch, until nothing is lacking. */
#include "base/err.h"
#include "base/log.h"
#include "fs/reach.h"
#include "server/release/releases_internal.h"

/* The first fetch brings listings, and with them everything that they name can be read: whoever needs more has a disk that damages what it is given. */
enum { MEND_ROUNDS = 4 };

static void check_work(void *arg)
{
    struct job *job = arg;
    job->err = release_check(job->releases->store, &job->root, &job->lacking);
}

static void found_whole(struct job *job)
{
    struct releases *r = job->releases;
    if (job->attempts > 0) { /* else it was of another release */
        log_line(LOG_INFO, "what was damaged in the store is whole again", LOGF_STR("release", r->current));
        job_note_whole(job);
    }
    releases_job_over(r, job);
}

static void fetch_lacking(struct job *job)
{
    if (job->attempts == MEND_ROUNDS) {
        job->err = GRID_ECORRUPT;
        job_fail(job);
        return;
    }
    log_line(LOG_WARN, "parts of the release that runs are damaged in the store: they are fetched from other nodes", LOGF_STR("release", job->releases->current),
             LOGF_INT("objects", job->lacking));
    job_fetch(job);
}

static void check_done(void *arg)
{
    struct job *job = arg;
    job->releases->on_pool = false;
    if (job->cancelled) {
        job_given_up(job);
        return;
    }
    if (job->err != 0) {
        job_fail(job);
        return;
    }
    if (job->lacking == 0)
        found_whole(job);
    else
        fetch_lacking(job);
}

void job_mend(struct job *job)
{
    job_work(job, check_work, check_done);
}

void job_mend_again(struct job *job)
{
    job->attempts++;
    job_mend(job);
}

void job_could_not_mend(struct job *job)
{
    struct releases *r = job->releases;
    r->mend_due = r->mend_waits = true;
    if (!job->cancelled)
        log_line(LOG_WARN, "what is damaged in the store could not be fetched: it is tried again when other nodes are there; or deploy again",
                 LOGF_STR("release", r->current), LOGF_ERR(job->err));
}
