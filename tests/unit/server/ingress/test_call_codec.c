/* Calls on the wire: what is written by hand is what protobuf-c reads, and the other way round. */
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

/* ---- requests ---- */

static const char *decode(const Grid__V1__CallRequest *m, struct invocation *inv, bool *json)
{
    struct buf packed;
    const char *why;
    buf_init(&packed, 0);
    assert_int_equal(pb_append(&packed, &m->base), 0);
    int err = call_request_decode(arena_copy(inv->arena, buf_slice(&packed)), inv, json, &why);
    buf_dispose(&packed);
    assert_int_equal(err != 0, why != NULL);
    assert_true(err == 0 || err == GRID_EPROTO);
    return why;
}

static void test_call_codec__reads_a_request(void **state)
{
    (void) state;
    Grid__V1__CallRequest m = GRID__V1__CALL_REQUEST__INIT;
    Grid__V1__StringPair pair = GRID__V1__STRING_PAIR__INIT, *pairs[] = {&pair};
    struct invocation *inv = invocation_create();
    bool json;
    pair.key = pb_str("a");
    pair.value = pb_str("b");
    m.metadata = pairs;
    m.n_metadata = 1;
    m.task = pb_str("echo");
    m.handler = pb_str("h");
    m.input_case = GRID__V1__CALL_REQUEST__INPUT_JSON;
    m.json = pb_str("{}");
    m.key = pb_str("k");
    m.node = pb_str("n");
    m.idempotency_key = pb_str("i");
    m.strategy = GRID__V1__STRATEGY__STRATEGY_LOCAL;
    assert_null(decode(&m, inv, &json));
    assert_true(json);
    assert_true(slice_equal_str(inv->task, "echo") && slice_equal_str(inv->handler, "h") && slice_equal_str(inv->payload, "{}"));
    assert_true(slice_equal_str(inv->key, "k") && slice_equal_str(inv->node, "n") && slice_equal_str(inv->idempotency_key, "i"));
    assert_true(slice_equal_str(inv->content_type, "application/json"));
    assert_int_equal(inv->strategy, INVOCATION_LOCAL);
    assert_int_equal(inv->metadata_count, 1);
    assert_true(slice_equal_str(inv->metadata[0].name, "a") && slice_equal_str(inv->metadata[0].value, "b"));
    invocation_destroy(inv);
}

static void test_call_codec__gives_bytes_a_type_and_nothing_none(void **state)
{
    (void) state;
    Grid__V1__CallRequest m = GRID__V1__CALL_REQUEST__INIT;
    struct invocation *inv = invocation_create();
    bool json;
    m.task = pb_str("echo");
    assert_null(decode(&m, inv, &json));
    assert_false(json);
    assert_int_equal(inv->content_type.size, 0);
    m.input_case = GRID__V1__CALL_REQUEST__INPUT_PAYLOAD;
    m.payload = pb_str("x");
    assert_null(decode(&m, inv, &json));
    assert_true(slice_equal_str(inv->content_type, "application/octet-stream"));
    m.content_type = pb_str("text/x");
    assert_null(decode(&m, inv, &json));
    assert_true(slice_equal_str(inv->content_type, "text/x"));
    invocation_destroy(inv);
}

static struct slice repeated(struct arena *a, char c, size_t size)
{
    uint8_t *bytes = arena_alloc(a, size + 1);
    memset(bytes, c, size);
    return slice_of(bytes, size);
}

static void test_call_codec__holds_the_limits_of_names(void **state)
{
    (void) state;
    struct invocation *inv = invocation_create();
    const struct {
        struct slice task, handler, node;
        bool good;
    } cases[] = {
        {SLICE("a"), SLICE(""), SLICE(""), true},
        {SLICE(""), SLICE(""), SLICE(""), false},
        {repeated(inv->arena, 'x', CALL_TASK_MAX), repeated(inv->arena, 'x', CALL_HANDLER_MAX), SLICE(""), true},
        {repeated(inv->arena, 'x', CALL_TASK_MAX + 1), SLICE(""), SLICE(""), false},
        {SLICE("a"), repeated(inv->arena, 'x', CALL_HANDLER_MAX + 1), SLICE(""), false},
        {SLICE("\xff"), SLICE(""), SLICE(""), false},
        {SLICE("a"), SLICE("\xc3"), SLICE(""), false},
        {SLICE("a"), SLICE(""), SLICE("\xed\xa0\x80"), false},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        Grid__V1__CallRequest m = GRID__V1__CALL_REQUEST__INIT;
        bool json;
        m.task = pb_bytes(cases[i].task);
        m.handler = pb_bytes(cases[i].handler);
        m.node = pb_bytes(cases[i].node);
        assert_int_equal(decode(&m, inv, &json) == NULL, cases[i].good);
    }
    invocation_destroy(inv);
}

