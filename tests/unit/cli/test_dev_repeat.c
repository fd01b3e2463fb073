/* Failures that come again. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>

#include "base/buf.h"
#include "cli/dev_repeat.h"

static struct buf shown;

static void show(void *ctx, const struct dev_line *line)
{
    (void) ctx;
    buf_printf(&shown, "%u:%.*s|", line->source, SLICE_FMT(line->text));
}

/* Compares what was shown since the last look. */
static void check_shown(const char *want)
{
    buf_append_byte(&shown, '\0');
    assert_string_equal((const char *) shown.data, want);
    buf_clear(&shown);
}

static int setup(void **state)
{
    buf_init(&shown, 0);
    return (*state = dev_repeat_create(show, NULL)) ? 0 : -1;
}

static int teardown(void **state)
{
    dev_repeat_destroy(*state);
    buf_dispose(&shown);
    return 0;
}

static void take(struct dev_repeat *r, unsigned source, const char *stream, const char *text, uint64_t now_ms)
{
    dev_repeat_take(r, &(struct dev_line){source, 1, SLICE("hello"), 0, slice_of_str(stream), slice_of_str(text)}, now_ms);
}

/* A run of two lines and the remark; numbers differ from run to run. */
static void crash(struct dev_repeat *r, unsigned source, const char *why, unsigned port)
{
    char remark[64];
    snprintf(remark, sizeof remark, "exit on %u", port);
    take(r, source, "stderr", why, 0);
    take(r, source, "stderr", "  at line 7", 0);
    take(r, source, "grid", remark, 0);
}

static void test_repeat__shows_a_failure_once_and_then_counts(void **state)
{
    crash(*state, 0, "SyntaxError", 9000);
    check_shown("0:SyntaxError|0:  at line 7|0:exit on 9000|");
    crash(*state, 0, "SyntaxError", 10001);
    check_shown("0:it has failed 2 times in the same way|");
    crash(*state, 0, "SyntaxError", 9);
    check_shown("");
    crash(*state, 0, "SyntaxError", 9);
    check_shown("0:it has failed 4 times in the same way|");
}

static void test_repeat__knows_what_another_node_has_shown(void **state)
{
    crash(*state, 0, "SyntaxError", 1);
    check_shown("0:SyntaxError|0:  at line 7|0:exit on 1|");
    crash(*state, 1, "SyntaxError", 2);
    check_shown("1:it failed in the way that is shown above|");
    crash(*state, 1, "SyntaxError", 3);
    check_shown("1:it has failed 2 times in the same way|");
}

static void test_repeat__shows_another_failure_in_full(void **state)
{
    crash(*state, 0, "SyntaxError", 1);
    check_shown("0:SyntaxError|0:  at line 7|0:exit on 1|");
    crash(*state, 0, "TypeError", 2);
    check_shown("0:TypeError|0:  at line 7|0:exit on 2|");
    take(*state, 0, "stderr", "TypeError", 0);
    take(*state, 0, "stderr", "  elsewhere", 0);
    check_shown("0:TypeError|0:  elsewhere|");
}

static void test_repeat__holds_lines_of_one_that_runs_for_a_moment_only(void **state)
{
    struct dev_repeat *r = *state;
    take(r, 0, "stdout", "listening on 9000", 0);
    take(r, 0, "grid", "exit 1", 10);
    check_shown("0:listening on 9000|0:exit 1|");
    assert_int_equal(dev_repeat_wait(r, 10), -1);
    take(r, 0, "stdout", "listening on 9001", 100);
    check_shown("");
    assert_int_equal(dev_repeat_wait(r, 100), 500);
    dev_repeat_release(r, 599);
    check_shown("");
    dev_repeat_release(r, 600);
    check_shown("0:listening on 9001|");
    assert_int_equal(dev_repeat_wait(r, 600), -1);
    take(r, 0, "stdout", "a call", 700);
    check_shown("0:a call|");
    take(r, 0, "grid", "exit 1", 800);
    check_shown("0:exit 1|");
}

static void test_repeat__tells_all_again_after_a_new_version(void **state)
{
    struct dev_repeat *r = *state;
    crash(r, 0, "SyntaxError", 1);
    take(r, 0, "stderr", "SyntaxError", 0);
    check_shown("0:SyntaxError|0:  at line 7|0:exit on 1|");
    dev_repeat_forget(r);
    check_shown("0:SyntaxError|");
    take(r, 0, "grid", "exit on 1", 0);
    check_shown("0:exit on 1|");
    crash(r, 0, "SyntaxError", 1);
    check_shown("0:SyntaxError|0:  at line 7|0:exit on 1|");
}

static void test_repeat__shows_what_is_too_long_to_compare(void **state)
{
    struct dev_repeat *r = *state;
    for (int run = 0; run < 3; run++) {
        for (int i = 0; i < 200; i++)
            take(r, 0, "stderr", "again", 0);
        take(r, 0, "grid", "exit 1", 0);
    }
    assert_int_equal(shown.size, 3 * (200 * 8 + 9));
    for (unsigned i = 0; i < 100; i++) { /* more kinds of failure than are kept */
        char why[8] = {'E', (char) ('a' + i % 26), (char) ('a' + i / 26), '\0'};
        crash(r, 0, why, 1);
    }
    buf_clear(&shown);
    crash(r, 0, "Eaa", 1);
    check_shown("0:Eaa|0:  at line 7|0:exit on 1|");
    crash(r, 0, "Evd", 1);
    check_shown("0:it failed in the way that is shown above|");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_repeat__shows_a_failure_once_and_then_counts),
        TEST(test_repeat__knows_what_another_node_has_shown),
        TEST(test_repeat__shows_another_failure_in_full),
        TEST(test_repeat__holds_lines_of_one_that_runs_for_a_moment_only),
        TEST(test_repeat__tells_all_again_after_a_new_version),
        TEST(test_repeat__shows_what_is_too_long_to_compare),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
