/* The supervisor as the options ask for it, and the program that becomes each task. */
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/err.h"
#include "base/log.h"
#include "server/node_internal.h"
#include "server/node_trust.h"

/* In a build tree beside gridd, installed in libexec. False when it is in neither place. */
static bool find_helper(char out[PATH_MAX])
{
    static const char *const PLACES[] = {"grid-task-exec", "../libexec/gridcontrol/grid-task-exec", NULL};
    char program[PATH_MAX], candidate[PATH_MAX + 64];
    ssize_t size = readlink("/proc/self/exe", program, sizeof program - 1);
    if (size <= 0)
        return false;
    program[size] = '\0';
    *strrchr(program, '/') = '\0';
    for (const char *const *place = PLACES; *place; place++) {
        snprintf(candidate, sizeof candidate, "%s/%s", program, *place);
        if (realpath(candidate, out) && access(out, X_OK) == 0)
            return true;
    }
    return false;
}

int node_tasks_check(struct node *n, char why[NODE_WHY_MAX])
{
    char helper[PATH_MAX], user_why[TASK_WHY_MAX];
    if (!find_helper(helper)) {
        snprintf(why, NODE_WHY_MAX, "grid-task-exec is neither beside gridd nor in ../libexec/gridcontrol: install GridControl as a whole");
        return GRID_ENOENT;
    }
    int err = task_user_resolve(n->options->task_user, n->key ? node_id(n) : "0", &n->task_user, user_why);
    if (err != 0)
        snprintf(why, NODE_WHY_MAX, "%s", user_why);
    return err;
}

/* Tasks that run as they are need no runtime, so this is no reason not to start. */
static void look_for_runtime(const char *path)
{
    if (access(path, R_OK) != 0)
        log_line(LOG_WARN, "this installation is incomplete: a language runtime cannot be read, and tasks that need it cannot start; install GridControl whole, or "
                           "name its folder with --runtimes", LOGF_STR("path", path), LOGF_STR("why", strerror(errno)));
}

uint16_t node_tasks_first_port(const struct node *n)
{
    return n->options->task_ports ? n->options->task_ports : (uint16_t) (addr_port(worker_set_api(n->workers)) + 1);
}

int node_tasks_open(struct node *n, char why[NODE_WHY_MAX])
{
    const struct options *o = n->options;
    char helper[PATH_MAX], node_runtime[4200], python_runtime[4200], api[ADDR_TEXT_MAX], task_why[TASK_WHY_MAX];
    find_helper(helper); /* which node_tasks_check has seen */
    snprintf(node_runtime, sizeof node_runtime, "%s/node/run.js", o->runtimes ? o->runtimes : "");
    snprintf(python_runtime, sizeof python_runtime, "%s/python/run.py", o->runtimes ? o->runtimes : "");
    look_for_runtime(node_runtime);
    look_for_runtime(python_runtime);
    addr_format(worker_set_api(n->workers), api);
    long cores = sysconf(_SC_NPROCESSORS_ONLN);
    struct supervisor_options s = {.state_dir = o->state, .exec_helper = helper, .runtimes = o->runtimes ? o->runtimes : "", .node_runtime = node_runtime,
                                   .python_runtime = python_runtime, .grid_name = n->grid, .node_name = n->name, .node_id = node_id(n), .api = api,
                                   .task_user = o->task_user, .first_start = n->first_start, .sandbox = o->task_sandbox, .task_env = o->task_env, .max_payload = o->max_payload,
                                   .first_port = node_tasks_first_port(n),
                                   .max_instances = cores > 0 ? (uint32_t) cores : 1, .drain_timeout_ms = o->drain_timeout_ms, .on_change = node_tasks_changed, .ctx = n};
    int err = supervisor_create(n->loop, &s, &n->supervisor, task_why);
    if (err != 0)
        snprintf(why, NODE_WHY_MAX, "%s", task_why);
    return err;
}

bool node_is_task(void *node, uid_t uid)
{
    const struct node *n = node;
    return n->task_user.own && uid == n->task_user.uid;
}
