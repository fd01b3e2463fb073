/* grid evict: shuts a node out of the grid. */
#include "cli/node_link.h"
#include "cli/text.h"
#include "cli/verb_names.h"
#include "grid/v1/control.pb-c.h"

static int run(struct cli *cli)
{
    Grid__V1__EvictRequest request = GRID__V1__EVICT_REQUEST__INIT;
    request.node = pb_str(cli_argument(cli, 0, ""));
    request.replace_authority = option_flag(cli->options, "replace-authority");
    return node_ask_and_say(cli, "Evict", &request.base, &grid__v1__evict_response__descriptor);
}

static const struct option_row OPTIONS[] = {
    {.name = "replace-authority", .kind = OPTION_FLAG, .help = "replace the grid's authority too, as is done unasked for an issuer"},
};

const struct verb VERB_evict = {
    .name = "evict",
    .arguments = "NODE",
    .summary = "shut a node out of the grid for ever",
    .details = "Every member refuses its key from then on and cuts its connections within seconds, and joining by password is closed until grid password sets a new one. "
               "Evicting an issuer, who knows the authority's key, replaces the authority too. NODE is a name, an id, or at least 8 digits of an id.",
    .example = "grid evict node3",
    .min_arguments = 1,
    .max_arguments = 1,
    .traits = VERB_ASKS_NODE,
    .options = OPTIONS,
    .option_count = sizeof OPTIONS / sizeof *OPTIONS,
    .run = run,
};
