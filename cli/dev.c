/* grid dev:
 *
 *     starting the first --ready--> starting the others --all ready--> running --signal, or a node ends--> stopping
 *                                                                      |  ^
 *                                                        file saved    v  |  quiet for a while (cli/deploy_due.h)
 *                                                                   a deploy is due
 */
#include "cli/dev.h"

#include <dirent.h>
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/arena.h"
#include "base/json.h"
#include "cli/deploy_due.h"
#include "cli/dev_child.h"
#include "cli/dev_folder.h"
#include "cli/dev_output.h"
#include "cli/gridfile_new.h"
#include "cli/project_watch.h"
#include "cli/waiting.h"

enum { START_LIMIT_MS = 30000, STOP_LIMIT_MS = 10000, TICK_MS = 20, ADDRESS_SIZE = 64, REST_ROUNDS = 64 };
enum { CHILDREN_MAX = 2 * DEV_NODES_MAX + 1, DEPLOY = 2 * DEV_NODES_MAX };
enum { ARGUMENTS_MAX = 32, ARENA_BLOCK = 4096 };

struct dev {
    const struct cli *cli;
    const struct dev_options *options;
    char temp[DEV_PATH_MAX];
    int signals;
    struct project_watch *watch;
    struct arena *arena;
    struct dev_output *output; /* of the tasks */
    struct dev_child children[CHILDREN_MAX]; /* nodes, then their logs, then the deploy */
    char api[DEV_NODES_MAX][ADDRESS_SIZE];   /* "" until ready */
    char listen[ADDRESS_SIZE];               /* of the first node */
    unsigned started, ready;
    struct deploy_due due;
    bool has_deployed, has_lost_stdout, is_stopping;
    int code;
};

static struct dev_child *node_child(struct dev *d, unsigned index)
{
    return &d->children[index];
}

static struct dev_child *logs_child(struct dev *d, unsigned index)
{
    return &d->children[DEV_NODES_MAX + index];
}

static void stop_with(struct dev *d, int code)
{
    if (!d->is_stopping)
        d->code = code;
    d->is_stopping = true;
}

/* A path inside node N's folder. */
static char *node_path(struct dev *d, unsigned index, const char *name)
{
    return arena_printf(d->arena, "%s/node%u%s%s", d->temp, index + 1, *name ? "/" : "", name);
}

static void start(struct dev *d, struct dev_child *child, char **argv, size_t count)
{
    bool complete = count < ARGUMENTS_MAX;
    for (size_t i = 0; i < count; i++)
        complete = complete && argv[i];
    argv[count] = NULL;
    if (!complete || dev_child_start(child, argv) != 0)
        stop_with(d, cli_fail(GRID_FAILED, "%s cannot be started (%s): install GridControl whole", argv[0], strerror(errno)));
}

static char *text(const char *constant)
{
    return (char *) (uintptr_t) constant;
}

static size_t add_option(char **argv, size_t count, const char *name, const char *value)
{
    if (!value)
        return count;
    argv[count] = text(name);
    argv[count + 1] = text(value);
    return count + 2;
}

/* Its folder is open to the tasks' own user, who passes it; what lies in it is not. */
static void start_node(struct dev *d, unsigned index)
{
    char *argv[ARGUMENTS_MAX] = {text(d->options->gridd), text("--name"), arena_printf(d->arena, "node%u", index + 1),
                                 text("--gridfile"), arena_printf(d->arena, "%s/Gridfile", d->temp),
                                 text("--state"), node_path(d, index, "state"),
                                 text("--api"), arena_printf(d->arena, "127.0.0.1:%u", index == 0 ? d->options->port : 0u),
                                 text("--api-socket"), node_path(d, index, "api.sock"),
                                 text("--listen"), text("127.0.0.1:0"),
                                 text("--discover"), text("none"),
                                 text("--workers"), text("1"),
                                 text("--drain-timeout"), text("3s"),
                                 text("--log-level"), text(d->options->log_level),
                                 text("--ready-file"), node_path(d, index, "ready")};
    size_t count = 23;
    count = add_option(argv, count, "--join", index > 0 ? d->listen : NULL);
    count = add_option(argv, count, "--task-user", d->options->task_user);
    count = add_option(argv, count, "--task-sandbox", d->options->task_sandbox);
    char *folder = node_path(d, index, "");
    if (folder && mkdir(folder, 0711) == 0)
        start(d, node_child(d, index), argv, count);
    else
        stop_with(d, cli_fail(GRID_FAILED, "folders in %s cannot be made (%s): make room there, or name another place with TMPDIR", d->temp, strerror(errno)));
    d->started = index + 1;
}

