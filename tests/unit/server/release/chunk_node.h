/* A node as a fetch sees it, in this process and in the clear: a store behind a SyncChunk server, honest or with a fault. */
#ifndef GRID_TESTS_UNIT_SERVER_RELEASE_CHUNK_NODE_H
#define GRID_TESTS_UNIT_SERVER_RELEASE_CHUNK_NODE_H

#include "tests/unit/fs/tree.h"
#include "tests/unit/net/pump.h"

#include "fs/publish.h"
#include "net/grpc_server.h"
#include "server/release/fetch.h"
#include "server/release/sync_service.h"

enum chunk_fault { CHUNK_HONEST, CHUNK_LIES, CHUNK_BREAKS_OFF, CHUNK_STALLS, CHUNK_LACKS, CHUNK_GARBAGE };

struct chunk_node {
    struct loop *loop;
    struct store *store;
    struct sync_service *sync;
    struct grpc_server *grpc;
    struct http_server *http;
    struct listener *listener;
    struct addr at;
    enum chunk_fault fault;
    unsigned answers_before_fault; /* honest answers first */
    volatile int calls, conns, closed, bound_closed;
    struct grpc_method method;
    struct grpc_service faulty;
};

static void chunk_call_message(void *ctx, struct grpc_call *call, struct slice message)
{
    (void) ctx, (void) call, (void) message;
}

static void chunk_call_close(void *ctx, struct grpc_call *call, int err)
{
    (void) call, (void) err;
    ((struct chunk_node *) ctx)->bound_closed++;
}

static const struct grpc_call_events CHUNK_CALL_EVENTS = {.on_message = chunk_call_message, .on_close = chunk_call_close};

/* An object whose bytes are not what its id says, in a batch: id field 1 of ObjectRecord is all zero, data a chunk "?". */
static const uint8_t CHUNK_LIE[] = {0x0a, 0x29, 0x0a, 0x20, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
                                    0x10, 0x02, 0x22, 0x03, 0x01, '?', '?'};

static void chunk_on_call(void *ctx, struct grpc_call *call)
{
    struct chunk_node *n = ctx;
    n->calls++;
    if (n->fault == CHUNK_HONEST || n->answers_before_fault > 0) {
        if (n->fault != CHUNK_HONEST)
            n->answers_before_fault--;
        const struct grpc_service *honest = sync_service_grpc(n->sync);
        honest->methods[0].on_call(honest->ctx, call);
        return;
    }
    grpc_call_bind(call, &CHUNK_CALL_EVENTS, n);
    if (n->fault == CHUNK_LIES)
        grpc_call_send(call, slice_of(CHUNK_LIE, sizeof CHUNK_LIE));
    if (n->fault == CHUNK_GARBAGE)
        grpc_call_send(call, SLICE("\xff\xff\xff"));
    if (n->fault == CHUNK_BREAKS_OFF)
        conn_close(grpc_call_conn(call));
    else if (n->fault != CHUNK_STALLS)
        grpc_call_finish(call, GRPC_OK, NULL);
}

static void chunk_on_request(void *ctx, struct http_exchange *x)
{
    assert_true(grpc_server_handle(((struct chunk_node *) ctx)->grpc, x));
}

static void chunk_on_accept(void *ctx, int fd, const struct addr *from)
{
    (void) from;
    ((struct chunk_node *) ctx)->conns++;
    http_server_accept(((struct chunk_node *) ctx)->http, fd, NULL);
}

/* `n` must be zeroed but for fault and answers_before_fault. */
static inline void chunk_node_open(struct chunk_node *n, struct loop *l, const char *folder, const char *name)
{
    static const struct listener_options options = {0};
    struct addr any;
    n->loop = l;
    assert_int_equal(store_open(tree_path(folder, name), NULL, NULL, &n->store), 0);
    assert_int_equal(sync_service_create(l, n->store, &n->sync), 0);
    n->method = sync_service_grpc(n->sync)->methods[0];
    n->method.on_call = chunk_on_call;
    n->faulty = (struct grpc_service){.name = "grid.v1.SyncChunk", .methods = &n->method, .method_count = 1, .ctx = n};
    assert_int_equal(grpc_server_create(l, 4 * 1024 * 1024, &n->grpc), 0);
    assert_int_equal(grpc_server_add(n->grpc, &n->faulty), 0);
    assert_int_equal(http_server_create(l, &HTTP_SERVER_LIMITS_DEFAULT, chunk_on_request, n, &n->http), 0);
    addr_loopback_v4(0, &any);
    assert_int_equal(listener_create(l, &any, &options, chunk_on_accept, n, &n->at, &n->listener), 0);
}

static void chunk_node_closed(void *arg)
{
    ((struct chunk_node *) arg)->closed++;
}

static inline void chunk_node_close(struct chunk_node *n)
{
    listener_close(n->listener);
    http_server_close(n->http, chunk_node_closed, n);
    PUMP(n->loop, n->closed, 1);
    while (!sync_service_idle(n->sync))
        uv_run(loop_uv(n->loop), UV_RUN_ONCE);
    grpc_server_destroy(n->grpc);
    sync_service_destroy(n->sync);
    store_close(n->store);
}

/* Stores folder FOLDER/NAME as a release. */
static inline struct object_id chunk_node_publish(struct chunk_node *n, const char *folder, const char *name)
{
    struct publish_result result;
    int fd = tree_open(tree_path(folder, name));
    assert_int_equal(release_publish(n->store, fd, NULL, NULL, &result), 0);
    close(fd);
    return result.root;
}

#endif
