/* discovery/mdns_services.h: services of our type that the local network names: which to look into now, which are nodes of our grid, when to tell of those again. Anybody on the network may
 * announce what he likes: what is kept and what is looked into at once is bounded, and beyond that it goes by lot. No sockets, no clock. One thread at a time.
 *
 *     waiting -> looking -> ours       told at once, and every MDNS_TELL_MS until it is gone
 *        ^          |----> foreign     kept, so that it is not looked into twice
 *        +--------- failed             again after MDNS_AGAIN_MS, doubled each time */
#ifndef GRID_DISCOVERY_MDNS_SERVICES_H
#define GRID_DISCOVERY_MDNS_SERVICES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/slice.h"

enum {
    MDNS_NAME_MAX = 63, /* RFC 6763, section 4.1.1 */
    MDNS_ADDRESS_MAX = 63,
    MDNS_SERVICES_MAX = 1024,
    MDNS_LOOKING_MAX = 16,
    MDNS_TELL_MS = 60 * 1000,
    MDNS_GOOD_MS = 150 * 1000, /* an address is good for so long after it was told */
    MDNS_AGAIN_MS = 2 * 1000,
    MDNS_AGAIN_MAX_MS = 5 * 60 * 1000,
    MDNS_TAG_HEX = 32,
};

/* One name on one interface by one protocol, as browsing tells of it. */
struct mdns_key {
    int interface, protocol;
    char name[MDNS_NAME_MAX + 1];
};

enum mdns_service_state { MDNS_WAITING, MDNS_LOOKING, MDNS_OURS, MDNS_FOREIGN };

struct mdns_service {
    struct mdns_key key;
    enum mdns_service_state state;
    unsigned failures;
    uint64_t due_ms; /* waiting: not before; ours: when it is told again */
    char address[MDNS_ADDRESS_MAX + 1];
};

struct mdns_services {
    struct mdns_service *at;
    size_t count, capacity, looking;
    uint64_t random;
};

/* What a grid's nodes say in their TXT record, so that others' need not be dialled: 128 bits of a hash of the grid's name alone. */
void mdns_tag(struct slice grid, char out[MDNS_TAG_HEX + 1]);

void mdns_services_init(struct mdns_services *s, uint64_t seed);
void mdns_services_dispose(struct mdns_services *s);
/* Forgets all, as when another responder is asked from now on. */
void mdns_services_clear(struct mdns_services *s);

/* Browsing tells of a service. 0, also when it is known; GRID_EINVAL for a name that is too long; GRID_ELIMIT when all that are kept are of more use; GRID_ENOMEM. */
int mdns_services_add(struct mdns_services *s, const struct mdns_key *key, uint64_t now_ms);
/* It is gone. */
void mdns_services_remove(struct mdns_services *s, const struct mdns_key *key);

/* One to look into, which is looking from now on; NULL when there is none now. Until the next call. */
const struct mdns_service *mdns_services_next(struct mdns_services *s, uint64_t now_ms);
/* What looking into it gave: its address ("host:port", numeric) when it is of our grid, NULL when it is not. */
void mdns_services_found(struct mdns_services *s, const struct mdns_key *key, const char *address, uint64_t now_ms);
void mdns_services_failed(struct mdns_services *s, const struct mdns_key *key, uint64_t now_ms);

/* One of ours that is to be told of now, and next after MDNS_TELL_MS; NULL when there is none. */
const struct mdns_service *mdns_services_due(struct mdns_services *s, uint64_t now_ms);
/* Milliseconds until one is to be looked into or told of; UINT64_MAX: not before something comes. */
uint64_t mdns_services_wait_ms(const struct mdns_services *s, uint64_t now_ms);

#endif
