/* Rings: a start, a size, and indices that wrap. */
#include "base/ring.h"

#include <assert.h>
#include <stdlib.h>

#include "base/err.h"

int ring_init(struct ring *r, size_t capacity)
{
    assert(capacity > 0);
    *r = (struct ring){.data = malloc(capacity), .capacity = capacity};
    return r->data ? 0 : GRID_ENOMEM;
}

void ring_dispose(struct ring *r)
{
    free(r->data);
    *r = (struct ring){0};
}

size_t ring_write(struct ring *r, struct slice bytes)
{
    bytes = slice_first(bytes, r->capacity - r->size);
    size_t end = (r->start + r->size) % r->capacity;
    struct slice before_wrap = slice_first(bytes, r->capacity - end);
    struct slice after_wrap = slice_from(bytes, before_wrap.size);
    if (before_wrap.size > 0)
        memcpy(r->data + end, before_wrap.data, before_wrap.size);
    if (after_wrap.size > 0)
        memcpy(r->data, after_wrap.data, after_wrap.size);
    r->size += bytes.size;
    return bytes.size;
}

size_t ring_overwrite(struct ring *r, struct slice bytes)
{
    size_t dropped = bytes.size > r->capacity ? bytes.size - r->capacity : 0;
    bytes = slice_from(bytes, dropped);
    if (bytes.size > r->capacity - r->size)
        dropped += ring_drop(r, bytes.size - (r->capacity - r->size));
    ring_write(r, bytes);
    return dropped;
}

void ring_peek(const struct ring *r, struct slice out[2])
{
    size_t until_wrap = r->capacity - r->start;
    size_t first = r->size < until_wrap ? r->size : until_wrap;
    out[0] = slice_of(r->data + r->start, first);
    out[1] = slice_of(r->data, r->size - first);
}

size_t ring_read(struct ring *r, void *out, size_t size)
{
    struct slice parts[2];
    uint8_t *next = out;
    ring_peek(r, parts);
    for (int i = 0; i < 2; i++) {
        struct slice part = slice_first(parts[i], size - (size_t) (next - (uint8_t *) out));
        if (part.size > 0)
            memcpy(next, part.data, part.size);
        next += part.size;
    }
    return ring_drop(r, (size_t) (next - (uint8_t *) out));
}

size_t ring_drop(struct ring *r, size_t size)
{
    size_t dropped = size < r->size ? size : r->size;
    r->start = (r->start + dropped) % r->capacity;
    r->size -= dropped;
    return dropped;
}

int pointer_ring_init(struct pointer_ring *r, size_t capacity)
{
    assert(capacity > 0);
    *r = (struct pointer_ring){.items = calloc(capacity, sizeof *r->items), .capacity = capacity};
    return r->items ? 0 : GRID_ENOMEM;
}

void pointer_ring_dispose(struct pointer_ring *r)
{
    free(r->items);
    *r = (struct pointer_ring){0};
}

bool pointer_ring_push(struct pointer_ring *r, void *item)
{
    if (r->count == r->capacity)
        return false;
    r->items[(r->start + r->count) % r->capacity] = item;
    r->count++;
    return true;
}

void *pointer_ring_overwrite(struct pointer_ring *r, void *item)
{
    void *oldest = r->count == r->capacity ? pointer_ring_pop(r) : NULL;
    pointer_ring_push(r, item);
    return oldest;
}

void *pointer_ring_pop(struct pointer_ring *r)
{
    if (r->count == 0)
        return NULL;
    void *item = r->items[r->start];
    r->start = (r->start + 1) % r->capacity;
    r->count--;
    return item;
}

void *pointer_ring_at(const struct pointer_ring *r, size_t index)
{
    return index < r->count ? r->items[(r->start + index) % r->capacity] : NULL;
}
