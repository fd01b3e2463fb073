/* Turns what control knows (members, tasks, releases) into the route table that the workers run by, once for all changes of an iteration. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "api/pb.h"
#include "base/err.h"
#include "base/json.h"
#include "discovery/member_reach.h"
#include "server/ingress/host_json.h"
#include "server/node_faults.h"
#include "server/node_internal.h"
#include "server/node_join.h"

/* ---- nodes ---- */

/* Another node may be given calls when it is alive and runs what we run; a node that has nothing yet sends calls to whoever has something. */
static bool may_route_to(const struct node *n, const struct member *m)
{
    const char *current = releases_current(n->releases);
    if (!member_routable(m) || m->release[0] == '\0')
        return false;
    return current[0] == '\0' || strcmp(current, m->release) == 0;
}

/* NULL without memory: then nothing is kept of what it says. */
static struct route_node_shared *node_shared_for(struct node *n, const struct member *m)
{
    struct slice id = slice_of_str(m->id);
    struct route_node_shared *shared = map_get(n->node_shared, id);
    if (!shared) {
        shared = route_node_shared_create();
        if (shared && map_set(n->node_shared, id, shared) != 0) {
            route_node_shared_unref(shared);
            return NULL;
        }
    }
    if (shared)
        shared->version = n->route_version;
    return shared;
}

/* Of those that are not in the newest table. */
static void forget_nodes(struct node *n)
{
    for (struct map_iter it = map_begin(n->node_shared); map_next(&it);) {
        const struct route_node_shared *shared = it.value;
        if (shared->version != n->route_version)
            map_remove(n->node_shared, it.key);
    }
}

static int add_node(struct node *n, struct route_builder *b, const struct member *m, bool local)
{
    Grid__V1__Host host;
    struct route_node node = {.incarnation = (uint64_t) m->started_at_ms, .local = local, .routable = local || may_route_to(n, m), .shared = local ? NULL : node_shared_for(n, m)};
    struct buf packed, json;
    struct json_writer w;
    node_host_of(n, m, &host);
    buf_init(&packed, 0);
    buf_init(&json, 0);
    json_writer_init(&w, &json);
    host_json_write(&w, &host, 0);
    snprintf(node.id, sizeof node.id, "%s", m->id);
    snprintf(node.name, sizeof node.name, "%s", m->name);
    snprintf(node.release, sizeof node.release, "%s", local ? releases_current(n->releases) : m->release);
    node.address_count = (unsigned) member_dials(m, node.addresses, ROUTE_ADDRESSES_MAX);
    if (n->gossip)
        node.address_count = (unsigned) ways_prefer(gossip_ways(n->gossip), m->id, node.addresses, node.address_count, ROUTE_ADDRESSES_MAX);
    int err = pb_append(&packed, &host.base);
    node.host_packed = buf_slice(&packed);
    node.host_json = buf_slice(&json);
    if (err == 0)
        err = route_builder_node(b, &node);
    buf_dispose(&packed);
    buf_dispose(&json);
    return err;
}

/* ---- tasks ---- */

static struct route_task_shared *shared_for(struct node *n, const char *task)
{
    struct slice key = slice_of_str(task);
    struct route_task_shared *shared = map_get(n->task_shared, key);
    if (shared)
        return shared;
    shared = route_task_shared_create(n->options->workers);
    if (shared)
        shared->number = (uint32_t) map_count(n->task_shared);
    if (shared && map_set(n->task_shared, key, shared) != 0) {
        route_task_shared_unref(shared);
        return NULL;
    }
    return shared;
}

/* Members that stand in the table, in its order. */
struct route_members {
    const struct member **list;
    size_t count;
};

static uint32_t ready_on(const struct member *m, const char *task)
{
    for (size_t i = 0; i < m->task_count; i++)
        if (strcmp(m->tasks[i].name, task) == 0)
            return m->tasks[i].instances;
    return 0;
}

static const char *fault_on(const struct node *n, const struct member *m, const char *task)
{
    return ready_on(m, task) == 0 && may_route_to(n, m) ? member_task_fault(m, task) : NULL;
}

static const char *fault_here(const struct supervisor_task *here)
{
    return here->ready == 0 && here->reason[0] != '\0' ? here->reason : NULL;
}

/* Those that are ready, and what they answer from. */
static size_t take_instances(const struct supervisor_task *here, struct instance **instances, const char **releases)
{
    size_t count = 0;
    for (size_t i = 0; here && i < here->instance_count; i++) {
        if (!here->instances[i].ready)
            continue;
        instances[count] = here->instances[i].instance;
        releases[count++] = here->instances[i].release;
    }
    return count;
}

