/*     deploying --its process ends--> idle --changed, and due (cli/deploy_due.h)--> deploying
 *         '---- SIGINT, SIGTERM, SIGHUP ---> stopping <----'
 */
#include "cli/deploy_watch.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cli/cli.h"
#include "cli/deploy_due.h"
#include "cli/project_watch.h"
#include "cli/waiting.h"

struct repeat {
    const char *folder;
    int (*deploy)(void *arg);
    void *arg;
    struct project_watch *watch;
    struct deploy_due due;
    int signals;
    pid_t child; /* 0 when none runs */
    bool has_ended, is_stopping;
    int code;
};

static void stop_with(struct repeat *r, int code)
{
    if (!r->is_stopping)
        r->code = code;
    r->is_stopping = true;
}

static void become_deploy(const struct repeat *r)
{
    prctl(PR_SET_PDEATHSIG, SIGTERM);
    waiting_release_signals();
    int code = r->deploy(r->arg);
    fflush(NULL);
    _exit(code);
}

static void start(struct repeat *r)
{
    project_watch_passed(r->watch, waiting_now_ms());
    deploy_due_started(&r->due, waiting_now_ms());
    fflush(NULL);
    r->child = fork();
    if (r->child == 0)
        become_deploy(r);
    if (r->child < 0) {
        r->child = 0;
        stop_with(r, cli_fail(GRID_FAILED, "no process can be started (%s): end some others", strerror(errno)));
    }
}

static void conclude(struct repeat *r, int status)
{
    int code = WIFEXITED(status) ? WEXITSTATUS(status) : GRID_FAILED;
    bool given_up = r->due.giving_up, first = !r->has_ended;
    r->child = 0;
    deploy_due_ended(&r->due);
    if (r->is_stopping || given_up)
        return;
    r->has_ended = true;
    if (first && (code == GRID_USAGE || code == GRID_NO_NODE))
        stop_with(r, code);
    else if (code != GRID_DONE && code != GRID_IN_PART)
        fprintf(stderr, "%s could not be deployed; it is tried again when you save. Ctrl-C ends this.\n", r->folder);
    else if (first)
        fprintf(stderr, "%s is deployed again when you save. Ctrl-C ends this.\n", r->folder);
}

static void read_signals(struct repeat *r)
{
    struct signalfd_siginfo info;
    int status;
    while (read(r->signals, &info, sizeof info) == sizeof info)
        if (info.ssi_signo != SIGCHLD)
            stop_with(r, GRID_DONE);
    if (r->child > 0 && waitpid(r->child, &status, WNOHANG) == r->child)
        conclude(r, status);
}

static void look_for_changes(struct repeat *r)
{
    if (project_watch_check(r->watch, waiting_now_ms()))
        deploy_due_changed(&r->due, waiting_now_ms());
    const char *notice = project_watch_notice(r->watch);
    if (notice)
        fprintf(stderr, "%s.\n", notice);
}

/* Waits for something to happen, and handles it. */
static void turn(struct repeat *r)
{
    uint64_t now = waiting_now_ms();
    struct pollfd fds[] = {{.fd = r->signals, .events = POLLIN}, {.fd = project_watch_fd(r->watch), .events = POLLIN}};
    poll(fds, 2, waiting_sooner(deploy_due_wait(&r->due, now), project_watch_wait(r->watch, now)));
    look_for_changes(r);
    read_signals(r);
}

static void serve(struct repeat *r)
{
    start(r);
    while (!r->is_stopping) {
        turn(r);
        if (r->is_stopping || deploy_due_wait(&r->due, waiting_now_ms()) != 0)
            continue;
        if (deploy_due_gives_up(&r->due))
            kill(r->child, SIGTERM); /* its end starts the next one */
        else
            start(r);
    }
    if (r->child > 0 && kill(r->child, SIGTERM) == 0)
        waitpid(r->child, NULL, 0);
}

int deploy_watch(const char *folder, int (*deploy)(void *arg), void *arg)
{
    struct repeat r = {.folder = folder, .deploy = deploy, .arg = arg, .signals = waiting_catch_signals()};
    r.watch = project_watch_create(folder, PROJECT_WATCH_FOLDERS_MAX, waiting_now_ms());
    if (r.watch && r.signals >= 0)
        serve(&r);
    else
        r.code = cli_fail(GRID_FAILED, "%s cannot be watched: %s", folder, strerror(errno));
    project_watch_destroy(r.watch);
    if (r.signals >= 0)
        close(r.signals);
    return r.code;
}
