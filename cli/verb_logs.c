/* grid logs: what the tasks of a node, or of all, wrote. */
#include <stdlib.h>

#include "cli/log_follow.h"
#include "cli/log_line.h"
#include "cli/node_link.h"
#include "cli/pb_json.h"
#include "cli/verb_names.h"

enum { ARENA_BLOCK = 32 * 1024 };

/* One packed line, in the arena of all. */
struct kept_line {
    int64_t time_ms;
    struct slice packed;
};

struct logs {
    const struct cli *cli;
    struct arena *arena; /* of one line */
    enum log_style style;
    bool shows_node, has_shown;
    int code;
    struct arena *kept_arena; /* of the lines that are put in order before they are shown */
    struct kept_line *kept;
    size_t kept_count, kept_capacity;
    struct log_mark *mark; /* of the node whose lines come, when they are gone on with; else NULL */
};

static void append(struct buf *out, const struct logs *logs, const Grid__V1__LogLine *line)
{
    struct json_writer w;
    if (!cli_wants_json(logs->cli)) {
        log_line_append(out, line, logs->style, logs->shows_node);
        return;
    }
    json_writer_init(&w, out);
    pb_json_write(&w, &line->base);
    json_writer_finish(&w);
    buf_append_byte(out, '\n');
}

static bool show(void *ctx, struct slice packed)
{
    struct logs *logs = ctx;
    struct buf out;
    buf_init(&out, 0);
    logs->has_shown = true;
    arena_reset(logs->arena);
    Grid__V1__LogLine *line = pb_unpack(&grid__v1__log_line__descriptor, logs->arena, packed);
    if (line)
        append(&out, logs, line);
    logs->code = cli_write_buf(&out);
    return logs->code == GRID_DONE;
}

static bool on_message(void *ctx, const void *message, size_t size)
{
    return show(ctx, slice_of(message, size));
}

/* ---- of every node ---- */

/* Room for one more. */
static bool make_room(struct logs *logs)
{
    size_t capacity = logs->kept_capacity ? 2 * logs->kept_capacity : 256;
    if (logs->kept_count < logs->kept_capacity)
        return true;
    struct kept_line *kept = realloc(logs->kept, capacity * sizeof *kept);
    if (!kept)
        return false;
    logs->kept_capacity = capacity;
    logs->kept = kept;
    return true;
}

static bool keep(void *ctx, const void *message, size_t size)
{
    struct logs *logs = ctx;
    arena_reset(logs->arena);
    const Grid__V1__LogLine *line = pb_unpack(&grid__v1__log_line__descriptor, logs->arena, slice_of(message, size));
    uint8_t *copy = line && make_room(logs) ? arena_alloc(logs->kept_arena, size > 0 ? size : 1) : NULL;
    if (!copy)
        return true;
    memcpy(copy, message, size);
    if (logs->mark)
        log_mark_take(logs->mark, line->time_ms);
    logs->kept[logs->kept_count++] = (struct kept_line){line->time_ms, slice_of(copy, size)};
    return true;
}

static int compare_kept(const void *a, const void *b)
{
    const struct kept_line *x = a, *y = b;
    if (x->time_ms != y->time_ms)
        return x->time_ms < y->time_ms ? -1 : 1;
    return x->packed.data < y->packed.data ? -1 : x->packed.data > y->packed.data;
}

static void show_kept(struct logs *logs, size_t wanted)
{
    if (logs->kept_count > 0)
        qsort(logs->kept, logs->kept_count, sizeof *logs->kept, compare_kept);
    for (size_t i = logs->kept_count > wanted ? logs->kept_count - wanted : 0; i < logs->kept_count; i++)
        if (!show(logs, logs->kept[i].packed))
            return;
}

static int list_nodes(struct cli *cli, struct logs *logs, const Grid__V1__ListNodesResponse **out)
{
    const Grid__V1__ListNodesRequest question = GRID__V1__LIST_NODES_REQUEST__INIT;
    void *answer = NULL;
    int code = node_ask(cli, "ListNodes", &question.base, &grid__v1__list_nodes_response__descriptor, logs->kept_arena, &answer);
    *out = answer;
    return code;
}

/* One after the other; what a node does not answer is said, and the rest is shown. */
static int read_all(struct cli *cli, struct logs *logs, Grid__V1__LogsRequest *request)
{
    const Grid__V1__ListNodesResponse *nodes;
    size_t answered = 0;
    int code = list_nodes(cli, logs, &nodes), last = code;
    if (code != GRID_DONE)
        return code;
    for (size_t i = 0; i < nodes->n_nodes; i++) {
        request->node = nodes->nodes[i]->id;
        last = node_follow(cli, "Logs", &request->base, keep, logs);
        answered += last == GRID_DONE;
        code = last == GRID_DONE ? code : GRID_IN_PART;
    }
    show_kept(logs, request->lines);
    return answered > 0 ? code : last;
}

