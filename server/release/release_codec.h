/* server/release/release_codec.h: grid.v1.ReleaseEntry to and from fs/release_log.h's struct; which entries somebody knows, as grid.v1.HistoryRequest. Pure. */
#ifndef GRID_SERVER_RELEASE_RELEASE_CODEC_H
#define GRID_SERVER_RELEASE_RELEASE_CODEC_H

#include "base/arena.h"
#include "fs/release_log.h"

/* Appends the packed entry. 0, GRID_ELIMIT or GRID_ENOMEM. */
int release_entry_pack(const struct release_entry *e, struct buf *out);

/* Reads one; slices live in the arena. The entry has been checked (release_entry_check), its signature not. 0, GRID_EPROTO, GRID_EINVAL or
 * GRID_ELIMIT. */
int release_entry_unpack(struct slice packed, struct arena *arena, struct release_entry *out);

/* Names one entry of the log. */
struct entry_key {
    uint64_t sequence; /* 0: none */
    char publisher[RELEASE_PUBLISHER_MAX + 1];
};

bool entry_key_is(const struct entry_key *key, const struct release_entry *e);
void entry_key_set(struct entry_key *key, const struct release_entry *e);

enum { HISTORY_KNOWN_MAX = 64 };
_Static_assert(RELEASE_KEPT <= HISTORY_KNOWN_MAX, "who asks names all that it keeps");

/* Which entries are not to be told: at most HISTORY_KNOWN_MAX. The first appends: 0, GRID_ELIMIT or GRID_ENOMEM. The second: 0, GRID_EPROTO or GRID_ELIMIT. */
int history_request_pack(const struct entry_key *known, size_t count, struct buf *out);
int history_request_unpack(struct slice packed, struct arena *arena, struct entry_key known[HISTORY_KNOWN_MAX], size_t *count);

#endif
