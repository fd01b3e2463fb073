/* Releases from end to end in one process: nodes with real stores, supervisors and chunk servers, and a wire between them that the tests hold. */
// cost: 20
#include "tests/unit/fs/tree.h"
#include "tests/unit/net/pump.h"

#include <pthread.h>
#include <sys/mman.h>
#include <sys/syscall.h>

#include "api/pb.h"
#include "base/log.h"
#include "fs/reach.h"
#include "grid/v1/peer.pb-c.h"
#include "net/grpc_server.h"
#include "server/release/release_codec.h"
#include "server/release/fetch_internal.h"
#include "server/release/releases.h"
#include "server/release/releases_internal.h"

enum { NODES = 3 };

/* ---- a gate before trees that are made ahead ---- */

static struct {
    pthread_mutex_t mutex;
    pthread_cond_t changed;
    bool shut, reached;
} gate = {.mutex = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER};

static void gate_set(bool shut)
{
    pthread_mutex_lock(&gate.mutex);
    gate.shut = shut;
    gate.reached = false;
    pthread_cond_broadcast(&gate.changed);
    pthread_mutex_unlock(&gate.mutex);
}

static bool gate_reached(void)
{
    pthread_mutex_lock(&gate.mutex);
    bool reached = gate.reached;
    pthread_mutex_unlock(&gate.mutex);
    return reached;
}

/* In the C library's place: the first that a tree takes. */
int mkdirat(int fd, const char *name, mode_t mode)
{
    size_t size = strlen(name);
    pthread_mutex_lock(&gate.mutex);
    while (gate.shut && size > 6 && strcmp(name + size - 6, ".spare") == 0) {
        gate.reached = true;
        pthread_cond_wait(&gate.changed, &gate.mutex);
    }
    pthread_mutex_unlock(&gate.mutex);
    return (int) syscall(SYS_mkdirat, fd, name, mode);
}

struct fixture;

struct side {
    struct fixture *f;
    size_t number;
    char id[65], state[256];
    struct supervisor *supervisor;
    struct releases *releases;
    struct grpc_server *grpc;
    struct http_server *http;
    struct listener *listener;
    struct addr at;
    volatile int closed, server_closed, done, conflicts, warnings;
    int err;
    char sentence[640];
    uint64_t sequence;
    struct buf heard; /* the last announcement */
    uint64_t store_max, sync_rate;
    struct sync_traffic traffic;
    struct release_keep keep;
    bool unreachable;
    const char *evicts; /* whose entries do not count there; NULL: nobody's */
    bool leaves; /* as soon as it is told how a publish goes */
};

struct fixture {
    char *folder;
    struct loop *loop;
    struct side sides[NODES];
    bool cut; /* nothing is announced to anybody */
};

/* ---- what a node gives its releases ---- */

/* The node's certificate, which is made anew in its place as soon as an entry has been signed; NULL: it stays. */
static char *renewed;

static int sign(void *ctx, struct slice bytes, uint8_t signature[ENTRY_SIGNATURE_BYTES], size_t *size)
{
    (void) ctx;
    *size = 32;
    int err = hash_sha256(bytes, signature);
    if (renewed)
        memset(renewed, 'x', strlen(renewed));
    return err;
}

static int verify(void *ctx, struct slice certificate, const char *publisher, struct slice bytes, struct slice signature, char why[160])
{
    const struct side *s = ctx;
    uint8_t expected[32];
    (void) certificate;
    snprintf(why, 160, "its publisher was evicted");
    if (s->evicts && strcmp(s->evicts, publisher) == 0)
        return GRID_EPERM;
    snprintf(why, 160, "its signature is wrong");
    assert_int_equal(hash_sha256(bytes, expected), 0);
    return slice_equal(signature, slice_of(expected, sizeof expected)) ? 0 : GRID_EPERM;
}

#define LEFT_GRID "of a grid that was left"

static bool is_of_grid(const void *ctx, struct slice certificate)
{
    (void) ctx;
    return !slice_equal_str(certificate, LEFT_GRID);
}

static size_t peers(void *ctx, const char *root, struct release_peer out[RELEASE_PEERS_MAX])
{
    const struct side *self = ctx;
    size_t count = 0;
    (void) root;
    for (size_t i = 0; i < NODES; i++) {
        const struct side *s = &self->f->sides[i];
        if (s == self || !s->releases || s->unreachable)
            continue;
        out[count] = (struct release_peer){.addresses = {s->at}, .address_count = 1};
        memcpy(out[count++].id, s->id, sizeof s->id);
    }
    return count;
}

static void spread(struct side *from)
{
    for (size_t i = 0; i < NODES; i++)
        if (&from->f->sides[i] != from && from->f->sides[i].releases && from->heard.size > 0)
            releases_receive(from->f->sides[i].releases, buf_slice(&from->heard));
}

/* An announcement on its way. */
struct news {
    struct side *from;
};

static void deliver(void *arg)
{
    struct news *news = arg;
    if (!news->from->f->cut)
        spread(news->from);
    free(news);
}

static void announce(void *ctx, struct slice packed)
{
    struct side *s = ctx;
    struct news *news = malloc(sizeof *news);
    buf_clear(&s->heard);
    assert_int_equal(buf_append(&s->heard, packed), 0);
    news->from = s;
    assert_int_equal(loop_post(s->f->loop, deliver, news), 0);
}

static void on_conflict(void *ctx, const struct release_entry *winner, const struct release_entry *loser)
{
    assert_true(release_entry_compare(winner, loser) > 0 && winner->sequence == loser->sequence);
    ((struct side *) ctx)->conflicts++;
}

static void on_change(void *ctx)
{
    (void) ctx;
}

static void on_request(void *ctx, struct http_exchange *x)
{
    assert_true(grpc_server_handle(((struct side *) ctx)->grpc, x));
}

static void on_accept(void *ctx, int fd, const struct addr *from)
{
    (void) from;
    http_server_accept(((struct side *) ctx)->http, fd, NULL);
}

/* ---- nodes ---- */

