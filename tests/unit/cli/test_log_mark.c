/* Lines of a stream that is asked for anew. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "cli/log_mark.h"

/* How many of these lines are new after the mark. */
static unsigned count_new(const struct log_mark *m, const int64_t *times, unsigned count)
{
    struct log_replay r;
    unsigned fresh = 0;
    log_replay_begin(&r, m);
    for (unsigned i = 0; i < count; i++)
        fresh += log_replay_is_new(&r, times[i]);
    return fresh;
}

static void test_replay__shows_all_when_nothing_was_read(void **state)
{
    (void) state;
    const struct log_mark none = {0, 0};
    assert_int_equal(count_new(&none, (const int64_t[]){5, 5, 4}, 3), 3);
}

static void test_replay__skips_what_was_read_and_no_more(void **state)
{
    (void) state;
    struct log_mark m = {0, 0};
    for (const int64_t *t = (const int64_t[]){10, 20, 20, 0}; *t; t++)
        log_mark_take(&m, *t);
    assert_int_equal(count_new(&m, (const int64_t[]){10, 20, 20}, 3), 0);
    assert_int_equal(count_new(&m, (const int64_t[]){10, 20, 20, 20}, 4), 1);
    assert_int_equal(count_new(&m, (const int64_t[]){20, 20, 21, 30}, 4), 2);
    assert_int_equal(count_new(&m, (const int64_t[]){40, 41}, 2), 2); /* the old ones are no longer kept there */
}

static void test_replay__takes_new_lines_that_are_out_of_order(void **state)
{
    (void) state;
    const struct log_mark m = {20, 1};
    assert_int_equal(count_new(&m, (const int64_t[]){20, 25, 19, 24}, 4), 3);
}

static void test_mark__is_the_latest_moment_whatever_the_order(void **state)
{
    (void) state;
    struct log_mark m = {0, 0};
    for (const int64_t *t = (const int64_t[]){30, 20, 30, 10, 0}; *t; t++)
        log_mark_take(&m, *t);
    assert_int_equal(m.last_ms, 30);
    assert_int_equal(m.at_last, 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_replay__shows_all_when_nothing_was_read),
        cmocka_unit_test(test_replay__skips_what_was_read_and_no_more),
        cmocka_unit_test(test_replay__takes_new_lines_that_are_out_of_order),
        cmocka_unit_test(test_mark__is_the_latest_moment_whatever_the_order),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
