/* Call links whose node says something else of itself while it is being dialled, or is reached in another way than before. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/err.h"
#include "net/carrier.h"
#include "server/route/peer_link.h"
#include "tests/unit/net/identity.h"
#include "tests/unit/net/pump.h"

/* Two identities, of which the second listens; the table's node is neither, so that whoever answers is another. */
struct rig {
    struct loop *loop;
    struct identity own, other;
    struct tls_context *own_tls, *other_tls;
    struct listener *listener;
    struct addr at;
    struct conn *taken;
    struct peer_links *links;
    struct route_shared *shared;
    struct invocation *inv, *second;
    struct carrier *carrier;
    struct conn *carried;
    bool shut; /* whoever comes to the listener is sent away */
    int wanted, heard; /* of the carrier; something has come by it */
    int came, ended, closed, status;
    bool refused;
    enum attempt_seen seen;
};

static void taken_on_read(void *ctx, struct conn *c, struct slice bytes)
{
    struct rig *r = ctx;
    (void) bytes;
    r->heard |= c == r->carried;
}

static void taken_on_close(void *ctx, struct conn *c, int err)
{
    struct rig *r = ctx;
    (void) err;
    if (c == r->taken)
        r->taken = NULL;
    else
        r->carried = NULL;
}

static const struct conn_events TAKEN_EVENTS = {.on_read = taken_on_read, .on_close = taken_on_close};

static void on_accept(void *ctx, int fd, const struct addr *from)
{
    struct rig *r = ctx;
    const struct conn_options options = {.tls = r->other_tls};
    (void) from;
    if (r->shut) {
        close(fd);
        return;
    }
    assert_int_equal(conn_adopt(r->loop, fd, &options, &TAKEN_EVENTS, r, &r->taken), 0);
    r->came++;
}

static void on_links_closed(void *arg)
{
    ((struct rig *) arg)->closed++;
}

static int setup(void **state)
{
    static struct rig rig;
    struct rig *r = &rig;
    const struct peer_links_options options = {.max_answer = 1 << 20};
    *r = (struct rig){0};
    *state = r;
    r->own = identity_make("own");
    r->other = identity_make("other");
    r->own_tls = identity_context(&r->own, &r->other, "h2");
    r->other_tls = identity_context(&r->other, &r->own, "h2");
    r->shared = route_shared_create();
    assert_int_equal(loop_create(&r->loop), 0);
    addr_loopback_v4(0, &r->at);
    assert_int_equal(listener_create(r->loop, &r->at, &(struct listener_options){0}, on_accept, r, &r->at, &r->listener), 0);
    assert_int_equal(peer_links_create(r->loop, &options, &r->links), 0);
    return 0;
}

static int teardown(void **state)
{
    struct rig *r = *state;
    peer_links_close(r->links, on_links_closed, r);
    PUMP(r->loop, r->closed, 1);
    if (r->taken)
        conn_close(r->taken);
    if (r->carried)
        conn_close(r->carried);
    listener_close(r->listener);
    loop_destroy(r->loop);
    carrier_destroy(r->carrier);
    tls_context_unref(r->own_tls);
    tls_context_unref(r->other_tls);
    identity_dispose(&r->own);
    identity_dispose(&r->other);
    route_shared_unref(r->shared);
    invocation_destroy(r->inv);
    if (r->second)
        invocation_destroy(r->second);
    invocation_thread_cleanup();
    return 0;
}

/* A table of this node and one other, which has these addresses. */
static void publish_all(struct rig *r, const char *id, const struct addr *at, unsigned count)
{
    struct route_node node = {.id = "here", .name = "here", .local = true};
    struct route_builder *b = route_builder_create(1, r->shared);
    assert_int_equal(route_builder_node(b, &node), 0);
    node = (struct route_node){.name = "there", .incarnation = 1, .routable = true, .address_count = count};
    snprintf(node.id, sizeof node.id, "%s", id);
    for (unsigned i = 0; i < count; i++)
        node.addresses[i] = at[i];
    assert_int_equal(route_builder_node(b, &node), 1);
    struct route_table *table = route_builder_finish(b, false, "", r->own_tls);
    assert_non_null(table);
    peer_links_publish(r->links, table);
    route_table_unref(table);
}

