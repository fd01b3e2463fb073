/* The planner against peers that are honest, lack things, break, and lie, in invented time. */
// cost: 10
#include "tests/unit/fs/tree.h"

#include "fs/publish.h"
#include "fs/reach.h"
#include "fs/sync.h"

struct fixture {
    char *folder;
    struct store *from; /* has the release */
    struct store *to;   /* fetches it */
    struct object_id root;
    uint64_t objects;
    struct sync *sync;
    /* Counters of a run. */
    uint64_t requested;
    uint64_t loaded; /* listings, from the store */
    uint64_t requests[SYNC_PEERS_MAX];
};

static bool have(void *arg, const struct object_id *id)
{
    return store_has(((struct fixture *) arg)->to, id);
}

static int load(void *arg, const struct object_id *id, enum object_type type, struct buf *out)
{
    ((struct fixture *) arg)->loaded++;
    return store_get_typed(((struct fixture *) arg)->to, id, type, out);
}

static struct object_id publish(struct fixture *f)
{
    struct publish_result out;
    int fd = tree_open(tree_path(f->folder, "p"));
    assert_int_equal(release_publish(f->from, fd, NULL, NULL, &out), 0);
    close(fd);
    return out.root;
}

static int setup(void **state)
{
    static struct fixture f;
    struct store_stats stats;
    f = (struct fixture){.folder = tree_make()};
    tree_dir(f.folder, "p");
    for (int i = 0; i < 40; i++) {
        char name[64];
        snprintf(name, sizeof name, "p/d%d", i);
        tree_dir(f.folder, name);
        for (int j = 0; j < 20; j++) {
            snprintf(name, sizeof name, "p/d%d/f%d", i, j);
            tree_file(f.folder, name, name);
        }
    }
    uint8_t *bytes = malloc(2000000);
    tree_noise(bytes, 2000000, 1);
    tree_write(f.folder, "p/long", bytes, 2000000);
    free(bytes);
    assert_int_equal(store_open(tree_path(f.folder, "from"), NULL, NULL, &f.from), 0);
    assert_int_equal(store_open(tree_path(f.folder, "to"), NULL, NULL, &f.to), 0);
    f.root = publish(&f);
    store_stats(f.from, &stats);
    f.objects = stats.objects;
    *state = &f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    sync_destroy(f->sync);
    store_close(f->from);
    store_close(f->to);
    tree_remove(f->folder);
    return 0;
}

static void begin_beside(struct fixture *f, const struct object_id *base)
{
    struct sync_source source = {have, load, f};
    struct sync_options options = {.base = base};
    sync_destroy(f->sync);
    f->requested = f->loaded = 0;
    memset(f->requests, 0, sizeof f->requests);
    assert_int_equal(sync_create(&f->root, &source, &options, &f->sync), 0);
}

static void begin(struct fixture *f)
{
    begin_beside(f, NULL);
}

static uint32_t add_peer(struct fixture *f)
{
    uint32_t peer;
    assert_int_equal(sync_add_peer(f->sync, 0, SYNC_PEER_MAYBE, 0, &peer), 0);
    return peer;
}

static void walk(struct fixture *f)
{
    while (sync_walk(f->sync, 7) == GRID_EAGAIN)
        ;
}

/* How a peer answers for an object. */
enum answer { ANSWER_OBJECT, ANSWER_MISSING, ANSWER_SILENCE, ANSWER_LIE };
typedef enum answer (*peer_fn)(uint32_t peer, const struct object_id *id);

static enum answer honest(uint32_t peer, const struct object_id *id)
{
    (void) peer;
    (void) id;
    return ANSWER_OBJECT;
}

static int deliver(struct fixture *f, uint32_t peer, const struct object_id *id, bool lie, uint64_t now)
{
    struct buf content;
    struct store_batch batch;
    struct object_id stored;
    enum object_type type;
    buf_init(&content, 0);
    assert_int_equal(store_get(f->from, id, &type, &content), 0);
    if (lie)
        assert_int_equal(buf_append_byte(&content, 'x'), 0);
    int err = sync_receive(f->sync, peer, id, type, buf_slice(&content), now);
    if (err == 0) {
        store_batch_init(&batch, f->to);
        assert_int_equal(store_batch_put(&batch, type, buf_slice(&content), &stored), 0);
        assert_int_equal(store_batch_commit(&batch), 0);
        store_batch_dispose(&batch);
    }
    buf_dispose(&content);
    return err;
}

