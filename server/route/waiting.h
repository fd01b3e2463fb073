/* server/route/waiting.h: one worker's calls that cannot be placed yet, by task, oldest first. No clock, no sockets; time is given.
 *
 * A call waits either because nothing is ready (to its deadline, within the bound on bytes) or because all that is ready is busy. Of the
 * busy ones at most `busy_limit` a task wait on the node; the count is shared by its workers. A call that finds no room pushes out the
 * oldest of its own worker if that has waited too long already: longer than WAITING_PATIENCE_MS, or than half of the time it
 * had. It is refused itself otherwise: it has its whole time still before it and may be tried elsewhere. */
#ifndef GRID_SERVER_ROUTE_WAITING_H
#define GRID_SERVER_ROUTE_WAITING_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/slice.h"

enum { WAITING_PATIENCE_MS = 1000 };

struct waiting_queue;

/* A call's place; embedded in its record, zeroed at first. */
struct waiting_entry {
    struct waiting_queue *queue; /* NULL when it does not wait */
    struct waiting_entry *next, **prev;
    void *owner;
    uint64_t since_ms;    /* when it began to wait; kept while it moves from one kind to the other */
    uint64_t deadline_ms;
    size_t bytes;         /* that it holds */
    _Atomic uint32_t *busy; /* the task's shared count of busy ones it is counted in, else NULL; lives on while it waits */
};

struct waiting {
    struct waiting_queue *queues; /* hashed by task */
    size_t bytes, bytes_max;
    size_t count;
};

void waiting_init(struct waiting *w, size_t bytes_max);

/* Puts an entry at the end of its task's queue; owner, since_ms, deadline_ms and bytes are set. 0, GRID_ELIMIT (bytes_max) or GRID_ENOMEM. */
int waiting_add(struct waiting *w, struct slice task, struct waiting_entry *e);
/* Takes it out and uncounts it; nothing when it does not wait. */
void waiting_remove(struct waiting *w, struct waiting_entry *e);

/* Says that a waiting entry is one of the busy ones from now on, or no longer. */
void waiting_set_busy(struct waiting_entry *e, _Atomic uint32_t *shared_count);

enum waiting_room { WAITING_ROOM, WAITING_PUSH_OUT, WAITING_FULL };

/* Whether one more busy call of the task may wait. WAITING_PUSH_OUT: when *oldest goes. */
enum waiting_room waiting_room(const struct waiting *w, struct slice task, const _Atomic uint32_t *shared_count, uint32_t busy_limit, uint64_t now_ms,
                               struct waiting_entry **oldest);

/* The first one of a task, or NULL. */
struct waiting_entry *waiting_first(const struct waiting *w, struct slice task);

/* Calls `look` for the waiting ones, task by task, oldest first. It may remove the entry it is given, and no other. False ends the
 * task's turn. */
void waiting_each(struct waiting *w, bool (*look)(void *ctx, struct waiting_entry *e), void *ctx);

#endif
