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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_buf__appends_in_order),
        cmocka_unit_test(test_buf__refuses_what_is_over_its_cap_and_stays_unchanged),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
