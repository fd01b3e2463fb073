/* Names and services to addresses: numbers, /etc/hosts, a name server, and what cannot be found. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/err.h"
#include "net/resolve.h"
#include "tests/unit/net/dns_server.h"
#include "tests/unit/net/pump.h"

struct answer {
    int done, err;
    size_t count;
    uint32_t ttl_s;
    struct addr first;
};

static void on_resolved(void *arg, const struct resolved *answer)
{
    struct answer *a = arg;
    a->done++;
    a->err = answer->err;
    a->count = answer->count;
    a->ttl_s = answer->ttl_s;
    if (answer->count > 0)
        a->first = answer->addresses[0];
}

static void count_closed(void *arg)
{
    ++*(int *) arg;
}

static void test_resolver__answers_numbers_and_the_hosts_file_later(void **state)
{
    (void) state;
    static const char *const names[] = {"127.0.0.1:80", "[::1]:80", "localhost:80"};
    struct loop *l;
    struct resolver *r;
    int closed = 0;
    assert_int_equal(loop_create(&l), 0);
    assert_int_equal(resolver_create(l, &r), 0);
    for (size_t i = 0; i < 3; i++) {
        struct answer a = {0};
        assert_int_equal(resolver_lookup(r, slice_of_str(names[i]), on_resolved, &a), 0);
        assert_int_equal(a.done, 0);
        PUMP(l, a.done, 1);
        assert_int_equal(a.err, 0);
        assert_true(a.count >= 1);
        assert_true(addr_is_loopback(&a.first));
        assert_int_equal(addr_port(&a.first), 80);
    }
    resolver_close(r, count_closed, &closed);
    PUMP(l, closed, 1);
    loop_destroy(l);
}

static void test_resolver__refuses_what_is_no_host_and_port(void **state)
{
    (void) state;
    static const struct slice bad[] = {SLICE_INIT("localhost"), SLICE_INIT(":80"), SLICE_INIT("a:99999"), SLICE_INIT(""), SLICE_INIT("a\0b:80")};
    struct loop *l;
    struct resolver *r;
    struct answer a = {0};
    int closed = 0;
    assert_int_equal(loop_create(&l), 0);
    assert_int_equal(resolver_create(l, &r), 0);
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        assert_int_equal(resolver_lookup(r, bad[i], on_resolved, &a), GRID_EINVAL);
    resolver_close(r, count_closed, &closed);
    PUMP(l, closed, 1);
    assert_int_equal(a.done, 0);
    loop_destroy(l);
}

static void test_resolver__cancels_what_is_under_way_when_it_closes(void **state)
{
    (void) state;
    struct loop *l;
    struct resolver *r;
    struct answer a = {0};
    int closed = 0;
    assert_int_equal(loop_create(&l), 0);
    assert_int_equal(resolver_create(l, &r), 0);
    assert_int_equal(resolver_lookup(r, SLICE("no-such-host.invalid:80"), on_resolved, &a), 0);
    resolver_close(r, count_closed, &closed);
    assert_int_equal(a.done, 1);
    assert_true(a.err == GRID_ECANCELED);
    PUMP(l, closed, 1);
    loop_destroy(l);
}

/* ---- a name server ---- */

enum { TYPE_A = 1, TYPE_CNAME = 5, TYPE_AAAA = 28, TYPE_SRV = 33 };

struct found {
    int done, err;
    struct dns_services services;
};

static void on_services(void *arg, int err, const struct dns_services *services)
{
    struct found *f = arg;
    f->done++;
    f->err = err;
    if (err == 0)
        f->services = *services;
}

static void reply_with_all(struct dns_server *s)
{
    static const uint8_t one[] = "\0\1\0\2\x1e\xdc\1a\4grid", two[] = "\0\1\0\2\x1e\xdd\1b\4grid", none[] = "\0\0\0\0\0\1";
    switch (dns_server_question(s)) {
    case TYPE_A:
        dns_server_add(s, TYPE_A, 40, "\x7f\0\0\2", 4);
        dns_server_add(s, TYPE_A, 30, "\x7f\0\0\3", 4);
        break;
    case TYPE_AAAA:
        dns_server_add(s, TYPE_AAAA, 50, "\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\1", 16);
        break;
    case TYPE_SRV:
        dns_server_add(s, TYPE_SRV, 20, one, sizeof one);
        dns_server_add(s, TYPE_SRV, 10, two, sizeof two);
        dns_server_add(s, TYPE_SRV, 5, none, sizeof none); /* host ".": no such service */
        break;
    }
}

