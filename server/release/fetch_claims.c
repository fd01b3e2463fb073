/* A few rows, gone through. */
#include "server/release/fetch_claims.h"

#include <string.h>

static unsigned place_of(const struct fetch_claims *c, const char *node)
{
    unsigned i = 0;
    while (i < FETCH_CLAIMS_MAX && strcmp(c->claims[i].node, node) != 0)
        i++;
    return i;
}

void fetch_claims_take(struct fetch_claims *c, const struct fetch_claim *claim)
{
    unsigned at = place_of(c, claim->node);
    if (at == FETCH_CLAIMS_MAX) {
        at = c->next;
        c->next = (c->next + 1) % FETCH_CLAIMS_MAX;
    }
    c->claims[at] = *claim;
}

const struct fetch_claim *fetch_claims_find(const struct fetch_claims *c, const char *node, const struct object_id *root)
{
    unsigned at = place_of(c, node);
    return at < FETCH_CLAIMS_MAX && object_id_equal(&c->claims[at].root, root) ? &c->claims[at] : NULL;
}
