/* server/route/peer_link.h: one worker's call links: HTTP/2 connections to other nodes that carry invocations (server/route/hop.h says what a
 * hop looks like on the wire). Its thread only.
 *
 *   idle --first call--> dialling --open, right identity--> open --60 s without a call, or GOAWAY--> idle
 *                           \--all addresses failed--> down until the backoff has passed (100 ms doubling to 5 s, jittered)
 *
 * Addresses are tried as net/race.h says, the one that answered last first; the first to open wins. While a link is down calls to
 * it end at once. Up to four connections a node, a further one when all others have as many streams as the node allows. */
#ifndef GRID_SERVER_ROUTE_PEER_LINK_H
#define GRID_SERVER_ROUTE_PEER_LINK_H

#include "net/loop.h"
#include "server/exec/invocation.h"
#include "server/exec/task_http.h"
#include "server/route/route_table.h"

struct peer_links;

struct peer_links_options {
    size_t max_answer; /* bytes of one answer's body */
    bool in_clear;     /* tests only: dial without TLS. Otherwise a table without peer_tls makes every call end as UNAVAILABLE */
    void (*on_failed)(void *ctx, const char *node_id); /* no address answered; may be NULL */
    void *ctx;
};

int peer_links_create(struct loop *l, const struct peer_links_options *options, struct peer_links **out);
/* Calls in flight end as UNAVAILABLE; `done` when all connections are gone. */
void peer_links_close(struct peer_links *p, loop_fn done, void *arg);

/* The table to go by from now on. Links to nodes that are gone from it, or that have a new incarnation, are closed: what was in flight on
 * them ends as UNAVAILABLE, ATTEMPT_UNKNOWN. */
void peer_links_publish(struct peer_links *p, struct route_table *table);

/* Of the connections to nodes that `whom` names: closes them at once, or has them end with the calls in flight on them; calls that follow are sent over new ones. The way by a
 * carrier that worked last is then tried as late as the table says: there may be a better one by now. */
typedef bool (*peer_whom_fn)(const void *arg, const struct tls_peer *peer);
void peer_links_close_some(struct peer_links *p, peer_whom_fn whom, const void *arg);
void peer_links_leave_some(struct peer_links *p, peer_whom_fn whom, const void *arg);

/* Bit i: the link to node i of the published table is down (indexes above 63 have no bit). */
uint64_t peer_links_down(const struct peer_links *p);

/* Sends the invocation to node `node` of the published table; events follow, never inside. inv->producer is set. 0 or GRID_ENOMEM (then no
 * event comes). */
int peer_links_send(struct peer_links *p, unsigned node, struct invocation *inv, const struct attempt_events *events);

#endif
