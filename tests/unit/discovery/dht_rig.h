/* What the tests of the DHT share: addresses, ids and chance from one number. */
#ifndef GRID_TESTS_UNIT_DISCOVERY_DHT_RIG_H
#define GRID_TESTS_UNIT_DISCOVERY_DHT_RIG_H

#include "discovery/dht_id.h"
#include "discovery/dht_random.h"

static inline struct dht_endpoint rig_v4(unsigned a, unsigned b, unsigned c, unsigned d, unsigned port)
{
    return (struct dht_endpoint){{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, (uint8_t) a, (uint8_t) b, (uint8_t) c, (uint8_t) d}, (uint16_t) port};
}

/* The i-th of some public addresses, each in a /24 of its own. */
static inline struct dht_endpoint rig_public(unsigned i)
{
    return rig_v4(20 + i / 65536, i / 256 % 256, i % 256, 1 + i % 200, 6881);
}

/* The same of IPv6, each in a /56 of its own. */
static inline struct dht_endpoint rig_public_v6(unsigned i)
{
    return (struct dht_endpoint){{0x20, 0x01, 0x0d, 0xb8, (uint8_t) (i >> 16), (uint8_t) (i >> 8), (uint8_t) i, 0, [15] = 1}, 6881};
}

static inline struct dht_endpoint rig_private(unsigned i)
{
    return rig_v4(10, i / 65536 % 256, i / 256 % 256, i % 256, 6881);
}

/* The i-th node of a network on one machine. */
static inline struct dht_endpoint rig_loopback(unsigned i)
{
    return rig_v4(127, 0, 0, 1, 1000 + i);
}

static inline struct dht_random rig_random(uint8_t number)
{
    uint8_t seed[DHT_SEED_SIZE] = {number};
    struct dht_random r;
    dht_random_init(&r, seed);
    return r;
}

static inline struct dht_id rig_id(struct dht_random *r)
{
    struct dht_id id;
    dht_random_fill(r, id.bytes, sizeof id.bytes);
    return id;
}

/* One that fits its address. */
static inline struct dht_id rig_bound_id(struct dht_random *r, const struct dht_endpoint *at)
{
    struct dht_id id = rig_id(r);
    dht_id_bind(&id, at);
    return id;
}

#endif
