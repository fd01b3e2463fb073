/* What is a task and what is not, and the sentences for folders that cannot be served. */
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

#include "base/err.h"
#include "server/supervise/task_set.h"

static void expect_task(const struct task_set *set, const char *name, enum task_kind kind, const char *entry, const char *path)
{
    const struct task *t = task_set_find(set, name);
    assert_non_null(t);
    assert_int_equal(t->kind, kind);
    assert_string_equal(t->entry, entry);
    assert_string_equal(t->path, path);
}

static void test_task_set__names_tasks_by_file_without_extension(void **state)
{
    (void) state;
    const struct task_entry entries[] = {
        {.name = "req.js"},
        {.name = "m.mjs"},
        {.name = "c.cjs", .executable = true},
        {.name = "py.py"},
        {.name = "native", .executable = true},
        {.name = "script.sh", .executable = true},
        {.name = "v1.2.js"},
        {.name = "package", .folder = true, .package_json = true, .bootstrap = true},
        {.name = "boot", .folder = true, .bootstrap = true, .own_executable = true},
        {.name = "own", .folder = true, .own_executable = true},
        {.name = "lib", .folder = true},
        {.name = ".hidden.js"},
        {.name = "README.md"},
    };
    struct task_set set;
    char error[TASK_ERROR_MAX];
    assert_int_equal(task_set_build(&(struct task_folder){.name = "tasks", .platform = "linux-x64"}, entries, sizeof entries / sizeof *entries, &set, error), 0);
    assert_string_equal(error, "");
    assert_int_equal(set.count, 10);
    expect_task(&set, "req", TASK_NODE, "req.js", "req.js");
    expect_task(&set, "m", TASK_NODE, "m.mjs", "m.mjs");
    expect_task(&set, "c", TASK_NODE, "c.cjs", "c.cjs");
    expect_task(&set, "py", TASK_PYTHON, "py.py", "py.py");
    expect_task(&set, "native", TASK_EXECUTABLE, "native", "native");
    expect_task(&set, "script", TASK_EXECUTABLE, "script.sh", "script.sh");
    expect_task(&set, "v1.2", TASK_NODE, "v1.2.js", "v1.2.js");
    expect_task(&set, "package", TASK_NODE, "package", "package");
    expect_task(&set, "boot", TASK_EXECUTABLE, "boot", "boot/bootstrap");
    expect_task(&set, "own", TASK_EXECUTABLE, "own", "own/own");
    for (size_t i = 1; i < set.count; i++)
        assert_true(strcmp(set.tasks[i - 1].name, set.tasks[i].name) < 0);
    assert_int_equal(set.note_count, 3);
    assert_string_equal(set.notes[1], "tasks/.hidden.js is no task: it is hidden");
    assert_string_equal(set.notes[2], "tasks/README.md is no task: it may not be executed (chmod +x makes it a task)");
    assert_int_equal(set.forgotten_count, 0);
    task_set_dispose(&set);
}

static void test_task_set__notes_files_that_look_like_tasks_without_the_executable_bit(void **state)
{
    static const struct task_entry entries[] = {{.name = "req.js"}, {.name = "job.sh"}, {.name = "native"}, {.name = "README"}, {.name = "Makefile"},
                                                {.name = "data.json"}, {.name = ".hidden"}, {.name = "lib", .folder = true}};
    struct task_set set;
    char error[TASK_ERROR_MAX];
    (void) state;
    assert_int_equal(task_set_build(&(struct task_folder){.name = "tasks", .platform = "linux-x64"}, entries, sizeof entries / sizeof *entries, &set, error), 0);
    assert_int_equal(set.forgotten_count, 2);
    assert_string_equal(set.forgotten[0], "tasks/job.sh is no task: it may not be executed (chmod +x makes it a task)");
    assert_string_equal(set.forgotten[1], "tasks/native is no task: it may not be executed (chmod +x makes it a task)");
    task_set_dispose(&set);
}

