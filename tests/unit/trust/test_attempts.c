/* Limits of attempts: by source, by time, in all. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/err.h"
#include "trust/attempts.h"

enum { MINUTE = 60 * 1000, HOUR = 60 * MINUTE };
typedef uint8_t source[ATTEMPTS_SOURCE_SIZE];

static struct attempts *create(unsigned limit, uint64_t window_ms, size_t sources)
{
    struct attempts *a;
    assert_int_equal(attempts_create(&(struct attempts_config){.limit = limit, .window_ms = window_ms, .source_count = sources}, &a), 0);
    return a;
}

static void v4(uint8_t last, source out)
{
    static const source BASE = {[10] = 0xff, [11] = 0xff, [12] = 10};
    memcpy(out, BASE, sizeof BASE);
    out[15] = last;
}

static void v6(uint8_t network, uint8_t host, source out)
{
    static const source BASE = {0x20, 0x01, 0x0d, 0xb8};
    memcpy(out, BASE, sizeof BASE);
    out[7] = network;
    out[15] = host;
}

static void test_attempts__allows_ten_in_any_minute_of_one_source(void **state)
{
    struct attempts *a = create(10, MINUTE, 16);
    source one, two;
    uint64_t wait;
    (void) state;
    v4(1, one), v4(2, two);
    for (uint64_t i = 0; i < 10; i++)
        assert_true(attempts_take(a, one, 1000 * i, NULL));
    assert_false(attempts_take(a, one, 10000, &wait));
    assert_int_equal(wait, 50000);
    assert_true(attempts_take(a, two, 10000, &wait));
    assert_int_equal(wait, 0);
    assert_false(attempts_take(a, one, MINUTE - 1, &wait));
    assert_int_equal(wait, 1);
    assert_true(attempts_take(a, one, MINUTE, NULL)); /* the first is a minute old */
    assert_false(attempts_take(a, one, MINUTE, NULL));
    attempts_destroy(a);
}

static void test_attempts__does_not_count_what_ended_well(void **state)
{
    struct attempts *a = create(2, MINUTE, 16);
    source one, two;
    (void) state;
    v4(1, one), v4(2, two);
    for (int i = 0; i < 100; i++) {
        assert_true(attempts_take(a, one, 5, NULL));
        attempts_give_back(a, one);
    }
    attempts_give_back(a, two); /* never taken: nothing happens */
    assert_true(attempts_take(a, one, 5, NULL));
    assert_true(attempts_take(a, one, 5, NULL));
    assert_false(attempts_take(a, one, 5, NULL));
    attempts_destroy(a);
}

static void test_attempts__counts_ipv6_by_its_network(void **state)
{
    struct attempts *a = create(3, MINUTE, 16);
    source s;
    (void) state;
    for (uint8_t host = 1; host <= 3; host++) {
        v6(1, host, s);
        assert_true(attempts_take(a, s, 0, NULL));
    }
    v6(1, 99, s);
    assert_false(attempts_take(a, s, 0, NULL));
    v6(2, 99, s);
    assert_true(attempts_take(a, s, 0, NULL));
    attempts_destroy(a);
}

static void test_attempts__forgets_who_tried_least_when_the_table_is_full(void **state)
{
    struct attempts *a = create(2, MINUTE, 4);
    source s;
    uint64_t wait;
    (void) state;
    for (uint8_t i = 0; i < 4; i++) {
        v4(i, s);
        assert_true(attempts_take(a, s, 0, NULL));
    }
    v4(0, s);
    assert_true(attempts_take(a, s, 1, NULL));
    assert_false(attempts_take(a, s, 1, &wait));
    for (uint8_t i = 0; i < 100; i++) {
        v4((uint8_t) (10 + i), s);
        assert_true(attempts_take(a, s, (uint64_t) 2 + i, NULL)); /* nobody is locked out by those before him */
    }
    v4(0, s);
    assert_false(attempts_take(a, s, 200, &wait)); /* and who has used up his own is not forgotten for them */
    assert_int_equal(wait, MINUTE - 200);
    attempts_destroy(a);
}

static void test_attempts__holds_thirty_an_hour_in_all(void **state)
{
    static const source ANY;
    struct attempts *a = create(30, HOUR, 1);
    unsigned taken = 0;
    (void) state;
    for (uint64_t now = 0; now < 2 * HOUR; now += 1000)
        taken += attempts_take(a, ANY, now, NULL);
    assert_int_equal(taken, 60);
    attempts_destroy(a);
}

