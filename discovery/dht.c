/* The DHT's node: its life, and when it does what. */
#include "discovery/dht.h"

#include <stdlib.h>

#include "base/err.h"
#include "discovery/dht_internal.h"
#include "discovery/dht_saved.h"

int dht_create(const struct dht_config *config, uint64_t now_ms, struct dht **out)
{
    struct dht *d = calloc(1, sizeof *d);
    int err = d ? 0 : GRID_ENOMEM;
    if (!d)
        return err;
    dht_random_init(&d->random, config->seed);
    for (size_t f = 0; f < DHT_FAMILIES && err == 0; f++) {
        struct dht_id own;
        struct dht_side *side = &d->sides[f];
        dht_random_fill(&d->random, own.bytes, DHT_ID_SIZE);
        err = dht_table_init(&side->table, &own, now_ms);
        side->enabled = config->families[f];
        side->join_ms = side->find_ms = now_ms;
        side->join_wait_ms = DHT_JOIN_FIRST_MS;
        side->find_wait_ms = DHT_LONELY_FIRST_MS;
    }
    d->lonely = true;
    d->hears_loopback = config->loopback;
    dht_tokens_init(&d->tokens, &d->random, now_ms);
    dht_limit_init(&d->limit, &d->random, now_ms);
    dht_found_init(&d->found, &d->random, now_ms);
    *out = d;
    if (err != 0) {
        dht_destroy(d);
        *out = NULL;
    }
    return err;
}

void dht_destroy(struct dht *d)
{
    if (!d)
        return;
    for (size_t f = 0; f < DHT_FAMILIES; f++)
        dht_table_dispose(&d->sides[f].table);
    free(d);
}

int dht_restore(struct dht *d, struct slice saved, uint64_t now_ms)
{
    struct dht_saved *s = malloc(sizeof *s);
    int err = s ? dht_saved_unpack(saved, s) : GRID_ENOMEM;
    for (size_t f = 0; f < DHT_FAMILIES && err == 0; f++)
        err = dht_table_move(&d->sides[f].table, &s->own[f], now_ms);
    for (size_t i = 0; err == 0 && i < s->count; i++) {
        struct dht_side *side = &d->sides[dht_endpoint_family(&s->nodes[i].at)];
        if (side->enabled)
            dht_table_remembered(&side->table, &s->nodes[i].id, &s->nodes[i].at);
    }
    free(s);
    return err;
}

int dht_save(const struct dht *d, struct buf *out)
{
    struct dht_saved *s = malloc(sizeof *s);
    if (!s)
        return GRID_ENOMEM;
    s->count = 0;
    for (size_t f = 0; f < DHT_FAMILIES; f++) {
        const struct dht_table *t = &d->sides[f].table;
        size_t next = 0, most = DHT_SAVED_NODES_MAX / DHT_FAMILIES * (f + 1);
        s->own[f] = t->own;
        for (const struct dht_node *n; s->count < most && (n = dht_table_next(t, &next));)
            if (n->failures == 0)
                s->nodes[s->count++] = (struct krpc_node){n->id, n->at};
    }
    int err = dht_saved_pack(s, out);
    free(s);
    return err;
}

void dht_add_router(struct dht *d, const struct dht_endpoint *at)
{
    for (size_t i = 0; i < d->router_count; i++)
        if (dht_endpoint_equal(&d->routers[i], at))
            return;
    if (d->router_count == DHT_ROUTERS_MAX)
        memmove(d->routers, d->routers + 1, --d->router_count * sizeof d->routers[0]);
    d->routers[d->router_count++] = *at;
    d->hears_loopback |= dht_endpoint_scope(at) == DHT_SCOPE_LOOPBACK;
    struct dht_side *side = &d->sides[dht_endpoint_family(at)];
    if (dht_table_count(&side->table) < DHT_NODES_FEW) {
        side->join_ms = 0;
        side->join_wait_ms = DHT_JOIN_FIRST_MS;
    }
}

static void make_tags(struct dht *d, int64_t day)
{
    static const int64_t offsets[DHT_TAGS] = {0, -1, 1};
    d->day = day;
    for (size_t i = 0; i < DHT_TAGS; i++)
        dht_id_tag(slice_of(d->name, d->name_size), day + offsets[i], &d->tags[i]);
}

