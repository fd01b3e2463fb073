/* The failure table row by row, and the queues of waiting calls. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "base/err.h"
#include "net/grpc.h"
#include "server/route/retry.h"
#include "server/route/waiting.h"

static void test_retry__repeats_only_what_no_task_has_seen(void **state)
{
    (void) state;
    static const struct {
        const char *claim;
        struct retry_attempt attempt;
        enum retry_verdict verdict;
        bool may_wait;
    } cases[] = {
        {"refused", {GRPC_UNAVAILABLE, ATTEMPT_UNSEEN, true, -1, 1, 3, 1000}, RETRY_NOW, true},
        {"refused, attempts used up", {GRPC_UNAVAILABLE, ATTEMPT_UNSEEN, true, -1, 3, 3, 1000}, RETRY_GIVE_UP, true},
        {"a peer had nothing ready", {GRPC_UNAVAILABLE, ATTEMPT_UNSEEN, false, -1, 1, 3, 1000}, RETRY_NOW, false},
        {"a peer's release lacks the task", {GRPC_NOT_FOUND, ATTEMPT_UNSEEN, false, -1, 2, 3, 1000}, RETRY_NOW, false},
        {"REFUSED_STREAM", {GRPC_UNAVAILABLE, ATTEMPT_UNPROCESSED, false, -1, 2, 3, 1000}, RETRY_FREE, false},
        {"the third attempt was the last", {GRPC_UNAVAILABLE, ATTEMPT_UNPROCESSED, false, -1, 3, 3, 1000}, RETRY_GIVE_UP, false},
        {"sent, no answer", {GRPC_UNAVAILABLE, ATTEMPT_UNKNOWN, false, -1, 1, 3, 1000}, RETRY_GIVE_UP, false},
        {"answer begun", {GRPC_INTERNAL, ATTEMPT_ANSWERED, false, -1, 1, 3, 1000}, RETRY_GIVE_UP, false},
        {"an answer that looks repeatable", {GRPC_UNAVAILABLE, ATTEMPT_ANSWERED, false, -1, 1, 3, 1000}, RETRY_GIVE_UP, false},
        {"load, pushback", {GRPC_RESOURCE_EXHAUSTED, ATTEMPT_UNSEEN, false, 50, 1, 3, 1000}, RETRY_LATER, false},
        {"load, no pushback", {GRPC_RESOURCE_EXHAUSTED, ATTEMPT_UNSEEN, false, -1, 1, 3, 1000}, RETRY_NOW, false},
        {"load, pushback beyond the deadline",
         {GRPC_RESOURCE_EXHAUSTED, ATTEMPT_UNSEEN, false, 1000, 1, 3, 1000},
         RETRY_GIVE_UP,
         false},
        {"deadline passed", {GRPC_UNAVAILABLE, ATTEMPT_UNSEEN, true, -1, 1, 3, 0}, RETRY_GIVE_UP, false},
        {"the peer's deadline passed", {GRPC_DEADLINE_EXCEEDED, ATTEMPT_UNKNOWN, false, -1, 1, 3, 10}, RETRY_GIVE_UP, false},
        {"the caller's own mistake", {GRPC_INVALID_ARGUMENT, ATTEMPT_UNSEEN, false, -1, 1, 3, 1000}, RETRY_GIVE_UP, false},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        if (retry_decide(&cases[i].attempt) != cases[i].verdict || retry_may_wait(&cases[i].attempt) != cases[i].may_wait)
            print_error("%s\n", cases[i].claim);
        assert_int_equal(retry_decide(&cases[i].attempt), cases[i].verdict);
        assert_int_equal(retry_may_wait(&cases[i].attempt), cases[i].may_wait);
    }
}

static void test_retry__backs_off_with_full_jitter_up_to_a_tenth_of_a_second(void **state)
{
    (void) state;
    static const uint64_t bounds[] = {10, 20, 40, 80, 100, 100, 100};
    for (unsigned n = 0; n < 7; n++) {
        uint64_t least = UINT64_MAX, most = 0;
        for (uint32_t random = 0; random < 1000; random++) {
            uint64_t ms = retry_backoff_ms(n, random);
            least = ms < least ? ms : least;
            most = ms > most ? ms : most;
        }
        assert_int_equal(least, 1);
        assert_int_equal(most, bounds[n]);
    }
    assert_in_range(retry_backoff_ms(UINT32_MAX, 12345), 1, 100);
}

static struct waiting_entry entry(uint64_t since_ms, uint64_t deadline_ms, size_t bytes)
{
    return (struct waiting_entry){.since_ms = since_ms, .deadline_ms = deadline_ms, .bytes = bytes};
}

static void test_waiting__keeps_tasks_apart_and_the_order_within_one(void **state)
{
    (void) state;
    struct waiting w;
    struct waiting_entry a = entry(1, 100, 10), b = entry(2, 100, 10), c = entry(3, 100, 10);
    waiting_init(&w, 100);
    assert_int_equal(waiting_add(&w, SLICE("x"), &a), 0);
    assert_int_equal(waiting_add(&w, SLICE("y"), &b), 0);
    assert_int_equal(waiting_add(&w, SLICE("x"), &c), 0);
    assert_ptr_equal(waiting_first(&w, SLICE("x")), &a);
    waiting_remove(&w, &a);
    waiting_remove(&w, &a);
    assert_ptr_equal(waiting_first(&w, SLICE("x")), &c);
    waiting_remove(&w, &c);
    assert_null(waiting_first(&w, SLICE("x")));
    assert_int_equal(w.count, 1);
    assert_int_equal(w.bytes, 10);
    waiting_remove(&w, &b);
    assert_null(w.queues);
}

static void test_waiting__refuses_beyond_its_bytes(void **state)
{
    (void) state;
    struct waiting w;
    struct waiting_entry a = entry(1, 100, 60), b = entry(1, 100, 41);
    waiting_init(&w, 100);
    assert_int_equal(waiting_add(&w, SLICE("x"), &a), 0);
    assert_int_equal(waiting_add(&w, SLICE("x"), &b), GRID_ELIMIT);
    assert_null(b.queue);
    waiting_remove(&w, &a);
    assert_int_equal(w.bytes, 0);
}

static void test_waiting__pushes_out_what_has_waited_too_long(void **state)
{
    (void) state;
    static const struct {
        const char *claim;
        uint64_t since_ms, deadline_ms, now_ms;
        enum waiting_room room;
    } cases[] = {
        {"fresh", 1000, 61000, 1500, WAITING_FULL},
        {"a second is patience enough", 1000, 61000, 2001, WAITING_PUSH_OUT},
        {"half of a short time is gone", 1000, 1400, 1201, WAITING_PUSH_OUT},
        {"half of a short time is left", 1000, 1400, 1199, WAITING_FULL},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct waiting w;
        _Atomic uint32_t count = 0;
        struct waiting_entry idle = entry(1, 100000, 1), e = entry(cases[i].since_ms, cases[i].deadline_ms, 1), *oldest = NULL;
        waiting_init(&w, 100);
        assert_int_equal(waiting_room(&w, SLICE("x"), &count, 1, cases[i].now_ms, &oldest), WAITING_ROOM);
        waiting_add(&w, SLICE("x"), &idle); /* waits for something to be ready: never pushed out */
        waiting_add(&w, SLICE("x"), &e);
        waiting_set_busy(&e, &count);
        assert_int_equal(count, 1);
        assert_int_equal(waiting_room(&w, SLICE("x"), &count, 1, cases[i].now_ms, &oldest), cases[i].room);
        if (cases[i].room == WAITING_PUSH_OUT)
            assert_ptr_equal(oldest, &e);
        waiting_remove(&w, &e);
        assert_int_equal(count, 0);
        waiting_remove(&w, &idle);
    }
}

