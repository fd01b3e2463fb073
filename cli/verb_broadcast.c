/* grid broadcast: one call on every node, a line per node. */
#include "base/json.h"
#include "cli/broadcast.h"
#include "cli/call.h"
#include "cli/text.h"
#include "cli/verb_names.h"

struct broadcast {
    const struct cli *cli;
    const char *task;
    unsigned done, failed;
};

static void write_json_error(struct json_writer *w, const struct grid_task_error *error)
{
    json_write_key(w, "error");
    if (!error) {
        json_write_null(w);
        return;
    }
    json_open_object(w);
    json_write_key(w, "type");
    json_write_str(w, error->type);
    json_write_key(w, "message");
    json_write_str(w, error->message);
    json_close_object(w);
}

void broadcast_write_json(const struct grid_result *r, struct buf *out)
{
    struct json_writer w;
    struct slice output = slice_of(r->output, r->output_size), raw;
    json_writer_init(&w, out);
    json_open_object(&w);
    json_write_key(&w, "node");
    json_write_str(&w, r->node);
    json_write_key(&w, "status");
    json_write_int(&w, r->status);
    json_write_key(&w, "request_id");
    json_write_str(&w, r->request_id);
    json_write_key(&w, "output");
    if (r->output_is_json && json_validate(output, &raw, NULL) == 0)
        json_write_raw(&w, raw);
    else
        json_write_string(&w, output);
    write_json_error(&w, r->task_error);
    json_close_object(&w);
    json_writer_finish(&w);
    buf_append_byte(out, '\n');
}

void broadcast_write_line(const struct grid_result *r, struct buf *out)
{
    text_append_line(out, slice_of_str(*r->node ? r->node : "(unnamed)"));
    buf_append_str(out, "  ");
    if (r->task_error) {
        buf_append_str(out, "failed: ");
        text_append_line(out, slice_of_str(r->task_error->message));
    } else {
        text_append_line(out, slice_of(r->output, r->output_size));
    }
    buf_append_byte(out, '\n');
}

static bool on_result(void *ctx, const struct grid_result *result)
{
    struct broadcast *b = ctx;
    struct buf line;
    buf_init(&line, 0);
    if (result->task_error)
        b->failed++;
    else
        b->done++;
    if (cli_wants_json(b->cli))
        broadcast_write_json(result, &line);
    else
        broadcast_write_line(result, &line);
    return cli_write_buf(&line) == GRID_DONE;
}

static int conclude(const struct broadcast *b)
{
    if (b->failed == 0)
        return b->done ? GRID_DONE : cli_fail(GRID_FAILED, "no node answered: grid list shows which are synchronized");
    cli_fail(GRID_FAILED, "%s failed on %u of %u nodes: their lines tell why, and grid logs --all more", b->task, b->failed, b->failed + b->done);
    return b->done ? GRID_IN_PART : GRID_FAILED;
}

static int run(struct cli *cli)
{
    struct call call;
    struct grid_error error = {0};
    int code = call_init(&call, cli);
    struct broadcast b = {.cli = cli, .task = call.task};
    if (code == GRID_DONE) {
        if (cli->link->lib.grid_broadcast(cli->link->client, call.task, NULL, call.input, &call.options, on_result, &b, &error) ==
            GRID_CODE_OK)
            code = conclude(&b);
        else
            code = call_fail(&error);
        if (code == GRID_FAILED && b.done > 0)
            code = GRID_IN_PART;
    }
    call_dispose(&call);
    return code;
}

static const struct option_row OPTIONS[] = {CALL_DATA_ROW, CALL_RAW_ROW, CALL_TIMEOUT_ROW};

const struct verb VERB_broadcast = {
    .name = "broadcast",
    .arguments = "TASK[.HANDLER]",
    .summary = "call a task on every node, and print a line for each",
    .details = "With --json each line is an object. The exit code is 4 when the task failed on some of the nodes.",
    .example = "grid broadcast hello.where --json",
    .shorts = "d=data",
    .min_arguments = 1,
    .max_arguments = 1,
    .traits = VERB_READS | VERB_ASKS_NODE,
    .options = OPTIONS,
    .option_count = sizeof OPTIONS / sizeof *OPTIONS,
    .run = run,
};
