/* cli/broadcast.h: how an answer of a broadcast is shown: one line each. Pure. */
#ifndef GRID_CLI_BROADCAST_H
#define GRID_CLI_BROADCAST_H

#include <gridcontrol/client.h>

#include "base/buf.h"

/* {"node", "status", "request_id", "output", "error"} and a line end. JSON output stands as it came, other output as a string. */
void broadcast_write_json(const struct grid_result *result, struct buf *out);
/* "node1  output", control characters escaped so that it stays one line. */
void broadcast_write_line(const struct grid_result *result, struct buf *out);

#endif
