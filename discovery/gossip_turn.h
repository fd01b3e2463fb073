/* discovery/gossip_turn.h: the frame by which a member that cannot dial another asks it for a connection (grid.v1.Turn), read beside the membership core, which has
 * nothing to do with it. No sockets, no clock, no state. */
#ifndef GRID_DISCOVERY_GOSSIP_TURN_H
#define GRID_DISCOVERY_GOSSIP_TURN_H

#include <stdbool.h>

#include "base/buf.h"

/* What is to be served on the connection. */
enum gossip_plane { GOSSIP_PLANE_CALLS, GOSSIP_PLANE_CONTROL };

/* Appends a packed GossipFrame. 0 or GRID_ENOMEM. */
int gossip_turn_pack(enum gossip_plane plane, struct buf *out);

/* True for a GossipFrame that is such a one as gossip_turn_pack makes it. */
bool gossip_turn_unpack(struct slice frame, enum gossip_plane *plane);

#endif
