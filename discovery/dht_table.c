/* The routing table: an array of buckets that grows as the last one splits. */
#include "discovery/dht_table.h"

#include <stdlib.h>

#include "base/err.h"

static bool is_bad(const struct dht_node *n)
{
    return n->failures >= DHT_NODE_FAILURES_MAX;
}

static size_t bucket_index(const struct dht_table *t, const struct dht_id *id)
{
    size_t bits = dht_id_common_bits(&t->own, id);
    return bits < t->count ? bits : t->count - 1;
}

int dht_table_init(struct dht_table *t, const struct dht_id *own, uint64_t now_ms)
{
    t->own = *own;
    t->buckets = calloc(1, sizeof *t->buckets);
    t->count = t->buckets ? 1 : 0;
    if (!t->buckets)
        return GRID_ENOMEM;
    t->buckets[0].changed_ms = now_ms;
    return 0;
}

void dht_table_dispose(struct dht_table *t)
{
    free(t->buckets);
    t->buckets = NULL;
    t->count = 0;
}

const struct dht_node *dht_table_next(const struct dht_table *t, size_t *at)
{
    while (*at < t->count * DHT_BUCKET_SIZE) {
        const struct dht_bucket *b = &t->buckets[*at / DHT_BUCKET_SIZE];
        size_t slot = (*at)++ % DHT_BUCKET_SIZE;
        if (slot < b->count)
            return &b->nodes[slot];
    }
    return NULL;
}

size_t dht_table_count(const struct dht_table *t)
{
    size_t count = 0;
    for (size_t i = 0; i < t->count; i++)
        for (size_t n = 0; n < t->buckets[i].count; n++)
            count += t->buckets[i].nodes[n].failures == 0;
    return count;
}

static struct dht_node *find_id(struct dht_bucket *b, const struct dht_id *id)
{
    for (size_t i = 0; i < b->count; i++)
        if (dht_id_equal(&b->nodes[i].id, id))
            return &b->nodes[i];
    return NULL;
}

/* Whether nodes of other ids at this address or in its neighbourhood stand in its way. */
static bool is_crowded(const struct dht_table *t, const struct dht_bucket *b, const struct dht_endpoint *at)
{
    size_t next = 0;
    bool public = dht_endpoint_scope(at) == DHT_SCOPE_PUBLIC;
    unsigned of_host = 0;
    for (const struct dht_node *n; (n = dht_table_next(t, &next));) {
        bool here = n >= b->nodes && n < b->nodes + DHT_BUCKET_SIZE;
        of_host += dht_endpoint_same_host(&n->at, at);
        if (dht_endpoint_equal(&n->at, at) || (public && here && dht_endpoint_same_net(&n->at, at)))
            return true;
    }
    return of_host >= (public ? 1 : DHT_TABLE_PER_LOCAL_IP);
}

static void remove_spare(struct dht_bucket *b, size_t i)
{
    b->spare_count--;
    memmove(&b->spares[i], &b->spares[i + 1], (b->spare_count - i) * sizeof b->spares[0]);
}

static void add_spare(struct dht_bucket *b, const struct dht_node *node)
{
    for (size_t i = 0; i < b->spare_count; i++)
        if (dht_id_equal(&b->spares[i].id, &node->id) || dht_endpoint_same_net(&b->spares[i].at, &node->at)) {
            remove_spare(b, i);
            break;
        }
    if (b->spare_count == DHT_SPARES_MAX)
        remove_spare(b, 0);
    b->spares[b->spare_count++] = *node;
}

/* The last bucket becomes two. Nodes that share more bits than its number go to the new one. */
static bool split_last(struct dht_table *t)
{
    struct dht_bucket *grown = t->count < DHT_ID_BITS ? realloc(t->buckets, (t->count + 1) * sizeof *grown) : NULL;
    if (!grown)
        return false;
    t->buckets = grown;
    struct dht_bucket *from = &grown[t->count - 1], *to = &grown[t->count], old = *from;
    *to = (struct dht_bucket){.changed_ms = old.changed_ms};
    *from = *to;
    t->count++;
    for (size_t i = 0; i < old.count; i++) {
        struct dht_bucket *b = &t->buckets[bucket_index(t, &old.nodes[i].id)];
        b->nodes[b->count++] = old.nodes[i];
    }
    for (size_t i = 0; i < old.spare_count; i++)
        add_spare(&t->buckets[bucket_index(t, &old.spares[i].id)], &old.spares[i]);
    return true;
}

