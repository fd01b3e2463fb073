/* From a folder to a root: what is in a release, what never is, and what a change costs. */
#include "tests/unit/fs/tree.h"

#include <pthread.h>
#include <stdatomic.h>

#include "fs/publish.h"
#include "fs/reach.h"

struct fixture {
    char *folder; /* the project is FOLDER/p */
    struct store *store;
    struct fs_report report;
};

static int setup(void **state)
{
    static struct fixture f;
    f = (struct fixture){.folder = tree_make()};
    tree_dir(f.folder, "p");
    assert_int_equal(store_open(tree_path(f.folder, "store"), NULL, NULL, &f.store), 0);
    *state = &f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    fs_report_dispose(&f->report);
    store_close(f->store);
    tree_remove(f->folder);
    return 0;
}

static int publish_named(struct fixture *f, const char *name, struct publish_result *out)
{
    int fd = tree_open(tree_path(f->folder, name));
    fs_report_dispose(&f->report);
    int err = release_publish(f->store, fd, NULL, &f->report, out);
    close(fd);
    return err;
}

static struct publish_result publish(struct fixture *f)
{
    struct publish_result out;
    int err = publish_named(f, "p", &out);
    if (err != 0)
        fail_msg("%s: %s", grid_err_name(err), f->report.error);
    return out;
}

/* Finds `path` in a release. */
static bool release_has(struct fixture *f, struct object_id at, const char *path, struct manifest_entry *entry)
{
    struct buf content;
    struct manifest_dir dir;
    bool found = false;
    buf_init(&content, 0);
    assert_int_equal(store_get_typed(f->store, &at, OBJECT_DIRECTORY, &content), 0);
    assert_int_equal(manifest_dir_open(buf_slice(&content), &dir), 0);
    size_t size = strcspn(path, "/");
    while (!found && manifest_dir_next(&dir, entry))
        found = slice_equal(entry->name, slice_of(path, size));
    buf_dispose(&content);
    if (!found || path[size] == '\0')
        return found;
    return release_has(f, entry->id, path + size + 1, entry);
}

static void make_project(const char *folder, const char *name)
{
    tree_dir(folder, name);
    const char *p = strdup(tree_path(folder, name));
    tree_dir(p, "tasks");
    tree_dir(p, "node_modules");
    tree_dir(p, "empty");
    tree_file(p, "tasks/a.js", "exports.a = 1\n");
    for (int i = 0; i < 200; i++) {
        char file[64];
        snprintf(file, sizeof file, "node_modules/%d.js", i);
        tree_file(p, file, file);
    }
    tree_file(p, "tasks/run", "#!/bin/sh\n");
    assert_int_equal(chmod(tree_path(p, "tasks/run"), 0755), 0);
    assert_int_equal(symlink("../node_modules/1.js", tree_path(p, "tasks/link")), 0);
    free((char *) p);
}

static void test_publish__equal_trees_have_equal_roots(void **state)
{
    struct fixture *f = *state;
    struct publish_result a, b;
    make_project(f->folder, "x");
    make_project(f->folder, "y");
    assert_int_equal(publish_named(f, "x", &a), 0);
    assert_int_equal(publish_named(f, "y", &b), 0);
    assert_true(object_id_equal(&a.root, &b.root));
    assert_int_equal(a.files, 202);
    assert_int_equal(b.stored_bytes, 0);
    assert_true(b.saved_bytes > 0);
    tree_file(f->folder, "y/tasks/a.js", "exports.a = 2\n");
    assert_int_equal(publish_named(f, "y", &b), 0);
    assert_false(object_id_equal(&a.root, &b.root));
    assert_int_equal(chmod(tree_path(f->folder, "y/tasks/a.js"), 0755), 0);
    assert_int_equal(publish_named(f, "y", &a), 0);
    assert_false(object_id_equal(&a.root, &b.root));
}

