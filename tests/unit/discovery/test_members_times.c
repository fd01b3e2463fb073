/* The profiles: every name of --profile has its times, and they lie as a network of that kind asks for. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "discovery/members.h"

static void test_members_times__has_a_profile_for_every_name(void **state)
{
    (void) state;
    assert_ptr_equal(members_times_named("lan"), &MEMBERS_LAN);
    assert_ptr_equal(members_times_named("wan"), &MEMBERS_WAN);
    assert_ptr_equal(members_times_named("local"), &MEMBERS_LOCAL);
    assert_null(members_times_named("moon"));
    assert_null(members_times_named(""));
}

/* What a node of `fast` waits for is never longer than one of `slow` waits. */
static void check_order(const struct members_times *fast, const struct members_times *slow)
{
    assert_true(fast->beat_ms < slow->beat_ms && fast->late_ms < slow->late_ms && fast->ack_ms < slow->ack_ms && fast->probe_ms < slow->probe_ms);
    assert_true(fast->gone_ms < slow->gone_ms && fast->suspect_min_ms < slow->suspect_min_ms && fast->suspect_max_ms < slow->suspect_max_ms);
    assert_true(fast->silent_ms <= slow->silent_ms && fast->connect_ms <= slow->connect_ms && fast->unacknowledged_ms < slow->unacknowledged_ms);
}

static void test_members_times__waits_longer_where_networks_are_slower(void **state)
{
    (void) state;
    check_order(&MEMBERS_LOCAL, &MEMBERS_LAN);
    check_order(&MEMBERS_LAN, &MEMBERS_WAN);
}

/* DESIGN.md: a silent process is unroutable after a second, and dead after 15; a cut host is dead about 5 s after it was last heard. */
static void test_members_times__of_a_lan_are_those_promised(void **state)
{
    (void) state;
    assert_in_range(MEMBERS_LAN.late_ms + MEMBERS_LAN.ack_ms, 900, 1100);
    assert_int_equal(MEMBERS_LAN.silent_ms, 15000);
    assert_in_range(MEMBERS_LAN.gone_ms, 5000, 5500);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_members_times__has_a_profile_for_every_name),
        cmocka_unit_test(test_members_times__waits_longer_where_networks_are_slower),
        cmocka_unit_test(test_members_times__of_a_lan_are_those_promised),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
