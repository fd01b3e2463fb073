/* Searches: lookups under way, and what follows from them. */
#include "discovery/dht_internal.h"

bool dht_may_follow(const struct dht_endpoint *teller, const struct dht_endpoint *at)
{
    enum dht_scope scope = dht_endpoint_scope(at);
    return scope != DHT_SCOPE_NONE && scope >= dht_endpoint_scope(teller);
}

bool dht_search_runs(const struct dht *d, enum dht_purpose purpose, unsigned family)
{
    for (size_t i = 0; i < DHT_SEARCHES_MAX; i++)
        if (d->searches[i].active && d->searches[i].purpose == purpose && d->searches[i].family == family)
            return true;
    return false;
}

static bool ask_in_search(struct dht *d, struct dht_search *s, const struct krpc_node *node, bool knows_id, uint64_t now_ms)
{
    struct krpc m = {.method = s->purpose == DHT_FINDING ? KRPC_GET_PEERS : KRPC_FIND_NODE, .target = s->lookup.target};
    if (d->sides[0].enabled && d->sides[1].enabled)
        m.want = KRPC_WANT_V4 | KRPC_WANT_V6;
    return dht_ask(d, node, knows_id, &m, s, now_ms);
}

/* What others have announced to this very node: it is as good as anybody's to ask. */
static void look_in_own_store(struct dht *d, const struct dht_search *s)
{
    struct dht_endpoint at[KRPC_VALUES_MAX];
    size_t count = dht_peers_sample(&d->peers, &s->lookup.target, s->family, KRPC_VALUES_MAX, &d->random, at);
    for (size_t i = 0; i < count; i++)
        dht_found_offer(&d->found, &at[i], &at[i], &d->random);
}

/* With few nodes known the routers are asked as well. */
static void ask_routers(struct dht *d, struct dht_search *s, uint64_t now_ms)
{
    for (size_t i = 0; i < d->router_count; i++) {
        struct krpc_node router = {.at = d->routers[i]};
        if (dht_endpoint_family(&router.at) == s->family)
            s->routers_out += ask_in_search(d, s, &router, false, now_ms);
    }
}

struct dht_search *dht_search_begin(struct dht *d, enum dht_purpose purpose, unsigned family, const struct dht_id *target, uint64_t now_ms)
{
    struct krpc_node nearest[KRPC_NODES_MAX];
    struct dht_search *s = d->searches;
    while (s < d->searches + DHT_SEARCHES_MAX && s->active)
        s++;
    if (s == d->searches + DHT_SEARCHES_MAX)
        return NULL;
    s->active = true;
    s->purpose = purpose;
    s->family = family;
    s->announces = false;
    s->routers_out = 0;
    dht_lookup_init(&s->lookup, target);
    const struct dht_table *t = &d->sides[family].table;
    bool few = dht_table_count(t) < DHT_NODES_FEW; /* or the network was away, and all are taken to be dead */
    size_t count = dht_table_closest(t, target, few ? UINT8_MAX : 0, KRPC_NODES_MAX, nearest);
    for (size_t i = 0; i < count; i++)
        if (purpose == DHT_FINDING)
            dht_lookup_add_known(&s->lookup, &nearest[i]);
        else
            dht_lookup_add(&s->lookup, &nearest[i]);
    if (few)
        ask_routers(d, s, now_ms);
    if (purpose == DHT_FINDING)
        look_in_own_store(d, s);
    d->counts.searches++;
    return s;
}

/* Nodes of the other network are of use only while few are known there. */
static void meet_other_side(struct dht *d, const struct krpc_node *node, uint64_t now_ms)
{
    struct dht_side *side = &d->sides[dht_endpoint_family(&node->at)];
    if (!side->enabled || now_ms < side->ping_ms || dht_table_count(&side->table) >= DHT_NODES_FEW)
        return;
    side->ping_ms = now_ms + DHT_PING_EVERY_FEW_MS;
    dht_ping(d, node, true, now_ms);
}

static void take_nodes(struct dht *d, struct dht_search *s, const struct dht_endpoint *teller, const struct krpc *m, uint64_t now_ms)
{
    for (size_t i = 0; i < m->node_count; i++) {
        const struct krpc_node *node = &m->nodes[i];
        unsigned family = dht_endpoint_family(&node->at);
        if (!dht_may_follow(teller, &node->at) || dht_id_equal(&node->id, &d->sides[family].table.own))
            continue;
        if (family == s->family)
            dht_lookup_add(&s->lookup, node);
        else
            meet_other_side(d, node, now_ms);
    }
}

void dht_search_heard(struct dht *d, struct dht_search *s, const struct dht_query *q, const struct krpc *m, uint64_t now_ms)
{
    if (!q->knows_id)
        s->routers_out--;
    if (!m) {
        dht_lookup_failed(&s->lookup, &q->to);
        return;
    }
    struct krpc_node who = {m->id, q->to};
    if (!q->knows_id)
        dht_lookup_add(&s->lookup, &who); /* as any other node, under its own id now */
    else
        dht_lookup_answered(&s->lookup, &who, m->token);
    take_nodes(d, s, &q->to, m, now_ms);
    if (s->purpose == DHT_FINDING)
        for (size_t i = 0; i < m->value_count; i++)
            dht_found_offer(&d->found, &q->to, &m->values[i], &d->random);
}

/* Tells the eight nearest that gave a token where this node's peers' port is. */
static void announce(struct dht *d, const struct dht_search *s, uint64_t now_ms)
{
    const struct dht_candidate *nearest[DHT_LOOKUP_NEAREST];
    size_t count = dht_lookup_nearest(&s->lookup, nearest);
    for (size_t i = 0; i < count; i++) {
        struct krpc m = {.method = KRPC_ANNOUNCE_PEER, .target = s->lookup.target, .port = d->peer_port};
        m.token = slice_of(nearest[i]->token, nearest[i]->token_size);
        if (m.token.size > 0)
            dht_ask(d, &nearest[i]->node, true, &m, NULL, now_ms);
    }
}

static void end_search(struct dht *d, struct dht_search *s, uint64_t now_ms)
{
    s->active = false;
    for (size_t i = 0; i < DHT_QUERIES_MAX; i++) /* stragglers must not answer the next search in this place */
        if (d->queries[i].search == s)
            d->queries[i].search = NULL;
    if (s->announces && d->peer_port != 0)
        announce(d, s, now_ms);
    dht_search_ended(d, s, now_ms);
}

void dht_search_run(struct dht *d, uint64_t now_ms)
{
    for (size_t i = 0; i < DHT_SEARCHES_MAX; i++) {
        struct dht_search *s = &d->searches[i];
        const struct krpc_node *node;
        while (s->active && (node = dht_lookup_next(&s->lookup, now_ms)))
            if (!ask_in_search(d, s, node, true, now_ms))
                dht_lookup_failed(&s->lookup, &node->at);
        if (s->active && s->routers_out == 0 && dht_lookup_done(&s->lookup, now_ms))
            end_search(d, s, now_ms);
    }
}