static void reply_no_such_name(struct dns_server *s)
{
    s->answer[3] = 0x83;
}

static void reply_cut_off(struct dns_server *s)
{
    dns_server_add(s, TYPE_SRV, 20, "\0\1\0\2\x1e\xdc\7too", 10);
}

struct asking {
    struct loop *l;
    struct resolver *r;
    struct dns_server server;
};

static void asking_open(struct asking *a, void (*reply)(struct dns_server *s))
{
    assert_int_equal(loop_create(&a->l), 0);
    dns_server_open(&a->server, a->l, reply);
    assert_int_equal(resolver_create(a->l, &a->r), 0);
    assert_int_equal(resolver_use_servers(a->r, a->server.address), 0);
}

static void asking_close(struct asking *a)
{
    int closed = 0;
    uv_close((uv_handle_t *) &a->server.socket, NULL);
    resolver_close(a->r, count_closed, &closed);
    PUMP(a->l, closed, 1);
    loop_destroy(a->l);
}

static void test_resolver__gives_all_addresses_of_a_name_and_how_long_they_hold(void **state)
{
    (void) state;
    struct asking a;
    struct answer answer = {0};
    asking_open(&a, reply_with_all);
    assert_int_equal(resolver_lookup(a.r, SLICE("many.grid.example:7900"), on_resolved, &answer), 0);
    PUMP(a.l, answer.done, 1);
    assert_int_equal(answer.err, 0);
    assert_int_equal(answer.count, 3);
    assert_int_equal(answer.ttl_s, 30);
    assert_int_equal(addr_port(&answer.first), 7900);
    asking_close(&a);
}

static void test_resolver__gives_the_services_of_a_name(void **state)
{
    (void) state;
    struct asking a;
    struct found f = {0};
    asking_open(&a, reply_with_all);
    assert_int_equal(resolver_lookup_services(a.r, SLICE("_gridcontrol._tcp.example."), on_services, &f), 0);
    assert_int_equal(f.done, 0);
    PUMP(a.l, f.done, 1);
    assert_int_equal(f.err, 0);
    assert_int_equal(f.services.count, 2);
    assert_int_equal(f.services.ttl_s, 10);
    assert_string_equal(f.services.at[0].host, "a.grid");
    assert_int_equal(f.services.at[0].port, 7900);
    assert_int_equal(f.services.at[0].priority, 1);
    assert_int_equal(f.services.at[0].weight, 2);
    assert_string_equal(f.services.at[1].host, "b.grid");
    asking_close(&a);
}

static void test_resolver__tells_names_without_services_and_answers_that_are_cut_off(void **state)
{
    (void) state;
    static const struct {
        void (*reply)(struct dns_server *s);
        int err;
    } cases[] = {{reply_no_such_name, GRID_ENOENT}, {reply_cut_off, GRID_EPROTO}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct asking a;
        struct found f = {0};
        asking_open(&a, cases[i].reply);
        assert_int_equal(resolver_lookup_services(a.r, SLICE("_gridcontrol._tcp.example."), on_services, &f), 0);
        PUMP(a.l, f.done, 1);
        assert_int_equal(f.err, cases[i].err);
        asking_close(&a);
    }
}

/* A name that is another name for itself. */
static void reply_in_a_circle(struct dns_server *s)
{
    dns_server_add(s, TYPE_CNAME, 20, "\xc0\x0c", 2);
}

/* "Ask by TCP", where nobody listens (hold_port). */
static void reply_too_long(struct dns_server *s)
{
    reply_with_all(s);
    s->answer[2] |= 2;
}

static void reply_failed(struct dns_server *s)
{
    s->answer[3] = 0x82;
}

