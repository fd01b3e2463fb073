/* UDP sockets on the loop. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "base/err.h"
#include "net/udp.h"
#include "tests/unit/net/pump.h"

static struct rig {
    struct loop *l;
    int got, closed;
    size_t size;
    uint16_t from;
} rig;

static void on_datagram(void *arg, const struct addr *from, struct slice datagram)
{
    (void) arg;
    rig.got++;
    rig.size = datagram.size;
    rig.from = addr_port(from);
}

static void on_closed(void *arg)
{
    (void) arg;
    rig.closed++;
}

static void test_udp__carries_datagrams_whole_between_sockets_of_each_family(void **state)
{
    static const char *const places[] = {"127.0.0.1:1", "[::1]:1"};
    static uint8_t bytes[1400];
    (void) state;
    for (size_t i = 0; i < 2; i++) {
        struct udp *a, *b;
        struct addr at;
        rig = (struct rig){0};
        assert_int_equal(loop_create(&rig.l), 0);
        assert_int_equal(addr_parse(slice_of_str(places[i]), &at), 0);
        addr_set_port(&at, 0);
        if (udp_create(rig.l, &at, on_datagram, NULL, &a) != 0) { /* a system without IPv6 */
            loop_destroy(rig.l);
            continue;
        }
        assert_int_equal(udp_create(rig.l, &at, on_datagram, NULL, &b), 0);
        addr_set_port(&at, udp_port(b));
        assert_int_equal(udp_send(a, &at, slice_of(bytes, sizeof bytes)), 0);
        PUMP(rig.l, rig.got, 1);
        assert_int_equal(rig.size, sizeof bytes);
        assert_int_equal(rig.from, udp_port(a));
        assert_int_equal(udp_send(a, &at, SLICE("")), 0);
        PUMP(rig.l, rig.got, 2);
        assert_int_equal(rig.size, 0);
        udp_close(a, on_closed, NULL);
        udp_close(b, on_closed, NULL);
        PUMP(rig.l, rig.closed, 2);
        loop_destroy(rig.l);
    }
}

static void test_udp__says_when_a_port_is_taken_and_bears_one_where_nobody_listens(void **state)
{
    struct udp *a, *b, *c;
    struct addr at;
    (void) state;
    rig = (struct rig){0};
    assert_int_equal(loop_create(&rig.l), 0);
    addr_loopback_v4(0, &at);
    assert_int_equal(udp_create(rig.l, &at, on_datagram, NULL, &a), 0);
    addr_set_port(&at, udp_port(a));
    assert_int_equal(udp_create(rig.l, &at, on_datagram, NULL, &b), GRID_EBUSY);
    addr_set_port(&at, 0);
    assert_int_equal(udp_create(rig.l, &at, on_datagram, NULL, &b), 0);
    struct addr gone = at;
    addr_set_port(&gone, udp_port(b));
    udp_close(b, on_closed, NULL);
    PUMP(rig.l, rig.closed, 1);
    (void) udp_send(a, &gone, SLICE("x")); /* the refusal comes back, and harms nobody */
    assert_int_equal(udp_create(rig.l, &at, on_datagram, NULL, &c), 0);
    addr_set_port(&at, udp_port(a));
    assert_int_equal(udp_send(c, &at, SLICE("y")), 0);
    PUMP(rig.l, rig.got, 1);
    udp_close(a, on_closed, NULL);
    udp_close(c, on_closed, NULL);
    PUMP(rig.l, rig.closed, 3);
    loop_destroy(rig.l);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_udp__carries_datagrams_whole_between_sockets_of_each_family),
        cmocka_unit_test(test_udp__says_when_a_port_is_taken_and_bears_one_where_nobody_listens),
    };
    return cmocka_run_group_tests_name("udp", tests, NULL, NULL);
}
