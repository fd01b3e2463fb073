/* When those that are linked by way of a third are dialled directly once more. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>

#include "discovery/direct_retry.h"

enum { START = 5000, MINUTE = 60 * 1000, HOUR = 60 * MINUTE };

struct rig {
    struct direct_retry core;
    struct direct_retry_member members[DIRECT_RETRY_MEMBERS_MAX + 1];
    char ids[DIRECT_RETRY_MEMBERS_MAX + 1][8];
    size_t count;
    uint64_t now;
};

static int set_up(void **state)
{
    struct rig *r = calloc(1, sizeof *r);
    for (size_t i = 0; i <= DIRECT_RETRY_MEMBERS_MAX; i++) {
        snprintf(r->ids[i], sizeof r->ids[i], "m%zu", i);
        r->members[i] = (struct direct_retry_member){r->ids[i], 1};
    }
    direct_retry_init(&r->core, 1);
    r->now = START;
    r->count = 1;
    *state = r;
    return 0;
}

static int tear_down(void **state)
{
    free(*state);
    return 0;
}

static int next(struct rig *r, uint64_t *wait_ms)
{
    return direct_retry_next(&r->core, r->members, r->count, r->now, wait_ms);
}

/* Time passes, looked at only when it is said that there may be something to do, until one is dialled: which, and after how long. */
static uint64_t until_dialled(struct rig *r, int *who)
{
    uint64_t begun = r->now, wait;
    while ((*who = next(r, &wait)) < 0) {
        assert_true(wait != UINT64_MAX && wait > 0);
        r->now += wait;
    }
    return r->now - begun;
}

static void expect_dial_after(struct rig *r, uint64_t about_ms)
{
    int who;
    uint64_t passed = until_dialled(r, &who);
    assert_int_equal(who, 0);
    assert_in_range(passed, about_ms * 3 / 4, about_ms * 5 / 4);
}

static void test_direct_retry__dials_after_a_minute_and_ever_more_rarely_down_to_once_an_hour(void **state)
{
    struct rig *r = *state;
    static const unsigned MINUTES[] = {1, 2, 4, 8, 16, 32, 60, 60, 60};
    for (size_t i = 0; i < sizeof MINUTES / sizeof *MINUTES; i++)
        expect_dial_after(r, (uint64_t) MINUTES[i] * MINUTE);
}

static void test_direct_retry__has_nobody_to_dial_where_all_are_linked_directly(void **state)
{
    struct rig *r = *state;
    uint64_t wait;
    r->count = 0;
    assert_int_equal(next(r, &wait), -1);
    assert_true(wait == UINT64_MAX);
    r->count = 1;
    expect_dial_after(r, MINUTE);
    r->count = 0; /* it is linked directly now */
    r->now += HOUR;
    assert_int_equal(next(r, &wait), -1);
    assert_true(wait == UINT64_MAX);
}

static void test_direct_retry__other_places_of_a_member_are_tried_within_seconds_and_then_as_at_first(void **state)
{
    struct rig *r = *state;
    for (uint64_t pause = MINUTE; pause <= 8 * MINUTE; pause *= 2)
        expect_dial_after(r, pause);
    r->now += MINUTE;
    r->members[0].places = 2;
    expect_dial_after(r, DIRECT_RETRY_SOON_MS);
    expect_dial_after(r, 2 * MINUTE);
    expect_dial_after(r, 4 * MINUTE);
}

static void test_direct_retry__another_network_of_this_node_has_all_tried_within_seconds(void **state)
{
    struct rig *r = *state;
    uint64_t begun, wait;
    unsigned seen = 0;
    int who;
    r->count = 3;
    for (int i = 0; i < 12; i++)
        (void) until_dialled(r, &who);
    r->now += DIRECT_RETRY_AGAIN_MS;
    begun = r->now;
    direct_retry_network_changed(&r->core, r->now);
    for (int i = 0; i < 3; i++) {
        (void) until_dialled(r, &who);
        seen |= 1U << who;
    }
    assert_int_equal(seen, 7);
    assert_true(r->now - begun <= 2 * DIRECT_RETRY_SOON_MS + 3 * DIRECT_RETRY_GAP_MS);
    assert_int_equal(next(r, &wait), -1);
    assert_in_range(wait, MINUTE, 3 * MINUTE);
}

