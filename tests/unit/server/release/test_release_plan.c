/* Which change of a project restarts which task, and which projects are refused in what words. */
#include "tests/unit/fs/tree.h"

#include <unistd.h>

#include "api/pb.h"
#include "fs/materialize.h"
#include "fs/publish.h"
#include "grid/v1/peer.pb-c.h"
#include "server/release/release_plan.h"

struct fixture {
    char *folder;
    struct store *store;
    int trees_fd;
    Grid__V1__ReleaseConfig config;
    char why[TASK_ERROR_MAX];
};

static int setup(void **state)
{
    static struct fixture f;
    f = (struct fixture){.folder = tree_make(), .config = GRID__V1__RELEASE_CONFIG__INIT};
    tree_dir(f.folder, "trees");
    f.trees_fd = tree_open(tree_path(f.folder, "trees"));
    assert_int_equal(store_open(tree_path(f.folder, "store"), NULL, NULL, &f.store), 0);
    tree_dir(f.folder, "p");
    tree_dir(f.folder, "p/tasks");
    tree_dir(f.folder, "p/tasks/pack");
    tree_dir(f.folder, "p/tasks/lib");
    tree_dir(f.folder, "p/src");
    tree_file(f.folder, "p/tasks/a.js", "a");
    tree_file(f.folder, "p/tasks/b.py", "b");
    tree_file(f.folder, "p/tasks/pack/package.json", "{}");
    tree_file(f.folder, "p/tasks/pack/index.js", "1");
    tree_file(f.folder, "p/tasks/lib/util.js", "u");
    tree_file(f.folder, "p/src/x", "x");
    assert_int_equal(symlink("a.js", tree_path(f.folder, "p/tasks/c.js")), 0);
    *state = &f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    store_close(f->store);
    close(f->trees_fd);
    tree_remove(f->folder);
    return 0;
}

static int read_plan(struct fixture *f, struct release_plan *plan)
{
    struct publish_result published;
    struct materialize_result built;
    struct buf config;
    char hex[OBJECT_ID_HEX + 1], path[4096];
    int fd = tree_open(tree_path(f->folder, "p"));
    assert_int_equal(release_publish(f->store, fd, NULL, NULL, &published), 0);
    close(fd);
    object_id_to_hex(&published.root, hex);
    assert_int_equal(materialize_tree(f->store, &published.root, f->trees_fd, hex, NULL, NULL, &built), 0);
    snprintf(path, sizeof path, "%s/trees/%s", f->folder, hex);
    buf_init(&config, 0);
    assert_int_equal(pb_append(&config, &f->config.base), 0);
    int err = release_plan_read(f->store, &published.root, path, "linux-x64", buf_slice(&config), plan, f->why);
    buf_dispose(&config);
    return err;
}

/* The names of the tasks whose digest differs between two plans, one letter each. */
static void changed_names(const struct release_plan *before, const struct release_plan *after, char out[16])
{
    size_t count = 0;
    for (size_t i = 0; i < before->tasks.count; i++) {
        const struct task *now = task_set_find(&after->tasks, before->tasks.tasks[i].name);
        if (!now || memcmp(now->digest, before->tasks.tasks[i].digest, TASK_DIGEST_BYTES) != 0)
            out[count++] = before->tasks.tasks[i].name[0];
    }
    out[count] = '\0';
}

static void change_nothing(struct fixture *f)
{
    (void) f;
}

static void change_task(struct fixture *f)
{
    tree_file(f->folder, "p/tasks/b.py", "other");
}

static void change_linked_task(struct fixture *f)
{
    tree_file(f->folder, "p/tasks/a.js", "other");
}

static void change_package(struct fixture *f)
{
    tree_file(f->folder, "p/tasks/pack/index.js", "2");
}

static void change_outside(struct fixture *f)
{
    tree_file(f->folder, "p/src/x", "y");
}

static void add_outside(struct fixture *f)
{
    tree_file(f->folder, "p/README", "hello");
}

static void change_library(struct fixture *f)
{
    tree_file(f->folder, "p/tasks/lib/util.js", "v");
}

static void add_data(struct fixture *f)
{
    tree_file(f->folder, "p/tasks/data.txt", "not a task");
}

static void make_executable(struct fixture *f)
{
    assert_int_equal(chmod(tree_path(f->folder, "p/tasks/b.py"), 0755), 0);
}

static Grid__V1__StringPair *pair_of(const char *key, const char *value)
{
    static Grid__V1__StringPair pair;
    grid__v1__string_pair__init(&pair);
    pair.key = pb_str(key);
    pair.value = pb_str(value);
    return &pair;
}

