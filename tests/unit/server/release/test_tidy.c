/* What a tidy takes and what it leaves, and that a crash at any point of it leaves a store that is good. */
#include "tests/unit/fs/tree.h"
#include "tests/unit/net/pump.h"

#include <sys/syscall.h>
#include <sys/wait.h>

#include "base/log.h"
#include "fs/materialize.h"
#include "fs/publish.h"
#include "fs/reach.h"
#include "server/release/tidy.h"

/* Releases 1 and 2 are kept, 0 is not; processes run in the tree of 2. */
enum { RELEASES = 3, SHARED_FILES = 3, OWN_FILES = 12, FILE_BYTES = 9000, CRASHED = 77, CRASHES_MAX = 2000 };

struct fixture {
    char *folder;
    struct store *store;
    struct release_log *log;
    int trees_fd;
    struct object_id roots[RELEASES];
    char names[RELEASES][OBJECT_ID_HEX + 1];
    volatile int done;
};

/* ---- a crash just before the call that would change the disk for the n-th time ---- */

static volatile int calls_left = -1; /* none is to come */

static void crash_if_due(void)
{
    if (calls_left >= 0 && calls_left-- == 0)
        _exit(CRASHED);
}

int unlinkat(int fd, const char *name, int flags)
{
    crash_if_due();
    return (int) syscall(SYS_unlinkat, fd, name, flags);
}

int renameat(int from_fd, const char *from, int to_fd, const char *to)
{
    crash_if_due();
    return (int) syscall(SYS_renameat2, from_fd, from, to_fd, to, 0);
}

int renameat2(int from_fd, const char *from, int to_fd, const char *to, unsigned flags)
{
    crash_if_due();
    return (int) syscall(SYS_renameat2, from_fd, from, to_fd, to, flags);
}

/* A process that ends loses nothing that it has written, so nothing need reach the disk. */
int fsync(int fd)
{
    (void) fd;
    crash_if_due();
    return 0;
}

int fdatasync(int fd)
{
    (void) fd;
    crash_if_due();
    return 0;
}

/* ---- three releases, stored and built ---- */

static void open_store(struct fixture *f)
{
    static const struct store_options small = {.segment_bytes = 64 * 1024};
    assert_int_equal(store_open(tree_path(f->folder, "store"), &small, NULL, &f->store), 0);
}

static void write_noise(struct fixture *f, const char *path, uint64_t seed)
{
    static uint8_t bytes[FILE_BYTES];
    tree_noise(bytes, sizeof bytes, seed);
    tree_write(f->folder, path, bytes, sizeof bytes);
}

/* Files that all have come between those that only this one has, so that segments hold both. */
static void write_project(struct fixture *f, unsigned release)
{
    char path[64];
    snprintf(path, sizeof path, "p%u", release);
    tree_dir(f->folder, path);
    for (unsigned i = 0; i < OWN_FILES; i++) {
        snprintf(path, sizeof path, "p%u/f%02u-own", release, i);
        write_noise(f, path, 1000 * (release + 1) + i);
    }
    for (unsigned i = 0; i < SHARED_FILES; i++) {
        snprintf(path, sizeof path, "p%u/f%02u-shared", release, i * 4);
        write_noise(f, path, i);
    }
}

static void keep(struct fixture *f, unsigned release)
{
    struct release_entry e = {.app = SLICE("default"), .sequence = release, .root = f->roots[release], .publisher = SLICE("0123")};
    enum release_outcome outcome;
    assert_int_equal(hash_sha256(e.config, e.config_hash), 0);
    assert_int_equal(release_log_add(f->log, &e, &outcome), 0);
}

static void make_release(struct fixture *f, unsigned release)
{
    struct publish_result published;
    struct materialize_result built;
    char name[8];
    write_project(f, release);
    snprintf(name, sizeof name, "p%u", release);
    int fd = tree_open(tree_path(f->folder, name));
    assert_int_equal(release_publish(f->store, fd, NULL, NULL, &published), 0);
    close(fd);
    f->roots[release] = published.root;
    object_id_to_hex(&published.root, f->names[release]);
    assert_int_equal(materialize_tree(f->store, &published.root, f->trees_fd, f->names[release], NULL, NULL, &built), 0);
    if (release > 0)
        keep(f, release);
}

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);
    log_configure(LOG_ERROR, LOG_TEXT, NULL);
    f->folder = tree_make();
    tree_dir(f->folder, "trees");
    f->trees_fd = tree_open(tree_path(f->folder, "trees"));
    f->log = release_log_create();
    open_store(f);
    for (unsigned i = 0; i < RELEASES; i++)
        make_release(f, i);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    store_close(f->store);
    release_log_destroy(f->log);
    close(f->trees_fd);
    tree_remove(f->folder);
    free(f);
    return 0;
}

/* ---- tidying and looking ---- */

