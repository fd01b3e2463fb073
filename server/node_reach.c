/* Who is asked, what follows from the answers, and what is answered. */
#include "server/node_reach.h"

#include <stdlib.h>
#include <string.h>

#include "api/pb.h"
#include "base/err.h"
#include "base/log.h"
#include "discovery/member_reach.h"
#include "grid/v1/reach.pb-c.h"
#include "server/errands.h"
#include "server/node_ask.h"
#include "server/node_direct.h"
#include "server/node_tunnel.h"

enum { LOOK_SOON_MS = 20, LOOK_AGAIN_MS = 260, LOOK_MS = 2000, CANDIDATES_MAX = 64, MESSAGE_MAX = 256 };
enum { BACK_MAX = 16, BACK_ASKED_MS = 1000 /* for the question to come */, BACK_CONNECT_MS = 1000, BACK_HANDSHAKE_MS = 1500 };

struct node_reach {
    struct reachability core;
    struct loop_timer timer;
    bool asking, stopped;
    struct reachability_witness who; /* is asked */
    char seen[ADDR_TEXT_MAX];
    enum reachability_state told;
    struct look_back *backs;
    unsigned back_count;
    struct grpc_service service;
};

/* ---- what is known ---- */

enum reachability_state node_reach_state(const struct node *n)
{
    return n->reach ? n->reach->told : REACHABILITY_UNKNOWN;
}

const char *node_reach_seen(const struct node *n)
{
    return n->reach ? n->reach->seen : "";
}

size_t node_reach_capabilities(const struct node *n, const char *out[NODE_REACH_CAPABILITIES])
{
    size_t count = 0;
    bool unreachable = node_reach_state(n) == REACHABILITY_UNREACHABLE;
    out[count++] = MEMBER_REACHES;
    if (unreachable)
        out[count++] = MEMBER_UNREACHABLE;
    else if (n->options->relay_tunnels > 0)
        out[count++] = MEMBER_RELAYS;
    return count;
}

const char *node_reach_path(const struct node *n, const struct member *m)
{
    switch (n->gossip ? gossip_path(n->gossip, m->id, NULL) : GOSSIP_PATH_NONE) {
    case GOSSIP_PATH_DIALLED:
        return "direct";
    case GOSSIP_PATH_TAKEN:
        return member_has(m, MEMBER_UNREACHABLE) ? "reverse" : "direct";
    case GOSSIP_PATH_RELAYED:
        return "relayed";
    default:
        return "";
    }
}

/* ---- asking ---- */

static void look(void *arg);

static void look_in(struct node *n, uint64_t delay_ms)
{
    if (!n->reach->stopped)
        loop_timer_start(n->loop, &n->reach->timer, delay_ms, look, n);
}

/* The own addresses without ports; false when all others are on this host, or the operator has said how this node is reached. */
static bool take_own(struct node *n)
{
    struct addr own[HOST_ADDRESSES_MAX];
    char text[ADDR_TEXT_MAX + 8];
    size_t count = 0;
    if (n->options->advertise_count > 0 || worker_set_peer(n->workers)->size == 0 || addr_is_loopback(worker_set_peer(n->workers)))
        return false;
    if (addr_is_any(worker_set_peer(n->workers)) && host_addresses_read(&n->host)) {
        node_gossip_update(n);
        node_direct_network_changed(n);
    }
    for (unsigned i = 0; i < n->host.address_count; i++) {
        snprintf(text, sizeof text, strchr(n->host.addresses[i], ':') ? "[%s]:0" : "%s:0", n->host.addresses[i]);
        count += addr_parse(slice_of_str(text), &own[count]) == 0;
    }
    reachability_set_own(&n->reach->core, own, count);
    return true;
}

/* Those that this node has dialled itself: their answers are about the way it came. */
static size_t find_candidates(const struct node *n, const struct member *found[CANDIDATES_MAX], struct reachability_witness who[CANDIDATES_MAX])
{
    size_t count = 0;
    for (size_t i = 1; i < node_member_count(n) && count < CANDIDATES_MAX; i++) {
        const struct member *m = node_member(n, i);
        struct addr *at = &who[count].at;
        if (m->state != MEMBER_ALIVE || !member_has(m, MEMBER_REACHES) || gossip_path(n->gossip, m->id, at) != GOSSIP_PATH_DIALLED || addr_is_loopback(at))
            continue;
        memcpy(who[count].id, m->id, sizeof who[count].id);
        found[count++] = m;
    }
    return count;
}

static void tell(struct node *n)
{
    static const char *const TOLD[] = {"whether other nodes can dial this one is not known any more", "other nodes can dial this one",
                                       "other nodes cannot dial this one: it dials them, and is called by these connections"};
    struct node_reach *r = n->reach;
    const struct addr *seen = reachability_seen(&r->core);
    enum reachability_state state = reachability_state(&r->core);
    char text[ADDR_TEXT_MAX] = "";
    if (seen)
        addr_format_host(seen, text);
    if (state == r->told && strcmp(text, r->seen) == 0)
        return;
    if (state != r->told)
        log_line(state == REACHABILITY_UNREACHABLE ? LOG_WARN : LOG_INFO, TOLD[state], LOGF_STR("seen", text));
    r->told = state;
    memcpy(r->seen, text, sizeof r->seen);
    gossip_set_unreachable(n->gossip, state == REACHABILITY_UNREACHABLE);
    node_direct_network_changed(n);
    node_gossip_update(n);
    node_routes_changed(n);
}

