/* net/grpc.h: gRPC over HTTP/2 as pure bytes: message framing, timeouts, statuses, metadata. No sockets, no clock.
 * Source: grpc/doc/PROTOCOL-HTTP2.md, PROTOCOL-WEB is not spoken. */
#ifndef GRID_NET_GRPC_H
#define GRID_NET_GRPC_H

#include "base/arena.h"
#include "base/buf.h"

/* Canonical status codes. */
enum grpc_status {
    GRPC_OK = 0,
    GRPC_CANCELLED = 1,
    GRPC_UNKNOWN = 2,
    GRPC_INVALID_ARGUMENT = 3,
    GRPC_DEADLINE_EXCEEDED = 4,
    GRPC_NOT_FOUND = 5,
    GRPC_ALREADY_EXISTS = 6,
    GRPC_PERMISSION_DENIED = 7,
    GRPC_RESOURCE_EXHAUSTED = 8,
    GRPC_FAILED_PRECONDITION = 9,
    GRPC_ABORTED = 10,
    GRPC_OUT_OF_RANGE = 11,
    GRPC_UNIMPLEMENTED = 12,
    GRPC_INTERNAL = 13,
    GRPC_UNAVAILABLE = 14,
    GRPC_DATA_LOSS = 15,
    GRPC_UNAUTHENTICATED = 16,
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

/* Cuts a byte stream into messages. The fields are its own but for max_message and gzip. */
struct grpc_deframer {
    struct buf buffer;
    size_t taken;       /* bytes of `buffer` already given out */
    size_t max_message; /* bytes before as after decompression */
    bool gzip;          /* grpc-encoding said gzip: the compressed flag may be set */
    struct buf inflated;
    struct z_stream_s *stream; /* made with the first compressed message */
    bool last_compressed;
};
void grpc_deframer_init(struct grpc_deframer *d, size_t max_message, bool gzip);
void grpc_deframer_dispose(struct grpc_deframer *d);
/* As new but for its memory. */
void grpc_deframer_reset(struct grpc_deframer *d, size_t max_message, bool gzip);
/* Whether what it held is overwritten, as buf_set_wiped. */
void grpc_deframer_set_wiped(struct grpc_deframer *d, bool wiped);
/* Takes bytes in; a slice of grpc_deframer_next is gone then. 0, GRID_ELIMIT as soon as a prefix announces too much (before memory
 * is taken for it), GRID_EPROTO (bad flag, or compressed without gzip), GRID_ENOMEM. */
int grpc_deframer_feed(struct grpc_deframer *d, struct slice bytes);
/* Takes the next whole message out: 0, GRID_EAGAIN when there is none, GRID_EPROTO (bad gzip), GRID_ELIMIT (too long, or inflates
 * beyond the limit; at most limit + 1 bytes are ever inflated). The slice lives until the next grpc_deframer_* call. */
int grpc_deframer_next(struct grpc_deframer *d, struct slice *message);
/* True when the last message given out had come compressed. */
bool grpc_deframer_last_compressed(const struct grpc_deframer *d);
/* True when nothing of an unfinished message is held. */
bool grpc_deframer_empty(const struct grpc_deframer *d);

/* Appends one framed message, gzipped when asked (and when that makes it smaller). */
int grpc_frame(struct buf *out, struct slice message, bool gzip);

/* Percent-encodes and decodes grpc-message (all but printable ASCII, and '%'); a malformed escape is kept as it is. Append; 0 or
 * GRID_ENOMEM. */
int grpc_message_encode(struct slice text, struct buf *out);
int grpc_message_decode(struct slice text, struct buf *out);

/* Values of "-bin" metadata: base64, written unpadded, read padded or not. Append. 0, GRID_EINVAL (decoding) or GRID_ENOMEM. */
int grpc_bin_encode(struct slice bytes, struct buf *out);
int grpc_bin_decode(struct slice text, struct buf *out);
/* Cuts the next value off a comma-joined list; false when it is empty. */
bool grpc_bin_next(struct slice *list, struct slice *value);

/* Puts flag and length before a message that is written in place: 5 bytes at `at`. */
enum { GRPC_PREFIX_SIZE = 5 };
void grpc_prefix_write(uint8_t at[GRPC_PREFIX_SIZE], bool compressed, uint32_t size);

#endif
