/* What is known of files from the last time: found when nothing has changed, and ignored when it is damaged. */
#include "tests/unit/fs/tree.h"

#include "fs/stat_cache.h"
#include "fs/stat_cache_disk.h"

enum { ENTRIES = 300 };

static const struct stat_cache_head head = {{CHUNKER_MIN_BYTES, CHUNKER_AVERAGE_BYTES, CHUNKER_MAX_BYTES, CHUNKER_SEED}, 7};

/* The entry of that number; every third is a long file. */
static struct stat_cache_entry entry_of(unsigned i, char name[16], uint8_t ids[3 * OBJECT_ID_BYTES])
{
    struct stat_cache_entry e = {.kind = i % 3 ? MANIFEST_FILE : MANIFEST_LONG_FILE};
    snprintf(name, 16, "file%u", i / 2); /* two of each name */
    e.name = slice_of_str(name);
    e.stamp = (struct scan_stamp){.device = 7, .inode = 1000 + i, .size = i, .modified = {.tv_sec = -5, .tv_nsec = i}, .changed = {.tv_sec = i, .tv_nsec = 1}};
    memset(e.id.bytes, (int) i, sizeof e.id.bytes);
    memset(ids, (int) i, 3 * OBJECT_ID_BYTES);
    e.chunks = slice_of(ids, i % 3 ? 0 : (2 + i % 2) * OBJECT_ID_BYTES);
    return e;
}

static void write_all(struct buf *out, unsigned count)
{
    struct stat_cache_writer w;
    char name[16];
    uint8_t ids[3 * OBJECT_ID_BYTES];
    buf_init(out, 0);
    stat_cache_begin(&w, out, &head);
    for (unsigned i = 0; i < count; i++) {
        struct stat_cache_entry e = entry_of(i, name, ids);
        stat_cache_add(&w, &e);
    }
    assert_int_equal(stat_cache_end(&w), 0);
}

static void test_stat_cache__finds_what_was_written(void **state)
{
    (void) state;
    struct buf bytes;
    struct stat_cache cache;
    struct stat_cache_entry found;
    char name[16];
    uint8_t ids[3 * OBJECT_ID_BYTES];
    write_all(&bytes, ENTRIES);
    assert_int_equal(stat_cache_open(buf_slice(&bytes), &cache), 0);
    assert_int_equal(cache.count, ENTRIES);
    assert_memory_equal(&cache.head.chunker, &head.chunker, sizeof head.chunker);
    for (unsigned i = 0; i < ENTRIES; i++) {
        struct stat_cache_entry e = entry_of(i, name, ids);
        assert_true(stat_cache_find(&cache, e.name, &e.stamp, &found));
        assert_true(found.kind == e.kind && object_id_equal(&found.id, &e.id) && slice_equal(found.chunks, e.chunks));
        assert_true(scan_stamp_equal(&found.stamp, &e.stamp));
    }
    stat_cache_dispose(&cache);
    buf_dispose(&bytes);
}

static void test_stat_cache__any_change_of_a_stamp_or_name_is_noticed(void **state)
{
    (void) state;
    struct buf bytes;
    struct stat_cache cache;
    struct stat_cache_entry found;
    char name[16];
    uint8_t ids[3 * OBJECT_ID_BYTES];
    write_all(&bytes, ENTRIES);
    assert_int_equal(stat_cache_open(buf_slice(&bytes), &cache), 0);
    struct stat_cache_entry e = entry_of(4, name, ids);
    struct scan_stamp stamps[] = {e.stamp, e.stamp, e.stamp, e.stamp, e.stamp, e.stamp, e.stamp};
    stamps[0].device++;
    stamps[1].inode = 99;
    stamps[2].size++;
    stamps[3].modified.tv_sec++;
    stamps[4].modified.tv_nsec++;
    stamps[5].changed.tv_sec++;
    stamps[6].changed.tv_nsec++;
    for (size_t i = 0; i < sizeof stamps / sizeof *stamps; i++)
        assert_false(stat_cache_find(&cache, e.name, &stamps[i], &found));
    assert_false(stat_cache_find(&cache, SLICE("another.pem"), &e.stamp, &found));
    assert_true(stat_cache_find(&cache, e.name, &e.stamp, &found));
    stat_cache_dispose(&cache);
    buf_dispose(&bytes);
}

static void test_stat_cache__damage_is_no_cache(void **state)
{
    (void) state;
    struct buf bytes;
    struct stat_cache cache;
    write_all(&bytes, 4);
    for (size_t i = 0; i < bytes.size; i++) {
        bytes.data[i] ^= 1;
        int err = stat_cache_open(buf_slice(&bytes), &cache);
        assert_int_equal(err, i < 7 ? GRID_EPROTO : i == 7 ? GRID_EUNSUPPORTED : GRID_ECORRUPT);
        bytes.data[i] ^= 1;
        assert_int_not_equal(stat_cache_open(slice_first(buf_slice(&bytes), i), &cache), 0);
    }
    assert_int_equal(stat_cache_open(buf_slice(&bytes), &cache), 0);
    stat_cache_dispose(&cache);
    buf_dispose(&bytes);
}

