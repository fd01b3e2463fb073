/* The order of probing. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "discovery/swim_probe.h"

enum { MANY = 50, FIRST = 100 };

struct rig {
    struct swim_probe probe;
    uint64_t random;
};

static struct rig rig_of(unsigned count, uint64_t seed)
{
    struct rig r = {.random = seed};
    for (unsigned i = 0; i < count; i++)
        assert_true(swim_probe_add(&r.probe, (uint16_t) (FIRST + i), &r.random));
    return r;
}

static void round_of(struct rig *r, unsigned count, unsigned seen[MANY])
{
    uint16_t slot;
    memset(seen, 0, MANY * sizeof *seen);
    for (unsigned i = 0; i < count; i++) {
        assert_true(swim_probe_next(&r->probe, &r->random, &slot));
        seen[slot - FIRST]++;
    }
}

static void test_swim_probe__takes_each_once_a_round(void **state)
{
    unsigned seen[MANY];
    (void) state;
    struct rig r = rig_of(MANY, 7);
    uint16_t slot;
    while (r.probe.at < r.probe.count) /* the round in which they came */
        assert_true(swim_probe_next(&r.probe, &r.random, &slot));
    for (int round = 0; round < 20; round++) {
        round_of(&r, MANY, seen);
        for (unsigned i = 0; i < MANY; i++)
            assert_int_equal(seen[i], 1);
    }
}

static void test_swim_probe__shuffles_between_rounds(void **state)
{
    (void) state;
    struct rig r = rig_of(MANY, 7);
    uint16_t before[MANY], slot;
    r.probe.at = r.probe.count;
    assert_true(swim_probe_next(&r.probe, &r.random, &slot));
    memcpy(before, r.probe.order, sizeof before);
    r.probe.at = r.probe.count;
    assert_true(swim_probe_next(&r.probe, &r.random, &slot));
    assert_memory_not_equal(before, r.probe.order, sizeof before);
}

static void test_swim_probe__is_the_same_for_the_same_seed(void **state)
{
    (void) state;
    struct rig a = rig_of(MANY, 9), b = rig_of(MANY, 9), c = rig_of(MANY, 10);
    uint16_t x, y, z;
    unsigned differ = 0;
    for (int i = 0; i < 3 * MANY; i++) {
        swim_probe_next(&a.probe, &a.random, &x);
        swim_probe_next(&b.probe, &b.random, &y);
        swim_probe_next(&c.probe, &c.random, &z);
        assert_int_equal(x, y);
        differ += x != z;
    }
    assert_true(differ > MANY);
}

/* A newcomer neither makes anybody be passed over in this round nor be probed twice. */
static void test_swim_probe__puts_newcomers_in_anywhere(void **state)
{
    (void) state;
    unsigned seen[MANY], first = 0;
    for (uint64_t seed = 1; seed <= 200; seed++) {
        struct rig r = rig_of(20, seed);
        r.probe.at = r.probe.count;
        round_of(&r, 10, seen);
        assert_true(swim_probe_add(&r.probe, FIRST + 20, &r.random));
        uint16_t slot;
        while (r.probe.at < r.probe.count) {
            swim_probe_next(&r.probe, &r.random, &slot);
            seen[slot - FIRST]++;
        }
        for (unsigned i = 0; i < 20; i++)
            assert_int_equal(seen[i], 1);
        first += seen[20];
    }
    assert_in_range(first, 60, 140); /* about half the places are still ahead */
}

static void test_swim_probe__removes(void **state)
{
    unsigned seen[MANY];
    (void) state;
    for (uint64_t seed = 1; seed <= 50; seed++) {
        struct rig r = rig_of(10, seed);
        r.probe.at = r.probe.count;
        round_of(&r, 5, seen);
        for (unsigned i = 0; i < 10; i += 2)
            swim_probe_remove(&r.probe, (uint16_t) (FIRST + i));
        swim_probe_remove(&r.probe, 1); /* nobody */
        uint16_t slot;
        while (r.probe.at < r.probe.count) {
            swim_probe_next(&r.probe, &r.random, &slot);
            seen[slot - FIRST]++;
        }
        for (unsigned i = 1; i < 10; i += 2)
            assert_int_equal(seen[i], 1);
        assert_int_equal(r.probe.count, 5);
    }
}

static void test_swim_probe__bounds_itself(void **state)
{
    (void) state;
    static struct rig r = {.random = 1};
    uint16_t slot;
    assert_false(swim_probe_next(&r.probe, &r.random, &slot));
    for (uint16_t i = 0; i < SWIM_SLOTS_MAX; i++)
        assert_true(swim_probe_add(&r.probe, i, &r.random));
    assert_false(swim_probe_add(&r.probe, 5, &r.random));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_swim_probe__takes_each_once_a_round),
        cmocka_unit_test(test_swim_probe__shuffles_between_rounds),
        cmocka_unit_test(test_swim_probe__is_the_same_for_the_same_seed),
        cmocka_unit_test(test_swim_probe__puts_newcomers_in_anywhere),
        cmocka_unit_test(test_swim_probe__removes),
        cmocka_unit_test(test_swim_probe__bounds_itself),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
