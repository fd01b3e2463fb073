/* One mapping; appending is a copy. */
#include "tests/faults/tape.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

struct tape *tape_create(void)
{
    struct tape *t = mmap(NULL, sizeof *t, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (t == MAP_FAILED) {
        perror("tests/faults: mmap");
        exit(1);
    }
    return t;
}

void tape_destroy(struct tape *t)
{
    munmap(t, sizeof *t);
}

void tape_clear(struct tape *t)
{
    t->count = t->used = t->calls = t->site_count = 0;
}

void tape_add(struct tape *t, const struct tape_op *op, const void *bytes, size_t size)
{
    if (t->count == TAPE_OPS_MAX || size > TAPE_BYTES_MAX - t->used) {
        fprintf(stderr, "tests/faults: the tape is full\n");
        abort();
    }
    struct tape_op *new = &t->ops[t->count++];
    *new = *op;
    new->size = (uint32_t) size;
    new->at = t->used;
    if (size > 0)
        memcpy(t->bytes + t->used, bytes, size);
    t->used += (uint32_t) size;
}
