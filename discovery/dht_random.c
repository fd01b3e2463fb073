/* A hash in counter mode: a node needs a few hundred bytes a minute of it. */
#include "discovery/dht_random.h"

#include <string.h>

#include <openssl/sha.h>

void dht_random_init(struct dht_random *r, const uint8_t seed[DHT_SEED_SIZE])
{
    memset(r, 0, sizeof *r);
    memcpy(r->seed, seed, DHT_SEED_SIZE);
}

static void next_block(struct dht_random *r)
{
    uint8_t in[DHT_SEED_SIZE + sizeof r->counter];
    memcpy(in, r->seed, DHT_SEED_SIZE);
    r->counter++;
    memcpy(in + DHT_SEED_SIZE, &r->counter, sizeof r->counter);
    SHA256(in, sizeof in, r->block);
    r->left = sizeof r->block;
}

void dht_random_fill(struct dht_random *r, void *out, size_t size)
{
    uint8_t *to = out;
    while (size > 0) {
        if (r->left == 0)
            next_block(r);
        size_t part = size < r->left ? size : r->left;
        memcpy(to, r->block + sizeof r->block - r->left, part);
        r->left -= part;
        to += part;
        size -= part;
    }
}

uint32_t dht_random_u32(struct dht_random *r)
{
    uint32_t value;
    dht_random_fill(r, &value, sizeof value);
    return value;
}

uint32_t dht_random_below(struct dht_random *r, uint32_t limit)
{
    return limit > 0 ? dht_random_u32(r) % limit : 0;
}
