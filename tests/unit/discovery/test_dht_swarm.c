/* Many nodes of the DHT in one process, under virtual time, with delay and loss: GRID_DHT_SEED=N runs another one. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>

#include "discovery/dht.h"
#include "discovery/krpc.h"
#include "tests/unit/discovery/dht_rig.h"

enum {
    NODES_MAX = 200,
    LIARS_MAX = 24,
    FLIGHT_MS = 256,   /* the longest delay is below it */
    HEADERS_BYTES = 28, /* IPv4 and UDP */
    DAY_MS = 24 * 60 * 60 * 1000,
};

struct datagram {
    struct datagram *next;
    unsigned from, to; /* numbers of addresses */
    size_t size;
    uint8_t bytes[];
};

struct node {
    struct dht *dht; /* NULL: none, or dead */
    uint64_t tick_ms;
    int64_t days_off;
    uint64_t bytes; /* in and out, with headers */
    uint64_t dials;
    unsigned seeks;    /* the number of the node whose address it is to find */
    uint64_t found_ms; /* UINT64_MAX: not yet */
};

struct swarm {
    uint64_t now;
    struct dht_random random;
    unsigned loss_percent;
    bool dark; /* nothing arrives */
    bool v6;
    struct node nodes[NODES_MAX];
    struct datagram *flying[FLIGHT_MS];
    size_t flying_count;
    struct krpc_node liars[LIARS_MAX]; /* nodes of somebody else's making, at addresses from NODES_MAX on */
    size_t liar_count;
    uint64_t lies;
};

static struct swarm *swarm_create(void)
{
    struct swarm *s = calloc(1, sizeof *s);
    const char *seed = getenv("GRID_DHT_SEED");
    assert_non_null(s);
    s->random = rig_random(seed ? (uint8_t) atoi(seed) : 1);
    s->now = 1000;
    s->loss_percent = 5;
    return s;
}

static void swarm_destroy(struct swarm *s)
{
    for (size_t i = 0; i < NODES_MAX; i++)
        dht_destroy(s->nodes[i].dht);
    for (size_t i = 0; i < FLIGHT_MS; i++)
        for (struct datagram *d = s->flying[i], *next; d; d = next) {
            next = d->next;
            free(d);
        }
    free(s);
}

static struct dht_endpoint place_of(const struct swarm *s, unsigned i)
{
    return s->v6 ? rig_public_v6(i) : rig_public(i);
}

/* The number of an address, or a number that is nobody's. */
static unsigned number_of(const struct swarm *s, const struct dht_endpoint *at)
{
    const uint8_t *digits = at->ip + (s->v6 ? 4 : 12);
    unsigned i = (unsigned) (digits[0] - (s->v6 ? 0 : 20)) * 65536 + digits[1] * 256u + digits[2];
    struct dht_endpoint same = place_of(s, i);
    return dht_endpoint_equal(&same, at) ? i : UINT32_MAX;
}

static void post(struct swarm *s, unsigned from, unsigned to, struct slice bytes)
{
    uint64_t at = s->now + 10 + dht_random_below(&s->random, 150);
    struct datagram *d;
    if (s->dark || dht_random_below(&s->random, 100) < s->loss_percent || !(d = malloc(sizeof *d + bytes.size)))
        return;
    d->from = from;
    d->to = to;
    d->size = bytes.size;
    memcpy(d->bytes, bytes.data, bytes.size);
    d->next = s->flying[at % FLIGHT_MS];
    s->flying[at % FLIGHT_MS] = d;
    s->flying_count++;
}

/* What goes out, what was found, and when it runs again. */
static void drain(struct swarm *s, unsigned i)
{
    struct node *n = &s->nodes[i];
    struct dht_send send;
    struct dht_endpoint found, sought = place_of(s, n->seeks);
    uint64_t wait = dht_tick(n->dht, s->now, (int64_t) (s->now / DAY_MS) + n->days_off);
    sought.port = 7900;
    while (dht_next_send(n->dht, &send)) {
        n->bytes += send.bytes.size + HEADERS_BYTES;
        post(s, i, number_of(s, &send.to), send.bytes);
    }
    while (dht_next_found(n->dht, s->now, &found)) {
        n->dials++;
        if (n->found_ms == UINT64_MAX && dht_endpoint_equal(&found, &sought))
            n->found_ms = s->now;
    }
    uint64_t found_wait = dht_found_in_ms(n->dht, s->now);
    assert_true(wait > 0);
    n->tick_ms = s->now + (found_wait < wait ? (found_wait > 0 ? found_wait : 1) : wait);
}

