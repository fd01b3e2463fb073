/* server/ingress/http_ops.h: GET /metrics, /healthz, /readyz. */
#ifndef GRID_SERVER_INGRESS_HTTP_OPS_H
#define GRID_SERVER_INGRESS_HTTP_OPS_H

#include "server/ingress/door.h"

/* Ended by a NULL path. */
extern const struct door HTTP_OPS[];

#endif
