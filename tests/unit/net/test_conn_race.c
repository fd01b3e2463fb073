/* Connections to several addresses, over loopback: an address that says nothing is a listener whose backlog is full. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/err.h"
#include "net/conn_race.h"
#include "tests/unit/net/identity.h"
#include "tests/unit/net/pump.h"

enum { FILLERS = 4, LONG_MS = 600 * 1000 /* nobody's patience ends while a test runs */ };

struct place {
    int fd, fillers[FILLERS];
    struct addr at;
};

/* Speaks TLS. */
struct server {
    struct listener *listener;
    struct addr at;
    struct conn *conn;
    struct tls_context *tls;
    struct loop *loop;
    int opened;
};

struct world {
    struct loop *loop;
    struct identity own, theirs;
    struct tls_context *tls;
    struct server servers[2];
    struct place silent, mute, refuser;
    struct conn_race *race;
    struct conn *conn;
    struct addr won;
    const struct addr *unwanted;
    int opened, closed, lost, err;
};

static void place_open(struct place *p, int backlog)
{
    socklen_t size = sizeof p->at.u.v4;
    addr_loopback_v4(0, &p->at);
    p->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(p->fd, &p->at.u.any, size), 0);
    assert_int_equal(getsockname(p->fd, &p->at.u.any, &size), 0);
    if (backlog >= 0)
        assert_int_equal(listen(p->fd, backlog), 0);
}

static void place_fill(struct place *p)
{
    for (int i = 0; i < FILLERS; i++) {
        p->fillers[i] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        (void) connect(p->fillers[i], &p->at.u.any, p->at.size);
    }
}

static void place_close(struct place *p)
{
    close(p->fd);
    for (int i = 0; i < FILLERS; i++)
        if (p->fillers[i] > 0)
            close(p->fillers[i]);
}

static void server_on_open(void *ctx, struct conn *c)
{
    struct server *s = ctx;
    (void) c;
    s->opened++;
}

static void drop_read(void *ctx, struct conn *c, struct slice bytes)
{
    (void) ctx, (void) c, (void) bytes;
}

static void server_on_close(void *ctx, struct conn *c, int err)
{
    struct server *s = ctx;
    (void) c, (void) err;
    s->conn = NULL;
}

static const struct conn_events SERVER_EVENTS = {.on_open = server_on_open, .on_read = drop_read, .on_close = server_on_close};

static void on_accept(void *ctx, int fd, const struct addr *from)
{
    struct server *s = ctx;
    const struct conn_options options = {.tls = s->tls};
    (void) from;
    assert_int_equal(conn_adopt(s->loop, fd, &options, &SERVER_EVENTS, s, &s->conn), 0);
}

static void server_open(struct server *s, struct world *w)
{
    struct addr at;
    addr_loopback_v4(0, &at);
    s->loop = w->loop;
    s->tls = identity_context(&w->theirs, &w->own, "h2");
    assert_int_equal(listener_create(w->loop, &at, NULL, on_accept, s, &s->at, &s->listener), 0);
}

static void server_close(struct server *s)
{
    listener_close(s->listener);
    if (s->conn)
        conn_close(s->conn);
}

static int setup(void **state)
{
    struct world *w = calloc(1, sizeof *w);
    assert_int_equal(loop_create(&w->loop), 0);
    w->own = identity_make("own");
    w->theirs = identity_make("theirs");
    w->tls = identity_context(&w->own, &w->theirs, "h2");
    for (int i = 0; i < 2; i++)
        server_open(&w->servers[i], w);
    place_open(&w->silent, 0);
    place_fill(&w->silent);
    place_open(&w->mute, 16);
    place_open(&w->refuser, -1);
    *state = w;
    return 0;
}

static int teardown(void **state)
{
    struct world *w = *state;
    if (w->conn)
        conn_close(w->conn);
    for (int i = 0; i < 2; i++)
        server_close(&w->servers[i]);
    loop_destroy(w->loop);
    for (int i = 0; i < 2; i++)
        tls_context_unref(w->servers[i].tls);
    tls_context_unref(w->tls);
    place_close(&w->silent);
    place_close(&w->mute);
    place_close(&w->refuser);
    identity_dispose(&w->own);
    identity_dispose(&w->theirs);
    free(w);
    return 0;
}

static bool may_win(void *ctx, struct conn *c)
{
    const struct world *w = ctx;
    return !w->unwanted || !addr_equal(conn_peer_addr(c), w->unwanted);
}

static void on_open(void *ctx, struct conn *c)
{
    struct world *w = ctx;
    w->conn = c;
    w->won = *conn_peer_addr(c);
    w->opened++;
}

static void on_close(void *ctx, struct conn *c, int err)
{
    struct world *w = ctx;
    (void) c, (void) err;
    w->conn = NULL;
    w->closed++;
}

static void on_lost(void *ctx, int err)
{
    struct world *w = ctx;
    w->err = err;
    w->lost++;
}

static const struct conn_race_events EVENTS = {.may_win = may_win, .conn = {.on_open = on_open, .on_read = drop_read, .on_close = on_close}, .on_lost = on_lost};

