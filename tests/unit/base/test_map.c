/* Maps: keys, order, replacement, and what is disposed of when. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/map.h"

static int disposed;

static void count_disposal(void *value)
{
    (void) value;
    disposed++;
}

static void test_map__finds_what_was_set(void **state)
{
    (void) state;
    struct map *m = map_create(NULL);
    int values[500];
    char key[16];
    for (int i = 0; i < 500; i++) {
        snprintf(key, sizeof key, "key%d", i);
        assert_int_equal(map_set(m, slice_of_str(key), &values[i]), 0);
    }
    assert_int_equal(map_count(m), 500);
    for (int i = 0; i < 500; i++) {
        snprintf(key, sizeof key, "key%d", i);
        assert_ptr_equal(map_get(m, slice_of_str(key)), &values[i]);
    }
    assert_null(map_get(m, SLICE("key")));
    assert_null(map_get(m, SLICE("")));
    assert_int_equal(map_set(m, slice_of(NULL, 0), values), 0);
    assert_ptr_equal(map_get(m, SLICE("")), values);
    assert_int_equal(map_set(m, SLICE("a\0b"), values + 1), 0);
    assert_null(map_get(m, SLICE("a\0c")));
    assert_ptr_equal(map_get(m, SLICE("a\0b")), values + 1);
    map_destroy(m);
}

static void test_map__keeps_the_order_of_insertion(void **state)
{
    (void) state;
    static const char *const keys[] = {"zebra", "ant", "moth", "bee"};
    struct map *m = map_create(NULL);
    for (size_t i = 0; i < 4; i++)
        assert_int_equal(map_set(m, slice_of_str(keys[i]), (void *) (uintptr_t) keys[i]), 0);
    assert_int_equal(map_set(m, SLICE("ant"), (void *) (uintptr_t) keys[1]), 0);
    size_t count = 0;
    for (struct map_iter it = map_begin(m); map_next(&it); count++) {
        assert_true(slice_equal_str(it.key, keys[count]));
        assert_ptr_equal(it.value, keys[count]);
        if (count == 1 || count == 3)
            assert_true(map_remove(m, it.key));
    }
    assert_int_equal(count, 4);
    assert_int_equal(map_count(m), 2);
    assert_false(map_remove(m, SLICE("ant")));
    map_destroy(m);
}

static void test_map__disposes_of_what_it_lets_go(void **state)
{
    (void) state;
    int a, b;
    struct map *m = map_create(count_disposal);
    disposed = 0;
    map_set(m, SLICE("k"), &a);
    map_set(m, SLICE("k"), &a);
    assert_int_equal(disposed, 0);
    map_set(m, SLICE("k"), &b);
    assert_int_equal(disposed, 1);
    assert_ptr_equal(map_take(m, SLICE("k")), &b);
    assert_int_equal(disposed, 1);
    assert_null(map_take(m, SLICE("k")));
    map_set(m, SLICE("k"), &a);
    map_remove(m, SLICE("k"));
    assert_int_equal(disposed, 2);
    map_set(m, SLICE("x"), &a);
    map_set(m, SLICE("y"), &b);
    map_clear(m);
    assert_int_equal(disposed, 4);
    map_set(m, SLICE("x"), &a);
    map_destroy(m);
    assert_int_equal(disposed, 5);
    map_destroy(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_map__finds_what_was_set),
        cmocka_unit_test(test_map__keeps_the_order_of_insertion),
        cmocka_unit_test(test_map__disposes_of_what_it_lets_go),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
