/* net/listening.h: which sockets listen on a TCP port here, as the kernel tells (net/sock_diag.h), which goes through listeners alone then. No state; any thread. */
#ifndef GRID_NET_LISTENING_H
#define GRID_NET_LISTENING_H

#include <stdbool.h>
#include <stddef.h>

#include "base/slice.h"

enum { LISTENING_MAX = 64 };

struct listening {
    uint64_t inodes[LISTENING_MAX];
    size_t count; /* those beyond LISTENING_MAX are left out */
    bool wide;    /* one of them listens on another address than loopback's */
};

/* 0, also when nobody listens; GRID_EUNSUPPORTED where the kernel does not answer. */
int listening_find(uint16_t port, struct listening *out);

/* The pure part: what a packet of the kernel's answer tells is added. 1 when more follows, 0 when that was all, GRID_EUNSUPPORTED when it is a refusal or none. */
int listening_take(struct slice packet, uint16_t port, struct listening *out);

#endif
