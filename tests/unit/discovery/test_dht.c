/* A node of the DHT by itself, and the datagrams that others would send it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>

#include "base/err.h"
#include "discovery/dht.h"
#include "discovery/krpc.h"
#include "tests/unit/discovery/dht_rig.h"

enum { START = 10 * 1000, DAY = 20000 };

struct rig {
    struct dht *d;
    struct dht_random random;
    struct dht_endpoint to;
    uint8_t bytes[KRPC_MESSAGE_MAX];
    size_t size; /* of the last datagram that came out */
    struct krpc m;
};

static int begin(void **state)
{
    struct rig *r = calloc(1, sizeof *r);
    struct dht_config c = {.seed = {7}, .families = {true, true}};
    assert_non_null(r);
    r->random = rig_random(1);
    assert_int_equal(dht_create(&c, START, &r->d), 0);
    *state = r;
    return 0;
}

static int end(void **state)
{
    struct rig *r = *state;
    dht_destroy(r->d);
    free(r);
    return 0;
}

/* Reads the next datagram that goes out into r->m. */
static bool next(struct rig *r)
{
    struct dht_send send;
    if (!dht_next_send(r->d, &send))
        return false;
    r->to = send.to;
    r->size = send.bytes.size;
    memcpy(r->bytes, send.bytes.data, send.bytes.size);
    assert_int_equal(krpc_unpack(slice_of(r->bytes, r->size), &r->m), 0);
    return true;
}

static size_t give(struct rig *r, const struct dht_endpoint *from, const struct krpc *m, uint64_t now)
{
    struct buf out;
    buf_init(&out, KRPC_MESSAGE_MAX);
    assert_int_equal(krpc_pack(m, &out), 0);
    size_t size = out.size;
    dht_receive(r->d, from, buf_slice(&out), now);
    buf_dispose(&out);
    return size;
}

static struct krpc query(struct rig *r, enum krpc_method method)
{
    return (struct krpc){.kind = KRPC_QUERY, .transaction = SLICE("aa"), .id = rig_id(&r->random), .method = method, .target = rig_id(&r->random), .read_only = true};
}

static void test_dht__answers_each_query_with_what_it_needs(void **state)
{
    static const struct {
        enum krpc_method method;
        bool nodes, token, samples;
    } cases[] = {
        {KRPC_PING, false, false, false}, {KRPC_FIND_NODE, true, false, false}, {KRPC_GET_PEERS, true, true, false}, {KRPC_SAMPLE_INFOHASHES, true, false, true},
    };
    struct rig *r = *state;
    struct dht_endpoint from = rig_public(1);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct krpc q = query(r, cases[i].method);
        give(r, &from, &q, START);
        assert_true(next(r));
        assert_int_equal(r->m.kind, KRPC_ANSWER);
        assert_true(slice_equal_str(r->m.transaction, "aa") && dht_endpoint_equal(&r->to, &from) && dht_endpoint_equal(&r->m.external, &from));
        assert_int_equal(r->m.has_nodes, cases[i].nodes);
        assert_false(r->m.has_nodes6); /* it did not want them */
        assert_int_equal(r->m.token.size > 0, cases[i].token);
        assert_int_equal(r->m.has_samples, cases[i].samples);
        assert_false(next(r)); /* who is read-only is not asked back */
    }
}

static void test_dht__tells_peers_that_were_announced_with_a_good_token(void **state)
{
    struct rig *r = *state;
    struct dht_endpoint from = rig_public(1), thief = rig_public(2);
    struct krpc get = query(r, KRPC_GET_PEERS), announce = get;
    give(r, &from, &get, START);
    assert_true(next(r));
    uint8_t token[KRPC_TOKEN_MAX];
    memcpy(token, r->m.token.data, r->m.token.size);
    announce.method = KRPC_ANNOUNCE_PEER;
    announce.token = slice_of(token, r->m.token.size);
    announce.port = 7900;
    give(r, &thief, &announce, START); /* a token of another's */
    assert_true(next(r));
    assert_int_equal(r->m.kind, KRPC_ERROR);
    assert_int_equal(r->m.error_code, KRPC_ERROR_PROTOCOL);
    give(r, &from, &announce, START);
    assert_true(next(r));
    assert_int_equal(r->m.kind, KRPC_ANSWER);
    give(r, &thief, &get, START);
    assert_true(next(r));
    assert_int_equal(r->m.value_count, 1);
    assert_true(dht_endpoint_same_ip(&r->m.values[0], &from));
    assert_int_equal(r->m.values[0].port, 7900);
}

