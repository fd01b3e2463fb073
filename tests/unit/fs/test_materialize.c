/* Trees on disk: equal to what was published, whole or absent, and gone when removed. */
#include "tests/unit/fs/release.h"

#include <sched.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/wait.h>

static void fill_project(struct release_fixture *f)
{
    tree_dir(f->folder, "p/tasks");
    tree_dir(f->folder, "p/empty");
    tree_dir(f->folder, "p/deep");
    tree_dir(f->folder, "p/deep/er");
    for (int i = 0; i < 200; i++) {
        char name[64];
        snprintf(name, sizeof name, "p/deep/er/%d \xc3\xa9\xff", i);
        tree_file(f->folder, name, name);
    }
    tree_file(f->folder, "p/tasks/run.sh", "#!/bin/sh\necho hi\n");
    assert_int_equal(chmod(tree_path(f->folder, "p/tasks/run.sh"), 0755), 0);
    tree_file(f->folder, "p/nothing", "");
    assert_int_equal(symlink("../deep/er", tree_path(f->folder, "p/tasks/link")), 0);
    assert_int_equal(symlink("nowhere", tree_path(f->folder, "p/dangling")), 0);
    uint8_t *bytes = malloc(1500000);
    tree_noise(bytes, 1500000, 9);
    tree_write(f->folder, "p/long", bytes, 1500000);
    free(bytes);
}

static void test_materialize__a_tree_comes_back_as_it_was(void **state)
{
    struct release_fixture *f = *state;
    struct materialize_result out;
    struct materialize_options options = {.sync = true};
    struct stat st;
    fill_project(f);
    struct object_id root = release_of(f);
    assert_int_equal(materialize_tree(f->store, &root, f->releases, "one", &options, NULL, &out), 0);
    assert_int_equal(out.files, 203);
    assert_int_equal(out.reused_files, 0);
    release_assert_same(f, "p", "releases/one");
    assert_int_equal(stat(tree_path(f->folder, "releases/one/tasks/run.sh"), &st), 0);
    assert_int_equal(st.st_mode & 0111, 0111);
    assert_int_equal(stat(tree_path(f->folder, "releases/one/long"), &st), 0);
    assert_int_equal(st.st_mode & 0111, 0);
    assert_int_equal(stat(tree_path(f->folder, "releases/one/empty"), &st), 0);
    assert_int_equal(materialize_tree(f->store, &root, f->releases, "one", NULL, NULL, &out), 0);
    assert_true(out.existed);
    assert_int_equal(release_count(f), 1);
}

/* Blocks of a file that ends in a hole of that size, as the file system has it. */
static blkcnt_t blocks_of_hole(const char *folder, off_t size)
{
    struct stat st;
    int fd = open(tree_path(folder, "hole"), O_RDWR | O_CREAT | O_EXCL, 0600);
    assert_true(fd >= 0);
    assert_int_equal(ftruncate(fd, size), 0);
    assert_int_equal(fstat(fd, &st), 0);
    close(fd);
    return st.st_blocks;
}

static void test_materialize__zeros_take_no_room(void **state)
{
    struct release_fixture *f = *state;
    enum { SIZE = 6 << 20, NOISE = 300000 };
    static const struct {
        const char *name;
        size_t noise_at; /* in zeros */
    } cases[] = {{"p/begins", 0}, {"p/middle", SIZE / 2}, {"p/ends", SIZE - NOISE}};
    static const char *const trees[] = {"one", "two"}; /* from the store, and out of the other tree */
    const struct materialize_options options = {.previous = "one"};
    struct materialize_result out;
    struct stat st;
    uint8_t *bytes = malloc(SIZE);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        memset(bytes, 0, SIZE);
        tree_noise(bytes + cases[i].noise_at, NOISE, i);
        tree_write(f->folder, cases[i].name, bytes, SIZE);
    }
    memset(bytes, 0, 20000); /* one chunk alone */
    tree_write(f->folder, "p/short", bytes, 20000);
    free(bytes);
    struct object_id root = release_of(f);
    assert_int_equal(materialize_tree(f->store, &root, f->releases, "one", NULL, NULL, &out), 0);
    assert_int_equal(materialize_tree(f->store, &root, f->releases, "two", &options, NULL, &out), 0);
    assert_int_equal(out.reused_files, out.files);
    bool has_holes = blocks_of_hole(f->folder, SIZE) == 0;
    for (size_t i = 0; i < 2 * sizeof cases / sizeof *cases; i++) {
        char path[64];
        snprintf(path, sizeof path, "releases/%s", trees[i % 2]);
        release_assert_same(f, "p", path);
        snprintf(path, sizeof path, "releases/%s/%s", trees[i % 2], cases[i / 2].name + 2);
        assert_int_equal(stat(tree_path(f->folder, path), &st), 0);
        assert_true(!has_holes || (int64_t) st.st_blocks * 512 < SIZE / 2);
    }
}

