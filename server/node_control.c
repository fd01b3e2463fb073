/* The methods of grid.v1.Control, answered from what the control thread knows. Deploys are in node_deploy.c. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "api/pb.h"
#include "base/err.h"
#include "grid/v1/control.pb-c.h"
#include "server/node_adopt.h"
#include "server/node_ask.h"
#include "server/node_discover.h"
#include "server/node_faults.h"
#include "server/node_found.h"
#include "server/node_internal.h"
#include "server/node_logs.h"
#include "server/node_lonely.h"

#define TASK_ELSEWHERE "elsewhere" /* status of a task that is for other platforms */

enum { TOLD_MAX = 4096, LIST_ARENA_BLOCK = 16 * 1024, RELEASES_SHOWN_MAX = 64, OPTIONS_SHOWN_MAX = 64, OPTION_IN_FORCE_MAX = 16 };

static void reply(struct admin_call *call, const ProtobufCMessage *message)
{
    struct buf packed;
    buf_init(&packed, 0);
    if (pb_append(&packed, message) == 0)
        admin_reply(call, buf_slice(&packed));
    buf_dispose(&packed);
}

static void reply_and_finish(struct admin_call *call, const ProtobufCMessage *message)
{
    reply(call, message);
    admin_finish(call, GRPC_OK, NULL);
}

/* An arena for one answer's lists; the question is ended when there is none. */
static struct arena *answer_arena(struct admin_call *call)
{
    struct arena *a = arena_create(LIST_ARENA_BLOCK, 0);
    if (!a)
        admin_finish(call, GRPC_UNAVAILABLE, "the node is out of memory: try again later");
    return a;
}

/* ---- nodes ---- */

static void add_option(Grid__V1__NodeInfo *info, struct arena *a, const char *key, const char *value)
{
    Grid__V1__StringPair *pair = arena_alloc(a, sizeof *pair);
    if (!pair)
        return;
    grid__v1__string_pair__init(pair);
    pair->key = pb_str(arena_str(a, slice_of_str(key)));
    pair->value = pb_str(arena_str(a, slice_of_str(value)));
    info->options[info->n_options++] = pair;
}

/* What an option has come to where nobody gave it, or the node found out by itself; NULL: what the table says. */
static const char *option_in_force(const struct node *n, const struct option_view *option, char text[OPTION_IN_FORCE_MAX])
{
    if (strcmp(option->name, "name") == 0)
        return node_member(n, 0)->name;
    if (strcmp(option->name, "grid") == 0)
        return n->grid[0] ? n->grid : NULL;
    if (strcmp(option->name, "discover") == 0)
        return node_discover_looks_in_dht(n) && n->options->discover_default ? "mdns,dht" : NULL;
    if (strcmp(option->name, "workers") == 0)
        snprintf(text, OPTION_IN_FORCE_MAX, "%u", n->options->workers);
    else if (strcmp(option->name, "task-ports") == 0)
        snprintf(text, OPTION_IN_FORCE_MAX, "%u", (unsigned) node_tasks_first_port(n));
    else
        return NULL;
    return text;
}

static void add_options(struct node *n, Grid__V1__NodeInfo *info, struct arena *a)
{
    struct option_view option;
    for (size_t i = 0; info->options && info->n_options + 2 < OPTIONS_SHOWN_MAX && option_view(n->options->set, i, &option); i++) {
        char text[OPTION_IN_FORCE_MAX];
        const char *in_force = option_in_force(n, &option, text);
        if (in_force || option.text)
            add_option(info, a, option.name, in_force ? in_force : option.text);
    }
}

