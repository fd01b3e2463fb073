/* The DHT's node on sockets of loopback. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>

#include "base/err.h"
#include "discovery/dht_uv.h"
#include "net/udp.h"
#include "tests/unit/net/pump.h"

enum { NODES = 12 };

struct member {
    struct dht_uv *dht;
    int found;
    char at[ADDR_TEXT_MAX];
};

static struct rig {
    struct loop *l;
    struct member members[NODES];
    char router[32];
    const char *routers[1];
    int closed;
} rig;

static void on_found(void *ctx)
{
    struct member *m = ctx;
    struct addr at;
    while (dht_uv_next(m->dht, &at, NULL)) {
        addr_format(&at, m->at);
        m->found++;
    }
}

static void count_answer(void *arg, const struct addr *from, struct slice datagram)
{
    int *answers = arg;
    (void) from;
    (void) datagram;
    ++*answers;
}

static void on_closed(void *arg)
{
    (void) arg;
    rig.closed++;
}

static void open_node(struct member *m, uint16_t port, struct slice saved, bool knows_router)
{
    struct dht_uv_config c = {.saved = saved, .bootstrap = rig.routers, .bootstrap_count = knows_router};
    addr_loopback_v4(port, &c.listen);
    *m = (struct member){0};
    assert_int_equal(dht_uv_create(rig.l, &c, on_found, m, &m->dht), 0);
}

static void begin(void)
{
    rig = (struct rig){.routers = {rig.router}};
    assert_int_equal(loop_create(&rig.l), 0);
    open_node(&rig.members[0], 0, slice_of(NULL, 0), false);
    snprintf(rig.router, sizeof rig.router, "127.0.0.1:%u", dht_uv_port(rig.members[0].dht, 0));
    for (size_t i = 1; i < NODES; i++)
        open_node(&rig.members[i], 0, slice_of(NULL, 0), true);
}

static void end(void)
{
    for (size_t i = 0; i < NODES; i++)
        dht_uv_close(rig.members[i].dht, on_closed, NULL);
    PUMP(rig.l, rig.closed, NODES);
    loop_destroy(rig.l);
}

static void test_dht_uv__nodes_of_one_grid_find_each_other_again_after_a_restart(void **state)
{
    struct buf saved;
    struct member *a = &rig.members[3], *b = &rig.members[7];
    (void) state;
    begin();
    assert_int_equal(dht_uv_look_for(a->dht, SLICE("a grid"), 7901), 0);
    assert_int_equal(dht_uv_look_for(b->dht, SLICE("a grid"), 7902), 0);
    PUMP(rig.l, a->found, 1);
    buf_init(&saved, 0);
    assert_int_equal(dht_uv_save(b->dht, &saved), 0);
    dht_uv_close(b->dht, on_closed, NULL);
    PUMP(rig.l, rig.closed, 1);
    rig.closed = 0;
    open_node(b, 0, buf_slice(&saved), false);
    assert_int_equal(dht_uv_look_for(b->dht, SLICE("a grid"), 7902), 0);
    PUMP(rig.l, b->found, 1);
    assert_memory_equal(b->at, "127.0.0.1:790", 13);
    buf_dispose(&saved);
    end();
}

/* More than it reads at once: it pauses, and goes on. */
static void test_dht_uv__is_not_deaf_after_a_flood(void **state)
{
    struct udp *stranger, *asker;
    struct addr any, at;
    int answers = 0;
    (void) state;
    begin();
    addr_loopback_v4(0, &any);
    addr_loopback_v4(dht_uv_port(rig.members[3].dht, 0), &at);
    assert_int_equal(udp_create(rig.l, &any, count_answer, &answers, &stranger), 0);
    assert_int_equal(udp_create(rig.l, &any, count_answer, &answers, &asker), 0);
    for (unsigned i = 0; i < 2000; i++) {
        (void) udp_send(stranger, &at, SLICE("garbage"));
        if (i % 100 == 99)
            uv_run(loop_uv(rig.l), UV_RUN_NOWAIT);
    }
    for (uint64_t deadline = loop_clock_ms() + PUMP_DEADLINE_MS; answers == 0 && loop_clock_ms() < deadline;) {
        (void) udp_send(asker, &at, SLICE("d1:ad2:id20:abcdefghij0123456789e1:q4:ping1:t2:aa1:y1:qe"));
        pump_until_value(rig.l, &answers, 1, 100);
    }
    assert_true(answers > 0);
    udp_close(stranger, NULL, NULL);
    udp_close(asker, NULL, NULL);
    end();
}

static void test_dht_uv__takes_another_port_where_its_own_is_in_use(void **state)
{
    struct member other;
    (void) state;
    begin();
    uint16_t taken = dht_uv_port(rig.members[0].dht, 0);
    open_node(&other, taken, SLICE("no table"), false);
    assert_int_not_equal(dht_uv_port(other.dht, 0), 0);
    assert_int_not_equal(dht_uv_port(other.dht, 0), taken);
    assert_int_equal(dht_uv_port(other.dht, 1), 0);
    dht_uv_close(other.dht, NULL, NULL);
    end();
}

static void test_dht_uv__needs_one_address_to_listen_on(void **state)
{
    struct dht_uv_config c = {.bootstrap_count = 0};
    struct dht_uv *d;
    (void) state;
    assert_int_equal(loop_create(&rig.l), 0);
    assert_int_equal(addr_parse(SLICE("192.0.2.1:7900"), &c.listen), 0); /* RFC 5737: nobody's */
    assert_int_equal(dht_uv_create(rig.l, &c, on_found, NULL, &d), GRID_EIO);
    loop_destroy(rig.l);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_dht_uv__nodes_of_one_grid_find_each_other_again_after_a_restart),
        cmocka_unit_test(test_dht_uv__is_not_deaf_after_a_flood),
        cmocka_unit_test(test_dht_uv__takes_another_port_where_its_own_is_in_use),
        cmocka_unit_test(test_dht_uv__needs_one_address_to_listen_on),
    };
    return cmocka_run_group_tests_name("dht_uv", tests, NULL, NULL);
}
