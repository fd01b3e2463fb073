/* Lines on their way to their files: in order, all of them while there is room, and never at the loop's cost. */
#include "tests/unit/fs/tree.h"
#include "tests/unit/net/pump.h"

#include "base/log.h"
#include "server/supervise/log_file.h"
#include "server/supervise/log_writer.h"

struct fixture {
    char *folder;
    struct loop *loop;
    struct log_writer *writer;
    volatile int closed;
};

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);
    log_configure(LOG_ERROR, LOG_TEXT, NULL);
    f->folder = tree_make();
    assert_int_equal(loop_create(&f->loop), 0);
    assert_int_equal(log_writer_create(f->loop, 4096, &f->writer), 0);
    *state = f;
    return 0;
}

static void on_closed(void *ctx)
{
    ((struct fixture *) ctx)->closed = 1;
}

static void close_writer(struct fixture *f)
{
    log_writer_close(f->writer, on_closed, f);
    PUMP(f->loop, f->closed, 1);
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    loop_destroy(f->loop);
    tree_remove(f->folder);
    free(f);
    return 0;
}

static struct log_sink *open_sink(struct fixture *f, const char *name)
{
    struct log_sink *s = log_sink_create(f->writer, tree_path(f->folder, name), LOG_FILE_BYTES);
    assert_non_null(s);
    return s;
}

static void write_number(struct log_sink *s, unsigned number)
{
    char line[16];
    snprintf(line, sizeof line, "line %u", number);
    log_sink_write(s, slice_of_str(line));
}

static void expect_file(struct fixture *f, const char *name, const char *text)
{
    struct buf got;
    buf_init(&got, 0);
    tree_read(tree_path(f->folder, name), &got);
    assert_string_equal(buf_cstr(&got), text);
    buf_dispose(&got);
}

static void test_log_writer__writes_all_that_waits_before_it_closes(void **state)
{
    struct fixture *f = *state;
    struct log_sink *a = open_sink(f, "a"), *b = open_sink(f, "b");
    for (unsigned i = 0; i < 3; i++) {
        write_number(a, i);
        write_number(b, 10 + i);
    }
    log_sink_close(a);
    log_sink_close(b);
    close_writer(f);
    expect_file(f, "a", "line 0\nline 1\nline 2\n");
    expect_file(f, "b", "line 10\nline 11\nline 12\n");
}

static void test_log_writer__a_file_closed_and_opened_again_keeps_its_order(void **state)
{
    struct fixture *f = *state;
    for (unsigned i = 0; i < 4; i++) {
        struct log_sink *s = open_sink(f, "a");
        write_number(s, i);
        log_sink_close(s);
    }
    close_writer(f);
    expect_file(f, "a", "line 0\nline 1\nline 2\nline 3\n");
}

static void test_log_writer__a_file_that_cannot_be_made_loses_only_lines(void **state)
{
    struct fixture *f = *state;
    struct log_sink *s = open_sink(f, "absent/a");
    write_number(s, 1);
    log_sink_close(s);
    close_writer(f);
}

/* Takes what the pipe gives for a moment; true when it has given `until`. */
static bool read_pipe(struct fixture *f, int fd, struct buf *out, const char *until)
{
    uint64_t end_ms = loop_clock_ms() + 100;
    uint8_t block[4096];
    do {
        ssize_t got = read(fd, block, sizeof block);
        if (got > 0)
            assert_int_equal(buf_append(out, slice_of(block, (size_t) got)), 0);
        uv_run(loop_uv(f->loop), UV_RUN_NOWAIT);
    } while (!strstr(buf_cstr(out), until) && loop_clock_ms() < end_ms);
    return strstr(buf_cstr(out), until) != NULL;
}

/* Writes lines from `number` on until one of them arrives; the number after it. */
static unsigned write_until_heard(struct fixture *f, struct log_sink *s, unsigned number, int fd, struct buf *out)
{
    uint64_t end_ms = loop_clock_ms() + PUMP_DEADLINE_MS;
    char text[24];
    do {
        snprintf(text, sizeof text, "line %u\n", number);
        write_number(s, number++);
    } while (!read_pipe(f, fd, out, text) && loop_clock_ms() < end_ms);
    return number;
}

/* Every line is the next one, but for the gap, which says how many it stands for. */
static void expect_counted(const char *text, unsigned count)
{
    unsigned next = 0, number, gaps = 0;
    for (const char *line = text; *line; line = strchr(line, '\n') + 1) {
        if (sscanf(line, "... %u lines were dropped here", &number) == 1) {
            next += number;
            gaps++;
            continue;
        }
        assert_int_equal(sscanf(line, "line %u", &number), 1);
        assert_int_equal(number, next++);
    }
    assert_int_equal(next, count);
    assert_true(gaps > 0);
}

/* A pipe that nobody reads yet is a disk that stands still: the pool waits in open(). */
static void test_log_writer__a_disk_that_stands_still_costs_lines_and_no_time(void **state)
{
    struct fixture *f = *state;
    struct buf got;
    buf_init(&got, 0);
    assert_int_equal(mkfifo(tree_path(f->folder, "a"), 0600), 0);
    struct log_sink *s = open_sink(f, "a");
    for (unsigned i = 0; i < 1000; i++) {
        write_number(s, i);
        uv_run(loop_uv(f->loop), UV_RUN_NOWAIT);
    }
    int fd = open(tree_path(f->folder, "a"), O_RDONLY | O_NONBLOCK | O_CLOEXEC);
    assert_true(fd >= 0);
    unsigned count = write_until_heard(f, s, 1000, fd, &got);
    expect_counted(buf_cstr(&got), count);
    log_sink_close(s);
    close_writer(f);
    close(fd);
    buf_dispose(&got);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_log_writer__writes_all_that_waits_before_it_closes, setup, teardown),
        cmocka_unit_test_setup_teardown(test_log_writer__a_file_closed_and_opened_again_keeps_its_order, setup, teardown),
        cmocka_unit_test_setup_teardown(test_log_writer__a_file_that_cannot_be_made_loses_only_lines, setup, teardown),
        cmocka_unit_test_setup_teardown(test_log_writer__a_disk_that_stands_still_costs_lines_and_no_time, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
