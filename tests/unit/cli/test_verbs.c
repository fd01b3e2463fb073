/* The table of verbs: what help, completion and the manual page promise, holds. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/arena.h"
#include "base/err.h"
#include "cli/arguments.h"
#include "cli/help.h"

enum { WORDS_MAX = 32 };

/* Splits an example as a shell would, as far as examples go: blanks, single quotes around whole words. */
static int split(char *line, char *words[WORDS_MAX])
{
    int count = 0;
    while (*line && count < WORDS_MAX) {
        char quote = *line == '\'' ? '\'' : ' ';
        line += quote == '\'';
        words[count++] = line;
        line += strcspn(line, (char[]){quote, '\0'});
        if (*line)
            *line++ = '\0';
        line += strspn(line, " ");
    }
    return count;
}

static void parse(const struct verb *verb, int argc, char *const argv[], int wanted, size_t *out_count)
{
    struct option_row rows[VERB_OPTIONS_MAX];
    struct option_set *set;
    struct option_error error;
    struct arguments arguments;
    struct arena *arena = arena_create(4096, 0);
    assert_int_equal(option_set_create(rows, verb_options(verb, rows), &set), 0);
    assert_int_equal(arguments_prepare(verb, argc, argv, arena, &arguments, &error), 0);
    int err = option_read_arguments(set, arguments.argc, arguments.argv, &error);
    if (err != wanted)
        print_error("%s: %s\n", verb->name, error.message);
    assert_int_equal(err, wanted);
    option_arguments(set, out_count);
    option_set_destroy(set);
    arena_destroy(arena);
}

static void test_verbs__each_has_an_example_that_parses(void **state)
{
    (void) state;
    for (size_t i = 0; i < VERB_COUNT; i++) {
        char line[256];
        char *words[WORDS_MAX];
        size_t count;
        snprintf(line, sizeof line, "%s", VERBS[i]->example);
        int argc = split(line, words);
        assert_string_equal(words[0], "grid");
        assert_ptr_equal(verb_find(words[1]), VERBS[i]);
        parse(VERBS[i], argc - 2, words + 2, 0, &count);
        assert_in_range(count, VERBS[i]->min_arguments, VERBS[i]->max_arguments);
    }
}

static void test_verbs__help_shows_each_with_summary_and_example(void **state)
{
    struct buf all, one;
    (void) state;
    buf_init(&all, 0);
    assert_int_equal(help_write_all(&all), 0);
    for (size_t i = 0; i < VERB_COUNT; i++) {
        buf_init(&one, 0);
        assert_int_equal(help_write_verb(VERBS[i], &one), 0);
        assert_non_null(strstr(buf_cstr(&one), VERBS[i]->example));
        assert_non_null(strstr(buf_cstr(&all), VERBS[i]->summary));
        buf_dispose(&one);
    }
    assert_null(strstr(buf_cstr(&all), "provision"));
    assert_null(strstr(buf_cstr(&all), "dash"));
    buf_dispose(&all);
}

static void test_verbs__one_letter_options_name_options(void **state)
{
    (void) state;
    for (size_t i = 0; i < VERB_COUNT; i++) {
        struct option_row rows[VERB_OPTIONS_MAX];
        size_t count = verb_options(VERBS[i], rows), letters = 0, found = 0;
        for (const char *at = VERBS[i]->shorts; at && *at; at++)
            letters += *at == '=';
        for (size_t n = 0; n < count; n++)
            found += verb_letter(VERBS[i], rows[n].name) != 0;
        assert_int_equal(found, letters);
    }
}

static void test_verbs__are_found_by_alias_and_by_nearness(void **state)
{
    (void) state;
    assert_ptr_equal(verb_find("ls"), verb_find("list"));
    assert_null(verb_find("lst"));
    assert_string_equal(verb_nearest("inovke"), "invoke");
    assert_null(verb_nearest("qqqqqqqqqq"));
    assert_true(verb_is_planned("dash"));
    assert_false(verb_is_planned("list"));
    for (size_t i = 0; i < VERB_COUNT; i++)
        assert_false(verb_is_planned(VERBS[i]->name));
}

