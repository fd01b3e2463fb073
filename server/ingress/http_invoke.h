/* server/ingress/http_invoke.h: POST /invoke/TASK[.HANDLER]: body in, the task's answer out, streamed as it comes. */
#ifndef GRID_SERVER_INGRESS_HTTP_INVOKE_H
#define GRID_SERVER_INGRESS_HTTP_INVOKE_H

#include "server/ingress/door.h"

/* Ended by a NULL path. */
extern const struct door HTTP_INVOKE[];

#endif
