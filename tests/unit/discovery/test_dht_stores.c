/* What a node of the DHT keeps beside its table, each part for itself: peers of others, tokens and limits, the own address, what was found, and the saved table. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>

#include "base/err.h"
#include "discovery/dht_found.h"
#include "discovery/dht_peers.h"
#include "discovery/dht_saved.h"
#include "discovery/dht_seen.h"
#include "discovery/dht_token.h"
#include "tests/unit/discovery/dht_rig.h"

enum { NOW = 5000 };

static struct dht_random chance;

static int begin(void **state)
{
    (void) state;
    chance = rig_random(3);
    return 0;
}

/* ---- peers ---- */

static struct dht_peers peers;

static void put(const struct dht_id *hash, struct dht_endpoint at, uint64_t now)
{
    dht_peers_put(&peers, hash, &at, &chance, now);
}

static void test_dht_peers__keeps_one_place_for_a_peer_and_forgets_it_after_half_an_hour(void **state)
{
    struct dht_endpoint out[4];
    struct dht_id hash = rig_id(&chance);
    (void) state;
    memset(&peers, 0, sizeof peers);
    put(&hash, rig_public(1), NOW);
    put(&hash, rig_public(1), NOW + 1000);
    assert_int_equal(peers.count, 1);
    assert_int_equal(dht_peers_sample(&peers, &hash, 0, 4, &chance, out), 1);
    assert_int_equal(dht_peers_sample(&peers, &hash, 1, 4, &chance, out), 0);
    dht_peers_expire(&peers, NOW + DHT_PEERS_LIFE_MS);
    assert_int_equal(peers.count, 1);
    dht_peers_expire(&peers, NOW + 1000 + DHT_PEERS_LIFE_MS);
    assert_int_equal(peers.count, 0);
}

static void test_dht_peers__is_bounded_by_source_by_hash_and_in_all(void **state)
{
    struct dht_id hash = rig_id(&chance);
    (void) state;
    memset(&peers, 0, sizeof peers);
    for (unsigned i = 0; i < 1000; i++)
        put(&hash, rig_v4(20, 0, 0, 1, 1000 + i), NOW);
    assert_int_equal(peers.count, DHT_PEERS_PER_SOURCE);
    for (unsigned i = 0; i < 1000; i++)
        put(&hash, rig_v4(10, 0, 0, 1, 1000 + i), NOW);
    assert_int_equal(peers.count, 2 * DHT_PEERS_PER_SOURCE);
    for (unsigned i = 0; i < 1000; i++)
        put(&hash, rig_public(i + 1), NOW);
    assert_int_equal(peers.count, DHT_PEERS_PER_HASH);
    for (unsigned i = 0; i < 5000; i++) {
        struct dht_id other = rig_id(&chance);
        put(&other, rig_public(i + 2000), NOW);
    }
    assert_int_equal(peers.count, DHT_PEERS_MAX);
}

static void test_dht_peers__samples_by_lot(void **state)
{
    struct dht_endpoint out[8];
    struct dht_id hash = rig_id(&chance), hashes[8];
    bool seen[32] = {false};
    unsigned different = 0;
    (void) state;
    memset(&peers, 0, sizeof peers);
    for (unsigned i = 0; i < 32; i++)
        put(&hash, rig_public(i), NOW);
    for (unsigned round = 0; round < 50; round++) {
        assert_int_equal(dht_peers_sample(&peers, &hash, 0, 8, &chance, out), 8);
        for (size_t i = 0; i < 8; i++)
            seen[out[i].ip[14]] = true;
    }
    for (unsigned i = 0; i < 32; i++)
        different += seen[i];
    assert_int_equal(different, 32);
    assert_int_equal(dht_peers_hashes(&peers, 8, &chance, hashes), 1);
}

/* ---- tokens and limits ---- */

