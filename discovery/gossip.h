/* discovery/gossip.h: drives the membership core on the control loop: makes and serves the control links (PeerGossip.Link over HTTP/2 and
 * mutual TLS), feeds the core with what arrives and the time, and carries out what it says. Decides nothing. The loop's thread only. */
#ifndef GRID_DISCOVERY_GOSSIP_H
#define GRID_DISCOVERY_GOSSIP_H

#include "discovery/gossip_turn.h"
#include "discovery/members.h"
#include "discovery/ways.h"
#include "net/grpc_server.h"
#include "net/resolve.h"

struct gossip;

struct gossip_events {
    /* News of a member: every kind of members_event but RELEASE, LEDGER and REFUSED. `member` is borrowed for the call. May call any gossip_* function but
     * gossip_close. */
    void (*on_event)(void *ctx, enum members_event_kind kind, const struct member *member);
    /* A packed ReleaseEntry came from a member: unchecked, and not passed on unless gossip_announce_release is called with it. */
    void (*on_release)(void *ctx, struct slice packed, const struct member *from);
    /* A ledger's pack came from a member: unchecked. Empty: the member's ledger is this node's. */
    void (*on_ledger)(void *ctx, struct slice packed, const struct member *from);
    /* A link was refused, by the other side or by this one, for this reason (a sentence). NULL: only logged. */
    void (*on_refused)(void *ctx, enum gossip_refusal refusal, struct slice reason, bool by_peer);
    /* A connection that was dialled has failed, since one side does not take the other's certificate. `refusal`: what a member has said of this
     * node's. NULL: only logged. */
    void (*on_denied)(void *ctx, const char *address, const char *why, enum tls_refusal refusal);
    /* Nobody was found at a member's only address, or at a seed's ("host:port"). NULL: nobody is told. */
    void (*on_missed)(void *ctx, const char *address, enum members_dial_fault fault);
    /* A linked member asks for a connection on which this node serves (server/node_reverse.h). `at` is where this node dialled it; NULL: it was not dialled by this node. NULL: nobody is
     * given one. */
    void (*on_turn)(void *ctx, const char *peer, enum gossip_plane plane, const struct addr *at);
};

/* How a control link was made, best first. */
enum gossip_path {
    GOSSIP_PATH_DIALLED, /* by this node */
    GOSSIP_PATH_TAKEN,   /* by the other */
    GOSSIP_PATH_RELAYED, /* by way of a third */
    GOSSIP_PATH_NONE,
};

struct gossip_config {
    struct loop *loop;
    struct tls_context *tls;   /* of this node; referenced. May be empty, and filled later */
    const char *authority;     /* hex id of the grid's authority; "" before there is one */
    const char *grid;
    const struct member *self; /* copied */
    const char *const *seeds;  /* "host:port", numeric or names; copied */
    size_t seed_count;
    const struct members_times *times; /* a profile; kept. NULL: MEMBERS_LAN */
    const struct gossip_events *events; /* kept */
    /* See members.h; `peer` is the id of the node that sent the record. Either may be NULL. */
    bool (*admit)(void *ctx, const char *peer, const struct gossip_entry *entry);
    int (*seal)(void *ctx, struct slice record, struct buf *sealed);
    void *ctx;
};

/* Begins dialling at the end of the loop's iteration. 0, GRID_EINVAL (self), GRID_ENOMEM, GRID_EIO. */
int gossip_create(const struct gossip_config *config, struct gossip **out);

/* Ends all links without a word and frees it; `on_closed` comes when its memory is gone. Calls of the service end by it too. */
void gossip_close(struct gossip *g, loop_fn on_closed, void *arg);

/* PeerGossip, for the grpc_server that serves peers on this same loop. Lives as long as g; add it before serving. */
const struct grpc_service *gossip_service(struct gossip *g);

/* See members.h. gossip_cut ends, at once, the links whose peer `refuses` names. */
void gossip_set_authorities(struct gossip *g, const char *const *authorities, size_t count, const char *grid);
int gossip_set_ledger(struct gossip *g, struct slice digest, struct slice packed);
int gossip_evict(struct gossip *g, const char *id);
void gossip_cut(struct gossip *g, bool (*refuses)(const void *arg, const struct tls_peer *peer), const void *arg);

/* One more node to dial ("host:port", copied), or one that is known to be dialled anew, in delay_ms. 0, GRID_ELIMIT, GRID_ENOMEM. */
int gossip_add_seed(struct gossip *g, const char *address, uint64_t delay_ms);

/* See members.h. */
void gossip_remove_seed(struct gossip *g, const char *address);
enum members_seed_state gossip_seed_look(const struct gossip *g, const char *address, unsigned *failures);

/* Whether this member was found by dialling one of the seeds: it is one that this node was told of, not one that has come. */
bool gossip_is_seed(const struct gossip *g, const char *id);
/* As members_next_seed. */
const char *gossip_next_seed(const struct gossip *g, const char *id, size_t *at);

/* This node's record changed (all but id and incarnation are taken). 0, GRID_EINVAL, GRID_ELIMIT, GRID_ENOMEM. */
int gossip_update_self(struct gossip *g, const struct member *self);
/* What `seal` gives has changed. Errors of members_reseal. */
int gossip_reseal(struct gossip *g);
/* What acknowledgements carry, quantized; cheap. */
void gossip_update_load(struct gossip *g, uint32_t in_flight, uint32_t queued, uint32_t cpu_percent);

/* Tells every member, now and when it links, of the newest release entry (packed). 0, GRID_ELIMIT, GRID_ENOMEM. */
int gossip_announce_release(struct gossip *g, struct slice packed);

/* The best link to a member; `at` (may be NULL) is filled with the address that was dialled for GOSSIP_PATH_DIALLED. */
enum gossip_path gossip_path(const struct gossip *g, const char *id, struct addr *at);
/* Where to dial a member, for who tries one address alone: where this node has dialled its link, else what member_dial says. False: there is none. */
bool gossip_where(const struct gossip *g, const struct member *m, struct addr *out);
/* The round trip of the best link to a member, microseconds; 0 when it is not known. */
uint32_t gossip_round_trip_us(const struct gossip *g, const char *id);
/* Where members were reached; as long as g. */
const struct ways *gossip_ways(const struct gossip *g);
/* Asks a member that has dialled this node for a connection on which it serves. 0, GRID_ENOENT (there is no such link), GRID_ENOMEM. */
int gossip_turn(struct gossip *g, const char *id, enum gossip_plane plane);
/* Dials a member that is linked by way of a third, at its addresses: a link that comes of it takes the place of that one. When none does nothing has happened. 0, GRID_ENOENT (it is not linked
 * so), GRID_EEXIST (it is being dialled), GRID_ENOMEM. */
int gossip_dial_direct(struct gossip *g, const char *id);
/* Whether this node is believed not to be dialled by others: then members that say the same of themselves are dialled by the loop's carrier when their addresses do not answer. */
void gossip_set_unreachable(struct gossip *g, bool unreachable);

/* Says goodbye to all linked members; `done` comes when that is written, or after a second. Then gossip_close. */
void gossip_leave(struct gossip *g, loop_fn done, void *arg);

/* The view and the counters; see members.h. Lives until the loop's next callback. */
const struct members *gossip_members(const struct gossip *g);

#endif
