/* Calls as they come in: what a CallRequest says, and what is refused before memory is taken. */
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
#include "server/ingress/call_request.h"

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

static void test_call_request__is_read(void **state)
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

static void test_call_request__gives_bytes_a_type_and_nothing_none(void **state)
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

static void test_call_request__holds_the_limits_of_names(void **state)
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

static void test_call_request__holds_the_limits_of_metadata(void **state)
{
    (void) state;
    assert_null(decode_metadata(CALL_METADATA_MAX, 1));
    assert_non_null(decode_metadata(CALL_METADATA_MAX + 1, 1));
    assert_null(decode_metadata(1, CALL_METADATA_BYTES - 1));
    assert_non_null(decode_metadata(1, CALL_METADATA_BYTES));
}

static void test_call_request__counts_fields_before_it_takes_memory(void **state)
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

static void test_call_request__refuses_what_is_no_request(void **state)
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

static void test_call_request__takes_the_last_of_one_metadata_key(void **state)
{
    (void) state;
    Grid__V1__CallRequest m = GRID__V1__CALL_REQUEST__INIT;
    Grid__V1__StringPair pairs[3], *list[] = {&pairs[0], &pairs[1], &pairs[2]};
    static const char *const texts[][2] = {{"a", "1"}, {"b", "2"}, {"a", "3"}};
    struct invocation *inv = invocation_create();
    bool json;
    for (size_t i = 0; i < 3; i++) {
        grid__v1__string_pair__init(&pairs[i]);
        pairs[i].key = pb_str(texts[i][0]);
        pairs[i].value = pb_str(texts[i][1]);
    }
    m.task = pb_str("echo");
    m.metadata = list;
    m.n_metadata = 3;
    assert_null(decode(&m, inv, &json));
    assert_int_equal(inv->metadata_count, 2);
    assert_true(slice_equal_str(inv->metadata[0].name, "a") && slice_equal_str(inv->metadata[0].value, "3"));
    assert_true(slice_equal_str(inv->metadata[1].name, "b") && slice_equal_str(inv->metadata[1].value, "2"));
    invocation_destroy(inv);
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
        cmocka_unit_test(test_call_request__is_read),
        cmocka_unit_test(test_call_request__gives_bytes_a_type_and_nothing_none),
        cmocka_unit_test(test_call_request__holds_the_limits_of_names),
        cmocka_unit_test(test_call_request__holds_the_limits_of_metadata),
        cmocka_unit_test(test_call_request__counts_fields_before_it_takes_memory),
        cmocka_unit_test(test_call_request__refuses_what_is_no_request),
        cmocka_unit_test(test_call_request__takes_the_last_of_one_metadata_key),
    };
    return cmocka_run_group_tests(tests, NULL, cleanup);
}
