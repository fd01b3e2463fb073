/* Task ports, from the first upward. Other daemons of this machine take theirs in the same way, so that a race may be lost. */
#include "server/supervise/ports.h"

#include <string.h>

void ports_init(struct ports *p, uint16_t first)
{
    memset(p, 0, sizeof *p);
    p->first = first;
}

static bool is_held(const struct ports *p, uint16_t port)
{
    return p->held[port / 8] >> (port % 8) & 1;
}

static bool is_avoided(const struct ports *p, uint16_t port, uint64_t now_ms)
{
    for (unsigned i = 0; i < PORTS_AVOIDED_MAX; i++) {
        if (p->avoided[i].port == port && p->avoided[i].until_ms > now_ms)
            return true;
    }
    return false;
}

uint16_t ports_take(struct ports *p, uint64_t now_ms, ports_is_free is_free, void *ctx)
{
    for (uint32_t n = p->first ? p->first : 1; n <= UINT16_MAX; n++) {
        uint16_t port = (uint16_t) n;
        if (is_held(p, port) || is_avoided(p, port, now_ms) || !is_free(ctx, port))
            continue;
        p->held[port / 8] = (uint8_t) (p->held[port / 8] | 1u << (port % 8));
        return port;
    }
    return 0;
}

void ports_release(struct ports *p, uint16_t port)
{
    p->held[port / 8] = (uint8_t) (p->held[port / 8] & ~(1u << (port % 8)));
}

void ports_avoid(struct ports *p, uint16_t port, uint64_t now_ms)
{
    unsigned at = p->avoided_next++ % PORTS_AVOIDED_MAX;
    p->avoided[at].port = port;
    p->avoided[at].until_ms = now_ms + PORTS_AVOID_MS;
}
