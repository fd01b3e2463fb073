/* .gridignore against git itself, with patterns and paths made up from a seed. Every case is a folder of one repository with its own patterns, so that one
 * call of git judges all. GRID_TEST_SEED=N repeats a run. */
#include "tests/unit/fs/tree.h"

#include "fs/ignore.h"

enum { CASES = 120, PATHS = 24, DEPTH_MAX = 4, PATTERNS_MAX = 5, TEXT_MAX = 512, PATH_MAX_BYTES = 128 };

struct chance {
    uint64_t state;
};

static unsigned pick(struct chance *c, unsigned below)
{
    c->state = c->state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (unsigned) (c->state >> 33) % below;
}

static const char *pick_of(struct chance *c, const char *const *list, unsigned count)
{
    return list[pick(c, count)];
}

#define PICK(chance, list) pick_of(chance, list, sizeof(list) / sizeof *(list))

struct text {
    char bytes[TEXT_MAX];
    size_t size;
};

static void add(struct text *t, const char *s)
{
    size_t size = strlen(s);
    assert_true(t->size + size < sizeof t->bytes);
    memcpy(t->bytes + t->size, s, size + 1);
    t->size += size;
}

/* ---- what is made up ---- */

static const char *const names[] = {"a", "b", "ab", "abc", "a.o", "b.o", "foo", "foo bar", "-", "[a]", "a]", "*", "a*", "?", "\\", "a\\b", "!a", "#a", "B", "a ", ".a", "..a"};
static const char *const pieces[] = {"a", "a", "b", "b", "ab", "c", ".o", "foo", " ", "-", "*", "*", "*", "?", "**", "***", "[a]", "[ab]", "[!a]", "[^b]", "[a-c]", "[]a]", "[a",
                                     "[[:alpha:]]", "[[:upper:]b]", "[!]a]", "[a-]", "[\\]a]", "\\*", "\\?", "\\[", "\\a", "\\\\", "\\ ", "!", "#", "."};
static const char *const joints[] = {"/", "/", "/", "/**/", "/*/", "//", "/**"};
static const char *const ends[] = {"", "", "", "/", " ", "  ", "\\ ", "/**", "\r", "\\"};

static void make_pattern(struct chance *c, struct text *out)
{
    static const char *const begins[] = {"", "", "", "!", "/", "!/", "**/", "*", "\\!", "\\#", "#", " "};
    unsigned parts = 1 + pick(c, 3);
    add(out, PICK(c, begins));
    for (unsigned part = 0; part < parts; part++) {
        add(out, part ? PICK(c, joints) : "");
        bool whole = pick(c, 2) == 0;
        add(out, whole ? PICK(c, names) : "");
        for (unsigned n = whole ? 0 : 1 + pick(c, 3); n > 0; n--)
            add(out, PICK(c, pieces));
    }
    add(out, PICK(c, ends));
    add(out, "\n");
}

static void make_patterns(struct chance *c, struct text *out)
{
    *out = (struct text){0};
    for (unsigned n = 1 + pick(c, PATTERNS_MAX); n > 0; n--)
        make_pattern(c, out);
}

static void make_path(struct chance *c, char out[PATH_MAX_BYTES])
{
    out[0] = '\0';
    for (unsigned n = 1 + pick(c, DEPTH_MAX); n > 0; n--) {
        strcat(out, PICK(c, names));
        strcat(out, n > 1 ? "/" : "");
    }
}

/* ---- one case ---- */

struct sample {
    struct text top;   /* in its own folder */
    struct text below; /* in its folder "a" */
    char paths[PATHS][PATH_MAX_BYTES];
    bool is_dir[PATHS];
    bool excluded[PATHS]; /* as git says */
};

static void make_folders(const char *root, const char *name, const char *path)
{
    char part[512];
    for (size_t i = 0; i <= strlen(path); i++)
        if (path[i] == '/' || path[i] == '\0') {
            snprintf(part, sizeof part, "%s/%s/%.*s", root, name, (int) i, path);
            mkdir(part, 0755); /* there already, as a rule */
        }
}

static void make_sample(struct chance *c, const char *root, unsigned number, struct sample *s)
{
    char name[32], file[64];
    snprintf(name, sizeof name, "%u", number);
    tree_dir(root, name);
    make_folders(root, name, "a");
    make_patterns(c, &s->top);
    make_patterns(c, &s->below);
    snprintf(file, sizeof file, "%s/.gitignore", name);
    tree_file(root, file, s->top.bytes);
    snprintf(file, sizeof file, "%s/a/.gitignore", name);
    tree_file(root, file, s->below.bytes);
    for (unsigned i = 0; i < PATHS; i++) {
        make_path(c, s->paths[i]);
        if (pick(c, 4) == 0) /* only these are looked for by git */
            make_folders(root, name, s->paths[i]);
    }
    for (unsigned i = 0; i < PATHS; i++) { /* once all are there */
        struct stat st;
        char full[512];
        snprintf(full, sizeof full, "%s/%s/%s", root, name, s->paths[i]);
        s->is_dir[i] = stat(full, &st) == 0;
    }
}

