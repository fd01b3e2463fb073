/* discovery/dht_table.h: the nodes of the DHT that this one knows, nearer ones the more of them: buckets of 8 that split where the own id falls
 * (BEP 5, section "Routing Table"; Kademlia, section 2.4). No sockets, no clock: times are monotonic milliseconds. One thread at a time.
 *
 * A node is good that was heard within 15 minutes, then questionable, bad after two queries that it left unanswered. Only who has answered gets in.
 * So that ids made up in numbers (sybils) do not fill it, there is of public addresses one node per address in all, and one per /24 or /56 in a bucket;
 * of private ones two nodes per address, and in a full bucket the /24 or /56 that has most places gives one to another that has two fewer. (A private network may
 * be no more than one /24: a bound as for public ones would leave it a table of a few.) Loopback, a network on one machine, is exempt.
 * In a full bucket a node whose id fits its address (BEP 42) takes the place of one whose does not; others wait as spares. */
#ifndef GRID_DISCOVERY_DHT_TABLE_H
#define GRID_DISCOVERY_DHT_TABLE_H

#include "discovery/dht_random.h"
#include "discovery/krpc.h"

enum {
    DHT_BUCKET_SIZE = 8,
    DHT_SPARES_MAX = 4,
    DHT_TABLE_PER_LOCAL_IP = 2,
    DHT_NODE_FAILURES_MAX = 2,
    DHT_NODE_FRESH_MS = 15 * 60 * 1000,
    DHT_TABLE_NODES_MAX = DHT_ID_BITS * DHT_BUCKET_SIZE
};

struct dht_node {
    struct dht_id id;
    struct dht_endpoint at;
    uint8_t failures; /* queries unanswered since it was last heard */
    uint64_t heard_ms; /* it answered, or queried after it had answered; 0: read from a file */
};

struct dht_bucket {
    struct dht_node nodes[DHT_BUCKET_SIZE];
    struct dht_node spares[DHT_SPARES_MAX]; /* the newest last */
    uint8_t count, spare_count;
    uint64_t changed_ms; /* or refreshed */
};

/* Bucket i holds what shares just i first bits with the own id, the last one all that shares more. */
struct dht_table {
    struct dht_id own;
    struct dht_bucket *buckets;
    size_t count;
};

/* 0 or GRID_ENOMEM. */
int dht_table_init(struct dht_table *t, const struct dht_id *own, uint64_t now_ms);
void dht_table_dispose(struct dht_table *t);

/* The node answered. True when it stands in the table now. */
bool dht_table_heard(struct dht_table *t, const struct dht_id *id, const struct dht_endpoint *at, uint64_t now_ms);

/* Puts a node in that was read from a file: it counts as questionable. */
bool dht_table_remembered(struct dht_table *t, const struct dht_id *id, const struct dht_endpoint *at);

/* The node asked something. True when it is not known and there would be room: whether it answers is worth a ping. */
bool dht_table_asked(struct dht_table *t, const struct dht_id *id, const struct dht_endpoint *at, uint64_t now_ms);

/* The node of this id left a query unanswered, or another one answers at its address. A bad one makes room for a spare. */
void dht_table_failed(struct dht_table *t, const struct dht_id *id, const struct dht_endpoint *at);

/* Up to `max`, the nearest to `target` first, of those that left no more than so many queries unanswered since they were last heard. Returns how many. */
size_t dht_table_closest(const struct dht_table *t, const struct dht_id *target, unsigned failures_most, size_t max, struct krpc_node *out);

/* A node of the full bucket where `id` would stand that has not been heard for long: worth a ping. */
bool dht_table_questionable(const struct dht_table *t, const struct dht_id *id, uint64_t now_ms, struct krpc_node *out);

/* An id in a bucket in which nothing has happened for 15 minutes, which then counts as refreshed: to be looked up. False when there is none. */
bool dht_table_refresh(struct dht_table *t, struct dht_random *random, uint64_t now_ms, struct dht_id *out);

/* The own id changes: all nodes are sorted anew. 0, or GRID_ENOMEM with nothing changed. */
int dht_table_move(struct dht_table *t, const struct dht_id *own, uint64_t now_ms);

/* How many are not failing. */
size_t dht_table_count(const struct dht_table *t);

/* The nodes one after another: *at begins at 0. NULL at the end. */
const struct dht_node *dht_table_next(const struct dht_table *t, size_t *at);

#endif
