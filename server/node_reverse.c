/* Wants, which wait for a connection, and turns, which are dials for somebody who wants one. */
#include "server/node_reverse.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/log.h"
#include "discovery/member_reach.h"
#include "server/errands.h"
#include "server/node_tunnel.h"

enum { WANTS_MAX = 256, WANT_MS = 4000, TURNS_MAX = 64, TURNS_OF_ONE_MAX = 16, TURN_CONNECT_MS = 2000, TURN_HANDSHAKE_MS = 3000 };

/* ---- wanting ---- */

struct reverse_want {
    struct node *node;
    struct reverse_want *next, **prev; /* of those that wait for their member to dial, the oldest first */
    struct carrier *carrier;
    uint64_t ticket;
    enum gossip_plane plane;
    struct loop_timer timer;
    char id[65];
};

static void want_free(struct reverse_want *w)
{
    loop_timer_stop(&w->timer);
    if (w->prev) {
        *w->prev = w->next;
        if (w->next)
            w->next->prev = w->prev;
    }
    free(w);
}

static void want_refuse(void *arg)
{
    struct reverse_want *w = arg;
    carrier_refuse(w->carrier, w->ticket);
    want_free(w);
}

/* To the end of the list, unless it is full. */
static bool want_enlist(struct reverse_want *w)
{
    struct reverse_want **at = &w->node->wants;
    size_t count = 0;
    for (; *at; at = &(*at)->next)
        count++;
    if (count >= WANTS_MAX)
        return false;
    w->prev = at;
    *at = w;
    return true;
}

/* Who has dialled this node, and knows what is asked. */
static bool may_turn(const struct node *n, const char *id)
{
    const struct member *m = members_find(gossip_members(n->gossip), id);
    return m && member_has(m, MEMBER_REACHES) && gossip_path(n->gossip, id, NULL) == GOSSIP_PATH_TAKEN;
}

static bool want_turn(struct reverse_want *w)
{
    struct node *n = w->node;
    if (!may_turn(n, w->id) || !want_enlist(w))
        return false;
    if (gossip_turn(n->gossip, w->id, w->plane) != 0)
        return false;
    loop_timer_start(n->loop, &w->timer, WANT_MS, want_refuse, w);
    return true;
}

static void want_begin(void *arg)
{
    struct reverse_want *w = arg;
    struct node *n = w->node;
    bool closing = n->stopping || !n->gossip || !n->reach;
    if (!closing && want_turn(w))
        return;
    if (!closing && node_tunnel_begin(n, w->id, w->carrier, w->ticket) == 0)
        want_free(w);
    else
        want_refuse(w);
}

void node_reverse_wanted(void *node, struct carrier *k, uint64_t ticket, const char *member, const struct tls_context *tls)
{
    struct node *n = node;
    struct reverse_want *w = calloc(1, sizeof *w);
    if (w) {
        *w = (struct reverse_want){.node = n, .carrier = k, .ticket = ticket, .plane = tls == n->call_tls ? GOSSIP_PLANE_CALLS : GOSSIP_PLANE_CONTROL};
        snprintf(w->id, sizeof w->id, "%s", member);
    }
    if (!w || loop_post(n->loop, want_begin, w) != 0) {
        free(w);
        carrier_refuse(k, ticket);
    }
}

/* ---- what comes ---- */

static struct reverse_want *find_want(const struct node *n, const char *id, enum gossip_plane plane)
{
    for (struct reverse_want *w = n->wants; w; w = w->next)
        if (w->plane == plane && strcmp(w->id, id) == 0)
            return w;
    return NULL;
}

/* Its certificate says whose it is: nobody can come in another's place, nor without having been asked. */
bool node_reverse_take(struct node *n, struct conn *c)
{
    bool control = strcmp(conn_alpn(c), NODE_REVERSE_CONTROL_ALPN) == 0;
    if (!control && strcmp(conn_alpn(c), NODE_REVERSE_ALPN) != 0)
        return false;
    const struct tls_peer *peer = conn_tls_peer(c);
    bool member = peer && (peer->roles & TLS_ROLE_NODE) && !(n->verdict && verdict_refuses(n->verdict, peer));
    struct reverse_want *w = member ? find_want(n, peer->id, control ? GOSSIP_PLANE_CONTROL : GOSSIP_PLANE_CALLS) : NULL;
    if (!w) {
        conn_close(c);
        return true;
    }
    carrier_give_conn(w->carrier, w->ticket, c);
    want_free(w);
    return true;
}

