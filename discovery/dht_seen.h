/* discovery/dht_seen.h: the own address as others see it: their answers say it (BEP 42, `ip`), and most must agree before it is believed. One thread at a time. */
#ifndef GRID_DISCOVERY_DHT_SEEN_H
#define GRID_DISCOVERY_DHT_SEEN_H

#include "discovery/dht_endpoint.h"

enum { DHT_SEEN_VOTES = 9, DHT_SEEN_MAJORITY = 5 };

/* The last word of each of so many networks. */
struct dht_seen {
    struct {
        struct dht_endpoint voter, seen;
    } votes[DHT_SEEN_VOTES];
    size_t count, next;
};

/* Zeroed at first. What is not public is passed over: ids are bound to public addresses alone. */
void dht_seen_vote(struct dht_seen *s, const struct dht_endpoint *voter, const struct dht_endpoint *seen);

/* What most say; the port says nothing. NULL while they do not agree. Valid until the next vote. */
const struct dht_endpoint *dht_seen_address(const struct dht_seen *s);

#endif
