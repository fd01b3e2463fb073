/* A binary heap of slots by their moment, with each slot's place in it. */
#include "discovery/swim_timers.h"

static bool earlier(const struct swim_timers *t, size_t a, size_t b)
{
    return t->due_ms[t->heap[a]] < t->due_ms[t->heap[b]];
}

static void swap(struct swim_timers *t, size_t a, size_t b)
{
    uint16_t slot = t->heap[a];
    t->heap[a] = t->heap[b];
    t->heap[b] = slot;
    t->place[t->heap[a]] = (uint16_t) (a + 1);
    t->place[t->heap[b]] = (uint16_t) (b + 1);
}

static void rise(struct swim_timers *t, size_t at)
{
    for (; at > 0 && earlier(t, at, (at - 1) / 2); at = (at - 1) / 2)
        swap(t, at, (at - 1) / 2);
}

static void sink(struct swim_timers *t, size_t at)
{
    for (;;) {
        size_t least = at, left = 2 * at + 1;
        if (left < t->count && earlier(t, left, least))
            least = left;
        if (left + 1 < t->count && earlier(t, left + 1, least))
            least = left + 1;
        if (least == at)
            return;
        swap(t, at, least);
        at = least;
    }
}

void swim_timers_set(struct swim_timers *t, uint16_t slot, uint64_t due_ms)
{
    if (t->place[slot] == 0) {
        t->heap[t->count++] = slot;
        t->place[slot] = (uint16_t) t->count;
    }
    t->due_ms[slot] = due_ms;
    rise(t, t->place[slot] - 1u);
    sink(t, t->place[slot] - 1u);
}

void swim_timers_remove(struct swim_timers *t, uint16_t slot)
{
    size_t at = t->place[slot];
    if (at == 0)
        return;
    t->count--;
    if (--at != t->count) {
        uint16_t moved = t->heap[t->count];
        swap(t, at, t->count);
        rise(t, t->place[moved] - 1u);
        sink(t, t->place[moved] - 1u);
    }
    t->place[slot] = 0;
}

bool swim_timers_pop(struct swim_timers *t, uint64_t now_ms, uint16_t *slot)
{
    if (swim_timers_next_ms(t) > now_ms)
        return false;
    *slot = t->heap[0];
    swim_timers_remove(t, *slot);
    return true;
}
