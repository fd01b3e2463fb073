/* Sources as moments: how far ahead of the clock a source is by what it has used, in microseconds. Few are looked at for each connection, which costs its
 * caller a thousand times more. */
#include "server/handshake_gate.h"

#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/token_bucket.h"

enum { US_PER_MS = 1000, US_PER_S = 1000000, SOURCE_SHARE = 100 };

/* One handshake of a source costs it `cost_us`; it may be `ahead_us` ahead of the clock. */
struct rate {
    uint64_t cost_us, ahead_us;
};

struct source {
    uint8_t address[ADDR_SOURCE_SIZE];
    uint64_t used_us; /* up to when it has used up what comes by and by */
    uint64_t known_until_ms;
};

struct waiter {
    int fd;
    struct addr from;
    bool known;
    int64_t turn_us; /* when its source allows it: the less it has come, the earlier; may lie before the clock's beginning */
    uint64_t came_ms;
};

struct handshake_gate {
    struct token_bucket all;
    struct rate strange, known;
    struct waiter waiting[HANDSHAKE_GATE_WAITING_MAX]; /* in the order they came */
    size_t waiting_count;
    struct source sources[HANDSHAKE_GATE_SOURCES_MAX];
    size_t source_count;
};

static struct rate rate_of(uint64_t cost_us, uint64_t burst)
{
    burst = burst < HANDSHAKE_GATE_BURST_MIN ? HANDSHAKE_GATE_BURST_MIN : burst;
    return (struct rate){.cost_us = cost_us, .ahead_us = cost_us * burst};
}

int handshake_gate_create(unsigned per_s, struct handshake_gate **out)
{
    if (per_s == 0)
        return GRID_EINVAL;
    struct handshake_gate *g = calloc(1, sizeof *g);
    if (!g)
        return GRID_ENOMEM;
    uint64_t burst = 2 * (uint64_t) per_s;
    token_bucket_init(&g->all, per_s, burst < HANDSHAKE_GATE_BURST_MIN ? HANDSHAKE_GATE_BURST_MIN : burst, 0);
    g->strange = rate_of((uint64_t) US_PER_S * SOURCE_SHARE / per_s, per_s / 2);
    g->known = rate_of(US_PER_S / per_s > 0 ? US_PER_S / per_s : 1, 4 * (uint64_t) per_s);
    *out = g;
    return 0;
}

void handshake_gate_destroy(struct handshake_gate *g)
{
    free(g);
}

/* ---- sources ---- */

/* Which of the two is forgotten first. */
static bool is_lesser(const struct source *a, const struct source *b, uint64_t now_ms)
{
    bool a_known = a->known_until_ms > now_ms, b_known = b->known_until_ms > now_ms;
    return a_known != b_known ? b_known : a->used_us < b->used_us;
}

static struct source *source_of(struct handshake_gate *g, const struct addr *from, uint64_t now_ms)
{
    uint8_t address[ADDR_SOURCE_SIZE];
    struct source *least = NULL;
    addr_source(from, address);
    for (size_t i = 0; i < g->source_count; i++) {
        struct source *s = &g->sources[i];
        if (memcmp(s->address, address, sizeof address) == 0)
            return s;
        if (!least || is_lesser(s, least, now_ms))
            least = s;
    }
    if (g->source_count < HANDSHAKE_GATE_SOURCES_MAX)
        least = &g->sources[g->source_count++];
    *least = (struct source){0};
    memcpy(least->address, address, sizeof address);
    return least;
}

/* Counts one more of its source; when that is allowed. */
static int64_t use(struct source *s, const struct rate *r, uint64_t now_us)
{
    s->used_us = (s->used_us > now_us ? s->used_us : now_us) + r->cost_us;
    return (int64_t) s->used_us - (int64_t) r->ahead_us;
}

void handshake_gate_know(struct handshake_gate *g, const struct addr *from, uint64_t now_ms)
{
    struct source *s = source_of(g, from, now_ms);
    if (s->known_until_ms <= now_ms)
        s->used_us = 0; /* what it has used was counted by a stranger's rate */
    s->known_until_ms = now_ms + HANDSHAKE_GATE_KNOWN_MS;
}

/* ---- those who wait ---- */

static int take_at(struct handshake_gate *g, size_t index)
{
    int fd = g->waiting[index].fd;
    g->waiting_count--;
    memmove(&g->waiting[index], &g->waiting[index + 1], (g->waiting_count - index) * sizeof g->waiting[0]);
    return fd;
}

