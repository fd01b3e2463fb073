/* A plain array: there are some hundreds at most, and they are looked at some times a second. */
#include "discovery/hints.h"

#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/token_bucket.h"
#include "discovery/swim_random.h"

enum { HINTS_MAX = HINTS_PER_SOURCE * HINT_SOURCE_COUNT };

struct hints {
    struct hint at[HINTS_MAX];
    size_t count, trying;
    struct token_bucket rate;
    bool started; /* the bucket has its first time */
    uint64_t random;
};

/* Whose word it is: the less, the sooner it is tried. */
enum rank { OPERATORS, REMEMBERED, ANYBODYS, RANK_COUNT };

static const struct {
    const char *name;
    enum rank rank;
} SOURCES[HINT_SOURCE_COUNT] = {
    [HINT_DNS] = {"dns", OPERATORS}, [HINT_FILE] = {"file", OPERATORS}, [HINT_REMEMBERED] = {"remembered", REMEMBERED}, [HINT_DHT] = {"dht", ANYBODYS}, [HINT_MDNS] = {"mdns", ANYBODYS},
};

static const size_t TRYING_MAX[RANK_COUNT] = {HINTS_TRYING_MAX, HINTS_TRYING_REMEMBERED_MAX, HINTS_TRYING_FOUND_MAX};

static enum rank rank_of(const struct hint *hint)
{
    return SOURCES[hint->source].rank;
}

const char *hint_source_name(enum hint_source source)
{
    return SOURCES[source].name;
}

bool hint_source_is_operators(enum hint_source source)
{
    return SOURCES[source].rank == OPERATORS;
}

int hints_create(uint64_t seed, struct hints **out)
{
    struct hints *h = calloc(1, sizeof *h);
    if (!h)
        return GRID_ENOMEM;
    h->random = seed ? seed : 1;
    *out = h;
    return 0;
}

void hints_destroy(struct hints *h)
{
    free(h);
}

static struct hint *find(struct hints *h, struct slice address)
{
    for (size_t i = 0; i < h->count; i++)
        if (slice_equal_str(address, h->at[i].address))
            return &h->at[i];
    return NULL;
}

/* Of those of the source that wait, those that have failed before the others, one by lot; NULL when none waits. *share is how many there are. */
static struct hint *least_promising(struct hints *h, enum hint_source source, size_t *share)
{
    struct hint *chosen = NULL;
    size_t alike = 0;
    *share = 0;
    for (size_t i = 0; i < h->count; i++) {
        struct hint *c = &h->at[i];
        if (c->source != source)
            continue;
        ++*share;
        if (c->state != HINT_WAITING)
            continue;
        bool failed = c->failures > 0, than_chosen = chosen && chosen->failures > 0;
        if (!chosen || failed != than_chosen)
            alike = 0;
        if (chosen && than_chosen && !failed)
            continue;
        if (swim_random_below(&h->random, ++alike) == 0)
            chosen = c;
    }
    return chosen;
}

/* Somebody whose word is more names it, too. */
static void take_over(struct hint *known, enum hint_source source, uint64_t now_ms)
{
    if (SOURCES[source].rank >= rank_of(known))
        return;
    known->source = source;
    known->failures = 0;
    if (known->state == HINT_WAITING)
        known->due_ms = now_ms;
}

static struct hint *make_room(struct hints *h, enum hint_source source)
{
    size_t share;
    struct hint *last = least_promising(h, source, &share);
    return share < HINTS_PER_SOURCE ? &h->at[h->count++] : last;
}

int hints_add(struct hints *h, enum hint_source source, struct slice address, uint64_t ttl_ms, uint64_t now_ms)
{
    if (address.size == 0 || address.size > HINT_ADDRESS_MAX || memchr(address.data, '\0', address.size))
        return GRID_EINVAL;
    uint64_t expires_ms = ttl_ms < UINT64_MAX - now_ms ? now_ms + ttl_ms : UINT64_MAX;
    struct hint *known = find(h, address);
    if (known) {
        known->expires_ms = expires_ms > known->expires_ms ? expires_ms : known->expires_ms;
        take_over(known, source, now_ms);
        return 0;
    }
    struct hint *place = make_room(h, source);
    if (!place)
        return GRID_ELIMIT;
    *place = (struct hint){.source = source, .due_ms = now_ms, .expires_ms = expires_ms};
    memcpy(place->address, address.data, address.size);
    return 0;
}