static void side_open(struct side *s)
{
    static const struct listener_options listen = {0};
    struct supervisor_options tasks = {.state_dir = s->state, .exec_helper = "/none", .node_runtime = "/none", .python_runtime = "/none", .grid_name = "g", .node_name = "n", .node_id = s->id,
                                       .api = "none", .first_port = 20000, .stop_timeout_ms = 100, .drain_timeout_ms = 100, .on_change = on_change, .ctx = s};
    struct releases_options options = {.loop = s->f->loop, .state_dir = s->state, .publisher = s->id, .platform = "linux-x64", .sign = sign, .verify = verify, .is_of_grid = is_of_grid, .peers = peers,
                                       .announce = announce, .on_conflict = on_conflict, .on_change = on_change, .store_max = s->store_max, .sync_rate = s->sync_rate,
                                       .traffic = &s->traffic, .keep = s->keep, .ctx = s};
    struct addr any;
    char why[512];
    addr_loopback_v4(0, &any);
    s->closed = s->server_closed = 0;
    assert_int_equal(supervisor_create(s->f->loop, &tasks, &s->supervisor, why), 0);
    options.supervisor = s->supervisor;
    assert_int_equal(releases_create(&options, &s->releases, why), 0);
    assert_int_equal(grpc_server_create(s->f->loop, 1024 * 1024, &s->grpc), 0);
    assert_int_equal(grpc_server_add(s->grpc, releases_sync_service(s->releases)), 0);
    assert_int_equal(http_server_create(s->f->loop, &HTTP_SERVER_LIMITS_DEFAULT, on_request, s, &s->http), 0);
    assert_int_equal(listener_create(s->f->loop, &any, &listen, on_accept, s, &s->at, &s->listener), 0);
    releases_start(s->releases);
}

static void count_closed(void *arg)
{
    ++*(volatile int *) arg;
}

static void side_close(struct side *s)
{
    if (!s->releases)
        return;
    listener_close(s->listener);
    http_server_close(s->http, count_closed, (void *) &s->server_closed);
    PUMP(s->f->loop, s->server_closed, 1);
    releases_close(s->releases, count_closed, (void *) &s->closed);
    gate_set(false);
    PUMP(s->f->loop, s->closed, 1);
    s->releases = NULL;
    supervisor_close(s->supervisor, count_closed, (void *) &s->closed);
    PUMP(s->f->loop, s->closed, 2);
    grpc_server_destroy(s->grpc);
}

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);
    log_configure(LOG_ERROR, LOG_TEXT, NULL);
    f->folder = tree_make();
    assert_int_equal(loop_create(&f->loop), 0);
    for (size_t i = 0; i < NODES; i++) {
        struct side *s = &f->sides[i];
        char name[8];
        s->f = f;
        s->number = i;
        snprintf(s->id, sizeof s->id, "%064zu", i + 1);
        snprintf(name, sizeof name, "n%zu", i);
        tree_dir(f->folder, name);
        snprintf(s->state, sizeof s->state, "%s", tree_path(f->folder, name));
        buf_init(&s->heard, 0);
        side_open(s);
    }
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    for (size_t i = 0; i < NODES; i++) {
        side_close(&f->sides[i]);
        buf_dispose(&f->sides[i].heard);
    }
    loop_destroy(f->loop);
    tree_remove(f->folder);
    free(f);
    return 0;
}

/* ---- publishing ---- */

static void on_progress(void *ctx, const char *phase, const struct publish_progress *progress)
{
    (void) progress;
    assert_string_equal(phase, "store");
    struct side *s = ctx;
    if (s->leaves)
        releases_abandon(s->releases, s);
    s->leaves = false;
}

static void on_warning(void *ctx, const char *sentence)
{
    assert_true(sentence[0] != '\0');
    ((struct side *) ctx)->warnings++;
}

static void on_done(void *ctx, int err, const char *sentence, const struct release_entry *entry)
{
    struct side *s = ctx;
    s->err = err;
    snprintf(s->sentence, sizeof s->sentence, "%s", sentence ? sentence : "");
    s->sequence = entry ? entry->sequence : 0;
    s->done++;
}

static const struct release_events EVENTS = {on_progress, on_warning, on_done};

/* A project of one task that says `text`. */
static void publish(struct side *s, const char *text)
{
    char name[32], path[64];
    snprintf(name, sizeof name, "p%zu", s->number);
    if (access(tree_path(s->f->folder, name), F_OK) != 0) {
        tree_dir(s->f->folder, name);
        snprintf(path, sizeof path, "%s/tasks", name);
        tree_dir(s->f->folder, path);
    }
    snprintf(path, sizeof path, "%s/tasks/t", name);
    tree_file(s->f->folder, path, text);
    assert_int_equal(chmod(tree_path(s->f->folder, path), 0755), 0);
    s->done = 0;
    assert_int_equal(releases_publish(s->releases, &(struct release_folder){.path = tree_path(s->f->folder, name)}, slice_of(NULL, 0), &EVENTS, s), 0);
}

static void publish_whole(struct side *s, const char *text)
{
    publish(s, text);
    PUMP(s->f->loop, s->done, 1);
    if (s->err != 0)
        fail_msg("%s", s->sentence);
}

#define UNTIL(f, condition)                                                                                                         \
    do {                                                                                                                            \
        uint64_t end_ms_ = loop_clock_ms() + PUMP_DEADLINE_MS;                                                                      \
        struct loop_timer tick_ = {0};                                                                                              \
        loop_timer_start((f)->loop, &tick_, 20, pump_tick, &tick_);                                                                 \
        while (!(condition) && loop_clock_ms() < end_ms_)                                                                           \
            uv_run(loop_uv((f)->loop), UV_RUN_ONCE);                                                                                \
        loop_timer_stop(&tick_);                                                                                                    \
        assert_true(condition);                                                                                                     \
    } while (0)

static bool all_run(struct fixture *f, const char *root)
{
    for (size_t i = 0; i < NODES; i++)
        if (f->sides[i].releases && (strcmp(releases_current(f->sides[i].releases), root) != 0 || !releases_synchronized(f->sides[i].releases)))
            return false;
    return true;
}

static void take_root(const struct side *s, char out[65])
{
    snprintf(out, 65, "%s", releases_current(s->releases));
}

#define TASK(word) "#!/bin/sh\n# " word "\nexec sleep 600\n"

/* ---- the claims ---- */

static void test_releases__every_node_comes_to_run_what_one_published(void **state)
{
    struct fixture *f = *state;
    char root[65];
    publish_whole(&f->sides[0], TASK("one"));
    take_root(&f->sides[0], root);
    UNTIL(f, all_run(f, root));
    publish_whole(&f->sides[1], TASK("two"));
    take_root(&f->sides[1], root);
    assert_int_equal(f->sides[1].sequence, 2);
    UNTIL(f, all_run(f, root));
}

