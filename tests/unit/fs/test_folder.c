/* Whose folders are read, and with whose rights: what the kernel lets another user do is what the reading thread may do. */
#include "tests/unit/fs/tree.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/syscall.h>

#include "fs/beneath.h"
#include "fs/folder.h"
#include "fs/publish.h"

enum { STRANGER = 64123, OTHERS_GROUP = 64124 };

static const struct rights OF_STRANGER = {.uid = STRANGER, .gid = STRANGER};

struct fixture {
    char *folder;
    struct fs_report report;
};

static int setup(void **state)
{
    static struct fixture f;
    f = (struct fixture){.folder = tree_make()};
    assert_int_equal(chmod(f.folder, 0755), 0);
    *state = &f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    fs_report_dispose(&f->report);
    tree_remove(f->folder);
    return 0;
}

static void need_root(void)
{
    if (geteuid() != 0) {
        print_message("needs root, to take on another user's rights\n");
        skip();
    }
}

/* ---- rights ---- */

static bool may_open(const struct rights *r, const char *path)
{
    int fd = rights_openat(r, AT_FDCWD, path, O_RDONLY | O_CLOEXEC);
    if (fd >= 0)
        close(fd);
    return fd >= 0;
}

static void test_rights__a_thread_opens_what_the_user_may_and_nothing_else(void **state)
{
    struct fixture *f = *state;
    struct rights member = OF_STRANGER, primary = {.uid = STRANGER, .gid = OTHERS_GROUP};
    need_root();
    member.group_count = 1;
    member.groups[0] = OTHERS_GROUP;
    const struct {
        const char *name;
        uid_t uid;
        gid_t gid;
        mode_t mode;
        bool stranger, in_group;
    } cases[] = {
        {"everybodys", 0, 0, 0644, true, true},       {"roots", 0, 0, 0600, false, false},         {"his", STRANGER, STRANGER, 0600, true, true},
        {"his_closed", STRANGER, 0, 0, false, false}, {"groups", 0, OTHERS_GROUP, 0640, false, true}, {"not_groups", 0, OTHERS_GROUP, 0604, true, false},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const char *path = tree_path(f->folder, cases[i].name);
        tree_file(f->folder, cases[i].name, "x");
        assert_int_equal(chown(path, cases[i].uid, cases[i].gid), 0);
        assert_int_equal(chmod(path, cases[i].mode), 0);
        if (may_open(&OF_STRANGER, path) != cases[i].stranger || may_open(&member, path) != cases[i].in_group || may_open(&primary, path) != cases[i].in_group)
            fail_msg("%s", cases[i].name);
        assert_true(may_open(NULL, path));
    }
}

struct meanwhile {
    const char *path;
    pthread_barrier_t turn;
    bool opened;
};

static void *open_meanwhile(void *arg)
{
    struct meanwhile *m = arg;
    pthread_barrier_wait(&m->turn);
    m->opened = may_open(NULL, m->path);
    return NULL;
}

static void test_rights__other_threads_keep_theirs(void **state)
{
    struct fixture *f = *state;
    struct meanwhile m = {.path = tree_path(f->folder, "roots")};
    pthread_t other;
    need_root();
    tree_file(f->folder, "roots", "x");
    assert_int_equal(chmod(m.path, 0600), 0);
    assert_int_equal(pthread_barrier_init(&m.turn, NULL, 2), 0);
    assert_int_equal(pthread_create(&other, NULL, open_meanwhile, &m), 0);
    assert_int_equal(rights_assume(&OF_STRANGER), 0);
    int fd = open(m.path, O_RDONLY);
    pthread_barrier_wait(&m.turn);
    int joined = pthread_join(other, NULL);
    rights_restore(&OF_STRANGER);
    assert_int_equal(fd, -1);
    assert_int_equal(joined, 0);
    assert_true(m.opened);
    assert_true(may_open(NULL, m.path));
    pthread_barrier_destroy(&m.turn);
}

static void test_rights__no_capability_is_left_and_all_come_back(void **state)
{
    struct fixture *f = *state;
    const char *path = tree_path(f->folder, "his");
    need_root();
    tree_file(f->folder, "his", "x");
    assert_int_equal(chown(path, STRANGER, STRANGER), 0);
    assert_int_equal(rights_assume(&OF_STRANGER), 0);
    int owned = chown(path, 0, 0), mounted = mount("none", f->folder, "tmpfs", 0, NULL);
    long member = syscall(SYS_setgroups, 0, NULL);
    rights_restore(&OF_STRANGER);
    assert_int_equal(owned, -1);
    assert_int_equal(mounted, -1);
    assert_int_equal(member, -1);
    assert_int_equal(chown(path, 0, 0), 0);
}