static void test_publish__a_changed_line_costs_its_chunk_and_the_folders_above(void **state)
{
    struct fixture *f = *state;
    struct store_stats before, after;
    make_project(f->folder, "x");
    struct publish_result out;
    assert_int_equal(publish_named(f, "x", &out), 0);
    store_stats(f->store, &before);
    tree_file(f->folder, "x/tasks/a.js", "exports.a = 2\n");
    assert_int_equal(publish_named(f, "x", &out), 0);
    store_stats(f->store, &after);
    assert_int_equal(after.objects - before.objects, 3); /* chunk, tasks, root */
}

static void test_publish__a_byte_in_a_long_file_costs_few_chunks(void **state)
{
    struct fixture *f = *state;
    size_t size = 3 * 1024 * 1024;
    uint8_t *bytes = malloc(size + 1);
    struct manifest_entry entry;
    tree_noise(bytes, size + 1, 5);
    tree_write(f->folder, "p/long", bytes + 1, size);
    struct publish_result first = publish(f);
    assert_true(release_has(f, first.root, "long", &entry));
    assert_int_equal(entry.kind, MANIFEST_LONG_FILE);
    assert_int_equal(entry.size, size);
    tree_write(f->folder, "p/long", bytes, size + 1);
    struct publish_result second = publish(f);
    assert_true(second.stored_bytes < 3 * 256 * 1024 + 8192);
    assert_true(second.saved_bytes > size / 2);
    free(bytes);
}

static void test_publish__secrets_and_git_are_in_no_release(void **state)
{
    struct fixture *f = *state;
    struct manifest_entry entry;
    static const char key[] = "-----BEGIN PRIVATE KEY-----\nMIIEvQIBADANBgkqhkiG9w0BAQEFAASCBKcwggSj\n-----END PRIVATE KEY-----\n";
    tree_dir(f->folder, "p/.git");
    tree_dir(f->folder, "p/sub");
    tree_dir(f->folder, "p/sub/.git");
    tree_file(f->folder, "p/.git/config", "x");
    tree_file(f->folder, "p/Gridfile", "x");
    tree_file(f->folder, "p/sub/Gridfile.backup", "x");
    tree_file(f->folder, "p/sub/id_rsa", "anything");
    tree_file(f->folder, "p/sub/id_rsa.pub", "public");
    tree_file(f->folder, "p/sub/harmless.txt", key);
    tree_file(f->folder, "p/.gridignore", "!Gridfile\n!.git\n!*\n");
    tree_file(f->folder, "p/.gitignore", "kept.txt\n");
    tree_file(f->folder, "p/kept.txt", "x");
    struct publish_result out = publish(f);
    static const struct {
        const char *path;
        bool in;
    } paths[] = {{".git", false},       {"Gridfile", false},    {"sub", true},           {"sub/.git", false},
                 {"sub/id_rsa", false}, {"sub/id_rsa.pub", true}, {"sub/harmless.txt", false}, {"sub/Gridfile.backup", false},
                 {".gridignore", true}, {"kept.txt", true}};
    for (size_t i = 0; i < sizeof paths / sizeof *paths; i++)
        if (release_has(f, out.root, paths[i].path, &entry) != paths[i].in)
            fail_msg("%s", paths[i].path);
    assert_int_equal(f->report.warning_count, 1);
    assert_non_null(strstr(f->report.warnings[0], "sub/harmless.txt is left out: it holds a private key"));
}

static void test_publish__a_folder_to_be_left_out_is_not_gone_into(void **state)
{
    struct fixture *f = *state;
    struct publish_options options = {0};
    struct publish_result out;
    struct closed closed;
    struct manifest_entry entry;
    tree_dir(f->folder, "p/kept");
    tree_dir(f->folder, "p/sub");
    tree_dir(f->folder, "p/sub/state");
    tree_write(f->folder, "p/kept/file", "x", 1);
    tree_write(f->folder, "p/sub/state/VERSION", "1", 1);
    int fd = tree_open(tree_path(f->folder, "p/sub/state"));
    assert_int_equal(closed_make(fd, &closed), 0);
    close(fd);
    options.closed = &closed;
    fd = tree_open(tree_path(f->folder, "p"));
    assert_int_equal(release_publish(f->store, fd, &options, &f->report, &out), 0);
    close(fd);
    assert_true(release_has(f, out.root, "kept/file", &entry));
    assert_true(release_has(f, out.root, "sub", &entry));
    assert_false(release_has(f, out.root, "sub/state", &entry));
    assert_int_equal(f->report.warning_count, 1);
}

