/* Whom a node asks for the entries that it lacks, and when: by numbers alone. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>

#include "server/release/history_turns.h"

static const char *const NODES[] = {"a", "b", "c"};

static size_t pick(const struct history_turns *t, uint64_t now_ms, uint64_t *wait_ms)
{
    return history_turns_pick(t, NODES, 3, now_ms, wait_ms);
}

static void test_history_turns__each_node_is_asked_once_in_order(void **state)
{
    struct history_turns t = {0};
    uint64_t wait_ms;
    (void) state;
    for (size_t i = 0; i < 3; i++) {
        assert_int_equal(pick(&t, 0, &wait_ms), i);
        history_turns_answered(&t, NODES[i]);
    }
    assert_int_equal(pick(&t, UINT64_MAX - 1, &wait_ms), 3);
    assert_true(wait_ms == UINT64_MAX);
    const char *const more[] = {"a", "d"};
    assert_int_equal(history_turns_pick(&t, more, 2, 5, &wait_ms), 1);
}

static void test_history_turns__who_fails_is_asked_again_after_longer_each_time(void **state)
{
    struct history_turns t = {0};
    uint64_t now = 100, wait_ms, last = 0;
    (void) state;
    history_turns_answered(&t, "b");
    history_turns_answered(&t, "c");
    for (unsigned i = 0; i < 20; i++) {
        assert_int_equal(pick(&t, now, &wait_ms), 0);
        history_turns_failed(&t, "a", now);
        assert_int_equal(pick(&t, now, &wait_ms), 3);
        assert_true(wait_ms >= HISTORY_NEXT_MS && wait_ms >= last && wait_ms <= HISTORY_RETRY_MAX_MS);
        last = wait_ms;
        now += wait_ms;
    }
    assert_int_equal(last, HISTORY_RETRY_MAX_MS);
}

static void test_history_turns__others_come_before_who_failed(void **state)
{
    struct history_turns t = {0};
    uint64_t wait_ms;
    (void) state;
    history_turns_failed(&t, "a", 0);
    assert_int_equal(pick(&t, 0, &wait_ms), 1);
    assert_int_equal(pick(&t, HISTORY_NEXT_MS, &wait_ms), 1); /* though its time has come */
    history_turns_answered(&t, "b");
    history_turns_answered(&t, "c");
    assert_int_equal(pick(&t, HISTORY_NEXT_MS, &wait_ms), 0);
    history_turns_answered(&t, "a");
    assert_int_equal(pick(&t, HISTORY_RETRY_MAX_MS, &wait_ms), 3);
}

static void test_history_turns__so_many_are_asked_and_no_more(void **state)
{
    struct history_turns t = {0};
    uint64_t wait_ms;
    char id[16];
    const char *ids[] = {id};
    (void) state;
    for (unsigned i = 0; i < HISTORY_ASKED_MAX; i++) {
        snprintf(id, sizeof id, "n%u", i);
        assert_int_equal(history_turns_pick(&t, ids, 1, 0, &wait_ms), 0);
        history_turns_answered(&t, id);
    }
    snprintf(id, sizeof id, "one more");
    assert_int_equal(history_turns_pick(&t, ids, 1, 0, &wait_ms), 1);
    history_turns_failed(&t, id, 0);
    assert_int_equal(t.count, HISTORY_ASKED_MAX);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_history_turns__each_node_is_asked_once_in_order),
        cmocka_unit_test(test_history_turns__who_fails_is_asked_again_after_longer_each_time),
        cmocka_unit_test(test_history_turns__others_come_before_who_failed),
        cmocka_unit_test(test_history_turns__so_many_are_asked_and_no_more),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