static void get_node(void *ctx, struct admin_call *call, struct slice request)
{
    struct node *n = ctx;
    struct arena *a = answer_arena(call);
    Grid__V1__NodeInfo info = GRID__V1__NODE_INFO__INIT;
    Grid__V1__Host host;
    char api[ADDR_TEXT_MAX], listen[ADDR_TEXT_MAX] = "", not_ready[NODE_REASON_MAX];
    const char *faults[NODE_FAULTS_MAX], *hints[NODE_LONELY_MAX];
    (void) request;
    if (!a)
        return;
    addr_format(worker_set_api(n->workers), api);
    if (worker_set_peer(n->workers)->size != 0)
        addr_format(worker_set_peer(n->workers), listen);
    node_host_of(n, node_member(n, 0), &host);
    info.host = &host;
    info.grid = pb_str(n->grid);
    info.api = pb_str(api);
    info.listen = pb_str(listen);
    info.state_dir = pb_str(n->options->state);
    info.workers = n->options->workers;
    info.resident_bytes = host_resident_bytes(0);
    info.faults = arena_calloc(a, NODE_FAULTS_MAX, sizeof *info.faults);
    size_t fault_count = info.faults ? node_faults_list(n, a, faults) : 0;
    for (; info.n_faults < fault_count; info.n_faults++)
        info.faults[info.n_faults] = pb_str(faults[info.n_faults]);
    info.hints = arena_calloc(a, NODE_LONELY_MAX, sizeof *info.hints);
    size_t hint_count = info.hints ? node_lonely_hints(n, a, hints) : 0;
    for (; info.n_hints < hint_count; info.n_hints++)
        info.hints[info.n_hints] = pb_str(hints[info.n_hints]);
    if (!node_is_ready(n, not_ready))
        info.not_ready = pb_str(not_ready);
    info.options = arena_calloc(a, OPTIONS_SHOWN_MAX, sizeof *info.options);
    add_options(n, &info, a);
    reply_and_finish(call, &info.base);
    arena_destroy(a);
}

static bool is_present(const struct member *m)
{
    return m->state == MEMBER_ALIVE || m->state == MEMBER_STALLED;
}

static void list_nodes(void *ctx, struct admin_call *call, struct slice request)
{
    struct node *n = ctx;
    struct arena *a = answer_arena(call);
    Grid__V1__ListNodesResponse response = GRID__V1__LIST_NODES_RESPONSE__INIT;
    size_t count = node_member_count(n);
    if (!a)
        return;
    const Grid__V1__ListNodesRequest *asked = pb_unpack(&grid__v1__list_nodes_request__descriptor, a, request);
    response.nodes = arena_calloc(a, count, sizeof *response.nodes);
    for (size_t i = 0; response.nodes && i < count; i++) {
        const struct member *m = node_member(n, i);
        Grid__V1__Host *host = arena_alloc(a, sizeof *host);
        if (!host || (!is_present(m) && !(asked && asked->all)))
            continue;
        node_host_of(n, m, host);
        node_found_show(n, m, a, host);
        response.nodes[response.n_nodes++] = host;
    }
    reply_and_finish(call, &response.base);
    arena_destroy(a);
}

struct node_watcher {
    struct node_watch link;
    struct node *node;
    struct admin_call *call;
};

static void watch_add(struct node_watch **list, struct node_watch *w)
{
    w->next = *list;
    w->prev = list;
    if (w->next)
        w->next->prev = &w->next;
    *list = w;
}

static void watch_remove(struct node_watch *w)
{
    *w->prev = w->next;
    if (w->next)
        w->next->prev = w->prev;
}

static void watcher_send(struct admin_call *call, const struct node *n, const char *kind, const struct member *m)
{
    Grid__V1__NodeEvent event = GRID__V1__NODE_EVENT__INIT;
    Grid__V1__Host host;
    node_host_of(n, m, &host);
    event.kind = pb_str(kind);
    event.node = &host;
    reply(call, &event.base);
}

/* What watchers were told of a member last. */
struct node_told {
    bool gone;
    size_t size;
    uint8_t host[]; /* packed */
};

/* Without memory, or for too many, more is told than has changed. */
static void remember_told(struct node *n, const struct member *m, struct slice host)
{
    struct slice id = slice_of_str(m->id);
    struct node_told *told = malloc(sizeof *told + host.size);
    if (!n->told)
        n->told = map_create(free);
    if (!told || !n->told || (!map_get(n->told, id) && map_count(n->told) >= TOLD_MAX)) {
        free(told);
        return;
    }
    *told = (struct node_told){.gone = !is_present(m), .size = host.size};
    memcpy(told->host, host.data, host.size);
    if (map_set(n->told, id, told) != 0)
        free(told);
}

/* One that was told as gone and is there again has joined, also when it had been there all the time (it has refuted its death). NULL: nothing that is told
 * of a node has changed. */
static const char *kind_told(const struct node *n, const char *kind, const struct member *m, struct slice host)
{
    const struct node_told *last = n->told ? map_get(n->told, slice_of_str(m->id)) : NULL;
    if (last && last->gone && is_present(m))
        return "joined";
    bool same = last && strcmp(kind, "updated") == 0 && slice_equal(slice_of(last->host, last->size), host);
    return same ? NULL : kind;
}

