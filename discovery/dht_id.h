/* discovery/dht_id.h: ids of the DHT: of nodes and of what is looked for. XOR is the distance (Kademlia, Maymounkov and Mazieres 2002). Any thread. */
#ifndef GRID_DISCOVERY_DHT_ID_H
#define GRID_DISCOVERY_DHT_ID_H

#include "discovery/dht_endpoint.h"

enum { DHT_ID_SIZE = 20, DHT_ID_BITS = DHT_ID_SIZE * 8 };

struct dht_id {
    uint8_t bytes[DHT_ID_SIZE];
};

bool dht_id_equal(const struct dht_id *a, const struct dht_id *b);

/* Below 0 when `a` is nearer to `target` than `b`, 0 when they are equal. */
int dht_id_compare(const struct dht_id *target, const struct dht_id *a, const struct dht_id *b);

/* How many first bits are the same: 0 to 160. */
unsigned dht_id_common_bits(const struct dht_id *a, const struct dht_id *b);

/* Makes `id`, 20 random bytes, one that a node at this address may have (BEP 42): its first 21 bits follow from the address and its last byte. */
void dht_id_bind(struct dht_id *id, const struct dht_endpoint *at);

/* Whether this id follows from this address (BEP 42), so that nobody chose it. None follows from a private address, where a host may take as many
 * as it likes; on loopback every one does. */
bool dht_id_fits(const struct dht_id *id, const struct dht_endpoint *at);

/* What a grid is looked up by on one day (days since 1970, UTC): the first 20 bytes of SHA-256 of "gridcontrol dht 1\n", the name, "\n" and the day
 * in decimal. Of the name alone: whoever knows it can find the grid's addresses, and nothing else follows from it. */
void dht_id_tag(struct slice grid, int64_t day, struct dht_id *out);

#endif