static void test_releases__two_publishers_at_once_have_one_winner(void **state)
{
    struct fixture *f = *state;
    char root[65];
    f->cut = true;
    publish(&f->sides[0], TASK("lower"));
    publish(&f->sides[1], TASK("greater"));
    PUMP(f->loop, f->sides[0].done, 1);
    PUMP(f->loop, f->sides[1].done, 1);
    assert_int_equal(f->sides[0].sequence, f->sides[1].sequence);
    take_root(&f->sides[1], root);
    f->cut = false;
    spread(&f->sides[0]);
    spread(&f->sides[1]);
    UNTIL(f, all_run(f, root));
    assert_int_equal(f->sides[0].conflicts, 1);
    assert_int_equal(f->sides[1].conflicts, 1);
}

static void test_releases__a_rollback_is_a_new_entry_with_an_old_root(void **state)
{
    struct fixture *f = *state;
    struct side *s = &f->sides[0], *other = &f->sides[2];
    char first[65], second[65];
    publish_whole(s, TASK("one"));
    take_root(s, first);
    publish_whole(s, TASK("two"));
    take_root(s, second);
    UNTIL(f, all_run(f, second));
    s->done = 0;
    assert_int_equal(releases_rollback(s->releases, slice_of(NULL, 0), &EVENTS, s), 0);
    PUMP(f->loop, s->done, 1);
    assert_int_equal(s->err, 0);
    assert_int_equal(s->sequence, 3);
    UNTIL(f, all_run(f, first));
    other->done = 0;
    assert_int_equal(releases_rollback(other->releases, slice_of(second, 8), &EVENTS, other), 0);
    PUMP(f->loop, other->done, 1);
    assert_int_equal(other->err, 0);
    UNTIL(f, all_run(f, second));
}

static int roll_back(struct side *s)
{
    s->done = 0;
    assert_int_equal(releases_rollback(s->releases, slice_of(NULL, 0), &EVENTS, s), 0);
    PUMP(s->f->loop, s->done, 1);
    return s->err;
}

static void test_releases__a_node_that_was_away_does_not_take_what_it_ran_last_for_the_release_before(void **state)
{
    struct fixture *f = *state;
    char first[65], second[65], third[65];
    publish_whole(&f->sides[0], TASK("one"));
    take_root(&f->sides[0], first);
    UNTIL(f, all_run(f, first));
    side_close(&f->sides[2]);
    publish_whole(&f->sides[0], TASK("two"));
    take_root(&f->sides[0], second);
    publish_whole(&f->sides[0], TASK("three"));
    take_root(&f->sides[0], third);
    side_open(&f->sides[2]);
    spread(&f->sides[0]);
    UNTIL(f, all_run(f, third));
    assert_int_equal(roll_back(&f->sides[2]), GRID_ENOENT);
    second[8] = '\0';
    assert_non_null(strstr(f->sides[2].sentence, second));
    assert_int_equal(roll_back(&f->sides[1]), 0);
    assert_memory_equal(releases_current(f->sides[1].releases), second, 8);
}

static size_t kept_count(const struct side *s)
{
    const struct release_entry *entries[RELEASE_KEPT];
    return releases_list(s->releases, entries, RELEASE_KEPT);
}

/* Three releases, while the last node is not there: the first by `publisher`, the others by node 0. *first is that one's root. */
static void publish_three_without_one(struct fixture *f, struct side *publisher, char first[65])
{
    char root[65];
    for (size_t i = 0; i < NODES; i++)
        releases_set_certificate(f->sides[i].releases, SLICE("of the grid"));
    side_close(&f->sides[2]);
    publish_whole(publisher, TASK("one"));
    take_root(publisher, first);
    UNTIL(f, all_run(f, first));
    publish_whole(&f->sides[0], TASK("two"));
    publish_whole(&f->sides[0], TASK("three"));
    take_root(&f->sides[0], root);
    UNTIL(f, all_run(f, root));
    side_open(&f->sides[2]);
}

static void test_releases__who_comes_late_hears_of_what_is_kept_and_goes_back_to_it(void **state)
{
    struct fixture *f = *state;
    struct side *late = &f->sides[2];
    char first[65];
    publish_three_without_one(f, &f->sides[1], first);
    spread(&f->sides[0]);
    UNTIL(f, kept_count(late) == 3);
    late->done = 0;
    assert_int_equal(releases_rollback(late->releases, slice_of(first, 8), &EVENTS, late), 0);
    PUMP(f->loop, late->done, 1);
    assert_int_equal(late->err, 0);
    UNTIL(f, all_run(f, first));
    assert_int_equal(late->conflicts, 0);
    assert_false(late->releases->history_said);
}

static void test_releases__a_former_release_counts_no_more_than_one_that_is_announced(void **state)
{
    struct fixture *f = *state;
    struct side *late = &f->sides[2];
    char first[65];
    publish_three_without_one(f, &f->sides[1], first);
    late->evicts = f->sides[1].id;
    spread(&f->sides[0]);
    UNTIL(f, late->releases->history_said && late->releases->history_turns.count == 2); /* both others have been asked */
    assert_int_equal(kept_count(late), 2);
    late->done = 0;
    assert_int_equal(releases_rollback(late->releases, slice_of(first, 8), &EVENTS, late), 0);
    PUMP(f->loop, late->done, 1);
    assert_int_equal(late->err, GRID_ENOENT);
}

/* Entries without end. */
static bool endless(void *ctx, const struct entry_key *known, size_t count, struct entry_key *told, struct buf *packed)
{
    (void) known, (void) count, (void) told;
    ++*(unsigned *) ctx;
    return buf_append(packed, SLICE("\xff")) == 0;
}

static void test_releases__who_tells_of_more_than_anybody_keeps_is_cut_off_and_another_asked(void **state)
{
    struct fixture *f = *state;
    struct side *late = &f->sides[2];
    unsigned told = 0;
    char first[65];
    publish_three_without_one(f, &f->sides[1], first);
    sync_service_set_history(f->sides[0].releases->sync_service, endless, &told);
    spread(&f->sides[0]);
    UNTIL(f, kept_count(late) == 3);
    assert_true(told > RELEASE_KEPT);
    assert_true(late->releases->history_turns.asked[0].failures >= 1);
}

static void test_releases__a_rollback_passes_over_what_lost_and_what_was_published_again(void **state)
{
    struct fixture *f = *state;
    struct side *s = &f->sides[1];
    char first[65], winner[65];
    publish_whole(s, TASK("one"));
    take_root(s, first);
    UNTIL(f, all_run(f, first));
    f->cut = true;
    publish_whole(&f->sides[0], TASK("lower"));
    publish_whole(s, TASK("greater"));
    take_root(s, winner);
    f->cut = false;
    spread(&f->sides[0]);
    spread(s);
    UNTIL(f, all_run(f, winner));
    publish_whole(s, TASK("greater"));
    assert_string_equal(releases_current(s->releases), winner);
    assert_int_equal(roll_back(s), 0);
    UNTIL(f, all_run(f, first));
    assert_int_equal(roll_back(s), 0);
    UNTIL(f, all_run(f, winner));
}

