/* grid new: mints a grid's access card. */
#include "cli/cli.h"
#include "cli/gridfile_new.h"
#include "cli/verb_names.h"

static int run(struct cli *cli)
{
    int code = gridfile_new("Gridfile", cli->arguments[0]);
    if (code == GRID_DONE)
        fprintf(stderr, "Gridfile written: the access card of grid %s. Give it to every node (gridd --gridfile Gridfile), and to nobody else.\n",
                cli->arguments[0]);
    return code;
}

const struct verb VERB_new = {
    .name = "new",
    .arguments = "NAME",
    .summary = "mint a grid: writes its access card, ./Gridfile",
    .details = "The Gridfile holds the grid's key: who has it can add nodes. An existing one is left alone. No node is needed.",
    .example = "grid new mygrid",
    .min_arguments = 1,
    .max_arguments = 1,
    .run = run,
};
