/* A job's folder on its way into the store: read on the pool, with the rights of who asked, while the loop tells how far it is. */
#include <stdio.h>
#include <unistd.h>

#include "base/err.h"
#include "fs/folder.h"
#include "server/release/release_config.h"
#include "server/release/releases_internal.h"

enum { PROGRESS_MS = 100 };

static void tell_progress(void *arg)
{
    struct job *job = arg;
    uv_mutex_lock(&job->lock);
    struct publish_progress progress = job->progress;
    uv_mutex_unlock(&job->lock);
    if (job->events && job->events_ctx)
        job->events->on_progress(job->events_ctx, "store", &progress);
    loop_timer_start(job->releases->options.loop, &job->progress_timer, PROGRESS_MS, tell_progress, job);
}

/* On the pool. */
static bool on_progress(void *arg, const struct publish_progress *progress)
{
    struct job *job = arg;
    uv_mutex_lock(&job->lock);
    job->progress = *progress;
    bool goes_on = !job->cancelled;
    uv_mutex_unlock(&job->lock);
    return goes_on;
}

/* Groups by the user database, where the connection told of none. */
static int complete_rights(struct job *job)
{
    uid_t uid = job->rights.uid;
    if (!job->groups_unknown || rights_are_own(&job->rights))
        return 0;
    int err = rights_of_user(uid, &job->rights);
    if (err == GRID_ENOENT)
        return fs_report_fail(&job->report, GRID_EPERM, "user %u is not in the user database, so that its groups are not known: deploy through the Unix socket", (unsigned) uid);
    return err == 0 ? 0 : fs_report_fail(&job->report, err, "user %u is in more groups than the node takes on", (unsigned) uid);
}

static int scan_open(struct job *job, struct closed *closed, int *fd)
{
    int err = closed_make(job->releases->state_fd, closed);
    if (err != 0)
        return fs_report_fail(&job->report, err, "it cannot be told where the state folder is mounted: %s", grid_err_text(err));
    err = complete_rights(job);
    return err == 0 ? folder_open(job->folder, job->has_rights ? &job->rights : NULL, closed, &job->report, fd) : err;
}

/* Before anything is read: somebody may be in the wrong folder, a home, say. */
static int find_tasks(struct job *job, int fd)
{
    const Grid__V1__ReleaseConfig *config;
    struct arena *arena = arena_create(4096, 4 * 1024 * 1024);
    int err = arena ? release_config_read(buf_slice(&job->config), arena, &config, job->why) : GRID_ENOMEM;
    if (err == 0) {
        char folder[RELEASE_TASK_FOLDER_MAX + 1];
        snprintf(folder, sizeof folder, "%.*s", SLICE_FMT(release_config_folder(config)));
        err = task_set_look(fd, folder, job->why);
    }
    arena_destroy(arena);
    return err;
}

static void scan_work(void *arg)
{
    struct job *job = arg;
    struct closed closed;
    struct publish_options options = {.progress = on_progress, .arg = job, .rights = job->has_rights ? &job->rights : NULL, .closed = &closed,
                                      .state_fd = &job->releases->state_fd};
    struct publish_result result;
    int fd = -1;
    job->err = scan_open(job, &closed, &fd);
    if (job->err != 0)
        return;
    job->err = find_tasks(job, fd);
    if (job->err == 0) {
        job->stored = true;
        job->err = release_publish(job->releases->store, fd, &options, &job->report, &result);
    }
    close(fd);
    if (job->err != 0)
        return;
    job->root = result.root;
    job->files = result.files;
    job->bytes = result.bytes;
}

static void scan_done(void *arg)
{
    struct job *job = arg;
    job->releases->on_pool = false;
    tell_progress(job);
    loop_timer_stop(&job->progress_timer);
    if (job_makes_room(job))
        return;
    for (size_t i = 0; i < job->report.kept && job->attempts == 0; i++)
        job_warn(job, job->report.warnings[i]);
    if (job->cancelled)
        job_given_up(job);
    else if (job->err != 0)
        job_fail(job);
    else
        job_build(job);
}

void job_scan(struct job *job)
{
    if (job_work(job, scan_work, scan_done))
        loop_timer_start(job->releases->options.loop, &job->progress_timer, PROGRESS_MS, tell_progress, job);
}
