/* server/node_logs.h: the method Logs of grid.v1.Control: lines of this node's tasks, and those of another member, which is asked. Control thread. */
#ifndef GRID_SERVER_NODE_LOGS_H
#define GRID_SERVER_NODE_LOGS_H

#include "server/admin.h"
#include "server/node_internal.h"

/* `node` is the struct node; as admin_method.handle. */
void node_control_logs(void *node, struct admin_call *call, struct slice request);
/* Ends the questions to members for whom `whom` says so. */
void node_logs_cut(struct node *n, bool (*whom)(const void *arg, const struct tls_peer *peer), const void *arg);
/* Ends what follows logs, which would hold up a drain, and the questions to other members. */
void node_logs_stop(struct node *n);

#endif