static void test_publish__links_out_and_special_files_are_left_out_with_a_warning(void **state)
{
    struct fixture *f = *state;
    struct manifest_entry entry;
    tree_dir(f->folder, "p/sub");
    assert_int_equal(symlink("/etc/passwd", tree_path(f->folder, "p/absolute")), 0);
    assert_int_equal(symlink("../outside", tree_path(f->folder, "p/up")), 0);
    assert_int_equal(symlink("../kept", tree_path(f->folder, "p/sub/inside")), 0);
    assert_int_equal(symlink("../../out", tree_path(f->folder, "p/sub/out")), 0);
    assert_int_equal(symlink("inside/../../..", tree_path(f->folder, "p/sub/sly")), 0);
    assert_int_equal(mkfifo(tree_path(f->folder, "p/fifo"), 0600), 0);
    tree_file(f->folder, "p/setuid", "x");
    assert_int_equal(chmod(tree_path(f->folder, "p/setuid"), 04755), 0);
    struct publish_result out = publish(f);
    assert_int_equal(f->report.warning_count, 6);
    assert_true(release_has(f, out.root, "sub/inside", &entry));
    assert_true(release_has(f, out.root, "setuid", &entry));
    assert_true(entry.executable);
    static const char *const gone[] = {"absolute", "up", "sub/out", "sub/sly", "fifo"};
    for (size_t i = 0; i < sizeof gone / sizeof *gone; i++)
        assert_false(release_has(f, out.root, gone[i], &entry));
}

static void test_publish__nested_gridignore_and_whole_folders(void **state)
{
    struct fixture *f = *state;
    struct manifest_entry entry;
    tree_dir(f->folder, "p/logs");
    tree_dir(f->folder, "p/sub");
    tree_file(f->folder, "p/.gridignore", "logs/\n*.tmp\n");
    tree_file(f->folder, "p/sub/.gridignore", "!keep.tmp\n/own\n");
    tree_file(f->folder, "p/logs/a", "x");
    tree_file(f->folder, "p/sub/keep.tmp", "x");
    tree_file(f->folder, "p/sub/lose.tmp", "x");
    tree_file(f->folder, "p/sub/own", "x");
    tree_file(f->folder, "p/own", "x");
    struct publish_result out = publish(f);
    assert_false(release_has(f, out.root, "logs", &entry));
    assert_true(release_has(f, out.root, "sub/keep.tmp", &entry));
    assert_false(release_has(f, out.root, "sub/lose.tmp", &entry));
    assert_false(release_has(f, out.root, "sub/own", &entry));
    assert_true(release_has(f, out.root, "own", &entry));
}

static void test_publish__an_unreadable_file_is_named_with_the_remedy(void **state)
{
    struct fixture *f = *state;
    struct publish_result out;
    if (geteuid() == 0) {
        /* Root reads everything; file rights are tried as another user. */
        assert_int_equal(chmod(f->folder, 0755), 0);
        tree_file(f->folder, "p/secret.txt", "x");
        assert_int_equal(chmod(tree_path(f->folder, "p/secret.txt"), 0), 0);
        assert_int_equal(seteuid(65534), 0);
        int err = publish_named(f, "p", &out);
        assert_int_equal(seteuid(0), 0);
        assert_int_equal(err, GRID_EPERM);
    } else {
        tree_file(f->folder, "p/secret.txt", "x");
        assert_int_equal(chmod(tree_path(f->folder, "p/secret.txt"), 0), 0);
        assert_int_equal(publish_named(f, "p", &out), GRID_EPERM);
    }
    assert_non_null(strstr(f->report.error, "secret.txt cannot be read"));
    assert_non_null(strstr(f->report.error, ".gridignore"));
}

static void test_publish__refuses_too_deep_a_folder(void **state)
{
    struct fixture *f = *state;
    struct publish_result out;
    char name[400] = "p";
    for (int i = 0; i < 66; i++) {
        strcat(name, "/d");
        tree_dir(f->folder, name);
    }
    assert_int_equal(publish_named(f, "p", &out), GRID_ELIMIT);
    assert_non_null(strstr(f->report.error, "deeper than"));
}

