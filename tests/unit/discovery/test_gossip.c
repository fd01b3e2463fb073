/* The gossip driver: several nodes in one process and on one loop, over real mutual TLS on loopback. */
// links: grid_trust
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "discovery/gossip.h"
#include "discovery/member_reach.h"
#include "net/carrier.h"
#include "tests/unit/net/pump.h"
#include "trust/authority.h"
#include "trust/verify.h"

enum { NODES_MAX = 3 };

struct rig;

struct node {
    struct rig *rig;
    char name[16], address[ADDR_TEXT_MAX];
    struct key *key;
    struct tls_context *tls;
    bool hidden; /* it says that it cannot be dialled */
    bool forges; /* its records are not signed by it */
    int own_words; /* records that their owners brought */
    const struct members_times *times; /* NULL: the usual ones */
    const char *claims; /* an impostor: another's id; NULL: its own */
    struct listener *listener;
    struct http_server *http;
    struct grpc_server *grpc;
    struct gossip *gossip;
    struct member self;
    const char *addresses[1];
    int events[MEMBERS_REFUSED + 1];
    int releases, refusals, gone, left;
    char release[32];
    enum gossip_refusal refusal;
    bool refused_by_peer;
};

struct rig {
    struct loop *loop;
    struct authority *authority;
    struct verifier *verifier;
    struct node nodes[NODES_MAX];
    int met; /* set by a condition */
    struct carrier *carrier; /* of a test's own */
    struct listener *listener;
    struct addr at;
    uint64_t ticket;
    bool wanted, serves;
    int ends[2]; /* of the relay of the tests */
};

static int judge(void *arg, struct x509_st *const *chain, size_t count, struct tls_peer *peer, char why[160])
{
    struct verify_holder holder;
    const struct rig *r = arg;
    int err = verify_parsed(r->verifier, chain, count, loop_wall_ms() / 1000, &holder, why);
    memcpy(peer->id, holder.id, sizeof peer->id);
    memcpy(peer->name, holder.name, sizeof peer->name);
    peer->roles = holder.roles;
    return err;
}

static void on_event(void *ctx, enum members_event_kind kind, const struct member *member)
{
    struct node *n = ctx;
    (void) member;
    n->events[kind]++;
}

static void on_release(void *ctx, struct slice packed, const struct member *from)
{
    struct node *n = ctx;
    assert_non_null(from);
    snprintf(n->release, sizeof n->release, "%.*s", SLICE_FMT(packed));
    n->releases++;
}

static void on_refused(void *ctx, enum gossip_refusal refusal, struct slice reason, bool by_peer)
{
    struct node *n = ctx;
    assert_true(reason.size > 0);
    n->refusal = refusal;
    n->refusals++;
    n->refused_by_peer = by_peer;
}

static const struct gossip_events EVENTS = {.on_event = on_event, .on_release = on_release, .on_refused = on_refused};

static void on_accept(void *ctx, int fd, const struct addr *from)
{
    struct node *n = ctx;
    (void) from;
    http_server_accept(n->http, fd, n->tls);
}

static void on_request(void *ctx, struct http_exchange *x)
{
    struct node *n = ctx;
    assert_true(grpc_server_handle(n->grpc, x));
}

static void make_tls(struct node *n, unsigned roles)
{
    struct certificate_request request = {.name = n->name, .roles = roles, .public_der = key_public_der(n->key)};
    struct buf der;
    buf_init(&der, 0);
    assert_int_equal(authority_issue(n->rig->authority, &request, loop_wall_ms() / 1000, &der), 0);
    struct tls_config config = {.certificate_der = buf_slice(&der), .issuer_der = authority_certificate_der(n->rig->authority), .key_der = key_private_der(n->key),
                                .verify = judge, .verify_arg = n->rig, .alpn = "h2"};
    assert_int_equal(tls_context_create(&config, &n->tls), 0);
    buf_dispose(&der);
}

static unsigned nodes_only(struct slice path)
{
    (void) path;
    return TLS_ROLE_NODE;
}

