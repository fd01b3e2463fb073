/* The store: what was put comes back, through crashes, damage, a full disk, and collection. */
#include "tests/unit/fs/tree.h"

#include <pthread.h>
#include <signal.h>
#include <sys/resource.h>

#include "fs/store.h"

struct fixture {
    char *folder;
    struct store *store;
    struct store_options options;
};

static void reopen(struct fixture *f)
{
    store_close(f->store);
    f->store = NULL;
    assert_int_equal(store_open(tree_path(f->folder, "store"), &f->options, NULL, &f->store), 0);
}

static int setup(void **state)
{
    static struct fixture fixture;
    fixture = (struct fixture){.folder = tree_make()};
    reopen(&fixture);
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

static struct object_id put(struct store *s, enum object_type type, struct slice content)
{
    struct store_batch batch;
    struct object_id id;
    store_batch_init(&batch, s);
    assert_int_equal(store_batch_put(&batch, type, content, &id), 0);
    assert_int_equal(store_batch_commit(&batch), 0);
    store_batch_dispose(&batch);
    return id;
}

static struct object_id put_noise(struct store *s, size_t size, uint64_t seed)
{
    uint8_t *bytes = malloc(size);
    tree_noise(bytes, size, seed);
    struct object_id id = put(s, OBJECT_CHUNK, slice_of(bytes, size));
    free(bytes);
    return id;
}

static int get(struct store *s, const struct object_id *id)
{
    struct buf out;
    enum object_type type;
    buf_init(&out, 0);
    int err = store_get(s, id, &type, &out);
    buf_dispose(&out);
    return err;
}

static void test_store__gives_back_what_was_put(void **state)
{
    struct fixture *f = *state;
    static const char text[] = "the same words again and again, the same words again and again, the same words again and again";
    struct buf out;
    enum object_type type;
    buf_init(&out, 0);
    for (int round = 0; round < 2; round++) {
        struct object_id a = put(f->store, OBJECT_CHUNK, SLICE(text)), b = put(f->store, OBJECT_DIRECTORY, SLICE(text));
        struct object_id empty = put(f->store, OBJECT_CHUNK, SLICE(""));
        assert_false(object_id_equal(&a, &b));
        assert_int_equal(store_get(f->store, &a, &type, &out), 0);
        assert_int_equal(type, OBJECT_CHUNK);
        assert_true(slice_equal(buf_slice(&out), SLICE(text)));
        assert_int_equal(store_get_typed(f->store, &b, OBJECT_CHUNK, &out), GRID_EPROTO);
        assert_int_equal(store_get_typed(f->store, &b, OBJECT_DIRECTORY, &out), 0);
        assert_int_equal(store_get(f->store, &empty, &type, &out), 0);
        assert_int_equal(out.size, 0);
        reopen(f);
    }
    struct store_stats stats;
    store_stats(f->store, &stats);
    assert_int_equal(stats.objects, 3);
    buf_dispose(&out);
}

static void test_store__packed_objects_travel_to_another_store(void **state)
{
    struct fixture *f = *state;
    struct store *other;
    struct store_batch batch;
    struct record_packed packed;
    struct buf memory;
    char text[20000];
    memset(text, 'x', sizeof text);
    buf_init(&memory, 0);
    struct object_id id = put(f->store, OBJECT_CHUNK, slice_of(text, sizeof text));
    assert_int_equal(store_get_packed(f->store, &id, &memory, &packed), 0);
    assert_int_equal(packed.codec, RECORD_LZ4);
    assert_true(packed.data.size < 1000);
    assert_int_equal(record_verify(&packed, &id), 0);
    assert_int_equal(store_open(tree_path(f->folder, "other"), NULL, NULL, &other), 0);
    store_batch_init(&batch, other);
    assert_int_equal(store_batch_put_packed(&batch, &id, &packed), 0);
    assert_int_equal(store_batch_commit(&batch), 0);
    assert_int_equal(get(other, &id), 0);
    store_batch_dispose(&batch);
    store_close(other);
    buf_dispose(&memory);
}

static void test_store__is_refused_to_a_second_opener(void **state)
{
    struct fixture *f = *state;
    struct store *second;
    struct fs_report report = {0};
    assert_int_equal(store_open(tree_path(f->folder, "store"), NULL, &report, &second), GRID_EBUSY);
    assert_null(second);
    assert_non_null(strstr(report.error, "in use"));
    fs_report_dispose(&report);
}

static void test_store__recovers_from_a_tail_torn_at_every_byte(void **state)
{
    struct fixture *f = *state;
    const char *segment = "store/00000001.seg";
    struct object_id first = put_noise(f->store, 100, 1);
    struct buf whole;
    struct stat st;
    buf_init(&whole, 0);
    assert_int_equal(stat(tree_path(f->folder, segment), &st), 0);
    size_t before = (size_t) st.st_size;
    struct object_id last = put_noise(f->store, 70, 2);
    tree_read(tree_path(f->folder, segment), &whole);
    store_close(f->store);
    f->store = NULL;
    for (size_t size = before; size < whole.size; size++) {
        tree_write(f->folder, segment, whole.data, size);
        reopen(f);
        assert_int_equal(get(f->store, &first), 0);
        assert_int_equal(get(f->store, &last), GRID_ENOENT);
        struct object_id again = put_noise(f->store, 70, 2);
        assert_int_equal(get(f->store, &again), 0);
        reopen(f);
        assert_int_equal(get(f->store, &again), 0);
        assert_int_equal(stat(tree_path(f->folder, segment), &st), 0);
        assert_int_equal(st.st_size, whole.size);
    }
    for (size_t size = 0; size < 16; size++) {
        store_close(f->store);
        f->store = NULL;
        tree_write(f->folder, segment, whole.data, size);
        reopen(f);
        assert_int_equal(get(f->store, &first), GRID_ENOENT);
        put_noise(f->store, 100, 1);
        reopen(f);
        assert_int_equal(get(f->store, &first), 0);
    }
    buf_dispose(&whole);
}

static void test_store__notices_a_flipped_bit_anywhere_and_takes_the_object_anew(void **state)
{
    struct fixture *f = *state;
    const char *segment = "store/00000001.seg";
    struct object_id ids[3];
    struct buf whole;
    buf_init(&whole, 0);
    for (uint64_t i = 0; i < 3; i++)
        ids[i] = put_noise(f->store, 90, i);
    tree_read(tree_path(f->folder, segment), &whole);
    size_t record = (whole.size - 16) / 3;
    for (size_t at = 16 + record; at < 16 + 2 * record; at++) {
        store_close(f->store);
        f->store = NULL;
        whole.data[at] ^= 4;
        tree_write(f->folder, segment, whole.data, whole.size);
        whole.data[at] ^= 4;
        reopen(f);
        assert_int_equal(get(f->store, &ids[0]), 0);
        assert_int_not_equal(get(f->store, &ids[1]), 0);
        assert_false(store_has(f->store, &ids[1]));
        assert_int_equal(get(f->store, &ids[2]), 0);
        put_noise(f->store, 90, 1);
        assert_int_equal(get(f->store, &ids[1]), 0);
    }
    buf_dispose(&whole);
}

static void test_store__drops_a_record_damaged_while_it_is_open(void **state)
{
    struct fixture *f = *state;
    struct object_id id = put_noise(f->store, 5000, 7);
    int fd = open(tree_path(f->folder, "store/00000001.seg"), O_RDWR);
    assert_int_equal(pwrite(fd, "damage", 6, 16 + 56 + 1000), 6);
    close(fd);
    assert_int_equal(get(f->store, &id), GRID_ECORRUPT);
    assert_false(store_has(f->store, &id));
    assert_int_equal(get(f->store, &id), GRID_ENOENT);
    put_noise(f->store, 5000, 7);
    assert_int_equal(get(f->store, &id), 0);
    reopen(f);
    assert_int_equal(get(f->store, &id), 0);
}

static void test_store__a_failed_write_leaves_what_was_there(void **state)
{
    struct fixture *f = *state;
    struct rlimit limit, small;
    struct store_batch batch;
    struct object_id first = put_noise(f->store, 100000, 1), id;
    uint8_t *bytes = malloc(200000);
    signal(SIGXFSZ, SIG_IGN);
    getrlimit(RLIMIT_FSIZE, &limit);
    small = limit;
    small.rlim_cur = 250000;
    store_batch_init(&batch, f->store);
    tree_noise(bytes, 200000, 2);
    assert_int_equal(store_batch_put(&batch, OBJECT_CHUNK, slice_of(bytes, 200000), &id), 0);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
    assert_int_equal(store_batch_commit(&batch), GRID_ENOSPC);
    assert_false(store_has(f->store, &id));
    assert_int_equal(get(f->store, &first), 0);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
    assert_int_equal(store_batch_commit(&batch), 0);
    store_batch_dispose(&batch);
    reopen(f);
    assert_int_equal(get(f->store, &first), 0);
    assert_int_equal(get(f->store, &id), 0);
    free(bytes);
}

static void test_store__keeps_to_its_budget(void **state)
{
    struct fixture *f = *state;
    struct store_batch batch;
    struct object_id id;
    f->options.max_bytes = 1000;
    reopen(f);
    put_noise(f->store, 500, 1);
    store_batch_init(&batch, f->store);
    assert_int_equal(store_batch_put(&batch, OBJECT_CHUNK, SLICE("tiny"), &id), 0);
    assert_int_equal(store_batch_commit(&batch), 0);
    uint8_t bytes[600];
    tree_noise(bytes, sizeof bytes, 3);
    assert_int_equal(store_batch_put(&batch, OBJECT_CHUNK, slice_of(bytes, sizeof bytes), &id), 0);
    assert_int_equal(store_batch_commit(&batch), GRID_ENOSPC);
    char clause[STORE_FULL_MAX];
    store_full_clause(f->store, clause);
    assert_non_null(strstr(clause, "--store-max allows"));
    store_batch_dispose(&batch);
}

static void keep(struct id_map *live, const struct object_id *id)
{
    assert_int_not_equal(id_map_add(live, id), ID_MAP_NONE);
}

static void collect(struct fixture *f, const struct id_map *live, struct store_collected *out)
{
    struct store_collection c;
    assert_int_equal(store_collect_begin(f->store, &c), 0);
    assert_int_equal(store_collect_begin(f->store, &c), GRID_EBUSY);
    assert_int_equal(store_collect_sweep(f->store, &c, live, out), 0);
}

static void test_store__collects_what_no_root_reaches(void **state)
{
    struct fixture *f = *state;
    struct object_id ids[40];
    struct id_map live;
    struct store_collected done;
    id_map_init(&live);
    f->options.segment_bytes = 100000;
    reopen(f);
    for (uint64_t i = 0; i < 40; i++)
        ids[i] = put_noise(f->store, 10000, i);
    for (size_t i = 0; i < 40; i += 8)
        keep(&live, &ids[i]);
    collect(f, &live, &done);
    assert_true(done.segments >= 4);
    assert_true(done.freed_bytes > 300000);
    for (int round = 0; round < 2; round++, reopen(f)) {
        for (size_t i = 0; i < 40; i += 8)
            assert_int_equal(get(f->store, &ids[i]), 0);
        assert_int_equal(get(f->store, &ids[1]), GRID_ENOENT);
    }
    struct store_stats stats;
    store_stats(f->store, &stats);
    assert_true(stats.disk_bytes < 100000);
    id_map_dispose(&live);
}

static void test_store__collects_at_its_budget_too(void **state)
{
    struct fixture *f = *state;
    struct object_id ids[10];
    struct id_map live;
    struct store_collected done;
    struct store_stats stats;
    id_map_init(&live);
    f->options = (struct store_options){.segment_bytes = 40000, .max_bytes = 101500};
    reopen(f);
    for (uint64_t i = 0; i < 10; i++)
        ids[i] = put_noise(f->store, 10000, i);
    for (size_t i = 3; i < 10; i += 4)
        keep(&live, &ids[i]);
    collect(f, &live, &done);
    assert_true(done.segments >= 2);
    store_stats(f->store, &stats);
    assert_true(stats.disk_bytes < 60000);
    for (size_t i = 3; i < 10; i += 4)
        assert_int_equal(get(f->store, &ids[i]), 0);
    id_map_dispose(&live);
}

static void test_store__leaves_no_empty_segments_behind(void **state)
{
    struct fixture *f = *state;
    struct id_map live;
    struct store_collected done;
    struct store_stats stats;
    id_map_init(&live);
    f->options.segment_bytes = 40000;
    reopen(f);
    for (uint64_t i = 0; i < 20; i++)
        put_noise(f->store, 10000, i);
    collect(f, &live, &done);
    store_stats(f->store, &stats);
    assert_int_equal(stats.segments, 1);
    assert_true(stats.disk_bytes < 100);
    id_map_dispose(&live);
}

static void test_store__gives_back_what_a_failed_publish_wrote_last(void **state)
{
    struct fixture *f = *state;
    struct id_map live;
    struct store_collected done;
    struct store_stats before, after;
    id_map_init(&live);
    struct object_id kept = put_noise(f->store, 10000, 1);
    keep(&live, &kept);
    store_stats(f->store, &before);
    struct object_id lost = put_noise(f->store, 9000, 2); /* less than half: not worth a rewriting */
    collect(f, &live, &done);
    store_stats(f->store, &after);
    assert_int_equal(after.disk_bytes, before.disk_bytes);
    assert_in_range(done.freed_bytes, 9000, 9200);
    assert_int_equal(done.copied_bytes, 0);
    struct object_id next = put_noise(f->store, 5000, 3);
    for (int round = 0; round < 2; round++, reopen(f)) {
        assert_int_equal(get(f->store, &kept), 0);
        assert_int_equal(get(f->store, &next), 0);
        assert_int_equal(get(f->store, &lost), GRID_ENOENT);
    }
    id_map_dispose(&live);
}

static void test_store__a_hold_protects_what_no_root_reaches_yet(void **state)
{
    struct fixture *f = *state;
    struct id_map live;
    struct store_hold hold;
    struct store_collection c;
    struct store_collected done;
    id_map_init(&live);
    struct object_id old = put_noise(f->store, 1000, 1), found = put_noise(f->store, 1000, 2);
    store_hold_begin(f->store, &hold);
    struct object_id fresh = put_noise(f->store, 1000, 3);
    assert_true(store_has(f->store, &found));
    assert_int_equal(store_collect_begin(f->store, &c), 0);
    store_hold_end(f->store, &hold);
    struct object_id late = put_noise(f->store, 100, 4);
    assert_int_equal(store_collect_sweep(f->store, &c, &live, &done), 0);
    assert_int_equal(get(f->store, &fresh), 0);
    assert_int_equal(get(f->store, &found), 0);
    assert_int_equal(get(f->store, &late), 0);
    (void) old;
    collect(f, &live, &done);
    assert_int_equal(get(f->store, &fresh), GRID_ENOENT);
    assert_int_equal(get(f->store, &found), GRID_ENOENT);
    id_map_dispose(&live);
}

struct worker {
    struct store *store;
    uint64_t seed;
    bool ok;
};

static void *work(void *arg)
{
    struct worker *w = arg;
    struct store_hold hold;
    struct object_id ids[30];
    w->ok = true;
    for (int round = 0; round < 6; round++) {
        store_hold_begin(w->store, &hold);
        for (uint64_t i = 0; i < 30; i++) {
            uint8_t bytes[3000];
            struct store_batch batch;
            tree_noise(bytes, sizeof bytes, (w->seed + i) % 50);
            store_batch_init(&batch, w->store);
            w->ok &= store_batch_put(&batch, OBJECT_CHUNK, slice_of(bytes, sizeof bytes), &ids[i]) == 0;
            w->ok &= store_batch_commit(&batch) == 0;
            store_batch_dispose(&batch);
        }
        w->ok &= store_sync(w->store) == 0;
        for (size_t i = 0; i < 30; i++)
            w->ok &= get(w->store, &ids[i]) == 0;
        store_hold_end(w->store, &hold);
    }
    return NULL;
}

static void test_store__collection_never_takes_what_a_thread_holds(void **state)
{
    struct fixture *f = *state;
    pthread_t threads[3];
    struct worker workers[3];
    struct id_map live;
    struct store_collected done;
    id_map_init(&live);
    f->options.segment_bytes = 20000;
    reopen(f);
    for (size_t i = 0; i < 3; i++) {
        workers[i] = (struct worker){f->store, 17 * i, false};
        assert_int_equal(pthread_create(&threads[i], NULL, work, &workers[i]), 0);
    }
    for (int i = 0; i < 20; i++)
        collect(f, &live, &done);
    for (size_t i = 0; i < 3; i++) {
        pthread_join(threads[i], NULL);
        assert_true(workers[i].ok);
    }
    collect(f, &live, &done);
    struct store_stats stats;
    store_stats(f->store, &stats);
    assert_int_equal(stats.objects, 0);
    id_map_dispose(&live);
}

static void test_store__id_map_survives_additions_and_removals(void **state)
{
    (void) state;
    struct id_map m;
    struct object_id ids[500];
    id_map_init(&m);
    assert_int_equal(id_map_find(&m, &ids[0]), ID_MAP_NONE);
    for (size_t i = 0; i < 500; i++) {
        tree_noise(ids[i].bytes, 32, i);
        ids[i].bytes[0] = (uint8_t) (i % 7); /* crowded homes */
        ids[i].bytes[1] = ids[i].bytes[2] = ids[i].bytes[3] = 0;
        assert_int_equal(id_map_add(&m, &ids[i]), i);
        assert_int_equal(id_map_add(&m, &ids[i]), i);
    }
    for (size_t i = 0; i < 500; i += 3)
        id_map_remove(&m, id_map_find(&m, &ids[i]));
    for (size_t i = 0; i < 500; i++) {
        uint32_t at = id_map_find(&m, &ids[i]);
        assert_true((at == ID_MAP_NONE) == (i % 3 == 0));
        if (at != ID_MAP_NONE)
            assert_true(object_id_equal(&m.ids[at], &ids[i]));
    }
    id_map_dispose(&m);
}

#define WITH_STORE(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

static void flip_byte(struct fixture *f, off_t at)
{
    uint8_t byte;
    int fd = open(tree_path(f->folder, "store/00000001.seg"), O_RDWR);
    assert_true(fd >= 0);
    assert_int_equal(pread(fd, &byte, 1, at), 1);
    byte ^= 4;
    assert_int_equal(pwrite(fd, &byte, 1, at), 1);
    close(fd);
}

static void test_store__a_scrub_finds_what_rots_piece_by_piece(void **state)
{
    struct fixture *f = *state;
    struct object_id ids[8];
    struct store_scrubbed piece;
    uint32_t next = 5;
    uint64_t bytes = 0, damaged = 0;
    for (size_t i = 0; i < 8; i++)
        ids[i] = put_noise(f->store, 10000, i);
    assert_int_equal(store_scrub(f->store, &next, UINT64_MAX, &piece), 0); /* from the middle on */
    assert_true(next == 0 && piece.damaged == 0 && piece.bytes > 30000 && piece.bytes < 40000);
    flip_byte(f, 3 * 10060 + 5000); /* in the fourth */
    for (unsigned i = 0; i < 4; i++) {
        assert_int_equal(store_scrub(f->store, &next, 15000, &piece), 0); /* two of them at a time */
        bytes += piece.bytes;
        damaged += piece.damaged;
    }
    assert_true(damaged == 1 && bytes > 8 * 10000);
    for (size_t i = 0; i < 8; i++)
        assert_true(store_has(f->store, &ids[i]) == (i != 3) && store_has_lost(f->store, &ids[i]) == (i == 3));
    struct object_id again = put_noise(f->store, 10000, 3);
    assert_true(object_id_equal(&again, &ids[3]) && get(f->store, &ids[3]) == 0 && !store_has_lost(f->store, &ids[3]));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_STORE(test_store__gives_back_what_was_put),
        WITH_STORE(test_store__packed_objects_travel_to_another_store),
        WITH_STORE(test_store__is_refused_to_a_second_opener),
        WITH_STORE(test_store__recovers_from_a_tail_torn_at_every_byte),
        WITH_STORE(test_store__notices_a_flipped_bit_anywhere_and_takes_the_object_anew),
        WITH_STORE(test_store__drops_a_record_damaged_while_it_is_open),
        WITH_STORE(test_store__a_failed_write_leaves_what_was_there),
        WITH_STORE(test_store__keeps_to_its_budget),
        WITH_STORE(test_store__collects_what_no_root_reaches),
        WITH_STORE(test_store__collects_at_its_budget_too),
        WITH_STORE(test_store__leaves_no_empty_segments_behind),
        WITH_STORE(test_store__gives_back_what_a_failed_publish_wrote_last),
        WITH_STORE(test_store__a_hold_protects_what_no_root_reaches_yet),
        WITH_STORE(test_store__collection_never_takes_what_a_thread_holds),
        cmocka_unit_test(test_store__id_map_survives_additions_and_removals),
        WITH_STORE(test_store__a_scrub_finds_what_rots_piece_by_piece),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
