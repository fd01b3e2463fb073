/* grid dev: a local grid that serves a folder. */
#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "cli/dev.h"
#include "cli/verb_names.h"

enum { PATH_SIZE = 4096, DEPLOY_ARGUMENTS_MAX = 24 };

/* gridd beside this program, else in PATH. */
static bool find_gridd(const char *self, char out[PATH_SIZE])
{
    const char *slash = strrchr(self, '/'), *path = getenv("PATH");
    if (slash && snprintf(out, PATH_SIZE, "%.*s/gridd", (int) (slash - self), self) < PATH_SIZE && access(out, X_OK) == 0)
        return true;
    while (path && *path) {
        size_t length = strcspn(path, ":");
        if (length > 0 && snprintf(out, PATH_SIZE, "%.*s/gridd", (int) length, path) < PATH_SIZE && access(out, X_OK) == 0)
            return true;
        path += length + (path[length] == ':');
    }
    return false;
}

static bool find_self(char out[PATH_SIZE])
{
    ssize_t size = readlink("/proc/self/exe", out, PATH_SIZE - 1);
    if (size <= 0)
        return false;
    out[size] = '\0';
    return true;
}

/* The options that go on to grid deploy. */
static size_t pass_on(const struct cli *cli, const char *out[DEPLOY_ARGUMENTS_MAX])
{
    size_t count = 0;
    const char *instances = option_string(cli->options, "instances"), *folder = option_string(cli->options, "task-folder");
    if (instances) {
        out[count++] = "--instances";
        out[count++] = instances;
    }
    if (folder) {
        out[count++] = "--task-folder";
        out[count++] = folder;
    }
    for (size_t i = 0; i < cli->env_count && count + 2 <= DEPLOY_ARGUMENTS_MAX; i++) {
        out[count++] = "--env";
        out[count++] = cli->env[i];
    }
    return count;
}

static int run_in(struct cli *cli, const char *folder)
{
    char self[PATH_SIZE], gridd[PATH_SIZE];
    const char *arguments[DEPLOY_ARGUMENTS_MAX];
    if (!find_self(self) || !find_gridd(self, gridd))
        return cli_fail(GRID_FAILED, "gridd is neither beside grid nor in PATH: install GridControl whole");
    if (cli->env_count > (DEPLOY_ARGUMENTS_MAX - 4) / 2)
        return cli_fail(GRID_USAGE, "--env is given %zu times: give it at most %d times", cli->env_count, (DEPLOY_ARGUMENTS_MAX - 4) / 2);
    struct dev_options options = {
        .folder = folder,
        .gridd = gridd,
        .grid = self,
        .nodes = (unsigned) option_number(cli->options, "nodes"),
        .port = (uint16_t) option_number(cli->options, "port"),
        .log_level = option_string(cli->options, "log-level"),
        .task_user = option_string(cli->options, "task-user"),
        .task_sandbox = option_string(cli->options, "task-sandbox"),
        .deploy_arguments = arguments,
    };
    options.deploy_argument_count = pass_on(cli, arguments);
    return dev_run(cli, &options);
}

static int run(struct cli *cli)
{
    const char *given = cli_argument(cli, 0, ".");
    char *folder = realpath(given, NULL);
    if (!folder)
        return cli_fail(GRID_FAILED, "%s cannot be served (%s): give the folder of a project, as grid sample writes one", given, strerror(errno));
    int code = run_in(cli, folder);
    free(folder);
    return code;
}

static const struct option_row OPTIONS[] = {
    {.name = "nodes", .kind = OPTION_UINT, .placeholder = "N", .fallback = "1", .min = 1, .max = DEV_NODES_MAX, .help = "how many nodes to start"},
    {.name = "port", .kind = OPTION_UINT, .placeholder = "P", .fallback = "0", .max = 65535, .help = "API port of the first node; 0 takes any free one"},
    {.name = "instances", .kind = OPTION_UINT, .placeholder = "N", .max = 1024, .example = "2", .help = "processes of each task on each node"},
    {.name = "task-folder", .kind = OPTION_STRING, .placeholder = "F", .example = "tasks", .help = "the folder of the tasks inside DIR"},
    {.name = "log-level", .kind = OPTION_STRING, .placeholder = "LEVEL", .fallback = "error", .choices = "debug|info|warn|error",
     .help = "what the nodes log"},
    {.name = "task-user", .kind = OPTION_STRING, .placeholder = "USER",
     .help = "gridd's option: whom tasks run as, when you are root; \"root\" where a user of their own cannot reach them"},
    {.name = "task-sandbox", .kind = OPTION_STRING, .placeholder = "LEVEL", .choices = "off|standard|strict", .example = "standard",
     .help = "gridd's option: how tasks are kept apart from the node and the system"},
};

const struct verb VERB_dev = {
    .name = "dev",
    .arguments = "[DIR]",
    .summary = "run a local grid that serves a folder, deployed again on save",
    .details = "Starts nodes on this machine with a temporary state and a Gridfile of their own, and shows all their logs; a task\n"
               "that fails again in the same way is counted. DIR is the current folder when not given. Ctrl-C ends the grid and leaves\n"
               "nothing behind.",
    .example = "grid dev --nodes 3",
    .shorts = "e=env",
    .max_arguments = 1,
    .traits = VERB_TAKES_ENV,
    .options = OPTIONS,
    .option_count = sizeof OPTIONS / sizeof *OPTIONS,
    .run = run,
};
