/* grid rollback: publishes an older release again. */
#include "cli/progress.h"
#include "cli/verb_names.h"

static bool is_root(const char *text)
{
    size_t length = strlen(text);
    return length >= 8 && length <= 64 && strspn(text, "0123456789abcdef") == length;
}

static int run(struct cli *cli)
{
    Grid__V1__RollbackRequest request = GRID__V1__ROLLBACK_REQUEST__INIT;
    const char *root = cli_argument(cli, 0, NULL);
    if (root && !is_root(root)) /* an empty one too: a variable of a script that was not set */
        return cli_fail(GRID_USAGE, "\"%s\" is not a release: give 8 to 64 hex digits of its root, as grid releases shows them", root);
    request.root = pb_str(root ? root : "");
    request.wait_ms = (uint32_t) option_number(cli->options, "wait");
    request.watch_tasks = !option_flag(cli->options, "no-watch");
    return progress_run(cli, "Rollback", &request.base);
}

static const struct option_row OPTIONS[] = {
    {.name = "wait", .kind = OPTION_DURATION, .placeholder = "TIME", .fallback = "60s", .min = 1, .max = 86400000,
     .help = "how long to wait for the other nodes"},
    {.name = "no-watch", .kind = OPTION_FLAG, .help = "do not wait for the tasks: done when the nodes run the release"},
};

const struct verb VERB_rollback = {
    .name = "rollback",
    .arguments = "[ROOT]",
    .summary = "run an older release again",
    .details = "ROOT is at least 8 digits of what grid releases shows; the release before the current one when not given.\n"
               "Exit codes are those of grid deploy.",
    .example = "grid rollback 1a2b3c4d",
    .max_arguments = 1,
    .traits = VERB_READS | VERB_ASKS_NODE,
    .options = OPTIONS,
    .option_count = sizeof OPTIONS / sizeof *OPTIONS,
    .run = run,
};
