/* net/grpc_client.h: gRPC calls over an HTTP/2 http_client, between nodes. One loop's thread. */
#ifndef GRID_NET_GRPC_CLIENT_H
#define GRID_NET_GRPC_CLIENT_H

#include "net/grpc.h"
#include "net/http.h"

struct grpc_client_call;

struct grpc_client_events {
    void (*on_message)(void *ctx, struct grpc_client_call *call, struct slice message);
    void (*on_writable)(void *ctx, struct grpc_client_call *call); /* may be NULL */
    /* Exactly once, last. status of enum grpc_status, `message` decoded and borrowed. `sent` says whether the other application may
     * have seen the call; `pushback_ms` is grpc-retry-pushback-ms, -1 when absent or no number of 31 bits. */
    void (*on_close)(void *ctx, struct grpc_client_call *call, int status, struct slice message, enum http_sent sent,
                     int64_t pushback_ms);
};

/* Starts a call. `message` is the only request message when `more` is false, else the first one, or none when its data is NULL.
 * metadata may be NULL. deadline_ms: time left, 0 for none (sent as grpc-timeout; the caller keeps its own timer). At most 32
 * metadata. Errors as http_client_call. */
int grpc_client_call_start(struct http_client *c, const char *path, uint64_t deadline_ms, const struct http_header *metadata,
                           size_t count, struct slice message, bool more, size_t max_message,
                           const struct grpc_client_events *events, void *ctx, struct grpc_client_call **out);
/* Inside on_close: a trailer of the answer, or a header of one that is Trailers-Only and not OK, by lower-case name; {NULL, 0} when
 * absent. Borrowed. */
struct slice grpc_client_call_trailer(const struct grpc_client_call *call, const char *name);
int grpc_client_call_send(struct grpc_client_call *call, struct slice message);
void grpc_client_call_half_close(struct grpc_client_call *call);
size_t grpc_client_call_queued(const struct grpc_client_call *call);
/* CANCEL; on_close comes later with GRPC_CANCELLED. */
void grpc_client_call_cancel(struct grpc_client_call *call);
/* Stops and restarts the flow of the answer; messages that have arrived already may still come. */
void grpc_client_call_pause(struct grpc_client_call *call);
void grpc_client_call_resume(struct grpc_client_call *call);

#endif
