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
#include "net/h2_race.h"
#include "tests/unit/net/pump.h"

enum { FILLERS = 4 };

struct place {
    int fd, fillers[FILLERS];
    struct addr at;
};

struct world {
    struct loop *loop;
    struct place silent, taker, other, refuser;
    struct h2_race *race;
    struct http_client *client;
    struct addr won;
    int opened, closed, failed, lost, dialled, unwanted_port, asked_last;
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

static int setup(void **state)
{
    struct world *w = calloc(1, sizeof *w);
    assert_int_equal(loop_create(&w->loop), 0);
    place_open(&w->silent, 0);
    place_fill(&w->silent);
    place_open(&w->taker, 16);
    place_open(&w->other, 16);
    place_open(&w->refuser, -1);
    *state = w;
    return 0;
}

static int teardown(void **state)
{
    struct world *w = *state;
    if (w->client)
        http_client_close(w->client);
    loop_destroy(w->loop);
    place_close(&w->silent);
    place_close(&w->taker);
    place_close(&w->other);
    place_close(&w->refuser);
    free(w);
    return 0;
}

static void on_dial(void *ctx, struct http_client *client)
{
    struct world *w = ctx;
    (void) client;
    w->dialled++;
}

static bool may_win(void *ctx, struct http_client *client, bool last)
{
    struct world *w = ctx;
    w->asked_last = last;
    return addr_port(conn_peer_addr(http_client_conn(client))) != w->unwanted_port;
}

static void on_failed(void *ctx, struct http_client *client, int err)
{
    struct world *w = ctx;
    (void) client, (void) err;
    w->failed++;
}

static void on_open(void *ctx, struct http_client *client)
{
    struct world *w = ctx;
    w->client = client;
    w->won = *conn_peer_addr(http_client_conn(client));
    w->opened++;
}

static void on_draining(void *ctx, struct http_client *client)
{
    (void) ctx, (void) client;
}

static void on_close(void *ctx, struct http_client *client, int err)
{
    struct world *w = ctx;
    (void) client, (void) err;
    w->client = NULL;
    w->closed++;
}

static void on_lost(void *ctx)
{
    struct world *w = ctx;
    w->lost++;
}

static const struct h2_race_events EVENTS = {on_dial, may_win, on_failed, {on_open, on_draining, on_close}, on_lost};

static void start(struct world *w, const struct addr *first, const struct addr *second, bool awaits)
{
    struct race addresses = {0};
    const struct h2_race_options options = {.awaits = awaits};
    if (first)
        race_add(&addresses, first);
    if (second)
        race_add(&addresses, second);
    assert_int_equal(h2_race_create(w->loop, &addresses, &options, &EVENTS, w, &w->race), 0);
    assert_int_equal(w->dialled, 0);
}

static void test_h2_race__a_silent_address_costs_its_head_start_alone(void **state)
{
    struct world *w = *state;
    uint64_t began = loop_clock_ms();
    start(w, &w->silent.at, &w->taker.at, false);
    PUMP(w->loop, w->opened, 1);
    assert_true(loop_clock_ms() - began >= RACE_HEAD_START_MS - 1);
    assert_true(addr_equal(&w->won, &w->taker.at));
    assert_int_equal(w->dialled, 2);
    assert_int_equal(w->lost, 0);
    http_client_close(w->client);
    PUMP(w->loop, w->closed, 1);
}

static void test_h2_race__the_first_one_that_answers_is_the_only_one_dialled(void **state)
{
    struct world *w = *state;
    start(w, &w->taker.at, &w->silent.at, false);
    PUMP(w->loop, w->opened, 1);
    assert_true(addr_equal(&w->won, &w->taker.at));
    assert_int_equal(w->dialled, 1);
}

static void test_h2_race__who_refuses_is_followed_at_once_and_when_all_do_it_is_lost(void **state)
{
    struct world *w = *state;
    start(w, &w->refuser.at, &w->taker.at, false);
    PUMP(w->loop, w->opened, 1);
    assert_int_equal(w->failed, 1);
    http_client_close(w->client);
    PUMP(w->loop, w->closed, 1);
    w->failed = w->dialled = 0;
    start(w, &w->refuser.at, NULL, false);
    PUMP(w->loop, w->lost, 1);
    assert_int_equal(w->failed, 1);
    assert_int_equal(w->opened, 1);
}

static void test_h2_race__who_is_not_wanted_leaves_it_to_the_others(void **state)
{
    struct world *w = *state;
    w->unwanted_port = addr_port(&w->other.at);
    start(w, &w->other.at, &w->taker.at, false);
    PUMP(w->loop, w->opened, 1);
    assert_true(addr_equal(&w->won, &w->taker.at));
    assert_true(w->asked_last);
}

static void test_h2_race__awaits_addresses_that_come_later(void **state)
{
    struct world *w = *state;
    start(w, &w->refuser.at, NULL, true);
    PUMP(w->loop, w->failed, 1);
    h2_race_add(w->race, &w->taker.at);
    h2_race_complete(w->race);
    PUMP(w->loop, w->opened, 1);
    w->dialled = 0;
    start(w, NULL, NULL, true);
    h2_race_complete(w->race);
    PUMP(w->loop, w->lost, 1);
}

static void test_h2_race__given_up_it_says_nothing_more(void **state)
{
    struct world *w = *state;
    start(w, &w->silent.at, &w->taker.at, false);
    PUMP(w->loop, w->dialled, 1);
    assert_false(h2_race_is_connected(w->race));
    h2_race_close(w->race);
    w->dialled = 0;
    start(w, &w->taker.at, NULL, false);
    h2_race_close(w->race);
    loop_destroy(w->loop); /* waits for what is left of them */
    assert_int_equal(loop_create(&w->loop), 0);
    assert_int_equal(w->opened + w->lost + w->closed + w->dialled, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_h2_race__a_silent_address_costs_its_head_start_alone, setup, teardown),
        cmocka_unit_test_setup_teardown(test_h2_race__the_first_one_that_answers_is_the_only_one_dialled, setup, teardown),
        cmocka_unit_test_setup_teardown(test_h2_race__who_refuses_is_followed_at_once_and_when_all_do_it_is_lost, setup, teardown),
        cmocka_unit_test_setup_teardown(test_h2_race__who_is_not_wanted_leaves_it_to_the_others, setup, teardown),
        cmocka_unit_test_setup_teardown(test_h2_race__awaits_addresses_that_come_later, setup, teardown),
        cmocka_unit_test_setup_teardown(test_h2_race__given_up_it_says_nothing_more, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
