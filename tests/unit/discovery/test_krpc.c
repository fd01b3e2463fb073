/* Messages of the DHT, and ids. The examples are BEP 5's and BEP 42's own. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/err.h"
#include "base/hex.h"
#include "discovery/krpc.h"

static struct krpc m;

/* As BEP 5 shows them, in its own order of keys where that is the canonical one. */
static void test_krpc__reads_and_writes_the_queries_of_bep_5(void **state)
{
    static const struct {
        const char *text;
        enum krpc_method method;
    } cases[] = {
        {"d1:ad2:id20:abcdefghij0123456789e1:q4:ping1:t2:aa1:y1:qe", KRPC_PING},
        {"d1:ad2:id20:abcdefghij01234567896:target20:mnopqrstuvwxyz123456e1:q9:find_node1:t2:aa1:y1:qe", KRPC_FIND_NODE},
        {"d1:ad2:id20:abcdefghij01234567899:info_hash20:mnopqrstuvwxyz123456e1:q9:get_peers1:t2:aa1:y1:qe", KRPC_GET_PEERS},
        {"d1:ad2:id20:abcdefghij012345678912:implied_porti1e9:info_hash20:mnopqrstuvwxyz1234564:porti6881e5:token8:aoeusnthe1:q13:announce_peer1:t2:aa1:y1:qe", KRPC_ANNOUNCE_PEER},
        {"d1:ad2:id20:abcdefghij01234567896:target20:mnopqrstuvwxyz1234564:wantl2:n42:n6ee1:q17:sample_infohashes2:roi1e1:t2:aa1:v4:GC011:y1:qe", KRPC_SAMPLE_INFOHASHES},
    };
    (void) state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct buf out;
        buf_init(&out, 0);
        assert_int_equal(krpc_unpack(slice_of_str(cases[i].text), &m), 0);
        assert_int_equal(m.kind, KRPC_QUERY);
        assert_int_equal(m.method, cases[i].method);
        assert_false(m.faulty);
        assert_memory_equal(m.id.bytes, "abcdefghij0123456789", 20);
        assert_int_equal(krpc_pack(&m, &out), 0);
        assert_string_equal(buf_cstr(&out), cases[i].text);
        buf_dispose(&out);
    }
    assert_true(m.read_only && m.want == (KRPC_WANT_V4 | KRPC_WANT_V6));
}

static void test_krpc__reads_peers_nodes_and_the_own_address(void **state)
{
    static const char text[] = "d2:ip6:\x7f\0\0\1\x1a\xe1" "1:rd2:id20:abcdefghij01234567895:nodes26:mnopqrstuvwxyz123456axje.u5:token8:aoeusnth6:valuesl6:axje.u6:idhtnmee1:t2:aa1:y1:re";
    struct slice in = slice_of(text, sizeof text - 1);
    struct buf out;
    (void) state;
    buf_init(&out, 0);
    assert_int_equal(krpc_unpack(in, &m), 0);
    assert_int_equal(m.value_count, 2);
    assert_int_equal(m.values[1].port, 'n' << 8 | 'm');
    assert_int_equal(m.node_count, 1);
    assert_true(m.has_nodes && !m.has_nodes6 && dht_endpoint_equal(&m.nodes[0].at, &m.values[0]));
    assert_int_equal(m.external.port, 6881);
    assert_int_equal(dht_endpoint_scope(&m.external), DHT_SCOPE_LOOPBACK);
    assert_true(slice_equal_str(m.token, "aoeusnth"));
    assert_int_equal(krpc_pack(&m, &out), 0);
    assert_true(slice_equal(buf_slice(&out), in));
    buf_dispose(&out);
}

static void test_krpc__reads_errors(void **state)
{
    (void) state;
    assert_int_equal(krpc_unpack(SLICE("d1:eli201e23:A Generic Error Ocurrede1:t2:aa1:y1:ee"), &m), 0);
    assert_int_equal(m.kind, KRPC_ERROR);
    assert_int_equal(m.error_code, KRPC_ERROR_GENERIC);
    assert_true(slice_equal_str(m.error_text, "A Generic Error Ocurred"));
}

