/* Header lists and bodies of HTTP/2 streams, and the making of their sessions. */
#include "net/h2_common.h"

#include "base/err.h"
#include "net/h2_memory.h"

enum { FIELDS_FIRST = 16, FIELD_OVERHEAD = 32, QUEUE_KEEP = 32 * 1024 };

static int fields_make_room(struct h2_fields *f)
{
    if (f->count < f->capacity)
        return 0;
    size_t capacity = f->capacity ? f->capacity * 2 : FIELDS_FIRST;
    struct http_header *at = arena_alloc(f->arena, capacity * sizeof *at);
    if (!at)
        return GRID_ENOMEM;
    if (f->count > 0)
        memcpy(at, f->at, f->count * sizeof *at);
    f->at = at;
    f->capacity = capacity;
    return 0;
}

int h2_fields_add(struct h2_fields *f, struct slice name, struct slice value, size_t max_bytes)
{
    f->list_bytes += name.size + value.size + FIELD_OVERHEAD;
    if (f->list_bytes > max_bytes || f->count >= HTTP_HEADERS_MAX)
        return GRID_ELIMIT;
    int err = fields_make_room(f);
    if (err != 0)
        return err;
    uint8_t *copy = arena_alloc(f->arena, name.size + value.size + 1); /* a value ends in a NUL that does not count */
    if (!copy)
        return GRID_ENOMEM;
    memcpy(copy, name.data, name.size);
    if (value.size > 0)
        memcpy(copy + name.size, value.data, value.size);
    copy[name.size + value.size] = '\0';
    f->at[f->count++] = (struct http_header){slice_of(copy, name.size), slice_of(copy + name.size, value.size)};
    return 0;
}

void h2_fields_reset(struct h2_fields *f)
{
    arena_reset(f->arena);
    f->at = NULL;
    f->count = f->capacity = f->list_bytes = 0;
}

void h2_nv_add(struct h2_nv_list *list, struct slice name, struct slice value, bool static_name)
{
    if (list->count == sizeof list->at / sizeof *list->at)
        return;
    list->at[list->count++] = (nghttp2_nv){
        .name = (uint8_t *) (uintptr_t) name.data,
        .namelen = name.size,
        .value = (uint8_t *) (uintptr_t) (value.data ? value.data : (const uint8_t *) ""),
        .valuelen = value.size,
        .flags = static_name ? NGHTTP2_NV_FLAG_NO_COPY_NAME : NGHTTP2_NV_FLAG_NONE,
    };
}

/* RFC 9113 8.2.2, and what this layer writes itself. */
static bool field_is_ours(struct slice name)
{
    static const char *const names[] = {"connection",     "keep-alive", "proxy-connection", "transfer-encoding", "upgrade",
                                        "content-length", "date"};
    if (name.size == 0 || name.data[0] == ':')
        return true;
    if (!strchr("ckptud", name.data[0]))
        return false;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (slice_equal_str(name, names[i]))
            return true;
    return false;
}

void h2_nv_add_all(struct h2_nv_list *list, const struct http_header *headers, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (!field_is_ours(headers[i].name))
            h2_nv_add(list, headers[i].name, headers[i].value, false);
}

int h2_queue_append(struct h2_queue *q, struct slice bytes)
{
    if (q->sent > 0 && q->sent >= q->bytes.size / 2) {
        buf_consume(&q->bytes, q->sent);
        q->sent = 0;
    }
    return buf_append(&q->bytes, bytes);
}

struct slice h2_queue_take(struct h2_queue *q, size_t size)
{
    struct slice taken = slice_of(q->bytes.data + q->sent, size);
    q->sent += size;
    return taken;
}

void h2_queue_reset(struct h2_queue *q)
{
    q->sent = 0;
    if (q->bytes.capacity > QUEUE_KEEP)
        buf_dispose(&q->bytes);
    else
        buf_clear(&q->bytes);
}

/* ---- one stream ---- */

int h2_stream_init(struct h2_stream *s)
{
    buf_init(&s->out.bytes, 0);
    s->fields.arena = arena_create(H2_ARENA_BLOCK, 0);
    return s->fields.arena ? 0 : GRID_ENOMEM;
}

void h2_stream_reset(struct h2_stream *s)
{
    h2_fields_reset(&s->fields);
    h2_queue_reset(&s->out);
    *s = (struct h2_stream){.fields = s->fields, .out = s->out};
}

void h2_stream_dispose(struct h2_stream *s)
{
    arena_destroy(s->fields.arena);
    buf_dispose(&s->out.bytes);
}

ssize_t h2_stream_ready(struct h2_stream *s, size_t length, uint32_t *flags)
{
    size_t ready = h2_queue_size(&s->out);
    if (ready == 0 && !s->ended) {
        s->waiting = true;
        return NGHTTP2_ERR_DEFERRED;
    }
    *flags |= NGHTTP2_DATA_FLAG_NO_COPY;
    if (ready > length)
        return (ssize_t) length;
    if (s->ended)
        *flags |= NGHTTP2_DATA_FLAG_EOF;
    return (ssize_t) ready;
}

int h2_stream_put(struct h2_stream *s, struct slice bytes)
{
    int err = h2_queue_append(&s->out, bytes);
    if (err == 0 && h2_queue_size(&s->out) >= H2_QUEUE_LOW)
        s->low_due = true;
    return err;
}

void h2_stream_wake(struct h2_stream *s, nghttp2_session *ng)
{
    if (!s->waiting)
        return;
    s->waiting = false;
    nghttp2_session_resume_data(ng, s->id);
}

bool h2_stream_ran_low(struct h2_stream *s)
{
    if (!s->low_due || h2_queue_size(&s->out) >= H2_QUEUE_LOW)
        return false;
    s->low_due = false;
    return !s->ended;
}

