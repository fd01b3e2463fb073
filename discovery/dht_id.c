/* Ids: distance, the tie to an address, tags. */
#include "discovery/dht_id.h"

#include <inttypes.h>
#include <stdio.h>

#include <openssl/sha.h>

#include "base/crc32c.h"

bool dht_id_equal(const struct dht_id *a, const struct dht_id *b)
{
    return memcmp(a->bytes, b->bytes, DHT_ID_SIZE) == 0;
}

int dht_id_compare(const struct dht_id *target, const struct dht_id *a, const struct dht_id *b)
{
    for (size_t i = 0; i < DHT_ID_SIZE; i++) {
        int far_a = a->bytes[i] ^ target->bytes[i], far_b = b->bytes[i] ^ target->bytes[i];
        if (far_a != far_b)
            return far_a - far_b;
    }
    return 0;
}

unsigned dht_id_common_bits(const struct dht_id *a, const struct dht_id *b)
{
    for (unsigned i = 0; i < DHT_ID_SIZE; i++) {
        unsigned differing = a->bytes[i] ^ b->bytes[i];
        if (differing != 0)
            return i * 8 + (unsigned) __builtin_clz(differing) - 24;
    }
    return DHT_ID_BITS;
}

/* BEP 42: CRC-32C of the masked address with the id's last three bits before it. */
static uint32_t address_prefix(const struct dht_endpoint *at, uint8_t last)
{
    static const uint8_t mask_v4[4] = {0x03, 0x0f, 0x3f, 0xff};
    static const uint8_t mask_v6[8] = {0x01, 0x03, 0x07, 0x0f, 0x1f, 0x3f, 0x7f, 0xff};
    bool v4 = dht_endpoint_is_v4(at);
    const uint8_t *ip = v4 ? at->ip + 12 : at->ip, *mask = v4 ? mask_v4 : mask_v6;
    uint8_t masked[8];
    size_t size = v4 ? sizeof mask_v4 : sizeof mask_v6;
    for (size_t i = 0; i < size; i++)
        masked[i] = ip[i] & mask[i];
    masked[0] |= (uint8_t) ((last & 7) << 5);
    return crc32c(0, slice_of(masked, size));
}

void dht_id_bind(struct dht_id *id, const struct dht_endpoint *at)
{
    uint32_t prefix = address_prefix(at, id->bytes[DHT_ID_SIZE - 1]);
    id->bytes[0] = (uint8_t) (prefix >> 24);
    id->bytes[1] = (uint8_t) (prefix >> 16);
    id->bytes[2] = (uint8_t) ((prefix >> 8 & 0xf8) | (id->bytes[2] & 7));
}

bool dht_id_fits(const struct dht_id *id, const struct dht_endpoint *at)
{
    struct dht_id bound = *id;
    enum dht_scope scope = dht_endpoint_scope(at);
    if (scope != DHT_SCOPE_PUBLIC)
        return scope == DHT_SCOPE_LOOPBACK;
    dht_id_bind(&bound, at);
    return dht_id_equal(&bound, id);
}

void dht_id_tag(struct slice grid, int64_t day, struct dht_id *out)
{
    static const char context[] = "gridcontrol dht 1\n";
    uint8_t digest[SHA256_DIGEST_LENGTH], in[sizeof context + 256 + 24];
    char tail[24];
    grid = slice_first(grid, 256);
    int tail_size = snprintf(tail, sizeof tail, "\n%" PRId64, day);
    memcpy(in, context, sizeof context - 1);
    if (grid.size > 0)
        memcpy(in + sizeof context - 1, grid.data, grid.size);
    memcpy(in + sizeof context - 1 + grid.size, tail, (size_t) tail_size);
    SHA256(in, sizeof context - 1 + grid.size + (size_t) tail_size, digest);
    memcpy(out->bytes, digest, DHT_ID_SIZE);
}
