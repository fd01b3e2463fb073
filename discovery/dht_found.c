/* Addresses to dial: a short queue per source, by turns. */
#include "discovery/dht_found.h"

#include "discovery/dht_token.h"

void dht_found_init(struct dht_found *f, struct dht_random *random, uint64_t now_ms)
{
    memset(f, 0, sizeof *f);
    dht_random_fill(random, f->secret, sizeof f->secret);
    token_bucket_init(&f->dials, DHT_FOUND_DIALS_PER_S, DHT_FOUND_DIALS_PER_S, now_ms);
}

static struct dht_found_tried *tried_place(struct dht_found *f, struct slice key, uint64_t now_ms)
{
    uint64_t hash = dht_token_hash(f->secret, key);
    struct dht_found_tried *t = &f->tried[hash & (DHT_FOUND_TRIED_PLACES - 1)];
    if (t->hash != hash || now_ms >= t->until_ms)
        *t = (struct dht_found_tried){.hash = hash, .until_ms = now_ms};
    return t;
}

/* Notes one try. False when there were `max` already. */
static bool note_try(struct dht_found *f, struct slice key, uint32_t max, uint64_t now_ms)
{
    struct dht_found_tried *t = tried_place(f, key, now_ms);
    if (t->times >= max)
        return false;
    t->times++;
    t->until_ms = now_ms + DHT_FOUND_TRIED_MS;
    return true;
}

static bool may_try(struct dht_found *f, const struct dht_endpoint *at, uint64_t now_ms)
{
    uint8_t key[sizeof at->ip + sizeof at->port];
    memcpy(key, at->ip, sizeof at->ip);
    memcpy(key + sizeof at->ip, &at->port, sizeof at->port);
    if (!note_try(f, slice_of(key, sizeof key), 1, now_ms))
        return false;
    return dht_endpoint_scope(at) == DHT_SCOPE_LOOPBACK || note_try(f, slice_of(at->ip, sizeof at->ip), DHT_FOUND_PORTS_PER_HOST, now_ms);
}

/* Sources on a private network are told apart by host: there may be many in one /24. */
static bool same_source(const struct dht_endpoint *a, const struct dht_endpoint *b)
{
    return dht_endpoint_scope(a) == DHT_SCOPE_PUBLIC ? dht_endpoint_same_net(a, b) : dht_endpoint_same_host(a, b);
}

static struct dht_found_source *source_of(struct dht_found *f, const struct dht_endpoint *teller, struct dht_random *random)
{
    struct dht_found_source *s = NULL;
    for (size_t i = 0; i < f->source_count; i++)
        if (same_source(teller, &f->sources[i].teller))
            return &f->sources[i];
    for (size_t i = 0; i < f->source_count && !s; i++)
        if (f->sources[i].count == 0)
            s = &f->sources[i];
    if (!s)
        s = &f->sources[f->source_count < DHT_FOUND_SOURCES ? f->source_count++ : dht_random_below(random, DHT_FOUND_SOURCES)];
    *s = (struct dht_found_source){.teller = *teller};
    return s;
}

void dht_found_offer(struct dht_found *f, const struct dht_endpoint *teller, const struct dht_endpoint *peer, struct dht_random *random)
{
    enum dht_scope scope = dht_endpoint_scope(peer);
    if (scope == DHT_SCOPE_NONE || scope < dht_endpoint_scope(teller))
        return;
    struct dht_found_source *s = source_of(f, teller, random);
    for (size_t i = 0; i < s->count; i++)
        if (dht_endpoint_equal(&s->peers[i], peer))
            return;
    s->offered++;
    uint32_t at = s->count < DHT_FOUND_PER_SOURCE ? s->count++ : dht_random_below(random, s->offered);
    if (at < DHT_FOUND_PER_SOURCE)
        s->peers[at] = *peer;
}

static bool take_from(struct dht_found *f, struct dht_found_source *s, struct dht_random *random, uint64_t now_ms, struct dht_endpoint *out)
{
    while (s->count > 0) {
        uint32_t at = dht_random_below(random, s->count);
        *out = s->peers[at];
        s->peers[at] = s->peers[--s->count];
        if (s->count == 0)
            s->offered = 0;
        if (may_try(f, out, now_ms))
            return true;
    }
    return false;
}

bool dht_found_next(struct dht_found *f, struct dht_random *random, uint64_t now_ms, struct dht_endpoint *out)
{
    if (token_bucket_wait_ms(&f->dials, 1, now_ms) > 0)
        return false;
    for (size_t i = 0; i < f->source_count; i++) {
        struct dht_found_source *s = &f->sources[f->turn++ % f->source_count];
        if (take_from(f, s, random, now_ms, out)) {
            token_bucket_take(&f->dials, 1, now_ms);
            return true;
        }
    }
    return false;
}

uint64_t dht_found_wait_ms(struct dht_found *f, uint64_t now_ms)
{
    for (size_t i = 0; i < f->source_count; i++)
        if (f->sources[i].count > 0)
            return token_bucket_wait_ms(&f->dials, 1, now_ms);
    return UINT64_MAX;
}
