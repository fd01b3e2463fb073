/* The table of gridd's options, as it is shown. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/err.h"
#include "server/options.h"

static void test_man__the_page_in_the_tree_is_what_the_table_gives(void **state)
{
    struct buf page, kept;
    (void) state;
    buf_init(&page, 0);
    buf_init(&kept, 0);
    assert_int_equal(options_man(&page), 0);
    FILE *file = fopen("docs/man/gridd.8", "re");
    assert_non_null(file);
    assert_int_equal(buf_reserve(&kept, 2 * page.size), 0);
    kept.size = fread(kept.data, 1, 2 * page.size, file);
    fclose(file);
    if (strcmp(buf_cstr(&kept), buf_cstr(&page)) != 0)
        fail_msg("docs/man/gridd.8 is not what the table of options says: gridd --man > docs/man/gridd.8");
    buf_dispose(&page);
    buf_dispose(&kept);
}

/* Reads `config` as a file of options, with one variable in the environment; 0 or an error with its sentence. */
static int read_file(const char *config, const char *variable, struct options *o, struct option_error *error)
{
    char path[] = "/tmp/test_options-XXXXXX", *environment[] = {(char *) (uintptr_t) variable, NULL};
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, config, strlen(config)), strlen(config));
    close(fd);
    char *arguments[] = {"gridd", "--state", "/tmp", "--config", path, NULL};
    int err = options_read(o, 5, arguments, environment, error);
    unlink(path);
    return err;
}

static void test_options__a_file_is_read_whole_or_refused(void **state)
{
    static const struct {
        const char *config, *says; /* NULL: it is taken */
    } cases[] = {
        {"workers = 7\n", NULL},
        {"[gridd]\nworkers = 7\n", "line 2: workers stands in the table [gridd]"},
        {"ready-file = \"/nonexistent/x\"\n", "ready-file"},
        {"ready-file = \"/tmp/x\"\n", NULL},
        {"api-socket = \"/tmp/0123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890\"\n",
         "at most 107 bytes"},
    };
    (void) state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct options o;
        struct option_error error = {""};
        int err = read_file(cases[i].config, "A=b", &o, &error);
        if ((err == 0) != (cases[i].says == NULL) || (err != 0 && !strstr(error.message, cases[i].says)))
            fail_msg("%s: %d %s", cases[i].config, err, error.message);
        options_dispose(&o);
    }
}

static void test_options__a_given_file_wins_over_the_gridfile(void **state)
{
    char card[] = "/tmp/test_options-XXXXXX", config[160];
    struct options o;
    struct option_error error;
    int fd = mkstemp(card);
    (void) state;
    assert_int_equal(write(fd, "name = \"card\"\nworkers = 3\n", 26), 26);
    close(fd);
    snprintf(config, sizeof config, "gridfile = \"%s\"\nname = \"given\"\n", card);
    assert_int_equal(read_file(config, "A=b", &o, &error), 0);
    assert_string_equal(o.name, "given");
    assert_int_equal(o.workers, 3);
    options_dispose(&o);
    unlink(card);
}

static void test_options__check_is_a_variable_too(void **state)
{
    struct options o;
    struct option_error error;
    (void) state;
    assert_int_equal(read_file("workers = 7\n", "GRID_CHECK=1", &o, &error), 0);
    assert_true(o.check);
    options_dispose(&o);
}

static void test_options__join_takes_places_services_and_files(void **state)
{
    (void) state;
    char *arguments[] = {"gridd", "--state", "/tmp", "--discover", "dns", "--join", "10.0.0.1:7900,first.example:7901,srv:_g._tcp.example,file:/etc/peers", NULL};
    char *bad[] = {"first", "first:0", "srv:", "srv:foo", "srv:_a.b", "srv:._tcp", "srv:_a._", "file:", "10.0.0.1:7900,:7900"};
    static const char *const seek[] = {"first.example:7901", "srv:_g._tcp.example", "file:/etc/peers", "srv:_gridcontrol._tcp"};
    struct options o;
    struct option_error error = {.message = ""};
    assert_int_equal(options_read(&o, 7, arguments, (char *[]){NULL}, &error), 0);
    assert_int_equal(o.join_count, 2);
    assert_string_equal(o.join[0], "10.0.0.1:7900");
    assert_string_equal(o.join[1], "first.example:7901");
    assert_int_equal(o.seek_count, 4);
    for (size_t i = 0; i < 4; i++)
        assert_string_equal(o.seek[i], seek[i]);
    options_dispose(&o);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        arguments[6] = bad[i];
        assert_int_equal(options_read(&o, 7, arguments, (char *[]){NULL}, &error), GRID_EINVAL);
        assert_non_null(strstr(error.message, "--join"));
        options_dispose(&o);
    }
}

static void test_options__the_dht_needs_more_than_a_name_to_let_others_in(void **state)
{
    char *arguments[] = {"gridd", "--state", "/tmp", "--discover", "dns,dht", "--dht-bootstrap", "10.0.0.1:6881,first.example:7", "--grid", "g", "--open"};
    char *bad[] = {"first", "first:0", ":7", "10.0.0.1:6881,none"};
    struct options o;
    struct option_error error = {.message = ""};
    (void) state;
    assert_int_equal(options_read(&o, 9, arguments, (char *[]){NULL}, &error), 0);
    assert_true(o.dht);
    assert_int_equal(o.dht_bootstrap_count, 2);
    options_dispose(&o);
    assert_int_equal(options_read(&o, 10, arguments, (char *[]){NULL}, &error), GRID_EINVAL);
    assert_non_null(strstr(error.message, "--discover"));
    options_dispose(&o);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        arguments[6] = bad[i];
        assert_int_equal(options_read(&o, 9, arguments, (char *[]){NULL}, &error), GRID_EINVAL);
        assert_non_null(strstr(error.message, "--dht-bootstrap"));
        options_dispose(&o);
    }
    arguments[6] = "none";
    assert_int_equal(options_read(&o, 9, arguments, (char *[]){NULL}, &error), 0);
    assert_int_equal(o.dht_bootstrap_count, 0);
    options_dispose(&o);
    assert_int_equal(options_read(&o, 3, arguments, (char *[]){NULL}, &error), 0);
    assert_false(o.dht);
    options_dispose(&o);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_options__a_file_is_read_whole_or_refused),
        cmocka_unit_test(test_options__a_given_file_wins_over_the_gridfile),
        cmocka_unit_test(test_options__check_is_a_variable_too),
        cmocka_unit_test(test_man__the_page_in_the_tree_is_what_the_table_gives),
        cmocka_unit_test(test_options__join_takes_places_services_and_files),
        cmocka_unit_test(test_options__the_dht_needs_more_than_a_name_to_let_others_in),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
