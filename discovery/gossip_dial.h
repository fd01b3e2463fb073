/* discovery/gossip_dial.h: one dial of the membership core: from what a member says of itself to a connection to it. All its addresses are dialled as net/race.h says; who is not the one
 * that was looked for, or nobody to be reached there, is the last resort. The loop's thread. */
#ifndef GRID_DISCOVERY_GOSSIP_DIAL_H
#define GRID_DISCOVERY_GOSSIP_DIAL_H

#include "discovery/members.h"
#include "net/h2_race.h"
#include "net/resolve.h"

struct gossip_dial;

struct gossip_dial_config {
    struct loop *loop;
    struct tls_context *tls;
    struct resolver *resolver;
    const struct members_times *times;
    const struct members_dial *wish; /* copied */
    const char *self;         /* this node's id */
    const struct addr *known; /* where it was reached last; NULL: nowhere */
    bool hidden; /* the member says of itself that others cannot dial it: who is found at its addresses may be anybody */
    bool carry;  /* the carrier (net/carrier.h) is asked for it when no address answers */
};

struct gossip_dial_events {
    struct http_client_events client; /* on_open ends the dial: its pointer is nobody's any more; as after on_lost */
    /* One side does not take the other's certificate; inside, conn_tls_why says more. */
    void (*on_denied)(void *ctx, const struct conn *c);
    void (*on_lost)(void *ctx, enum members_dial_fault fault);
};

/* No event comes inside. `events` is kept. 0 or GRID_ENOMEM. */
int gossip_dial_create(const struct gossip_dial_config *config, const struct gossip_dial_events *events, void *ctx, struct gossip_dial **out);

/* True once somebody's kernel has answered. */
bool gossip_dial_is_connected(const struct gossip_dial *d);

/* Gives up: no event comes any more. */
void gossip_dial_close(struct gossip_dial *d);

#endif
