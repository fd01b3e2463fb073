/* grid tasks: the tasks, and how often each was called. */
#include <inttypes.h>

#include "cli/reading.h"
#include "cli/verb_names.h"
#include "grid/v1/control.pb-c.h"

static const struct table_column COLUMNS[] = {{"TASK", 0},    {"STATUS", 0},  {"READY", true},    {"IN GRID", true}, {"CALLS", true}, {"OK", true},
                                              {"ERRORS", true}, {"REMOTE", true}, {"RESTARTS", true}, {"PORT", true},    {"PATH", 0},     {"REASON", 0}};

static void add_row(struct table *t, const void *item, int64_t now_ms)
{
    const Grid__V1__TaskInfo *task = item;
    table_add(t, pb_slice(task->name));
    table_add(t, pb_slice(task->status));
    table_addf(t, "%u/%u", task->ready, task->instances);
    table_addf(t, "%u", task->ready_in_grid);
    table_addf(t, "%" PRIu64, task->invocations);
    table_addf(t, "%" PRIu64, task->success);
    table_addf(t, "%" PRIu64, task->errors);
    table_addf(t, "%" PRIu64, task->remote_invocations);
    table_addf(t, "%" PRIu64, task->restarts);
    table_addf(t, "%u", task->port);
    table_add(t, pb_slice(task->path));
    reading_add_reason(t, task->reason, task->next_start_at_ms, now_ms);
}

static const struct reading READING = {"ListTasks", &grid__v1__list_tasks_response__descriptor, "tasks", COLUMNS,
                                       sizeof COLUMNS / sizeof *COLUMNS, add_row, "no tasks: grid deploy sends a project to every node"};

static int run(struct cli *cli)
{
    Grid__V1__ListTasksRequest request = GRID__V1__LIST_TASKS_REQUEST__INIT;
    return reading_show(cli, &READING, &request.base);
}

const struct verb VERB_tasks = {
    .name = "tasks",
    .arguments = "",
    .summary = "show the tasks and their statistics",
    .details = "READY counts this node's instances, ready of wanted; IN GRID those ready on all nodes; REMOTE the calls that another node ran.\n"
               "STATUS is of this node: \"errored\" when the last start failed, until one succeeds; it is tried again at the latest\n"
               "every 15 s; \"elsewhere\" when the task is for other platforms (tasks/NAME@linux-arm64). A task that is \"online\"\n"
               "with a REASON still runs its version before: the new one cannot be started.",
    .example = "grid tasks",
    .traits = VERB_READS | VERB_ASKS_NODE,
    .run = run,
};
