/* A question on stderr, a line of stdin. */
#include "cli/confirm.h"

#include <stdio.h>
#include <unistd.h>

#include "cli/cli.h"

bool confirm_is_possible(void)
{
    return isatty(STDIN_FILENO);
}

int confirm_ask(struct slice what)
{
    char line[16] = "";
    fprintf(stderr, "%.*s Go on? [y/N] ", SLICE_FMT(what));
    if (fgets(line, sizeof line, stdin) && (line[0] == 'y' || line[0] == 'Y'))
        return GRID_DONE;
    return cli_fail(GRID_FAILED, "nothing was changed");
}
