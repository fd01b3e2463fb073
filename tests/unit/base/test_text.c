/* Durations, sizes, hex, base64, ids and percent-encoding: what is read, what is written, what is refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/base64.h"
#include "base/duration.h"
#include "base/err.h"
#include "base/hex.h"
#include "base/percent.h"
#include "base/size.h"
#include "base/uuid.h"

struct number_case {
    const char *text;
    int err;
    uint64_t value;
    const char *written; /* NULL: not checked */
};

static void check_numbers(const struct number_case *cases, size_t count, int (*parse)(struct slice, uint64_t *),
                          void (*format)(uint64_t, char *))
{
    for (size_t i = 0; i < count; i++) {
        uint64_t value = 0;
        char out[UNIT_TEXT_MAX];
        assert_int_equal(parse(slice_of_str(cases[i].text), &value), cases[i].err);
        assert_int_equal(value, cases[i].value);
        format(cases[i].value, out);
        if (cases[i].written)
            assert_string_equal(out, cases[i].written);
    }
}

static void test_duration__reads_and_writes(void **state)
{
    (void) state;
    static const struct number_case cases[] = {
        {"250ms", 0, 250, "250ms"},
        {"5s", 0, 5000, "5s"},
        {"2m", 0, 120000, "2m"},
        {"1h", 0, 3600000, "1h"},
        {"1d", 0, 86400000, "1d"},
        {"1500", 0, 1500, "1500ms"},
        {"90s", 0, 90000, "90s"},
        {"0", 0, 0, "0"},
        {"", GRID_EINVAL, 0, NULL},
        {"s", GRID_EINVAL, 0, NULL},
        {"-1s", GRID_EINVAL, 0, NULL},
        {"1 s", GRID_EINVAL, 0, NULL},
        {"1.5s", GRID_EINVAL, 0, NULL},
        {"1S", GRID_EINVAL, 0, NULL},
        {"5sec", GRID_EINVAL, 0, NULL},
        {"18446744073709551615", 0, UINT64_MAX, NULL},
        {"18446744073709551616", GRID_ELIMIT, 0, NULL},
        {"18446744073709551615s", GRID_ELIMIT, 0, NULL},
    };
    check_numbers(cases, sizeof cases / sizeof *cases, duration_parse, duration_format);
}

static void test_size__reads_and_writes(void **state)
{
    (void) state;
    static const struct number_case cases[] = {
        {"6MiB", 0, 6291456, "6MiB"},
        {"64KiB", 0, 65536, "64KiB"},
        {"10MB", 0, 10000000, NULL},
        {"123", 0, 123, "123B"},
        {"123B", 0, 123, "123B"},
        {"2GiB", 0, UINT64_C(2) << 30, "2GiB"},
        {"1TiB", 0, UINT64_C(1) << 40, "1TiB"},
        {"5kB", 0, 5000, NULL},
        {"0", 0, 0, "0"},
        {"6mib", GRID_EINVAL, 0, NULL},
        {"MiB", GRID_EINVAL, 0, NULL},
        {"1.5MiB", GRID_EINVAL, 0, NULL},
        {"16777216TiB", GRID_ELIMIT, 0, NULL},
    };
    check_numbers(cases, sizeof cases / sizeof *cases, size_parse, size_format);
}

static void test_hex__goes_both_ways(void **state)
{
    (void) state;
    char text[9];
    uint8_t bytes[4];
    hex_encode(slice_of("\x00\x7f\xab\xff", 4), text);
    assert_string_equal(text, "007fabff");
    assert_int_equal(hex_decode(SLICE("007FabfF"), bytes, 4), 0);
    assert_memory_equal(bytes, "\x00\x7f\xab\xff", 4);
    assert_int_equal(hex_decode(SLICE("007fabf"), bytes, 4), GRID_EINVAL);
    assert_int_equal(hex_decode(SLICE("007fabfff"), bytes, 4), GRID_EINVAL);
    assert_int_equal(hex_decode(SLICE("007fabfg"), bytes, 4), GRID_EINVAL);
}

