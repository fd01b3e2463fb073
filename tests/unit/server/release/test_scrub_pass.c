/* When the store is read through: by numbers alone. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "server/release/scrub_pass.h"

static void test_scrub_pass__reads_as_much_as_there_is_and_rests_until_the_next_is_due(void **state)
{
    struct scrub_pass p = {.next = 7, .began_ms = 1000};
    (void) state;
    for (unsigned i = 1; i < 10; i++)
        assert_int_equal(scrub_pass_step(&p, SCRUB_STEP_BYTES, 10 * SCRUB_STEP_BYTES, 1000 + i), SCRUB_STEP_MS);
    assert_true(scrub_pass_step(&p, SCRUB_STEP_BYTES, 10 * SCRUB_STEP_BYTES, 5000) == (uint64_t) SCRUB_PASS_MS + 1000 - 5000);
    assert_true(p.began_ms == (uint64_t) SCRUB_PASS_MS + 1000);
    assert_int_equal(scrub_pass_step(&p, SCRUB_STEP_BYTES, 10 * SCRUB_STEP_BYTES, p.began_ms), SCRUB_STEP_MS);
}

static void test_scrub_pass__one_that_takes_longer_than_that_is_followed_by_the_next(void **state)
{
    struct scrub_pass p = {.began_ms = 0};
    const uint64_t late = 2 * (uint64_t) SCRUB_PASS_MS;
    (void) state;
    assert_int_equal(scrub_pass_step(&p, 100, 100, late), SCRUB_STEP_MS);
    assert_true(p.began_ms == late + SCRUB_STEP_MS);
}

static void test_scrub_pass__an_empty_store_is_looked_at_seldom(void **state)
{
    struct scrub_pass p = {.began_ms = 0};
    (void) state;
    assert_true(scrub_pass_step(&p, 0, 0, 0) == (uint64_t) SCRUB_PASS_MS);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_scrub_pass__reads_as_much_as_there_is_and_rests_until_the_next_is_due),
        cmocka_unit_test(test_scrub_pass__one_that_takes_longer_than_that_is_followed_by_the_next),
        cmocka_unit_test(test_scrub_pass__an_empty_store_is_looked_at_seldom),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
