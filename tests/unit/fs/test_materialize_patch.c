/* Older trees that become newer ones: equal to what was published whatever lay in them, and never half one and half the other. */
// cost: 7
#include "tests/unit/fs/release.h"

#include <errno.h>
#include <ftw.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stddef.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#define HEX (OBJECT_ID_HEX + 1)

static void run(struct release_fixture *f, const char *script)
{
    char command[8192];
    snprintf(command, sizeof command, "cd %s && %s", f->folder, script);
    if (system(command) != 0)
        fail_msg("%s", script);
}

/* The project's present state as a tree named by its root. */
static struct object_id build(struct release_fixture *f, char hex[HEX])
{
    struct materialize_result out;
    struct object_id root = release_of(f);
    object_id_to_hex(&root, hex);
    assert_int_equal(materialize_tree(f->store, &root, f->releases, hex, NULL, NULL, &out), 0);
    return root;
}

/* The project's present state by patching one of the spares. */
static struct materialize_result patch(struct release_fixture *f, const char *const *spares, size_t count, bool guarded, char hex[HEX])
{
    struct materialize_result out;
    struct materialize_options options = {.spares = spares, .spare_count = count, .guarded = guarded};
    struct object_id root = release_of(f);
    object_id_to_hex(&root, hex);
    assert_int_equal(materialize_tree(f->store, &root, f->releases, hex, &options, NULL, &out), 0);
    return out;
}

/* By content, kinds, modes and links. */
static void assert_is_project(struct release_fixture *f, const char *hex)
{
    char script[1024];
    snprintf(script, sizeof script, "diff -r --no-dereference p releases/%s && for t in p releases/%s; do (cd $t && find . -mindepth 1 -printf '%%P %%y %%m %%l\n' | sort) > listed.$(basename $t); done && cmp listed.p listed.%s",
             hex, hex, hex);
    run(f, script);
}

static ino_t inode_of(struct release_fixture *f, const char *hex, const char *name)
{
    struct stat st;
    char path[256];
    snprintf(path, sizeof path, "releases/%s/%s", hex, name);
    assert_int_equal(lstat(tree_path(f->folder, path), &st), 0);
    return st.st_ino;
}

static const char PROJECT[] = "mkdir -p p/tasks p/deep/er p/empty p/gone && for i in 1 2 3 4 5 6 7 8 9; do echo $i > p/deep/er/$i; echo x$i > p/gone/$i; done &&"
                              "printf '#!/bin/sh\\necho hi\\n' > p/tasks/run.sh && chmod +x p/tasks/run.sh && ln -s ../deep/er p/tasks/link && ln -s nowhere p/dangling && : > p/nothing &&"
                              "head -c 700000 /dev/urandom > p/long";

static void test_materialize__a_patched_tree_keeps_every_file_that_stays(void **state)
{
    struct release_fixture *f = *state;
    for (int guarded = 0; guarded < 2; guarded++) {
        char one[HEX], two[HEX];
        const char *spares[] = {one};
        run(f, "rm -rf p && mkdir p");
        run(f, PROJECT);
        build(f, one);
        ino_t kept = inode_of(f, one, "deep/er/3");
        int old = openat(f->releases, tree_path(one, "tasks/run.sh"), O_RDONLY); /* as a process that draws to its end may have it */
        run(f, "printf '#!/bin/sh\\necho no\\n' > p/tasks/run.sh");
        struct materialize_result out = patch(f, spares, 1, guarded, two);
        assert_true(out.patched);
        assert_int_equal(out.files - out.kept_files, 1);
        assert_true(guarded ? out.kept_files == 2 : out.kept_files == 20); /* of a guarded tree equal folders are not gone into */
        assert_true(inode_of(f, two, "deep/er/3") == kept);
        char text[64] = "";
        assert_true(read(old, text, sizeof text - 1) > 0);
        assert_non_null(strstr(text, "echo hi"));
        close(old);
        assert_is_project(f, two);
        assert_int_equal(release_count(f), 1);
        materialize_remove(f->releases, two);
    }
}

