/* Picks the peers of a fetch. */
#include "server/release/release_peers.h"

#include <stdio.h>
#include <string.h>

#include "discovery/member_reach.h"

static bool take_member(const struct member *m, bool runs_it, struct release_peer *out)
{
    out->address_count = member_dials(m, out->addresses, RELEASE_PEER_ADDRESSES_MAX);
    out->runs_it = runs_it;
    snprintf(out->id, sizeof out->id, "%s", m->id);
    return out->address_count > 0;
}

size_t release_peers_pick(const struct release_members *members, const char *root, size_t draw, struct release_peer out[RELEASE_PEERS_MAX])
{
    size_t others = members->count > 1 ? members->count - 1 : 0, count = 0;
    for (int pass = 0; pass < 2; pass++)
        for (size_t i = 0; i < others && count < RELEASE_PEERS_MAX; i++) {
            const struct member *m = members->at(members->ctx, 1 + (draw % others + i) % others);
            bool runs_it = strcmp(m->release, root) == 0;
            if (runs_it == (pass == 0) && member_routable(m))
                count += take_member(m, runs_it, &out[count]);
        }
    return count;
}
