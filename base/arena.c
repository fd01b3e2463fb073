/* A bump allocator over a list of blocks; the first block is part of the arena itself. */
#include "base/arena.h"

#include <stdarg.h>
#include <stdalign.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

enum { ARENA_ALIGN = alignof(max_align_t) };

struct arena_block {
    struct arena_block *next;
    size_t capacity;
    size_t used;
    alignas(max_align_t) uint8_t bytes[];
};

struct arena {
    size_t block_bytes;
    size_t max_bytes;
    size_t total;
    struct arena_block *current; /* newest block; the first one is at the list's end */
    struct arena_block *first;
};

static struct arena_block *block_create(size_t capacity)
{
    struct arena_block *block = malloc(sizeof *block + capacity);
    if (block)
        *block = (struct arena_block){.capacity = capacity};
    return block;
}

struct arena *arena_create(size_t block_bytes, size_t max_bytes)
{
    struct arena *a = malloc(sizeof *a);
    struct arena_block *first = block_create(block_bytes);
    if (!a || !first) {
        free(a);
        free(first);
        return NULL;
    }
    *a = (struct arena){.block_bytes = block_bytes, .max_bytes = max_bytes ? max_bytes : SIZE_MAX / 2, .current = first, .first = first};
    return a;
}

void arena_reset(struct arena *a)
{
    while (a->current != a->first) {
        struct arena_block *next = a->current->next;
        free(a->current);
        a->current = next;
    }
    a->first->used = 0;
    a->total = 0;
}

void arena_destroy(struct arena *a)
{
    if (!a)
        return;
    arena_reset(a);
    free(a->first);
    free(a);
}

void arena_destroy_wiped(struct arena *a)
{
    if (!a)
        return;
    for (struct arena_block *block = a->current; block; block = block == a->first ? NULL : block->next)
        explicit_bzero(block->bytes, block->capacity);
    arena_destroy(a);
}

/* Out of line, so that the way through arena_alloc stays a handful of instructions. */
__attribute__((noinline)) static bool arena_grow(struct arena *a, size_t rounded)
{
    struct arena_block *block = block_create(rounded > a->block_bytes ? rounded : a->block_bytes);
    if (!block)
        return false;
    block->next = a->current;
    a->current = block;
    return true;
}

void *arena_alloc(struct arena *a, size_t size)
{
    if (size > a->max_bytes || a->total > a->max_bytes - size)
        return NULL;
    size_t rounded = (size + ARENA_ALIGN - 1) & ~(size_t) (ARENA_ALIGN - 1);
    if (a->current->capacity - a->current->used < rounded && !arena_grow(a, rounded))
        return NULL;
    struct arena_block *block = a->current;
    void *result = block->bytes + block->used;
    block->used += rounded;
    a->total += rounded;
    return result;
}

void *arena_calloc(struct arena *a, size_t count, size_t size)
{
    if (size != 0 && count > SIZE_MAX / size)
        return NULL;
    void *result = arena_alloc(a, count * size);
    if (result)
        memset(result, 0, count * size);
    return result;
}

struct slice arena_copy(struct arena *a, struct slice s)
{
    uint8_t *copy = arena_alloc(a, s.size + 1);
    if (!copy)
        return slice_of(NULL, 0);
    if (s.size > 0)
        memcpy(copy, s.data, s.size);
    copy[s.size] = '\0';
    return slice_of(copy, s.size);
}

char *arena_str(struct arena *a, struct slice s)
{
    return (char *) (uintptr_t) arena_copy(a, s).data;
}

char *arena_printf(struct arena *a, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    int length = vsnprintf(NULL, 0, format, args);
    va_end(args);
    char *result = length < 0 ? NULL : arena_alloc(a, (size_t) length + 1);
    if (!result)
        return NULL;
    va_start(args, format);
    vsnprintf(result, (size_t) length + 1, format, args);
    va_end(args);
    return result;
}

size_t arena_used(const struct arena *a)
{
    return a->total;
}
