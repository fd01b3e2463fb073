/* grid invoke: one call, its answer on stdout. */
#include "cli/call.h"
#include "cli/text.h"
#include "cli/verb_names.h"

/* The bytes as they are; on a terminal made harmless, with a line end. */
static int print_output(const struct cli *cli, struct slice output)
{
    struct buf text;
    if (!cli->out_is_terminal)
        return cli_write(output);
    buf_init(&text, 0);
    text_append_lines(&text, output);
    if (output.size > 0 && output.data[output.size - 1] != '\n')
        buf_append_byte(&text, '\n');
    return cli_write_buf(&text);
}

static void explain_run(const struct grid_result *r)
{
    cli_say("node %s, status %d, attempts %u, request %s, release %.8s", r->node, r->status, r->attempts, r->request_id, r->release);
}

static int conclude(const struct cli *cli, const struct call *call, const struct grid_result *result)
{
    if (option_flag(cli->options, "verbose"))
        explain_run(result);
    if (result->task_error)
        return call_explain_error(call->task, result);
    if (result->status >= 400)
        return cli_fail(GRID_FAILED, "%s answered with status %d on %s: what it says of that is its output", call->task, result->status, result->node);
    return GRID_DONE;
}

static int run_whole(struct cli *cli, const struct call *call)
{
    struct grid_result *result;
    struct grid_error error = {0};
    const struct client_functions *lib = &cli->link->lib;
    if (lib->grid_call(cli->link->client, call->task, NULL, call->input, &call->options, &result, &error) != GRID_CODE_OK)
        return call_fail(&error);
    int code = result->task_error ? GRID_DONE : print_output(cli, slice_of(result->output, result->output_size));
    int told = conclude(cli, call, result);
    lib->grid_result_destroy(result);
    return told ? told : code;
}

static bool on_data(void *ctx, const void *data, size_t size)
{
    struct buf text;
    const struct cli *cli = ctx;
    if (!cli->out_is_terminal)
        return cli_write(slice_of(data, size)) == GRID_DONE;
    buf_init(&text, 0);
    text_append_lines(&text, slice_of(data, size));
    return cli_write_buf(&text) == GRID_DONE;
}

static int run_streamed(struct cli *cli, const struct call *call)
{
    struct grid_result *result;
    struct grid_error error = {0};
    const struct client_functions *lib = &cli->link->lib;
    if (lib->grid_call_stream(cli->link->client, call->task, NULL, call->input, &call->options, on_data, cli, &result, &error) !=
        GRID_CODE_OK)
        return call_fail(&error);
    int code = conclude(cli, call, result);
    lib->grid_result_destroy(result);
    return code;
}

static int run(struct cli *cli)
{
    struct call call;
    int code = call_init(&call, cli);
    call.options.node = option_string(cli->options, "node");
    call.options.idempotency_key = option_string(cli->options, "idempotency-key");
    if (code == GRID_DONE)
        code = option_flag(cli->options, "stream") ? run_streamed(cli, &call) : run_whole(cli, &call);
    call_dispose(&call);
    return code;
}

static const struct option_row OPTIONS[] = {
    CALL_DATA_ROW,
    CALL_RAW_ROW,
    CALL_TIMEOUT_ROW,
    {.name = "node", .kind = OPTION_STRING, .placeholder = "NODE", .help = "name or id of the only node that may run it"},
    {.name = "idempotency-key", .kind = OPTION_STRING, .placeholder = "KEY", .help = "handed to the task"},
    {.name = "stream", .kind = OPTION_FLAG, .help = "write the answer as it comes"},
    {.name = "verbose", .kind = OPTION_FLAG, .help = "tell on stderr who answered"},
};

const struct verb VERB_invoke = {
    .name = "invoke",
    .arguments = "TASK[.HANDLER]",
    .summary = "call a task, and print its answer",
    .details = "The answer goes to stdout byte for byte. A task's own error goes to stderr, and the exit code is 1.",
    .example = "grid invoke hello -d '{\"name\": \"you\"}'",
    .shorts = "d=data v=verbose",
    .min_arguments = 1,
    .max_arguments = 1,
    .traits = VERB_ASKS_NODE,
    .options = OPTIONS,
    .option_count = sizeof OPTIONS / sizeof *OPTIONS,
    .run = run,
};
