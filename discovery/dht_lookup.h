/* discovery/dht_lookup.h: one search for the nodes nearest to an id (Kademlia, section 2.3): who is to be asked next, and when it is over. No sockets,
 * no clock. One thread at a time.
 *
 * At most three queries are out at once, those that are late (700 ms) not counted; it is over when the eight nearest that have not failed and are
 * not late have answered. So that nobody surrounds a target with nodes made up for it: of public addresses one candidate per address and two per /24 or /56, of private
 * ones two per address and of those that are told the eight nearest of a /24 or /56; and of those whose ids do not fit their addresses (BEP 42; of private ones none does) only the four nearest count; the other four of the eight have ids that nobody chooses. And who was known before is asked in
 * any case: those who are told may all be of one maker, each telling of the others only. */
#ifndef GRID_DISCOVERY_DHT_LOOKUP_H
#define GRID_DISCOVERY_DHT_LOOKUP_H

#include "discovery/krpc.h"

enum {
    DHT_LOOKUP_PARALLEL = 3,
    DHT_LOOKUP_NEAREST = 8,
    DHT_LOOKUP_CANDIDATES = 32,
    DHT_LOOKUP_QUERIES_MAX = 64,
    DHT_LOOKUP_LATE_MS = 700,
    DHT_LOOKUP_PER_NET = 2,
    DHT_LOOKUP_PER_LOCAL_IP = 2,
    DHT_LOOKUP_PER_LOCAL_NET = 8,
    DHT_LOOKUP_UNFIT = 4
};

enum dht_candidate_state { DHT_CANDIDATE_NEW, DHT_CANDIDATE_ASKED, DHT_CANDIDATE_ANSWERED, DHT_CANDIDATE_FAILED };

struct dht_candidate {
    struct krpc_node node;
    bool fits;  /* its id belongs to its address */
    bool known; /* not by hearsay: asked in any case */
    enum dht_candidate_state state;
    uint64_t asked_ms;
    uint8_t token[KRPC_TOKEN_MAX]; /* what it wants to see in an announcement */
    size_t token_size;
};

struct dht_lookup {
    struct dht_id target;
    struct dht_candidate candidates[DHT_LOOKUP_CANDIDATES]; /* the nearest first */
    size_t count;
    unsigned queries;
};

void dht_lookup_init(struct dht_lookup *l, const struct dht_id *target);

/* False when it is known already, too far, or has too many neighbours here. */
bool dht_lookup_add(struct dht_lookup *l, const struct krpc_node *node);

/* The same for one that is known from before, at most half of DHT_LOOKUP_CANDIDATES: nearer ones do not push it out. */
bool dht_lookup_add_known(struct dht_lookup *l, const struct krpc_node *node);

/* Whom to ask now, who counts as asked from here on; NULL for nobody yet. Valid until the next call. */
const struct krpc_node *dht_lookup_next(struct dht_lookup *l, uint64_t now_ms);

/* It answered, and as whom: one that was told under another id counts under its own from here on. */
void dht_lookup_answered(struct dht_lookup *l, const struct krpc_node *who, struct slice token);
void dht_lookup_failed(struct dht_lookup *l, const struct dht_endpoint *at);

/* Nobody is left to ask or to wait for; those that are late are waited for only when others do not make up the eight. */
bool dht_lookup_done(const struct dht_lookup *l, uint64_t now_ms);

/* When a late query lets another one out; UINT64_MAX for never. */
uint64_t dht_lookup_late_ms(const struct dht_lookup *l, uint64_t now_ms);

/* Up to eight that answered, the nearest first. Returns how many. */
size_t dht_lookup_nearest(const struct dht_lookup *l, const struct dht_candidate *out[DHT_LOOKUP_NEAREST]);

#endif