static void on_looked(struct node *n, void *arg, int status, struct slice packed, const char *message)
{
    struct node_reach *r = n->reach;
    struct arena *arena = status == GRPC_OK ? arena_create(512, 16 * 1024) : NULL;
    const Grid__V1__LookResponse *response = arena ? pb_unpack(&grid__v1__look_response__descriptor, arena, packed) : NULL;
    struct addr seen;
    (void) arg, (void) message;
    r->asking = false;
    if (response && addr_parse(pb_slice(response->seen), &seen) == 0 && !r->stopped) {
        reachability_answer(&r->core, &r->who, &seen, response->reached);
        tell(n);
    }
    arena_destroy(arena);
    look_in(n, LOOK_AGAIN_MS);
}

static bool ask(struct node *n, const struct member *m, const struct reachability_witness *who)
{
    Grid__V1__LookRequest request = GRID__V1__LOOK_REQUEST__INIT;
    struct buf packed;
    request.port = addr_port(worker_set_peer(n->workers));
    buf_init(&packed, 0);
    int err = pb_append(&packed, &request.base);
    if (err == 0)
        err = node_ask_at(n, m, &who->at, "/grid.v1.PeerReach/Look", buf_slice(&packed), on_looked, NULL);
    buf_dispose(&packed);
    n->reach->who = *who;
    return err == 0;
}

static void look(void *arg)
{
    struct node *n = arg;
    const struct member *found[CANDIDATES_MAX];
    struct reachability_witness who[CANDIDATES_MAX];
    struct node_reach *r = n->reach;
    if (r->asking || !n->releases || !n->gossip)
        return;
    int one = take_own(n) ? reachability_ask(&r->core, who, find_candidates(n, found, who), loop_now_ms(n->loop)) : -1;
    r->asking = one >= 0 && ask(n, found[one], &who[one]);
    if (!r->asking)
        look_in(n, LOOK_MS);
}

void node_reach_look_soon(struct node *n)
{
    if (n->reach && !n->reach->asking)
        look_in(n, LOOK_SOON_MS);
}

/* ---- being asked ---- */

#define ONE_LOOK "one look at a time, and not too many at once"

/* A dial back to who asks. */
struct look_back {
    struct node *node;
    struct look_back *next, **prev;
    struct grpc_call *call; /* NULL once closed */
    struct conn *conn;
    struct loop_timer timer;
    bool answered;
    char id[65];
    struct addr at;
};

static void back_free_if_done(struct look_back *b)
{
    if (b->call || b->conn)
        return;
    loop_timer_stop(&b->timer);
    *b->prev = b->next;
    if (b->next)
        b->next->prev = b->prev;
    b->node->reach->back_count--;
    free(b);
}

static void back_refuse(struct look_back *b, int status, const char *why)
{
    loop_timer_stop(&b->timer);
    b->answered = true;
    grpc_call_finish(b->call, status, why);
}

static void back_answer(struct look_back *b, bool reached)
{
    Grid__V1__LookResponse response = GRID__V1__LOOK_RESPONSE__INIT;
    char seen[ADDR_TEXT_MAX];
    struct buf packed;
    if (b->answered || !b->call)
        return;
    b->answered = true;
    addr_format(&b->at, seen);
    response.seen = pb_str(seen);
    response.reached = reached;
    buf_init(&packed, 0);
    int err = pb_append(&packed, &response.base);
    if (err == 0)
        err = grpc_call_send(b->call, buf_slice(&packed));
    buf_dispose(&packed);
    grpc_call_finish(b->call, err == 0 ? GRPC_OK : GRPC_INTERNAL, NULL);
}

static void back_on_open(void *ctx, struct conn *c)
{
    struct look_back *b = ctx;
    back_answer(b, strcmp(conn_tls_peer(c)->id, b->id) == 0);
    conn_finish(c);
}

static void back_on_read(void *ctx, struct conn *c, struct slice bytes)
{
    (void) ctx, (void) c, (void) bytes;
}

static void back_on_close(void *ctx, struct conn *c, int err)
{
    struct look_back *b = ctx;
    (void) c, (void) err;
    b->conn = NULL;
    back_answer(b, false);
    back_free_if_done(b);
}

static const struct conn_events BACK_EVENTS = {.on_open = back_on_open, .on_read = back_on_read, .on_close = back_on_close};

