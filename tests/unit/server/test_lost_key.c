/* When an issuer replaces the authority, whose key somebody evicted holds. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "server/lost_key.h"

enum { LOOK_MS = 500, NEVER_MS = 1000 * 1000 };

/* Looks twice a second, from a start on: when it is due, or NEVER_MS. */
static uint64_t due_after_ms(struct lost_key *k, const struct lost_key_view *v, uint64_t from_ms)
{
    for (uint64_t now_ms = from_ms; now_ms < from_ms + NEVER_MS; now_ms += LOOK_MS)
        if (lost_key_is_due(k, v, now_ms))
            return now_ms - from_ms;
    return NEVER_MS;
}

static uint64_t due_for(const struct lost_key_view *v)
{
    struct lost_key k = {0};
    return due_after_ms(&k, v, 7 * 1000 * 1000);
}

static void test_lost_key__is_replaced_by_the_first_issuer_and_by_the_next_when_it_does_not(void **state)
{
    (void) state;
    struct lost_key_view v = {.lost = true, .may = true, .living = 5, .known = 5};
    assert_int_equal(due_for(&v), LOST_KEY_FIRST_MS);
    v.before = 1;
    assert_int_equal(due_for(&v), LOST_KEY_FIRST_MS + LOST_KEY_TURN_MS);
    v.before = 2;
    assert_int_equal(due_for(&v), LOST_KEY_FIRST_MS + 2 * LOST_KEY_TURN_MS);
}

static void test_lost_key__is_replaced_by_nobody_who_may_not_or_while_it_is_not_lost(void **state)
{
    (void) state;
    const struct lost_key_view safe = {.may = true, .living = 5, .known = 5}, keyless = {.lost = true, .living = 5, .known = 5};
    assert_int_equal(due_for(&safe), NEVER_MS);
    assert_int_equal(due_for(&keyless), NEVER_MS);
}

/* However a grid is split: never are both halves due. */
static void test_lost_key__of_two_halves_of_a_grid_one_at_most_replaces_it(void **state)
{
    (void) state;
    for (size_t known = 1; known <= 9; known++)
        for (size_t here = 0; here <= known; here++) {
            const struct lost_key_view one = {.lost = true, .may = true, .living = here, .known = known}, other = {.lost = true, .may = true, .living = known - here, .known = known};
            assert_false(due_for(&one) < NEVER_MS && due_for(&other) < NEVER_MS);
        }
}

static void test_lost_key__is_left_to_an_administrator_by_one_that_sees_nobody_else(void **state)
{
    (void) state;
    const struct lost_key_view alone = {.lost = true, .may = true, .living = 1, .known = 1}, half = {.lost = true, .may = true, .living = 2, .known = 4};
    assert_int_equal(due_for(&alone), NEVER_MS);
    assert_int_equal(due_for(&half), NEVER_MS);
}

/* Who was before this node is gone, or the halves have met: all begin at the same moment, not with what each has waited for itself. */
static void test_lost_key__waits_anew_when_it_is_anothers_turn(void **state)
{
    (void) state;
    struct lost_key k = {0};
    struct lost_key_view v = {.lost = true, .may = true, .before = 2, .living = 2, .known = 5};
    assert_int_equal(due_after_ms(&k, &v, 0), NEVER_MS);
    v.living = 5;
    assert_int_equal(due_after_ms(&k, &v, NEVER_MS), LOST_KEY_FIRST_MS + 2 * LOST_KEY_TURN_MS);
    k = (struct lost_key){0};
    assert_false(lost_key_is_due(&k, &v, 0));
    for (uint64_t now_ms = 0; now_ms < LOST_KEY_FIRST_MS + 2 * LOST_KEY_TURN_MS; now_ms += LOOK_MS)
        assert_false(lost_key_is_due(&k, &v, now_ms));
    v.before = 1;
    assert_int_equal(due_after_ms(&k, &v, 50 * 1000), LOST_KEY_FIRST_MS + LOST_KEY_TURN_MS);
}

/* What was decided meanwhile is still to be read. */
static void test_lost_key__does_not_count_the_time_in_which_the_node_was_stopped(void **state)
{
    (void) state;
    struct lost_key k = {0};
    const struct lost_key_view v = {.lost = true, .may = true, .before = 1, .living = 3, .known = 3};
    assert_false(lost_key_is_due(&k, &v, 0));
    assert_false(lost_key_is_due(&k, &v, 3600 * 1000));
    assert_false(lost_key_is_due(&k, &v, 3600 * 1000 - 1)); /* nor one that goes back */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_lost_key__is_replaced_by_the_first_issuer_and_by_the_next_when_it_does_not),
        cmocka_unit_test(test_lost_key__is_replaced_by_nobody_who_may_not_or_while_it_is_not_lost),
        cmocka_unit_test(test_lost_key__of_two_halves_of_a_grid_one_at_most_replaces_it),
        cmocka_unit_test(test_lost_key__is_left_to_an_administrator_by_one_that_sees_nobody_else),
        cmocka_unit_test(test_lost_key__waits_anew_when_it_is_anothers_turn),
        cmocka_unit_test(test_lost_key__does_not_count_the_time_in_which_the_node_was_stopped),
    };
    return cmocka_run_group_tests_name("lost_key", tests, NULL, NULL);
}