static void listen_at(struct node *n, uint16_t port)
{
    struct addr at, bound;
    struct listener_options options = {0};
    addr_loopback_v4(port, &at);
    assert_int_equal(http_server_create(n->rig->loop, &HTTP_SERVER_LIMITS_DEFAULT, on_request, n, &n->http), 0);
    assert_int_equal(grpc_server_create(n->rig->loop, 1 << 20, &n->grpc), 0);
    grpc_server_set_roles(n->grpc, nodes_only);
    assert_int_equal(listener_create(n->rig->loop, &at, &options, on_accept, n, &bound, &n->listener), 0);
    addr_format(&bound, n->address);
}

/* A signature is here the owner's name. */
static int seal(void *ctx, struct slice record, struct buf *sealed)
{
    const struct node *n = ctx;
    return member_seal_pack(&(struct member_seal){.record = record, .signature = slice_of_str(n->forges ? "forged" : n->name)}, sealed);
}

static bool admit(void *ctx, const char *peer, const struct gossip_entry *entry)
{
    struct node *n = ctx;
    n->own_words += strcmp(peer, entry->member->id) == 0;
    assert_true(member_id_valid(slice_of_str(peer)));
    return slice_equal_str(entry->seal.signature, entry->member->name);
}

static const char *const HIDDEN[] = {MEMBER_REACHES, MEMBER_UNREACHABLE};

static void start_gossip(struct node *n, const char *grid_authority, const char *const *seeds, size_t seed_count)
{
    n->addresses[0] = n->address;
    n->self = (struct member){.incarnation = (uint64_t) loop_wall_ms(), .started_at_ms = loop_wall_ms(), .hostname = "h", .platform = "linux-x64",
                              .user = "u", .version = "1", .addresses = n->addresses, .address_count = 1};
    if (n->hidden) {
        n->self.capabilities = HIDDEN;
        n->self.capability_count = sizeof HIDDEN / sizeof *HIDDEN;
    }
    memcpy(n->self.id, n->claims ? n->claims : key_id(n->key), sizeof n->self.id);
    snprintf(n->self.name, sizeof n->self.name, "%s", n->name);
    struct gossip_config config = {.loop = n->rig->loop, .tls = n->tls, .authority = grid_authority, .grid = "demo", .self = &n->self, .seeds = seeds, .seed_count = seed_count, .times = n->times,
                                   .events = &EVENTS, .admit = admit, .seal = seal, .ctx = n};
    assert_int_equal(gossip_create(&config, &n->gossip), 0);
    assert_int_equal(grpc_server_add(n->grpc, gossip_service(n->gossip)), 0);
}

static void start(struct rig *r, int i, const char *name, unsigned roles, const char *seed)
{
    struct node *n = &r->nodes[i];
    n->rig = r;
    snprintf(n->name, sizeof n->name, "%s", name);
    assert_int_equal(key_mint(&n->key), 0);
    make_tls(n, roles);
    listen_at(n, 0);
    start_gossip(n, authority_id(r->authority), &seed, seed ? 1 : 0);
}

static void count_gone(void *arg)
{
    ++*(int *) arg;
}

static void stop(struct node *n)
{
    if (!n->gossip)
        return;
    n->gone = 0;
    if (n->listener)
        listener_close(n->listener);
    gossip_close(n->gossip, count_gone, &n->gone);
    http_server_close(n->http, count_gone, &n->gone);
    PUMP(n->rig->loop, n->gone, 2);
    grpc_server_destroy(n->grpc);
    n->gossip = NULL;
}

static void dispose(struct node *n)
{
    stop(n);
    tls_context_unref(n->tls);
    key_destroy(n->key);
}

static int set_up(void **state)
{
    struct rig *r = calloc(1, sizeof *r);
    struct slice der;
    assert_int_equal(loop_create(&r->loop), 0);
    assert_int_equal(authority_mint("demo", loop_wall_ms() / 1000, &r->authority), 0);
    der = authority_certificate_der(r->authority);
    assert_int_equal(verifier_create(&der, 1, NULL, 0, &r->verifier), 0);
    *state = r;
    return 0;
}

static int tear_down(void **state)
{
    struct rig *r = *state;
    for (int i = 0; i < NODES_MAX; i++)
        if (r->nodes[i].rig)
            dispose(&r->nodes[i]);
    verifier_destroy(r->verifier);
    authority_destroy(r->authority);
    if (r->listener)
        listener_close(r->listener);
    loop_destroy(r->loop);
    carrier_destroy(r->carrier);
    free(r);
    return 0;
}

