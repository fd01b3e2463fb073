/* server/supervise/ports.h: which port a task's process gets. Pure: whether a port is free is asked through a function. */
#ifndef GRID_SERVER_SUPERVISE_PORTS_H
#define GRID_SERVER_SUPERVISE_PORTS_H

#include <stdbool.h>
#include <stdint.h>

enum { PORTS_AVOIDED_MAX = 64, PORTS_AVOID_MS = 30000 };

struct ports {
    uint16_t first;
    uint8_t held[65536 / 8];
    struct {
        uint16_t port;
        uint64_t until_ms;
    } avoided[PORTS_AVOIDED_MAX]; /* a ring */
    unsigned avoided_next;
};

void ports_init(struct ports *p, uint16_t first);

typedef bool (*ports_is_free)(void *ctx, uint16_t port);

/* The lowest port from `first` upward that is neither held nor avoided and is free; it is held from now on. 0 when there is none. */
uint16_t ports_take(struct ports *p, uint64_t now_ms, ports_is_free is_free, void *ctx);
void ports_release(struct ports *p, uint16_t port);

/* Another process was quicker to take it: not given out for PORTS_AVOID_MS. */
void ports_avoid(struct ports *p, uint16_t port, uint64_t now_ms);

#endif