/* Answers one request as the peer would. */
static void answer(struct fixture *f, const struct sync_request *r, peer_fn fn, uint64_t now)
{
    struct object_id ids[SYNC_REQUEST_IDS_MAX];
    uint32_t count = r->count, peer = r->peer, number = r->number;
    memcpy(ids, r->ids, count * sizeof *ids);
    for (uint32_t i = 0; i < count; i++) {
        enum answer a = fn(peer, &ids[i]);
        if (a == ANSWER_MISSING)
            sync_missing(f->sync, peer, &ids[i]);
        if (a == ANSWER_OBJECT)
            assert_int_equal(deliver(f, peer, &ids[i], false, now), 0);
        if (a == ANSWER_LIE) {
            assert_int_equal(deliver(f, peer, &ids[i], true, now), GRID_ECORRUPT);
            return; /* the driver closes the connection */
        }
    }
    sync_request_end(f->sync, number, now);
}

/* Runs until nothing more can be asked. */
static enum sync_state run(struct fixture *f, peer_fn fn, uint64_t now)
{
    struct sync_request r;
    for (int rounds = 0; rounds < 10000; rounds++) {
        walk(f);
        if (!sync_next_request(f->sync, now, &r))
            break;
        assert_in_range(r.count, 1, SYNC_REQUEST_IDS_MAX);
        f->requested += r.count;
        f->requests[r.peer]++;
        answer(f, &r, fn, now);
    }
    return sync_status(f->sync, now, NULL);
}

static void assert_whole(struct fixture *f)
{
    struct id_map live;
    uint64_t missing;
    struct sync_progress progress;
    id_map_init(&live);
    assert_int_equal(release_mark(f->to, &f->root, &live, &missing), 0);
    assert_int_equal(missing, 0);
    assert_true(live.count > 800);
    sync_progress_get(f->sync, &progress);
    assert_int_equal(progress.bytes_wanted, 0);
    assert_int_equal(progress.objects_known, progress.objects_had);
    id_map_dispose(&live);
}

static void test_sync__fetches_a_whole_release_and_nothing_twice(void **state)
{
    struct fixture *f = *state;
    begin(f);
    assert_int_equal(sync_status(f->sync, 0, NULL), SYNC_STUCK);
    add_peer(f);
    assert_int_equal(run(f, honest, 0), SYNC_DONE);
    assert_int_equal(f->requested, f->objects);
    assert_whole(f);
}

static void test_sync__asks_only_for_what_has_changed(void **state)
{
    struct fixture *f = *state;
    begin(f);
    add_peer(f);
    assert_int_equal(run(f, honest, 0), SYNC_DONE);
    begin(f);
    add_peer(f);
    assert_int_equal(run(f, honest, 0), SYNC_DONE);
    assert_int_equal(f->requested, 0);
    tree_file(f->folder, "p/d3/f3", "changed");
    f->root = publish(f);
    begin(f);
    add_peer(f);
    assert_int_equal(run(f, honest, 0), SYNC_DONE);
    assert_int_equal(f->requested, 3);
    assert_whole(f);
}

static void test_sync__passes_over_what_a_base_has_at_the_same_place(void **state)
{
    struct fixture *f = *state;
    struct object_id base = f->root;
    begin(f);
    add_peer(f);
    assert_int_equal(run(f, honest, 0), SYNC_DONE);
    tree_file(f->folder, "p/d3/f3", "changed");
    f->root = publish(f);
    begin_beside(f, &base);
    add_peer(f);
    assert_int_equal(run(f, honest, 0), SYNC_DONE);
    assert_int_equal(f->requested, 3);
    assert_int_equal(f->loaded, 2); /* the base's root and its d3: of 41 folders */
    assert_whole(f);
    begin_beside(f, &base);
    walk(f);
    assert_int_equal(sync_status(f->sync, 0, NULL), SYNC_DONE);
}

