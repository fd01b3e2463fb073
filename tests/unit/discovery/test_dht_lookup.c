/* One lookup in the DHT. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "discovery/dht_lookup.h"
#include "tests/unit/discovery/dht_rig.h"

static struct dht_lookup l;

/* The nearer the smaller `distance`. */
static struct krpc_node at_distance(uint8_t distance)
{
    struct krpc_node n = {.at = rig_loopback(distance)};
    n.id = l.target;
    n.id.bytes[5] ^= distance;
    return n;
}

static void begin(void)
{
    struct dht_random r = rig_random(1);
    struct dht_id target = rig_id(&r);
    dht_lookup_init(&l, &target);
}

static void add(uint8_t first, uint8_t last)
{
    for (unsigned i = first; i <= last; i++) {
        struct krpc_node n = at_distance((uint8_t) i);
        dht_lookup_add(&l, &n);
    }
}

static void answer(uint8_t distance)
{
    struct krpc_node n = at_distance(distance);
    dht_lookup_answered(&l, &n, SLICE("token"));
}

static void test_dht_lookup__asks_three_at_once_and_ends_with_the_eight_nearest(void **state)
{
    const struct dht_candidate *nearest[DHT_LOOKUP_NEAREST];
    (void) state;
    begin();
    add(1, 20);
    for (uint8_t i = 1; i <= 3; i++)
        assert_int_equal(dht_lookup_next(&l, 0)->id.bytes[5] ^ l.target.bytes[5], i);
    assert_null(dht_lookup_next(&l, 0));
    for (uint8_t i = 1; i <= 8; i++) {
        assert_false(dht_lookup_done(&l, 0));
        answer(i);
        const struct krpc_node *next = dht_lookup_next(&l, 0);
        assert_int_equal(next != NULL, i <= 5);
    }
    assert_true(dht_lookup_done(&l, 0));
    assert_int_equal(dht_lookup_nearest(&l, nearest), 8);
    for (uint8_t i = 0; i < 8; i++)
        assert_int_equal(nearest[i]->node.id.bytes[5] ^ l.target.bytes[5], i + 1);
    assert_int_equal(nearest[0]->token_size, 5);
}

static void test_dht_lookup__goes_to_nearer_ones_first_and_passes_over_the_dead(void **state)
{
    (void) state;
    begin();
    add(100, 110);
    for (unsigned i = 0; i < 3; i++)
        assert_non_null(dht_lookup_next(&l, 0));
    answer(100);
    add(1, 2);
    assert_int_equal(dht_lookup_next(&l, 0)->id.bytes[5] ^ l.target.bytes[5], 1);
    struct krpc_node dead = at_distance(101);
    dht_lookup_failed(&l, &dead.at);
    assert_int_equal(dht_lookup_next(&l, 0)->id.bytes[5] ^ l.target.bytes[5], 2);
}

static void test_dht_lookup__lets_another_one_out_for_one_that_is_late(void **state)
{
    (void) state;
    begin();
    add(1, 20);
    for (unsigned i = 0; i < 3; i++)
        assert_non_null(dht_lookup_next(&l, 100));
    assert_int_equal(dht_lookup_late_ms(&l, 100), 100 + DHT_LOOKUP_LATE_MS);
    assert_null(dht_lookup_next(&l, 100 + DHT_LOOKUP_LATE_MS - 1));
    assert_non_null(dht_lookup_next(&l, 100 + DHT_LOOKUP_LATE_MS));
    assert_false(dht_lookup_done(&l, 100 + DHT_LOOKUP_LATE_MS));
}

static void test_dht_lookup__waits_for_late_ones_only_when_there_are_few(void **state)
{
    (void) state;
    for (uint8_t last = 8; last <= 9; last++) { /* the first one is late */
        begin();
        add(1, last);
        assert_non_null(dht_lookup_next(&l, 0));
        for (uint8_t i = 2; i <= last; i++) {
            assert_non_null(dht_lookup_next(&l, DHT_LOOKUP_LATE_MS));
            answer(i);
        }
        assert_int_equal(dht_lookup_done(&l, DHT_LOOKUP_LATE_MS), last == 9);
    }
}