/* A liar tells of other liars, and of peers that do not exist, others each time. */
static void lie(struct swarm *s, unsigned liar, unsigned to, const struct datagram *d)
{
    struct krpc q, a = {.kind = KRPC_ANSWER};
    struct buf out;
    if (krpc_unpack(slice_of(d->bytes, d->size), &q) != 0 || q.kind != KRPC_QUERY)
        return;
    a.transaction = q.transaction;
    a.id = s->liars[liar - NODES_MAX].id;
    a.token = SLICE("t");
    a.has_nodes = a.has_values = true;
    for (a.node_count = 0; a.node_count < 8; a.node_count++)
        a.nodes[a.node_count] = s->liars[dht_random_below(&s->random, (uint32_t) s->liar_count)];
    for (a.value_count = 0; q.method == KRPC_GET_PEERS && a.value_count < 100; a.value_count++, s->lies++)
        a.values[a.value_count] = rig_public(1000 + (unsigned) (s->lies % (100 * 1000)));
    buf_init(&out, 0);
    assert_int_equal(krpc_pack(&a, &out), 0);
    post(s, liar, to, buf_slice(&out));
    buf_dispose(&out);
}

static void deliver(struct swarm *s, const struct datagram *d)
{
    struct dht_endpoint from = place_of(s, d->from);
    if (d->to >= NODES_MAX && d->to < NODES_MAX + s->liar_count)
        lie(s, d->to, d->from, d);
    if (d->to >= NODES_MAX || !s->nodes[d->to].dht)
        return;
    s->nodes[d->to].bytes += d->size + HEADERS_BYTES;
    dht_receive(s->nodes[d->to].dht, &from, slice_of(d->bytes, d->size), s->now);
    drain(s, d->to);
}

static void step(struct swarm *s)
{
    struct datagram **place = &s->flying[s->now % FLIGHT_MS], *list = *place, *next;
    *place = NULL;
    for (; list; list = next) {
        next = list->next;
        s->flying_count--;
        deliver(s, list);
        free(list);
    }
    for (unsigned i = 0; i < NODES_MAX; i++)
        if (s->nodes[i].dht && s->now >= s->nodes[i].tick_ms)
            drain(s, i);
}

/* With nothing on its way, time leaps to the next tick. */
static void advance(struct swarm *s, uint64_t most)
{
    uint64_t next = most;
    s->now++;
    if (s->flying_count > 0)
        return;
    for (unsigned i = 0; i < NODES_MAX; i++)
        if (s->nodes[i].dht && s->nodes[i].tick_ms < next)
            next = s->nodes[i].tick_ms;
    s->now = next > s->now ? next : s->now;
}

static void run(struct swarm *s, uint64_t ms)
{
    for (uint64_t end = s->now + ms; s->now < end; advance(s, end))
        step(s);
}

static void start_node(struct swarm *s, unsigned i)
{
    struct dht_config c = {.families = {!s->v6, s->v6}};
    dht_random_fill(&s->random, c.seed, sizeof c.seed);
    s->nodes[i] = (struct node){.tick_ms = s->now, .found_ms = UINT64_MAX, .seeks = UINT32_MAX / 2};
    assert_int_equal(dht_create(&c, s->now, &s->nodes[i].dht), 0);
}

/* Nodes first .. last - 1, a few a second, that know node 0. */
static void start_nodes(struct swarm *s, unsigned first, unsigned last)
{
    struct dht_endpoint router = place_of(s, 0);
    for (unsigned i = first; i < last; i++) {
        start_node(s, i);
        if (i > 0)
            dht_add_router(s->nodes[i].dht, &router);
        run(s, 200);
    }
}

static void seek(struct swarm *s, unsigned i, unsigned other)
{
    s->nodes[i].seeks = other;
    assert_int_equal(dht_look_for(s->nodes[i].dht, SLICE("a grid"), 7900, s->now), 0);
    s->nodes[i].tick_ms = s->now;
}

