/* A tree as folders to be built, last found first, by a few threads. */
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/err.h"
#include "fs/materialize_internal.h"

/* A thread more is worth its start when so many folders wait. */
#define JOBS_PER_THREAD 4
/* A patch of more changes than this is made durable by one syncfs, of fewer by an fsync each. */
#define SYNC_EACH_MAX 24

/* ---- what folders ask of it ---- */

int builder_fail(struct builder *b, const struct buf *path, int err, const char *what)
{
    pthread_mutex_lock(&b->lock);
    fs_report_fail(b->report, err, "%.*s cannot be written: %s", (int) path->size, (const char *) path->data, what);
    pthread_mutex_unlock(&b->lock);
    return err;
}

int builder_claim(struct builder *b, uint32_t entries)
{
    pthread_mutex_lock(&b->lock);
    b->entries += entries;
    bool within = b->entries <= MANIFEST_ENTRIES_MAX;
    pthread_mutex_unlock(&b->lock);
    return within ? 0 : GRID_ELIMIT;
}

int builder_count_file(struct builder *b, uint64_t bytes, bool kept, bool reused)
{
    int err = 0;
    pthread_mutex_lock(&b->lock);
    b->result.files++;
    b->result.bytes += bytes;
    b->result.kept_files += kept;
    b->result.reused_files += reused;
    if (b->options.progress && !b->options.progress(b->options.arg, b->result.files, b->result.bytes))
        err = fs_report_fail(b->report, GRID_ECANCELED, "building the release was cancelled");
    pthread_mutex_unlock(&b->lock);
    return err;
}

bool builder_syncs_each(struct builder *b)
{
    if (!b->options.sync || !b->result.patched)
        return false;
    pthread_mutex_lock(&b->lock);
    bool few = ++b->changes <= SYNC_EACH_MAX;
    pthread_mutex_unlock(&b->lock);
    return few;
}

/* ---- threads ---- */

/* Under the lock. False when there is nothing left to wait for. */
static bool wait_for_job(struct builder *b)
{
    while (!b->jobs && b->busy > 0 && b->err == 0)
        pthread_cond_wait(&b->news, &b->lock);
    return b->jobs && b->err == 0;
}

static void *work(void *arg)
{
    struct builder *b = arg;
    pthread_mutex_lock(&b->lock);
    while (wait_for_job(b)) {
        struct folder_job *job = b->jobs;
        b->jobs = job->next;
        b->job_count--;
        b->busy++;
        pthread_mutex_unlock(&b->lock);
        int err = folder_build(b, job);
        free(job);
        pthread_mutex_lock(&b->lock);
        b->busy--;
        b->err = b->err != 0 ? b->err : err;
    }
    pthread_cond_broadcast(&b->news);
    pthread_mutex_unlock(&b->lock);
    return NULL;
}

/* Under the lock. Without a thread the others do its part. */
static void start_helper(struct builder *b)
{
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before); /* signals are the main thread's */
    if (pthread_create(&b->helpers[b->helper_count], NULL, work, b) == 0)
        b->helper_count++;
    else
        b->helpers_max = b->helper_count;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
}

int builder_push(struct builder *b, const struct folder_job *job, const char *path, const char *name)
{
    size_t size = strlen(path) + strlen(name) + 2;
    struct folder_job *copy = malloc(sizeof *copy + size);
    if (!copy)
        return GRID_ENOMEM;
    *copy = *job;
    stpcpy(stpcpy(stpcpy(copy->path, path), path[0] ? "/" : ""), name);
    pthread_mutex_lock(&b->lock);
    copy->next = b->jobs;
    b->jobs = copy;
    b->job_count++;
    if (b->helper_count < b->helpers_max && b->job_count >= JOBS_PER_THREAD * (b->helper_count + 1))
        start_helper(b);
    pthread_cond_signal(&b->news);
    pthread_mutex_unlock(&b->lock);
    return 0;
}

static unsigned helpers_for(const struct builder *b)
{
    long cores = sysconf(_SC_NPROCESSORS_ONLN);
    unsigned threads = b->options.threads ? b->options.threads : cores < 1 ? 1 : (unsigned) cores;
    return (threads > MATERIALIZE_THREADS_MAX ? MATERIALIZE_THREADS_MAX : threads) - 1;
}

static void drop_jobs(struct builder *b)
{
    while (b->jobs) {
        struct folder_job *job = b->jobs;
        b->jobs = job->next;
        free(job);
    }
}

int builder_run(struct builder *b, const struct object_id *root, const struct object_id *old)
{
    struct folder_job top = {.id = *root, .held = old != NULL, .old_known = old != NULL};
    if (old)
        top.old_id = *old;
    pthread_mutex_init(&b->lock, NULL);
    pthread_cond_init(&b->news, NULL);
    b->helpers_max = helpers_for(b);
    b->result.patched = old != NULL;
    b->err = builder_push(b, &top, "", "");
    work(b);
    for (unsigned i = 0; i < b->helper_count; i++)
        pthread_join(b->helpers[i], NULL);
    drop_jobs(b);
    if (b->err == 0 && b->options.sync && (!old || b->changes > SYNC_EACH_MAX) && syncfs(b->tree_fd) != 0)
        b->err = fs_report_fail(b->report, grid_err_from_errno(errno), "%s cannot be written to the disk: %s", b->name, strerror(errno));
    pthread_cond_destroy(&b->news);
    pthread_mutex_destroy(&b->lock);
    return b->err;
}
