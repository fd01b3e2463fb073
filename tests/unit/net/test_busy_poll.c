/* Adaptive busy polling: when a loop looks on, and when it sleeps. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "net/busy_poll.h"

enum { MAX_NS = 200000, START_NS = 1000000 };

/* One wait that lasts so long, seen by a loop that looks every microsecond while told to. Returns how long it looked. */
static uint64_t wait_once(struct busy_poll *b, uint64_t *now_ns, uint64_t length_ns)
{
    uint64_t begun = *now_ns, looked = 0;
    for (bool event = true; busy_poll_again(b, event, *now_ns) && looked < length_ns; event = false) {
        *now_ns += 1000;
        looked = *now_ns - begun;
    }
    *now_ns = begun + length_ns;
    return looked;
}

static uint64_t wait_often(struct busy_poll *b, uint64_t *now_ns, uint64_t length_ns, int times)
{
    uint64_t looked = 0;
    for (int i = 0; i < times; i++)
        looked = wait_once(b, now_ns, length_ns);
    return looked;
}

static void test_busy_poll__sleeps_at_once_when_off(void **state)
{
    struct busy_poll b;
    uint64_t now = START_NS;
    (void) state;
    busy_poll_init(&b, 0);
    assert_int_equal(wait_often(&b, &now, 5000, 100), 0);
}

static void test_busy_poll__looks_through_waits_that_are_short(void **state)
{
    struct busy_poll b;
    uint64_t now = START_NS;
    (void) state;
    busy_poll_init(&b, MAX_NS);
    assert_int_equal(wait_once(&b, &now, 50000), 0);
    assert_int_equal(wait_often(&b, &now, 50000, 10), 50000);
    assert_int_equal(wait_often(&b, &now, 190000, 10), 190000);
}

static void test_busy_poll__never_looks_longer_than_the_greatest_window(void **state)
{
    struct busy_poll b;
    uint64_t now = START_NS;
    (void) state;
    busy_poll_init(&b, MAX_NS);
    wait_often(&b, &now, 190000, 20);
    assert_int_equal(wait_once(&b, &now, 10 * MAX_NS), MAX_NS);
}

static void test_busy_poll__one_long_wait_closes_the_window(void **state)
{
    struct busy_poll b;
    uint64_t now = START_NS;
    (void) state;
    busy_poll_init(&b, MAX_NS);
    wait_often(&b, &now, 50000, 10);
    wait_once(&b, &now, 5 * MAX_NS);
    assert_int_equal(wait_once(&b, &now, 5 * MAX_NS), 0);
    assert_int_equal(wait_once(&b, &now, 5 * MAX_NS), 0);
}

static void test_busy_poll__an_idle_loop_looks_for_nothing(void **state)
{
    struct busy_poll b;
    uint64_t now = START_NS;
    (void) state;
    busy_poll_init(&b, MAX_NS);
    assert_int_equal(wait_often(&b, &now, 500 * 1000 * 1000, 20), 0);
}

static void test_busy_poll__sleeps_for_a_while_when_another_thread_had_the_cpu(void **state)
{
    struct busy_poll b;
    uint64_t now = START_NS;
    (void) state;
    busy_poll_init(&b, MAX_NS);
    wait_often(&b, &now, 50000, 10);
    assert_true(busy_poll_again(&b, true, now));
    assert_true(busy_poll_again(&b, false, now + 1000));
    assert_false(busy_poll_again(&b, false, now + 40000)); /* in the window, but somebody ran for 39 microseconds */
    now += 50000;
    assert_int_equal(wait_often(&b, &now, 50000, 20), 0);
    assert_int_equal(wait_often(&b, &now, 50000, 40), 50000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_busy_poll__sleeps_at_once_when_off),
        cmocka_unit_test(test_busy_poll__looks_through_waits_that_are_short),
        cmocka_unit_test(test_busy_poll__never_looks_longer_than_the_greatest_window),
        cmocka_unit_test(test_busy_poll__one_long_wait_closes_the_window),
        cmocka_unit_test(test_busy_poll__sleeps_for_a_while_when_another_thread_had_the_cpu),
        cmocka_unit_test(test_busy_poll__an_idle_loop_looks_for_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
