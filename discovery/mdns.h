/* discovery/mdns.h: finds nodes of the same grid on the local network, and is found there, by DNS-SD over multicast DNS (RFC 6763, RFC 6762): every node announces a service of type
 * _gridcontrol._tcp under a random name, with a TXT record that tells grids apart by a hash of the grid's name. Through the host's avahi-daemon where one runs, which may come and go; else by Avahi's responder in
 * this process. All of it runs on a thread of its own, since D-Bus may block. */
#ifndef GRID_DISCOVERY_MDNS_H
#define GRID_DISCOVERY_MDNS_H

#include "base/slice.h"
#include "net/loop.h"

struct mdns;

struct mdns_events {
    /* A node of the grid lives at this address ("host:port", numeric) for the next ttl_ms, or says so. On the thread of `loop`, as the next. */
    void (*on_address)(void *ctx, const char *address, uint64_t ttl_ms);
    /* Nobody can be looked for: said once until it works again. `why` is a clause. */
    void (*on_fault)(void *ctx, const char *what, const char *why);
};

struct mdns_options {
    struct loop *loop; /* where events come */
    struct slice grid; /* its name */
    uint16_t port;     /* where this node is reached */
    const struct mdns_events *events;
    void *ctx;
};

enum { MDNS_CLOSE_MS = 2000 };

/* 0, GRID_ENOMEM, GRID_EIO. */
int mdns_create(const struct mdns_options *options, struct mdns **out);
/* Takes leave of the network; on_closed comes when that is done, at the latest after MDNS_CLOSE_MS: a D-Bus that hangs is left to itself. No event comes from now on. */
void mdns_close(struct mdns *m, loop_fn on_closed, void *arg);

#endif
