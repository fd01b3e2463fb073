/* A set of served connections: accepts, looks at the first bytes, drains and closes. */
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/err.h"
#include "net/http_internal.h"

enum {
    SERVER_HANDSHAKES_MAX = 64,
    DRAIN_GRACE_MS = 1500, /* for what is on its way when a drain begins; longer than HTTP/2 waits for the answer to its ping */
    SOURCES = 256, /* hashes of whose connections they are */
    PREFACE_SIZE = 24,
    PREFACE_NEAR = 12, /* "PRI * HTTP/2": from here on it can only have been meant as HTTP/2 */
};

static const char PREFACE[PREFACE_SIZE + 1] = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

struct http_server {
    struct loop *loop;
    struct http_server_limits limits;
    http_request_fn on_request;
    void *ctx;
    struct http_session *sessions;
    size_t count, handshakes;
    size_t sources[SOURCES]; /* sessions of each */
    bool draining, closing;
    loop_fn on_drained, on_closed;
    void *drained_arg, *closed_arg;
    struct loop_deferred check;
    struct h2_spares spares;
};

/* A connection whose protocol is not known yet. */
struct sniff {
    struct http_session base;
    struct buf seen;
    struct loop_timer timer;
};

/* ---- the set ---- */

static void session_drain_late(void *arg)
{
    struct http_session *session = arg;
    session->ops->drain_late(session);
}

static void session_drain(struct http_session *session)
{
    if (session->draining)
        return;
    session->draining = true;
    loop_timer_start(session->server->loop, &session->grace, DRAIN_GRACE_MS, session_drain_late, session);
    session->ops->drain(session);
}

/* Deferred: nobody is told anything inside a call, and sessions that came while draining are drained too. */
static void server_check(void *arg)
{
    struct http_server *s = arg;
    for (struct http_session *session = s->sessions, *next; session && s->draining; session = next) {
        next = session->next;
        session_drain(session);
    }
    if (s->count > 0)
        return;
    loop_fn drained = s->on_drained;
    s->on_drained = NULL;
    if (drained)
        drained(s->drained_arg);
    if (!s->closing || s->count > 0)
        return;
    loop_fn closed = s->on_closed;
    void *closed_arg = s->closed_arg;
    loop_defer_cancel(&s->check);
    h2_spares_dispose(&s->spares);
    free(s);
    if (closed)
        closed(closed_arg);
}

/* ---- room ---- */

/* Of the name, by FNV-1a. */
static uint8_t source_hash(const char *name)
{
    uint32_t hash = 2166136261;
    for (const char *at = name; *at; at++)
        hash = (hash ^ (uint8_t) *at) * 16777619;
    return (uint8_t) (hash ^ hash >> 8 ^ hash >> 16 ^ hash >> 24);
}

/* One certificate is one source, and without one a user of this machine, or an address. Users are asked for once it fills up: that costs a question to the
 * kernel. Another source may hash to the same: it only shares its lot. */
static uint8_t source_of(const struct http_server *s, struct conn *c)
{
    const struct tls_peer *peer = conn_tls_peer(c);
    char text[ADDR_TEXT_MAX];
    uid_t uid;
    gid_t gid;
    if (peer && peer->id[0] != '\0')
        return source_hash(peer->id);
    if (s->count >= s->limits.connections_max / 4 && s->limits.connections_max > 0 && conn_peer_uid(c, &uid, &gid) == 0)
        snprintf(text, sizeof text, "user %u", (unsigned) uid);
    else
        addr_format_host(conn_peer_addr(c), text);
    return source_hash(text);
}

static bool goes_before(const struct http_session *a, const struct http_session *b)
{
    return a->used != b->used ? !a->used : a->idle_ms < b->idle_ms;
}

enum whom { IDLE = 0, DRAINING_TOO = 1, BUSY_TOO = 2 };

/* The one that has waited longest, those first that never asked for anything; of one source, or of all when it is SOURCES. */
static struct http_session *find_oldest(const struct http_server *s, size_t source, unsigned whom)
{
    struct http_session *found = NULL;
    for (struct http_session *session = s->sessions; session; session = session->next)
        if ((source == SOURCES || session->source == source) && !session->leaving && ((whom & DRAINING_TOO) || !session->draining) &&
            ((whom & BUSY_TOO) || session->ops->is_idle(session)) && (!found || goes_before(session, found)))
            found = session;
    return found;
}

static size_t fullest_source(const struct http_server *s)
{
    size_t fullest = 0;
    for (size_t i = 1; i < SOURCES; i++)
        if (s->sources[i] > s->sources[fullest])
            fullest = i;
    return fullest;
}