static void test_krpc__refuses_what_cannot_be_right(void **state)
{
    static const char *const cases[] = {
        "i1e", "de", "d1:t2:aae", "d1:t2:aa1:y1:qe", "d1:t2:aa1:y1:xe", "d1:q4:ping1:y1:qe", "d1:t21:aaaaaaaaaaaaaaaaaaaaa1:q4:ping1:y1:qe", "d1:rde1:t2:aa1:y1:re",
        "d1:rd2:id19:abcdefghij012345678e1:t2:aa1:y1:re", "d1:rd2:id20:abcdefghij01234567895:nodes25:mnopqrstuvwxyz123456axje.e1:t2:aa1:y1:re",
        "d1:rd2:id20:abcdefghij01234567897:samples19:mnopqrstuvwxyz12345e1:t2:aa1:y1:re", "d1:eli201ee1:t2:aa1:y1:ee", "d1:el3:abc3:abce1:t2:aa1:y1:ee", "d1:e3:abc1:t2:aa1:y1:ee",
    };
    (void) state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        if (krpc_unpack(slice_of_str(cases[i]), &m) != GRID_EPROTO)
            fail_msg("\"%s\" was taken", cases[i]);
}

static void test_krpc__says_which_queries_are_faulty(void **state)
{
    static const char *const cases[] = {
        "d1:q4:ping1:t2:aa1:y1:qe", "d1:ad2:id5:shorte1:q4:ping1:t2:aa1:y1:qe", "d1:ad2:id20:abcdefghij0123456789e1:q9:find_node1:t2:aa1:y1:qe",
        "d1:ad2:id20:abcdefghij0123456789e1:q9:get_peers1:t2:aa1:y1:qe",
        "d1:ad2:id20:abcdefghij01234567899:info_hash20:mnopqrstuvwxyz1234564:porti6881ee1:q13:announce_peer1:t2:aa1:y1:qe",
        "d1:ad2:id20:abcdefghij01234567899:info_hash20:mnopqrstuvwxyz1234564:porti0e5:token1:xe1:q13:announce_peer1:t2:aa1:y1:qe",
        "d1:ad2:id20:abcdefghij01234567899:info_hash20:mnopqrstuvwxyz1234564:porti65536e5:token1:xe1:q13:announce_peer1:t2:aa1:y1:qe",
        "d1:ad2:id20:abcdefghij01234567899:info_hash20:mnopqrstuvwxyz1234565:token1:xe1:q13:announce_peer1:t2:aa1:y1:qe",
    };
    (void) state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        assert_int_equal(krpc_unpack(slice_of_str(cases[i]), &m), 0);
        assert_true(m.faulty);
    }
    assert_int_equal(krpc_unpack(SLICE("d1:ad2:id20:abcdefghij0123456789e1:q4:vote1:t2:aa1:y1:qe"), &m), 0);
    assert_int_equal(m.method, KRPC_UNKNOWN);
}

static void test_krpc__passes_over_a_mapped_address_among_ipv6_nodes(void **state)
{
    static const char text[] = "d1:rd2:id20:abcdefghij01234567896:nodes638:mnopqrstuvwxyz123456\0\0\0\0\0\0\0\0\0\0\xff\xff\x7f\0\0\1\0\x50" "e1:t2:aa1:y1:re";
    (void) state;
    assert_int_equal(krpc_unpack(slice_of(text, sizeof text - 1), &m), 0);
    assert_true(m.has_nodes6);
    assert_int_equal(m.node_count, 0);
}

static struct dht_endpoint v4(uint8_t a, uint8_t b, uint8_t c, uint8_t d)
{
    return (struct dht_endpoint){{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, a, b, c, d}, 1};
}

/* The table of BEP 42. */
static void test_dht_id__is_bound_to_its_address(void **state)
{
    const struct {
        struct dht_endpoint at;
        const char *id;
    } cases[] = {
        {v4(124, 31, 75, 21), "5fbfbff10c5d6a4ec8a88e4c6ab4c28b95eee401"}, {v4(21, 75, 31, 124), "5a3ce9c14e7a08645677bbd1cfe7d8f956d53256"},
        {v4(65, 23, 51, 170), "a5d43220bc8f112a3d426c84764f8c2a1150e616"}, {v4(84, 124, 73, 14), "1b0321dd1bb1fe518101ceef99462b947a01ff41"},
        {v4(43, 213, 53, 83), "e56f6cbf5b7c4be0237986d5243b87aa6d51305a"},
    };
    (void) state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct dht_id id;
        assert_int_equal(hex_decode(slice_of_str(cases[i].id), id.bytes, DHT_ID_SIZE), 0);
        assert_true(dht_id_fits(&id, &cases[i].at));
        id.bytes[1] ^= 1;
        assert_false(dht_id_fits(&id, &cases[i].at));
        dht_id_bind(&id, &cases[i].at);
        assert_true(dht_id_fits(&id, &cases[i].at));
        id.bytes[0] ^= 1;
        const struct dht_endpoint at_home = v4(192, 168, 1, 7), here = v4(127, 0, 0, 1);
        assert_false(dht_id_fits(&id, &at_home)); /* whoever is there chose it */
        assert_true(dht_id_fits(&id, &here));
    }
}

