/* The first word of a member says how it was found; who was only told of, and then found at a place that was named too, was told of. */
#include "server/node_found.h"

#include <string.h>

#include "api/pb.h"
#include "server/node_discover.h"
#include "server/node_reach.h"

/* The names are static: the map holds nothing of its own. */
static const char *source_of(const struct node *n, const struct member *m)
{
    const struct addr *way = ways_of(gossip_ways(n->gossip), m->id);
    char at[ADDR_TEXT_MAX];
    if (!gossip_is_seed(n->gossip, m->id) || !way)
        return m->linked ? "inbound" : "gossip";
    addr_format(way, at);
    const char *source = node_discover_source(n, at);
    return source ? source : "join";
}

void node_found_hear(struct node *n, const struct member *m)
{
    struct slice id = slice_of_str(m->id);
    if (m->local || !n->gossip)
        return;
    if (!n->found && !(n->found = map_create(NULL)))
        return;
    if (map_get(n->found, id))
        return;
    if (map_count(n->found) >= WAYS_MAX)
        map_clear(n->found);
    (void) map_set(n->found, id, (void *) (uintptr_t) source_of(n, m)); /* without memory it is not shown */
}

void node_found_show(const struct node *n, const struct member *m, struct arena *a, Grid__V1__Host *out)
{
    const char *found = n->found ? map_get(n->found, slice_of_str(m->id)) : NULL;
    const struct addr *way = n->gossip ? ways_of(gossip_ways(n->gossip), m->id) : NULL;
    char at[ADDR_TEXT_MAX];
    if (m->local || !n->gossip)
        return;
    out->found = pb_str(found ? found : "");
    out->path = pb_str(node_reach_path(n, m));
    out->rtt_us = gossip_round_trip_us(n->gossip, m->id);
    if (out->rtt_us == 0 && m->linked)
        out->rtt_us = m->rtt_us; /* of a relayed link probes alone tell */
    if (!way)
        return;
    addr_format(way, at);
    const char *text = arena_str(a, slice_of_str(at));
    out->reached_at = pb_str(text ? text : "");
}

void node_found_dispose(struct node *n)
{
    map_destroy(n->found);
    n->found = NULL;
}
