/* server/node_internal.h: one node's parts, for the files node*.c alone: they see all, and nobody sees them. Control thread. */
#ifndef GRID_SERVER_NODE_INTERNAL_H
#define GRID_SERVER_NODE_INTERNAL_H

#include <stdatomic.h>

#include "base/map.h"
#include "discovery/gossip.h"
#include "grid/v1/types.pb-c.h"
#include "server/admin.h"
#include "server/host_info.h"
#include "server/node.h"
#include "server/options.h"
#include "server/release/releases.h"
#include "server/worker.h"
#include "trust/authority.h"
#include "trust/gridfile.h"
#include "trust/identity.h"
#include "trust/ledger.h"
#include "trust/standing.h"
#include "trust/verify.h"

enum { NODE_HELD_MAX = 16, NODE_MISSED_MAX = 16, NODE_NAME_MAX = 63, NODE_REASON_MAX = 320 };

/* What members say of themselves in their records. */
#define NODE_CAPABILITY_ISSUER "issuer" /* holds the authority's key, and lets others in */

/* A question that waits for news (a watcher of nodes or logs, a deploy). */
struct node_watch {
    struct node_watch *next, **prev;
};

/* Which authority the node's certificate is of, as it was found `at` (Unix seconds) for these bytes; of node_trust.c. */
struct certificate_memo {
    uint8_t key[32];
    int64_t at, sequence;
};

struct node {
    const struct options *options;
    struct loop *loop;
    struct host_info host;
    char name[NODE_NAME_MAX + 1];
    char grid[NODE_NAME_MAX + 1];
    int64_t started_at_ms;
    bool first_start; /* no daemon has used the state folder before */
    int state_lock;  /* descriptor that holds the state folder's lock, -1 before */
    struct member self;
    struct arena *self_arena; /* what `self` points to, made anew with each change */

    /* trust: server/node_trust.h */
    struct gridfile gridfile;
    bool keyless; /* its Gridfile names the authority and has no key: this node is to have none */
    struct certificate_memo *certificate_memo;
    struct standing standing;
    struct buf brief_ledger;
    struct delegation *delegations; /* of node_delegate.c */
    struct adoption *adoption; /* of node_adopt.c; NULL: nobody waits to change sides */
    struct stretching *stretching; /* a new password on the pool; of node_decide.c */
    struct ledger *ledger;       /* NULL: a grid of one */
    struct authority *authority; /* the ledger's root; NULL: a grid of one */
    struct authority *next;      /* the one to follow it; NULL when none is announced */
    struct verdict *verdict;     /* NULL: a grid of one */
    struct node_trust_work *trust_work;   /* node_ledger_internal.h */
    struct node_question *questions;      /* node_ask.c's */
    struct log_reader *log_readers;       /* node_logs.c's, as the next */
    struct log_relay *log_relays;
    struct node_reach *reach;             /* node_reach.c's */
    struct node_direct *direct;           /* node_direct.c's */
    struct reverse_want *wants;           /* node_reverse.c's, as the next */
    struct reverse_turn *turns;
    struct node_tunnels *tunnels;         /* node_tunnel.c's */
    struct errands *errands;              /* dials for members: of node_reverse.c, node_reach.c and node_tunnel.c */
    struct carrier *carrier;              /* the control loop's */
    struct grpc_service trust_service;
    struct key *key;
    struct node_join *join;      /* server/node_join.h */
    struct node_discover *discover; /* server/node_discover.h; NULL: it looks for nobody */
    struct tls_context *server_tls;  /* takes calls and control links */
    struct tls_context *call_tls;    /* dials calls */
    struct tls_context *control_tls; /* dials control links and chunk connections */
    struct tls_context *reverse_tls, *reverse_control_tls; /* dial who asks for a connection on which this node serves calls, or the control plane; all of these are empty in a grid of one */

    /* control plane */
    struct admin *admin;
    struct supervisor *supervisor;
    struct task_user task_user; /* fixed before the workers start */
    struct releases *releases;
    struct gossip *gossip; /* in a grid of one it links to nobody */
    struct node_records *records; /* node_records.c's */
    struct buf held_entries[NODE_HELD_MAX]; /* node_gossip.c's: release entries that came too early */
    size_t held_count;
    struct grpc_server *control_grpc;
    struct http_server *control_server;
    char api_token[257];
    char **api_hosts;

    /* data plane */
    struct worker_set *workers;
    struct route_shared *route_shared;
    struct map *task_shared; /* task name -> struct route_task_shared */
    struct map *node_shared; /* id -> struct route_node_shared, of the nodes in the newest table */
    uint64_t route_version;
    struct loop_deferred route_dirty;
    bool linked_once;  /* has met another member, or waits for none any more */
    bool joined;       /* has met another member, or has nobody in --join to meet */
    char refused[NODE_REASON_MAX]; /* why the grid does not take this node, "" when it does or has not said */
    struct loop_timer load_timer;
    uint64_t cpu_busy, cpu_total; /* of the host, when the timer last ran */
    struct loop_timer join_timer;
    unsigned join_waits;
    struct loop_timer refused_timer; /* since a link was made after a refusal */
    struct node_denied { /* the last dial that failed since one side does not take the other's certificate */
        char address[ADDR_TEXT_MAX];
        char why[NODE_REASON_MAX];
        bool by_clock;  /* for its times alone */
        uint64_t at_ms; /* monotonic; 0: none has */
    } denied;
    struct node_lonely { /* node_lonely.c's: why nobody is linked */
        struct node_missed { /* a place that was named, and how the last dial there ended */
            char address[ADDR_TEXT_MAX];
            enum members_dial_fault fault;
            uint64_t at_ms; /* 0: none */
        } missed[NODE_MISSED_MAX];
        char refused[NODE_REASON_MAX + 32];
        uint64_t refused_at_ms;
        char mdns[NODE_REASON_MAX]; /* "": nothing is wrong with it */
    } lonely;
    uint64_t evicted_at_ms; /* when a member has last said so, and none has been linked since; 0: none has */
    uint64_t behind_at_ms;  /* the same: when one that goes by a later authority did not take this node's certificate */

