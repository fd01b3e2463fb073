/* The decision of each call: which node by the sender's round robin over those with room, which instance by the receiver's least load. */
#include "server/route/router.h"

#include <stdio.h>

#include "server/route/route_load.h"

enum {
    PICK_ROUNDS = 4
}; /* scans of the instances before they count as busy; each is lost only to calls that were placed meanwhile */

/* What a look at this node's instances found. */
enum here { HERE_TAKEN, HERE_BUSY, HERE_AVOIDED, HERE_NONE };

/* Says `before`, the name (cut at 128 bytes), `after`. */
static void refuse(struct router_decision *out, int status, const char *before, struct slice name, const char *after)
{
    out->verdict = ROUTER_REFUSE;
    out->status = status;
    struct slice shown = slice_first(name, 128);
    snprintf(out->message, sizeof out->message, "%s%.*s%s", before, SLICE_FMT(shown), after);
}

static void wait_for(struct router_decision *out, bool avoided)
{
    out->verdict = ROUTER_WAIT;
    out->avoided = avoided;
}

static bool node_avoided(const struct router_query *q, unsigned node)
{
    return node < 64 && (q->avoid_nodes >> node & 1) != 0;
}

/* The place of the least loaded instance, the first one from `start` among equals. NULL, and why in *none. */
static struct instance *const *instance_least(const struct route_task *task, const struct router_query *q, uint32_t start, enum here *none)
{
    struct instance *const *best = NULL;
    uint32_t least = q->in_flight_limit;
    *none = HERE_NONE;
    for (size_t k = 0; k < task->instance_count; k++) {
        struct instance *const *at = &task->instances[(start + k) % task->instance_count], *i = *at;
        if (atomic_load_explicit(&i->draining, memory_order_relaxed))
            continue;
        if (i->id == q->avoid_instance) {
            *none = *none == HERE_NONE ? HERE_AVOIDED : *none;
            continue;
        }
        *none = HERE_BUSY;
        uint32_t load = atomic_load_explicit(&i->in_flight, memory_order_relaxed);
        if (load >= least)
            continue;
        least = load;
        best = at;
    }
    return best;
}

/* Counts a call in, never above the limit. */
static bool instance_enter(struct instance *i, uint32_t limit, uint32_t *load)
{
    uint32_t seen = atomic_load_explicit(&i->in_flight, memory_order_relaxed);
    while (seen < limit)
        if (atomic_compare_exchange_weak_explicit(&i->in_flight, &seen, seen + 1, memory_order_relaxed, memory_order_relaxed)) {
            *load = seen + 1;
            return true;
        }
    return false;
}

static enum here pick_here(const struct route_task *task, const struct router_query *q, struct router_decision *out)
{
    if (node_avoided(q, 0))
        return task->instance_count > 0 ? HERE_AVOIDED : HERE_NONE;
    if (task->instance_count == 0)
        return HERE_NONE;
    uint32_t start =
        task->instance_count > 1 ? atomic_fetch_add_explicit(&task->shared->instance_cursor, 1, memory_order_relaxed) : 0;
    for (int round = 0; round < PICK_ROUNDS; round++) {
        enum here none;
        struct instance *const *at = instance_least(task, q, start, &none);
        if (!at)
            return none;
        if (!instance_enter(*at, q->in_flight_limit, &out->load))
            continue;
        out->verdict = ROUTER_RUN_HERE;
        out->instance = *at;
        out->release = task->releases[at - task->instances];
        out->node = 0;
        return HERE_TAKEN;
    }
    return HERE_BUSY;
}

static void here_or_wait(const struct route_task *task, const struct router_query *q, struct router_decision *out)
{
    enum here here = pick_here(task, q, out);
    if (here == HERE_BUSY)
        out->verdict = ROUTER_BUSY;
    else if (here != HERE_TAKEN)
        wait_for(out, here == HERE_AVOIDED);
}

static void pick_for_peer(const struct route_table *t, const struct route_task *task, const struct router_query *q,
                          struct router_decision *out)
{
    enum here here = task ? pick_here(task, q, out) : HERE_NONE;
    if (here == HERE_BUSY)
        out->verdict = ROUTER_BUSY;
    else if (here == HERE_TAKEN)
        return;
    else if (task && here == HERE_NONE && task->instance_count > 0) /* all are draining: the table that names their successors is on its way */
        wait_for(out, false);
    else if (!task && !t->settling)
        refuse(out, GRPC_NOT_FOUND, "Task file ", q->task, " does not exists");
    else
        refuse(out, GRPC_UNAVAILABLE, "no instance of the task ", q->task, " is ready on this node");
}

static void forward(struct router_decision *out, unsigned node)
{
    out->verdict = ROUTER_FORWARD;
    out->node = node;
}

