/* The Gridfile: what it holds, what is refused and how that is said. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/err.h"
#include "trust/gridfile.h"

static void count_other(void *ctx, const struct toml_entry *entry)
{
    (void) entry;
    ++*(unsigned *) ctx;
}

static void test_gridfile__reads_what_the_original_had(void **state)
{
    (void) state;
    char sentence[TRUST_SENTENCE_MAX];
    struct gridfile g;
    unsigned others = 0;
    struct slice text = SLICE("grid_name = 'demo'\ngrid_password = \"pass\"\nservers = [\n  'user@a', # first\n  'b:22',\n]\nssh_key = '''\nKEY\n'''\n"
                              "ssh_public_key = 'ssh-ed25519 AAAA'\nlisten = '[::]:7900'\n[other]\ngrid_name = 7\n");
    assert_int_equal(gridfile_parse(text, count_other, &others, &g, sentence), 0);
    assert_string_equal(g.grid_name, "demo");
    assert_string_equal(g.grid_password, "pass");
    assert_int_equal(g.server_count, 2);
    assert_string_equal(g.servers[1], "b:22");
    assert_string_equal(g.ssh_key, "KEY\n");
    assert_string_equal(g.authority_key, "");
    assert_int_equal(g.publisher_count, 0);
    assert_int_equal(others, 2);
    assert_true(gridfile_is_secret(&g));
    gridfile_dispose(&g);
}

static void test_gridfile__forgets_its_secrets_and_nothing_else(void **state)
{
    (void) state;
    char sentence[TRUST_SENTENCE_MAX];
    struct gridfile g;
    struct slice text = SLICE("grid_name = 'demo'\ngrid_password = 'pass'\nssh_key = 'KEY'\nssh_public_key = 'ssh-ed25519 AAAA'\nauthority_key = 'PEM'\n"
                              "publishers = ['aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa']\n");
    assert_int_equal(gridfile_parse(text, NULL, NULL, &g, sentence), 0);
    const char *const secrets[] = {g.grid_password, g.ssh_key, g.authority_key};
    const size_t sizes[] = {4, 3, 3};
    gridfile_forget_secrets(&g);
    for (size_t i = 0; i < 3; i++)
        for (size_t k = 0; k < sizes[i]; k++)
            assert_int_equal(secrets[i][k], 0);
    assert_false(gridfile_is_secret(&g));
    assert_string_equal(g.grid_name, "demo");
    assert_string_equal(g.ssh_public_key, "ssh-ed25519 AAAA");
    assert_int_equal(g.publisher_count, 1);
    gridfile_dispose(&g);
    gridfile_forget_secrets(&g); /* of none */
}

static void test_gridfile__says_where_and_what_was_expected(void **state)
{
    (void) state;
    static const struct {
        struct slice text;
        const char *expected;
    } cases[] = {
        {SLICE_INIT("grid_name = 'a'\ngrid_password 'x'\n"), "Gridfile line 2, column 15: "},
        {SLICE_INIT("grid_name = 'a"), "Gridfile line 1, column "},
        {SLICE_INIT("grid_name = 'a'\r\n\0"), "Gridfile line 2, column 1: "},
        {SLICE_INIT("\n\ngrid_name = 7\n"), "Gridfile line 3, column 13: expected a string for grid_name"},
        {SLICE_INIT("grid_name = ''\n"), "expected a name of 1 to 63 bytes without control characters for grid_name"},
        {SLICE_INIT("servers = 'a'\n"), "expected a list of at most 1024 strings for servers"},
        {SLICE_INIT("servers = ['a', 3]\n"), "Gridfile line 1, column 17: expected a list of at most 1024 strings for servers"},
        {SLICE_INIT("servers = [\n  'a', # \xc3\xbc\n \"\xc3\xbc\", true]\n"), "Gridfile line 3, column 7: expected a list"},
        {SLICE_INIT("\xef\xbb\xbfgrid_name = 'a'\n"), "Gridfile line 1, column 1: expected no byte-order mark"},
        {SLICE_INIT("publishers = ['ABC']\n"), "Gridfile line 1, column 15: expected ids of 64 lowercase hexadecimal digits for publishers"},
        {SLICE_INIT("publishers = ['zz00000000000000000000000000000000000000000000000000000000000000']\n"), "hexadecimal digits"},
        {SLICE_INIT("grid_password = \"a\\u0000b\"\n"), "expected a text without NUL for grid_password"},
        {SLICE_INIT("grid_name = 'a'\ngrid_name = 'b'\n"), "Gridfile line 2, column "},
        {SLICE_INIT("\x80\x81"), "Gridfile line 1, column 1: "},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char sentence[TRUST_SENTENCE_MAX];
        struct gridfile g;
        assert_int_equal(gridfile_parse(cases[i].text, NULL, NULL, &g, sentence), GRID_EPROTO);
        if (!strstr(sentence, cases[i].expected))
            fail_msg("case %zu: %s", i, sentence);
    }
}

static void expect_same(const struct gridfile *a, const struct gridfile *b)
{
    assert_string_equal(a->grid_name, b->grid_name);
    assert_string_equal(a->grid_password, b->grid_password);
    assert_string_equal(a->ssh_key, b->ssh_key);
    assert_string_equal(a->authority_certificate, b->authority_certificate);
    assert_int_equal(a->server_count, b->server_count);
    for (size_t i = 0; i < a->server_count; i++)
        assert_string_equal(a->servers[i], b->servers[i]);
}

