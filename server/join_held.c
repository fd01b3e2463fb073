/* Those who have proven the password and have not gone on: the oldest of whoever has most gives way. */
#include "server/join_held.h"

#include <string.h>

static size_t count_from(const struct join_held *h, const uint8_t source[ADDR_SOURCE_SIZE])
{
    size_t count = 0;
    for (size_t i = 0; i < h->count; i++)
        count += memcmp(h->entries[i].source, source, ADDR_SOURCE_SIZE) == 0;
    return count;
}

/* The oldest of a source is met first. */
static size_t first_of_most(const struct join_held *h, size_t *most)
{
    size_t found = 0;
    *most = 0;
    for (size_t i = 0; i < h->count; i++) {
        size_t count = count_from(h, h->entries[i].source);
        if (count > *most) {
            *most = count;
            found = i;
        }
    }
    return found;
}

static void *take(struct join_held *h, size_t index)
{
    void *item = h->entries[index].item;
    h->count--;
    memmove(&h->entries[index], &h->entries[index + 1], (h->count - index) * sizeof h->entries[0]);
    return item;
}

bool join_held_has_room(const struct join_held *h, const uint8_t source[ADDR_SOURCE_SIZE], uint64_t now_ms)
{
    size_t most, own = count_from(h, source), first = first_of_most(h, &most);
    return h->count < JOIN_HELD_MAX || most > own + 1 || (most > own && now_ms >= h->entries[first].since_ms + JOIN_HELD_EQUALS_MS);
}

bool join_held_add(struct join_held *h, void *item, const uint8_t source[ADDR_SOURCE_SIZE], uint64_t now_ms, void **ended)
{
    size_t most;
    *ended = NULL;
    if (!join_held_has_room(h, source, now_ms))
        return false;
    if (h->count == JOIN_HELD_MAX)
        *ended = take(h, first_of_most(h, &most));
    h->entries[h->count].item = item;
    h->entries[h->count].since_ms = now_ms;
    memcpy(h->entries[h->count++].source, source, ADDR_SOURCE_SIZE);
    return true;
}

void join_held_remove(struct join_held *h, const void *item)
{
    for (size_t i = 0; i < h->count; i++)
        if (h->entries[i].item == item) {
            take(h, i);
            return;
        }
}

void *join_held_late(struct join_held *h, uint64_t now_ms, uint64_t *wait_ms)
{
    uint64_t due_ms = h->count > 0 ? h->entries[0].since_ms + JOIN_HELD_MS : UINT64_MAX;
    *wait_ms = h->count == 0 ? UINT64_MAX : due_ms > now_ms ? due_ms - now_ms : 0;
    return *wait_ms == 0 ? take(h, 0) : NULL;
}
