/* discovery/reachability.h: whether others can dial this node, and what it looks like from there: the pure core. No sockets, no clock, no threads.
 *
 * Members that this node dials are asked, one network after the other, for the source address that they see and whether a dial back to it was answered (grid.v1.PeerReach).
 * What each network said last is its vote, and what one member said last is one vote, wherever it has said it. Any member may lie. How far away it is, is not for it to
 * say: that is told by where this node has dialled it. Each of four rings is judged by itself:
 *
 *   neighbours   in a network of this node's own; each host is a network here. They count only where no other has said anything
 *   private      elsewhere at a private address, as behind another of a firm's routers
 *   v4, v6       the internet, by either of its protocols, which gateways treat in different ways
 *
 * In each ring a lone vote is believed, as there is nobody else to ask; of more, what most say, at least two, and a tie of two against two is a no. One against one leaves what
 * was believed before. This node is unreachable when it is to any ring but the neighbours, since it is they for whom it matters: who is believed unreachable and
 * is not costs a moment, the contrary a link.
 *
 * A no counts when it is said twice in a row. A vote that sees an address of another scope than the one where it was dialled, and none of this node's own, does not count at
 * all: no gateway makes a loopback, link-local or multicast address of one, nor a private one of what has come from the internet or the contrary. (One that did so, as a
 * container's port that is passed on by its host, knows nothing of how this node is reached.)
 *
 * A node whose addresses have changed knows nothing again. Any one thread at a time; times are monotonic milliseconds. */
#ifndef GRID_DISCOVERY_REACHABILITY_H
#define GRID_DISCOVERY_REACHABILITY_H

#include "net/addr.h"

enum { REACHABILITY_VOTES_MAX = 8, REACHABILITY_NEIGHBOURS_MAX = 3 /* of these */, REACHABILITY_OWN_MAX = 16, REACHABILITY_NETWORK_SIZE = 16 };

enum reachability_state { REACHABILITY_UNKNOWN, REACHABILITY_REACHABLE, REACHABILITY_UNREACHABLE };
enum reachability_ring { REACHABILITY_NEIGHBOURS, REACHABILITY_PRIVATE, REACHABILITY_V4, REACHABILITY_V6, REACHABILITY_RINGS };

/* A member that can be asked, and where this node has dialled it. */
struct reachability_witness {
    char id[65];
    struct addr at;
};

/* What one network has said last. Fields are the core's. */
struct reachability_vote {
    uint8_t network[REACHABILITY_NETWORK_SIZE];
    enum reachability_ring ring;
    char id[65]; /* who has said it */
    struct addr seen;
    bool reached, answered, counts; /* answered: what is above is its word */
    bool doubted; /* it has said no for the first time: packets may have been lost */
    uint64_t asked_ms;
};

/* What is believed of one ring. */
struct reachability_word {
    enum reachability_state state;
    struct addr seen; /* size 0: no address is agreed on */
};

/* Zeroed at first; plain memory of the caller's. */
struct reachability {
    struct reachability_vote votes[REACHABILITY_VOTES_MAX];
    size_t vote_count;
    struct reachability_word words[REACHABILITY_RINGS];
    struct addr own[REACHABILITY_OWN_MAX];
    size_t own_count;
    uint64_t asked_ms; /* anybody, last */
};

/* This node's own addresses; ports do not matter. When they are others than before all votes are forgotten: true. More than REACHABILITY_OWN_MAX are left out. */
bool reachability_set_own(struct reachability *r, const struct addr *own, size_t count);

/* Which of these members to ask now: one of a network that was never asked, else one whose word is older than a while: 1 min where it is no, 10 min where it is
 * yes, 15 s where there was none, at once where a no is to be said again; none within a quarter of a second of the last question. Notes that it is asked. -1: nobody. */
int reachability_ask(struct reachability *r, const struct reachability_witness *who, size_t count, uint64_t now_ms);

/* The one asked has answered. */
void reachability_answer(struct reachability *r, const struct reachability_witness *who, const struct addr *seen, bool reached);

enum reachability_state reachability_state(const struct reachability *r);

/* The address that the farthest ring that has said anything agrees on, of the internet's IPv4 first: two networks of it, or the only one; of those that say what is believed of the
 * ring. NULL: none. As long as r is not changed. */
const struct addr *reachability_seen(const struct reachability *r);

const char *reachability_state_name(enum reachability_state state);

#endif
