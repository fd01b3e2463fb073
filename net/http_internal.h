/* net/http_internal.h: what the HTTP/1 and HTTP/2 drivers share behind net/http.h. Only files of net/ include it.
 *
 *   http_server.c: accepts, sniffs, keeps the set of sessions   ->  h2_server_start / http1_server_start make a session of
 *   their own, whose first member is struct http_session; its exchanges' first member is struct http_exchange. The asking side
 *   likewise: struct http_client and struct http_call are first members. http_common.c turns the public functions into calls of
 *   these tables. */
#ifndef GRID_NET_HTTP_INTERNAL_H
#define GRID_NET_HTTP_INTERNAL_H

#include "net/http.h"

/* ---- the serving side ---- */

/* The driver's part of each public function of the same name. After `reset` or the answer's end the driver ignores further calls;
 * it calls events->on_close exactly once, never inside one of these. */
struct http_exchange_ops {
    void (*respond)(struct http_exchange *x, int status, const struct http_header *headers, size_t count, struct slice body);
    void (*respond_begin)(struct http_exchange *x, int status, const struct http_header *headers, size_t count);
    void (*respond_data)(struct http_exchange *x, struct slice bytes);
    void (*respond_end)(struct http_exchange *x, const struct http_header *trailers, size_t count);
    void (*respond_head_only)(struct http_exchange *x, int status, const struct http_header *headers, size_t count);
    void (*reset)(struct http_exchange *x, uint32_t http2_code);
    size_t (*queued)(const struct http_exchange *x);
    void (*pause)(struct http_exchange *x);
    void (*resume)(struct http_exchange *x);
};

struct http_exchange {
    const struct http_exchange_ops *ops;
    const struct http_exchange_events *events; /* NULL until bound */
    void *ctx;
    struct http_request_head head;
    struct http_server *server; /* from the handler on */
    struct conn *conn;
    enum http_protocol protocol;
    bool bodyless;
    int64_t content_length; /* -1 when unknown */
};

struct http_session;
struct http_session_ops {
    /* Stop taking requests, end when those in flight have ended (conn_finish). Called once at most. */
    void (*drain)(struct http_session *session);
    /* A grace after `drain`: refuse the requests that have not arrived whole, and of which nothing has begun. Called once at
     * most. */
    void (*drain_late)(struct http_session *session);
    /* No request is under way, nor has one begun to come. */
    bool (*is_idle)(const struct http_session *session);
};

/* One connection of a server. */
struct http_session {
    const struct http_session_ops *ops;
    struct http_server *server;
    struct conn *conn;
    struct http_session *next, **prev;
    struct loop_timer grace; /* from drain to drain_late; the server's */
    uint64_t idle_ms; /* when its last exchange ended, or it began */
    uint8_t source;   /* whose it is, hashed: of a certificate or an address; the server's */
    bool used;        /* an exchange has ended here */
    bool handshaking; /* counted among the half-open; the server's */
    bool draining;    /* drain was called; the server's */
    bool leaving;     /* it was closed to make room; the server's */
};

/* Enters a session into its server's set; drains it (later) when the server is draining already. http_session_dispose takes it out,
 * from the conn's on_close; the caller frees the memory it is in. */
void http_session_init(struct http_session *session, const struct http_session_ops *ops, struct http_server *server,
                       struct conn *conn);
void http_session_dispose(struct http_session *session);
/* An exchange has ended on it. */
void http_session_used(struct http_session *session);

/* Take over a connection whose protocol is known, with what was read so far (borrowed for the call): conn_set_events,
 * http_session_init, and on failure conn_close. The connection belongs to the session until its on_close. */
void h2_server_start(struct http_server *server, struct conn *conn, struct slice first_bytes);
void http1_server_start(struct http_server *server, struct conn *conn, struct slice first_bytes);

/* Ended HTTP/2 exchanges with their memory, for the next ones of any session of a server: an idle connection holds none.
 * h2_server.c's. */
struct h2_spares {
    struct h2_exchange *first;
    size_t count;
};
struct h2_spares *http_server_h2_spares(struct http_server *server);
void h2_spares_dispose(struct h2_spares *spares);

/* Gives a request to the server's handler. After it returns x->events is set (asserted). */
void http_server_handle(struct http_server *server, struct http_exchange *x);
const struct http_server_limits *http_server_limits(const struct http_server *server);
struct loop *http_server_loop(const struct http_server *server);
bool http_server_draining(const struct http_server *server);

/* ---- the asking side ---- */

struct http_call_ops {
    int (*data)(struct http_call *c, struct slice bytes, bool last);
    size_t (*queued)(const struct http_call *c);
    void (*cancel)(struct http_call *c);
    void (*pause)(struct http_call *c);
    void (*resume)(struct http_call *c);
};

struct http_call {
    const struct http_call_ops *ops;
    const struct http_call_events *events;
    void *ctx;
    int64_t announced; /* bytes of the answer's body by its Content-Length, -1 when unknown; set before on_head */
};

struct http_client_ops {
    int (*call)(struct http_client *c, const struct http_request_head *head, struct slice body, bool more,
                const struct http_call_events *events, void *ctx, struct http_call **out);
    bool (*usable)(const struct http_client *c);
    size_t (*active)(const struct http_client *c);
    void (*finish)(struct http_client *c);
    void (*close)(struct http_client *c);
};

struct http_client {
    const struct http_client_ops *ops;
    const struct http_client_events *events;
    void *ctx;
    struct conn *conn;
    char authority[ADDR_TEXT_MAX]; /* "" until asked for */
};

/* ---- shared ---- */

/* "Sun, 06 Nov 1994 08:49:37 GMT", made anew once a second per thread; lives until the next call on this thread. */
struct slice http_date(void);

/* Content-Length's value (RFC 9110 8.6, digits only); -1 for anything else. */
int64_t http_parse_content_length(struct slice value);

#endif