/* Guesses from a new source each, `per_s` a second: how many are heard. */
static unsigned guess(struct attempts *a, unsigned per_s, uint64_t from_ms, uint64_t until_ms)
{
    unsigned heard = 0, next = 0;
    source s;
    for (uint64_t now = from_ms; now < until_ms; now += 1000 / per_s) {
        v6((uint8_t) next, 1, s);
        s[6] = (uint8_t) (next++ >> 8);
        heard += attempts_take(a, s, now, NULL) && attempts_take_of_all(a, s, now);
    }
    return heard;
}

static struct attempts *create_for_all(void)
{
    struct attempts *a;
    assert_int_equal(attempts_create(&(struct attempts_config){10, MINUTE, 512, 5, 120}, &a), 0);
    return a;
}

static void test_attempts__of_all_sources_together_are_bounded(void **state)
{
    struct attempts *a = create_for_all();
    (void) state;
    assert_in_range(guess(a, 200, HOUR, HOUR + MINUTE), 120, 120 + 5 * 60 + 1); /* what may come at once, and five a second */
    attempts_destroy(a);
}

static void test_attempts__who_comes_again_is_let_in_beside_a_crowd_that_does_not(void **state)
{
    struct attempts *a = create_for_all();
    source joiner;
    uint64_t now = HOUR, began = HOUR + 2000;
    (void) state;
    v4(9, joiner);
    guess(a, 200, HOUR, began);
    for (now = began; !(attempts_take(a, joiner, now, NULL) && attempts_take_of_all(a, joiner, now)); now += 300)
        guess(a, 200, now, now + 300);
    assert_true(now - began <= 5000);
    attempts_destroy(a);
}

/* Forty sources that come again and again beside one: each gets his turn once, before anybody gets a second one. */
static void test_attempts__who_came_first_is_let_in_first(void **state)
{
    struct attempts *a = create_for_all();
    source s;
    uint64_t let_in[40] = {0}, now;
    (void) state;
    guess(a, 1000, HOUR, HOUR + 1000);
    for (now = HOUR + 4000; now < HOUR + 40000; now += 500)
        for (uint8_t i = 0; i < 40; i++) {
            v4(i, s);
            if (let_in[i] == 0 && attempts_take(a, s, now + i, NULL) && attempts_take_of_all(a, s, now + i))
                let_in[i] = now;
        }
    for (uint8_t i = 0; i < 40; i++)
        assert_true(let_in[i] != 0 && (i == 0 || let_in[i] >= let_in[i - 1]));
    attempts_destroy(a);
}

static void test_attempts__what_ended_well_does_not_count_for_all(void **state)
{
    struct attempts *a = create_for_all();
    source s;
    (void) state;
    for (unsigned i = 0; i < 1000; i++) {
        v6((uint8_t) (i % 250), 1, s);
        assert_true(attempts_take(a, s, HOUR, NULL) && attempts_take_of_all(a, s, HOUR));
        attempts_give_back(a, s);
    }
    attempts_destroy(a);
}

static void test_attempts__refuses_senseless_limits(void **state)
{
    struct attempts *a;
    (void) state;
    assert_int_equal(attempts_create(&(struct attempts_config){.limit = 0, .window_ms = 1, .source_count = 1}, &a), GRID_EINVAL);
    assert_int_equal(attempts_create(&(struct attempts_config){.limit = 1, .window_ms = 0, .source_count = 1}, &a), GRID_EINVAL);
    assert_int_equal(attempts_create(&(struct attempts_config){.limit = 1, .window_ms = 1, .source_count = 0}, &a), GRID_EINVAL);
    assert_int_equal(attempts_create(&(struct attempts_config){.limit = ATTEMPTS_LIMIT_MAX + 1, .window_ms = 1, .source_count = 1}, &a), GRID_EINVAL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_attempts__allows_ten_in_any_minute_of_one_source),
        cmocka_unit_test(test_attempts__does_not_count_what_ended_well),
        cmocka_unit_test(test_attempts__counts_ipv6_by_its_network),
        cmocka_unit_test(test_attempts__forgets_who_tried_least_when_the_table_is_full),
        cmocka_unit_test(test_attempts__holds_thirty_an_hour_in_all),
        cmocka_unit_test(test_attempts__of_all_sources_together_are_bounded),
        cmocka_unit_test(test_attempts__who_comes_again_is_let_in_beside_a_crowd_that_does_not),
        cmocka_unit_test(test_attempts__who_came_first_is_let_in_first),
        cmocka_unit_test(test_attempts__what_ended_well_does_not_count_for_all),
        cmocka_unit_test(test_attempts__refuses_senseless_limits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
