/* server/ingress/ingress.h: the doors of one worker. Every door only translates: HTTP or gRPC in, one struct invocation or one
 * admin question through, and the answer back. Its thread only. */
#ifndef GRID_SERVER_INGRESS_INGRESS_H
#define GRID_SERVER_INGRESS_INGRESS_H

#include "net/grpc_server.h"
#include "net/http.h"
#include "server/ingress/admin.h"
#include "server/route/dispatch.h"

struct ingress;

struct ingress_options {
    size_t max_payload;
    size_t held_bytes; /* of requests held by one worker at a time; more is refused (429, RESOURCE_EXHAUSTED); 0: no bound */
    uint64_t default_deadline_ms; /* 60,000 */
    const char *const *api_hosts; /* further names the local API answers to; NULL-terminated, may be NULL */
    const char *api_token;        /* asked for on listeners that are not loopback; NULL: none */
    const char *grid_name;
    /* Appends the node's metrics in Prometheus text; any thread. */
    void (*metrics)(void *ctx, struct buf *out);
    /* True when joined and tasks are ready, with a sentence otherwise; any thread. */
    bool (*ready)(void *ctx, char why[160]);
    /* Whether this uid is one that only tasks run as; any thread. NULL: there is none. */
    bool (*is_task)(void *ctx, uid_t uid);
    bool tasks_share_user; /* tasks run as this process's own user: its callers' processes are looked at (conn_peer_confined) */
    void *ctx;
};

int ingress_create(struct loop *l, const struct ingress_options *options, struct dispatch *dispatch, struct admin *admin,
                   struct ingress **out);
void ingress_destroy(struct ingress *i);

/* Request handlers for http_server_create, ctx being the ingress: of the local API (HTTP/1.1, HTTP/2, gRPC), and of peers and
 * remote clients that came to a worker (over mutual TLS: gRPC by role as rpc_roles.h says; /invoke, Lambda and the routes for
 * monitors for every role). PeerGossip and SyncChunk are served by the control loop (server/peer_port.c). */
void ingress_on_api_request(void *ingress, struct http_exchange *x);
void ingress_on_peer_request(void *ingress, struct http_exchange *x);

#endif