struct scribbler {
    const char *path;
    atomic_bool stop;
};

static void *scribble(void *arg)
{
    struct scribbler *s = arg;
    int fd = open(s->path, O_WRONLY | O_APPEND);
    for (unsigned i = 0; !atomic_load(&s->stop); i++)
        if (i > 2000000 || write(fd, "x", 1) != 1)
            break;
    close(fd);
    return NULL;
}

static void test_publish__a_file_that_keeps_changing_is_an_error_or_read_whole(void **state)
{
    struct fixture *f = *state;
    struct publish_result out;
    struct scribbler s = {.path = strdup(tree_path(f->folder, "p/busy.log"))};
    pthread_t thread;
    tree_file(f->folder, "p/busy.log", "start");
    assert_int_equal(pthread_create(&thread, NULL, scribble, &s), 0);
    int err = publish_named(f, "p", &out);
    atomic_store(&s.stop, true);
    pthread_join(thread, NULL);
    assert_true(err == 0 || err == GRID_EBUSY);
    if (err != 0)
        assert_non_null(strstr(f->report.error, "busy.log keeps changing"));
    publish(f);
    free((char *) s.path);
}

static bool cancel_at_third(void *arg, const struct publish_progress *progress)
{
    (void) arg;
    return progress->files_done < 3;
}

static void test_publish__can_be_cancelled(void **state)
{
    struct fixture *f = *state;
    struct publish_result out;
    struct publish_options options = {.progress = cancel_at_third};
    make_project(f->folder, "x");
    int fd = tree_open(tree_path(f->folder, "x"));
    assert_int_equal(release_publish(f->store, fd, &options, NULL, &out), GRID_ECANCELED);
    close(fd);
}

static void test_publish__marks_all_that_a_root_reaches_and_counts_what_is_missing(void **state)
{
    struct fixture *f = *state;
    struct publish_result out;
    struct store_stats stats;
    struct id_map live;
    struct store_collection c;
    struct store_collected done;
    uint64_t missing;
    make_project(f->folder, "x");
    uint8_t *bytes = malloc(1000000);
    tree_noise(bytes, 1000000, 3);
    tree_write(f->folder, "x/long", bytes, 1000000);
    free(bytes);
    assert_int_equal(publish_named(f, "x", &out), 0);
    tree_file(f->folder, "p/other", "not part of it");
    publish(f);
    id_map_init(&live);
    assert_int_equal(release_mark(f->store, &out.root, &live, &missing), 0);
    assert_int_equal(missing, 0);
    store_stats(f->store, &stats);
    assert_int_equal(live.count + 2, stats.objects);
    id_map_clear(&live);
    assert_int_equal(store_collect_begin(f->store, &c), 0);
    assert_int_equal(store_collect_sweep(f->store, &c, &live, &done), 0);
    assert_int_equal(release_mark(f->store, &out.root, &live, &missing), 0);
    assert_int_equal(missing, 1);
    id_map_dispose(&live);
}

#define WITH_STORE(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_STORE(test_publish__equal_trees_have_equal_roots),
        WITH_STORE(test_publish__a_changed_line_costs_its_chunk_and_the_folders_above),
        WITH_STORE(test_publish__a_byte_in_a_long_file_costs_few_chunks),
        WITH_STORE(test_publish__secrets_and_git_are_in_no_release),
        WITH_STORE(test_publish__links_out_and_special_files_are_left_out_with_a_warning),
        WITH_STORE(test_publish__a_folder_to_be_left_out_is_not_gone_into),
        WITH_STORE(test_publish__nested_gridignore_and_whole_folders),
        WITH_STORE(test_publish__an_unreadable_file_is_named_with_the_remedy),
        WITH_STORE(test_publish__refuses_too_deep_a_folder),
        WITH_STORE(test_publish__a_file_that_keeps_changing_is_an_error_or_read_whole),
        WITH_STORE(test_publish__can_be_cancelled),
        WITH_STORE(test_publish__marks_all_that_a_root_reaches_and_counts_what_is_missing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
