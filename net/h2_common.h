/* net/h2_common.h: what the HTTP/2 server and client share: header lists in and out, and the queue of a stream's body. */
#ifndef GRID_NET_H2_COMMON_H
#define GRID_NET_H2_COMMON_H

#include <nghttp2/nghttp2.h>

#include "base/arena.h"
#include "base/buf.h"
#include "net/http_internal.h"

enum {
    H2_STREAM_WINDOW = 1024 * 1024,
    H2_CONNECTION_WINDOW = 16 * 1024 * 1024,
    H2_OUT_HIGH = 256 * 1024,     /* more than this with the connection: frames wait in their streams */
    H2_QUEUE_LOW = 64 * 1024,     /* of one stream: on_writable */
    H2_CONTROL_QUEUE_MAX = 10000, /* frames nghttp2 may hold for a peer that does not read */
    H2_ARENA_BLOCK = 2048,
    H2_FRAME_HEAD = 9,
};

/* A received header list, copied into an arena. */
struct h2_fields {
    struct arena *arena;
    struct http_header *at;
    size_t count, capacity;
    size_t list_bytes; /* RFC 9113 6.5.2: name, value and 32 for each field */
};

/* Adds a copy. 0, GRID_ELIMIT beyond `max_bytes` or HTTP_HEADERS_MAX, GRID_ENOMEM. */
int h2_fields_add(struct h2_fields *f, struct slice name, struct slice value, size_t max_bytes);
/* Forgets the list and its memory. */
void h2_fields_reset(struct h2_fields *f);

/* A header list to send, on the caller's stack; nghttp2 copies it. */
struct h2_nv_list {
    nghttp2_nv at[HTTP_HEADERS_MAX + 8];
    size_t count;
};

/* Adds one field; a static name is not copied by nghttp2. What does not fit is dropped. */
void h2_nv_add(struct h2_nv_list *list, struct slice name, struct slice value, bool static_name);
/* Adds a caller's headers, without those that HTTP/2 forbids or that are net's own business (content-length, date). */
void h2_nv_add_all(struct h2_nv_list *list, const struct http_header *headers, size_t count);

/* Body bytes on their way out: what was sent stays in front until all is. */
struct h2_queue {
    struct buf bytes;
    size_t sent;
};

static inline size_t h2_queue_size(const struct h2_queue *q)
{
    return q->bytes.size - q->sent;
}
int h2_queue_append(struct h2_queue *q, struct slice bytes);
/* The next `size` bytes, which count as sent; valid until the next call. */
struct slice h2_queue_take(struct h2_queue *q, size_t size);
/* Keeps a small block for the next user. */
void h2_queue_reset(struct h2_queue *q);

/* nghttp2_session_server_new3 or nghttp2_session_client_new3. */
typedef int (*h2_session_new_fn)(nghttp2_session **out, const nghttp2_session_callbacks *callbacks, void *ctx, const nghttp2_option *option, nghttp2_mem *mem);

/* Makes a session on the thread's pool of blocks (net/h2_memory.h), and deletes it (NULL: nothing) on the same thread. 0 or GRID_ENOMEM. */
int h2_session_new(h2_session_new_fn create, const nghttp2_session_callbacks *callbacks, void *ctx, const nghttp2_option *option, nghttp2_session **out);
void h2_session_delete(nghttp2_session *ng);

/* Moves frames from nghttp2 into the connection's buffer until either has enough. 0, or GRID_EPROTO / GRID_ENOMEM. */
int h2_pump(nghttp2_session *ng, struct conn *conn);

/* The send_data callback's work: frame header and payload straight into the connection's buffer (no padding is ever asked for). 0 or
 * NGHTTP2_ERR_CALLBACK_FAILURE. A callback first says NGHTTP2_ERR_WOULDBLOCK while h2_is_full. */
static inline bool h2_is_full(const struct conn *conn)
{
    return conn_queued(conn) >= H2_OUT_HIGH;
}
int h2_write_data(struct conn *conn, const uint8_t *framehd, struct slice payload);

/* Trailers copied from the caller into `arena`; *out lives as long. False when out of memory. */
bool h2_trailers_copy(struct arena *arena, const struct http_header *trailers, size_t count, struct http_header **out);
int h2_submit_trailers(nghttp2_session *ng, int32_t stream_id, const struct http_header *trailers, size_t count);

#endif