static void test_task_set__refuses_with_a_sentence(void **state)
{
    (void) state;
    static const struct {
        struct task_entry entries[2];
        size_t count;
        int err;
        const char *sentence;
    } cases[] = {
        {{{.name = "a.js"}, {.name = "a.py"}}, 2, GRID_EINVAL, "two tasks are named a: tasks/a.js and tasks/a.py; rename one"},
        {{{.name = "a", .folder = true, .bootstrap = true}, {.name = "a.js"}}, 2, GRID_EINVAL,
         "two tasks are named a: tasks/a and tasks/a.js; rename one"},
        {{{.name = "my task.js"}}, 1, GRID_EINVAL,
         "tasks/my task.js cannot be a task: a task's name is 1 to 128 letters, digits, '_', '.' and '-'; rename the file"},
        {{{.name = "a@linux-x64.js"}, {.name = "a@linux-x64.py"}}, 2, GRID_EINVAL,
         "two tasks are named a: tasks/a@linux-x64.js and tasks/a@linux-x64.py; rename one"},
        {{{.name = "a@linux.js"}}, 1, GRID_EINVAL,
         "tasks/a@linux.js cannot be a task: behind the '@' stands a platform, such as linux-x64 or linux-arm64 (grid list shows the nodes'); rename the file"},
        {{{.name = "@linux-x64.js"}}, 1, GRID_EINVAL,
         "tasks/@linux-x64.js cannot be a task: a task's name is 1 to 128 letters, digits, '_', '.' and '-'; rename the file"},
        {{{.name = "README"}}, 1, GRID_ENOENT, "tasks has no tasks: put a .js, .py or executable file into it"},
        {{{.name = ""}}, 0, GRID_ENOENT, "tasks has no tasks: put a .js, .py or executable file into it"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct task_set set;
        char error[TASK_ERROR_MAX];
        assert_int_equal(task_set_build(&(struct task_folder){.name = "tasks", .platform = "linux-x64"}, cases[i].entries, cases[i].count, &set, error), cases[i].err);
        assert_string_equal(error, cases[i].sentence);
        assert_int_equal(set.count, 0);
    }
}

static void test_task_set__limits_the_length_of_a_name(void **state)
{
    (void) state;
    char name[TASK_NAME_MAX + 8];
    struct task_set set;
    char error[TASK_ERROR_MAX];
    memset(name, 'n', sizeof name);
    strcpy(name + TASK_NAME_MAX, ".js");
    assert_int_equal(task_set_build(&(struct task_folder){.name = "t", .platform = "linux-x64"}, &(struct task_entry){.name = name}, 1, &set, error), 0);
    task_set_dispose(&set);
    strcpy(name + TASK_NAME_MAX, "n.js");
    assert_int_equal(task_set_build(&(struct task_folder){.name = "t", .platform = "linux-x64"}, &(struct task_entry){.name = name}, 1, &set, error), GRID_EINVAL);
}

/* What runs on a platform: "NAME=FILE" of each task, "NAME!" of each that runs elsewhere. */
static void show_set(const struct task_set *set, char out[256])
{
    size_t size = 0;
    out[0] = '\0';
    for (size_t i = 0; i < set->count; i++)
        size += (size_t) snprintf(out + size, 256 - size, "%s%s=%s", size ? " " : "", set->tasks[i].name, set->tasks[i].path);
    for (size_t i = 0; i < set->elsewhere_count; i++)
        size += (size_t) snprintf(out + size, 256 - size, "%s%s!", size ? " " : "", set->elsewhere[i].name);
}

static void test_task_set__a_platform_runs_what_fits_it(void **state)
{
    static const struct task_entry entries[] = {{.name = "a.js"}, {.name = "a@linux-arm64", .executable = true}, {.name = "b@linux-x64.sh", .executable = true},
                                                {.name = "c@linux-arm64", .folder = true, .own_executable = true}, {.name = "c@linux-riscv64.py"}, {.name = "d@linux-x64"}};
    static const struct {
        const char *platform, *shown;
    } cases[] = {
        {"linux-x64", "a=a.js b=b@linux-x64.sh c!"},
        {"linux-arm64", "a=a@linux-arm64 c=c@linux-arm64/c b!"},
        {"linux-riscv64", "a=a.js c=c@linux-riscv64.py b!"},
        {"linux-arm", "a=a.js b! c!"},
    };
    struct task_set set;
    char error[TASK_ERROR_MAX], shown[256];
    (void) state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        assert_int_equal(task_set_build(&(struct task_folder){.name = "tasks", .platform = cases[i].platform}, entries, sizeof entries / sizeof *entries, &set, error), 0);
        show_set(&set, shown);
        assert_string_equal(shown, cases[i].shown);
        task_set_dispose(&set);
    }
}