/* Which ranks have as many under way as they may. */
static void find_full(const struct hints *h, bool full[RANK_COUNT])
{
    size_t trying[RANK_COUNT] = {0};
    for (size_t i = 0; i < h->count; i++)
        trying[rank_of(&h->at[i])] += h->at[i].state == HINT_TRYING;
    for (int rank = 0; rank < RANK_COUNT; rank++)
        full[rank] = trying[rank] >= TRYING_MAX[rank];
}

/* Below 0: before. */
static int compare(const struct hint *a, const struct hint *b)
{
    if (rank_of(a) != rank_of(b))
        return rank_of(a) < rank_of(b) ? -1 : 1;
    return (a->failures > b->failures) - (a->failures < b->failures);
}

/* Of those that are due: by rank, whoever has failed least, one by lot. *wait_ms: until one is, when none is. */
static struct hint *most_promising(struct hints *h, uint64_t now_ms, uint64_t *wait_ms)
{
    struct hint *chosen = NULL;
    size_t alike = 0;
    bool full[RANK_COUNT];
    find_full(h, full);
    *wait_ms = UINT64_MAX;
    for (size_t i = 0; i < h->count; i++) {
        struct hint *c = &h->at[i];
        if (c->state != HINT_WAITING || full[rank_of(c)])
            continue;
        uint64_t wait = c->due_ms > now_ms ? c->due_ms - now_ms : 0;
        *wait_ms = wait < *wait_ms ? wait : *wait_ms;
        int order = chosen ? compare(c, chosen) : 0;
        if (wait > 0 || order > 0)
            continue;
        if (order < 0)
            alike = 0;
        if (swim_random_below(&h->random, ++alike) == 0)
            chosen = c;
    }
    return chosen;
}

const struct hint *hints_take(struct hints *h, uint64_t now_ms, uint64_t *wait_ms)
{
    uint64_t wait;
    struct hint *chosen = most_promising(h, now_ms, &wait);
    if (!h->started)
        token_bucket_init(&h->rate, HINTS_PER_SECOND, HINTS_PER_SECOND, now_ms);
    h->started = true;
    if (chosen && h->trying >= HINTS_TRYING_MAX) {
        chosen = NULL;
        wait = UINT64_MAX;
    } else if (chosen && !token_bucket_take(&h->rate, 1, now_ms)) {
        chosen = NULL;
        wait = token_bucket_wait_ms(&h->rate, 1, now_ms);
    }
    if (wait_ms)
        *wait_ms = wait;
    if (!chosen)
        return NULL;
    chosen->state = HINT_TRYING;
    chosen->due_ms = now_ms;
    h->trying++;
    return chosen;
}

void hints_found(struct hints *h, const char *address)
{
    struct hint *hint = find(h, slice_of_str(address));
    if (!hint)
        return;
    h->trying -= hint->state == HINT_TRYING;
    hint->state = HINT_FOUND;
    hint->failures = 0;
}

void hints_failed(struct hints *h, const char *address, uint64_t now_ms)
{
    struct hint *hint = find(h, slice_of_str(address));
    if (!hint || hint->state == HINT_WAITING)
        return;
    h->trying -= hint->state == HINT_TRYING;
    uint64_t delay = HINTS_AGAIN_MS;
    for (unsigned i = 0; i < hint->failures && delay < HINTS_AGAIN_MAX_MS; i++)
        delay *= 2;
    delay = delay < HINTS_AGAIN_MAX_MS ? delay : HINTS_AGAIN_MAX_MS;
    hint->state = HINT_WAITING;
    hint->failures++;
    hint->due_ms = now_ms + delay + swim_random_below(&h->random, delay / 4);
}

void hints_withdraw(struct hints *h, enum hint_source source)
{
    for (size_t i = 0; i < h->count; i++)
        if (h->at[i].source == source)
            h->at[i].expires_ms = 0;
}

bool hints_expire(struct hints *h, uint64_t now_ms, struct hint *out)
{
    for (size_t i = 0; i < h->count; i++) {
        if (h->at[i].expires_ms > now_ms)
            continue;
        *out = h->at[i];
        h->trying -= out->state == HINT_TRYING;
        h->at[i] = h->at[--h->count];
        return true;
    }
    return false;
}

size_t hints_count(const struct hints *h)
{
    return h->count;
}

const struct hint *hints_at(const struct hints *h, size_t index)
{
    return &h->at[index];
}