static void test_dht_lookup__keeps_the_nearest_32(void **state)
{
    (void) state;
    begin();
    add(50, 81);
    struct krpc_node far = at_distance(90), near = at_distance(5);
    assert_false(dht_lookup_add(&l, &far));
    assert_true(dht_lookup_add(&l, &near));
    assert_false(dht_lookup_add(&l, &near));
    assert_int_equal(l.count, DHT_LOOKUP_CANDIDATES);
    assert_true(dht_id_equal(&l.candidates[0].node.id, &near.id));
}

static void test_dht_lookup__is_not_surrounded_from_one_network(void **state)
{
    unsigned taken = 0;
    (void) state;
    begin();
    for (unsigned i = 1; i < 100; i++) {
        struct krpc_node n = {l.target, rig_v4(20, 1, 1, i, 6881)};
        taken += dht_lookup_add(&l, &n);
    }
    assert_int_equal(taken, DHT_LOOKUP_PER_NET);
}

/* All who are asked answer; how many of the eight nearest have ids that nobody chose. */
static unsigned count_fitting(void)
{
    const struct dht_candidate *nearest[DHT_LOOKUP_NEAREST];
    const struct krpc_node *next;
    unsigned fitting = 0;
    while ((next = dht_lookup_next(&l, 0))) {
        struct krpc_node who = *next;
        dht_lookup_answered(&l, &who, SLICE("token"));
    }
    assert_true(dht_lookup_done(&l, 0));
    assert_int_equal(dht_lookup_nearest(&l, nearest), 8);
    for (size_t i = 0; i < 8; i++)
        fitting += nearest[i]->fits;
    return fitting;
}

/* Ever nearer ones, from few hosts or from many of one /24. */
static void test_dht_lookup__of_a_private_network_keeps_two_of_a_host_and_the_eight_nearest(void **state)
{
    static const struct {
        unsigned hosts, kept;
    } cases[] = {{1, 2}, {3, 6}, {100, DHT_LOOKUP_PER_LOCAL_NET}};
    (void) state;
    for (size_t c = 0; c < 3; c++) {
        begin();
        for (unsigned i = 0; i < 100; i++) {
            struct krpc_node n = {l.target, rig_v4(192, 168, 1, 1 + i % cases[c].hosts, 1000 + i)};
            n.id.bytes[19] ^= (uint8_t) (200 - i);
            dht_lookup_add(&l, &n);
        }
        assert_int_equal(l.count, cases[c].kept);
        for (size_t i = 0; cases[c].hosts == 100 && i < l.count; i++)
            assert_int_equal(l.candidates[i].node.id.bytes[19] ^ l.target.bytes[19], 101 + i);
        struct krpc_node other = {l.target, rig_v4(192, 168, 2, 1, 1000)};
        other.id.bytes[0] ^= 1;
        assert_true(dht_lookup_add(&l, &other)); /* farther than all, and of another network */
    }
}

/* Ids on a private network are chosen by whoever is there: public ones that fit have half of the eight whatever they are. */
static void test_dht_lookup__leaves_half_of_the_nearest_to_others_than_the_private_network(void **state)
{
    struct dht_random r = rig_random(9);
    (void) state;
    begin();
    for (unsigned i = 0; i < 30; i++) {
        struct krpc_node n = {l.target, rig_v4(10, 0, i, 1, 6881)};
        n.id.bytes[19] ^= (uint8_t) (i + 1);
        if (i >= 20) {
            n.at = rig_public(i);
            n.id = rig_bound_id(&r, &n.at);
        }
        assert_true(dht_lookup_add(&l, &n));
    }
    assert_int_equal(count_fitting(), 8 - DHT_LOOKUP_UNFIT);
}

/* Twenty nodes in networks of their own with ids as near to the target as one likes, and honest ones farther away. */
static void test_dht_lookup__leaves_half_of_the_nearest_to_ids_that_nobody_chooses(void **state)
{
    struct dht_random r = rig_random(9);
    (void) state;
    begin();
    for (unsigned i = 0; i < 30; i++) {
        struct krpc_node n = {l.target, rig_public(i)};
        n.id.bytes[19] ^= (uint8_t) (i + 1);
        if (i >= 20)
            n.id = rig_bound_id(&r, &n.at);
        assert_true(dht_lookup_add(&l, &n));
    }
    assert_int_equal(count_fitting(), 8 - DHT_LOOKUP_UNFIT);
}

