/* Announced peers: one flat array, since it is small and asked rarely. */
#include "discovery/dht_peers.h"

/* One of those that a new one must replace, or NULL. The n-th of them is taken with a chance of 1/n, so that all are alike likely. */
struct choice {
    struct dht_peer *peer;
    uint32_t seen;
};

static void consider(struct choice *c, struct dht_peer *peer, struct dht_random *random)
{
    if (dht_random_below(random, ++c->seen) == 0)
        c->peer = peer;
}

void dht_peers_put(struct dht_peers *p, const struct dht_id *hash, const struct dht_endpoint *at, struct dht_random *random, uint64_t now_ms)
{
    struct choice of_hash = {NULL, 0}, of_source = {NULL, 0};
    struct dht_peer *place = NULL;
    for (size_t i = 0; i < p->count && !place; i++) {
        struct dht_peer *peer = &p->peers[i];
        bool same_hash = dht_id_equal(&peer->hash, hash);
        if (same_hash && dht_endpoint_equal(&peer->at, at))
            place = peer;
        if (same_hash)
            consider(&of_hash, peer, random);
        if (dht_endpoint_same_host(at, &peer->at))
            consider(&of_source, peer, random);
    }
    if (!place && of_source.seen >= DHT_PEERS_PER_SOURCE)
        place = of_source.peer;
    if (!place && of_hash.seen >= DHT_PEERS_PER_HASH)
        place = of_hash.peer;
    if (!place)
        place = p->count < DHT_PEERS_MAX ? &p->peers[p->count++] : &p->peers[dht_random_below(random, DHT_PEERS_MAX)];
    *place = (struct dht_peer){*hash, *at, now_ms};
}

size_t dht_peers_sample(const struct dht_peers *p, const struct dht_id *hash, unsigned family, size_t max, struct dht_random *random, struct dht_endpoint *out)
{
    uint32_t seen = 0;
    for (size_t i = 0; i < p->count; i++) {
        const struct dht_peer *peer = &p->peers[i];
        if (!dht_id_equal(&peer->hash, hash) || dht_endpoint_family(&peer->at) != family)
            continue;
        uint32_t at = seen < max ? seen : dht_random_below(random, seen + 1);
        if (at < max)
            out[at] = peer->at;
        seen++;
    }
    return seen < max ? seen : max;
}

size_t dht_peers_hashes(const struct dht_peers *p, size_t max, struct dht_random *random, struct dht_id *out)
{
    size_t count = 0;
    for (size_t tries = 0; tries < 4 * max && count < max && p->count > 0; tries++) {
        const struct dht_id *hash = &p->peers[dht_random_below(random, (uint32_t) p->count)].hash;
        size_t at = 0;
        while (at < count && !dht_id_equal(&out[at], hash))
            at++;
        if (at == count)
            out[count++] = *hash;
    }
    return count;
}

void dht_peers_expire(struct dht_peers *p, uint64_t now_ms)
{
    for (size_t i = 0; i < p->count;)
        if (now_ms >= p->peers[i].told_ms + DHT_PEERS_LIFE_MS)
            p->peers[i] = p->peers[--p->count];
        else
            i++;
}
