/* server/ingress/call_codec.h: a call's answer from a plain struct to grid.v1 messages. Pure. */
#ifndef GRID_SERVER_INGRESS_CALL_CODEC_H
#define GRID_SERVER_INGRESS_CALL_CODEC_H

#include "base/buf.h"
#include "server/ingress/task_error.h"

enum { CALL_DATA_MAX = 65536 }; /* bytes of a data chunk */

/* An answer to encode. Slices are borrowed. */
struct call_answer {
    bool json; /* output as `json` (must be UTF-8), otherwise as `payload` */
    struct slice output;
    struct slice content_type;
    int status;
    const struct task_error *error; /* NULL: none */
    struct slice node_packed;       /* a packed Host */
    struct slice request_id;
    struct slice release;
    uint32_t attempts;
    struct slice function_error; /* "Handled", "Unhandled" or empty: only in a head */
};

/* Bytes of the packed CallResponse, and writing exactly them. */
size_t call_response_size(const struct call_answer *a);
void call_response_write(const struct call_answer *a, uint8_t *at);

/* The pieces of a streamed answer, appended to `out` as packed CallChunks. 0 or GRID_ENOMEM. */
int call_chunk_head(const struct call_answer *a, struct buf *out);
int call_chunk_data(struct slice bytes, struct buf *out);
int call_chunk_end(const struct task_error *error, struct buf *out);

#endif
