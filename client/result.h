/* client/result.h: answers of Invoke as struct grid_result. Pure. */
#ifndef GRID_CLIENT_RESULT_H
#define GRID_CLIENT_RESULT_H

#include "client/gridcontrol/client.h"

#include "base/slice.h"

/* From a packed CallResponse. 0, GRID_EPROTO or GRID_ENOMEM. */
int result_from_response(struct slice packed, struct grid_result **out);

/* The packed head, data and end of a stream. */
struct result_stream {
    struct grid_result *result; /* NULL before the head */
    grid_data_fn on_data;
    void *ctx;
    bool is_cancelled; /* on_data said so */
    int err;           /* why take returned false otherwise */
};

/* Takes one packed CallChunk; false when the call is to be cancelled. */
bool result_stream_take(struct result_stream *s, struct slice packed);

#endif
