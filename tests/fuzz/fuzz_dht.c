/* A node of the DHT under whatever datagrams: what it sends is well-formed and within its limits, its tables within theirs, and it is never in a hurry.
 *
 * The input is a list of records: how much time passes (one byte, in units of 64 ms), who sends (one byte: below 128 one of 128 others; else whoever was asked last, and
 * "TTTT" in the datagram becomes the transaction of that query), how many bytes (one byte, in units of 4), the datagram. "KKKKKKKK" becomes the token that was given last. */
// links: grid_discovery
// covers: discovery/dht.c discovery/dht_answer.c discovery/dht_query.c discovery/dht_search.c discovery/dht_peers.c discovery/dht_found.c
#include <stdlib.h>

#include "discovery/dht.h"
#include "discovery/krpc.h"
#include "tests/unit/discovery/dht_rig.h"

enum { DAY = 20000, ANSWER_BYTES_MAX = 49 * 1024, ANSWER_BYTES_PER_S = 384 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct world {
    struct dht *dht;
    uint64_t now;
    struct dht_endpoint asked;
    uint8_t transaction[4], token[8];
    uint64_t answered_bytes, dials;
};

static void expect(bool so)
{
    if (!so)
        abort();
}

static void drain(struct world *w)
{
    static struct krpc m;
    struct dht_send send;
    struct dht_endpoint found;
    uint64_t wait = dht_tick(w->dht, w->now, DAY + (int64_t) (w->now / 1000000));
    expect(wait >= 1 && wait <= 60 * 1000);
    while (dht_next_send(w->dht, &send)) {
        expect(krpc_unpack(send.bytes, &m) == 0 && send.bytes.size <= KRPC_MESSAGE_MAX && dht_endpoint_scope(&send.to) != DHT_SCOPE_NONE);
        if (m.kind != KRPC_QUERY) {
            w->answered_bytes += send.bytes.size;
            if (m.token.size == sizeof w->token)
                memcpy(w->token, m.token.data, sizeof w->token);
            continue;
        }
        expect(m.transaction.size == sizeof w->transaction);
        w->asked = send.to;
        memcpy(w->transaction, m.transaction.data, sizeof w->transaction);
    }
    while (dht_next_found(w->dht, w->now, &found)) {
        expect(dht_endpoint_scope(&found) != DHT_SCOPE_NONE);
        w->dials++;
    }
}

static void patch(uint8_t *bytes, size_t size, const char *mark, const uint8_t *value)
{
    size_t mark_size = strlen(mark);
    for (size_t i = 0; i + mark_size <= size; i++)
        if (memcmp(bytes + i, mark, mark_size) == 0)
            memcpy(bytes + i, value, mark_size);
}

/* Returns how much of the input was one record. */
static size_t step(struct world *w, const uint8_t *data, size_t size)
{
    uint8_t bytes[1024];
    size_t wanted = (size_t) data[2] * 4, left = size - 3, used = wanted < left ? wanted : left;
    struct dht_endpoint from = data[1] < 128 ? rig_public(data[1]) : w->asked;
    memcpy(bytes, data + 3, used);
    if (data[1] >= 128)
        patch(bytes, used, "TTTT", w->transaction);
    patch(bytes, used, "KKKKKKKK", w->token);
    w->now += data[0] * 64u;
    dht_receive(w->dht, &from, slice_of(bytes, used), w->now);
    drain(w);
    return 3 + used;
}

static void check_bounds(const struct world *w, uint64_t began)
{
    struct dht_counts counts;
    uint64_t seconds = (w->now - began) / 1000 + 1;
    dht_count(w->dht, &counts);
    expect(counts.nodes[0] <= 160 * 8 && counts.nodes[1] <= 160 * 8 && counts.peers <= 2048);
    expect(w->answered_bytes <= ANSWER_BYTES_MAX + ANSWER_BYTES_PER_S * seconds && w->dials <= 10 + 10 * seconds);
}

/* What it would keep, it takes again. */
static void check_saved(const struct world *w)
{
    struct dht_config c = {.seed = {2}, .families = {true, true}};
    struct dht *again = NULL;
    struct buf saved;
    buf_init(&saved, 0);
    expect(dht_save(w->dht, &saved) == 0 && dht_create(&c, w->now, &again) == 0);
    expect(dht_restore(again, buf_slice(&saved), w->now) == 0);
    dht_destroy(again);
    buf_dispose(&saved);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    enum { BEGAN = 5000 };
    struct world w = {.now = BEGAN};
    struct dht_config c = {.seed = {1}, .families = {true, true}};
    struct dht_endpoint router = rig_public(0), router_v6 = rig_public_v6(0);
    expect(dht_create(&c, w.now, &w.dht) == 0);
    w.asked = router;
    dht_add_router(w.dht, &router);
    dht_add_router(w.dht, &router);
    dht_add_router(w.dht, &router_v6);
    expect(dht_look_for(w.dht, SLICE("a grid"), 7900, w.now) == 0);
    drain(&w);
    while (size > 3) {
        size_t used = step(&w, data, size);
        data += used;
        size -= used;
        dht_set_lonely(w.dht, size % 8 != 0, w.now);
    }
    check_bounds(&w, BEGAN);
    check_saved(&w);
    dht_destroy(w.dht);
    return 0;
}
