/* From a folder to a root: what is in a release, what never is, and what a change costs. */
#include "tests/unit/fs/tree.h"

#include <dirent.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <sys/inotify.h>
#include <time.h>

#include "fs/publish.h"
#include "fs/reach.h"

/* Enough for several threads. */
enum { MANY_FILES = 1500 };

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

/* Waits, on the first read of the file, for the reader to be in the midst of it, and changes its first and last byte. */
struct meddler {
    const char *path;
    size_t size;
    char byte;
    int events; /* inotify's */
    atomic_bool done;
};

static void *meddle(void *arg)
{
    struct meddler *m = arg;
    char event[4096];
    if (read(m->events, event, sizeof event) <= 0)
        return NULL;
    int fd = open(m->path, O_WRONLY);
    bool written = fd >= 0 && pwrite(fd, &m->byte, 1, 0) == 1 && pwrite(fd, &m->byte, 1, (off_t) m->size - 1) == 1;
    close(fd);
    atomic_store(&m->done, written);
    return NULL;
}

/* The first and the last byte of a file of the release. */
static void read_ends(struct fixture *f, struct object_id root, const char *name, char ends[2])
{
    struct manifest_entry entry;
    struct manifest_file file;
    struct manifest_chunk chunk;
    struct buf listing, content;
    buf_init(&listing, 0);
    buf_init(&content, 0);
    assert_true(release_has(f, root, name, &entry) && entry.kind == MANIFEST_LONG_FILE);
    assert_int_equal(store_get_typed(f->store, &entry.id, OBJECT_FILE, &listing), 0);
    assert_int_equal(manifest_file_open(buf_slice(&listing), &file), 0);
    for (bool first = true; manifest_file_next(&file, &chunk); first = false) {
        assert_int_equal(store_get_typed(f->store, &chunk.id, OBJECT_CHUNK, &content), 0);
        if (first)
            ends[0] = (char) content.data[0];
    }
    ends[1] = (char) content.data[content.size - 1];
    buf_dispose(&listing);
    buf_dispose(&content);
}

/* Publishes while a thread changes the file; true when it did so before the publish ended. */
static bool publish_meddled(struct fixture *f, struct meddler *m, struct publish_result *out)
{
    pthread_t thread;
    m->events = inotify_init1(IN_CLOEXEC);
    assert_true(inotify_add_watch(m->events, m->path, IN_ACCESS) >= 0);
    atomic_store(&m->done, false);
    assert_int_equal(pthread_create(&thread, NULL, meddle, m), 0);
    *out = publish(f);
    bool done = atomic_load(&m->done);
    pthread_join(thread, NULL);
    close(m->events);
    return done;
}

