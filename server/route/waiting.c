/* Queues of calls by task, made when the first one waits and gone with the last. */
#include "server/route/waiting.h"

#include <stdlib.h>

#define HASH_NONFATAL_OOM 1
#include <uthash.h>

#include "base/err.h"

struct waiting_queue {
    UT_hash_handle hh;
    struct waiting_entry *first, **last;
    size_t name_size;
    char name[];
};

void waiting_init(struct waiting *w, size_t bytes_max)
{
    *w = (struct waiting){.bytes_max = bytes_max};
}

static struct waiting_queue *queue_find(const struct waiting *w, struct slice task)
{
    struct waiting_queue *q = NULL;
    HASH_FIND(hh, w->queues, task.data, task.size, q);
    return q;
}

static struct waiting_queue *queue_create(struct waiting *w, struct slice task)
{
    struct waiting_queue *q = calloc(1, sizeof *q + task.size + 1);
    if (!q)
        return NULL;
    q->last = &q->first;
    q->name_size = task.size;
    if (task.size > 0)
        memcpy(q->name, task.data, task.size);
    HASH_ADD_KEYPTR(hh, w->queues, q->name, q->name_size, q);
    if (!q->hh.tbl) {
        free(q);
        return NULL;
    }
    return q;
}

int waiting_add(struct waiting *w, struct slice task, struct waiting_entry *e)
{
    if (e->bytes > w->bytes_max - w->bytes)
        return GRID_ELIMIT;
    struct waiting_queue *q = queue_find(w, task);
    if (!q)
        q = queue_create(w, task);
    if (!q)
        return GRID_ENOMEM;
    e->queue = q;
    e->next = NULL;
    e->prev = q->last;
    *q->last = e;
    q->last = &e->next;
    w->bytes += e->bytes;
    w->count++;
    return 0;
}

void waiting_set_busy(struct waiting_entry *e, _Atomic uint32_t *shared_count)
{
    if (e->busy == shared_count)
        return;
    if (e->busy)
        atomic_fetch_sub_explicit(e->busy, 1, memory_order_relaxed);
    e->busy = shared_count;
    if (e->busy)
        atomic_fetch_add_explicit(e->busy, 1, memory_order_relaxed);
}

void waiting_remove(struct waiting *w, struct waiting_entry *e)
{
    struct waiting_queue *q = e->queue;
    if (!q)
        return;
    waiting_set_busy(e, NULL);
    *e->prev = e->next;
    if (e->next)
        e->next->prev = e->prev;
    else
        q->last = e->prev;
    e->queue = NULL;
    w->bytes -= e->bytes;
    w->count--;
    if (q->first)
        return;
    HASH_DEL(w->queues, q);
    free(q);
}

struct waiting_entry *waiting_first(const struct waiting *w, struct slice task)
{
    struct waiting_queue *q = queue_find(w, task);
    return q ? q->first : NULL;
}

static bool waited_too_long(const struct waiting_entry *e, uint64_t now_ms)
{
    uint64_t waited = now_ms - e->since_ms;
    return waited > WAITING_PATIENCE_MS || waited > (e->deadline_ms - e->since_ms) / 2;
}

enum waiting_room waiting_room(const struct waiting *w, struct slice task, const _Atomic uint32_t *shared_count,
                               uint32_t busy_limit, uint64_t now_ms, struct waiting_entry **oldest)
{
    if (atomic_load_explicit(shared_count, memory_order_relaxed) < busy_limit)
        return WAITING_ROOM;
    struct waiting_entry *e = waiting_first(w, task);
    while (e && !e->busy)
        e = e->next;
    if (!e || !waited_too_long(e, now_ms))
        return WAITING_FULL;
    *oldest = e;
    return WAITING_PUSH_OUT;
}

static void queue_each(struct waiting_queue *q, bool (*look)(void *ctx, struct waiting_entry *e), void *ctx)
{
    struct waiting_entry *next;
    for (struct waiting_entry *e = q->first; e; e = next) {
        next = e->next; /* the queue itself goes with its last entry, which has none */
        if (!look(ctx, e))
            return;
    }
}

void waiting_each(struct waiting *w, bool (*look)(void *ctx, struct waiting_entry *e), void *ctx)
{
    struct waiting_queue *q, *next;
    HASH_ITER(hh, w->queues, q, next)
    {
        queue_each(q, look, ctx);
    }
}
