/* The token bucket: bursts, refill, budgets, and times that do not add up. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/token_bucket.h"

static void test_token_bucket__allows_a_burst_then_the_rate(void **state)
{
    (void) state;
    struct token_bucket b;
    token_bucket_init(&b, 10, 3, 1000);
    assert_true(token_bucket_take(&b, 2, 1000));
    assert_true(token_bucket_take(&b, 1, 1000));
    assert_false(token_bucket_take(&b, 1, 1000));
    assert_int_equal(token_bucket_wait_ms(&b, 1, 1000), 100);
    assert_false(token_bucket_take(&b, 1, 1099));
    assert_int_equal(token_bucket_wait_ms(&b, 1, 1099), 1);
    assert_true(token_bucket_take(&b, 1, 1100));
    assert_int_equal(token_bucket_wait_ms(&b, 3, 1100), 300);
    assert_true(token_bucket_take(&b, 3, 1000000));
    assert_false(token_bucket_take(&b, 1, 1000000));
    assert_int_equal(token_bucket_wait_ms(&b, 4, 1000000), UINT64_MAX);
}

static void test_token_bucket__as_a_retry_budget(void **state)
{
    (void) state;
    struct token_bucket b;
    token_bucket_init(&b, 0, 2, 0);
    assert_true(token_bucket_take(&b, 2, 0));
    assert_false(token_bucket_take(&b, 1, UINT64_MAX));
    assert_int_equal(token_bucket_wait_ms(&b, 1, UINT64_MAX), UINT64_MAX);
    for (int i = 0; i < 10; i++)
        token_bucket_give(&b, 100);
    assert_true(token_bucket_take(&b, 1, 0));
    assert_false(token_bucket_take(&b, 1, 0));
    token_bucket_give(&b, UINT64_MAX);
    assert_true(token_bucket_take(&b, 2, 0));
    assert_false(token_bucket_take(&b, 1, 0));
}

static void test_token_bucket__survives_odd_times(void **state)
{
    (void) state;
    struct token_bucket b;
    token_bucket_init(&b, UINT64_MAX, 5, 500);
    assert_true(token_bucket_take(&b, 5, 500));
    assert_false(token_bucket_take(&b, 1, 100));
    assert_true(token_bucket_take(&b, 5, UINT64_MAX));
    assert_false(token_bucket_take(&b, UINT64_MAX, UINT64_MAX));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_token_bucket__allows_a_burst_then_the_rate),
        cmocka_unit_test(test_token_bucket__as_a_retry_budget),
        cmocka_unit_test(test_token_bucket__survives_odd_times),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
