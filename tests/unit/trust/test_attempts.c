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
    assert_int_equal(attempts_create(&(struct attempts_config){limit, window_ms, sources}, &a), 0);
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

static void test_attempts__refuses_senseless_limits(void **state)
{
    struct attempts *a;
    (void) state;
    assert_int_equal(attempts_create(&(struct attempts_config){0, 1, 1}, &a), GRID_EINVAL);
    assert_int_equal(attempts_create(&(struct attempts_config){1, 0, 1}, &a), GRID_EINVAL);
    assert_int_equal(attempts_create(&(struct attempts_config){1, 1, 0}, &a), GRID_EINVAL);
    assert_int_equal(attempts_create(&(struct attempts_config){ATTEMPTS_LIMIT_MAX + 1, 1, 1}, &a), GRID_EINVAL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_attempts__allows_ten_in_any_minute_of_one_source),
        cmocka_unit_test(test_attempts__does_not_count_what_ended_well),
        cmocka_unit_test(test_attempts__counts_ipv6_by_its_network),
        cmocka_unit_test(test_attempts__forgets_who_tried_least_when_the_table_is_full),
        cmocka_unit_test(test_attempts__holds_thirty_an_hour_in_all),
        cmocka_unit_test(test_attempts__refuses_senseless_limits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