/* `here` is NULL for a task that is not this node's; `fault` is why nothing of it is ready here, NULL for no reason. */
static int add_task(struct node *n, struct route_builder *b, const struct route_members *members, const char *name, const struct supervisor_task *here, const char *fault)
{
    struct instance **instances = here && here->instance_count > 0 ? calloc(here->instance_count, sizeof *instances) : NULL;
    const char **releases = instances ? calloc(here->instance_count, sizeof *releases) : NULL;
    uint32_t *ready = calloc(members->count, sizeof *ready);
    bool *lacking = calloc(members->count, sizeof *lacking);
    const char **faults = calloc(members->count, sizeof *faults);
    struct route_task_spec spec = {.name = name, .shared = shared_for(n, name), .ready = ready, .instances = instances, .releases = releases, .faults = faults, .known_here = here != NULL, .lacking = lacking};
    int err = GRID_ENOMEM;
    if (ready && lacking && faults && spec.shared && (releases || !here || here->instance_count == 0)) {
        spec.instance_count = take_instances(here, instances, releases);
        ready[0] = (uint32_t) spec.instance_count;
        for (size_t i = 1; i < members->count; i++) {
            ready[i] = ready_on(members->list[i], name);
            lacking[i] = member_lacks_task(members->list[i], name);
            faults[i] = fault_on(n, members->list[i], name);
        }
        faults[0] = fault;
        err = route_builder_task(b, &spec);
    }
    free(releases);
    free(instances);
    free(faults);
    free(lacking);
    free(ready);
    return err;
}

static bool task_is_here(const struct supervisor_task *tasks, size_t count, const char *name)
{
    for (size_t i = 0; i < count; i++)
        if (strcmp(tasks[i].name, name) == 0)
            return true;
    return false;
}

static bool is_told_of(const struct route_members *members, const char *task)
{
    for (size_t m = 1; m < members->count; m++)
        for (size_t i = 0; i < members->list[m]->task_count; i++)
            if (strcmp(members->list[m]->tasks[i].name, task) == 0)
                return true;
    return false;
}

/* Tasks of the release that are for other platforms. While no node has one, it is said why. */
static int add_elsewhere(struct node *n, struct route_builder *b, const struct route_members *members, struct map *seen)
{
    size_t count;
    const struct task_elsewhere *list = releases_elsewhere(n->releases, &count);
    int err = 0;
    for (size_t i = 0; err == 0 && i < count; i++) {
        err = map_set(seen, slice_of_str(list[i].name), seen);
        if (err == 0)
            err = add_task(n, b, members, list[i].name, NULL, is_told_of(members, list[i].name) ? NULL : list[i].why);
    }
    return err;
}

/* Tasks of this node, then those that only others run. */
static int add_tasks(struct node *n, struct route_builder *b, const struct route_members *members)
{
    size_t count;
    const struct supervisor_task *tasks = supervisor_list(n->supervisor, &count);
    struct map *seen = map_create(NULL);
    int err = seen ? 0 : GRID_ENOMEM;
    for (size_t i = 0; err == 0 && i < count; i++)
        err = add_task(n, b, members, tasks[i].name, &tasks[i], fault_here(&tasks[i]));
    if (err == 0)
        err = add_elsewhere(n, b, members, seen);
    for (size_t m = 1; err == 0 && m < members->count; m++) {
        const struct member *other = members->list[m];
        for (size_t i = 0; err == 0 && i < other->task_count && may_route_to(n, other); i++) {
            struct slice key = slice_of_str(other->tasks[i].name);
            if (map_get(seen, key) || task_is_here(tasks, count, other->tasks[i].name))
                continue;
            err = map_set(seen, key, seen);
            if (err == 0)
                err = add_task(n, b, members, other->tasks[i].name, NULL, NULL);
        }
    }
    map_destroy(seen);
    return err;
}

/* ---- the table ---- */

static struct route_table *build(struct node *n)
{
    struct route_builder *b = route_builder_create(++n->route_version, n->route_shared);
    struct route_members members = {.list = calloc(node_member_count(n) + 1, sizeof *members.list)};
    bool settling = releases_settling(n->releases) || !n->linked_once;
    int err = b && members.list ? 0 : GRID_ENOMEM;
    for (size_t i = 0; err >= 0 && i < node_member_count(n); i++) {
        const struct member *m = node_member(n, i);
        if (i > 0 && m->state == MEMBER_DEAD)
            err = route_builder_dead(b, m->id, m->name);
        if (i > 0 && (m->state == MEMBER_DEAD || m->state == MEMBER_EVICTED))
            continue; /* one that has left stays: it still answers what it has taken */
        err = add_node(n, b, m, i == 0);
        members.list[members.count++] = m;
    }
    if (err >= 0)
        err = add_tasks(n, b, &members);
    free(members.list);
    forget_nodes(n);
    if (err < 0) {
        if (b)
            route_builder_abort(b);
        return NULL;
    }
    return route_builder_finish(b, settling, releases_current(n->releases), n->call_tls);
}