static void set_env(struct fixture *f, const char *key, const char *value)
{
    static Grid__V1__StringPair *list[1];
    list[0] = pair_of(key, value);
    f->config.env = list;
    f->config.n_env = 1;
}

static void change_env(struct fixture *f)
{
    set_env(f, "WORD", "one");
}

static void change_instances(struct fixture *f)
{
    f->config.instances = 3;
}

static void test_release_plan__knows_whom_a_change_restarts(void **state)
{
    static const struct {
        void (*change)(struct fixture *f);
        const char *restarts; /* first letters: a, b, c (a link to a.js), pack */
    } cases[] = {
        {change_nothing, ""},      {change_task, "bc"},      {change_linked_task, "ac"}, {change_package, "cp"}, {change_outside, "abcp"}, {add_outside, "abcp"},
        {change_library, "abcp"}, {add_data, "abcp"}, {make_executable, "bc"},    {change_env, "abcp"},    {change_instances, ""},
    };
    (void) state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct release_plan before, after;
        char names[16];
        void *one;
        setup(&one);
        assert_int_equal(read_plan(one, &before), 0);
        assert_int_equal(before.tasks.count, 4);
        cases[i].change(one);
        assert_int_equal(read_plan(one, &after), 0);
        changed_names(&before, &after, names);
        if (strcmp(names, cases[i].restarts) != 0)
            fail_msg("case %zu restarts \"%s\", not \"%s\"", i, names, cases[i].restarts);
        release_plan_dispose(&before);
        release_plan_dispose(&after);
        teardown(&one);
    }
}

static void test_release_plan__carries_instances_and_environment(void **state)
{
    struct fixture *f = *state;
    struct release_plan plan;
    set_env(f, "WORD", "a=b");
    f->config.instances = 2;
    assert_int_equal(read_plan(f, &plan), 0);
    assert_int_equal(plan.env.instances, 2);
    assert_string_equal(plan.env.env[0], "WORD=a=b");
    assert_null(plan.env.env[1]);
    assert_string_equal(plan.env.tasks_folder, "tasks");
    release_plan_dispose(&plan);
}

static void expect_refused(struct fixture *f, int err, const char *word)
{
    struct release_plan plan;
    assert_int_equal(read_plan(f, &plan), err);
    if (!strstr(f->why, word))
        fail_msg("\"%s\" does not say \"%s\"", f->why, word);
    release_plan_dispose(&plan);
}

static void test_release_plan__refuses_folders_that_are_no_name(void **state)
{
    static const char *const names[] = {"../x", "a/b", "..", ".", "/etc", "\xff"};
    struct fixture *f = *state;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        f->config.task_folder = pb_str(names[i]);
        expect_refused(f, GRID_EINVAL, "task_folder");
    }
    f->config.task_folder = pb_str("absent");
    expect_refused(f, GRID_ENOENT, "absent");
    f->config.task_folder = pb_str("src");
    expect_refused(f, GRID_ENOENT, "src");
}

static void test_release_plan__refuses_a_tasks_folder_that_is_a_link(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(symlink("tasks", tree_path(f->folder, "p/link")), 0);
    f->config.task_folder = pb_str("link");
    expect_refused(f, GRID_EINVAL, "link");
}

static void test_release_plan__refuses_bad_variables(void **state)
{
    static const char *const names[] = {"", "A=B"};
    struct fixture *f = *state;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        set_env(f, names[i], "x");
        expect_refused(f, GRID_EINVAL, "environment");
    }
}

static void test_release_plan__refuses_two_tasks_of_one_name(void **state)
{
    struct fixture *f = *state;
    tree_file(f->folder, "p/tasks/a.py", "a");
    expect_refused(f, GRID_EINVAL, "a.py");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_release_plan__knows_whom_a_change_restarts),
        cmocka_unit_test_setup_teardown(test_release_plan__carries_instances_and_environment, setup, teardown),
        cmocka_unit_test_setup_teardown(test_release_plan__refuses_folders_that_are_no_name, setup, teardown),
        cmocka_unit_test_setup_teardown(test_release_plan__refuses_a_tasks_folder_that_is_a_link, setup, teardown),
        cmocka_unit_test_setup_teardown(test_release_plan__refuses_bad_variables, setup, teardown),
        cmocka_unit_test_setup_teardown(test_release_plan__refuses_two_tasks_of_one_name, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
