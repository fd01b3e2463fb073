/* The DHT's routing table. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "discovery/dht_table.h"
#include "tests/unit/discovery/dht_rig.h"

enum { START = 1000 * 1000 };

struct rig {
    struct dht_table t;
    struct dht_random random;
};

static void begin(struct rig *r)
{
    struct dht_id own;
    r->random = rig_random(1);
    own = rig_id(&r->random);
    assert_int_equal(dht_table_init(&r->t, &own, START), 0);
}

/* One that shares just `bits` first bits with the own id. */
static struct dht_id sharing(struct rig *r, unsigned bits)
{
    struct dht_id id = rig_id(&r->random);
    for (unsigned i = 0; i <= bits; i++) {
        uint8_t mask = (uint8_t) (0x80 >> i % 8), own = r->t.own.bytes[i / 8] & mask;
        id.bytes[i / 8] = (uint8_t) ((id.bytes[i / 8] & ~mask) | (i < bits ? own : own ^ mask));
    }
    assert_int_equal(dht_id_common_bits(&id, &r->t.own), bits);
    return id;
}

static void test_dht_table__keeps_eight_of_those_far_away_and_all_that_are_near(void **state)
{
    struct rig r;
    unsigned kept = 0;
    (void) state;
    begin(&r);
    for (unsigned i = 0; i < 100; i++) {
        struct dht_id id = sharing(&r, i < 50 ? 0 : 2 + i / 10);
        struct dht_endpoint at = rig_private(i);
        kept += dht_table_heard(&r.t, &id, &at, START);
    }
    assert_int_equal(kept, 8 + 5 * 8); /* bucket 0, and five groups of ten that share 7 to 11 bits */
    assert_int_equal(dht_table_count(&r.t), kept);
    dht_table_dispose(&r.t);
}

static void test_dht_table__gives_the_nearest_first(void **state)
{
    struct rig r;
    struct krpc_node out[8];
    (void) state;
    begin(&r);
    struct dht_id target = rig_id(&r.random);
    for (unsigned i = 0; i < 300; i++) {
        struct dht_id id = rig_id(&r.random);
        struct dht_endpoint at = rig_private(i);
        dht_table_heard(&r.t, &id, &at, START);
    }
    assert_int_equal(dht_table_closest(&r.t, &target, 0, 8, out), 8);
    for (size_t i = 1; i < 8; i++)
        assert_true(dht_id_compare(&target, &out[i - 1].id, &out[i].id) < 0);
    size_t at = 0, nearer = 0;
    for (const struct dht_node *n; (n = dht_table_next(&r.t, &at));)
        nearer += dht_id_compare(&target, &n->id, &out[7].id) < 0;
    assert_int_equal(nearer, 7);
    dht_table_dispose(&r.t);
}

static void test_dht_table__takes_one_node_of_an_address_and_of_a_network(void **state)
{
    struct rig r;
    (void) state;
    begin(&r);
    struct dht_endpoint at = rig_v4(20, 1, 1, 1, 6881), same_ip = rig_v4(20, 1, 1, 1, 7000), same_net = rig_v4(20, 1, 1, 2, 6881);
    struct dht_id a = sharing(&r, 0), b = sharing(&r, 3), c = sharing(&r, 0), d = sharing(&r, 1);
    assert_true(dht_table_heard(&r.t, &a, &at, START));
    assert_false(dht_table_heard(&r.t, &b, &same_ip, START)); /* anywhere */
    assert_false(dht_table_heard(&r.t, &c, &same_net, START)); /* in this bucket */
    for (unsigned i = 0; i < 8; i++) { /* until bucket 0 stands alone */
        struct dht_id id = sharing(&r, i < 4 ? 0 : 1);
        struct dht_endpoint other = rig_public(i + 5000);
        dht_table_heard(&r.t, &id, &other, START);
    }
    assert_true(dht_table_heard(&r.t, &d, &same_net, START)); /* in another one */
    dht_table_dispose(&r.t);
}

