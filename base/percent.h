/* base/percent.h: percent-encoding in URLs (RFC 3986, section 2.1) and in gRPC's status message. Any thread. */
#ifndef GRID_BASE_PERCENT_H
#define GRID_BASE_PERCENT_H

#include "base/buf.h"

enum percent_plus {
    PERCENT_PLUS_AS_IS,    /* paths */
    PERCENT_PLUS_IS_SPACE, /* forms and queries */
};

/* Appends `in` decoded. GRID_EPROTO, with `out` unchanged, when a '%' has no two hexadecimal digits behind it; else as buf_append.
 * Any byte may come out, NUL and '/' too: split a path before decoding it, and check what must be text. */
int percent_decode(struct buf *out, struct slice in, enum percent_plus plus);

/* Appends `in` as one path segment or query value: all but RFC 3986's unreserved characters become %XX. */
int percent_encode(struct buf *out, struct slice in);

/* gRPC's "grpc-message": all but printable ASCII, and '%', become %XX. Results as buf_append; on an error part may have been
 * appended. */
int percent_encode_message(struct buf *out, struct slice in);

/* Its reverse. As the protocol demands, it never fails for what is malformed: that stays as it is. */
int percent_decode_message(struct buf *out, struct slice in);

#endif