/* ---- who decides how ---- */

static void ask_git(const char *root, struct sample *samples)
{
    char command[8192], line[PATH_MAX_BYTES + 32];
    FILE *list = fopen(tree_path(root, ".git/paths"), "wb");
    assert_non_null(list);
    for (unsigned n = 0; n < CASES; n++)
        for (unsigned i = 0; i < PATHS; i++)
            fprintf(list, "%u/%s%c", n, samples[n].paths[i], 0);
    fclose(list);
    snprintf(command, sizeof command, "cd %s && git -c core.excludesFile=/dev/null check-ignore --no-index -z --stdin < .git/paths | tr '\\0' '\\n' > .git/answer", root);
    assert_int_equal(system(command), 0);
    FILE *answer = fopen(tree_path(root, ".git/answer"), "rb");
    assert_non_null(answer);
    while (fgets(line, sizeof line, answer)) {
        char *path;
        unsigned long n = strtoul(line, &path, 10);
        line[strcspn(line, "\n")] = '\0';
        assert_in_range(n, 0, CASES - 1);
        for (unsigned i = 0; i < PATHS; i++)
            samples[n].excluded[i] |= strcmp(samples[n].paths[i], path + 1) == 0;
    }
    fclose(answer);
}

/* As a walk would: nothing below what is left out is looked at. */
static bool ask_us(const struct ignore_list *top, const struct ignore_list *below, const char *path, bool is_dir)
{
    for (size_t i = 1; i <= strlen(path); i++) {
        if (path[i] != '/' && path[i] != '\0')
            continue;
        struct slice part = slice_of(path, i);
        if (ignore_list_excludes(slice_has_prefix(part, SLICE("a/")) ? below : top, part, path[i] == '/' || is_dir))
            return true;
    }
    return false;
}

static unsigned count_wrong(const struct sample *s, unsigned *excluded)
{
    struct ignore_list *top, *below;
    unsigned wrong = 0;
    assert_int_equal(ignore_list_create(NULL, SLICE(""), slice_of(s->top.bytes, s->top.size), &top, NULL), 0);
    assert_int_equal(ignore_list_create(top, SLICE("a"), slice_of(s->below.bytes, s->below.size), &below, NULL), 0);
    for (unsigned i = 0; i < PATHS; i++) {
        *excluded += s->excluded[i];
        if (ask_us(top, below, s->paths[i], s->is_dir[i]) == s->excluded[i])
            continue;
        wrong++;
        print_error("patterns \"%s\", in a/ \"%s\": path \"%s\"%s: git says %d\n", s->top.bytes, s->below.bytes, s->paths[i], s->is_dir[i] ? " (a folder)" : "", s->excluded[i]);
    }
    ignore_list_destroy(below);
    ignore_list_destroy(top);
    return wrong;
}

static void test_ignore__decides_made_up_patterns_as_git_does(void **state)
{
    (void) state;
    const char *given = getenv("GRID_TEST_SEED");
    uint64_t seed = given ? strtoull(given, NULL, 10) : arc4random();
    struct chance chance = {seed};
    print_message("GRID_TEST_SEED=%llu\n", (unsigned long long) seed);
    struct sample *samples = calloc(CASES, sizeof *samples);
    char *root = tree_make(), command[4200];
    unsigned wrong = 0, excluded = 0;
    assert_non_null(samples);
    snprintf(command, sizeof command, "git -C %s init -q . 2>/dev/null", root);
    if (system(command) != 0) {
        print_message("there is no git to ask\n");
        free(samples);
        tree_remove(root);
        skip();
    }
    for (unsigned n = 0; n < CASES; n++)
        make_sample(&chance, root, n, &samples[n]);
    ask_git(root, samples);
    for (unsigned n = 0; n < CASES; n++)
        wrong += count_wrong(&samples[n], &excluded);
    if (wrong > 0)
        fail_msg("%u of %d decisions are not those of git", wrong, CASES * PATHS);
    print_message("%u of %d are left out\n", excluded, CASES * PATHS);
    assert_in_range(excluded, CASES * PATHS / 50, CASES * PATHS * 49 / 50); /* else nothing would have been tried */
    free(samples);
    tree_remove(root);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_ignore__decides_made_up_patterns_as_git_does)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
