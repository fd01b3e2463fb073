/* server/exec/task_conns.h: a worker's connections to the instances of tasks, kept while no call is on them. The worker's thread only.
 *
 * None is kept to an instance that is being replaced, is marked serial (server/supervise/instance.h), or had its idle ones closed within the last second. */
#ifndef GRID_SERVER_EXEC_TASK_CONNS_H
#define GRID_SERVER_EXEC_TASK_CONNS_H

#include "net/http.h"
#include "net/loop.h"
#include "server/supervise/instance.h"

enum { TASK_CONNS_BUCKETS = 64 };

struct task_upstream;

enum task_conn_state { TASK_CONN_BUSY, TASK_CONN_IDLE, TASK_CONN_LEAVING };

/* Of those outside, only `http` is read, and `answered` written. */
struct task_conn {
    struct http_client *http;
    bool answered; /* has carried an answer: the task reads from it */
    enum task_conn_state state;
    struct task_upstream *up;
    struct task_conn *next, **prev;           /* all of the upstream's */
    struct task_conn *idle_next, **idle_prev; /* the idle ones, last used first */
    uint64_t idle_since_ms;
};

struct task_conns {
    struct loop *loop;
    unsigned idle_per_instance;
    uint32_t idle_timeout_ms;
    struct task_upstream *buckets[TASK_CONNS_BUCKETS];
    size_t count;
    struct loop_timer idle_timer;
    struct loop_deferred closed;
    bool closing;
    loop_fn done;
    void *done_arg;
};

/* At most so many idle ones to an instance, each for so long. */
void task_conns_init(struct task_conns *t, struct loop *l, unsigned idle_per_instance, uint32_t idle_timeout_ms);
/* Closes all; calls on them end. `done`, later, when all are gone. */
void task_conns_close(struct task_conns *t, loop_fn done, void *arg);

/* One to the instance for a call: the idle one used last that still stands, else a new one, whose dialling shows in the call. 0, GRID_ENOMEM, or why it cannot be dialled. */
int task_conns_take(struct task_conns *t, struct instance *instance, struct task_conn **out);

/* No call is on it any more. It is kept, if its answer was complete and nothing stands against it; otherwise ended in order. */
void task_conn_release(struct task_conn *conn, bool complete);

/* "127.0.0.1:PORT". As long as the connection. */
const char *task_conn_authority(const struct task_conn *conn);

/* Closes the idle ones to an instance, and keeps none for a second. */
void task_conns_close_idle(struct task_conns *t, uint64_t instance_id);
/* True for that second, at the instance of this connection. */
bool task_conn_keeps_none(const struct task_conn *conn, uint64_t now_ms);

#endif
