/* server/node_ask.h: one question of grid.v1.PeerTrust to another member, over a control connection of its own; and the service that answers them.
 * Control thread. */
#ifndef GRID_SERVER_NODE_ASK_H
#define GRID_SERVER_NODE_ASK_H

#include "net/grpc_server.h"
#include "server/node_internal.h"

/* `status` of enum grpc_status; GRPC_UNAVAILABLE when it cannot be reached. `answer` is the packed answer, borrowed; `message` a sentence. Exactly once, never inside. */
typedef void (*node_answer_fn)(struct node *n, void *arg, int status, struct slice answer, const char *message);

enum { NODE_ASK_MS = 5000 };
/* At an address of the control plane's choice; `path` is such as "/grid.v1.PeerTrust/Renew". Path and message are copied. 0, GRID_ENOMEM and errors of conn_dial. */
int node_ask_at(struct node *n, const struct member *who, const struct addr *at, const char *path, struct slice message, node_answer_fn fn, void *arg);
/* Where it says that it is reached; `method` is static: "Renew". Also GRID_EINVAL (no address). */
int node_ask(struct node *n, const struct member *who, const char *method, struct slice message, node_answer_fn fn, void *arg);
/* Ends the questions under way, as unanswered. */
void node_ask_stop(struct node *n);

const struct grpc_service *node_trust_service(struct node *n);

/* node_decide.c: the methods of grid.v1.Control about trust. */
struct admin_call;
void node_control_evict(void *node, struct admin_call *call, struct slice request);
void node_control_rotate(void *node, struct admin_call *call, struct slice request);
void node_control_set_password(void *node, struct admin_call *call, struct slice request);
/* Carries out a packed DecideRequest on this node, for an admin here or for one at another node; `done` exactly once, perhaps inside. */
void node_decide(struct node *n, struct slice packed, node_answer_fn done, void *arg);
/* Answers what is still under way, before those who asked are gone. */
void node_decide_stop(struct node *n);

#endif
