/* An iterative lookup: a short list in order of distance. */
#include "discovery/dht_lookup.h"

void dht_lookup_init(struct dht_lookup *l, const struct dht_id *target)
{
    memset(l, 0, sizeof *l);
    l->target = *target;
}

static bool is_crowded(const struct dht_lookup *l, const struct krpc_node *node)
{
    bool public = dht_endpoint_scope(&node->at) == DHT_SCOPE_PUBLIC;
    unsigned of_host = 0, near = 0;
    for (size_t i = 0; i < l->count; i++) {
        const struct krpc_node *other = &l->candidates[i].node;
        if (dht_endpoint_equal(&other->at, &node->at))
            return true;
        of_host += dht_endpoint_same_host(&other->at, &node->at);
        near += dht_endpoint_same_net(&other->at, &node->at);
    }
    return public ? of_host > 0 || near >= DHT_LOOKUP_PER_NET : of_host >= DHT_LOOKUP_PER_LOCAL_IP;
}

/* Of a private network that has as many as it may: the farthest that is only told of, else l->count. */
static size_t last_of_crowd(const struct dht_lookup *l, const struct krpc_node *node)
{
    size_t last = l->count, told = 0;
    for (size_t i = 0; i < l->count && dht_endpoint_scope(&node->at) == DHT_SCOPE_LOCAL; i++)
        if (!l->candidates[i].known && dht_endpoint_same_net(&l->candidates[i].node.at, &node->at)) {
            told++;
            last = i;
        }
    return told >= DHT_LOOKUP_PER_LOCAL_NET ? last : l->count;
}

/* Where the list grows to, or who goes for a new one: the farthest that is only told of. */
static size_t last_place(const struct dht_lookup *l, const struct krpc_node *node)
{
    size_t last = last_of_crowd(l, node);
    if (last < l->count || last < DHT_LOOKUP_CANDIDATES)
        return last;
    do
        last--;
    while (l->candidates[last].known);
    return last;
}

static struct dht_candidate *add(struct dht_lookup *l, const struct krpc_node *node)
{
    size_t at = l->count, last = last_place(l, node);
    if (is_crowded(l, node))
        return NULL;
    while (at > 0 && dht_id_compare(&l->target, &node->id, &l->candidates[at - 1].node.id) < 0)
        at--;
    if (at > last || at == DHT_LOOKUP_CANDIDATES)
        return NULL;
    l->count += last == l->count;
    memmove(&l->candidates[at + 1], &l->candidates[at], (last - at) * sizeof l->candidates[0]);
    l->candidates[at] = (struct dht_candidate){.node = *node, .fits = dht_id_fits(&node->id, &node->at)};
    return &l->candidates[at];
}

bool dht_lookup_add(struct dht_lookup *l, const struct krpc_node *node)
{
    return add(l, node) != NULL;
}

bool dht_lookup_add_known(struct dht_lookup *l, const struct krpc_node *node)
{
    size_t known = 0;
    for (size_t i = 0; i < l->count; i++)
        known += l->candidates[i].known;
    struct dht_candidate *c = known < DHT_LOOKUP_CANDIDATES / 2 ? add(l, node) : NULL;
    if (c)
        c->known = true;
    return c != NULL;
}

static bool is_late(const struct dht_candidate *c, uint64_t now_ms)
{
    return now_ms >= c->asked_ms + DHT_LOOKUP_LATE_MS;
}

static unsigned in_flight(const struct dht_lookup *l, uint64_t now_ms)
{
    unsigned count = 0;
    for (size_t i = 0; i < l->count; i++)
        count += l->candidates[i].state == DHT_CANDIDATE_ASKED && !is_late(&l->candidates[i], now_ms);
    return count;
}

/* A walk over the candidates that count, nearest first. */
struct walk {
    size_t next;
    unsigned unfit;
};

static const struct dht_candidate *walk_next(const struct dht_lookup *l, struct walk *w)
{
    while (w->next < l->count) {
        const struct dht_candidate *c = &l->candidates[w->next++];
        if (c->fits || c->state == DHT_CANDIDATE_FAILED)
            return c;
        if (w->unfit++ < DHT_LOOKUP_UNFIT)
            return c;
    }
    return NULL;
}