static void test_task_set__says_why_a_task_is_elsewhere_and_what_is_passed_over(void **state)
{
    static const struct task_entry entries[] = {{.name = "a@linux-arm64"}, {.name = "a@linux-arm64.js"}, {.name = "a@linux-arm.js"}, {.name = "a@linux-riscv64.js"}, {.name = "b.js"},
                                                {.name = "b@linux-x64.js"}};
    struct task_set set;
    struct task_elsewhere *elsewhere;
    size_t count;
    char error[TASK_ERROR_MAX];
    (void) state;
    assert_int_equal(task_set_build(&(struct task_folder){.name = "tasks", .platform = "linux-x64"}, entries, sizeof entries / sizeof *entries, &set, error), 0);
    assert_true(task_set_passes_over(&set, "a@linux-arm.js"));
    assert_true(task_set_passes_over(&set, "b.js"));
    assert_false(task_set_passes_over(&set, "b@linux-x64.js"));
    assert_false(task_set_passes_over(&set, "a@linux-arm64")); /* no task: it may not be executed */
    elsewhere = task_set_take_elsewhere(&set, &count);
    task_set_dispose(&set);
    assert_int_equal(count, 1);
    assert_string_equal(elsewhere[0].name, "a");
    assert_string_equal(elsewhere[0].why, "it is for linux-arm, linux-arm64 and linux-riscv64, and this node is linux-x64");
    task_elsewhere_free(elsewhere, count);
}

static void test_task_set__tasks_toml_says_for_which_platforms_a_task_is(void **state)
{
    static const struct task_entry entries[] = {{.name = "a.js"}, {.name = "b.js"}, {.name = "b@linux-riscv64.js"}, {.name = "c.d.js"}, {.name = "tasks.toml", .executable = true}};
    static const char toml[] = "[a]\nplatforms = [\"linux-x64\"] # fast here\n[b]\nplatforms = [\"linux-arm64\", \"linux-x64\"]\n[\"c.d\"]\nplatforms = ['linux-arm64']\n";
    static const struct {
        const char *platform, *shown;
    } cases[] = {
        {"linux-x64", "a=a.js b=b.js c.d!"},
        {"linux-arm64", "b=b.js c.d=c.d.js a!"},
        {"linux-riscv64", "b=b@linux-riscv64.js a! c.d!"},
        {"linux-arm", "a! b! c.d!"},
    };
    struct task_set set;
    char error[TASK_ERROR_MAX], shown[256];
    (void) state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const struct task_folder folder = {.name = "tasks", .platform = cases[i].platform, .toml = slice_of_str(toml)};
        assert_int_equal(task_set_build(&folder, entries, sizeof entries / sizeof *entries, &set, error), 0);
        show_set(&set, shown);
        assert_string_equal(shown, cases[i].shown);
        assert_int_equal(set.note_count, 0);
        assert_true(task_set_passes_over(&set, "tasks.toml"));
        if (i + 1 == sizeof cases / sizeof *cases)
            assert_string_equal(set.elsewhere[1].why, "it is for linux-arm64, linux-x64 and linux-riscv64, and this node is linux-arm");
        task_set_dispose(&set);
    }
}

static void test_task_set__refuses_a_tasks_toml_with_a_sentence(void **state)
{
    static const struct task_entry entries[] = {{.name = "a.js"}, {.name = "b@linux-x64.js"}, {.name = "tasks.toml"}};
    static const struct {
        const char *toml, *sentence;
    } cases[] = {
        {"[a]\nplatforms = \n", "tasks/tasks.toml, line 2: expected a value: \"text\" in quotes, a whole number, true, false or an [array]"},
        {"[a]\nplatform = [\"linux-x64\"]", "tasks/tasks.toml, line 2: \"platform\" is nothing that can be said of a task: it may have platforms"},
        {"platforms = [\"linux-x64\"]", "tasks/tasks.toml, line 1: platforms of which task? Put its name above, in brackets"},
        {"[a]\nplatforms = \"linux-x64\"", "tasks/tasks.toml, line 2: platforms is a list of one or more, such as [\"linux-x64\", \"linux-arm64\"]"},
        {"[a]\nplatforms = []", "tasks/tasks.toml, line 2: platforms is a list of one or more, such as [\"linux-x64\", \"linux-arm64\"]"},
        {"[a]\nplatforms = [\"linux-x64\", 7]", "tasks/tasks.toml, line 2: a platform is a string such as \"linux-x64\" or \"linux-arm64\" (grid list shows the nodes')"},
        {"\n[a]\nplatforms = [\"linux\"]", "tasks/tasks.toml, line 3: a platform is a string such as \"linux-x64\" or \"linux-arm64\" (grid list shows the nodes')"},
        {"[c]\nplatforms = [\"linux-x64\"]", "tasks/tasks.toml, line 2: c is no task of tasks with a file for any platform: correct the name, or take it out"},
        {"[b]\nplatforms = [\"linux-x64\"]", "tasks/tasks.toml, line 2: b is no task of tasks with a file for any platform: correct the name, or take it out"},
    };
    struct task_set set;
    char error[TASK_ERROR_MAX];
    (void) state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const struct task_folder folder = {.name = "tasks", .platform = "linux-x64", .toml = slice_of_str(cases[i].toml)};
        assert_int_equal(task_set_build(&folder, entries, sizeof entries / sizeof *entries, &set, error), GRID_EINVAL);
        assert_string_equal(error, cases[i].sentence);
        assert_int_equal(set.count, 0);
    }
}

