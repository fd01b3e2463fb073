/* Members that are remembered: who is kept, what is worth writing, and the bytes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/crc32c.h"
#include "base/err.h"
#include "discovery/remembered.h"

enum { NOW = 1700000000 };

static struct remembered table, other;

static int setup(void **state)
{
    (void) state;
    table = (struct remembered){.grid = "fleet"};
    memset(table.authority, 'a', MEMBER_ID_SIZE - 1);
    return 0;
}

static const char *id_of(unsigned number)
{
    static char id[MEMBER_ID_SIZE];
    snprintf(id, sizeof id, "%064x", number);
    return id;
}

static bool see(unsigned number, const char *address, int64_t now_s)
{
    return remembered_see(&table, id_of(number), &address, 1, now_s);
}

static void test_remembered__only_news_is_worth_writing(void **state)
{
    (void) state;
    assert_true(see(1, "10.0.0.1:7900", NOW));
    assert_false(see(1, "10.0.0.1:7900", NOW + 5));
    assert_true(see(1, "10.0.0.9:7900", NOW + 6));
    assert_string_equal(table.peers[0].addresses[0], "10.0.0.9:7900");
    assert_false(see(1, "10.0.0.9:7900", NOW + 7));
    table.peers[0].seen_s = NOW;
    assert_true(see(1, "10.0.0.9:7900", NOW + REMEMBERED_RENEW_S));
    assert_int_equal(table.count, 1);
}

static void test_remembered__keeps_addresses_in_order_and_leaves_out_what_is_none(void **state)
{
    (void) state;
    char longer[HINT_ADDRESS_MAX + 8];
    memset(longer, 'x', sizeof longer - 4);
    memcpy(longer + sizeof longer - 4, ":80", 4);
    const char *const addresses[] = {longer, "", "host", "host:0", "a b:1", "[fd00::1]:7900", "example.org:7900", "[fd00::1]:7900", "10.0.0.1:1", "10.0.0.1:2", "10.0.0.1:3"};
    assert_true(remembered_see(&table, id_of(1), addresses, 11, NOW));
    assert_int_equal(table.peers[0].address_count, REMEMBERED_ADDRESSES_MAX);
    assert_string_equal(table.peers[0].addresses[0], "[fd00::1]:7900");
    assert_string_equal(table.peers[0].addresses[3], "10.0.0.1:2");
    assert_false(remembered_see(&table, id_of(2), addresses, 5, NOW));
    assert_int_equal(table.count, 1);
}

static void test_remembered__of_many_those_that_stay_are_kept(void **state)
{
    (void) state;
    for (unsigned i = 0; i < REMEMBERED_MAX; i++)
        assert_true(see(i, "10.0.0.1:7900", NOW + (i == 7 ? 0 : REMEMBERED_YIELDS_S)));
    assert_false(see(1000, "10.0.0.2:7900", NOW + REMEMBERED_YIELDS_S - 1));
    assert_true(see(1000, "10.0.0.2:7900", NOW + REMEMBERED_YIELDS_S));
    assert_false(see(1001, "10.0.0.2:7900", NOW + REMEMBERED_YIELDS_S));
    assert_int_equal(table.count, REMEMBERED_MAX);
    assert_string_equal(table.peers[7].id, id_of(1000));
}

static void test_remembered__forgets_the_evicted_and_who_was_away_for_a_month(void **state)
{
    (void) state;
    see(1, "10.0.0.1:7900", NOW);
    see(2, "10.0.0.2:7900", NOW + 100);
    see(3, "10.0.0.3:7900", NOW);
    assert_true(remembered_forget(&table, id_of(3)));
    assert_false(remembered_forget(&table, id_of(3)));
    assert_false(remembered_age(&table, NOW + REMEMBERED_LASTS_S - 1));
    assert_true(remembered_age(&table, NOW + REMEMBERED_LASTS_S));
    assert_int_equal(table.count, 1);
    assert_string_equal(table.peers[0].id, id_of(2));
}

static void test_remembered__reads_back_what_it_wrote(void **state)
{
    (void) state;
    struct buf out;
    for (unsigned i = 0; i < REMEMBERED_MAX; i++)
        see(i * 977, i % 2 ? "10.0.0.1:7900" : "[2001:db8::1]:65535", NOW + i);
    buf_init(&out, REMEMBERED_SIZE_MAX);
    assert_int_equal(remembered_pack(&table, &out), 0);
    assert_int_equal(remembered_unpack(buf_slice(&out), &other), 0);
    assert_int_equal(other.count, REMEMBERED_MAX);
    assert_string_equal(other.grid, "fleet");
    assert_string_equal(other.authority, table.authority);
    for (size_t i = 0; i < other.count; i++) {
        assert_string_equal(other.peers[i].id, table.peers[i].id);
        assert_string_equal(other.peers[i].addresses[0], table.peers[i].addresses[0]);
        assert_int_equal(other.peers[i].seen_s, table.peers[i].seen_s);
    }
    buf_dispose(&out);
}

static void seal(struct buf *out)
{
    buf_append_u32be(out, crc32c(0, buf_slice(out)));
}

static void test_remembered__every_cut_and_flipped_byte_is_found(void **state)
{
    (void) state;
    struct buf out;
    see(1, "10.0.0.1:7900", NOW);
    see(2, "10.0.0.2:7900", NOW);
    buf_init(&out, REMEMBERED_SIZE_MAX);
    assert_int_equal(remembered_pack(&table, &out), 0);
    for (size_t i = 0; i < out.size; i++) {
        out.data[i] ^= 1;
        int err = remembered_unpack(buf_slice(&out), &other);
        assert_true(err == GRID_ECORRUPT || (i >= 4 && i < 6 && err == GRID_EUNSUPPORTED));
        assert_int_equal(other.count, 0);
        out.data[i] ^= 1;
        assert_int_equal(remembered_unpack(slice_first(buf_slice(&out), i), &other), GRID_ECORRUPT);
    }
    buf_dispose(&out);
}

/* With a right checksum: one after the other is wrong. */
static void test_remembered__what_is_whole_but_wrong_is_refused(void **state)
{
    (void) state;
    static const struct {
        const char *what;
        unsigned ids[2], addresses;
        const char *address;
    } CASES[] = {
        {"the same member twice", {4, 4}, 1, "10.0.0.1:7900"}, {"no address", {1, 2}, 0, ""}, {"too many addresses", {1, 2}, 5, "10.0.0.1:7900"},
        {"no port", {1, 2}, 1, "10.0.0.1"},                    {"a blank", {1, 2}, 1, "a b:1"}, {"an empty address", {1, 2}, 1, ""},
    };
    for (size_t c = 0; c < sizeof CASES / sizeof *CASES; c++) {
        struct buf out;
        buf_init(&out, 0);
        buf_append(&out, SLICE("GPRS\0\1\5fleet\0\0\2"));
        for (int i = 0; i < 2; i++) {
            uint8_t id[MEMBER_ID_BYTES];
            member_id_bytes(id_of(CASES[c].ids[i]), id, sizeof id);
            buf_append(&out, slice_of(id, sizeof id));
            buf_append_u64be(&out, NOW);
            buf_append_byte(&out, (uint8_t) CASES[c].addresses);
            for (unsigned a = 0; a < CASES[c].addresses; a++) {
                buf_append_byte(&out, (uint8_t) strlen(CASES[c].address));
                buf_append_str(&out, CASES[c].address);
            }
        }
        seal(&out);
        if (remembered_unpack(buf_slice(&out), &other) != GRID_ECORRUPT)
            fail_msg("%s is taken", CASES[c].what);
        buf_dispose(&out);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_remembered__only_news_is_worth_writing, setup),
        cmocka_unit_test_setup(test_remembered__keeps_addresses_in_order_and_leaves_out_what_is_none, setup),
        cmocka_unit_test_setup(test_remembered__of_many_those_that_stay_are_kept, setup),
        cmocka_unit_test_setup(test_remembered__forgets_the_evicted_and_who_was_away_for_a_month, setup),
        cmocka_unit_test_setup(test_remembered__reads_back_what_it_wrote, setup),
        cmocka_unit_test_setup(test_remembered__every_cut_and_flipped_byte_is_found, setup),
        cmocka_unit_test_setup(test_remembered__what_is_whole_but_wrong_is_refused, setup),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
