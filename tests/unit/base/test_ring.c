/* Rings: order over the wrap, refusal, and overwriting. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/ring.h"

static const char *content(const struct ring *r)
{
    static char text[64];
    struct slice parts[2];
    ring_peek(r, parts);
    snprintf(text, sizeof text, "%.*s%.*s", SLICE_FMT(parts[0]), SLICE_FMT(parts[1]));
    return text;
}

static void test_ring__refuses_what_does_not_fit(void **state)
{
    (void) state;
    struct ring r;
    char out[8] = "";
    assert_int_equal(ring_init(&r, 5), 0);
    assert_int_equal(ring_write(&r, SLICE("abc")), 3);
    assert_int_equal(ring_write(&r, SLICE("defg")), 2);
    assert_int_equal(ring_write(&r, SLICE("h")), 0);
    assert_string_equal(content(&r), "abcde");
    assert_int_equal(ring_read(&r, out, 2), 2);
    assert_string_equal(out, "ab");
    assert_int_equal(ring_write(&r, SLICE("xy")), 2);
    assert_string_equal(content(&r), "cdexy");
    assert_int_equal(ring_read(&r, out, 7), 5);
    assert_string_equal(out, "cdexy");
    assert_int_equal(ring_read(&r, out, 1), 0);
    ring_dispose(&r);
}

static void test_ring__overwrites_the_oldest(void **state)
{
    (void) state;
    struct ring r;
    assert_int_equal(ring_init(&r, 5), 0);
    assert_int_equal(ring_overwrite(&r, SLICE("abc")), 0);
    assert_int_equal(ring_overwrite(&r, SLICE("defg")), 2);
    assert_string_equal(content(&r), "cdefg");
    assert_int_equal(ring_overwrite(&r, SLICE("0123456")), 7);
    assert_string_equal(content(&r), "23456");
    assert_int_equal(ring_drop(&r, 3), 3);
    assert_string_equal(content(&r), "56");
    assert_int_equal(ring_drop(&r, 3), 2);
    assert_int_equal(ring_overwrite(&r, SLICE("")), 0);
    assert_string_equal(content(&r), "");
    ring_dispose(&r);
}

static void test_pointer_ring__is_first_in_first_out(void **state)
{
    (void) state;
    struct pointer_ring r;
    int v[5];
    assert_int_equal(pointer_ring_init(&r, 3), 0);
    assert_null(pointer_ring_pop(&r));
    for (int i = 0; i < 3; i++)
        assert_true(pointer_ring_push(&r, &v[i]));
    assert_false(pointer_ring_push(&r, &v[3]));
    assert_ptr_equal(pointer_ring_overwrite(&r, &v[3]), &v[0]);
    assert_ptr_equal(pointer_ring_at(&r, 0), &v[1]);
    assert_ptr_equal(pointer_ring_at(&r, 2), &v[3]);
    assert_null(pointer_ring_at(&r, 3));
    assert_ptr_equal(pointer_ring_pop(&r), &v[1]);
    assert_null(pointer_ring_overwrite(&r, &v[4]));
    assert_ptr_equal(pointer_ring_pop(&r), &v[2]);
    assert_ptr_equal(pointer_ring_pop(&r), &v[3]);
    assert_ptr_equal(pointer_ring_pop(&r), &v[4]);
    assert_null(pointer_ring_pop(&r));
    pointer_ring_dispose(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_ring__refuses_what_does_not_fit),
        cmocka_unit_test(test_ring__overwrites_the_oldest),
        cmocka_unit_test(test_pointer_ring__is_first_in_first_out),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
