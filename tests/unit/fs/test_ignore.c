/* .gridignore against what git itself says, and the names and contents that never travel. */
#include "tests/unit/fs/tree.h"

#include "fs/ignore.h"

/* Paths of one made-up tree; a slash at the end marks a folder. */
static const char *const paths[] = {
    "a", "b.txt", "foo", "foo.o", "foo bar", "dir/", "dir/foo", "dir/foo.o", "dir/b.txt", "dir/sub/", "dir/sub/foo", "dir/sub/x.log",
    "dir/sub/deep/", "dir/sub/deep/foo", "dir/sub/deep/keep.log", "build/", "build/out.js", "src/", "src/build/", "src/build/x",
    "src/main.c", "src/main.o", "#hash", "!bang", "trail ", "[x]", "a-b", "a1", "a9z", "Abc", "abc", "node_modules/",
    "node_modules/p/", "node_modules/p/index.js", "x]y", "back\\slash", "star*", "\xc3\xa9t\xc3\xa9", "logs/", "logs/a.log",
    "logs/keep/", "logs/keep/b.log", "foobar/", "foobar/x/", "foobar/x/baz", "doc/", "doc/a/", "doc/a/b/", "doc/a/b/c.txt", "end\\",
};

/* What stands in .gridignore, and in dir/.gridignore (NULL for none). */
static const struct {
    const char *top;
    const char *dir;
} cases[] = {
    {"foo\n", NULL}, {"/foo\n", NULL}, {"foo/\n", NULL}, {"dir/\n", NULL}, {"dir/foo\n", NULL}, {"/dir/foo\n", NULL},
    {"*.o\n", NULL}, {"*.o\n!foo.o\n", NULL}, {"*\n!*.txt\n", NULL}, {"*\n!*/\n!*.txt\n", NULL}, {"**/foo\n", NULL},
    {"dir/**\n", NULL}, {"dir/**/foo\n", NULL}, {"**/build\n", NULL}, {"build\n", NULL}, {"/build\n", NULL}, {"build/\n!build/\n", NULL},
    {"\\#hash\n#hash\n", NULL}, {"\\!bang\n", NULL}, {"!bang\n", NULL}, {"trail\\ \n", NULL}, {"trail \n", NULL}, {"foo bar\n", NULL},
    {"[x]\n", NULL}, {"\\[x]\n", NULL}, {"[[]x]\n", NULL}, {"a[0-9]*\n", NULL}, {"a[!0-9]*\n", NULL}, {"a[^0-9]*\n", NULL},
    {"[[:upper:]]*\n", NULL}, {"a[[:digit:]]\n", NULL}, {"a[[:digit:][:alpha:]]*\n", NULL}, {"[[:bogus:]]*\n", NULL}, {"[a-\n", NULL},
    {"a[-]b\n", NULL}, {"a[,-.]b\n", NULL}, {"x[]]y\n", NULL}, {"x[]-a]y\n", NULL}, {"back\\\\slash\n", NULL}, {"star\\*\n", NULL},
    {"star\n", NULL}, {"foo\\\n", NULL}, {"?bc\n", NULL}, {"???\n", NULL}, {"dir/*\n", NULL}, {"dir/*/foo\n", NULL}, {"*/foo\n", NULL},
    {"/*\n!/dir\n/dir/*\n!/dir/sub\n", NULL}, {"dir/sub/\n!dir/sub/foo\n", NULL}, {"*.log\n!keep.log\n", NULL},
    {"logs/*\n!logs/keep/\n", NULL}, {"\xc3\xa9*\n", NULL}, {"foo\r\n*.txt\r\n", NULL}, {"\xef\xbb\xbf" "foo\n", NULL}, {"foo", NULL},
    {"\n\n   \nfoo\n", NULL}, {"/\n", NULL}, {"//\n", NULL}, {"***/foo\n", NULL}, {"a/**\n", NULL}, {"doc/**/c.txt\n", NULL},
    {"doc/**/b/\n", NULL}, {"doc/a/**/c.txt\n", NULL}, {"**/*.txt\n", NULL}, {"**\n", NULL}, {"/**\n", NULL}, {"**/\n", NULL},
    {"doc**c.txt\n", NULL}, {"dir/s*b/foo\n", NULL}, {"dir/[s]ub/foo\n", NULL}, {"dir[/]foo\n", NULL}, {"dir?foo\n", NULL},
    {"dir/**/deep/*.log\n", NULL}, {"sub/foo\n", NULL}, {"*foo*\n!foobar\n", NULL}, {"foo/**/baz\n", NULL}, {"*bar/x\n", NULL},
    {"*.o\n", "!foo.o\n"}, {"foo\n", "!foo\n"}, {"", "/foo\n"}, {"", "sub/foo\n"}, {"", "/sub/\n"}, {"", "*.log\n!keep.log\n"},
    {"!foo\n", "foo\n"}, {"dir\n", "!foo\n"}, {"", "**/foo\n"}, {"", "dir/foo\n"},
    {"end\\\\  \n", NULL}, {"do**/b/\n", NULL}, {"do***/**\n", NULL}, {"do*/**\n", NULL}, {"doc/a**\n", NULL}, {"d[o]**/b/\n", NULL},
};

