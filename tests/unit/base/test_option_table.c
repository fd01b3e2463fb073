/* Options: kinds and bounds, which source wins, what the errors say, and what help and listings show. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/err.h"
#include "base/option_table.h"

static const struct option_row rows[] = {
    {.name = "grid", .kind = OPTION_STRING, .placeholder = "NAME", .env_alias = "GRID", .help = "grid to link to"},
    {.name = "auth", .kind = OPTION_STRING, .attributes = OPTION_SECRET, .choices = "good|fine", .help = "password"},
    {.name = "open", .kind = OPTION_FLAG, .help = "link by name alone"},
    {.name = "workers", .kind = OPTION_UINT, .placeholder = "N", .min = 1, .max = 256, .example = "4", .help = "threads"},
    {.name = "max-payload",
     .kind = OPTION_SIZE,
     .placeholder = "SIZE",
     .fallback = "6MiB",
     .min = 1024,
     .max = 1 << 30,
     .help = "cap"},
    {.name = "drain-timeout", .kind = OPTION_DURATION, .fallback = "30s", .attributes = OPTION_RELOADABLE, .help = "drain"},
    {.name = "log-format", .kind = OPTION_STRING, .fallback = "text", .choices = "text|json", .help = "how lines look"},
    {.name = "discover",
     .kind = OPTION_LIST,
     .fallback = "mdns",
     .choices = "mdns|dns|dht|none",
     .help = "how nodes find each other"},
    {.name = "join", .kind = OPTION_LIST, .placeholder = "A,...", .help = "nodes to begin with"},
    {.name = "listen", .kind = OPTION_HOSTPORT, .fallback = "[::]:7900", .placeholder = "HOST:PORT", .help = "where peers come in"},
    {.name = "api", .kind = OPTION_HOSTPORT_LIST, .fallback = "127.0.0.1:10000,[::1]:10000", .help = "where the local API is"},
};
enum { ROWS = sizeof rows / sizeof *rows };

static struct option_set *create(void)
{
    struct option_set *set = NULL;
    assert_int_equal(option_set_create(rows, ROWS, &set), 0);
    return set;
}

static int read_words(struct option_set *set, const char *words, struct option_error *error)
{
    static char text[512];
    static char *argv[32];
    int argc = 0;
    snprintf(text, sizeof text, "%s", words);
    for (char *word = strtok(text, " "); word && argc < 32; word = strtok(NULL, " "))
        argv[argc++] = word;
    return option_read_arguments(set, argc, argv, error);
}

static int read_text(struct option_set *set, const char *text, struct option_error *error)
{
    struct toml_document document;
    struct toml_error toml_error;
    struct arena *arena = arena_create(1024, 0);
    assert_int_equal(toml_parse(slice_of_str(text), arena, &document, &toml_error), 0);
    int err = option_read_toml(set, &document, "", "Gridfile", error);
    arena_destroy(arena);
    return err;
}

static void test_option__defaults_stand_until_told(void **state)
{
    (void) state;
    size_t count;
    struct option_set *set = create();
    assert_null(option_string(set, "grid"));
    assert_int_equal(option_source(set, "grid"), OPTION_FROM_NOWHERE);
    assert_int_equal(option_number(set, "max-payload"), 6291456);
    assert_int_equal(option_number(set, "drain-timeout"), 30000);
    assert_int_equal(option_number(set, "workers"), 0);
    assert_false(option_flag(set, "open"));
    const struct option_hostport *api = option_hostports(set, "api", &count);
    assert_int_equal(count, 2);
    assert_string_equal(api[0].host, "127.0.0.1");
    assert_int_equal(api[0].port, 10000);
    assert_string_equal(api[1].host, "::1");
    option_set_destroy(set);
}

static void test_option__arguments_in_every_spelling(void **state)
{
    (void) state;
    struct option_error error;
    size_t count;
    struct option_set *set = create();
    assert_int_equal(
        read_words(set,
                   "first --grid g1 --workers=8 --open --max-payload 64KiB --join a:1,b --join c --discover=dns,dht -- --last -",
                   &error),
        0);
    assert_string_equal(option_string(set, "grid"), "g1");
    assert_int_equal(option_number(set, "workers"), 8);
    assert_true(option_flag(set, "open"));
    assert_int_equal(option_number(set, "max-payload"), 65536);
    const char *const *join = option_list(set, "join", &count);
    assert_int_equal(count, 3);
    assert_string_equal(join[0], "a:1");
    assert_string_equal(join[2], "c");
    option_list(set, "discover", &count);
    assert_int_equal(count, 2);
    const char *const *arguments = option_arguments(set, &count);
    assert_int_equal(count, 3);
    assert_string_equal(arguments[0], "first");
    assert_string_equal(arguments[1], "--last");
    assert_string_equal(arguments[2], "-");
    assert_int_equal(read_words(set, "--open=false", &error), 0);
    assert_false(option_flag(set, "open"));
    option_set_destroy(set);
}

static void test_option__flags_win_over_environment_over_files_in_any_order(void **state)
{
    (void) state;
    char *environment[] = {"GRID_WORKERS=5",    "GRID=alias", "GRID_LOG_FORMAT=json", "GRID_OPEN=", "OTHER=1",
                           "GRID_UNHEARD_OF=1", NULL};
    struct option_error error;
    size_t count;
    struct option_set *set = create();
    assert_int_equal(read_words(set, "--workers 9", &error), 0);
    assert_int_equal(option_read_environment(set, environment, &error), 0);
    assert_int_equal(
        read_text(set,
                  "workers = 2\ngrid = 'file'\nmax-payload = 2048\njoin = ['x', 'y']\nopen = true\ndiscover = []\n[other]\nk = 1\n",
                  &error),
        0);
    assert_int_equal(option_number(set, "workers"), 9);
    assert_string_equal(option_origin(set, "workers"), "--workers");
    assert_string_equal(option_string(set, "grid"), "alias");
    assert_string_equal(option_origin(set, "grid"), "GRID");
    assert_string_equal(option_string(set, "log-format"), "json");
    assert_string_equal(option_origin(set, "log-format"), "GRID_LOG_FORMAT");
    assert_int_equal(option_number(set, "max-payload"), 2048);
    assert_string_equal(option_origin(set, "max-payload"), "max-payload in Gridfile, line 3");
    assert_int_equal(option_source(set, "drain-timeout"), OPTION_FROM_DEFAULT);
    assert_true(option_flag(set, "open"));
    option_list(set, "join", &count);
    assert_int_equal(count, 2);
    option_set_destroy(set);
}

static void test_option__errors_name_option_value_and_remedy(void **state)
{
    (void) state;
    static const char *const cases[][2] = {
        {"--workers abc", "--workers: \"abc\" is not a whole number from 1 to 256; give for example --workers 4"},
        {"--workers=0", "--workers: \"0\" is not a whole number from 1 to 256; give for example --workers 4"},
        {"--workers 257", "--workers: \"257\" is not a whole number from 1 to 256; give for example --workers 4"},
        {"--workers -1", "--workers: \"-1\" is not a whole number from 1 to 256; give for example --workers 4"},
        {"--workers", "--workers needs a value; give for example --workers 4"},
        {"--workers --open", "--workers needs a value; give for example --workers 4"},
        {"--grid=", "--grid: \"\" is not a text of at least one character; give for example --grid example"},
        {"--open=maybe", "--open: \"maybe\" is not true or false; give for example --open=true"},
        {"--max-payload 6mb", "--max-payload: \"6mb\" is not a size from 1KiB to 1GiB; give for example --max-payload 6MiB"},
        {"--drain-timeout soon", "--drain-timeout: \"soon\" is not a duration; give for example --drain-timeout 30s"},
        {"--log-format xml", "--log-format: \"xml\" is not one of text, json; give for example --log-format text"},
        {"--discover mdns,ip", "--discover: \"mdns,ip\" is not a list of mdns, dns, dht, none; give for example --discover mdns"},
        {"--join a,,b", "--join: \"a,,b\" is not a list without empty parts; give for example --join a,b"},
        {"--listen 7900", "--listen: \"7900\" is not a HOST:PORT with a port from 0 to 65535; give for example --listen [::]:7900"},
        {"--listen :7900",
         "--listen: \":7900\" is not a HOST:PORT with a port from 0 to 65535; give for example --listen [::]:7900"},
        {"--listen ::1:7900",
         "--listen: \"::1:7900\" is not a HOST:PORT with a port from 0 to 65535; give for example --listen [::]:7900"},
        {"--listen [::1:7900",
         "--listen: \"[::1:7900\" is not a HOST:PORT with a port from 0 to 65535; give for example --listen [::]:7900"},
        {"--listen a:65536",
         "--listen: \"a:65536\" is not a HOST:PORT with a port from 0 to 65535; give for example --listen [::]:7900"},
        {"--api a:1,b", "--api: \"a:1,b\" is not a list of HOST:PORT with ports from 0 to 65535; give for example --api "
                        "127.0.0.1:10000,[::1]:10000"},
        {"--wrokers 4", "--wrokers is not an option; did you mean --workers?"},
        {"--maxpayload=4", "--maxpayload is not an option; did you mean --max-payload?"},
        {"--zzzzzzzzz", "--zzzzzzzzz is not an option; --help lists them all"},
        {"-g", "-g is not an option; --help lists them all"},
        {"--a\x1b[2J", "\"a\\u001b[2J\" is not an option; --help lists them all"},
        {"--auth hunter2", "--auth: the value is not one of good, fine; give for example --auth fine"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct option_error error = {""};
        struct option_set *set = create();
        assert_int_equal(read_words(set, cases[i][0], &error), GRID_EINVAL);
        assert_string_equal(error.message, cases[i][1]);
        option_set_destroy(set);
    }
}

static void test_option__errors_speak_the_language_of_their_source(void **state)
{
    (void) state;
    char *environment[] = {"GRID_WORKERS=many", NULL};
    struct option_error error;
    struct option_set *set = create();
    assert_int_equal(option_read_environment(set, environment, &error), GRID_EINVAL);
    assert_string_equal(error.message,
                        "GRID_WORKERS: \"many\" is not a whole number from 1 to 256; give for example GRID_WORKERS=4");
    assert_int_equal(read_text(set, "\n\nworkers = 1000", &error), GRID_EINVAL);
    assert_string_equal(error.message,
                        "workers in Gridfile, line 3: \"1000\" is not a whole number from 1 to 256; give for example workers = 4");
    assert_int_equal(read_text(set, "max-payload = [1]", &error), GRID_EINVAL);
    assert_string_equal(
        error.message,
        "max-payload in Gridfile, line 1: \"[...]\" is not a size from 1KiB to 1GiB; give for example max-payload = \"6MiB\"");
    assert_int_equal(read_text(set, "join = ['a,b']", &error), GRID_EINVAL);
    assert_int_equal(read_text(set, "grid = \"a\\u0000b\"", &error), GRID_EINVAL);
    assert_int_equal(read_text(set, "wokers = 1", &error), GRID_EINVAL);
    assert_string_equal(error.message, "wokers in Gridfile, line 1 is not an option; did you mean workers?");
    option_set_destroy(set);
}

static void test_option__explains_later_faults(void **state)
{
    (void) state;
    struct option_error error;
    struct option_set *set = create();
    option_explain(set, "listen", "is in use", "give another port", &error);
    assert_string_equal(error.message, "--listen (default): \"[::]:7900\" is in use; give another port");
    assert_int_equal(read_words(set, "--listen 0.0.0.0:1", &error), 0);
    option_explain(set, "listen", "is in use", "give another port", &error);
    assert_string_equal(error.message, "--listen: \"0.0.0.0:1\" is in use; give another port");
    option_set_destroy(set);
}

static void test_option__listing_hides_secrets(void **state)
{
    (void) state;
    struct option_error error;
    struct option_view view;
    struct option_set *set = create();
    assert_int_equal(read_words(set, "--auth good --workers 3", &error), 0);
    assert_true(option_view(set, 0, &view));
    assert_null(view.text);
    assert_true(option_view(set, 1, &view));
    assert_string_equal(view.name, "auth");
    assert_string_equal(view.text, "(hidden)");
    assert_true(option_view(set, 3, &view));
    assert_string_equal(view.text, "3");
    assert_string_equal(view.origin, "--workers");
    assert_false(option_view(set, ROWS, &view));
    option_set_destroy(set);
}

static void test_option__tells_what_cannot_change_while_running(void **state)
{
    (void) state;
    struct option_error error;
    struct option_set *before = create(), *after = create();
    assert_int_equal(read_words(after, "--drain-timeout 1s", &error), 0);
    assert_null(option_fixed_change(before, after));
    assert_int_equal(read_words(after, "--workers 2", &error), 0);
    assert_string_equal(option_fixed_change(before, after), "workers");
    option_set_destroy(before);
    option_set_destroy(after);
}

static void test_option__help_lists_every_row_within_80_columns(void **state)
{
    (void) state;
    static const struct option_row shown[] = {
        {.name = "grid", .kind = OPTION_STRING, .placeholder = "NAME", .env_alias = "GRID", .help = "grid to link to"},
        {.name = "open", .kind = OPTION_FLAG, .help = "link by name alone, without password or Gridfile, and say so loudly"},
        {.name = "a-very-long-option-name", .kind = OPTION_SIZE, .placeholder = "SIZE", .fallback = "6MiB", .help = "cap"},
        {.name = "format", .kind = OPTION_STRING, .choices = "text|json", .help = "looks", .fallback = "text"},
        {.name = "of", .kind = OPTION_LIST, .choices = "a|b", .help = "kinds"},
    };
    struct buf b;
    buf_init(&b, 0);
    assert_int_equal(option_write_help(shown, 5, &b), 0);
    assert_string_equal(buf_cstr(&b), "  --grid NAME               grid to link to (also GRID in the environment)\n"
                                      "  --open                    link by name alone, without password or Gridfile,\n"
                                      "                            and say so loudly\n"
                                      "  --a-very-long-option-name SIZE\n"
                                      "                            cap (default 6MiB)\n"
                                      "  --format VALUE            looks (one of text, json; default text)\n"
                                      "  --of VALUE                kinds (a list of a, b)\n");
    buf_dispose(&b);
}

static void test_option__refuses_a_default_that_does_not_fit(void **state)
{
    (void) state;
    static const struct option_row bad[] = {{.name = "n", .kind = OPTION_UINT, .fallback = "x", .help = "n"}};
    struct option_set *set = NULL;
    assert_int_equal(option_set_create(bad, 1, &set), GRID_EINVAL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_option__defaults_stand_until_told),
        cmocka_unit_test(test_option__arguments_in_every_spelling),
        cmocka_unit_test(test_option__flags_win_over_environment_over_files_in_any_order),
        cmocka_unit_test(test_option__errors_name_option_value_and_remedy),
        cmocka_unit_test(test_option__errors_speak_the_language_of_their_source),
        cmocka_unit_test(test_option__explains_later_faults),
        cmocka_unit_test(test_option__listing_hides_secrets),
        cmocka_unit_test(test_option__tells_what_cannot_change_while_running),
        cmocka_unit_test(test_option__help_lists_every_row_within_80_columns),
        cmocka_unit_test(test_option__refuses_a_default_that_does_not_fit),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