static bool is_used(void *ctx, const char *name)
{
    return strcmp(name, ((struct fixture *) ctx)->names[RELEASES - 1]) == 0;
}

static void on_done(void *ctx)
{
    ((struct fixture *) ctx)->done = 1;
}

static void tidy(struct fixture *f)
{
    struct loop *l;
    f->done = 0;
    assert_int_equal(loop_create(&l), 0);
    assert_int_equal(tidy_start(l, &(struct tidy_options){.store = f->store, .log = f->log, .trees_fd = f->trees_fd, .is_used = is_used, .ctx = f}, on_done, f), 0);
    PUMP(l, f->done, 1);
    loop_destroy(l);
}

static uint64_t count_missing(struct fixture *f, unsigned release)
{
    struct id_map live;
    uint64_t missing = 0;
    id_map_init(&live);
    assert_int_equal(release_mark(f->store, &f->roots[release], &live, &missing), 0);
    id_map_dispose(&live);
    return missing;
}

static bool has_tree(struct fixture *f, unsigned release)
{
    return faccessat(f->trees_fd, f->names[release], F_OK, 0) == 0;
}

/* Every object is read and hashed: a tree is built of it. */
static void expect_whole(struct fixture *f, unsigned release)
{
    struct materialize_result built;
    assert_int_equal(count_missing(f, release), 0);
    assert_int_equal(materialize_tree(f->store, &f->roots[release], f->trees_fd, "look", NULL, NULL, &built), 0);
    assert_int_equal(built.files, OWN_FILES + SHARED_FILES);
    assert_int_equal(materialize_remove(f->trees_fd, "look"), 0);
}

/* ---- the claims ---- */

static void test_tidy__takes_what_no_kept_release_needs(void **state)
{
    struct fixture *f = *state;
    struct store_stats before, after;
    store_stats(f->store, &before);
    tidy(f);
    store_stats(f->store, &after);
    assert_true(count_missing(f, 0) > 0);
    assert_true(after.disk_bytes + OWN_FILES * FILE_BYTES / 2 < before.disk_bytes);
    assert_false(has_tree(f, 0));
    assert_false(has_tree(f, 1)); /* nobody runs in it: its objects are enough to build it again */
}

static void test_tidy__leaves_what_a_kept_release_needs(void **state)
{
    struct fixture *f = *state;
    tidy(f);
    assert_true(has_tree(f, 2));
    for (unsigned i = 1; i < RELEASES; i++)
        expect_whole(f, i);
    store_close(f->store);
    open_store(f);
    for (unsigned i = 1; i < RELEASES; i++)
        expect_whole(f, i);
}

static void test_tidy__leaves_what_is_held(void **state)
{
    struct fixture *f = *state;
    struct publish_result published;
    struct store_hold hold;
    store_hold_begin(f->store, &hold);
    int fd = tree_open(tree_path(f->folder, "p0"));
    assert_int_equal(release_publish(f->store, fd, NULL, NULL, &published), 0); /* deployed again, and not yet in the log */
    close(fd);
    tidy(f);
    expect_whole(f, 0);
    store_hold_end(f->store, &hold);
    tidy(f);
    assert_true(count_missing(f, 0) > 0);
}

/* True when the tidy came to its end before so many calls. */
static bool tidy_crashes_after(struct fixture *f, int calls)
{
    int status = 0;
    store_close(f->store); /* the child's is the only one */
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        open_store(f);
        calls_left = calls;
        tidy(f);
        _exit(0);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status) && (WEXITSTATUS(status) == 0 || WEXITSTATUS(status) == CRASHED));
    assert_int_equal(materialize_clean(f->trees_fd), 0);
    open_store(f);
    return WEXITSTATUS(status) == 0;
}

static void test_tidy__a_crash_anywhere_leaves_a_good_store(void **state)
{
    bool ended = false;
    int calls = 0;
    (void) state;
    for (; !ended && calls < CRASHES_MAX; calls++) {
        void *one;
        setup(&one);
        struct fixture *f = one;
        ended = tidy_crashes_after(f, calls);
        assert_true(has_tree(f, 2));
        for (unsigned i = 1; i < RELEASES; i++)
            expect_whole(f, i);
        tidy(f); /* what the crash left is taken by the next one */
        assert_true(count_missing(f, 0) > 0 && !has_tree(f, 0) && !has_tree(f, 1));
        for (unsigned i = 1; i < RELEASES; i++)
            expect_whole(f, i);
        teardown(&one);
    }
    assert_true(ended && calls > 10);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_tidy__a_crash_anywhere_leaves_a_good_store),
        cmocka_unit_test_setup_teardown(test_tidy__takes_what_no_kept_release_needs, setup, teardown),
        cmocka_unit_test_setup_teardown(test_tidy__leaves_what_a_kept_release_needs, setup, teardown),
        cmocka_unit_test_setup_teardown(test_tidy__leaves_what_is_held, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