/* Whoever has most of the connections, and they are more than half, ends one with its requests under way for somebody else. */
static struct http_session *find_of_hog(const struct http_server *s, size_t hog, uint8_t newcomer)
{
    return hog != newcomer && s->sources[hog] > s->limits.connections_max / 2 ? find_oldest(s, hog, DRAINING_TOO | BUSY_TOO) : NULL;
}

/* False when one more of the source has no room. Who has most makes room for it, so that whoever comes once is served. The one that goes is told so in
 * good order while a few more may come meanwhile, and is cut off beyond these. */
static bool server_makes_room(struct http_server *s, uint8_t newcomer)
{
    size_t max = s->limits.connections_max, fullest;
    if (max == 0 || s->count < max)
        return true;
    bool at_once = s->count >= max + max / 8 + 1;
    struct http_session *session = find_oldest(s, fullest = fullest_source(s), at_once ? DRAINING_TOO : IDLE);
    if (!session)
        session = find_oldest(s, SOURCES, at_once ? DRAINING_TOO : IDLE);
    if (!session && at_once)
        session = find_of_hog(s, fullest, newcomer);
    if (!session)
        return !at_once;
    session->leaving = at_once;
    if (at_once)
        conn_close(session->conn);
    else
        session_drain(session);
    return true;
}

/* ---- sessions ---- */

void http_session_used(struct http_session *session)
{
    session->used = true;
    session->idle_ms = loop_now_ms(session->server->loop);
}

void http_session_init(struct http_session *session, const struct http_session_ops *ops, struct http_server *server,
                       struct conn *conn)
{
    session->ops = ops;
    session->server = server;
    session->conn = conn;
    session->next = server->sessions;
    session->prev = &server->sessions;
    if (session->next)
        session->next->prev = &session->next;
    server->sessions = session;
    server->count++;
    session->idle_ms = loop_now_ms(server->loop);
    session->source = source_of(server, conn);
    server->sources[session->source]++;
    if (server->draining)
        loop_defer(server->loop, &server->check, server_check, server);
}

void http_session_dispose(struct http_session *session)
{
    struct http_server *server = session->server;
    loop_timer_stop(&session->grace);
    *session->prev = session->next;
    if (session->next)
        session->next->prev = session->prev;
    if (session->handshaking)
        server->handshakes--;
    server->count--;
    server->sources[session->source]--;
    if (server->count == 0)
        loop_defer(server->loop, &server->check, server_check, server);
}

/* ---- sniffing ---- */

static void sniff_end(struct sniff *sniff)
{
    http_session_dispose(&sniff->base);
    loop_timer_stop(&sniff->timer);
    buf_dispose(&sniff->seen);
    free(sniff);
}

static void sniff_drain(struct http_session *session)
{
    conn_close(session->conn);
}

static bool sniff_is_idle(const struct http_session *session)
{
    return !session->handshaking;
}

static const struct http_session_ops SNIFF_OPS = {.drain = sniff_drain, .drain_late = sniff_drain, .is_idle = sniff_is_idle};

static void sniff_timeout(void *arg)
{
    struct sniff *sniff = arg;
    conn_close(sniff->base.conn);
}

static void sniff_start_clock(struct sniff *sniff)
{
    struct http_server *s = sniff->base.server;
    loop_timer_start(s->loop, &sniff->timer, s->limits.header_timeout_ms, sniff_timeout, sniff);
}

typedef void (*session_start_fn)(struct http_server *server, struct conn *conn, struct slice first_bytes);

static void orphan_on_read(void *ctx, struct conn *c, struct slice bytes)
{
    (void) ctx;
    (void) bytes;
    conn_close(c);
}

static void orphan_on_close(void *ctx, struct conn *c, int err)
{
    (void) ctx;
    (void) c;
    (void) err;
}

/* Of a connection whose session could not be made. */
static const struct conn_events ORPHAN_EVENTS = {.on_read = orphan_on_read, .on_close = orphan_on_close};

static void refuse(struct conn *c)
{
    conn_set_events(c, &ORPHAN_EVENTS, NULL);
    conn_close(c);
}

static void sniff_hand_over(struct sniff *sniff, struct slice bytes, session_start_fn start)
{
    conn_set_events(sniff->base.conn, &ORPHAN_EVENTS, NULL);
    start(sniff->base.server, sniff->base.conn, bytes);
    sniff_end(sniff);
}

/* With TLS the protocol was agreed in the handshake. */
static session_start_fn start_agreed_fn(const struct conn *c)
{
    return strcmp(conn_alpn(c), "http/1.1") == 0 ? http1_server_start : h2_server_start;
}

static void sniff_on_open(void *ctx, struct conn *c)
{
    sniff_hand_over(ctx, slice_of(NULL, 0), start_agreed_fn(c));
}