static void start(struct world *w, const struct addr *first, const struct addr *second, uint32_t timeout_ms)
{
    struct race addresses = {0};
    const struct conn_options options = {.tls = w->tls, .handshake_timeout_ms = timeout_ms};
    race_add(&addresses, first);
    if (second)
        race_add(&addresses, second);
    assert_int_equal(conn_race_create(w->loop, &addresses, &options, &EVENTS, w, &w->race), 0);
    assert_int_equal(w->opened + w->lost, 0);
}

/* One after the other the first would have all of its ten minutes. */
static void test_conn_race__who_is_silent_or_mute_is_overtaken_by_the_next(void **state)
{
    struct world *w = *state;
    const struct addr *const quiet[] = {&w->silent.at, &w->mute.at};
    for (int i = 0; i < 2; i++) {
        w->opened = w->closed = 0;
        start(w, quiet[i], &w->servers[0].at, LONG_MS);
        PUMP(w->loop, w->opened, 1);
        assert_true(addr_equal(&w->won, &w->servers[0].at));
        conn_close(w->conn);
        PUMP(w->loop, w->closed, 1);
    }
    assert_int_equal(w->lost, 0);
}

static void test_conn_race__an_address_that_is_known_later_runs_too(void **state)
{
    struct world *w = *state;
    int never = 0;
    start(w, &w->silent.at, NULL, LONG_MS);
    pump_until_value(w->loop, &never, 1, 1); /* it is under way */
    conn_race_add(w->race, &w->servers[0].at);
    PUMP(w->loop, w->opened, 1);
    assert_true(addr_equal(&w->won, &w->servers[0].at));
}

static void test_conn_race__one_alone_is_open_in_the_end(void **state)
{
    struct world *w = *state;
    start(w, &w->servers[0].at, &w->servers[1].at, LONG_MS);
    PUMP(w->loop, w->opened, 1);
    const struct server *winner = addr_equal(&w->won, &w->servers[0].at) ? &w->servers[0] : &w->servers[1], *other = winner == &w->servers[0] ? &w->servers[1] : &w->servers[0];
    PUMP(w->loop, winner->opened, 1);
    for (uint64_t began = loop_clock_ms(); other->conn && loop_clock_ms() - began < PUMP_DEADLINE_MS;)
        pump_until_value(w->loop, &w->lost, 1, 10);
    assert_null(other->conn);
    assert_non_null(winner->conn);
    assert_int_equal(w->opened, 1);
}

static void test_conn_race__who_is_not_wanted_leaves_it_to_the_next(void **state)
{
    struct world *w = *state;
    w->unwanted = &w->servers[1].at;
    start(w, &w->servers[1].at, &w->servers[0].at, LONG_MS);
    PUMP(w->loop, w->opened, 1);
    assert_true(addr_equal(&w->won, &w->servers[0].at));
}

static void test_conn_race__when_it_is_lost_it_tells_what_says_most_for_somebodys_life(void **state)
{
    struct world *w = *state;
    const struct {
        const struct addr *first, *second;
        uint32_t timeout_ms;
        int err;
    } cases[] = {
        {&w->refuser.at, NULL, LONG_MS, GRID_EREFUSED},
        {&w->silent.at, &w->refuser.at, 100, GRID_ETIMEOUT},
        {&w->refuser.at, &w->servers[0].at, LONG_MS, GRID_EREFUSED}, /* the server is not wanted */
        {&w->servers[0].at, NULL, LONG_MS, 0},
    };
    w->unwanted = &w->servers[0].at;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        w->lost = 0;
        start(w, cases[i].first, cases[i].second, cases[i].timeout_ms);
        PUMP(w->loop, w->lost, 1);
        assert_int_equal(w->err, cases[i].err);
    }
    assert_int_equal(w->opened, 0);
}

static void test_conn_race__given_up_it_says_nothing_more(void **state)
{
    struct world *w = *state;
    int never = 0;
    start(w, &w->silent.at, &w->mute.at, LONG_MS);
    pump_until_value(w->loop, &never, 1, 1); /* the first is under way */
    conn_race_close(w->race);
    start(w, &w->refuser.at, NULL, LONG_MS);
    conn_race_close(w->race);
    for (int i = 0; i < 2; i++)
        server_close(&w->servers[i]);
    loop_destroy(w->loop); /* waits for what is left of them */
    assert_int_equal(w->opened + w->lost + w->closed, 0);
    assert_int_equal(loop_create(&w->loop), 0);
    for (int i = 0; i < 2; i++) {
        tls_context_unref(w->servers[i].tls);
        w->servers[i] = (struct server){0};
        server_open(&w->servers[i], w);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_conn_race__who_is_silent_or_mute_is_overtaken_by_the_next, setup, teardown),
        cmocka_unit_test_setup_teardown(test_conn_race__an_address_that_is_known_later_runs_too, setup, teardown),
        cmocka_unit_test_setup_teardown(test_conn_race__one_alone_is_open_in_the_end, setup, teardown),
        cmocka_unit_test_setup_teardown(test_conn_race__who_is_not_wanted_leaves_it_to_the_next, setup, teardown),
        cmocka_unit_test_setup_teardown(test_conn_race__when_it_is_lost_it_tells_what_says_most_for_somebodys_life, setup, teardown),
        cmocka_unit_test_setup_teardown(test_conn_race__given_up_it_says_nothing_more, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
