/* server/route/router.h: where a call goes. Pure: a table and a query in, a decision out; only the shared cursors, and what is kept of
 * full nodes, move. */
#ifndef GRID_SERVER_ROUTE_ROUTER_H
#define GRID_SERVER_ROUTE_ROUTER_H

#include "server/exec/invocation.h"
#include "server/route/route_table.h"

enum router_verdict {
    ROUTER_RUN_HERE, /* on decision.instance, whose in_flight has been counted up */
    ROUTER_FORWARD,  /* to the table's node decision.node */
    ROUTER_WAIT,     /* nothing is ready yet, but may become so */
    ROUTER_BUSY,     /* ready instances here are at their limit: queue, then refuse for load */
    ROUTER_REFUSE,   /* decision.status and message */
};

struct router_query {
    struct slice task;
    struct slice node; /* id or name of the only node allowed, empty for any */
    enum invocation_strategy strategy;
    bool from_peer;           /* never forwarded */
    uint32_t in_flight_limit; /* per instance, 100 */
    /* What failed this call already, or is known to be down, is passed over: bit i of avoid_nodes for node index i (indexes above 63 are not
     * avoided), and the id of an instance, 0 for none. When nothing else is left the verdict is ROUTER_WAIT with `avoided` set. */
    uint64_t avoid_nodes;
    uint64_t avoid_instance;
    uint64_t now_ms; /* the loop's: how old a node's word that it is full may be */
};

struct router_decision {
    enum router_verdict verdict;
    struct instance *instance;
    const char *release; /* ROUTER_RUN_HERE: what the instance answers from; lives as long as the table */
    unsigned node;
    const struct route_task *task; /* NULL when the table has none of this name; lives as long as the table */
    bool avoided;                  /* ROUTER_WAIT only because of avoid_* */
    uint32_t load;                 /* ROUTER_RUN_HERE: calls in flight at the instance, this one included */
    int status;
    char message[256];
};

/* Decides, and for ROUTER_RUN_HERE counts the call into the instance's in_flight. Any thread that holds a reference to the table.
 *
 * From a client: `node` alone when one is named (GRPC_NOT_FOUND when no node is called so, or what runs there does not have the task); this node first with INVOCATION_LOCAL; else
 * the slots in turn from the shared cursor, passing over this node while all its instances are at their limit, and over others that said
 * so lately (route_load.h) unless nothing else is left. An unknown task is GRPC_NOT_FOUND, or ROUTER_WAIT while the table is settling.
 * From a peer: here, after a wait when all instances are about to be replaced, or refused with nothing done: GRPC_UNAVAILABLE, or GRPC_NOT_FOUND for a task that a settled node does not know. */
void router_pick(const struct route_table *t, const struct router_query *q, struct router_decision *out);

/* Why nothing of what a call may run on can be started: the named node's fault; else, while no node is ready, this node's, or another's
 * when this one does not have the task. NULL when there is hope. */
const char *router_fault(const struct route_table *t, const struct route_task *task, struct slice node);

#endif
