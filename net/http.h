/* net/http.h: what HTTP/1.1 and HTTP/2 have in common: a request with its answer, on the serving and on the asking side.
 * Header names are lower case everywhere above net/. One loop's thread owns each object. */
#ifndef GRID_NET_HTTP_H
#define GRID_NET_HTTP_H

#include "base/slice.h"
#include "net/conn.h"

struct http_header {
    struct slice name; /* lower case */
    struct slice value;
};

enum { HTTP_HEADERS_MAX = 128 };

struct http_request_head {
    struct slice method;    /* "POST" */
    struct slice target;    /* ":path": path and query as sent */
    struct slice authority; /* Host or :authority, empty when absent (HTTP/1.0) */
    const struct http_header *headers; /* without pseudo-headers; host, connection and framing headers of HTTP/1 left out */
    size_t header_count;
};

/* Value of the first header of this (lower-case) name; {NULL, 0} when absent (an empty value has a non-NULL pointer). */
struct slice http_header_find(const struct http_header *headers, size_t count, const char *name);

/* The target without its query, and the query without its '?'. */
struct slice http_target_path(struct slice target);
struct slice http_target_query(struct slice target);

/* ---- the serving side ---- */

struct http_exchange; /* one request and its answer; net owns it */

enum http_protocol { HTTP_1_0, HTTP_1_1, HTTP_2 };

struct http_exchange_events {
    /* Request body, borrowed for the call. */
    void (*on_data)(void *ctx, struct http_exchange *x, struct slice bytes);
    /* The request is complete. (Its trailers, if any, were checked and dropped: nothing above needs them.) */
    void (*on_end)(void *ctx, struct http_exchange *x);
    /* The queue of this answer fell below the low mark. May be NULL. */
    void (*on_writable)(void *ctx, struct http_exchange *x);
    /* Exactly once, last: x is gone after it. err 0: the whole answer was handed down. GRID_ECANCELED: the peer reset the stream or
     * left before that. The context is the callee's to free here and not before. */
    void (*on_close)(void *ctx, struct http_exchange *x, int err);
    /* Set by a handler that begins nothing before on_end: the rest of the request is not waited for any longer, and it must answer
     * at once, with this status: 408 when nothing came for body_timeout_ms, 503 when the server drains (HTTP/2: the stream is
     * refused without asking). NULL: over HTTP/2 the request may take any time, as a stream of gRPC does; over HTTP/1 net
     * answers. */
    void (*on_overdue)(void *ctx, struct http_exchange *x, int status);
};

/* What a server calls for every well-formed request head. It must call http_exchange_bind before it returns. It may answer at
 * once. */
typedef void (*http_request_fn)(void *server_ctx, struct http_exchange *x);

void http_exchange_bind(struct http_exchange *x, const struct http_exchange_events *events, void *ctx);
/* Lives as long as x. */
const struct http_request_head *http_exchange_head(const struct http_exchange *x);
enum http_protocol http_exchange_protocol(const struct http_exchange *x);
struct conn *http_exchange_conn(struct http_exchange *x);
/* True once the server drains: an answer that would go on for good ends now. */
bool http_exchange_draining(const struct http_exchange *x);
/* True when the request had no body at all and is already complete (on_end still comes). */
bool http_exchange_bodyless(const struct http_exchange *x);
/* Bytes of body announced by Content-Length, -1 when unknown. */
int64_t http_exchange_content_length(const struct http_exchange *x);

/* Answers whole: head, body, end. Headers and body are copied. content-length, date and connection are net's business. */
void http_respond(struct http_exchange *x, int status, const struct http_header *headers, size_t count, struct slice body);
/* Answers in pieces. `begin` once, `data` any number of times, `end` once. Trailers only reach HTTP/2 (and chunked HTTP/1.1). */
void http_respond_begin(struct http_exchange *x, int status, const struct http_header *headers, size_t count);
void http_respond_data(struct http_exchange *x, struct slice bytes);
void http_respond_end(struct http_exchange *x, const struct http_header *trailers, size_t count);
/* HTTP/2: one HEADERS with END_STREAM (gRPC's Trailers-Only); HTTP/1: a head with an empty body. */
void http_respond_head_only(struct http_exchange *x, int status, const struct http_header *headers, size_t count);
/* Answers a request that nobody wants to hear of any more: binds it, and drops its body. */
void http_answer_unread(struct http_exchange *x, int status, const struct http_header *headers, size_t count, struct slice body);
/* Breaks the answer off: RST_STREAM (http2_code of RFC 9113 section 7) or a closed connection. */
void http_exchange_reset(struct http_exchange *x, uint32_t http2_code);
/* Bytes of this answer not yet handed to the connection. */
size_t http_exchange_queued(const struct http_exchange *x);
/* Stops and restarts the flow of the request's body. */
void http_exchange_pause(struct http_exchange *x);
void http_exchange_resume(struct http_exchange *x);

struct http_server_limits {
    size_t header_list_bytes;      /* 16 KiB */
    uint32_t streams;              /* concurrent per HTTP/2 connection: 100 locally, 1,000 between nodes */
    uint32_t header_timeout_ms;    /* preface, and each request head once begun: 5,000 */
    uint32_t body_timeout_ms;      /* a request body of which nothing comes: 30,000 */
    uint32_t idle_timeout_ms;      /* connection between two requests: 600,000; 0: none */
    uint32_t unused_timeout_ms;    /* HTTP/2 connection that has not asked for anything yet: 30,000; 0: none */
    size_t connections_max;        /* when one more comes, one that is idle ends (http_server.c says which); 0: no bound */
    size_t queue_bytes;            /* outbound per connection beyond the largest answer: 1 MiB */
};
extern const struct http_server_limits HTTP_SERVER_LIMITS_DEFAULT;

