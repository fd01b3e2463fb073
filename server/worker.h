/* server/worker.h: the data plane: N threads, each with its own loop, listeners, sessions, router and connections. They share nothing
 * mutable; control publishes route tables to their mailboxes. Called on the control thread unless said otherwise. */
#ifndef GRID_SERVER_WORKER_H
#define GRID_SERVER_WORKER_H

#include "net/addr.h"
#include "net/carrier.h"
#include "net/conn.h"
#include "server/ingress/ingress.h"
#include "server/route/dispatch.h"
#include "server/verdict.h"

struct worker_set;

enum { WORKER_API_ADDRESSES_MAX = 4, WORKERS_MAX = 256 };

struct worker_set_options {
    unsigned count;
    size_t connections_max; /* that each serves at once at either door */
    uint64_t busy_poll_us; /* as loop_busy_poll */
    struct loop *control;
    struct addr api[WORKER_API_ADDRESSES_MAX]; /* local API, TCP */
    unsigned api_count;
    bool api_optional[WORKER_API_ADDRESSES_MAX]; /* a family that this machine lacks is passed over */
    const char *api_socket;                      /* NULL: none */
    bool api_socket_optional;                    /* one that another process serves, or that may not be made, is left out */
    const char *api_socket_group;                /* NULL: leave the group */
    mode_t api_socket_mode;
    struct addr peer; /* peers' port; size 0: none */
    struct tls_context *peer_tls;
    unsigned handshakes_per_s; /* handshake_gate's R, of all workers together; 0: no bound */
    struct ingress_options ingress;
    struct dispatch_options dispatch; /* worker, close_idle_elsewhere and ctx are set by the set */
    struct admin *admin;
    /* All on the control thread. */
    void (*on_control_conn)(void *ctx, struct conn *c); /* a peer's control connection, arrived on the control loop: the callee's */
    void (*on_instance_refused)(void *ctx, uint64_t instance_id);
    void (*on_task_wanted)(void *ctx, const char *task);
    void (*on_peer_failed)(void *ctx, const char *node_id);
    carrier_wanted_fn on_wanted; /* the worker's thread: a connection to a member that cannot be dialled; NULL: there are none */
    void *ctx;
};

/* Creates the workers and binds their listeners; nothing runs yet. On failure `why` holds a sentence that names address and remedy, and
 * the result is GRID_EBUSY (in use), GRID_EPERM, GRID_EIO or GRID_ENOMEM. */
int worker_set_create(const struct worker_set_options *options, struct worker_set **out, char why[256]);

/* What was really bound: the first API address and the peers' port. */
const struct addr *worker_set_api(const struct worker_set *s);
const struct addr *worker_set_peer(const struct worker_set *s);

/* Binds the peers' port of a set that was made without one and has been started; `done` on the control thread, never inside: err as
 * worker_set_create, and worker_set_peer tells the address from then on. */
void worker_set_listen(struct worker_set *s, const struct addr *at, void (*done)(void *ctx, int err, const char *why), void *ctx);

/* Who is let in from now on, on every loop: connections of and to the evicted are closed at once. Those whose authority has gone end with the calls in flight on
 * them, at the latest after WORKER_CUT_MS; a new handshake tells who still belongs. `v` is referenced. */
enum { WORKER_CUT_MS = 3000 };
void worker_set_judge(struct worker_set *s, struct verdict *v);

/* A member has been linked anew: its address, or that of this node, may be another one. Call links to it end with the calls in flight on them; those that follow go by new ones. */
void worker_set_leave_peer(struct worker_set *s, const char *id);

/* Starts the threads. 0 or GRID_EIO. */
int worker_set_start(struct worker_set *s);

/* Hands a reference of its own to each worker; the caller keeps his. */
void worker_set_publish(struct worker_set *s, struct route_table *table);

/* Serves a member's calls on an open connection of the control loop that this node has dialled, by a worker each in turn. */
void worker_set_adopt(struct worker_set *s, struct conn *c);
/* Serves a descriptor as if it had been accepted at the peers' port, from the address of who brought it. It is the callee's. */
void worker_set_accept(struct worker_set *s, int fd, const struct addr *from);

/* Stops accepting and lets calls in flight end; `done` on the control thread when every connection has gone or `timeout_ms` is over. */
void worker_set_drain(struct worker_set *s, uint64_t timeout_ms, loop_fn done, void *arg);

/* Closes what is left, ends and joins the threads. Blocks for as long as that takes. Also before worker_set_start. */
void worker_set_stop(struct worker_set *s);

/* Ends the loops of a stopped set; after every question its workers asked has been ended. A connection on its way to the control loop is
 * posted there even now: that loop runs it, on the set that still stands. */
void worker_set_end(struct worker_set *s);
/* Frees the set; after worker_set_end, and after the control loop has run or dropped all that it was told. */
void worker_set_destroy(struct worker_set *s);

/* Asks every worker for its calls in flight. `each` is called on the control thread, one at a time, with copies that live for the call;
 * `done` last. */
struct worker_processing {
    const char *id;
    struct slice task, handler, from;
    int64_t started_wall_ms;
};
void worker_set_processing(struct worker_set *s, void (*each)(void *ctx, const struct worker_processing *call), void (*done)(void *ctx), void *ctx);

/* Has every worker drop idle connections to an instance that is gone. */
void worker_set_close_idle(struct worker_set *s, uint64_t instance_id);

unsigned worker_set_count(const struct worker_set *s);

#endif