/* The nearest that may belong to the eight; then those who were known before. */
static struct dht_candidate *next_new(struct dht_lookup *l, uint64_t now_ms)
{
    struct walk w = {0, 0};
    const struct dht_candidate *c;
    for (size_t live = 0; live < DHT_LOOKUP_NEAREST && (c = walk_next(l, &w));) {
        if (c->state == DHT_CANDIDATE_NEW)
            return &l->candidates[c - l->candidates];
        /* one that is late keeps no other out of the eight */
        live += c->state == DHT_CANDIDATE_ANSWERED || (c->state == DHT_CANDIDATE_ASKED && !is_late(c, now_ms));
    }
    for (size_t i = 0; i < l->count; i++)
        if (l->candidates[i].known && l->candidates[i].state == DHT_CANDIDATE_NEW)
            return &l->candidates[i];
    return NULL;
}

const struct krpc_node *dht_lookup_next(struct dht_lookup *l, uint64_t now_ms)
{
    if (l->queries == DHT_LOOKUP_QUERIES_MAX || in_flight(l, now_ms) >= DHT_LOOKUP_PARALLEL)
        return NULL;
    struct dht_candidate *c = next_new(l, now_ms);
    if (!c)
        return NULL;
    c->state = DHT_CANDIDATE_ASKED;
    c->asked_ms = now_ms;
    l->queries++;
    return &c->node;
}

static struct dht_candidate *find(struct dht_lookup *l, const struct dht_endpoint *at)
{
    for (size_t i = 0; i < l->count; i++)
        if (dht_endpoint_equal(&l->candidates[i].node.at, at))
            return &l->candidates[i];
    return NULL;
}

void dht_lookup_answered(struct dht_lookup *l, const struct krpc_node *who, struct slice token)
{
    struct dht_candidate *c = find(l, &who->at);
    if (!c || c->state != DHT_CANDIDATE_ASKED)
        return;
    if (!dht_id_equal(&c->node.id, &who->id)) { /* whoever told the wrong one must not shut it out by that */
        size_t at = (size_t) (c - l->candidates);
        l->count--;
        memmove(c, c + 1, (l->count - at) * sizeof *c);
        if (!dht_lookup_add(l, who))
            return;
        c = find(l, &who->at);
    }
    c->state = DHT_CANDIDATE_ANSWERED;
    c->token_size = token.size <= sizeof c->token ? token.size : 0;
    if (c->token_size > 0)
        memcpy(c->token, token.data, c->token_size);
}

void dht_lookup_failed(struct dht_lookup *l, const struct dht_endpoint *at)
{
    struct dht_candidate *c = find(l, at);
    if (c && c->state == DHT_CANDIDATE_ASKED)
        c->state = DHT_CANDIDATE_FAILED;
}

/* It is to be asked yet, or may answer yet. */
static bool is_open(const struct dht_lookup *l, const struct dht_candidate *c, uint64_t now_ms)
{
    return (c->state == DHT_CANDIDATE_NEW && l->queries < DHT_LOOKUP_QUERIES_MAX) || (c->state == DHT_CANDIDATE_ASKED && !is_late(c, now_ms));
}

bool dht_lookup_done(const struct dht_lookup *l, uint64_t now_ms)
{
    const struct dht_candidate *c;
    struct walk w = {0, 0};
    size_t answered = 0, late = 0;
    for (size_t i = 0; i < l->count; i++)
        if (l->candidates[i].known && is_open(l, &l->candidates[i], now_ms))
            return false;
    while (answered < DHT_LOOKUP_NEAREST && (c = walk_next(l, &w))) {
        if (is_open(l, c, now_ms))
            return false;
        answered += c->state == DHT_CANDIDATE_ANSWERED;
        late += c->state == DHT_CANDIDATE_ASKED;
    }
    return answered == DHT_LOOKUP_NEAREST || late == 0;
}

uint64_t dht_lookup_late_ms(const struct dht_lookup *l, uint64_t now_ms)
{
    uint64_t next = UINT64_MAX;
    for (size_t i = 0; i < l->count; i++) {
        const struct dht_candidate *c = &l->candidates[i];
        if (c->state == DHT_CANDIDATE_ASKED && !is_late(c, now_ms) && c->asked_ms + DHT_LOOKUP_LATE_MS < next)
            next = c->asked_ms + DHT_LOOKUP_LATE_MS;
    }
    return next;
}

size_t dht_lookup_nearest(const struct dht_lookup *l, const struct dht_candidate *out[DHT_LOOKUP_NEAREST])
{
    const struct dht_candidate *c;
    struct walk w = {0, 0};
    size_t count = 0;
    while (count < DHT_LOOKUP_NEAREST && (c = walk_next(l, &w)))
        if (c->state == DHT_CANDIDATE_ANSWERED)
            out[count++] = c;
    return count;
}
