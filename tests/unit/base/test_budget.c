/* Shares of a budget: what is granted, refused and given back. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/budget.h"

static void test_budget__refuses_what_others_hold(void **state)
{
    (void) state;
    struct budget b = {.max = 100};
    size_t one = 0, two = 0;
    assert_true(budget_set(&b, &one, 60));
    assert_false(budget_set(&b, &two, 41));
    assert_int_equal(two, 0);
    assert_int_equal(b.held, 60);
    assert_true(budget_set(&b, &two, 40));
    assert_int_equal(b.held, 100);
}

static void test_budget__takes_back_what_is_given_up(void **state)
{
    (void) state;
    struct budget b = {.max = 100};
    size_t one = 0, two = 0;
    assert_true(budget_set(&b, &one, 100));
    assert_true(budget_set(&b, &one, 100));
    assert_true(budget_set(&b, &one, 10));
    assert_true(budget_set(&b, &two, 90));
    assert_true(budget_set(&b, &one, 0));
    assert_true(budget_set(&b, &two, 0));
    assert_int_equal(b.held, 0);
}

static void test_budget__survives_absurd_wishes(void **state)
{
    (void) state;
    struct budget b = {.max = 100};
    size_t one = 0;
    assert_true(budget_set(&b, &one, 50));
    assert_false(budget_set(&b, &one, SIZE_MAX));
    assert_int_equal(b.held, 50);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_budget__refuses_what_others_hold),
        cmocka_unit_test(test_budget__takes_back_what_is_given_up),
        cmocka_unit_test(test_budget__survives_absurd_wishes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