/* ---- what the table tells monitors ---- */

static void count_tasks(struct node *n)
{
    size_t count, ready = 0, restarts = 0;
    const struct supervisor_task *tasks = supervisor_list(n->supervisor, &count);
    for (size_t i = 0; i < count; i++) {
        ready += tasks[i].ready;
        restarts += tasks[i].restarts;
    }
    atomic_store(&n->metric_tasks, count);
    atomic_store(&n->metric_instances, ready);
    atomic_store(&n->metric_restarts, restarts);
}

static const struct supervisor_task *task_to_wait_for(struct node *n)
{
    size_t count;
    const struct supervisor_task *tasks = supervisor_list(n->supervisor, &count);
    for (size_t i = 0; i < count; i++)
        if (tasks[i].ready == 0 && !tasks[i].hopeless)
            return &tasks[i];
    return NULL;
}

/* It has a password to join by, and nobody has let it in. */
static bool is_outside(const struct node *n)
{
    return node_join_wanted(n) && n->standing.provisional;
}

/* Why this node may not be given calls yet; "" when it may. Nobody is sent away for want of other nodes alone: one that has a release serves it. */
static void tell_lack(struct node *n, char why[NODE_REASON_MAX])
{
    const struct supervisor_task *task = task_to_wait_for(n);
    why[0] = '\0';
    if (n->stopping)
        snprintf(why, NODE_REASON_MAX, "the node is stopping");
    else if (node_is_evicted(n))
        snprintf(why, NODE_REASON_MAX, "the grid has evicted this node: stop it, and start it with a new state folder to join as another node");
    else if (node_is_behind(n))
        snprintf(why, NODE_REASON_MAX, NODE_BEHIND);
    else if (n->refused[0])
        snprintf(why, NODE_REASON_MAX, "refused by the grid: %.130s", n->refused);
    else if (!n->linked_once)
        snprintf(why, NODE_REASON_MAX, node_join_is_under_way(n) ? "it is joining the grid by its password" : "none of --join has answered yet");
    else if (!n->joined && releases_current(n->releases)[0] == '\0')
        snprintf(why, NODE_REASON_MAX, "none of --join %s, and there is no release here", is_outside(n) ? "has let it in" : "has answered");
    else if (releases_settling(n->releases))
        snprintf(why, NODE_REASON_MAX, "its release is still being fetched or put in place: try again in a moment");
    else if (task)
        snprintf(why, NODE_REASON_MAX, "the task %.40s is not ready%s%.72s", task->name, task->reason[0] ? ": " : ", it is starting", task->reason);
    for (size_t size = strlen(why); !slice_is_utf8(slice_of(why, size));)
        why[--size] = '\0'; /* a character may have been cut */
}

static void tell_ready(struct node *n)
{
    char why[NODE_REASON_MAX];
    tell_lack(n, why);
    uv_mutex_lock(&n->metric_lock);
    memcpy(n->not_ready, why, sizeof why);
    uv_mutex_unlock(&n->metric_lock);
    atomic_store(&n->ready, why[0] == '\0');
}

static void publish(void *arg)
{
    struct node *n = arg;
    struct route_table *table = build(n), *before;
    count_tasks(n);
    tell_ready(n);
    if (!table) {
        node_routes_changed(n); /* out of memory: the workers run by the last one, and we try again */
        return;
    }
    if (n->workers)
        worker_set_publish(n->workers, table);
    uv_mutex_lock(&n->metric_lock);
    before = n->metric_table;
    n->metric_table = table;
    uv_mutex_unlock(&n->metric_lock);
    if (before)
        route_table_unref(before);
    node_deploys_check(n);
}

void node_routes_changed(struct node *n)
{
    loop_defer(n->loop, &n->route_dirty, publish, n);
}

static void task_dispose(void *value)
{
    route_task_shared_unref(value);
}

static void node_dispose(void *value)
{
    route_node_shared_unref(value);
}