static unsigned neighbours(const struct dht_bucket *b, const struct dht_endpoint *at)
{
    unsigned count = 0;
    for (size_t i = 0; i < b->count; i++)
        count += dht_endpoint_same_net(&b->nodes[i].at, at);
    return count;
}

/* One of the private network that has most places here, and at least two more than the new one's. */
static struct dht_node *find_of_crowd(struct dht_bucket *b, const struct dht_node *node)
{
    unsigned most = neighbours(b, &node->at) + 1;
    struct dht_node *found = NULL;
    for (size_t i = 0; i < b->count; i++) {
        unsigned count = dht_endpoint_scope(&b->nodes[i].at) == DHT_SCOPE_LOCAL ? neighbours(b, &b->nodes[i].at) : 0;
        if (count > most) {
            most = count;
            found = &b->nodes[i];
        }
    }
    return found;
}

/* One that may go for `node`: a bad one, one whose id does not fit its address where the new one's does, or one of a crowd. */
static struct dht_node *find_weaker(struct dht_bucket *b, const struct dht_node *node)
{
    bool fits = dht_id_fits(&node->id, &node->at);
    for (size_t i = 0; i < b->count; i++)
        if (is_bad(&b->nodes[i]))
            return &b->nodes[i];
    for (size_t i = 0; fits && i < b->count; i++)
        if (!dht_id_fits(&b->nodes[i].id, &b->nodes[i].at))
            return &b->nodes[i];
    return find_of_crowd(b, node);
}

static bool place(struct dht_table *t, const struct dht_node *node)
{
    struct dht_bucket *b = &t->buckets[bucket_index(t, &node->id)];
    while (b->count == DHT_BUCKET_SIZE && b == &t->buckets[t->count - 1] && split_last(t))
        b = &t->buckets[bucket_index(t, &node->id)];
    if (is_crowded(t, b, &node->at))
        return false;
    struct dht_node *weaker = b->count == DHT_BUCKET_SIZE ? find_weaker(b, node) : NULL;
    if (b->count == DHT_BUCKET_SIZE && !weaker) {
        add_spare(b, node);
        return false;
    }
    *(weaker ? weaker : &b->nodes[b->count++]) = *node;
    b->changed_ms = node->heard_ms > b->changed_ms ? node->heard_ms : b->changed_ms;
    return true;
}

bool dht_table_heard(struct dht_table *t, const struct dht_id *id, const struct dht_endpoint *at, uint64_t now_ms)
{
    struct dht_bucket *b = &t->buckets[bucket_index(t, id)];
    struct dht_node *known = find_id(b, id), node = {*id, *at, 0, now_ms};
    if (dht_id_equal(id, &t->own) || dht_endpoint_scope(at) == DHT_SCOPE_NONE)
        return false;
    if (!known)
        return place(t, &node);
    if (!dht_endpoint_equal(&known->at, at) && !is_bad(known)) /* nobody takes over another's id */
        return false;
    *known = node;
    b->changed_ms = now_ms;
    return true;
}

bool dht_table_remembered(struct dht_table *t, const struct dht_id *id, const struct dht_endpoint *at)
{
    struct dht_node node = {*id, *at, 0, 0};
    bool usable = !dht_id_equal(id, &t->own) && dht_endpoint_scope(at) != DHT_SCOPE_NONE;
    return usable && !find_id(&t->buckets[bucket_index(t, id)], id) && place(t, &node);
}

