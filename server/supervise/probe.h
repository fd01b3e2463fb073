/* server/supervise/probe.h: asks a port of 127.0.0.1 again and again until a process of one group accepts there. The loop's thread only. */
#ifndef GRID_SERVER_SUPERVISE_PROBE_H
#define GRID_SERVER_SUPERVISE_PROBE_H

#include "net/loop.h"

enum probe_result {
    PROBE_ACCEPTED, /* a process of the group listens (or the system does not show who) */
    PROBE_ACCEPTED_WIDE, /* and on other addresses than loopback's */
    PROBE_FOREIGN,  /* another process does */
    PROBE_REFUSED,  /* nobody does: only with `once` */
};

struct probe;

/* Connects at once and then, unless `once`, with pauses that grow from 5 to 25 ms; calls `done` when there is a result, never inside the
 * call, and is gone then. NULL without memory. */
struct probe *probe_start(struct loop *l, uint16_t port, int group, bool once, void (*done)(void *ctx, enum probe_result result), void *ctx);

/* Ends it without a result. NULL is allowed. */
void probe_stop(struct probe *p);

#endif
