/* server/node_lonely.h: why a node sees no others, as far as it can tell, in sentences with a remedy: who refuses connections, who is silent, who is of another grid or version, whether multicast
 * works. Nothing is said while a member is linked. Control thread. */
#ifndef GRID_SERVER_NODE_LONELY_H
#define GRID_SERVER_NODE_LONELY_H

#include "base/arena.h"
#include "server/node_internal.h"

enum { NODE_LONELY_MAX = 16 };

/* A dial to a place that was named has come to nothing. */
void node_lonely_missed(struct node *n, const char *address, enum members_dial_fault fault);
/* A node has refused this one, or was refused by it. */
void node_lonely_refused(struct node *n, struct slice reason, bool by_peer);
/* Multicast DNS: cannot be used (a clause), or NULL: it can. */
void node_lonely_mdns(struct node *n, const char *why);

/* At most NODE_LONELY_MAX sentences each, in the arena; what is there no memory for is left out. Faults are about what the operator named; hints about the rest. Return how many. */
size_t node_lonely_faults(const struct node *n, struct arena *arena, const char *out[NODE_LONELY_MAX]);
size_t node_lonely_hints(const struct node *n, struct arena *arena, const char *out[NODE_LONELY_MAX]);

#endif
