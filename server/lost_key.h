/* server/lost_key.h: when an issuer replaces the authority because somebody who is evicted holds its key: he was handed it by an issuer that had not heard of the eviction yet.
 *
 * Two that replace it at once make two grids, so it is one issuer's turn at a time, that of the smallest id first, and nobody's who reaches no majority of the members that he
 * knows: of two halves of a grid one at most has it. Who is cut off leaves it to an administrator (node_faults.h). No sockets, no clock. One thread at a time. */
#ifndef GRID_SERVER_LOST_KEY_H
#define GRID_SERVER_LOST_KEY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    LOST_KEY_FIRST_MS = 3000, /* of one picture: whoever has replaced it already may be about to tell */
    LOST_KEY_TURN_MS = 10000, /* for each issuer before this one: it may only say that it is one */
    LOST_KEY_STEP_MS = 1000,  /* counts between two looks at most: who was stopped meanwhile has heard nothing in that time */
};

/* What this node sees. */
struct lost_key_view {
    bool lost;            /* somebody evicted was given the key, and the authority still counts */
    bool may;             /* this node holds the key, is not evicted itself, and has heard what the grid has decided */
    size_t before;        /* living issuers whose ids are smaller than this node's */
    size_t living, known; /* members that are reached, and all that have neither left nor been evicted; with this node */
};

/* Zeroed: nothing was seen yet. */
struct lost_key {
    bool waits;
    size_t before; /* as it was when the wait began */
    uint64_t waited_ms, looked_ms;
};

/* Whether this node replaces the authority now. To be asked about twice a second; `now_ms` is monotonic. Begins to wait anew when it is no longer the same node's turn. */
bool lost_key_is_due(struct lost_key *k, const struct lost_key_view *v, uint64_t now_ms);

#endif
