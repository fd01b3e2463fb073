/* The loop: mailbox order, deferred work, timers, the thread pool. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <pthread.h>

#include "net/loop.h"
#include "tests/unit/net/pump.h"

struct trace {
    struct loop *loop;
    int at[64];
    int count;
};

struct mark {
    struct trace *trace;
    int value;
    bool stop;
};

static void mark_run(void *arg)
{
    struct mark *m = arg;
    m->trace->at[m->trace->count++] = m->value;
    if (m->stop)
        loop_stop(m->trace->loop);
}

static struct loop *loop_new(void)
{
    struct loop *l;
    assert_int_equal(loop_create(&l), 0);
    return l;
}

static void *poster(void *arg)
{
    struct mark *marks = arg;
    for (int i = 0; i < 50; i++)
        assert_int_equal(loop_post(marks[i].trace->loop, mark_run, &marks[i]), 0);
    return NULL;
}

static void test_loop__runs_posts_of_another_thread_in_order(void **state)
{
    (void) state;
    struct trace trace = {.loop = loop_new()};
    struct mark marks[50];
    pthread_t thread;
    for (int i = 0; i < 50; i++)
        marks[i] = (struct mark){&trace, i, i == 49};
    assert_int_equal(pthread_create(&thread, NULL, poster, marks), 0);
    loop_run(trace.loop);
    pthread_join(thread, NULL);
    assert_int_equal(trace.count, 50);
    for (int i = 0; i < 50; i++)
        assert_int_equal(trace.at[i], i);
    loop_destroy(trace.loop);
}

static void test_loop__runs_what_was_posted_before_it_is_destroyed(void **state)
{
    (void) state;
    struct trace trace = {.loop = loop_new()};
    struct mark mark = {&trace, 7, false};
    loop_post(trace.loop, mark_run, &mark);
    loop_destroy(trace.loop);
    assert_int_equal(trace.count, 1);
}

struct deferring {
    struct trace trace;
    struct loop_deferred one, two, three;
    struct mark marks[3];
};

static void defer_all(void *arg)
{
    struct deferring *d = arg;
    loop_defer(d->trace.loop, &d->one, mark_run, &d->marks[0]);
    loop_defer(d->trace.loop, &d->two, mark_run, &d->marks[1]);
    loop_defer(d->trace.loop, &d->three, mark_run, &d->marks[2]);
    loop_defer(d->trace.loop, &d->one, mark_run, &d->marks[0]);
    loop_defer_cancel(&d->two);
    loop_defer_cancel(&d->two);
    d->trace.at[d->trace.count++] = 0;
}

static void test_loop__runs_deferred_work_once_and_after_the_callback(void **state)
{
    (void) state;
    struct deferring d = {.trace.loop = loop_new()};
    for (int i = 0; i < 3; i++)
        d.marks[i] = (struct mark){&d.trace, i + 1, i == 2};
    loop_post(d.trace.loop, defer_all, &d);
    loop_run(d.trace.loop);
    assert_int_equal(d.trace.count, 3);
    assert_int_equal(d.trace.at[0], 0);
    assert_int_equal(d.trace.at[1], 1);
    assert_int_equal(d.trace.at[2], 3);
    loop_destroy(d.trace.loop);
}

static void test_loop__fires_timers_by_due_time_then_by_start(void **state)
{
    (void) state;
    struct trace trace = {.loop = loop_new()};
    static const uint64_t delays[] = {20, 5, 5, 1, 30, 12};
    static const int order[] = {3, 1, 2, 0, 4};
    struct loop_timer timers[6] = {0};
    struct mark marks[6];
    for (int i = 0; i < 6; i++) {
        marks[i] = (struct mark){&trace, i, i == 4};
        loop_timer_start(trace.loop, &timers[i], delays[i], mark_run, &marks[i]);
    }
    loop_timer_stop(&timers[5]);
    assert_false(loop_timer_running(&timers[5]));
    loop_run(trace.loop);
    assert_int_equal(trace.count, 5);
    for (int i = 0; i < 5; i++)
        assert_int_equal(trace.at[i], order[i]);
    loop_destroy(trace.loop);
}

static void nothing(void *arg)
{
    (void) arg;
}

static void test_loop__keeps_its_heap_in_order_through_many_stops(void **state)
{
    (void) state;
    enum { COUNT = 500 };
    static struct loop_timer timers[COUNT];
    struct trace trace = {.loop = loop_new()};
    struct mark last = {&trace, 1, true};
    struct loop_timer end = {0};
    uint32_t random = 1;
    for (int i = 0; i < COUNT; i++) {
        random = random * 1664525u + 1013904223u;
        loop_timer_start(trace.loop, &timers[i], 100000 + random % 1000, nothing, NULL);
    }
    loop_timer_start(trace.loop, &end, 1, mark_run, &last);
    for (int i = 0; i < COUNT; i += 2)
        loop_timer_stop(&timers[(i * 7) % COUNT]);
    loop_run(trace.loop);
    assert_int_equal(trace.count, 1);
    for (int i = 0; i < COUNT; i++)
        loop_timer_stop(&timers[i]);
    loop_destroy(trace.loop);
}

static void work_add(void *arg)
{
    ((struct mark *) arg)->value += 1;
}

static void test_loop__brings_work_back_from_the_pool(void **state)
{
    (void) state;
    struct trace trace = {.loop = loop_new()};
    struct mark mark = {&trace, 41, true};
    assert_int_equal(loop_work(trace.loop, work_add, mark_run, &mark), 0);
    loop_run(trace.loop);
    assert_int_equal(trace.at[0], 42);
    loop_destroy(trace.loop);
}

/* The loop's clock is as old as its last turn: the tick is due at once, before the poll that it is to end. */
/* While it looks for events it must not forget what else is due, and with nothing left it must end. */
static void test_loop__runs_posts_timers_and_work_while_it_busy_polls(void **state)
{
    (void) state;
    struct trace trace = {.loop = loop_new()};
    struct mark posted = {&trace, 1, false}, worked = {&trace, 2, false}, due = {&trace, 3, true};
    struct loop_timer timer = {0};
    loop_busy_poll(trace.loop, 1000);
    loop_event(trace.loop);
    assert_int_equal(loop_post(trace.loop, mark_run, &posted), 0);
    assert_int_equal(loop_work(trace.loop, nothing, mark_run, &worked), 0);
    loop_timer_start(trace.loop, &timer, 30, mark_run, &due);
    loop_run(trace.loop);
    assert_int_equal(trace.count, 3);
    assert_int_equal(trace.at[2], 3);
    loop_destroy(trace.loop);
}

static void test_pump__keeps_its_deadline_on_a_loop_that_has_not_turned_for_long(void **state)
{
    (void) state;
    struct loop *l = loop_new();
    int never = 0;
    for (uint64_t start = loop_clock_ms(); loop_clock_ms() < start + 60;)
        ;
    assert_false(pump_until_value(l, &never, 1, 10));
    loop_destroy(l);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_loop__runs_posts_of_another_thread_in_order),
        cmocka_unit_test(test_loop__runs_what_was_posted_before_it_is_destroyed),
        cmocka_unit_test(test_loop__runs_deferred_work_once_and_after_the_callback),
        cmocka_unit_test(test_loop__fires_timers_by_due_time_then_by_start),
        cmocka_unit_test(test_loop__keeps_its_heap_in_order_through_many_stops),
        cmocka_unit_test(test_loop__brings_work_back_from_the_pool),
        cmocka_unit_test(test_loop__runs_posts_timers_and_work_while_it_busy_polls),
        cmocka_unit_test(test_pump__keeps_its_deadline_on_a_loop_that_has_not_turned_for_long),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
