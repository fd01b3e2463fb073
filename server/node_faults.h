/* server/node_faults.h: what a node knows to be wrong with its place in the grid, in sentences with a remedy. Control thread only. */
#ifndef GRID_SERVER_NODE_FAULTS_H
#define GRID_SERVER_NODE_FAULTS_H

#include <stdbool.h>

#include "base/arena.h"
#include "net/tls.h"

struct node;

enum { NODE_FAULTS_MAX = 32 };

#define NODE_BEHIND "the grid has replaced its authority while this node was away: stop it, run \"grid adopt --state DIR\", and start it with today's Gridfile or password"

/* A dial has failed, since one side does not take the other's certificate (struct gossip_events). What a member, by its certificate, has said of this node's
 * counts while no member is linked. Strings are copied. */
void node_faults_denied(struct node *n, const char *address, const char *why, enum tls_refusal refusal);

/* A link to a member was up long enough to hear from it: it takes this node. */
void node_faults_accepted(struct node *n);

/* Whether the grid has evicted this node, as far as it has been told. */
bool node_is_evicted(const struct node *n);
/* Whether the grid has replaced its authority without it, and takes its certificate no more. */
bool node_is_behind(const struct node *n);

/* Whether, a moment ago, one side did not take the other's certificate (n->denied). */
bool node_is_denied(const struct node *n);

/* At most NODE_FAULTS_MAX sentences, in the arena; what is there no memory for is left out. Returns how many. */
size_t node_faults_list(const struct node *n, struct arena *arena, const char *out[NODE_FAULTS_MAX]);

#endif
