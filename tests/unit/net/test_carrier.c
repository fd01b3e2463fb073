/* Connections to members that cannot be dialled: a descriptor is brought, or a connection that the member has dialled is taken over, or nobody comes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/err.h"
#include "net/carrier.h"
#include "net/http.h"
#include "tests/unit/net/identity.h"
#include "tests/unit/net/pump.h"

#define MEMBER "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

struct rig {
    struct loop *loop, *there;
    struct carrier *carrier;
    struct identity a, b;
    struct tls_context *a_tls, *b_tls, *reverse_a, *reverse_b;
    struct listener *listener;
    struct addr at, relay;
    uint64_t ticket;
    char wanted_member[65];
    const struct tls_context *wanted_tls;
    int wanted;
    struct conn *conn, *far;
    int opened, closed, err, got, far_opened, far_got, far_closed, arrived;
    struct http_server *server;
    int asked, answered, client_open, client_closed;
};

static void on_wanted(void *ctx, struct carrier *k, uint64_t ticket, const char *member, const struct tls_context *tls)
{
    struct rig *r = ctx;
    assert_ptr_equal(k, r->carrier);
    r->ticket = ticket;
    r->wanted_tls = tls;
    snprintf(r->wanted_member, sizeof r->wanted_member, "%s", member);
    r->wanted++;
}

static void near_on_open(void *ctx, struct conn *c)
{
    struct rig *r = ctx;
    assert_string_equal(conn_tls_peer(c)->id, "id");
    r->opened++;
}

static void near_on_read(void *ctx, struct conn *c, struct slice bytes)
{
    (void) c;
    ((struct rig *) ctx)->got += (int) bytes.size;
}

static void near_on_close(void *ctx, struct conn *c, int err)
{
    struct rig *r = ctx;
    (void) c;
    r->conn = NULL;
    r->err = err;
    r->closed++;
}

static const struct conn_events NEAR_EVENTS = {.on_open = near_on_open, .on_read = near_on_read, .on_close = near_on_close};

static void far_on_open(void *ctx, struct conn *c)
{
    (void) c;
    ((struct rig *) ctx)->far_opened++;
}

static void far_on_read(void *ctx, struct conn *c, struct slice bytes)
{
    (void) c;
    ((struct rig *) ctx)->far_got += (int) bytes.size;
}

static void far_on_close(void *ctx, struct conn *c, int err)
{
    struct rig *r = ctx;
    (void) c, (void) err;
    r->far = NULL;
    r->far_closed++;
}

static const struct conn_events FAR_EVENTS = {.on_open = far_on_open, .on_read = far_on_read, .on_close = far_on_close};

static int setup(void **state)
{
    struct rig *r = calloc(1, sizeof *r);
    *state = r;
    r->a = identity_make("a");
    r->b = identity_make("b");
    r->a_tls = identity_context(&r->a, &r->b, "h2");
    r->b_tls = identity_context(&r->b, &r->a, "h2");
    r->reverse_a = identity_context(&r->a, &r->b, "grid-reverse/1");
    r->reverse_b = identity_context(&r->b, &r->a, "grid-reverse/1");
    addr_loopback_v4(7, &r->relay);
    assert_int_equal(loop_create(&r->loop), 0);
    assert_int_equal(carrier_create(r->loop, on_wanted, r, &r->carrier), 0);
    return 0;
}

static int teardown(void **state)
{
    struct rig *r = *state;
    if (r->conn)
        conn_close(r->conn);
    if (r->far)
        conn_close(r->far);
    if (r->listener)
        listener_close(r->listener);
    loop_destroy(r->loop);
    carrier_destroy(r->carrier);
    tls_context_unref(r->a_tls);
    tls_context_unref(r->b_tls);
    tls_context_unref(r->reverse_a);
    tls_context_unref(r->reverse_b);
    identity_dispose(&r->a);
    identity_dispose(&r->b);
    free(r);
    return 0;
}

static void dial(struct rig *r, uint32_t connect_ms)
{
    const struct conn_options options = {.tls = r->a_tls, .connect_timeout_ms = connect_ms};
    struct addr to;
    addr_member(MEMBER, &to);
    assert_int_equal(conn_dial(r->loop, &to, &options, &NEAR_EVENTS, r, &r->conn), 0);
    assert_int_equal(r->wanted, 1);
    assert_string_equal(r->wanted_member, MEMBER);
    assert_ptr_equal(r->wanted_tls, r->a_tls);
    assert_false(conn_was_connected(r->conn));
}

static void bring_pipe(struct rig *r)
{
    const struct conn_options options = {.tls = r->b_tls, .from = &r->relay};
    int fds[2];
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds), 0);
    assert_int_equal(conn_adopt(r->loop, fds[0], &options, &FAR_EVENTS, r, &r->far), 0);
    assert_int_equal(carrier_give_fd(r->carrier, r->ticket, fds[1]), 0);
}

static void test_carrier__speaks_tls_over_a_descriptor_that_is_brought(void **state)
{
    struct rig *r = *state;
    uid_t uid;
    gid_t gid;
    dial(r, 0);
    assert_int_equal(conn_write(r->conn, SLICE("early")), 0);
    bring_pipe(r);
    PUMP(r->loop, r->opened, 1);
    PUMP(r->loop, r->far_got, 5);
    assert_true(conn_is_relayed(r->conn) && conn_is_relayed(r->far) && conn_was_connected(r->conn));
    assert_int_equal(conn_peer_uid(r->far, &uid, &gid), GRID_ENOENT); /* who relays is not who speaks */
    assert_true(addr_equal(conn_peer_addr(r->far), &r->relay));       /* but he is where it comes from */
    assert_int_equal(conn_round_trip_us(r->far), 0);
    conn_finish(r->conn);
    PUMP(r->loop, r->far_closed, 1);
    PUMP(r->loop, r->closed, 1);
}

