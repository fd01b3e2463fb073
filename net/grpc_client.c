/* gRPC calls over an HTTP/2 client: one http_call each, with the status made out of trailers, heads, resets and lost
 * connections. */
#include "net/grpc_client.h"

#include <stdlib.h>

#include "base/err.h"

enum { METADATA_MAX = 32 };

struct grpc_client_call {
    struct http_call *http;
    const struct grpc_client_events *events;
    void *ctx;
    struct grpc_deframer in;
    struct buf out;
    struct buf message; /* grpc-message, decoded */
    struct buf alone; /* headers of a Trailers-Only answer that is not OK: each name and value with a NUL behind it */
    const struct http_header *trailers; /* inside on_close */
    size_t trailer_count;
    int64_t pushback_ms;
    int status;       /* the peer's grpc-status; -1 until it came */
    int fault;        /* our own judgement of its answer; 0 for none */
    int http_status;  /* 0 until the head came */
    bool grpc_answer; /* 200 and content-type application/grpc */
    bool cancelled;
};

/* ---- the answer ---- */

static void fail_call(struct grpc_client_call *call, int status, const char *message)
{
    if (call->fault != 0)
        return;
    call->fault = status;
    buf_clear(&call->message);
    buf_append_str(&call->message, message);
    http_call_cancel(call->http);
}

/* Of 32 bits, as gRPC's own libraries have it: what is made of it elsewhere overflows nothing. */
static int64_t parse_pushback(struct slice value)
{
    uint64_t ms;
    return slice_parse_u64(value, INT32_MAX, &ms) == 0 ? (int64_t) ms : -1;
}

/* Neither names nor values hold a NUL. */
static void keep_alone(struct grpc_client_call *call, const struct http_header *headers, size_t count)
{
    buf_clear(&call->alone);
    for (size_t i = 0; i < count; i++) {
        if (buf_reserve(&call->alone, headers[i].name.size + headers[i].value.size + 2) != 0)
            return;
        buf_append(&call->alone, headers[i].name);
        buf_append_byte(&call->alone, 0);
        buf_append(&call->alone, headers[i].value);
        buf_append_byte(&call->alone, 0);
    }
}

static struct slice find_alone(const struct grpc_client_call *call, const char *name)
{
    struct slice rest = buf_slice(&call->alone);
    while (rest.size > 0) {
        const char *found = (const char *) rest.data;
        size_t name_size = strlen(found), value_size = strlen(found + name_size + 1);
        if (strcmp(found, name) == 0)
            return slice_of(found + name_size + 1, value_size);
        rest = slice_from(rest, name_size + value_size + 2);
    }
    return slice_of(NULL, 0);
}

struct slice grpc_client_call_trailer(const struct grpc_client_call *call, const char *name)
{
    struct slice value = http_header_find(call->trailers, call->trailer_count, name);
    return value.data ? value : find_alone(call, name);
}

/* Takes status, message and pushback from trailers, or from a head that is all there is. */
static void take_status(struct grpc_client_call *call, const struct http_header *headers, size_t count)
{
    uint64_t status;
    struct slice text = http_header_find(headers, count, "grpc-status");
    if (!text.data || call->fault != 0)
        return;
    call->status = slice_parse_u64(text, INT32_MAX, &status) == 0 && status <= GRPC_UNAUTHENTICATED ? (int) status : GRPC_UNKNOWN;
    buf_clear(&call->message);
    grpc_message_decode(http_header_find(headers, count, "grpc-message"), &call->message);
    call->pushback_ms = parse_pushback(http_header_find(headers, count, "grpc-retry-pushback-ms"));
}

