/* Whose unfinished handshake makes room for another's. */
// links: grid_server
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "server/half_open.h"

static int items[1000];

static void *add(struct half_open *h, int item, const char *from)
{
    struct addr address;
    assert_int_equal(addr_parse(slice_of_str(from), &address), 0);
    return half_open_add(h, &items[item], &address);
}

static void test_half_open__drops_the_oldest_of_a_lone_source(void **state)
{
    (void) state;
    struct half_open h = {0};
    for (int i = 0; i < 1000; i++)
        assert_ptr_equal(add(&h, i, "192.0.2.1:5"), i < HALF_OPEN_MAX ? NULL : &items[i - HALF_OPEN_MAX]);
    assert_int_equal(h.count, HALF_OPEN_MAX);
}

static void test_half_open__whoever_comes_once_is_not_pushed_out(void **state)
{
    (void) state;
    static const char *const once[] = {"192.0.2.2:1", "[2001:db8:1::1]:1", "[::ffff:192.0.2.3]:1"};
    struct half_open h = {0};
    for (int i = 0; i < 3; i++)
        assert_null(add(&h, i, once[i]));
    for (int i = 3; i < 500; i++) {
        char from[64];
        void *dropped;
        snprintf(from, sizeof from, "[2001:db8:2::%x]:7", i); /* one network, many addresses */
        dropped = add(&h, i, from);
        assert_true(dropped == (i < HALF_OPEN_MAX ? NULL : &items[i - HALF_OPEN_MAX + 3]));
    }
    for (int i = 0; i < 3; i++)
        assert_ptr_equal(h.entries[i].item, &items[i]);
}

static void test_half_open__forgets_what_is_over(void **state)
{
    (void) state;
    struct half_open h = {0};
    for (int i = 0; i < 3; i++)
        add(&h, i, "192.0.2.1:5");
    half_open_remove(&h, &items[1]);
    half_open_remove(&h, &items[1]);
    assert_int_equal(h.count, 2);
    assert_ptr_equal(h.entries[1].item, &items[2]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_half_open__drops_the_oldest_of_a_lone_source),
        cmocka_unit_test(test_half_open__whoever_comes_once_is_not_pushed_out),
        cmocka_unit_test(test_half_open__forgets_what_is_over),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