static void publish(struct rig *r, const struct addr *at)
{
    publish_all(r, "there", at, at != NULL);
}

/* ---- a call ---- */

static void on_head(struct invocation *inv, const struct invocation_answer *answer)
{
    (void) inv, (void) answer;
    fail();
}

static void on_data(struct invocation *inv, struct slice bytes)
{
    (void) inv, (void) bytes;
    fail();
}

static void on_end(struct invocation *inv, int status, const char *message, enum attempt_seen seen, bool refused, int64_t pushback_ms)
{
    struct rig *r = inv->sink_ctx;
    (void) message, (void) pushback_ms;
    r->status = status;
    r->seen = seen;
    r->refused = refused;
    r->ended++;
}

static const struct attempt_events CALL_EVENTS = {.on_head = on_head, .on_data = on_data, .on_end = on_end};

static struct invocation *invoke(struct rig *r)
{
    struct invocation *inv = invocation_create();
    inv->task = SLICE("t");
    inv->deadline_ms = loop_now_ms(r->loop) + PUMP_DEADLINE_MS;
    inv->sink_ctx = r;
    assert_int_equal(peer_links_send(r->links, 1, inv, &CALL_EVENTS), 0);
    return inv;
}

static void call(struct rig *r)
{
    r->inv = invoke(r);
}

/* ---- a carrier ---- */

/* It brings a stream to who listens at the rig's address. */
static void on_wanted(void *ctx, struct carrier *k, uint64_t ticket, const char *member, const struct tls_context *tls)
{
    struct rig *r = ctx;
    const struct conn_options options = {.tls = r->other_tls};
    int ends[2];
    (void) member, (void) tls;
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, ends), 0);
    assert_int_equal(carrier_give_fd(k, ticket, ends[0]), 0);
    assert_int_equal(conn_adopt(r->loop, ends[1], &options, &TAKEN_EVENTS, r, &r->carried), 0);
    r->wanted++;
}

static bool is_anybody(const void *arg, const struct tls_peer *peer)
{
    (void) arg, (void) peer;
    return true;
}

/* ---- the claims ---- */

static void test_peer_link__another_answers_while_the_node_has_no_address_any_more(void **state)
{
    struct rig *r = *state;
    publish(r, &r->at);
    call(r);
    publish(r, NULL);
    PUMP(r->loop, r->ended, 1);
    assert_int_equal(r->came, 1);
    assert_int_equal(r->status, GRPC_UNAVAILABLE);
    assert_int_equal(r->seen, ATTEMPT_UNSEEN);
    assert_true(r->refused);
}

/* As when a link that went by way of a third is direct now. The call that is on its way stays where it is. */
static void test_peer_link__a_way_by_a_carrier_is_not_preferred_once_it_was_left(void **state)
{
    struct rig *r = *state;
    struct addr places[2] = {r->at};
    addr_member("id", &places[1]);
    assert_int_equal(carrier_create(r->loop, on_wanted, r, &r->carrier), 0);
    r->shut = true; /* it cannot be dialled yet */
    publish_all(r, "id", places, 2);
    call(r);
    PUMP(r->loop, r->heard, 1);
    r->shut = false;
    peer_links_leave_some(r->links, is_anybody, NULL);
    r->second = invoke(r);
    assert_int_equal(r->wanted, 1); /* the first one that is dialled is dialled inside */
    PUMP(r->loop, r->came, 1);
    assert_int_equal(r->ended, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_peer_link__another_answers_while_the_node_has_no_address_any_more, setup, teardown),
        cmocka_unit_test_setup_teardown(test_peer_link__a_way_by_a_carrier_is_not_preferred_once_it_was_left, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