static void test_base64__matches_rfc_4648_section_10(void **state)
{
    (void) state;
    static const struct {
        const char *bytes, *padded, *unpadded;
    } cases[] = {
        {"", "", ""},
        {"f", "Zg==", "Zg"},
        {"fo", "Zm8=", "Zm8"},
        {"foo", "Zm9v", "Zm9v"},
        {"foob", "Zm9vYg==", "Zm9vYg"},
        {"fooba", "Zm9vYmE=", "Zm9vYmE"},
        {"foobar", "Zm9vYmFy", "Zm9vYmFy"},
    };
    struct buf b;
    buf_init(&b, 0);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        for (int padded = 0; padded < 2; padded++) {
            const char *text = padded ? cases[i].padded : cases[i].unpadded;
            buf_clear(&b);
            assert_int_equal(base64_encode(&b, slice_of_str(cases[i].bytes), BASE64_STANDARD, padded), 0);
            assert_string_equal(buf_cstr(&b), text);
            buf_clear(&b);
            assert_int_equal(base64_decode(&b, slice_of_str(text), BASE64_URL), 0);
            assert_string_equal(buf_cstr(&b), cases[i].bytes);
        }
    }
    buf_clear(&b);
    assert_int_equal(base64_encode(&b, SLICE("\xfb\xff\xfe"), BASE64_URL, true), 0);
    assert_string_equal(buf_cstr(&b), "-__-");
    assert_int_equal(base64_encode(&b, SLICE("\xfb\xff\xfe"), BASE64_STANDARD, true), 0);
    assert_string_equal(buf_cstr(&b), "-__-+//+");
    buf_dispose(&b);
}

static void test_base64__refuses_sloppy_spellings_and_changes_nothing(void **state)
{
    (void) state;
    static const char *const cases[] = {
        "Z", "Zg=", "Zg===", "=", "====", "Zh==", "Zm9=", "Zm 9v", "Zm9v\n", "Zm9vZ", "Zg==Zg==", "Z-9v", "Z%9v"};
    struct buf b;
    buf_init(&b, 0);
    buf_append_str(&b, "keep");
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        assert_int_equal(base64_decode(&b, slice_of_str(cases[i]), BASE64_STANDARD), GRID_EINVAL);
        assert_string_equal(buf_cstr(&b), "keep");
    }
    buf_dispose(&b);
}

/* The example of RFC 9562, appendix A.6. */
static void test_uuid7__matches_the_rfc_example(void **state)
{
    (void) state;
    const uint8_t random[UUID7_RANDOM_BYTES] = {0x0c, 0xc3, 0x18, 0xc4, 0xdc, 0x0c, 0x0c, 0x07, 0x39, 0x8f};
    char text[UUID_TEXT_SIZE];
    struct uuid id = uuid7_make(0x017F22E279B0, random), again;
    uuid_format(&id, text);
    assert_string_equal(text, "017f22e2-79b0-7cc3-98c4-dc0c0c07398f");
    assert_int_equal(uuid7_unix_ms(&id), 0x017F22E279B0);
    assert_int_equal(uuid_parse(slice_of_str(text), &again), 0);
    assert_memory_equal(&id, &again, sizeof id);
    assert_int_equal(uuid_parse(SLICE("017F22E2-79B0-7CC3-98C4-DC0C0C07398F"), &again), 0);
    assert_memory_equal(&id, &again, sizeof id);
    assert_int_equal(uuid_parse(SLICE("017f22e279b0-7cc3-98c4-dc0c0c07398f-"), &again), GRID_EINVAL);
    assert_int_equal(uuid_parse(SLICE("017f22e2-79b0-7cc3-98c4-dc0c0c07398g"), &again), GRID_EINVAL);
    assert_int_equal(uuid_parse(SLICE("017f22e2-79b0-7cc3-98c4-dc0c0c07398"), &again), GRID_EINVAL);
}

