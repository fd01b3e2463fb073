/* The public functions of net/http.h that only look something up or pass a call on to the protocol's table. */
#include <stdio.h>
#include <time.h>

#include "net/http_internal.h"

const struct http_server_limits HTTP_SERVER_LIMITS_DEFAULT = {
    .header_list_bytes = 16 * 1024,
    .streams = 100,
    .header_timeout_ms = 5000,
    .body_timeout_ms = 30000,
    .idle_timeout_ms = 600 * 1000,
    .unused_timeout_ms = 30 * 1000,
    .queue_bytes = 1024 * 1024,
};

struct slice http_header_find(const struct http_header *headers, size_t count, const char *name)
{
    size_t size = strlen(name);
    for (size_t i = 0; i < count; i++)
        if (headers[i].name.size == size && memcmp(headers[i].name.data, name, size) == 0)
            return headers[i].value.data ? headers[i].value : SLICE("");
    return slice_of(NULL, 0);
}

struct slice http_target_path(struct slice target)
{
    ptrdiff_t query = slice_find_byte(target, 0, '?');
    return query < 0 ? target : slice_first(target, (size_t) query);
}

struct slice http_target_query(struct slice target)
{
    ptrdiff_t query = slice_find_byte(target, 0, '?');
    return query < 0 ? slice_of(NULL, 0) : slice_from(target, (size_t) query + 1);
}

int64_t http_parse_content_length(struct slice value)
{
    uint64_t length;
    return slice_parse_u64(value, INT64_MAX, &length) == 0 ? (int64_t) length : -1;
}

/* strftime's names follow the locale; HTTP's do not (RFC 9110 5.6.7). */
struct slice http_date(void)
{
    static const char days[][4] = {"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"};
    static const char months[][4] = {"Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
    static _Thread_local char text[64];
    static _Thread_local time_t made_at;
    struct timespec now;
    struct tm tm;
    clock_gettime(CLOCK_REALTIME_COARSE, &now);
    if (now.tv_sec != made_at) {
        made_at = now.tv_sec;
        gmtime_r(&made_at, &tm);
        snprintf(text, sizeof text, "%s, %02d %s %04d %02d:%02d:%02d GMT", days[tm.tm_wday % 7], tm.tm_mday, months[tm.tm_mon % 12],
                 tm.tm_year + 1900, tm.tm_hour, tm.tm_min, tm.tm_sec);
    }
    return slice_of_str(text);
}

/* ---- exchanges ---- */

void http_exchange_bind(struct http_exchange *x, const struct http_exchange_events *events, void *ctx)
{
    x->events = events;
    x->ctx = ctx;
}

const struct http_request_head *http_exchange_head(const struct http_exchange *x)
{
    return &x->head;
}

enum http_protocol http_exchange_protocol(const struct http_exchange *x)
{
    return x->protocol;
}

struct conn *http_exchange_conn(struct http_exchange *x)
{
    return x->conn;
}

bool http_exchange_draining(const struct http_exchange *x)
{
    return http_server_draining(x->server);
}

bool http_exchange_bodyless(const struct http_exchange *x)
{
    return x->bodyless;
}

int64_t http_exchange_content_length(const struct http_exchange *x)
{
    return x->content_length;
}

void http_respond(struct http_exchange *x, int status, const struct http_header *headers, size_t count, struct slice body)
{
    x->ops->respond(x, status, headers, count, body);
}

void http_respond_begin(struct http_exchange *x, int status, const struct http_header *headers, size_t count)
{
    x->ops->respond_begin(x, status, headers, count);
}

void http_respond_data(struct http_exchange *x, struct slice bytes)
{
    x->ops->respond_data(x, bytes);
}

void http_respond_end(struct http_exchange *x, const struct http_header *trailers, size_t count)
{
    x->ops->respond_end(x, trailers, count);
}

void http_respond_head_only(struct http_exchange *x, int status, const struct http_header *headers, size_t count)
{
    x->ops->respond_head_only(x, status, headers, count);
}

void http_exchange_reset(struct http_exchange *x, uint32_t http2_code)
{
    x->ops->reset(x, http2_code);
}

size_t http_exchange_queued(const struct http_exchange *x)
{
    return x->ops->queued(x);
}

void http_exchange_pause(struct http_exchange *x)
{
    x->ops->pause(x);
}

void http_exchange_resume(struct http_exchange *x)
{
    x->ops->resume(x);
}

/* ---- calls and clients ---- */

int http_client_call(struct http_client *c, const struct http_request_head *head, struct slice body, bool more,
                     const struct http_call_events *events, void *ctx, struct http_call **out)
{
    return c->ops->call(c, head, body, more, events, ctx, out);
}

int http_call_data(struct http_call *c, struct slice bytes, bool last)
{
    return c->ops->data(c, bytes, last);
}

size_t http_call_queued(const struct http_call *c)
{
    return c->ops->queued(c);
}

void http_call_cancel(struct http_call *c)
{
    c->ops->cancel(c);
}

void http_call_pause(struct http_call *c)
{
    c->ops->pause(c);
}

void http_call_resume(struct http_call *c)
{
    c->ops->resume(c);
}

bool http_client_usable(const struct http_client *c)
{
    return c->ops->usable(c);
}

size_t http_client_active(const struct http_client *c)
{
    return c->ops->active(c);
}

void http_client_set_events(struct http_client *c, const struct http_client_events *events, void *ctx)
{
    c->events = events;
    c->ctx = ctx;
}

struct conn *http_client_conn(struct http_client *c)
{
    return c->conn;
}

struct slice http_client_authority(struct http_client *c)
{
    if (!c->authority[0])
        addr_format(conn_peer_addr(c->conn), c->authority);
    return slice_of_str(c->authority);
}

void http_client_finish(struct http_client *c)
{
    c->ops->finish(c);
}

void http_client_close(struct http_client *c)
{
    c->ops->close(c);
}

int64_t http_call_announced(const struct http_call *c)
{
    return c->announced;
}

/* ---- a request that nobody wants ---- */

static void unread_on_data(void *ctx, struct http_exchange *x, struct slice bytes)
{
    (void) ctx;
    (void) x;
    (void) bytes;
}

static void unread_on_end(void *ctx, struct http_exchange *x)
{
    (void) ctx;
    (void) x;
}

static void unread_on_close(void *ctx, struct http_exchange *x, int err)
{
    (void) ctx;
    (void) x;
    (void) err;
}

void http_answer_unread(struct http_exchange *x, int status, const struct http_header *headers, size_t count, struct slice body)
{
    static const struct http_exchange_events UNREAD = {
        .on_data = unread_on_data, .on_end = unread_on_end, .on_close = unread_on_close};
    http_exchange_bind(x, &UNREAD, NULL);
    http_respond(x, status, headers, count, body);
}
