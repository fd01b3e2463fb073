/* A folder as a tree: the same by one thread and by several, with the caller's rights in each, and never what is closed. */
#include "tests/unit/fs/tree.h"

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>

#include "fs/scan.h"

enum { FOLDERS = 40, WITHIN = 6, STRANGER = 54321 };

static int setup(void **state)
{
    *state = tree_make();
    tree_dir(*state, "p");
    return chmod(*state, 0755);
}

static int teardown(void **state)
{
    tree_remove(*state);
    return 0;
}

/* FOLDERS folders of WITHIN folders with a file and a link each, half of which are ruled out. */
static void make_wide(const char *folder)
{
    char name[128];
    for (int i = 0; i < FOLDERS; i++) {
        snprintf(name, sizeof name, "p/%d", i);
        tree_dir(folder, name);
        snprintf(name, sizeof name, "p/%d/.gridignore", i);
        tree_file(folder, name, i % 2 ? "*.txt\n" : "other\n");
        for (int j = 0; j < WITHIN; j++) {
            snprintf(name, sizeof name, "p/%d/%d", i, j);
            tree_dir(folder, name);
            snprintf(name, sizeof name, "p/%d/%d/x.txt", i, j);
            tree_file(folder, name, "four");
            snprintf(name, sizeof name, "p/%d/%d/link", i, j);
            assert_int_equal(symlink("../y", tree_path(folder, name)), 0);
        }
    }
}

static int scan(const char *folder, const struct rights *rights, const struct closed *closed, struct fs_report *report, struct scan *out)
{
    int fd = tree_open(tree_path(folder, "p"));
    int err = scan_folder(fd, &(struct scan_options){.rights = rights, .closed = closed}, report, out);
    close(fd);
    return err;
}

static void use_one_cpu(const cpu_set_t *all)
{
    cpu_set_t one;
    CPU_ZERO(&one);
    for (size_t cpu = 0; CPU_COUNT(&one) == 0 && cpu < CPU_SETSIZE; cpu++)
        if (CPU_ISSET(cpu, all))
            CPU_SET(cpu, &one);
    assert_int_equal(sched_setaffinity(0, sizeof one, &one), 0);
}

static void assert_same(const struct scan_entry *a, const struct scan_entry *b)
{
    assert_true(slice_equal(a->name, b->name) && slice_equal(a->target, b->target) && a->kind == b->kind);
    assert_true(a->kind == MANIFEST_DIRECTORY || scan_stamp_equal(&a->stamp, &b->stamp));
    assert_int_equal(a->child_count, b->child_count);
    for (uint32_t i = 0; i < a->child_count; i++) {
        assert_true(i == 0 || slice_compare(a->children[i - 1].name, a->children[i].name) < 0);
        assert_same(&a->children[i], &b->children[i]);
    }
}

static void test_scan__many_threads_find_what_one_does(void **state)
{
    struct scan many, alone;
    cpu_set_t all;
    make_wide(*state);
    assert_int_equal(sched_getaffinity(0, sizeof all, &all), 0);
    assert_int_equal(scan(*state, NULL, NULL, NULL, &many), 0);
    assert_true(many.arenas[1] || CPU_COUNT(&all) == 1);
    use_one_cpu(&all);
    assert_int_equal(scan(*state, NULL, NULL, NULL, &alone), 0);
    assert_int_equal(sched_setaffinity(0, sizeof all, &all), 0);
    assert_null(alone.arenas[1]);
    assert_int_equal(many.directories, 1 + FOLDERS + FOLDERS * WITHIN);
    assert_int_equal(many.files, FOLDERS + FOLDERS / 2 * WITHIN);
    assert_int_equal(many.bytes, FOLDERS * 6 + FOLDERS / 2 * WITHIN * 4);
    assert_int_equal(alone.files, many.files);
    assert_same(&many.root, &alone.root);
    scan_dispose(&many);
    scan_dispose(&alone);
}

static void test_scan__all_threads_look_with_the_rights_of_who_asked(void **state)
{
    struct rights stranger = {.uid = STRANGER, .gid = STRANGER};
    struct scan found;
    char name[64];
    if (geteuid() != 0 || !rights_can_change())
        skip();
    make_wide(*state);
    for (int i = 0; i < FOLDERS; i++) {
        struct fs_report report = {0};
        snprintf(name, sizeof name, "p/%d/%d", i, i % WITHIN);
        assert_int_equal(chmod(tree_path(*state, name), 0700), 0);
        assert_int_equal(scan(*state, &stranger, NULL, &report, &found), GRID_EPERM);
        assert_non_null(strstr(report.error, "make it readable"));
        assert_memory_equal(report.error, name + 2, strlen(name + 2));
        assert_int_equal(chmod(tree_path(*state, name), 0755), 0);
        fs_report_dispose(&report);
    }
    assert_int_equal(scan(*state, &stranger, NULL, NULL, &found), 0);
    scan_dispose(&found);
}

struct swapper {
    char a[4096], b[4096];
    atomic_bool stop;
};

/* Puts one folder in the other's place, and back. */
static void *swap(void *arg)
{
    struct swapper *s = arg;
    while (!atomic_load(&s->stop))
        renameat2(AT_FDCWD, s->a, AT_FDCWD, s->b, RENAME_EXCHANGE);
    return NULL;
}

static void test_scan__a_closed_folder_put_in_anothers_place_is_not_gone_into(void **state)
{
    struct swapper s = {0};
    struct closed closed;
    struct scan found;
    pthread_t thread;
    char name[64];
    tree_dir(*state, "closed");
    tree_file(*state, "closed/secret", "x");
    tree_dir(*state, "p/open");
    for (int i = 0; i < FOLDERS; i++) {
        snprintf(name, sizeof name, "p/%d", i); /* so that a while passes between looking at it and going into it */
        tree_dir(*state, name);
    }
    int fd = tree_open(tree_path(*state, "closed"));
    assert_int_equal(closed_make(fd, &closed), 0);
    close(fd);
    strcpy(s.a, tree_path(*state, "p/open"));
    strcpy(s.b, tree_path(*state, "closed"));
    assert_int_equal(pthread_create(&thread, NULL, swap, &s), 0);
    for (int i = 0; i < 150; i++) {
        int err = scan(*state, NULL, &closed, NULL, &found);
        if (err == 0 && found.files > 0)
            fail_msg("scan number %d found the closed folder's file", i);
        scan_dispose(&found);
    }
    atomic_store(&s.stop, true);
    pthread_join(thread, NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_scan__many_threads_find_what_one_does, setup, teardown),
        cmocka_unit_test_setup_teardown(test_scan__all_threads_look_with_the_rights_of_who_asked, setup, teardown),
        cmocka_unit_test_setup_teardown(test_scan__a_closed_folder_put_in_anothers_place_is_not_gone_into, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