/* A folder that is renamed, and a file that takes a folder's place: neither is where the base has it. */
static void test_sync__looks_at_what_a_base_has_at_another_place(void **state)
{
    struct fixture *f = *state;
    struct object_id base = f->root;
    begin(f);
    add_peer(f);
    assert_int_equal(run(f, honest, 0), SYNC_DONE);
    assert_int_equal(rename(tree_path(f->folder, "p/d7"), tree_path(f->folder, "p/e7")), 0);
    assert_int_equal(rename(tree_path(f->folder, "p/d8"), tree_path(f->folder, "p/d7")), 0);
    tree_file(f->folder, "p/d8", "a file");
    f->root = publish(f);
    begin_beside(f, &base);
    add_peer(f);
    assert_int_equal(run(f, honest, 0), SYNC_DONE);
    assert_int_equal(f->requested, 2);
    assert_whole(f);
}

static void test_sync__a_base_that_cannot_be_read_costs_its_numbers_only(void **state)
{
    struct fixture *f = *state;
    struct object_id nowhere = {{7}};
    begin_beside(f, &nowhere);
    add_peer(f);
    assert_int_equal(run(f, honest, 0), SYNC_DONE);
    assert_false(sync_is_numbered_alike(f->sync));
    assert_whole(f);
}

static void test_sync__resumes_after_a_break_anywhere(void **state)
{
    struct fixture *f = *state;
    struct sync_request r;
    uint64_t requested = 0;
    for (int i = 0; i < 5; i++) {
        begin(f);
        add_peer(f);
        walk(f);
        if (!sync_next_request(f->sync, 0, &r))
            break;
        requested += r.count;
        answer(f, &r, honest, 0);
    }
    begin(f);
    add_peer(f);
    assert_int_equal(run(f, honest, 0), SYNC_DONE);
    assert_int_equal(requested + f->requested, f->objects);
    assert_whole(f);
}

static void test_sync__shares_the_work_among_peers(void **state)
{
    struct fixture *f = *state;
    struct sync_request first, second;
    begin(f);
    uint32_t a = add_peer(f), b = add_peer(f);
    assert_true(sync_next_request(f->sync, 0, &first)); /* the root */
    assert_false(sync_next_request(f->sync, 0, &second));
    answer(f, &first, honest, 0);
    assert_true(sync_next_request(f->sync, 0, &first));
    assert_true(sync_next_request(f->sync, 0, &second));
    assert_int_not_equal(first.peer, second.peer);
    sync_peer_failed(f->sync, a, 0);
    sync_peer_failed(f->sync, b, 0);
    assert_int_equal(run(f, honest, 1000), SYNC_DONE);
    assert_true(f->requests[a] > 0 && f->requests[b] > 0);
    assert_whole(f);
}

static enum answer first_lies(uint32_t peer, const struct object_id *id)
{
    (void) id;
    return peer == 0 ? ANSWER_LIE : ANSWER_OBJECT;
}

static void test_sync__a_liar_is_noticed_at_once_and_left_alone(void **state)
{
    struct fixture *f = *state;
    uint64_t retry_at;
    begin(f);
    assert_int_equal(add_peer(f), 0);
    assert_int_equal(run(f, first_lies, 100), SYNC_STUCK);
    assert_int_equal(f->requests[0], 1);
    assert_int_equal(sync_status(f->sync, 100, &retry_at), SYNC_STUCK);
    assert_int_equal(retry_at, 30100);
    add_peer(f);
    assert_int_equal(run(f, first_lies, 200), SYNC_DONE);
    assert_int_equal(f->requests[0], 1);
    assert_whole(f);
}

static void test_sync__a_liar_that_comes_back_waits_twice_as_long(void **state)
{
    struct fixture *f = *state;
    uint64_t retry_at;
    begin(f);
    add_peer(f);
    run(f, first_lies, 0);
    run(f, first_lies, 30000);
    assert_int_equal(f->requests[0], 2);
    assert_int_equal(sync_status(f->sync, 30000, &retry_at), SYNC_STUCK);
    assert_int_equal(retry_at, 90000);
}

static enum answer halves(uint32_t peer, const struct object_id *id)
{
    return (id->bytes[0] & 1) == (peer & 1) ? ANSWER_OBJECT : id->bytes[1] & 1 ? ANSWER_MISSING : ANSWER_SILENCE;
}

