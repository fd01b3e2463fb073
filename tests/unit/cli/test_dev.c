/* What grid dev stands on: the watched folder, children with their output, the temporary folder, and a minted Gridfile. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cli/cli.h"
#include "cli/dev_child.h"
#include "cli/dev_folder.h"
#include "cli/gridfile_new.h"
#include "cli/project_watch.h"
#include "cli/sample.h"
#include "trust/gridfile.h"

static char folder[DEV_PATH_MAX];

static int setup(void **state)
{
    (void) state;
    return dev_folder_create(folder);
}

static int teardown(void **state)
{
    (void) state;
    dev_folder_remove(folder);
    return access(folder, F_OK) == 0 ? -1 : 0;
}

static void write_text(const char *name, const char *text)
{
    char path[512];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    FILE *file = fopen(path, "we");
    assert_non_null(file);
    fputs(text, file);
    fclose(file);
}

static void make_folder(const char *name)
{
    char path[512];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    assert_int_equal(mkdir(path, 0777), 0);
}

/* inotify tells at once: what is not there now does not come. */
static bool has_changed(struct project_watch *w)
{
    assert_null(project_watch_notice(w));
    assert_int_equal(project_watch_wait(w, 0), -1);
    return project_watch_check(w, 0);
}

static void test_watch__sees_changes_in_old_and_new_folders(void **state)
{
    (void) state;
    make_folder("tasks");
    struct project_watch *w = project_watch_create(folder, PROJECT_WATCH_FOLDERS_MAX, 0);
    assert_non_null(w);
    assert_false(has_changed(w));
    write_text("tasks/a.js", "1");
    assert_true(has_changed(w));
    assert_false(has_changed(w));
    make_folder("tasks/deep");
    assert_true(has_changed(w));
    write_text("tasks/deep/b.js", "1");
    assert_true(has_changed(w));
    project_watch_destroy(w);
}

static void test_watch__passes_over_what_is_ignored(void **state)
{
    (void) state;
    write_text(".gridignore", "*.log\nout/\n");
    make_folder("out");
    make_folder(".git");
    struct project_watch *w = project_watch_create(folder, PROJECT_WATCH_FOLDERS_MAX, 0);
    write_text("x.log", "1");
    write_text("out/y", "1");
    write_text(".git/index", "1");
    write_text("Gridfile", "1");
    assert_false(has_changed(w));
    write_text("x.js", "1");
    assert_true(has_changed(w));
    write_text(".gridignore", "*.tmp\n");
    assert_true(has_changed(w));
    write_text("x.log", "2");
    assert_true(has_changed(w));
    write_text("x.tmp", "2");
    assert_false(has_changed(w));
    project_watch_destroy(w);
}

static void test_watch__looks_at_node_modules_from_above(void **state)
{
    (void) state;
    make_folder("node_modules");
    make_folder("node_modules/p");
    struct project_watch *w = project_watch_create(folder, PROJECT_WATCH_FOLDERS_MAX, 0);
    write_text("node_modules/p/index.js", "1");
    assert_false(has_changed(w));
    write_text("node_modules/.package-lock.json", "1");
    assert_true(has_changed(w));
    project_watch_destroy(w);
}

static void move(const char *from, const char *to)
{
    char source[512], target[512];
    snprintf(source, sizeof source, "%s/%s", folder, from);
    snprintf(target, sizeof target, "%s/%s", folder, to);
    assert_int_equal(rename(source, target), 0);
}