/* Runs the loop until node i sees node j in the state, linked when it is alive. */
static void await_state(struct rig *r, int i, int j, enum member_state state)
{
    uint64_t deadline = loop_clock_ms() + PUMP_DEADLINE_MS;
    const struct member *m = NULL;
    struct loop_timer tick = {.loop = r->loop};
    bool seen = false;
    pump_tick(&tick);
    while (!seen && loop_clock_ms() < deadline) {
        uv_run(loop_uv(r->loop), UV_RUN_ONCE);
        m = members_find(gossip_members(r->nodes[i].gossip), key_id(r->nodes[j].key));
        seen = m && m->state == state && (state != MEMBER_ALIVE || m->linked);
    }
    loop_timer_stop(&tick);
    if (!seen)
        fail_msg("node %d sees node %d as %s", i, j, m ? member_state_name(m->state) : "unknown");
}

static void await_that(struct rig *r, bool (*holds)(struct rig *r))
{
    uint64_t deadline = loop_clock_ms() + PUMP_DEADLINE_MS;
    struct loop_timer tick = {.loop = r->loop};
    bool met;
    pump_tick(&tick);
    while (!(met = holds(r)) && loop_clock_ms() < deadline)
        uv_run(loop_uv(r->loop), UV_RUN_ONCE);
    loop_timer_stop(&tick);
    assert_true(met);
}

static void await_all(struct rig *r, int count)
{
    for (int i = 0; i < count; i++)
        for (int j = 0; j < count; j++)
            if (i != j)
                await_state(r, i, j, MEMBER_ALIVE);
}

static void start_three(struct rig *r)
{
    start(r, 0, "one", TRUST_ROLE_NODE, NULL);
    start(r, 1, "two", TRUST_ROLE_NODE, r->nodes[0].address);
    start(r, 2, "three", TRUST_ROLE_NODE, r->nodes[0].address);
    await_all(r, 3);
}

static void test_gossip__links_three_nodes_from_one_seed(void **state)
{
    struct rig *r = *state;
    start_three(r);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(members_count(gossip_members(r->nodes[i].gossip)), 3);
        assert_int_equal(r->nodes[i].events[MEMBERS_JOINED], 2);
        assert_int_equal(r->nodes[i].events[MEMBERS_FAILED], 0);
    }
}

static void test_gossip__finds_a_seed_by_name(void **state)
{
    struct rig *r = *state;
    char seed[64];
    start(r, 0, "one", TRUST_ROLE_NODE, NULL);
    snprintf(seed, sizeof seed, "localhost%s", strrchr(r->nodes[0].address, ':'));
    start(r, 1, "two", TRUST_ROLE_NODE, seed);
    await_all(r, 2);
}

static int option_of(int fd, int level, int name)
{
    int value = -1;
    socklen_t size = sizeof value;
    assert_int_equal(getsockopt(fd, level, name, &value, &size), 0);
    return value;
}

/* How many ends of connections at the port are sockets of this process that were made for control links: the accepting ends, or the dialling ones. */
static int count_thin(uint16_t port, bool accepted, uint32_t unacknowledged_ms)
{
    int thin = 0;
    for (int fd = 3; fd < 256; fd++) {
        struct addr local = {.size = sizeof local.u}, peer = {.size = sizeof peer.u};
        if (getsockname(fd, &local.u.any, &local.size) != 0 || getpeername(fd, &peer.u.any, &peer.size) != 0 || addr_port(accepted ? &local : &peer) != port)
            continue;
        thin += option_of(fd, IPPROTO_TCP, TCP_USER_TIMEOUT) == (int) unacknowledged_ms && option_of(fd, IPPROTO_TCP, TCP_THIN_LINEAR_TIMEOUTS) == 1 &&
                option_of(fd, SOL_SOCKET, SO_KEEPALIVE) == 0 && option_of(fd, IPPROTO_TCP, TCP_NODELAY) == 1;
    }
    return thin;
}

