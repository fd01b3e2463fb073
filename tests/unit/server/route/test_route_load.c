/* A node's word of its load: what is so here, how it is told and read, and how long a word that it is full counts. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "server/route/route_load.h"

enum { LIMIT = 100 };

static const struct route_load FULL = {.in_flight = 100, .queued = 3, .ready = 1}, ROOMY = {.in_flight = 99, .ready = 1, .room = 1};

static void test_route_load__counts_what_takes_calls_here(void **state)
{
    (void) state;
    static const struct {
        uint32_t in_flight[3], draining, queued, cpu;
        struct route_load load;
    } cases[] = {
        {{0, 0, 0}, 0, 0, 0, {.ready = 3, .room = 300}},
        {{100, 40, 0}, 0, 0, 12, {.in_flight = 140, .cpu_percent = 12, .ready = 3, .room = 160}},
        {{100, 40, 0}, 4, 0, 0, {.in_flight = 140, .ready = 2, .room = 60}}, /* the third is about to go */
        {{100, 100, 100}, 0, 7, 99, {.in_flight = 300, .queued = 7, .cpu_percent = 99, .ready = 3, .room = 0}},
        {{99, 100, 100}, 0, 7, 0, {.in_flight = 299, .queued = 7, .ready = 3, .room = 0}}, /* the one place is for who waits */
        {{90, 100, 100}, 0, 7, 0, {.in_flight = 290, .queued = 7, .ready = 3, .room = 3}},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct route_shared *shared = route_shared_create();
        struct route_task_shared *task = route_task_shared_create(1);
        struct route_builder *b = route_builder_create(1, shared);
        struct instance *instances[3];
        struct route_load load;
        for (unsigned k = 0; k < 3; k++) {
            instances[k] = instance_create(k + 1, "echo", k, 1);
            instances[k]->in_flight = cases[i].in_flight[k];
            instances[k]->draining = (cases[i].draining >> k & 1) != 0;
        }
        route_builder_node(b, &(struct route_node){.id = "a", .local = true, .routable = true, .host_json = SLICE("{}")});
        struct route_task_spec spec = {"echo", task, (const uint32_t[]){3}, instances, (const char *const[]){"", "", ""}, 3, NULL, true, NULL};
        route_builder_task(b, &spec);
        struct route_table *t = route_builder_finish(b, false, "", NULL);
        task->queued = cases[i].queued;
        shared->cpu_percent = cases[i].cpu;
        assert_false(route_load_here(t, SLICE("other"), LIMIT, &load));
        assert_true(route_load_here(t, SLICE("echo"), LIMIT, &load));
        assert_memory_equal(&load, &cases[i].load, sizeof load);
        for (int k = 0; k < 3; k++)
            instance_unref(instances[k]);
        route_table_unref(t);
        route_task_shared_unref(task);
        route_shared_unref(shared);
    }
}

static void test_route_load__is_told_in_rounded_numbers(void **state)
{
    (void) state;
    static const struct {
        struct route_load load;
        const char *told;
    } cases[] = {
        {{0}, "0 0 0 0 0"},
        {{7, 1, 2, 3, 1}, "7 1 0 3 1"},
        {{100, 1001, 97, 9, 15}, "96 896 95 8 14"},
        {{UINT32_MAX, UINT32_MAX, 100, UINT32_MAX, UINT32_MAX}, "3758096384 3758096384 100 3758096384 3758096384"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char text[ROUTE_LOAD_TEXT], again[ROUTE_LOAD_TEXT];
        struct route_load read;
        struct slice told = route_load_format(&cases[i].load, text);
        assert_true(slice_equal_str(told, cases[i].told));
        assert_true(route_load_parse(told, &read));
        assert_true(slice_equal(route_load_format(&read, again), told));
        assert_int_equal(read.room == 0, cases[i].load.room == 0);
    }
}

static void test_route_load__reads_newer_versions_and_no_nonsense(void **state)
{
    (void) state;
    struct route_load load = {.room = 42};
    static const char *const bad[] = {"", " ", "1", "1 2 3 4", "1 2 3 4 ", "1  2 3 4 5", " 1 2 3 4 5", "1 2 3 4 -5", "1 2 3 4 4294967296", "1 2 101 4 5", "1 2 3 4 5,6", "a b c d e"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_false(route_load_parse(slice_of_str(bad[i]), &load));
    assert_int_equal(load.room, 42);
    assert_true(route_load_parse(SLICE("1 2 3 4 5 6 new=7"), &load));
    assert_true(load.in_flight == 1 && load.queued == 2 && load.cpu_percent == 3 && load.ready == 4 && load.room == 5);
}

static void test_route_load__a_full_node_is_full_until_it_says_otherwise_or_the_word_is_old(void **state)
{
    (void) state;
    struct route_node_shared *node = route_node_shared_create();
    struct route_task_shared *task = route_task_shared_create(1);
    uint64_t now = 5000;
    assert_false(route_load_is_full(node, task, now));
    route_load_note(node, task, &ROOMY, now);
    assert_false(route_load_is_full(node, task, now));
    route_load_note(node, task, &FULL, now);
    assert_true(route_load_is_full(node, task, now));
    assert_true(route_load_is_full(node, task, now - 1)); /* another loop's clock */
    route_load_note(node, task, &ROOMY, now + 1);
    assert_false(route_load_is_full(node, task, now + 1));
    route_load_note(node, task, &FULL, now + 2);
    assert_true(route_load_is_full(node, task, now + 1 + ROUTE_FULL_MS));
    /* Old: one is let through to see, and the others go by the old word for as long again. */
    assert_false(route_load_is_full(node, task, now + 2 + ROUTE_FULL_MS));
    assert_true(route_load_is_full(node, task, now + 2 + ROUTE_FULL_MS));
    assert_true(route_load_is_full(node, task, now + 1 + 2 * ROUTE_FULL_MS));
    assert_false(route_load_is_full(node, task, now + 2 + 2 * ROUTE_FULL_MS));
    route_task_shared_unref(task);
    route_node_shared_unref(node);
}

static void test_route_load__is_kept_by_task(void **state)
{
    (void) state;
    struct route_node_shared *node = route_node_shared_create();
    struct route_task_shared *tasks[3];
    for (uint32_t i = 0; i < 3; i++) {
        tasks[i] = route_task_shared_create(1);
        tasks[i]->number = i < 2 ? i : ROUTE_FULL_CELLS; /* the last has the first one's cell */
    }
    route_load_note(node, tasks[0], &FULL, 1);
    assert_true(route_load_is_full(node, tasks[0], 1));
    assert_false(route_load_is_full(node, tasks[1], 1));
    assert_false(route_load_is_full(node, tasks[2], 1));
    route_load_note(node, tasks[2], &ROOMY, 1); /* no word about the first one */
    assert_true(route_load_is_full(node, tasks[0], 1));
    route_load_note(node, tasks[2], &FULL, 1);
    assert_true(route_load_is_full(node, tasks[2], 1));
    assert_false(route_load_is_full(node, tasks[0], 1));
    for (int i = 0; i < 3; i++)
        route_task_shared_unref(tasks[i]);
    route_node_shared_unref(node);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_route_load__counts_what_takes_calls_here),
        cmocka_unit_test(test_route_load__is_told_in_rounded_numbers),
        cmocka_unit_test(test_route_load__reads_newer_versions_and_no_nonsense),
        cmocka_unit_test(test_route_load__a_full_node_is_full_until_it_says_otherwise_or_the_word_is_old),
        cmocka_unit_test(test_route_load__is_kept_by_task),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
