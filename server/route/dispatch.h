/* server/route/dispatch.h: carries an invocation to an answer: picks, sends, waits, retries within the budget, watches the deadline.
 * The failure table of docs/flow-invoke.md is its specification. One per worker; its thread only. */
#ifndef GRID_SERVER_ROUTE_DISPATCH_H
#define GRID_SERVER_ROUTE_DISPATCH_H

#include "net/loop.h"
#include "server/exec/invocation.h"
#include "server/exec/task_http.h"
#include "server/route/route_load.h"
#include "server/route/route_table.h"

struct dispatch;

struct dispatch_options {
    unsigned worker;          /* index, for counters */
    size_t max_payload;       /* of a call and of an answer */
    uint32_t in_flight_limit; /* per instance: 100 */
    uint32_t queue_limit;     /* waiting calls a task: 1,000 */
    uint32_t unstartable_ms;  /* calls to a task that cannot be started end within this: 5,000 */
    unsigned attempts;        /* 3 */
    bool peers_in_clear;      /* tests only: call links without TLS */
    /* News for control, from the worker's thread; may be NULL. */
    void (*on_instance_refused)(void *ctx, uint64_t instance_id);
    void (*on_task_wanted)(void *ctx, const char *task); /* its instances are all busy: it may grow */
    void (*on_peer_failed)(void *ctx, const char *node_id);
    void (*close_idle_elsewhere)(void *ctx, uint64_t instance_id);
    void *ctx;
};

/* Zeros among the numbers take the defaults given above (max_payload: 6 MiB). 0 or GRID_E*. */
int dispatch_create(struct loop *l, const struct dispatch_options *options, struct dispatch **out);
/* Ends what waits as UNAVAILABLE, closes pools and call links; `done` when all is gone. */
void dispatch_close(struct dispatch *d, loop_fn done, void *arg);

/* A new snapshot: waiting calls are looked at again, links to departed nodes or older incarnations fail what is in flight on them.
 * Takes over the caller's reference. */
void dispatch_publish(struct dispatch *d, struct route_table *table);
/* The current view; borrowed until the next publish. NULL before the first. */
struct route_view *dispatch_view(const struct dispatch *d);

/* Starts it. The sink hears of it later, never inside. Takes the invocation over until on_end. */
void dispatch_start(struct dispatch *d, struct invocation *inv);
/* The client left: the task's connection or the peer's stream is cancelled. on_end comes with GRPC_CANCELLED, later or inside. */
void dispatch_cancel(struct dispatch *d, struct invocation *inv);
void dispatch_pause(struct invocation *inv);
void dispatch_resume(struct invocation *inv);

/* One copy to each synchronized node (the local one when `include_local`). Each copy shares nothing with `inv` but its id; on_each is
 * called once per node with a collected answer, on_done last. `inv` stays the caller's, to be destroyed after on_done. Without any node
 * on_done comes at once (later, never inside). */
struct dispatch_broadcast_events {
    /* fault NULL: answer and body are there. Borrowed for the call. */
    void (*on_each)(void *ctx, const struct invocation_answer *answer, struct slice body, const struct invocation_fault *fault,
                    const struct route_node *node);
    void (*on_done)(void *ctx, size_t nodes);
};
struct dispatch_broadcast;
/* NULL when out of memory: then nothing is called. */
struct dispatch_broadcast *dispatch_broadcast(struct dispatch *d, struct invocation *inv, bool include_local,
                                              const struct dispatch_broadcast_events *events, void *ctx);
/* Before on_done only. No more on_each; on_done comes when the calls under way have ended, later or inside. */
void dispatch_broadcast_cancel(struct dispatch_broadcast *b);

/* How busy this node is with a task, for the node that sent a call; false when it does not have the task. */
bool dispatch_load(const struct dispatch *d, struct slice task, struct route_load *out);

/* Calls in flight of this worker, oldest first: the list's head (struct invocation.next). */
const struct invocation *dispatch_processing(const struct dispatch *d);
size_t dispatch_in_flight(const struct dispatch *d);
struct loop *dispatch_loop(const struct dispatch *d);
void dispatch_close_idle(struct dispatch *d, uint64_t instance_id);
/* Its connections to other nodes: see peer_link.h. */
struct peer_links *dispatch_peer_links(struct dispatch *d);

#endif
