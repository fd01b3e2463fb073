/* grid logs: what the tasks of this node wrote. */
#include "cli/log_line.h"
#include "cli/node_link.h"
#include "cli/pb_json.h"
#include "cli/verb_names.h"

enum { ARENA_BLOCK = 32 * 1024 };

struct logs {
    const struct cli *cli;
    struct arena *arena;
    enum log_style style;
    bool has_shown;
    int code;
};

static void append(struct buf *out, const struct logs *logs, const Grid__V1__LogLine *line)
{
    struct json_writer w;
    if (!cli_wants_json(logs->cli)) {
        log_line_append(out, line, logs->style);
        return;
    }
    json_writer_init(&w, out);
    pb_json_write(&w, &line->base);
    json_writer_finish(&w);
    buf_append_byte(out, '\n');
}

static bool on_message(void *ctx, const void *message, size_t size)
{
    struct logs *logs = ctx;
    struct buf out;
    buf_init(&out, 0);
    logs->has_shown = true;
    arena_reset(logs->arena);
    Grid__V1__LogLine *line = pb_unpack(&grid__v1__log_line__descriptor, logs->arena, slice_of(message, size));
    if (line)
        append(&out, logs, line);
    logs->code = cli_write_buf(&out);
    return logs->code == GRID_DONE;
}

static int run(struct cli *cli)
{
    Grid__V1__LogsRequest request = GRID__V1__LOGS_REQUEST__INIT;
    struct logs logs = {.cli = cli, .arena = arena_create(ARENA_BLOCK, 0)};
    if (!logs.arena)
        return cli_fail(GRID_FAILED, "out of memory");
    logs.style = cli->out_has_colour ? LOG_STYLE_COLOUR : cli->out_is_terminal ? LOG_STYLE_TERMINAL : LOG_STYLE_RAW;
    request.task = pb_str(cli_argument(cli, 0, NULL));
    request.lines = (uint32_t) option_number(cli->options, "lines");
    request.follow = option_flag(cli->options, "follow");
    int code = node_follow(cli, "Logs", &request.base, on_message, &logs);
    arena_destroy(logs.arena);
    if (code == GRID_DONE && !logs.has_shown && !request.follow && !cli_wants_json(cli))
        fprintf(stderr, "nothing was written yet on this node: grid tasks shows what runs\n");
    return logs.code ? logs.code : code;
}

static const struct option_row OPTIONS[] = {
    {.name = "lines", .kind = OPTION_UINT, .placeholder = "N", .fallback = "100", .max = 10000, .help = "how many of the old lines"},
    {.name = "follow", .kind = OPTION_FLAG, .help = "go on with new lines as they come"},
};

const struct verb VERB_logs = {
    .name = "logs",
    .arguments = "[TASK]",
    .summary = "show what the tasks of this node wrote",
    .details = "Times are UTC. With --json each line is an object.",
    .example = "grid logs hello -f -n 20",
    .shorts = "n=lines f=follow",
    .max_arguments = 1,
    .traits = VERB_READS | VERB_ASKS_NODE,
    .options = OPTIONS,
    .option_count = sizeof OPTIONS / sizeof *OPTIONS,
    .run = run,
};