void node_watchers_event(struct node *n, const char *kind, const struct member *m)
{
    Grid__V1__Host host;
    struct buf packed;
    buf_init(&packed, 0);
    node_host_of(n, m, &host);
    if (pb_append(&packed, &host.base) == 0) {
        kind = kind_told(n, kind, m, buf_slice(&packed));
        remember_told(n, m, buf_slice(&packed));
    }
    buf_dispose(&packed);
    for (struct node_watch *w = kind ? n->node_watchers : NULL; w; w = w->next)
        watcher_send(((struct node_watcher *) w)->call, n, kind, m);
}

static void watch_end(struct node_watcher *w, int status, const char *why)
{
    watch_remove(&w->link);
    admin_finish(w->call, status, why);
    free(w);
}

static void on_watcher_gone(void *arg, struct admin_call *call)
{
    (void) call;
    watch_end(arg, GRPC_CANCELLED, NULL);
}

void node_watchers_stop(struct node *n)
{
    while (n->node_watchers)
        watch_end((struct node_watcher *) n->node_watchers, GRPC_UNAVAILABLE, NODE_STOPS);
}

static void send_view(const struct node *n, struct admin_call *call, struct slice request)
{
    struct arena *a = arena_create(LIST_ARENA_BLOCK, 0);
    const Grid__V1__ListNodesRequest *asked = a ? pb_unpack(&grid__v1__list_nodes_request__descriptor, a, request) : NULL;
    for (size_t i = 0; i < node_member_count(n); i++) {
        const struct member *m = node_member(n, i);
        if (is_present(m))
            watcher_send(call, n, "joined", m);
        else if (asked && asked->all)
            watcher_send(call, n, m->state == MEMBER_DEAD ? "failed" : "left", m);
    }
    arena_destroy(a);
}

static void watch_nodes(void *ctx, struct admin_call *call, struct slice request)
{
    struct node *n = ctx;
    struct node_watcher *w = n->stopping ? NULL : calloc(1, sizeof *w);
    if (!w) {
        admin_finish(call, GRPC_UNAVAILABLE, n->stopping ? NODE_STOPS : "the node is out of memory: try again later");
        return;
    }
    w->node = n;
    w->call = call;
    send_view(n, call, request);
    watch_add(&n->node_watchers, &w->link);
    admin_on_cancel(call, on_watcher_gone, w);
}

/* ---- tasks ---- */

static uint32_t ready_on_others(const struct node *n, const char *task)
{
    uint32_t ready = 0;
    for (size_t i = 1; i < node_member_count(n); i++) {
        const struct member *m = node_member(n, i);
        for (size_t t = 0; member_routable(m) && t < m->task_count; t++)
            if (strcmp(m->tasks[t].name, task) == 0)
                ready += m->tasks[t].instances;
    }
    return ready;
}

static void take_counters(const struct node *n, const char *task, Grid__V1__TaskInfo *out)
{
    const struct route_task_shared *shared = map_get(n->task_shared, slice_of_str(task));
    for (unsigned w = 0; shared && w < shared->workers; w++) {
        out->invocations += atomic_load_explicit(&shared->counters[w].invocations, memory_order_relaxed);
        out->success += atomic_load_explicit(&shared->counters[w].success, memory_order_relaxed);
        out->errors += atomic_load_explicit(&shared->counters[w].errors, memory_order_relaxed);
        out->remote_invocations += atomic_load_explicit(&shared->counters[w].forwarded, memory_order_relaxed);
    }
}

/* Where it, or its newest version, cannot be started. */
static void take_faults(const struct node *n, struct arena *a, Grid__V1__TaskInfo *task, const char *name)
{
    task->faults_elsewhere = arena_calloc(a, node_member_count(n), sizeof *task->faults_elsewhere);
    for (size_t i = 1; task->faults_elsewhere && i < node_member_count(n); i++) {
        const struct member *m = node_member(n, i);
        const char *fault = member_routable(m) ? member_task_fault(m, name) : NULL;
        Grid__V1__StringPair *pair = fault ? arena_alloc(a, sizeof *pair) : NULL;
        if (!pair)
            continue;
        grid__v1__string_pair__init(pair);
        pair->key = pb_str(m->name);
        pair->value = pb_str(fault);
        task->faults_elsewhere[task->n_faults_elsewhere++] = pair;
    }
}