static void test_stat_cache__refuses_entries_that_are_none(void **state)
{
    (void) state;
    char name[16];
    uint8_t ids[3 * OBJECT_ID_BYTES];
    struct stat_cache_entry cases[6];
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        cases[i] = entry_of(1, name, ids);
    cases[0].name = SLICE("..");
    cases[1].name = SLICE("a/b");
    cases[2].kind = MANIFEST_DIRECTORY;
    cases[3].kind = MANIFEST_LONG_FILE; /* without chunks */
    cases[4].chunks = slice_of(ids, OBJECT_ID_BYTES);
    cases[5].stamp.size = OBJECT_CHUNK_MAX + 1;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct stat_cache_writer w;
        struct buf bytes;
        buf_init(&bytes, 0);
        stat_cache_begin(&w, &bytes, &head);
        stat_cache_add(&w, &cases[i]);
        assert_int_equal(stat_cache_end(&w), GRID_EINVAL);
        buf_dispose(&bytes);
    }
}

static void test_stat_cache__many_links_to_one_file_take_no_time(void **state)
{
    (void) state;
    struct stat_cache_writer w;
    struct stat_cache cache;
    struct stat_cache_entry found;
    struct buf bytes;
    char name[16];
    uint8_t ids[3 * OBJECT_ID_BYTES];
    struct stat_cache_entry e = entry_of(1, name, ids);
    buf_init(&bytes, 0);
    stat_cache_begin(&w, &bytes, &head);
    for (unsigned i = 0; i < 200000; i++) /* by a table that walks over them all this would take minutes */
        stat_cache_add(&w, &e);
    assert_int_equal(stat_cache_end(&w), 0);
    assert_int_equal(stat_cache_open(buf_slice(&bytes), &cache), 0);
    assert_true(stat_cache_find(&cache, e.name, &e.stamp, &found));
    stat_cache_dispose(&cache);
    buf_dispose(&bytes);
}

static void test_stat_cache__what_is_as_new_as_the_scan_is_not_trusted(void **state)
{
    (void) state;
    struct timespec now = {.tv_sec = 100, .tv_nsec = 500};
    static const struct {
        struct timespec modified, changed;
        bool trusted;
    } cases[] = {
        {{.tv_sec = 50}, {.tv_sec = 50}, true},
        {{.tv_sec = 98, .tv_nsec = 499}, {.tv_sec = 98, .tv_nsec = 499}, true},
        {{.tv_sec = 98, .tv_nsec = 500}, {.tv_sec = 50}, false},
        {{.tv_sec = 50}, {.tv_sec = 98, .tv_nsec = 500}, false},
        {{.tv_sec = 50}, {.tv_sec = 100}, false},
        {{.tv_sec = 50}, {.tv_sec = 3000}, false},
        {{.tv_sec = -1}, {.tv_sec = 1}, true},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct scan_stamp stamp = {.modified = cases[i].modified, .changed = cases[i].changed};
        assert_int_equal(stat_cache_trusts(&stamp, now), cases[i].trusted);
    }
}

/* ---- its files ---- */

static void test_stat_cache__has_a_file_for_each_folder_and_user(void **state)
{
    (void) state;
    struct stat a = {.st_dev = 1, .st_ino = 2}, b = {.st_dev = 1, .st_ino = 3};
    struct rights user = {.uid = 54321, .gid = 5}, other = {.uid = 54321, .gid = 5, .group_count = 1, .groups = {7}};
    char names[5][STAT_CACHE_NAME_SIZE];
    assert_int_equal(stat_cache_file_name(&a, NULL, names[0]), 0);
    assert_int_equal(stat_cache_file_name(&b, NULL, names[1]), 0);
    assert_int_equal(stat_cache_file_name(&a, &user, names[2]), 0);
    assert_int_equal(stat_cache_file_name(&a, &other, names[3]), 0);
    assert_int_equal(stat_cache_file_name(&b, &user, names[4]), 0);
    for (size_t i = 0; i < 5; i++)
        for (size_t k = 0; k < i; k++)
            assert_string_not_equal(names[i], names[k]);
}

static void test_stat_cache__files_come_back_and_the_oldest_go(void **state)
{
    (void) state;
    char *folder = tree_make(), name[STAT_CACHE_NAME_SIZE];
    struct buf bytes;
    int fd = tree_open(folder);
    buf_init(&bytes, 0);
    for (unsigned i = 0; i < STAT_CACHE_FILES_MAX + 4; i++) {
        char path[64];
        snprintf(name, sizeof name, "%032x", i);
        stat_cache_save(fd, name, slice_of_str(name));
        snprintf(path, sizeof path, "stat-cache/%s", name);
        struct timespec times[2] = {{.tv_sec = 1000 + i}, {.tv_sec = 1000 + i}};
        assert_int_equal(utimensat(fd, path, times, 0), 0);
    }
    for (unsigned i = 0; i < STAT_CACHE_FILES_MAX + 4; i++) {
        snprintf(name, sizeof name, "%032x", i);
        buf_clear(&bytes);
        stat_cache_load(fd, name, &bytes);
        assert_true(slice_equal_str(buf_slice(&bytes), i < 4 ? "" : name));
    }
    buf_dispose(&bytes);
    close(fd);
    tree_remove(folder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_stat_cache__finds_what_was_written),
        cmocka_unit_test(test_stat_cache__any_change_of_a_stamp_or_name_is_noticed),
        cmocka_unit_test(test_stat_cache__damage_is_no_cache),
        cmocka_unit_test(test_stat_cache__refuses_entries_that_are_none),
        cmocka_unit_test(test_stat_cache__many_links_to_one_file_take_no_time),
        cmocka_unit_test(test_stat_cache__what_is_as_new_as_the_scan_is_not_trusted),
        cmocka_unit_test(test_stat_cache__has_a_file_for_each_folder_and_user),
        cmocka_unit_test(test_stat_cache__files_come_back_and_the_oldest_go),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