/* Serves one connection (already open): HTTP/2 when the first bytes are its preface (or ALPN said h2), HTTP/1.x otherwise; a near
 * preface is refused. The server object is a set of connections sharing one handler. */
struct http_server;
int http_server_create(struct loop *l, const struct http_server_limits *limits, http_request_fn on_request, void *ctx,
                       struct http_server **out);
/* Takes an accepted descriptor. tls NULL: in the clear. */
void http_server_accept(struct http_server *s, int fd, struct tls_context *tls);
/* Drains: GOAWAY (greatest id, then the real one), Connection: close; idle connections end, and after a grace of 1.5 s the requests
 * that have not arrived whole are refused (on_overdue). Calls in flight go on. `on_drained` when no connection is left. */
void http_server_drain(struct http_server *s, loop_fn on_drained, void *arg);
/* Of the connections whose peer `whom` names: closes them at once (exchanges end as when the other side leaves), or drains them alone. */
typedef bool (*http_whom_fn)(const void *arg, const struct tls_peer *peer);
void http_server_close_some(struct http_server *s, http_whom_fn whom, const void *arg);
void http_server_drain_some(struct http_server *s, http_whom_fn whom, const void *arg);
/* Closes what is left. `on_closed` when its memory is gone. */
void http_server_close(struct http_server *s, loop_fn on_closed, void *arg);
size_t http_server_connections(const struct http_server *s);
/* Serves a connection that is open already: HTTP/1.1 when the handshake agreed on that, else HTTP/2. */
void http_server_adopt(struct http_server *s, struct conn *c);

/* ---- the asking side ---- */

struct http_call; /* one request on a client connection; net owns it */

/* How far a request got when it ended without an answer: decides whether it may be tried elsewhere (docs/flow-invoke.md). */
enum http_sent {
    HTTP_NOT_SENT, /* nothing of it reached the other's application: refused, GOAWAY below, REFUSED_STREAM, never written */
    HTTP_SENT,     /* perhaps seen */
    HTTP_ANSWERED, /* an answer had begun */
};

struct http_call_events {
    /* The final answer's head (1xx are swallowed). Borrowed for the call. */
    void (*on_head)(void *ctx, struct http_call *c, int status, const struct http_header *headers, size_t count);
    void (*on_data)(void *ctx, struct http_call *c, struct slice bytes);
    /* Exactly once, last: c is gone after it. err 0: the answer is complete (trailers are for the call only). Otherwise
     * GRID_ECLOSED, GRID_ECANCELED (we reset it), GRID_EPROTO (garbage), GRID_EREFUSED, GRID_ELIMIT; http2_code is the RST_STREAM's
     * where there was one. */
    void (*on_close)(void *ctx, struct http_call *c, int err, enum http_sent sent, uint32_t http2_code,
                     const struct http_header *trailers, size_t count);
    /* The request's own queue has room again. May be NULL. */
    void (*on_writable)(void *ctx, struct http_call *c);
};

struct http_client; /* one client connection */

struct http_client_events {
    void (*on_open)(void *ctx, struct http_client *c);
    /* HTTP/2: GOAWAY, or HTTP/1: the connection may not be used again. No new calls; those in flight go on. */
    void (*on_draining)(void *ctx, struct http_client *c);
    /* Exactly once, last, after every call's on_close. */
    void (*on_close)(void *ctx, struct http_client *c, int err);
};

/* HTTP/2 over `to`; several calls at once (up to the peer's limit, then GRID_EAGAIN). */
int http2_client_dial(struct loop *l, const struct addr *to, const struct conn_options *options,
                      const struct http_client_events *events, void *ctx, struct http_client **out);
/* HTTP/1.1; one call at a time (GRID_EAGAIN beyond). The connection is kept open after a complete answer unless either side says
 * close. */
int http1_client_dial(struct loop *l, const struct addr *to, const struct http_client_events *events, void *ctx,
                      struct http_client **out);

/* Begins a call. `body` is the whole body when `more` is false; otherwise http_call_data goes on. Everything is copied. May be
 * called before on_open: the call is queued. 0, GRID_EAGAIN (no room now), GRID_ECLOSED (draining or closed), GRID_ENOMEM; on an
 * error no callback comes. For HTTP/1 the authority becomes Host. */
int http_client_call(struct http_client *c, const struct http_request_head *head, struct slice body, bool more,
                     const struct http_call_events *events, void *ctx, struct http_call **out);
int http_call_data(struct http_call *c, struct slice bytes, bool last);
size_t http_call_queued(const struct http_call *c);
/* From on_head on: bytes of the answer's body as its Content-Length announces (HTTP/1 only), -1 when unknown. */
int64_t http_call_announced(const struct http_call *c);
/* Resets the stream (HTTP/2 CANCEL) or closes the connection (HTTP/1). on_close comes later with GRID_ECANCELED. */
void http_call_cancel(struct http_call *c);
void http_call_pause(struct http_call *c);
void http_call_resume(struct http_call *c);

/* Changes who hears of it. */
void http_client_set_events(struct http_client *c, const struct http_client_events *events, void *ctx);
bool http_client_usable(const struct http_client *c);
size_t http_client_active(const struct http_client *c);
struct conn *http_client_conn(struct http_client *c);
/* The address it dialled as "host:port", for a request's authority. Lives as long as the client. */
struct slice http_client_authority(struct http_client *c);
/* GOAWAY and close when the calls in flight have ended. */
void http_client_finish(struct http_client *c);
/* Closes now; calls in flight end with GRID_ECLOSED. */
void http_client_close(struct http_client *c);

#endif