/* Each changes the project; the tree of before is patched every time. */
static const char *const CHANGES[] = {
    "echo new > p/deep/er/new",
    "rm p/deep/er/5",
    "rm -r p/gone",
    "rm p/nothing && mkdir p/nothing && echo x > p/nothing/inside",
    "rm -r p/nothing && echo back > p/nothing",
    "rm p/dangling && echo a file now > p/dangling",
    "rm p/dangling && ln -s deep p/dangling",
    "rm p/dangling && ln -s deep/er p/dangling",
    "rm p/dangling && mkdir p/dangling",
    "chmod -x p/tasks/run.sh",
    "chmod +x p/tasks/run.sh p/long",
    "mv p/deep p/deeper",
    "mv p/deeper p/deep && mv p/deep/er p/er && ln -s ../er p/deep/er",
    "rm p/deep/er && mv p/er p/deep/er",
    "echo more >> p/long",
    "cp p/deep/er/1 p/long",
    "mkdir -p p/a/b/c/d/e && echo far > p/a/b/c/d/e/f",
    "touch -d 2001-01-01 p/deep/er/1",
    "rm -r p/tasks p/deep p/a && mkdir p/other && echo y > p/other/y",
    "rm -r p/* && mkdir p/tasks",
    "for i in $(seq 60); do mkdir p/d$i; echo $i > p/d$i/file; done",
};

static void test_materialize__patches_every_kind_of_change(void **state)
{
    struct release_fixture *f = *state;
    for (int guarded = 0; guarded < 2; guarded++) {
        char trees[2][HEX];
        run(f, "rm -rf p && mkdir p");
        run(f, PROJECT);
        build(f, trees[0]);
        for (size_t i = 0; i < sizeof CHANGES / sizeof *CHANGES; i++) {
            const char *spares[] = {trees[i % 2]};
            run(f, CHANGES[i]);
            struct materialize_result out = patch(f, spares, 1, guarded, trees[(i + 1) % 2]);
            if (strcmp(trees[0], trees[1]) != 0 && !out.patched)
                fail_msg("not patched: %s", CHANGES[i]);
            assert_is_project(f, trees[(i + 1) % 2]);
            assert_int_equal(release_count(f), 1);
        }
        run(f, "rm -rf releases/*");
    }
}

/* As a task of the node's own user may have done, or an operator. */
static const char *const MEDDLING[] = {
    "echo 7 > deep/er/1", /* the same length */
    "rm deep/er/2",
    "echo stray > deep/er/stray; mkdir deep/more; echo x > deep/more/x",
    "mkdir -p empty/__pycache__ && echo x > empty/__pycache__/x",
    "chmod +x deep/er/3",
    "rm tasks/link && ln -s / tasks/link",
    "rm -r deep/er && ln -s OUTSIDE deep/er",
    "rm -r deep && echo x > deep",
    "rm deep/er/4 && ln -s OUTSIDE/victim deep/er/4",
    "rm nothing && mkdir -p nothing/a && ln -s OUTSIDE nothing/a/b",
    "chmod 0 deep/er",
    "mkfifo deep/er/pipe",
};

static void meddle(struct release_fixture *f, const char *hex, const char *how)
{
    char script[1024];
    snprintf(script, sizeof script, "O=$PWD/outside && cd releases/%s && eval \"$(echo '%s' | sed \"s|OUTSIDE|$O|g\")\"", hex, how);
    run(f, script);
}

