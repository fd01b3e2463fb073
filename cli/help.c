/* Help and the manual page. */
#include "cli/help.h"

#include "base/option_man.h"
#include "cli/cli.h"

static int write_list(struct buf *out)
{
    int err = 0;
    for (size_t i = 0; err == 0 && i < VERB_COUNT; i++)
        err = buf_printf(out, "  %-11s %s\n", VERBS[i]->name, VERBS[i]->summary);
    return err;
}

int help_write_all(struct buf *out)
{
    int err = buf_append_str(out, "grid: the command line of a compute grid\n\nUsage: grid VERB [OPTION]... [ARGUMENT]...\n\nVerbs:\n");
    if (err == 0)
        err = write_list(out);
    return err ? err
               : buf_append_str(out, "\ngrid VERB --help says more of each, with an example. Exit codes: 0 done, 1 failed, 2 usage,\n"
                                     "3 no node reachable, 4 done in part.\n");
}

static int write_short_options(const struct verb *verb, struct buf *out)
{
    struct option_row rows[VERB_OPTIONS_MAX];
    size_t count = verb_options(verb, rows), found = 0;
    int err = 0;
    for (size_t i = 0; err == 0 && i < count; i++) {
        char letter = verb_letter(verb, rows[i].name);
        if (letter)
            err = buf_printf(out, "%s-%c is --%s", found++ ? ", " : "\n", letter, rows[i].name);
    }
    return err || found == 0 ? err : buf_append_str(out, ".\n");
}

int help_write_verb(const struct verb *verb, struct buf *out)
{
    struct option_row rows[VERB_OPTIONS_MAX];
    size_t count = verb_options(verb, rows);
    int err = buf_printf(out, "grid %s: %s\n\nUsage: grid %s [OPTION]...%s%s\n", verb->name, verb->summary, verb->name,
                         *verb->arguments ? " " : "", verb->arguments);
    if (err == 0 && verb->alias)
        err = buf_printf(out, "       grid %s is the same.\n", verb->alias);
    if (err == 0 && verb->details)
        err = buf_printf(out, "\n%s\n", verb->details);
    if (err == 0)
        err = buf_append_str(out, "\nOptions:\n");
    if (err == 0)
        err = option_write_help(rows, count, out);
    if (err == 0)
        err = write_short_options(verb, out);
    return err ? err : buf_printf(out, "\nExample: %s\n", verb->example);
}

static int man_verb(const struct verb *verb, struct buf *out)
{
    struct option_row rows[VERB_OPTIONS_MAX];
    size_t count = verb_options(verb, rows);
    int err = man_write_line(out, ".SS ", verb->name, " \\fI");
    if (err == 0)
        err = man_write_line(out, "", verb->arguments, "\\fR\n");
    if (err == 0)
        err = man_write_line(out, "", verb->summary, ".\n");
    if (err == 0 && verb->details)
        err = man_write_line(out, ".PP\n", verb->details, "\n");
    for (size_t i = 0; err == 0 && i + 1 < count; i++) /* --help, the last, is said once */
        err = option_write_man(&rows[i], verb_letter(verb, rows[i].name), out);
    return err ? err : man_write_line(out, ".PP\n.EX\n", verb->example, "\n.EE\n");
}

int help_write_man(struct buf *out)
{
    int err = buf_append_str(out, ".\\\" Written by \"grid help --man\" from the table of verbs.\n.TH GRID 1 \"\" \"GridControl\"\n"
                                  ".SH NAME\ngrid \\- the command line of a compute grid\n.SH SYNOPSIS\n.B grid\n.I VERB\n"
                                  "[\\fIOPTION\\fR]... [\\fIARGUMENT\\fR]...\n.SH DESCRIPTION\nCalls tasks of a grid and looks after it, "
                                  "through the node of this machine. Every verb has\n.BR \\-\\-help .\n.SH VERBS\n");
    for (size_t i = 0; err == 0 && i < VERB_COUNT; i++)
        err = man_verb(VERBS[i], out);
    return err ? err
               : buf_append_str(out, ".SH ENVIRONMENT\n.TP\n.B GRID_API\nThe node to ask, and no other, when \\-\\-api is not given: host:port or the path of a socket.\n.TP\n"
                                     ".B GRID_API_SOCKET\nThe local socket, when it is not at its usual place.\n.TP\n"
                                     ".B NO_COLOR\nNo colours.\n.SH EXIT STATUS\n0 done, 1 failed, 2 usage, 3 no node reachable, 4 done in "
                                     "part.\n");
}

static int print(int err, struct buf *text)
{
    if (err == 0)
        return cli_write_buf(text);
    buf_dispose(text);
    return cli_fail(GRID_FAILED, "out of memory");
}

int help_print_all(void)
{
    struct buf text;
    buf_init(&text, 0);
    return print(help_write_all(&text), &text);
}

int help_print_verb(const struct verb *verb)
{
    struct buf text;
    buf_init(&text, 0);
    return print(help_write_verb(verb, &text), &text);
}