static void test_sync__peers_with_half_of_it_each_make_a_whole(void **state)
{
    struct fixture *f = *state;
    uint64_t now = 0;
    begin(f);
    add_peer(f);
    add_peer(f);
    while (run(f, halves, now) != SYNC_DONE && now < 3600000)
        now += 1000; /* one that answers with less than was asked for, and does not say so, rests */
    assert_whole(f);
}

static enum answer second_is_silent(uint32_t peer, const struct object_id *id)
{
    (void) id;
    return peer == 1 ? ANSWER_SILENCE : ANSWER_OBJECT;
}

static enum answer second_lacks(uint32_t peer, const struct object_id *id)
{
    (void) id;
    return peer == 1 ? ANSWER_MISSING : ANSWER_OBJECT;
}

/* The origin is spared for one who has all; not for one who only says so. */
static void expect_no_hold_up(struct fixture *f, peer_fn fn)
{
    uint32_t origin, whole;
    uint64_t now = 0;
    begin(f);
    assert_int_equal(sync_add_peer(f->sync, 1, SYNC_PEER_ORIGIN, 0, &origin), 0);
    assert_int_equal(sync_add_peer(f->sync, 2, SYNC_PEER_WHOLE, 0, &whole), 0);
    assert_int_equal(whole, 1);
    for (; run(f, fn, now) != SYNC_DONE && now < 5000; now += 100)
        sync_forget_missing(f->sync);
    assert_in_range(now, 0, 4999);
    assert_whole(f);
}

static void test_sync__who_says_that_it_has_all_and_gives_nothing_holds_up_nobody(void **state)
{
    expect_no_hold_up(*state, second_is_silent);
}

static void test_sync__who_says_that_it_has_all_and_lacks_it_holds_up_nobody(void **state)
{
    expect_no_hold_up(*state, second_lacks);
}

static enum answer has_nothing(uint32_t peer, const struct object_id *id)
{
    (void) peer;
    (void) id;
    return ANSWER_MISSING;
}

static void test_sync__is_stuck_until_a_peer_has_it(void **state)
{
    struct fixture *f = *state;
    uint64_t retry_at;
    begin(f);
    add_peer(f);
    assert_int_equal(run(f, has_nothing, 0), SYNC_STUCK);
    assert_int_equal(f->requested, 1);
    assert_int_equal(sync_status(f->sync, 0, &retry_at), SYNC_STUCK);
    assert_true(retry_at == UINT64_MAX);
    assert_int_equal(run(f, honest, 0), SYNC_STUCK);
    sync_forget_missing(f->sync);
    assert_int_equal(run(f, honest, 0), SYNC_DONE);
    assert_whole(f);
}

static void test_sync__a_broken_peer_backs_off_and_its_requests_go_to_another(void **state)
{
    struct fixture *f = *state;
    struct sync_request r;
    uint64_t retry_at;
    begin(f);
    uint32_t a = add_peer(f);
    assert_true(sync_next_request(f->sync, 0, &r));
    sync_peer_failed(f->sync, a, 0);
    assert_false(sync_next_request(f->sync, 499, &r));
    assert_int_equal(sync_status(f->sync, 0, &retry_at), SYNC_STUCK);
    assert_int_equal(retry_at, 500);
    assert_true(sync_next_request(f->sync, 500, &r));
    sync_peer_failed(f->sync, a, 500);
    assert_int_equal(sync_status(f->sync, 500, &retry_at), SYNC_STUCK);
    assert_int_equal(retry_at, 1500);
    uint32_t b = add_peer(f);
    assert_true(sync_next_request(f->sync, 500, &r));
    assert_int_equal(r.peer, b);
    sync_remove_peer(f->sync, b);
    assert_int_equal(add_peer(f), b);
    assert_int_equal(run(f, honest, 500), SYNC_DONE);
    assert_whole(f);
}

