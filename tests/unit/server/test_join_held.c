/* Who has proven the password and does not go on: how many, how long, and who gives way. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "server/join_held.h"

enum { NOW = 1000 * 1000, PEOPLE = 64 };

static char people[PEOPLE]; /* items, by their addresses */

static const uint8_t *source(unsigned number)
{
    static uint8_t made[PEOPLE][ADDR_SOURCE_SIZE];
    made[number][ADDR_SOURCE_SIZE - 1] = (uint8_t) number;
    return made[number];
}

/* Fills all places, each from the next of so many sources. */
static void fill(struct join_held *h, unsigned sources, uint64_t now_ms)
{
    void *ended;
    for (unsigned i = 0; i < JOIN_HELD_MAX; i++) {
        assert_true(join_held_add(h, &people[i], source(i % sources), now_ms, &ended));
        assert_null(ended);
    }
}

static void test_join_held__whoever_holds_most_gives_way_to_one_who_comes_once(void **state)
{
    (void) state;
    struct join_held h = {0};
    void *ended;
    fill(&h, 2, NOW);
    assert_true(join_held_has_room(&h, source(9), NOW));
    assert_true(join_held_add(&h, &people[20], source(9), NOW, &ended));
    assert_ptr_equal(ended, &people[0]);
    assert_true(join_held_add(&h, &people[21], source(10), NOW, &ended));
    assert_ptr_equal(ended, &people[1]); /* the other one has more now */
    assert_int_equal(h.count, JOIN_HELD_MAX);
}

static void test_join_held__who_holds_most_has_no_room_for_one_more(void **state)
{
    (void) state;
    struct join_held h = {0};
    void *ended;
    fill(&h, 1, NOW);
    assert_false(join_held_has_room(&h, source(0), NOW + 4999));
    assert_false(join_held_add(&h, &people[20], source(0), NOW + 4999, &ended));
    assert_null(ended);
}

/* As when a hundred machines are switched on. */
static void test_join_held__many_who_come_at_once_do_not_end_each_other(void **state)
{
    (void) state;
    struct join_held h = {0};
    void *ended;
    fill(&h, JOIN_HELD_MAX, NOW);
    assert_false(join_held_has_room(&h, source(40), NOW + JOIN_HELD_EQUALS_MS - 1));
    assert_true(join_held_has_room(&h, source(40), NOW + JOIN_HELD_EQUALS_MS));
    assert_true(join_held_add(&h, &people[20], source(40), NOW + JOIN_HELD_EQUALS_MS, &ended));
    assert_ptr_equal(ended, &people[0]);
    assert_false(join_held_has_room(&h, source(40), NOW + JOIN_HELD_EQUALS_MS));
}

static void test_join_held__ends_who_does_not_go_on(void **state)
{
    (void) state;
    struct join_held h = {0};
    void *ended;
    uint64_t wait_ms;
    assert_null(join_held_late(&h, NOW, &wait_ms));
    assert_int_equal(wait_ms, UINT64_MAX);
    assert_true(join_held_add(&h, &people[0], source(0), NOW, &ended));
    assert_true(join_held_add(&h, &people[1], source(1), NOW + 100, &ended));
    assert_null(join_held_late(&h, NOW + 1000, &wait_ms));
    assert_int_equal(wait_ms, JOIN_HELD_MS - 1000);
    assert_ptr_equal(join_held_late(&h, NOW + JOIN_HELD_MS, &wait_ms), &people[0]);
    assert_null(join_held_late(&h, NOW + JOIN_HELD_MS, &wait_ms));
    assert_int_equal(wait_ms, 100);
    join_held_remove(&h, &people[1]);
    join_held_remove(&h, &people[1]);
    assert_null(join_held_late(&h, NOW + 2 * JOIN_HELD_MS, &wait_ms));
    assert_int_equal(wait_ms, UINT64_MAX);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_join_held__whoever_holds_most_gives_way_to_one_who_comes_once),
        cmocka_unit_test(test_join_held__who_holds_most_has_no_room_for_one_more),
        cmocka_unit_test(test_join_held__many_who_come_at_once_do_not_end_each_other),
        cmocka_unit_test(test_join_held__ends_who_does_not_go_on),
    };
    return cmocka_run_group_tests_name("join_held", tests, NULL, NULL);
}
