/* server/join_held.h: exchanges of those who have proven that they know the password and have not gone on yet: how many there may be, how long, and who gives way. What is still to be said
 * takes two turns of the line. Pure: time is given. One thread. */
#ifndef GRID_SERVER_JOIN_HELD_H
#define GRID_SERVER_JOIN_HELD_H

#include <stdbool.h>
#include <stddef.h>

#include "net/addr.h"

enum {
    JOIN_HELD_MAX = 16,
    JOIN_HELD_MS = 5000,       /* held for so long it is ended */
    JOIN_HELD_EQUALS_MS = 1000, /* and after this for one of whom there are almost as many */
};

/* All zero is empty. */
struct join_held {
    struct {
        void *item;
        uint8_t source[ADDR_SOURCE_SIZE];
        uint64_t since_ms;
    } entries[JOIN_HELD_MAX]; /* oldest first */
    size_t count;
};

/* Whether there is room for one more from there: a place, or one that gives way. That is the oldest of the source (addr_source) that has most, where it has more than the newcomer's: two more,
 * or one whose oldest has been held for JOIN_HELD_EQUALS_MS, so that many who come at once do not end each other. */
bool join_held_has_room(const struct join_held *h, const uint8_t source[ADDR_SOURCE_SIZE], uint64_t now_ms);

/* It has proven that it knows the password. False: there is no room. *ended is who has given way, to be ended by the caller; NULL: nobody had to. */
bool join_held_add(struct join_held *h, void *item, const uint8_t source[ADDR_SOURCE_SIZE], uint64_t now_ms, void **ended);
/* It is over. What is not in here is no mistake. */
void join_held_remove(struct join_held *h, const void *item);

/* Takes out one that has been held for too long. NULL: there is none, and *wait_ms is how long until there may be one (UINT64_MAX: nobody is held). */
void *join_held_late(struct join_held *h, uint64_t now_ms, uint64_t *wait_ms);

#endif
