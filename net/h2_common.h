/* net/h2_common.h: what the HTTP/2 server and client share: header lists in and out, the two bodies of a stream, the making of a
 * session. */
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

/* One stream as both sides have it: a header list that comes, a body that goes and a body that comes. Part of a call or an
 * exchange. */
struct h2_stream {
    struct h2_fields fields;
    struct h2_queue out;
    size_t unconsumed; /* bytes handed on while paused: their window is withheld */
    int32_t id;
    bool ended;        /* nothing more is put into `out` */
    bool waiting;      /* nghttp2 was told that there is nothing to send now */
    bool low_due;      /* the writer is to hear when `out` is low again */
    bool paused;       /* the reader wants no more for now */
};

/* Zeroed at first. GRID_ENOMEM, or 0 with memory that h2_stream_reset keeps for the next use and h2_stream_dispose frees. */
int h2_stream_init(struct h2_stream *s);
void h2_stream_reset(struct h2_stream *s);
void h2_stream_dispose(struct h2_stream *s);

/* The read callback's work: how much of `out` is to be sent, with EOF in `flags` for the last of it, or NGHTTP2_ERR_DEFERRED. */
ssize_t h2_stream_ready(struct h2_stream *s, size_t length, uint32_t *flags);
/* Adds to `out`. 0 or GRID_ENOMEM. */
int h2_stream_put(struct h2_stream *s, struct slice bytes);
/* After more was put, or the end said: has nghttp2 ask again. */
void h2_stream_wake(struct h2_stream *s, nghttp2_session *ng);
/* True once when what is queued has fallen below H2_QUEUE_LOW and there may be more to come. */
bool h2_stream_ran_low(struct h2_stream *s);
/* Bytes were handed on: opens their window, now or with h2_stream_resume. */
void h2_stream_took(struct h2_stream *s, nghttp2_session *ng, size_t size);
void h2_stream_resume(struct h2_stream *s, nghttp2_session *ng);

/* What nghttp2 calls; NULL for what a side does not care about. */
struct h2_callbacks {
    nghttp2_on_begin_frame_callback on_begin_frame;
    nghttp2_on_begin_headers_callback on_begin_headers;
    nghttp2_on_header_callback on_header;
    nghttp2_on_frame_recv_callback on_frame;
    nghttp2_on_data_chunk_recv_callback on_data_chunk;
    nghttp2_on_stream_close_callback on_stream_closed;
    nghttp2_on_frame_send_callback on_frame_sent;
    nghttp2_on_frame_not_send_callback on_frame_not_sent;
    nghttp2_send_data_callback on_send_data;
    nghttp2_unpack_extension_callback on_unpack_extension;
};

/* nghttp2_session_server_new3 or nghttp2_session_client_new3. */
typedef int (*h2_session_new_fn)(nghttp2_session **out, const nghttp2_session_callbacks *callbacks, void *ctx,
                                 const nghttp2_option *option, nghttp2_mem *mem);

/* Makes a session on the thread's pool of blocks (net/h2_memory.h) whose first frames are these settings and the connection's
 * window, and deletes it (NULL: nothing) on the same thread. `adjust` sets the side's own options. 0 or GRID_ENOMEM; *out is to be
 * deleted even then. */
int h2_session_new(h2_session_new_fn create, const struct h2_callbacks *callbacks, void (*adjust)(nghttp2_option *option),
                   const nghttp2_settings_entry *settings, size_t setting_count, void *ctx, nghttp2_session **out);
void h2_session_delete(nghttp2_session *ng);

/* Moves frames from nghttp2 into the connection's buffer until either has enough. 0, or GRID_EPROTO / GRID_ENOMEM. */
int h2_pump(nghttp2_session *ng, struct conn *conn);

/* The send_data callback's work: frame header and payload straight into the connection's buffer (no padding is ever asked for). 0
 * or NGHTTP2_ERR_CALLBACK_FAILURE. A callback first says NGHTTP2_ERR_WOULDBLOCK while h2_is_full. */
static inline bool h2_is_full(const struct conn *conn)
{
    return conn_queued(conn) >= H2_OUT_HIGH;
}
int h2_write_data(struct conn *conn, const uint8_t *framehd, struct slice payload);

/* Trailers copied from the caller into `arena`; *out lives as long. False when out of memory. */
bool h2_trailers_copy(struct arena *arena, const struct http_header *trailers, size_t count, struct http_header **out);
int h2_submit_trailers(nghttp2_session *ng, int32_t stream_id, const struct http_header *trailers, size_t count);

#endif
