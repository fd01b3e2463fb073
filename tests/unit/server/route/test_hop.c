/* Answers of other nodes that become the head of an answer to a client. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "base/err.h"
#include "grid/v1/invoke.pb-c.h"
#include "server/route/hop.h"

enum { LONG = 64 * 1024 + 1 };

struct answer {
    int status;
    struct slice content_type, function_error;
};

static ProtobufCBinaryData bytes_of(struct slice s)
{
    return (ProtobufCBinaryData){.len = s.size, .data = (uint8_t *) (uintptr_t) s.data};
}

static struct slice pack(struct arena *arena, const ProtobufCMessage *message)
{
    uint8_t *packed = arena_alloc(arena, protobuf_c_message_get_packed_size(message) + 1);
    assert_non_null(packed);
    return slice_of(packed, protobuf_c_message_pack(message, packed));
}

/* What comes of the answer as a whole and as the first of several pieces: the same. */
static int unpack(const struct answer *a)
{
    struct arena *arena = arena_create(4096, 0);
    Grid__V1__CallResponse whole = GRID__V1__CALL_RESPONSE__INIT;
    Grid__V1__FunctionError error = GRID__V1__FUNCTION_ERROR__INIT;
    Grid__V1__CallChunk chunk = GRID__V1__CALL_CHUNK__INIT;
    Grid__V1__CallHead head = GRID__V1__CALL_HEAD__INIT;
    struct hop_answer out;
    enum hop_part part;
    whole.status = head.status = a->status;
    whole.content_type = head.content_type = bytes_of(a->content_type);
    error.type = head.function_error = bytes_of(a->function_error);
    whole.error = a->function_error.size > 0 ? &error : NULL;
    chunk.part_case = GRID__V1__CALL_CHUNK__PART_HEAD;
    chunk.head = &head;
    int err = hop_unpack_response(arena, pack(arena, &whole.base), &out);
    assert_int_equal(hop_unpack_chunk(arena, pack(arena, &chunk.base), &part, &out), err);
    arena_destroy(arena);
    return err;
}

static void test_hop__takes_what_a_tasks_head_may_hold(void **state)
{
    static const struct answer answers[] = {
        {200, SLICE_INIT("text/plain; charset=utf-8"), SLICE_INIT("")},
        {200, SLICE_INIT(""), SLICE_INIT("Unhandled")},
        {999, SLICE_INIT("caf\xe9\ttab"), SLICE_INIT("Handled")},
    };
    (void) state;
    for (size_t i = 0; i < sizeof answers / sizeof *answers; i++)
        assert_int_equal(unpack(&answers[i]), 0);
}

/* A client would wait for ever after an interim status, and see headers of the liar's own after a line's end. */
static void test_hop__refuses_what_would_be_another_head_than_it_says(void **state)
{
    static uint8_t text[LONG];
    const struct answer answers[] = {
        {99, SLICE("text/plain"), SLICE("")},
        {100, SLICE("text/plain"), SLICE("")},
        {101, SLICE("text/plain"), SLICE("")},
        {199, SLICE("text/plain"), SLICE("")},
        {1000, SLICE("text/plain"), SLICE("")},
        {200, SLICE("text/plain\r\nset-cookie: a=b"), SLICE("")},
        {200, SLICE("text/plain"), SLICE("Handled\nset-cookie: a=b")},
        {200, SLICE("text/\0plain"), SLICE("")},
        {200, SLICE("text/plain"), SLICE("\x7f")},
        {200, slice_of(text, LONG), SLICE("")},
        {200, SLICE("text/plain"), slice_of(text, LONG - 1)},
    };
    (void) state;
    memset(text, 'a', sizeof text);
    for (size_t i = 0; i < sizeof answers / sizeof *answers; i++)
        assert_int_equal(unpack(&answers[i]), GRID_EPROTO);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_hop__takes_what_a_tasks_head_may_hold),
        cmocka_unit_test(test_hop__refuses_what_would_be_another_head_than_it_says),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