static void put(const char *root, const char *name, mode_t mode)
{
    char path[256];
    snprintf(path, sizeof path, "%s/%s", root, name);
    if (S_ISDIR(mode)) {
        assert_int_equal(mkdir(path, 0700), 0);
        return;
    }
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    fclose(f);
    assert_int_equal(chmod(path, mode), 0);
}

static void put_text(const char *root, const char *name, const char *text)
{
    char path[256];
    snprintf(path, sizeof path, "%s/%s", root, name);
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    assert_true(fputs(text, f) >= 0);
    assert_int_equal(fclose(f), 0);
}

/* One too long, one that is a link. */
static void expect_refused_toml(const char *root)
{
    char *text = malloc(70000), path[256], error[TASK_ERROR_MAX];
    struct task_set set;
    assert_non_null(text);
    memset(text, '#', 69999);
    text[69999] = '\0';
    put_text(root, "tasks/tasks.toml", text);
    free(text);
    assert_int_equal(task_set_read(root, "tasks", "linux-x64", &set, error), GRID_ELIMIT);
    assert_string_equal(error, "tasks/tasks.toml has more than 65536 bytes; say less in it");
    snprintf(path, sizeof path, "%s/tasks/tasks.toml", root);
    assert_int_equal(unlink(path), 0);
    assert_int_equal(symlink("a.js", path), 0);
    assert_int_equal(task_set_read(root, "tasks", "linux-x64", &set, error), GRID_EINVAL);
    assert_string_equal(error, "tasks/tasks.toml cannot be read: it is a link; put a file there");
}

static void test_task_set__reads_a_folder(void **state)
{
    (void) state;
    char root[] = "/tmp/grid-task-set-XXXXXX", error[TASK_ERROR_MAX], command[128];
    struct task_set set;
    assert_non_null(mkdtemp(root));
    assert_int_equal(task_set_read(root, "tasks", "linux-x64", &set, error), GRID_ENOENT);
    assert_string_equal(error, "the project has no folder tasks, or .gridignore leaves it out: create it and put a task into it");
    put(root, "file", 0600);
    assert_int_equal(task_set_read(root, "file", "linux-x64", &set, error), GRID_ENOENT);
    assert_string_equal(error, "file is not a folder: tasks are the files of a folder");
    put(root, "tasks", S_IFDIR);
    put(root, "tasks/a.js", 0600);
    put(root, "tasks/b", 0700);
    put(root, "tasks/notes.txt", 0600);
    put_text(root, "tasks/tasks.toml", "[a]\nplatforms = ['linux-x64']\n[b]\nplatforms = ['linux-arm64']\n");
    put(root, "tasks/c", S_IFDIR);
    put(root, "tasks/c/bootstrap", 0700);
    put(root, "tasks/d", S_IFDIR);
    put(root, "tasks/d/package.json", 0600);
    put(root, "tasks/e", S_IFDIR);
    put(root, "tasks/e/e", 0600);
    assert_int_equal(task_set_read(root, "tasks", "linux-x64", &set, error), 0);
    assert_int_equal(set.count, 3);
    expect_task(&set, "a", TASK_NODE, "a.js", "a.js");
    expect_task(&set, "c", TASK_EXECUTABLE, "c", "c/bootstrap");
    expect_task(&set, "d", TASK_NODE, "d", "d");
    assert_int_equal(set.elsewhere_count, 1);
    assert_string_equal(set.elsewhere[0].name, "b");
    assert_int_equal(set.note_count, 2);
    task_set_dispose(&set);
    expect_refused_toml(root);
    snprintf(command, sizeof command, "rm -r %s", root);
    assert_int_equal(system(command), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_task_set__notes_files_that_look_like_tasks_without_the_executable_bit),
        cmocka_unit_test(test_task_set__names_tasks_by_file_without_extension),
        cmocka_unit_test(test_task_set__refuses_with_a_sentence),
        cmocka_unit_test(test_task_set__limits_the_length_of_a_name),
        cmocka_unit_test(test_task_set__a_platform_runs_what_fits_it),
        cmocka_unit_test(test_task_set__says_why_a_task_is_elsewhere_and_what_is_passed_over),
        cmocka_unit_test(test_task_set__tasks_toml_says_for_which_platforms_a_task_is),
        cmocka_unit_test(test_task_set__refuses_a_tasks_toml_with_a_sentence),
        cmocka_unit_test(test_task_set__reads_a_folder),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