/* One host on the own network, under as many ids and ports as it likes. */
static void test_dht_table__takes_two_nodes_of_a_private_address(void **state)
{
    struct rig r;
    (void) state;
    for (unsigned loopback = 0; loopback < 2; loopback++) {
        unsigned taken = 0;
        begin(&r);
        for (unsigned i = 0; i < 100; i++) {
            struct dht_id id = sharing(&r, i / 10);
            struct dht_endpoint at = loopback ? rig_loopback(i) : rig_v4(192, 168, 1, 7, 1000 + i);
            taken += dht_table_heard(&r.t, &id, &at, START);
        }
        assert_int_equal(taken, loopback ? 80 : DHT_TABLE_PER_LOCAL_IP); /* a network on one machine is exempt */
        dht_table_dispose(&r.t);
    }
}

static unsigned count_of_net(const struct dht_table *t, struct dht_endpoint net)
{
    size_t next = 0;
    unsigned count = 0;
    for (const struct dht_node *n; (n = dht_table_next(t, &next));)
        count += dht_endpoint_same_net(&n->at, &net);
    return count;
}

/* Whoever was first has a bucket's eight places as long as nobody else wants one. */
static void test_dht_table__takes_places_from_a_private_network_for_others(void **state)
{
    struct rig r;
    unsigned taken = 0;
    (void) state;
    begin(&r);
    for (unsigned i = 0; i < 8; i++) {
        struct dht_id id = sharing(&r, 0);
        struct dht_endpoint at = rig_v4(10, 0, 0, 1 + i, 6881);
        assert_true(dht_table_heard(&r.t, &id, &at, START));
    }
    for (unsigned i = 0; i < 20; i++) {
        struct dht_id id = sharing(&r, 0);
        struct dht_endpoint at = i % 2 ? rig_v4(10, 0, 1, 1 + i, 6881) : rig_public(i);
        taken += dht_table_heard(&r.t, &id, &at, START);
    }
    assert_in_range(taken, 5, 8);
    assert_in_range(count_of_net(&r.t, rig_v4(10, 0, 0, 1, 1)), 1, 2);
    assert_in_range(count_of_net(&r.t, rig_v4(10, 0, 1, 1, 1)), 1, 2);
    dht_table_dispose(&r.t);
}

/* Ids on a private network are chosen: they give way to those that follow from their addresses. */
static void test_dht_table__prefers_ids_that_fit_to_those_of_a_private_network(void **state)
{
    struct rig r;
    (void) state;
    begin(&r);
    for (unsigned i = 0; i < 8; i++) {
        struct dht_id id = sharing(&r, 0);
        struct dht_endpoint at = rig_v4(10, 0, i, 1, 6881);
        assert_true(dht_table_heard(&r.t, &id, &at, START));
    }
    for (unsigned i = 100; i < 200; i++) {
        struct dht_endpoint at = rig_public(i);
        struct dht_id id = rig_bound_id(&r.random, &at);
        if (dht_id_common_bits(&id, &r.t.own) == 0)
            dht_table_heard(&r.t, &id, &at, START);
    }
    for (unsigned i = 0; i < 8; i++)
        assert_int_equal(count_of_net(&r.t, rig_v4(10, 0, i, 1, 1)), 0);
    dht_table_dispose(&r.t);
}

