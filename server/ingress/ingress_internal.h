/* server/ingress/ingress_internal.h: what the doors of one worker share. Only files of server/ingress include it. */
#ifndef GRID_SERVER_INGRESS_INTERNAL_H
#define GRID_SERVER_INGRESS_INTERNAL_H

#include "base/budget.h"
#include "server/ingress/ingress.h"

struct rpc_call;

struct ingress {
    struct loop *loop;
    struct ingress_options options;
    struct dispatch *dispatch;
    struct admin *admin;
    char payload_limit[112]; /* what one is told whose payload is larger than --max-payload */
    struct budget held; /* bytes of requests, at all doors */
    struct grpc_server *api_grpc;
    struct grpc_server *peer_grpc;
    struct grpc_service invoke_service;
    struct grpc_service control_service;
    struct grpc_service health_service;
    struct grpc_service reflection_v1;
    struct grpc_service reflection_v1alpha;
    struct rpc_call *free_calls; /* rpc_invoke.c's: ended calls with their memory, for the next ones */
    size_t free_call_count;
    size_t questions, followers; /* rpc_control.c's: under way at the control thread */
};

/* Who is at the other end of a connection, for admin questions. */
void ingress_caller(struct conn *c, bool token, struct admin_caller *out);

/* False for a task's user, and for whom the kernel does not tell of and who has no token: these may invoke and nothing else. Looks
 * into the kernel's socket table at a connection's first question, so that it is not for the way of an invocation. */
bool ingress_may_look(const struct ingress *i, struct conn *c, bool token);
extern const char INGRESS_TASK_REFUSAL[];

/* The current route table; NULL before the first. Borrowed for the call. */
const struct route_table *ingress_table(const struct ingress *i);

/* NULL, or the sentence about a name (of 1 byte and more) that can be no task's. */
const char *ingress_name_fault(struct slice task_id);

/* Splits "file[.handler]": the longest prefix before a dot that names a known task, else the part before the first dot. */
void ingress_split_task(const struct ingress *i, struct slice task_id, struct slice *task, struct slice *handler);

/* Frees the memory kept in free_calls; no call is under way any more. */
void rpc_invoke_dispose(struct ingress *i);

/* Services, as rows of methods with the ingress as context. */
extern const struct grpc_service RPC_INVOKE, RPC_CONTROL, RPC_HEALTH, RPC_REFLECTION_V1, RPC_REFLECTION_V1ALPHA;
/* For the local API: without a context, and without anything to tell. */
extern const struct grpc_service RPC_PEER_GOSSIP, RPC_SYNC_CHUNK;

#endif