static void test_dht__says_what_is_wrong_with_a_query(void **state)
{
    static const struct {
        const char *text;
        int64_t code;
    } cases[] = {
        {"d1:ad2:id20:abcdefghij0123456789e1:q4:vote1:t2:aa1:y1:qe", KRPC_ERROR_METHOD},
        {"d1:ad2:id19:abcdefghij012345678e1:q4:ping1:t2:aa1:y1:qe", KRPC_ERROR_PROTOCOL},
        {"d1:ad2:id20:abcdefghij0123456789e1:q9:get_peers1:t2:aa1:y1:qe", KRPC_ERROR_PROTOCOL},
    };
    struct rig *r = *state;
    struct dht_endpoint from = rig_public(1);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        dht_receive(r->d, &from, slice_of_str(cases[i].text), START);
        assert_true(next(r));
        assert_int_equal(r->m.kind, KRPC_ERROR);
        assert_int_equal(r->m.error_code, cases[i].code);
    }
}

static void test_dht__passes_over_what_is_malformed_or_unasked(void **state)
{
    static const char *const texts[] = {
        "", "d", "le", "i5e", "hello", "d1:t2:aa1:y1:qe", "d1:rd2:id20:abcdefghij0123456789e1:t2:aa1:y1:re", "d1:rd2:id20:abcdefghij0123456789e1:t4:aaaa1:y1:re",
        "d1:eli201e5:helloe1:t4:aaaa1:y1:ee", "d1:t2:aa1:y1:xe",
    };
    struct rig *r = *state;
    struct dht_endpoint from = rig_public(1), nobody = rig_v4(0, 0, 0, 0, 6881);
    struct dht_counts counts;
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++)
        dht_receive(r->d, &from, slice_of_str(texts[i]), START);
    struct krpc q = query(r, KRPC_PING);
    give(r, &nobody, &q, START);
    assert_false(next(r));
    dht_count(r->d, &counts);
    assert_int_equal(counts.malformed, 7);
    assert_int_equal(counts.unasked, 3);
    assert_int_equal(counts.dropped, 1);
    assert_int_equal(counts.nodes[0], 0);
}

static void test_dht__answers_no_more_than_its_limits(void **state)
{
    struct rig *r = *state;
    size_t answers = 0, bytes = 0;
    for (unsigned i = 0; i < 5000; i++) {
        struct dht_endpoint from = rig_public(i % 500);
        struct krpc q = query(r, KRPC_GET_PEERS);
        give(r, &from, &q, START + i / 5);
        while (next(r)) {
            answers++;
            bytes += r->size;
        }
    }
    assert_in_range(bytes, 1, 49 * 1024);
    assert_true(answers < 5000);
}

/* A flood of garbage from ever other addresses, between a query of the node's own and the answer. */
static void test_dht__reads_little_of_a_flood_and_all_that_it_asked_for(void **state)
{
    struct rig *r = *state;
    struct dht_counts counts;
    struct dht_endpoint router = rig_public(9000);
    dht_add_router(r->d, &router);
    dht_tick(r->d, START, DAY);
    assert_true(next(r));
    struct krpc a = {.kind = KRPC_ANSWER, .transaction = r->m.transaction, .id = rig_id(&r->random), .has_nodes = true};
    for (unsigned i = 0; i < 20 * 1000; i++) {
        struct dht_endpoint from = rig_public(i);
        assert_false(dht_receive(r->d, &from, SLICE("d1:ad2:id20:"), START));
    }
    give(r, &router, &a, START);
    dht_count(r->d, &counts);
    assert_in_range(counts.malformed, 1, 1024 + 16);
    assert_int_equal(counts.malformed + counts.dropped, 20 * 1000);
    assert_int_equal(counts.nodes[0], 1);
}

