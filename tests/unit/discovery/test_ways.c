/* Where members were reached. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>

#include "discovery/ways.h"

static struct addr addr_of(const char *text)
{
    struct addr a;
    assert_int_equal(addr_parse(slice_of_str(text), &a), 0);
    return a;
}

static void test_ways__the_last_one_counts(void **state)
{
    struct ways *w = ways_create();
    struct addr first = addr_of("10.0.0.1:1"), second = addr_of("[2001:db8::1]:2");
    (void) state;
    assert_null(ways_of(w, "a"));
    ways_found(w, "a", &first);
    ways_found(w, "b", &first);
    ways_found(w, "a", &second);
    assert_true(addr_equal(ways_of(w, "a"), &second));
    assert_true(addr_equal(ways_of(w, "b"), &first));
    ways_destroy(w);
}

static void test_ways__what_worked_stands_first(void **state)
{
    struct ways *w = ways_create();
    struct addr list[4] = {addr_of("10.0.0.1:1"), addr_of("10.0.0.2:1"), addr_of("10.0.0.3:1")}, foreign = addr_of("192.0.2.1:1");
    (void) state;
    assert_int_equal(ways_prefer(w, "a", list, 3, 4), 3);
    ways_found(w, "a", &list[2]);
    assert_int_equal(ways_prefer(w, "a", list, 3, 4), 3);
    assert_int_equal(addr_equal(&list[0], ways_of(w, "a")), 1);
    assert_int_equal(ntohl(list[1].u.v4.sin_addr.s_addr) & 0xff, 1);
    assert_int_equal(ntohl(list[2].u.v4.sin_addr.s_addr) & 0xff, 2);
    ways_found(w, "a", &foreign);
    assert_int_equal(ways_prefer(w, "a", list, 3, 4), 4);
    assert_true(addr_equal(&list[0], &foreign));
    ways_found(w, "b", &foreign);
    addr_set_port(&foreign, 2);
    ways_found(w, "b", &foreign);
    assert_int_equal(ways_prefer(w, "b", list, 4, 4), 4);
    assert_true(addr_equal(&list[0], &foreign));
    assert_int_equal(ntohl(list[3].u.v4.sin_addr.s_addr) & 0xff, 1);
    ways_destroy(w);
}

static void test_ways__the_carrier_stays_where_there_is_no_room(void **state)
{
    static const char ID[] = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";
    struct ways *w = ways_create();
    struct addr list[2] = {addr_of("10.0.0.1:1")}, way = addr_of("192.0.2.1:1");
    (void) state;
    addr_member(ID, &list[1]);
    ways_found(w, ID, &way);
    assert_int_equal(ways_prefer(w, ID, list, 2, 2), 2);
    assert_true(addr_equal(&list[0], &way));
    assert_true(addr_is_member(&list[1]));
    ways_destroy(w);
}

static void test_ways__memory_is_bounded(void **state)
{
    struct ways *w = ways_create();
    struct addr at = addr_of("10.0.0.1:1");
    char id[32];
    (void) state;
    for (int i = 0; i <= WAYS_MAX; i++) {
        snprintf(id, sizeof id, "%d", i);
        ways_found(w, id, &at);
    }
    assert_null(ways_of(w, "0"));
    assert_non_null(ways_of(w, id));
    ways_destroy(w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_ways__the_last_one_counts),
        cmocka_unit_test(test_ways__what_worked_stands_first),
        cmocka_unit_test(test_ways__the_carrier_stays_where_there_is_no_room),
        cmocka_unit_test(test_ways__memory_is_bounded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
