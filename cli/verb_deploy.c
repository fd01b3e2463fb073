/* grid deploy: publishes a folder to every node. */
#include <errno.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "cli/deploy_watch.h"
#include "cli/progress.h"
#include "cli/verb_names.h"

enum { ENV_MAX = 256 };

/* Absolute, without links, since the node reads it from where it stands. NULL with the sentence said. */
static char *find_folder(const char *given)
{
    struct stat st;
    char *path = realpath(given, NULL);
    if (!path) {
        cli_fail(GRID_FAILED, "%s cannot be deployed: %s: give the project's folder, the one that has tasks/ in it", given, strerror(errno));
        return NULL;
    }
    if (stat(path, &st) == 0 && S_ISDIR(st.st_mode))
        return path;
    cli_fail(GRID_FAILED, "%s cannot be deployed: it is not a folder: give the project's, the one that has tasks/ in it", given);
    free(path);
    return NULL;
}

static void set_env(const struct cli *cli, Grid__V1__StringPair *pairs, Grid__V1__StringPair **pointers)
{
    for (size_t i = 0; i < cli->env_count; i++) {
        struct slice name, value;
        cli_env_split(cli->env[i], &name, &value);
        grid__v1__string_pair__init(&pairs[i]);
        pairs[i].key = pb_bytes(name);
        pairs[i].value = pb_bytes(value);
        pointers[i] = &pairs[i];
    }
}

struct deploy {
    struct cli *cli;
    const char *folder;
};

static int deploy_once(void *arg)
{
    struct deploy *d = arg;
    Grid__V1__DeployRequest request = GRID__V1__DEPLOY_REQUEST__INIT;
    Grid__V1__ReleaseConfig config = GRID__V1__RELEASE_CONFIG__INIT;
    Grid__V1__StringPair pairs[ENV_MAX], *pointers[ENV_MAX];
    set_env(d->cli, pairs, pointers);
    config.task_folder = pb_str(option_string(d->cli->options, "task-folder"));
    config.instances = (uint32_t) option_number(d->cli->options, "instances");
    config.env = pointers;
    config.n_env = d->cli->env_count;
    request.directory = pb_str(d->folder);
    request.config = &config;
    request.wait_ms = (uint32_t) option_number(d->cli->options, "wait");
    request.watch_tasks = !option_flag(d->cli->options, "no-watch");
    return progress_run(d->cli, "Deploy", &request.base);
}

static int run(struct cli *cli)
{
    if (cli->env_count > ENV_MAX)
        return cli_fail(GRID_USAGE, "--env is given %zu times: give it at most %d times", cli->env_count, ENV_MAX);
    char *folder = find_folder(cli_argument(cli, 0, "."));
    if (!folder)
        return GRID_FAILED;
    struct deploy deploy = {cli, folder};
    int code = option_flag(cli->options, "watch") ? deploy_watch(folder, deploy_once, &deploy) : deploy_once(&deploy);
    free(folder);
    return code;
}

static const struct option_row OPTIONS[] = {
    {.name = "instances", .kind = OPTION_UINT, .placeholder = "N", .fallback = "0", .max = 1024,
     .help = "processes of each task on each node; 0 starts one and grows to one per core"},
    {.name = "task-folder", .kind = OPTION_STRING, .placeholder = "F", .fallback = "tasks", .help = "the folder of the tasks inside DIR"},
    {.name = "wait", .kind = OPTION_DURATION, .placeholder = "TIME", .fallback = "60s", .min = 1, .max = 86400000,
     .help = "how long to wait for the other nodes"},
    {.name = "watch", .kind = OPTION_FLAG, .help = "stay, and deploy again whenever the folder changes, until Ctrl-C"},
    {.name = "no-watch", .kind = OPTION_FLAG, .help = "do not wait for the tasks: done when the nodes run the release"},
};

const struct verb VERB_deploy = {
    .name = "deploy",
    .arguments = "[DIR]",
    .summary = "send a project folder to every node and run its tasks",
    .details = "DIR is the current folder when not given. What .gridignore names stays behind. The exit code is 4 when some\n"
               "nodes do not run the release in the end, or some tasks cannot be started on some node (which is waited for, at most 15 s); they\n"
               "are named. The release is live all the same: a task that cannot be started keeps its version before. With --watch changes are\n"
               "gathered until there are none for 100 ms, and what --json prints is one object for each release.",
    .example = "grid deploy . --env MODE=test --instances 2",
    .shorts = "e=env",
    .max_arguments = 1,
    .traits = VERB_READS | VERB_ASKS_NODE | VERB_TAKES_ENV,
    .options = OPTIONS,
    .option_count = sizeof OPTIONS / sizeof *OPTIONS,
    .run = run,
};
