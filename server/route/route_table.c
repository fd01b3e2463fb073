/* Building, sharing and looking up routing tables. A table is one arena: freeing it is freeing that and dropping references. */
#include "server/route/route_table.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/arena.h"
#include "base/err.h"

enum {
    TABLE_BLOCK_BYTES = 16 * 1024,
    NODES_MAX = UINT16_MAX,
    TASKS_MAX = 64 * 1024,
    BUDGET_START_MILLI = 10 * 1000,
    BUDGET_MAX_MILLI = 100 * 1000,
    BUDGET_PER_CALL_MILLI = 100,
    BUDGET_PER_RETRY_MILLI = 1000,
};

/* ---- what is shared from table to table ---- */

static void reference_add(_Atomic uint32_t *references)
{
    atomic_fetch_add_explicit(references, 1, memory_order_relaxed);
}

/* True when it was the last one; then everything done under other references has happened before. */
static bool reference_drop(_Atomic uint32_t *references)
{
    return atomic_fetch_sub_explicit(references, 1, memory_order_acq_rel) == 1;
}

struct route_shared *route_shared_create(void)
{
    struct route_shared *s = calloc(1, sizeof *s);
    if (!s)
        return NULL;
    s->references = 1;
    s->retry_tokens_milli = BUDGET_START_MILLI;
    return s;
}

struct route_shared *route_shared_ref(struct route_shared *s)
{
    reference_add(&s->references);
    return s;
}

void route_shared_unref(struct route_shared *s)
{
    if (s && reference_drop(&s->references))
        free(s);
}

/* A full bucket is only read, so that the workers do not pass its cache line around. Two deposits at once may lift it a little
 * over. */
void route_budget_deposit(struct route_shared *s)
{
    if (atomic_load_explicit(&s->retry_tokens_milli, memory_order_relaxed) < BUDGET_MAX_MILLI)
        atomic_fetch_add_explicit(&s->retry_tokens_milli, BUDGET_PER_CALL_MILLI, memory_order_relaxed);
}

bool route_budget_withdraw(struct route_shared *s)
{
    int64_t tokens = atomic_load_explicit(&s->retry_tokens_milli, memory_order_relaxed);
    while (tokens >= BUDGET_PER_RETRY_MILLI)
        if (atomic_compare_exchange_weak_explicit(&s->retry_tokens_milli, &tokens, tokens - BUDGET_PER_RETRY_MILLI,
                                                  memory_order_relaxed, memory_order_relaxed))
            return true;
    return false;
}

struct route_task_shared *route_task_shared_create(unsigned workers)
{
    /* Aligned as its counters are: a cache line per worker. */
    size_t size = sizeof(struct route_task_shared) + workers * sizeof(struct route_counters);
    struct route_task_shared *s = aligned_alloc(_Alignof(struct route_task_shared), size);
    if (!s)
        return NULL;
    memset(s, 0, size);
    s->references = 1;
    s->workers = workers;
    return s;
}

struct route_task_shared *route_task_shared_ref(struct route_task_shared *s)
{
    reference_add(&s->references);
    return s;
}

void route_task_shared_unref(struct route_task_shared *s)
{
    if (s && reference_drop(&s->references))
        free(s);
}

struct route_node_shared *route_node_shared_create(void)
{
    struct route_node_shared *s = calloc(1, sizeof *s);
    if (s)
        s->references = 1;
    return s;
}

struct route_node_shared *route_node_shared_ref(struct route_node_shared *s)
{
    reference_add(&s->references);
    return s;
}

void route_node_shared_unref(struct route_node_shared *s)
{
    if (s && reference_drop(&s->references))
        free(s);
}

/* ---- building ---- */

/* A table with the arena it lives in. */
struct table_box {
    struct route_table table; /* first */
    struct arena *arena;
};

struct route_builder {
    struct table_box *box;
    struct route_node *nodes; /* grown on the heap, moved to the arena at the end */
    size_t node_count, node_capacity;
    struct route_dead *dead;
    size_t dead_count, dead_capacity;
    struct route_task *tasks;
    size_t task_count, task_capacity;
};

/* Makes room for one more of `*items`. */
static int grow(void **items, size_t count, size_t *capacity, size_t item_bytes)
{
    if (count < *capacity)
        return 0;
    size_t wanted = *capacity ? *capacity * 2 : 16;
    void *grown = realloc(*items, wanted * item_bytes);
    if (!grown)
        return GRID_ENOMEM;
    *items = grown;
    *capacity = wanted;
    return 0;
}

struct route_builder *route_builder_create(uint64_t version, struct route_shared *shared)
{
    struct route_builder *b = calloc(1, sizeof *b);
    struct arena *arena = arena_create(TABLE_BLOCK_BYTES, 0);
    struct table_box *box = arena ? arena_calloc(arena, 1, sizeof *box) : NULL;
    if (!b || !box) {
        arena_destroy(arena);
        free(b);
        return NULL;
    }
    box->arena = arena;
    box->table.references = 1;
    box->table.version = version;
    box->table.shared = route_shared_ref(shared);
    b->box = box;
    return b;
}

