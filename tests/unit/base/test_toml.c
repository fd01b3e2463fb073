/* The Gridfile's TOML: the same meaning as Python's reader gives (toml_corpus), and errors that say where and what. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <glob.h>

#include <cmocka.h>

#include "base/err.h"
#include "base/json.h"
#include "base/toml.h"
#include "tests/toml_json.h"

#define CORPUS "tests/unit/base/toml_corpus/"

static void read_file(const char *path, struct buf *out)
{
    char chunk[4096];
    size_t got;
    FILE *file = fopen(path, "rb");
    assert_non_null(file);
    while ((got = fread(chunk, 1, sizeof chunk, file)) > 0)
        assert_int_equal(buf_append(out, slice_of(chunk, got)), 0);
    fclose(file);
}

static int compare_lines(const void *a, const void *b)
{
    return strcmp(*(char *const *) a, *(char *const *) b);
}

/* "table|key|value as JSON" for each entry, sorted, as oracle.py writes it. */
static void describe(const struct toml_document *document, struct arena *arena, struct buf *out)
{
    char **lines = arena_calloc(arena, document->count + 1, sizeof *lines);
    size_t count = 0;
    for (const struct toml_entry *entry = document->first; entry; entry = entry->next) {
        struct buf json;
        struct json_writer w;
        buf_init(&json, 0);
        json_writer_init(&w, &json);
        toml_json_write(&w, &entry->value);
        lines[count++] = arena_printf(arena, "%.*s|%.*s|%s\n", SLICE_FMT(entry->table), SLICE_FMT(entry->key), buf_cstr(&json));
        buf_dispose(&json);
    }
    assert_int_equal(count, document->count);
    qsort(lines, count, sizeof *lines, compare_lines);
    for (size_t i = 0; i < count; i++)
        buf_append_str(out, lines[i]);
}

static void check_corpus_file(const char *path)
{
    struct buf text, expected, got;
    struct toml_document document;
    struct toml_error error;
    struct arena *arena = arena_create(4096, 0);
    buf_init(&text, 0);
    buf_init(&expected, 0);
    buf_init(&got, 0);
    read_file(path, &text);
    const char *expected_path = arena_printf(arena, "%.*s.expected", (int) (strlen(path) - strlen(".toml")), path);
    read_file(expected_path, &expected);
    assert_int_equal(toml_parse(buf_slice(&text), arena, &document, &error), 0);
    describe(&document, arena, &got);
    assert_string_equal(buf_cstr(&got), buf_cstr(&expected));
    buf_dispose(&text);
    buf_dispose(&expected);
    buf_dispose(&got);
    arena_destroy(arena);
}

static void test_toml__reads_the_corpus_as_python_does(void **state)
{
    (void) state;
    glob_t found;
    assert_int_equal(glob(CORPUS "*.toml", 0, NULL, &found), 0);
    assert_true(found.gl_pathc >= 8);
    for (size_t i = 0; i < found.gl_pathc; i++)
        check_corpus_file(found.gl_pathv[i]);
    globfree(&found);
}

static void test_toml__finds_entries_and_their_lines(void **state)
{
    (void) state;
    struct toml_document document;
    struct toml_error error;
    struct arena *arena = arena_create(1024, 0);
    assert_int_equal(toml_parse(SLICE("a = 1\n\n[t.u]\nb = \"\"\"x\ny\"\"\"\nc = true\n"), arena, &document, &error), 0);
    assert_int_equal(toml_find(&document, "", "a")->line, 1);
    assert_int_equal(toml_find(&document, "t.u", "b")->line, 4);
    assert_int_equal(toml_find(&document, "t.u", "c")->line, 6);
    assert_null(toml_find(&document, "t", "b"));
    arena_destroy(arena);
}