static void test_materialize__what_was_written_into_an_unguarded_spare_is_mended(void **state)
{
    struct release_fixture *f = *state;
    run(f, "mkdir outside && echo safe > outside/victim");
    run(f, PROJECT);
    for (size_t i = 0; i < sizeof MEDDLING / sizeof *MEDDLING; i++) {
        char one[HEX], two[HEX];
        const char *spares[] = {one};
        build(f, one);
        meddle(f, one, MEDDLING[i]);
        char change[64];
        snprintf(change, sizeof change, "echo %zu > p/tasks/count", i);
        run(f, change);
        assert_true(patch(f, spares, 1, false, two).files > 0);
        assert_is_project(f, two);
        materialize_remove(f->releases, two);
        assert_int_equal(release_count(f), 0);
        run(f, "test $(ls outside) = victim && test $(cat outside/victim) = safe");
    }
}

/* The same release deployed again after another one. */
static void test_materialize__a_spare_of_the_same_release_is_looked_over(void **state)
{
    struct release_fixture *f = *state;
    char one[HEX], again[HEX];
    const char *spares[] = {one};
    run(f, PROJECT);
    build(f, one);
    meddle(f, one, MEDDLING[0]);
    struct materialize_result out = patch(f, spares, 1, false, again);
    assert_string_equal(one, again);
    assert_true(out.patched && !out.existed);
    assert_is_project(f, one);
    out = patch(f, spares, 0, false, again); /* in use: left alone */
    assert_true(out.existed);
    out = patch(f, spares, 1, true, again); /* nobody can have written to it */
    assert_true(out.existed);
}

static void test_materialize__in_a_guarded_spare_names_are_mended_too(void **state)
{
    struct release_fixture *f = *state;
    char one[HEX], two[HEX];
    const char *spares[] = {one};
    run(f, PROJECT);
    build(f, one);
    meddle(f, one, "echo stray > tasks/stray; mkdir -p empty/__pycache__");
    run(f, "echo x > p/tasks/new");
    assert_true(patch(f, spares, 1, true, two).patched);
    assert_is_project(f, two);
}

static void test_materialize__a_name_tells_its_root_and_may_tell_more(void **state)
{
    static const char hex[] = "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff";
    static const struct {
        const char *behind;
        bool found;
    } cases[] = {{"", true}, {".spare", true}, {".2", true}, {"spare", false}, {"-2", false}, {"0", false}, {".0123456789abcdef", false}};
    struct object_id root;
    char name[128], again[OBJECT_ID_HEX + 1];
    (void) state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        snprintf(name, sizeof name, "%s%s", hex, cases[i].behind);
        assert_int_equal(materialize_name_root(name, &root), cases[i].found);
    }
    object_id_to_hex(&root, again);
    assert_string_equal(again, hex);
    assert_false(materialize_name_root("current", &root));
    assert_false(materialize_name_root(hex + 1, &root));
    assert_false(materialize_name_root(".new-00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff", &root));
}

/* A second tree of one root, as one is made ahead of the next release. */
static void test_materialize__a_second_tree_of_what_runs_becomes_the_next(void **state)
{
    struct release_fixture *f = *state;
    char one[HEX], two[HEX], spare[MATERIALIZE_NAME_SIZE], script[256];
    const char *spares[] = {spare};
    struct materialize_result out;
    struct object_id root;
    run(f, PROJECT);
    root = build(f, one);
    snprintf(spare, sizeof spare, "%s.spare", one);
    assert_int_equal(materialize_tree(f->store, &root, f->releases, spare, &(struct materialize_options){.previous = one, .guarded = true}, NULL, &out), 0);
    assert_false(out.existed || out.patched);
    run(f, "cp -a p before && echo changed > p/deep/er/5 && rm -r p/gone");
    assert_true(patch(f, spares, 1, true, two).patched);
    assert_int_equal(faccessat(f->releases, spare, F_OK, AT_SYMLINK_NOFOLLOW), -1);
    assert_is_project(f, two);
    snprintf(script, sizeof script, "diff -r --no-dereference before releases/%s", one);
    run(f, script);
}