static void on_head(void *ctx, struct http_call *http, int status, const struct http_header *headers, size_t count)
{
    struct grpc_client_call *call = ctx;
    struct slice type = http_header_find(headers, count, "content-type");
    struct slice encoding = http_header_find(headers, count, "grpc-encoding");
    (void) http;
    call->http_status = status;
    call->grpc_answer = status == 200 && slice_has_prefix(type, SLICE("application/grpc"));
    call->in.gzip = slice_equal_str(encoding, "gzip");
    take_status(call, headers, count);
    if (call->status > GRPC_OK)
        keep_alone(call, headers, count);
    if (encoding.data && !call->in.gzip && !slice_equal_str(encoding, "identity"))
        fail_call(call, GRPC_INTERNAL, "the answer is compressed in a way that was not offered");
}

static void refuse_answer(struct grpc_client_call *call, int err)
{
    if (err == GRID_ELIMIT)
        fail_call(call, GRPC_RESOURCE_EXHAUSTED, "the answer's message is larger than the limit");
    else
        fail_call(call, GRPC_INTERNAL, "the answer's framing or compression is malformed");
}

static void on_data(void *ctx, struct http_call *http, struct slice bytes)
{
    struct grpc_client_call *call = ctx;
    struct slice message;
    (void) http;
    if (!call->grpc_answer || call->cancelled || call->fault != 0)
        return;
    int err = grpc_deframer_feed(&call->in, bytes);
    while (err == 0 && !call->cancelled) {
        err = grpc_deframer_next(&call->in, &message);
        if (err == 0)
            call->events->on_message(call->ctx, call, message);
    }
    if (err != 0 && err != GRID_EAGAIN)
        refuse_answer(call, err);
}

static void on_writable(void *ctx, struct http_call *http)
{
    struct grpc_client_call *call = ctx;
    (void) http;
    if (call->events->on_writable)
        call->events->on_writable(call->ctx, call);
}

/* ---- the end ---- */

static void say(struct grpc_client_call *call, const char *message)
{
    buf_clear(&call->message);
    buf_append_str(&call->message, message);
}

/* An answer that ended in order. */
static int status_of_answer(struct grpc_client_call *call)
{
    if (call->status == GRPC_OK && !grpc_deframer_empty(&call->in)) {
        say(call, "the answer ended inside a message");
        return GRPC_INTERNAL;
    }
    if (call->status >= 0)
        return call->status;
    if (call->http_status == 200 && call->grpc_answer) {
        say(call, "the answer ended without a status");
        return GRPC_INTERNAL;
    }
    buf_clear(&call->message);
    buf_printf(&call->message, "the answer is no gRPC: HTTP status %d", call->http_status);
    return grpc_status_from_http(call->http_status);
}

static int status_of_error(struct grpc_client_call *call, int err, uint32_t http2_code)
{
    buf_clear(&call->message);
    if (http2_code != 0) {
        buf_printf(&call->message, "the stream was reset with code %u", (unsigned) http2_code);
        return grpc_status_from_reset(http2_code);
    }
    say(call, err == GRID_EREFUSED ? "the connection was refused" : "the connection was lost");
    if (err == GRID_EPROTO)
        return GRPC_INTERNAL;
    return err == GRID_ELIMIT ? GRPC_RESOURCE_EXHAUSTED : GRPC_UNAVAILABLE;
}

static int final_status(struct grpc_client_call *call, int err, uint32_t http2_code)
{
    if (call->fault != 0)
        return call->fault;
    if (call->cancelled) {
        say(call, "the call was cancelled");
        return GRPC_CANCELLED;
    }
    return err == 0 || (call->status > 0 && http2_code == 0) ? status_of_answer(call) : status_of_error(call, err, http2_code);
}

static void call_free(struct grpc_client_call *call)
{
    grpc_deframer_dispose(&call->in);
    buf_dispose(&call->out);
    buf_dispose(&call->message);
    buf_dispose(&call->alone);
    free(call);
}

static void on_close(void *ctx, struct http_call *http, int err, enum http_sent sent, uint32_t http2_code,
                     const struct http_header *trailers, size_t count)
{
    struct grpc_client_call *call = ctx;
    (void) http;
    call->trailers = trailers;
    call->trailer_count = count;
    take_status(call, trailers, count);
    int status = final_status(call, err, http2_code);
    call->events->on_close(call->ctx, call, status, buf_slice(&call->message), sent, call->pushback_ms);
    call_free(call);
}

