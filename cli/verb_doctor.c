/* grid doctor: what is wrong, and what to do. */
#include <sys/timex.h>

#include "base/err.h"
#include "base/json.h"
#include "cli/doctor.h"
#include "cli/node_link.h"
#include "cli/text.h"
#include "cli/verb_names.h"

enum { ARENA_BLOCK = 16 * 1024 };

static void ask_clock(struct doctor_answers *a)
{
    struct timex now = {.modes = 0};
    int state = adjtimex(&now);
    a->clock_known = state >= 0;
    a->clock_synchronized = state != TIME_ERROR && !(now.status & STA_UNSYNC);
}

static int ask(struct cli *cli, struct arena *arena, struct doctor_answers *a)
{
    Grid__V1__GetNodeRequest node = GRID__V1__GET_NODE_REQUEST__INIT;
    Grid__V1__ListNodesRequest nodes = GRID__V1__LIST_NODES_REQUEST__INIT;
    nodes.all = true; /* the dead too */
    Grid__V1__ListTasksRequest tasks = GRID__V1__LIST_TASKS_REQUEST__INIT;
    Grid__V1__ListProcessesRequest processes = GRID__V1__LIST_PROCESSES_REQUEST__INIT;
    void *answer;
    int code = node_ask(cli, "GetNode", &node.base, &grid__v1__node_info__descriptor, arena, &answer);
    if (code == GRID_DONE) {
        a->node = answer;
        code = node_ask(cli, "ListNodes", &nodes.base, &grid__v1__list_nodes_response__descriptor, arena, &answer);
    }
    if (code == GRID_DONE) {
        a->nodes = answer;
        code = node_ask(cli, "ListTasks", &tasks.base, &grid__v1__list_tasks_response__descriptor, arena, &answer);
    }
    if (code == GRID_DONE) {
        a->tasks = answer;
        code = node_ask(cli, "ListProcesses", &processes.base, &grid__v1__list_processes_response__descriptor, arena, &answer);
    }
    if (code == GRID_DONE)
        a->processes = answer;
    return code;
}

static void write_json(const struct doctor_report *r, struct buf *out)
{
    struct json_writer w;
    json_writer_init(&w, out);
    json_open_array(&w);
    for (size_t i = 0; i < r->count; i++) {
        json_open_object(&w);
        json_write_key(&w, "level");
        json_write_str(&w, doctor_level_name(r->findings[i].level));
        json_write_key(&w, "about");
        json_write_str(&w, r->findings[i].about);
        json_write_key(&w, "text");
        json_write_str(&w, r->findings[i].text);
        json_close_object(&w);
    }
    json_close_array(&w);
    buf_append_byte(out, '\n');
}

static void write_lines(const struct doctor_report *r, struct buf *out)
{
    for (size_t i = 0; i < r->count; i++) {
        buf_printf(out, "%-8s %-6s ", doctor_level_name(r->findings[i].level), r->findings[i].about);
        text_append_line(out, slice_of_str(r->findings[i].text));
        buf_append_byte(out, '\n');
    }
}

static int print_report(struct cli *cli, const struct doctor_report *r)
{
    struct buf out;
    buf_init(&out, 0);
    if (cli_wants_json(cli))
        write_json(r, &out);
    else
        write_lines(r, &out);
    int code = cli_write_buf(&out);
    return code == GRID_DONE && r->worst == DOCTOR_FAULT ? GRID_FAILED : code;
}

static int run(struct cli *cli)
{
    static struct doctor_report report;
    struct doctor_answers answers = {0};
    struct arena *arena = arena_create(ARENA_BLOCK, 0);
    int code = arena ? ask(cli, arena, &answers) : cli_fail(GRID_FAILED, "out of memory");
    if (code == GRID_DONE) {
        ask_clock(&answers);
        doctor_examine(&answers, arena, &report);
        code = print_report(cli, &report);
    }
    arena_destroy(arena);
    return code;
}

const struct verb VERB_doctor = {
    .name = "doctor",
    .arguments = "",
    .summary = "look for what is wrong with this node and its grid",
    .details = "Looks at the node, the other nodes, the tasks, their ports and this machine's clock. The exit code is 1 when something\n"
               "is at fault, 0 with warnings, 3 when no node answers.",
    .example = "grid doctor",
    .traits = VERB_READS | VERB_ASKS_NODE,
    .run = run,
};