/* Each end by its own node's profile. */
static void test_gossip__makes_control_links_thin_at_both_ends(void **state)
{
    struct rig *r = *state;
    struct addr at;
    r->nodes[1].times = &MEMBERS_WAN;
    start(r, 0, "one", TRUST_ROLE_NODE, NULL);
    assert_int_equal(addr_parse(slice_of_str(r->nodes[0].address), &at), 0);
    start(r, 1, "two", TRUST_ROLE_NODE, r->nodes[0].address);
    await_all(r, 2);
    assert_in_range(count_thin(addr_port(&at), true, MEMBERS_LAN.unacknowledged_ms), 1, 2);
    assert_in_range(count_thin(addr_port(&at), false, MEMBERS_WAN.unacknowledged_ms), 1, 2);
    assert_int_equal(count_thin(addr_port(&at), false, MEMBERS_LAN.unacknowledged_ms), 0);
}

static void test_gossip__spreads_records_and_releases(void **state)
{
    struct rig *r = *state;
    struct member_task task = {"echo", 2, "", false};
    start_three(r);
    struct member next = r->nodes[1].self;
    next.tasks = &task, next.task_count = 1, next.synchronized = true;
    memset(next.release, 'a', 64);
    assert_int_equal(gossip_update_self(r->nodes[1].gossip, &next), 0);
    PUMP(r->loop, r->nodes[0].events[MEMBERS_UPDATED], 1);
    PUMP(r->loop, r->nodes[2].events[MEMBERS_UPDATED], 1);
    const struct member *seen = members_find(gossip_members(r->nodes[2].gossip), key_id(r->nodes[1].key));
    assert_int_equal(seen->task_count, 1);
    assert_string_equal(seen->tasks[0].name, "echo");
    assert_true(seen->synchronized);
    assert_int_equal(gossip_announce_release(r->nodes[2].gossip, SLICE("entry")), 0);
    PUMP(r->loop, r->nodes[0].releases, 1);
    PUMP(r->loop, r->nodes[1].releases, 1);
    assert_string_equal(r->nodes[1].release, "entry");
}

static void test_gossip__convicts_a_dead_process_at_once(void **state)
{
    struct rig *r = *state;
    start_three(r);
    uint64_t before = loop_clock_ms();
    stop(&r->nodes[2]); /* its port refuses from here on */
    await_state(r, 0, 2, MEMBER_DEAD);
    await_state(r, 1, 2, MEMBER_DEAD);
    assert_true(loop_clock_ms() - before < 4000);
    PUMP(r->loop, r->nodes[0].events[MEMBERS_FAILED], 1);
    assert_int_equal(r->nodes[0].events[MEMBERS_FAILED], 1);
}

static void test_gossip__takes_a_restarted_node_back(void **state)
{
    struct rig *r = *state;
    start_three(r);
    struct addr at;
    assert_int_equal(addr_parse(slice_of_str(r->nodes[2].address), &at), 0);
    stop(&r->nodes[2]);
    await_state(r, 0, 2, MEMBER_DEAD);
    listen_at(&r->nodes[2], addr_port(&at));
    const char *seed = r->nodes[1].address;
    start_gossip(&r->nodes[2], authority_id(r->authority), &seed, 1);
    await_all(r, 3);
    PUMP(r->loop, r->nodes[0].events[MEMBERS_JOINED], 3);
}

/* ---- a member that dials for who cannot dial it ---- */

static void ignore_read(void *ctx, struct conn *c, struct slice bytes)
{
    (void) ctx, (void) c, (void) bytes;
}

static void ignore_close(void *ctx, struct conn *c, int err)
{
    (void) ctx, (void) c, (void) err;
}

static void dialler_on_open(void *ctx, struct conn *c)
{
    http_server_adopt(((struct rig *) ctx)->nodes[1].http, c);
}

static const struct conn_events DIALLER = {.on_open = dialler_on_open, .on_read = ignore_read, .on_close = ignore_close};

static void taker_on_open(void *ctx, struct conn *c)
{
    struct rig *r = ctx;
    carrier_give_conn(r->carrier, r->ticket, c);
}

static const struct conn_events TAKER = {.on_open = taker_on_open, .on_read = ignore_read, .on_close = ignore_close};

static void take(void *ctx, int fd, const struct addr *from)
{
    struct rig *r = ctx;
    const struct conn_options options = {.tls = r->nodes[0].tls};
    struct conn *c;
    (void) from;
    assert_int_equal(conn_adopt(r->loop, fd, &options, &TAKER, r, &c), 0);
}

