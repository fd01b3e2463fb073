/* server/route/route_table.h: the immutable picture that a worker routes by. Control builds one after each change and publishes it to
 * every worker; what must be one for the node (cursors, counters, retry budget) hangs off it as shared objects of relaxed atomics that
 * live on from table to table. Readable by any thread that holds a reference. */
#ifndef GRID_SERVER_ROUTE_ROUTE_TABLE_H
#define GRID_SERVER_ROUTE_ROUTE_TABLE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/slice.h"
#include "net/addr.h"
#include "net/tls.h"
#include "server/supervise/instance.h"

enum { ROUTE_ADDRESSES_MAX = 8, ROUTE_SLOTS_PER_NODE = 16, ROUTE_FULL_CELLS = 64 };

/* What is one for another node, as long as it is in the table: which tasks it was last said to be full for (route_load.h). */
struct route_node_shared {
    _Atomic uint32_t references;
    uint64_t version; /* of the newest table that has it; who builds tables alone */
    _Atomic uint64_t full[ROUTE_FULL_CELLS];
};

/* One node as a place to send calls to. */
struct route_node {
    char id[65];
    char name[64];
    uint64_t incarnation; /* tells one process of the node from the next: a link to an older one is not used */
    bool local;
    bool routable; /* alive, and runs the current release */
    struct addr addresses[ROUTE_ADDRESSES_MAX];
    unsigned address_count;
    struct slice host_packed; /* a packed grid.v1.Host, for answers */
    struct slice host_json;   /* the original's host object, for answers */
    char release[65];         /* hex root it runs, "" before the first; a task may still answer from an older one (route_task.releases) */
    struct route_node_shared *shared; /* NULL: nothing is kept of it, as of the local one */
};

struct route_dead {
    char id[65];
    char name[64];
};

struct route_counters {
    _Alignas(64) _Atomic uint64_t invocations; /* that came in at this node, per worker */
    _Atomic uint64_t success;
    _Atomic uint64_t errors;
    _Atomic uint64_t remote;    /* that a peer sent us */
    _Atomic uint64_t forwarded; /* that came in here and were answered by another node */
};

/* What is one for a task on this node. */
struct route_task_shared {
    _Atomic uint32_t references;
    _Atomic uint32_t node_cursor;     /* over slots: the sender's round robin */
    _Atomic uint32_t instance_cursor; /* over local instances: the receiver's */
    _Atomic uint32_t queued;          /* calls that wait because all are busy, all workers */
    _Atomic uint64_t wanted_at_ms;    /* when control was last told that it could grow */
    uint32_t number;                  /* of this task among those of this node; set by its maker before it is shared, below 2^24 */
    unsigned workers;
    struct route_counters counters[]; /* one per worker */
};

struct route_task {
    const char *name;
    struct route_task_shared *shared;
    /* The nodes in turn, as indexes into the table's nodes: a node with more ready instances comes up more often, spread so that the first
     * pass visits every node once. Routable nodes with a ready instance only. */
    const uint16_t *slots;
    size_t slot_count;
    /* Ready, not draining instances of this node. */
    struct instance *const *instances;
    const char *const *releases; /* hex root that each of them answers from */
    size_t instance_count;
    /* By node: why it has none ready, a sentence such as "it exited with status 1: ..."; NULL while it is merely starting. */
    const char *const *faults;
    bool known_here; /* this node's release has the task */
    const bool *lacking; /* by node: what runs there does not have the task, whatever may still start */
};

struct route_table {
    _Atomic uint32_t references;
    uint64_t version;
    const struct route_node *nodes; /* [0] is the local node */
    size_t node_count;
    const struct route_dead *dead; /* members that calls cannot go to, for who asks for one of them */
    size_t dead_count;
    const struct route_task *tasks; /* sorted by name */
    size_t task_count;
    bool settling; /* a release is being fetched or materialized, or the node has not joined yet: unknown tasks may still come */
    char release[65];
    struct tls_context *peer_tls; /* for call links; NULL in a grid of one */
    struct route_shared *shared;  /* what is one for the node */
};

/* What is one for the whole node: how busy it is, and the retry budget (a token bucket: a call adds 0.1, a retry takes 1; it holds at most
 * 100 and begins with 10, so that a quiet node may retry too). */
struct route_shared {
    _Atomic uint32_t references;
    _Atomic int64_t retry_tokens_milli;
    _Atomic uint32_t cpu_percent; /* of the machine, lately */
};
struct route_shared *route_shared_create(void);
struct route_shared *route_shared_ref(struct route_shared *s);
void route_shared_unref(struct route_shared *s);
/* Counts a call, and asks for a retry: false when the budget is spent. Any thread. */
void route_budget_deposit(struct route_shared *s);
bool route_budget_withdraw(struct route_shared *s);

struct route_task_shared *route_task_shared_create(unsigned workers);
struct route_task_shared *route_task_shared_ref(struct route_task_shared *s);
void route_task_shared_unref(struct route_task_shared *s);

struct route_node_shared *route_node_shared_create(void);
struct route_node_shared *route_node_shared_ref(struct route_node_shared *s);
void route_node_shared_unref(struct route_node_shared *s);

/* Building one (control thread): everything given is copied or referenced. */
struct route_builder;
struct route_builder *route_builder_create(uint64_t version, struct route_shared *shared);
/* The first one added is the local node. Returns its index, or GRID_E*. */
int route_builder_node(struct route_builder *b, const struct route_node *node);
/* A dead member: no node of the table. 0 or GRID_ENOMEM. */
int route_builder_dead(struct route_builder *b, const char *id, const char *name);
/* A task and what is ready: ready[i] instances on node index i (as many entries as nodes were added). `shared` may come from the table before. */
struct route_task_spec {
    const char *name;
    struct route_task_shared *shared;
    const uint32_t *ready;
    struct instance *const *instances;
    const char *const *releases; /* as many entries as instances */
    size_t instance_count;
    const char *const *faults; /* as many entries as nodes; NULL: none has any */
    bool known_here;
    const bool *lacking; /* as many entries; NULL: none lacks it */
};
int route_builder_task(struct route_builder *b, const struct route_task_spec *spec);
/* One reference for the caller; frees the builder. NULL when out of memory. */
struct route_table *route_builder_finish(struct route_builder *b, bool settling, const char *release, struct tls_context *peer_tls);
void route_builder_abort(struct route_builder *b);

struct route_table *route_table_ref(struct route_table *t);
void route_table_unref(struct route_table *t);
const struct route_task *route_table_task(const struct route_table *t, struct slice name);
/* By id or by name; -1 when there is none. */
int route_table_node(const struct route_table *t, struct slice id_or_name);
/* Whether a dead member has this id or name. */
bool route_table_is_dead(const struct route_table *t, struct slice id_or_name);

/* A worker's own reference to a table, counted without atomics; invocations hold it while in flight. */
struct route_view {
    struct route_table *table;
    unsigned references;
};
/* Takes over the caller's table reference, also on failure. NULL when out of memory. */
struct route_view *route_view_create(struct route_table *table);
struct route_view *route_view_ref(struct route_view *v);
void route_view_unref(struct route_view *v);

#endif