static void fill_counting(void *context, uint8_t *bytes, size_t size)
{
    uint8_t *next = context;
    for (size_t i = 0; i < size; i++)
        bytes[i] = (*next)++;
}

static void test_uuid7__source_refills_and_can_be_seeded(void **state)
{
    (void) state;
    uint8_t seed_a = 1, seed_b = 1;
    struct uuid_source a, b, kernel;
    char text_a[UUID_TEXT_SIZE], text_b[UUID_TEXT_SIZE], last[UUID_TEXT_SIZE] = "";
    uuid_source_init(&a, fill_counting, &seed_a);
    uuid_source_init(&b, fill_counting, &seed_b);
    uuid_source_init(&kernel, NULL, NULL);
    for (uint64_t i = 0; i < 200; i++) {
        uuid7_generate(&a, i, text_a);
        uuid7_generate(&b, i, text_b);
        assert_string_equal(text_a, text_b);
        uuid7_generate(&kernel, 5, text_a);
        assert_string_not_equal(text_a, last);
        memcpy(last, text_a, sizeof last);
    }
}

static void test_percent__decodes_urls_strictly(void **state)
{
    (void) state;
    static const struct {
        const char *in, *out;
        enum percent_plus plus;
        int err;
    } cases[] = {
        {"a%20b+c", "a b+c", PERCENT_PLUS_AS_IS, 0},
        {"a%20b+c", "a b c", PERCENT_PLUS_IS_SPACE, 0},
        {"%c3%A9", "\xc3\xa9", PERCENT_PLUS_AS_IS, 0},
        {"%2f%25", "/%", PERCENT_PLUS_AS_IS, 0},
        {"", "", PERCENT_PLUS_AS_IS, 0},
        {"a%", "", PERCENT_PLUS_AS_IS, GRID_EPROTO},
        {"a%2", "", PERCENT_PLUS_AS_IS, GRID_EPROTO},
        {"%2g", "", PERCENT_PLUS_AS_IS, GRID_EPROTO},
        {"%%41", "", PERCENT_PLUS_AS_IS, GRID_EPROTO},
    };
    struct buf b;
    buf_init(&b, 0);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        buf_clear(&b);
        assert_int_equal(percent_decode(&b, slice_of_str(cases[i].in), cases[i].plus), cases[i].err);
        assert_string_equal(buf_cstr(&b), cases[i].out);
    }
    buf_clear(&b);
    assert_int_equal(percent_encode(&b, SLICE("a b/\xc3\xa9~")), 0);
    assert_string_equal(buf_cstr(&b), "a%20b%2F%C3%A9~");
    buf_dispose(&b);
}

static void test_percent__grpc_messages_never_fail(void **state)
{
    (void) state;
    struct buf b;
    buf_init(&b, 0);
    assert_int_equal(percent_encode_message(&b, SLICE("100% caf\xc3\xa9\n")), 0);
    assert_string_equal(buf_cstr(&b), "100%25 caf%C3%A9%0A");
    struct buf back;
    buf_init(&back, 0);
    assert_int_equal(percent_decode_message(&back, buf_slice(&b)), 0);
    assert_string_equal(buf_cstr(&back), "100% caf\xc3\xa9\n");
    buf_clear(&back);
    assert_int_equal(percent_decode_message(&back, SLICE("%zz+%4%41%")), 0);
    assert_string_equal(buf_cstr(&back), "%zz+%4A%");
    buf_dispose(&back);
    buf_dispose(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_duration__reads_and_writes),
        cmocka_unit_test(test_size__reads_and_writes),
        cmocka_unit_test(test_hex__goes_both_ways),
        cmocka_unit_test(test_base64__matches_rfc_4648_section_10),
        cmocka_unit_test(test_base64__refuses_sloppy_spellings_and_changes_nothing),
        cmocka_unit_test(test_uuid7__matches_the_rfc_example),
        cmocka_unit_test(test_uuid7__source_refills_and_can_be_seeded),
        cmocka_unit_test(test_percent__decodes_urls_strictly),
        cmocka_unit_test(test_percent__grpc_messages_never_fail),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
