/* server/node_remembered.h: keeps in the state folder where the grid's members live (discovery/remembered.h), and names what was kept at the last stop. Control thread. */
#ifndef GRID_SERVER_NODE_REMEMBERED_H
#define GRID_SERVER_NODE_REMEMBERED_H

#include "server/node_internal.h"

struct node_remembered;

struct node_remembered_events {
    /* An address that was kept ("host:port"); ttl_ms is for ever. The best ones of all members come first, all of them inside node_remembered_open. */
    void (*on_address)(void *ctx, const char *address, uint64_t ttl_ms);
    /* This node is of another grid now, or of another one of the same name: what was kept counts no more. */
    void (*on_withdrawn)(void *ctx);
};

/* `events` is kept. 0 or GRID_ENOMEM. */
int node_remembered_open(struct node *n, const struct node_remembered_events *events, void *ctx, struct node_remembered **out);
/* Keeps what is known now; `done` comes when that is written. While n->gossip is there. */
void node_remembered_close(struct node_remembered *r, loop_fn done, void *arg);

#endif