static void test_dht_tokens__hold_for_one_address_and_five_to_ten_minutes(void **state)
{
    struct dht_tokens t;
    uint8_t token[DHT_TOKEN_SIZE];
    struct dht_endpoint at = rig_public(1), other = rig_public(2);
    (void) state;
    dht_tokens_init(&t, &chance, NOW);
    dht_token_make(&t, &at, token);
    assert_true(dht_token_is_good(&t, &at, slice_of(token, sizeof token)));
    assert_false(dht_token_is_good(&t, &other, slice_of(token, sizeof token)));
    assert_false(dht_token_is_good(&t, &at, slice_of(token, sizeof token - 1)));
    dht_tokens_rotate(&t, &chance, NOW + DHT_TOKEN_ROTATION_MS);
    assert_true(dht_token_is_good(&t, &at, slice_of(token, sizeof token)));
    dht_tokens_rotate(&t, &chance, NOW + 2 * DHT_TOKEN_ROTATION_MS);
    assert_false(dht_token_is_good(&t, &at, slice_of(token, sizeof token)));
    dht_token_make(&t, &at, token);
    dht_tokens_rotate(&t, &chance, NOW + 10 * DHT_TOKEN_ROTATION_MS); /* nothing ran meanwhile */
    assert_false(dht_token_is_good(&t, &at, slice_of(token, sizeof token)));
}

static void test_dht_limit__holds_a_source_and_all_answers_back(void **state)
{
    struct dht_limit *l = malloc(sizeof *l);
    struct dht_endpoint at = rig_public(1), other = rig_public(2);
    unsigned taken = 0;
    (void) state;
    assert_non_null(l);
    dht_limit_init(l, &chance, NOW);
    for (unsigned i = 0; i < 100; i++) {
        at.port = (uint16_t) (1000 + i); /* of no account */
        taken += dht_limit_stranger(l, &at, NOW);
    }
    assert_int_equal(taken, DHT_LIMIT_SOURCE_BURST);
    assert_true(dht_limit_stranger(l, &other, NOW));
    assert_true(dht_limit_stranger(l, &at, NOW + 1000));
    for (taken = 0; dht_limit_answer(l, 512, NOW); taken++)
        ;
    assert_int_equal(taken, DHT_LIMIT_BYTES_BURST / 512);
    assert_true(dht_limit_answer(l, DHT_LIMIT_BYTES_PER_S, NOW + 1000));
    assert_false(dht_limit_answer(l, 1, NOW + 1000));
    free(l);
}

/* Sources whose places are apart, as most are. */
static unsigned taken_of_many(struct dht_limit *l, struct dht_endpoint (*source)(unsigned), unsigned count)
{
    unsigned taken = 0;
    dht_limit_init(l, &chance, NOW);
    for (unsigned i = 0; i < count; i++) {
        struct dht_endpoint at = source(i);
        taken += dht_limit_stranger(l, &at, NOW);
    }
    return taken;
}

static struct dht_endpoint of_one_private_host(unsigned i)
{
    return rig_v4(192, 168, 1, 7, 1 + i);
}

static struct dht_endpoint of_one_v6_network(unsigned i)
{
    struct dht_endpoint at = rig_public_v6(1);
    at.ip[15] = (uint8_t) i;
    at.ip[8] = (uint8_t) (i >> 8);
    return at;
}

static void test_dht_limit__bounds_what_is_read_by_source_and_in_all(void **state)
{
    struct dht_limit *l = malloc(sizeof *l);
    unsigned asked = 0;
    (void) state;
    assert_non_null(l);
    assert_int_equal(taken_of_many(l, of_one_private_host, 5000), DHT_LIMIT_SOURCE_BURST);
    assert_int_equal(taken_of_many(l, of_one_v6_network, 5000), DHT_LIMIT_SOURCE_BURST);
    assert_in_range(taken_of_many(l, rig_loopback, 200), 190, 200);
    assert_int_equal(taken_of_many(l, rig_public, 5000), DHT_LIMIT_STRANGERS_BURST);
    for (unsigned i = 0; i < 5000; i++) /* whose share strangers have not used up */
        asked += dht_limit_asked(l, NOW);
    assert_int_equal(asked, DHT_LIMIT_ASKED_PER_S);
    free(l);
}

/* ---- the own address ---- */

static void test_dht_seen__believes_most_of_the_networks(void **state)
{
    struct dht_seen s = {0};
    struct dht_endpoint own = rig_public(700), lie = rig_public(701), local = rig_private(1);
    (void) state;
    for (unsigned i = 0; i < 50; i++) { /* one network has one voice */
        struct dht_endpoint voter = rig_v4(20, 9, 9, i + 1, 6881);
        dht_seen_vote(&s, &voter, &lie);
    }
    assert_null(dht_seen_address(&s));
    for (unsigned i = 0; i < DHT_SEEN_MAJORITY; i++) {
        struct dht_endpoint voter = rig_public(i);
        assert_null(dht_seen_address(&s));
        own.port = (uint16_t) (5000 + i);
        dht_seen_vote(&s, &voter, &local); /* nothing to bind an id to */
        dht_seen_vote(&s, &voter, &own);
    }
    assert_non_null(dht_seen_address(&s));
    assert_true(dht_endpoint_same_ip(dht_seen_address(&s), &own));
}

