/* The heap of moments, beside a plain array that does the same slowly. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "discovery/swim_random.h"
#include "discovery/swim_timers.h"

static uint64_t earliest(const uint64_t due[SWIM_SLOTS_MAX])
{
    uint64_t least = UINT64_MAX;
    for (size_t i = 0; i < SWIM_SLOTS_MAX; i++)
        least = due[i] < least ? due[i] : least;
    return least;
}

static void test_swim_timers__agree_with_a_plain_array(void **state)
{
    static struct swim_timers t;
    static uint64_t due[SWIM_SLOTS_MAX];
    uint64_t random = 77, now = 0;
    uint16_t slot;
    (void) state;
    memset(due, 0xff, sizeof due);
    for (int step = 0; step < 20000; step++) {
        uint16_t at = (uint16_t) swim_random_below(&random, SWIM_SLOTS_MAX);
        uint64_t what = swim_random_below(&random, 10);
        if (what < 6) {
            due[at] = now + swim_random_below(&random, 1000);
            swim_timers_set(&t, at, due[at]);
        } else if (what < 8) {
            due[at] = UINT64_MAX;
            swim_timers_remove(&t, at);
        } else {
            now += swim_random_below(&random, 20);
            while (swim_timers_pop(&t, now, &slot)) {
                assert_int_equal(due[slot], earliest(due));
                assert_true(due[slot] <= now);
                due[slot] = UINT64_MAX;
            }
        }
        if (step % 16 == 0)
            assert_int_equal(swim_timers_next_ms(&t), earliest(due));
    }
}

static void test_swim_timers__pop_nothing_before_its_time(void **state)
{
    static struct swim_timers t;
    uint16_t slot;
    (void) state;
    assert_false(swim_timers_pop(&t, UINT64_MAX - 1, &slot));
    swim_timers_set(&t, 3, 100);
    swim_timers_set(&t, 3, 200);
    assert_false(swim_timers_pop(&t, 199, &slot));
    assert_true(swim_timers_pop(&t, 200, &slot));
    assert_int_equal(slot, 3);
    assert_int_equal(t.count, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_swim_timers__agree_with_a_plain_array),
        cmocka_unit_test(test_swim_timers__pop_nothing_before_its_time),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
