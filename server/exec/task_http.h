/* server/exec/task_http.h: calls a local instance of a task over keep-alive HTTP/1.1 on 127.0.0.1. One pool per worker; its thread only.
 *
 * What CONTRACT.md, "Tasks over HTTP", says is decided here: headers, POST or GET, Expect: 100-continue on an instance's first call,
 * and that a single-threaded server which serves one connection at a time is never starved by connections kept idle:
 * an instance that leaves a call on a new connection unanswered for 100 ms while other connections to it are idle gets those closed,
 * and when twice that was what it waited for it is marked serial (instance.h) and no connection to it is kept from then on.
 *
 * How a call ends: a task that answers garbage, too much, or dies amid its answer is at fault (GRPC_INTERNAL, ATTEMPT_ANSWERED; the message
 * names it). A connection that ends before any byte of an answer is GRPC_UNAVAILABLE, ATTEMPT_UNKNOWN; one that was refused, or over
 * which nothing was written, is GRPC_UNAVAILABLE, ATTEMPT_UNSEEN. */
#ifndef GRID_SERVER_EXEC_TASK_HTTP_H
#define GRID_SERVER_EXEC_TASK_HTTP_H

#include "net/loop.h"
#include "server/exec/invocation.h"
#include "server/supervise/instance.h"

struct task_pool;

/* How an attempt ended, for dispatch to decide on a retry. */
enum attempt_seen {
    ATTEMPT_UNPROCESSED, /* HTTP/2 said so itself (REFUSED_STREAM, GOAWAY below the stream): repeated at once and free of charge */
    ATTEMPT_UNSEEN,   /* the task cannot have seen it */
    ATTEMPT_UNKNOWN,  /* sent, no answer */
    ATTEMPT_ANSWERED, /* an answer had begun */
};

struct attempt_events {
    void (*on_head)(struct invocation *inv, const struct invocation_answer *answer);
    void (*on_data)(struct invocation *inv, struct slice bytes);
    /* Exactly once, last. status GRPC_OK: complete. `message` is borrowed. refused: nobody listens on the port (or the peer is gone). */
    void (*on_end)(struct invocation *inv, int status, const char *message, enum attempt_seen seen, bool refused, int64_t pushback_ms);
    /* What a node says of how busy it is, before on_end; borrowed. Of nodes that say it alone; may be NULL. */
    void (*on_load)(struct invocation *inv, struct slice told);
};

struct task_pool_options {
    size_t max_answer;          /* bytes of one answer's body: beyond it the call ends as a fault of the task (GRPC_INTERNAL) */
    unsigned idle_per_instance; /* connections kept; as many as may be in flight is a good number */
    uint32_t idle_timeout_ms;   /* 30,000 likewise */
    /* Asks the other workers to close their idle connections to an instance; may be NULL with one worker. */
    void (*close_idle_elsewhere)(void *ctx, uint64_t instance_id);
    void *ctx;
};

int task_pool_create(struct loop *l, const struct task_pool_options *options, struct task_pool **out);
/* Closes connections; `done` when all are gone. Calls in flight end as UNAVAILABLE. */
void task_pool_close(struct task_pool *p, loop_fn done, void *arg);

/* Sends the invocation to the instance; events follow, never inside. The caller has counted instance->in_flight up, and counts it down at
 * on_end. inv->producer is set. 0 or GRID_ENOMEM (then no event comes). */
int task_pool_send(struct task_pool *p, struct instance *instance, struct invocation *inv, const struct attempt_events *events);

/* Drops idle connections to an instance: it is gone, or another worker's call starves. */
void task_pool_close_idle(struct task_pool *p, uint64_t instance_id);

#endif
