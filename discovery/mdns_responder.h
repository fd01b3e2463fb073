/* discovery/mdns_responder.h: who speaks mDNS (RFC 6762) and DNS-SD (RFC 6763) for us: the host's avahi-daemon, or Avahi's responder inside this process where none runs. Both are one
 * table of functions. The loop's thread only; a call to the daemon may block for as long as D-Bus lets it. */
#ifndef GRID_DISCOVERY_MDNS_RESPONDER_H
#define GRID_DISCOVERY_MDNS_RESPONDER_H

#include <avahi-common/address.h>
#include <avahi-common/strlst.h>
#include <avahi-common/watch.h>

#include "discovery/mdns_services.h"

#define MDNS_TYPE "_gridcontrol._tcp"
#define MDNS_DOMAIN "local"

/* Nothing may be closed inside any of these. */
struct mdns_responder_events {
    void (*on_service)(void *ctx, const struct mdns_key *key);
    void (*on_gone)(void *ctx, const struct mdns_key *key);
    /* Looking into it gave an address ("host:port", numeric) and what it says of itself; or NULL and NULL: it did not answer, or has an address of no use. */
    void (*on_looked)(void *ctx, const struct mdns_key *key, const char *address, AvahiStringList *txt);
    /* The name is another's: announce another one. */
    void (*on_collision)(void *ctx);
    /* It cannot go on: close it. `why` is a clause. */
    void (*on_end)(void *ctx, const char *why);
};

struct mdns_responder_options {
    const AvahiPoll *poll;
    const char *name; /* of the service to announce; copied */
    uint16_t port;
    AvahiStringList *txt; /* borrowed for its life */
    const struct mdns_responder_events *events;
    void *ctx;
};

struct mdns_responder {
    const char *label;
    /* 0, or GRID_EIO with a clause in `why`. */
    int (*open)(const struct mdns_responder_options *options, void **out, char why[160]);
    /* Its end takes leave of the network, where it can. */
    void (*close)(void *responder);
    /* 0 or GRID_EIO; on_looked comes later. */
    int (*look)(void *responder, const struct mdns_key *key);
    /* Announces this name in place of the one before. */
    void (*rename)(void *responder, const char *name);
};

extern const struct mdns_responder MDNS_DAEMON, MDNS_BUILT_IN;

/* What both make of what Avahi tells. False for a name of no use. */
bool mdns_key_of(int interface, int protocol, const char *name, struct mdns_key *out);
/* "host:port"; false for an address that means something on one interface only. */
bool mdns_address_of(const AvahiAddress *address, uint16_t port, char out[MDNS_ADDRESS_MAX + 1]);

#endif
