/* Buckets of many, in invented time. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/token_buckets.h"

enum { START = 100 * 1000, RATE = 2, BURST = 5, NAMES = 3 };

static unsigned had(struct token_buckets *b, struct slice name, unsigned wanted, uint64_t now_ms)
{
    unsigned count = 0;
    for (unsigned i = 0; i < wanted; i++)
        count += token_buckets_take(b, name, now_ms);
    return count;
}

static void test_token_buckets__one_that_takes_all_it_may_leaves_others_theirs(void **state)
{
    struct token_buckets *b = token_buckets_create(RATE, BURST, NAMES);
    (void) state;
    assert_int_equal(had(b, SLICE("a"), 100, START), BURST);
    assert_int_equal(had(b, SLICE(""), 100, START), BURST); /* a name as any other */
    assert_int_equal(had(b, SLICE("a"), 100, START + 1000), RATE);
    assert_int_equal(had(b, SLICE("a"), 100, START + 1000000), BURST);
    token_buckets_destroy(b);
}

static void test_token_buckets__knows_so_many_and_forgets_those_that_are_full_again(void **state)
{
    struct token_buckets *b = token_buckets_create(RATE, BURST, NAMES);
    (void) state;
    assert_int_equal(had(b, SLICE("a"), 1, START), 1);
    assert_int_equal(had(b, SLICE("b"), BURST, START), BURST);
    assert_int_equal(had(b, SLICE("c"), BURST, START), BURST);
    assert_int_equal(had(b, SLICE("d"), 1, START), 0);
    assert_int_equal(had(b, SLICE("a"), 1, START), 1); /* who is there already is as before */
    assert_int_equal(had(b, SLICE("d"), 1, START + 1000), 1); /* in the place of a */
    assert_int_equal(had(b, SLICE("b"), BURST, START + 1000), RATE);
    token_buckets_destroy(b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_token_buckets__one_that_takes_all_it_may_leaves_others_theirs),
        cmocka_unit_test(test_token_buckets__knows_so_many_and_forgets_those_that_are_full_again),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