void h2_stream_took(struct h2_stream *s, nghttp2_session *ng, size_t size)
{
    if (s->paused)
        s->unconsumed += size;
    else
        nghttp2_session_consume_stream(ng, s->id, size);
}

void h2_stream_resume(struct h2_stream *s, nghttp2_session *ng)
{
    s->paused = false;
    if (s->unconsumed > 0)
        nghttp2_session_consume_stream(ng, s->id, s->unconsumed);
    s->unconsumed = 0;
}

/* ---- sessions ---- */

static int callbacks_make(const struct h2_callbacks *from, nghttp2_session_callbacks **out)
{
    nghttp2_session_callbacks *callbacks;
    if (nghttp2_session_callbacks_new(&callbacks) != 0)
        return GRID_ENOMEM;
    nghttp2_session_callbacks_set_on_begin_frame_callback(callbacks, from->on_begin_frame);
    nghttp2_session_callbacks_set_on_begin_headers_callback(callbacks, from->on_begin_headers);
    nghttp2_session_callbacks_set_on_header_callback(callbacks, from->on_header);
    nghttp2_session_callbacks_set_on_frame_recv_callback(callbacks, from->on_frame);
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(callbacks, from->on_data_chunk);
    nghttp2_session_callbacks_set_on_stream_close_callback(callbacks, from->on_stream_closed);
    nghttp2_session_callbacks_set_on_frame_send_callback(callbacks, from->on_frame_sent);
    nghttp2_session_callbacks_set_on_frame_not_send_callback(callbacks, from->on_frame_not_sent);
    nghttp2_session_callbacks_set_send_data_callback(callbacks, from->on_send_data);
    nghttp2_session_callbacks_set_unpack_extension_callback(callbacks, from->on_unpack_extension);
    *out = callbacks;
    return 0;
}

static int session_create(h2_session_new_fn create, const nghttp2_session_callbacks *callbacks, void *ctx,
                          const nghttp2_option *option, nghttp2_session **out)
{
    if (create(out, callbacks, ctx, option, h2_memory_take()) == 0)
        return 0;
    *out = NULL;
    h2_memory_release();
    return GRID_ENOMEM;
}

static int session_greet(nghttp2_session *ng, const nghttp2_settings_entry *settings, size_t count)
{
    if (nghttp2_submit_settings(ng, NGHTTP2_FLAG_NONE, settings, count) != 0)
        return GRID_ENOMEM;
    return nghttp2_session_set_local_window_size(ng, NGHTTP2_FLAG_NONE, 0, H2_CONNECTION_WINDOW) == 0 ? 0 : GRID_ENOMEM;
}

/* A session that could not greet is left in *out, for whoever deletes it anyway. */
int h2_session_new(h2_session_new_fn create, const struct h2_callbacks *callbacks, void (*adjust)(nghttp2_option *option),
                   const nghttp2_settings_entry *settings, size_t setting_count, void *ctx, nghttp2_session **out)
{
    nghttp2_session_callbacks *made = NULL;
    nghttp2_option *option = NULL;
    *out = NULL;
    int err = callbacks_make(callbacks, &made);
    if (err == 0 && nghttp2_option_new(&option) != 0)
        err = GRID_ENOMEM;
    if (err == 0) {
        nghttp2_option_set_no_auto_window_update(option, 1);
        adjust(option);
        err = session_create(create, made, ctx, option, out);
    }
    nghttp2_option_del(option);
    nghttp2_session_callbacks_del(made);
    return err == 0 ? session_greet(*out, settings, setting_count) : err;
}

void h2_session_delete(nghttp2_session *ng)
{
    if (!ng)
        return;
    nghttp2_session_del(ng);
    h2_memory_release();
}

int h2_pump(nghttp2_session *ng, struct conn *conn)
{
    struct buf *out = conn_out(conn);
    int err = 0;
    while (err == 0 && !h2_is_full(conn)) {
        const uint8_t *data;
        size_t before = out->size;
        ssize_t size = nghttp2_session_mem_send(ng, &data);
        if (size < 0)
            err = size == NGHTTP2_ERR_NOMEM ? GRID_ENOMEM : GRID_EPROTO;
        else if (size == 0 && out->size == before)
            break;
        else
            err = buf_append(out, slice_of(data, (size_t) size));
    }
    conn_flush_later(conn);
    return err;
}

int h2_write_data(struct conn *conn, const uint8_t *framehd, struct slice payload)
{
    struct buf *out = conn_out(conn);
    if (buf_reserve(out, H2_FRAME_HEAD + payload.size) != 0)
        return NGHTTP2_ERR_CALLBACK_FAILURE;
    buf_append(out, slice_of(framehd, H2_FRAME_HEAD));
    buf_append(out, payload);
    return 0;
}

bool h2_trailers_copy(struct arena *arena, const struct http_header *trailers, size_t count, struct http_header **out)
{
    struct http_header *copies = arena_alloc(arena, count * sizeof *copies);
    if (!copies)
        return false;
    for (size_t i = 0; i < count; i++) {
        copies[i].name = arena_copy(arena, trailers[i].name);
        copies[i].value = arena_copy(arena, trailers[i].value);
        if (!copies[i].name.data || !copies[i].value.data)
            return false;
    }
    *out = copies;
    return true;
}

int h2_submit_trailers(nghttp2_session *ng, int32_t stream_id, const struct http_header *trailers, size_t count)
{
    struct h2_nv_list list;
    list.count = 0;
    h2_nv_add_all(&list, trailers, count);
    return nghttp2_submit_trailer(ng, stream_id, list.at, list.count);
}