void node_routes_init(struct node *n)
{
    n->route_shared = route_shared_create();
    n->task_shared = map_create(task_dispose);
    n->node_shared = map_create(node_dispose);
    uv_mutex_init(&n->metric_lock);
}

void node_routes_close(struct node *n)
{
    loop_defer_cancel(&n->route_dirty);
    if (n->metric_table)
        route_table_unref(n->metric_table);
    if (n->route_shared)
        route_shared_unref(n->route_shared);
    map_destroy(n->task_shared);
    map_destroy(n->node_shared);
    uv_mutex_destroy(&n->metric_lock);
}

/* ---- /metrics and /readyz, on any thread ---- */

static void metric(struct buf *out, const char *name, const char *type, const char *help, uint64_t value)
{
    buf_printf(out, "# HELP %s %s\n# TYPE %s %s\n%s %" PRIu64 "\n", name, help, name, type, name, value);
}

/* A label's value: backslash, quote and line end are escaped (exposition format 0.0.4). Task names have none of them. */
static void task_metric(struct buf *out, const struct route_table *t, const char *name, const char *help, size_t offset)
{
    buf_printf(out, "# HELP %s %s\n# TYPE %s counter\n", name, help, name);
    for (size_t i = 0; t && i < t->task_count; i++) {
        uint64_t sum = 0;
        for (unsigned w = 0; w < t->tasks[i].shared->workers; w++)
            sum += atomic_load_explicit((_Atomic uint64_t *) (uintptr_t) ((const char *) &t->tasks[i].shared->counters[w] + offset), memory_order_relaxed);
        buf_printf(out, "%s{task=\"%s\"} %" PRIu64 "\n", name, t->tasks[i].name, sum);
    }
}

void node_metrics(void *arg, struct buf *out)
{
    struct node *n = arg;
    uv_mutex_lock(&n->metric_lock);
    struct route_table *t = n->metric_table ? route_table_ref(n->metric_table) : NULL;
    uv_mutex_unlock(&n->metric_lock);
    buf_printf(out, "# HELP grid_info What this node is.\n# TYPE grid_info gauge\ngrid_info{version=\"%s\",node=\"%s\",release=\"%s\"} 1\n", GRID_VERSION, n->name,
               t ? t->release : "");
    metric(out, "grid_ready", "gauge", "1 when joined and tasks are ready.", atomic_load(&n->ready));
    metric(out, "grid_members", "gauge", "Members alive, this node included.", atomic_load(&n->metric_members));
    metric(out, "grid_tasks", "gauge", "Tasks of the release on this node.", atomic_load(&n->metric_tasks));
    metric(out, "grid_task_instances_ready", "gauge", "Ready processes of this node.", atomic_load(&n->metric_instances));
    metric(out, "grid_release_sent_bytes_total", "counter", "Bytes of releases given to other nodes.", atomic_load(&n->sync_traffic.sent));
    metric(out, "grid_release_received_bytes_total", "counter", "Bytes of releases fetched from other nodes.", atomic_load(&n->sync_traffic.received));
    metric(out, "grid_store_scrubbed_bytes_total", "counter", "Bytes of the store that were read through in the background.", atomic_load(&n->sync_traffic.scrubbed));
    metric(out, "grid_store_damaged_total", "counter", "Objects that turned out damaged in the store.", atomic_load(&n->sync_traffic.damaged));
    metric(out, "grid_task_restarts_total", "counter", "Processes started again after an exit.", atomic_load(&n->metric_restarts));
    metric(out, "process_resident_memory_bytes", "gauge", "Resident memory of the daemon.", host_resident_bytes(0));
    node_load_metrics(n, out);
    task_metric(out, t, "grid_invocations_total", "Calls that came in at this node.", offsetof(struct route_counters, invocations));
    task_metric(out, t, "grid_invocation_success_total", "Calls that came in here and succeeded.", offsetof(struct route_counters, success));
    task_metric(out, t, "grid_invocation_errors_total", "Calls that came in here and failed.", offsetof(struct route_counters, errors));
    task_metric(out, t, "grid_invocations_from_peers_total", "Calls that another node sent here.", offsetof(struct route_counters, remote));
    if (t)
        route_table_unref(t);
}

bool node_is_ready(void *arg, char why[NODE_REASON_MAX])
{
    struct node *n = arg;
    why[0] = '\0';
    if (atomic_load(&n->ready))
        return true;
    uv_mutex_lock(&n->metric_lock);
    snprintf(why, NODE_REASON_MAX, "%s", n->not_ready[0] ? n->not_ready : "the node is starting or stopping");
    uv_mutex_unlock(&n->metric_lock);
    return false;
}