/* Adds one to the answer, as the grid has it; NULL without memory. */
static Grid__V1__TaskInfo *add_task(const struct node *n, struct arena *a, const char *name, Grid__V1__ListTasksResponse *response)
{
    Grid__V1__TaskInfo *task = arena_alloc(a, sizeof *task);
    if (!task)
        return NULL;
    grid__v1__task_info__init(task);
    task->name = pb_str(name);
    task->ready_in_grid = ready_on_others(n, name);
    take_counters(n, name, task);
    take_faults(n, a, task, name);
    response->tasks[response->n_tasks++] = task;
    return task;
}

static void take_task(const struct supervisor_task *from, Grid__V1__TaskInfo *task)
{
    task->path = pb_str(from->path);
    task->port = from->port;
    task->instances = from->wanted;
    task->ready = from->ready;
    task->ready_in_grid += from->ready;
    task->restarts = from->restarts;
    task->status = pb_str(supervisor_status_name(from->status));
    task->reason = pb_str(from->reason);
    task->next_start_at_ms = from->next_start_at_ms;
}

static int compare_names(const void *a, const void *b)
{
    const Grid__V1__TaskInfo *const *x = a, *const *y = b;
    return slice_compare(pb_slice((*x)->name), pb_slice((*y)->name));
}

static void list_tasks(void *ctx, struct admin_call *call, struct slice request)
{
    struct node *n = ctx;
    struct arena *a = answer_arena(call);
    Grid__V1__ListTasksResponse response = GRID__V1__LIST_TASKS_RESPONSE__INIT;
    Grid__V1__TaskInfo *task;
    size_t count, elsewhere_count;
    const struct supervisor_task *tasks = supervisor_list(n->supervisor, &count);
    const struct task_elsewhere *elsewhere = releases_elsewhere(n->releases, &elsewhere_count);
    (void) request;
    if (!a)
        return;
    response.tasks = arena_calloc(a, count + elsewhere_count + 1, sizeof *response.tasks);
    for (size_t i = 0; response.tasks && i < count; i++)
        if ((task = add_task(n, a, tasks[i].name, &response)))
            take_task(&tasks[i], task);
    for (size_t i = 0; response.tasks && i < elsewhere_count; i++)
        if ((task = add_task(n, a, elsewhere[i].name, &response))) {
            task->status = pb_str(TASK_ELSEWHERE);
            task->reason = pb_str(elsewhere[i].why);
        }
    if (response.n_tasks > 0)
        qsort(response.tasks, response.n_tasks, sizeof *response.tasks, compare_names);
    reply_and_finish(call, &response.base);
    arena_destroy(a);
}

/* One process of one task, or one that it is to have. */
struct task_process {
    const struct supervisor_task *task;
    const struct supervisor_instance *instance; /* NULL: it has none just now */
    uint32_t number;
};

static bool has_process(const struct supervisor_task *task, uint32_t number)
{
    for (size_t p = 0; p < task->instance_count; p++)
        if (task->instances[p].instance->number == number)
            return true;
    return false;
}

/* All processes of this node, with `all` also those that have failed and are not started again yet, in the arena; none where memory lacks. */
static const struct task_process *all_processes(struct node *n, struct arena *a, bool all, size_t *count)
{
    size_t task_count, total = 0;
    const struct supervisor_task *tasks = supervisor_list(n->supervisor, &task_count);
    for (size_t i = 0; i < task_count; i++)
        total += tasks[i].instance_count + tasks[i].place_count;
    struct task_process *list = arena_calloc(a, total + 1, sizeof *list);
    *count = 0;
    for (size_t i = 0; list && i < task_count; i++) {
        for (size_t p = 0; p < tasks[i].instance_count; p++)
            list[(*count)++] = (struct task_process){&tasks[i], &tasks[i].instances[p], tasks[i].instances[p].instance->number};
        for (uint32_t k = 0; all && k < tasks[i].place_count; k++)
            if (!has_process(&tasks[i], k))
                list[(*count)++] = (struct task_process){&tasks[i], NULL, k};
    }
    return list;
}

static void describe_process(Grid__V1__ProcessInfo *process, const struct supervisor_instance *i)
{
    process->pid = i->pid;
    process->port = i->instance->port;
    process->started_at_ms = i->started_at_ms;
    process->resident_bytes = host_resident_bytes(i->pid);
    process->in_flight = atomic_load_explicit(&i->instance->in_flight, memory_order_relaxed);
    process->exposed = pb_str(!i->wide ? "" : i->shut ? "shut" : "open");
    process->release = pb_str(i->release);
}