static void test_waiting__is_full_for_all_workers_together(void **state)
{
    (void) state;
    struct waiting w;
    struct waiting_entry *oldest;
    _Atomic uint32_t count = 1000; /* of other workers */
    waiting_init(&w, 100);
    assert_int_equal(waiting_room(&w, SLICE("x"), &count, 1000, 5000, &oldest), WAITING_FULL);
    count = 999;
    assert_int_equal(waiting_room(&w, SLICE("x"), &count, 1000, 5000, &oldest), WAITING_ROOM);
}

struct visit {
    struct waiting *waiting;
    struct waiting_entry *seen[8];
    size_t count;
    bool remove;
};

static bool visit_one(void *ctx, struct waiting_entry *e)
{
    struct visit *v = ctx;
    v->seen[v->count++] = e;
    if (v->remove)
        waiting_remove(v->waiting, e);
    return v->remove;
}

static void test_waiting__may_lose_the_entry_that_is_looked_at(void **state)
{
    (void) state;
    struct waiting w;
    struct waiting_entry e[4];
    waiting_init(&w, 100);
    for (int i = 0; i < 4; i++) {
        e[i] = entry(1, 100, 1);
        waiting_add(&w, i % 2 ? SLICE("odd") : SLICE("even"), &e[i]);
    }
    struct visit v = {.waiting = &w};
    waiting_each(&w, visit_one, &v); /* one look a task */
    assert_int_equal(v.count, 2);
    v = (struct visit){.waiting = &w, .remove = true};
    waiting_each(&w, visit_one, &v);
    assert_int_equal(v.count, 4);
    assert_int_equal(w.count, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_retry__repeats_only_what_no_task_has_seen),
        cmocka_unit_test(test_retry__backs_off_with_full_jitter_up_to_a_tenth_of_a_second),
        cmocka_unit_test(test_waiting__keeps_tasks_apart_and_the_order_within_one),
        cmocka_unit_test(test_waiting__refuses_beyond_its_bytes),
        cmocka_unit_test(test_waiting__pushes_out_what_has_waited_too_long),
        cmocka_unit_test(test_waiting__is_full_for_all_workers_together),
        cmocka_unit_test(test_waiting__may_lose_the_entry_that_is_looked_at),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
