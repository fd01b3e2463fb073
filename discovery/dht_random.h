/* discovery/dht_random.h: randomness that others cannot foretell from what they have seen of it, from one secret seed. No system calls. Not thread-safe. */
#ifndef GRID_DISCOVERY_DHT_RANDOM_H
#define GRID_DISCOVERY_DHT_RANDOM_H

#include <stddef.h>
#include <stdint.h>

enum { DHT_SEED_SIZE = 32 };

/* SHA-256 of the seed and a counter, 32 bytes at a time. */
struct dht_random {
    uint8_t seed[DHT_SEED_SIZE];
    uint64_t counter;
    uint8_t block[32];
    size_t left; /* bytes of the block not given yet */
};

/* The same seed gives the same run: a secret one for a node, a printed one for a test. */
void dht_random_init(struct dht_random *r, const uint8_t seed[DHT_SEED_SIZE]);

void dht_random_fill(struct dht_random *r, void *out, size_t size);
uint32_t dht_random_u32(struct dht_random *r);

/* 0 .. limit - 1, and 0 for a limit of 0. */
uint32_t dht_random_below(struct dht_random *r, uint32_t limit);

#endif