/* Runs until this one has found what it seeks. Returns how long it took, at most `most` milliseconds. */
static uint64_t found_after(struct swarm *s, unsigned i, uint64_t most)
{
    uint64_t began = s->now;
    while (s->nodes[i].found_ms == UINT64_MAX && s->now < began + most)
        run(s, 50);
    return s->now - began;
}

static void test_dht_swarm__two_nodes_of_a_grid_find_each_other_when_both_are_new(void **state)
{
    struct swarm *s = swarm_create();
    (void) state;
    s->loss_percent = 10;
    start_nodes(s, 0, 100);
    run(s, 60 * 1000);
    start_nodes(s, 100, 102);
    seek(s, 100, 101);
    seek(s, 101, 100);
    uint64_t first = found_after(s, 100, 60 * 1000), second = found_after(s, 101, 60 * 1000);
    print_message("cold, 10%% loss: one after %u ms, the other %u ms later\n", (unsigned) first, (unsigned) second);
    assert_in_range(first < second ? first : first + second, 0, 10 * 1000); /* one that dials is enough */
    swarm_destroy(s);
}

static void test_dht_swarm__works_in_the_ipv6_network_as_well(void **state)
{
    struct swarm *s = swarm_create();
    struct dht_counts counts;
    (void) state;
    s->v6 = true;
    start_nodes(s, 0, 50);
    seek(s, 10, 20);
    seek(s, 20, 10);
    assert_in_range(found_after(s, 10, 60 * 1000), 0, 15 * 1000);
    assert_in_range(found_after(s, 20, 60 * 1000), 0, 15 * 1000);
    dht_count(s->nodes[10].dht, &counts);
    assert_true(counts.nodes[0] == 0 && counts.nodes[1] >= 8 && counts.address_known[1]);
    swarm_destroy(s);
}

static void test_dht_swarm__a_node_whose_clock_is_a_day_off_is_found(void **state)
{
    (void) state;
    for (int off = -1; off <= 1; off += 2) {
        struct swarm *s = swarm_create();
        start_nodes(s, 0, 50);
        start_nodes(s, 50, 52);
        s->nodes[50].days_off = off;
        seek(s, 50, 51);
        seek(s, 51, 50);
        assert_in_range(found_after(s, 50, 60 * 1000), 0, 15 * 1000);
        assert_in_range(found_after(s, 51, 60 * 1000), 0, 15 * 1000);
        swarm_destroy(s);
    }
}

static void test_dht_swarm__a_restarted_node_needs_no_router(void **state)
{
    struct swarm *s = swarm_create();
    struct buf saved;
    (void) state;
    buf_init(&saved, 0);
    start_nodes(s, 0, 50);
    seek(s, 10, 20);
    run(s, 120 * 1000);
    assert_int_equal(dht_save(s->nodes[20].dht, &saved), 0);
    dht_destroy(s->nodes[20].dht);
    start_node(s, 20);
    assert_int_equal(dht_restore(s->nodes[20].dht, buf_slice(&saved), s->now), 0);
    seek(s, 20, 10);
    uint64_t took = found_after(s, 20, 60 * 1000);
    print_message("warm: after %u ms\n", (unsigned) took);
    assert_in_range(took, 0, 3 * 1000);
    buf_dispose(&saved);
    swarm_destroy(s);
}

static void test_dht_swarm__lives_through_an_outage_of_an_hour(void **state)
{
    struct swarm *s = swarm_create();
    (void) state;
    start_nodes(s, 0, 30);
    run(s, 120 * 1000);
    s->dark = true;
    run(s, 60 * 60 * 1000);
    s->dark = false;
    run(s, 120 * 1000);
    seek(s, 10, 20);
    seek(s, 20, 10);
    assert_in_range(found_after(s, 10, 60 * 1000), 0, 30 * 1000);
    swarm_destroy(s);
}

