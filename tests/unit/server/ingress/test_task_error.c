/* What a task failed with, from the answer as it came. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/buf.h"
#include "server/ingress/task_error.h"

struct expected {
    int status;
    const char *mark, *body, *type, *message, *code, *value;
    size_t frames;
};

static const char *text(struct arena *a, struct slice s)
{
    return s.size ? arena_str(a, s) : "";
}

static void test_task_error__says_what_the_task_said(void **state)
{
    (void) state;
    static const struct expected cases[] = {
        {500, "Unhandled", "{\"errorType\":\"TypeError\",\"errorMessage\":\"bad \\u00e9\",\"stackTrace\":[\"at a\",\"at b\"]}",
         "TypeError", "bad \xc3\xa9", "", "", 2},
        {500, "Handled", "{\"errorType\":\"Error\",\"errorMessage\":\"gone\",\"stackTrace\":[],\"code\":\"ENOENT\"}", "Error",
         "gone", "\"ENOENT\"", "", 0},
        {500, "Handled", "{\"errorType\":\"RangeError\",\"errorMessage\":\"five\",\"stackTrace\":[],\"code\":5}", "RangeError",
         "five", "5", "", 0},
        {500, "Handled", "{\"errorType\":\"string\",\"errorMessage\":\"just \\\"text\\\"\",\"stackTrace\":[]}", "string",
         "just \"text\"", "", "\"just \\\"text\\\"\"", 0},
        {500, "Handled", "{\"errorType\":\"string\",\"errorMessage\":\"5\",\"stackTrace\":[]}", "string", "5", "", "\"5\"", 0},
        {500, "Handled", "{\"errorType\":\"number\",\"errorMessage\":\"4.5e1\",\"stackTrace\":[]}", "number", "4.5e1", "", "4.5e1",
         0},
        {500, "Handled", "{\"errorType\":\"object\",\"errorMessage\":\"{\\\"a\\\":[0.50]}\",\"stackTrace\":[]}", "object",
         "{\"a\":[0.50]}", "", "{\"a\":[0.50]}", 0},
        {500, "Handled", "{\"errorType\":\"boolean\",\"errorMessage\":\"true\",\"stackTrace\":[]}", "boolean", "true", "", "true",
         0},
        {500, "Handled", "{\"errorType\":\"symbol\",\"errorMessage\":\"Symbol(x)\",\"stackTrace\":[]}", "symbol", "Symbol(x)", "",
         "\"Symbol(x)\"", 0},
        /* An Error that calls itself by such a word has frames. */
        {500, "Handled", "{\"errorType\":\"object\",\"errorMessage\":\"5\",\"stackTrace\":[\"at a\"]}", "object", "5", "", "", 1},
        {500, "", "{\"errorMessage\":\"m\",\"trace\":[\"x\",5,\"y\"]}", "", "m", "", "", 2},
        {500, "Handled", "{\"errorMessage\":42}", "", "42", "", "", 0},
        {500, "", "plain words", "HttpStatus", "plain words", "", "", 0},
        {503, "", "", "HttpStatus", "the task answered with status 503", "", "", 0},
        {502, "", "\xff\xfe", "HttpStatus", "the task answered with status 502", "", "", 0},
        {200, "Handled", "words", "Error", "words", "", "", 0},
        {500, "", "[1]", "HttpStatus", "[1]", "", "", 0},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const struct expected *c = &cases[i];
        struct arena *a = arena_create(1024, 0);
        struct task_error e;
        assert_true(task_error_from_answer(a, c->status, slice_of_str(c->mark), slice_of_str(c->body), &e));
        assert_string_equal(text(a, e.type), c->type);
        assert_string_equal(text(a, e.message), c->message);
        assert_string_equal(text(a, e.code), c->code);
        assert_string_equal(text(a, e.value), c->value);
        assert_int_equal(e.stack_count, c->frames);
        arena_destroy(a);
    }
}

static void test_task_error__is_none_below_500_without_the_mark(void **state)
{
    (void) state;
    static const int statuses[] = {200, 204, 301, 404, 418, 499};
    struct arena *a = arena_create(1024, 0);
    struct task_error e;
    for (size_t i = 0; i < sizeof statuses / sizeof *statuses; i++)
        assert_false(task_error_from_answer(a, statuses[i], SLICE(""), SLICE("{\"errorMessage\":\"m\"}"), &e));
    arena_destroy(a);
}

static void test_task_error__does_not_cut_inside_a_character(void **state)
{
    (void) state;
    struct arena *a = arena_create(1024, 0);
    struct task_error e;
    char body[6000];
    for (size_t lead = 0; lead < 4; lead++) {
        memset(body, 'x', lead);
        for (size_t at = lead; at + 4 <= sizeof body; at += 4)
            memcpy(body + at, "\xf0\x9f\x98\x80", 4);
        size_t size = lead + (sizeof body - lead) / 4 * 4;
        assert_true(task_error_from_answer(a, 500, SLICE(""), slice_of(body, size), &e));
        assert_true(slice_is_utf8(e.message) && e.message.size > 4090 && e.message.size <= 4096);
    }
    arena_destroy(a);
}

static void test_task_error__bounds_the_frames(void **state)
{
    (void) state;
    struct arena *a = arena_create(1024, 0);
    struct buf body;
    struct task_error e;
    buf_init(&body, 0);
    buf_append_str(&body, "{\"errorMessage\":\"m\",\"stackTrace\":[\"0\"");
    for (int i = 0; i < 1000; i++)
        buf_append_str(&body, ",\"at f\"");
    buf_append_str(&body, "]}");
    assert_true(task_error_from_answer(a, 500, SLICE("Handled"), buf_slice(&body), &e));
    assert_int_equal(e.stack_count, 64);
    buf_dispose(&body);
    arena_destroy(a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_task_error__says_what_the_task_said),
        cmocka_unit_test(test_task_error__is_none_below_500_without_the_mark),
        cmocka_unit_test(test_task_error__does_not_cut_inside_a_character),
        cmocka_unit_test(test_task_error__bounds_the_frames),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
