/* Log lines: their two shapes, what is escaped, and how a long one is cut. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/err.h"
#include "base/log.h"

#define FIELDS(...) ((const struct log_field[]){__VA_ARGS__ __VA_OPT__(, ){.kind = LOG_FIELD_END}})

static const char *render(enum log_format format, const char *node, const char *sentence, const struct log_field *fields)
{
    static char out[LOG_LINE_MAX + 1];
    struct log_context context = {.level = LOG_INFO, .format = format, .unix_ms = 1795378324123, .node = node};
    size_t size = log_render(out, &context, sentence, fields);
    assert_true(size <= LOG_LINE_MAX);
    out[size] = '\0';
    return out;
}

static void test_log__text_is_time_level_sentence_and_fields(void **state)
{
    (void) state;
    assert_string_equal(render(LOG_TEXT, NULL, "ready", FIELDS()), "2026-11-22T20:12:04.123Z INFO  ready\n");
    assert_string_equal(
        render(LOG_TEXT, "n1", "ready", FIELDS(LOGF_STR("task", "a.b"), LOGF_STR("why", "no \"way\""), LOGF_INT("n", -5))),
        "2026-11-22T20:12:04.123Z INFO  ready node=n1 task=a.b why=\"no \\\"way\\\"\" n=-5\n");
    assert_string_equal(render(LOG_TEXT, "", "x", FIELDS(LOGF_STR("k", ""))), "2026-11-22T20:12:04.123Z INFO  x k=\"\"\n");
}

static void test_log__json_is_one_object(void **state)
{
    (void) state;
    assert_string_equal(
        render(LOG_JSON, "n1", "ready", FIELDS(LOGF_STR("why", "a\"b\n"), LOGF_INT("n", 7), LOGF_ERR(GRID_EBUSY))),
        "{\"ts\":\"2026-11-22T20:12:04.123Z\",\"level\":\"info\",\"msg\":\"ready\",\"node\":\"n1\",\"why\":\"a\\\"b\\n\",\"n\":7,"
        "\"error\":\"in use\"}\n");
}

static void test_log__escapes_what_a_terminal_could_obey(void **state)
{
    (void) state;
    const struct log_field *fields = FIELDS(LOGF_SLICE("v", SLICE("\x1b[2J\xc2\x9b\xff\x7f\xc3\xa9")));
    assert_string_equal(render(LOG_TEXT, NULL, "x", fields),
                        "2026-11-22T20:12:04.123Z INFO  x v=\"\\x1b[2J\\xc2\\x9b\\xff\\x7f\xc3\xa9\"\n");
    assert_string_equal(render(LOG_JSON, NULL, "x", fields),
                        "{\"ts\":\"2026-11-22T20:12:04.123Z\",\"level\":\"info\",\"msg\":\"x\","
                        "\"v\":\"\\u001b[2J\\u009b\xef\xbf\xbd\\u007f\xc3\xa9\"}\n");
}

/* Also what turns the order of a line around, and the line ends that only Unicode knows; their neighbours stay. */
static void test_log__escapes_what_would_show_a_line_as_another(void **state)
{
    (void) state;
    const struct log_field *fields =
        FIELDS(LOGF_SLICE("v", SLICE("\xe2\x80\xae\xe2\x80\xa8\xe2\x80\x8f\xe2\x81\xa6\xe2\x80\x90\xe2\x80\xaf\xe2\x81\xaa")));
    assert_string_equal(render(LOG_TEXT, NULL, "x", fields),
                        "2026-11-22T20:12:04.123Z INFO  x "
                        "v=\"\\xe2\\x80\\xae\\xe2\\x80\\xa8\\xe2\\x80\\x8f\\xe2\\x81\\xa6\xe2\x80\x90\xe2\x80\xaf\xe2\x81\xaa\"\n");
    assert_string_equal(render(LOG_JSON, NULL, "x", fields), "{\"ts\":\"2026-11-22T20:12:04.123Z\",\"level\":\"info\",\"msg\":\"x\","
                                                             "\"v\":\"\\u202e\\u2028\\u200f\\u2066\xe2\x80\x90\xe2\x80\xaf\xe2\x81\xaa\"}\n");
}

/* Any length of value around the cap must leave a whole line, in JSON a closed object. */
static void test_log__cuts_long_lines_and_says_so(void **state)
{
    (void) state;
    static char value[LOG_LINE_MAX + 64];
    for (size_t length = LOG_LINE_MAX - 160; length < LOG_LINE_MAX + 60; length++) {
        memset(value, 'v', sizeof value);
        const struct log_field *fields =
            FIELDS(LOGF_SLICE("k", slice_of(value, length)), LOGF_INT("number", -123456), LOGF_STR("s", "a b"));
        const char *json = render(LOG_JSON, "n", "x", fields);
        bool whole = strstr(json, "\"s\":\"a b\"}\n") != NULL;
        assert_true(whole != (strstr(json, ",\"cut\":true}\n") != NULL));
        const char *text = render(LOG_TEXT, "n", "x", fields);
        assert_string_equal(text + strlen(text) - 1, "\n");
    }
    assert_non_null(strstr(render(LOG_TEXT, "n", "x", FIELDS(LOGF_SLICE("k", slice_of(value, sizeof value)))), " cut=true\n"));
}

static void test_log__writes_only_enabled_levels_in_one_write(void **state)
{
    (void) state;
    int pipes[2];
    char out[512];
    assert_int_equal(pipe2(pipes, 0), 0);
    int saved = dup(STDERR_FILENO);
    dup2(pipes[1], STDERR_FILENO);
    log_configure(LOG_WARN, LOG_TEXT, "n");
    log_line(LOG_INFO, "quiet");
    log_line(LOG_WARN, "loud", LOGF_INT("n", 1));
    dup2(saved, STDERR_FILENO);
    close(saved);
    close(pipes[1]);
    ssize_t size = read(pipes[0], out, sizeof out - 1);
    close(pipes[0]);
    assert_true(size > 0);
    out[size] = '\0';
    assert_null(strstr(out, "quiet"));
    assert_non_null(strstr(out, "Z WARN  loud node=n n=1\n"));
}

static void test_log__parses_level_names(void **state)
{
    (void) state;
    enum log_level level = LOG_DEBUG;
    assert_int_equal(log_level_parse("error", &level), 0);
    assert_int_equal(level, LOG_ERROR);
    assert_int_equal(log_level_parse("loud", &level), GRID_EINVAL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_log__text_is_time_level_sentence_and_fields),
        cmocka_unit_test(test_log__json_is_one_object),
        cmocka_unit_test(test_log__escapes_what_a_terminal_could_obey),
        cmocka_unit_test(test_log__escapes_what_would_show_a_line_as_another),
        cmocka_unit_test(test_log__cuts_long_lines_and_says_so),
        cmocka_unit_test(test_log__writes_only_enabled_levels_in_one_write),
        cmocka_unit_test(test_log__parses_level_names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
