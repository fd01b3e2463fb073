/* When a changing project is deployed. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "cli/deploy_due.h"

static void test_due__waits_until_it_is_quiet(void **state)
{
    (void) state;
    struct deploy_due d = {0};
    assert_int_equal(deploy_due_wait(&d, 1000), -1);
    deploy_due_changed(&d, 1000);
    assert_int_equal(deploy_due_wait(&d, 1000), 100);
    deploy_due_changed(&d, 1060);
    assert_int_equal(deploy_due_wait(&d, 1100), 60);
    assert_int_equal(deploy_due_wait(&d, 1160), 0);
    assert_false(deploy_due_gives_up(&d));
    deploy_due_started(&d, 1160);
    assert_int_equal(deploy_due_wait(&d, 1160), -1);
}

static void test_due__a_thousand_changes_within_a_second_are_one_deploy(void **state)
{
    (void) state;
    struct deploy_due d = {0};
    for (uint64_t now = 5000; now < 5900; now++) {
        deploy_due_changed(&d, now);
        assert_int_not_equal(deploy_due_wait(&d, now), 0);
    }
    assert_int_equal(deploy_due_wait(&d, 5900), 99);
}

static void test_due__does_not_wait_for_ever_for_what_changes_all_the_time(void **state)
{
    (void) state;
    struct deploy_due d = {0};
    uint64_t now = 5000;
    for (; deploy_due_wait(&d, now) != 0; now += 10)
        deploy_due_changed(&d, now);
    assert_int_equal(now, 6000);
}

static void test_due__what_changes_during_a_deploy_is_deployed_behind_it(void **state)
{
    (void) state;
    struct deploy_due d = {0};
    deploy_due_started(&d, 0);
    deploy_due_changed(&d, 200);
    assert_int_equal(deploy_due_wait(&d, 500), 2500);
    deploy_due_ended(&d);
    assert_int_equal(deploy_due_wait(&d, 500), 0);
    assert_false(deploy_due_gives_up(&d));
}

/* Starts a deploy at `now`, changes the project at once; when it is given up. */
static uint64_t give_up(struct deploy_due *d, uint64_t now)
{
    deploy_due_started(d, now);
    deploy_due_changed(d, now);
    now += (uint64_t) deploy_due_wait(d, now);
    assert_int_equal(deploy_due_wait(d, now), 0);
    assert_true(deploy_due_gives_up(d));
    assert_int_equal(deploy_due_wait(d, now), -1); /* its end is waited for */
    deploy_due_ended(d);
    assert_int_equal(deploy_due_wait(d, now), 0);
    assert_false(deploy_due_gives_up(d));
    return now;
}

static void test_due__a_deploy_that_hangs_is_given_up_one_that_is_slow_comes_to_its_end(void **state)
{
    (void) state;
    struct deploy_due d = {0};
    assert_int_equal(give_up(&d, 0), 3000);
    assert_int_equal(give_up(&d, 10000), 16000);
    assert_int_equal(give_up(&d, 20000), 32000);
    deploy_due_started(&d, 40000);
    deploy_due_ended(&d);
    assert_int_equal(give_up(&d, 50000), 53000);
    for (int i = 0; i < 100; i++)
        assert_in_range(give_up(&d, 0), 3000, 3000 << 8);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_due__waits_until_it_is_quiet),
        cmocka_unit_test(test_due__a_thousand_changes_within_a_second_are_one_deploy),
        cmocka_unit_test(test_due__does_not_wait_for_ever_for_what_changes_all_the_time),
        cmocka_unit_test(test_due__what_changes_during_a_deploy_is_deployed_behind_it),
        cmocka_unit_test(test_due__a_deploy_that_hangs_is_given_up_one_that_is_slow_comes_to_its_end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