static void test_dht_lookup__asks_those_who_were_known_before_whoever_is_nearer(void **state)
{
    unsigned asked = 0, known_asked = 0;
    const struct krpc_node *next;
    (void) state;
    begin();
    for (uint8_t i = 200; i < 220; i++) {
        struct krpc_node n = at_distance(i);
        assert_int_equal(dht_lookup_add_known(&l, &n), i < 200 + DHT_LOOKUP_CANDIDATES / 2);
    }
    add(1, 100); /* nearer ones, more than there is room for */
    assert_int_equal(l.count, DHT_LOOKUP_CANDIDATES);
    assert_int_equal(l.candidates[15].node.id.bytes[5] ^ l.target.bytes[5], 16);
    while ((next = dht_lookup_next(&l, 0))) {
        struct krpc_node who = *next;
        assert_false(dht_lookup_done(&l, 0));
        asked++;
        known_asked += (who.id.bytes[5] ^ l.target.bytes[5]) >= 200;
        dht_lookup_answered(&l, &who, SLICE("token"));
    }
    assert_true(dht_lookup_done(&l, 0));
    assert_int_equal(known_asked, DHT_LOOKUP_CANDIDATES / 2);
    assert_int_equal(asked, 8 + DHT_LOOKUP_CANDIDATES / 2);
}

static void test_dht_lookup__counts_a_node_under_its_own_id(void **state)
{
    const struct dht_candidate *nearest[DHT_LOOKUP_NEAREST];
    (void) state;
    begin();
    struct krpc_node told = at_distance(1), real = told;
    real.id.bytes[0] ^= 1;
    dht_lookup_add(&l, &told);
    assert_non_null(dht_lookup_next(&l, 0));
    dht_lookup_answered(&l, &real, SLICE("token"));
    assert_int_equal(dht_lookup_nearest(&l, nearest), 1);
    assert_true(dht_id_equal(&nearest[0]->node.id, &real.id));
    assert_true(dht_lookup_done(&l, 0));
}

static void test_dht_lookup__ends_after_64_queries(void **state)
{
    unsigned asked = 0;
    (void) state;
    begin();
    for (unsigned i = 0; i < 200; i++) { /* each tells a nearer one, without end */
        struct krpc_node n = at_distance((uint8_t) (255 - i));
        dht_lookup_add(&l, &n);
        const struct krpc_node *next = dht_lookup_next(&l, 0);
        asked += next != NULL;
        if (next)
            dht_lookup_failed(&l, &n.at);
    }
    assert_int_equal(asked, DHT_LOOKUP_QUERIES_MAX);
    assert_true(dht_lookup_done(&l, 0));
}

static void test_dht_lookup__with_nobody_is_over_at_once(void **state)
{
    (void) state;
    begin();
    assert_null(dht_lookup_next(&l, 0));
    assert_true(dht_lookup_done(&l, 0));
    assert_int_equal(dht_lookup_late_ms(&l, 0), UINT64_MAX);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_dht_lookup__asks_three_at_once_and_ends_with_the_eight_nearest),
        cmocka_unit_test(test_dht_lookup__goes_to_nearer_ones_first_and_passes_over_the_dead),
        cmocka_unit_test(test_dht_lookup__lets_another_one_out_for_one_that_is_late),
        cmocka_unit_test(test_dht_lookup__waits_for_late_ones_only_when_there_are_few),
        cmocka_unit_test(test_dht_lookup__keeps_the_nearest_32),
        cmocka_unit_test(test_dht_lookup__is_not_surrounded_from_one_network),
        cmocka_unit_test(test_dht_lookup__of_a_private_network_keeps_two_of_a_host_and_the_eight_nearest),
        cmocka_unit_test(test_dht_lookup__leaves_half_of_the_nearest_to_others_than_the_private_network),
        cmocka_unit_test(test_dht_lookup__leaves_half_of_the_nearest_to_ids_that_nobody_chooses),
        cmocka_unit_test(test_dht_lookup__asks_those_who_were_known_before_whoever_is_nearer),
        cmocka_unit_test(test_dht_lookup__counts_a_node_under_its_own_id),
        cmocka_unit_test(test_dht_lookup__ends_after_64_queries),
        cmocka_unit_test(test_dht_lookup__with_nobody_is_over_at_once),
    };
    return cmocka_run_group_tests_name("dht_lookup", tests, NULL, NULL);
}