static void test_releases__a_publishers_newest_entry_is_signed_anew_with_its_new_certificate(void **state)
{
    struct fixture *f = *state;
    struct side *s = &f->sides[0];
    char root[65];
    releases_set_certificate(s->releases, SLICE("old"));
    publish_whole(s, TASK("one"));
    take_root(s, root);
    UNTIL(f, all_run(f, root));
    releases_set_certificate(f->sides[1].releases, SLICE("another node's")); /* not its entry */
    releases_set_certificate(s->releases, SLICE("new"));
    UNTIL(f, releases_newest(f->sides[2].releases)->sequence == 2);
    assert_true(slice_equal_str(releases_newest(f->sides[2].releases)->certificate, "new"));
    assert_true(slice_equal_str(releases_newest(f->sides[2].releases)->publisher, s->id));
    releases_set_certificate(s->releases, SLICE("new")); /* nothing is new */
    UNTIL(f, all_run(f, root));
    assert_int_equal(releases_newest(s->releases)->sequence, 2);
}

static void test_releases__a_certificate_made_anew_meanwhile_changes_no_entry(void **state)
{
    struct fixture *f = *state;
    char certificate[] = "first";
    renewed = certificate;
    releases_set_certificate(f->sides[0].releases, slice_of_str(certificate));
    publish_whole(&f->sides[0], TASK("one"));
    renewed = NULL;
    UNTIL(f, releases_newest(f->sides[2].releases) != NULL);
    assert_true(slice_equal_str(releases_newest(f->sides[2].releases)->certificate, "first"));
    releases_set_certificate(f->sides[0].releases, SLICE("first"));
}

static void test_releases__what_was_published_in_no_grid_gives_way_to_the_grids(void **state)
{
    struct fixture *f = *state;
    struct side *lone = &f->sides[2], *member = &f->sides[0];
    char root[65];
    f->cut = true;
    publish_whole(lone, TASK("mine"));
    publish_whole(lone, TASK("mine too"));
    assert_int_equal(releases_newest(lone->releases)->sequence, 2);
    releases_set_certificate(lone->releases, SLICE("joined")); /* signs nothing anew: nobody has asked for it */
    f->cut = false;
    releases_set_certificate(member->releases, SLICE("member"));
    publish_whole(member, TASK("the grid's"));
    take_root(member, root);
    UNTIL(f, all_run(f, root));
    assert_int_equal(releases_newest(lone->releases)->sequence, 1);
    publish_whole(lone, TASK("mine, for all"));
    take_root(lone, root);
    UNTIL(f, all_run(f, root));
}

static void test_releases__what_ran_in_a_grid_that_was_left_gives_way_to_the_grids(void **state)
{
    struct fixture *f = *state;
    struct side *turncoat = &f->sides[2], *member = &f->sides[0];
    char root[65];
    f->cut = true;
    releases_set_certificate(turncoat->releases, SLICE(LEFT_GRID));
    publish_whole(turncoat, TASK("mine"));
    publish_whole(turncoat, TASK("mine too"));
    assert_false(releases_is_of_grid(turncoat->releases, releases_newest(turncoat->releases)));
    f->cut = false;
    releases_set_certificate(member->releases, SLICE("member"));
    publish_whole(member, TASK("the grid's"));
    take_root(member, root);
    UNTIL(f, all_run(f, root));
    assert_int_equal(releases_newest(turncoat->releases)->sequence, 1);
    assert_true(releases_is_of_grid(turncoat->releases, releases_newest(turncoat->releases)));
}

static void test_releases__a_rollback_to_nothing_is_refused_in_words(void **state)
{
    struct fixture *f = *state;
    struct side *s = &f->sides[0];
    static const struct {
        const char *prefix;
        int err;
    } cases[] = {{"", GRID_ENOENT}, {"abc", GRID_EINVAL}, {"zzzzzzzz", GRID_EINVAL}, {"0123456789", GRID_ENOENT}};
    publish_whole(s, TASK("one"));
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        s->done = 0;
        assert_int_equal(releases_rollback(s->releases, slice_of_str(cases[i].prefix), &EVENTS, s), 0);
        PUMP(f->loop, s->done, 1);
        assert_int_equal(s->err, cases[i].err);
        assert_non_null(strstr(s->sentence, "grid releases"));
    }
}

static void test_releases__a_failed_publish_leaves_what_runs(void **state)
{
    struct fixture *f = *state;
    struct side *s = &f->sides[0];
    char root[65];
    publish_whole(s, TASK("one"));
    take_root(s, root);
    s->done = 0;
    tree_dir(f->folder, "bare");
    assert_int_equal(releases_publish(s->releases, &(struct release_folder){.path = tree_path(f->folder, "bare")}, slice_of(NULL, 0), &EVENTS, s), 0);
    PUMP(f->loop, s->done, 1);
    assert_int_equal(s->err, GRID_ENOENT);
    assert_non_null(strstr(s->sentence, "no folder tasks"));
    assert_string_equal(releases_current(s->releases), root);
    assert_int_equal(releases_newest(s->releases)->sequence, 1);
}

static void test_releases__a_publish_whose_asker_leaves_is_given_up(void **state)
{
    struct fixture *f = *state;
    struct side *s = &f->sides[0];
    publish_whole(s, TASK("one"));
    for (int under_way = 0; under_way < 2; under_way++) {
        publish(s, TASK("wrong"));
        s->leaves = under_way;
        if (!under_way)
            releases_abandon(s->releases, s);
        UNTIL(f, !under_way || !s->leaves);
        publish_whole(s, under_way ? TASK("three") : TASK("two"));
        assert_int_equal(s->done, 1);
        assert_int_equal(releases_newest(s->releases)->sequence, 2 + under_way);
    }
}

/* Of its segments: what others are reading is moved to the next one rather than cut. */
static off_t store_size(const struct side *s)
{
    char path[300];
    struct stat st;
    off_t size = 0;
    for (unsigned number = 1; number < 10; number++) {
        snprintf(path, sizeof path, "%s/store/%08x.seg", s->state, number);
        size += stat(path, &st) == 0 ? st.st_size : 0;
    }
    return size;
}

