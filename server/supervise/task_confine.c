/* Options and kernel in, plans out.
 *
 *   off       descriptors, environment, signals, no new rights; as root the tasks' own user
 *   standard  and: the state folder is hidden, the release read-only, no look into or signal to other processes; with an own user: writes
 *             to the task's own folders alone
 *   strict    and: reads of system folders and its own alone, listens on its port alone, a filter of system calls
 */
#include "server/supervise/task_confine.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/log.h"
#include "server/confine/confine.h"
#include "server/supervise/task_filter.h"
#include "server/supervise/task_folders.h"
#include "server/supervise/task_plan.h"

struct task_confine {
    struct task_user user;
    enum task_sandbox sandbox;
    enum confine_landlock landlock;
    bool view;
    char *state, *runtimes;
    char *covers[CONFINE_COVERS_MAX];
    size_t cover_count;
    char *filter;
};

/* ---- what the kernel gives ---- */

const char *task_confine_lacks(int landlock_version, bool has_seccomp)
{
    if (landlock_version == 0)
        return "--task-sandbox: strict needs Landlock, which this kernel does not have (or did not start: lsm=landlock): use a kernel from 5.19 on, or --task-sandbox standard";
    if (landlock_version < 2)
        return "--task-sandbox: strict needs the second version of Landlock, and this kernel has the first: use a kernel from 5.19 on, or --task-sandbox standard";
    if (!has_seccomp)
        return "--task-sandbox: strict needs seccomp filters, which this kernel does not have: use another kernel, or --task-sandbox standard";
    return NULL;
}

static bool may_pass(const struct stat *st, const struct task_user *user)
{
    mode_t needed = st->st_uid == user->uid ? S_IXUSR : st->st_gid == user->gid ? S_IXGRP : S_IXOTH;
    return (st->st_mode & needed) || user->uid == 0;
}

char *task_confine_closed(const char *path, const struct task_user *user)
{
    struct stat st;
    for (const char *slash = strchr(path, '/'); slash; slash = strchr(slash + 1, '/')) {
        char *part = strndup(path, slash == path ? 1 : (size_t) (slash - path));
        if (part && stat(part, &st) == 0 && !may_pass(&st, user))
            return part;
        free(part);
    }
    return NULL;
}

static bool is_within(const char *path, const char *folder)
{
    size_t size = strlen(folder);
    return strncmp(path, folder, size) == 0 && (path[size] == '\0' || path[size] == '/' || strcmp(folder, "/") == 0);
}

/* Takes `folder` over, unless another cover hides it already; covers below it go. */
static void add_cover(struct task_confine *c, char *folder)
{
    size_t kept = 0;
    bool hidden = folder == NULL;
    for (size_t i = 0; folder && i < c->cover_count; i++)
        hidden |= is_within(folder, c->covers[i]);
    if (hidden) {
        free(folder);
        return;
    }
    for (size_t i = 0; i < c->cover_count; i++) {
        if (is_within(c->covers[i], folder))
            free(c->covers[i]);
        else
            c->covers[kept++] = c->covers[i];
    }
    c->covers[kept++] = folder;
    c->cover_count = kept;
}

/* What is closed above the folders that tasks need is covered by a folder that is open and holds those alone. */
static int plan_view(struct task_confine *c, char why[TASK_WHY_MAX])
{
    char *above_state = task_confine_closed(c->state, &c->user), *above_runtimes = task_confine_closed(c->runtimes, &c->user);
    const char *closed = above_state ? above_state : above_runtimes;
    int err = 0;
    bool wanted = c->sandbox != TASK_SANDBOX_OFF || closed;
    c->view = wanted && confine_view_possible();
    if (closed && !c->view) {
        snprintf(why, TASK_WHY_MAX, "--task-user: tasks run as user %u, who cannot pass %.200s, and this system allows no view of its own: open that folder (chmod o+x), use "
                                    "another --state, or give --task-user root", c->user.uid, closed);
        err = GRID_EPERM;
    }
    add_cover(c, above_state);
    add_cover(c, above_runtimes);
    if (c->sandbox != TASK_SANDBOX_OFF)
        add_cover(c, strdup(c->state));
    return err;
}

static void say_what_is_missing(const struct task_confine *c)
{
    if (c->user.uid == 0)
        log_line(LOG_WARN, "tasks run as root: they may do all that the node may; leave --task-user out to give them a user of their own");
    if (c->sandbox == TASK_SANDBOX_OFF)
        return;
    if (!c->view && c->sandbox == TASK_SANDBOX_STANDARD && !c->user.own)
        log_line(LOG_WARN, "this system allows no view of the file system of a task's own: tasks can read the node's key; run gridd as root, or with --task-sandbox strict");
    if (c->landlock == CONFINE_LANDLOCK_NONE)
        log_line(LOG_WARN, "this kernel has no Landlock: tasks of one user can look into each other", LOGF_INT("landlock", confine_landlock_version()));
}