static void add_process(Grid__V1__ListProcessesResponse *response, struct arena *a, const struct task_process *p)
{
    const struct supervisor_place *place = &p->task->places[p->number];
    Grid__V1__ProcessInfo *process = arena_alloc(a, sizeof *process);
    if (!process)
        return;
    grid__v1__process_info__init(process);
    process->task = pb_str(p->task->name);
    process->instance = p->number;
    process->status = pb_str(p->instance && p->instance->ready ? "online" : place->errored ? "errored" : "starting");
    process->restarts = p->task->restarts;
    process->reason = pb_str(p->task->reason);
    if (p->instance)
        describe_process(process, p->instance);
    else
        process->next_start_at_ms = place->next_start_at_ms;
    response->processes[response->n_processes++] = process;
}

/* What has no process here, since it is for other platforms. */
static void add_elsewhere(Grid__V1__ListProcessesResponse *response, struct arena *a, const struct task_elsewhere *e)
{
    Grid__V1__ProcessInfo *process = arena_alloc(a, sizeof *process);
    if (!process)
        return;
    grid__v1__process_info__init(process);
    process->task = pb_str(e->name);
    process->status = pb_str(TASK_ELSEWHERE);
    process->reason = pb_str(e->why);
    response->processes[response->n_processes++] = process;
}

static void list_processes(void *ctx, struct admin_call *call, struct slice request)
{
    struct node *n = ctx;
    struct arena *a = answer_arena(call);
    Grid__V1__ListProcessesResponse response = GRID__V1__LIST_PROCESSES_RESPONSE__INIT;
    size_t count, elsewhere_count;
    const struct task_elsewhere *elsewhere = releases_elsewhere(n->releases, &elsewhere_count);
    if (!a)
        return;
    const Grid__V1__ListProcessesRequest *asked = pb_unpack(&grid__v1__list_processes_request__descriptor, a, request);
    bool all = asked && asked->all;
    const struct task_process *list = all_processes(n, a, all, &count);
    response.processes = arena_calloc(a, count + elsewhere_count + 1, sizeof *response.processes);
    for (size_t i = 0; response.processes && i < count; i++)
        add_process(&response, a, &list[i]);
    for (size_t i = 0; response.processes && all && i < elsewhere_count; i++)
        add_elsewhere(&response, a, &elsewhere[i]);
    reply_and_finish(call, &response.base);
    arena_destroy(a);
}

/* ---- calls in flight ---- */

struct processing_answer {
    struct admin_call *call;
    struct arena *arena;
    Grid__V1__ListProcessingResponse response;
    size_t capacity;
};

static void processing_each(void *ctx, const struct worker_processing *in)
{
    struct processing_answer *p = ctx;
    Grid__V1__ProcessingInfo *out = arena_alloc(p->arena, sizeof *out);
    if (p->response.n_calls == p->capacity) {
        size_t capacity = p->capacity ? p->capacity * 2 : 64;
        Grid__V1__ProcessingInfo **calls = arena_calloc(p->arena, capacity, sizeof *calls);
        if (!calls)
            return;
        if (p->response.n_calls > 0)
            memcpy(calls, p->response.calls, p->response.n_calls * sizeof *calls);
        p->response.calls = calls;
        p->capacity = capacity;
    }
    if (!out)
        return;
    grid__v1__processing_info__init(out);
    out->request_id = pb_str(arena_str(p->arena, slice_of_str(in->id)));
    out->task = pb_bytes(arena_copy(p->arena, in->task));
    out->handler = pb_bytes(arena_copy(p->arena, in->handler));
    out->from = pb_bytes(arena_copy(p->arena, in->from));
    out->started_at_ms = in->started_wall_ms;
    p->response.calls[p->response.n_calls++] = out;
}

static void processing_done(void *ctx)
{
    struct processing_answer *p = ctx;
    reply_and_finish(p->call, &p->response.base);
    arena_destroy(p->arena);
    free(p);
}

