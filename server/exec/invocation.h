/* server/exec/invocation.h: one call on its way through the node, and its answer on the way back. A worker's thread owns it; everything
 * it needs lives in its arena and goes with it.
 *
 * Every ingress fills one in, gives it to dispatch_start (server/route/dispatch.h) and hears of the answer through its sink:
 * on_head at most once, on_data any number of times after it, on_end exactly once and last. */
#ifndef GRID_SERVER_EXEC_INVOCATION_H
#define GRID_SERVER_EXEC_INVOCATION_H

#include <stdbool.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/slice.h"
#include "net/grpc.h"
#include "net/http.h"
#include "net/loop.h"

struct invocation;
struct route_node;
struct route_view;

/* A fault of the grid (never the task's own error). */
struct invocation_fault {
    int status;          /* of enum grpc_status, never GRPC_OK */
    const char *message; /* one sentence naming the thing and the remedy; lives as long as the invocation */
    int64_t pushback_ms; /* when to try again, -1 when there is nothing to say */
    bool unseen;         /* no task can have seen the call: told to a peer as the trailer grid-seen "0", else "1" (server/route/hop.h) */
    const struct route_node *node; /* where a task may have seen it; NULL when none can have. Lives as long as the invocation */
    struct slice release;          /* of the task there, when it is known: of this node alone. As long as the invocation */
    uint32_t attempts;             /* how many had been made, 0 for none */
};

/* How the task answered. Slices are borrowed for the call of on_head. */
struct invocation_answer {
    int status; /* the task's HTTP status */
    struct slice content_type;
    struct slice function_error;   /* "Handled", "Unhandled" or empty: a function wrapper's mark that the body is an error */
    const struct route_node *node; /* who ran it; lives as long as the invocation */
    struct slice release;          /* hex root of what answered, which may be older than what the node runs; lives as long as the invocation */
    uint32_t attempts;
    /* All headers of a local task's answer without hop-by-hop ones; none for answers of a peer. */
    const struct http_header *headers;
    size_t header_count;
};

struct invocation_sink {
    void (*on_head)(struct invocation *inv, const struct invocation_answer *answer);
    void (*on_data)(struct invocation *inv, struct slice bytes); /* borrowed */
    /* fault NULL: the answer is complete. The sink may destroy the invocation inside. */
    void (*on_end)(struct invocation *inv, const struct invocation_fault *fault);
};

enum invocation_strategy { INVOCATION_ROUND_ROBIN, INVOCATION_LOCAL };

/* What produces the answer at the moment (route or exec fills it); used for back-pressure and cancellation. */
struct invocation_producer {
    void (*cancel)(struct invocation *inv);
    void (*pause)(struct invocation *inv);
    void (*resume)(struct invocation *inv);
};

struct invocation {
    struct arena *arena;
    char id[37]; /* UUIDv7, the same on every hop */
    /* The request: slices live in the arena. */
    struct slice task;
    struct slice handler;
    struct slice payload;
    struct slice content_type;
    struct slice traceparent;
    struct slice key;             /* affinity, carried */
    struct slice node;            /* id or name of the only node allowed, empty for any */
    struct slice idempotency_key; /* carried to the task, permits nothing yet */
    struct slice from;            /* name of the peer that sent it, empty for the local API */
    const struct http_header *metadata; /* to the task as grid-meta-NAME headers */
    size_t metadata_count;
    enum invocation_strategy strategy;
    uint64_t deadline_ms; /* on the loop's monotonic clock; never 0 */
    unsigned hops;        /* 0 from a client, 1 from a peer: then it runs here or is refused */
    bool stream;          /* the sink wants pieces as they come; otherwise a peer may answer in one message */
    int64_t started_wall_ms;
    /* Who hears of the answer. */
    const struct invocation_sink *sink;
    void *sink_ctx;
    /* Below: dispatch's and exec's own. */
    const struct invocation_producer *producer;
    void *producer_ctx;
    struct route_view *view;        /* the route snapshot it was routed by; referenced */
    void (*on_destroy)(struct invocation *inv); /* lets go of what route holds for it (the view); called by invocation_destroy */
    void *dispatch;                 /* dispatch's record, in the arena */
    struct loop_deferred later;     /* for what must not happen inside dispatch_start */
    struct invocation *next, *prev; /* the worker's list of calls in flight (processing) */
};

/* A zeroed invocation with its own arena and a new id, strategy round robin. NULL when out of memory. Arenas are kept in a free list of
 * the thread. */
struct invocation *invocation_create(void);
/* A new id as an invocation would have got it, for what is refused before there is one. */
void invocation_new_id(char id[37]);
/* After on_end only (or before dispatch_start). */
void invocation_destroy(struct invocation *inv);
/* Frees what this thread keeps for reuse; before it ends. */
void invocation_thread_cleanup(void);

#endif