/* Node 1 dials for who waits, and serves. */
static void dial_for_node_0(struct rig *r)
{
    const struct conn_options options = {.tls = r->nodes[1].tls};
    struct conn *c;
    assert_int_equal(conn_dial(r->loop, &r->at, &options, &DIALLER, r, &c), 0);
}

static void on_wanted(void *ctx, struct carrier *k, uint64_t ticket, const char *member, const struct tls_context *tls)
{
    struct rig *r = ctx;
    (void) k, (void) tls;
    assert_string_equal(member, key_id(r->nodes[1].key));
    r->ticket = ticket;
    r->wanted = true;
    if (r->serves)
        dial_for_node_0(r);
}

static void test_gossip__a_link_that_the_other_has_dialled_is_at_no_address(void **state)
{
    struct rig *r = *state;
    struct addr at;
    addr_loopback_v4(0, &at);
    assert_int_equal(listener_create(r->loop, &at, NULL, take, r, &r->at, &r->listener), 0);
    assert_int_equal(carrier_create(r->loop, on_wanted, r, &r->carrier), 0);
    r->nodes[1].hidden = true;
    start(r, 0, "one", TRUST_ROLE_NODE, NULL);
    start(r, 1, "two", TRUST_ROLE_NODE, r->nodes[0].address);
    await_all(r, 2);
    gossip_set_unreachable(r->nodes[0].gossip, true);
    stop(&r->nodes[1]);
    listen_at(&r->nodes[1], 0);
    start_gossip(&r->nodes[1], authority_id(r->authority), NULL, 0);
    r->serves = true;
    if (r->wanted) /* meanwhile */
        dial_for_node_0(r);
    await_state(r, 0, 1, MEMBER_ALIVE);
    assert_int_equal(gossip_path(r->nodes[0].gossip, key_id(r->nodes[1].key), &at), GOSSIP_PATH_TAKEN);
    assert_null(ways_of(gossip_ways(r->nodes[0].gossip), key_id(r->nodes[1].key)));
}

/* The relay of the tests: what is said at one end of a pair of sockets comes out at the other. */
static void on_relay_wanted(void *ctx, struct carrier *k, uint64_t ticket, const char *member, const struct tls_context *tls)
{
    struct rig *r = ctx;
    (void) tls;
    assert_string_equal(member, key_id(r->nodes[1].key));
    if (!r->serves) {
        carrier_refuse(k, ticket);
        return;
    }
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, r->ends), 0);
    assert_int_equal(carrier_give_fd(k, ticket, r->ends[0]), 0);
    http_server_accept(r->nodes[1].http, r->ends[1], r->nodes[1].tls);
}

static bool relay_is_at_rest(struct rig *r)
{
    for (int i = 0; i < 2; i++) {
        struct addr local = {.size = sizeof local.u};
        if (getsockname(r->ends[i], &local.u.any, &local.size) == 0 && local.u.any.sa_family == AF_UNIX)
            return false;
    }
    return true;
}

static enum gossip_path path_of(const struct rig *r, int i, int j)
{
    return gossip_path(r->nodes[i].gossip, key_id(r->nodes[j].key), NULL);
}

/* Node 0 has found node 1 by way of a third, and knows since where it could be dialled. */
static void link_relayed(struct rig *r)
{
    assert_int_equal(carrier_create(r->loop, on_relay_wanted, r, &r->carrier), 0);
    r->nodes[0].times = r->nodes[1].times = &MEMBERS_WAN; /* nobody stalls because the host is busy */
    r->nodes[1].hidden = true;
    start(r, 0, "one", TRUST_ROLE_NODE, NULL);
    start(r, 1, "two", TRUST_ROLE_NODE, r->nodes[0].address);
    await_all(r, 2);
    gossip_set_unreachable(r->nodes[0].gossip, true);
    stop(&r->nodes[1]);
    listen_at(&r->nodes[1], 0);
    start_gossip(&r->nodes[1], authority_id(r->authority), NULL, 0);
    r->serves = true;
    await_all(r, 2);
    assert_int_equal(path_of(r, 0, 1), GOSSIP_PATH_RELAYED);
    assert_int_equal(path_of(r, 1, 0), GOSSIP_PATH_RELAYED);
}