/* Whoever has been asked may ask, as often as others. */
static void test_dht__answers_no_more_to_whom_it_has_asked(void **state)
{
    struct rig *r = *state;
    struct dht_endpoint router = rig_public(9);
    struct dht_counts counts;
    dht_add_router(r->d, &router);
    dht_tick(r->d, START, DAY);
    for (unsigned i = 0; i < 100; i++) {
        struct krpc q = query(r, KRPC_PING);
        give(r, &router, &q, START);
        while (next(r))
            ;
    }
    dht_count(r->d, &counts);
    assert_in_range(counts.answered, 1, 16);
    assert_int_equal(counts.answered + counts.refused, 100);
}

static void test_dht__hears_loopback_only_where_that_is_its_network(void **state)
{
    struct rig *r = *state;
    struct dht *own;
    struct dht_config c = {.families = {true, true}, .loopback = true};
    struct dht_endpoint from = rig_loopback(1), router = rig_loopback(2);
    struct krpc q = query(r, KRPC_PING);
    give(r, &from, &q, START);
    assert_false(next(r));
    dht_add_router(r->d, &router);
    give(r, &from, &q, START);
    assert_true(next(r));
    assert_int_equal(dht_create(&c, START, &own), 0);
    dht_destroy(r->d);
    r->d = own;
    give(r, &from, &q, START);
    assert_true(next(r));
}

/* The longest answer is below eight times the shortest query that brings it. */
static void test_dht__amplifies_little(void **state)
{
    struct rig *r = *state;
    struct dht_endpoint from = rig_public(1);
    struct krpc get = query(r, KRPC_GET_PEERS);
    for (unsigned i = 0; i < 64; i++) {
        struct dht_endpoint peer = rig_public(100 + i);
        struct krpc announce = get;
        give(r, &peer, &get, START + i * 1000);
        assert_true(next(r));
        uint8_t token[KRPC_TOKEN_MAX];
        memcpy(token, r->m.token.data, r->m.token.size);
        announce.method = KRPC_ANNOUNCE_PEER;
        announce.token = slice_of(token, r->m.token.size);
        announce.port = 7900;
        give(r, &peer, &announce, START + i * 1000);
        assert_true(next(r));
    }
    size_t asked = give(r, &from, &get, START + 100 * 1000);
    assert_true(next(r));
    assert_true(r->m.value_count > 8);
    assert_in_range(r->size, 1, 8 * asked);
}

static void test_dht__asks_its_routers_until_somebody_answers(void **state)
{
    struct rig *r = *state;
    struct dht_endpoint router = rig_public(9);
    uint64_t now = START;
    unsigned asked = 0;
    assert_in_range(dht_tick(r->d, now, DAY), 1, 60 * 1000);
    assert_false(next(r)); /* nobody to ask */
    dht_add_router(r->d, &router);
    for (unsigned i = 0; i < 400 && now < START + 300 * 1000; i++) {
        uint64_t wait = dht_tick(r->d, now, DAY);
        assert_in_range(wait, 1, 60 * 1000);
        while (next(r))
            asked += r->m.method == KRPC_FIND_NODE && dht_endpoint_equal(&r->to, &router);
        now += wait;
    }
    assert_in_range(asked, 5, 12);
    assert_true(now >= START + 300 * 1000); /* and never in a hurry */
}

