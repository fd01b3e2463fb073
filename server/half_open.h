/* server/half_open.h: connections of peers whose handshake is not over, at most HALF_OPEN_MAX. When one more comes, the one that is dropped for it is the
 * oldest of the source that has the most: who opens many pushes out its own, and whoever comes once gets through. Pure; one thread. */
#ifndef GRID_SERVER_HALF_OPEN_H
#define GRID_SERVER_HALF_OPEN_H

#include <stddef.h>

#include "net/addr.h"

enum { HALF_OPEN_MAX = 64 };

/* All zero is empty. */
struct half_open {
    struct {
        void *item;
        struct addr from;
    } entries[HALF_OPEN_MAX]; /* oldest first */
    size_t count;
};

/* Adds one. Returns the item to be closed for it, which is no longer in here; NULL while there is room. */
void *half_open_add(struct half_open *h, void *item, const struct addr *from);
/* Its handshake is over, or it has ended. What is not in here is no mistake: it was dropped. */
void half_open_remove(struct half_open *h, const void *item);

#endif