static void test_publish__a_file_changed_while_it_is_read_is_read_again(void **state)
{
    struct fixture *f = *state;
    struct meddler m = {.path = strdup(tree_path(f->folder, "p/long")), .size = 24 * 1024 * 1024};
    struct publish_result out;
    uint8_t *bytes = calloc(1, m.size);
    char ends[2];
    unsigned again = 0;
    tree_write(f->folder, "p/long", bytes, m.size);
    for (unsigned attempt = 0; attempt < 40 && again < 2; attempt++) {
        m.byte = (char) ('a' + attempt % 26);
        bool done = publish_meddled(f, &m, &out);
        read_ends(f, out.root, "long", ends);
        assert_int_equal(ends[0], ends[1]); /* the one or the other, never of both */
        again += done && ends[0] == m.byte;
    }
    assert_int_equal(again, 2); /* by one reading alone the first byte would always be the old one */
    free(bytes);
    free((char *) m.path);
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

/* ---- what is known from the last time ---- */

static struct publish_result publish_knowing(struct fixture *f, const char *name)
{
    int state_fd = tree_open(f->folder), fd = tree_open(tree_path(f->folder, name));
    struct publish_options options = {.state_fd = &state_fd};
    struct publish_result out;
    fs_report_dispose(&f->report);
    int err = release_publish(f->store, fd, &options, &f->report, &out);
    if (err != 0)
        fail_msg("%s: %s", grid_err_name(err), f->report.error);
    close(fd);
    close(state_fd);
    return out;
}

/* The name of the one file that the caches of the fixture have. */
static const char *cache_file(struct fixture *f)
{
    DIR *dir = opendir(tree_path(f->folder, "stat-cache"));
    const char *found = NULL;
    static char name[300];
    for (struct dirent *entry; dir && (entry = readdir(dir));) {
        if (entry->d_name[0] == '.')
            continue;
        assert_null(found);
        snprintf(name, sizeof name, "stat-cache/%s", entry->d_name);
        found = name;
    }
    if (dir)
        closedir(dir);
    return found;
}

/* Publishes until all files are old enough to be known. A few that came of age later than the others would not be written down by themselves. */
static struct publish_result publish_until_known(struct fixture *f, const char *name)
{
    struct publish_result out = {0};
    for (int i = 0; i < 500; i++) {
        if (cache_file(f))
            assert_int_equal(unlink(tree_path(f->folder, cache_file(f))), 0);
        publish_knowing(f, name);
        out = publish_knowing(f, name);
        if (out.unread_files == out.files)
            return out;
        nanosleep(&(struct timespec){.tv_nsec = 20000000}, NULL);
    }
    fail_msg("%u of %u files are known", (unsigned) out.unread_files, (unsigned) out.files);
    return out;
}

static void forget_objects(struct fixture *f)
{
    struct id_map none;
    struct store_collection c;
    struct store_collected done;
    id_map_init(&none);
    assert_int_equal(store_collect_begin(f->store, &c), 0);
    assert_int_equal(store_collect_sweep(f->store, &c, &none, &done), 0);
}

static uint64_t count_missing(struct fixture *f, const struct object_id *root)
{
    struct id_map live;
    uint64_t missing;
    id_map_init(&live);
    assert_int_equal(release_mark(f->store, root, &live, &missing), 0);
    id_map_dispose(&live);
    return missing;
}

/* What one user's rights opened is not published for another. */
static void expect_refused_to_stranger(struct fixture *f, const char *name)
{
    struct rights stranger = {.uid = 54321, .gid = 54321};
    struct publish_result out;
    if (geteuid() != 0 || !rights_can_change())
        return;
    int state_fd = tree_open(f->folder), fd = tree_open(tree_path(f->folder, name));
    struct publish_options options = {.state_fd = &state_fd, .rights = &stranger};
    assert_int_equal(release_publish(f->store, fd, &options, &f->report, &out), GRID_EPERM);
    assert_non_null(strstr(f->report.error, "secret cannot be read"));
    close(fd);
    close(state_fd);
}

static void test_publish__what_has_not_changed_is_not_read(void **state)
{
    struct fixture *f = *state;
    struct timespec times[2] = {{.tv_nsec = UTIME_OMIT}, {0}};
    struct stat st;
    make_project(f->folder, "x");
    uint8_t *bytes = malloc(1000000);
    tree_noise(bytes, 1000000, 3);
    tree_write(f->folder, "x/long", bytes, 1000000);
    free(bytes);
    tree_file(f->folder, "x/notes.txt", "x PRIVATE KEY x");
    tree_file(f->folder, "x/secret", "x");
    assert_int_equal(chmod(tree_path(f->folder, "x/secret"), 0600), 0);
    struct publish_result first = publish_until_known(f, "x"), out;
    assert_int_equal(first.stored_bytes, 0);
    assert_true(first.saved_bytes >= first.bytes);

    /* The same size and modification time: the change of the inode tells. */
    assert_int_equal(stat(tree_path(f->folder, "x/tasks/a.js"), &st), 0);
    tree_file(f->folder, "x/tasks/a.js", "exports.a = 2\n");
    times[1] = st.st_mtim;
    assert_int_equal(utimensat(AT_FDCWD, tree_path(f->folder, "x/tasks/a.js"), times, 0), 0);
    out = publish_knowing(f, "x");
    assert_int_equal(out.unread_files, out.files - 1);
    assert_false(object_id_equal(&out.root, &first.root));

    /* A file's name decides too. */
    assert_int_equal(link(tree_path(f->folder, "x/notes.txt"), tree_path(f->folder, "x/notes.pem")), 0);
    out = publish_knowing(f, "x");
    assert_false(release_has(f, out.root, "notes.pem", &(struct manifest_entry){0}));
    assert_int_equal(f->report.warning_count, 1);
    assert_int_equal(unlink(tree_path(f->folder, "x/notes.pem")), 0);

    expect_refused_to_stranger(f, "x");

    /* What the store no longer has is read and put again. */
    forget_objects(f);
    out = publish_knowing(f, "x");
    assert_int_equal(out.unread_files, 0);
    assert_int_equal(count_missing(f, &out.root), 0);

    /* Damage is no cache. */
    assert_true(publish_knowing(f, "x").unread_files > 0);
    tree_file(f->folder, cache_file(f), "GRIDSTA");
    struct publish_result after = publish_knowing(f, "x");
    assert_int_equal(after.unread_files, 0);
    assert_true(object_id_equal(&after.root, &out.root));
    assert_true(publish_knowing(f, "x").unread_files > 0);
}

static void test_publish__a_change_within_one_tick_is_not_missed(void **state)
{
    struct fixture *f = *state;
    struct publish_result out[2];
    for (int i = 0; i < 100; i++) {
        tree_file(f->folder, "p/saved", i % 2 ? "one" : "two");
        out[i % 2] = publish_knowing(f, "p");
        if (i >= 1 && object_id_equal(&out[0].root, &out[1].root))
            fail_msg("the change number %d was missed", i);
    }
}

/* The same tree by one thread and by several: the root is the same, and nothing is stored twice. */
static void test_publish__many_threads_publish_what_one_does(void **state)
{
    struct fixture *f = *state;
    struct store_stats stats;
    cpu_set_t all, one;
    char name[64], text[64];
    for (int i = 0; i < MANY_FILES; i++) {
        snprintf(name, sizeof name, "p/%d", i);
        snprintf(text, sizeof text, "file of kind %d", i % 500);
        tree_file(f->folder, name, text);
    }
    assert_int_equal(sched_getaffinity(0, sizeof all, &all), 0);
    struct publish_result many = publish(f);
    store_stats(f->store, &stats);
    assert_int_equal(stats.objects, 501);
    assert_int_equal(stats.disk_bytes, stats.stored_bytes + 16); /* the segment's header */
    forget_objects(f);
    CPU_ZERO(&one);
    for (size_t cpu = 0; CPU_COUNT(&one) == 0 && cpu < CPU_SETSIZE; cpu++)
        if (CPU_ISSET(cpu, &all))
            CPU_SET(cpu, &one);
    assert_int_equal(sched_setaffinity(0, sizeof one, &one), 0);
    struct publish_result alone = publish(f);
    assert_int_equal(sched_setaffinity(0, sizeof all, &all), 0);
    assert_true(object_id_equal(&many.root, &alone.root));
    assert_int_equal(many.stored_bytes, alone.stored_bytes);
    assert_int_equal(many.saved_bytes, alone.saved_bytes);
}

static bool cancel_at_once(void *arg, const struct publish_progress *progress)
{
    ++*(int *) arg;
    return progress->files_total > 0; /* all folders have been gone through */
}

static void test_publish__can_be_cancelled_before_all_folders_have_been_gone_through(void **state)
{
    struct fixture *f = *state;
    struct publish_result out;
    int asked = 0;
    struct publish_options options = {.progress = cancel_at_once, .arg = &asked};
    make_project(f->folder, "x");
    int fd = tree_open(tree_path(f->folder, "x"));
    assert_int_equal(release_publish(f->store, fd, &options, NULL, &out), GRID_ECANCELED);
    assert_int_equal(asked, 1);
    close(fd);
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
        WITH_STORE(test_publish__a_file_changed_while_it_is_read_is_read_again),
        WITH_STORE(test_publish__what_has_not_changed_is_not_read),
        WITH_STORE(test_publish__a_change_within_one_tick_is_not_missed),
        WITH_STORE(test_publish__many_threads_publish_what_one_does),
        WITH_STORE(test_publish__can_be_cancelled),
        WITH_STORE(test_publish__can_be_cancelled_before_all_folders_have_been_gone_through),
        WITH_STORE(test_publish__marks_all_that_a_root_reaches_and_counts_what_is_missing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