bool dht_table_asked(struct dht_table *t, const struct dht_id *id, const struct dht_endpoint *at, uint64_t now_ms)
{
    struct dht_bucket *b = &t->buckets[bucket_index(t, id)];
    struct dht_node *known = find_id(b, id), node = {*id, *at, 0, now_ms};
    if (known && dht_endpoint_equal(&known->at, at) && known->heard_ms > 0 && !is_bad(known)) {
        known->heard_ms = now_ms;
        return false;
    }
    if (known || dht_id_equal(id, &t->own) || is_crowded(t, b, at))
        return known && dht_endpoint_equal(&known->at, at);
    return b->count < DHT_BUCKET_SIZE || b == &t->buckets[t->count - 1] || find_weaker(b, &node) != NULL;
}

void dht_table_failed(struct dht_table *t, const struct dht_id *id, const struct dht_endpoint *at)
{
    struct dht_bucket *b = &t->buckets[bucket_index(t, id)];
    struct dht_node *known = find_id(b, id);
    if (!known || !dht_endpoint_equal(&known->at, at))
        return;
    if (known->failures < UINT8_MAX)
        known->failures++;
    if (is_bad(known) && b->spare_count > 0) {
        struct dht_node spare = b->spares[--b->spare_count];
        *known = b->nodes[--b->count];
        place(t, &spare);
    }
}

size_t dht_table_closest(const struct dht_table *t, const struct dht_id *target, unsigned failures_most, size_t max, struct krpc_node *out)
{
    size_t next = 0, count = 0;
    for (const struct dht_node *n; (n = dht_table_next(t, &next));) {
        size_t at = count;
        if (n->failures > failures_most)
            continue;
        while (at > 0 && dht_id_compare(target, &n->id, &out[at - 1].id) < 0)
            at--;
        if (at == max)
            continue;
        count += count < max;
        memmove(&out[at + 1], &out[at], (count - 1 - at) * sizeof out[0]);
        out[at] = (struct krpc_node){n->id, n->at};
    }
    return count;
}

bool dht_table_questionable(const struct dht_table *t, const struct dht_id *id, uint64_t now_ms, struct krpc_node *out)
{
    const struct dht_bucket *b = &t->buckets[bucket_index(t, id)];
    const struct dht_node *oldest = NULL;
    if (b->count < DHT_BUCKET_SIZE)
        return false;
    for (size_t i = 0; i < b->count; i++)
        if (!oldest || b->nodes[i].heard_ms < oldest->heard_ms)
            oldest = &b->nodes[i];
    if (oldest->heard_ms > 0 && now_ms - oldest->heard_ms < DHT_NODE_FRESH_MS)
        return false;
    *out = (struct krpc_node){oldest->id, oldest->at};
    return true;
}

/* A random id of bucket `index`. */
static void random_in_bucket(const struct dht_table *t, size_t index, struct dht_random *random, struct dht_id *out)
{
    dht_random_fill(random, out->bytes, DHT_ID_SIZE);
    for (size_t bit = 0; bit <= index && bit < DHT_ID_BITS; bit++) {
        uint8_t mask = (uint8_t) (0x80 >> bit % 8), own = t->own.bytes[bit / 8] & mask;
        bool differs = bit == index && index + 1 < t->count;
        out->bytes[bit / 8] = (uint8_t) ((out->bytes[bit / 8] & ~mask) | (differs ? own ^ mask : own));
    }
}

bool dht_table_refresh(struct dht_table *t, struct dht_random *random, uint64_t now_ms, struct dht_id *out)
{
    for (size_t i = 0; i < t->count; i++)
        if (now_ms >= t->buckets[i].changed_ms + DHT_NODE_FRESH_MS) {
            t->buckets[i].changed_ms = now_ms;
            random_in_bucket(t, i, random, out);
            return true;
        }
    return false;
}

int dht_table_move(struct dht_table *t, const struct dht_id *own, uint64_t now_ms)
{
    struct dht_table moved;
    size_t next = 0;
    int err = dht_table_init(&moved, own, now_ms);
    if (err != 0)
        return err;
    for (const struct dht_node *n; (n = dht_table_next(t, &next));)
        if (!dht_id_equal(&n->id, own) && !is_bad(n))
            place(&moved, n);
    dht_table_dispose(t);
    *t = moved;
    return 0;
}
