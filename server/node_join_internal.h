/* server/node_join_internal.h: what node_join*.c share. */
#ifndef GRID_SERVER_NODE_JOIN_INTERNAL_H
#define GRID_SERVER_NODE_JOIN_INTERNAL_H

#include "server/half_open.h"
#include "server/join_complaint.h"
#include "server/join_exchange.h"
#include "server/join_held.h"
#include "server/join_limit.h"
#include "server/node_certificate.h"
#include "server/node_join.h"
#include "server/node_trust.h"
#include "trust/attempts.h"

enum {
    JOIN_SLOTS = HALF_OPEN_MAX + 4 * JOIN_HELD_MAX, /* with those that have proven nothing, and those that are over and still closing */
    JOIN_SLOTS_SPARE = JOIN_HELD_MAX, /* when fewer are free, who is over is not waited for */
    JOIN_FOUND_MAX = 16,
    JOIN_TARGETS_MAX = OPTIONS_JOIN_MAX + 16 + 2 * JOIN_FOUND_MAX,
    JOIN_SOURCES_MAX = 512,
    JOIN_MEMBER_LIMIT = 10,
    JOIN_MEMBER_WINDOW_MS = 60 * 1000,
    JOIN_MEMBER_ALL_PER_S = 5, /* failed ones of all sources together */
    JOIN_MEMBER_ALL_BURST = 120,
    JOIN_DIAL_LIMIT = 30,
    JOIN_DIAL_FOUND_LIMIT = 15, /* of those, for whom anybody may have named */
    JOIN_DIAL_WINDOW_MS = 3600 * 1000,
    JOIN_ENOUGH_SAID_MS = 60 * 1000,
    JOIN_SETTLE_MS = 5000, /* of peace, until a young grid yields no more; */
    JOIN_SETTLE_TIMES = 6, /* so often longer while a neighbour is in another one */
    JOIN_HOLD_MS = 60 * 1000, /* who asked and heard no answer may be a member already, and issues nothing */
};

/* Somebody to go to. */
struct join_target {
    char address[JOIN_ADDRESS_MAX + 1];
    bool hint; /* named by another node, not by --join */
    bool found; /* by discovery: as those of --join while this node has no place in a grid, and nothing after */
    bool anybodys; /* of those: anybody may have named it; it has guesses of its own */
    bool self; /* it is this node */
    bool given_up; /* of those: another one may have the place */
    bool settled;
    bool differs; /* was found in another grid, which may be about to yield */
    unsigned failures;
    uint64_t due_ms;
    struct addr last; /* where an exchange was had the last time: other addresses of its name go first; size 0: nowhere */
    enum join_complaint complaint; /* the last one about it, */
    char said[TRUST_SENTENCE_MAX]; /* and its clause, so that it is said once */
};

struct join_slot {
    struct join_exchange *exchange; /* NULL: free */
    bool over;
    bool issued;
    struct join_target *target; /* dialled; NULL: it came to us */
    bool anybodys; /* the target was, as it was dialled */
    uint64_t number; /* rising */
    uint8_t source[ATTEMPTS_SOURCE_SIZE];
    char joined[TRUST_NAME_MAX + 1], joined_id[TRUST_ID_SIZE]; /* who was given a certificate */
};

struct node_join {
    struct node *node;
    struct buf plain; /* the password until it is stretched */
    bool wanted, has_password, closing;
    uint8_t password[STRETCH_SIZE];
    struct key *guest_key;
    struct buf guest_certificate;
    struct tls_context *dial_tls;
    struct attempts *answered, *dialled, *dialled_found;
    struct join_limit given; /* certificates to keys that are no member's yet */
    uint64_t enough_said_ms; /* when a line was last written about it; 0: never */
    struct join_slot slots[JOIN_SLOTS];
    struct half_open unproven; /* exchanges of those who came: as with handshakes, whoever holds many makes room for one more */
    struct join_held held; /* those of them that have proven that they know the password */
    struct loop_timer held_timer;
    uint64_t slot_number;
    const struct join_exchange *promised; /* a provisional node's standing */
    uint64_t hold_until_ms;
    struct loop_timer settle;
    bool shared; /* somebody has joined this young grid, or this node has joined it */
    unsigned unsettled; /* times that settling was put off */
    loop_fn closed;
    void *closed_arg;
    /* Dialling, one at a time. */
    struct join_target targets[JOIN_TARGETS_MAX];
    size_t target_count;
    struct join_target *at; /* under way */
    struct race racing; /* places that are dialled at once, until one is reached; empty: `at` alone */
    struct join_config dial_terms;
    const char *dial_hosts[NODE_CERTIFICATE_NAMES_MAX];
    char granted_by[JOIN_ADDRESS_MAX + 1]; /* an issuer, as it was dialled; "" for none */
    struct resolver *resolver;
    struct loop_timer timer;
    struct loop_timer silence; /* until the one under way has to have said something */
    bool limit_said, found_limit_said, self_said, seeds_given;
    bool reached_self; /* the last exchange did */
    bool operators_last; /* whose turn was the last: they take turns */
};

/* Both sides' decisions; the same events for those who come and those who are dialled. */
extern const struct join_exchange_events JOIN_EVENTS;
/* What this node brings to an exchange. `addresses` has TRUST_ADDRESSES_MAX places, for as long as the result. */
struct join_config join_terms(struct node_join *s, const char **addresses);
struct join_slot *join_slot_free(struct node_join *s);
/* To dial as a guest; made when first asked for, NULL without memory. */
struct tls_context *join_dial_tls(struct node_join *s);

/* node_join_dial.c */
int join_dial_open(struct node_join *s);
void join_dial_start(struct node_join *s);
/* Of the places that are dialled at once one has come to nothing; one is reached, with which the exchange goes on. */
void join_dial_unreached(struct node_join *s, const struct addr *place, bool own, const char *why);
void join_dial_reached(struct node_join *s, struct join_slot *slot);
/* An exchange that was dialled has cost no guess. */
void join_dial_give_back(struct node_join *s, const struct join_slot *slot);
/* The exchange with s->at, or the attempt to reach it, is over. */
void join_dial_ended(struct node_join *s, const struct join *j, const char *why);
/* This node has another authority now, or its own is settled: those of --join are looked at anew. */
void join_dial_again(struct node_join *s);
/* True while one of --join's nodes is in another grid, as far as is known. */
bool join_dial_differs(const struct node_join *s);
/* node_join_targets.c: one more, unless it is known or there is no room. Issuers that another node named. */
void join_target_add(struct node_join *s, struct slice address, bool hint, uint64_t due_ms);
void join_dial_hints(struct node_join *s, const struct slice *addresses, size_t count);
/* Ends with join_closed, perhaps inside the call. */
void join_dial_close(struct node_join *s);
/* node_join.c: something of it is gone from the loop. */
void join_closed(struct node_join *s);

#endif
