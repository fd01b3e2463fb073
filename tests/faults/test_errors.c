/* Any call may fail: a disk that gives errors, is full, or takes half of a write. What is told is a sentence, the old release stays, and when the trouble is over
 * the next deploy goes well: in the same process unless a sync has failed. */
// cost: 12
#include "tests/faults/faults.h"

#include <dirent.h>
#include <errno.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/stat.h>

static unsigned count_descriptors(void)
{
    unsigned count = 0;
    DIR *dir = opendir("/proc/self/fd");
    assert_non_null(dir);
    while (readdir(dir))
        count++;
    closedir(dir);
    return count;
}

static void expect_sentence(const char *why, int errnum)
{
    if (errnum == ENOSPC && why[0])
        assert_true(strstr(why, "full") || strstr(why, "space"));
}

/* One life with one call that fails; false when there were not so many. */
static bool live_with_error(enum life_course course, unsigned kinds, uint64_t at, int errnum)
{
    char why[LIFE_ERROR_MAX] = "";
    life_claim begun;
    life_copy(&world, life_start(course, &begun), "state");
    volatile life_claim claim = begun;
    unsigned descriptors = count_descriptors();
    calls_fail_at(kinds, at, errnum);
    int err = life_run(&world, "state", course, &claim, why);
    bool spoilt = calls_spoilt(), sync = calls_spoilt_a_sync();
    calls_pass();
    if (err != 0)
        expect_sentence(why, errnum);
    assert_true(err == 0 || spoilt);
    bool may_do_without = course == LIFE_COLLECT || course == LIFE_REFILL || course == LIFE_PATCH; /* a tree stays, or is built instead */
    assert_true(err != 0 || !sync || may_do_without); /* what did not reach the disk is not told to be there */
    if (errnum == 0 && err != 0)
        fail_msg("%s: a write of half fails it at write %u: %s", life_name(course), (unsigned) at, why);
    assert_int_equal(count_descriptors(), descriptors);
    const char *wrong = spoilt ? life_judge(&world, "state", claim, faults_last(claim)) : NULL;
    if (wrong)
        fail_msg("%s, when call %u failed with %s and %x was promised: %s", life_name(course), (unsigned) at, strerror(errnum), claim, wrong);
    return spoilt;
}

/* At every point, or at one in three by chance. */
static unsigned fail_everywhere(unsigned kinds, int errnum)
{
    unsigned count = 0;
    faults_seed();
    for (enum life_course course = LIFE_FIRST; course < LIFE_ALL; course++)
        for (uint64_t at = 0; live_with_error(course, kinds, at, errnum); at += faults_all() ? 1 : 1 + faults_chance() % 5)
            count++;
    print_message("%u calls failed\n", count);
    return count;
}

static void test_errors__a_disk_that_fails_at_any_call_leaves_the_old_release(void **state)
{
    (void) state;
    assert_true(fail_everywhere(CALLS_ALL, EIO) > 200);
}

static void test_errors__a_disk_that_is_full_at_any_call_leaves_the_old_release(void **state)
{
    (void) state;
    assert_true(fail_everywhere(CALLS_GROWING, ENOSPC) > 50);
}

static void test_errors__a_write_of_half_is_gone_on_with(void **state)
{
    (void) state;
    assert_true(fail_everywhere(CALLS_WRITE, 0) > 15);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_errors__a_disk_that_fails_at_any_call_leaves_the_old_release),
        cmocka_unit_test(test_errors__a_disk_that_is_full_at_any_call_leaves_the_old_release),
        cmocka_unit_test(test_errors__a_write_of_half_is_gone_on_with),
    };
    return cmocka_run_group_tests(tests, faults_setup, faults_teardown);
}
