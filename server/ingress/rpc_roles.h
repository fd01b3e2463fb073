/* server/ingress/rpc_roles.h: the one table of who may call which gRPC method over TLS. Pure. */
#ifndef GRID_SERVER_INGRESS_RPC_ROLES_H
#define GRID_SERVER_INGRESS_RPC_ROLES_H

#include "base/slice.h"

/* Roles (of net/tls.h's enum tls_role) that may call the method of this path, such as "/grid.v1.Invoke/Call"; 0: nobody. Of every
 * service of the node, whichever loop serves it: a grpc_roles_fn for both. */
unsigned rpc_roles(struct slice path);

#endif
