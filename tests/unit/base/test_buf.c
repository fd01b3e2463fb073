/* Growing bytes: order, caps, and that a refused append changes nothing. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/buf.h"
#include "base/err.h"

static void test_buf__appends_in_order(void **state)
{
    (void) state;
    struct buf b;
    buf_init(&b, 0);
    assert_int_equal(buf_append_str(&b, "ab"), 0);
    assert_int_equal(buf_append_byte(&b, 'c'), 0);
    assert_int_equal(buf_printf(&b, "%d", 42), 0);
    assert_int_equal(buf_append_u16be(&b, 0x4142), 0);
    assert_string_equal(buf_cstr(&b), "abc42AB");
    buf_consume(&b, 3);
    assert_string_equal(buf_cstr(&b), "42AB");
    buf_dispose(&b);
}

static void test_buf__refuses_what_is_over_its_cap_and_stays_unchanged(void **state)
{
    (void) state;
    struct buf b;
    buf_init(&b, 4);
    assert_int_equal(buf_append_str(&b, "abc"), 0);
    assert_int_equal(buf_append_str(&b, "de"), GRID_ELIMIT);
    assert_int_equal(buf_printf(&b, "%s", "de"), GRID_ELIMIT);
    assert_int_equal(b.size, 3);
    assert_int_equal(buf_append_str(&b, "d"), 0);
    assert_string_equal(buf_cstr(&b), "abcd");
    buf_dispose(&b);
}

/* What it held stands in its memory no more. */
static void test_buf__overwrites_what_leaves_it_when_told(void **state)
{
    static const uint8_t zeros[64];
    struct buf b;
    (void) state;
    buf_init(&b, 0);
    buf_set_wiped(&b, true);
    assert_int_equal(buf_append_str(&b, "0123456789abcdef"), 0);
    buf_consume(&b, 4);
    assert_memory_equal(b.data, "456789abcdef\0\0\0\0", 16);
    buf_truncate(&b, 8);
    assert_memory_equal(b.data, "456789ab\0\0\0\0\0\0\0\0", 16);
    assert_int_equal(buf_reserve(&b, 100 * 1000), 0);
    assert_memory_equal(b.data, "456789ab", 8);
    buf_clear(&b);
    assert_memory_equal(b.data, zeros, 8);
    buf_set_wiped(&b, false);
    assert_int_equal(buf_append_str(&b, "plain"), 0);
    buf_clear(&b);
    assert_memory_equal(b.data, "plain", 5);
    buf_dispose(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_buf__overwrites_what_leaves_it_when_told),
        cmocka_unit_test(test_buf__appends_in_order),
        cmocka_unit_test(test_buf__refuses_what_is_over_its_cap_and_stays_unchanged),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