static void test_watch__sees_what_comes_and_goes_by_renaming(void **state)
{
    (void) state;
    char root[sizeof folder + 16];
    snprintf(root, sizeof root, "%s/project", folder);
    make_folder("project");
    make_folder("made");
    make_folder("made/deep");
    struct project_watch *w = project_watch_create(root, PROJECT_WATCH_FOLDERS_MAX, 0);
    write_text("made/a.js", "1");
    assert_false(has_changed(w));
    move("made/a.js", "project/a.js"); /* as editors save */
    assert_true(has_changed(w));
    move("made", "project/made");
    assert_true(has_changed(w));
    write_text("project/made/deep/b.js", "1");
    assert_true(has_changed(w));
    move("project/made", "gone");
    assert_true(has_changed(w));
    write_text("gone/deep/b.js", "2");
    assert_false(has_changed(w));
    project_watch_destroy(w);
}

/* A moment at which the folder is looked through. */
static bool finds_change(struct project_watch *w, uint64_t *now_ms)
{
    int wait = project_watch_wait(w, *now_ms);
    assert_in_range(wait, 1, 600000);
    assert_false(project_watch_check(w, *now_ms)); /* not yet */
    return project_watch_check(w, *now_ms += (uint64_t) wait);
}

static void test_watch__looks_through_more_folders_than_may_be_watched(void **state)
{
    (void) state;
    uint64_t now_ms = 5;
    make_folder("a");
    make_folder("a/b");
    make_folder("a/b/c");
    struct project_watch *w = project_watch_create(folder, 2, now_ms);
    const char *notice = project_watch_notice(w);
    assert_non_null(notice);
    assert_non_null(strstr(notice, "more folders than are watched: it is looked through"));
    assert_null(project_watch_notice(w)); /* no news */
    assert_false(finds_change(w, &now_ms));
    write_text("a/b/c/x.js", "1");
    assert_true(finds_change(w, &now_ms));
    assert_false(finds_change(w, &now_ms));
    write_text("a/b/c/x.js", "12");
    project_watch_passed(w, now_ms); /* a deploy begins */
    assert_false(finds_change(w, &now_ms));
    write_text("a/x.js", "1"); /* a folder that is watched */
    assert_true(project_watch_check(w, now_ms));
    project_watch_destroy(w);
}

static void test_watch__finds_the_folder_again_that_was_replaced(void **state)
{
    (void) state;
    uint64_t now_ms = 5;
    char root[sizeof folder + 16];
    snprintf(root, sizeof root, "%s/project", folder);
    make_folder("project");
    write_text("project/a.js", "1");
    struct project_watch *w = project_watch_create(root, PROJECT_WATCH_FOLDERS_MAX, now_ms);
    move("project", "old");
    assert_true(project_watch_check(w, now_ms));
    assert_non_null(project_watch_notice(w));
    make_folder("project");
    write_text("project/a.js", "2");
    assert_true(finds_change(w, &now_ms));
    assert_int_equal(project_watch_wait(w, now_ms), -1); /* by inotify again */
    write_text("project/a.js", "3");
    assert_true(project_watch_check(w, now_ms));
    project_watch_destroy(w);
}

static void read_all(struct dev_child *c, struct buf *out)
{
    struct pollfd fd = {.fd = c->output, .events = POLLIN};
    do
        assert_true(poll(&fd, 1, 20000) > 0);
    while (dev_child_read(c, out));
}

static void test_child__gives_lines_without_the_grids_variables(void **state)
{
    char *argv[] = {"/bin/sh", "-c", "echo \"[$GRID_API$GRID]\"; echo error >&2; printf rest; exit 3", NULL};
    struct dev_child c = {0};
    struct buf out;
    char how[32];
    (void) state;
    setenv("GRID_API", "x", 1);
    setenv("GRID", "y", 1);
    buf_init(&out, 0);
    merge_init(&c.merge, "c", 0, MERGE_PLAIN);
    assert_int_equal(dev_child_start(&c, argv), 0);
    read_all(&c, &out);
    assert_string_equal(buf_cstr(&out), "c      | []\nc      | error\nc      | rest\n");
    assert_int_equal(waitpid(c.pid, &c.status, 0), c.pid);
    dev_child_describe(c.status, how);
    assert_string_equal(how, "exit 3");
    merge_dispose(&c.merge);
    buf_dispose(&out);
}

