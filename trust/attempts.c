/* A table of sources, each with the times of its latest attempts. It is small and searched from end to end: an attempt costs its
 * caller a handshake, which is a thousand times dearer. */
#include "trust/attempts.h"

#include <stdlib.h>

#include "base/err.h"

struct source {
    uint8_t address[ATTEMPTS_SOURCE_SIZE];
    unsigned count; /* times noted, oldest first; 0: the place is free */
    uint64_t times_ms[ATTEMPTS_LIMIT_MAX];
};

struct attempts {
    struct attempts_config config;
    struct source *sources;
};

int attempts_create(const struct attempts_config *config, struct attempts **out)
{
    if (config->limit == 0 || config->limit > ATTEMPTS_LIMIT_MAX || config->window_ms == 0 || config->source_count == 0)
        return GRID_EINVAL;
    struct attempts *a = calloc(1, sizeof *a);
    if (!a || !(a->sources = calloc(config->source_count, sizeof *a->sources))) {
        free(a);
        return GRID_ENOMEM;
    }
    a->config = *config;
    *out = a;
    return 0;
}

void attempts_destroy(struct attempts *a)
{
    if (!a)
        return;
    free(a->sources);
    free(a);
}

/* An IPv4 address as it is, of an IPv6 address the network. */
static void normalize(const uint8_t address[ATTEMPTS_SOURCE_SIZE], uint8_t out[ATTEMPTS_SOURCE_SIZE])
{
    static const uint8_t MAPPED[12] = {[10] = 0xff, [11] = 0xff};
    memcpy(out, address, ATTEMPTS_SOURCE_SIZE);
    if (memcmp(address, MAPPED, sizeof MAPPED) != 0)
        memset(out + 8, 0, 8);
}

static void forget_old(const struct attempts *a, struct source *s, uint64_t now_ms)
{
    unsigned old = 0;
    while (old < s->count && now_ms >= s->times_ms[old] && now_ms - s->times_ms[old] >= a->config.window_ms)
        old++;
    s->count -= old;
    memmove(s->times_ms, s->times_ms + old, s->count * sizeof s->times_ms[0]);
}

/* Which of the two is forgotten first: who has tried less, then whose last attempt is older. */
static bool is_lesser(const struct source *a, const struct source *b)
{
    if (a->count != b->count)
        return a->count < b->count;
    return a->count > 0 && a->times_ms[a->count - 1] < b->times_ms[b->count - 1];
}

/* The source's place, or a free one, or that of who has tried least. */
static struct source *place_of(struct attempts *a, const uint8_t address[ATTEMPTS_SOURCE_SIZE], uint64_t now_ms)
{
    struct source *least = NULL;
    for (size_t i = 0; i < a->config.source_count; i++) {
        struct source *s = &a->sources[i];
        forget_old(a, s, now_ms);
        if (s->count > 0 && memcmp(s->address, address, ATTEMPTS_SOURCE_SIZE) == 0)
            return s;
        if (!least || is_lesser(s, least))
            least = s;
    }
    least->count = 0;
    memcpy(least->address, address, ATTEMPTS_SOURCE_SIZE);
    return least;
}

bool attempts_take(struct attempts *a, const uint8_t source[ATTEMPTS_SOURCE_SIZE], uint64_t now_ms, uint64_t *wait_ms)
{
    uint8_t address[ATTEMPTS_SOURCE_SIZE];
    normalize(source, address);
    struct source *s = place_of(a, address, now_ms);
    bool allowed = s->count < a->config.limit;
    if (allowed)
        s->times_ms[s->count++] = now_ms;
    if (wait_ms)
        *wait_ms = allowed ? 0 : s->times_ms[0] + a->config.window_ms - now_ms;
    return allowed;
}

void attempts_give_back(struct attempts *a, const uint8_t source[ATTEMPTS_SOURCE_SIZE])
{
    uint8_t address[ATTEMPTS_SOURCE_SIZE];
    normalize(source, address);
    for (size_t i = 0; i < a->config.source_count; i++)
        if (a->sources[i].count > 0 && memcmp(a->sources[i].address, address, ATTEMPTS_SOURCE_SIZE) == 0) {
            a->sources[i].count--;
            return;
        }
}
