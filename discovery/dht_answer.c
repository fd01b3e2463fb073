/* Answering: no more than was asked for, no more often than the limits allow. */
#include "discovery/dht_internal.h"

enum {
    NODES_TOLD = 8,
    PEERS_TOLD_V4 = 24, /* about 200 bytes of either family */
    PEERS_TOLD_V6 = 10,
    HASHES_TOLD = 10,
    HASHES_EVERY_S = 6 * 60 * 60
};

static void tell_nodes(struct dht *d, const struct dht_endpoint *from, const struct krpc *query, struct krpc *m)
{
    unsigned own = dht_endpoint_is_v4(from) ? KRPC_WANT_V4 : KRPC_WANT_V6, want = query->want != 0 ? query->want : own;
    m->has_nodes = want & KRPC_WANT_V4 && d->sides[0].enabled;
    m->has_nodes6 = want & KRPC_WANT_V6 && d->sides[1].enabled;
    if (m->has_nodes)
        m->node_count = dht_table_closest(&d->sides[0].table, &query->target, 0, NODES_TOLD, m->nodes);
    if (m->has_nodes6)
        m->node_count += dht_table_closest(&d->sides[1].table, &query->target, 0, NODES_TOLD, m->nodes + m->node_count);
}

static void tell_peers(struct dht *d, const struct dht_endpoint *from, const struct krpc *query, struct krpc *m)
{
    unsigned family = dht_endpoint_family(from);
    m->value_count = dht_peers_sample(&d->peers, &query->target, family, family == 0 ? PEERS_TOLD_V4 : PEERS_TOLD_V6, &d->random, m->values);
    m->has_values = m->value_count > 0;
}

static void fail(struct krpc *m, int64_t code, const char *text)
{
    m->kind = KRPC_ERROR;
    m->error_code = code;
    m->error_text = slice_of_str(text);
}

static void take_announcement(struct dht *d, const struct dht_endpoint *from, const struct krpc *query, struct krpc *m, uint64_t now_ms)
{
    struct dht_endpoint peer = *from;
    if (!dht_token_is_good(&d->tokens, from, query->token)) {
        fail(m, KRPC_ERROR_PROTOCOL, "bad token");
        return;
    }
    if (!query->implied_port)
        peer.port = query->port;
    dht_peers_put(&d->peers, &query->target, &peer, &d->random, now_ms);
}

/* What an answer points to outside of itself. */
struct lent {
    uint8_t token[DHT_TOKEN_SIZE];
    struct dht_id hashes[HASHES_TOLD];
};

static void tell_hashes(struct dht *d, struct krpc *m, struct lent *lent)
{
    size_t count = dht_peers_hashes(&d->peers, HASHES_TOLD, &d->random, lent->hashes);
    m->has_samples = true;
    m->interval = HASHES_EVERY_S;
    m->num = (int64_t) d->peers.count;
    m->samples = slice_of(lent->hashes, count * sizeof lent->hashes[0]);
}

static void fill_answer(struct dht *d, const struct dht_endpoint *from, const struct krpc *query, struct krpc *m, struct lent *lent, uint64_t now_ms)
{
    switch (query->method) {
    case KRPC_PING:
        break;
    case KRPC_GET_PEERS:
        dht_token_make(&d->tokens, from, lent->token);
        m->token = slice_of(lent->token, sizeof lent->token);
        tell_peers(d, from, query, m);
        tell_nodes(d, from, query, m);
        break;
    case KRPC_SAMPLE_INFOHASHES:
        tell_hashes(d, m, lent);
        tell_nodes(d, from, query, m);
        break;
    case KRPC_FIND_NODE:
        tell_nodes(d, from, query, m);
        break;
    case KRPC_ANNOUNCE_PEER:
        take_announcement(d, from, query, m, now_ms);
        break;
    default:
        fail(m, KRPC_ERROR_METHOD, "method unknown");
    }
}

/* Who asks may belong into the table: a ping tells, now and then. */
static void meet(struct dht *d, const struct dht_endpoint *from, const struct krpc *query, uint64_t now_ms)
{
    struct dht_side *side = &d->sides[dht_endpoint_family(from)];
    struct krpc_node node = {query->id, *from};
    if (query->read_only || !dht_table_asked(&side->table, &query->id, from, now_ms) || now_ms < side->ping_ms)
        return;
    side->ping_ms = now_ms + (dht_table_count(&side->table) < 4 * DHT_NODES_FEW ? DHT_PING_EVERY_FEW_MS : DHT_PING_EVERY_MS);
    dht_ping(d, &node, true, now_ms);
}

void dht_answer(struct dht *d, const struct dht_endpoint *from, const struct krpc *query, uint64_t now_ms)
{
    struct krpc m = {.kind = KRPC_ANSWER, .transaction = query->transaction, .version = DHT_VERSION, .external = *from};
    struct lent lent;
    if (!d->sides[dht_endpoint_family(from)].enabled) {
        d->counts.refused++;
        return;
    }
    m.id = d->sides[dht_endpoint_family(from)].table.own;
    if (query->faulty)
        fail(&m, KRPC_ERROR_PROTOCOL, "arguments are missing or wrong");
    else
        fill_answer(d, from, query, &m, &lent, now_ms);
    if (!dht_send(d, from, &m))
        return;
    if (!dht_limit_answer(&d->limit, d->sends[(d->send_first + d->send_count - 1) % DHT_SENDS_MAX].size, now_ms)) {
        d->send_count--;
        d->counts.refused++;
        return;
    }
    d->counts.answered++;
    if (!query->faulty && m.kind == KRPC_ANSWER)
        meet(d, from, query, now_ms);
}
