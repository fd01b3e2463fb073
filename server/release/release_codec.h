/* server/release/release_codec.h: grid.v1.ReleaseEntry to and from fs/release_log.h's struct. Pure. */
#ifndef GRID_SERVER_RELEASE_RELEASE_CODEC_H
#define GRID_SERVER_RELEASE_RELEASE_CODEC_H

#include "base/arena.h"
#include "fs/release_log.h"

/* Appends the packed entry. 0, GRID_ELIMIT or GRID_ENOMEM. */
int release_entry_pack(const struct release_entry *e, struct buf *out);

/* Reads one; slices live in the arena. The entry has been checked (release_entry_check), its signature not. 0, GRID_EPROTO, GRID_EINVAL or
 * GRID_ELIMIT. */
int release_entry_unpack(struct slice packed, struct arena *arena, struct release_entry *out);

#endif
