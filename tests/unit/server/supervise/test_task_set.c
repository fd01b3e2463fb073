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
    assert_int_equal(task_set_build("tasks", entries, sizeof entries / sizeof *entries, &set, error), 0);
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
    assert_int_equal(task_set_build("tasks", entries, sizeof entries / sizeof *entries, &set, error), 0);
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
        {{{.name = "README"}}, 1, GRID_ENOENT, "tasks has no tasks: put a .js, .py or executable file into it"},
        {{{.name = ""}}, 0, GRID_ENOENT, "tasks has no tasks: put a .js, .py or executable file into it"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct task_set set;
        char error[TASK_ERROR_MAX];
        assert_int_equal(task_set_build("tasks", cases[i].entries, cases[i].count, &set, error), cases[i].err);
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
    assert_int_equal(task_set_build("t", &(struct task_entry){.name = name}, 1, &set, error), 0);
    task_set_dispose(&set);
    strcpy(name + TASK_NAME_MAX, "n.js");
    assert_int_equal(task_set_build("t", &(struct task_entry){.name = name}, 1, &set, error), GRID_EINVAL);
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

static void test_task_set__reads_a_folder(void **state)
{
    (void) state;
    char root[] = "/tmp/grid-task-set-XXXXXX", error[TASK_ERROR_MAX], command[128];
    struct task_set set;
    assert_non_null(mkdtemp(root));
    assert_int_equal(task_set_read(root, "tasks", &set, error), GRID_ENOENT);
    assert_string_equal(error, "the project has no folder tasks: create it and put a task into it");
    put(root, "file", 0600);
    assert_int_equal(task_set_read(root, "file", &set, error), GRID_ENOENT);
    assert_string_equal(error, "file is not a folder: tasks are the files of a folder");
    put(root, "tasks", S_IFDIR);
    put(root, "tasks/a.js", 0600);
    put(root, "tasks/b", 0700);
    put(root, "tasks/notes.txt", 0600);
    put(root, "tasks/c", S_IFDIR);
    put(root, "tasks/c/bootstrap", 0700);
    put(root, "tasks/d", S_IFDIR);
    put(root, "tasks/d/package.json", 0600);
    put(root, "tasks/e", S_IFDIR);
    put(root, "tasks/e/e", 0600);
    assert_int_equal(task_set_read(root, "tasks", &set, error), 0);
    assert_int_equal(set.count, 4);
    expect_task(&set, "a", TASK_NODE, "a.js", "a.js");
    expect_task(&set, "b", TASK_EXECUTABLE, "b", "b");
    expect_task(&set, "c", TASK_EXECUTABLE, "c", "c/bootstrap");
    expect_task(&set, "d", TASK_NODE, "d", "d");
    assert_int_equal(set.note_count, 2);
    task_set_dispose(&set);
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
        cmocka_unit_test(test_task_set__reads_a_folder),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
