/* server/route/router.h: where a call goes. Pure: a table and a query in, a decision out; only the shared cursors move. */
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
    uint64_t avoid_nodes;     /* bit i: node index i failed this call already (indexes above 63 are not avoided) */
    uint64_t avoid_instance;  /* id of an instance that failed it, 0 for none */
};

struct router_decision {
    enum router_verdict verdict;
    struct instance *instance;
    unsigned node;
    int status;
    char message[256];
};

void router_pick(const struct route_table *t, const struct router_query *q, struct router_decision *out);

#endif
