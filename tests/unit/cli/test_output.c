/* What people see: tables, spans, sizes, harmless text, JSON, log lines, progress. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>

#include "base/arena.h"
#include "base/json.h"
#include "cli/broadcast.h"
#include "cli/call.h"
#include "cli/cli.h"
#include "cli/dev_merge.h"
#include "cli/log_line.h"
#include "cli/pb_json.h"
#include "cli/progress.h"
#include "cli/table.h"
#include "cli/text.h"

static void test_table__aligns_and_leaves_no_blanks_at_line_ends(void **state)
{
    static const struct table_column COLUMNS[] = {{"NAME", false}, {"N", true}, {"LAST", false}};
    struct arena *arena = arena_create(1024, 0);
    struct table t;
    struct buf out;
    (void) state;
    buf_init(&out, 0);
    table_init(&t, COLUMNS, 3, arena);
    table_add_str(&t, "a");
    table_addf(&t, "%d", 1234);
    table_add_str(&t, "x");
    table_add_str(&t, "l\xc3\xa4nger");
    table_addf(&t, "%d", 5);
    table_add_str(&t, "");
    assert_int_equal(table_render(&t, false, &out), 0);
    assert_string_equal(buf_cstr(&out), "NAME       N  LAST\na       1234  x\nl\xc3\xa4nger     5  -\n");
    buf_dispose(&out);
    arena_destroy(arena);
}

static void test_table__escapes_what_would_move_the_cursor(void **state)
{
    static const struct table_column COLUMNS[] = {{"A", false}};
    struct arena *arena = arena_create(1024, 0);
    struct table t;
    struct buf out;
    (void) state;
    buf_init(&out, 0);
    table_init(&t, COLUMNS, 1, arena);
    table_add_str(&t, "\x1b[2J\n");
    assert_int_equal(table_render(&t, true, &out), 0);
    assert_string_equal(buf_cstr(&out), "\x1b[1mA\x1b[0m\n\\x1b[2J\\x0a\n");
    buf_dispose(&out);
    arena_destroy(arena);
}

static void test_table__holds_many_rows(void **state)
{
    static const struct table_column COLUMNS[] = {{"A", true}, {"B", true}};
    struct arena *arena = arena_create(1024, 0);
    struct table t;
    struct buf out;
    (void) state;
    buf_init(&out, 0);
    table_init(&t, COLUMNS, 2, arena);
    for (int i = 0; i < 1000; i++)
        table_addf(&t, "%d", i);
    assert_int_equal(table_render(&t, false, &out), 0);
    assert_non_null(strstr(buf_cstr(&out), "\n998  999\n"));
    buf_dispose(&out);
    arena_destroy(arena);
}

static void test_text__says_spans_sizes_and_times(void **state)
{
    static const struct {
        int64_t ms;
        const char *text;
    } AGES[] = {{-1, "-"}, {0, "0s"}, {59999, "59s"}, {192000, "3m 12s"}, {14520000, "4h 2m"}, {1047600000, "12d 3h"}};
    static const struct {
        uint64_t bytes;
        const char *text;
    } SIZES[] = {{0, "0 B"}, {1023, "1023 B"}, {1024, "1.0 KiB"}, {1048575, "1.0 MiB"}, {1258291, "1.2 MiB"}, {UINT64_MAX, "16.0 EiB"}};
    char text[TEXT_SHORT_MAX];
    (void) state;
    for (size_t i = 0; i < sizeof AGES / sizeof *AGES; i++) {
        text_age(AGES[i].ms, text);
        assert_string_equal(text, AGES[i].text);
    }
    for (size_t i = 0; i < sizeof SIZES / sizeof *SIZES; i++) {
        text_bytes(SIZES[i].bytes, text);
        assert_string_equal(text, SIZES[i].text);
    }
    text_time(1795378324123, text);
    assert_string_equal(text, "2026-11-22 20:12:04");
    text_clock(1795378324123, text);
    assert_string_equal(text, "20:12:04.123");
    text_moment(1795378324123, text);
    assert_string_equal(text, "2026-11-22 20:12:04.123");
    text_moment(0, text);
    assert_string_equal(text, "-");
    text_time(0, text);
    assert_string_equal(text, "-");
    text_time(INT64_MAX, text);
}

static void check_line(const char *input, size_t size, const char *wanted)
{
    struct buf out;
    buf_init(&out, 0);
    assert_int_equal(text_append_line(&out, slice_of(input, size)), 0);
    assert_string_equal(buf_cstr(&out), wanted);
    buf_dispose(&out);
}

static void test_text__makes_control_characters_harmless(void **state)
{
    (void) state;
    check_line("plain \xc3\xa4 \xe2\x82\xac", 12, "plain \xc3\xa4 \xe2\x82\xac");
    check_line("\x1b]0;t\x07", 6, "\\x1b]0;t\\x07");
    check_line("a\0b", 3, "a\\x00b");
    check_line("\xc2\x9b", 2, "\\x9b");
    check_line("\xe2\x80\xae", 3, "\\u202e");
    check_line("\xff\xc3", 2, "\\xff\\xc3");
}

static void test_text__names_the_node_in_commands_when_it_was_named(void **state)
{
    static const struct {
        const char *text, *api, *shown;
    } CASES[] = {
        {"\"grid logs a\" tells, \"grid rollback\" too", "127.0.0.1:1", "\"grid --api 127.0.0.1:1 logs a\" tells, \"grid --api 127.0.0.1:1 rollback\" too"},
        {"\"grid logs a\" tells", NULL, "\"grid logs a\" tells"},
        {"the grid is up, \"grid", "x:1", "the grid is up, \"grid"},
    };
    (void) state;
    for (size_t i = 0; i < sizeof CASES / sizeof *CASES; i++) {
        struct buf out;
        buf_init(&out, 0);
        assert_int_equal(text_append_hint(&out, slice_of_str(CASES[i].text), CASES[i].api), 0);
        assert_true(slice_equal_str(buf_slice(&out), CASES[i].shown));
        buf_dispose(&out);
    }
}

static void test_merge__names_the_source_of_every_line(void **state)
{
    struct merge m;
    struct buf out;
    (void) state;
    buf_init(&out, 0);
    merge_init(&m, "node1", 0, MERGE_PLAIN);
    merge_feed(&m, SLICE("one\ntw"), &out);
    assert_string_equal(buf_cstr(&out), "node1  | one\n");
    merge_feed(&m, SLICE("o\r\n\nrest"), &out);
    merge_flush(&m, &out);
    merge_flush(&m, &out);
    assert_string_equal(buf_cstr(&out), "node1  | one\nnode1  | two\nnode1  | \nnode1  | rest\n");
    merge_dispose(&m);
    buf_dispose(&out);
}

static void shout(void *ctx, const struct merge *m, struct slice line, struct buf *out)
{
    buf_append_str(out, ctx);
    merge_append(m, line, out);
}

static void test_merge__gives_whole_lines_to_who_takes_them(void **state)
{
    (void) state;
    struct merge m;
    struct buf out;
    char mark[] = "!";
    buf_init(&out, 0);
    merge_init(&m, "node1", 0, MERGE_PLAIN);
    m.on_line = shout;
    m.ctx = mark;
    merge_feed(&m, SLICE("one\nt"), &out);
    merge_feed(&m, SLICE("wo\nthree"), &out);
    merge_flush(&m, &out);
    assert_true(slice_equal_str(buf_slice(&out), "!node1  | one\n!node1  | two\n!node1  | three\n"));
    buf_dispose(&out);
    merge_dispose(&m);
}

static void test_merge__colours_names_and_escapes_text_on_terminals(void **state)
{
    struct merge a, b;
    struct buf out;
    (void) state;
    buf_init(&out, 0);
    merge_init(&a, "node1", 0, MERGE_COLOUR);
    merge_init(&b, "node2", 1, MERGE_TERMINAL);
    merge_feed(&a, SLICE("\x1b[2Jx\n"), &out);
    merge_feed(&b, SLICE("\x1b[2Jy\n"), &out);
    assert_string_equal(buf_cstr(&out), "\x1b[36mnode1  |\x1b[0m \\x1b[2Jx\nnode2  | \\x1b[2Jy\n");
    merge_dispose(&a);
    merge_dispose(&b);
    buf_dispose(&out);
}

static void test_merge__cuts_a_line_that_never_ends(void **state)
{
    struct merge m;
    struct buf out;
    static char many[MERGE_LINE_MAX];
    (void) state;
    memset(many, 'x', sizeof many);
    buf_init(&out, 0);
    merge_init(&m, "n", 0, MERGE_PLAIN);
    for (int i = 0; i < 3; i++)
        merge_feed(&m, slice_of(many, sizeof many), &out);
    merge_feed(&m, SLICE("\n"), &out);
    assert_int_equal(out.size, MERGE_LINE_MAX + strlen("n      | \n"));
    merge_dispose(&m);
    buf_dispose(&out);
}

static void test_pb_json__writes_every_kind_of_field(void **state)
{
    Grid__V1__ReleaseConfig config = GRID__V1__RELEASE_CONFIG__INIT;
    Grid__V1__StringPair pair = GRID__V1__STRING_PAIR__INIT, *pairs[] = {&pair};
    Grid__V1__DeployRequest request = GRID__V1__DEPLOY_REQUEST__INIT;
    struct json_writer w;
    struct buf out;
    (void) state;
    buf_init(&out, 0);
    pair.key = pb_str("A");
    pair.value = pb_str("1,\"2\"");
    config.task_folder = pb_str("tasks");
    config.instances = 2;
    config.env = pairs;
    config.n_env = 1;
    request.directory = pb_str("/p");
    request.config = &config;
    json_writer_init(&w, &out);
    pb_json_write(&w, &request.base);
    assert_int_equal(json_writer_finish(&w), 0);
    assert_string_equal(buf_cstr(&out), "{\"directory\":\"/p\",\"config\":{\"task_folder\":\"tasks\",\"instances\":2,"
                                        "\"env\":{\"A\":\"1,\\\"2\\\"\"},\"json_conf\":\"\"},\"wait_ms\":0,\"watch_tasks\":false}");
    buf_dispose(&out);
}

static void test_log_line__colours_streams(void **state)
{
    Grid__V1__LogLine line = GRID__V1__LOG_LINE__INIT;
    struct buf out;
    (void) state;
    buf_init(&out, 0);
    line.time_ms = 1795378324123;
    line.task = pb_str("hello");
    line.stream = pb_str("stderr");
    line.text = pb_str("a\tb");
    log_line_append(&out, &line, LOG_STYLE_RAW, false);
    assert_string_equal(buf_cstr(&out), "2026-11-22 20:12:04.123 hello.0  a\tb\n");
    buf_clear(&out);
    line.node = pb_str("n\n1");
    log_line_append(&out, &line, LOG_STYLE_RAW, true);
    assert_string_equal(buf_cstr(&out), "2026-11-22 20:12:04.123 n\\x0a1 hello.0  a\tb\n");
    buf_clear(&out);
    log_line_append(&out, &line, LOG_STYLE_COLOUR, false);
    assert_string_equal(buf_cstr(&out), "\x1b[2m2026-11-22 20:12:04.123\x1b[0m hello.0  \x1b[31ma\\x09b\x1b[0m\n");
    buf_dispose(&out);
}

static void take(struct progress *p, const char *phase, const char *node, bool live)
{
    Grid__V1__DeployProgress report = GRID__V1__DEPLOY_PROGRESS__INIT;
    report.phase = pb_str(phase);
    report.node = pb_str(node);
    report.live = live;
    report.bytes_fetched = live ? 1536 : 0;
    report.root = pb_str("0123456789abcdef");
    report.files_total = 3;
    report.bytes_total = 2048;
    report.sequence = 7;
    report.nodes_live = 1;
    report.nodes_total = 2;
    report.message = pb_str(phase);
    ProtobufCBinaryData failed[] = {pb_str("mail"), pb_str("resize")};
    report.tasks_failed = failed;
    report.n_tasks_failed = strcmp(phase, "done") == 0 ? 2 : 0;
    assert_int_equal(progress_take(p, &report), 0);
}

static void test_log_line__is_read_as_it_is_written(void **state)
{
    (void) state;
    static const char *const NONE[] = {"", "grid: no node reachable", "1", "{}", "{\"time_ms\":1,\"instance\":0,\"task\":\"a\",\"stream\":\"stdout\"}",
                                       "{\"time_ms\":1,\"instance\":-1,\"task\":\"a\",\"stream\":\"\",\"text\":\"\"}"};
    struct arena *arena = arena_create(4096, 0);
    Grid__V1__LogLine line = GRID__V1__LOG_LINE__INIT, read;
    struct json_writer w;
    struct buf json;
    buf_init(&json, 0);
    line.time_ms = 1700000000123;
    line.task = pb_str("hello");
    line.instance = 3;
    line.stream = pb_str("stderr");
    line.text = pb_str("a \"b\"\t\x1b");
    json_writer_init(&w, &json);
    pb_json_write(&w, &line.base);
    assert_int_equal(json_writer_finish(&w), 0);
    assert_true(log_line_parse(buf_slice(&json), arena, &read));
    assert_int_equal(read.time_ms, line.time_ms);
    assert_int_equal(read.instance, 3);
    assert_true(slice_equal(pb_slice(read.task), pb_slice(line.task)));
    assert_true(slice_equal(pb_slice(read.stream), pb_slice(line.stream)));
    assert_true(slice_equal(pb_slice(read.text), pb_slice(line.text)));
    for (size_t i = 0; i < sizeof NONE / sizeof *NONE; i++)
        assert_false(log_line_parse(slice_of_str(NONE[i]), arena, &read));
    buf_dispose(&json);
    arena_destroy(arena);
}

static void test_progress__names_the_nodes_that_lag(void **state)
{
    struct progress p;
    struct buf out;
    (void) state;
    buf_init(&out, 0);
    assert_int_equal(progress_init(&p), 0);
    take(&p, "scan", "", false);
    take(&p, "node", "node1", false);
    take(&p, "node", "node2", false);
    take(&p, "node", "node1", true);
    take(&p, "warning", "", false);
    take(&p, "done", "", false);
    assert_true(p.is_done);
    progress_append_waiting(&p, &out);
    assert_string_equal(buf_cstr(&out), "node2");
    buf_clear(&out);
    progress_append_failed(&p, &out);
    assert_string_equal(buf_cstr(&out), "mail, resize");
    buf_clear(&out);
    progress_append_summary(&p, &out);
    assert_string_equal(buf_cstr(&out), "release 01234567 (number 7) is live on 1 of 2 nodes: 3 files, 2.0 KiB, 1.5 KiB fetched by 1 node\n");
    buf_clear(&out);
    progress_append_json(&p, &out);
    assert_string_equal(buf_cstr(&out), "{\"root\":\"0123456789abcdef\",\"sequence\":7,\"files\":3,\"size_bytes\":2048,\"saved_bytes\":0,"
                                        "\"nodes_live\":1,\"nodes_total\":2,\"live\":[\"node1\"],\"waiting\":[\"node2\"],\"fetched_bytes\":{\"node1\":1536,\"node2\":0},\"tasks_failed\":[\"mail\",\"resize\"],\"warnings\":[\"warning\"]}\n");
    progress_dispose(&p);
    buf_dispose(&out);
}

static void take_state(struct progress *p, const char *node, const char *state)
{
    Grid__V1__DeployProgress report = GRID__V1__DEPLOY_PROGRESS__INIT;
    report.phase = pb_str("node");
    report.node = pb_str(node);
    report.state = pb_str(state);
    report.live = strcmp(state, "live") == 0;
    assert_int_equal(progress_take(p, &report), 0);
}

static void expect_lines(const struct progress *p, size_t columns, size_t count, const char *expected)
{
    struct buf out;
    buf_init(&out, 0);
    assert_int_equal(progress_append_lines(p, columns, &out), count);
    assert_string_equal(count ? buf_cstr(&out) : "", expected);
    buf_dispose(&out);
}

static void test_progress__shows_the_store_and_the_nodes_that_are_not_live_yet(void **state)
{
    Grid__V1__DeployProgress report = GRID__V1__DEPLOY_PROGRESS__INIT;
    struct progress p;
    (void) state;
    assert_int_equal(progress_init(&p), 0);
    expect_lines(&p, 80, 0, "");
    report.phase = pb_str("store");
    report.files_done = 1;
    report.files_total = 2;
    report.bytes_done = 512;
    report.bytes_total = 1024;
    assert_int_equal(progress_take(&p, &report), 0);
    expect_lines(&p, 80, 1, "store     [############------------]  1/2 files  512 B, 0 B of it already there\n");
    take_state(&p, "node1", "live");
    take_state(&p, "node2", "fetching");
    take_state(&p, "n\x1b" "3", "starting");
    take_state(&p, "node4", "fetching");
    take_state(&p, "node4", "gone");
    p.nodes[2].bytes_fetched = 1048576;
    expect_lines(&p, 46, 4, "store     [############------------]  1/2 file\n"
                            "live      [########----------------]  1 of 3 n\n"
                            "node2     fetching\n"
                            "n\\x1b3       starting its tasks, 1.0 MiB fetch\n");
    p.nodes[1].bytes_fetched = 3072;
    p.nodes[1].bytes_wanted = 1024;
    expect_lines(&p, 80, 4, "store     [############------------]  1/2 files  512 B, 0 B of it already there\n"
                            "live      [########----------------]  1 of 3 nodes\n"
                            "node2     [##################------]  fetching, 3.0 KiB of 4.0 KiB\n"
                            "n\\x1b3       starting its tasks, 1.0 MiB fetched\n");
    progress_dispose(&p);
}

static void test_progress__shows_some_of_many_nodes(void **state)
{
    struct progress p;
    struct buf out;
    char name[16];
    (void) state;
    buf_init(&out, 0);
    assert_int_equal(progress_init(&p), 0);
    for (int i = 0; i < 100; i++) {
        snprintf(name, sizeof name, "n%d", i);
        take_state(&p, name, "fetching");
    }
    size_t lines = progress_append_lines(&p, 80, &out);
    assert_true(lines <= PROGRESS_LINES_MAX);
    assert_non_null(strstr(buf_cstr(&out), "\nand 85 more\n"));
    progress_dispose(&p);
    buf_dispose(&out);
}

static void test_broadcast__is_a_line_for_each_node(void **state)
{
    struct grid_task_error error = {"E", "bad\nnews", NULL, 0};
    struct grid_result good = {.output = "{\"a\": 1e2}", .output_size = 10, .output_is_json = true, .node = "node1", .request_id = "r", .status = 200};
    struct grid_result bad = {.output = "", .node = "node2", .request_id = "s", .status = 500, .task_error = &error};
    struct buf out;
    (void) state;
    buf_init(&out, 0);
    broadcast_write_line(&good, &out);
    broadcast_write_line(&bad, &out);
    assert_string_equal(buf_cstr(&out), "node1  {\"a\": 1e2}\nnode2  failed: bad\\x0anews\n");
    buf_clear(&out);
    broadcast_write_json(&good, &out);
    assert_string_equal(buf_cstr(&out), "{\"node\":\"node1\",\"status\":200,\"request_id\":\"r\",\"output\":{\"a\": 1e2},\"error\":null}\n");
    buf_dispose(&out);
}

static void test_call__sends_json_as_json_and_the_rest_as_bytes(void **state)
{
    const char *type;
    (void) state;
    assert_int_equal(call_classify(SLICE(" {\"a\":1} "), false, &type).kind, GRID_INPUT_JSON);
    assert_null(type);
    assert_int_equal(call_classify(SLICE("hello you"), false, &type).kind, GRID_INPUT_BYTES);
    assert_string_equal(type, "text/plain; charset=utf-8");
    assert_int_equal(call_classify(SLICE("\xff"), false, &type).kind, GRID_INPUT_BYTES);
    assert_null(type);
    assert_int_equal(call_classify(SLICE("1"), true, &type).kind, GRID_INPUT_BYTES);
}

static void test_env__is_a_name_and_a_value(void **state)
{
    struct slice name, value;
    (void) state;
    assert_true(cli_env_split("A_1=x=y", &name, &value));
    assert_true(slice_equal_str(name, "A_1"));
    assert_true(slice_equal_str(value, "x=y"));
    assert_true(cli_env_split("A=", &name, &value));
    assert_false(cli_env_split("A", &name, &value));
    assert_false(cli_env_split("=1", &name, &value));
    assert_false(cli_env_split("1A=1", &name, &value));
    assert_false(cli_env_split("A-B=1", &name, &value));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_table__aligns_and_leaves_no_blanks_at_line_ends),
        cmocka_unit_test(test_table__escapes_what_would_move_the_cursor),
        cmocka_unit_test(test_table__holds_many_rows),
        cmocka_unit_test(test_text__says_spans_sizes_and_times),
        cmocka_unit_test(test_text__makes_control_characters_harmless),
        cmocka_unit_test(test_text__names_the_node_in_commands_when_it_was_named),
        cmocka_unit_test(test_merge__names_the_source_of_every_line),
        cmocka_unit_test(test_merge__gives_whole_lines_to_who_takes_them),
        cmocka_unit_test(test_merge__colours_names_and_escapes_text_on_terminals),
        cmocka_unit_test(test_merge__cuts_a_line_that_never_ends),
        cmocka_unit_test(test_pb_json__writes_every_kind_of_field),
        cmocka_unit_test(test_log_line__colours_streams),
        cmocka_unit_test(test_log_line__is_read_as_it_is_written),
        cmocka_unit_test(test_progress__names_the_nodes_that_lag),
        cmocka_unit_test(test_progress__shows_the_store_and_the_nodes_that_are_not_live_yet),
        cmocka_unit_test(test_progress__shows_some_of_many_nodes),
        cmocka_unit_test(test_broadcast__is_a_line_for_each_node),
        cmocka_unit_test(test_call__sends_json_as_json_and_the_rest_as_bytes),
        cmocka_unit_test(test_env__is_a_name_and_a_value),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