/* ---- being asked ---- */

struct reverse_turn {
    struct node *node;
    struct reverse_turn *next, **prev;
    struct conn *conn;
    enum gossip_plane plane;
    char id[65];
};

static void turn_free(struct reverse_turn *t)
{
    *t->prev = t->next;
    if (t->next)
        t->next->prev = t->prev;
    free(t);
}

static void turn_on_read(void *ctx, struct conn *c, struct slice bytes)
{
    (void) ctx, (void) c, (void) bytes;
}

static void served_on_close(void *ctx, struct conn *c, int err)
{
    (void) ctx, (void) c, (void) err;
}

static const struct conn_events SERVED_EVENTS = {.on_read = turn_on_read, .on_close = served_on_close};

static void turn_on_open(void *ctx, struct conn *c)
{
    struct reverse_turn *t = ctx;
    struct node *n = t->node;
    const struct tls_peer *peer = conn_tls_peer(c);
    bool refused = n->verdict && verdict_refuses(n->verdict, peer); /* its handshake began before the verdict did */
    if (n->stopping || refused || strcmp(peer->id, t->id) != 0 || !(peer->roles & TLS_ROLE_NODE)) {
        conn_close(c);
        return;
    }
    bool calls = t->plane == GOSSIP_PLANE_CALLS;
    turn_free(t);
    conn_set_events(c, &SERVED_EVENTS, NULL); /* until who serves it has set its own: without memory it never does */
    if (calls)
        worker_set_adopt(n->workers, c);
    else
        http_server_adopt(n->control_server, c);
}

static void turn_on_close(void *ctx, struct conn *c, int err)
{
    (void) c, (void) err;
    turn_free(ctx);
}

static const struct conn_events TURN_EVENTS = {.on_open = turn_on_open, .on_read = turn_on_read, .on_close = turn_on_close};

static bool turns_have_room(const struct node *n, const char *peer)
{
    size_t all = 0, of_one = 0;
    for (const struct reverse_turn *t = n->turns; t; t = t->next) {
        all++;
        of_one += strcmp(t->id, peer) == 0;
    }
    return all < TURNS_MAX && of_one < TURNS_OF_ONE_MAX;
}

static void turn_begin(struct node *n, const char *peer, enum gossip_plane plane, const struct addr *at)
{
    const struct conn_options options = {.tls = plane == GOSSIP_PLANE_CALLS ? n->reverse_tls : n->reverse_control_tls,
                                         .connect_timeout_ms = TURN_CONNECT_MS, .handshake_timeout_ms = TURN_HANDSHAKE_MS};
    struct reverse_turn *t = calloc(1, sizeof *t);
    if (!t)
        return;
    *t = (struct reverse_turn){.node = n, .plane = plane, .next = n->turns, .prev = &n->turns};
    if (t->next)
        t->next->prev = &t->next;
    n->turns = t;
    snprintf(t->id, sizeof t->id, "%s", peer);
    if (conn_dial(n->loop, at, &options, &TURN_EVENTS, t, &t->conn) != 0)
        turn_free(t);
}

void node_reverse_turn(void *node, const char *peer, enum gossip_plane plane, const struct addr *at)
{
    struct node *n = node;
    if (n->stopping || !n->control_server || !at) /* only where this node has found the way itself */
        return;
    if (!turns_have_room(n, peer) || !errands_allow(n->errands, peer, loop_now_ms(n->loop))) {
        log_line(LOG_DEBUG, "a member asks for more connections than it is given", LOGF_STR("peer", peer));
        return;
    }
    turn_begin(n, peer, plane, at);
}

void node_reverse_stop(struct node *n)
{
    while (n->wants)
        want_refuse(n->wants);
    for (struct reverse_turn *t = n->turns; t; t = t->next)
        conn_close(t->conn);
}