static void test_materialize__republishing_a_built_tree_gives_the_same_root(void **state)
{
    struct release_fixture *f = *state;
    struct materialize_result out;
    struct publish_result again;
    fill_project(f);
    struct object_id root = release_of(f);
    assert_int_equal(materialize_tree(f->store, &root, f->releases, "one", NULL, NULL, &out), 0);
    int fd = tree_open(tree_path(f->folder, "releases/one"));
    assert_int_equal(release_publish(f->store, fd, NULL, NULL, &again), 0);
    close(fd);
    assert_true(object_id_equal(&root, &again.root));
}

static void test_materialize__takes_from_the_older_tree_what_is_untouched(void **state)
{
    struct release_fixture *f = *state;
    struct materialize_result out;
    struct materialize_options options = {.previous = "one"};
    fill_project(f);
    struct object_id root = release_of(f);
    assert_int_equal(materialize_tree(f->store, &root, f->releases, "one", NULL, NULL, &out), 0);
    tree_file(f->folder, "releases/one/tasks/run.sh", "#!/bin/sh\necho no\n"); /* a task wrote into its release, the same length */
    tree_file(f->folder, "p/deep/er/new", "new");
    root = release_of(f);
    assert_int_equal(materialize_tree(f->store, &root, f->releases, "two", &options, NULL, &out), 0);
    assert_int_equal(out.files, 204);
    assert_int_equal(out.reused_files, 204 - 3); /* the new one, the changed one, and the empty one */
    release_assert_same(f, "p", "releases/two");
}

static void test_materialize__the_switch_is_one_rename(void **state)
{
    struct release_fixture *f = *state;
    char name[64];
    assert_int_equal(materialize_current(f->releases, "current", name, sizeof name), GRID_ENOENT);
    assert_int_equal(materialize_switch(f->releases, "current", "one"), 0);
    assert_int_equal(materialize_switch(f->releases, "current", "two"), 0);
    assert_int_equal(materialize_current(f->releases, "current", name, sizeof name), 0);
    assert_string_equal(name, "two");
    assert_int_equal(materialize_current(f->releases, "current", name, 2), GRID_ELIMIT);
    assert_int_equal(release_count(f), 1);
    assert_int_equal(materialize_switch(f->releases, "current", "../x"), GRID_EINVAL);
}

static void test_materialize__a_missing_object_leaves_nothing(void **state)
{
    struct release_fixture *f = *state;
    struct materialize_result out;
    struct fs_report report = {0};
    struct object_id root = {{1}};
    assert_int_equal(materialize_tree(f->store, &root, f->releases, "one", NULL, &report, &out), GRID_ENOENT);
    assert_non_null(strstr(report.error, "fetched again"));
    assert_int_equal(release_count(f), 0);
    fs_report_dispose(&report);
    assert_int_equal(materialize_tree(f->store, &root, f->releases, "../x", NULL, NULL, &out), GRID_EINVAL);
    assert_int_equal(materialize_tree(f->store, &root, f->releases, ".new-x", NULL, NULL, &out), GRID_EINVAL);
}

static bool stop_at(void *arg, uint64_t files, uint64_t bytes)
{
    (void) bytes;
    return files < *(uint64_t *) arg;
}