static void test_arguments__expands_letters_and_takes_env_out(void **state)
{
    struct arena *arena = arena_create(4096, 0);
    struct arguments a;
    struct option_error error;
    char *argv[] = {"-e", "A=1,2", "--env=B=x", "--env", "C=", ".", "--", "-e", "D=4"};
    (void) state;
    assert_int_equal(arguments_prepare(verb_find("deploy"), 9, argv, arena, &a, &error), 0);
    assert_int_equal(a.env_count, 3);
    assert_string_equal(a.env[0], "A=1,2");
    assert_string_equal(a.env[1], "B=x");
    assert_string_equal(a.env[2], "C=");
    assert_int_equal(a.argc, 4); /* what stands behind "--" is left alone */
    char *data[] = {"-d", "--x", "-v", "-d5", "task"};
    assert_int_equal(arguments_prepare(verb_find("invoke"), 5, data, arena, &a, &error), 0);
    assert_int_equal(a.argc, 4);
    assert_string_equal(a.argv[0], "--data=--x");
    assert_string_equal(a.argv[1], "--verbose");
    assert_string_equal(a.argv[2], "--data=5");
    assert_int_equal(arguments_prepare(verb_find("list"), 1, (char *[]){"-h"}, arena, &a, &error), 0);
    assert_string_equal(a.argv[0], "--help");
    arena_destroy(arena);
}

static void test_arguments__finds_the_verb_behind_options(void **state)
{
    (void) state;
    assert_int_equal(arguments_verb_index(4, (char *[]){"grid", "--api", "h:1", "list"}), 3);
    assert_int_equal(arguments_verb_index(2, (char *[]){"grid", "list"}), 1);
    assert_int_equal(arguments_verb_index(2, (char *[]){"grid", "--help"}), 2);
    assert_int_equal(arguments_verb_index(1, (char *[]){"grid"}), 1);
}

static void test_verbs__unknown_options_are_refused(void **state)
{
    size_t count;
    (void) state;
    for (size_t i = 0; i < VERB_COUNT; i++)
        parse(VERBS[i], 1, (char *[]){"--nosuchoption"}, GRID_EINVAL, &count);
}

static void test_completion__bash_takes_it(void **state)
{
    struct buf script;
    (void) state;
    buf_init(&script, 0);
    assert_int_equal(completion_write("bash", &script), 0);
    FILE *bash = popen("bash -n", "w");
    assert_non_null(bash);
    assert_int_equal(fwrite(script.data, 1, script.size, bash), script.size);
    assert_int_equal(pclose(bash), 0);
    buf_dispose(&script);
}

static void test_completion__every_shell_is_told_every_verb(void **state)
{
    static const char *const SHELLS[] = {"bash", "zsh", "fish"};
    (void) state;
    for (size_t s = 0; s < 3; s++) {
        struct buf script;
        buf_init(&script, 0);
        assert_int_equal(completion_write(SHELLS[s], &script), 0);
        for (size_t i = 0; i < VERB_COUNT; i++)
            assert_non_null(strstr(buf_cstr(&script), VERBS[i]->name));
        buf_dispose(&script);
    }
    struct buf none;
    buf_init(&none, 0);
    assert_int_equal(completion_write("csh", &none), GRID_ENOENT);
}

static void test_man__the_page_in_the_tree_is_what_the_table_gives(void **state)
{
    struct buf page, kept;
    (void) state;
    buf_init(&page, 0);
    buf_init(&kept, 0);
    assert_int_equal(help_write_man(&page), 0);
    FILE *file = fopen("docs/man/grid.1", "re");
    assert_non_null(file);
    assert_int_equal(buf_reserve(&kept, 2 * page.size), 0);
    kept.size = fread(kept.data, 1, 2 * page.size, file);
    fclose(file);
    assert_string_equal(buf_cstr(&kept), buf_cstr(&page)); /* grid help --man > docs/man/grid.1 */
    buf_dispose(&page);
    buf_dispose(&kept);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_verbs__each_has_an_example_that_parses),
        cmocka_unit_test(test_verbs__help_shows_each_with_summary_and_example),
        cmocka_unit_test(test_verbs__one_letter_options_name_options),
        cmocka_unit_test(test_verbs__are_found_by_alias_and_by_nearness),
        cmocka_unit_test(test_verbs__unknown_options_are_refused),
        cmocka_unit_test(test_arguments__expands_letters_and_takes_env_out),
        cmocka_unit_test(test_arguments__finds_the_verb_behind_options),
        cmocka_unit_test(test_completion__bash_takes_it),
        cmocka_unit_test(test_completion__every_shell_is_told_every_verb),
        cmocka_unit_test(test_man__the_page_in_the_tree_is_what_the_table_gives),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