static void test_dht_table__puts_a_spare_in_the_place_of_a_dead_node(void **state)
{
    struct rig r;
    struct dht_id ids[9];
    struct krpc_node out[16];
    (void) state;
    begin(&r);
    for (unsigned i = 0; i < 9; i++) {
        struct dht_endpoint at = rig_private(i);
        ids[i] = sharing(&r, 0);
        assert_int_equal(dht_table_heard(&r.t, &ids[i], &at, START), i < 8);
    }
    struct dht_endpoint first = rig_private(0), other = rig_private(77);
    dht_table_failed(&r.t, &ids[0], &other); /* not at its address: none of its failures */
    assert_int_equal(dht_table_count(&r.t), 8);
    dht_table_failed(&r.t, &ids[0], &first);
    assert_int_equal(dht_table_count(&r.t), 7);
    assert_int_equal(dht_table_closest(&r.t, &ids[0], UINT8_MAX, 16, out), 8);
    dht_table_failed(&r.t, &ids[0], &first);
    assert_int_equal(dht_table_count(&r.t), 8);
    assert_int_equal(dht_table_closest(&r.t, &ids[8], 0, 16, out), 8);
    assert_true(dht_id_equal(&out[0].id, &ids[8]));
    dht_table_dispose(&r.t);
}

static void test_dht_table__prefers_ids_that_fit_their_addresses(void **state)
{
    struct rig r;
    unsigned fitting = 0;
    (void) state;
    begin(&r);
    for (unsigned i = 0; i < 8; i++) {
        struct dht_id id = sharing(&r, 0);
        struct dht_endpoint at = rig_public(i);
        assert_true(dht_table_heard(&r.t, &id, &at, START));
    }
    for (unsigned i = 100; i < 400; i++) {
        struct dht_endpoint at = rig_public(i);
        struct dht_id id = rig_bound_id(&r.random, &at);
        if (dht_id_common_bits(&id, &r.t.own) == 0)
            fitting += dht_table_heard(&r.t, &id, &at, START);
    }
    assert_int_equal(fitting, 8);
    dht_table_dispose(&r.t);
}

static void test_dht_table__lets_nobody_take_over_an_id(void **state)
{
    struct rig r;
    struct krpc_node out;
    (void) state;
    begin(&r);
    struct dht_id id = sharing(&r, 0);
    struct dht_endpoint at = rig_private(1), thief = rig_private(2);
    assert_true(dht_table_heard(&r.t, &id, &at, START));
    assert_false(dht_table_heard(&r.t, &id, &thief, START));
    assert_int_equal(dht_table_closest(&r.t, &id, 0, 1, &out), 1);
    assert_true(dht_endpoint_equal(&out.at, &at));
    assert_false(dht_table_heard(&r.t, &r.t.own, &thief, START)); /* nor the own one */
    dht_table_failed(&r.t, &id, &at);
    dht_table_failed(&r.t, &id, &at);
    assert_true(dht_table_heard(&r.t, &id, &thief, START)); /* it moved */
    dht_table_dispose(&r.t);
}

static void test_dht_table__asks_for_pings_where_they_are_of_use(void **state)
{
    struct rig r;
    struct krpc_node out;
    (void) state;
    begin(&r);
    struct dht_id ids[9];
    for (unsigned i = 0; i < 9; i++) {
        struct dht_endpoint at = rig_private(i);
        ids[i] = sharing(&r, 0);
        if (i < 8) {
            assert_true(dht_table_asked(&r.t, &ids[i], &at, START));
            dht_table_heard(&r.t, &ids[i], &at, START + i);
            assert_false(dht_table_asked(&r.t, &ids[i], &at, START + i));
        }
    }
    struct dht_endpoint ninth = rig_private(8), later = rig_private(9);
    assert_true(dht_table_asked(&r.t, &ids[8], &ninth, START)); /* the only bucket splits */
    struct dht_id near = sharing(&r, 5);
    dht_table_heard(&r.t, &near, &later, START);
    assert_false(dht_table_asked(&r.t, &ids[8], &ninth, START)); /* it has, and this one is full */
    assert_false(dht_table_questionable(&r.t, &ids[8], START + DHT_NODE_FRESH_MS - 1, &out));
    assert_true(dht_table_questionable(&r.t, &ids[8], START + DHT_NODE_FRESH_MS, &out));
    assert_true(dht_id_equal(&out.id, &ids[0]));
    dht_table_dispose(&r.t);
}