static void start_logs(struct dev *d, unsigned index)
{
    char *argv[ARGUMENTS_MAX] = {text(d->options->grid), text("logs"), text("--follow"), text("--json"), text("--lines"), text("1000"), text("--api"), d->api[index]};
    start(d, logs_child(d, index), argv, 8);
}

/* Shows and disposes of it. Nobody who reads it any more ends the grid. */
static void show(struct dev *d, struct buf *out)
{
    if (!d->has_lost_stdout && cli_write_buf(out) != GRID_DONE) {
        d->has_lost_stdout = true;
        stop_with(d, GRID_FAILED);
    } else if (d->has_lost_stdout) {
        buf_dispose(out);
    }
}

/* What is held of the old version, whose failures are not those of the next. */
static void forget_failures(struct dev *d)
{
    struct buf held;
    buf_init(&held, 0);
    dev_output_forget(d->output, &held);
    show(d, &held);
}

static void start_deploy(struct dev *d)
{
    char *argv[ARGUMENTS_MAX] = {text(d->options->grid), text("deploy"), text(d->options->folder), text("--api"), d->api[0]};
    size_t count = 5;
    for (size_t i = 0; i < d->options->deploy_argument_count && count < ARGUMENTS_MAX - 1; i++)
        argv[count++] = text(d->options->deploy_arguments[i]);
    forget_failures(d);
    if (d->watch)
        project_watch_passed(d->watch, waiting_now_ms());
    deploy_due_started(&d->due, waiting_now_ms());
    start(d, &d->children[DEPLOY], argv, count);
}

/* A string member of the ready file. */
static bool read_member(struct slice object, const char *key, struct arena *arena, char out[ADDRESS_SIZE])
{
    struct slice raw, value;
    if (json_object_get(object, key, &raw) != 0 || json_string_decode(raw, arena, &value) != 0 || value.size >= ADDRESS_SIZE)
        return false;
    snprintf(out, ADDRESS_SIZE, "%.*s", SLICE_FMT(value));
    return true;
}

/* True once the node has written its ready file (which appears whole). */
static bool read_ready(struct dev *d, unsigned index)
{
    char bytes[4096], listen[ADDRESS_SIZE];
    struct slice object;
    const char *path = node_path(d, index, "ready");
    FILE *file = path ? fopen(path, "re") : NULL;
    if (!file)
        return false;
    size_t size = fread(bytes, 1, sizeof bytes, file);
    fclose(file);
    return json_validate(slice_of(bytes, size), &object, NULL) == 0 && read_member(object, "api", d->arena, d->api[index]) &&
           read_member(object, "listen", d->arena, index == 0 ? d->listen : listen);
}

/* A task of the project for the hint, "TASK" when there is none to see. */
static void find_task(const struct dev *d, char out[ADDRESS_SIZE])
{
    char path[4096];
    struct dirent **entries;
    snprintf(out, ADDRESS_SIZE, "TASK");
    snprintf(path, sizeof path, "%s/tasks", d->options->folder);
    int count = scandir(path, &entries, NULL, alphasort);
    for (int i = 0; i < count; i++) {
        size_t stem = strcspn(entries[i]->d_name, ".");
        if (stem > 0 && stem < ADDRESS_SIZE && strcmp(out, "TASK") == 0)
            snprintf(out, ADDRESS_SIZE, "%.*s", (int) stem, entries[i]->d_name);
        free(entries[i]);
    }
    if (count >= 0)
        free(entries);
}

static void print_hint(const struct dev *d)
{
    char task[ADDRESS_SIZE];
    find_task(d, task);
    printf("\nThe grid is up and serves %s; it is deployed again when you save. To call a task:\n"
           "  grid --api %s invoke %s -d '{}'\n  curl -H 'content-type: application/json' -d '{}' http://%s/invoke/%s\nCtrl-C ends it.\n\n",
           d->options->folder, d->api[0], task, d->api[0], task);
    fflush(stdout);
}

