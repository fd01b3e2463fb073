/* server/ingress/admin.h: how a worker's ingress reaches the control thread: every administrative question is a method of
 * grid.v1.Control, asked with its packed request and answered with packed messages, whether it came as gRPC or by one of the
 * original's routes. node.c implements it; calls and callbacks are on the worker's thread. */
#ifndef GRID_SERVER_INGRESS_ADMIN_H
#define GRID_SERVER_INGRESS_ADMIN_H

#include <stdbool.h>
#include <sys/types.h>

#include "base/slice.h"
#include "net/loop.h"

struct admin;      /* the control thread's side */
struct admin_call; /* one question under way */

enum { ADMIN_GROUPS_MAX = 256 };

/* Who asks, as far as the kernel can tell. */
struct admin_caller {
    bool uid_known;
    uid_t uid;
    gid_t gid;
    bool groups_known; /* its supplementary groups: told of processes at the Unix socket alone */
    size_t group_count;
    gid_t groups[ADMIN_GROUPS_MAX];
    bool remote;    /* came over mutual TLS */
    unsigned roles; /* of enum tls_role, when remote */
    bool token;     /* gave the API token */
};

struct admin_events {
    /* One packed message, borrowed for the call. Once for unary methods. */
    void (*on_message)(void *ctx, struct slice packed);
    /* Exactly once, last, also after admin_cancel. status of enum grpc_status. */
    void (*on_end)(void *ctx, int status, const char *message);
};

/* Asks. method is the bare name, such as "ListNodes"; request its packed message (copied). Events come later, never inside.
 * 0, GRID_ENOENT (no such method) or GRID_ENOMEM. */
int admin_start(struct admin *a, struct loop *from, const char *method, const struct admin_caller *caller, struct slice request,
                const struct admin_events *events, void *ctx, struct admin_call **out);
/* No more on_message; on_end comes with GRPC_CANCELLED. */
void admin_cancel(struct admin_call *call);

#endif
