/* client/rpc.h: one gRPC call over the C core, blocking, with any number of answers. The only file with client/connect.c that knows gRPC.
 * FACTS: every tag is drained, the queue shut down, and drained again, before anything is freed. */
#ifndef GRID_CLIENT_RPC_H
#define GRID_CLIENT_RPC_H

#include <grpc/grpc.h>

#include "client/gridcontrol/client.h"

#include "base/slice.h"

struct grid_client {
    grpc_channel *channel;
    char *address;
};

struct rpc_request {
    const char *method;  /* "/grid.v1.Invoke/Call" */
    struct slice body;   /* borrowed for the call */
    uint32_t timeout_ms; /* 0: none */
};

/* Makes the call and gives each answer to `on_message`, which returns false to cancel it. Any thread. The call's status. */
enum grid_code rpc_call(struct grid_client *client, const struct rpc_request *request, grid_message_fn on_message, void *ctx,
                        struct grid_error *error);

/* A deadline that is `timeout_ms` away, or none for 0. */
gpr_timespec rpc_deadline(uint32_t timeout_ms);

/* Waits for what has begun on the queue, and frees it. */
void rpc_queue_destroy(grpc_completion_queue *queue);

#endif