static void list_processing(void *ctx, struct admin_call *call, struct slice request)
{
    struct node *n = ctx;
    struct arena *a = answer_arena(call);
    (void) request;
    if (!a)
        return;
    struct processing_answer *p = calloc(1, sizeof *p);
    if (!p) {
        arena_destroy(a);
        admin_finish(call, GRPC_UNAVAILABLE, "the node is out of memory: try again later");
        return;
    }
    *p = (struct processing_answer){.call = call, .arena = a};
    grid__v1__list_processing_response__init(&p->response);
    worker_set_processing(n->workers, processing_each, processing_done, p);
}

/* ---- releases ---- */

static void take_release_nodes(const struct node *n, struct arena *a, const char *root, const struct release_entry *e, Grid__V1__ReleaseInfo *out)
{
    out->nodes = arena_calloc(a, node_member_count(n), sizeof *out->nodes);
    for (size_t i = 0; out->nodes && i < node_member_count(n); i++) {
        const struct member *m = node_member(n, i);
        if (is_present(m) && member_runs(m, root, e->sequence, e->publisher))
            out->nodes[out->n_nodes++] = pb_str(m->name);
    }
}

static void list_releases(void *ctx, struct admin_call *call, struct slice request)
{
    struct node *n = ctx;
    struct arena *a = answer_arena(call);
    Grid__V1__ListReleasesResponse response = GRID__V1__LIST_RELEASES_RESPONSE__INIT;
    const struct release_entry *entries[RELEASES_SHOWN_MAX];
    size_t count = releases_list(n->releases, entries, RELEASES_SHOWN_MAX);
    (void) request;
    if (!a)
        return;
    response.releases = arena_calloc(a, count + 1, sizeof *response.releases);
    for (size_t i = 0; response.releases && i < count; i++) {
        Grid__V1__ReleaseInfo *release = arena_alloc(a, sizeof *release);
        char *root = arena_alloc(a, OBJECT_ID_HEX + 1);
        if (!release || !root)
            break;
        grid__v1__release_info__init(release);
        object_id_to_hex(&entries[i]->root, root);
        release->root = pb_str(root);
        release->sequence = entries[i]->sequence;
        release->publisher = pb_bytes(node_name_of(n, entries[i]->publisher));
        release->published_at_ms = entries[i]->published_at_ms;
        release->files = entries[i]->files;
        release->size_bytes = entries[i]->size_bytes;
        release->current = i == 0;
        take_release_nodes(n, a, root, entries[i], release);
        response.releases[response.n_releases++] = release;
    }
    reply_and_finish(call, &response.base);
    arena_destroy(a);
}

static void clear(void *ctx, struct admin_call *call, struct slice request)
{
    struct node *n = ctx;
    struct arena *a = answer_arena(call);
    Grid__V1__ClearResponse response = GRID__V1__CLEAR_RESPONSE__INIT;
    size_t count;
    if (!a)
        return;
    if (!pb_unpack(&grid__v1__clear_request__descriptor, a, request)) { /* nothing is ended for what was perhaps meant otherwise */
        admin_finish(call, GRPC_INVALID_ARGUMENT, "the message is not a ClearRequest");
        arena_destroy(a);
        return;
    }
    const struct task_process *list = all_processes(n, a, false, &count);
    response.processes = arena_calloc(a, count + 1, sizeof *response.processes);
    for (size_t i = 0; response.processes && i < count; i++)
        response.processes[response.n_processes++] = pb_str(arena_printf(a, "task:%s", list[i].task->name));
    releases_clear(n->releases);
    reply_and_finish(call, &response.base);
    arena_destroy(a);
}

const struct admin_method NODE_CONTROL[] = {
    {.name = "GetNode", .handle = get_node},
    {.name = "ListNodes", .handle = list_nodes},
    {.name = "WatchNodes", .handle = watch_nodes},
    {.name = "ListTasks", .handle = list_tasks},
    {.name = "ListProcesses", .handle = list_processes},
    {.name = "ListProcessing", .handle = list_processing},
    {.name = "ListReleases", .handle = list_releases},
    {.name = "Deploy", .writes = true, .handle = node_deploy},
    {.name = "Rollback", .writes = true, .handle = node_rollback},
    {.name = "Clear", .writes = true, .handle = clear},
    {.name = "Evict", .writes = true, .handle = node_control_evict},
    {.name = "Rotate", .writes = true, .handle = node_control_rotate},
    {.name = "SetPassword", .writes = true, .handle = node_control_set_password},
    {.name = "Adopt", .writes = true, .handle = node_control_adopt},
    {.name = "Logs", .tells = true, .handle = node_control_logs},
    {0},
};
