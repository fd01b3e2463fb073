/* Slices: comparing, searching, numbers and UTF-8. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/err.h"
#include "base/slice.h"

static void test_slice__compares_and_searches(void **state)
{
    (void) state;
    assert_true(slice_equal(slice_of(NULL, 0), SLICE("")));
    assert_true(slice_equal_nocase(SLICE("Content-Type"), SLICE("content-tYPE")));
    assert_false(slice_equal_nocase(SLICE("a"), SLICE("ab")));
    assert_false(slice_equal_nocase(SLICE("@"), SLICE("`")));
    assert_true(slice_has_prefix(SLICE("abc"), SLICE("ab")));
    assert_false(slice_has_prefix(SLICE("a"), SLICE("ab")));
    assert_true(slice_has_suffix(SLICE("abc"), SLICE("bc")));
    assert_true(slice_has_suffix(SLICE("abc"), SLICE("")));
    assert_int_equal(slice_compare(SLICE("a"), SLICE("ab")), -1);
    assert_int_equal(slice_compare(SLICE("b"), SLICE("ab")), 1);
    assert_int_equal(slice_compare(SLICE("\xff"), SLICE("a")), 1);
    assert_int_equal(slice_compare(SLICE(""), slice_of(NULL, 0)), 0);
    assert_int_equal(slice_find_byte(SLICE("abcb"), 2, 'b'), 3);
    assert_int_equal(slice_find_byte(SLICE("abc"), 3, 'c'), -1);
    assert_true(slice_equal_str(slice_trim(SLICE(" \t a b\t ")), "a b"));
    assert_true(slice_equal_str(slice_trim(SLICE("  ")), ""));
    assert_true(slice_equal_str(slice_from(SLICE("abc"), 9), ""));
    char *copy = slice_to_str(SLICE("abc"));
    assert_string_equal(copy, "abc");
    free(copy);
}

static void test_slice__takes_bytes_and_numbers_off_the_front(void **state)
{
    (void) state;
    struct slice in = SLICE("ab\x01\x02\x03"), taken;
    uint64_t number;
    assert_true(slice_take(&in, 2, &taken) && slice_equal_str(taken, "ab"));
    assert_true(slice_take_uint(&in, 2, &number) && number == 0x102);
    assert_false(slice_take_uint(&in, 2, &number));
    assert_true(slice_take(&in, 1, &taken) && in.size == 0 && slice_take(&in, 0, &taken));
}

static void test_slice__writes_numbers_that_parse_back(void **state)
{
    (void) state;
    static const struct {
        uint64_t value;
        const char *text;
    } cases[] = {{0, "0"}, {9, "9"}, {10, "10"}, {1234567890123, "1234567890123"}, {UINT64_MAX, "18446744073709551615"}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char text[SLICE_U64_TEXT];
        uint64_t value = 1;
        struct slice digits = slice_of_u64(cases[i].value, text);
        assert_true(slice_equal_str(digits, cases[i].text));
        assert_int_equal(slice_parse_u64(digits, UINT64_MAX, &value), 0);
        assert_true(value == cases[i].value);
    }
}

static void test_slice__parses_numbers_whole_or_not_at_all(void **state)
{
    (void) state;
    static const struct {
        const char *text;
        uint64_t max;
        int err;
        uint64_t value;
    } cases[] = {
        {"0", 0, 0, 0},
        {"007", 7, 0, 7},
        {"18446744073709551615", UINT64_MAX, 0, UINT64_MAX},
        {"18446744073709551616", UINT64_MAX, GRID_ELIMIT, 9},
        {"8", 7, GRID_ELIMIT, 9},
        {"", 7, GRID_EINVAL, 9},
        {"-1", 7, GRID_EINVAL, 9},
        {"1 ", 7, GRID_EINVAL, 9},
        {"0x1", 7, GRID_EINVAL, 9},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        uint64_t value = 9;
        assert_int_equal(slice_parse_u64(slice_of_str(cases[i].text), cases[i].max, &value), cases[i].err);
        assert_int_equal(value, cases[i].value);
    }
}

static void test_slice__knows_utf8(void **state)
{
    (void) state;
    static const struct slice sound[] = {
        SLICE_INIT(""),
        SLICE_INIT("a\0b"),
        SLICE_INIT("\xc2\x80"),
        SLICE_INIT("\xdf\xbf"),
        SLICE_INIT("\xe0\xa0\x80"),
        SLICE_INIT("\xed\x9f\xbf"),
        SLICE_INIT("\xee\x80\x80"),
        SLICE_INIT("\xf0\x90\x80\x80"),
        SLICE_INIT("\xf4\x8f\xbf\xbf"),
    };
    static const struct slice broken[] = {
        SLICE_INIT("\x80"),
        SLICE_INIT("\xc0\x80"),
        SLICE_INIT("\xc1\xbf"),
        SLICE_INIT("\xc2"),
        SLICE_INIT("\xc2\x7f"),
        SLICE_INIT("\xe0\x9f\xbf"),
        SLICE_INIT("\xed\xa0\x80"),
        SLICE_INIT("\xe1\x80"),
        SLICE_INIT("\xe1\x80\xc0"),
        SLICE_INIT("\xf0\x8f\xbf\xbf"),
        SLICE_INIT("\xf4\x90\x80\x80"),
        SLICE_INIT("\xf5\x80\x80\x80"),
        SLICE_INIT("\xf1\x80\x80"),
        SLICE_INIT("\xff"),
    };
    for (size_t i = 0; i < sizeof sound / sizeof *sound; i++)
        assert_true(slice_is_utf8(sound[i]));
    for (size_t i = 0; i < sizeof broken / sizeof *broken; i++)
        assert_false(slice_is_utf8(broken[i]));
    assert_int_equal(slice_utf8_length(SLICE("\xe2\x82\xac"
                                             "a")),
                     3);
    assert_int_equal(slice_utf8_length(SLICE("")), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_slice__compares_and_searches),
        cmocka_unit_test(test_slice__takes_bytes_and_numbers_off_the_front),
        cmocka_unit_test(test_slice__writes_numbers_that_parse_back),
        cmocka_unit_test(test_slice__parses_numbers_whole_or_not_at_all),
        cmocka_unit_test(test_slice__knows_utf8),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
