/* trust/cpace.h: CPace, a balanced PAKE: two who know the same password end with the same key, and who does not may try one
 * password for each exchange and learns nothing to try others with. Suite CPACE-RISTR255-SHA512 of draft-irtf-cfrg-cpace-21
 * (B.3's vectors are the same from version 13 on), initiator and responder, explicit key confirmation as in its section 10.4. No
 * sockets, no clock; randomness is given. One thread each. */
#ifndef GRID_TRUST_CPACE_H
#define GRID_TRUST_CPACE_H

#include "base/slice.h"

enum { CPACE_SHARE_SIZE = 32, CPACE_SEED_SIZE = 64, CPACE_KEY_SIZE = 64, CPACE_TAG_SIZE = 64 };

/* What both sides must see the same way; borrowed for the call. */
struct cpace_inputs {
    struct slice password;  /* PRS: stretched already */
    struct slice channel;   /* CI: who talks to whom, and where */
    struct slice session;   /* sid: fresh for each exchange */
    struct slice initiator; /* ADa and ADb: they must differ, so that a message sent back is not taken for the other side's */
    struct slice responder;
};

/* One side of one exchange. Holds secrets: cpace_dispose wipes it. */
struct cpace {
    uint8_t scalar[32];
    uint8_t share[CPACE_SHARE_SIZE]; /* to be sent */
    bool initiator;
};

/* What an exchange ends with: the key, the tag to send, and the tag that the other side must send. */
struct cpace_result {
    uint8_t key[CPACE_KEY_SIZE];
    uint8_t own_tag[CPACE_TAG_SIZE];
    uint8_t peer_tag[CPACE_TAG_SIZE];
};

/* `seed` is 64 random bytes, used once. 0, or GRID_ENOMEM when the library cannot be used or the inputs are beyond 64 KiB. */
int cpace_start(struct cpace *c, bool initiator, const struct cpace_inputs *inputs, const uint8_t seed[CPACE_SEED_SIZE]);

/* Takes the other side's share; `inputs` as before. 0; GRID_EPROTO for what is no element, is the neutral one, or is our own
 * share sent back: then nothing may be sent any more. */
int cpace_finish(const struct cpace *c, const struct cpace_inputs *inputs, const uint8_t peer_share[CPACE_SHARE_SIZE],
                 struct cpace_result *out);

/* Compares in constant time. */
bool cpace_tag_matches(const struct cpace_result *r, struct slice tag);

void cpace_dispose(struct cpace *c);

#endif