/* Looks whether started nodes are ready, and starts what waits for that. */
static void advance_start(struct dev *d)
{
    while (d->ready < d->started && read_ready(d, d->ready)) {
        printf("node%u: API http://%s\n", d->ready + 1, d->api[d->ready]);
        fflush(stdout);
        start_logs(d, d->ready++);
        while (d->ready == 1 && d->started < d->options->nodes && !d->is_stopping)
            start_node(d, d->started);
    }
    if (d->ready == d->options->nodes && !d->is_stopping)
        start_deploy(d);
}

static bool is_running(const struct dev *d)
{
    return d->ready == d->options->nodes;
}

/* Shows what there is. */
static void read_child(struct dev *d, struct dev_child *child)
{
    struct buf out;
    buf_init(&out, 0);
    dev_child_read(child, &out);
    show(d, &out);
}

static void show_held(struct dev *d)
{
    struct buf out;
    buf_init(&out, 0);
    dev_output_release(d->output, &out);
    show(d, &out);
}

/* All that a process wrote before it ended. */
static void read_rest(struct dev *d, struct dev_child *child)
{
    for (int round = 0; round < REST_ROUNDS && child->output >= 0; round++)
        read_child(d, child);
}

static void conclude_deploy(struct dev *d, int status)
{
    bool given_up = d->due.giving_up;
    deploy_due_ended(&d->due);
    bool succeeded = WIFEXITED(status) && (WEXITSTATUS(status) == GRID_DONE || WEXITSTATUS(status) == GRID_IN_PART);
    if (d->is_stopping || given_up)
        return;
    if (!succeeded)
        fprintf(stderr, "The project could not be deployed; it is tried again when you save.\n");
    else if (!d->has_deployed)
        print_hint(d);
    d->has_deployed = d->has_deployed || succeeded;
}

static void take_end(struct dev *d, struct dev_child *child, int status)
{
    char how[32];
    bool is_node = child < &d->children[DEV_NODES_MAX];
    child->pid = 0;
    child->status = status;
    read_rest(d, child);
    dev_child_describe(status, how);
    if (child == &d->children[DEPLOY])
        conclude_deploy(d, status);
    else if (is_node && !d->is_stopping && WIFEXITED(status) && WEXITSTATUS(status) == GRID_USAGE)
        stop_with(d, cli_fail(GRID_FAILED, "%s cannot start here, for the reason that stands above: the grid is taken down; grid dev takes --task-user and --task-sandbox too", child->merge.name));
    else if (is_node && !d->is_stopping)
        stop_with(d, cli_fail(GRID_FAILED, "%s ended by itself (%s): the grid is taken down; what it said stands above", child->merge.name, how));
}

static void reap(struct dev *d)
{
    int status;
    for (pid_t pid; (pid = waitpid(-1, &status, WNOHANG)) > 0;)
        for (size_t i = 0; i < CHILDREN_MAX; i++)
            if (d->children[i].pid == pid)
                take_end(d, &d->children[i], status);
}

static void signal_all(struct dev *d, int number)
{
    for (size_t i = CHILDREN_MAX; i-- > 0;)
        dev_child_signal(&d->children[i], number);
}

static void read_signals(struct dev *d)
{
    struct signalfd_siginfo info;
    while (read(d->signals, &info, sizeof info) == sizeof info) {
        if (info.ssi_signo == SIGCHLD)
            reap(d);
        else if (d->is_stopping)
            signal_all(d, SIGKILL);
        else
            stop_with(d, GRID_DONE);
    }
}

static void look_for_changes(struct dev *d)
{
    if (!d->watch)
        return;
    if (project_watch_check(d->watch, waiting_now_ms()))
        deploy_due_changed(&d->due, waiting_now_ms());
    const char *notice = project_watch_notice(d->watch);
    if (notice)
        fprintf(stderr, "%s.\n", notice);
}

/* Waits at most `wait_ms` (-1: for ever) for something to happen, and handles it. */
static void turn(struct dev *d, int wait_ms)
{
    struct pollfd fds[CHILDREN_MAX + 2] = {{.fd = d->signals, .events = POLLIN},
                                           {.fd = d->watch ? project_watch_fd(d->watch) : -1, .events = POLLIN}};
    int look_ms = d->watch ? project_watch_wait(d->watch, waiting_now_ms()) : -1;
    for (size_t i = 0; i < CHILDREN_MAX; i++)
        fds[i + 2] = (struct pollfd){.fd = d->children[i].output, .events = POLLIN};
    int happened = poll(fds, CHILDREN_MAX + 2, waiting_sooner(waiting_sooner(wait_ms, look_ms), dev_output_wait(d->output)));
    dev_output_set_time(d->output, waiting_now_ms());
    show_held(d);
    if (happened < 0)
        return;
    for (size_t i = 0; i < CHILDREN_MAX; i++)
        if (fds[i + 2].revents)
            read_child(d, &d->children[i]);
    look_for_changes(d);
    if (fds[0].revents)
        read_signals(d);
}

