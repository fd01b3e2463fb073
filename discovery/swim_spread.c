/* The queue of news: an array in order of how often each was sent. */
#include "discovery/swim_spread.h"

#include <string.h>

static bool is_queued(const struct swim_spread *s, uint16_t slot)
{
    return s->queued[slot / 64] >> slot % 64 & 1;
}

void swim_spread_drop(struct swim_spread *s, uint16_t slot)
{
    size_t at = 0;
    if (!is_queued(s, slot))
        return;
    while (s->items[at].slot != slot)
        at++;
    s->count--;
    memmove(&s->items[at], &s->items[at + 1], (s->count - at) * sizeof s->items[0]);
    s->queued[slot / 64] &= ~(UINT64_C(1) << slot % 64);
}

void swim_spread_put(struct swim_spread *s, uint16_t slot)
{
    swim_spread_drop(s, slot);
    memmove(&s->items[1], &s->items[0], s->count * sizeof s->items[0]);
    s->items[0] = (struct swim_spread_item){slot, 0};
    s->count++;
    s->queued[slot / 64] |= UINT64_C(1) << slot % 64;
}

unsigned swim_spread_limit(unsigned lambda, size_t members)
{
    unsigned bits = 0;
    while (bits < 32 && (size_t) 1 << bits < members + 1)
        bits++;
    return lambda * bits;
}

/* The first `taken` have been sent once more: in order again with the rest, those that reached the limit left out. */
static void settle(struct swim_spread *s, size_t taken, unsigned limit)
{
    struct swim_spread_item sent[SWIM_SLOTS_MAX];
    size_t a = 0, b = taken, out = 0;
    memcpy(sent, s->items, taken * sizeof sent[0]);
    while (a < taken || b < s->count) {
        bool from_sent = b == s->count || (a < taken && sent[a].sent < s->items[b].sent);
        struct swim_spread_item item = from_sent ? sent[a++] : s->items[b++];
        if (item.sent >= limit)
            s->queued[item.slot / 64] &= ~(UINT64_C(1) << item.slot % 64);
        else
            s->items[out++] = item;
    }
    s->count = out;
}

size_t swim_spread_take(struct swim_spread *s, unsigned limit, size_t max, uint16_t *slots)
{
    size_t taken = s->count < max ? s->count : max;
    for (size_t i = 0; i < taken; i++) {
        slots[i] = s->items[i].slot;
        s->items[i].sent++;
    }
    settle(s, taken, limit);
    return taken;
}

void swim_spread_echo(struct swim_spread *s, uint16_t slot, unsigned limit)
{
    size_t at = 0;
    if (!is_queued(s, slot))
        return;
    while (s->items[at].slot != slot)
        at++;
    struct swim_spread_item item = s->items[at];
    if (++item.sent >= limit) {
        swim_spread_drop(s, slot);
        return;
    }
    for (; at + 1 < s->count && s->items[at + 1].sent < item.sent; at++)
        s->items[at] = s->items[at + 1];
    s->items[at] = item;
}
