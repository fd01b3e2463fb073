/* server/handshake_gate.h: whose TLS handshake at the peers' port begins, and when. A handshake costs about a millisecond of a processor, whoever asks for it. So strangers
 * have so many a second in all, and each of their sources a few; who must wait does so without any of his bytes being read, and those who have come least go first. A
 * source that is a member's, or from which somebody has shown a certificate of the grid, has a rate of its own, which strangers cannot use up.
 *
 *   come -> its turn: begins | no room, or waited too long: to be closed
 *
 * Rates follow from one number R a second: strangers in all R, with bursts of 2 R; a strange source R / 100, with bursts of R / 2; a known source R, with bursts of 4 R.
 * Each source's is the generic cell rate algorithm (ITU-T I.371), a token bucket kept as one moment. No sockets; time is given, monotonic. One thread. */
#ifndef GRID_SERVER_HANDSHAKE_GATE_H
#define GRID_SERVER_HANDSHAKE_GATE_H

#include "net/addr.h"

struct handshake_gate;

enum {
    HANDSHAKE_GATE_WAITING_MAX = 128,
    HANDSHAKE_GATE_SOURCES_MAX = 1024, /* remembered: for one more, who has come least is forgotten, strangers first */
    HANDSHAKE_GATE_WAIT_MS = 3000,     /* less than the five seconds that who dials has for all of it */
    HANDSHAKE_GATE_KNOWN_MS = 600000,  /* a source stays known after its last certificate */
    HANDSHAKE_GATE_BURST_MIN = 8,      /* of any rate, however small */
};

/* `per_s` is R, at least 1. 0, GRID_EINVAL or GRID_ENOMEM. */
int handshake_gate_create(unsigned per_s, struct handshake_gate **out);
/* Descriptors that still wait are the caller's: handshake_gate_take them first. */
void handshake_gate_destroy(struct handshake_gate *g);

/* A connection has come; it waits at first. `member`: its source is known to be one's. -1, or a descriptor to be closed for want of room, which no longer waits: that of the
 * source that has come most, perhaps the new one. */
int handshake_gate_come(struct handshake_gate *g, int fd, const struct addr *from, bool member, uint64_t now_ms);

/* One of those who wait: true with *fd, which came *from, whose handshake begins now (*begins), or which has waited too long and is to be closed; it no longer waits. False when it is
 * nobody's turn. */
bool handshake_gate_next(struct handshake_gate *g, uint64_t now_ms, int *fd, struct addr *from, bool *begins);
/* Milliseconds until handshake_gate_next may say true; UINT64_MAX when nobody waits. */
uint64_t handshake_gate_wait_ms(struct handshake_gate *g, uint64_t now_ms);

/* Somebody there has shown a certificate of the grid. */
void handshake_gate_know(struct handshake_gate *g, const struct addr *from, uint64_t now_ms);

/* Takes out any descriptor that waits; -1 when none does. */
int handshake_gate_take(struct handshake_gate *g);

#endif
