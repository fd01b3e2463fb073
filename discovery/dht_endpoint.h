/* discovery/dht_endpoint.h: an address and port of the DHT as a small value. No sockets, no memory of its own. Any thread. */
#ifndef GRID_DISCOVERY_DHT_ENDPOINT_H
#define GRID_DISCOVERY_DHT_ENDPOINT_H

#include "base/slice.h"

enum { DHT_ENDPOINT_V4_SIZE = 6, DHT_ENDPOINT_V6_SIZE = 18, DHT_ENDPOINT_SIZE_MAX = DHT_ENDPOINT_V6_SIZE };

/* An IPv4 address stands in its mapped form, ::ffff:a.b.c.d. */
struct dht_endpoint {
    uint8_t ip[16];
    uint16_t port; /* host order */
};

/* How far an address reaches, least first. */
enum dht_scope {
    DHT_SCOPE_NONE, /* no address of one host: unspecified, multicast, broadcast, reserved; or port 0 */
    DHT_SCOPE_LOOPBACK,
    DHT_SCOPE_LOCAL, /* RFC 1918, RFC 6598, link-local, RFC 4193 */
    DHT_SCOPE_PUBLIC
};

enum { DHT_FAMILIES = 2 }; /* 0: IPv4, 1: IPv6, which are two networks (BEP 32) */

bool dht_endpoint_is_v4(const struct dht_endpoint *e);

static inline unsigned dht_endpoint_family(const struct dht_endpoint *e)
{
    return dht_endpoint_is_v4(e) ? 0 : 1;
}

bool dht_endpoint_equal(const struct dht_endpoint *a, const struct dht_endpoint *b);
bool dht_endpoint_same_ip(const struct dht_endpoint *a, const struct dht_endpoint *b);

/* Of one host: of one address; on loopback, where a whole network may stand on one machine, of one address and port. */
bool dht_endpoint_same_host(const struct dht_endpoint *a, const struct dht_endpoint *b);

/* Of one /24 of IPv4, or one /56 of IPv6: most likely one owner's. */
bool dht_endpoint_same_net(const struct dht_endpoint *a, const struct dht_endpoint *b);

enum dht_scope dht_endpoint_scope(const struct dht_endpoint *e);

/* Compact form (BEP 5, BEP 32): 4 or 16 bytes of address, 2 of port. `out` has room for DHT_ENDPOINT_SIZE_MAX; returns how many were written. */
size_t dht_endpoint_pack(const struct dht_endpoint *e, uint8_t *out);

/* False for any other size than 6 or 18. */
bool dht_endpoint_unpack(struct slice in, struct dht_endpoint *out);

#endif