static void test_releases__what_a_failed_publish_stored_is_tidied_at_once(void **state)
{
    struct fixture *f = *state;
    struct side *s = &f->sides[0];
    static uint8_t noise[1 << 20];
    publish_whole(s, TASK("one"));
    off_t before = store_size(s);
    tree_noise(noise, sizeof noise, 1);
    tree_dir(f->folder, "bare");
    tree_dir(f->folder, "bare/tasks");
    tree_file(f->folder, "bare/.gridignore", "tasks/\n");
    tree_write(f->folder, "bare/noise", noise, sizeof noise);
    s->done = 0;
    assert_int_equal(releases_publish(s->releases, &(struct release_folder){.path = tree_path(f->folder, "bare")}, slice_of(NULL, 0), &EVENTS, s), 0);
    PUMP(f->loop, s->done, 1);
    assert_int_equal(s->err, GRID_ENOENT);
    assert_true(store_size(s) > before + (off_t) sizeof noise);
    UNTIL(f, store_size(s) == before);
}

/* A node that begins anew with these options, and alone. */
static void side_limit(struct side *s, uint64_t store_max, uint32_t keep)
{
    side_close(s);
    s->store_max = store_max;
    s->keep.count = keep;
    side_open(s);
}

static void add_noise(struct side *s, size_t size, uint64_t seed)
{
    char path[32];
    uint8_t *noise = malloc(size);
    tree_noise(noise, size, seed);
    snprintf(path, sizeof path, "p%zu/noise", s->number);
    tree_write(s->f->folder, path, noise, size);
    free(noise);
}

static void test_releases__a_folder_without_tasks_is_refused_before_anything_of_it_is_read(void **state)
{
    struct fixture *f = *state;
    struct side *s = &f->sides[0];
    tree_dir(f->folder, "home");
    tree_dir(f->folder, "home/private");
    assert_int_equal(mkfifo(tree_path(f->folder, "home/private/pipe"), 0600), 0); /* a scan warns of it */
    s->done = s->warnings = 0;
    assert_int_equal(releases_publish(s->releases, &(struct release_folder){.path = tree_path(f->folder, "home")}, slice_of(NULL, 0), &EVENTS, s), 0);
    PUMP(f->loop, s->done, 1);
    assert_int_equal(s->err, GRID_ENOENT);
    assert_non_null(strstr(s->sentence, "no folder tasks"));
    assert_int_equal(s->warnings, 0);
}

static void test_releases__keeps_as_many_as_it_is_told(void **state)
{
    struct fixture *f = *state;
    struct side *s = &f->sides[0];
    const struct release_entry *entries[RELEASE_KEPT];
    char first[65];
    f->cut = true;
    side_limit(s, 0, 2);
    publish_whole(s, TASK("one"));
    take_root(s, first);
    publish_whole(s, TASK("two"));
    publish_whole(s, TASK("three"));
    UNTIL(f, releases_list(s->releases, entries, RELEASE_KEPT) == 2);
    assert_int_equal(entries[1]->sequence, 2);
    s->done = 0;
    assert_int_equal(releases_rollback(s->releases, slice_of_str(first), &EVENTS, s), 0);
    PUMP(f->loop, s->done, 1);
    assert_int_equal(s->err, GRID_ENOENT);
}

static void test_releases__a_full_store_makes_room_by_what_is_not_kept(void **state)
{
    struct fixture *f = *state;
    struct side *s = &f->sides[0];
    char root[65];
    f->cut = true;
    side_limit(s, 5 << 19, 1);
    publish_whole(s, TASK("one"));
    for (uint64_t seed = 1; seed <= 4; seed++) {
        add_noise(s, 1 << 20, seed);
        publish_whole(s, TASK("one"));
    }
    take_root(s, root);
    add_noise(s, 3 << 20, 9);
    publish(s, TASK("one"));
    PUMP(f->loop, s->done, 1);
    assert_int_equal(s->err, GRID_ENOSPC);
    assert_non_null(strstr(s->sentence, "--store-max allows 2.5 MiB"));
    assert_string_equal(releases_current(s->releases), root);
    add_noise(s, 1 << 20, 10);
    publish_whole(s, TASK("one"));
}

static void test_releases__a_node_without_room_says_so_and_goes_on(void **state)
{
    struct fixture *f = *state;
    struct side *s = &f->sides[2];
    char root[65];
    side_limit(s, 1 << 19, 1);
    publish_whole(&f->sides[0], TASK("one"));
    take_root(&f->sides[0], root);
    UNTIL(f, all_run(f, root));
    add_noise(&f->sides[0], 1 << 20, 1);
    publish_whole(&f->sides[0], TASK("two"));
    UNTIL(f, strstr(releases_trouble(s->releases), "--store-max allows 0.5 MiB"));
    assert_string_equal(releases_current(s->releases), root);
    assert_string_equal(releases_trouble(f->sides[1].releases), "");
    add_noise(&f->sides[0], 1 << 10, 1);
    publish_whole(&f->sides[0], TASK("three"));
    take_root(&f->sides[0], root);
    UNTIL(f, all_run(f, root));
    assert_string_equal(releases_trouble(s->releases), "");
}

/* Turns some bits of every record that a node has on disk. */
static void damage_store(struct side *s)
{
    char path[400];
    int fd;
    for (unsigned number = 1; number < 10; number++) {
        snprintf(path, sizeof path, "%s/store/%08x.seg", s->state, number);
        if ((fd = open(path, O_RDWR)) < 0)
            continue;
        uint8_t byte;
        for (off_t at = 40; pread(fd, &byte, 1, at) == 1; at += 40) {
            byte ^= 0x10;
            assert_int_equal(pwrite(fd, &byte, 1, at), 1);
        }
        close(fd);
    }
}

static void test_releases__what_was_damaged_here_is_mended_from_the_folder(void **state)
{
    struct fixture *f = *state;
    struct side *s = &f->sides[0];
    f->cut = true;
    for (size_t i = 1; i < NODES; i++)
        f->sides[i].unreachable = true;
    publish_whole(s, TASK("one"));
    publish_whole(s, TASK("two"));
    damage_store(s);
    publish_whole(s, TASK("one"));
    assert_int_equal(s->sequence, 3);
}

/* What a closed node's store lacks of a release. */
static uint64_t lacks(const struct side *s, const char *root)
{
    char path[300];
    struct store *store;
    struct object_id id;
    uint64_t missing = 0;
    snprintf(path, sizeof path, "%s/store", s->state);
    assert_int_equal(store_open(path, NULL, NULL, &store), 0);
    assert_int_equal(object_id_from_hex(slice_of_str(root), &id), 0);
    assert_int_equal(release_check(store, &id, &missing), 0);
    store_close(store);
    return missing;
}