static void run(const char *command)
{
    int status = system(command);
    assert_int_equal(status, 0);
}

static char *make_repository(void)
{
    char *root = tree_make(), command[8192];
    snprintf(command, sizeof command, "git -C %s init -q . 2>/dev/null", root);
    run(command);
    for (size_t i = 0; i < sizeof paths / sizeof *paths; i++) {
        char name[256];
        snprintf(name, sizeof name, "%s", paths[i]);
        size_t size = strlen(name);
        if (name[size - 1] == '/') {
            name[size - 1] = '\0';
            tree_dir(root, name);
        } else {
            tree_file(root, name, "x");
        }
    }
    return root;
}

static struct slice without_slash(const char *path)
{
    struct slice s = slice_of_str(path);
    if (s.data[s.size - 1] == '/')
        s.size--;
    return s;
}

/* git's answer for every path, by one call: check-ignore prints those that are excluded. */
static void ask_git(const char *root, bool *excluded)
{
    char command[8192], line[512];
    snprintf(command, sizeof command,
             "cd %s && printf '%%s\\0' > .git/empty && git -c core.excludesFile=/dev/null check-ignore --no-index -z --stdin < .git/paths "
             "| tr '\\0' '\\n' > .git/answer",
             root);
    FILE *list = fopen(tree_path(root, ".git/paths"), "wb");
    assert_non_null(list);
    for (size_t i = 0; i < sizeof paths / sizeof *paths; i++)
        fprintf(list, "%.*s%c", SLICE_FMT(without_slash(paths[i])), 0);
    fclose(list);
    run(command);
    FILE *answer = fopen(tree_path(root, ".git/answer"), "rb");
    assert_non_null(answer);
    memset(excluded, 0, sizeof paths / sizeof *paths);
    while (fgets(line, sizeof line, answer)) {
        line[strcspn(line, "\n")] = '\0';
        for (size_t i = 0; i < sizeof paths / sizeof *paths; i++)
            excluded[i] |= slice_equal_str(without_slash(paths[i]), line);
    }
    fclose(answer);
}

/* As a walk would: nothing below what is left out is looked at. */
static bool ask_us(const struct ignore_list *top, const struct ignore_list *dir, const char *path)
{
    struct slice s = without_slash(path);
    bool is_dir = path[s.size] == '/';
    for (size_t i = 1; i <= s.size; i++) {
        if (i < s.size && s.data[i] != '/')
            continue;
        struct slice part = slice_first(s, i);
        const struct ignore_list *list = slice_has_prefix(part, SLICE("dir/")) ? dir : top;
        if (ignore_list_excludes(list, part, i < s.size || is_dir))
            return true;
    }
    return false;
}

static void test_ignore__decides_as_git_does(void **state)
{
    (void) state;
    if (system("git --version >/dev/null 2>&1") != 0)
        skip();
    char *root = make_repository();
    bool expected[sizeof paths / sizeof *paths];
    size_t wrong = 0;
    for (size_t c = 0; c < sizeof cases / sizeof *cases; c++) {
        struct ignore_list *top, *dir = NULL;
        tree_file(root, ".gitignore", cases[c].top);
        tree_file(root, "dir/.gitignore", cases[c].dir ? cases[c].dir : "");
        ask_git(root, expected);
        assert_int_equal(ignore_list_create(NULL, SLICE(""), slice_of_str(cases[c].top), &top, NULL), 0);
        assert_int_equal(ignore_list_create(top, SLICE("dir"), slice_of_str(cases[c].dir), &dir, NULL), 0);
        for (size_t i = 0; i < sizeof paths / sizeof *paths; i++) {
            if (ask_us(top, dir, paths[i]) != expected[i]) {
                print_error("pattern \"%s\" + \"%s\", path \"%s\": git says %d\n", cases[c].top, cases[c].dir ? cases[c].dir : "",
                            paths[i], expected[i]);
                wrong++;
            }
        }
        ignore_list_destroy(dir);
        ignore_list_destroy(top);
    }
    assert_int_equal(wrong, 0);
    tree_remove(root);
}

