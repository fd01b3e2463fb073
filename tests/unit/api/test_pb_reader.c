/* Fields are read in their order, and what does not fit is left to the general decoder. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "api/pb_reader.h"

static void test_pb_reader__reads_fields_in_their_order(void **state)
{
    (void) state;
    static const char bytes[] = "\x08\xac\x02\x12\x02hi\x82\x01\x01x\x88\x01\x07"; /* fields 1, 2, 16 and 17 */
    struct pb_reader r = pb_reader_of(slice_of(bytes, sizeof bytes - 1));
    struct slice inside;
    assert_int_equal(pb_reader_number(&r, PB_TAG_NUMBER(1), UINT64_MAX), 300);
    assert_true(pb_reader_inside(&r, PB_TAG_BYTES(2), &inside) && slice_equal_str(inside, "hi"));
    assert_int_equal(pb_reader_number(&r, PB_TAG_NUMBER(3), UINT64_MAX), 0); /* left out */
    assert_false(pb_reader_inside(&r, PB_TAG_BYTES(15), &inside));
    assert_int_equal(inside.size, 0);
    assert_true(pb_reader_inside(&r, PB_TAG_BYTES(16), &inside) && slice_equal_str(inside, "x"));
    assert_false(pb_reader_done(&r));
    assert_int_equal(pb_reader_number(&r, PB_TAG_NUMBER(17), UINT64_MAX), 7);
    assert_true(pb_reader_done(&r));
}

/* As a message with fields 1 (a number of at most 300) and 16 (bytes). */
static bool reads(const char *bytes, size_t size)
{
    struct pb_reader r = pb_reader_of(slice_of(bytes, size));
    struct slice inside;
    (void) pb_reader_number(&r, PB_TAG_NUMBER(1), 300);
    (void) pb_reader_inside(&r, PB_TAG_BYTES(16), &inside);
    return pb_reader_done(&r);
}

static void test_pb_reader__leaves_what_does_not_fit(void **state)
{
    (void) state;
    static const struct {
        const char *bytes;
        size_t size;
        bool fine;
    } cases[] = {
        {"", 0, true},
        {"\x08\x01\x82\x01\x01x", 6, true},
        {"\x08\xac\x02", 3, true},
        {"\x08\xad\x02", 3, false},          /* above its greatest */
        {"\x08", 1, false},                  /* without its number */
        {"\x08\xac", 2, false},              /* a number cut off */
        {"\x08\x01\x08\x01", 4, false},      /* twice */
        {"\x82\x01\x01x\x08\x01", 6, false}, /* another order */
        {"\x10\x01", 2, false},              /* not known */
        {"\x82", 1, false},                  /* half a tag */
        {"\x82\x01\x02x", 4, false},         /* longer than what is there */
        {"\x82\x01\x81\x80\x00x", 6, true},  /* a length may have more bytes than it needs */
        {"\x82\x01\x81\x80\x80\x80\x00x", 8, false}, /* but not too many */
        {"\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\x02", 11, false}, /* of more than 64 bits */
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        if (reads(cases[i].bytes, cases[i].size) != cases[i].fine)
            fail_msg("case %zu", i);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_pb_reader__reads_fields_in_their_order),
        cmocka_unit_test(test_pb_reader__leaves_what_does_not_fit),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
