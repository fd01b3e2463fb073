/* grid processing: the calls that this node is working on. */
#include "cli/reading.h"
#include "cli/text.h"
#include "cli/verb_names.h"
#include "grid/v1/control.pb-c.h"

static const struct table_column COLUMNS[] = {{"REQUEST", 0}, {"TASK", 0}, {"HANDLER", 0}, {"SINCE", true}, {"FROM", 0}};

static void add_row(struct table *t, const void *item, int64_t now_ms)
{
    const Grid__V1__ProcessingInfo *call = item;
    char age[TEXT_SHORT_MAX];
    text_age(now_ms - call->started_at_ms, age);
    table_add(t, pb_slice(call->request_id));
    table_add(t, pb_slice(call->task));
    table_add(t, pb_slice(call->handler));
    table_add_str(t, age);
    table_add(t, call->from.len ? pb_slice(call->from) : SLICE("local API"));
}

static const struct reading READING = {"ListProcessing", &grid__v1__list_processing_response__descriptor, "calls", COLUMNS,
                                       sizeof COLUMNS / sizeof *COLUMNS, add_row, "no calls under way"};

static int run(struct cli *cli)
{
    Grid__V1__ListProcessingRequest request = GRID__V1__LIST_PROCESSING_REQUEST__INIT;
    return reading_show(cli, &READING, &request.base);
}

const struct verb VERB_processing = {
    .name = "processing",
    .arguments = "",
    .summary = "show the calls that this node is working on",
    .details = "FROM names the node that sent a call.",
    .example = "grid processing",
    .traits = VERB_READS | VERB_ASKS_NODE,
    .run = run,
};