static void sniff_on_read(void *ctx, struct conn *c, struct slice bytes)
{
    struct sniff *sniff = ctx;
    if (sniff->seen.size > 0) {
        if (buf_append(&sniff->seen, bytes) != 0) {
            conn_close(c);
            return;
        }
        bytes = buf_slice(&sniff->seen);
    }
    size_t same = 0;
    while (same < bytes.size && same < PREFACE_SIZE && bytes.data[same] == (uint8_t) PREFACE[same])
        same++;
    if (same == PREFACE_SIZE)
        sniff_hand_over(sniff, bytes, h2_server_start);
    else if (same < bytes.size && same < PREFACE_NEAR)
        sniff_hand_over(sniff, bytes, http1_server_start);
    else if (same < bytes.size || (sniff->seen.size == 0 && buf_append(&sniff->seen, bytes) != 0))
        conn_close(c);
}

static void sniff_on_close(void *ctx, struct conn *c, int err)
{
    (void) c;
    (void) err;
    sniff_end(ctx);
}

static const struct conn_events SNIFF_EVENTS = {
    .on_open = sniff_on_open,
    .on_read = sniff_on_read,
    .on_close = sniff_on_close,
};

/* ---- public ---- */

int http_server_create(struct loop *l, const struct http_server_limits *limits, http_request_fn on_request, void *ctx,
                       struct http_server **out)
{
    struct http_server *s = calloc(1, sizeof *s);
    if (!s)
        return GRID_ENOMEM;
    s->loop = l;
    s->limits = limits ? *limits : HTTP_SERVER_LIMITS_DEFAULT;
    s->on_request = on_request;
    s->ctx = ctx;
    *out = s;
    return 0;
}

void http_server_accept(struct http_server *s, int fd, struct tls_context *tls)
{
    const struct conn_options options = {.tls = tls, .handshake_timeout_ms = s->limits.header_timeout_ms};
    struct conn *c;
    struct sniff *sniff = NULL;
    if (s->draining || s->closing || (tls && s->handshakes >= SERVER_HANDSHAKES_MAX) || !(sniff = calloc(1, sizeof *sniff))) {
        close(fd);
        return;
    }
    if (conn_adopt(s->loop, fd, &options, &SNIFF_EVENTS, sniff, &c) != 0) {
        free(sniff);
        return;
    }
    if (!server_makes_room(s, source_of(s, c))) {
        refuse(c);
        free(sniff);
        return;
    }
    buf_init(&sniff->seen, 0);
    buf_set_wiped(&sniff->seen, true); /* a whole first request may stand here, with a password */
    http_session_init(&sniff->base, &SNIFF_OPS, s, c);
    if (tls) {
        sniff->base.handshaking = true;
        s->handshakes++;
    } else {
        sniff_start_clock(sniff);
    }
}

void http_server_adopt(struct http_server *s, struct conn *c)
{
    if (s->closing || !server_makes_room(s, source_of(s, c))) { /* the first: it was on its way here from another loop */
        refuse(c);
        return;
    }
    start_agreed_fn(c)(s, c, slice_of(NULL, 0));
}

static bool is_named(const struct http_session *session, http_whom_fn whom, const void *arg)
{
    const struct tls_peer *peer = session->handshaking ? NULL : conn_tls_peer(session->conn);
    return peer && whom(arg, peer);
}

void http_server_close_some(struct http_server *s, http_whom_fn whom, const void *arg)
{
    for (struct http_session *session = s->sessions; session; session = session->next)
        if (is_named(session, whom, arg))
            conn_close(session->conn);
}

void http_server_drain_some(struct http_server *s, http_whom_fn whom, const void *arg)
{
    for (struct http_session *session = s->sessions; session; session = session->next)
        if (is_named(session, whom, arg))
            session_drain(session);
}

void http_server_drain(struct http_server *s, loop_fn on_drained, void *arg)
{
    s->draining = true;
    s->on_drained = on_drained;
    s->drained_arg = arg;
    loop_defer(s->loop, &s->check, server_check, s);
}

void http_server_close(struct http_server *s, loop_fn on_closed, void *arg)
{
    s->draining = s->closing = true;
    s->on_closed = on_closed;
    s->closed_arg = arg;
    for (struct http_session *session = s->sessions; session; session = session->next) {
        session->draining = true;
        conn_close(session->conn);
    }
    loop_defer(s->loop, &s->check, server_check, s);
}

size_t http_server_connections(const struct http_server *s)
{
    return s->count;
}

void http_server_handle(struct http_server *server, struct http_exchange *x)
{
    x->server = server;
    server->on_request(server->ctx, x);
    assert(x->events);
}

const struct http_server_limits *http_server_limits(const struct http_server *server)
{
    return &server->limits;
}

struct loop *http_server_loop(const struct http_server *server)
{
    return server->loop;
}

struct h2_spares *http_server_h2_spares(struct http_server *server)
{
    return &server->spares;
}

bool http_server_draining(const struct http_server *server)
{
    return server->draining;
}
