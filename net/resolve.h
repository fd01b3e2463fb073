/* net/resolve.h: host names and services to addresses by c-ares on the loop: no thread waits. /etc/hosts counts for names, then DNS, as /etc/resolv.conf says at
 * the time. One loop's thread. */
#ifndef GRID_NET_RESOLVE_H
#define GRID_NET_RESOLVE_H

#include "net/addr.h"
#include "net/dns_services.h"
#include "net/loop.h"

enum { RESOLVE_ADDRESSES_MAX = 16 };

struct resolver;

/* Reads resolv.conf. 0, GRID_ENOMEM or GRID_EIO. */
int resolver_create(struct loop *l, struct resolver **out);

/* Asks these servers ("127.0.0.1:5353[,...]") instead of resolv.conf's. 0, GRID_EINVAL, GRID_ENOMEM. */
int resolver_use_servers(struct resolver *r, const char *servers);

/* Ends what is under way (each with GRID_ECANCELED, inside the call) and calls `on_closed` when its memory is gone. */
void resolver_close(struct resolver *r, loop_fn on_closed, void *arg);

/* What a lookup gave: borrowed for the call. err 0: at least one address. GRID_ENOENT (no such name), GRID_ETIMEOUT, GRID_EUNAVAILABLE, GRID_ECANCELED. */
struct resolved {
    int err;
    const struct addr *addresses;
    size_t count;
    uint32_t ttl_s; /* how long it holds, by the least of its records; UINT32_MAX for numeric addresses, 0 for /etc/hosts */
};
typedef void (*resolve_fn)(void *arg, const struct resolved *answer);

/* Looks up "host:port" or "[v6]:port"; numeric ones need no lookup. `done` comes later, never inside the call. 0, GRID_EINVAL,
 * GRID_ENOMEM. */
int resolver_lookup(struct resolver *r, struct slice host_port, resolve_fn done, void *arg);

/* err 0: at least one service, borrowed for the call. Errors as above, and GRID_EPROTO for an answer that cannot be read. */
typedef void (*resolve_services_fn)(void *arg, int err, const struct dns_services *services);

/* Looks up the SRV records of a name such as "_gridcontrol._tcp.example.org", in the search domains too. `done` comes later. 0, GRID_EINVAL, GRID_ENOMEM. */
int resolver_lookup_services(struct resolver *r, struct slice name, resolve_services_fn done, void *arg);

#endif