static void test_materialize__the_spare_that_differs_least_is_taken(void **state)
{
    struct release_fixture *f = *state;
    char far[HEX], near[HEX], lost[HEX], new[HEX];
    run(f, PROJECT);
    run(f, "for i in $(seq 20); do echo $i > p/tasks/$i; done");
    build(f, far);
    run(f, "rm -r p/gone");
    build(f, near);
    memset(lost, 'a', HEX - 1); /* nothing is known of it */
    lost[HEX - 1] = '\0';
    assert_int_equal(mkdirat(f->releases, lost, 0755), 0);
    const char *spares[] = {lost, far, near};
    run(f, "rm p/tasks/7");
    assert_true(patch(f, spares, 3, false, new).patched);
    assert_is_project(f, new);
    run(f, "test -d releases/aaaa*a");
    assert_int_equal(faccessat(f->releases, far, F_OK, 0), 0);
    assert_int_equal(faccessat(f->releases, near, F_OK, 0), -1);
    const char *unknown[] = {lost};
    run(f, "echo x > p/tasks/x");
    assert_false(patch(f, unknown, 1, false, new).patched);
    assert_is_project(f, new);
}

/* Whether the folder's file system clones files: then they are not linked. */
static bool has_reflinks(struct release_fixture *f)
{
    char command[4096];
    snprintf(command, sizeof command, "cd %s && echo x > reflink.a && cp --reflink=always reflink.a reflink.b 2>/dev/null", f->folder);
    return system(command) == 0;
}

static void test_materialize__guarded_trees_share_their_files(void **state)
{
    struct release_fixture *f = *state;
    char one[HEX], two[HEX];
    struct materialize_result out;
    if (has_reflinks(f))
        skip();
    run(f, PROJECT);
    build(f, one);
    run(f, "chmod +x p/deep/er/2 && echo 8 > p/deep/er/1");
    struct object_id root = release_of(f);
    object_id_to_hex(&root, two);
    struct materialize_options options = {.previous = one, .guarded = true};
    assert_int_equal(materialize_tree(f->store, &root, f->releases, two, &options, NULL, &out), 0);
    assert_is_project(f, two);
    assert_true(inode_of(f, one, "deep/er/3") == inode_of(f, two, "deep/er/3"));
    assert_true(inode_of(f, one, "deep/er/2") != inode_of(f, two, "deep/er/2")); /* another mode */
    /* A patch of one of them does not write into the other. */
    const char *spares[] = {one};
    char three[HEX];
    run(f, "cp -a p q && rm p/deep/er/2 && for i in 3 4 5 6; do echo changed >> p/deep/er/$i; done");
    assert_true(patch(f, spares, 1, true, three).patched);
    assert_is_project(f, three);
    run(f, "rm -r p && mv q p");
    assert_is_project(f, two);
}

/* ---- ends in the middle ---- */

static bool die(void *arg, uint64_t files, uint64_t bytes)
{
    (void) bytes;
    if (files == *(uint64_t *) arg)
        raise(SIGKILL);
    return true;
}

static void test_materialize__killed_while_patching_leaves_rubbish_alone(void **state)
{
    struct release_fixture *f = *state;
    char one[HEX], two[HEX];
    const char *spares[] = {one};
    run(f, PROJECT);
    build(f, one);
    run(f, "rm -r p/gone && for i in 1 2 3 4 5 6 7 8 9; do echo changed $i > p/deep/er/$i; done");
    struct object_id root = release_of(f);
    object_id_to_hex(&root, two);
    for (uint64_t at = 1; at <= 12; at++) {
        int status;
        struct materialize_result out;
        struct materialize_options options = {.spares = spares, .spare_count = 1, .progress = die, .arg = &at};
        pid_t child = fork();
        if (child == 0)
            _exit(materialize_tree(f->store, &root, f->releases, two, &options, NULL, &out) != 0);
        assert_int_equal(waitpid(child, &status, 0), child);
        assert_true(WIFSIGNALED(status));
        run(f, "test -z \"$(ls releases)\" && test $(ls -A releases | wc -l) = 1");
        assert_int_equal(materialize_clean(f->releases), 0);
        assert_int_equal(release_count(f), 0);
        assert_int_equal(materialize_tree(f->store, &root, f->releases, two, NULL, NULL, &out), 0);
        assert_is_project(f, two);
        materialize_remove(f->releases, two);
        run(f, "mv p q && mkdir p");
        struct object_id old;
        assert_int_equal(object_id_from_hex(slice_of_str(one), &old), 0);
        assert_int_equal(materialize_tree(f->store, &old, f->releases, one, NULL, NULL, &out), 0);
        run(f, "rmdir p && mv q p");
    }
}

