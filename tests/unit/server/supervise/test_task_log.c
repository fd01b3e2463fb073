/* What tasks write: lines from bytes, the last ones remembered, files that stay bounded. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <sys/stat.h>
#include <unistd.h>

#include "server/supervise/log_file.h"
#include "server/supervise/task_log.h"

static void collect(void *ctx, struct slice text)
{
    struct buf *out = ctx;
    buf_append_byte(out, '[');
    buf_append(out, text);
    buf_append_byte(out, ']');
}

static void test_line_splitter__finds_lines_however_they_come(void **state)
{
    (void) state;
    static const char in[] = "one\ntwo\r\n\n\nfive\0x\nlast";
    static const char expected[] = "[one][two][][][five\0x][last]";
    for (size_t step = 1; step < sizeof in; step++) {
        struct line_splitter s = {0};
        struct buf out;
        buf_init(&out, 0);
        for (size_t at = 0; at < sizeof in - 1; at += step)
            line_splitter_feed(&s, slice_first(slice_of(in + at, sizeof in - 1 - at), step), collect, &out);
        line_splitter_finish(&s, collect, &out);
        assert_true(slice_equal(buf_slice(&out), slice_of(expected, sizeof expected - 1)));
        buf_dispose(&out);
    }
}

struct sizes {
    size_t sizes[8], count;
};

static void collect_size(void *ctx, struct slice text)
{
    struct sizes *s = ctx;
    s->sizes[s->count++] = text.size;
}

static void test_line_splitter__cuts_long_lines(void **state)
{
    (void) state;
    size_t total = 2 * TASK_LINE_MAX + 5;
    char *long_line = malloc(total + 1);
    memset(long_line, 'x', total);
    long_line[total] = '\n';
    for (size_t step = 1000; step <= total + 1; step += total + 1 - 1000) {
        struct line_splitter s = {0};
        struct sizes sizes = {.count = 0};
        for (size_t at = 0; at < total + 1; at += step)
            line_splitter_feed(&s, slice_first(slice_of(long_line + at, total + 1 - at), step), collect_size, &sizes);
        line_splitter_finish(&s, collect_size, &sizes);
        assert_int_equal(sizes.count, 3);
        assert_int_equal(sizes.sizes[0], TASK_LINE_MAX);
        assert_int_equal(sizes.sizes[1], TASK_LINE_MAX);
        assert_int_equal(sizes.sizes[2], 5);
    }
    free(long_line);
}

static void push(struct line_ring *r, int number, struct slice text)
{
    line_ring_push(r, &(struct task_line){number, "t", 0, TASK_STREAM_STDOUT, text});
}

struct seen {
    int64_t first, last;
    size_t count;
};

static void see(void *ctx, const struct task_line *line)
{
    struct seen *s = ctx;
    if (s->count++ == 0)
        s->first = line->time_ms;
    s->last = line->time_ms;
    assert_string_equal(line->task, "t");
}

static void test_line_ring__keeps_the_last_lines_within_its_bounds(void **state)
{
    (void) state;
    struct line_ring r = {0};
    for (int i = 0; i < 2500; i++)
        push(&r, i, SLICE("line"));
    struct seen s = {.count = 0};
    line_ring_last(&r, "t", 10, see, &s);
    assert_true(s.count == 10 && s.first == 2490 && s.last == 2499);
    s = (struct seen){.count = 0};
    line_ring_last(&r, "t", SIZE_MAX, see, &s);
    assert_true(s.count == LINE_RING_LINES && s.first == 1500);
    uint8_t *big = calloc(1, TASK_LINE_MAX);
    for (int i = 0; i < 100; i++)
        push(&r, i, slice_of(big, TASK_LINE_MAX));
    assert_int_equal(r.bytes, LINE_RING_BYTES);
    assert_int_equal(r.count, LINE_RING_BYTES / TASK_LINE_MAX);
    free(big);
    line_ring_dispose(&r);
    line_ring_last(&r, "t", 10, see, &s);
}

static void test_task_line__finds_the_one_that_tells(void **state)
{
    (void) state;
    static const struct {
        const char *line;
        bool tells;
    } cases[] = {
        {"Error: no such thing", true}, {"ValueError: x", true}, {"\xc3\xa9", true},      {"", false},
        {"    at Object.<anonymous> (/x.js:1:7)", false},        {"}", false},             {"Node.js v20.20.2", false},
        {"^^^^", false},                {"\tat", false},        {"Require stack:", false}, {"- /tasks/x.js", false},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        assert_int_equal(task_line_tells(slice_of_str(cases[i].line)), cases[i].tells);
}

static void test_task_line__is_fit_for_a_sentence(void **state)
{
    (void) state;
    static const struct {
        const char *in, *out;
    } cases[] = {{"plain", "plain"}, {"a\tb\x1b[1m", "a b [1m"}, {"caf\xc3\xa9", "caf\xc3\xa9"}, {"bad\xff", "bad?"},
                 {"12345678\xc3\xa9", "12345678"}, {"1234567890", "123456789"}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char out[10];
        task_line_copy(slice_of_str(cases[i].in), out, sizeof out);
        assert_string_equal(out, cases[i].out);
    }
}

static void test_log_file__is_turned_when_full(void **state)
{
    (void) state;
    assert_false(log_file_is_full(0, 1000, 10));
    assert_false(log_file_is_full(5, 5, 10));
    assert_true(log_file_is_full(5, 6, 10));
}

static void test_log_file__keeps_five_files(void **state)
{
    (void) state;
    char root[] = "/tmp/grid-log-file-XXXXXX", path[96], line[32];
    struct log_file *f;
    struct stat s;
    assert_non_null(mkdtemp(root));
    snprintf(path, sizeof path, "%s/t.0.log", root);
    assert_int_equal(log_file_open(path, 10, &f), 0);
    for (int i = 0; i < 12; i++) {
        snprintf(line, sizeof line, "line-%02d", i);
        assert_int_equal(log_file_write(f, slice_of_str(line)), 0);
    }
    log_file_close(f);
    assert_int_equal(log_file_open(path, 10, &f), 0);
    assert_int_equal(log_file_write(f, SLICE("again")), 0);
    log_file_close(f);
    for (int i = 0; i < 6; i++) {
        snprintf(path, sizeof path, i ? "%s/t.0.log.%d" : "%s/t.0.log", root, i);
        assert_int_equal(stat(path, &s), i < 5 ? 0 : -1);
        if (i < 5) {
            assert_int_equal(s.st_size, i == 0 ? 6 : 8);
            assert_int_equal(s.st_mode & 0777, 0600);
            unlink(path);
        }
    }
    assert_int_equal(rmdir(root), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_line_splitter__finds_lines_however_they_come),
        cmocka_unit_test(test_line_splitter__cuts_long_lines),
        cmocka_unit_test(test_line_ring__keeps_the_last_lines_within_its_bounds),
        cmocka_unit_test(test_task_line__finds_the_one_that_tells),
        cmocka_unit_test(test_task_line__is_fit_for_a_sentence),
        cmocka_unit_test(test_log_file__is_turned_when_full),
        cmocka_unit_test(test_log_file__keeps_five_files),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
