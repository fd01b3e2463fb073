/* Which address is dialled when, in virtual time. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "net/race.h"

enum { START = 1000 };

static struct addr addr_of(const char *text)
{
    struct addr a;
    assert_int_equal(addr_parse(slice_of_str(text), &a), 0);
    return a;
}

static struct race race_of(const char *texts)
{
    struct race r = {0};
    char copy[512], *at = copy;
    snprintf(copy, sizeof copy, "%s", texts);
    for (const char *text; (text = strsep(&at, " "));) {
        struct addr a = addr_of(text);
        race_add(&r, &a);
    }
    return r;
}

static void assert_order(const struct race *r, const char *texts)
{
    char order[512] = "", text[ADDR_TEXT_MAX];
    for (size_t i = 0; i < r->count; i++) {
        addr_format(&r->at[i], text);
        strncat(order, i ? " " : "", sizeof order - strlen(order) - 1);
        strncat(order, text, sizeof order - strlen(order) - 1);
    }
    assert_string_equal(order, texts);
}

static void test_race__the_next_one_starts_after_its_head_start(void **state)
{
    struct race r = race_of("10.0.0.1:1 10.0.0.2:1 10.0.0.3:1");
    uint64_t wait;
    (void) state;
    assert_int_equal(race_next(&r, START, &wait), 0);
    assert_int_equal(race_next(&r, START, &wait), -1);
    assert_int_equal(wait, RACE_HEAD_START_MS);
    assert_int_equal(race_next(&r, START + RACE_HEAD_START_MS - 1, &wait), -1);
    assert_int_equal(wait, 1);
    assert_int_equal(race_next(&r, START + RACE_HEAD_START_MS, &wait), 1);
    assert_int_equal(race_next(&r, START + 2 * RACE_HEAD_START_MS, &wait), 2);
    assert_int_equal(race_next(&r, START + 9 * RACE_HEAD_START_MS, &wait), -1);
    assert_true(wait == UINT64_MAX);
}

static void test_race__a_failure_lets_the_next_one_start_at_once(void **state)
{
    struct race r = race_of("10.0.0.1:1 10.0.0.2:1");
    uint64_t wait;
    (void) state;
    assert_int_equal(race_next(&r, START, &wait), 0);
    assert_false(race_is_last(&r, 0));
    race_failed(&r, 0);
    assert_int_equal(race_next(&r, START + 1, &wait), 1);
    assert_true(race_is_last(&r, 1));
    assert_false(race_is_lost(&r));
    race_failed(&r, 1);
    assert_true(race_is_lost(&r));
    assert_int_equal(race_next(&r, START + 2, &wait), -1);
    assert_true(wait == UINT64_MAX);
}

static void test_race__one_that_is_added_late_has_its_turn(void **state)
{
    struct race r = {0};
    struct addr late = addr_of("[2001:db8::1]:1");
    uint64_t wait;
    (void) state;
    assert_int_equal(race_next(&r, START, &wait), -1);
    assert_true(race_is_lost(&r));
    race_add(&r, &late);
    race_add(&r, &late);
    assert_int_equal(r.count, 1);
    assert_false(race_is_lost(&r));
    assert_int_equal(race_next(&r, START, &wait), 0);
}

static void test_race__families_take_turns(void **state)
{
    static const char *const CASES[][2] = {
        {"10.0.0.1:1 10.0.0.2:1 10.0.0.3:1 [2001:db8::1]:1 [2001:db8::2]:1", "10.0.0.1:1 [2001:db8::1]:1 10.0.0.2:1 [2001:db8::2]:1 10.0.0.3:1"},
        {"[2001:db8::1]:1 [2001:db8::2]:1 10.0.0.1:1", "[2001:db8::1]:1 10.0.0.1:1 [2001:db8::2]:1"},
        {"10.0.0.1:1 10.0.0.2:1", "10.0.0.1:1 10.0.0.2:1"},
        {"10.0.0.1:1", "10.0.0.1:1"},
    };
    (void) state;
    for (size_t i = 0; i < sizeof CASES / sizeof *CASES; i++) {
        struct race r = race_of(CASES[i][0]);
        race_sort(&r);
        assert_order(&r, CASES[i][1]);
    }
}

static void test_race__what_worked_before_goes_first(void **state)
{
    struct race r = race_of("10.0.0.1:1 10.0.0.2:1 10.0.0.3:1");
    struct addr known = addr_of("10.0.0.3:1"), foreign = addr_of("192.0.2.1:9");
    (void) state;
    race_prefer(&r, &known);
    assert_order(&r, "10.0.0.3:1 10.0.0.1:1 10.0.0.2:1");
    race_prefer(&r, &foreign);
    assert_order(&r, "192.0.2.1:9 10.0.0.3:1 10.0.0.1:1 10.0.0.2:1");
}

static void test_race__holds_no_more_than_fit_and_the_preferred_one_always(void **state)
{
    struct race r = {0};
    struct addr at = addr_of("10.0.0.1:1");
    (void) state;
    for (uint16_t port = 1; port <= RACE_MAX + 3; port++) {
        addr_set_port(&at, port);
        race_add(&r, &at);
    }
    assert_int_equal(r.count, RACE_MAX);
    race_prefer(&r, &at);
    assert_int_equal(r.count, RACE_MAX);
    assert_true(addr_equal(&r.at[0], &at));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_race__the_next_one_starts_after_its_head_start),
        cmocka_unit_test(test_race__a_failure_lets_the_next_one_start_at_once),
        cmocka_unit_test(test_race__one_that_is_added_late_has_its_turn),
        cmocka_unit_test(test_race__families_take_turns),
        cmocka_unit_test(test_race__what_worked_before_goes_first),
        cmocka_unit_test(test_race__holds_no_more_than_fit_and_the_preferred_one_always),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