/* ---- what other threads bring ---- */

enum { BROUGHT = 8 };

struct bringer {
    struct carrier *carrier;
    uint64_t tickets[2 * BROUGHT];
    int fds[BROUGHT];
};

/* A descriptor for each second ticket, and a refusal for the others. */
static void *bring_all(void *arg)
{
    struct bringer *b = arg;
    for (int i = 0; i < BROUGHT; i++) {
        assert_int_equal(carrier_give_fd(b->carrier, b->tickets[2 * i], b->fds[i]), 0);
        carrier_refuse(b->carrier, b->tickets[2 * i + 1]);
    }
    return NULL;
}

static void test_carrier__takes_descriptors_and_refusals_from_another_thread(void **state)
{
    struct rig *r = *state;
    const struct conn_options near = {.tls = r->a_tls}, far = {.tls = r->b_tls, .from = &r->relay};
    struct bringer b = {.carrier = r->carrier};
    struct conn *conns[2 * BROUGHT], *fars[BROUGHT];
    struct addr to;
    pthread_t thread;
    addr_member(MEMBER, &to);
    for (int i = 0; i < 2 * BROUGHT; i++) {
        assert_int_equal(conn_dial(r->loop, &to, &near, &NEAR_EVENTS, r, &conns[i]), 0);
        b.tickets[i] = r->ticket;
    }
    for (int i = 0; i < BROUGHT; i++) {
        int fds[2];
        assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds), 0);
        assert_int_equal(conn_adopt(r->loop, fds[0], &far, &FAR_EVENTS, r, &fars[i]), 0);
        b.fds[i] = fds[1];
    }
    assert_int_equal(pthread_create(&thread, NULL, bring_all, &b), 0);
    PUMP(r->loop, r->opened, BROUGHT);
    PUMP(r->loop, r->closed, BROUGHT);
    pthread_join(thread, NULL);
    assert_int_equal(r->err, GRID_ETIMEOUT);
    for (int i = 0; i < BROUGHT; i++)
        conn_close(conns[2 * i]);
    PUMP(r->loop, r->closed, 2 * BROUGHT);
    PUMP(r->loop, r->far_closed, BROUGHT);
}

/* The loop on which the member's dial is accepted, as a worker's. */
static void *run_loop(void *loop)
{
    loop_run(loop);
    return NULL;
}

static void accept_there(void *ctx, int fd, const struct addr *from);

static void test_carrier__takes_over_a_connection_that_came_on_another_threads_loop(void **state)
{
    struct rig *r = *state;
    const struct conn_options options = {.tls = r->reverse_b};
    struct addr at;
    pthread_t thread;
    assert_int_equal(loop_create(&r->there), 0);
    addr_loopback_v4(0, &at);
    assert_int_equal(listener_create(r->there, &at, NULL, accept_there, r, &r->at, &r->listener), 0);
    dial(r, 0);
    assert_int_equal(pthread_create(&thread, NULL, run_loop, r->there), 0);
    assert_int_equal(conn_dial(r->loop, &r->at, &options, &FAR_EVENTS, r, &r->far), 0);
    PUMP(r->loop, r->opened, 1);
    assert_int_equal(conn_write(r->conn, SLICE("there")), 0);
    PUMP(r->loop, r->far_got, 5);
    assert_int_equal(conn_write(r->far, SLICE("back")), 0);
    PUMP(r->loop, r->got, 4);
    loop_stop(r->there);
    pthread_join(thread, NULL);
    listener_close(r->listener);
    r->listener = NULL;
    loop_destroy(r->there);
}

