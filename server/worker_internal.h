/* server/worker_internal.h: what the files of the data plane share. A worker's fields are its own thread's, but for its loop's mailbox and `connections`. */
#ifndef GRID_SERVER_WORKER_INTERNAL_H
#define GRID_SERVER_WORKER_INTERNAL_H

#include <pthread.h>
#include <stdatomic.h>

#include "server/half_open.h"
#include "server/handshake_gate.h"
#include "server/worker.h"

enum { LISTENERS_MAX = WORKER_API_ADDRESSES_MAX + 2 };

struct worker {
    struct worker_set *set;
    unsigned index;
    pthread_t thread;
    struct loop *loop;
    struct dispatch *dispatch;
    struct ingress *ingress;
    struct http_server *api_server;
    struct http_server *peer_server;
    struct listener *listeners[LISTENERS_MAX];
    unsigned listener_count;
    struct half_open handshakes;   /* of peers, unfinished */
    struct handshake_gate *gate;   /* NULL: every handshake begins at once */
    struct loop_timer turns;
    uint64_t sent_away, sent_away_said_ms; /* by the gate, since it was said */
    struct carrier *carrier;       /* NULL: nobody brings connections */
    struct verdict *verdict;       /* NULL before the first change of it */
    struct loop_timer cut;
    unsigned closing;              /* steps of closing not yet done */
    _Atomic uint32_t connections;  /* handed to this worker since the start, for an even spread */
};

struct worker_set {
    struct worker_set_options options;
    struct worker *workers;
    struct addr api_bound;
    struct addr peer_bound;
    unsigned next; /* whose turn it is to serve what control brings */
    bool started;
    bool stopped;
    /* Draining. */
    unsigned draining;
    bool drained;
    struct loop_timer drain_timer;
    loop_fn drain_done;
    void *drain_arg;
};

/* ---- news to control (worker_news.c); worker threads ---- */

/* As the callbacks of dispatch: `ctx` is the worker. */
void worker_instance_refused(void *ctx, uint64_t instance_id);
void worker_task_wanted(void *ctx, const char *task);
void worker_peer_failed(void *ctx, const char *node_id);
/* Its servers have drained. */
void worker_drained(struct worker *w);
/* Control thread: the drain is over, by whatever came first. */
void worker_drain_finish(struct worker_set *s);

/* ---- messages to one worker; any thread ---- */

struct worker_message {
    struct worker *worker;
    union {
        struct route_table *table;
        uint64_t instance_id;
        struct verdict *verdict;
        char peer_id[65];
        struct {
            int fd;
            bool peer;
            struct addr from;
        } accepted;
    } u;
};

/* False when memory is short: what the message holds is still the caller's then. `deliver` frees it. */
bool worker_send(struct worker *w, loop_fn deliver, const struct worker_message *message);

/* ---- connections (worker_accept.c, worker_listen.c) ---- */

/* As a listener_fn: `ctx` is the worker. */
void worker_on_api_accept(void *ctx, int fd, const struct addr *from);
void worker_on_peer_accept(void *ctx, int fd, const struct addr *from);
/* Drops the handshakes that wait for their turn. */
void worker_forget_turns(struct worker *w);
/* Binds what the options name; `why` as worker_set_create's. */
int worker_bind(struct worker *w, char why[256]);

#endif
