/* Hint files: a start takes their word for what is on disk, and only then. */
#include "tests/unit/fs/tree.h"

#include "fs/store.h"

enum { OBJECTS = 12, OBJECT_BYTES = 9000, SEGMENT_BYTES = 40000 };

struct fixture {
    char *folder;
    struct store *store;
    struct store_options options;
    struct object_id ids[OBJECTS];
};

static void put_noise(struct fixture *f, unsigned index)
{
    static uint8_t bytes[OBJECT_BYTES];
    struct store_batch batch;
    tree_noise(bytes, sizeof bytes, index);
    store_batch_init(&batch, f->store);
    assert_int_equal(store_batch_put(&batch, OBJECT_CHUNK, slice_of(bytes, sizeof bytes), &f->ids[index]), 0);
    assert_int_equal(store_batch_commit(&batch), 0);
    store_batch_dispose(&batch);
}

static void store_open_again(struct fixture *f)
{
    store_close(f->store);
    f->store = NULL;
    assert_int_equal(store_open(tree_path(f->folder, "store"), &f->options, NULL, &f->store), 0);
}

/* Three full segments of four objects each; the store is closed. */
static int setup(void **state)
{
    static struct fixture fixture;
    fixture = (struct fixture){.folder = tree_make(), .options = {.segment_bytes = SEGMENT_BYTES}};
    store_open_again(&fixture);
    for (unsigned i = 0; i < OBJECTS; i++)
        put_noise(&fixture, i);
    assert_int_equal(store_sync(fixture.store), 0);
    store_close(fixture.store);
    fixture.store = NULL;
    *state = &fixture;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    store_close(f->store);
    tree_remove(f->folder);
    return 0;
}

static bool exists(struct fixture *f, const char *name)
{
    return access(tree_path(f->folder, name), F_OK) == 0;
}

static void flip(struct fixture *f, const char *name, off_t at)
{
    uint8_t byte;
    int fd = open(tree_path(f->folder, name), O_RDWR);
    assert_true(fd >= 0 && pread(fd, &byte, 1, at) == 1);
    byte ^= 4;
    assert_int_equal(pwrite(fd, &byte, 1, at), 1);
    close(fd);
}

static int get(struct fixture *f, unsigned index)
{
    struct buf out;
    enum object_type type;
    buf_init(&out, 0);
    int err = store_get(f->store, &f->ids[index], &type, &out);
    buf_dispose(&out);
    return err;
}

static void expect_all(struct fixture *f)
{
    for (unsigned i = 0; i < OBJECTS; i++)
        assert_int_equal(get(f, i), 0);
}

static void test_store_hint__tells_of_segments_that_are_not_read_then(void **state)
{
    struct fixture *f = *state;
    assert_true(exists(f, "store/00000001.hint") && exists(f, "store/00000003.hint"));
    flip(f, "store/00000001.seg", 16 + 56 + 100);
    flip(f, "store/00000003.seg", 16 + 56 + 100);
    store_open_again(f);
    assert_true(store_has(f->store, &f->ids[0]) && store_has(f->store, &f->ids[8])); /* nobody has looked */
    assert_int_equal(get(f, 0), GRID_ECORRUPT);
    assert_false(store_has(f->store, &f->ids[0]));
    assert_int_equal(get(f, 1), 0);
    store_close(f->store);
    f->store = NULL;
    assert_int_equal(unlink(tree_path(f->folder, "store/00000003.hint")), 0);
    store_open_again(f);
    assert_false(store_has(f->store, &f->ids[8]));
    assert_int_equal(get(f, 9), 0);
}

enum { MANY = 80, MANY_BYTES = 300 };

/* Nobody looks into the segments for it. */
static void expect_none_missing(struct store *s, const struct object_id ids[MANY])
{
    for (unsigned i = 0; i < MANY; i++)
        assert_true(store_has(s, &ids[i]));
}

static void put_many(struct store *s, struct object_id ids[MANY])
{
    uint8_t bytes[MANY_BYTES];
    struct store_batch batch;
    store_batch_init(&batch, s);
    for (unsigned i = 0; i < MANY; i++) {
        tree_noise(bytes, sizeof bytes, 1000 + i);
        assert_int_equal(store_batch_put(&batch, OBJECT_CHUNK, slice_of(bytes, sizeof bytes), &ids[i]), 0);
        assert_int_equal(store_batch_commit(&batch), 0);
    }
    store_batch_dispose(&batch);
}

/* More than are told of in one pass over the index; each tells what its own segment holds. */
static void test_store_hint__of_many_segments_that_became_due_together(void **state)
{
    struct fixture *f = *state;
    struct object_id ids[MANY];
    char name[32];
    f->options.segment_bytes = 1000;
    store_open_again(f);
    put_many(f->store, ids);
    assert_int_equal(store_sync(f->store), 0);
    struct store_stats stats;
    store_stats(f->store, &stats);
    assert_true(stats.segments > 36);
    for (uint32_t i = 1; i < stats.segments; i++) {
        snprintf(name, sizeof name, "store/%08x.hint", i);
        assert_true(exists(f, name));
        snprintf(name, sizeof name, "store/%08x.seg", i);
        flip(f, name, 16 + 56 + 100);
    }
    store_open_again(f);
    expect_none_missing(f->store, ids);
}

