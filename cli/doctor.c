/* One function for each thing that is looked at; each says at least one sentence. */
#include "cli/doctor.h"

#include <string.h>

#include "api/pb.h"
#include "base/slice.h"

const char *doctor_level_name(enum doctor_level level)
{
    static const char *const names[] = {"ok", "warning", "fault"};
    return names[level];
}

static void find(struct doctor_report *r, enum doctor_level level, const char *about, const char *text)
{
    if (r->count == DOCTOR_FINDINGS_MAX || !text)
        return;
    r->findings[r->count++] = (struct doctor_finding){level, about, text};
    r->worst = level > r->worst ? level : r->worst;
}

static void examine_node(const Grid__V1__NodeInfo *node, struct doctor_report *r)
{
    struct slice name = node->host ? pb_slice(node->host->name) : SLICE("?");
    const char *of = node->grid.len > 0 ? " of grid " : ", a grid of one,";
    find(r, DOCTOR_OK, "node",
         arena_printf(r->arena, "%.*s%s%.*s answers at %.*s", SLICE_FMT(name), of, SLICE_FMT(pb_slice(node->grid)), SLICE_FMT(pb_slice(node->api))));
    for (size_t i = 0; i < node->n_faults; i++)
        find(r, DOCTOR_FAULT, "node", arena_printf(r->arena, "%.*s", SLICE_FMT(pb_slice(node->faults[i]))));
    for (size_t i = 0; i < node->n_hints; i++)
        find(r, DOCTOR_WARNING, "peers", arena_printf(r->arena, "%.*s", SLICE_FMT(pb_slice(node->hints[i]))));
    if (node->not_ready.len > 0 && node->n_faults == 0)
        find(r, DOCTOR_WARNING, "node", arena_printf(r->arena, "it takes no calls from a load balancer yet (/readyz): %.*s", SLICE_FMT(pb_slice(node->not_ready))));
}

/* Another node has its name: it is back with a new state folder, or was replaced. */
static bool is_replaced(const Grid__V1__ListNodesResponse *nodes, const Grid__V1__Host *host)
{
    for (size_t i = 0; i < nodes->n_nodes; i++)
        if (slice_equal(pb_slice(nodes->nodes[i]->name), pb_slice(host->name)) && slice_equal_str(pb_slice(nodes->nodes[i]->state), "alive"))
            return true;
    return false;
}

/* It went in order, was sent away, or has a follower. */
static bool is_over(const Grid__V1__ListNodesResponse *nodes, const Grid__V1__Host *host)
{
    struct slice state = pb_slice(host->state);
    return slice_equal_str(state, "left") || slice_equal_str(state, "evicted") || (slice_equal_str(state, "dead") && is_replaced(nodes, host));
}

static void examine_peer(const Grid__V1__Host *host, struct doctor_report *r, size_t *well)
{
    struct slice name = pb_slice(host->name), state = pb_slice(host->state);
    if (slice_equal_str(state, "dead"))
        find(r, DOCTOR_FAULT, "peers",
             arena_printf(r->arena, "%.*s is dead: start it again; if it runs, look at its log, and whether port %u of it can be reached from here; if it is gone for good, grid evict %.*s", SLICE_FMT(name),
                          host->listen_port, SLICE_FMT(name)));
    else if (!slice_equal_str(state, "alive"))
        find(r, DOCTOR_FAULT, "peers",
             arena_printf(r->arena, "%.*s is %.*s: look at its log, and whether port %u of it can be reached from here", SLICE_FMT(name), SLICE_FMT(state), host->listen_port));
    else if (!host->synchronized)
        find(r, DOCTOR_WARNING, "peers",
             arena_printf(r->arena, "%.*s does not run the grid's release yet: if that lasts, its log says why", SLICE_FMT(name)));
    else
        ++*well;
}

static void examine_peers(const Grid__V1__ListNodesResponse *nodes, struct doctor_report *r)
{
    size_t well = 0, looked_at = 0;
    for (size_t i = 0; i < nodes->n_nodes; i++) {
        if (is_over(nodes, nodes->nodes[i]))
            continue;
        looked_at++;
        examine_peer(nodes->nodes[i], r, &well);
    }
    if (well == looked_at)
        find(r, DOCTOR_OK, "peers", arena_printf(r->arena, "%zu node%s linked and synchronized", well, well == 1 ? " is" : "s are"));
}