static void test_ignore__a_wicked_pattern_takes_linear_time(void **state)
{
    (void) state;
    char pattern[4001] = "/", path[4001] = "";
    struct ignore_list *list;
    for (size_t i = 1; i + 4 < sizeof pattern; i += 4)
        memcpy(pattern + i, "**/a", 5);
    for (size_t i = 0; i + 2 < sizeof path; i += 2)
        memcpy(path + i, "a/", 3);
    path[3998] = 'b';
    assert_int_equal(ignore_list_create(NULL, SLICE(""), slice_of_str(pattern), &list, NULL), 0);
    assert_false(ignore_list_excludes(list, slice_of_str(path), false));
    ignore_list_destroy(list);
}

static void test_ignore__refuses_what_is_too_long_and_names_the_line(void **state)
{
    (void) state;
    struct ignore_list *list;
    uint32_t line;
    char *text = malloc(IGNORE_CONTENT_MAX + 1);
    memset(text, 'a', IGNORE_CONTENT_MAX + 1);
    memcpy(text, "x\ny\n", 4);
    assert_int_equal(ignore_list_create(NULL, SLICE(""), slice_of(text, 4 + IGNORE_PATTERN_MAX + 1), &list, &line), GRID_ELIMIT);
    assert_int_equal(line, 3);
    assert_null(list);
    assert_int_equal(ignore_list_create(NULL, SLICE(""), slice_of(text, 4 + IGNORE_PATTERN_MAX), &list, &line), 0);
    ignore_list_destroy(list);
    assert_int_equal(ignore_list_create(NULL, SLICE(""), slice_of(text, IGNORE_CONTENT_MAX + 1), &list, &line), GRID_ELIMIT);
    assert_int_equal(line, 0);
    free(text);
}

static void test_ignore__reserved_names_never_travel(void **state)
{
    (void) state;
    static const struct {
        const char *name;
        bool reserved;
    } names[] = {{".git", true},       {"Gridfile", true}, {"Gridfile.old", true}, {"id_rsa", true},      {"id_ed25519", true},
                 {"id_ecdsa_sk", true}, {".github", false}, {".gitignore", false},  {"id_rsa.pub", false}, {"gridfile", false},
                 {"node_modules", false}};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        assert_int_equal(ignore_name_reserved(slice_of_str(names[i].name)), names[i].reserved);
}

#define BEGIN "-----BEGIN "
#define BODY "MIIEvQIBADANBgkqhkiG9w0BAQEFAASCBKcwggSj"

static void test_ignore__finds_private_keys_and_not_what_speaks_of_them(void **state)
{
    (void) state;
    static const struct {
        const char *name;
        const char *head;
        bool secret;
    } files[] = {
        {"server.txt", BEGIN "PRIVATE KEY-----\n" BODY "\n", true},
        {"server.txt", BEGIN "PRIVATE KEY-----\n", true},
        {"notes", "see\n" BEGIN "RSA PRIVATE KEY-----\r\nProc-Type: 4,ENCRYPTED\r\n", true},
        {"k", BEGIN "OPENSSH PRIVATE KEY-----\n" BODY, true},
        {"k", BEGIN "PGP PRIVATE KEY BLOCK-----\n\n" BODY, true},
        {"account.json", "{\"private_key\":\"" BEGIN "PRIVATE KEY-----\\n" BODY "\\n\"}", true},
        {"test.js", "const k = `" BEGIN "EC PRIVATE KEY-----\n  " BODY, true},
        {"lib.js", "const START = '" BEGIN "RSA PRIVATE KEY-----';\n", false},
        {"lib.js", "out = '" BEGIN "RSA PRIVATE KEY-----\\n' + body", false},
        {"cert.pem", BEGIN "CERTIFICATE-----\n" BODY "\n", false},
        {"cert.pem", "x PRIVATE KEY x", true},
        {"my.KEY", "x PRIVATE KEY x", true},
        {"key.txt", "x PRIVATE KEY x", false},
        {"pub", BEGIN "PUBLIC KEY-----\n" BODY, false},
        {"two", BEGIN "CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n" BEGIN "PRIVATE KEY-----\n" BODY, true},
        {"p", "PuTTY-User-Key-File-3: ssh-ed25519", true},
        {"empty", "", false},
        {"cut", BEGIN, false},
    };
    for (size_t i = 0; i < sizeof files / sizeof *files; i++)
        if (ignore_is_private_key(slice_of_str(files[i].name), slice_of_str(files[i].head)) != files[i].secret)
            fail_msg("case %zu (%s) is wrong", i, files[i].name);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_ignore__decides_as_git_does),
        cmocka_unit_test(test_ignore__a_wicked_pattern_takes_linear_time),
        cmocka_unit_test(test_ignore__refuses_what_is_too_long_and_names_the_line),
        cmocka_unit_test(test_ignore__reserved_names_never_travel),
        cmocka_unit_test(test_ignore__finds_private_keys_and_not_what_speaks_of_them),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
