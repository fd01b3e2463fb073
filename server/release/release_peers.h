/* server/release/release_peers.h: which members a fetch looks at. Pure but for the draw. */
#ifndef GRID_SERVER_RELEASE_RELEASE_PEERS_H
#define GRID_SERVER_RELEASE_RELEASE_PEERS_H

#include "discovery/member.h"
#include "server/release/fetch.h"

/* Members by index; 0 is this node, which is never picked. */
struct release_members {
    const struct member *(*at)(const void *ctx, size_t index);
    const void *ctx;
    size_t count;
};

/* Fills `out` with those that may be called and have an address, those that run the root (hex) first. Where there are more than fit, the list
 * is begun at `draw`, a random number, so that no member is always the one who is left out, or the one who is asked. Returns how many. */
size_t release_peers_pick(const struct release_members *members, const char *root, size_t draw, struct release_peer out[RELEASE_PEERS_MAX]);

#endif