static void test_rights__an_own_uid_and_root_need_no_change(void **state)
{
    (void) state;
    struct rights own = {.uid = geteuid(), .gid = getegid()}, root = {0};
    assert_true(rights_are_own(NULL) && rights_are_own(&own) && rights_are_own(&root));
    assert_false(rights_are_own(&OF_STRANGER));
    assert_int_equal(rights_assume(&own), 0);
    rights_restore(&own);
}

static void test_rights__of_a_user_are_those_of_the_database(void **state)
{
    (void) state;
    struct rights r;
    assert_int_equal(rights_of_user(0, &r), 0);
    assert_int_equal(r.uid, 0);
    assert_int_equal(r.gid, 0);
    assert_int_equal(rights_of_user(STRANGER, &r), GRID_ENOENT);
}

/* ---- opening ---- */

static int try_open(struct fixture *f, const char *path, const struct rights *rights, const struct closed *closed)
{
    int fd = -1;
    fs_report_dispose(&f->report);
    f->report = (struct fs_report){0};
    int err = folder_open(path, rights, closed, &f->report, &fd);
    assert_int_equal(err == 0, fd >= 0);
    assert_int_equal(err != 0, f->report.error != NULL);
    if (fd >= 0)
        close(fd);
    return err;
}

static void test_folder__errors_are_sentences_with_a_remedy(void **state)
{
    struct fixture *f = *state;
    tree_file(f->folder, "file", "x");
    assert_int_equal(symlink("loop", tree_path(f->folder, "loop")), 0);
    const struct {
        const char *path;
        int err;
        const char *says;
    } cases[] = {
        {"relative/path", GRID_EINVAL, "not an absolute path"},
        {"", GRID_EINVAL, "not an absolute path"},
        {tree_path(f->folder, "absent"), GRID_ENOENT, "does not exist"},
        {tree_path(f->folder, "file"), GRID_EINVAL, "not a folder"},
        {tree_path(f->folder, "loop"), GRID_EINVAL, "in a circle"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        assert_int_equal(try_open(f, cases[i].path, NULL, NULL), cases[i].err);
        assert_non_null(strstr(f->report.error, cases[i].says));
    }
}

static void test_folder__links_into_the_process_are_not_followed(void **state)
{
    struct fixture *f = *state;
    char path[64];
    int fd = tree_open(f->folder);
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    assert_int_equal(try_open(f, path, NULL, NULL), GRID_EINVAL);
    assert_int_equal(try_open(f, "/proc/self/root/tmp", NULL, NULL), GRID_EINVAL);
    assert_int_equal(try_open(f, "/proc/self/cwd", NULL, NULL), GRID_EINVAL);
    assert_int_equal(symlink(path, tree_path(f->folder, "by_link")), 0);
    assert_int_equal(try_open(f, tree_path(f->folder, "by_link"), NULL, NULL), GRID_EINVAL);
    close(fd);
}

static void test_folder__is_opened_with_the_users_rights(void **state)
{
    struct fixture *f = *state;
    need_root();
    tree_dir(f->folder, "private");
    tree_dir(f->folder, "private/public");
    tree_dir(f->folder, "open");
    assert_int_equal(chmod(tree_path(f->folder, "private"), 0700), 0);
    assert_int_equal(try_open(f, tree_path(f->folder, "open"), &OF_STRANGER, NULL), 0);
    assert_int_equal(try_open(f, tree_path(f->folder, "private/public"), &OF_STRANGER, NULL), GRID_EPERM);
    assert_non_null(strstr(f->report.error, "accessible to user 64123"));
    assert_int_equal(try_open(f, tree_path(f->folder, "private/public"), NULL, NULL), 0);
}

/* ---- the state folder ---- */

static void make_state(struct fixture *f, struct closed *closed)
{
    tree_dir(f->folder, "state");
    tree_dir(f->folder, "state/trees");
    tree_dir(f->folder, "state/trees/deep");
    tree_dir(f->folder, "elsewhere");
    int fd = tree_open(tree_path(f->folder, "state"));
    assert_int_equal(closed_make(fd, closed), 0);
    close(fd);
}

static void test_closed__no_name_leads_into_the_folder(void **state)
{
    struct fixture *f = *state;
    struct closed closed;
    make_state(f, &closed);
    assert_int_equal(symlink("state/trees", tree_path(f->folder, "link")), 0);
    static const char *const inside[] = {"state", "state/trees", "state/trees/deep", "link", "link/deep", "elsewhere/../state", "state/../state/trees/."};
    for (size_t i = 0; i < sizeof inside / sizeof *inside; i++) {
        assert_int_equal(try_open(f, tree_path(f->folder, inside[i]), NULL, &closed), GRID_EINVAL);
        assert_non_null(strstr(f->report.error, "state folder"));
    }
    assert_int_equal(try_open(f, f->folder, NULL, &closed), 0);
    assert_int_equal(try_open(f, tree_path(f->folder, "elsewhere"), NULL, &closed), 0);
}

/* A namespace of mounts of this process's own. A chroot into a folder that is no mount has none: the kernel lists the mount below it nowhere. */
static bool own_mounts(void)
{
    return unshare(CLONE_NEWNS) == 0 && mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0;
}

static void test_closed__neither_does_a_mount_of_a_part_of_it(void **state)
{
    struct fixture *f = *state;
    struct closed closed;
    int fd = -1;
    need_root();
    make_state(f, &closed);
    char *to = strdup(tree_path(f->folder, "elsewhere"));
    if (!own_mounts() || mount(tree_path(f->folder, "state/trees"), to, NULL, MS_BIND, NULL) != 0) {
        print_message("cannot mount here: %s\n", strerror(errno));
        free(to);
        skip();
    }
    fd = tree_open(tree_path(f->folder, "state"));
    assert_int_equal(closed_make(fd, &closed), 0);
    close(fd);
    int whole = try_open(f, to, NULL, &closed), part = try_open(f, tree_path(f->folder, "elsewhere/deep"), NULL, &closed);
    assert_int_equal(umount2(to, MNT_DETACH), 0);
    assert_int_equal(whole, GRID_EINVAL);
    assert_int_equal(part, GRID_EINVAL);
    free(to);
}

static void test_closed__reads_the_kernels_list_of_mounts(void **state)
{
    (void) state;
    static const char LINE[] = "36 35 98:0 /mnt1 /mnt2\\040x rw,noatime master:1 - ext3 /dev/root rw\n";
    static const char ROOT[] = "24 1 98:0 / / rw - ext3 /dev/root rw\n";
    struct mount_place place;
    char at[4096];
    assert_true(mount_line_places(LINE, 36, "/mnt2 x/state", &place));
    assert_string_equal(place.path, "/mnt1/state");
    assert_int_equal(place.major, 98);
    assert_true(mount_line_places(LINE, 36, "/mnt2 x", &place));
    assert_string_equal(place.path, "/mnt1");
    assert_true(mount_line_places(ROOT, 24, "/var/state", &place));
    assert_string_equal(place.path, "/var/state");
    assert_true(mount_line_places(ROOT, 24, "/", &place));
    assert_string_equal(place.path, "/");
    assert_false(mount_line_places(LINE, 35, "/mnt2 x/state", &place));
    assert_false(mount_line_places(LINE, 36, "/mnt2 xy", &place));
    assert_false(mount_line_places("", 36, "/", &place));
    const struct {
        const char *place;
        unsigned major;
        bool shows;
    } cases[] = {{"/mnt1", 98, true}, {"/", 98, true}, {"/mnt1/state", 98, false}, {"/mnt", 98, false}, {"/mnt1", 8, false}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        place = (struct mount_place){.major = cases[i].major};
        snprintf(place.path, sizeof place.path, "%s", cases[i].place);
        assert_int_equal(mount_line_shows(LINE, &place, at), cases[i].shows);
        if (cases[i].shows)
            assert_string_equal(at, "/mnt2 x");
    }
}

/* ---- below a folder ---- */

static void test_beneath__opens_what_lies_below_and_follows_nothing(void **state)
{
    struct fixture *f = *state;
    char deep[6000] = "";
    tree_dir(f->folder, "a");
    tree_dir(f->folder, "a/b");
    assert_int_equal(symlink("a", tree_path(f->folder, "link")), 0);
    assert_int_equal(symlink("/etc", tree_path(f->folder, "a/out")), 0);
    enum { LEVELS = 20, NAME = 250 };
    int fd = tree_open(f->folder), levels[LEVELS + 1] = {fd};
    char name[NAME + 1] = "";
    memset(name, 'n', NAME);
    for (int i = 0; i < LEVELS; i++) {
        strcat(strcat(deep, i ? "/" : ""), name);
        assert_int_equal(mkdirat(levels[i], name, 0755), 0);
        levels[i + 1] = openat(levels[i], name, O_RDONLY | O_DIRECTORY);
    }
    const struct {
        const char *path;
        bool opens;
    } cases[] = {{"a", true}, {"a/b", true}, {deep, true}, {"link", false}, {"link/b", false}, {"a/out", false}, {"a/none", false}, {"..", false}, {"a/../..", false}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        int found = beneath_open(fd, cases[i].path, O_RDONLY | O_DIRECTORY);
        if ((found >= 0) != cases[i].opens)
            fail_msg("%s: %s", cases[i].path, strerror(errno));
        if (found >= 0)
            close(found);
    }
    for (int i = LEVELS; i-- > 0;) { /* a path of them all could not be removed by name */
        close(levels[i + 1]);
        assert_int_equal(unlinkat(levels[i], name, AT_REMOVEDIR), 0);
    }
    close(fd);
}

/* ---- a whole publish ---- */

static void test_publish__reads_with_the_users_rights_alone(void **state)
{
    struct fixture *f = *state;
    struct store *store;
    struct publish_options options = {.rights = &OF_STRANGER};
    struct publish_result out;
    need_root();
    assert_int_equal(store_open(tree_path(f->folder, "store"), NULL, NULL, &store), 0);
    tree_dir(f->folder, "p");
    tree_dir(f->folder, "p/sub");
    tree_file(f->folder, "p/sub/read", "x");
    int fd = tree_open(tree_path(f->folder, "p"));
    assert_int_equal(release_publish(store, fd, &options, &f->report, &out), 0);
    assert_int_equal(out.files, 1);
    tree_file(f->folder, "p/sub/secret", "x");
    assert_int_equal(chmod(tree_path(f->folder, "p/sub/secret"), 0600), 0);
    assert_int_equal(release_publish(store, fd, &options, &f->report, &out), GRID_EPERM);
    assert_non_null(strstr(f->report.error, "sub/secret"));
    assert_int_equal(chmod(tree_path(f->folder, "p/sub"), 0711), 0);
    fs_report_dispose(&f->report);
    f->report = (struct fs_report){0};
    assert_int_equal(release_publish(store, fd, &options, &f->report, &out), GRID_EPERM);
    assert_non_null(strstr(f->report.error, "sub cannot be read"));
    close(fd);
    store_close(store);
}

/* Between the walk and the reading somebody puts links where a folder and a file were. */
static bool swap(void *arg, const struct publish_progress *progress)
{
    const struct fixture *f = arg;
    if (progress->files_done != 1)
        return true;
    static const char *const names[] = {"p/y", "p/z"};
    for (size_t i = 0; i < 2; i++) {
        char *was = strdup(tree_path(f->folder, names[i])), away[4096];
        snprintf(away, sizeof away, "%s.away", was);
        if (rename(was, away) == 0)
            assert_int_equal(symlink(i == 0 ? "../outside/file" : "../outside", was), 0);
        free(was);
    }
    return true;
}

static void test_publish__links_put_in_between_lead_nowhere(void **state)
{
    struct fixture *f = *state;
    struct store *store;
    struct publish_options options = {.progress = swap, .arg = f};
    struct publish_result out;
    assert_int_equal(store_open(tree_path(f->folder, "store"), NULL, NULL, &store), 0);
    tree_dir(f->folder, "p");
    tree_dir(f->folder, "outside");
    tree_file(f->folder, "outside/file", "not of the project");
    tree_file(f->folder, "p/x", "read first");
    tree_file(f->folder, "p/y", "a file, then a link");
    int fd = tree_open(tree_path(f->folder, "p"));
    assert_int_equal(release_publish(store, fd, &options, &f->report, &out), 0);
    assert_int_equal(out.bytes, strlen("read first"));
    assert_int_equal(unlink(tree_path(f->folder, "p/y")), 0);
    tree_dir(f->folder, "p/z");
    tree_file(f->folder, "p/z/file", "of the project");
    assert_int_equal(release_publish(store, fd, &options, &f->report, &out), GRID_EBUSY);
    assert_non_null(strstr(f->report.error, "z went away"));
    close(fd);
    store_close(store);
}

#define WITH_FOLDER(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_FOLDER(test_rights__a_thread_opens_what_the_user_may_and_nothing_else),
        WITH_FOLDER(test_rights__other_threads_keep_theirs),
        WITH_FOLDER(test_rights__no_capability_is_left_and_all_come_back),
        cmocka_unit_test(test_rights__an_own_uid_and_root_need_no_change),
        cmocka_unit_test(test_rights__of_a_user_are_those_of_the_database),
        WITH_FOLDER(test_folder__errors_are_sentences_with_a_remedy),
        WITH_FOLDER(test_folder__links_into_the_process_are_not_followed),
        WITH_FOLDER(test_folder__is_opened_with_the_users_rights),
        WITH_FOLDER(test_closed__no_name_leads_into_the_folder),
        WITH_FOLDER(test_closed__neither_does_a_mount_of_a_part_of_it),
        cmocka_unit_test(test_closed__reads_the_kernels_list_of_mounts),
        WITH_FOLDER(test_beneath__opens_what_lies_below_and_follows_nothing),
        WITH_FOLDER(test_publish__reads_with_the_users_rights_alone),
        WITH_FOLDER(test_publish__links_put_in_between_lead_nowhere),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
