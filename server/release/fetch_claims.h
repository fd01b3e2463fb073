/* server/release/fetch_claims.h: how far other nodes say they are with fetching a release, as their requests for objects tell on the way. Pure; any one thread. */
#ifndef GRID_SERVER_RELEASE_FETCH_CLAIMS_H
#define GRID_SERVER_RELEASE_FETCH_CLAIMS_H

#include <stdbool.h>

#include "fs/hash.h"

enum { FETCH_CLAIMS_MAX = 64, FETCH_CLAIM_ID_SIZE = 65 };

struct fetch_claim {
    char node[FETCH_CLAIM_ID_SIZE]; /* hex id; "": a free place */
    struct object_id root;
    uint64_t fetched_bytes; /* contents that it got */
    uint64_t wanted_bytes;  /* and those still to come, as far as it knows by then */
};

/* Zeroed at first. */
struct fetch_claims {
    struct fetch_claim claims[FETCH_CLAIMS_MAX];
    unsigned next; /* whose place is taken when there is none */
};

/* Takes the place of what the same node said before. */
void fetch_claims_take(struct fetch_claims *c, const struct fetch_claim *claim);
/* What the node said last, if it was of that release; else NULL. Until the next fetch_claims_take. */
const struct fetch_claim *fetch_claims_find(const struct fetch_claims *c, const char *node, const struct object_id *root);

#endif