static void test_dht_table__refreshes_each_bucket_with_an_id_of_its_own(void **state)
{
    struct rig r;
    struct dht_id id;
    (void) state;
    begin(&r);
    for (unsigned i = 0; i < 40; i++) {
        struct dht_id node = sharing(&r, i / 9);
        struct dht_endpoint at = rig_private(i);
        dht_table_heard(&r.t, &node, &at, START);
    }
    assert_false(dht_table_refresh(&r.t, &r.random, START + 1, &id));
    for (unsigned i = 0; i < r.t.count; i++) {
        assert_true(dht_table_refresh(&r.t, &r.random, START + DHT_NODE_FRESH_MS, &id));
        unsigned bits = dht_id_common_bits(&id, &r.t.own);
        assert_true(i + 1 < r.t.count ? bits == i : bits >= i);
    }
    assert_false(dht_table_refresh(&r.t, &r.random, START + DHT_NODE_FRESH_MS, &id));
    dht_table_dispose(&r.t);
}

static void test_dht_table__is_sorted_anew_under_another_id(void **state)
{
    struct rig r;
    struct krpc_node out;
    (void) state;
    begin(&r);
    for (unsigned i = 0; i < 200; i++) {
        struct dht_id node = rig_id(&r.random);
        struct dht_endpoint at = rig_private(i);
        dht_table_heard(&r.t, &node, &at, START);
    }
    size_t before = dht_table_count(&r.t);
    struct dht_id own = rig_id(&r.random);
    assert_int_equal(dht_table_move(&r.t, &own, START), 0);
    assert_true(dht_table_count(&r.t) > before / 2 && dht_table_count(&r.t) <= before);
    assert_true(dht_id_equal(&r.t.own, &own));
    assert_int_equal(dht_table_closest(&r.t, &own, 0, 1, &out), 1);
    dht_table_dispose(&r.t);
}

static void test_dht_table__remembers_nodes_as_questionable(void **state)
{
    struct rig r;
    struct krpc_node out;
    (void) state;
    begin(&r);
    for (unsigned i = 0; i < 8; i++) {
        struct dht_id id = sharing(&r, 0);
        struct dht_endpoint at = rig_private(i);
        assert_true(dht_table_remembered(&r.t, &id, &at));
        assert_false(dht_table_remembered(&r.t, &id, &at));
    }
    struct dht_id other = sharing(&r, 0);
    assert_true(dht_table_questionable(&r.t, &other, START, &out));
    dht_table_dispose(&r.t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_dht_table__keeps_eight_of_those_far_away_and_all_that_are_near),
        cmocka_unit_test(test_dht_table__gives_the_nearest_first),
        cmocka_unit_test(test_dht_table__takes_one_node_of_an_address_and_of_a_network),
        cmocka_unit_test(test_dht_table__takes_two_nodes_of_a_private_address),
        cmocka_unit_test(test_dht_table__takes_places_from_a_private_network_for_others),
        cmocka_unit_test(test_dht_table__prefers_ids_that_fit_to_those_of_a_private_network),
        cmocka_unit_test(test_dht_table__puts_a_spare_in_the_place_of_a_dead_node),
        cmocka_unit_test(test_dht_table__prefers_ids_that_fit_their_addresses),
        cmocka_unit_test(test_dht_table__lets_nobody_take_over_an_id),
        cmocka_unit_test(test_dht_table__asks_for_pings_where_they_are_of_use),
        cmocka_unit_test(test_dht_table__refreshes_each_bucket_with_an_id_of_its_own),
        cmocka_unit_test(test_dht_table__is_sorted_anew_under_another_id),
        cmocka_unit_test(test_dht_table__remembers_nodes_as_questionable),
    };
    return cmocka_run_group_tests_name("dht_table", tests, NULL, NULL);
}