static void find_at_once(struct dht *d, uint64_t now_ms)
{
    for (size_t f = 0; f < DHT_FAMILIES; f++) {
        d->sides[f].find_ms = now_ms;
        d->sides[f].find_wait_ms = DHT_LONELY_FIRST_MS;
    }
}

int dht_look_for(struct dht *d, struct slice grid, uint16_t peer_port, uint64_t now_ms)
{
    if (grid.size > DHT_NAME_MAX)
        return GRID_ELIMIT;
    if (grid.size > 0)
        memcpy(d->name, grid.data, grid.size);
    d->name_size = grid.size;
    d->peer_port = peer_port;
    make_tags(d, d->day);
    find_at_once(d, now_ms);
    return 0;
}

void dht_set_lonely(struct dht *d, bool lonely, uint64_t now_ms)
{
    if (lonely && !d->lonely)
        find_at_once(d, now_ms);
    d->lonely = lonely;
}

/* Before a byte of it is looked at: what a flood costs is decided here. */
static bool is_read(struct dht *d, const struct dht_endpoint *from, bool asked, uint64_t now_ms)
{
    enum dht_scope scope = dht_endpoint_scope(from);
    if (scope == DHT_SCOPE_NONE || (scope == DHT_SCOPE_LOOPBACK && !d->hears_loopback))
        return false;
    return asked ? dht_limit_asked(&d->limit, now_ms) : dht_limit_stranger(&d->limit, from, now_ms);
}

bool dht_receive(struct dht *d, const struct dht_endpoint *from, struct slice in, uint64_t now_ms)
{
    struct krpc m;
    bool asked = dht_waits_for(d, from);
    d->counts.received++;
    if (!is_read(d, from, asked, now_ms)) {
        d->counts.dropped++;
        return false;
    }
    if (krpc_unpack(in, &m) != 0) {
        d->counts.malformed++;
        return false;
    }
    if (m.kind != KRPC_QUERY)
        dht_take_answer(d, from, &m, now_ms);
    else if (!asked || dht_limit_stranger(&d->limit, from, now_ms)) /* who is asked may ask, but no more than others */
        dht_answer(d, from, &m, now_ms);
    else
        d->counts.refused++;
    return true;
}

/* Looks for the own id, which fills the table, while few nodes are known or the id is new. */
static void join_when_due(struct dht *d, unsigned family, uint64_t now_ms)
{
    struct dht_side *side = &d->sides[family];
    if (now_ms < side->join_ms || dht_search_runs(d, DHT_JOINING, family))
        return;
    if (!dht_search_begin(d, DHT_JOINING, family, &side->table.own, now_ms))
        return;
    side->join_ms = now_ms + side->join_wait_ms;
    side->join_wait_ms = side->join_wait_ms * 2 < DHT_JOIN_MOST_MS ? side->join_wait_ms * 2 : DHT_JOIN_MOST_MS;
}

static void refresh_when_due(struct dht *d, unsigned family, uint64_t now_ms)
{
    struct dht_side *side = &d->sides[family];
    struct dht_id target;
    if (now_ms < side->refresh_ms || dht_table_count(&side->table) == 0 || !dht_table_refresh(&side->table, &d->random, now_ms, &target))
        return;
    side->refresh_ms = now_ms + DHT_REFRESH_EVERY_MS;
    dht_search_begin(d, DHT_REFRESHING, family, &target, now_ms);
}

/* The time until the next round, give or take a tenth, so that nodes that began together part. */
static uint64_t next_round_ms(struct dht *d, struct dht_side *side)
{
    uint64_t wait = d->lonely ? side->find_wait_ms : DHT_SETTLED_MS;
    side->find_wait_ms = side->find_wait_ms * 2 < DHT_LONELY_MOST_MS ? side->find_wait_ms * 2 : DHT_LONELY_MOST_MS;
    return wait - wait / 10 + dht_random_below(&d->random, (uint32_t) (wait / 5));
}