/* Whether node i dials node j where its link leads, or asks for a way to it. */
static bool asks_for_a_way(const struct rig *r, int i, int j)
{
    struct addr at;
    assert_true(gossip_where(r->nodes[i].gossip, members_find(gossip_members(r->nodes[i].gossip), key_id(r->nodes[j].key)), &at));
    return addr_is_member(&at);
}

/* The link has moved from the relay to one that node i has dialled, and nobody was missed meanwhile. */
static void expect_moved(struct rig *r, int i)
{
    int j = 1 - i, stalled = r->nodes[i].events[MEMBERS_STALLED] + r->nodes[j].events[MEMBERS_STALLED];
    assert_int_equal(gossip_dial_direct(r->nodes[i].gossip, key_id(r->nodes[j].key)), 0);
    assert_int_equal(gossip_dial_direct(r->nodes[i].gossip, key_id(r->nodes[j].key)), GRID_EEXIST);
    await_that(r, relay_is_at_rest);
    assert_int_equal(path_of(r, i, j), GOSSIP_PATH_DIALLED);
    assert_int_equal(path_of(r, j, i), GOSSIP_PATH_TAKEN);
    await_all(r, 2);
    assert_int_equal(r->nodes[i].events[MEMBERS_STALLED] + r->nodes[j].events[MEMBERS_STALLED], stalled);
    assert_int_equal(gossip_dial_direct(r->nodes[i].gossip, key_id(r->nodes[j].key)), GRID_ENOENT);
}

static void test_gossip__a_relayed_link_moves_to_a_direct_one_of_who_has_dialled_it(void **state)
{
    struct rig *r = *state;
    link_relayed(r);
    assert_true(asks_for_a_way(r, 0, 1));
    expect_moved(r, 0);
    assert_false(asks_for_a_way(r, 0, 1)); /* it says still that it cannot be dialled */
}

static void test_gossip__a_relayed_link_moves_to_a_direct_one_of_the_other(void **state)
{
    struct rig *r = *state;
    link_relayed(r);
    expect_moved(r, 1);
    assert_true(asks_for_a_way(r, 0, 1)); /* that has to dial */
}

static bool may_be_dialled_again(struct rig *r)
{
    return gossip_dial_direct(r->nodes[0].gossip, key_id(r->nodes[1].key)) == 0;
}

static void test_gossip__a_relayed_link_stands_when_no_direct_one_can_be_made(void **state)
{
    struct rig *r = *state;
    link_relayed(r);
    listener_close(r->nodes[1].listener);
    r->nodes[1].listener = NULL; /* nothing listens at its place any more */
    int stalled = r->nodes[0].events[MEMBERS_STALLED];
    assert_int_equal(gossip_dial_direct(r->nodes[0].gossip, key_id(r->nodes[1].key)), 0);
    await_that(r, may_be_dialled_again);
    assert_int_equal(path_of(r, 0, 1), GOSSIP_PATH_RELAYED);
    assert_int_equal(path_of(r, 1, 0), GOSSIP_PATH_RELAYED);
    assert_int_equal(r->nodes[0].events[MEMBERS_STALLED], stalled);
}

static void test_gossip__says_goodbye(void **state)
{
    struct rig *r = *state;
    start_three(r);
    gossip_leave(r->nodes[1].gossip, count_gone, &r->nodes[1].left);
    PUMP(r->loop, r->nodes[1].left, 1);
    await_state(r, 0, 1, MEMBER_LEFT);
    await_state(r, 2, 1, MEMBER_LEFT);
    stop(&r->nodes[1]);
    PUMP(r->loop, r->nodes[0].events[MEMBERS_LEFT], 1);
    assert_int_equal(r->nodes[0].events[MEMBERS_FAILED], 0);
}

static void test_gossip__tells_a_newcomer_that_its_name_is_taken(void **state)
{
    struct rig *r = *state;
    start(r, 0, "one", TRUST_ROLE_NODE, NULL);
    start(r, 1, "two", TRUST_ROLE_NODE, r->nodes[0].address);
    await_all(r, 2);
    start(r, 2, "two", TRUST_ROLE_NODE, r->nodes[0].address);
    PUMP(r->loop, r->nodes[2].refusals, 1);
    assert_int_equal(r->nodes[2].refusal, GOSSIP_REFUSAL_NAME);
    assert_true(r->nodes[2].refused_by_peer);
    assert_int_equal(members_count(gossip_members(r->nodes[0].gossip)), 2);
}

