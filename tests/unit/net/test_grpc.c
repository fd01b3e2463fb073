/* gRPC's bytes: framing, gzip within bounds, timeouts, message and metadata codings. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/err.h"
#include "net/grpc.h"

static void test_grpc__parses_timeouts_and_rounds_up(void **state)
{
    (void) state;
    static const struct {
        const char *text;
        int err;
        uint64_t ms;
    } cases[] = {
        {"100m", 0, 100}, {"0m", 0, 0}, {"1n", 0, 1}, {"1000001n", 0, 2}, {"1u", 0, 1}, {"1000u", 0, 1}, {"2S", 0, 2000}, {"3M", 0, 180000},
        {"99999999H", 0, 359999996400000}, {"123456789m", GRID_EINVAL, 0}, {"m", GRID_EINVAL, 0}, {"", GRID_EINVAL, 0}, {"1", GRID_EINVAL, 0},
        {"1x", GRID_EINVAL, 0}, {"-1m", GRID_EINVAL, 0}, {"1 m", GRID_EINVAL, 0},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        uint64_t ms = 0;
        assert_int_equal(grpc_timeout_parse(slice_of_str(cases[i].text), &ms), cases[i].err);
        assert_int_equal(ms, cases[i].ms);
    }
}

static void test_grpc__formats_timeouts_in_eight_digits(void **state)
{
    (void) state;
    char text[16];
    grpc_timeout_format(0, text);
    assert_string_equal(text, "0m");
    grpc_timeout_format(99999999, text);
    assert_string_equal(text, "99999999m");
    grpc_timeout_format(100000000, text);
    assert_string_equal(text, "100000S");
    grpc_timeout_format(UINT64_MAX, text);
    assert_string_equal(text, "99999999H");
}

static void test_grpc__names_and_maps_statuses(void **state)
{
    (void) state;
    assert_string_equal(grpc_status_name(GRPC_UNAUTHENTICATED), "UNAUTHENTICATED");
    assert_string_equal(grpc_status_name(-1), "UNKNOWN");
    assert_string_equal(grpc_status_name(17), "UNKNOWN");
    assert_int_equal(grpc_status_from_http(404), GRPC_UNIMPLEMENTED);
    assert_int_equal(grpc_status_from_http(503), GRPC_UNAVAILABLE);
    assert_int_equal(grpc_status_from_http(200), GRPC_UNKNOWN);
    assert_int_equal(grpc_status_from_reset(7), GRPC_UNAVAILABLE);
    assert_int_equal(grpc_status_from_reset(8), GRPC_CANCELLED);
    assert_int_equal(grpc_status_from_reset(11), GRPC_RESOURCE_EXHAUSTED);
    assert_int_equal(grpc_status_from_reset(2), GRPC_INTERNAL);
}

static void test_grpc__cuts_messages_however_they_arrive(void **state)
{
    (void) state;
    struct buf wire;
    buf_init(&wire, 0);
    assert_int_equal(grpc_frame(&wire, SLICE("hello"), false), 0);
    assert_int_equal(grpc_frame(&wire, SLICE(""), false), 0);
    assert_int_equal(grpc_frame(&wire, SLICE("aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"), true), 0);
    static const size_t sizes[] = {5, 0, 62};
    for (size_t step = 1; step <= wire.size; step++) {
        struct grpc_deframer d;
        struct slice message;
        size_t count = 0;
        grpc_deframer_init(&d, 62, true);
        for (struct slice rest = buf_slice(&wire); rest.size > 0; rest = slice_from(rest, step)) {
            assert_int_equal(grpc_deframer_feed(&d, slice_first(rest, step)), 0);
            while (grpc_deframer_next(&d, &message) == 0)
                assert_int_equal(message.size, sizes[count++]);
        }
        assert_int_equal(count, 3);
        assert_true(grpc_deframer_last_compressed(&d));
        assert_true(grpc_deframer_empty(&d));
        grpc_deframer_dispose(&d);
    }
    buf_dispose(&wire);
}

static void test_grpc__refuses_a_long_message_by_its_prefix_alone(void **state)
{
    (void) state;
    struct grpc_deframer d;
    grpc_deframer_init(&d, 10, false);
    assert_int_equal(grpc_deframer_feed(&d, SLICE("\0\0\0\0")), 0);
    assert_int_equal(grpc_deframer_feed(&d, SLICE("\013")), GRID_ELIMIT);
    grpc_deframer_reset(&d, 10, false);
    assert_int_equal(grpc_deframer_feed(&d, SLICE("\1")), GRID_EPROTO);
    grpc_deframer_reset(&d, 10, true);
    assert_int_equal(grpc_deframer_feed(&d, SLICE("\2")), GRID_EPROTO);
    grpc_deframer_dispose(&d);
}

static void test_grpc__never_inflates_beyond_the_limit(void **state)
{
    (void) state;
    enum { BOMB = 10 * 1024 * 1024, LIMIT = 100000 };
    uint8_t *zeros = calloc(1, BOMB);
    struct buf wire;
    buf_init(&wire, 0);
    assert_int_equal(grpc_frame(&wire, slice_of(zeros, BOMB), true), 0);
    assert_true(wire.size < LIMIT);
    struct grpc_deframer d;
    struct slice message;
    grpc_deframer_init(&d, LIMIT, true);
    assert_int_equal(grpc_deframer_feed(&d, buf_slice(&wire)), 0);
    assert_int_equal(grpc_deframer_next(&d, &message), GRID_ELIMIT);
    assert_true(d.inflated.size <= LIMIT + 1);
    grpc_deframer_dispose(&d);
    grpc_deframer_init(&d, BOMB, true);
    assert_int_equal(grpc_deframer_feed(&d, buf_slice(&wire)), 0);
    assert_int_equal(grpc_deframer_next(&d, &message), 0);
    assert_int_equal(message.size, BOMB);
    grpc_deframer_dispose(&d);
    buf_dispose(&wire);
    free(zeros);
}

/* Feeds one frame with the compressed flag and this content. */
static int inflate_of(struct slice packed)
{
    struct grpc_deframer d;
    struct slice message;
    uint8_t prefix[GRPC_PREFIX_SIZE];
    grpc_prefix_write(prefix, true, (uint32_t) packed.size);
    grpc_deframer_init(&d, 1000, true);
    assert_int_equal(grpc_deframer_feed(&d, slice_of(prefix, sizeof prefix)), 0);
    assert_int_equal(grpc_deframer_feed(&d, packed), 0);
    int err = grpc_deframer_next(&d, &message);
    grpc_deframer_dispose(&d);
    return err;
}