static bool stop_at(void *arg, uint64_t files, uint64_t bytes)
{
    (void) bytes;
    return files < *(uint64_t *) arg;
}

static void test_materialize__a_patch_that_is_cancelled_leaves_nothing(void **state)
{
    struct release_fixture *f = *state;
    char one[HEX], two[HEX];
    const char *spares[] = {one};
    uint64_t limit = 3;
    struct materialize_result out;
    struct fs_report report = {0};
    struct materialize_options options = {.spares = spares, .spare_count = 1, .progress = stop_at, .arg = &limit};
    run(f, PROJECT);
    build(f, one);
    run(f, "echo x > p/x");
    struct object_id root = release_of(f);
    object_id_to_hex(&root, two);
    assert_int_equal(materialize_tree(f->store, &root, f->releases, two, &options, &report, &out), GRID_ECANCELED);
    assert_non_null(strstr(report.error, "cancelled"));
    assert_int_equal(release_count(f), 0);
    fs_report_dispose(&report);
}

/* ---- somebody swaps folders for links meanwhile ---- */

struct swapper {
    char new[512], outside[512];
    atomic_bool stop;
    unsigned swaps;
};

static void *swap(void *arg)
{
    struct swapper *s = arg;
    static const char *const folders[] = {"deep", "tasks", "deep/er", "gone"};
    char from[600], aside[600];
    for (unsigned i = 0; !atomic_load(&s->stop); i++) {
        snprintf(from, sizeof from, "%s/%s", s->new, folders[i % 4]);
        snprintf(aside, sizeof aside, "%s.aside%u", s->new, i);
        if (rename(from, aside) == 0 && symlink(s->outside, from) == 0)
            s->swaps++;
    }
    return NULL;
}

static void test_materialize__a_link_swapped_in_leads_nowhere(void **state)
{
    struct release_fixture *f = *state;
    char one[HEX], two[HEX];
    struct swapper s = {0};
    run(f, PROJECT);
    run(f, "for i in $(seq 40); do mkdir p/deep/er/d$i; echo $i > p/deep/er/d$i/file; done; mkdir outside");
    build(f, one);
    run(f, "for i in $(seq 40); do echo x >> p/deep/er/d$i/file; done; rm p/gone/1");
    struct object_id root = release_of(f);
    object_id_to_hex(&root, two);
    snprintf(s.new, sizeof s.new, "%s/releases/.new-%s", f->folder, two);
    snprintf(s.outside, sizeof s.outside, "%s/outside", f->folder);
    run(f, "for i in $(seq 200); do :; done; for k in 1 2 3 4 5 6 7 8 9; do mkdir -p outside/d$k; echo safe > outside/d$k/file; echo safe > outside/$k; done; find outside | sort > before; cat outside/* outside/*/* >> before 2>/dev/null; true");
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, swap, &s), 0);
    for (int i = 0; i < 60; i++) {
        const char *spares[] = {one};
        struct materialize_result out;
        struct materialize_options options = {.spares = spares, .spare_count = (size_t) i % 2};
        materialize_tree(f->store, &root, f->releases, two, &options, NULL, &out);
        materialize_remove(f->releases, two);
    }
    atomic_store(&s.stop, true);
    pthread_join(thread, NULL);
    assert_true(s.swaps > 0);
    run(f, "find outside | sort > after; cat outside/* outside/*/* >> after 2>/dev/null; cmp before after");
}

