/* discovery/direct_retry.h: when a member that is linked by way of a third is dialled directly once more: the pure core. No sockets, no
 * clock, no randomness but its seed.
 *
 *   linked by way of a third --DIRECT_RETRY_FIRST_MS--> dialled --twice as long, up to DIRECT_RETRY_MAX_MS--> dialled --...
 *
 * The pauses begin anew, with a dial within some seconds, when the member says that it is to be found elsewhere or when this node's own
 * network is another one; and with the first pause when the direct link that came of it has stood at least as long as the last pause.
 * Both ends try, since a way is often open in one direction alone. One dial a second in all. Any one thread at a time; times are
 * monotonic milliseconds. */
#ifndef GRID_DISCOVERY_DIRECT_RETRY_H
#define GRID_DISCOVERY_DIRECT_RETRY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    DIRECT_RETRY_FIRST_MS = 60 * 1000,
    DIRECT_RETRY_MAX_MS = 60 * 60 * 1000,
    DIRECT_RETRY_SOON_MS = 3 * 1000,
    DIRECT_RETRY_AGAIN_MS = 15 * 1000, /* between two dials of one member, whatever changes */
    DIRECT_RETRY_GAP_MS = 1000,
    DIRECT_RETRY_MEMBERS_MAX = 128, /* others are left alone */
};

/* A member that is linked by way of a third now. */
struct direct_retry_member {
    const char *id;  /* text; borrowed for the call */
    uint64_t places; /* a number that follows from where it says that it may be dialled */
};

/* What is known of one. Fields are the core's. */
struct direct_retry_entry {
    char id[65]; /* "": free */
    uint64_t places;
    uint64_t pause_ms, due_ms, dialled_ms;
    bool relayed, named; /* it was linked by way of a third at the last look; it is at this one */
    uint64_t ended_ms;   /* since when it is not */
};

/* Plain memory of the caller's; direct_retry_init first. */
struct direct_retry {
    struct direct_retry_entry entries[DIRECT_RETRY_MEMBERS_MAX];
    uint64_t random;
    uint64_t next_ms; /* nobody before */
};

/* `seed` is for all that is left to chance. */
void direct_retry_init(struct direct_retry *r, uint64_t seed);

/* Of these, all that are linked by way of a third, the one to dial now, which counts as dialled; -1: none. *wait_ms is how long until there
 * may be one (UINT64_MAX: until somebody is linked so). To be asked whenever these, or what they say, may have changed. */
int direct_retry_next(struct direct_retry *r, const struct direct_retry_member *relayed, size_t count, uint64_t now_ms,
                      uint64_t *wait_ms);

/* This node has other addresses, or others see it otherwise, than before. */
void direct_retry_network_changed(struct direct_retry *r, uint64_t now_ms);

#endif
