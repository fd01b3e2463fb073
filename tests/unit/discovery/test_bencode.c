/* Bencoding. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/err.h"
#include "discovery/bencode.h"

static struct bencode b;

static void test_bencode__takes_what_is_well_formed(void **state)
{
    static const struct {
        const char *text;
        size_t tokens;
        bool sorted;
    } cases[] = {
        {"0:", 1, true}, {"4:spam", 1, true}, {"i0e", 1, true}, {"i-3e", 1, true}, {"le", 1, true}, {"de", 1, true}, {"l4:spami7ee", 3, true},
        {"d1:ai1e1:bl1:xee", 6, true}, {"d1:b0:1:a0:e", 5, false}, {"i9223372036854775807e", 1, true}, {"i-9223372036854775808e", 1, true},
    };
    (void) state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        assert_int_equal(bencode_parse(slice_of_str(cases[i].text), &b), 0);
        assert_int_equal(b.count, cases[i].tokens);
        assert_int_equal(b.sorted, cases[i].sorted);
        assert_int_equal(b.tokens[0].next, b.count);
    }
}

static void test_bencode__refuses_what_is_not(void **state)
{
    static const char *const cases[] = {
        "", "x", "i", "ie", "i-e", "i-0e", "i00e", "i01e", "i+1e", "i 1e", "i1", "i9223372036854775808e", "i-9223372036854775809e", "i99999999999999999999999e",
        "5:spam", "-1:a", "01:a", "1", "1a", ":", "99999999999999999999:a", "l", "l1:a", "d", "d1:a", "d1:ae", "di1e1:ae", "d1:a0:1:a0:e", "d1:b0:1:a0:1:b0:e",
        "lee", "de1:a", "e", "4:spamx", "i1ei2e", "dle1:ae", "d1:ad1:bee",
    };
    (void) state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        if (bencode_parse(slice_of_str(cases[i]), &b) != GRID_EPROTO)
            fail_msg("\"%s\" was taken", cases[i]);
}

static void repeat(struct buf *out, const char *text, size_t times)
{
    for (size_t i = 0; i < times; i++)
        assert_int_equal(buf_append_str(out, text), 0);
}

static void test_bencode__is_bounded_in_depth_tokens_keys_and_size(void **state)
{
    static const struct {
        const char *before, *again, *after;
        size_t fits;
    } cases[] = {
        {"", "l", NULL, BENCODE_DEPTH_MAX}, {"l", "le", "e", BENCODE_TOKENS_MAX - 1}, {"l", "i1e", "e", BENCODE_TOKENS_MAX - 1}, {"l", "0:", "e", BENCODE_TOKENS_MAX - 1},
    };
    (void) state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        for (size_t more = 0; more < 2; more++) {
            struct buf in;
            buf_init(&in, 0);
            repeat(&in, cases[i].before, 1);
            repeat(&in, cases[i].again, cases[i].fits + more);
            repeat(&in, cases[i].after ? cases[i].after : "e", cases[i].after ? 1 : cases[i].fits + more);
            assert_int_equal(bencode_parse(buf_slice(&in), &b), more ? GRID_ELIMIT : 0);
            buf_dispose(&in);
        }
}

static void test_bencode__bounds_a_dictionary_and_the_input(void **state)
{
    struct buf in;
    (void) state;
    for (unsigned keys = BENCODE_KEYS_MAX; keys <= BENCODE_KEYS_MAX + 1; keys++) {
        buf_init(&in, 0);
        repeat(&in, "d", 1);
        for (unsigned i = 0; i < keys; i++)
            assert_int_equal(buf_printf(&in, "2:%02ui1e", i), 0);
        repeat(&in, "e", 1);
        assert_int_equal(bencode_parse(buf_slice(&in), &b), keys > BENCODE_KEYS_MAX ? GRID_ELIMIT : 0);
        buf_dispose(&in);
    }
    buf_init(&in, 0);
    repeat(&in, "5000:", 1);
    repeat(&in, "x", 5000);
    assert_int_equal(bencode_parse(buf_slice(&in), &b), GRID_ELIMIT);
    buf_dispose(&in);
}

static void test_bencode__finds_values_by_key_and_kind(void **state)
{
    struct slice text;
    int64_t number = 0;
    (void) state;
    assert_int_equal(bencode_parse(SLICE("d1:ad1:si5ee1:i i"), &b), GRID_EPROTO);
    assert_int_equal(bencode_parse(SLICE("d1:ad1:si5ee1:ii-9e1:ll1:x1:ye1:s3:abce"), &b), 0);
    assert_true(bencode_find_string(&b, b.tokens, "s", &text) && slice_equal_str(text, "abc"));
    assert_true(bencode_find_integer(&b, b.tokens, "i", &number) && number == -9);
    assert_false(bencode_find_string(&b, b.tokens, "i", &text));
    assert_false(bencode_find_integer(&b, b.tokens, "missing", &number));
    const struct bencode_token *list = bencode_find_list(&b, b.tokens, "l");
    const struct bencode_token *x = bencode_first(&b, list), *y = bencode_next(&b, list, x);
    assert_true(slice_equal_str(bencode_bytes(&b, y), "y"));
    assert_null(bencode_next(&b, list, y));
    assert_null(bencode_find(&b, list, "x"));
    assert_null(bencode_find(&b, NULL, "x"));
    assert_true(bencode_find_integer(&b, bencode_find(&b, b.tokens, "a"), "s", &number) && number == 5);
}

static void test_bencode__writes(void **state)
{
    struct buf out;
    (void) state;
    buf_init(&out, 16);
    assert_int_equal(bencode_put_string(&out, SLICE("spam")), 0);
    assert_int_equal(bencode_put_integer(&out, INT64_C(-42)), 0);
    assert_int_equal(bencode_put_string(&out, SLICE("")), 0);
    assert_int_equal(bencode_put_string(&out, SLICE("does not fit")), GRID_ELIMIT);
    assert_string_equal(buf_cstr(&out), "4:spami-42e0:");
    buf_dispose(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_bencode__takes_what_is_well_formed),
        cmocka_unit_test(test_bencode__refuses_what_is_not),
        cmocka_unit_test(test_bencode__is_bounded_in_depth_tokens_keys_and_size),
        cmocka_unit_test(test_bencode__bounds_a_dictionary_and_the_input),
        cmocka_unit_test(test_bencode__finds_values_by_key_and_kind),
        cmocka_unit_test(test_bencode__writes),
    };
    return cmocka_run_group_tests_name("bencode", tests, NULL, NULL);
}
