/* base/arena.h: memory that lives and dies with one invocation (or one parse). Any one thread at a time. */
#ifndef GRID_BASE_ARENA_H
#define GRID_BASE_ARENA_H

#include <stddef.h>

#include "base/slice.h"

struct arena;

/* An arena that grows in blocks of at least `block_bytes` up to `max_bytes` in all (0: no cap). NULL when out of memory. */
struct arena *arena_create(size_t block_bytes, size_t max_bytes);

/* Frees everything allocated from it, and it. NULL is allowed. */
void arena_destroy(struct arena *a);
/* The same, for what held secrets: all of it is overwritten first. */
void arena_destroy_wiped(struct arena *a);

/* Frees all but the first block; the arena is as new. Cheap when only one block was used. */
void arena_reset(struct arena *a);

/* `size` bytes aligned for any type, uninitialized; NULL beyond the cap or when out of memory. */
void *arena_alloc(struct arena *a, size_t size);

/* The same, zeroed. */
void *arena_calloc(struct arena *a, size_t count, size_t size);

/* A NUL-terminated copy; NULL on failure. */
char *arena_str(struct arena *a, struct slice s);

/* A copy with a NUL behind it that does not count; {NULL, 0} on failure. */
struct slice arena_copy(struct arena *a, struct slice s);

char *arena_printf(struct arena *a, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Bytes handed out so far. */
size_t arena_used(const struct arena *a);

#endif
