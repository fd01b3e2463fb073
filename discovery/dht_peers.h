/* discovery/dht_peers.h: what others have announced here: peers by info hash, kept half an hour, in bounded numbers. No clock. One thread at a time. */
#ifndef GRID_DISCOVERY_DHT_PEERS_H
#define GRID_DISCOVERY_DHT_PEERS_H

#include "discovery/dht_id.h"
#include "discovery/dht_random.h"

enum { DHT_PEERS_MAX = 2048, DHT_PEERS_PER_HASH = 64, DHT_PEERS_PER_SOURCE = 16, DHT_PEERS_LIFE_MS = 30 * 60 * 1000 };

struct dht_peer {
    struct dht_id hash;
    struct dht_endpoint at;
    uint64_t told_ms;
};

struct dht_peers {
    struct dht_peer peers[DHT_PEERS_MAX];
    size_t count;
};

/* Over a bound it takes the place of another one: of the same source, else of the same hash, else of any, by lot. */
void dht_peers_put(struct dht_peers *p, const struct dht_id *hash, const struct dht_endpoint *at, struct dht_random *random, uint64_t now_ms);

/* Up to `max` of one family, by lot. Returns how many. */
size_t dht_peers_sample(const struct dht_peers *p, const struct dht_id *hash, unsigned family, size_t max, struct dht_random *random, struct dht_endpoint *out);

/* Up to `max` different info hashes, by lot (BEP 51). Returns how many. */
size_t dht_peers_hashes(const struct dht_peers *p, size_t max, struct dht_random *random, struct dht_id *out);

/* Forgets what is old. */
void dht_peers_expire(struct dht_peers *p, uint64_t now_ms);

#endif