static void test_releases__what_was_damaged_here_is_fetched_again_while_it_runs(void **state)
{
    struct fixture *f = *state;
    struct side *s = &f->sides[1];
    char root[65];
    publish_whole(&f->sides[0], TASK("one"));
    add_noise(&f->sides[0], 2 << 20, 1);
    side_close(&f->sides[2]);
    publish_whole(&f->sides[0], TASK("two"));
    take_root(&f->sides[0], root);
    UNTIL(f, all_run(f, root));
    damage_store(s);
    f->sides[0].unreachable = true; /* so that the third one asks the one with the damage: for the root, and without it for nothing else */
    side_open(&f->sides[2]);
    spread(&f->sides[0]);
    UNTIL(f, releases_is_mending(s->releases));
    side_close(&f->sides[2]);
    f->sides[0].unreachable = false;
    UNTIL(f, all_run(f, root) && !releases_is_mending(s->releases));
    assert_false(releases_settling(s->releases));
    side_close(s);
    assert_int_equal(lacks(s, root), 0);
}

/* An entry of node 1 as it might come from anywhere. */
static void inject(struct side *to, const struct object_id *root, uint64_t sequence, struct slice config, bool signed_well)
{
    uint8_t signature[32];
    struct release_entry e = {.app = SLICE("default"), .sequence = sequence, .root = *root, .publisher = slice_of_str(to->f->sides[0].id), .config = config};
    struct buf bytes, packed;
    buf_init(&bytes, 0);
    buf_init(&packed, 0);
    assert_int_equal(hash_sha256(config, e.config_hash), 0);
    assert_int_equal(release_entry_signing_bytes(&e, &bytes), 0);
    assert_int_equal(hash_sha256(buf_slice(&bytes), signature), 0);
    signature[0] ^= !signed_well;
    e.signature = slice_of(signature, sizeof signature);
    assert_int_equal(release_entry_pack(&e, &packed), 0);
    releases_receive(to->releases, buf_slice(&packed));
    buf_dispose(&bytes);
    buf_dispose(&packed);
}

static void test_releases__what_rots_unread_is_found_and_fetched_again(void **state)
{
    struct fixture *f = *state;
    struct side *s = &f->sides[1];
    char root[65];
    side_close(&f->sides[2]);
    publish_whole(&f->sides[0], TASK("one"));
    take_root(&f->sides[0], root);
    UNTIL(f, all_run(f, root) && !s->releases->running);
    damage_store(s);
    releases_scrub_now(s->releases);
    UNTIL(f, releases_damage(s->releases) > 0 && !s->releases->scrubbing && !releases_is_mending(s->releases));
    side_close(s);
    assert_int_equal(lacks(s, root), 0);
}

static bool has_mended(const struct side *s)
{
    return releases_damage(s->releases) > 0 && !s->releases->scrubbing && !s->releases->running && !s->releases->mend_due;
}

/* Two releases, of which each has something that the other has not. */
static void publish_two(struct fixture *f, char first[65], char second[65])
{
    publish_whole(&f->sides[0], TASK("one"));
    take_root(&f->sides[0], first);
    UNTIL(f, all_run(f, first));
    add_noise(&f->sides[0], 1 << 16, 2);
    publish_whole(&f->sides[0], TASK("two"));
    take_root(&f->sides[0], second);
    UNTIL(f, all_run(f, second));
}

static void test_releases__what_rots_of_former_releases_is_fetched_again_too(void **state)
{
    struct fixture *f = *state;
    struct side *s = &f->sides[1];
    char first[65], second[65];
    side_close(&f->sides[2]);
    publish_two(f, first, second);
    UNTIL(f, !s->releases->running);
    damage_store(s);
    releases_scrub_now(s->releases);
    UNTIL(f, has_mended(s));
    assert_int_equal(s->releases->whole_dropped, releases_damage(s->releases));
    assert_string_equal(s->releases->whole, second);
    assert_string_equal(releases_lost(s->releases), "");
    side_close(s);
    assert_int_equal(lacks(s, second), 0);
    assert_int_equal(lacks(s, first), 0);
}

static void test_releases__a_former_release_that_nobody_can_mend_is_named_until_somebody_can(void **state)
{
    struct fixture *f = *state;
    struct side *s = &f->sides[1];
    char first[65], second[65];
    side_close(&f->sides[2]);
    publish_two(f, first, second);
    UNTIL(f, !s->releases->running);
    damage_store(s);
    releases_scrub_now(s->releases);
    UNTIL(f, s->releases->running && s->releases->running->is_former);
    f->sides[0].unreachable = true;
    UNTIL(f, s->releases->running->fetch);
    s->releases->running->fetch->progress_ms -= 60000; /* its patience is over */
    UNTIL(f, has_mended(s));
    assert_string_equal(releases_lost(s->releases), first);
    assert_false(releases_is_mending(s->releases));
    f->sides[0].unreachable = false;
    releases_damaged(s->releases);
    UNTIL(f, has_mended(s) && !releases_lost(s->releases)[0]);
    side_close(s);
    assert_int_equal(lacks(s, first), 0);
}

static void test_releases__what_was_never_here_of_a_former_release_is_not_fetched_for_damage(void **state)
{
    struct fixture *f = *state;
    struct side *s = &f->sides[1];
    char first[65], second[65];
    releases_set_certificate(f->sides[0].releases, SLICE("of the grid"));
    side_close(s);
    publish_two(f, first, second);
    side_open(s);
    spread(&f->sides[0]);
    UNTIL(f, all_run(f, second));
    UNTIL(f, kept_count(s) == 2);
    UNTIL(f, !s->releases->running);
    damage_store(s);
    releases_scrub_now(s->releases);
    UNTIL(f, has_mended(s));
    side_close(s);
    assert_int_equal(lacks(s, second), 0);
    assert_int_equal(lacks(s, first), 1);
}

static void test_releases__what_cannot_run_here_is_not_tried_again(void **state)
{
    struct fixture *f = *state;
    struct side *s = &f->sides[2];
    char root[65];
    publish_whole(&f->sides[0], TASK("one"));
    take_root(&f->sides[0], root);
    UNTIL(f, all_run(f, root));
    f->cut = true;
    inject(s, &releases_newest(s->releases)->root, 5, SLICE("\x0a\x06" "absent"), true);
    assert_false(releases_synchronized(s->releases));
    UNTIL(f, !releases_settling(s->releases));
    assert_string_equal(releases_current(s->releases), root);
    assert_false(releases_synchronized(s->releases));
}

