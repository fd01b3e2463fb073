/* discovery/ways.h: at which address each member was reached last, so that it is tried first the next time, and by whoever else dials it. No sockets, no clock. Any one thread at a time. */
#ifndef GRID_DISCOVERY_WAYS_H
#define GRID_DISCOVERY_WAYS_H

#include "net/addr.h"

enum { WAYS_MAX = 2048 }; /* beyond it all are forgotten, and learnt again */

struct ways;

/* NULL without memory. */
struct ways *ways_create(void);
/* NULL is allowed. */
void ways_destroy(struct ways *w);

/* The member with this id (text) was reached there. Without memory nothing changes. */
void ways_found(struct ways *w, const char *id, const struct addr *at);
/* NULL: it was not reached yet. Lives until the next ways_found. */
const struct addr *ways_of(const struct ways *w, const char *id);

/* That address moves to the front of these; when it is not among them, before them, for which the last one (but a carrier's, net/carrier.h) makes room where `count` is `max`. Returns how many there are then. */
size_t ways_prefer(const struct ways *w, const char *id, struct addr *addresses, size_t count, size_t max);

#endif
