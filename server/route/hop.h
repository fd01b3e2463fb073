/* server/route/hop.h: an invocation on the wire between two nodes: CallRequest out; CallResponse, or CallChunks, in. Pure; everything
 * made lives in the invocation's arena.
 *
 * What a hop looks like (docs/flow-invoke.md): /grid.v1.Invoke/Call, or CallStream when the caller wants pieces, with the metadata
 * grid-hops: 1, grid-request-id, grid-from (the sender's name), traceparent, and the time left as grpc-timeout. In the answer `payload` is the
 * task's body as it came, with `status`, `content_type` and `release`; error.type (CallHead.function_error when streamed) is the function wrapper's mark "Handled"
 * or "Unhandled" and nothing else of `error` is set. Faults are statuses with the trailers grid-seen ("0": the task cannot have seen
 * the call) and grpc-retry-pushback-ms. Either ends with the trailer grid-load, how busy the node is with the task (route_load.h). */
#ifndef GRID_SERVER_ROUTE_HOP_H
#define GRID_SERVER_ROUTE_HOP_H

#include "server/exec/invocation.h"

enum { HOP_METADATA_MAX = 4 };

/* Packs the request. 0 or GRID_ENOMEM. */
int hop_pack_request(struct invocation *inv, struct slice *out);

/* The call's metadata; returns how many. `from` must outlive the call. */
size_t hop_metadata(const struct invocation *inv, struct slice from, struct http_header out[HOP_METADATA_MAX]);

struct hop_answer {
    int status; /* the task's */
    struct slice content_type;
    struct slice function_error;
    struct slice release; /* 64 hex digits, or empty from a node that does not tell */
    struct slice body;
};

/* Reads a CallResponse. The slices live in the arena. 0 or GRID_EPROTO (malformed, a status outside 200 to 999, a release that is no root, or a content type
 * or mark that no HTTP header could carry). */
int hop_unpack_response(struct arena *arena, struct slice message, struct hop_answer *out);

enum hop_part { HOP_HEAD, HOP_DATA, HOP_END };

/* Reads a CallChunk: HOP_HEAD fills all but the body, HOP_DATA only that. GRID_EPROTO as above. */
int hop_unpack_chunk(struct arena *arena, struct slice message, enum hop_part *part, struct hop_answer *out);

#endif