static void test_toml__errors_say_where_and_what(void **state)
{
    (void) state;
    static const struct {
        struct slice text;
        unsigned line, column;
        const char *message;
    } cases[] = {
        {SLICE_INIT("a"), 1, 2, "expected \"=\" after the key"},
        {SLICE_INIT("a 1"), 1, 3, "expected \"=\" after the key"},
        {SLICE_INIT("= 1"), 1, 1, "expected a key"},
        {SLICE_INIT("a. = 1"), 1, 4, "expected a key"},
        {SLICE_INIT("a ="), 1, 4, "expected a value"},
        {SLICE_INIT("a = \n"), 1, 5, "expected a value"},
        {SLICE_INIT("a = yes"), 1, 5, "expected a value"},
        {SLICE_INIT("a = 1.5"), 1, 5, "expected a value"},
        {SLICE_INIT("a = 2026-01-01"), 1, 5, "expected a value"},
        {SLICE_INIT("a = 01"), 1, 5, "expected a value"},
        {SLICE_INIT("a = 1__0"), 1, 5, "expected a value"},
        {SLICE_INIT("a = 1_"), 1, 5, "expected a value"},
        {SLICE_INIT("a = -0x1"), 1, 5, "expected a value"},
        {SLICE_INIT("a = 0o8"), 1, 5, "expected a value"},
        {SLICE_INIT("a = 9223372036854775808"), 1, 5, "fits 64 bits"},
        {SLICE_INIT("a = {b = 1}"), 1, 5, "inline table"},
        {SLICE_INIT("a = 1 b = 2"), 1, 7, "expected the end of the line"},
        {SLICE_INIT("x = 1\n  b = \"\xc3\xa9\" c"), 2, 11, "expected the end of the line"},
        {SLICE_INIT("a = \"x"), 1, 7, "closing quote"},
        {SLICE_INIT("a = \"x\ny\""), 1, 7, "closing quote"},
        {SLICE_INIT("a = '''x\ny''"), 2, 4, "three closing quotes"},
        {SLICE_INIT("a = \"\\q\""), 1, 7, "after a backslash"},
        {SLICE_INIT("a = \"\\u12\""), 1, 10, "four hexadecimal digits"},
        {SLICE_INIT("a = \"\\U0011000\""), 1, 15, "eight hexadecimal digits"},
        {SLICE_INIT("a = \"\\ud800\""), 1, 12, "Unicode"},
        {SLICE_INIT("a = \"\x01\""), 1, 6, "control characters"},
        {SLICE_INIT("# \x7f"), 1, 3, "control characters"},
        {SLICE_INIT("a = 1\n# \xff"), 2, 3, "UTF-8"},
        {SLICE_INIT("a = [1 2]"), 1, 8, "\",\" or \"]\""},
        {SLICE_INIT("a = [1,\n,2]"), 2, 1, "expected a value"},
        {SLICE_INIT("a = [1"), 1, 7, "\",\" or \"]\""},
        {SLICE_INIT("[a"), 1, 3, "\"]\" after the table's name"},
        {SLICE_INIT("[]"), 1, 2, "expected a key"},
        {SLICE_INIT("[[a]]"), 1, 1 + 2, "arrays of tables"},
        {SLICE_INIT("[a] x"), 1, 5, "expected the end of the line"},
        {SLICE_INIT("a = 1\nb = 2\na = 3"), 3, 3, "\"a\" is given a second time; the first is on line 1"},
        {SLICE_INIT("[a]\n[b]\n[a]"), 3, 3, "\"a\" is given a second time; the first is on line 1"},
        {SLICE_INIT("a = 1\n[a]"), 2, 3, "second time"},
        {SLICE_INIT("a = 1\n[a.b]"), 2, 5, "second time"},
        {SLICE_INIT("a.b = 1\n[a]"), 2, 3, "second time"},
        {SLICE_INIT("a = 1\na.b = 2"), 2, 5, "second time"},
        {SLICE_INIT("[a.b]\n[a]\nb.c = 1"), 3, 5, "second time"},
        {SLICE_INIT("\"a\" = 1\na = 2"), 2, 3, "second time"},
        {SLICE_INIT("a\0b = 1"), 1, 2, "expected \"=\""},
    };
    struct arena *arena = arena_create(1024, 0);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct toml_document document;
        struct toml_error error;
        assert_int_equal(toml_parse(cases[i].text, arena, &document, &error), GRID_EPROTO);
        if (!strstr(error.message, cases[i].message) || error.line != cases[i].line || error.column != cases[i].column)
            fail_msg("%.*s: %u:%u %s", SLICE_FMT(cases[i].text), error.line, error.column, error.message);
    }
    arena_destroy(arena);
}

typedef void append_piece(struct buf *text, int i);

static int parse_repeated(const char *head, append_piece *append, int times)
{
    struct buf text;
    struct toml_document document;
    struct toml_error error;
    struct arena *arena = arena_create(1024, 0);
    buf_init(&text, 0);
    buf_append_str(&text, head);
    for (int i = 0; i < times; i++)
        append(&text, i);
    int err = toml_parse(buf_slice(&text), arena, &document, &error);
    assert_true(err == 0 || error.message[0]);
    buf_dispose(&text);
    arena_destroy(arena);
    return err;
}

static void append_key(struct buf *text, int i)
{
    buf_printf(text, "k%d = 1\n", i);
}

static void append_part(struct buf *text, int i)
{
    buf_printf(text, ".k%d", i);
}

static void append_bracket(struct buf *text, int i)
{
    (void) i;
    buf_append_str(text, "[");
}

static void append_kibibyte(struct buf *text, int i)
{
    buf_printf(text, "#%1022d\n", i);
}

static void test_toml__holds_its_limits(void **state)
{
    (void) state;
    assert_int_equal(parse_repeated("", append_key, TOML_MAX_KEYS), 0);
    assert_int_equal(parse_repeated("", append_key, TOML_MAX_KEYS + 1), GRID_ELIMIT);
    assert_int_equal(parse_repeated("a", append_part, TOML_MAX_DEPTH), GRID_ELIMIT);
    assert_int_equal(parse_repeated("a = ", append_bracket, TOML_MAX_DEPTH + 1), GRID_ELIMIT);
    assert_int_equal(parse_repeated("", append_kibibyte, TOML_MAX_BYTES / 1024), 0);
    assert_int_equal(parse_repeated("\n", append_kibibyte, TOML_MAX_BYTES / 1024), GRID_ELIMIT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_toml__reads_the_corpus_as_python_does),
        cmocka_unit_test(test_toml__finds_entries_and_their_lines),
        cmocka_unit_test(test_toml__errors_say_where_and_what),
        cmocka_unit_test(test_toml__holds_its_limits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
