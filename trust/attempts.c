/* A table of sources, each with the times of its latest attempts. It is small and searched from end to end: an attempt costs its
 * caller a handshake, which is a thousand times dearer. */
#include "trust/attempts.h"

#include <stdlib.h>

#include "base/err.h"
#include "base/token_bucket.h"

struct source {
    uint8_t address[ATTEMPTS_SOURCE_SIZE];
    unsigned count; /* times noted, oldest first; 0: the place is free */
    uint64_t *times_ms; /* of config.limit places in attempts.times_ms */
};

/* Who was sent away because all together had tried too often, and may come again. */
struct turn {
    uint8_t address[ATTEMPTS_SOURCE_SIZE];
    uint64_t since_ms, seen_ms; /* seen 0: the place is free */
};

struct attempts {
    struct attempts_config config;
    struct token_bucket all;
    struct source *sources;
    uint64_t *times_ms;
    struct turn *turns; /* as many */
};

int attempts_create(const struct attempts_config *config, struct attempts **out)
{
    if (config->limit == 0 || config->limit > ATTEMPTS_LIMIT_MAX || config->window_ms == 0 || config->source_count == 0)
        return GRID_EINVAL;
    struct attempts *a = calloc(1, sizeof *a);
    if (!a)
        return GRID_ENOMEM;
    a->sources = calloc(config->source_count, sizeof *a->sources);
    a->times_ms = calloc(config->source_count * config->limit, sizeof *a->times_ms);
    a->turns = calloc(config->source_count, sizeof *a->turns);
    if (!a->sources || !a->times_ms || !a->turns) {
        attempts_destroy(a);
        return GRID_ENOMEM;
    }
    for (size_t i = 0; i < config->source_count; i++)
        a->sources[i].times_ms = a->times_ms + i * config->limit;
    a->config = *config;
    token_bucket_init(&a->all, config->all_per_s, config->all_burst, 0);
    *out = a;
    return 0;
}

void attempts_destroy(struct attempts *a)
{
    if (!a)
        return;
    free(a->sources);
    free(a->times_ms);
    free(a->turns);
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

static struct source *find(const struct attempts *a, const uint8_t source[ATTEMPTS_SOURCE_SIZE])
{
    uint8_t address[ATTEMPTS_SOURCE_SIZE];
    normalize(source, address);
    for (size_t i = 0; i < a->config.source_count; i++)
        if (a->sources[i].count > 0 && memcmp(a->sources[i].address, address, ATTEMPTS_SOURCE_SIZE) == 0)
            return &a->sources[i];
    return NULL;
}

static bool still_comes(const struct turn *t, uint64_t now_ms)
{
    return t->seen_ms != 0 && now_ms <= t->seen_ms + ATTEMPTS_TURN_MS;
}

/* The source's turn, else a free place for one, else NULL; *before: how many who may come again were there first. */
static struct turn *turn_of(const struct attempts *a, const uint8_t address[ATTEMPTS_SOURCE_SIZE], uint64_t now_ms, uint64_t *before)
{
    struct turn *own = NULL, *available = NULL;
    for (size_t i = 0; i < a->config.source_count && !own; i++) {
        struct turn *t = &a->turns[i];
        if (!still_comes(t, now_ms))
            available = t;
        else if (memcmp(t->address, address, ATTEMPTS_SOURCE_SIZE) == 0)
            own = t;
    }
    *before = 0;
    for (size_t i = 0; i < a->config.source_count; i++)
        *before += &a->turns[i] != own && still_comes(&a->turns[i], now_ms) && (!own || a->turns[i].since_ms < own->since_ms);
    return own ? own : available;
}

static void note_turn(struct turn *t, const uint8_t address[ATTEMPTS_SOURCE_SIZE], uint64_t now_ms)
{
    if (!still_comes(t, now_ms) || memcmp(t->address, address, ATTEMPTS_SOURCE_SIZE) != 0)
        t->since_ms = now_ms;
    memcpy(t->address, address, ATTEMPTS_SOURCE_SIZE);
    t->seen_ms = now_ms;
}

bool attempts_take_of_all(struct attempts *a, const uint8_t source[ATTEMPTS_SOURCE_SIZE], uint64_t now_ms)
{
    uint8_t address[ATTEMPTS_SOURCE_SIZE];
    struct source *s = find(a, source);
    uint64_t before;
    if (a->config.all_burst == 0)
        return true;
    normalize(source, address);
    struct turn *t = turn_of(a, address, now_ms, &before);
    if (token_bucket_wait_ms(&a->all, before + 1, now_ms) == 0 && token_bucket_take(&a->all, 1, now_ms)) {
        if (t)
            t->seen_ms = 0; /* it has had it */
        return true;
    }
    if (t)
        note_turn(t, address, now_ms);
    if (s)
        s->count--;
    return false;
}

void attempts_give_back(struct attempts *a, const uint8_t source[ATTEMPTS_SOURCE_SIZE])
{
    struct source *s = find(a, source);
    if (s)
        s->count--;
    token_bucket_give(&a->all, 1000);
}