/* Bytes a second of a node, its queries, those of others and all answers counted. */
static void test_dht_swarm__idles_at_less_than_a_kilobyte_a_second(void **state)
{
    struct swarm *s = swarm_create();
    uint64_t most = 0, all = 0, settled, seconds = 60 * 60;
    (void) state;
    start_nodes(s, 0, NODES_MAX);
    for (unsigned i = 0; i < 10; i++)
        seek(s, 50 + i, 50);
    for (unsigned i = 0; i < 5; i++) /* the others stay alone */
        dht_set_lonely(s->nodes[50 + i].dht, false, s->now);
    run(s, 10 * 60 * 1000);
    for (unsigned i = 0; i < NODES_MAX; i++)
        s->nodes[i].bytes = 0;
    run(s, seconds * 1000);
    for (unsigned i = 0; i < NODES_MAX; i++) {
        all += s->nodes[i].bytes;
        most = s->nodes[i].bytes > most ? s->nodes[i].bytes : most;
    }
    settled = s->nodes[51].bytes;
    print_message("idle: %u bytes/s on average, %u at most, %u of one that looks for its grid alone, %u of one that found it\n", (unsigned) (all / NODES_MAX / seconds),
                  (unsigned) (most / seconds), (unsigned) (s->nodes[58].bytes / seconds), (unsigned) (settled / seconds));
    assert_in_range(most / seconds, 1, 1024);
    swarm_destroy(s);
}

/* Nodes as near to the tag as their makers like, in networks of their own, each telling other fakes each time. */
static void make_liars(struct swarm *s)
{
    struct dht_id tag;
    dht_id_tag(SLICE("a grid"), (int64_t) (s->now / DAY_MS), &tag);
    for (; s->liar_count < LIARS_MAX; s->liar_count++) {
        struct krpc_node *l = &s->liars[s->liar_count];
        *l = (struct krpc_node){tag, rig_public(NODES_MAX + (unsigned) s->liar_count)};
        l->id.bytes[19] ^= (uint8_t) (s->liar_count + 1);
    }
}

/* Liars make themselves known. */
static void introduce_liars(struct swarm *s)
{
    for (unsigned i = 0; i < s->liar_count; i++)
        for (unsigned n = 0; n < 50; n++) {
            struct krpc ping = {.kind = KRPC_QUERY, .method = KRPC_PING, .transaction = SLICE("l"), .id = s->liars[i].id};
            struct buf out;
            buf_init(&out, 0);
            assert_int_equal(krpc_pack(&ping, &out), 0);
            post(s, NODES_MAX + i, n, buf_slice(&out));
            buf_dispose(&out);
            run(s, 30);
        }
}

/* Node 10 is the only one of the grid that can be found; 25 others look for it and are told fakes all the time. */
static void test_dht_swarm__finds_the_true_one_among_a_hundred_thousand_fakes(void **state)
{
    struct swarm *s = swarm_create();
    (void) state;
    start_nodes(s, 0, 50);
    make_liars(s);
    introduce_liars(s);
    seek(s, 10, 20);
    size_t before = mallinfo2().uordblks;
    for (unsigned i = 25; i < 50; i++)
        assert_int_equal(dht_look_for(s->nodes[i].dht, SLICE("a grid"), 0, s->now), 0);
    for (unsigned minutes = 0; minutes < 120 && s->lies < 100 * 1000; minutes++)
        run(s, 60 * 1000);
    assert_in_range(s->lies, 100 * 1000, UINT64_MAX);
    start_nodes(s, 50, 51);
    seek(s, 50, 10);
    uint64_t took = found_after(s, 50, 120 * 1000);
    size_t after = mallinfo2().uordblks;
    print_message("%u fakes told: the true one after %u ms and %u dials; memory of 51 nodes grew by %d KB\n", (unsigned) s->lies, (unsigned) took, (unsigned) s->nodes[50].dials,
                  ((int) after - (int) before) / 1024);
    assert_in_range(took, 0, 30 * 1000);
    assert_true(after < before + 1024 * 1024);
    swarm_destroy(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_dht_swarm__two_nodes_of_a_grid_find_each_other_when_both_are_new),
        cmocka_unit_test(test_dht_swarm__works_in_the_ipv6_network_as_well),
        cmocka_unit_test(test_dht_swarm__a_node_whose_clock_is_a_day_off_is_found),
        cmocka_unit_test(test_dht_swarm__a_restarted_node_needs_no_router),
        cmocka_unit_test(test_dht_swarm__lives_through_an_outage_of_an_hour),
        cmocka_unit_test(test_dht_swarm__idles_at_less_than_a_kilobyte_a_second),
        cmocka_unit_test(test_dht_swarm__finds_the_true_one_among_a_hundred_thousand_fakes),
    };
    return cmocka_run_group_tests_name("dht_swarm", tests, NULL, NULL);
}
