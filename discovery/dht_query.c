/* Asking: queries that wait, and what an answer tells beside what was asked for. */
#include "discovery/dht_internal.h"

bool dht_send(struct dht *d, const struct dht_endpoint *to, const struct krpc *m)
{
    struct dht_outgoing *slot = &d->sends[(d->send_first + d->send_count) % DHT_SENDS_MAX];
    struct buf out;
    buf_init(&out, KRPC_MESSAGE_MAX);
    bool fits = d->send_count < DHT_SENDS_MAX && krpc_pack(m, &out) == 0;
    if (fits) {
        slot->to = *to;
        slot->size = (uint16_t) out.size;
        memcpy(slot->bytes, out.data, out.size);
        d->send_count++;
    }
    buf_dispose(&out);
    return fits;
}

bool dht_next_send(struct dht *d, struct dht_send *out)
{
    if (d->send_count == 0)
        return false;
    struct dht_outgoing *slot = &d->sends[d->send_first];
    d->send_first = (d->send_first + 1) % DHT_SENDS_MAX;
    d->send_count--;
    *out = (struct dht_send){slot->to, slice_of(slot->bytes, slot->size)};
    return true;
}

static struct dht_query *free_query(struct dht *d)
{
    for (size_t i = 0; i < DHT_QUERIES_MAX; i++)
        if (!d->queries[i].used)
            return &d->queries[i];
    return NULL;
}

bool dht_ask(struct dht *d, const struct krpc_node *to, bool knows_id, struct krpc *m, struct dht_search *search, uint64_t now_ms)
{
    struct dht_query *q = free_query(d);
    uint32_t transaction = dht_random_u32(&d->random);
    unsigned family = dht_endpoint_family(&to->at);
    if (!q || !d->sides[family].enabled)
        return false;
    m->kind = KRPC_QUERY;
    m->id = d->sides[family].table.own;
    m->transaction = slice_of(&transaction, sizeof transaction);
    m->version = DHT_VERSION;
    if (!dht_send(d, &to->at, m))
        return false;
    *q = (struct dht_query){true, transaction, to->at, to->id, knows_id, m->method, search, now_ms};
    d->counts.asked++;
    return true;
}

void dht_ping(struct dht *d, const struct krpc_node *to, bool knows_id, uint64_t now_ms)
{
    struct krpc m = {.method = KRPC_PING};
    dht_ask(d, to, knows_id, &m, NULL, now_ms);
}

static struct dht_query *find_query(struct dht *d, const struct dht_endpoint *from, struct slice transaction)
{
    uint32_t number;
    if (transaction.size != sizeof number)
        return NULL;
    memcpy(&number, transaction.data, sizeof number);
    for (size_t i = 0; i < DHT_QUERIES_MAX; i++) {
        struct dht_query *q = &d->queries[i];
        if (q->used && q->transaction == number && dht_endpoint_equal(&q->to, from))
            return q;
    }
    return NULL;
}

bool dht_waits_for(const struct dht *d, const struct dht_endpoint *from)
{
    for (size_t i = 0; i < DHT_QUERIES_MAX; i++)
        if (d->queries[i].used && dht_endpoint_equal(&d->queries[i].to, from))
            return true;
    return false;
}

/* One whose id would stand in a full bucket: whether the one that was silent longest there still lives. */
static void probe_oldest(struct dht *d, struct dht_side *side, const struct dht_id *id, uint64_t now_ms)
{
    struct krpc_node oldest;
    if (now_ms < side->ping_ms || !dht_table_questionable(&side->table, id, now_ms, &oldest))
        return;
    side->ping_ms = now_ms + DHT_PING_EVERY_MS;
    dht_ping(d, &oldest, true, now_ms);
}

/* Most others see this node at an address that its id does not fit: it takes one that does (BEP 42). */
static void follow_address(struct dht *d, struct dht_side *side, uint64_t now_ms)
{
    const struct dht_endpoint *seen = dht_seen_address(&side->seen);
    struct dht_id own;
    if (!seen || dht_id_fits(&side->table.own, seen))
        return;
    dht_random_fill(&d->random, own.bytes, DHT_ID_SIZE);
    dht_id_bind(&own, seen);
    if (dht_table_move(&side->table, &own, now_ms) == 0)
        side->join_ms = now_ms;
}

static void note_node(struct dht *d, const struct dht_endpoint *from, const struct krpc *m, uint64_t now_ms)
{
    unsigned family = dht_endpoint_family(from);
    struct dht_side *side = &d->sides[family];
    if (!dht_table_heard(&side->table, &m->id, from, now_ms))
        probe_oldest(d, side, &m->id, now_ms);
    if (m->external.port != 0 && dht_endpoint_family(&m->external) == family) {
        dht_seen_vote(&side->seen, from, &m->external);
        follow_address(d, side, now_ms);
    }
}

void dht_take_answer(struct dht *d, const struct dht_endpoint *from, const struct krpc *m, uint64_t now_ms)
{
    struct dht_query *waiting = find_query(d, from, m->transaction);
    if (!waiting) {
        d->counts.unasked++;
        return;
    }
    struct dht_query q = *waiting; /* its place may be another query's from here on */
    waiting->used = false;
    if (m->kind == KRPC_ANSWER && q.knows_id && !dht_id_equal(&q.id, &m->id)) /* it has changed its id, or was told under a wrong one */
        dht_table_failed(&d->sides[dht_endpoint_family(from)].table, &q.id, from);
    if (m->kind == KRPC_ANSWER)
        note_node(d, from, m, now_ms);
    if (q.search)
        dht_search_heard(d, q.search, &q, m->kind == KRPC_ANSWER ? m : NULL, now_ms);
}

void dht_expire_queries(struct dht *d, uint64_t now_ms)
{
    for (size_t i = 0; i < DHT_QUERIES_MAX; i++) {
        struct dht_query *q = &d->queries[i];
        if (!q->used || now_ms < q->sent_ms + DHT_QUERY_TIMEOUT_MS)
            continue;
        q->used = false;
        d->counts.timed_out++;
        if (q->knows_id)
            dht_table_failed(&d->sides[dht_endpoint_family(&q->to)].table, &q->id, &q->to);
        if (q->search)
            dht_search_heard(d, q->search, q, NULL, now_ms);
    }
}
