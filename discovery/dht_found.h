/* discovery/dht_found.h: addresses that were told under the grid's tag, anybody's word: which of them to dial next. No sockets, no clock. One thread at a time.
 *
 * Whoever knows a grid's name may announce any number of addresses under its tag. So each source (a /24 or /56 of nodes that told, on a private network a host) has a short queue of
 * its own, filled by lot, and the sources take turns: one honest source is heard beside any number of lies. An address is tried once in 10
 * minutes, a host on at most four ports in that time; at most 10 dials a second in all. */
#ifndef GRID_DISCOVERY_DHT_FOUND_H
#define GRID_DISCOVERY_DHT_FOUND_H

#include "base/token_bucket.h"
#include "discovery/dht_endpoint.h"
#include "discovery/dht_random.h"

enum {
    DHT_FOUND_SOURCES = 64,
    DHT_FOUND_PER_SOURCE = 16,
    DHT_FOUND_TRIED_PLACES = 8192, /* must be a power of two */
    DHT_FOUND_TRIED_MS = 10 * 60 * 1000,
    DHT_FOUND_PORTS_PER_HOST = 4,
    DHT_FOUND_DIALS_PER_S = 10
};

struct dht_found_source {
    struct dht_endpoint teller;
    struct dht_endpoint peers[DHT_FOUND_PER_SOURCE];
    uint32_t count, offered; /* since it was last empty */
};

/* An address, or a host, that was tried; two that fall into one place forget one another. */
struct dht_found_tried {
    uint64_t hash, until_ms;
    uint32_t times;
};

struct dht_found {
    struct dht_found_source sources[DHT_FOUND_SOURCES];
    size_t source_count, turn;
    struct dht_found_tried tried[DHT_FOUND_TRIED_PLACES];
    struct token_bucket dials;
    uint8_t secret[16];
};

void dht_found_init(struct dht_found *f, struct dht_random *random, uint64_t now_ms);

/* `teller` says that `peer` is of the grid. One that reaches less far than its teller is passed over: nobody on the internet
 * makes us dial our own networks. */
void dht_found_offer(struct dht_found *f, const struct dht_endpoint *teller, const struct dht_endpoint *peer, struct dht_random *random);

/* The next address to dial, which counts as tried. False when there is none now. */
bool dht_found_next(struct dht_found *f, struct dht_random *random, uint64_t now_ms, struct dht_endpoint *out);

/* Milliseconds until dht_found_next may give one; UINT64_MAX when none waits. */
uint64_t dht_found_wait_ms(struct dht_found *f, uint64_t now_ms);

#endif
