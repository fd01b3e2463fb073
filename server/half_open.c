/* The oldest of whoever has most; sources as addr_source tells them apart. */
#include "server/half_open.h"

#include <string.h>

static bool same_source(const struct addr *a, const struct addr *b)
{
    uint8_t x[ADDR_SOURCE_SIZE], y[ADDR_SOURCE_SIZE];
    addr_source(a, x);
    addr_source(b, y);
    return memcmp(x, y, sizeof x) == 0;
}

static size_t count_from(const struct half_open *h, size_t first)
{
    size_t count = 0;
    for (size_t i = first; i < h->count; i++)
        count += same_source(&h->entries[i].from, &h->entries[first].from);
    return count;
}

/* The oldest of a source is met first, and then counted with all the others of it. */
static size_t find_dropped(const struct half_open *h)
{
    size_t found = 0, most = 0;
    for (size_t i = 0; i < h->count; i++) {
        size_t count = count_from(h, i);
        if (count > most) {
            most = count;
            found = i;
        }
    }
    return found;
}

static void *take(struct half_open *h, size_t index)
{
    void *item = h->entries[index].item;
    h->count--;
    memmove(&h->entries[index], &h->entries[index + 1], (h->count - index) * sizeof h->entries[0]);
    return item;
}

void *half_open_add(struct half_open *h, void *item, const struct addr *from)
{
    void *dropped = h->count == HALF_OPEN_MAX ? take(h, find_dropped(h)) : NULL;
    h->entries[h->count].item = item;
    h->entries[h->count++].from = *from;
    return dropped;
}

void half_open_remove(struct half_open *h, const void *item)
{
    for (size_t i = 0; i < h->count; i++)
        if (h->entries[i].item == item) {
            take(h, i);
            return;
        }
}