static void test_carrier__ends_the_dial_when_nobody_leads_there(void **state)
{
    struct rig *r = *state;
    dial(r, 0);
    carrier_refuse(r->carrier, r->ticket);
    PUMP(r->loop, r->closed, 1);
    assert_int_equal(r->err, GRID_ETIMEOUT);
}

static void test_carrier__gives_up_when_the_dials_time_is_over_and_closes_what_comes_later(void **state)
{
    struct rig *r = *state;
    dial(r, 30);
    PUMP(r->loop, r->closed, 1);
    assert_int_equal(r->err, GRID_ETIMEOUT);
    bring_pipe(r);
    PUMP(r->loop, r->far_closed, 1);
    carrier_refuse(r->carrier, r->ticket);
    carrier_refuse(r->carrier, 77);
}

static void test_carrier__a_dial_that_is_closed_while_it_waits_ends_once(void **state)
{
    struct rig *r = *state;
    dial(r, 0);
    conn_close(r->conn);
    assert_int_equal(r->closed, 0); /* never inside */
    PUMP(r->loop, r->closed, 1);
    assert_int_equal(r->err, 0);
}

static void test_conn_pair__is_a_stream_whose_other_end_is_a_descriptor(void **state)
{
    struct rig *r = *state;
    char bytes[8];
    int far;
    assert_int_equal(conn_pair(r->loop, &FAR_EVENTS, r, &r->far, &far), 0);
    assert_int_equal(conn_write(r->far, SLICE("there")), 0);
    assert_int_equal(write(far, "back", 4), 4);
    PUMP(r->loop, r->far_got, 4);
    assert_int_equal(read(far, bytes, sizeof bytes), 5);
    close(far);
    PUMP(r->loop, r->far_closed, 1);
}

static void test_carrier__without_one_members_cannot_be_dialled(void **state)
{
    struct rig *r = *state;
    const struct conn_options options = {.tls = r->a_tls};
    struct addr to;
    addr_member(MEMBER, &to);
    loop_set_carrier(r->loop, NULL);
    assert_int_equal(conn_dial(r->loop, &to, &options, &NEAR_EVENTS, r, &r->conn), GRID_EIO);
}

/* ---- the roles turned ---- */

/* The member's dial has come. */
static void accepted_on_open(void *ctx, struct conn *c)
{
    struct rig *r = ctx;
    assert_string_equal(conn_alpn(c), "grid-reverse/1");
    r->arrived++;
    carrier_give_conn(r->carrier, r->ticket, c);
}

static void accepted_on_close(void *ctx, struct conn *c, int err)
{
    (void) ctx, (void) c, (void) err;
}

static const struct conn_events ACCEPTED = {.on_open = accepted_on_open, .on_read = near_on_read, .on_close = accepted_on_close};

static void accept_on(struct rig *r, struct loop *l, int fd)
{
    const struct conn_options options = {.tls = r->reverse_a};
    struct conn *c;
    assert_int_equal(conn_adopt(l, fd, &options, &ACCEPTED, r, &c), 0);
}

static void on_accept(void *ctx, int fd, const struct addr *from)
{
    struct rig *r = ctx;
    (void) from;
    accept_on(r, r->loop, fd);
}

static void accept_there(void *ctx, int fd, const struct addr *from)
{
    struct rig *r = ctx;
    (void) from;
    accept_on(r, r->there, fd);
}

static void on_request(void *ctx, struct http_exchange *x)
{
    ((struct rig *) ctx)->asked++;
    http_answer_unread(x, 200, NULL, 0, SLICE("served by the dialler"));
}

static void dialler_on_open(void *ctx, struct conn *c)
{
    struct rig *r = ctx;
    http_server_adopt(r->server, c);
}

static const struct conn_events DIALLER = {.on_open = dialler_on_open, .on_read = far_on_read, .on_close = far_on_close};

static void member_dials(struct rig *r)
{
    const struct conn_options options = {.tls = r->reverse_b};
    struct conn *c;
    assert_int_equal(conn_dial(r->loop, &r->at, &options, &DIALLER, r, &c), 0);
}

static void listen_here(struct rig *r)
{
    struct addr at;
    addr_loopback_v4(0, &at);
    assert_int_equal(listener_create(r->loop, &at, NULL, on_accept, r, &r->at, &r->listener), 0);
    assert_int_equal(http_server_create(r->loop, &HTTP_SERVER_LIMITS_DEFAULT, on_request, r, &r->server), 0);
}

static void call_on_head(void *ctx, struct http_call *c, int status, const struct http_header *headers, size_t count)
{
    (void) ctx, (void) c, (void) headers, (void) count;
    assert_int_equal(status, 200);
}

