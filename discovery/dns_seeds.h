/* discovery/dns_seeds.h: keeps asking DNS for the addresses behind names, anew whenever an answer no longer holds. Each name for itself: one that is slow or unknown delays
 * no other. The loop's thread only. */
#ifndef GRID_DISCOVERY_DNS_SEEDS_H
#define GRID_DISCOVERY_DNS_SEEDS_H

#include "net/loop.h"
#include "net/resolve.h"

struct dns_seeds;

enum {
    DNS_SEEDS_MAX = 256,          /* names */
    DNS_SEEDS_ADDRESSES_MAX = 64, /* of one name, with all its services */
    DNS_SEEDS_ASK_MIN_MS = 2 * 1000, /* an answer is asked for anew when its TTL is over, but not sooner */
    DNS_SEEDS_ASK_MAX_MS = 5 * 60 * 1000,
    DNS_SEEDS_RETRY_MS = 500, /* after a failure, doubled each time, up to */
    DNS_SEEDS_RETRY_MAX_MS = 30 * 1000,
    DNS_SEEDS_GRACE_MS = 5 * 60 * 1000, /* an address is good for so long after its answer no longer holds: a resolver may be away */
};

struct dns_seeds_events {
    /* A member may live at this address ("host:port", numeric) for the next ttl_ms. */
    void (*on_address)(void *ctx, const char *address, uint64_t ttl_ms);
    /* The name cannot be looked up: said once until it can be, or fails otherwise. `why` is a clause. */
    void (*on_fault)(void *ctx, const char *name, const char *why);
};

/* True for "host:port" with a port, and "srv:NAME". */
bool dns_seed_valid(struct slice name);

/* `events` is kept. 0, GRID_ENOMEM, GRID_EIO. */
int dns_seeds_create(struct loop *l, const struct dns_seeds_events *events, void *ctx, struct dns_seeds **out);
/* Ends what is under way; `on_closed` comes when its memory is gone. */
void dns_seeds_close(struct dns_seeds *d, loop_fn on_closed, void *arg);

/* See net/resolve.h. */
int dns_seeds_use_servers(struct dns_seeds *d, const char *servers);

/* These names (copied) from now on, each asked for at once unless it is known already; others are forgotten. Names that are not valid are passed over. 0, GRID_ELIMIT, GRID_ENOMEM
 * (then some may be missing). */
int dns_seeds_set(struct dns_seeds *d, const struct slice *names, size_t count);

#endif