static void test_gossip__refuses_another_authority_in_the_hello(void **state)
{
    struct rig *r = *state;
    start(r, 0, "one", TRUST_ROLE_NODE, NULL);
    struct node *n = &r->nodes[1];
    n->rig = r;
    snprintf(n->name, sizeof n->name, "two");
    assert_int_equal(key_mint(&n->key), 0);
    make_tls(n, TRUST_ROLE_NODE);
    listen_at(n, 0);
    const char *seed = r->nodes[0].address;
    start_gossip(n, "0000000000000000000000000000000000000000000000000000000000000000", &seed, 1);
    PUMP(r->loop, n->refusals, 1);
    assert_int_equal(n->refusal, GOSSIP_REFUSAL_OTHER_GRID);
}

static void test_gossip__refuses_a_member_that_greets_with_anothers_id(void **state)
{
    struct rig *r = *state;
    start(r, 0, "one", TRUST_ROLE_NODE, NULL);
    start(r, 1, "two", TRUST_ROLE_NODE, r->nodes[0].address);
    PUMP(r->loop, r->nodes[0].events[MEMBERS_JOINED], 1);
    r->nodes[2].claims = key_id(r->nodes[1].key);
    start(r, 2, "three", TRUST_ROLE_NODE, r->nodes[0].address);
    PUMP(r->loop, r->nodes[2].refusals, 1);
    assert_int_equal(r->nodes[2].refusal, GOSSIP_REFUSAL_HELLO);
    assert_int_equal(members_count(gossip_members(r->nodes[0].gossip)), 2);
}

static void test_gossip__lets_no_client_certificate_link(void **state)
{
    struct rig *r = *state;
    start(r, 0, "one", TRUST_ROLE_NODE, NULL);
    start(r, 1, "client", TRUST_ROLE_INVOKE, r->nodes[0].address);
    start(r, 2, "two", TRUST_ROLE_NODE, r->nodes[1].address); /* nor is one taken for a node when dialled */
    int never = 0;
    assert_false(pump_until_value(r->loop, &never, 1, 1000));
    for (int i = 0; i < 3; i++)
        assert_int_equal(members_count(gossip_members(r->nodes[i].gossip)), 1);
}

static void test_gossip__refuses_a_member_whose_record_nobody_signed(void **state)
{
    struct rig *r = *state;
    r->nodes[1].forges = true;
    start(r, 0, "one", TRUST_ROLE_NODE, NULL);
    start(r, 1, "two", TRUST_ROLE_NODE, r->nodes[0].address);
    PUMP(r->loop, r->nodes[1].refusals, 1);
    assert_int_equal(r->nodes[1].refusal, GOSSIP_REFUSAL_HELLO);
    assert_true(r->nodes[1].refused_by_peer);
    assert_true(r->nodes[0].own_words > 0);
    assert_null(members_find(gossip_members(r->nodes[0].gossip), key_id(r->nodes[1].key)));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_gossip__links_three_nodes_from_one_seed, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_gossip__finds_a_seed_by_name, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_gossip__makes_control_links_thin_at_both_ends, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_gossip__spreads_records_and_releases, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_gossip__convicts_a_dead_process_at_once, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_gossip__takes_a_restarted_node_back, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_gossip__a_link_that_the_other_has_dialled_is_at_no_address, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_gossip__a_relayed_link_moves_to_a_direct_one_of_who_has_dialled_it, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_gossip__a_relayed_link_moves_to_a_direct_one_of_the_other, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_gossip__a_relayed_link_stands_when_no_direct_one_can_be_made, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_gossip__says_goodbye, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_gossip__tells_a_newcomer_that_its_name_is_taken, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_gossip__refuses_another_authority_in_the_hello, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_gossip__refuses_a_member_that_greets_with_anothers_id, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_gossip__refuses_a_member_whose_record_nobody_signed, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_gossip__lets_no_client_certificate_link, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