/* ---- without openat2 ---- */

static void forbid_openat2(void)
{
    struct sock_filter filter[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_openat2, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | ENOSYS),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog program = {sizeof filter / sizeof *filter, filter};
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 || prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) != 0)
        _exit(9);
}

static void test_materialize__needs_no_openat2(void **state)
{
    struct release_fixture *f = *state;
    char one[HEX], two[HEX];
    const char *spares[] = {one};
    struct materialize_result out;
    run(f, PROJECT);
    build(f, one);
    run(f, "mkdir -p p/deep/er/a/b && echo x > p/deep/er/a/b/c");
    struct object_id root = release_of(f);
    object_id_to_hex(&root, two);
    int status;
    pid_t child = fork();
    if (child == 0) {
        struct materialize_options options = {.spares = spares, .spare_count = 1};
        forbid_openat2();
        _exit(materialize_tree(f->store, &root, f->releases, two, &options, NULL, &out) != 0 || !out.patched);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    assert_is_project(f, two);
}

/* ---- paths longer than the kernel takes ---- */

static void test_materialize__builds_and_patches_paths_of_any_length(void **state)
{
    struct release_fixture *f = *state;
    char one[HEX], two[HEX], name[201];
    const char *spares[] = {one};
    memset(name, 'n', 200);
    name[200] = '\0';
    tree_file(f->folder, "p/top", "1");
    for (int round = 0; round < 2; round++) {
        int fd = tree_open(tree_path(f->folder, "p"));
        for (int depth = 0; depth < 40; depth++) {
            assert_true(mkdirat(fd, name, 0755) == 0 || errno == EEXIST);
            int next = openat(fd, name, O_RDONLY | O_DIRECTORY);
            close(fd);
            fd = next;
        }
        int file = openat(fd, "file", O_WRONLY | O_CREAT | O_APPEND, 0644);
        assert_int_equal(write(file, "x", 1), 1);
        close(file);
        close(fd);
        if (round == 0)
            build(f, one);
    }
    struct materialize_result out = patch(f, spares, 1, false, two);
    assert_true(out.patched);
    assert_int_equal(out.files - out.kept_files, 1);
    assert_int_equal(materialize_remove(f->releases, two), 0);
    assert_int_equal(materialize_set_aside(f->releases, "x"), 0);
    int fd = tree_open(f->folder);
    assert_int_equal(materialize_remove(fd, "p"), 0);
    close(fd);
    tree_dir(f->folder, "p");
}

#define WITH_STORE(test) cmocka_unit_test_setup_teardown(test, release_setup, release_teardown)

int main(void)
{
    setenv("TMPDIR", access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp", 0); /* some hundred publishes, each of which syncs */
    const struct CMUnitTest tests[] = {
        WITH_STORE(test_materialize__a_patched_tree_keeps_every_file_that_stays),
        WITH_STORE(test_materialize__patches_every_kind_of_change),
        WITH_STORE(test_materialize__what_was_written_into_an_unguarded_spare_is_mended),
        WITH_STORE(test_materialize__a_spare_of_the_same_release_is_looked_over),
        WITH_STORE(test_materialize__in_a_guarded_spare_names_are_mended_too),
        cmocka_unit_test(test_materialize__a_name_tells_its_root_and_may_tell_more),
        WITH_STORE(test_materialize__a_second_tree_of_what_runs_becomes_the_next),
        WITH_STORE(test_materialize__the_spare_that_differs_least_is_taken),
        WITH_STORE(test_materialize__guarded_trees_share_their_files),
        WITH_STORE(test_materialize__killed_while_patching_leaves_rubbish_alone),
        WITH_STORE(test_materialize__a_patch_that_is_cancelled_leaves_nothing),
        WITH_STORE(test_materialize__a_link_swapped_in_leads_nowhere),
        WITH_STORE(test_materialize__needs_no_openat2),
        WITH_STORE(test_materialize__builds_and_patches_paths_of_any_length),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