static void test_dht__takes_an_id_that_fits_the_address_that_most_see(void **state)
{
    struct rig *r = *state;
    struct dht_endpoint own = rig_v4(99, 1, 2, 3, 6881);
    struct dht_counts counts;
    struct krpc q = query(r, KRPC_PING);
    for (unsigned i = 0; i < 5; i++) {
        struct dht_endpoint router = rig_public(i);
        dht_add_router(r->d, &router);
    }
    dht_tick(r->d, START, DAY);
    for (unsigned i = 0; i < 5; i++) {
        assert_true(next(r));
        struct krpc a = {.kind = KRPC_ANSWER, .transaction = r->m.transaction, .id = rig_id(&r->random), .external = own, .has_nodes = true};
        give(r, &r->to, &a, START);
    }
    dht_count(r->d, &counts);
    assert_true(counts.address_known[0]);
    while (next(r))
        ;
    struct dht_endpoint asker = rig_public(50);
    give(r, &asker, &q, START);
    assert_true(next(r));
    assert_true(dht_id_fits(&r->m.id, &own));
}

static void test_dht__gives_its_table_to_its_next_life(void **state)
{
    struct rig *r = *state;
    struct dht *other;
    struct dht_config c = {.seed = {8}, .families = {true, true}};
    struct dht_counts counts;
    struct buf saved;
    buf_init(&saved, 0);
    struct dht_endpoint router = rig_public(9);
    dht_add_router(r->d, &router);
    dht_tick(r->d, START, DAY);
    assert_true(next(r));
    struct krpc a = {.kind = KRPC_ANSWER, .transaction = r->m.transaction, .id = rig_id(&r->random), .has_nodes = true};
    give(r, &router, &a, START);
    assert_int_equal(dht_save(r->d, &saved), 0);
    assert_int_equal(dht_create(&c, START, &other), 0);
    assert_int_equal(dht_restore(other, slice_first(buf_slice(&saved), saved.size - 1), START), GRID_ECORRUPT);
    assert_int_equal(dht_restore(other, buf_slice(&saved), START), 0);
    dht_count(other, &counts);
    assert_int_equal(counts.nodes[0], 1);
    dht_destroy(other);
    buf_dispose(&saved);
}

static void test_dht__refuses_a_long_name(void **state)
{
    struct rig *r = *state;
    char name[257];
    memset(name, 'n', sizeof name);
    assert_int_equal(dht_look_for(r->d, slice_of(name, 257), 7900, START), GRID_ELIMIT);
    assert_int_equal(dht_look_for(r->d, slice_of(name, 256), 7900, START), 0);
    assert_int_equal(dht_look_for(r->d, slice_of(NULL, 0), 0, START), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_dht__answers_each_query_with_what_it_needs, begin, end),
        cmocka_unit_test_setup_teardown(test_dht__tells_peers_that_were_announced_with_a_good_token, begin, end),
        cmocka_unit_test_setup_teardown(test_dht__says_what_is_wrong_with_a_query, begin, end),
        cmocka_unit_test_setup_teardown(test_dht__passes_over_what_is_malformed_or_unasked, begin, end),
        cmocka_unit_test_setup_teardown(test_dht__answers_no_more_than_its_limits, begin, end),
        cmocka_unit_test_setup_teardown(test_dht__reads_little_of_a_flood_and_all_that_it_asked_for, begin, end),
        cmocka_unit_test_setup_teardown(test_dht__answers_no_more_to_whom_it_has_asked, begin, end),
        cmocka_unit_test_setup_teardown(test_dht__hears_loopback_only_where_that_is_its_network, begin, end),
        cmocka_unit_test_setup_teardown(test_dht__amplifies_little, begin, end),
        cmocka_unit_test_setup_teardown(test_dht__asks_its_routers_until_somebody_answers, begin, end),
        cmocka_unit_test_setup_teardown(test_dht__takes_an_id_that_fits_the_address_that_most_see, begin, end),
        cmocka_unit_test_setup_teardown(test_dht__gives_its_table_to_its_next_life, begin, end),
        cmocka_unit_test_setup_teardown(test_dht__refuses_a_long_name, begin, end),
    };
    return cmocka_run_group_tests_name("dht", tests, NULL, NULL);
}
