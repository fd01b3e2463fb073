/* discovery/dht.h: a node of the mainline DHT (BEP 5; IPv6 by BEP 32, ids by BEP 42) that looks for a grid's other nodes and announces this one. No sockets,
 * no clock, no randomness of its own: datagrams, monotonic milliseconds and a seed come in; datagrams, addresses to dial and the
 * next moment come out. One thread at a time.
 *
 * What is found is anybody's word: who is dialled there must still prove that it belongs. */
#ifndef GRID_DISCOVERY_DHT_H
#define GRID_DISCOVERY_DHT_H

#include "base/buf.h"
#include "discovery/dht_endpoint.h"
#include "discovery/dht_random.h"

struct dht;

struct dht_config {
    uint8_t seed[DHT_SEED_SIZE]; /* secret: from the system's generator */
    bool families[DHT_FAMILIES]; /* which of IPv4 and IPv6 there is a socket for */
    bool loopback;               /* the sockets are of loopback alone: the network is one of this machine */
};

/* 0 or GRID_ENOMEM. About 500 KB, most of it untouched while nothing is stored. */
int dht_create(const struct dht_config *config, uint64_t now_ms, struct dht **out);
void dht_destroy(struct dht *d);

/* What dht_save gave in an earlier life; before the first tick. 0, GRID_ECORRUPT or GRID_EUNSUPPORTED with nothing changed, GRID_ENOMEM. */
int dht_restore(struct dht *d, struct slice saved, uint64_t now_ms);

/* Appends the table for the next life. 0, GRID_ELIMIT or GRID_ENOMEM. */
int dht_save(const struct dht *d, struct buf *out);

/* A node that is asked while few others are known: from the next tick on; at most 16, the oldest is forgotten. One of loopback has datagrams of loopback heard
 * from then on; they are passed over otherwise, so that no other user of the machine makes up a network there. */
void dht_add_router(struct dht *d, const struct dht_endpoint *at);

/* Looks for the nodes of this grid from now on, and announces this one's `peer_port` (TCP, host order); 0 announces nothing. An empty name: looks for nothing.
 * GRID_ELIMIT for a name longer than 256 bytes. */
int dht_look_for(struct dht *d, struct slice grid, uint16_t peer_port, uint64_t now_ms);

/* Whether the grid has no other node yet: then it looks every 2 s, ever more rarely down to every 5 minutes; else every 15 minutes. */
void dht_set_lonely(struct dht *d, bool lonely, uint64_t now_ms);

/* Takes one datagram in, borrowed for the call. What is malformed, unasked for or over the limits is counted and passed over; over the limits it is not even
 * read. False when nothing can follow from it. */
bool dht_receive(struct dht *d, const struct dht_endpoint *from, struct slice in, uint64_t now_ms);

/* Runs what is due. `day` is the day of Unix time in UTC, by which tags change. Returns milliseconds until the next call is needed, at most a minute;
 * dht_receive may bring it forward: call this after it, too, where that was true. */
uint64_t dht_tick(struct dht *d, uint64_t now_ms, int64_t day);

struct dht_send {
    struct dht_endpoint to;
    struct slice bytes; /* live until the next dht_* call */
};

/* Pops one datagram to send; false when drained. */
bool dht_next_send(struct dht *d, struct dht_send *out);

/* Pops one address to dial, at most ten a second; false when there is none now. */
bool dht_next_found(struct dht *d, uint64_t now_ms, struct dht_endpoint *out);

/* Milliseconds until dht_next_found may give one; UINT64_MAX when none waits. */
uint64_t dht_found_in_ms(struct dht *d, uint64_t now_ms);

struct dht_counts {
    size_t nodes[DHT_FAMILIES]; /* in the tables */
    size_t peers;               /* announced here by others */
    uint64_t received, dropped, malformed, unasked, refused, answered, asked, timed_out, searches; /* dropped: unread */
    bool address_known[DHT_FAMILIES]; /* others agree on how they see this node */
};
void dht_count(const struct dht *d, struct dht_counts *out);

#endif