static void test_materialize__ended_after_any_file_leaves_nothing(void **state)
{
    struct release_fixture *f = *state;
    struct materialize_result out;
    uint64_t limit;
    struct materialize_options options = {.progress = stop_at, .arg = &limit};
    fill_project(f);
    struct object_id root = release_of(f);
    for (limit = 1; limit < 200; limit += 37) {
        assert_int_equal(materialize_tree(f->store, &root, f->releases, "one", &options, NULL, &out), GRID_ECANCELED);
        assert_int_equal(release_count(f), 0);
    }
}

static void test_materialize__cleans_what_a_crash_left(void **state)
{
    struct release_fixture *f = *state;
    struct materialize_result out;
    fill_project(f);
    struct object_id root = release_of(f);
    pid_t child = fork();
    if (child == 0) {
        signal(SIGXFSZ, SIG_DFL);
        setrlimit(RLIMIT_CORE, &(struct rlimit){0, 0});
        setrlimit(RLIMIT_FSIZE, &(struct rlimit){100000, 100000}); /* the long file kills it */
        materialize_tree(f->store, &root, f->releases, "one", NULL, NULL, &out);
        _exit(0);
    }
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFSIGNALED(status));
    assert_int_equal(release_count(f), 1);
    assert_int_equal(materialize_clean(f->releases), 0);
    assert_int_equal(release_count(f), 0);
    assert_int_equal(materialize_tree(f->store, &root, f->releases, "one", NULL, NULL, &out), 0);
    release_assert_same(f, "p", "releases/one");
}

/* Where a deploying process is killed: in the n-th file of publishing, of building, or behind a step. */
struct death {
    uint64_t publishing;
    uint64_t building;
    bool before_switch;
    bool after_switch;
};

static bool die_publishing(void *arg, const struct publish_progress *progress)
{
    if (progress->files_done > 0 && progress->files_done == ((struct death *) arg)->publishing)
        raise(SIGKILL);
    return true;
}

static bool die_building(void *arg, uint64_t files, uint64_t bytes)
{
    (void) bytes;
    if (files == ((struct death *) arg)->building)
        raise(SIGKILL);
    return true;
}

/* A whole deploy: store, tree, switch. In a process of its own. */
static void deploy(struct release_fixture *f, struct death *death)
{
    struct store *store;
    struct publish_result published;
    struct materialize_result built;
    struct publish_options publishing = {.progress = die_publishing, .arg = death};
    struct materialize_options building = {.previous = "old", .progress = die_building, .arg = death};
    bool done = store_open(tree_path(f->folder, "store"), NULL, NULL, &store) == 0 &&
                release_publish(store, tree_open(tree_path(f->folder, "p")), &publishing, NULL, &published) == 0 &&
                materialize_clean(f->releases) == 0 &&
                materialize_tree(store, &published.root, f->releases, "new", &building, NULL, &built) == 0;
    if (death->before_switch)
        raise(SIGKILL);
    done = done && materialize_switch(f->releases, "current", "new") == 0;
    if (death->after_switch)
        raise(SIGKILL);
    _exit(done ? 0 : 1);
}

static int deploy_in_child(struct release_fixture *f, struct death *death)
{
    int status;
    pid_t child = fork();
    if (child == 0)
        deploy(f, death);
    assert_int_equal(waitpid(child, &status, 0), child);
    return status;
}

