/* Invocations: fresh ids, zeroed fields however often their memory was used, and nothing kept by a thread that has cleaned up. */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/uuid.h"
#include "net/loop.h"
#include "server/exec/invocation.h"

static void test_invocation__begins_zeroed_with_an_id_of_its_own(void **state)
{
    (void) state;
    char last[37] = "";
    for (int i = 0; i < 1000; i++) {
        struct invocation *inv = invocation_create();
        struct uuid id;
        assert_non_null(inv);
        assert_int_equal(uuid_parse(slice_of_str(inv->id), &id), 0);
        assert_in_range(uuid7_unix_ms(&id), (uint64_t) loop_wall_ms() - 60000, (uint64_t) loop_wall_ms() + 1);
        assert_string_not_equal(inv->id, last);
        memcpy(last, inv->id, sizeof last);
        assert_true(inv->task.size == 0 && !inv->sink && !inv->view && inv->hops == 0 && !inv->producer);
        assert_int_equal(inv->strategy, INVOCATION_ROUND_ROBIN);
        memset(arena_alloc(inv->arena, 100000), 0xff, 100000);
        inv->hops = 1;
        inv->task = SLICE("echo");
        invocation_destroy(inv);
    }
    invocation_thread_cleanup();
}

static unsigned destroyed;

static void on_destroy(struct invocation *inv)
{
    assert_string_equal((const char *) inv->task.data, "echo");
    destroyed++;
}

static void test_invocation__lets_go_of_what_route_holds(void **state)
{
    (void) state;
    struct invocation *inv = invocation_create();
    inv->task = SLICE("echo");
    inv->on_destroy = on_destroy;
    invocation_destroy(inv);
    assert_int_equal(destroyed, 1);
    invocation_thread_cleanup();
}

/* More at once than a thread keeps; the rest is freed. */
static void *many(void *arg)
{
    static _Thread_local struct invocation *all[1000];
    for (int round = 0; round < 3; round++) {
        for (int i = 0; i < 1000; i++)
            all[i] = invocation_create();
        for (int i = 0; i < 1000; i++)
            invocation_destroy(all[i]);
    }
    invocation_thread_cleanup();
    return arg;
}

static void test_invocation__keeps_threads_apart(void **state)
{
    (void) state;
    pthread_t threads[4];
    for (int i = 0; i < 4; i++)
        pthread_create(&threads[i], NULL, many, NULL);
    for (int i = 0; i < 4; i++)
        pthread_join(threads[i], NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_invocation__begins_zeroed_with_an_id_of_its_own),
        cmocka_unit_test(test_invocation__lets_go_of_what_route_holds),
        cmocka_unit_test(test_invocation__keeps_threads_apart),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