static const char *decode_metadata(size_t count, size_t value_size)
{
    Grid__V1__CallRequest m = GRID__V1__CALL_REQUEST__INIT;
    struct invocation *inv = invocation_create();
    Grid__V1__StringPair pair = GRID__V1__STRING_PAIR__INIT;
    bool json;
    m.task = pb_str("a");
    pair.key = pb_str("k");
    pair.value = pb_bytes(repeated(inv->arena, 'v', value_size));
    m.metadata = arena_calloc(inv->arena, count + 1, sizeof *m.metadata);
    for (m.n_metadata = 0; m.n_metadata < count; m.n_metadata++)
        m.metadata[m.n_metadata] = &pair;
    const char *why = decode(&m, inv, &json);
    invocation_destroy(inv);
    return why;
}

static void test_call_codec__holds_the_limits_of_metadata(void **state)
{
    (void) state;
    assert_null(decode_metadata(CALL_METADATA_MAX, 1));
    assert_non_null(decode_metadata(CALL_METADATA_MAX + 1, 1));
    assert_null(decode_metadata(1, CALL_METADATA_BYTES - 1));
    assert_non_null(decode_metadata(1, CALL_METADATA_BYTES));
}

static void test_call_codec__counts_fields_before_it_takes_memory(void **state)
{
    (void) state;
    struct invocation *inv = invocation_create();
    size_t before = arena_used(inv->arena);
    struct buf packed;
    const char *why;
    bool json;
    buf_init(&packed, 0);
    buf_append_str(&packed, "\x0a\x01"
                            "a");
    for (int i = 0; i < 1000000; i++)
        buf_append(&packed, SLICE("\x32\x00"));
    assert_int_equal(call_request_decode(buf_slice(&packed), inv, &json, &why), GRID_EPROTO);
    assert_int_equal(arena_used(inv->arena), before);
    buf_dispose(&packed);
    invocation_destroy(inv);
}

static void test_call_codec__refuses_what_is_no_request(void **state)
{
    (void) state;
    static const struct slice cases[] = {
        SLICE_INIT("\xff"),
        SLICE_INIT("\x0a"),
        SLICE_INIT("\x0a\x05"
                   "ab"),
        SLICE_INIT("\x0b"),
        SLICE_INIT("\x08"),
        SLICE_INIT("\x09\x01"),
        SLICE_INIT("\x0d\x01"),
        SLICE_INIT("\x0a\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"),
        SLICE_INIT("\x0a\x01"
                   "a"
                   "\x32\x02\x0a\x09"),
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct invocation *inv = invocation_create();
        const char *why;
        bool json;
        assert_int_equal(call_request_decode(cases[i], inv, &json, &why), GRID_EPROTO);
        assert_non_null(why);
        invocation_destroy(inv);
    }
}

static int cleanup(void **state)
{
    (void) state;
    invocation_thread_cleanup();
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_call_codec__writes_responses_that_protobuf_reads),
        cmocka_unit_test(test_call_codec__writes_chunks_that_protobuf_reads),
        cmocka_unit_test(test_call_codec__says_when_a_chunk_does_not_fit),
        cmocka_unit_test(test_call_codec__reads_a_request),
        cmocka_unit_test(test_call_codec__gives_bytes_a_type_and_nothing_none),
        cmocka_unit_test(test_call_codec__holds_the_limits_of_names),
        cmocka_unit_test(test_call_codec__holds_the_limits_of_metadata),
        cmocka_unit_test(test_call_codec__counts_fields_before_it_takes_memory),
        cmocka_unit_test(test_call_codec__refuses_what_is_no_request),
    };
    return cmocka_run_group_tests(tests, NULL, cleanup);
}