/* The old lines of all in order, then the new ones as they come: who does not answer, or does not run the task yet, is followed all the same. */
static int follow_all(struct cli *cli, struct logs *logs, Grid__V1__LogsRequest *request)
{
    const Grid__V1__ListNodesResponse *nodes;
    struct grid_error ignored;
    int code = list_nodes(cli, logs, &nodes);
    if (code != GRID_DONE)
        return code;
    struct log_follow *follow = log_follow_create(&(struct log_follow_options){cli, cli_argument(cli, 0, NULL), show, logs});
    if (!follow)
        return cli_fail(GRID_FAILED, "out of memory");
    uint32_t wanted = request->lines;
    request->lines = wanted > LOG_FOLLOW_OLD_LINES ? wanted : LOG_FOLLOW_OLD_LINES; /* those that are not wanted are read all the same, to know which are old */
    request->follow = false;
    for (size_t i = 0; i < nodes->n_nodes; i++) {
        request->node = nodes->nodes[i]->id;
        logs->mark = log_follow_mark(follow, pb_slice(request->node));
        node_stream(cli, "Logs", &request->base, keep, logs, &ignored);
    }
    show_kept(logs, wanted);
    return logs->code ? logs->code : log_follow_run(follow);
}

static int check_choice(struct cli *cli, const Grid__V1__LogsRequest *request)
{
    bool both = option_flag(cli->options, "all") && request->node.len > 0;
    return both ? cli_fail(GRID_USAGE, "--all is every node, and --node %.*s one of them: leave one of the two out", SLICE_FMT(pb_slice(request->node))) : GRID_DONE;
}

static int read_logs(struct cli *cli, struct logs *logs)
{
    Grid__V1__LogsRequest request = GRID__V1__LOGS_REQUEST__INIT;
    const char *node = option_string(cli->options, "node");
    request.task = pb_str(cli_argument(cli, 0, NULL));
    request.lines = (uint32_t) option_number(cli->options, "lines");
    bool follows = option_flag(cli->options, "follow");
    request.follow = follows;
    request.node = pb_str(node);
    int code = check_choice(cli, &request);
    if (code != GRID_DONE)
        return code;
    logs->shows_node = option_flag(cli->options, "all");
    if (logs->shows_node)
        code = (follows ? follow_all : read_all)(cli, logs, &request);
    else
        code = node_follow(cli, "Logs", &request.base, on_message, logs);
    if (code == GRID_DONE && !logs->has_shown && !follows && !cli_wants_json(cli))
        fprintf(stderr, "nothing was written yet by what runs %s: grid tasks shows it\n", logs->shows_node ? "on any node" : node ? "there" : "on this node (--all asks every one)");
    return code;
}

static int run(struct cli *cli)
{
    struct logs logs = {.cli = cli, .arena = arena_create(ARENA_BLOCK, 0), .kept_arena = arena_create(ARENA_BLOCK, 0)};
    logs.style = cli->out_has_colour ? LOG_STYLE_COLOUR : cli->out_is_terminal ? LOG_STYLE_TERMINAL : LOG_STYLE_RAW;
    int code = logs.arena && logs.kept_arena ? read_logs(cli, &logs) : cli_fail(GRID_FAILED, "out of memory");
    arena_destroy(logs.arena);
    arena_destroy(logs.kept_arena);
    free(logs.kept);
    return logs.code ? logs.code : code;
}

static const struct option_row OPTIONS[] = {
    {.name = "lines", .kind = OPTION_UINT, .placeholder = "N", .fallback = "100", .max = 10000, .help = "how many of the old lines, of all tasks together"},
    {.name = "follow", .kind = OPTION_FLAG, .help = "go on with new lines as they come"},
    {.name = "node", .kind = OPTION_STRING, .placeholder = "NODE", .help = "name or id of another node, which is asked through this one"},
    {.name = "all", .kind = OPTION_FLAG, .help = "what was written on every node: old lines in order of time, new ones as they come"},
};

const struct verb VERB_logs = {
    .name = "logs",
    .arguments = "[TASK]",
    .summary = "show what tasks wrote, on this node or on others",
    .details = "A call runs on any node, and what it writes stays there: --all asks every one, and with --follow goes on as nodes come and go. "
               "Times are UTC. With --json each line is an object.",
    .example = "grid logs hello --all -n 20",
    .shorts = "n=lines f=follow a=all",
    .max_arguments = 1,
    .traits = VERB_READS | VERB_ASKS_NODE,
    .options = OPTIONS,
    .option_count = sizeof OPTIONS / sizeof *OPTIONS,
    .run = run,
};
