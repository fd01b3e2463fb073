/* The shared life of one running process of a task: made by the supervisor, held by whoever calls it. */
#include "server/supervise/instance.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

struct instance *instance_create(uint64_t id, const char *task, uint32_t number, uint16_t port)
{
    struct instance *i = calloc(1, sizeof *i);
    if (!i)
        return NULL;
    size_t size = strlen(task);
    assert(size < sizeof i->task);
    memcpy(i->task, task, size + 1);
    atomic_init(&i->references, 1);
    i->id = id;
    i->number = number;
    i->port = port;
    return i;
}

struct instance *instance_ref(struct instance *i)
{
    atomic_fetch_add_explicit(&i->references, 1, memory_order_relaxed);
    return i;
}

void instance_unref(struct instance *i)
{
    if (i && atomic_fetch_sub_explicit(&i->references, 1, memory_order_acq_rel) == 1)
        free(i);
}