static void test_child__orphans_are_ended_with_the_rest(void **state)
{
    char *argv[] = {"/bin/sh", "-c", "sleep 300 & echo $!; exec sleep 300", NULL};
    struct dev_child c = {0};
    struct buf out;
    int orphan = 0;
    (void) state;
    prctl(PR_SET_CHILD_SUBREAPER, 1);
    buf_init(&out, 0);
    merge_init(&c.merge, "", 0, MERGE_PLAIN);
    assert_int_equal(dev_child_start(&c, argv), 0);
    struct pollfd fd = {.fd = c.output, .events = POLLIN};
    while (out.size == 0 && poll(&fd, 1, 20000) > 0)
        dev_child_read(&c, &out);
    assert_int_equal(sscanf(buf_cstr(&out), " | %d", &orphan), 1);
    dev_children_kill_all();
    assert_int_not_equal(kill(orphan, 0), 0);
    assert_int_not_equal(kill(c.pid, 0), 0);
    close(c.output);
    merge_dispose(&c.merge);
    buf_dispose(&out);
}

static void test_new__mints_a_gridfile_and_leaves_an_old_one_alone(void **state)
{
    char path[512], sentence[TRUST_SENTENCE_MAX];
    struct gridfile g;
    struct authority *authority;
    struct stat st;
    (void) state;
    snprintf(path, sizeof path, "%s/Gridfile", folder);
    assert_int_equal(gridfile_new(path, "mygrid"), GRID_DONE);
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
    assert_int_equal(gridfile_load(path, NULL, NULL, &g, sentence), 0);
    assert_string_equal(g.grid_name, "mygrid");
    assert_int_equal(gridfile_authority(&g, "mygrid", &authority, sentence), 0);
    assert_true(authority_can_issue(authority));
    authority_destroy(authority);
    gridfile_dispose(&g);
    assert_int_equal(gridfile_new(path, "other"), GRID_FAILED);
    assert_int_equal(gridfile_new(path, ""), GRID_USAGE);
}

static void test_sample__writes_the_files_of_the_tree(void **state)
{
    char path[512];
    struct stat st;
    (void) state;
    snprintf(path, sizeof path, "%s/demo", folder);
    assert_int_equal(sample_write(path), GRID_DONE);
    for (const struct sample_file *file = SAMPLE_FILES; file->path; file++) {
        snprintf(path, sizeof path, "%s/demo/%s", folder, file->path);
        assert_int_equal(stat(path, &st), 0);
        assert_int_equal(st.st_size, file->size);
        assert_int_equal((st.st_mode & 0100) != 0, file->is_executable);
    }
    snprintf(path, sizeof path, "%s/demo", folder);
    assert_int_equal(sample_write(path), GRID_FAILED);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_watch__sees_changes_in_old_and_new_folders, setup, teardown),
        cmocka_unit_test_setup_teardown(test_watch__passes_over_what_is_ignored, setup, teardown),
        cmocka_unit_test_setup_teardown(test_watch__looks_at_node_modules_from_above, setup, teardown),
        cmocka_unit_test_setup_teardown(test_watch__sees_what_comes_and_goes_by_renaming, setup, teardown),
        cmocka_unit_test_setup_teardown(test_watch__looks_through_more_folders_than_may_be_watched, setup, teardown),
        cmocka_unit_test_setup_teardown(test_watch__finds_the_folder_again_that_was_replaced, setup, teardown),
        cmocka_unit_test(test_child__gives_lines_without_the_grids_variables),
        cmocka_unit_test(test_child__orphans_are_ended_with_the_rest),
        cmocka_unit_test_setup_teardown(test_new__mints_a_gridfile_and_leaves_an_old_one_alone, setup, teardown),
        cmocka_unit_test_setup_teardown(test_sample__writes_the_files_of_the_tree, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
