/* A timing wheel: a list per millisecond modulo the number of slots, and a bitmap of those that hold something. What lies further ahead than
 * one turn stays in its slot until its turn has come. */
#include "tests/sim/sim_wheel.h"

#include <stdlib.h>
#include <string.h>

void sim_wheel_reset(struct sim_wheel *w)
{
    memset(w->heads, 0, sizeof w->heads);
    memset(w->tails, 0, sizeof w->tails);
    memset(w->used, 0, sizeof w->used);
    w->now = w->pool_count = w->free = 0;
    w->taken = 0;
}

void sim_wheel_dispose(struct sim_wheel *w)
{
    free(w->pool);
    w->pool = NULL;
    w->pool_capacity = 0;
    sim_wheel_reset(w);
}

static uint32_t take_place(struct sim_wheel *w)
{
    if (w->free != 0) {
        uint32_t place = w->free;
        w->free = w->pool[place - 1].next;
        return place;
    }
    if (w->pool_count == w->pool_capacity) {
        w->pool_capacity = w->pool_capacity ? 2 * w->pool_capacity : 4096;
        w->pool = realloc(w->pool, w->pool_capacity * sizeof *w->pool);
        if (!w->pool)
            abort();
    }
    return ++w->pool_count;
}

void sim_wheel_add(struct sim_wheel *w, uint32_t at, uint32_t kind, uint32_t a, uint32_t b)
{
    uint32_t place = take_place(w), time = at > w->now ? at : w->now, slot = time % SIM_WHEEL_SLOTS;
    w->pool[place - 1] = (struct sim_event){time, kind, a, b, 0};
    if (w->tails[slot] != 0)
        w->pool[w->tails[slot] - 1].next = place;
    else
        w->heads[slot] = place;
    w->tails[slot] = place;
    w->used[slot / 64] |= UINT64_C(1) << slot % 64;
}

/* Slots from the one of `time` to the next that holds something; SIM_WHEEL_SLOTS when all are empty. */
static uint32_t distance(const struct sim_wheel *w, uint32_t time)
{
    uint32_t slot = time % SIM_WHEEL_SLOTS, steps = 0;
    while (steps < SIM_WHEEL_SLOTS) {
        uint64_t word = w->used[slot / 64] >> slot % 64;
        if (word != 0)
            return steps + (uint32_t) __builtin_ctzll(word);
        steps += 64 - slot % 64;
        slot = (slot + 64 - slot % 64) % SIM_WHEEL_SLOTS;
    }
    return SIM_WHEEL_SLOTS;
}

/* Takes the first event of exactly this time out of its slot. */
static bool take_at(struct sim_wheel *w, uint32_t time, struct sim_event *out)
{
    uint32_t slot = time % SIM_WHEEL_SLOTS, before = 0, place = w->heads[slot];
    while (place != 0 && w->pool[place - 1].at != time) {
        before = place;
        place = w->pool[place - 1].next;
    }
    if (place == 0)
        return false;
    *out = w->pool[place - 1];
    if (before != 0)
        w->pool[before - 1].next = out->next;
    else
        w->heads[slot] = out->next;
    if (w->tails[slot] == place)
        w->tails[slot] = before;
    if (w->heads[slot] == 0)
        w->used[slot / 64] &= ~(UINT64_C(1) << slot % 64);
    w->pool[place - 1].next = w->free;
    w->free = place;
    w->taken++;
    return true;
}

bool sim_wheel_next(struct sim_wheel *w, uint32_t until, struct sim_event *out)
{
    for (uint32_t time = w->now; time <= until; time++) {
        uint32_t steps = distance(w, time);
        if (steps > until - time)
            break;
        time += steps;
        w->now = time;
        if (take_at(w, time, out))
            return true;
    }
    w->now = until;
    return false;
}