/* Whether a round may begin: somebody is known, and if these are few, no more of them are about to be. */
static bool may_find(const struct dht *d, unsigned family)
{
    const struct dht_side *side = &d->sides[family];
    size_t known = dht_table_count(&side->table);
    bool idle = !dht_search_runs(d, DHT_FINDING, family);
    return idle && d->name_size > 0 && known > 0 && (known >= DHT_NODES_FEW || !dht_search_runs(d, DHT_JOINING, family));
}

/* A round looks under all tags at once. */
static void find_when_due(struct dht *d, unsigned family, uint64_t now_ms)
{
    struct dht_side *side = &d->sides[family];
    if (now_ms < side->find_ms || !may_find(d, family))
        return;
    side->find_ms = now_ms + next_round_ms(d, side);
    for (unsigned tag = 0; tag < DHT_TAGS; tag++) {
        struct dht_search *s = dht_search_begin(d, DHT_FINDING, family, &d->tags[tag], now_ms);
        if (s)
            s->announces = tag == 0;
    }
}

void dht_search_ended(struct dht *d, struct dht_search *s, uint64_t now_ms)
{
    struct dht_side *side = &d->sides[s->family];
    (void) now_ms;
    if (s->purpose == DHT_JOINING && dht_table_count(&side->table) >= DHT_NODES_FEW) {
        side->join_ms = UINT64_MAX; /* until there are few again */
        side->join_wait_ms = DHT_JOIN_FIRST_MS;
    }
}

static void run_side(struct dht *d, unsigned family, uint64_t now_ms)
{
    struct dht_side *side = &d->sides[family];
    if (!side->enabled)
        return;
    if (side->join_ms == UINT64_MAX && dht_table_count(&side->table) < DHT_NODES_FEW / 2)
        side->join_ms = now_ms;
    join_when_due(d, family, now_ms);
    find_when_due(d, family, now_ms);
    refresh_when_due(d, family, now_ms);
}

static uint64_t earlier(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

static uint64_t next_of_side(const struct dht *d, unsigned family)
{
    const struct dht_side *side = &d->sides[family];
    uint64_t next = UINT64_MAX;
    if (!side->enabled)
        return next;
    if (!dht_search_runs(d, DHT_JOINING, family))
        next = side->join_ms;
    if (may_find(d, family))
        next = earlier(next, side->find_ms);
    return next;
}

/* The earliest moment at which there is something to do. */
static uint64_t next_moment(const struct dht *d, uint64_t now_ms)
{
    uint64_t next = now_ms + DHT_TICK_MAX_MS;
    for (size_t i = 0; i < DHT_QUERIES_MAX; i++)
        if (d->queries[i].used)
            next = earlier(next, d->queries[i].sent_ms + DHT_QUERY_TIMEOUT_MS);
    for (size_t i = 0; i < DHT_SEARCHES_MAX; i++)
        if (d->searches[i].active)
            next = earlier(next, dht_lookup_late_ms(&d->searches[i].lookup, now_ms));
    for (unsigned f = 0; f < DHT_FAMILIES; f++)
        next = earlier(next, next_of_side(d, f));
    return next;
}

uint64_t dht_tick(struct dht *d, uint64_t now_ms, int64_t day)
{
    if (day != d->day)
        make_tags(d, day);
    dht_tokens_rotate(&d->tokens, &d->random, now_ms);
    dht_peers_expire(&d->peers, now_ms);
    dht_expire_queries(d, now_ms);
    for (unsigned f = 0; f < DHT_FAMILIES; f++)
        run_side(d, f, now_ms);
    dht_search_run(d, now_ms);
    uint64_t next = next_moment(d, now_ms);
    return next > now_ms ? next - now_ms : 1;
}

bool dht_next_found(struct dht *d, uint64_t now_ms, struct dht_endpoint *out)
{
    return dht_found_next(&d->found, &d->random, now_ms, out);
}

uint64_t dht_found_in_ms(struct dht *d, uint64_t now_ms)
{
    return dht_found_wait_ms(&d->found, now_ms);
}

void dht_count(const struct dht *d, struct dht_counts *out)
{
    *out = d->counts;
    for (size_t f = 0; f < DHT_FAMILIES; f++) {
        out->nodes[f] = dht_table_count(&d->sides[f].table);
        out->address_known[f] = dht_seen_address(&d->sides[f].seen) != NULL;
    }
    out->peers = d->peers.count;
}
