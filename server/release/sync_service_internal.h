/* server/release/sync_service_internal.h: what sync_service.c (objects), sync_have.c (what there is of a release) and sync_history.c (which releases there were) share. */
#ifndef GRID_SERVER_RELEASE_SYNC_SERVICE_INTERNAL_H
#define GRID_SERVER_RELEASE_SYNC_SERVICE_INTERNAL_H

#include "base/pacer.h"
#include "server/release/sync_service.h"

struct fetch_call;
struct have_call;

struct sync_service {
    struct loop *loop;
    struct store *store;
    struct grpc_service grpc;
    /* Fetch: calls whose turn to read is to come, in order. */
    struct fetch_call *ready, **ready_tail;
    unsigned reading;
    struct pacer pacer;
    struct sync_traffic *traffic; /* may be NULL */
    struct fetch_claims claims;
    struct loop_timer pace;
    loop_fn damaged; /* may be NULL */
    void *damaged_ctx;
    /* Have. */
    sync_have_fn look;
    void *look_ctx;
    struct have_call *listeners;
    unsigned listener_count;
    struct loop_timer tell;
    uint64_t told_ms;
    /* History. */
    sync_history_fn history; /* may be NULL */
    void *history_ctx;
};

/* sync_have.c */
void sync_have_on_call(void *ctx, struct grpc_call *call);

/* sync_history.c */
void sync_history_on_call(void *ctx, struct grpc_call *call);

#endif
