/* Jobs that lead to jobs, done by a few threads. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include <stdatomic.h>

#include "base/err.h"
#include "fs/crew.h"

enum { DEPTH = 9, JOBS = (1 << (DEPTH + 1)) - 1 };

/* A job leads to two of one depth more. */
struct node {
    struct crew_job job;
    unsigned depth;
};

struct work {
    struct crew crew;
    atomic_uint done, entered, left, dropped;
    unsigned fail_at; /* the number of the job that fails; 0: none */
    int enter_err[CREW_MAX];
    atomic_bool inside[CREW_MAX];
};

static struct work *dropping; /* for drop */

static struct node *node_make(unsigned depth)
{
    struct node *n = calloc(1, sizeof *n);
    assert_non_null(n);
    n->depth = depth;
    return n;
}

static int enter(void *arg, unsigned member)
{
    struct work *w = arg;
    if (w->enter_err[member] != 0)
        return w->enter_err[member];
    atomic_fetch_add(&w->entered, 1);
    return atomic_exchange(&w->inside[member], true) ? GRID_EINVAL : 0;
}

static void leave(void *arg, unsigned member)
{
    struct work *w = arg;
    atomic_fetch_add(&w->left, 1);
    atomic_store(&w->inside[member], false);
}

static int run(void *arg, unsigned member, struct crew_job *job)
{
    struct work *w = arg;
    struct node *n = (struct node *) job;
    unsigned number = atomic_fetch_add(&w->done, 1) + 1, depth = n->depth;
    bool inside = atomic_load(&w->inside[member]);
    free(n);
    if (!inside || number == w->fail_at)
        return inside ? GRID_EIO : GRID_EINVAL;
    for (int i = 0; i < 2 && depth < DEPTH; i++)
        crew_push(&w->crew, &node_make(depth + 1)->job);
    return 0;
}

static void drop(struct crew_job *job)
{
    atomic_fetch_add(&dropping->dropped, 1);
    free(job);
}

static int work_off(struct work *w, unsigned members)
{
    const struct crew_plan plan = {.members_max = members, .jobs_a_member = 1, .enter = enter, .leave = leave, .run = run, .drop = drop, .arg = w};
    dropping = w;
    crew_init(&w->crew, &plan);
    crew_push(&w->crew, &node_make(0)->job);
    int err = crew_run(&w->crew);
    crew_dispose(&w->crew);
    return err;
}

static void test_crew__does_every_job_and_leaves_as_often_as_it_entered(void **state)
{
    (void) state;
    for (unsigned members = 1; members <= CREW_MAX; members++) {
        struct work w = {0};
        assert_int_equal(work_off(&w, members), 0);
        assert_int_equal(w.done, JOBS);
        assert_int_equal(w.entered, w.left);
        assert_int_equal(w.dropped, 0);
        assert_in_range(w.entered, 1, 2 * members - 1); /* the calling thread once more for each helper */
    }
}

static void test_crew__ends_with_the_first_error_and_drops_the_rest(void **state)
{
    (void) state;
    for (unsigned fail_at = 1; fail_at < JOBS; fail_at += 37) {
        struct work alone = {.fail_at = fail_at}, w = alone;
        assert_int_equal(work_off(&alone, 1), GRID_EIO);
        assert_int_equal(alone.done, fail_at);
        assert_int_equal(alone.dropped > 0, fail_at > 1);
        assert_int_equal(work_off(&w, CREW_MAX), GRID_EIO); /* others may do what they have time for until the error is told */
        assert_in_range(w.done, fail_at, JOBS);
        assert_int_equal(w.entered, w.left);
    }
}

static void test_crew__a_helper_that_cannot_enter_is_done_without(void **state)
{
    (void) state;
    struct work w = {.enter_err = {0, GRID_EPERM, GRID_EPERM, GRID_EPERM}};
    assert_int_equal(work_off(&w, CREW_MAX), 0);
    assert_int_equal(w.done, JOBS);
    struct work none = {.enter_err = {GRID_ENOMEM}};
    assert_int_equal(work_off(&none, CREW_MAX), GRID_ENOMEM);
    assert_int_equal(none.done, 0);
    assert_int_equal(none.dropped, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_crew__does_every_job_and_leaves_as_often_as_it_entered),
        cmocka_unit_test(test_crew__ends_with_the_first_error_and_drops_the_rest),
        cmocka_unit_test(test_crew__a_helper_that_cannot_enter_is_done_without),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
