/* Messages are counted before memory is taken for them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "api/pb.h"
#include "base/err.h"
#include "grid/v1/invoke.pb-c.h"

static const ProtobufCMessageDescriptor *const REQUEST = &grid__v1__call_request__descriptor;

static int fields(const char *bytes, size_t size, unsigned max)
{
    return pb_fields_within(REQUEST, slice_of(bytes, size), max);
}

static void test_pb__counts_the_fields_of_messages_within(void **state)
{
    (void) state;
    static const char task[] = "\x0a\x01t";
    static const char metadata[] = "\x32\x06\x0a\x01k\x12\x01v"; /* an entry of two fields */
    static const char unknown_inside[] = "\x32\x06\xf8\x06\x01\xf8\x06\x01";
    assert_int_equal(fields("", 0, 0), 0);
    assert_int_equal(fields(task, 3, 1), 0);
    assert_int_equal(fields(task, 3, 0), GRID_ELIMIT);
    assert_int_equal(fields(metadata, 8, 3), 0);
    assert_int_equal(fields(metadata, 8, 2), GRID_ELIMIT);
    assert_int_equal(fields(unknown_inside, 8, 3), 0);
    assert_int_equal(fields(unknown_inside, 8, 2), GRID_ELIMIT);
}

static void test_pb__what_is_cut_off_is_malformed(void **state)
{
    (void) state;
    static const char *const cut[] = {"\x0a", "\x0a\x05t", "\xff", "\x0b", "\x0d\x01", "\x09\x01\x02", "\x32\x03\x0a\x05k"};
    for (size_t i = 0; i < sizeof cut / sizeof *cut; i++)
        if (fields(cut[i], strlen(cut[i]), 100) != GRID_EPROTO)
            fail_msg("message %zu", i);
}

static void test_pb__a_flood_of_unknown_fields_takes_no_memory(void **state)
{
    (void) state;
    enum { COUNT = PB_FIELDS_MAX + 1 };
    struct arena *a = arena_create(4096, 0);
    uint8_t *flood = malloc(3 * COUNT);
    for (size_t i = 0; i < COUNT; i++)
        memcpy(flood + 3 * i, "\xf8\x06\x01", 3);
    assert_null(pb_unpack(REQUEST, a, slice_of(flood, (size_t) 3 * COUNT)));
    assert_non_null(pb_unpack(REQUEST, a, slice_of(flood, (size_t) 3 * 10)));
    free(flood);
    arena_destroy(a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_pb__counts_the_fields_of_messages_within),
        cmocka_unit_test(test_pb__what_is_cut_off_is_malformed),
        cmocka_unit_test(test_pb__a_flood_of_unknown_fields_takes_no_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
