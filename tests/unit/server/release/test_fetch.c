/* A fetch against SyncChunk servers in this process: honest ones, liars, one that breaks off in the middle, one that falls silent. */
// cost: 30
#include "tests/unit/server/release/chunk_node.h"

#include "fs/id_map.h"
#include "fs/reach.h"
#include "server/release/fetch_internal.h"

enum { NODES_MAX = 12, FILES = 600 };

struct fixture {
    char *folder;
    struct loop *loop;
    struct store *store;
    struct chunk_node nodes[NODES_MAX];
    size_t node_count;
    const struct addr *dead; /* an address where nobody listens, named before the right one */
    const struct addr *silent; /* of one more peer: nobody answers there, nor refuses */
    struct object_id root;
    struct fetch *fetch;
    struct pacer pacer; /* all zero: no bound */
    volatile int done;
    int err;
    bool sentence;
};

static size_t peers(void *ctx, const char *root, struct release_peer out[RELEASE_PEERS_MAX])
{
    struct fixture *f = ctx;
    assert_int_equal(strlen(root), 64);
    for (size_t i = 0; i < f->node_count; i++) {
        out[i] = (struct release_peer){.runs_it = i == 0};
        if (f->dead)
            out[i].addresses[out[i].address_count++] = *f->dead;
        out[i].addresses[out[i].address_count++] = f->nodes[i].at;
        snprintf(out[i].id, sizeof out[i].id, "%064zu", i);
    }
    if (!f->silent)
        return f->node_count;
    out[f->node_count] = (struct release_peer){.id = "silent", .addresses = {*f->silent}, .address_count = 1};
    return f->node_count + 1;
}

static void on_done(void *ctx, int err, const char *sentence)
{
    struct fixture *f = ctx;
    f->fetch = NULL;
    f->err = err;
    f->sentence = sentence != NULL;
    f->done++;
}

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);
    f->folder = tree_make();
    assert_int_equal(loop_create(&f->loop), 0);
    assert_int_equal(store_open(tree_path(f->folder, "store"), NULL, NULL, &f->store), 0);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    for (size_t i = 0; i < f->node_count; i++)
        chunk_node_close(&f->nodes[i]);
    loop_destroy(f->loop);
    store_close(f->store);
    tree_remove(f->folder);
    free(f);
    return 0;
}

/* A project of many small files in folders, and a long one. */
static void make_project(struct fixture *f)
{
    char name[64];
    char *big = malloc(3 * 1024 * 1024);
    uint32_t x = 1;
    tree_dir(f->folder, "p");
    for (int i = 0; i < FILES; i++) {
        snprintf(name, sizeof name, "p/d%d", i / 50);
        if (i % 50 == 0)
            tree_dir(f->folder, name);
        snprintf(name, sizeof name, "p/d%d/f%d", i / 50, i);
        tree_file(f->folder, name, name);
    }
    for (size_t i = 0; i < 3 * 1024 * 1024; i++)
        big[i] = (char) ((x = x * 1664525 + 1013904223) >> 24);
    tree_write(f->folder, "p/big", big, 3 * 1024 * 1024);
    free(big);
}

/* All nodes have the project. */
static void add_node(struct fixture *f, enum chunk_fault fault, unsigned answers_before)
{
    char name[16];
    struct chunk_node *n = &f->nodes[f->node_count];
    if (f->node_count == 0)
        make_project(f);
    snprintf(name, sizeof name, "store%zu", f->node_count);
    n->fault = fault;
    n->answers_before_fault = answers_before;
    chunk_node_open(n, f->loop, f->folder, name);
    f->root = chunk_node_publish(n, f->folder, "p");
    f->node_count++;
}

/* Short only where somebody stalls: an honest peer on a busy machine must not be taken for one that does. */
static uint32_t stall_ms(const struct fixture *f)
{
    for (size_t i = 0; i < f->node_count; i++)
        if (f->nodes[i].fault == CHUNK_STALLS)
            return 1500;
    return 0;
}

