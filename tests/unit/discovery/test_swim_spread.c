/* The queue of news. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "discovery/swim_spread.h"

static void test_swim_spread__passes_each_piece_on_so_often(void **state)
{
    static struct swim_spread s;
    uint16_t slots[8];
    unsigned sent[20] = {0}, rounds = 0;
    (void) state;
    for (uint16_t i = 0; i < 20; i++)
        swim_spread_put(&s, i);
    for (size_t taken; (taken = swim_spread_take(&s, 6, 8, slots)) > 0; rounds++)
        for (size_t i = 0; i < taken; i++)
            sent[slots[i]]++;
    for (unsigned i = 0; i < 20; i++)
        assert_int_equal(sent[i], 6);
    assert_in_range(rounds, 15, 17);
}

static void test_swim_spread__prefers_what_was_sent_least(void **state)
{
    static struct swim_spread s;
    uint16_t slots[4];
    (void) state;
    for (uint16_t i = 0; i < 3; i++)
        swim_spread_put(&s, i);
    assert_int_equal(swim_spread_take(&s, 9, 3, slots), 3);
    assert_int_equal(swim_spread_take(&s, 9, 2, slots), 2);
    uint16_t left = (uint16_t) (3 - slots[0] - slots[1]); /* of 0, 1, 2 */
    assert_int_equal(swim_spread_take(&s, 9, 1, slots), 1);
    assert_int_equal(slots[0], left);
    swim_spread_put(&s, 700);
    assert_int_equal(swim_spread_take(&s, 9, 1, slots), 1);
    assert_int_equal(slots[0], 700);
}

static void test_swim_spread__begins_anew_with_newer_news_of_the_same_member(void **state)
{
    static struct swim_spread s;
    uint16_t slot;
    unsigned sent = 0;
    (void) state;
    swim_spread_put(&s, 5);
    for (int i = 0; i < 3; i++)
        assert_int_equal(swim_spread_take(&s, 4, 1, &slot), 1);
    swim_spread_put(&s, 5);
    assert_int_equal(s.count, 1);
    while (swim_spread_take(&s, 4, 1, &slot))
        sent++;
    assert_int_equal(sent, 4);
}

static void test_swim_spread__tells_less_often_what_others_tell_too(void **state)
{
    static struct swim_spread s;
    uint16_t slots[3];
    unsigned sent = 0;
    (void) state;
    for (uint16_t i = 0; i < 3; i++)
        swim_spread_put(&s, i);
    swim_spread_echo(&s, 900, 4); /* not ours */
    swim_spread_echo(&s, 1, 4);
    swim_spread_echo(&s, 1, 4);
    assert_int_equal(swim_spread_take(&s, 4, 2, slots), 2);
    assert_int_not_equal(slots[0], 1);
    assert_int_not_equal(slots[1], 1);
    for (size_t taken; (taken = swim_spread_take(&s, 4, 3, slots)) > 0;)
        for (size_t i = 0; i < taken; i++)
            sent += slots[i] == 1;
    assert_int_equal(sent, 2);
    swim_spread_put(&s, 7);
    for (int i = 0; i < 4; i++)
        swim_spread_echo(&s, 7, 4);
    assert_int_equal(s.count, 0);
}

static void test_swim_spread__drops_and_bounds(void **state)
{
    static struct swim_spread s;
    uint16_t slots[SWIM_SLOTS_MAX];
    (void) state;
    for (int round = 0; round < 3; round++)
        for (uint16_t i = 0; i < SWIM_SLOTS_MAX; i++)
            swim_spread_put(&s, i);
    assert_int_equal(s.count, SWIM_SLOTS_MAX);
    for (uint16_t i = 0; i < SWIM_SLOTS_MAX; i += 2)
        swim_spread_drop(&s, i);
    swim_spread_drop(&s, 0);
    assert_int_equal(swim_spread_take(&s, 1, SWIM_SLOTS_MAX, slots), SWIM_SLOTS_MAX / 2);
    for (size_t i = 0; i < SWIM_SLOTS_MAX / 2; i++)
        assert_int_equal(slots[i] % 2, 1);
    assert_int_equal(s.count, 0);
}

static void test_swim_spread__limits_by_the_logarithm_of_the_group(void **state)
{
    static const struct {
        size_t members;
        unsigned limit;
    } cases[] = {{0, 0}, {1, 3}, {2, 6}, {7, 9}, {8, 12}, {31, 15}, {1000, 30}};
    (void) state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        assert_int_equal(swim_spread_limit(3, cases[i].members), cases[i].limit);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_swim_spread__passes_each_piece_on_so_often),
        cmocka_unit_test(test_swim_spread__prefers_what_was_sent_least),
        cmocka_unit_test(test_swim_spread__begins_anew_with_newer_news_of_the_same_member),
        cmocka_unit_test(test_swim_spread__tells_less_often_what_others_tell_too),
        cmocka_unit_test(test_swim_spread__drops_and_bounds),
        cmocka_unit_test(test_swim_spread__limits_by_the_logarithm_of_the_group),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