static void test_materialize__killed_anywhere_leaves_the_old_release_or_the_new(void **state)
{
    struct release_fixture *f = *state;
    struct materialize_result out;
    struct death never = {0}, deaths[] = {{.publishing = 1}, {.publishing = 100}, {.publishing = 203}, {.building = 1}, {.building = 77},
                                          {.building = 203}, {.before_switch = true}, {.after_switch = true}};
    char current[64];
    fill_project(f);
    struct object_id root = release_of(f);
    assert_int_equal(materialize_tree(f->store, &root, f->releases, "old", NULL, NULL, &out), 0);
    tree_file(f->folder, "p/tasks/run.sh", "#!/bin/sh\necho new\n");
    store_close(f->store);
    f->store = NULL;
    for (size_t i = 0; i < sizeof deaths / sizeof *deaths; i++) {
        assert_int_equal(materialize_remove(f->releases, "new"), 0);
        assert_int_equal(materialize_switch(f->releases, "current", "old"), 0);
        assert_true(WIFSIGNALED(deploy_in_child(f, &deaths[i])));
        assert_int_equal(materialize_current(f->releases, "current", current, sizeof current), 0);
        assert_string_equal(current, deaths[i].after_switch ? "new" : "old");
        if (deaths[i].after_switch)
            release_assert_same(f, "p", "releases/current/.");
        assert_int_equal(access(tree_path(f->folder, "releases/old/nothing"), F_OK), 0);
        assert_int_equal(deploy_in_child(f, &never), 0);
        release_assert_same(f, "p", "releases/new");
        assert_int_equal(release_count(f), 3);
    }
    assert_int_equal(store_open(tree_path(f->folder, "store"), NULL, NULL, &f->store), 0);
}

static void test_materialize__a_full_disk_leaves_nothing_and_the_store_whole(void **state)
{
    struct release_fixture *f = *state;
    struct materialize_result out;
    struct store *small;
    struct publish_result published;
    struct fs_report report = {0};
    if (geteuid() != 0 || unshare(CLONE_NEWNS) != 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) != 0)
        skip();
    fill_project(f);
    struct object_id root = release_of(f);
    tree_dir(f->folder, "tiny");
    assert_int_equal(mount("tmpfs", tree_path(f->folder, "tiny"), "tmpfs", 0, "size=1m"), 0);
    int fd = tree_open(tree_path(f->folder, "tiny"));
    assert_int_equal(materialize_tree(f->store, &root, fd, "one", NULL, &report, &out), GRID_ENOSPC);
    assert_non_null(strstr(report.error, "disk is full"));
    assert_int_equal(faccessat(fd, "one", F_OK, 0), -1);
    assert_int_equal(faccessat(fd, ".new-one", F_OK, 0), -1);
    fs_report_dispose(&report);
    assert_int_equal(store_open(tree_path(f->folder, "tiny/store"), NULL, NULL, &small), 0);
    int project = tree_open(tree_path(f->folder, "p"));
    assert_int_equal(release_publish(small, project, NULL, &report, &published), GRID_ENOSPC);
    assert_non_null(strstr(report.error, "full"));
    fs_report_dispose(&report);
    store_close(small);
    close(project);
    project = tree_open(tree_path(f->folder, "p/tasks"));
    assert_int_equal(store_open(tree_path(f->folder, "tiny/store"), NULL, NULL, &small), 0);
    assert_int_equal(release_publish(small, project, NULL, NULL, &published), 0);
    store_close(small);
    close(project);
    close(fd);
    assert_int_equal(umount(tree_path(f->folder, "tiny")), 0);
}

static void test_materialize__removes_trees_however_deep_and_locked(void **state)
{
    struct release_fixture *f = *state;
    int fd = f->releases;
    tree_dir(f->folder, "releases/deep");
    tree_file(f->folder, "outside", "stays");
    fd = tree_open(tree_path(f->folder, "releases/deep"));
    for (int i = 0; i < 400; i++) {
        assert_int_equal(mkdirat(fd, "d", 0755), 0);
        assert_int_equal(symlinkat("/etc", fd, "l"), 0);
        int next = openat(fd, "d", O_RDONLY | O_DIRECTORY);
        close(fd);
        fd = next;
    }
    assert_int_equal(fchmod(fd, 0), 0);
    close(fd);
    assert_int_equal(materialize_remove(f->releases, "deep"), 0);
    assert_int_equal(release_count(f), 0);
    assert_int_equal(materialize_remove(f->releases, "deep"), 0);
    assert_int_equal(symlink("../outside", tree_path(f->folder, "releases/link")), 0);
    assert_int_equal(materialize_remove(f->releases, "link"), 0);
    assert_int_equal(access(tree_path(f->folder, "outside"), F_OK), 0);
    assert_int_equal(release_count(f), 0);
}

