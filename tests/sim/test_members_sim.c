/* The simulator itself, some seeds of it, the seeds that have broken something once, and every case: as much as fits under a sanitizer. The
 * many seeds are run by members_sim (docs/testing.md). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "tests/sim/sim_cases.h"
#include "tests/sim/sim_course.h"

enum {
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
    SEEDS = 2,
#else
    SEEDS = 6,
#endif
    FIRST_SEED = 1000000, /* others than members_sim's */
    SMALL_GRIDS = 40,
};

static struct sim_result run_seed(uint32_t nodes, uint64_t seed)
{
    struct sim_config config = {.nodes = nodes, .seed = seed};
    struct sim_plan plan = sim_plan_make(nodes, seed);
    return sim_course_run(&config, &plan);
}

static void expect_unbroken(uint32_t nodes, uint64_t seed)
{
    struct sim_result result = run_seed(nodes, seed);
    if (result.broken[0])
        fail_msg("%s; replay: members_sim --nodes %u --seed %llu --trace", result.broken, nodes, (unsigned long long) seed);
}

static void test_members_sim__keeps_its_invariants_under_faults(void **state)
{
    (void) state;
    for (uint64_t seed = FIRST_SEED; seed < FIRST_SEED + SEEDS; seed++)
        expect_unbroken(32, seed);
}

static void test_members_sim__keeps_its_invariants_in_small_grids(void **state)
{
    (void) state;
    for (uint64_t seed = FIRST_SEED; seed < FIRST_SEED + SMALL_GRIDS; seed++)
        expect_unbroken(2 + (uint32_t) (seed % 6), seed);
}

static void test_members_sim__reaches_its_figures(void **state)
{
    (void) state;
    for (size_t i = 0; i < SIM_CASE_COUNT; i++) {
        char broken[256];
        uint32_t measured;
        sim_case_run(&SIM_CASES[i], FIRST_SEED, false, &measured, broken);
        if (broken[0])
            fail_msg("case %s: %s", SIM_CASES[i].name, broken);
    }
}

static void test_members_sim__is_the_same_for_the_same_seed(void **state)
{
    (void) state;
    struct sim_result first = run_seed(8, 42), again = run_seed(8, 42), other = run_seed(8, 43);
    assert_true(first.frames > 0);
    assert_int_equal(first.fingerprint, again.fingerprint);
    assert_int_equal(first.events, again.events);
    assert_true(first.fingerprint != other.fingerprint);
}

static void test_sim_plan__has_at_least_three_kinds_of_fault(void **state)
{
    (void) state;
    for (uint64_t seed = 1; seed < 2000; seed++) {
        struct sim_plan plan = sim_plan_make(32, seed);
        assert_true(plan.kinds >= SIM_KINDS_LEAST && plan.count >= plan.kinds);
        for (uint32_t i = 0; i < plan.count; i++)
            assert_true(plan.faults[i].at <= plan.faults[i].until && plan.faults[i].until <= SIM_FAULTS_TO_MS);
    }
}

static void test_sim_wheel__gives_events_in_order_over_many_turns(void **state)
{
    (void) state;
    static struct sim_wheel wheel;
    static const uint32_t times[] = {5, 5, 3, SIM_WHEEL_SLOTS + 3, 3 * SIM_WHEEL_SLOTS, 70000, 0};
    static const uint32_t expected[] = {6, 2, 0, 1, 3, 4, 5};
    struct sim_event e;
    sim_wheel_reset(&wheel);
    for (uint32_t i = 0; i < 7; i++)
        sim_wheel_add(&wheel, times[i], 0, i, 0);
    for (uint32_t i = 0; i < 7; i++) {
        assert_true(sim_wheel_next(&wheel, 100000, &e));
        assert_int_equal(e.a, expected[i]);
        assert_int_equal(wheel.now, times[e.a]);
    }
    assert_false(sim_wheel_next(&wheel, 100000, &e));
    assert_int_equal(wheel.now, 100000);
    sim_wheel_dispose(&wheel);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sim_wheel__gives_events_in_order_over_many_turns),
        cmocka_unit_test(test_sim_plan__has_at_least_three_kinds_of_fault),
        cmocka_unit_test(test_members_sim__is_the_same_for_the_same_seed),
        cmocka_unit_test(test_members_sim__reaches_its_figures),
        cmocka_unit_test(test_members_sim__keeps_its_invariants_in_small_grids),
        cmocka_unit_test(test_members_sim__keeps_its_invariants_under_faults),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
