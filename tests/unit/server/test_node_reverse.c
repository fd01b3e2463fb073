/* Connections to members that cannot be dialled: how often a member may have this node dial so that it is served there (over loopback, at a place where connections are taken and
 * nothing is said), and what a worker's thread hears that wants one. */
// links: grid_server grid_net
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/err.h"
#include "net/carrier.h"
#include "server/errands.h"
#include "server/node_reverse.h"
#include "tests/unit/net/identity.h"
#include "tests/unit/net/pump.h"

enum { AT_ONCE = 16 /* of one member */, ASKED = 3 * AT_ONCE, ROUNDS = 10 /* more than the burst is good for */ };

struct rig {
    struct node node;
    struct identity own;
    struct addr at;
    int fd, worker_over;
};

static int setup(void **state)
{
    struct rig *r = calloc(1, sizeof *r);
    socklen_t size = sizeof r->at.u.v4;
    addr_loopback_v4(0, &r->at);
    r->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    assert_int_equal(bind(r->fd, &r->at.u.any, size), 0);
    assert_int_equal(getsockname(r->fd, &r->at.u.any, &size), 0);
    assert_int_equal(listen(r->fd, 4 * ASKED), 0);
    r->own = identity_make("own");
    assert_int_equal(loop_create(&r->node.loop), 0);
    r->node.errands = errands_create();
    r->node.reverse_tls = identity_context(&r->own, &r->own, "grid-reverse/1");
    r->node.control_server = (struct http_server *) r; /* there is one; nothing is served before a handshake */
    *state = r;
    return 0;
}

static int teardown(void **state)
{
    struct rig *r = *state;
    node_reverse_stop(&r->node);
    loop_destroy(r->node.loop);
    errands_destroy(r->node.errands);
    tls_context_unref(r->node.reverse_tls);
    identity_dispose(&r->own);
    close(r->fd);
    free(r);
    return 0;
}

static void ask(struct rig *r, const char *member, int times, const struct addr *at)
{
    for (int i = 0; i < times; i++)
        node_reverse_turn(&r->node, member, GOSSIP_PLANE_CALLS, at);
}

/* How many turns there were: each is taken, and closed, until none is left. */
static int count_turns(struct rig *r)
{
    int count = 0, never = 0;
    for (uint64_t end_ms = loop_clock_ms() + PUMP_DEADLINE_MS; r->node.turns && loop_clock_ms() < end_ms; pump_until_value(r->node.loop, &never, 1, 5))
        for (int fd; (fd = accept4(r->fd, NULL, NULL, SOCK_CLOEXEC)) >= 0; count++)
            close(fd);
    assert_null(r->node.turns);
    return count;
}

static void test_node_reverse__one_member_has_so_many_turns_at_once_and_leaves_the_rest_to_others(void **state)
{
    struct rig *r = *state;
    ask(r, "a", ASKED, &r->at);
    ask(r, "b", 1, &r->at);
    assert_int_equal(count_turns(r), AT_ONCE + 1);
    ask(r, "a", 1, &r->at);
    assert_int_equal(count_turns(r), 1);
}

static void test_node_reverse__one_member_has_a_burst_of_turns_and_then_its_rate(void **state)
{
    struct rig *r = *state;
    uint64_t began = loop_now_ms(r->node.loop), all = 0;
    for (int i = 0; i < ROUNDS; i++) {
        ask(r, "a", ASKED, &r->at);
        uint64_t took = loop_now_ms(r->node.loop) - began;
        all += (uint64_t) count_turns(r);
        assert_true(all <= ERRANDS_BURST + ERRANDS_PER_S * took / 1000 + 1);
    }
    assert_true(all >= ERRANDS_BURST);
    ask(r, "b", 1, &r->at);
    assert_int_equal(count_turns(r), 1);
}

static void test_node_reverse__turns_only_where_this_node_has_found_the_way_and_while_it_runs(void **state)
{
    struct rig *r = *state;
    ask(r, "a", 1, NULL);
    r->node.stopping = true;
    ask(r, "a", 1, &r->at);
    assert_null(r->node.turns);
    r->node.stopping = false;
}

/* ---- wanted by another thread ---- */

enum { WANTED = 8 };

struct worker {
    struct rig *rig;
    struct loop *loop;
    int refused;
    struct conn *conns[WANTED];
};

static void end_worker(void *arg)
{
    struct rig *r = arg;
    r->worker_over = 1;
}

static void conn_on_read(void *ctx, struct conn *c, struct slice bytes)
{
    (void) ctx, (void) c, (void) bytes;
}

static void conn_on_close(void *ctx, struct conn *c, int err)
{
    struct worker *w = ctx;
    (void) c;
    w->refused += err == GRID_ETIMEOUT;
    if (w->refused == WANTED)
        loop_stop(w->loop);
}

static const struct conn_events WANTING = {.on_read = conn_on_read, .on_close = conn_on_close};

static void *want(void *arg)
{
    struct worker *w = arg;
    struct carrier *k;
    struct addr member;
    char id[65];
    memset(id, 'a', 64);
    id[64] = '\0';
    addr_member(id, &member);
    const struct conn_options options = {.tls = w->rig->node.reverse_tls};
    assert_int_equal(loop_create(&w->loop), 0);
    assert_int_equal(carrier_create(w->loop, node_reverse_wanted, &w->rig->node, &k), 0);
    for (int i = 0; i < WANTED; i++)
        assert_int_equal(conn_dial(w->loop, &member, &options, &WANTING, w, &w->conns[i]), 0);
    loop_run(w->loop);
    loop_destroy(w->loop);
    carrier_destroy(k);
    loop_post(w->rig->node.loop, end_worker, w->rig);
    return NULL;
}

static void test_node_reverse__a_worker_that_wants_a_member_is_refused_while_there_is_no_way(void **state)
{
    struct rig *r = *state;
    struct worker w = {.rig = r};
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, want, &w), 0);
    PUMP(r->node.loop, r->worker_over, 1);
    pthread_join(thread, NULL);
    assert_int_equal(w.refused, WANTED);
    assert_null(r->node.wants);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_node_reverse__one_member_has_so_many_turns_at_once_and_leaves_the_rest_to_others, setup, teardown),
        cmocka_unit_test_setup_teardown(test_node_reverse__one_member_has_a_burst_of_turns_and_then_its_rate, setup, teardown),
        cmocka_unit_test_setup_teardown(test_node_reverse__turns_only_where_this_node_has_found_the_way_and_while_it_runs, setup, teardown),
        cmocka_unit_test_setup_teardown(test_node_reverse__a_worker_that_wants_a_member_is_refused_while_there_is_no_way, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
