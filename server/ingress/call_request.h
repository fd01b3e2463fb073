/* server/ingress/call_request.h: grid.v1.CallRequest to an invocation, with its limits. Pure. */
#ifndef GRID_SERVER_INGRESS_CALL_REQUEST_H
#define GRID_SERVER_INGRESS_CALL_REQUEST_H

#include "server/exec/invocation.h"

enum { CALL_TASK_MAX = 128, CALL_HANDLER_MAX = 256, CALL_METADATA_MAX = 64, CALL_METADATA_BYTES = 8192 };

/* Decodes a packed CallRequest into the invocation's request fields, in its arena (they borrow nothing of `packed`). *json tells
 * whether the input came as `json`. 0, or GRID_EPROTO with a sentence in *why (static). A message of more than 128 fields is
 * refused before memory is taken for it. */
int call_request_decode(struct slice packed, struct invocation *inv, bool *json, const char **why);

#endif
