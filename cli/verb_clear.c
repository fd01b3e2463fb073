/* grid clear: stops and forgets the tasks of this node. */
#include "cli/node_link.h"
#include "cli/text.h"
#include "cli/verb_names.h"
#include "grid/v1/control.pb-c.h"

enum { ARENA_BLOCK = 4096 };

static int print_names(const Grid__V1__ClearResponse *answer)
{
    struct buf out;
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
    void *answer;
    struct arena *arena = arena_create(ARENA_BLOCK, 0);
    int code = arena ? node_ask(cli, "Clear", &request.base, &grid__v1__clear_response__descriptor, arena, &answer)
                     : cli_fail(GRID_FAILED, "out of memory");
    if (code == GRID_DONE)
        code = print_names(answer);
    arena_destroy(arena);
    return code;
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
