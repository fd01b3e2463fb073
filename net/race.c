/* An array in the order of preference; there are a handful at most. */
#include "net/race.h"

static ptrdiff_t find(const struct race *r, const struct addr *at)
{
    for (size_t i = 0; i < r->count; i++)
        if (addr_equal(&r->at[i], at))
            return (ptrdiff_t) i;
    return -1;
}

void race_add(struct race *r, const struct addr *at)
{
    if (r->count == RACE_MAX || find(r, at) >= 0)
        return;
    r->at[r->count] = *at;
    r->states[r->count++] = RACE_WAITING;
}

/* The one at `from` comes to stand at `to`, before it. */
static void move_up(struct race *r, size_t from, size_t to)
{
    struct addr moved = r->at[from];
    for (size_t i = from; i > to; i--)
        r->at[i] = r->at[i - 1];
    r->at[to] = moved;
}

/* The first one of the other family from `from` on; the count when there is none. */
static size_t find_other(const struct race *r, size_t from, sa_family_t family)
{
    while (from < r->count && r->at[from].u.any.sa_family != (family == AF_INET ? AF_INET6 : AF_INET))
        from++;
    return from;
}

void race_sort(struct race *r)
{
    for (size_t i = 1; i < r->count; i++) {
        size_t other = find_other(r, i, r->at[i - 1].u.any.sa_family);
        if (other == r->count)
            return;
        move_up(r, other, i);
    }
}

void race_prefer(struct race *r, const struct addr *at)
{
    ptrdiff_t index = find(r, at);
    if (index < 0) {
        r->count -= r->count == RACE_MAX;
        race_add(r, at);
        index = (ptrdiff_t) r->count - 1;
    }
    move_up(r, (size_t) index, 0);
}

static size_t count_of(const struct race *r, enum race_state state)
{
    size_t count = 0;
    for (size_t i = 0; i < r->count; i++)
        count += r->states[i] == state;
    return count;
}

static int first_waiting(const struct race *r)
{
    for (size_t i = 0; i < r->count; i++)
        if (r->states[i] == RACE_WAITING)
            return (int) i;
    return -1;
}

int race_next(struct race *r, uint64_t now_ms, uint64_t *wait_ms)
{
    int index = first_waiting(r);
    *wait_ms = UINT64_MAX;
    if (index < 0)
        return -1;
    if (now_ms < r->next_ms && count_of(r, RACE_UNDER_WAY) > 0) {
        *wait_ms = r->next_ms - now_ms;
        return -1;
    }
    r->states[index] = RACE_UNDER_WAY;
    r->next_ms = now_ms + RACE_HEAD_START_MS;
    return index;
}

void race_failed(struct race *r, int index)
{
    r->states[index] = RACE_FAILED;
    r->next_ms = 0;
}

bool race_is_last(const struct race *r, int index)
{
    return r->states[index] == RACE_UNDER_WAY && count_of(r, RACE_UNDER_WAY) == 1 && first_waiting(r) < 0;
}

bool race_is_lost(const struct race *r)
{
    return count_of(r, RACE_FAILED) == r->count;
}
