/* grid clear: stops and forgets the tasks of this node. */
#include "cli/node_link.h"
#include "cli/text.h"
#include "cli/verb_names.h"
#include "grid/v1/control.pb-c.h"

static int print_names(void *ctx, const void *cleared)
{
    const Grid__V1__ClearResponse *answer = cleared;
    struct buf out;
    (void) ctx;
    buf_init(&out, 0);
    for (size_t i = 0; i < answer->n_processes; i++) {
        text_append_line(&out, pb_slice(answer->processes[i]));
        buf_append_byte(&out, '\n');
    }
    fprintf(stderr, "%zu processes ended\n", answer->n_processes);
    return cli_write_buf(&out);
}

static int run(struct cli *cli)
{
    Grid__V1__ClearRequest request = GRID__V1__CLEAR_REQUEST__INIT;
    return node_ask_for(cli, "Clear", &request.base, &grid__v1__clear_response__descriptor, print_names, NULL);
}

const struct verb VERB_clear = {
    .name = "clear",
    .arguments = "",
    .summary = "stop and forget all tasks of this node until the next deploy",
    .details = "Prints the names of the processes that it ended.",
    .example = "grid clear",
    .traits = VERB_ASKS_NODE,
    .run = run,
};
