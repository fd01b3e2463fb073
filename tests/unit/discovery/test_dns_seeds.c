/* Names to addresses, again and again, by a name server of the test's own. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "base/err.h"
#include "discovery/dns_seeds.h"
#include "tests/unit/net/dns_server.h"
#include "tests/unit/net/pump.h"

enum { TYPE_A = 1, TYPE_AAAA = 28, TYPE_SRV = 33 };

static struct rig {
    struct loop *l;
    struct dns_server server;
    struct dns_seeds *d;
    int given, faults, closed;
    char addresses[16][64];
    char why[64];
    uint64_t ttl_ms;
    bool away; /* the server knows no name */
} rig;

static void reply(struct dns_server *s)
{
    static const uint8_t service[] = "\0\1\0\2\x1e\xdc\4node\4grid";
    uint16_t asked = dns_server_question(s);
    if (rig.away)
        s->answer[3] = 0x83;
    else if (asked == TYPE_SRV)
        dns_server_add(s, TYPE_SRV, 1, service, sizeof service);
    else if (asked == TYPE_A)
        dns_server_add(s, TYPE_A, 60, "\x0a\0\0\1", 4);
    else if (asked == TYPE_AAAA)
        dns_server_add(s, TYPE_AAAA, 60, "\x20\1\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\1", 16);
}

static void on_address(void *ctx, const char *address, uint64_t ttl_ms)
{
    struct rig *r = ctx;
    snprintf(r->addresses[r->given++ % 16], 64, "%s", address);
    r->ttl_ms = ttl_ms;
}

static void on_fault(void *ctx, const char *name, const char *why)
{
    struct rig *r = ctx;
    (void) name;
    r->faults++;
    snprintf(r->why, sizeof r->why, "%s", why);
}

static const struct dns_seeds_events EVENTS = {on_address, on_fault};

static void count_closed(void *arg)
{
    ++*(int *) arg;
}

static int setup(void **state)
{
    (void) state;
    memset(&rig, 0, sizeof rig);
    if (loop_create(&rig.l) != 0)
        return -1;
    dns_server_open(&rig.server, rig.l, reply);
    return dns_seeds_create(rig.l, &EVENTS, &rig, &rig.d) || dns_seeds_use_servers(rig.d, rig.server.address);
}

static int teardown(void **state)
{
    (void) state;
    uv_close((uv_handle_t *) &rig.server.socket, NULL);
    dns_seeds_close(rig.d, count_closed, &rig.closed);
    bool closed = pump_until_value(rig.l, &rig.closed, 1, PUMP_DEADLINE_MS);
    loop_destroy(rig.l);
    return closed ? 0 : -1;
}

static bool was_given(const char *address)
{
    for (int i = 0; i < rig.given && i < 16; i++)
        if (strcmp(rig.addresses[i], address) == 0)
            return true;
    return false;
}

static int set(const char *name)
{
    struct slice names[1] = {slice_of_str(name)};
    return dns_seeds_set(rig.d, names, name[0] != '\0');
}

static void test_dns_seeds__gives_every_address_of_a_name(void **state)
{
    (void) state;
    assert_int_equal(set("nodes.grid.example:7900"), 0);
    PUMP(rig.l, rig.given, 2);
    assert_true(was_given("10.0.0.1:7900"));
    assert_true(was_given("[2001:db8::1]:7900"));
    assert_int_equal(rig.ttl_ms, 60 * 1000 + DNS_SEEDS_GRACE_MS);
    assert_int_equal(rig.faults, 0);
}

static void test_dns_seeds__follows_services_and_asks_anew_when_their_ttl_is_over(void **state)
{
    (void) state;
    assert_int_equal(set("srv:_gridcontrol._tcp.example."), 0);
    PUMP(rig.l, rig.given, 4); /* after DNS_SEEDS_ASK_MIN_MS, since the service's TTL is one second */
    assert_true(was_given("10.0.0.1:7900"));
    assert_true(was_given("[2001:db8::1]:7900"));
}

static void test_dns_seeds__says_a_fault_once_and_tries_again(void **state)
{
    (void) state;
    rig.away = true;
    assert_int_equal(set("srv:_gridcontrol._tcp.example."), 0);
    PUMP(rig.l, rig.server.asked, 3);
    assert_int_equal(rig.faults, 1);
    assert_string_equal(rig.why, "no such name is known");
    rig.away = false;
    PUMP(rig.l, rig.given, 2);
    assert_int_equal(rig.faults, 1);
}

static void test_dns_seeds__gives_nothing_of_names_that_are_forgotten_meanwhile(void **state)
{
    (void) state;
    assert_int_equal(set("nodes.grid.example:7900"), 0);
    uv_run(loop_uv(rig.l), UV_RUN_NOWAIT); /* asks */
    assert_int_equal(set(""), 0);
    PUMP(rig.l, rig.server.asked, 1);
    assert_int_equal(set("192.0.2.7:7901"), 0);
    PUMP(rig.l, rig.given, 1);
    assert_int_equal(rig.given, 1);
    assert_true(was_given("192.0.2.7:7901"));
}

static void test_dns_seeds__takes_hosts_with_ports_and_services_only(void **state)
{
    (void) state;
    assert_true(dns_seed_valid(SLICE("a:1")));
    assert_true(dns_seed_valid(SLICE("[::1]:7900")));
    assert_true(dns_seed_valid(SLICE("srv:_gridcontrol._tcp.example.org")));
    assert_true(dns_seed_valid(SLICE("srv:_gridcontrol._tcp")));
    assert_false(dns_seed_valid(SLICE("srv:")));
    assert_false(dns_seed_valid(SLICE("srv:foo")));
    assert_false(dns_seed_valid(SLICE("srv:_a.example.org")));
    assert_false(dns_seed_valid(SLICE("a")));
    assert_false(dns_seed_valid(SLICE("a:0")));
    assert_false(dns_seed_valid(SLICE(":7900")));
    assert_false(dns_seed_valid(slice_of("a\0b:1", 5)));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_dns_seeds__gives_every_address_of_a_name, setup, teardown),
        cmocka_unit_test_setup_teardown(test_dns_seeds__follows_services_and_asks_anew_when_their_ttl_is_over, setup, teardown),
        cmocka_unit_test_setup_teardown(test_dns_seeds__says_a_fault_once_and_tries_again, setup, teardown),
        cmocka_unit_test_setup_teardown(test_dns_seeds__gives_nothing_of_names_that_are_forgotten_meanwhile, setup, teardown),
        cmocka_unit_test(test_dns_seeds__takes_hosts_with_ports_and_services_only),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
