/* server/release/have_codec.h: grid.v1.HaveRequest and HaveState to and from plain structs. Pure. */
#ifndef GRID_SERVER_RELEASE_HAVE_CODEC_H
#define GRID_SERVER_RELEASE_HAVE_CODEC_H

#include "base/arena.h"
#include "base/buf.h"
#include "fs/hash.h"

/* What there is of the release `root`, numbered beside `beside` if there is one. */
struct have_request {
    struct object_id root, beside;
    bool has_beside;
};

/* Whole, maybe, or what is there by number and by bits. */
struct have_state {
    bool whole, maybe;
    const uint32_t *had; /* each below SYNC_OBJECTS_MAX */
    size_t had_count;
    struct slice bits; /* of at most SYNC_OBJECTS_MAX numbers */
};

/* Both append. 0, GRID_ELIMIT or GRID_ENOMEM. */
int have_request_pack(const struct have_request *r, struct buf *out);
int have_state_pack(const struct have_state *s, struct buf *out);

/* 0, GRID_EPROTO, or GRID_ELIMIT for numbers that no release has. What is not copied lives in the arena. */
int have_request_unpack(struct slice packed, struct arena *arena, struct have_request *out);
int have_state_unpack(struct slice packed, struct arena *arena, struct have_state *out);

#endif