/* ---- what was found ---- */

static struct dht_found found;

static void offer(struct dht_endpoint teller, struct dht_endpoint peer)
{
    dht_found_offer(&found, &teller, &peer, &chance);
}

static void test_dht_found__gives_an_address_once_in_ten_minutes(void **state)
{
    struct dht_endpoint out;
    (void) state;
    dht_found_init(&found, &chance, NOW);
    assert_int_equal(dht_found_wait_ms(&found, NOW), UINT64_MAX);
    for (unsigned i = 0; i < 5; i++) {
        offer(rig_public(1), rig_public(50));
        offer(rig_public(2), rig_public(50));
    }
    assert_int_equal(dht_found_wait_ms(&found, NOW), 0);
    assert_true(dht_found_next(&found, &chance, NOW, &out));
    assert_false(dht_found_next(&found, &chance, NOW, &out));
    offer(rig_public(1), rig_public(50));
    assert_false(dht_found_next(&found, &chance, NOW + DHT_FOUND_TRIED_MS - 1, &out));
    offer(rig_public(1), rig_public(50));
    assert_true(dht_found_next(&found, &chance, NOW + DHT_FOUND_TRIED_MS, &out));
}

static void test_dht_found__gives_ten_a_second_and_few_ports_of_a_host(void **state)
{
    struct dht_endpoint out;
    unsigned given = 0;
    (void) state;
    dht_found_init(&found, &chance, NOW);
    for (unsigned i = 0; i < 16; i++)
        offer(rig_public(1), rig_v4(30, 0, 0, 1, 1000 + i));
    while (dht_found_next(&found, &chance, NOW, &out))
        given++;
    assert_int_equal(given, DHT_FOUND_PORTS_PER_HOST);
    for (unsigned i = 0; i < 100; i++)
        offer(rig_public(i), rig_public(1000 + i));
    while (dht_found_next(&found, &chance, NOW, &out))
        given++;
    assert_int_equal(given, DHT_FOUND_DIALS_PER_S);
    assert_int_equal(dht_found_wait_ms(&found, NOW), 100);
    assert_true(dht_found_next(&found, &chance, NOW + 100, &out));
}

/* One host of the private network is one source and one place to dial, however many ports it names. */
static void test_dht_found__counts_a_private_host_once(void **state)
{
    struct dht_endpoint out;
    unsigned of_host = 0, of_others = 0;
    (void) state;
    dht_found_init(&found, &chance, NOW);
    for (unsigned i = 0; i < 1000; i++)
        offer(rig_v4(10, 0, 0, 1, 1000 + i), rig_v4(10, 0, 0, 1, 1000 + i));
    offer(rig_private(50), rig_private(51));
    while (dht_found_next(&found, &chance, NOW, &out))
        *(out.ip[15] == 1 ? &of_host : &of_others) += 1;
    assert_int_equal(found.source_count, 2);
    assert_int_equal(of_host, DHT_FOUND_PORTS_PER_HOST);
    assert_int_equal(of_others, 1);
}

static void test_dht_found__follows_no_stranger_into_the_own_network(void **state)
{
    struct dht_endpoint out;
    (void) state;
    dht_found_init(&found, &chance, NOW);
    offer(rig_public(1), rig_private(1));
    offer(rig_public(1), rig_v4(127, 0, 0, 1, 80));
    offer(rig_private(1), rig_v4(127, 0, 0, 1, 80));
    offer(rig_public(1), rig_v4(224, 0, 0, 1, 80));
    offer(rig_public(1), rig_v4(30, 0, 0, 1, 0));
    assert_false(dht_found_next(&found, &chance, NOW, &out));
    offer(rig_private(1), rig_private(2));
    offer(rig_private(1), rig_public(2));
    assert_true(dht_found_next(&found, &chance, NOW, &out));
    assert_true(dht_found_next(&found, &chance, NOW, &out));
}

