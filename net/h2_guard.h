/* net/h2_guard.h: what an HTTP/2 client may cost before it is told to calm down. Pure: no sockets, no clock. */
#ifndef GRID_NET_H2_GUARD_H
#define GRID_NET_H2_GUARD_H

#include <stdbool.h>
#include <stdint.h>

/* A token bucket in thousandths of a token. */
struct h2_bucket {
    uint64_t level, burst; /* milli-tokens */
    uint64_t per_second;   /* tokens */
    uint64_t filled_ms;
};

void h2_bucket_init(struct h2_bucket *b, uint64_t burst, uint64_t per_second, uint64_t now_ms);
/* False when it holds less than that; then nothing is taken. */
bool h2_bucket_take(struct h2_bucket *b, uint64_t tokens, uint64_t now_ms);
void h2_bucket_give(struct h2_bucket *b, uint64_t tokens);

/* Frames that cost us work and carry none; their weights are in h2_guard.c. */
enum h2_nuisance { H2_PING, H2_SETTINGS, H2_PRIORITY, H2_EMPTY_DATA, H2_UNKNOWN, H2_WINDOW_UPDATE };

struct h2_guard {
    struct h2_bucket resets;   /* streams reset by the client, or by us because of what it sent */
    struct h2_bucket nuisance; /* weighted */
    uint64_t last_ping_ms;     /* 0: none since we last sent headers or data */
    unsigned ping_strikes;
};

void h2_guard_init(struct h2_guard *g, uint64_t now_ms);

/* Each: NULL to go on, or the reason to say in GOAWAY ENHANCE_YOUR_CALM (static). */
const char *h2_guard_nuisance(struct h2_guard *g, enum h2_nuisance kind, uint64_t now_ms);
const char *h2_guard_reset(struct h2_guard *g, uint64_t now_ms);

/* Real work: a request, data in or out. It earns the control frames that go with it. */
void h2_guard_work(struct h2_guard *g);
/* Headers or data were sent: pings may measure again (gRPC A8). */
void h2_guard_answered(struct h2_guard *g);

#endif