static void test_releases__drops_what_is_badly_signed_or_garbage(void **state)
{
    struct fixture *f = *state;
    struct side *s = &f->sides[2];
    struct object_id root = {{1}};
    inject(s, &root, 9, slice_of(NULL, 0), false);
    releases_receive(s->releases, SLICE("\xff\xff"));
    releases_receive(s->releases, slice_of(NULL, 0));
    assert_null(releases_newest(s->releases));
}

/* What the log says of an entry that arrives. */
static void inject_heard(struct side *to, const struct object_id *root, struct slice config, char *said, size_t size)
{
    int before = dup(STDERR_FILENO), file = memfd_create("log", MFD_CLOEXEC);
    assert_true(before >= 0 && file >= 0);
    log_configure(LOG_WARN, LOG_TEXT, NULL);
    dup2(file, STDERR_FILENO);
    inject(to, root, 5, config, true);
    dup2(before, STDERR_FILENO);
    log_configure(LOG_ERROR, LOG_TEXT, NULL);
    ssize_t got = pread(file, said, size - 1, 0);
    said[got > 0 ? got : 0] = '\0';
    close(before);
    close(file);
}

static void test_releases__an_entry_that_could_run_nowhere_is_refused_and_its_publisher_named(void **state)
{
    struct fixture *f = *state;
    struct side *s = &f->sides[2];
    static const struct slice configs[] = {SLICE_INIT("\xff\xff"), SLICE_INIT("\x0a\x03" "a/b"), SLICE_INIT("\x10\x81\x08")};
    char root[65], said[1024];
    publish_whole(&f->sides[0], TASK("one"));
    take_root(&f->sides[0], root);
    UNTIL(f, all_run(f, root));
    for (size_t i = 0; i < sizeof configs / sizeof *configs; i++) {
        inject_heard(s, &releases_newest(s->releases)->root, configs[i], said, sizeof said);
        assert_int_equal(releases_newest(s->releases)->sequence, 1);
        assert_true(releases_synchronized(s->releases));
        assert_non_null(strstr(said, "was dropped"));
        assert_non_null(strstr(said, f->sides[0].id));
    }
}

static void test_releases__no_entry_ends_the_counting(void **state)
{
    struct fixture *f = *state;
    struct side *s = &f->sides[2];
    struct object_id root = {{1}};
    inject(s, &root, RELEASE_SEQUENCE_MAX, slice_of(NULL, 0), true);
    assert_null(releases_newest(s->releases));
    inject(s, &root, (uint64_t) loop_wall_ms(), slice_of(NULL, 0), true);
    assert_non_null(releases_newest(s->releases));
}

static void test_releases__a_release_nobody_has_gives_way_to_the_next(void **state)
{
    struct fixture *f = *state;
    struct object_id nowhere = {{0x77}};
    char root[65];
    publish_whole(&f->sides[1], TASK("one"));
    take_root(&f->sides[1], root);
    UNTIL(f, all_run(f, root));
    for (size_t i = 0; i < NODES; i++)
        inject(&f->sides[i], &nowhere, 2, slice_of(NULL, 0), true);
    for (int i = 0; i < 20; i++)
        uv_run(loop_uv(f->loop), UV_RUN_NOWAIT);
    assert_string_equal(releases_current(f->sides[2].releases), root);
    publish_whole(&f->sides[1], TASK("two"));
    assert_int_equal(f->sides[1].sequence, 3);
    take_root(&f->sides[1], root);
    UNTIL(f, all_run(f, root));
}

static void test_releases__what_is_replaced_while_it_comes_is_not_fetched_to_its_end(void **state)
{
    enum { LARGE = 24 << 20, RATE = 1 << 18 }; /* a minute and a half */
    struct fixture *f = *state;
    struct side *s = &f->sides[1];
    char root[65];
    side_close(&f->sides[2]);
    side_close(s);
    s->sync_rate = RATE;
    side_open(s);
    publish_whole(&f->sides[0], TASK("one"));
    take_root(&f->sides[0], root);
    UNTIL(f, all_run(f, root));
    add_noise(&f->sides[0], LARGE, 1);
    publish_whole(&f->sides[0], TASK("two"));
    UNTIL(f, s->releases->running && s->releases->running->fetched_bytes > RATE);
    add_noise(&f->sides[0], 1 << 10, 1);
    publish_whole(&f->sides[0], TASK("three"));
    take_root(&f->sides[0], root);
    UNTIL(f, all_run(f, root));
    assert_true(s->traffic.received > RATE && s->traffic.received < LARGE / 2);
}

static void test_releases__a_restart_runs_the_last_one_while_the_newest_is_not_to_be_had(void **state)
{
    struct fixture *f = *state;
    struct side *s = &f->sides[2];
    struct object_id nowhere = {{0x77}};
    char root[65];
    publish_whole(&f->sides[0], TASK("one"));
    take_root(&f->sides[0], root);
    UNTIL(f, all_run(f, root));
    f->cut = true;
    inject(s, &nowhere, 2, slice_of(NULL, 0), true);
    side_close(s);
    side_open(s);
    assert_int_equal(releases_newest(s->releases)->sequence, 2);
    UNTIL(f, strcmp(releases_current(s->releases), root) == 0);
    assert_false(releases_synchronized(s->releases));
}

/* So many files that a tree is made ahead. */
static void add_many(struct side *s)
{
    char path[64];
    static const char *const folders[] = {"", "/tasks", "/many"};
    for (size_t i = 0; i < sizeof folders / sizeof *folders; i++) {
        snprintf(path, sizeof path, "p%zu%s", s->number, folders[i]);
        tree_dir(s->f->folder, path);
    }
    for (int i = 0; i < 1000; i++) {
        snprintf(path, sizeof path, "p%zu/many/%d", s->number, i);
        tree_file(s->f->folder, path, path);
    }
}

static bool has_tree(const struct side *s, const char *before, const char *root, const char *behind)
{
    char path[512];
    snprintf(path, sizeof path, "%s/releases/%s%s%s", s->state, before, root, behind);
    return access(path, F_OK) == 0;
}

static void test_releases__a_tree_is_made_ahead_of_the_next_release(void **state)
{
    struct fixture *f = *state;
    struct side *s = &f->sides[0];
    char one[65];
    f->cut = true;
    add_many(s);
    publish_whole(s, TASK("one"));
    take_root(s, one);
    UNTIL(f, has_tree(s, "", one, ".spare"));
    publish_whole(s, TASK("two"));
    assert_true(has_tree(s, "", one, ""));
    assert_false(has_tree(s, "", one, ".spare"));
    assert_true(has_tree(s, "", releases_current(s->releases), "") && strcmp(one, releases_current(s->releases)) != 0);
}

