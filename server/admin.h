/* server/admin.h: the control thread's side of server/ingress/admin.h: a table of handlers, one per method of grid.v1.Control. */
#ifndef GRID_SERVER_ADMIN_H
#define GRID_SERVER_ADMIN_H

#include "server/ingress/admin.h"

struct admin_method {
    const char *name; /* "ListNodes" */
    bool writes;      /* needs root, the node's uid, the group gridcontrol, the token, or the role admin */
    bool tells;       /* what not everybody may read: needs the same on this machine; over TLS rpc_roles.h says who */
    /* Control thread. Must end with admin_finish, at once or later. `request` is borrowed for the call. */
    void (*handle)(void *ctx, struct admin_call *call, struct slice request);
};

/* `methods` is a table ended by a NULL name. `writers_group` may be (gid_t) -1. */
int admin_create(struct loop *control, const struct admin_method *methods, gid_t writers_group, void *ctx, struct admin **out);
/* The node stops: who waits to be looked up in the user database is refused, while the workers can still say so. */
void admin_stop(struct admin *a);
/* After the workers have ended, and admin_stop. */
void admin_destroy(struct admin *a);

/* Control thread. Sends one packed message (copied); after a cancel it is dropped. */
void admin_reply(struct admin_call *call, struct slice packed);
/* Ends it; `call` is gone for the handler. `message` may be NULL. */
void admin_finish(struct admin_call *call, int status, const char *message);
/* Whom to tell when the asker leaves before the end; the handler must still finish. */
void admin_on_cancel(struct admin_call *call, void (*fn)(void *arg, struct admin_call *call), void *arg);
bool admin_cancelled(const struct admin_call *call);
const struct admin_caller *admin_call_caller(const struct admin_call *call);

#endif
