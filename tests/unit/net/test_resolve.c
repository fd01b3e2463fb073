/* Names to addresses: numbers, /etc/hosts, and what cannot be found. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/err.h"
#include "net/resolve.h"
#include "tests/unit/net/pump.h"

struct answer {
    int done, err;
    size_t count;
    struct addr first;
};

static void on_resolved(void *arg, int err, const struct addr *addresses, size_t count)
{
    struct answer *a = arg;
    a->done++;
    a->err = err;
    a->count = count;
    if (count > 0)
        a->first = addresses[0];
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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_resolver__answers_numbers_and_the_hosts_file_later),
        cmocka_unit_test(test_resolver__refuses_what_is_no_host_and_port),
        cmocka_unit_test(test_resolver__cancels_what_is_under_way_when_it_closes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
