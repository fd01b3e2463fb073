/* The load of a node as its calls' trailers tell it.
 *
 * What is kept of it is one cell per task: 0 while there is room, or nothing is known, else
 *
 *     | task's number + 1, 24 bits | when it was said to be full, 40 bits of milliseconds |
 *
 * Tasks whose numbers share a cell overwrite each other, and then less is known. A node with room costs its callers a look at a cell
 * that nobody writes. */
#include "server/route/route_load.h"

#include <string.h>

#include "discovery/member.h"

enum { NUMBERS = 5, CPU_STEP = 5, TIME_BITS = 40 };
#define TIME_MASK ((UINT64_C(1) << TIME_BITS) - 1)

/* ---- what is so here ---- */

static uint32_t less(uint32_t a, uint32_t b)
{
    return a > b ? a - b : 0;
}

bool route_load_here(const struct route_table *t, struct slice task, uint32_t in_flight_limit, struct route_load *out)
{
    const struct route_task *at = route_table_task(t, task);
    if (!at)
        return false;
    *out = (struct route_load){.queued = atomic_load_explicit(&at->shared->queued, memory_order_relaxed),
                               .cpu_percent = atomic_load_explicit(&t->shared->cpu_percent, memory_order_relaxed)};
    for (size_t i = 0; i < at->instance_count; i++) {
        if (atomic_load_explicit(&at->instances[i]->draining, memory_order_relaxed))
            continue;
        uint32_t in_flight = atomic_load_explicit(&at->instances[i]->in_flight, memory_order_relaxed);
        out->ready++;
        out->in_flight += in_flight;
        out->room += less(in_flight_limit, in_flight);
    }
    out->room = less(out->room, out->queued);
    return true;
}

/* ---- on the wire ---- */

struct slice route_load_format(const struct route_load *load, char text[ROUTE_LOAD_TEXT])
{
    const uint32_t numbers[NUMBERS] = {member_load_quantized(load->in_flight), member_load_quantized(load->queued),
                                       (load->cpu_percent + CPU_STEP / 2) / CPU_STEP * CPU_STEP, member_load_quantized(load->ready),
                                       member_load_quantized(load->room)};
    size_t size = 0;
    for (int i = 0; i < NUMBERS; i++) {
        char digits[SLICE_U64_TEXT];
        struct slice number = slice_of_u64(numbers[i], digits);
        if (i > 0)
            text[size++] = ' ';
        memcpy(text + size, number.data, number.size);
        size += number.size;
    }
    return slice_of(text, size);
}

/* Takes a number and the space behind it off the front. */
static bool next_number(struct slice *rest, uint32_t *out)
{
    const uint8_t *space = rest->size > 0 ? memchr(rest->data, ' ', rest->size) : NULL;
    size_t size = space ? (size_t) (space - rest->data) : rest->size;
    uint64_t number;
    if (slice_parse_u64(slice_first(*rest, size), UINT32_MAX, &number) != 0)
        return false;
    *rest = slice_from(*rest, size + (space ? 1 : 0));
    *out = (uint32_t) number;
    return true;
}

bool route_load_parse(struct slice value, struct route_load *out)
{
    struct route_load load;
    uint32_t *const numbers[NUMBERS] = {&load.in_flight, &load.queued, &load.cpu_percent, &load.ready, &load.room};
    for (int i = 0; i < NUMBERS; i++)
        if (!next_number(&value, numbers[i]))
            return false;
    if (load.cpu_percent > 100)
        return false;
    *out = load;
    return true;
}

/* ---- what is kept ---- */

static _Atomic uint64_t *cell_of(struct route_node_shared *node, const struct route_task_shared *task)
{
    return &node->full[task->number % ROUTE_FULL_CELLS];
}

static uint64_t cell_make(const struct route_task_shared *task, uint64_t now_ms)
{
    return ((uint64_t) task->number + 1) << TIME_BITS | (now_ms & TIME_MASK);
}

static bool cell_is_of(uint64_t cell, const struct route_task_shared *task)
{
    return cell >> TIME_BITS == cell_make(task, 0) >> TIME_BITS;
}

void route_load_note(struct route_node_shared *node, const struct route_task_shared *task, const struct route_load *load, uint64_t now_ms)
{
    _Atomic uint64_t *cell = cell_of(node, task);
    if (load->room == 0)
        atomic_store_explicit(cell, cell_make(task, now_ms), memory_order_relaxed);
    else if (cell_is_of(atomic_load_explicit(cell, memory_order_relaxed), task))
        atomic_store_explicit(cell, 0, memory_order_relaxed);
}

bool route_load_is_full(struct route_node_shared *node, const struct route_task_shared *task, uint64_t now_ms)
{
    _Atomic uint64_t *cell = cell_of(node, task);
    uint64_t seen = atomic_load_explicit(cell, memory_order_relaxed);
    if (!cell_is_of(seen, task))
        return false;
    if ((now_ms & TIME_MASK) < (seen & TIME_MASK) + ROUTE_FULL_MS) /* loops' clocks differ by an iteration */
        return true;
    return !atomic_compare_exchange_strong_explicit(cell, &seen, cell_make(task, now_ms), memory_order_relaxed, memory_order_relaxed);
}