int route_builder_node(struct route_builder *b, const struct route_node *node)
{
    if (b->node_count == NODES_MAX)
        return GRID_ELIMIT;
    int err = grow((void **) &b->nodes, b->node_count, &b->node_capacity, sizeof *b->nodes);
    if (err)
        return err;
    struct route_node copy = *node;
    copy.host_packed = arena_copy(b->box->arena, node->host_packed);
    copy.host_json = arena_copy(b->box->arena, node->host_json);
    if (!copy.host_packed.data || !copy.host_json.data)
        return GRID_ENOMEM;
    if (copy.shared)
        route_node_shared_ref(copy.shared);
    b->nodes[b->node_count] = copy;
    return (int) b->node_count++;
}

int route_builder_dead(struct route_builder *b, const char *id, const char *name)
{
    int err = grow((void **) &b->dead, b->dead_count, &b->dead_capacity, sizeof *b->dead);
    if (err)
        return err;
    struct route_dead *dead = &b->dead[b->dead_count++];
    snprintf(dead->id, sizeof dead->id, "%s", id);
    snprintf(dead->name, sizeof dead->name, "%s", name);
    return 0;
}

/* How many slots a node takes. */
static uint32_t slot_share(const struct route_builder *b, const uint32_t *ready, size_t node)
{
    if (!b->nodes[node].routable)
        return 0;
    return ready[node] < ROUTE_SLOTS_PER_NODE ? ready[node] : ROUTE_SLOTS_PER_NODE;
}

/* Round by round: every node with at least one instance, then every node with at least two, and so on. */
static int slots_fill(struct route_builder *b, const uint32_t *ready, struct route_task *task)
{
    size_t total = 0;
    for (size_t i = 0; i < b->node_count; i++)
        total += slot_share(b, ready, i);
    uint16_t *slots = arena_alloc(b->box->arena, (total + 1) * sizeof *slots);
    if (!slots)
        return GRID_ENOMEM;
    size_t count = 0;
    for (uint32_t round = 0; round < ROUTE_SLOTS_PER_NODE && count < total; round++)
        for (size_t i = 0; i < b->node_count; i++)
            if (slot_share(b, ready, i) > round)
                slots[count++] = (uint16_t) i;
    task->slots = slots;
    task->slot_count = count;
    return 0;
}

static int instances_copy(struct route_builder *b, const struct route_task_spec *spec, struct route_task *task)
{
    struct instance **instances = arena_alloc(b->box->arena, (spec->instance_count + 1) * sizeof(struct instance *));
    const char **releases = arena_alloc(b->box->arena, (spec->instance_count + 1) * sizeof *releases);
    if (!instances || !releases)
        return GRID_ENOMEM;
    for (size_t i = 0; i < spec->instance_count; i++) {
        instances[i] = spec->instances[i];
        bool again = i > 0 && strcmp(spec->releases[i], releases[i - 1]) == 0;
        releases[i] = again ? releases[i - 1] : arena_str(b->box->arena, slice_of_str(spec->releases[i]));
        if (!releases[i])
            return GRID_ENOMEM;
    }
    task->instances = instances;
    task->releases = releases;
    task->instance_count = spec->instance_count;
    return 0;
}

static int lacking_copy(struct route_builder *b, const bool *lacking, struct route_task *task)
{
    bool *copy = arena_calloc(b->box->arena, b->node_count + 1, sizeof *copy);
    if (copy && lacking)
        memcpy(copy, lacking, b->node_count * sizeof *copy);
    task->lacking = copy;
    return copy ? 0 : GRID_ENOMEM;
}

static int faults_copy(struct route_builder *b, const char *const *faults, struct route_task *task)
{
    const char **copy = arena_calloc(b->box->arena, b->node_count + 1, sizeof *copy);
    task->faults = copy;
    if (!copy)
        return GRID_ENOMEM;
    for (size_t i = 0; faults && i < b->node_count; i++)
        if (faults[i] && !(copy[i] = arena_str(b->box->arena, slice_of_str(faults[i]))))
            return GRID_ENOMEM;
    return 0;
}

static int task_copy(struct route_builder *b, const struct route_task_spec *spec, struct route_task *task)
{
    *task = (struct route_task){.known_here = spec->known_here, .shared = spec->shared};
    task->name = arena_str(b->box->arena, slice_of_str(spec->name));
    if (!task->name)
        return GRID_ENOMEM;
    int err = slots_fill(b, spec->ready, task);
    if (err == 0)
        err = faults_copy(b, spec->faults, task);
    if (err == 0)
        err = lacking_copy(b, spec->lacking, task);
    return err ? err : instances_copy(b, spec, task);
}