static bool has_slot(const struct route_task *task, unsigned node)
{
    for (size_t i = 0; i < task->slot_count; i++)
        if (task->slots[i] == node)
            return true;
    return false;
}

/* What this node says of itself counts when nothing of its release is on the way; of another one, when that one runs what we run. */
static bool is_lacking(const struct route_table *t, const struct route_task *task, unsigned node)
{
    return node == 0 ? !task->known_here && !t->settling : t->nodes[node].routable && task->lacking[node];
}

static void pick_pinned(const struct route_table *t, const struct route_task *task, const struct router_query *q,
                        struct router_decision *out)
{
    int node = route_table_node(t, q->node);
    if (node < 0 && route_table_is_dead(t, q->node))
        refuse(out, GRPC_NOT_FOUND, "the node ", q->node, " is dead: start it again, or ask another one");
    else if (node < 0)
        refuse(out, GRPC_NOT_FOUND, "no node of this grid is called ", q->node, ": `grid list` shows them");
    else if (is_lacking(t, task, (unsigned) node))
        refuse(out, GRPC_NOT_FOUND, "Task file ", q->task, " does not exists on the node asked for");
    else if (node == 0)
        here_or_wait(task, q, out);
    else if (!has_slot(task, (unsigned) node))
        wait_for(out, false);
    else if (node_avoided(q, (unsigned) node))
        wait_for(out, true);
    else
        forward(out, (unsigned) node);
}

/* What a look at the slots has found so far. */
struct turn {
    const struct route_table *table;
    const struct route_task *task;
    const struct router_query *query;
    unsigned full; /* the first node by its turn that had no room when it last answered; 0: none */
    bool here_tried, busy, avoided;
};

static bool turn_of_other(struct turn *turn, unsigned node, struct router_decision *out)
{
    struct route_node_shared *shared = turn->table->nodes[node].shared;
    if (node_avoided(turn->query, node)) {
        turn->avoided = true;
        return false;
    }
    if (shared && route_load_is_full(shared, turn->task->shared, turn->query->now_ms)) {
        turn->full = turn->full ? turn->full : node;
        return false;
    }
    forward(out, node);
    return true;
}

static bool turn_of_this(struct turn *turn, struct router_decision *out)
{
    if (turn->here_tried)
        return false;
    turn->here_tried = true;
    enum here here = pick_here(turn->task, turn->query, out);
    turn->busy = here == HERE_BUSY;
    turn->avoided |= here == HERE_AVOIDED;
    return here == HERE_TAKEN;
}

/* The slots in turn, beginning at the shared cursor. Where a call would wait everywhere, it waits with another node. */
static void pick_in_turn(const struct route_table *t, const struct route_task *task, const struct router_query *q, struct router_decision *out)
{
    struct turn turn = {.table = t, .task = task, .query = q};
    uint32_t start = atomic_fetch_add_explicit(&task->shared->node_cursor, 1, memory_order_relaxed);
    for (size_t k = 0; k < task->slot_count; k++) {
        unsigned node = task->slots[(start + k) % task->slot_count];
        if (node == 0 ? turn_of_this(&turn, out) : turn_of_other(&turn, node, out))
            return;
    }
    if (turn.full != 0)
        forward(out, turn.full);
    else if (turn.busy)
        out->verdict = ROUTER_BUSY;
    else
        wait_for(out, turn.avoided);
}

static const char *first_fault(const struct route_table *t, const struct route_task *task)
{
    for (size_t i = 0; i < t->node_count; i++)
        if (task->faults[i])
            return task->faults[i];
    return NULL;
}

const char *router_fault(const struct route_table *t, const struct route_task *task, struct slice node)
{
    int index = node.size > 0 ? route_table_node(t, node) : 0;
    if (index < 0 || (node.size == 0 && task->slot_count > 0))
        return NULL;
    return node.size > 0 || task->known_here ? task->faults[index] : first_fault(t, task);
}

void router_pick(const struct route_table *t, const struct router_query *q, struct router_decision *out)
{
    const struct route_task *task = route_table_task(t, q->task);
    out->task = task;
    out->instance = NULL;
    out->release = NULL;
    out->avoided = false;
    out->status = GRPC_OK;
    out->message[0] = '\0';
    if (q->from_peer)
        pick_for_peer(t, task, q, out);
    else if (!task && t->settling)
        wait_for(out, false);
    else if (!task)
        refuse(out, GRPC_NOT_FOUND, "Task file ", q->task, " does not exists");
    else if (q->node.size > 0)
        pick_pinned(t, task, q, out);
    else if (q->strategy != INVOCATION_LOCAL || pick_here(task, q, out) != HERE_TAKEN)
        pick_in_turn(t, task, q, out);
}