static void test_dht_found__hears_one_honest_source_beside_a_hundred_thousand_lies(void **state)
{
    struct dht_endpoint out, true_one = rig_v4(200, 1, 2, 3, 7900);
    unsigned tries = 0;
    (void) state;
    dht_found_init(&found, &chance, NOW);
    for (unsigned i = 0; i < 100 * 1000; i++) {
        offer(rig_public(i % 20), rig_public(1000 + i));
        if (i == 50 * 1000)
            offer(rig_public(500), true_one);
    }
    for (uint64_t now = NOW; dht_found_next(&found, &chance, now, &out) && !dht_endpoint_equal(&out, &true_one); now += 100)
        tries++;
    assert_true(dht_endpoint_equal(&out, &true_one));
    assert_in_range(tries, 0, 21);
}

/* ---- the saved table ---- */

static struct dht_saved saved, again;

static void fill(size_t count)
{
    for (size_t f = 0; f < DHT_FAMILIES; f++)
        saved.own[f] = rig_id(&chance);
    for (saved.count = 0; saved.count < count; saved.count++)
        saved.nodes[saved.count] = (struct krpc_node){rig_id(&chance), rig_public((unsigned) saved.count)};
}

static void test_dht_saved__comes_back_as_it_was(void **state)
{
    static const size_t counts[] = {0, 1, DHT_SAVED_NODES_MAX};
    (void) state;
    for (size_t i = 0; i < 3; i++) {
        struct buf out;
        buf_init(&out, DHT_SAVED_SIZE_MAX);
        fill(counts[i]);
        assert_int_equal(dht_saved_pack(&saved, &out), 0);
        assert_int_equal(dht_saved_unpack(buf_slice(&out), &again), 0);
        assert_int_equal(again.count, counts[i]);
        assert_memory_equal(again.own, saved.own, sizeof saved.own);
        assert_memory_equal(again.nodes, saved.nodes, counts[i] * sizeof saved.nodes[0]);
        buf_dispose(&out);
    }
}

static void test_dht_saved__refuses_every_damaged_byte_and_every_cut(void **state)
{
    struct buf out;
    (void) state;
    buf_init(&out, 0);
    fill(3);
    assert_int_equal(dht_saved_pack(&saved, &out), 0);
    for (size_t i = 0; i < out.size; i++) {
        out.data[i] ^= 0x10;
        assert_int_equal(dht_saved_unpack(buf_slice(&out), &again), i == 4 || i == 5 ? GRID_EUNSUPPORTED : GRID_ECORRUPT);
        out.data[i] ^= 0x10;
        assert_int_equal(dht_saved_unpack(slice_of(out.data, i), &again), GRID_ECORRUPT);
    }
    saved.nodes[1].at.port = 0; /* whole, but wrong */
    buf_clear(&out);
    assert_int_equal(dht_saved_pack(&saved, &out), 0);
    assert_int_equal(dht_saved_unpack(buf_slice(&out), &again), GRID_ECORRUPT);
    buf_dispose(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_dht_peers__keeps_one_place_for_a_peer_and_forgets_it_after_half_an_hour, begin),
        cmocka_unit_test_setup(test_dht_peers__is_bounded_by_source_by_hash_and_in_all, begin),
        cmocka_unit_test_setup(test_dht_peers__samples_by_lot, begin),
        cmocka_unit_test_setup(test_dht_tokens__hold_for_one_address_and_five_to_ten_minutes, begin),
        cmocka_unit_test_setup(test_dht_limit__holds_a_source_and_all_answers_back, begin),
        cmocka_unit_test_setup(test_dht_limit__bounds_what_is_read_by_source_and_in_all, begin),
        cmocka_unit_test_setup(test_dht_seen__believes_most_of_the_networks, begin),
        cmocka_unit_test_setup(test_dht_found__gives_an_address_once_in_ten_minutes, begin),
        cmocka_unit_test_setup(test_dht_found__gives_ten_a_second_and_few_ports_of_a_host, begin),
        cmocka_unit_test_setup(test_dht_found__counts_a_private_host_once, begin),
        cmocka_unit_test_setup(test_dht_found__follows_no_stranger_into_the_own_network, begin),
        cmocka_unit_test_setup(test_dht_found__hears_one_honest_source_beside_a_hundred_thousand_lies, begin),
        cmocka_unit_test_setup(test_dht_saved__comes_back_as_it_was, begin),
        cmocka_unit_test_setup(test_dht_saved__refuses_every_damaged_byte_and_every_cut, begin),
    };
    return cmocka_run_group_tests_name("dht_stores", tests, NULL, NULL);
}
