/* JSON in place: what is sound, how values are found and read, and what the writer writes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/err.h"
#include "base/json.h"

static void test_json__accepts_what_the_rfc_allows(void **state)
{
    (void) state;
    static const char *const cases[] = {
        "null",
        "true",
        " false\n",
        "0",
        "-0",
        "0.1",
        "1e2",
        "-12.5E+3",
        "1E-2",
        "12345678901234567890",
        "\"\"",
        "\"a\\u00e9\\n\\/\"",
        "\"\\ud800\"",
        "\"\xc3\xa9\xf0\x9f\x98\x80\"",
        "\"\x7f\"",
        "[]",
        "[ ]",
        "[1, 2 ,3]",
        "{}",
        "{ }",
        "{\"a\":1,\"a\":2}",
        "{\"a\" : [ {\"b\":null} ] }",
        "{\"\":\"\"}",
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct slice raw = {0};
        assert_int_equal(json_validate(slice_of_str(cases[i]), &raw, NULL), 0);
        assert_true(raw.size > 0 && raw.data[0] != ' ' && raw.data[raw.size - 1] != '\n');
    }
}

static void test_json__refuses_the_rest_and_says_where(void **state)
{
    (void) state;
    static const struct {
        struct slice text;
        size_t at;
    } cases[] = {
        {SLICE_INIT(""), 0},
        {SLICE_INIT("  "), 2},
        {SLICE_INIT("nul"), 3},
        {SLICE_INIT("True"), 0},
        {SLICE_INIT("01"), 1},
        {SLICE_INIT("-"), 1},
        {SLICE_INIT("+1"), 0},
        {SLICE_INIT("1."), 2},
        {SLICE_INIT(".5"), 0},
        {SLICE_INIT("1e"), 2},
        {SLICE_INIT("1e+"), 3},
        {SLICE_INIT("0x1"), 1},
        {SLICE_INIT("NaN"), 0},
        {SLICE_INIT("\"a"), 2},
        {SLICE_INIT("\"\\x\""), 2},
        {SLICE_INIT("\"\\u12g4\""), 5},
        {SLICE_INIT("\"\\u12"), 5},
        {SLICE_INIT("\"\\"), 2},
        {SLICE_INIT("\"\\\0\""), 2},
        {SLICE_INIT("\"a\nb\""), 2},
        {SLICE_INIT("\"\0\""), 1},
        {SLICE_INIT("\"\xff\""), 1},
        {SLICE_INIT("\"\xed\xa0\x80\""), 1},
        {SLICE_INIT("\"\xc0\x80\""), 1},
        {SLICE_INIT("\"\xc3"), 1},
        {SLICE_INIT("'a'"), 0},
        {SLICE_INIT("[1,]"), 3},
        {SLICE_INIT("[1 2]"), 3},
        {SLICE_INIT("[,1]"), 1},
        {SLICE_INIT("["), 1},
        {SLICE_INIT("[1"), 2},
        {SLICE_INIT("]"), 0},
        {SLICE_INIT("{\"a\"}"), 4},
        {SLICE_INIT("{\"a\":}"), 5},
        {SLICE_INIT("{a:1}"), 1},
        {SLICE_INIT("{\"a\":1,}"), 7},
        {SLICE_INIT("{\"a\":1]"), 6},
        {SLICE_INIT("{1:2}"), 1},
        {SLICE_INIT("{} {}"), 3},
        {SLICE_INIT("1 // x"), 2},
        {SLICE_INIT("\xef\xbb\xbf{}"), 0},
        {SLICE_INIT("1\0"), 1},
        {SLICE_INIT("\v1"), 0},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct slice raw;
        size_t at = 999;
        assert_int_equal(json_validate(cases[i].text, &raw, &at), GRID_EPROTO);
        assert_int_equal(at, cases[i].at);
    }
}

static void test_json__limits_depth_to_64(void **state)
{
    (void) state;
    char text[2 * JSON_MAX_DEPTH + 2];
    struct slice raw;
    size_t at = 0;
    memset(text, '[', JSON_MAX_DEPTH + 1);
    memset(text + JSON_MAX_DEPTH + 1, ']', JSON_MAX_DEPTH + 1);
    assert_int_equal(json_validate(slice_of(text + 1, 2 * JSON_MAX_DEPTH), &raw, NULL), 0);
    assert_int_equal(json_validate(slice_of(text, sizeof text), &raw, &at), GRID_ELIMIT);
    assert_int_equal(at, JSON_MAX_DEPTH);
}

static struct slice sound(const char *text)
{
    struct slice raw = {0};
    assert_int_equal(json_validate(slice_of_str(text), &raw, NULL), 0);
    return raw;
}

static void test_json__members_are_the_bytes_they_came_as(void **state)
{
    (void) state;
    static const char *const expected[][2] = {
        {"\"a\"", "0.10"},
        {"\"b\\u0020\"", "1e2"},
        {"\"c\"", "12345678901234567890"},
        {"\"d\"", "{\"x\": [\"]}\", 1]}"},
        {"\"e\"", "\"\\u00e9\\\"\""},
        {"\"f\"", "null"},
    };
    struct json_iter iter;
    struct slice key, value;
    size_t count = 0;
    struct slice raw =
        sound(" { \"a\" : 0.10 ,\"b\\u0020\":1e2,\"c\":12345678901234567890, \"d\":{\"x\": [\"]}\", 1]}\n,\"e\":\"\\u00e9\\\"\","
              "\"f\":null} ");
    assert_int_equal(json_iter_init_object(&iter, raw), 0);
    for (; json_object_next(&iter, &key, &value); count++) {
        assert_true(slice_equal_str(key, expected[count][0]));
        assert_true(slice_equal_str(value, expected[count][1]));
    }
    assert_int_equal(count, 6);
    assert_int_equal(json_iter_init_array(&iter, raw), GRID_EINVAL);
    assert_int_equal(json_iter_init_array(&iter, sound("[ 1 , [2] ,\"3\"]")), 0);
    assert_true(json_array_next(&iter, &value) && slice_equal_str(value, "1"));
    assert_true(json_array_next(&iter, &value) && slice_equal_str(value, "[2]"));
    assert_true(json_array_next(&iter, &value) && slice_equal_str(value, "\"3\""));
    assert_false(json_array_next(&iter, &value));
}

static void test_json__of_duplicate_keys_the_last_wins(void **state)
{
    (void) state;
    struct slice value;
    struct slice raw = sound("{\"a\":1,\"\\u0061\":2,\"b\":{\"a\":3},\"ab\":4}");
    assert_int_equal(json_object_get(raw, "a", &value), 0);
    assert_true(slice_equal_str(value, "2"));
    assert_int_equal(json_object_get(raw, "c", &value), GRID_ENOENT);
    assert_int_equal(json_object_get(raw, "", &value), GRID_ENOENT);
    assert_int_equal(json_object_get(sound("[]"), "a", &value), GRID_EINVAL);
}

static void test_json__tells_types(void **state)
{
    (void) state;
    assert_int_equal(json_type(sound("null")), JSON_NULL);
    assert_int_equal(json_type(sound("true")), JSON_BOOL);
    assert_int_equal(json_type(sound("-1")), JSON_NUMBER);
    assert_int_equal(json_type(sound("\"\"")), JSON_STRING);
    assert_int_equal(json_type(sound("[]")), JSON_ARRAY);
    assert_int_equal(json_type(sound("{}")), JSON_OBJECT);
}

static void test_json__decodes_strings(void **state)
{
    (void) state;
    static const struct {
        const char *raw;
        struct slice bytes;
    } cases[] = {
        {"\"\"", SLICE_INIT("")},
        {"\"a\xc3\xa9\"", SLICE_INIT("a\xc3\xa9")},
        {"\"\\\"\\\\\\/\\b\\f\\n\\r\\t\"", SLICE_INIT("\"\\/\b\f\n\r\t")},
        {"\"\\u0041\\u00e9\\u20AC\"", SLICE_INIT("A\xc3\xa9\xe2\x82\xac")},
        {"\"\\ud83d\\ude00\"", SLICE_INIT("\xf0\x9f\x98\x80")},
        {"\"\\ud83dx\\ude00\"", SLICE_INIT("\xef\xbf\xbdx\xef\xbf\xbd")},
        {"\"\\ud83d\\u0041\"", SLICE_INIT("\xef\xbf\xbd"
                                          "A")},
        {"\"a\\u0000b\"", SLICE_INIT("a\0b")},
    };
    struct arena *arena = arena_create(1024, 0);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct slice out;
        assert_int_equal(json_string_decode(sound(cases[i].raw), arena, &out), 0);
        assert_true(slice_equal(out, cases[i].bytes));
        assert_true(json_string_equal(sound(cases[i].raw), cases[i].bytes));
        assert_false(json_string_equal(sound(cases[i].raw), SLICE("other")));
    }
    struct slice out;
    assert_int_equal(json_string_decode(sound("1"), arena, &out), GRID_EINVAL);
    assert_false(json_string_equal(sound("1"), SLICE("1")));
    arena_destroy(arena);
}

static void test_json__reads_integers_within_bounds(void **state)
{
    (void) state;
    static const struct {
        const char *raw;
        int err;
        int64_t min, max, value;
    } cases[] = {
        {"5", 0, 0, 10, 5},
        {"-5", 0, -5, 10, -5},
        {"-0", 0, 0, 0, 0},
        {"-6", GRID_ELIMIT, -5, 10, 0},
        {"11", GRID_ELIMIT, -5, 10, 0},
        {"9223372036854775807", 0, INT64_MIN, INT64_MAX, INT64_MAX},
        {"-9223372036854775808", 0, INT64_MIN, INT64_MAX, INT64_MIN},
        {"9223372036854775808", GRID_ELIMIT, INT64_MIN, INT64_MAX, 0},
        {"99999999999999999999", GRID_ELIMIT, INT64_MIN, INT64_MAX, 0},
        {"1.0", GRID_EINVAL, 0, 10, 0},
        {"1e0", GRID_EINVAL, 0, 10, 0},
        {"\"1\"", GRID_EINVAL, 0, 10, 0},
        {"null", GRID_EINVAL, 0, 10, 0},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        int64_t value = 0;
        assert_int_equal(json_int_decode(sound(cases[i].raw), cases[i].min, cases[i].max, &value), cases[i].err);
        assert_true(value == cases[i].value);
    }
    bool flag = false;
    assert_int_equal(json_bool_decode(sound("true"), &flag), 0);
    assert_true(flag);
    assert_int_equal(json_bool_decode(sound("false"), &flag), 0);
    assert_false(flag);
    assert_int_equal(json_bool_decode(sound("1"), &flag), GRID_EINVAL);
}

static void test_json__writer_places_commas_and_escapes(void **state)
{
    (void) state;
    struct buf b;
    struct json_writer w;
    struct slice raw;
    buf_init(&b, 0);
    json_writer_init(&w, &b);
    json_open_object(&w);
    json_write_key(&w, "a\"");
    json_write_int(&w, INT64_MIN);
    json_write_key(&w, "b");
    json_open_array(&w);
    json_write_string(&w, SLICE("\x01\n\\/\xc3\xa9\xff\x7f\xe2\x82"));
    json_write_bool(&w, true);
    json_write_null(&w);
    json_open_object(&w);
    json_close_object(&w);
    json_write_raw(&w, SLICE("0.10"));
    json_close_array(&w);
    json_write_key(&w, "c");
    json_write_str(&w, NULL);
    json_write_key(&w, "d");
    json_write_uint(&w, UINT64_MAX);
    json_close_object(&w);
    assert_int_equal(json_writer_finish(&w), 0);
    assert_string_equal(
        buf_cstr(&b), "{\"a\\\"\":-9223372036854775808,\"b\":[\"\\u0001\\n\\\\/\xc3\xa9\xef\xbf\xbd\x7f\xef\xbf\xbd\xef\xbf\xbd\","
                      "true,null,{},0.10],\"c\":null,\"d\":18446744073709551615}");
    assert_int_equal(json_validate(buf_slice(&b), &raw, NULL), 0);
    buf_dispose(&b);
}

static void test_json__writer_keeps_the_first_error(void **state)
{
    (void) state;
    struct buf b;
    struct json_writer w;
    buf_init(&b, 8);
    json_writer_init(&w, &b);
    json_open_array(&w);
    json_write_str(&w, "more than eight");
    json_close_array(&w);
    assert_int_equal(json_writer_finish(&w), GRID_ELIMIT);
    buf_dispose(&b);
    buf_init(&b, 0);
    json_writer_init(&w, &b);
    for (int i = 0; i < JSON_MAX_DEPTH + 5; i++)
        json_open_array(&w);
    assert_int_equal(json_writer_finish(&w), GRID_ELIMIT);
    buf_dispose(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_json__accepts_what_the_rfc_allows),
        cmocka_unit_test(test_json__refuses_the_rest_and_says_where),
        cmocka_unit_test(test_json__limits_depth_to_64),
        cmocka_unit_test(test_json__members_are_the_bytes_they_came_as),
        cmocka_unit_test(test_json__of_duplicate_keys_the_last_wins),
        cmocka_unit_test(test_json__tells_types),
        cmocka_unit_test(test_json__decodes_strings),
        cmocka_unit_test(test_json__reads_integers_within_bounds),
        cmocka_unit_test(test_json__writer_places_commas_and_escapes),
        cmocka_unit_test(test_json__writer_keeps_the_first_error),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