static void start(struct fixture *f, uint32_t patience_ms)
{
    struct fetch_options options = {.loop = f->loop, .store = f->store, .peers = peers, .peers_ctx = f, .stall_ms = stall_ms(f), .patience_ms = patience_ms,
                                    .pacer = &f->pacer, .on_done = on_done, .ctx = f};
    f->done = 0;
    uv_update_time(loop_uv(f->loop)); /* patience is counted from now, and what came before the loop took its time */
    assert_int_equal(fetch_start(&options, &f->root, &f->fetch), 0);
    assert_int_equal(f->done, 0);
}

static uint64_t count_missing(struct fixture *f)
{
    struct id_map live;
    uint64_t missing = 0;
    id_map_init(&live);
    assert_int_equal(release_mark(f->store, &f->root, &live, &missing), 0);
    id_map_dispose(&live);
    return missing;
}

static void expect_whole(struct fixture *f)
{
    PUMP(f->loop, f->done, 1);
    assert_int_equal(f->err, 0);
    assert_int_equal(count_missing(f), 0);
}

static void test_fetch__brings_everything_from_one_peer(void **state)
{
    struct fixture *f = *state;
    add_node(f, CHUNK_HONEST, 0);
    start(f, 0);
    expect_whole(f);
}

static void test_fetch__asks_nobody_when_nothing_is_missing(void **state)
{
    struct fixture *f = *state;
    add_node(f, CHUNK_HONEST, 0);
    start(f, 0);
    expect_whole(f);
    int calls = f->nodes[0].calls;
    start(f, 0);
    expect_whole(f);
    assert_int_equal(f->nodes[0].calls, calls);
}

static void test_fetch__goes_round_a_peer_with_a_fault(void **state)
{
    static const struct {
        enum chunk_fault fault;
        unsigned answers_before;
    } cases[] = {{CHUNK_LIES, 0}, {CHUNK_LIES, 2}, {CHUNK_GARBAGE, 1}, {CHUNK_BREAKS_OFF, 0}, {CHUNK_BREAKS_OFF, 2}, {CHUNK_STALLS, 1}, {CHUNK_LACKS, 0}};
    (void) state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        void *one;
        setup(&one);
        struct fixture *f = one;
        add_node(f, cases[i].fault, cases[i].answers_before);
        add_node(f, CHUNK_HONEST, 0);
        start(f, 0);
        expect_whole(f);
        teardown(&one);
    }
}

static void test_fetch__leaves_a_liar_alone_for_a_while(void **state)
{
    struct fixture *f = *state;
    add_node(f, CHUNK_LIES, 0);
    start(f, 3000);
    PUMP(f->loop, f->done, 1);
    assert_int_equal(f->err, GRID_ETIMEOUT);
    assert_true(f->nodes[0].calls <= 4); /* what was under way at once */
}

static void test_fetch__waits_for_a_peer_that_comes_back(void **state)
{
    struct fixture *f = *state;
    add_node(f, CHUNK_BREAKS_OFF, 1);
    start(f, 0);
    PUMP(f->loop, f->nodes[0].calls, 3);
    f->nodes[0].fault = CHUNK_HONEST;
    expect_whole(f);
}

static void test_fetch__gives_up_when_its_patience_ends(void **state)
{
    struct fixture *f = *state;
    add_node(f, CHUNK_LACKS, 0);
    start(f, 1500);
    PUMP(f->loop, f->done, 1);
    assert_int_equal(f->err, GRID_ETIMEOUT);
    assert_true(f->sentence);
}

static void test_fetch__goes_on_with_what_an_earlier_one_brought(void **state)
{
    struct fixture *f = *state;
    add_node(f, CHUNK_BREAKS_OFF, 3);
    start(f, 3000);
    PUMP(f->loop, f->done, 1);
    assert_int_equal(f->err, GRID_ETIMEOUT);
    uint64_t missing = count_missing(f);
    struct store_stats stats;
    store_stats(f->store, &stats);
    assert_true(missing > 0 && stats.objects > 0);
    f->nodes[0].fault = CHUNK_HONEST;
    start(f, 0);
    expect_whole(f);
}

