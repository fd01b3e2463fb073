/* net/resolve.h: host names to addresses by c-ares on the loop: no thread waits. /etc/hosts counts, then DNS. One loop's thread. */
#ifndef GRID_NET_RESOLVE_H
#define GRID_NET_RESOLVE_H

#include "net/addr.h"
#include "net/loop.h"

enum { RESOLVE_ADDRESSES_MAX = 16 };

struct resolver;

/* Reads resolv.conf. 0, GRID_ENOMEM or GRID_EIO. */
int resolver_create(struct loop *l, struct resolver **out);

/* Ends what is under way (each with GRID_ECANCELED, inside the call) and calls `on_closed` when its memory is gone. */
void resolver_close(struct resolver *r, loop_fn on_closed, void *arg);

/* err 0: at least one address, borrowed for the call. GRID_ENOENT (no such name), GRID_ETIMEOUT, GRID_EUNAVAILABLE,
 * GRID_ECANCELED. */
typedef void (*resolve_fn)(void *arg, int err, const struct addr *addresses, size_t count);

/* Looks up "host:port" or "[v6]:port"; numeric ones need no lookup. `done` comes later, never inside the call. 0, GRID_EINVAL,
 * GRID_ENOMEM. */
int resolver_lookup(struct resolver *r, struct slice host_port, resolve_fn done, void *arg);

#endif