int handshake_gate_take(struct handshake_gate *g)
{
    return g->waiting_count > 0 ? take_at(g, g->waiting_count - 1) : -1;
}

/* Whether a's turn comes before b's, when both may begin. */
static bool goes_before(const struct waiter *a, const struct waiter *b)
{
    return a->known != b->known ? a->known : a->turn_us < b->turn_us;
}

static size_t find_last(const struct handshake_gate *g)
{
    size_t last = 0;
    for (size_t i = 1; i < g->waiting_count; i++)
        if (!goes_before(&g->waiting[i], &g->waiting[last]))
            last = i;
    return last;
}

int handshake_gate_come(struct handshake_gate *g, int fd, const struct addr *from, bool member, uint64_t now_ms)
{
    if (member)
        handshake_gate_know(g, from, now_ms);
    struct source *s = source_of(g, from, now_ms);
    const uint64_t now_us = now_ms * US_PER_MS, before_us = s->used_us;
    struct waiter w = {.fd = fd, .from = *from, .known = s->known_until_ms > now_ms, .came_ms = now_ms};
    w.turn_us = use(s, w.known ? &g->known : &g->strange, now_us);
    if (w.turn_us > (int64_t) now_us + HANDSHAKE_GATE_WAIT_MS * US_PER_MS) {
        s->used_us = before_us; /* it would wait in vain, and is not the later for having been sent away */
        return fd;
    }
    size_t last = find_last(g);
    if (g->waiting_count == HANDSHAKE_GATE_WAITING_MAX && !goes_before(&w, &g->waiting[last])) {
        s->used_us = w.known ? before_us : s->used_us; /* a stranger is the later for every time he comes */
        return fd;
    }
    int dropped = g->waiting_count == HANDSHAKE_GATE_WAITING_MAX ? take_at(g, last) : -1;
    g->waiting[g->waiting_count++] = w;
    return dropped;
}

static bool is_over(const struct waiter *w, uint64_t now_ms)
{
    return now_ms >= w->came_ms + HANDSHAKE_GATE_WAIT_MS;
}

/* Whose turn it is; waiting_count when nobody's. */
static size_t find_next(struct handshake_gate *g, uint64_t now_ms)
{
    bool strangers = token_bucket_wait_ms(&g->all, 1, now_ms) == 0;
    size_t next = g->waiting_count;
    for (size_t i = 0; i < g->waiting_count; i++) {
        const struct waiter *w = &g->waiting[i];
        bool may = (w->known || strangers) && w->turn_us <= (int64_t) now_ms * US_PER_MS;
        if (may && (next == g->waiting_count || goes_before(w, &g->waiting[next])))
            next = i;
    }
    return next;
}

bool handshake_gate_next(struct handshake_gate *g, uint64_t now_ms, int *fd, struct addr *from, bool *begins)
{
    size_t next = find_next(g, now_ms);
    *begins = next < g->waiting_count;
    if (*begins && !g->waiting[next].known)
        (void) token_bucket_take(&g->all, 1, now_ms); /* there is one: find_next has looked */
    if (!*begins && g->waiting_count > 0 && is_over(&g->waiting[0], now_ms))
        next = 0; /* the first came first */
    if (next == g->waiting_count)
        return false;
    *from = g->waiting[next].from;
    *fd = take_at(g, next);
    return true;
}

static uint64_t turn_wait_ms(const struct waiter *w, uint64_t now_ms)
{
    int64_t left_us = w->turn_us - (int64_t) now_ms * US_PER_MS;
    return left_us > 0 ? (uint64_t) (left_us + US_PER_MS - 1) / US_PER_MS : 0;
}

uint64_t handshake_gate_wait_ms(struct handshake_gate *g, uint64_t now_ms)
{
    uint64_t least = UINT64_MAX, strangers = token_bucket_wait_ms(&g->all, 1, now_ms);
    for (size_t i = 0; i < g->waiting_count; i++) {
        const struct waiter *w = &g->waiting[i];
        uint64_t wait = turn_wait_ms(w, now_ms);
        if (!w->known && wait < strangers)
            wait = strangers;
        uint64_t over = is_over(w, now_ms) ? 0 : w->came_ms + HANDSHAKE_GATE_WAIT_MS - now_ms;
        wait = wait < over ? wait : over;
        least = wait < least ? wait : least;
    }
    return least;
}