static void test_gridfile__reads_back_what_it_writes(void **state)
{
    (void) state;
    static const char *const awkward[] = {"plain", "qu\"ote\\", "tab\tand\nline\n", "'''\n", "line\nend'", "\x01\x7f\n", "gr\xc3\xbc\xc3\x9f"};
    for (size_t i = 0; i < sizeof awkward / sizeof awkward[0]; i++) {
        char sentence[TRUST_SENTENCE_MAX];
        struct gridfile back;
        struct gridfile g = {.grid_name = "demo", .grid_password = awkward[i], .ssh_key = awkward[i], .authority_certificate = awkward[i],
                             .servers = awkward, .server_count = i};
        struct buf text;
        buf_init(&text, 0);
        assert_int_equal(gridfile_format(&g, &text), 0);
        assert_int_equal(gridfile_parse(buf_slice(&text), NULL, NULL, &back, sentence), 0);
        expect_same(&g, &back);
        gridfile_dispose(&back);
        buf_dispose(&text);
    }
    struct buf text;
    buf_init(&text, 0);
    assert_int_equal(gridfile_format(&(struct gridfile){.grid_name = "\xff"}, &text), GRID_EINVAL);
    buf_dispose(&text);
}

static void write_text(const char *path, const char *text, mode_t mode)
{
    assert_int_equal(trust_file_write(path, slice_of_str(text), mode), 0);
}

static void test_gridfile__refuses_a_secret_that_others_can_read(void **state)
{
    (void) state;
    char folder[] = "/tmp/gridfile-test-XXXXXX", path[64], sentence[TRUST_SENTENCE_MAX];
    struct gridfile g, written = {.grid_name = "demo", .grid_password = "secret"};
    struct stat info;
    assert_non_null(mkdtemp(folder));
    snprintf(path, sizeof path, "%s/Gridfile", folder);
    assert_int_equal(gridfile_load(path, NULL, NULL, &g, sentence), GRID_ENOENT);
    assert_non_null(strstr(sentence, path));
    write_text(path, "grid_name = 'demo'\n", 0644);
    assert_int_equal(gridfile_load(path, NULL, NULL, &g, sentence), 0);
    gridfile_dispose(&g);
    assert_int_equal(gridfile_store(path, &written, sentence), 0);
    assert_int_equal(stat(path, &info), 0);
    assert_int_equal(info.st_mode & 0777, 0600);
    assert_int_equal(chmod(path, 0400), 0);
    assert_int_equal(gridfile_load(path, NULL, NULL, &g, sentence), 0);
    gridfile_dispose(&g);
    assert_int_equal(chmod(path, 0640), 0);
    assert_int_equal(gridfile_load(path, NULL, NULL, &g, sentence), GRID_EPERM);
    assert_non_null(strstr(sentence, "run chmod 600 /tmp/gridfile-test-"));
    write_text(path, "grid_name = ", 0600);
    assert_int_equal(gridfile_load(path, NULL, NULL, &g, sentence), GRID_EPROTO);
    assert_non_null(strstr(sentence, "/Gridfile: Gridfile line 1, column "));
    assert_int_equal(gridfile_load(folder, NULL, NULL, &g, sentence), GRID_EINVAL);
    unlink(path);
    assert_int_equal(gridfile_store("/nonexistent/Gridfile", &written, sentence), GRID_ENOENT);
    assert_non_null(strstr(sentence, "/nonexistent/Gridfile"));
    rmdir(folder);
}

static void test_gridfile__carries_the_authority_and_refuses_another_grids(void **state)
{
    (void) state;
    char sentence[TRUST_SENTENCE_MAX];
    struct authority *a, *back;
    struct buf certificate, key;
    buf_init(&certificate, 0), buf_init(&key, 0);
    assert_int_equal(authority_mint("demo", 1900000000, &a), 0);
    authority_append_certificate_pem(a, &certificate);
    authority_append_key_pem(a, &key);
    struct gridfile g = {.grid_name = "demo"};
    assert_int_equal(gridfile_authority(&g, NULL, &back, sentence), GRID_ENOENT);
    assert_non_null(strstr(sentence, "grid new"));
    g.authority_certificate = buf_cstr(&certificate);
    g.authority_key = buf_cstr(&key);
    assert_int_equal(gridfile_authority(&g, "demo", &back, sentence), 0);
    assert_string_equal(authority_id(back), authority_id(a));
    authority_destroy(back);
    assert_int_equal(gridfile_authority(&g, "other", &back, sentence), GRID_EINVAL);
    assert_string_equal(sentence, "the Gridfile is of grid \"demo\", not of \"other\": give that grid's Gridfile, or its name");
    g.grid_name = "renamed";
    assert_int_equal(gridfile_authority(&g, NULL, &back, sentence), GRID_EINVAL);
    assert_non_null(strstr(sentence, "but its authority is of grid \"demo\""));
    g.grid_name = "demo";
    g.authority_key = "x";
    assert_int_equal(gridfile_authority(&g, NULL, &back, sentence), GRID_EINVAL);
    assert_non_null(strstr(sentence, "damaged"));
    buf_dispose(&certificate), buf_dispose(&key);
    authority_destroy(a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_gridfile__reads_what_the_original_had),
        cmocka_unit_test(test_gridfile__forgets_its_secrets_and_nothing_else),
        cmocka_unit_test(test_gridfile__says_where_and_what_was_expected),
        cmocka_unit_test(test_gridfile__reads_back_what_it_writes),
        cmocka_unit_test(test_gridfile__refuses_a_secret_that_others_can_read),
        cmocka_unit_test(test_gridfile__carries_the_authority_and_refuses_another_grids),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
