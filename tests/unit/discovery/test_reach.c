/* Whether anybody takes connections. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#include "discovery/reach.h"
#include "net/addr.h"
#include "tests/unit/net/pump.h"

static struct rig {
    struct loop *l;
    struct reach *r;
    int listener, closed;
    char there[ADDR_TEXT_MAX];
} rig;

static void on_closed(void *arg)
{
    (void) arg;
    rig.closed = 1;
}

static int begin(void **state)
{
    struct addr at;
    (void) state;
    rig = (struct rig){.listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)};
    addr_loopback_v4(0, &at);
    assert_int_equal(bind(rig.listener, &at.u.any, at.size), 0);
    assert_int_equal(listen(rig.listener, 200), 0);
    at.size = sizeof at.u;
    assert_int_equal(getsockname(rig.listener, &at.u.any, &at.size), 0);
    addr_format(&at, rig.there);
    assert_int_equal(loop_create(&rig.l), 0);
    assert_int_equal(reach_create(rig.l, NULL, &rig.r), 0);
    return 0;
}

static int end(void **state)
{
    (void) state;
    reach_close(rig.r, on_closed, NULL);
    PUMP(rig.l, rig.closed, 1);
    loop_destroy(rig.l);
    close(rig.listener);
    return 0;
}

static enum reach_state wait_answer(const char *address)
{
    uint64_t deadline = loop_clock_ms() + PUMP_DEADLINE_MS;
    struct loop_timer tick = {.loop = rig.l};
    pump_tick(&tick);
    while (reach_look(rig.r, address) == REACH_ASKING && loop_clock_ms() < deadline)
        uv_run(loop_uv(rig.l), UV_RUN_ONCE);
    loop_timer_stop(&tick);
    return reach_look(rig.r, address);
}

static void test_reach__tells_who_takes_connections(void **state)
{
    (void) state;
    assert_int_equal(reach_look(rig.r, rig.there), REACH_ASKING);
    assert_int_equal(wait_answer(rig.there), REACH_YES);
    assert_int_equal(wait_answer("127.0.0.1:1"), REACH_NO);
    assert_int_equal(reach_look(rig.r, "no address"), REACH_NO);
}

static void test_reach__asks_anew_what_was_forgotten(void **state)
{
    (void) state;
    assert_int_equal(wait_answer(rig.there), REACH_YES);
    shutdown(rig.listener, SHUT_RDWR); /* nobody listens any more */
    assert_int_equal(reach_look(rig.r, rig.there), REACH_YES);
    reach_forget(rig.r, rig.there);
    assert_int_equal(wait_answer(rig.there), REACH_NO);
    reach_forget(rig.r, rig.there);
    reach_forget(rig.r, "nobody:1");
}

static void test_reach__makes_room_for_new_ones_and_ends_in_their_midst(void **state)
{
    char address[32];
    (void) state;
    for (unsigned i = 0; i < 3 * REACH_MAX; i++) {
        snprintf(address, sizeof address, "127.0.0.%u:1", i % 250 + 1);
        if (i % 2 == 0)
            wait_answer(address);
        else
            reach_look(rig.r, address);
    }
    assert_int_equal(wait_answer(rig.there), REACH_YES);
    for (unsigned i = 0; i < REACH_MAX; i++) {
        snprintf(address, sizeof address, "127.0.1.%u:1", i + 1);
        reach_look(rig.r, address);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_reach__tells_who_takes_connections, begin, end),
        cmocka_unit_test_setup_teardown(test_reach__asks_anew_what_was_forgotten, begin, end),
        cmocka_unit_test_setup_teardown(test_reach__makes_room_for_new_ones_and_ends_in_their_midst, begin, end),
    };
    return cmocka_run_group_tests_name("reach", tests, NULL, NULL);
}