int route_builder_task(struct route_builder *b, const struct route_task_spec *spec)
{
    if (b->task_count == TASKS_MAX)
        return GRID_ELIMIT;
    int err = grow((void **) &b->tasks, b->task_count, &b->task_capacity, sizeof *b->tasks);
    struct route_task task;
    if (!err)
        err = task_copy(b, spec, &task);
    if (err)
        return err;
    /* Only now that nothing can fail: references are dropped for the tasks that are counted. */
    route_task_shared_ref(task.shared);
    for (size_t i = 0; i < task.instance_count; i++)
        instance_ref(task.instances[i]);
    b->tasks[b->task_count++] = task;
    return 0;
}

static int task_compare(const void *a, const void *b)
{
    return strcmp(((const struct route_task *) a)->name, ((const struct route_task *) b)->name);
}

static void *move_to_arena(struct arena *a, const void *items, size_t bytes)
{
    void *copy = arena_alloc(a, bytes + 1);
    if (copy && bytes > 0)
        memcpy(copy, items, bytes);
    return copy;
}

struct route_table *route_builder_finish(struct route_builder *b, bool settling, const char *release, struct tls_context *peer_tls)
{
    struct route_table *t = &b->box->table;
    struct arena *arena = b->box->arena;
    if (b->task_count > 1)
        qsort(b->tasks, b->task_count, sizeof *b->tasks, task_compare);
    t->nodes = move_to_arena(arena, b->nodes, b->node_count * sizeof *b->nodes);
    t->tasks = move_to_arena(arena, b->tasks, b->task_count * sizeof *b->tasks);
    t->dead = move_to_arena(arena, b->dead, b->dead_count * sizeof *b->dead);
    if (!t->nodes || !t->tasks || !t->dead) {
        route_builder_abort(b);
        return NULL;
    }
    t->node_count = b->node_count;
    t->dead_count = b->dead_count;
    t->task_count = b->task_count;
    t->settling = settling;
    size_t size = strnlen(release, sizeof t->release - 1);
    memcpy(t->release, release, size);
    t->peer_tls = peer_tls ? tls_context_ref(peer_tls) : NULL;
    free(b->nodes);
    free(b->dead);
    free(b->tasks);
    free(b);
    return t;
}

static void tasks_unref(const struct route_task *tasks, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        route_task_shared_unref(tasks[i].shared);
        for (size_t k = 0; k < tasks[i].instance_count; k++)
            instance_unref(tasks[i].instances[k]);
    }
}

static void nodes_unref(const struct route_node *nodes, size_t count)
{
    for (size_t i = 0; i < count; i++)
        route_node_shared_unref(nodes[i].shared);
}

static void box_destroy(struct table_box *box)
{
    if (box->table.peer_tls)
        tls_context_unref(box->table.peer_tls);
    route_shared_unref(box->table.shared);
    arena_destroy(box->arena);
}

void route_builder_abort(struct route_builder *b)
{
    tasks_unref(b->tasks, b->task_count);
    nodes_unref(b->nodes, b->node_count);
    box_destroy(b->box);
    free(b->nodes);
    free(b->dead);
    free(b->tasks);
    free(b);
}

/* ---- holding and asking ---- */

struct route_table *route_table_ref(struct route_table *t)
{
    reference_add(&t->references);
    return t;
}

void route_table_unref(struct route_table *t)
{
    if (!t || !reference_drop(&t->references))
        return;
    tasks_unref(t->tasks, t->task_count);
    nodes_unref(t->nodes, t->node_count);
    box_destroy((struct table_box *) t);
}

const struct route_task *route_table_task(const struct route_table *t, struct slice name)
{
    size_t low = 0, high = t->task_count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        int order = slice_compare(slice_of_str(t->tasks[middle].name), name);
        if (order == 0)
            return &t->tasks[middle];
        if (order < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return NULL;
}

int route_table_node(const struct route_table *t, struct slice id_or_name)
{
    if (id_or_name.size == 0)
        return -1;
    for (size_t i = 0; i < t->node_count; i++)
        if (slice_equal_str(id_or_name, t->nodes[i].id))
            return (int) i;
    for (size_t i = 0; i < t->node_count; i++)
        if (slice_equal_str(id_or_name, t->nodes[i].name))
            return (int) i;
    return -1;
}

bool route_table_is_dead(const struct route_table *t, struct slice id_or_name)
{
    for (size_t i = 0; i < t->dead_count; i++) {
        const struct route_dead *dead = &t->dead[i];
        if (slice_equal(id_or_name, slice_of(dead->id, strnlen(dead->id, sizeof dead->id))) ||
            slice_equal(id_or_name, slice_of(dead->name, strnlen(dead->name, sizeof dead->name))))
            return true;
    }
    return false;
}

struct route_view *route_view_create(struct route_table *table)
{
    struct route_view *v = malloc(sizeof *v);
    if (v)
        *v = (struct route_view){.table = table, .references = 1};
    else
        route_table_unref(table);
    return v;
}

struct route_view *route_view_ref(struct route_view *v)
{
    v->references++;
    return v;
}

void route_view_unref(struct route_view *v)
{
    if (!v || --v->references > 0)
        return;
    route_table_unref(v->table);
    free(v);
}