/* How many nodes cannot start it. */
static size_t examine_elsewhere(const Grid__V1__TaskInfo *task, struct doctor_report *r)
{
    struct slice name = pb_slice(task->name);
    for (size_t i = 0; i < task->n_faults_elsewhere; i++) {
        struct slice node = pb_slice(task->faults_elsewhere[i]->key);
        find(r, DOCTOR_FAULT, "tasks", arena_printf(r->arena, "%.*s cannot be started on %.*s: %.*s; see grid logs %.*s --node %.*s", SLICE_FMT(name), SLICE_FMT(node),
                                                    SLICE_FMT(pb_slice(task->faults_elsewhere[i]->value)), SLICE_FMT(name), SLICE_FMT(node)));
    }
    return task->n_faults_elsewhere;
}

static void examine_tasks(const Grid__V1__ListTasksResponse *tasks, struct doctor_report *r)
{
    size_t well = 0;
    for (size_t i = 0; i < tasks->n_tasks; i++) {
        const Grid__V1__TaskInfo *task = tasks->tasks[i];
        struct slice name = pb_slice(task->name), status = pb_slice(task->status), reason = pb_slice(task->reason);
        size_t found = examine_elsewhere(task, r);
        if (slice_equal_str(status, "online") && reason.size == 0) {
            well += found == 0;
            continue;
        }
        if (slice_equal_str(status, "online")) {
            find(r, DOCTOR_FAULT, "tasks", arena_printf(r->arena, "%.*s cannot be started in its newest version here, and the one before answers: %.*s; see grid logs %.*s", SLICE_FMT(name), SLICE_FMT(reason), SLICE_FMT(name)));
            continue;
        }
        find(r, slice_equal_str(status, "starting") && reason.size == 0 ? DOCTOR_WARNING : DOCTOR_FAULT, "tasks",
             arena_printf(r->arena, "%.*s is %.*s%s%.*s; see grid logs %.*s", SLICE_FMT(name), SLICE_FMT(status), reason.size > 0 ? ": " : "", SLICE_FMT(reason),
                          SLICE_FMT(name)));
    }
    if (well == tasks->n_tasks)
        find(r, DOCTOR_OK, "tasks", well == 0 ? "no task is deployed" : arena_printf(r->arena, "%zu task%s online", well, well == 1 ? " is" : "s are"));
}

static void examine_ports(const Grid__V1__ListProcessesResponse *processes, struct doctor_report *r)
{
    size_t exposed = 0;
    for (size_t i = 0; i < processes->n_processes; i++) {
        const Grid__V1__ProcessInfo *p = processes->processes[i];
        if (p->exposed.len == 0)
            continue;
        exposed++;
        bool shut = slice_equal_str(pb_slice(p->exposed), "shut");
        find(r, DOCTOR_WARNING, "ports",
             arena_printf(r->arena, "%.*s listens on all interfaces, on port %u, %s: let it listen on 127.0.0.1", SLICE_FMT(pb_slice(p->task)), p->port,
                          shut ? "and this node keeps other machines out" : "so that other machines may call it past the grid"));
    }
    if (exposed == 0)
        find(r, DOCTOR_OK, "ports", "every task listens on loopback alone");
}

static void examine_clock(const struct doctor_answers *a, struct doctor_report *r)
{
    if (!a->clock_known)
        return;
    if (a->clock_synchronized)
        find(r, DOCTOR_OK, "clock", "this machine's clock is synchronized");
    else
        find(r, DOCTOR_WARNING, "clock", "nothing synchronizes this machine's clock, and certificates have times: start a time service, such as systemd-timesyncd");
}

void doctor_examine(const struct doctor_answers *answers, struct arena *arena, struct doctor_report *out)
{
    *out = (struct doctor_report){.arena = arena};
    examine_node(answers->node, out);
    examine_peers(answers->nodes, out);
    examine_tasks(answers->tasks, out);
    examine_ports(answers->processes, out);
    examine_clock(answers, out);
}
