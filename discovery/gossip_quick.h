/* discovery/gossip_quick.h: Ping, Ack, MemberTable, Probe, Witness, News, ViewDigest and ViewSummary, which are nearly all that a grid says, as bytes and back without the
 * general coder, which looks up each field in a table and takes memory for each message. The bytes are the same. No state. */
#ifndef GRID_DISCOVERY_GOSSIP_QUICK_H
#define GRID_DISCOVERY_GOSSIP_QUICK_H

#include "discovery/gossip_frame.h"

/* True for what gossip_quick_pack packs: also not for News with an observer. */
bool gossip_quick_can(const struct gossip_frame *frame);

/* Appends one of them; of entries their `record`, `state` and `load`. 0, GRID_ELIMIT or GRID_ENOMEM. */
int gossip_quick_pack(const struct gossip_frame *frame, struct buf *out);

/* Reads one into a zeroed `out`; versions and entries are in the arena, the entries' slices point into `bytes`. Of entries `record`, `state` as it was packed and
 * `load` are read, whatever their sizes. False for every other frame, and for one that is not packed as gossip_quick_pack does it (fields unknown, twice or in
 * another order, of a newer version): the general decoder is to judge it, and `out` is as it was. */
bool gossip_quick_unpack(struct slice bytes, struct arena *arena, struct gossip_frame *out);

#endif