static int plan_sandbox(struct task_confine *c, char why[TASK_WHY_MAX])
{
    int version = confine_landlock_version();
    if (c->sandbox == TASK_SANDBOX_STRICT) {
        c->filter = task_filter_make();
        const char *lacks = task_confine_lacks(version, c->filter != NULL && access("/proc/sys/kernel/seccomp", F_OK) == 0);
        if (lacks) {
            snprintf(why, TASK_WHY_MAX, "%s", lacks);
            return GRID_EUNSUPPORTED;
        }
    }
    if (version >= 2 && c->sandbox != TASK_SANDBOX_OFF)
        c->landlock = c->sandbox == TASK_SANDBOX_STRICT ? CONFINE_LANDLOCK_ALL : c->user.own ? CONFINE_LANDLOCK_WRITES : CONFINE_LANDLOCK_PROCESSES;
    return plan_view(c, why);
}

int task_confine_create(const struct task_confine_options *options, struct task_confine **out, char why[TASK_WHY_MAX])
{
    struct task_confine *c = calloc(1, sizeof *c);
    snprintf(why, TASK_WHY_MAX, "out of memory");
    if (!c)
        return GRID_ENOMEM;
    c->sandbox = options->sandbox;
    c->state = realpath(options->state_dir, NULL);
    c->runtimes = options->runtimes ? realpath(options->runtimes, NULL) : NULL;
    if (!c->runtimes)
        c->runtimes = strdup("/usr"); /* nothing beside the state folder is to be shown */
    int err = c->state && c->runtimes ? task_user_resolve(options->task_user, options->node_id, &c->user, why) : GRID_ENOMEM;
    if (err == 0)
        err = plan_sandbox(c, why);
    if (err == 0)
        say_what_is_missing(c);
    if (err == 0)
        *out = c;
    else
        task_confine_destroy(c);
    return err;
}

void task_confine_destroy(struct task_confine *c)
{
    if (!c)
        return;
    for (size_t i = 0; i < c->cover_count; i++)
        free(c->covers[i]);
    free(c->state);
    free(c->runtimes);
    free(c->filter);
    free(c);
}

const struct task_user *task_confine_user(const struct task_confine *c)
{
    return &c->user;
}

const char *task_confine_state(const struct task_confine *c)
{
    return c->state;
}

int task_confine_prepare(const struct task_confine *c)
{
    return task_folders_prepare(c->state, &c->user);
}

int task_confine_folders(const struct task_confine *c, const char *task)
{
    return task_folders_make(c->state, task, &c->user);
}

/* ---- one process ---- */

/* Memory of one plan's paths. */
struct paths {
    char *made[4];
    size_t count;
};

static char *path_in(struct paths *paths, const char *folder, const char *kind, const char *name)
{
    char *path;
    if (asprintf(&path, "%s/%s%s%s", folder, kind, name[0] ? "/" : "", name) < 0)
        return NULL;
    return paths->made[paths->count++] = path;
}

static void add_place(struct confine_plan *p, char *from, char *to, bool writes)
{
    p->places[p->place_count++] = (struct confine_place){from, to, writes};
}

/* In its own view the folders that programs write to by name are its temporary folder, unless what it needs lies in them. */
static void add_temporary(const struct task_confine *c, struct confine_plan *p, const char *root, char *temporary)
{
    static char *const common[] = {(char *) "/tmp", (char *) "/var/tmp"};
    for (size_t i = 0; c->view && c->user.own && i < sizeof common / sizeof *common; i++)
        if (!is_within(c->state, common[i]) && !is_within(c->runtimes, common[i]) && !is_within(root, common[i]))
            add_place(p, temporary, common[i], true);
}

static int fill_places(const struct task_confine *c, const struct task_confine_request *r, struct paths *paths, struct confine_plan *p)
{
    char *data = path_in(paths, c->state, "data", r->task), *temporary = path_in(paths, c->state, "tmp", r->task);
    if (!data || !temporary)
        return GRID_ENOMEM;
    add_temporary(c, p, r->root, temporary);
    add_place(p, (char *) r->root, (char *) r->root, false);
    add_place(p, c->runtimes, c->runtimes, false);
    add_place(p, data, data, true);
    add_place(p, temporary, temporary, true);
    return 0;
}

int task_confine_plan(const struct task_confine *c, const struct task_confine_request *r, struct buf *out)
{
    struct confine_plan p = {.change_user = c->user.own, .uid = c->user.uid, .gid = c->user.gid, .view = c->view, .landlock = c->landlock, .port = r->port,
                             .filter = c->filter, .folder = (char *) r->root, .argv = r->argv, .env = r->env};
    struct paths paths = {.count = 0};
    for (size_t i = 0; c->view && i < c->cover_count; i++)
        p.covers[p.cover_count++] = c->covers[i];
    int err = c->sandbox != TASK_SANDBOX_OFF || c->view ? fill_places(c, r, &paths, &p) : 0;
    if (err == 0)
        err = task_plan_encode(&p, out);
    for (size_t i = 0; i < paths.count; i++)
        free(paths.made[i]);
    return err;
}