/* Nobody listens at the server's number by TCP as long as this socket is open; -1: somebody else has it already. */
static int hold_port(const struct asking *a)
{
    struct sockaddr_in at;
    int size = sizeof at, fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(uv_udp_getsockname(&a->server.socket, (struct sockaddr *) &at, &size), 0);
    if (bind(fd, (const struct sockaddr *) &at, (socklen_t) size) == 0)
        return fd;
    close(fd);
    return -1;
}

static void expect_no_answer(struct asking *a, int err)
{
    struct answer answer = {0};
    struct found f = {0};
    assert_int_equal(resolver_lookup(a->r, SLICE("nodes.grid.example.:7900"), on_resolved, &answer), 0);
    PUMP(a->l, answer.done, 1);
    assert_int_equal(answer.err, err);
    assert_int_equal(answer.count, 0);
    assert_int_equal(resolver_lookup_services(a->r, SLICE("_gridcontrol._tcp.example."), on_services, &f), 0);
    PUMP(a->l, f.done, 1);
    assert_int_equal(f.err, err);
}

static void test_resolver__has_no_address_where_the_answer_leads_nowhere(void **state)
{
    (void) state;
    static const struct {
        void (*reply)(struct dns_server *s);
        int err;
    } cases[] = {{reply_no_such_name, GRID_ENOENT}, {reply_in_a_circle, GRID_ENOENT}, {reply_too_long, GRID_EUNAVAILABLE}, {reply_failed, GRID_EUNAVAILABLE}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct asking a;
        asking_open(&a, cases[i].reply);
        int held = hold_port(&a);
        if (held >= 0) {
            expect_no_answer(&a, cases[i].err);
            close(held);
        }
        asking_close(&a);
    }
}

static void test_resolver__a_server_that_never_answers_holds_up_nothing_else(void **state)
{
    (void) state;
    struct asking a;
    struct answer silent = {0}, number = {0}, local = {0};
    asking_open(&a, reply_with_all);
    uv_udp_recv_stop(&a.server.socket);
    assert_int_equal(resolver_lookup(a.r, SLICE("nodes.grid.example.:7900"), on_resolved, &silent), 0);
    assert_int_equal(resolver_lookup(a.r, SLICE("192.0.2.1:7900"), on_resolved, &number), 0);
    assert_int_equal(resolver_lookup(a.r, SLICE("localhost:7900"), on_resolved, &local), 0);
    PUMP(a.l, number.done, 1);
    PUMP(a.l, local.done, 1);
    assert_int_equal(number.err, 0);
    assert_int_equal(local.err, 0);
    assert_int_equal(silent.done, 0);
    asking_close(&a);
    assert_int_equal(silent.done, 1);
    assert_int_equal(silent.err, GRID_ECANCELED);
}

static void test_resolver__refuses_what_is_no_name_of_a_service(void **state)
{
    (void) state;
    struct asking a;
    struct found f = {0};
    asking_open(&a, reply_with_all);
    assert_int_equal(resolver_lookup_services(a.r, SLICE(""), on_services, &f), GRID_EINVAL);
    assert_int_equal(resolver_lookup_services(a.r, slice_of("a\0b", 3), on_services, &f), GRID_EINVAL);
    assert_int_equal(resolver_use_servers(a.r, "no address"), GRID_EINVAL);
    asking_close(&a);
    assert_int_equal(f.done, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_resolver__answers_numbers_and_the_hosts_file_later),
        cmocka_unit_test(test_resolver__refuses_what_is_no_host_and_port),
        cmocka_unit_test(test_resolver__cancels_what_is_under_way_when_it_closes),
        cmocka_unit_test(test_resolver__gives_all_addresses_of_a_name_and_how_long_they_hold),
        cmocka_unit_test(test_resolver__gives_the_services_of_a_name),
        cmocka_unit_test(test_resolver__tells_names_without_services_and_answers_that_are_cut_off),
        cmocka_unit_test(test_resolver__has_no_address_where_the_answer_leads_nowhere),
        cmocka_unit_test(test_resolver__a_server_that_never_answers_holds_up_nothing_else),
        cmocka_unit_test(test_resolver__refuses_what_is_no_name_of_a_service),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