static bool awaits_tree(const struct side *s)
{
    const struct job *job = s->releases->running;
    return job && job->awaits_spare;
}

static void test_releases__what_comes_while_a_tree_is_made_ahead_waits_and_an_end_does_not(void **state)
{
    struct fixture *f = *state;
    char root[65];
    f->cut = true;
    for (int ends = 0; ends < 2; ends++) {
        struct side *s = &f->sides[ends];
        add_many(s);
        gate_set(true);
        publish_whole(s, TASK("one"));
        take_root(s, root);
        UNTIL(f, gate_reached());
        publish(s, TASK("two"));
        UNTIL(f, awaits_tree(s));
        if (ends)
            side_close(s);
        gate_set(false);
        PUMP(f->loop, s->done, 1);
        assert_int_equal(s->err, ends ? GRID_ECANCELED : 0);
        assert_false(has_tree(s, ".new-", root, ".spare"));
        assert_false(has_tree(s, "", root, ".spare")); /* the new one was made of it, or it was given up */
    }
}

static void test_releases__may_be_closed_at_any_turn(void **state)
{
    struct fixture *f = *state;
    char word[64];
    for (int turns = 0; turns < 24; turns++) {
        struct side *s = &f->sides[turns % NODES];
        snprintf(word, sizeof word, "#!/bin/sh\n# %d\nexec sleep 600\n", turns);
        publish(s, word);
        for (int i = 0; i < turns; i++)
            uv_run(loop_uv(f->loop), UV_RUN_NOWAIT);
        side_close(s);
        assert_int_equal(s->done, 1);
        assert_true(s->err == 0 || s->err == GRID_ECANCELED);
        side_open(s);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_releases__every_node_comes_to_run_what_one_published, setup, teardown),
        cmocka_unit_test_setup_teardown(test_releases__two_publishers_at_once_have_one_winner, setup, teardown),
        cmocka_unit_test_setup_teardown(test_releases__a_rollback_is_a_new_entry_with_an_old_root, setup, teardown),
        cmocka_unit_test_setup_teardown(test_releases__a_rollback_to_nothing_is_refused_in_words, setup, teardown),
        cmocka_unit_test_setup_teardown(test_releases__a_node_that_was_away_does_not_take_what_it_ran_last_for_the_release_before, setup, teardown),
        cmocka_unit_test_setup_teardown(test_releases__who_comes_late_hears_of_what_is_kept_and_goes_back_to_it, setup, teardown),
        cmocka_unit_test_setup_teardown(test_releases__a_former_release_counts_no_more_than_one_that_is_announced, setup, teardown),
        cmocka_unit_test_setup_teardown(test_releases__who_tells_of_more_than_anybody_keeps_is_cut_off_and_another_asked, setup, teardown),
        cmocka_unit_test_setup_teardown(test_releases__a_rollback_passes_over_what_lost_and_what_was_published_again, setup, teardown),
        cmocka_unit_test_setup_teardown(test_releases__what_was_published_in_no_grid_gives_way_to_the_grids, setup, teardown),
        cmocka_unit_test_setup_teardown(test_releases__what_ran_in_a_grid_that_was_left_gives_way_to_the_grids, setup, teardown),
        cmocka_unit_test_setup_teardown(test_releases__a_publishers_newest_entry_is_signed_anew_with_its_new_certificate, setup, teardown),
        cmocka_unit_test_setup_teardown(test_releases__a_certificate_made_anew_meanwhile_changes_no_entry, setup, teardown),
        cmocka_unit_test_setup_teardown(test_releases__a_failed_publish_leaves_what_runs, setup, teardown),
        cmocka_unit_test_setup_teardown(test_releases__a_publish_whose_asker_leaves_is_given_up, setup, teardown),
        cmocka_unit_test_setup_teardown(test_releases__what_a_failed_publish_stored_is_tidied_at_once, setup, teardown),
        cmocka_unit_test_setup_teardown(test_releases__a_folder_without_tasks_is_refused_before_anything_of_it_is_read, setup, teardown),
        cmocka_unit_test_setup_teardown(test_releases__keeps_as_many_as_it_is_told, setup, teardown),
        cmocka_unit_test_setup_teardown(test_releases__a_full_store_makes_room_by_what_is_not_kept, setup, teardown),
        cmocka_unit_test_setup_teardown(test_releases__a_node_without_room_says_so_and_goes_on, setup, teardown),
        cmocka_unit_test_setup_teardown(test_releases__what_was_damaged_here_is_fetched_again_while_it_runs, setup, teardown),
        cmocka_unit_test_setup_teardown(test_releases__what_was_damaged_here_is_mended_from_the_folder, setup, teardown),
        cmocka_unit_test_setup_teardown(test_releases__what_rots_unread_is_found_and_fetched_again, setup, teardown),
        cmocka_unit_test_setup_teardown(test_releases__what_rots_of_former_releases_is_fetched_again_too, setup, teardown),
        cmocka_unit_test_setup_teardown(test_releases__a_former_release_that_nobody_can_mend_is_named_until_somebody_can, setup, teardown),
        cmocka_unit_test_setup_teardown(test_releases__what_was_never_here_of_a_former_release_is_not_fetched_for_damage, setup, teardown),
        cmocka_unit_test_setup_teardown(test_releases__what_cannot_run_here_is_not_tried_again, setup, teardown),
        cmocka_unit_test_setup_teardown(test_releases__drops_what_is_badly_signed_or_garbage, setup, teardown),
        cmocka_unit_test_setup_teardown(test_releases__no_entry_ends_the_counting, setup, teardown),
        cmocka_unit_test_setup_teardown(test_releases__an_entry_that_could_run_nowhere_is_refused_and_its_publisher_named, setup, teardown),
        cmocka_unit_test_setup_teardown(test_releases__a_release_nobody_has_gives_way_to_the_next, setup, teardown),
        cmocka_unit_test_setup_teardown(test_releases__what_is_replaced_while_it_comes_is_not_fetched_to_its_end, setup, teardown),
        cmocka_unit_test_setup_teardown(test_releases__a_restart_runs_the_last_one_while_the_newest_is_not_to_be_had, setup, teardown),
        cmocka_unit_test_setup_teardown(test_releases__a_tree_is_made_ahead_of_the_next_release, setup, teardown),
        cmocka_unit_test_setup_teardown(test_releases__what_comes_while_a_tree_is_made_ahead_waits_and_an_end_does_not, setup, teardown),
        cmocka_unit_test_setup_teardown(test_releases__may_be_closed_at_any_turn, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