static void test_fetch__finds_a_peer_that_appears_later(void **state)
{
    struct fixture *f = *state;
    add_node(f, CHUNK_HONEST, 0);
    f->node_count = 0;
    start(f, 0);
    for (int i = 0; i < 5; i++)
        uv_run(loop_uv(f->loop), UV_RUN_NOWAIT);
    f->node_count = 1;
    fetch_peers_changed(f->fetch);
    expect_whole(f);
}

static void test_fetch__may_be_cancelled_at_any_turn(void **state)
{
    struct fixture *f = *state;
    add_node(f, CHUNK_HONEST, 0);
    for (int turns = 0; turns < 40; turns++) {
        start(f, 0);
        for (int i = 0; i < turns && f->done == 0; i++)
            uv_run(loop_uv(f->loop), UV_RUN_NOWAIT);
        if (f->done > 0)
            continue;
        fetch_cancel(f->fetch);
        assert_int_equal(f->done, 0);
        PUMP(f->loop, f->done, 1);
        assert_true(f->err == GRID_ECANCELED);
    }
}

/* So that what is fetched instead need not wait for bytes that never came. */
static void test_fetch__that_is_cancelled_gives_back_what_it_spent_of_the_rate(void **state)
{
    enum { RATE = 1 << 20 };
    struct fixture *f = *state;
    add_node(f, CHUNK_STALLS, 1);
    pacer_init(&f->pacer, RATE);
    start(f, 0);
    PUMP(f->loop, f->nodes[0].calls, 2); /* the root has come, and more has been asked for */
    uint64_t ahead_us = f->fetch->ahead * 1000000 / RATE, paid_at_us = f->pacer.paid_at_us;
    assert_true(ahead_us > 0);
    fetch_cancel(f->fetch);
    PUMP(f->loop, f->done, 1);
    assert_in_range(paid_at_us - f->pacer.paid_at_us, ahead_us, ahead_us + 1); /* to be rounded */
}

static void test_fetch__says_that_the_disk_is_full(void **state)
{
    struct fixture *f = *state;
    struct store_options small = {.segment_bytes = 64 * 1024, .max_bytes = 256 * 1024};
    store_close(f->store);
    assert_int_equal(store_open(tree_path(f->folder, "small"), &small, NULL, &f->store), 0);
    add_node(f, CHUNK_HONEST, 0);
    start(f, 0);
    PUMP(f->loop, f->done, 1);
    assert_int_equal(f->err, GRID_ENOSPC);
    assert_true(f->sentence);
}

static void test_fetch__tries_a_peers_other_addresses(void **state)
{
    struct fixture *f = *state;
    struct addr dead;
    socklen_t size = sizeof dead.u;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    addr_loopback_v4(0, &dead);
    assert_int_equal(bind(fd, &dead.u.any, dead.size), 0);
    assert_int_equal(getsockname(fd, &dead.u.any, &size), 0);
    add_node(f, CHUNK_HONEST, 0);
    f->dead = &dead;
    start(f, 30000); /* only a failing test waits so long */
    expect_whole(f);
    close(fd);
}

static void test_fetch__comes_to_the_one_of_many_who_has_it(void **state)
{
    struct fixture *f = *state;
    for (int i = 0; i < 10; i++)
        add_node(f, i == 9 ? CHUNK_HONEST : CHUNK_LACKS, 0);
    start(f, 0);
    expect_whole(f);
}

static void set_fault(struct fixture *f, enum chunk_fault fault)
{
    for (size_t i = 0; i < f->node_count; i++)
        f->nodes[i].fault = fault;
}

static bool is_connected_to(const struct fixture *f, size_t number)
{
    char id[65];
    snprintf(id, sizeof id, "%064zu", number);
    const struct fetch_peer *peer = f->fetch->peers;
    while (peer && strcmp(peer->at.id, id) != 0)
        peer = peer->next;
    return peer && !peer->failed;
}

static void test_fetch__leaves_nobody_where_no_other_is_to_be_asked(void **state)
{
    struct fixture *f = *state;
    for (int i = 0; i < FETCH_PEERS_MAX; i++)
        add_node(f, CHUNK_LACKS, 0);
    start(f, 0);
    PUMP(f->loop, f->nodes[0].calls, 3);
    set_fault(f, CHUNK_HONEST);
    expect_whole(f);
    for (int i = 0; i < FETCH_PEERS_MAX; i++)
        assert_int_equal(f->nodes[i].conns, 1);
}