static void test_grpc__refuses_gzip_that_is_none_cut_or_followed_by_more(void **state)
{
    (void) state;
    struct buf wire;
    buf_init(&wire, 0);
    assert_int_equal(grpc_frame(&wire, SLICE("aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"), true), 0);
    struct slice packed = slice_from(buf_slice(&wire), GRPC_PREFIX_SIZE);
    assert_int_equal(inflate_of(packed), 0);
    assert_int_equal(inflate_of(slice_first(packed, packed.size - 1)), GRID_EPROTO);
    assert_int_equal(inflate_of(SLICE("not gzip")), GRID_EPROTO);
    assert_int_equal(inflate_of(SLICE("")), GRID_EPROTO);
    assert_int_equal(buf_append_byte(&wire, 0), 0);
    assert_int_equal(inflate_of(slice_from(buf_slice(&wire), GRPC_PREFIX_SIZE)), GRID_EPROTO);
    buf_dispose(&wire);
}

static void test_grpc__codes_messages_in_percents(void **state)
{
    (void) state;
    struct buf out;
    buf_init(&out, 0);
    assert_int_equal(grpc_message_encode(SLICE("\t100% \xc3\xa4\r\n~"), &out), 0);
    assert_string_equal(buf_cstr(&out), "%09100%25 %C3%A4%0D%0A~");
    struct buf back;
    buf_init(&back, 0);
    assert_int_equal(grpc_message_decode(buf_slice(&out), &back), 0);
    assert_string_equal(buf_cstr(&back), "\t100% \xc3\xa4\r\n~");
    buf_clear(&back);
    assert_int_equal(grpc_message_decode(SLICE("100% %zz %4 %41%4"), &back), 0);
    assert_string_equal(buf_cstr(&back), "100% %zz %4 A%4");
    buf_dispose(&out);
    buf_dispose(&back);
}

static void test_grpc__reads_binary_metadata_padded_or_not(void **state)
{
    (void) state;
    static const struct {
        const char *text, *bytes;
        int err;
    } cases[] = {
        {"", "", 0},          {"YQ==", "a", 0},     {"YQ", "a", 0},  {"YWI=", "ab", 0},       {"YWI", "ab", 0},
        {"YWJj", "abc", 0},   {"q6ur", "\xab\xab\xab", 0}, {"Y", NULL, GRID_EINVAL}, {"YQ=", NULL, GRID_EINVAL}, {"Y!==", NULL, GRID_EINVAL},
        {"=", NULL, GRID_EINVAL},
    };
    struct buf out, again;
    buf_init(&out, 0);
    buf_init(&again, 0);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        buf_clear(&out);
        buf_clear(&again);
        assert_int_equal(grpc_bin_decode(slice_of_str(cases[i].text), &out), cases[i].err);
        if (cases[i].err != 0)
            continue;
        assert_string_equal(buf_cstr(&out), cases[i].bytes);
        assert_int_equal(grpc_bin_encode(buf_slice(&out), &again), 0);
        assert_int_equal(again.size, (out.size * 8 + 5) / 6);
        assert_memory_equal(buf_cstr(&again), cases[i].text, again.size);
    }
    struct slice list = SLICE("YQ==, YWI"), value;
    assert_true(grpc_bin_next(&list, &value));
    assert_true(slice_equal_str(value, "YQ=="));
    assert_true(grpc_bin_next(&list, &value));
    assert_true(slice_equal_str(value, "YWI"));
    assert_false(grpc_bin_next(&list, &value));
    buf_dispose(&out);
    buf_dispose(&again);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_grpc__parses_timeouts_and_rounds_up),
        cmocka_unit_test(test_grpc__formats_timeouts_in_eight_digits),
        cmocka_unit_test(test_grpc__names_and_maps_statuses),
        cmocka_unit_test(test_grpc__cuts_messages_however_they_arrive),
        cmocka_unit_test(test_grpc__refuses_a_long_message_by_its_prefix_alone),
        cmocka_unit_test(test_grpc__never_inflates_beyond_the_limit),
        cmocka_unit_test(test_grpc__refuses_gzip_that_is_none_cut_or_followed_by_more),
        cmocka_unit_test(test_grpc__codes_messages_in_percents),
        cmocka_unit_test(test_grpc__reads_binary_metadata_padded_or_not),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
