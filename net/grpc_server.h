/* net/grpc_server.h: gRPC services over http_exchange. A method is a row of a table; the four kinds differ only in who may send how
 * many messages. One loop's thread owns each call. Health and reflection are services like any other (server/ingress). */
#ifndef GRID_NET_GRPC_SERVER_H
#define GRID_NET_GRPC_SERVER_H

#include "base/budget.h"
#include "net/grpc.h"
#include "net/http.h"

struct grpc_call;

struct grpc_call_events {
    /* One request message; borrowed for the call. For a method with one request it comes exactly once, at the client's end. */
    void (*on_message)(void *ctx, struct grpc_call *call, struct slice message);
    /* The client sends no more. NULL is allowed for methods with one request. */
    void (*on_half_close)(void *ctx, struct grpc_call *call);
    /* Room for more messages again. May be NULL. */
    void (*on_writable)(void *ctx, struct grpc_call *call);
    /* Exactly once, last. 0: finished by grpc_call_finish. GRID_ECANCELED: the client left. GRID_ETIMEOUT: the deadline passed (the
     * client has been answered DEADLINE_EXCEEDED). Free the context here. */
    void (*on_close)(void *ctx, struct grpc_call *call, int err);
};

struct grpc_method {
    const char *path; /* "/grid.v1.Invoke/Call" */
    bool client_streams;
    bool server_streams;
    /* Starts a call: must grpc_call_bind, or grpc_call_finish at once. */
    void (*on_call)(void *service_ctx, struct grpc_call *call);
    size_t max_message; /* 0: the server's */
    bool secret;        /* requests hold keys or passwords: no copy of them stays in what they come by (conn_set_wiped) */
};

void grpc_call_bind(struct grpc_call *call, const struct grpc_call_events *events, void *ctx);
const struct grpc_method *grpc_call_method(const struct grpc_call *call);
/* Request metadata by lower-case name; {NULL, 0} when absent. "-bin" values are as sent. Lives as long as the call. */
struct slice grpc_call_metadata(const struct grpc_call *call, const char *name);
const struct http_request_head *grpc_call_head(const struct grpc_call *call);
struct conn *grpc_call_conn(struct grpc_call *call);
struct loop *grpc_call_loop(struct grpc_call *call);
/* True once the server drains: a stream that would go on for good ends now. */
bool grpc_call_draining(const struct grpc_call *call);
/* True when the request message that on_message was given last had come compressed. */
bool grpc_call_message_compressed(const struct grpc_call *call);
/* Milliseconds left of the caller's deadline, UINT64_MAX without one. */
uint64_t grpc_call_time_left_ms(const struct grpc_call *call);
/* Adds initial metadata; before the first message. Copied; beyond 16 of them it is left out, and said so in the log. */
void grpc_call_add_header(struct grpc_call *call, struct slice name, struct slice value);
/* Adds trailing metadata; before finish. Copied. */
void grpc_call_add_trailer(struct grpc_call *call, struct slice name, struct slice value);
/* Sends one message (copied; gzipped when the client accepts it and it is larger than 1 KiB and `compress` was asked). */
int grpc_call_send(struct grpc_call *call, struct slice message);
/* The buffer that framed messages are built in, for serializers that know their size: reserve, fill, commit. */
int grpc_call_send_begin(struct grpc_call *call, size_t message_bytes, uint8_t **at);
int grpc_call_send_commit(struct grpc_call *call);
/* Whether messages from now on are gzipped. Asked for first before the first message: the head announces it. */
void grpc_call_set_compress(struct grpc_call *call, bool compress);
size_t grpc_call_queued(const struct grpc_call *call);
/* Stops and restarts the flow of the request; messages that have arrived already may still come. */
void grpc_call_pause(struct grpc_call *call);
void grpc_call_resume(struct grpc_call *call);
/* Ends the call with a status; trailers-only when nothing was sent. No other function may be called after it. on_close(0) follows,
 * never inside. `message` may be NULL. */
void grpc_call_finish(struct grpc_call *call, int status, const char *message);

struct grpc_service {
    const char *name; /* "grid.v1.Invoke" */
    const struct grpc_method *methods;
    size_t method_count;
    void *ctx; /* given to on_call */
};

/* A set of services. Not changed once serving. */
struct grpc_server;
int grpc_server_create(struct loop *l, size_t max_message, struct grpc_server **out);

/* What one is told whose message is larger than max_message: a sentence, which must live as long as the server. Without it the limit alone is named. */
void grpc_server_set_limit_text(struct grpc_server *s, const char *text);
/* Counts the bytes of requests being held in a budget that others may share: beyond it calls are refused with RESOURCE_EXHAUSTED.
 * It must outlive the server. */
void grpc_server_share(struct grpc_server *s, struct budget *budget);
void grpc_server_destroy(struct grpc_server *s);
/* Which roles (of enum tls_role) may call a method over TLS, by its path; 0: nobody. Asked once for each method that is added, and
 * for the paths of no method, so that who may not is told that first. Without it nobody may call anything over TLS. Local callers
 * are the handler's business. Before services are added. */
typedef unsigned (*grpc_roles_fn)(struct slice path);
void grpc_server_set_roles(struct grpc_server *s, grpc_roles_fn roles);
int grpc_server_add(struct grpc_server *s, const struct grpc_service *service);
size_t grpc_server_service_count(const struct grpc_server *s);
const struct grpc_service *grpc_server_service(const struct grpc_server *s, size_t index);

/* True when the request is gRPC's (content-type begins application/grpc): the server took it. False: somebody else's. Over HTTP/1
 * it is refused with 505 and taken. */
bool grpc_server_handle(struct grpc_server *s, struct http_exchange *x);

#endif