static void test_fetch__who_runs_the_release_makes_room_for_nobody_that_does_not(void **state)
{
    struct fixture *f = *state;
    for (int i = 0; i < FETCH_PEERS_MAX + 1; i++)
        add_node(f, CHUNK_LACKS, 0);
    start(f, 0);
    PUMP(f->loop, f->nodes[FETCH_PEERS_MAX].conns, 1);
    assert_true(is_connected_to(f, 0));
    set_fault(f, CHUNK_HONEST);
    expect_whole(f);
}

/* A listener whose queue is full: the kernel answers nobody any more. */
struct full_listener {
    struct addr at;
    int fd, waiting[4];
};

static void full_listener_open(struct full_listener *l)
{
    addr_loopback_v4(0, &l->at);
    l->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(l->fd, &l->at.u.any, l->at.size), 0);
    assert_int_equal(listen(l->fd, 0), 0);
    assert_int_equal(getsockname(l->fd, &l->at.u.any, &l->at.size), 0);
    for (size_t i = 0; i < sizeof l->waiting / sizeof *l->waiting; i++) {
        l->waiting[i] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        connect(l->waiting[i], &l->at.u.any, l->at.size);
    }
}

static void full_listener_close(struct full_listener *l)
{
    close(l->fd);
    for (size_t i = 0; i < sizeof l->waiting / sizeof *l->waiting; i++)
        close(l->waiting[i]);
}

/* So that it is waited for, and what only the first has is not asked of it by all (fs/sync.h). */
static void test_fetch__who_is_dialled_for_the_first_time_is_awaited(void **state)
{
    struct fixture *f = *state;
    struct full_listener l;
    full_listener_open(&l);
    f->silent = &l.at;
    add_node(f, CHUNK_HONEST, 0);
    start(f, 0);
    while (f->fetch->peer_count == 0)
        uv_run(loop_uv(f->loop), UV_RUN_NOWAIT);
    assert_int_equal(f->fetch->peer_count, 2);
    for (const struct fetch_peer *peer = f->fetch->peers; peer; peer = peer->next)
        assert_true(peer->known);
    expect_whole(f);
    full_listener_close(&l);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_fetch__brings_everything_from_one_peer, setup, teardown),
        cmocka_unit_test_setup_teardown(test_fetch__asks_nobody_when_nothing_is_missing, setup, teardown),
        cmocka_unit_test(test_fetch__goes_round_a_peer_with_a_fault),
        cmocka_unit_test_setup_teardown(test_fetch__leaves_a_liar_alone_for_a_while, setup, teardown),
        cmocka_unit_test_setup_teardown(test_fetch__waits_for_a_peer_that_comes_back, setup, teardown),
        cmocka_unit_test_setup_teardown(test_fetch__gives_up_when_its_patience_ends, setup, teardown),
        cmocka_unit_test_setup_teardown(test_fetch__goes_on_with_what_an_earlier_one_brought, setup, teardown),
        cmocka_unit_test_setup_teardown(test_fetch__finds_a_peer_that_appears_later, setup, teardown),
        cmocka_unit_test_setup_teardown(test_fetch__may_be_cancelled_at_any_turn, setup, teardown),
        cmocka_unit_test_setup_teardown(test_fetch__that_is_cancelled_gives_back_what_it_spent_of_the_rate, setup, teardown),
        cmocka_unit_test_setup_teardown(test_fetch__says_that_the_disk_is_full, setup, teardown),
        cmocka_unit_test_setup_teardown(test_fetch__tries_a_peers_other_addresses, setup, teardown),
        cmocka_unit_test_setup_teardown(test_fetch__comes_to_the_one_of_many_who_has_it, setup, teardown),
        cmocka_unit_test_setup_teardown(test_fetch__leaves_nobody_where_no_other_is_to_be_asked, setup, teardown),
        cmocka_unit_test_setup_teardown(test_fetch__who_runs_the_release_makes_room_for_nobody_that_does_not, setup, teardown),
        cmocka_unit_test_setup_teardown(test_fetch__who_is_dialled_for_the_first_time_is_awaited, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
