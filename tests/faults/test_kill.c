/* A process that is killed before any call that changes files, or in the middle of a write, leaves the old release or the new one. */
#include "tests/faults/faults.h"

/* A life in a process of its own, which the plan ends; true when it came to its own end. */
static bool live(enum life_course course, unsigned kinds, uint64_t at, bool half, volatile life_claim *claim)
{
    char why[LIFE_ERROR_MAX] = "";
    int status;
    *claim = 0;
    life_claim begun;
    life_copy(&world, life_start(course, &begun), "state");
    *claim = begun;
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        calls_kill_at(kinds, at, half);
        _exit(life_run(&world, "state", course, claim, why) == 0 ? 0 : 1);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    if (!WIFSIGNALED(status))
        assert_int_equal(WEXITSTATUS(status), 0);
    return !WIFSIGNALED(status);
}

/* All points of a course; how many there were. */
static unsigned die_everywhere(enum life_course course, unsigned kinds, bool half)
{
    volatile life_claim *claim = faults_shared_claim();
    for (unsigned at = 0;; at++) {
        bool ended = live(course, kinds, at, half, claim);
        const char *wrong = life_judge(&world, "state", *claim, faults_last(*claim));
        if (wrong)
            fail_msg("%s, killed %s call %u, when %x was promised: %s", life_name(course), half ? "in the middle of writing" : "before", at, *claim, wrong);
        if (ended) {
            munmap((void *) claim, sizeof *claim);
            return at;
        }
    }
}

static unsigned points;

static void test_kill__at_any_call_leaves_the_old_release_or_the_new(void **state)
{
    (void) state;
    for (enum life_course course = LIFE_FIRST; course < LIFE_COURSES; course++) {
        unsigned here = die_everywhere(course, CALLS_CHANGING, false);
        print_message("%s: killed before %u calls\n", life_name(course), here);
        points += here;
    }
    assert_true(points >= 1000);
}

static void test_kill__in_the_middle_of_any_write_leaves_the_old_release_or_the_new(void **state)
{
    (void) state;
    for (enum life_course course = LIFE_FIRST; course < LIFE_ALL; course++)
        assert_true(die_everywhere(course, CALLS_WRITE, true) >= 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_kill__at_any_call_leaves_the_old_release_or_the_new),
        cmocka_unit_test(test_kill__in_the_middle_of_any_write_leaves_the_old_release_or_the_new),
    };
    return cmocka_run_group_tests(tests, faults_setup, faults_teardown);
}
