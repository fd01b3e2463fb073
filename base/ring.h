/* base/ring.h: rings of a fixed capacity, of bytes and of pointers. One thread at a time. */
#ifndef GRID_BASE_RING_H
#define GRID_BASE_RING_H

#include "base/slice.h"

/* Bytes. Fields may be read; they change only through ring_*. */
struct ring {
    uint8_t *data;
    size_t capacity;
    size_t start; /* of the oldest byte */
    size_t size;
};

/* Takes its memory at once. `capacity` above 0. 0 or GRID_ENOMEM. */
int ring_init(struct ring *r, size_t capacity);
void ring_dispose(struct ring *r);

/* Appends as many of the bytes as there is room for, and returns how many. */
size_t ring_write(struct ring *r, struct slice bytes);

/* Appends all of the bytes, dropping the oldest where there is no room; of more than the capacity, the last stay. Returns how many
 * old and new bytes were dropped. */
size_t ring_overwrite(struct ring *r, struct slice bytes);

/* The content, oldest first, as two slices of which the second or both may be empty. Valid until the next write. */
void ring_peek(const struct ring *r, struct slice out[2]);

/* Copies and drops at most `size` of the oldest bytes; returns how many. */
size_t ring_read(struct ring *r, void *out, size_t size);

/* Drops at most `size` of the oldest bytes; returns how many. */
size_t ring_drop(struct ring *r, size_t size);

/* Pointers, first in first out. It owns the ring, not what is pointed to. */
struct pointer_ring {
    void **items;
    size_t capacity;
    size_t start;
    size_t count;
};

int pointer_ring_init(struct pointer_ring *r, size_t capacity);
void pointer_ring_dispose(struct pointer_ring *r);

/* False, with nothing done, when it is full. */
bool pointer_ring_push(struct pointer_ring *r, void *item);

/* Pushes always; returns the oldest that had to go for it, NULL when there was room. */
void *pointer_ring_overwrite(struct pointer_ring *r, void *item);

/* The oldest, taken out; NULL when it is empty. */
void *pointer_ring_pop(struct pointer_ring *r);

/* The `index`th, the oldest being 0; NULL behind the last. */
void *pointer_ring_at(const struct pointer_ring *r, size_t index);

#endif
