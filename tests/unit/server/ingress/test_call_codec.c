/* Answers on the wire: what is written by hand is what protobuf-c reads. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "api/pb.h"
#include "base/arena.h"
#include "grid/v1/invoke.pb-c.h"
#include "server/ingress/call_codec.h"

enum { ROUNDS = 3000 };

/* ---- random answers from one seed ---- */

static uint64_t seed = 0x9e3779b97f4a7c15u;

static uint32_t random_below(uint32_t limit)
{
    seed = seed * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t) (seed >> 33) % limit;
}

static struct slice random_bytes(struct arena *a)
{
    static const uint32_t sizes[] = {1, 2, 4, 130, 300, 20000};
    size_t size = random_below(sizes[random_below(sizeof sizes / sizeof *sizes)]);
    uint8_t *bytes = arena_alloc(a, size + 1);
    for (size_t i = 0; i < size; i++)
        bytes[i] = (uint8_t) random_below(256);
    return slice_of(bytes, size);
}

static uint32_t random_number(void)
{
    return random_below(3) == 0 ? 0 : random_below(random_below(2) ? 0x7fffffff : 300);
}

static struct slice random_host(struct arena *a)
{
    Grid__V1__Host host = GRID__V1__HOST__INIT;
    struct slice name = random_bytes(a);
    host.name = pb_bytes(name);
    host.api_port = random_number();
    size_t size = grid__v1__host__get_packed_size(&host);
    uint8_t *packed = arena_alloc(a, size + 1);
    grid__v1__host__pack(&host, packed);
    return slice_of(packed, size);
}

static void random_error(struct arena *a, struct task_error *e)
{
    *e = (struct task_error){.type = random_bytes(a), .message = random_bytes(a), .stack_count = random_below(4)};
    e->stack = arena_calloc(a, 4, sizeof *e->stack);
    for (size_t i = 0; i < e->stack_count; i++)
        e->stack[i] = random_bytes(a);
}

static void random_answer(struct arena *a, struct task_error *error, struct call_answer *out)
{
    random_error(a, error);
    *out = (struct call_answer){.json = random_below(2),
                                .output = random_bytes(a),
                                .content_type = random_bytes(a),
                                .status = (int) random_number(),
                                .error = random_below(2) ? error : NULL,
                                .node_packed = random_host(a),
                                .request_id = random_bytes(a),
                                .release = random_bytes(a),
                                .attempts = random_number(),
                                .function_error = random_bytes(a)};
}

/* ---- what must be equal ---- */

static void assert_bytes(ProtobufCBinaryData b, struct slice s)
{
    assert_true(slice_equal(pb_slice(b), s));
}

static void assert_error(const Grid__V1__FunctionError *m, const struct task_error *e)
{
    assert_int_equal(m != NULL, e != NULL);
    if (!e)
        return;
    assert_bytes(m->type, e->type);
    assert_bytes(m->message, e->message);
    assert_int_equal(m->n_stack, e->stack_count);
    for (size_t i = 0; i < e->stack_count; i++)
        assert_bytes(m->stack[i], e->stack[i]);
}

/* An empty Host is left out. */
static void assert_node(struct arena *a, const Grid__V1__Host *m, struct slice packed)
{
    const Grid__V1__Host *host = pb_unpack(&grid__v1__host__descriptor, a, packed);
    assert_int_equal(m != NULL, packed.size > 0);
    if (!m)
        return;
    assert_bytes(m->name, pb_slice(host->name));
    assert_int_equal(m->api_port, host->api_port);
}

static void test_call_codec__writes_responses_that_protobuf_reads(void **state)
{
    (void) state;
    for (unsigned round = 0; round < ROUNDS; round++) {
        struct arena *a = arena_create(65536, 0);
        struct task_error error;
        struct call_answer answer;
        random_answer(a, &error, &answer);
        size_t size = call_response_size(&answer);
        uint8_t *packed = arena_alloc(a, size + 1);
        packed[size] = 0xa5;
        call_response_write(&answer, packed);
        assert_int_equal(packed[size], 0xa5);
        const Grid__V1__CallResponse *m = pb_unpack(&grid__v1__call_response__descriptor, a, slice_of(packed, size));
        assert_non_null(m);
        assert_int_equal(m->output_case,
                         answer.json ? GRID__V1__CALL_RESPONSE__OUTPUT_JSON : GRID__V1__CALL_RESPONSE__OUTPUT_PAYLOAD);
        assert_bytes(answer.json ? m->json : m->payload, answer.output);
        assert_bytes(m->content_type, answer.content_type);
        assert_int_equal(m->status, answer.status);
        assert_error(m->error, answer.error);
        assert_node(a, m->node, answer.node_packed);
        assert_bytes(m->request_id, answer.request_id);
        assert_bytes(m->release, answer.release);
        assert_int_equal(m->attempts, answer.attempts);
        arena_destroy(a);
    }
}

static const Grid__V1__CallChunk *unpack_chunk(struct arena *a, struct buf *out)
{
    const Grid__V1__CallChunk *m = pb_unpack(&grid__v1__call_chunk__descriptor, a, buf_slice(out));
    assert_non_null(m);
    buf_clear(out);
    return m;
}

static void check_chunks(struct arena *a, const struct call_answer *answer, struct buf *out)
{
    assert_int_equal(call_chunk_head(answer, out), 0);
    const Grid__V1__CallChunk *m = unpack_chunk(a, out);
    assert_int_equal(m->part_case, GRID__V1__CALL_CHUNK__PART_HEAD);
    assert_bytes(m->head->content_type, answer->content_type);
    assert_int_equal(m->head->status, answer->status);
    assert_node(a, m->head->node, answer->node_packed);
    assert_bytes(m->head->request_id, answer->request_id);
    assert_bytes(m->head->release, answer->release);
    assert_int_equal(m->head->attempts, answer->attempts);
    assert_bytes(m->head->function_error, answer->function_error);
    assert_int_equal(call_chunk_data(answer->output, out), 0);
    m = unpack_chunk(a, out);
    assert_int_equal(m->part_case, GRID__V1__CALL_CHUNK__PART_DATA);
    assert_bytes(m->data, answer->output);
    assert_int_equal(call_chunk_end(answer->error, out), 0);
    m = unpack_chunk(a, out);
    assert_int_equal(m->part_case, GRID__V1__CALL_CHUNK__PART_END);
    assert_error(m->end->error, answer->error);
}

static void test_call_codec__writes_chunks_that_protobuf_reads(void **state)
{
    (void) state;
    struct buf out;
    buf_init(&out, 0);
    for (unsigned round = 0; round < ROUNDS; round++) {
        struct arena *a = arena_create(65536, 0);
        struct task_error error;
        struct call_answer answer;
        random_answer(a, &error, &answer);
        check_chunks(a, &answer, &out);
        arena_destroy(a);
    }
    buf_dispose(&out);
}

static void test_call_codec__says_when_a_chunk_does_not_fit(void **state)
{
    (void) state;
    struct buf out;
    buf_init(&out, 8);
    assert_int_not_equal(call_chunk_data(SLICE("0123456789"), &out), 0);
    assert_int_equal(out.size, 0);
    buf_dispose(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_call_codec__writes_responses_that_protobuf_reads),
        cmocka_unit_test(test_call_codec__writes_chunks_that_protobuf_reads),
        cmocka_unit_test(test_call_codec__says_when_a_chunk_does_not_fit),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
