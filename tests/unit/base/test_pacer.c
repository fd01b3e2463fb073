/* The pacer in invented time. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/pacer.h"

static void test_pacer__spends_at_once_what_there_is_credit_for(void **state)
{
    struct pacer p;
    (void) state;
    pacer_init(&p, 1000);
    assert_int_equal(pacer_wait_ms(&p, 5000), 0);
    pacer_spend(&p, 250, 5000);
    assert_int_equal(pacer_wait_ms(&p, 5000), 0);
    pacer_spend(&p, 1, 5000);
    assert_int_equal(pacer_wait_ms(&p, 5000), 1);
}

static void test_pacer__waits_until_a_debt_is_paid(void **state)
{
    struct pacer p;
    (void) state;
    pacer_init(&p, 1000);
    pacer_spend(&p, 10250, 5000);
    assert_int_equal(pacer_wait_ms(&p, 5000), 10000);
    assert_int_equal(pacer_wait_ms(&p, 14999), 1);
    assert_int_equal(pacer_wait_ms(&p, 15000), 0);
}

static void test_pacer__keeps_the_rate_over_a_long_time(void **state)
{
    struct pacer p;
    uint64_t spent = 0;
    (void) state;
    pacer_init(&p, 64 * 1024);
    for (uint64_t now = 1000; now < 101000; now += 7)
        if (pacer_wait_ms(&p, now) == 0) {
            pacer_spend(&p, 50000, now);
            spent += 50000;
        }
    assert_in_range(spent, 100 * 64 * 1024 - 100000, 100 * 64 * 1024 + 150000);
}

static void test_pacer__takes_back_what_was_not_used(void **state)
{
    struct pacer p;
    (void) state;
    pacer_init(&p, 1000);
    pacer_spend(&p, 2250, 5000);
    pacer_refund(&p, 1000);
    assert_int_equal(pacer_wait_ms(&p, 5000), 1000);
    pacer_refund(&p, 1000000000);
    assert_int_equal(pacer_wait_ms(&p, 5000), 0);
    pacer_spend(&p, 1250, 5000);
    assert_int_equal(pacer_wait_ms(&p, 5000), 1000); /* a refund makes no more credit than there ever is */
}

static void test_pacer__what_is_not_held_up_leaves_no_debt_without_end(void **state)
{
    struct pacer p;
    (void) state;
    pacer_init(&p, 1000);
    for (uint64_t now = 5000; now < 65000; now += 10) /* ten times the rate for a minute */
        pacer_spend_within(&p, 100, 1000, now);
    assert_int_equal(pacer_wait_ms(&p, 65000), 990);
    pacer_spend(&p, 2000, 65000);
    pacer_spend_within(&p, 100, 1000, 65000);
    assert_int_equal(pacer_wait_ms(&p, 65000), 2990); /* nor does it pay others' */
}

static void test_pacer__without_a_rate_never_waits(void **state)
{
    struct pacer p;
    (void) state;
    pacer_init(&p, 0);
    pacer_spend(&p, UINT64_C(1) << 39, 1);
    pacer_refund(&p, 5);
    assert_int_equal(pacer_wait_ms(&p, 1), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_pacer__spends_at_once_what_there_is_credit_for),
        cmocka_unit_test(test_pacer__waits_until_a_debt_is_paid),
        cmocka_unit_test(test_pacer__keeps_the_rate_over_a_long_time),
        cmocka_unit_test(test_pacer__takes_back_what_was_not_used),
        cmocka_unit_test(test_pacer__what_is_not_held_up_leaves_no_debt_without_end),
        cmocka_unit_test(test_pacer__without_a_rate_never_waits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
