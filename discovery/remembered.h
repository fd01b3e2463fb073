/* discovery/remembered.h: members that were here, and where they lived, so that the next start finds them by itself: a table, what is kept in it, and its bytes
 * (docs/formats/peers.md). What comes of it are hints: whoever answers there must pass the certificate check. No files, no clock. Any one thread at a time. */
#ifndef GRID_DISCOVERY_REMEMBERED_H
#define GRID_DISCOVERY_REMEMBERED_H

#include "base/buf.h"
#include "discovery/hints.h"
#include "discovery/member.h"

enum {
    REMEMBERED_MAX = 64,
    REMEMBERED_ADDRESSES_MAX = 4,
    REMEMBERED_LASTS_S = 30 * 24 * 3600, /* who was away for so long is forgotten */
    REMEMBERED_YIELDS_S = 3600,          /* who was away for so long makes room */
    REMEMBERED_RENEW_S = 24 * 3600,      /* so old a time is written anew, though nothing else has changed */
    REMEMBERED_SIZE_MAX = 1024 + REMEMBERED_MAX * (MEMBER_ID_BYTES + 9 + REMEMBERED_ADDRESSES_MAX * (HINT_ADDRESS_MAX + 1)),
};

struct remembered_peer {
    char id[MEMBER_ID_SIZE];
    int64_t seen_s; /* Unix time when it was here last */
    char addresses[REMEMBERED_ADDRESSES_MAX][HINT_ADDRESS_MAX + 1]; /* "host:port", best first */
    size_t address_count; /* at least 1 */
};

struct remembered {
    char grid[MEMBER_NAME_MAX + 1];
    char authority[MEMBER_ID_SIZE]; /* hex id of the grid's authority, "" in an open grid */
    struct remembered_peer peers[REMEMBERED_MAX];
    size_t count;
};

/* A member is here at now_s and lives at these addresses; those that are longer than a hint may be are left out. When all places are taken, the one that was away longest makes room, if it was away for
 * REMEMBERED_YIELDS_S. True when this is worth writing: it is new, or lives elsewhere, or was last said to be here REMEMBERED_RENEW_S ago. */
bool remembered_see(struct remembered *r, const char *id, const char *const *addresses, size_t count, int64_t now_s);

/* True when it was there. */
bool remembered_forget(struct remembered *r, const char *id);

/* Forgets whom nobody has seen for REMEMBERED_LASTS_S. True when there were any. */
bool remembered_age(struct remembered *r, int64_t now_s);

/* Appends the bytes. 0, GRID_ELIMIT or GRID_ENOMEM. */
int remembered_pack(const struct remembered *r, struct buf *out);

/* 0, GRID_EUNSUPPORTED for another version, GRID_ECORRUPT for anything that is not whole and right; `out` is empty then. */
int remembered_unpack(struct slice in, struct remembered *out);

#endif
