/* Invocations live in their own arenas; a thread keeps some emptied arenas and a stock of random bytes at hand, so that a call
 * costs no malloc and no system call for these. */
#include "server/exec/invocation.h"

#include "base/uuid.h"
#include "net/loop.h"

enum { ARENA_BLOCK_BYTES = 8 * 1024, ARENAS_KEPT = 256 };

struct stock {
    struct uuid_source ids;
    struct arena *arenas[ARENAS_KEPT];
    size_t arena_count;
    bool ready;
};

static _Thread_local struct stock stock;

static struct stock *stock_get(void)
{
    if (!stock.ready) {
        uuid_source_init(&stock.ids, NULL, NULL);
        stock.ready = true;
    }
    return &stock;
}

static struct arena *stock_take(struct stock *s)
{
    return s->arena_count > 0 ? s->arenas[--s->arena_count] : arena_create(ARENA_BLOCK_BYTES, 0);
}

static void stock_give(struct stock *s, struct arena *a)
{
    if (s->arena_count == ARENAS_KEPT) {
        arena_destroy(a);
        return;
    }
    arena_reset(a);
    s->arenas[s->arena_count++] = a;
}

struct invocation *invocation_create(void)
{
    struct stock *s = stock_get();
    struct arena *a = stock_take(s);
    struct invocation *inv = a ? arena_calloc(a, 1, sizeof *inv) : NULL;
    if (!inv) {
        arena_destroy(a);
        return NULL;
    }
    inv->arena = a;
    inv->started_wall_ms = loop_wall_ms();
    uuid7_generate(&s->ids, (uint64_t) inv->started_wall_ms, inv->id);
    return inv;
}

void invocation_new_id(char id[37])
{
    uuid7_generate(&stock_get()->ids, (uint64_t) loop_wall_ms(), id);
}

void invocation_destroy(struct invocation *inv)
{
    if (inv->on_destroy)
        inv->on_destroy(inv);
    stock_give(stock_get(), inv->arena);
}

void invocation_thread_cleanup(void)
{
    while (stock.arena_count > 0)
        arena_destroy(stock.arenas[--stock.arena_count]);
}