static void start_grid(struct dev *d)
{
    uint64_t limit = waiting_now_ms() + START_LIMIT_MS;
    start_node(d, 0);
    while (!d->is_stopping && !is_running(d)) {
        turn(d, TICK_MS);
        if (!d->is_stopping)
            advance_start(d);
        if (waiting_now_ms() > limit)
            stop_with(d, cli_fail(GRID_FAILED, "node%u is not ready after %d s: its log stands above, and --log-level info tells more", d->ready + 1, START_LIMIT_MS / 1000));
    }
}

static void serve(struct dev *d)
{
    while (!d->is_stopping) {
        turn(d, deploy_due_wait(&d->due, waiting_now_ms()));
        if (d->is_stopping || deploy_due_wait(&d->due, waiting_now_ms()) != 0)
            continue;
        if (deploy_due_gives_up(&d->due))
            dev_child_signal(&d->children[DEPLOY], SIGTERM); /* its end starts the next one */
        else
            start_deploy(d);
    }
}

static bool runs_something(const struct dev *d)
{
    for (size_t i = 0; i < CHILDREN_MAX; i++)
        if (d->children[i].pid > 0)
            return true;
    return false;
}

/* Nodes drain; what is left after that is killed, with what orphaned tasks there may be. */
static void stop_grid(struct dev *d)
{
    uint64_t limit = waiting_now_ms() + STOP_LIMIT_MS;
    signal_all(d, SIGTERM);
    while (runs_something(d) && waiting_now_ms() < limit)
        turn(d, (int) (limit - waiting_now_ms()));
    forget_failures(d);
    dev_children_kill_all();
}

static enum merge_style style_of(const struct cli *cli)
{
    return cli->out_has_colour ? MERGE_COLOUR : cli->out_is_terminal ? MERGE_TERMINAL : MERGE_PLAIN;
}

static void init_children(struct dev *d)
{
    char name[32];
    for (unsigned i = 0; i < CHILDREN_MAX; i++) {
        snprintf(name, sizeof name, "node%u", i % DEV_NODES_MAX + 1);
        merge_init(&d->children[i].merge, i == DEPLOY ? "deploy" : name, i == DEPLOY ? 5 : i % DEV_NODES_MAX, style_of(d->cli));
        d->children[i].output = -1;
    }
    for (unsigned i = 0; i < DEV_NODES_MAX; i++)
        dev_output_take(d->output, i, &logs_child(d, i)->merge);
}

static void run(struct dev *d)
{
    char *card = arena_printf(d->arena, "%s/Gridfile", d->temp);
    if (!card || gridfile_new(card, "dev") != GRID_DONE) {
        d->code = GRID_FAILED;
        return;
    }
    d->watch = project_watch_create(d->options->folder, PROJECT_WATCH_FOLDERS_MAX, waiting_now_ms());
    start_grid(d);
    serve(d);
    stop_grid(d);
    project_watch_destroy(d->watch);
}

int dev_run(const struct cli *cli, const struct dev_options *options)
{
    struct dev *d = calloc(1, sizeof *d);
    if (!d || !(d->arena = arena_create(ARENA_BLOCK, 0)) || !(d->output = dev_output_create())) {
        arena_destroy(d ? d->arena : NULL);
        free(d);
        return cli_fail(GRID_FAILED, "out of memory");
    }
    dev_output_set_time(d->output, waiting_now_ms());
    d->cli = cli;
    d->options = options;
    init_children(d);
    prctl(PR_SET_CHILD_SUBREAPER, 1);
    d->signals = waiting_catch_signals();
    if (dev_folder_create(d->temp) != 0) {
        d->code = cli_fail(GRID_FAILED, "no temporary folder can be made (%s): name a place that you may write to with TMPDIR", strerror(errno));
    } else {
        run(d);
        dev_folder_remove(d->temp);
    }
    int code = d->code;
    for (size_t i = 0; i < CHILDREN_MAX; i++)
        merge_dispose(&d->children[i].merge);
    dev_output_destroy(d->output);
    close(d->signals);
    arena_destroy(d->arena);
    free(d);
    return code;
}
