/* How often members may make a node dial, in invented time. */
// links: grid_server
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>

#include "server/errands.h"

enum { START = 100 * 1000 };

static unsigned had(struct errands *e, const char *member, unsigned wanted, uint64_t now_ms)
{
    unsigned count = 0;
    for (unsigned i = 0; i < wanted; i++)
        count += errands_allow(e, member, now_ms);
    return count;
}

static void test_errands__one_member_has_a_burst_and_then_its_rate(void **state)
{
    struct errands *e = errands_create();
    (void) state;
    assert_int_equal(had(e, "a", 1000, START), ERRANDS_BURST);
    assert_int_equal(had(e, "a", 1000, START + 1000), ERRANDS_PER_S);
    assert_int_equal(had(e, "a", 1000, START + 1000000), ERRANDS_BURST);
    errands_destroy(e);
}

static void test_errands__who_asks_too_much_takes_nothing_from_others(void **state)
{
    struct errands *e = errands_create();
    (void) state;
    assert_int_equal(had(e, "a", 1000, START), ERRANDS_BURST);
    assert_int_equal(had(e, "b", 5, START), 5);
    errands_destroy(e);
}

static void test_errands__remembers_as_many_as_a_grid_has_and_forgets_those_who_ask_no_more(void **state)
{
    struct errands *e = errands_create();
    char member[32];
    (void) state;
    for (unsigned i = 0; i < ERRANDS_MEMBERS_MAX; i++) {
        snprintf(member, sizeof member, "%u", i);
        assert_true(errands_allow(e, member, START));
    }
    assert_false(errands_allow(e, "one more", START));
    assert_true(errands_allow(e, "0", START)); /* who is there already is as before */
    assert_true(errands_allow(e, "one more", START + 1000));
    assert_int_equal(had(e, "0", 1000, START + 1000), ERRANDS_BURST);
    errands_destroy(e);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_errands__one_member_has_a_burst_and_then_its_rate),
        cmocka_unit_test(test_errands__who_asks_too_much_takes_nothing_from_others),
        cmocka_unit_test(test_errands__remembers_as_many_as_a_grid_has_and_forgets_those_who_ask_no_more),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
