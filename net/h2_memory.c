/* Size classes of 64 to 512 bytes, each with a list of free blocks; a block's class stands in front of it. */
#include "net/h2_memory.h"

#include <stdalign.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

enum { CLASS_FIRST_BYTES = 64, CLASS_COUNT = 4, CLASS_NONE = CLASS_COUNT, KEPT_MAX = 256 /* of each class */ };

/* In front of every block. */
struct head {
    alignas(max_align_t) size_t capacity; /* behind the head */
    unsigned size_class;
};

struct free_block {
    struct head head;
    struct free_block *next;
};

struct pool {
    struct free_block *free[CLASS_COUNT];
    unsigned counts[CLASS_COUNT];
    unsigned sessions;
};

static _Thread_local struct pool pool;

static unsigned class_of(size_t size)
{
    unsigned class = 0;
    for (size_t capacity = CLASS_FIRST_BYTES; class < CLASS_COUNT && capacity < size; capacity *= 2)
        class++;
    return class;
}

static void *block_new(unsigned class, size_t size)
{
    size_t capacity = class == CLASS_NONE ? size : (size_t) CLASS_FIRST_BYTES << class;
    struct head *head = capacity > SIZE_MAX - sizeof *head ? NULL : malloc(sizeof *head + capacity);
    if (!head)
        return NULL;
    *head = (struct head){capacity, class};
    return head + 1;
}

static void *memory_malloc(size_t size, void *ctx)
{
    (void) ctx;
    unsigned class = class_of(size);
    struct free_block *block = class == CLASS_NONE ? NULL : pool.free[class];
    if (!block)
        return block_new(class, size);
    pool.free[class] = block->next;
    pool.counts[class]--;
    return &block->head + 1;
}

static void memory_free(void *data, void *ctx)
{
    (void) ctx;
    if (!data)
        return;
    struct head *head = (struct head *) data - 1;
    if (head->size_class == CLASS_NONE || pool.counts[head->size_class] == KEPT_MAX) {
        free(head);
        return;
    }
    struct free_block *block = (struct free_block *) head;
    block->next = pool.free[head->size_class];
    pool.free[head->size_class] = block;
    pool.counts[head->size_class]++;
}

static void *memory_calloc(size_t count, size_t size, void *ctx)
{
    size_t total;
    if (__builtin_mul_overflow(count, size, &total))
        return NULL;
    void *data = memory_malloc(total, ctx);
    if (data)
        memset(data, 0, total);
    return data;
}

static void *memory_realloc(void *data, size_t size, void *ctx)
{
    struct head *head = data ? (struct head *) data - 1 : NULL;
    if (head && head->capacity >= size)
        return data;
    void *moved = memory_malloc(size, ctx);
    if (moved && head) {
        memcpy(moved, data, head->capacity);
        memory_free(data, ctx);
    }
    return moved;
}

nghttp2_mem *h2_memory_take(void)
{
    static nghttp2_mem table = {NULL, memory_malloc, memory_free, memory_calloc, memory_realloc};
    pool.sessions++;
    return &table;
}

void h2_memory_release(void)
{
    if (--pool.sessions > 0)
        return;
    for (unsigned class = 0; class < CLASS_COUNT; class++)
        while (pool.free[class]) {
            struct free_block *block = pool.free[class];
            pool.free[class] = block->next;
            free(block);
        }
    pool = (struct pool){0};
}