/* To its own source address alone, so that nobody makes this node dial a third. */
static void back_dial(struct look_back *b, uint16_t port)
{
    const struct conn_options options = {.tls = b->node->control_tls, .connect_timeout_ms = BACK_CONNECT_MS, .handshake_timeout_ms = BACK_HANDSHAKE_MS};
    b->at = *conn_peer_addr(grpc_call_conn(b->call));
    addr_set_port(&b->at, port);
    if (conn_dial(b->node->loop, &b->at, &options, &BACK_EVENTS, b, &b->conn) != 0) {
        b->conn = NULL;
        back_answer(b, false);
    }
}

static bool is_looked_for(const struct node_reach *r, const char *id)
{
    for (const struct look_back *b = r->backs; b; b = b->next)
        if (b->conn && strcmp(b->id, id) == 0)
            return true;
    return false;
}

static void back_on_message(void *ctx, struct grpc_call *call, struct slice message)
{
    struct look_back *b = ctx;
    struct arena *arena = arena_create(512, 16 * 1024);
    loop_timer_stop(&b->timer);
    const Grid__V1__LookRequest *request = arena ? pb_unpack(&grid__v1__look_request__descriptor, arena, message) : NULL;
    if (!request || request->port == 0 || request->port > UINT16_MAX)
        back_refuse(b, GRPC_INVALID_ARGUMENT, "port is a number from 1 to 65,535");
    else if (b->node->reach->stopped || conn_is_relayed(grpc_call_conn(call)))
        back_refuse(b, GRPC_FAILED_PRECONDITION, "the caller's address is not seen from here");
    else if (is_looked_for(b->node->reach, b->id))
        back_refuse(b, GRPC_RESOURCE_EXHAUSTED, ONE_LOOK);
    else if (!errands_allow(b->node->errands, b->id, loop_now_ms(b->node->loop)))
        back_refuse(b, GRPC_RESOURCE_EXHAUSTED, "this node has dialled often enough for the caller");
    else
        back_dial(b, (uint16_t) request->port);
    arena_destroy(arena);
}

static void back_on_call_close(void *ctx, struct grpc_call *call, int err)
{
    struct look_back *b = ctx;
    (void) call, (void) err;
    b->call = NULL;
    if (b->conn && !b->answered)
        conn_close(b->conn);
    back_free_if_done(b);
}

static const struct grpc_call_events BACK_CALL_EVENTS = {.on_message = back_on_message, .on_close = back_on_call_close};

static void on_back_timeout(void *arg)
{
    back_refuse(arg, GRPC_DEADLINE_EXCEEDED, "the question has not come in time");
}

/* Of those who have not been answered one for each member, also while it has not said yet what it asks. */
static bool may_look(const struct node_reach *r, const char *id)
{
    for (const struct look_back *b = r->backs; b; b = b->next)
        if (!b->answered && strcmp(b->id, id) == 0)
            return false;
    return r->back_count < BACK_MAX;
}

static void on_look(void *ctx, struct grpc_call *call)
{
    struct node *n = ctx;
    const struct tls_peer *peer = conn_tls_peer(grpc_call_conn(call));
    struct look_back *b = peer && may_look(n->reach, peer->id) ? calloc(1, sizeof *b) : NULL;
    if (!b) {
        grpc_call_finish(call, peer ? GRPC_RESOURCE_EXHAUSTED : GRPC_UNAUTHENTICATED, peer ? ONE_LOOK : "this is for nodes, over mutual TLS");
        return;
    }
    *b = (struct look_back){.node = n, .call = call, .next = n->reach->backs, .prev = &n->reach->backs};
    if (b->next)
        b->next->prev = &b->next;
    n->reach->backs = b;
    n->reach->back_count++;
    memcpy(b->id, peer->id, sizeof b->id);
    loop_timer_start(n->loop, &b->timer, BACK_ASKED_MS, on_back_timeout, b);
    grpc_call_bind(call, &BACK_CALL_EVENTS, b);
}

/* ---- life ---- */

static const struct grpc_method METHODS[] = {
    {.path = "/grid.v1.PeerReach/Look", .on_call = on_look, .max_message = MESSAGE_MAX},
    {.path = "/grid.v1.PeerReach/Tunnel", .client_streams = true, .server_streams = true, .on_call = node_tunnel_on_call, .max_message = NODE_TUNNEL_MESSAGE_MAX},
};

const struct grpc_service *node_reach_service(struct node *n)
{
    n->reach->service = (struct grpc_service){.name = "grid.v1.PeerReach", .methods = METHODS, .method_count = sizeof METHODS / sizeof *METHODS, .ctx = n};
    return &n->reach->service;
}

int node_reach_open(struct node *n)
{
    n->reach = calloc(1, sizeof *n->reach);
    n->errands = errands_create();
    return n->reach && n->errands ? 0 : GRID_ENOMEM;
}

void node_reach_stop(struct node *n)
{
    if (!n->reach)
        return;
    n->reach->stopped = true;
    loop_timer_stop(&n->reach->timer);
    for (struct look_back *b = n->reach->backs; b; b = b->next)
        if (b->conn)
            conn_close(b->conn);
}

void node_reach_free(struct node *n)
{
    errands_destroy(n->errands);
    n->errands = NULL;
    free(n->reach);
    n->reach = NULL;
}
