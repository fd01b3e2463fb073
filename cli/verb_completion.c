/* grid completion: scripts for shells. */
#include "cli/cli.h"
#include "cli/help.h"
#include "cli/verb_names.h"

static int run(struct cli *cli)
{
    struct buf out;
    buf_init(&out, 0);
    if (completion_write(cli->arguments[0], &out) == 0)
        return cli_write_buf(&out);
    buf_dispose(&out);
    return cli_fail(GRID_USAGE, "there is no completion for \"%s\": give bash, zsh or fish", cli->arguments[0]);
}

const struct verb VERB_completion = {
    .name = "completion",
    .arguments = "SHELL",
    .summary = "print a completion script for bash, zsh or fish",
    .details = "For bash: eval \"$(grid completion bash)\" in ~/.bashrc.",
    .example = "grid completion bash",
    .min_arguments = 1,
    .max_arguments = 1,
    .run = run,
};
