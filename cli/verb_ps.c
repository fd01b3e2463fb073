/* grid ps: the processes of this node. */
#include <inttypes.h>

#include "cli/reading.h"
#include "cli/text.h"
#include "cli/verb_names.h"
#include "grid/v1/control.pb-c.h"

static const struct table_column COLUMNS[] = {{"TASK", 0},    {"INSTANCE", true}, {"PID", true},     {"PORT", true}, {"STATUS", 0},
                                              {"UP", true}, {"RESTARTS", true}, {"MEMORY", true}, {"CALLS", true}, {"EXPOSED", 0}, {"REASON", 0}};

/* What an instance without a process does not have. */
static void add_number(struct table *t, uint32_t number)
{
    if (number == 0)
        table_add_str(t, "-");
    else
        table_addf(t, "%u", number);
}

static void add_row(struct table *t, const void *item, int64_t now_ms)
{
    const Grid__V1__ProcessInfo *process = item;
    char age[TEXT_SHORT_MAX], memory[TEXT_SHORT_MAX];
    text_age(now_ms - process->started_at_ms, age);
    text_bytes(process->resident_bytes, memory);
    table_add(t, pb_slice(process->task));
    table_addf(t, "%u", process->instance);
    add_number(t, (uint32_t) process->pid);
    add_number(t, process->port);
    table_add(t, pb_slice(process->status));
    table_add_str(t, process->started_at_ms ? age : "-");
    table_addf(t, "%" PRIu64, process->restarts);
    table_add_str(t, process->resident_bytes ? memory : "-");
    table_addf(t, "%u", process->in_flight);
    table_add(t, process->exposed.len > 0 ? pb_slice(process->exposed) : SLICE("-"));
    reading_add_reason(t, process->reason, process->next_start_at_ms, now_ms);
}

static const struct reading READING = {"ListProcesses", &grid__v1__list_processes_response__descriptor, "processes", COLUMNS,
                                       sizeof COLUMNS / sizeof *COLUMNS, add_row, "no processes: no task is deployed"};

static int run(struct cli *cli)
{
    Grid__V1__ListProcessesRequest request = GRID__V1__LIST_PROCESSES_REQUEST__INIT;
    request.all = true;
    return reading_show(cli, &READING, &request.base);
}

const struct verb VERB_ps = {
    .name = "ps",
    .arguments = "",
    .summary = "show the task processes of this node",
    .details = "CALLS counts the calls that an instance is working on now. EXPOSED is \"open\" for a task that listens on\n"
               "all interfaces instead of 127.0.0.1, \"shut\" when the node keeps other machines out of it. An instance whose start\n"
               "failed is \"errored\" until one succeeds, and has no PID between two starts. RESTARTS counts those of the whole task.\n"
               "A task that is for other platforms (tasks/NAME@linux-arm64) is \"elsewhere\".",
    .example = "grid ps --json",
    .traits = VERB_READS | VERB_ASKS_NODE,
    .run = run,
};