static void test_sync__ignores_what_was_not_asked_for(void **state)
{
    struct fixture *f = *state;
    struct object_id id;
    begin(f);
    uint32_t a = add_peer(f);
    assert_int_equal(object_id_compute(OBJECT_CHUNK, SLICE("x"), &id), 0);
    assert_int_equal(sync_receive(f->sync, a, &id, OBJECT_CHUNK, SLICE("x"), 0), GRID_ENOENT);
    sync_missing(f->sync, a, &id);
    sync_request_end(f->sync, 9, 0);
    assert_int_equal(sync_receive(f->sync, 63, &f->root, OBJECT_CHUNK, SLICE("x"), 0), GRID_ENOENT);
    assert_int_equal(deliver(f, a, &f->root, false, 0), 0); /* wanted, though not asked of it yet */
    assert_int_equal(deliver(f, a, &f->root, false, 0), GRID_ENOENT);
    assert_int_equal(run(f, honest, 0), SYNC_DONE);
    assert_whole(f);
}

/* A root whose manifest is well-formed, and false. */
static void expect_failure(struct fixture *f, const struct manifest_entry *entries, size_t count, bool root, struct slice chunk)
{
    struct buf content;
    struct manifest_writer w;
    struct object_id id;
    buf_init(&content, 0);
    manifest_dir_begin(&w, &content, root ? &chunker_default_params : NULL);
    for (size_t i = 0; i < count; i++)
        manifest_dir_add(&w, &entries[i]);
    assert_int_equal(manifest_end(&w), 0);
    assert_int_equal(object_id_compute(OBJECT_DIRECTORY, buf_slice(&content), &f->root), 0);
    begin(f);
    uint32_t a = add_peer(f);
    int err = sync_receive(f->sync, a, &f->root, OBJECT_DIRECTORY, buf_slice(&content), 0);
    if (err == 0) {
        assert_int_equal(object_id_compute(OBJECT_CHUNK, chunk, &id), 0);
        err = sync_receive(f->sync, a, &id, OBJECT_CHUNK, chunk, 0);
    }
    assert_int_equal(err, GRID_EPROTO);
    assert_int_equal(sync_status(f->sync, 0, NULL), SYNC_FAILED);
    assert_int_equal(sync_error(f->sync), GRID_EPROTO);
    buf_dispose(&content);
}

static void test_sync__fails_on_a_manifest_that_contradicts_itself(void **state)
{
    struct fixture *f = *state;
    struct manifest_entry e[2] = {{.name = SLICE_INIT("a"), .kind = MANIFEST_FILE, .size = 3},
                                  {.name = SLICE_INIT("b"), .kind = MANIFEST_FILE, .size = 4}};
    expect_failure(f, e, 2, true, SLICE("")); /* one id, two sizes */
    assert_int_equal(object_id_compute(OBJECT_CHUNK, SLICE("abcd"), &e[0].id), 0);
    expect_failure(f, e, 1, true, SLICE("abcd")); /* says 3, is 4 */
    expect_failure(f, e, 1, false, SLICE(""));    /* no root */
    e[0].kind = MANIFEST_DIRECTORY;
    e[0].size = 6;
    expect_failure(f, e, 1, true, SLICE("abcd")); /* says folder, is chunk */
}

#define WITH_STORES(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_STORES(test_sync__fetches_a_whole_release_and_nothing_twice),
        WITH_STORES(test_sync__asks_only_for_what_has_changed),
        WITH_STORES(test_sync__passes_over_what_a_base_has_at_the_same_place),
        WITH_STORES(test_sync__looks_at_what_a_base_has_at_another_place),
        WITH_STORES(test_sync__a_base_that_cannot_be_read_costs_its_numbers_only),
        WITH_STORES(test_sync__resumes_after_a_break_anywhere),
        WITH_STORES(test_sync__shares_the_work_among_peers),
        WITH_STORES(test_sync__a_liar_is_noticed_at_once_and_left_alone),
        WITH_STORES(test_sync__a_liar_that_comes_back_waits_twice_as_long),
        WITH_STORES(test_sync__peers_with_half_of_it_each_make_a_whole),
        WITH_STORES(test_sync__who_says_that_it_has_all_and_gives_nothing_holds_up_nobody),
        WITH_STORES(test_sync__who_says_that_it_has_all_and_lacks_it_holds_up_nobody),
        WITH_STORES(test_sync__is_stuck_until_a_peer_has_it),
        WITH_STORES(test_sync__a_broken_peer_backs_off_and_its_requests_go_to_another),
        WITH_STORES(test_sync__ignores_what_was_not_asked_for),
        WITH_STORES(test_sync__fails_on_a_manifest_that_contradicts_itself),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
