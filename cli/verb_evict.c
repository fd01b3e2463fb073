/* grid evict: shuts a node out of the grid, for ever: at a terminal it asks first. */
#include "cli/confirm.h"
#include "cli/node_link.h"
#include "cli/text.h"
#include "cli/verb_names.h"
#include "grid/v1/control.pb-c.h"

enum { ID_PREFIX_MIN = 8, ID_SHOWN = 8 };

#define FOLLOWS                                                                                                                     \
    "is shut out for ever: every member refuses its key, and cuts its connections; nobody joins by password until \"grid password\" sets a new one; and " \
    "if it holds the authority's key, the authority is replaced: Gridfiles and client certificates of now are worth nothing then."

struct question {
    struct slice who; /* as it was given */
    struct buf text;
};

static bool is_meant(const Grid__V1__Host *node, struct slice who)
{
    return slice_equal(pb_slice(node->name), who) || (who.size >= ID_PREFIX_MIN && slice_has_prefix(pb_slice(node->id), who));
}

/* "node3 (1a2b3c4d, alive) ", or as it was given where that is none or several: the node says so then. */
static int name_evictee(void *ctx, const void *answer)
{
    struct question *q = ctx;
    const Grid__V1__ListNodesResponse *list = answer;
    const Grid__V1__Host *meant = NULL;
    size_t count = 0;
    for (size_t i = 0; i < list->n_nodes; i++)
        if (is_meant(list->nodes[i], q->who)) {
            meant = list->nodes[i];
            count++;
        }
    text_append_line(&q->text, count == 1 ? pb_slice(meant->name) : q->who);
    if (count == 1) {
        buf_append_str(&q->text, " (");
        text_append_line(&q->text, slice_first(pb_slice(meant->id), ID_SHOWN));
        buf_append_str(&q->text, ", ");
        text_append_line(&q->text, pb_slice(meant->state));
        buf_append_byte(&q->text, ')');
    }
    return buf_append_str(&q->text, " " FOLLOWS) == 0 ? GRID_DONE : cli_fail(GRID_FAILED, "out of memory");
}

/* Scripts are not asked. */
static int confirm(struct cli *cli)
{
    Grid__V1__ListNodesRequest request = GRID__V1__LIST_NODES_REQUEST__INIT;
    struct question q = {.who = slice_of_str(cli_argument(cli, 0, ""))};
    if (option_flag(cli->options, "yes") || !confirm_is_possible())
        return GRID_DONE;
    request.all = true;
    buf_init(&q.text, 0);
    int code = node_ask_for(cli, "ListNodes", &request.base, &grid__v1__list_nodes_response__descriptor, name_evictee, &q);
    if (code == GRID_DONE)
        code = confirm_ask(buf_slice(&q.text));
    buf_dispose(&q.text);
    return code;
}

static int run(struct cli *cli)
{
    Grid__V1__EvictRequest request = GRID__V1__EVICT_REQUEST__INIT;
    int code = confirm(cli);
    if (code != GRID_DONE)
        return code;
    request.node = pb_str(cli_argument(cli, 0, ""));
    request.replace_authority = option_flag(cli->options, "replace-authority");
    code = node_ask_and_say(cli, "Evict", &request.base, &grid__v1__evict_response__descriptor);
    if (code == GRID_DONE)
        fprintf(stderr, "stop gridd on that machine; it comes back with a new state folder and the new password alone: see \"Back after an eviction\" in docs/operations.md\n");
    return code;
}

static const struct option_row OPTIONS[] = {
    {.name = "replace-authority", .kind = OPTION_FLAG, .help = "replace the grid's authority too, as is done unasked for an issuer"},
    {.name = "yes", .kind = OPTION_FLAG, .help = "do not ask; nor is asked where there is no terminal"},
};

const struct verb VERB_evict = {
    .name = "evict",
    .arguments = "NODE",
    .summary = "shut a node out of the grid for ever",
    .details = "Every member refuses its key from then on and cuts its connections within seconds, and joining by password is closed until grid password sets a new one. "
               "Evicting an issuer, who knows the authority's key, replaces the authority too. NODE is a name, an id, or at least 8 digits of an id. "
               "It cannot be taken back: the machine comes back as a new node, with a new state folder and a new password.",
    .example = "grid evict node3",
    .min_arguments = 1,
    .max_arguments = 1,
    .traits = VERB_ASKS_NODE,
    .options = OPTIONS,
    .option_count = sizeof OPTIONS / sizeof *OPTIONS,
    .run = run,
};