static void test_store_hint__is_ignored_when_any_byte_of_it_is_damaged(void **state)
{
    struct fixture *f = *state;
    struct stat st;
    assert_int_equal(stat(tree_path(f->folder, "store/00000002.hint"), &st), 0);
    for (off_t at = 0; at < st.st_size; at++) {
        flip(f, "store/00000002.hint", at);
        store_open_again(f);
        assert_false(exists(f, "store/00000002.hint"));
        if (at % 16 == 0)
            expect_all(f);
        assert_int_equal(store_sync(f->store), 0); /* and is written anew */
        store_close(f->store);
        f->store = NULL;
        assert_true(exists(f, "store/00000002.hint"));
    }
}

static void test_store_hint__of_another_segment_or_of_more_than_there_is_is_ignored(void **state)
{
    struct fixture *f = *state;
    struct stat st;
    assert_int_equal(rename(tree_path(f->folder, "store/00000001.hint"), tree_path(f->folder, "store/00000002.hint")), 0);
    store_open_again(f);
    assert_false(exists(f, "store/00000002.hint"));
    expect_all(f);
    store_close(f->store);
    f->store = NULL;
    assert_int_equal(stat(tree_path(f->folder, "store/00000003.seg"), &st), 0);
    assert_int_equal(truncate(tree_path(f->folder, "store/00000003.seg"), st.st_size - 1), 0);
    store_open_again(f);
    assert_int_equal(get(f, OBJECTS - 1), GRID_ENOENT);
    assert_int_equal(get(f, OBJECTS - 2), 0);
}

static void test_store_hint__of_a_segment_that_is_gone_is_taken_away(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(unlink(tree_path(f->folder, "store/00000002.seg")), 0);
    store_open_again(f);
    assert_false(exists(f, "store/00000002.hint"));
    assert_int_equal(get(f, 4), GRID_ENOENT);
    assert_int_equal(get(f, 0), 0);
}

static void test_store_hint__of_the_last_segment_leaves_what_came_later_to_the_scan(void **state)
{
    struct fixture *f = *state;
    f->options.segment_bytes = 1000000;
    store_open_again(f);
    f->ids[0] = (struct object_id){{0}};
    static const char text[] = "behind the hint";
    struct store_batch batch;
    store_batch_init(&batch, f->store);
    assert_int_equal(store_batch_put(&batch, OBJECT_CHUNK, SLICE(text), &f->ids[0]), 0);
    assert_int_equal(store_batch_commit(&batch), 0);
    store_batch_dispose(&batch);
    store_open_again(f); /* not synced: no new hint */
    expect_all(f);
    flip(f, "store/00000003.seg", 16 + 4 * (56 + OBJECT_BYTES + 1) + 56);
    store_open_again(f);
    assert_false(store_has(f->store, &f->ids[0]));
}

static void test_store_hint__forgets_what_was_dropped_as_damaged(void **state)
{
    struct fixture *f = *state;
    flip(f, "store/00000003.seg", 16 + 56 + 100);
    unlink(tree_path(f->folder, "store/00000003.hint"));
    store_open_again(f);
    assert_false(store_has(f->store, &f->ids[8]));
    assert_int_equal(store_sync(f->store), 0);
    store_open_again(f);
    assert_true(exists(f, "store/00000003.hint"));
    assert_false(store_has(f->store, &f->ids[8]));
    put_noise(f, 8);
    store_open_again(f);
    expect_all(f);
}

static void test_store_hint__is_gone_when_a_collection_cuts_what_it_tells_of(void **state)
{
    struct fixture *f = *state;
    struct store_collection c;
    struct store_collected done;
    struct store_stats stats;
    struct id_map live;
    id_map_init(&live);
    f->options.segment_bytes = 1000000;
    store_open_again(f);
    for (unsigned i = 0; i < OBJECTS; i++)
        if (i != 3 && i < 10)
            assert_int_not_equal(id_map_add(&live, &f->ids[i]), ID_MAP_NONE);
    assert_int_equal(store_collect_begin(f->store, &c), 0);
    assert_int_equal(store_collect_sweep(f->store, &c, &live, &done), 0);
    assert_int_equal(done.freed_bytes, 3 * (56 + OBJECT_BYTES + 1));
    put_noise(f, 10); /* in the place of what was cut */
    store_open_again(f);
    for (unsigned i = 0; i < 11; i++)
        assert_int_equal(get(f, i), i == 3 ? GRID_ENOENT : 0);
    store_stats(f->store, &stats);
    assert_int_equal(stats.objects, 10);
    id_map_dispose(&live);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_store_hint__tells_of_segments_that_are_not_read_then, setup, teardown),
        cmocka_unit_test_setup_teardown(test_store_hint__of_many_segments_that_became_due_together, setup, teardown),
        cmocka_unit_test_setup_teardown(test_store_hint__is_ignored_when_any_byte_of_it_is_damaged, setup, teardown),
        cmocka_unit_test_setup_teardown(test_store_hint__of_another_segment_or_of_more_than_there_is_is_ignored, setup, teardown),
        cmocka_unit_test_setup_teardown(test_store_hint__of_a_segment_that_is_gone_is_taken_away, setup, teardown),
        cmocka_unit_test_setup_teardown(test_store_hint__of_the_last_segment_leaves_what_came_later_to_the_scan, setup, teardown),
        cmocka_unit_test_setup_teardown(test_store_hint__forgets_what_was_dropped_as_damaged, setup, teardown),
        cmocka_unit_test_setup_teardown(test_store_hint__is_gone_when_a_collection_cuts_what_it_tells_of, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
