/* grid list: the nodes. */
#include "cli/reading.h"
#include "cli/text.h"
#include "cli/verb_names.h"
#include "grid/v1/control.pb-c.h"

static const struct table_column COLUMNS[] = {{"NODE", 0},    {"STATE", 0}, {"SYNCED", 0},   {"RELEASE", 0}, {"ADDRESS", 0},
                                              {"API", true}, {"UP", true}, {"PLATFORM", 0}, {"VERSION", 0}, {"HERE", 0}};

static void add_row(struct table *t, const void *item, int64_t now_ms)
{
    const Grid__V1__Host *node = item;
    char age[TEXT_SHORT_MAX];
    struct slice address = pb_slice(node->public_ip.len ? node->public_ip : node->private_ip);
    text_age(now_ms - node->started_at_ms, age);
    table_add(t, pb_slice(node->name));
    table_add(t, pb_slice(node->state));
    table_add_str(t, node->synchronized ? "yes" : "no");
    table_add(t, reading_short_id(node->release));
    if (address.size > 0 && node->listen_port)
        table_addf(t, "%.*s:%u", SLICE_FMT(address), node->listen_port);
    else
        table_add(t, address);
    table_addf(t, "%u", node->api_port);
    table_add_str(t, node->started_at_ms ? age : "-");
    table_add(t, pb_slice(node->platform));
    table_add(t, pb_slice(node->version));
    table_add_str(t, node->local ? "*" : "-");
}

static const struct reading READING = {"ListNodes", &grid__v1__list_nodes_response__descriptor, "nodes", COLUMNS,
                                       sizeof COLUMNS / sizeof *COLUMNS, add_row, "no nodes"};

static int run(struct cli *cli)
{
    Grid__V1__ListNodesRequest request = GRID__V1__LIST_NODES_REQUEST__INIT;
    request.all = option_flag(cli->options, "all");
    return reading_show(cli, &READING, &request.base);
}

static const struct option_row OPTIONS[] = {{.name = "all", .kind = OPTION_FLAG, .help = "dead and departed nodes too"}};

const struct verb VERB_list = {
    .name = "list",
    .alias = "ls",
    .arguments = "",
    .summary = "show the nodes of the grid",
    .details = "SYNCED says whether a node runs the grid's current release; HERE marks the node that was asked.",
    .example = "grid list --json",
    .shorts = "a=all",
    .traits = VERB_READS | VERB_ASKS_NODE,
    .options = OPTIONS,
    .option_count = 1,
    .run = run,
};
