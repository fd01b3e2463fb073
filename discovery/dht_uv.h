/* discovery/dht_uv.h: the DHT's node (discovery/dht.h) on sockets: one UDP port of each family, its timer, and the names of its bootstrap nodes, which are looked up
 * only while it knows few others. Reads at most 4,000 datagrams a second, so that a flood costs little: what is beyond waits in the kernel, or is lost there. The loop's
 * thread. */
#ifndef GRID_DISCOVERY_DHT_UV_H
#define GRID_DISCOVERY_DHT_UV_H

#include "discovery/dht.h"
#include "net/addr.h"
#include "net/loop.h"

struct dht_uv;

struct dht_uv_config {
    struct addr listen;           /* of any address both families are bound, else its own; another port is taken where this one is in use */
    struct slice saved;           /* as dht_uv_save gave it, empty for none: borrowed for the call */
    const char *const *bootstrap; /* "host:port": borrowed for the whole life */
    size_t bootstrap_count;
};

/* Addresses have been found, and dht_uv_next gives one. It may come again and again. */
typedef void (*dht_uv_fn)(void *ctx);

/* 0, GRID_EIO (no socket could be bound), GRID_ENOMEM. A saved table that cannot be read is passed over. */
int dht_uv_create(struct loop *l, const struct dht_uv_config *config, dht_uv_fn on_found, void *ctx, struct dht_uv **out);
/* `on_closed` comes when its memory is gone. */
void dht_uv_close(struct dht_uv *d, loop_fn on_closed, void *arg);

/* As dht_look_for and dht_set_lonely. */
int dht_uv_look_for(struct dht_uv *d, struct slice grid, uint16_t peer_port);
void dht_uv_set_lonely(struct dht_uv *d, bool lonely);

/* Takes one address to dial, at most ten a second: false when there is none now, `*wait_ms` (may be NULL) later, or UINT64_MAX. */
bool dht_uv_next(struct dht_uv *d, struct addr *out, uint64_t *wait_ms);

/* Appends the table for the next life, as dht_save. */
int dht_uv_save(const struct dht_uv *d, struct buf *out);

void dht_uv_count(const struct dht_uv *d, struct dht_counts *out);
uint16_t dht_uv_port(const struct dht_uv *d, unsigned family); /* 0: no socket */

#endif
