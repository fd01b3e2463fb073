/* grid help. */
#include "cli/cli.h"
#include "cli/help.h"
#include "cli/verb_names.h"

static int print_man(void)
{
    struct buf out;
    buf_init(&out, 0);
    if (help_write_man(&out) == 0)
        return cli_write_buf(&out);
    buf_dispose(&out);
    return cli_fail(GRID_FAILED, "out of memory");
}

static int run(struct cli *cli)
{
    const char *name = cli_argument(cli, 0, NULL);
    const struct verb *verb = name ? verb_find(name) : NULL;
    if (option_flag(cli->options, "man"))
        return print_man();
    if (!name)
        return help_print_all();
    return verb ? help_print_verb(verb) : cli_fail_unknown_verb(name);
}

static const struct option_row OPTIONS[] = {{.name = "man", .kind = OPTION_FLAG, .help = "print the manual page"}};

const struct verb VERB_help = {
    .name = "help",
    .arguments = "[VERB]",
    .summary = "print the verbs, or one verb's help",
    .example = "grid help invoke",
    .max_arguments = 1,
    .options = OPTIONS,
    .option_count = 1,
    .run = run,
};