static void test_direct_retry__what_changes_over_and_over_has_a_member_dialled_seldom_all_the_same(void **state)
{
    struct rig *r = *state;
    uint64_t end = START + MINUTE, wait;
    unsigned dials = 0;
    for (; r->now < end; r->now += 50) {
        r->members[0].places++;
        direct_retry_network_changed(&r->core, r->now);
        dials += next(r, &wait) >= 0;
    }
    assert_in_range(dials, 1, MINUTE / DIRECT_RETRY_AGAIN_MS + 1);
}

static void test_direct_retry__many_at_once_are_dialled_one_a_second(void **state)
{
    struct rig *r = *state;
    int who;
    r->count = 40;
    (void) until_dialled(r, &who);
    r->now += HOUR;
    (void) until_dialled(r, &who);
    uint64_t begun = r->now;
    for (int i = 0; i < 39; i++)
        (void) until_dialled(r, &who);
    assert_int_equal(r->now - begun, 39 * DIRECT_RETRY_GAP_MS); /* all were due */
}

/* A direct link that breaks again and again does not have the link go to and fro at the first pause. */
static void test_direct_retry__a_direct_link_that_does_not_stand_is_tried_ever_more_rarely(void **state)
{
    struct rig *r = *state;
    uint64_t wait;
    for (uint64_t pause = MINUTE; pause <= 16 * MINUTE; pause *= 2) {
        expect_dial_after(r, pause);
        r->count = 0;
        assert_int_equal(next(r, &wait), -1);
        r->now += 5000; /* then it breaks */
        r->count = 1;
    }
    expect_dial_after(r, 32 * MINUTE);
    r->count = 0;
    assert_int_equal(next(r, &wait), -1);
    r->now += 2 * HOUR; /* this one has stood */
    r->count = 1;
    expect_dial_after(r, MINUTE);
}

static void test_direct_retry__holds_no_more_than_it_has_room_for_and_forgets_who_needs_it_no_more(void **state)
{
    struct rig *r = *state;
    struct direct_retry_member newcomer = {"newcomer", 1};
    uint64_t wait;
    r->count = DIRECT_RETRY_MEMBERS_MAX + 1;
    assert_int_equal(next(r, &wait), -1);
    for (int i = 0; i < 2 * DIRECT_RETRY_MEMBERS_MAX; i++) {
        int who;
        (void) until_dialled(r, &who);
        assert_in_range(who, 0, DIRECT_RETRY_MEMBERS_MAX - 1);
    }
    r->count = 0;
    assert_int_equal(next(r, &wait), -1);
    assert_int_equal(direct_retry_next(&r->core, &newcomer, 1, r->now, &wait), -1);
    r->now += wait;
    assert_int_equal(direct_retry_next(&r->core, &newcomer, 1, r->now, &wait), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define CASE(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
        CASE(test_direct_retry__dials_after_a_minute_and_ever_more_rarely_down_to_once_an_hour),
        CASE(test_direct_retry__has_nobody_to_dial_where_all_are_linked_directly),
        CASE(test_direct_retry__other_places_of_a_member_are_tried_within_seconds_and_then_as_at_first),
        CASE(test_direct_retry__another_network_of_this_node_has_all_tried_within_seconds),
        CASE(test_direct_retry__what_changes_over_and_over_has_a_member_dialled_seldom_all_the_same),
        CASE(test_direct_retry__many_at_once_are_dialled_one_a_second),
        CASE(test_direct_retry__a_direct_link_that_does_not_stand_is_tried_ever_more_rarely),
        CASE(test_direct_retry__holds_no_more_than_it_has_room_for_and_forgets_who_needs_it_no_more),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
