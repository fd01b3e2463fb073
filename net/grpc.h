/* net/grpc.h: gRPC over HTTP/2 as pure bytes: message framing, timeouts, statuses, metadata. No sockets, no clock.
 * Source: grpc/doc/PROTOCOL-HTTP2.md, PROTOCOL-WEB is not spoken. */
#ifndef GRID_NET_GRPC_H
#define GRID_NET_GRPC_H

#include "base/arena.h"
#include "base/buf.h"

/* Canonical status codes. */
enum grpc_status {
    GRPC_OK = 0, GRPC_CANCELLED = 1, GRPC_UNKNOWN = 2, GRPC_INVALID_ARGUMENT = 3, GRPC_DEADLINE_EXCEEDED = 4, GRPC_NOT_FOUND = 5,
    GRPC_ALREADY_EXISTS = 6, GRPC_PERMISSION_DENIED = 7, GRPC_RESOURCE_EXHAUSTED = 8, GRPC_FAILED_PRECONDITION = 9, GRPC_ABORTED = 10,
    GRPC_OUT_OF_RANGE = 11, GRPC_UNIMPLEMENTED = 12, GRPC_INTERNAL = 13, GRPC_UNAVAILABLE = 14, GRPC_DATA_LOSS = 15, GRPC_UNAUTHENTICATED = 16,
};

/* "NOT_FOUND" and so on; "UNKNOWN" for anything else. Static storage. */
const char *grpc_status_name(int status);
/* The gRPC status that an HTTP status without grpc-status stands for, and one for an HTTP/2 reset code (PROTOCOL-HTTP2, Errors). */
int grpc_status_from_http(int http_status);
int grpc_status_from_reset(uint32_t http2_code);

/* Parses grpc-timeout ("100m"): at most 8 digits and one of H M S m u n. Rounds up to milliseconds. 0, or GRID_EINVAL. */
int grpc_timeout_parse(struct slice text, uint64_t *ms);
/* Formats milliseconds; out holds at least 16 bytes. */
void grpc_timeout_format(uint64_t ms, char out[16]);

/* Cuts a byte stream into messages. */
struct grpc_deframer {
    struct buf buffer;
    size_t max_message; /* bytes after decompression as before it */
    bool compressed_allowed;
    bool gzip;
};
void grpc_deframer_init(struct grpc_deframer *d, size_t max_message, bool gzip);
void grpc_deframer_dispose(struct grpc_deframer *d);
/* Takes bytes in. 0, GRID_ELIMIT as soon as a prefix announces too much (before memory is taken), GRID_EPROTO (bad flag). */
int grpc_deframer_feed(struct grpc_deframer *d, struct slice bytes);
/* Takes the next whole message out: 0, GRID_EAGAIN when there is none, GRID_EPROTO (bad gzip), GRID_ELIMIT (inflates beyond the limit).
 * The slice lives until the next grpc_deframer_* call. */
int grpc_deframer_next(struct grpc_deframer *d, struct slice *message);
/* True when nothing of an unfinished message is held. */
bool grpc_deframer_empty(const struct grpc_deframer *d);

/* Appends one framed message, gzipped when asked (and when that makes it smaller). */
int grpc_frame(struct buf *out, struct slice message, bool gzip);

/* Percent-encodes and decodes grpc-message. */
int grpc_message_encode(struct slice text, struct buf *out);
int grpc_message_decode(struct slice text, struct buf *out);

#endif