    /* read by workers */
    _Atomic bool ready;
    char not_ready[NODE_REASON_MAX]; /* why, under metric_lock */
    struct sync_traffic sync_traffic;
    _Atomic uint64_t metric_members, metric_tasks, metric_instances, metric_restarts, metric_releases;
    struct route_table *metric_table; /* under metric_lock, for /metrics */
    struct node_gossip_metrics {
        struct members_counters counters;
        unsigned health;
        uint64_t links, signatures, certificates, remembered, refused; /* of records: judged, recalled */
    } metric_gossip; /* under metric_lock */
    uv_mutex_t metric_lock;

    /* questions */
    struct node_watch *node_watchers;
    struct map *found; /* node_found.c's, as the next */
    struct map *told; /* node_control.c's, by id; NULL before the first */
    struct token_buckets *member_lines; /* node_gossip.c's: lines of the log about each member */
    struct node_watch *deploys;
    bool stopping;
    uv_signal_t signals[3]; /* SIGTERM, SIGINT, SIGHUP */
    unsigned signals_open;
};

enum { NODE_WHY_MAX = 768 };

/* node_state.c: the state folder, its lock, and the node's name. 0, or GRID_E* with a sentence in `why`. */
int node_state_open(struct node *n, char why[NODE_WHY_MAX]);
void node_state_close(struct node *n);
/* What node_state_open would refuse, without writing. */
int node_state_check(struct node *n, char why[NODE_WHY_MAX]);

/* node.c: where peers are listened for, by --listen. 0, or GRID_EINVAL with a sentence. */
int node_peer_address(const struct node *n, struct addr *to, char why[NODE_WHY_MAX]);

/* node_tasks.c: the supervisor. 0, or GRID_E* with a sentence in `why`. */
int node_tasks_open(struct node *n, char why[NODE_WHY_MAX]);
/* Where task ports are taken from, upward. */
uint16_t node_tasks_first_port(const struct node *n);
/* Whom tasks run as; any thread, once node_tasks_check was called. */
bool node_is_task(void *node, uid_t uid);
/* What node_tasks_open would refuse, without writing; decides whom tasks run as. */
int node_tasks_check(struct node *n, char why[NODE_WHY_MAX]);
/* node.c: what the supervisor calls. */
void node_tasks_changed(void *node);

/* node_routes.c: the route table, from members, tasks and releases. */
void node_routes_init(struct node *n);
void node_routes_changed(struct node *n);
void node_routes_close(struct node *n);
void node_metrics(void *node, struct buf *out);
bool node_is_ready(void *node, char why[NODE_REASON_MAX]);

/* node_gossip.c: this node's own record, and what it hears of others. */
int node_gossip_open(struct node *n, char why[NODE_WHY_MAX]);
/* Releases, tasks or load have changed: the record is made anew and spread when it differs. */
void node_gossip_update(struct node *n);
/* node_records.c: member records: this node's own as it travels, and whether another's is its owner's word (`admit` and `seal` of discovery/gossip.h). */
int node_records_open(struct node *n);
void node_records_close(struct node *n);
int node_records_seal(void *node, struct slice record, struct buf *sealed);
bool node_records_admit(void *node, const char *peer, const struct gossip_entry *entry);
/* True when the record went out with another certificate than the node has now. */
bool node_records_stale(const struct node *n);
/* Fills in what is counted of records. */
void node_records_count(const struct node *n, struct node_gossip_metrics *out);

/* What members told of releases while nobody had told what the grid has decided is looked at. */
void node_gossip_heard(struct node *n);
/* After gossip has closed. */
void node_gossip_dispose(struct node *n);

/* node_load.c: how busy this node is, told to the others; what membership counts, for /metrics. */
void node_load_open(struct node *n);
void node_load_stop(struct node *n);
void node_load_metrics(struct node *n, struct buf *out);

size_t node_release_peers(void *node, const char *root, struct release_peer out[RELEASE_PEERS_MAX]);
void node_announce(void *node, struct slice packed);
/* A member as the API shows it; strings are borrowed from `m` and `n`. */
void node_host_of(const struct node *n, const struct member *m, Grid__V1__Host *out);
size_t node_member_count(const struct node *n);
/* Index 0 is this node. */
const struct member *node_member(const struct node *n, size_t index);
/* The name of the member with this id, or the id itself. */
struct slice node_name_of(const struct node *n, struct slice id);

/* node_control.c: the methods of grid.v1.Control. */
extern const struct admin_method NODE_CONTROL[];
void node_watchers_event(struct node *n, const char *kind, const struct member *m);
/* Ends what watches nodes, which would hold up a drain. */
void node_watchers_stop(struct node *n);
#define NODE_STOPS "the node stops"

/* node_deploy.c: Deploy and Rollback. */
void node_deploy(void *node, struct admin_call *call, struct slice request);
void node_rollback(void *node, struct admin_call *call, struct slice request);
/* The view has changed: deploys that wait for nodes look at it. */
void node_deploys_check(struct node *n);
/* Two releases of one sequence have met: those who deployed them here are told. */
void node_deploys_conflict(void *node, const struct release_entry *winner, const struct release_entry *loser);
/* The node is stopping: nobody waits for other nodes any more. */
void node_deploys_stop(struct node *n);

#endif