static void test_materialize__cleans_in_steps_what_was_set_aside(void **state)
{
    enum { DEEP = 300, WIDE = 90, STEP = 50 };
    struct release_fixture *f = *state;
    char path[64];
    tree_dir(f->folder, "releases/tmp");
    for (int i = 0; i < WIDE; i++) {
        snprintf(path, sizeof path, "releases/tmp/file%d", i);
        tree_file(f->folder, path, "x");
    }
    int fd = tree_open(tree_path(f->folder, "releases/tmp"));
    for (int i = 0; i < DEEP; i++) {
        assert_int_equal(mkdirat(fd, "d", 0755), 0);
        int next = openat(fd, "d", O_RDONLY | O_DIRECTORY);
        close(fd);
        fd = next;
    }
    close(fd);
    assert_int_equal(materialize_set_aside(f->releases, "tmp"), 0);
    assert_int_equal(materialize_set_aside(f->releases, "tmp"), 0); /* there is none */
    tree_dir(f->folder, "releases/tmp");
    assert_int_equal(materialize_set_aside(f->releases, "tmp"), 0); /* beside the first */
    assert_int_equal(release_count(f), 2);
    tree_dir(f->folder, "releases/kept");
    int steps = 1;
    for (int err; (err = materialize_clean_some(f->releases, STEP)) != 0; steps++)
        assert_true(err == GRID_EAGAIN && steps < 50);
    assert_in_range(steps, 4, 20);
    assert_int_equal(release_count(f), 1);
    assert_int_equal(materialize_set_aside(f->releases, "../releases"), GRID_EINVAL);
}

/* A root whose directory holds itself cannot be made; one that leads out can be said, and is refused. */
static void test_materialize__refuses_a_link_that_leads_out(void **state)
{
    struct release_fixture *f = *state;
    struct materialize_result out;
    struct store_batch batch;
    struct manifest_writer w;
    struct object_id root;
    struct buf content;
    struct manifest_entry link = {.name = SLICE_INIT("l"), .kind = MANIFEST_SYMLINK, .size = 4, .target = SLICE_INIT("../x")};
    buf_init(&content, 0);
    manifest_dir_begin(&w, &content, &chunker_default_params);
    manifest_dir_add(&w, &link);
    assert_int_equal(manifest_end(&w), 0);
    store_batch_init(&batch, f->store);
    assert_int_equal(store_batch_put(&batch, OBJECT_DIRECTORY, buf_slice(&content), &root), 0);
    assert_int_equal(store_batch_commit(&batch), 0);
    store_batch_dispose(&batch);
    assert_int_equal(materialize_tree(f->store, &root, f->releases, "one", NULL, NULL, &out), GRID_EPROTO);
    assert_int_equal(release_count(f), 0);
    buf_dispose(&content);
}

#define WITH_STORE(test) cmocka_unit_test_setup_teardown(test, release_setup, release_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_STORE(test_materialize__a_tree_comes_back_as_it_was),
        WITH_STORE(test_materialize__zeros_take_no_room),
        WITH_STORE(test_materialize__republishing_a_built_tree_gives_the_same_root),
        WITH_STORE(test_materialize__takes_from_the_older_tree_what_is_untouched),
        WITH_STORE(test_materialize__the_switch_is_one_rename),
        WITH_STORE(test_materialize__a_missing_object_leaves_nothing),
        WITH_STORE(test_materialize__ended_after_any_file_leaves_nothing),
        WITH_STORE(test_materialize__cleans_what_a_crash_left),
        WITH_STORE(test_materialize__killed_anywhere_leaves_the_old_release_or_the_new),
        WITH_STORE(test_materialize__a_full_disk_leaves_nothing_and_the_store_whole),
        WITH_STORE(test_materialize__cleans_in_steps_what_was_set_aside),
        WITH_STORE(test_materialize__removes_trees_however_deep_and_locked),
        WITH_STORE(test_materialize__refuses_a_link_that_leads_out),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