static void test_dht_id__measures_by_xor(void **state)
{
    struct dht_id a = {{0}}, b = {{0}}, target = {{0}};
    (void) state;
    b.bytes[19] = 1;
    assert_int_equal(dht_id_common_bits(&a, &a), 160);
    assert_int_equal(dht_id_common_bits(&a, &b), 159);
    assert_true(dht_id_compare(&target, &a, &b) < 0);
    target.bytes[19] = 3;
    assert_true(dht_id_compare(&target, &a, &b) > 0);
    b.bytes[0] = 0x20;
    assert_int_equal(dht_id_common_bits(&a, &b), 2);
}

static void test_dht_id__tags_change_with_the_name_and_daily(void **state)
{
    struct dht_id a, b;
    (void) state;
    dht_id_tag(SLICE("sea"), 20000, &a);
    dht_id_tag(SLICE("sea"), 20000, &b);
    assert_true(dht_id_equal(&a, &b));
    dht_id_tag(SLICE("sea"), 20001, &b);
    assert_false(dht_id_equal(&a, &b));
    dht_id_tag(SLICE("lake"), 20000, &b);
    assert_false(dht_id_equal(&a, &b));
    uint8_t known[DHT_ID_SIZE]; /* printf 'gridcontrol dht 1\nsea\n20000' | sha256sum | head -c 40 */
    assert_int_equal(hex_decode(slice_of_str("4905a4a0fefe5e80325c134808bbf72235af2dea"), known, sizeof known), 0);
    assert_memory_equal(a.bytes, known, sizeof known);
}

static void test_dht_endpoint__knows_how_far_it_reaches(void **state)
{
    const struct {
        struct dht_endpoint at;
        enum dht_scope scope;
    } cases[] = {
        {v4(0, 0, 0, 0), DHT_SCOPE_NONE}, {v4(127, 0, 0, 1), DHT_SCOPE_LOOPBACK}, {v4(10, 1, 2, 3), DHT_SCOPE_LOCAL}, {v4(172, 16, 0, 1), DHT_SCOPE_LOCAL},
        {v4(172, 32, 0, 1), DHT_SCOPE_PUBLIC}, {v4(192, 168, 0, 1), DHT_SCOPE_LOCAL}, {v4(169, 254, 169, 254), DHT_SCOPE_LOCAL}, {v4(100, 64, 0, 1), DHT_SCOPE_LOCAL},
        {v4(224, 0, 0, 1), DHT_SCOPE_NONE}, {v4(255, 255, 255, 255), DHT_SCOPE_NONE}, {v4(8, 8, 8, 8), DHT_SCOPE_PUBLIC},
        {{{[15] = 1}, 1}, DHT_SCOPE_LOOPBACK}, {{{0}, 1}, DHT_SCOPE_NONE}, {{{0xfe, 0x80, [15] = 1}, 1}, DHT_SCOPE_LOCAL}, {{{0xfd, [15] = 1}, 1}, DHT_SCOPE_LOCAL},
        {{{0xff, 2, [15] = 1}, 1}, DHT_SCOPE_NONE}, {{{0x20, 1, [15] = 1}, 1}, DHT_SCOPE_PUBLIC}, {{{0x20, 1, [15] = 1}, 0}, DHT_SCOPE_NONE},
    };
    (void) state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        if (dht_endpoint_scope(&cases[i].at) != cases[i].scope)
            fail_msg("case %zu", i);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_krpc__reads_and_writes_the_queries_of_bep_5),
        cmocka_unit_test(test_krpc__reads_peers_nodes_and_the_own_address),
        cmocka_unit_test(test_krpc__reads_errors),
        cmocka_unit_test(test_krpc__refuses_what_cannot_be_right),
        cmocka_unit_test(test_krpc__says_which_queries_are_faulty),
        cmocka_unit_test(test_krpc__passes_over_a_mapped_address_among_ipv6_nodes),
        cmocka_unit_test(test_dht_id__is_bound_to_its_address),
        cmocka_unit_test(test_dht_id__measures_by_xor),
        cmocka_unit_test(test_dht_id__tags_change_with_the_name_and_daily),
        cmocka_unit_test(test_dht_endpoint__knows_how_far_it_reaches),
    };
    return cmocka_run_group_tests_name("krpc", tests, NULL, NULL);
}