static void call_on_data(void *ctx, struct http_call *c, struct slice bytes)
{
    (void) c;
    ((struct rig *) ctx)->got += (int) bytes.size;
}

static void call_on_close(void *ctx, struct http_call *c, int err, enum http_sent sent, uint32_t code, const struct http_header *trailers, size_t count)
{
    (void) c, (void) sent, (void) code, (void) trailers, (void) count;
    assert_int_equal(err, 0);
    ((struct rig *) ctx)->answered++;
}

static const struct http_call_events CALL = {.on_head = call_on_head, .on_data = call_on_data, .on_close = call_on_close};

static void client_on_open(void *ctx, struct http_client *c)
{
    struct rig *r = ctx;
    assert_string_equal(conn_tls_peer(http_client_conn(c))->id, "id");
    assert_false(conn_is_relayed(http_client_conn(c)));
    r->client_open++;
}

static void client_on_draining(void *ctx, struct http_client *c)
{
    (void) ctx, (void) c;
}

static void client_on_close(void *ctx, struct http_client *c, int err)
{
    (void) c, (void) err;
    ((struct rig *) ctx)->client_closed++;
}

static const struct http_client_events CLIENT = {client_on_open, client_on_draining, client_on_close};

static void server_gone(void *arg)
{
    *(int *) arg = 1;
}

static void test_carrier__who_dialled_serves_http2_and_who_waited_asks(void **state)
{
    struct rig *r = *state;
    const struct conn_options options = {.tls = r->a_tls};
    struct http_client *client;
    struct http_call *call;
    struct addr to;
    int gone = 0;
    listen_here(r);
    addr_member(MEMBER, &to);
    assert_int_equal(http2_client_dial(r->loop, &to, &options, &CLIENT, r, &client), 0);
    const struct http_request_head head = {.method = SLICE("GET"), .target = SLICE("/"), .authority = http_client_authority(client)};
    assert_int_equal(http_client_call(client, &head, slice_of(NULL, 0), false, &CALL, r, &call), 0); /* queued until somebody is there */
    member_dials(r);
    PUMP(r->loop, r->answered, 1);
    assert_int_equal(r->asked, 1);
    assert_int_equal(r->got, (int) strlen("served by the dialler"));
    for (int i = 0; i < 50; i++)
        assert_int_equal(http_client_call(client, &head, slice_of(NULL, 0), false, &CALL, r, &call), 0);
    PUMP(r->loop, r->answered, 51);
    http_client_close(client);
    PUMP(r->loop, r->client_closed, 1);
    http_server_close(r->server, server_gone, &gone);
    PUMP(r->loop, gone, 1);
}

static void test_carrier__a_connection_that_comes_for_nobody_is_closed(void **state)
{
    struct rig *r = *state;
    int gone = 0;
    listen_here(r);
    dial(r, 0);
    conn_close(r->conn);
    PUMP(r->loop, r->closed, 1);
    member_dials(r);
    PUMP(r->loop, r->arrived, 1);
    for (uint64_t end_ms = loop_clock_ms() + PUMP_DEADLINE_MS; http_server_connections(r->server) > 0 && loop_clock_ms() < end_ms;)
        uv_run(loop_uv(r->loop), UV_RUN_ONCE);
    assert_int_equal(http_server_connections(r->server), 0);
    http_server_close(r->server, server_gone, &gone);
    PUMP(r->loop, gone, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_carrier__speaks_tls_over_a_descriptor_that_is_brought, setup, teardown),
        cmocka_unit_test_setup_teardown(test_carrier__takes_descriptors_and_refusals_from_another_thread, setup, teardown),
        cmocka_unit_test_setup_teardown(test_carrier__takes_over_a_connection_that_came_on_another_threads_loop, setup, teardown),
        cmocka_unit_test_setup_teardown(test_carrier__ends_the_dial_when_nobody_leads_there, setup, teardown),
        cmocka_unit_test_setup_teardown(test_carrier__gives_up_when_the_dials_time_is_over_and_closes_what_comes_later, setup, teardown),
        cmocka_unit_test_setup_teardown(test_carrier__a_dial_that_is_closed_while_it_waits_ends_once, setup, teardown),
        cmocka_unit_test_setup_teardown(test_conn_pair__is_a_stream_whose_other_end_is_a_descriptor, setup, teardown),
        cmocka_unit_test_setup_teardown(test_carrier__without_one_members_cannot_be_dialled, setup, teardown),
        cmocka_unit_test_setup_teardown(test_carrier__who_dialled_serves_http2_and_who_waited_asks, setup, teardown),
        cmocka_unit_test_setup_teardown(test_carrier__a_connection_that_comes_for_nobody_is_closed, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