static const struct http_call_events CALL_EVENTS = {on_head, on_data, on_close, on_writable};

/* ---- the request ---- */

static const struct http_header FIXED[] = {
    {SLICE_INIT("content-type"), SLICE_INIT("application/grpc")},
    {SLICE_INIT("te"), SLICE_INIT("trailers")},
    {SLICE_INIT("grpc-accept-encoding"), SLICE_INIT("identity,gzip")},
};

enum { FIXED_COUNT = sizeof FIXED / sizeof FIXED[0] };

static struct grpc_client_call *call_create(size_t max_message, const struct grpc_client_events *events, void *ctx)
{
    struct grpc_client_call *call = calloc(1, sizeof *call);
    if (!call)
        return NULL;
    call->events = events;
    call->ctx = ctx;
    call->status = -1;
    call->pushback_ms = -1;
    grpc_deframer_init(&call->in, max_message, false);
    buf_init(&call->out, 0);
    buf_init(&call->message, 0);
    buf_init(&call->alone, 0);
    return call;
}

/* The fixed headers, the timeout and the caller's metadata; how many there are. */
static size_t gather_headers(struct http_header *out, uint64_t deadline_ms, char timeout[16], const struct http_header *metadata,
                             size_t count)
{
    size_t used = FIXED_COUNT;
    memcpy(out, FIXED, sizeof FIXED);
    if (deadline_ms > 0) {
        grpc_timeout_format(deadline_ms, timeout);
        out[used++] = (struct http_header){SLICE("grpc-timeout"), slice_of_str(timeout)};
    }
    for (size_t i = 0; i < count; i++)
        out[used++] = metadata[i];
    return used;
}

int grpc_client_call_start(struct http_client *c, const char *path, uint64_t deadline_ms, const struct http_header *metadata,
                           size_t count, struct slice message, bool more, size_t max_message,
                           const struct grpc_client_events *events, void *ctx, struct grpc_client_call **out)
{
    struct http_header headers[FIXED_COUNT + 1 + METADATA_MAX];
    char timeout[16];
    if (count > METADATA_MAX)
        return GRID_ELIMIT;
    struct grpc_client_call *call = call_create(max_message, events, ctx);
    if (!call)
        return GRID_ENOMEM;
    buf_set_wiped(&call->out, conn_is_wiped(http_client_conn(c)));
    struct http_request_head head = {.method = SLICE("POST"), .target = slice_of_str(path), .authority = http_client_authority(c)};
    head.headers = headers;
    head.header_count = gather_headers(headers, deadline_ms, timeout, metadata, count);
    int err = message.data || !more ? grpc_frame(&call->out, message, false) : 0;
    if (err == 0)
        err = http_client_call(c, &head, buf_slice(&call->out), more, &CALL_EVENTS, call, &call->http);
    if (err != 0) {
        call_free(call);
        return err;
    }
    *out = call;
    return 0;
}

int grpc_client_call_send(struct grpc_client_call *call, struct slice message)
{
    buf_clear(&call->out);
    int err = grpc_frame(&call->out, message, false);
    return err != 0 ? err : http_call_data(call->http, buf_slice(&call->out), false);
}

void grpc_client_call_half_close(struct grpc_client_call *call)
{
    http_call_data(call->http, slice_of(NULL, 0), true);
}

size_t grpc_client_call_queued(const struct grpc_client_call *call)
{
    return http_call_queued(call->http);
}

void grpc_client_call_cancel(struct grpc_client_call *call)
{
    call->cancelled = true;
    http_call_cancel(call->http);
}

void grpc_client_call_pause(struct grpc_client_call *call)
{
    http_call_pause(call->http);
}

void grpc_client_call_resume(struct grpc_client_call *call)
{
    http_call_resume(call->http);
}
