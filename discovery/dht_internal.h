/* discovery/dht_internal.h: what the parts of the DHT's node share: dht (life, schedule), dht_query (asking), dht_answer (answering), dht_search (lookups).
 * For discovery/dht*.c and its tests alone. */
#ifndef GRID_DISCOVERY_DHT_INTERNAL_H
#define GRID_DISCOVERY_DHT_INTERNAL_H

#include "discovery/dht.h"
#include "discovery/dht_found.h"
#include "discovery/dht_lookup.h"
#include "discovery/dht_peers.h"
#include "discovery/dht_seen.h"
#include "discovery/dht_table.h"
#include "discovery/dht_token.h"

enum {
    DHT_QUERIES_MAX = 64,
    DHT_SEARCHES_MAX = 10, /* of each family one to join, three to find, one to refresh */
    DHT_SENDS_MAX = 64,
    DHT_ROUTERS_MAX = 16,
    DHT_NAME_MAX = 256,
    DHT_TAGS = 3, /* today's, yesterday's, tomorrow's: clocks differ */
    DHT_QUERY_TIMEOUT_MS = 2000,
    DHT_TICK_MAX_MS = 60 * 1000,
    DHT_REFRESH_EVERY_MS = 2 * 60 * 1000,
    DHT_LONELY_FIRST_MS = 2 * 1000,
    DHT_LONELY_MOST_MS = 5 * 60 * 1000,
    DHT_SETTLED_MS = 15 * 60 * 1000,
    DHT_JOIN_FIRST_MS = 2000,
    DHT_JOIN_MOST_MS = 60 * 1000,
    DHT_NODES_FEW = 8,
    DHT_PING_EVERY_MS = 5000, /* those who asked, and who was silent for long */
    DHT_PING_EVERY_FEW_MS = 250 /* while few nodes are known */
};

/* What is said of this program in each message: client and version (BEP 5, `v`). */
#define DHT_VERSION SLICE("GC\0\1")

struct dht_search;

/* A query that waits for its answer. */
struct dht_query {
    bool used;
    uint32_t transaction;
    struct dht_endpoint to;
    struct dht_id id; /* whose answer is expected */
    bool knows_id;
    enum krpc_method method;
    struct dht_search *search; /* NULL: of none */
    uint64_t sent_ms;
};

enum dht_purpose { DHT_JOINING, DHT_REFRESHING, DHT_FINDING };

/* A lookup under way. */
struct dht_search {
    bool active;
    enum dht_purpose purpose;
    unsigned family;
    bool announces;       /* at its end */
    unsigned routers_out; /* queries to routers that wait */
    struct dht_lookup lookup;
};

struct dht_outgoing {
    struct dht_endpoint to;
    uint16_t size;
    uint8_t bytes[KRPC_MESSAGE_MAX];
};

/* One of the two networks. */
struct dht_side {
    bool enabled;
    struct dht_table table;
    struct dht_seen seen;
    uint64_t join_ms, join_wait_ms; /* when to look for the own id again while few nodes are known */
    uint64_t refresh_ms;            /* not before */
    uint64_t find_ms, find_wait_ms; /* when to look for the grid again */
    uint64_t ping_ms;               /* not before: pings to those who asked */
};

struct dht {
    struct dht_side sides[DHT_FAMILIES];
    struct dht_random random;
    struct dht_endpoint routers[DHT_ROUTERS_MAX];
    size_t router_count;
    bool hears_loopback;
    uint8_t name[DHT_NAME_MAX];
    size_t name_size;
    uint16_t peer_port;
    bool lonely;
    int64_t day;
    struct dht_id tags[DHT_TAGS];
    struct dht_query queries[DHT_QUERIES_MAX];
    struct dht_search searches[DHT_SEARCHES_MAX];
    struct dht_outgoing sends[DHT_SENDS_MAX];
    size_t send_first, send_count;
    struct dht_tokens tokens;
    struct dht_limit limit;
    struct dht_peers peers;
    struct dht_found found;
    struct dht_counts counts;
};

/* Puts a message in the queue; false when that is full or the message too long. */
bool dht_send(struct dht *d, const struct dht_endpoint *to, const struct krpc *m);

/* Asks a node; `m` needs its method and arguments. `to->id` is of no account when it does not know it. False when too many queries are out. */
bool dht_ask(struct dht *d, const struct krpc_node *to, bool knows_id, struct krpc *m, struct dht_search *search, uint64_t now_ms);
void dht_ping(struct dht *d, const struct krpc_node *to, bool knows_id, uint64_t now_ms);

/* Whether a query to this address waits for its answer. */
bool dht_waits_for(const struct dht *d, const struct dht_endpoint *from);

/* Answers a query. */
void dht_answer(struct dht *d, const struct dht_endpoint *from, const struct krpc *query, uint64_t now_ms);

/* An answer or an error has come for a query of ours, or is taken to be none of ours. */
void dht_take_answer(struct dht *d, const struct dht_endpoint *from, const struct krpc *m, uint64_t now_ms);

/* Gives up on queries that are not answered. */
void dht_expire_queries(struct dht *d, uint64_t now_ms);

/* Begins a search; whether it announces is the caller's to set. NULL when there is no room. */
struct dht_search *dht_search_begin(struct dht *d, enum dht_purpose purpose, unsigned family, const struct dht_id *target, uint64_t now_ms);

/* An answer to one of its queries; `m` NULL: none came. */
void dht_search_heard(struct dht *d, struct dht_search *s, const struct dht_query *q, const struct krpc *m, uint64_t now_ms);

/* Goes on with every search: asks on, ends. */
void dht_search_run(struct dht *d, uint64_t now_ms);

/* A search has come to its end: what follows from it. */
void dht_search_ended(struct dht *d, struct dht_search *s, uint64_t now_ms);

/* Whether a search of this purpose runs on this side. */
bool dht_search_runs(const struct dht *d, enum dht_purpose purpose, unsigned family);

/* Whether the word of `teller` on `at` may be followed: an address that is told reaches no less far than who tells it. */
bool dht_may_follow(const struct dht_endpoint *teller, const struct dht_endpoint *at);

#endif
