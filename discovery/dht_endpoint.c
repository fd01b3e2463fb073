/* Addresses of the DHT: compact form, neighbourhood, reach. */
#include "discovery/dht_endpoint.h"

#define V4_OFFSET 12

static const uint8_t MAPPED[V4_OFFSET] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};

bool dht_endpoint_is_v4(const struct dht_endpoint *e)
{
    return memcmp(e->ip, MAPPED, sizeof MAPPED) == 0;
}

bool dht_endpoint_same_ip(const struct dht_endpoint *a, const struct dht_endpoint *b)
{
    return memcmp(a->ip, b->ip, sizeof a->ip) == 0;
}

bool dht_endpoint_equal(const struct dht_endpoint *a, const struct dht_endpoint *b)
{
    return a->port == b->port && dht_endpoint_same_ip(a, b);
}

bool dht_endpoint_same_net(const struct dht_endpoint *a, const struct dht_endpoint *b)
{
    return memcmp(a->ip, b->ip, dht_endpoint_is_v4(a) ? V4_OFFSET + 3 : 7) == 0;
}

bool dht_endpoint_same_host(const struct dht_endpoint *a, const struct dht_endpoint *b)
{
    return dht_endpoint_scope(a) == DHT_SCOPE_LOOPBACK ? dht_endpoint_equal(a, b) : dht_endpoint_same_ip(a, b);
}

static enum dht_scope scope_v4(const uint8_t *ip)
{
    if (ip[0] == 0 || ip[0] >= 224)
        return DHT_SCOPE_NONE;
    if (ip[0] == 127)
        return DHT_SCOPE_LOOPBACK;
    bool shared = ip[0] == 100 && (ip[1] & 0xc0) == 64;
    if (ip[0] == 10 || shared || (ip[0] == 172 && (ip[1] & 0xf0) == 16) || (ip[0] == 192 && ip[1] == 168) || (ip[0] == 169 && ip[1] == 254))
        return DHT_SCOPE_LOCAL;
    return DHT_SCOPE_PUBLIC;
}

static enum dht_scope scope_v6(const uint8_t *ip)
{
    static const uint8_t zeros[15];
    if (memcmp(ip, zeros, sizeof zeros) == 0)
        return ip[15] == 1 ? DHT_SCOPE_LOOPBACK : DHT_SCOPE_NONE;
    if ((ip[0] & 0xfe) == 0xfc || (ip[0] == 0xfe && (ip[1] & 0xc0) == 0x80))
        return DHT_SCOPE_LOCAL;
    return (ip[0] & 0xe0) == 0x20 ? DHT_SCOPE_PUBLIC : DHT_SCOPE_NONE;
}

enum dht_scope dht_endpoint_scope(const struct dht_endpoint *e)
{
    if (e->port == 0)
        return DHT_SCOPE_NONE;
    return dht_endpoint_is_v4(e) ? scope_v4(e->ip + V4_OFFSET) : scope_v6(e->ip);
}

size_t dht_endpoint_pack(const struct dht_endpoint *e, uint8_t *out)
{
    size_t from = dht_endpoint_is_v4(e) ? V4_OFFSET : 0, size = sizeof e->ip - from;
    memcpy(out, e->ip + from, size);
    out[size] = (uint8_t) (e->port >> 8);
    out[size + 1] = (uint8_t) e->port;
    return size + 2;
}

bool dht_endpoint_unpack(struct slice in, struct dht_endpoint *out)
{
    if (in.size != DHT_ENDPOINT_V4_SIZE && in.size != DHT_ENDPOINT_V6_SIZE)
        return false;
    size_t from = in.size == DHT_ENDPOINT_V4_SIZE ? V4_OFFSET : 0, size = in.size - 2;
    memcpy(out->ip, MAPPED, from);
    memcpy(out->ip + from, in.data, size);
    out->port = (uint16_t) (in.data[size] << 8 | in.data[size + 1]);
    return true;
}
