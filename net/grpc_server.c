/* gRPC services over exchanges: a head is judged, its method looked up, messages cut and counted, and the end said in trailers.
 *
 *   handle --judged--> on_call --messages--> half-closed --finish--> trailers handed down --> on_close, back to the free list
 *      \--refused: trailers-only, the handler never hears of it
 *
 * Calls are recycled with their buffers and arena, so that a steady load takes no memory. */
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/err.h"
#include "base/log.h"
#include "net/grpc_server.h"

enum {
    METADATA_MAX = 16,          /* headers, and trailers, that a handler adds */
    FREE_CALLS_MAX = 256,
    COMPRESS_MIN = 1024,        /* smaller messages do not gain */
    ARENA_BLOCK = 1024,
    OUT_KEPT = 64 * 1024,
    H2_CANCEL = 8,
};

struct metadata {
    struct http_header list[METADATA_MAX];
    size_t count;
};

struct grpc_call {
    struct grpc_server *server;
    struct http_exchange *x;
    const struct grpc_method *method;
    const struct grpc_call_events *events; /* NULL until bound */
    void *ctx;
    struct grpc_deframer in;
    size_t held;       /* of the server's budget */
    struct buf out;    /* the frame being built */
    struct buf packed; /* the same, gzipped */
    struct arena *arena; /* added metadata; made with the first */
    struct metadata headers, trailers;
    struct loop_timer timer;
    uint64_t deadline_ms; /* UINT64_MAX without one */
    bool accepts_gzip, compress;
    bool compress_wanted; /* ever, so that the head announces it */
    bool gzip_declared; /* grpc-encoding was sent */
    bool head_sent, finished, timed_out;
    struct grpc_call *next_free;
};

/* One row of the method table, found by the path's hash. */
struct method_slot {
    const struct grpc_method *method;
    const struct grpc_service *service;
    unsigned roles; /* who may call it over TLS */
};

struct grpc_server {
    struct loop *loop;
    grpc_roles_fn roles; /* NULL: nobody over TLS */
    size_t max_message;
    const char *limit_text;
    struct budget *budget; /* NULL: none */
    const struct grpc_service **services;
    size_t service_count;
    struct method_slot *slots; /* open addressing, a power of two, at most half full */
    size_t slot_count, method_count;
    struct grpc_call *free_calls;
    size_t free_count;
};

/* ---- services ---- */

static size_t path_hash(struct slice path)
{
    uint64_t hash = 0xcbf29ce484222325u; /* FNV-1a */
    for (size_t i = 0; i < path.size; i++)
        hash = (hash ^ path.data[i]) * 0x100000001b3u;
    return (size_t) (hash ^ hash >> 32);
}

static struct method_slot *slot_find(struct method_slot *slots, size_t count, struct slice path)
{
    size_t at = path_hash(path) & (count - 1);
    while (slots[at].method && !slice_equal_str(path, slots[at].method->path))
        at = (at + 1) & (count - 1);
    return &slots[at];
}

static unsigned roles_for(const struct grpc_server *s, struct slice path)
{
    return s->roles ? s->roles(path) : TLS_ROLE_NONE;
}

static void slots_fill(const struct grpc_server *s, struct method_slot *slots, size_t count, const struct grpc_service *service)
{
    for (size_t i = 0; i < service->method_count; i++) {
        const struct grpc_method *method = &service->methods[i];
        struct slice path = slice_of_str(method->path);
        *slot_find(slots, count, path) = (struct method_slot){method, service, roles_for(s, path)};
    }
}

int grpc_server_create(struct loop *l, size_t max_message, struct grpc_server **out)
{
    struct grpc_server *s = calloc(1, sizeof *s);
    if (!s)
        return GRID_ENOMEM;
    s->loop = l;
    s->max_message = max_message;
    *out = s;
    return 0;
}

void grpc_server_set_limit_text(struct grpc_server *s, const char *text)
{
    s->limit_text = text;
}

static void call_free(struct grpc_call *call)
{
    grpc_deframer_dispose(&call->in);
    buf_dispose(&call->out);
    buf_dispose(&call->packed);
    arena_destroy(call->arena);
    free(call);
}

void grpc_server_share(struct grpc_server *s, struct budget *budget)
{
    s->budget = budget;
}

void grpc_server_destroy(struct grpc_server *s)
{
    if (!s)
        return;
    while (s->free_calls) {
        struct grpc_call *call = s->free_calls;
        s->free_calls = call->next_free;
        call_free(call);
    }
    free(s->services);
    free(s->slots);
    free(s);
}

void grpc_server_set_roles(struct grpc_server *s, grpc_roles_fn roles)
{
    s->roles = roles;
}

int grpc_server_add(struct grpc_server *s, const struct grpc_service *service)
{
    size_t methods = s->method_count + service->method_count, count = 16;
    while (count < methods * 2)
        count *= 2;
    const struct grpc_service **services = realloc(s->services, (s->service_count + 1) * sizeof *services);
    if (!services)
        return GRID_ENOMEM;
    s->services = services;
    struct method_slot *slots = calloc(count, sizeof *slots);
    if (!slots)
        return GRID_ENOMEM;
    s->services[s->service_count++] = service;
    for (size_t i = 0; i < s->service_count; i++)
        slots_fill(s, slots, count, s->services[i]);
    free(s->slots);
    s->slots = slots;
    s->slot_count = count;
    s->method_count = methods;
    return 0;
}

size_t grpc_server_service_count(const struct grpc_server *s)
{
    return s->service_count;
}

const struct grpc_service *grpc_server_service(const struct grpc_server *s, size_t index)
{
    return s->services[index];
}

static const struct method_slot *method_find(const struct grpc_server *s, struct slice path)
{
    const struct method_slot *slot = s->slot_count > 0 ? slot_find(s->slots, s->slot_count, path) : NULL;
    return slot && slot->method ? slot : NULL;
}

/* ---- a call's memory ---- */

static struct grpc_call *call_take(struct grpc_server *s)
{
    struct grpc_call *call = s->free_calls;
    if (call) {
        s->free_calls = call->next_free;
        s->free_count--;
        return call;
    }
    call = calloc(1, sizeof *call);
    if (!call)
        return NULL;
    call->server = s;
    grpc_deframer_init(&call->in, 0, false);
    buf_init(&call->out, 0);
    buf_init(&call->packed, 0);
    return call;
}

/* Whether the request may take as much of the budget; 0 gives it all back. */
static bool call_hold(struct grpc_call *call, size_t size)
{
    return !call->server->budget || budget_set(call->server->budget, &call->held, size);
}

static void call_give_back(struct grpc_call *call)
{
    struct grpc_server *s = call->server;
    call_hold(call, 0);
    if (s->free_count >= FREE_CALLS_MAX) {
        call_free(call);
        return;
    }
    if (call->out.capacity > OUT_KEPT)
        buf_dispose(&call->out);
    buf_clear(&call->out);
    buf_dispose(&call->packed);
    if (call->arena)
        arena_reset(call->arena);
    grpc_deframer_reset(&call->in, 0, false);
    call->next_free = s->free_calls;
    s->free_calls = call;
    s->free_count++;
}

static void call_start(struct grpc_call *call, struct http_exchange *x, const struct grpc_method *method)
{
    call->x = x;
    call->method = method;
    call->events = NULL;
    call->ctx = NULL;
    call->headers.count = call->trailers.count = 0;
    call->deadline_ms = UINT64_MAX;
    call->accepts_gzip = call->compress = call->compress_wanted = call->gzip_declared = false;
    call->head_sent = call->finished = call->timed_out = false;
}

/* ---- answering ---- */

static const struct http_header CONTENT_TYPE = {SLICE_INIT("content-type"), SLICE_INIT("application/grpc")};
static const struct http_header ACCEPT_ENCODING = {SLICE_INIT("grpc-accept-encoding"), SLICE_INIT("identity,gzip")};
static const struct http_header GZIP_ENCODING = {SLICE_INIT("grpc-encoding"), SLICE_INIT("gzip")};

/* A list of headers that is put together for one call of net. */
struct header_list {
    struct http_header list[2 * METADATA_MAX + 8];
    size_t count;
};

static void list_add(struct header_list *l, struct http_header header)
{
    l->list[l->count++] = header;
}

static void list_add_metadata(struct header_list *l, const struct metadata *m)
{
    for (size_t i = 0; i < m->count; i++)
        l->list[l->count++] = m->list[i];
}

static void send_head(struct grpc_call *call)
{
    struct header_list l;
    l.count = 0;
    if (call->head_sent)
        return;
    call->head_sent = true;
    call->gzip_declared = call->compress_wanted && call->accepts_gzip;
    list_add(&l, CONTENT_TYPE);
    list_add(&l, ACCEPT_ENCODING);
    if (call->gzip_declared)
        list_add(&l, GZIP_ENCODING);
    list_add_metadata(&l, &call->headers);
    http_respond_begin(call->x, 200, l.list, l.count);
}

/* Says the status: in the trailers, or in the only head (Trailers-Only) when nothing was sent. */
static void send_status(struct grpc_call *call, struct slice status, struct slice message)
{
    struct header_list l;
    l.count = 0;
    if (!call->head_sent) {
        list_add(&l, CONTENT_TYPE);
        list_add(&l, ACCEPT_ENCODING);
        list_add_metadata(&l, &call->headers);
    }
    list_add(&l, (struct http_header){SLICE("grpc-status"), status});
    if (message.size > 0)
        list_add(&l, (struct http_header){SLICE("grpc-message"), message});
    list_add_metadata(&l, &call->trailers);
    if (call->head_sent)
        http_respond_end(call->x, l.list, l.count);
    else
        http_respond_head_only(call->x, 200, l.list, l.count);
}

void grpc_call_finish(struct grpc_call *call, int status, const char *message)
{
    char number[SLICE_U64_TEXT];
    if (call->finished)
        return;
    call->finished = true;
    loop_timer_stop(&call->timer);
    buf_clear(&call->out);
    if (message && grpc_message_encode(slice_of_str(message), &call->out) != 0)
        buf_clear(&call->out);
    send_status(call, slice_of_u64((uint64_t) status, number), buf_slice(&call->out));
}

/* Finishes with a sentence that quotes what the caller sent. */
static void refuse(struct grpc_call *call, int status, const char *before, struct slice what, const char *behind)
{
    char message[256];
    snprintf(message, sizeof message, "%s%.*s%s", before, what.size < 160 ? (int) what.size : 160, (const char *) what.data,
             behind);
    grpc_call_finish(call, status, message);
}

int grpc_call_send_begin(struct grpc_call *call, size_t message_bytes, uint8_t **at)
{
    if (call->finished)
        return GRID_ECLOSED;
    if (message_bytes > UINT32_MAX)
        return GRID_ELIMIT;
    buf_clear(&call->out);
    int err = buf_reserve(&call->out, GRPC_PREFIX_SIZE + message_bytes);
    if (err != 0)
        return err;
    call->out.size = GRPC_PREFIX_SIZE + message_bytes;
    grpc_prefix_write(call->out.data, false, (uint32_t) message_bytes);
    *at = call->out.data + GRPC_PREFIX_SIZE;
    return 0;
}

int grpc_call_send_commit(struct grpc_call *call)
{
    struct slice frame = buf_slice(&call->out);
    if (call->finished)
        return GRID_ECLOSED;
    send_head(call);
    if (call->compress && call->gzip_declared && frame.size > COMPRESS_MIN) {
        buf_clear(&call->packed);
        int err = grpc_frame(&call->packed, slice_from(frame, GRPC_PREFIX_SIZE), true);
        if (err != 0)
            return err;
        frame = buf_slice(&call->packed);
    }
    http_respond_data(call->x, frame);
    return 0;
}

int grpc_call_send(struct grpc_call *call, struct slice message)
{
    uint8_t *at;
    int err = grpc_call_send_begin(call, message.size, &at);
    if (err != 0)
        return err;
    if (message.size > 0)
        memcpy(at, message.data, message.size);
    return grpc_call_send_commit(call);
}

/* ---- what a handler asks and adds ---- */

void grpc_call_bind(struct grpc_call *call, const struct grpc_call_events *events, void *ctx)
{
    call->events = events;
    call->ctx = ctx;
}

const struct grpc_method *grpc_call_method(const struct grpc_call *call)
{
    return call->method;
}

const struct http_request_head *grpc_call_head(const struct grpc_call *call)
{
    return http_exchange_head(call->x);
}

struct slice grpc_call_metadata(const struct grpc_call *call, const char *name)
{
    const struct http_request_head *head = http_exchange_head(call->x);
    return http_header_find(head->headers, head->header_count, name);
}

struct conn *grpc_call_conn(struct grpc_call *call)
{
    return http_exchange_conn(call->x);
}

struct loop *grpc_call_loop(struct grpc_call *call)
{
    return call->server->loop;
}

bool grpc_call_draining(const struct grpc_call *call)
{
    return http_exchange_draining(call->x);
}

bool grpc_call_message_compressed(const struct grpc_call *call)
{
    return grpc_deframer_last_compressed(&call->in);
}

uint64_t grpc_call_time_left_ms(const struct grpc_call *call)
{
    uint64_t now = loop_now_ms(call->server->loop);
    if (call->deadline_ms == UINT64_MAX)
        return UINT64_MAX;
    return call->deadline_ms > now ? call->deadline_ms - now : 0;
}

static void metadata_add(struct grpc_call *call, struct metadata *m, struct slice name, struct slice value)
{
    if (!call->arena)
        call->arena = arena_create(ARENA_BLOCK, 0);
    struct http_header header = {{NULL, 0}, {NULL, 0}};
    if (call->arena && m->count < METADATA_MAX)
        header = (struct http_header){arena_copy(call->arena, name), arena_copy(call->arena, value)};
    if (header.name.data && header.value.data)
        m->list[m->count++] = header;
    else
        log_line(LOG_WARN, "metadata of an answer was left out: there is too much of it", LOGF_SLICE("name", name));
}

void grpc_call_add_header(struct grpc_call *call, struct slice name, struct slice value)
{
    metadata_add(call, &call->headers, name, value);
}

void grpc_call_add_trailer(struct grpc_call *call, struct slice name, struct slice value)
{
    metadata_add(call, &call->trailers, name, value);
}

void grpc_call_set_compress(struct grpc_call *call, bool compress)
{
    call->compress = compress;
    call->compress_wanted |= compress;
}

size_t grpc_call_queued(const struct grpc_call *call)
{
    return http_exchange_queued(call->x);
}

void grpc_call_pause(struct grpc_call *call)
{
    http_exchange_pause(call->x);
}

void grpc_call_resume(struct grpc_call *call)
{
    http_exchange_resume(call->x);
}

/* ---- the request's messages ---- */

/* A method's own limit is fixed; the server's is what its users may be told how to raise. */
static void refuse_size(struct grpc_call *call)
{
    char why[256];
    if (call->method->max_message || !call->server->limit_text)
        snprintf(why, sizeof why, "the request message is larger than %zu bytes: send less", call->in.max_message);
    else
        snprintf(why, sizeof why, "%s", call->server->limit_text);
    grpc_call_finish(call, GRPC_RESOURCE_EXHAUSTED, why);
}

static void refuse_stream(struct grpc_call *call, int err)
{
    if (err == GRID_ELIMIT)
        refuse_size(call);
    else if (err == GRID_ENOMEM)
        grpc_call_finish(call, GRPC_RESOURCE_EXHAUSTED, "out of memory for the request message");
    else
        grpc_call_finish(call, GRPC_INTERNAL, "the request message's framing or compression is malformed");
}

/* A method with one request: is there already more than that one? */
static bool has_second_message(const struct grpc_call *call)
{
    const struct buf *b = &call->in.buffer;
    if (b->size <= GRPC_PREFIX_SIZE)
        return false;
    size_t first = (size_t) b->data[1] << 24 | (size_t) b->data[2] << 16 | (size_t) b->data[3] << 8 | b->data[4];
    return b->size > GRPC_PREFIX_SIZE + first;
}

static void refuse_held(struct grpc_call *call)
{
    grpc_deframer_dispose(&call->in);
    grpc_call_finish(call, GRPC_RESOURCE_EXHAUSTED, "this node holds as many request bytes as it may: try again shortly");
}

/* Gives out the messages that are whole; stops when the handler finishes the call. */
static void deliver_messages(struct grpc_call *call)
{
    struct slice message;
    int err = 0;
    while (!call->finished && (err = grpc_deframer_next(&call->in, &message)) == 0)
        call->events->on_message(call->ctx, call, message);
    if (!call->finished && err != GRID_EAGAIN)
        refuse_stream(call, err);
}

static void on_data(void *ctx, struct http_exchange *x, struct slice bytes)
{
    struct grpc_call *call = ctx;
    (void) x;
    if (call->finished)
        return;
    int err = grpc_deframer_feed(&call->in, bytes);
    if (err != 0)
        refuse_stream(call, err);
    else if (!call_hold(call, call->in.buffer.size))
        refuse_held(call);
    else if (call->method->client_streams)
        deliver_messages(call);
    else if (has_second_message(call))
        grpc_call_finish(call, GRPC_UNIMPLEMENTED, "the method takes one request message, and more came");
}

/* The one message of a method that takes one (cardinality: grpc/doc/statuscodes.md). */
static void deliver_only_message(struct grpc_call *call)
{
    struct slice message;
    int err = grpc_deframer_next(&call->in, &message);
    if (err == GRID_EAGAIN && grpc_deframer_empty(&call->in))
        grpc_call_finish(call, GRPC_UNIMPLEMENTED, "the method takes one request message, and none came");
    else if (err != 0)
        refuse_stream(call, err);
    else
        call->events->on_message(call->ctx, call, message);
}

static void on_end(void *ctx, struct http_exchange *x)
{
    struct grpc_call *call = ctx;
    (void) x;
    if (!call->finished && !call->method->client_streams)
        deliver_only_message(call);
    else if (!call->finished && !grpc_deframer_empty(&call->in))
        refuse_stream(call, GRID_EPROTO);
    if (!call->finished && call->events->on_half_close)
        call->events->on_half_close(call->ctx, call);
}

static void on_writable(void *ctx, struct http_exchange *x)
{
    struct grpc_call *call = ctx;
    (void) x;
    if (!call->finished && call->events->on_writable)
        call->events->on_writable(call->ctx, call);
}

static void on_close(void *ctx, struct http_exchange *x, int err)
{
    struct grpc_call *call = ctx;
    (void) x;
    loop_timer_stop(&call->timer);
    if (call->timed_out)
        err = GRID_ETIMEOUT;
    else if (call->finished)
        err = 0;
    call->finished = true;
    if (call->events)
        call->events->on_close(call->ctx, call, err);
    call_give_back(call);
}

static void on_overdue(void *ctx, struct http_exchange *x, int status)
{
    struct grpc_call *call = ctx;
    (void) x;
    (void) status;
    if (!call->finished)
        grpc_call_finish(call, GRPC_UNAVAILABLE, "the request message did not arrive in time: try again");
}

/* A client's stream may be idle for as long as it likes; a method with one request has nothing to do before that is whole. */
static const struct http_exchange_events STREAM_EVENTS = {on_data, on_end, on_writable, on_close, NULL};
static const struct http_exchange_events ONE_MESSAGE_EVENTS = {on_data, on_end, on_writable, on_close, on_overdue};

/* ---- judging the head ---- */

/* The caller has given up: it is told so, unless it does not even read. */
static void on_deadline(void *arg)
{
    struct grpc_call *call = arg;
    bool stuck = http_exchange_queued(call->x) > 0;
    call->timed_out = true;
    grpc_call_finish(call, GRPC_DEADLINE_EXCEEDED, "the deadline passed");
    if (stuck)
        http_exchange_reset(call->x, H2_CANCEL);
}

static bool start_deadline(struct grpc_call *call)
{
    struct slice timeout = grpc_call_metadata(call, "grpc-timeout");
    uint64_t ms;
    if (!timeout.data)
        return true;
    if (grpc_timeout_parse(timeout, &ms) != 0) {
        refuse(call, GRPC_INTERNAL, "grpc-timeout '", timeout, "' is malformed");
        return false;
    }
    call->deadline_ms = loop_now_ms(call->server->loop) + ms;
    if (ms == 0) {
        grpc_call_finish(call, GRPC_DEADLINE_EXCEEDED, "the deadline passed");
        return false;
    }
    loop_timer_start(call->server->loop, &call->timer, ms, on_deadline, call);
    return true;
}

static bool list_names(struct slice list, const char *wanted)
{
    struct slice value;
    while (grpc_bin_next(&list, &value)) {
        if (slice_equal_str(value, wanted))
            return true;
    }
    return false;
}

static bool judge_encoding(struct grpc_call *call)
{
    struct slice encoding = grpc_call_metadata(call, "grpc-encoding");
    bool gzip = slice_equal_str(encoding, "gzip");
    size_t limit = call->method->max_message ? call->method->max_message : call->server->max_message;
    call->accepts_gzip = list_names(grpc_call_metadata(call, "grpc-accept-encoding"), "gzip");
    grpc_deframer_reset(&call->in, limit, gzip);
    grpc_deframer_set_wiped(&call->in, call->method->secret);
    if (call->method->secret)
        conn_set_wiped(grpc_call_conn(call));
    if (!encoding.data || gzip || slice_equal_str(encoding, "identity"))
        return true;
    refuse(call, GRPC_UNIMPLEMENTED, "grpc-encoding '", encoding, "' is not supported; identity and gzip are");
    return false;
}

struct role_name {
    unsigned role;
    const char *name;
};

/* "node or admin": what of `roles` a certificate could have. */
static void role_names(unsigned roles, char *out, size_t size)
{
    static const struct role_name NAMES[] = {{TLS_ROLE_NODE, "node"}, {TLS_ROLE_ADMIN, "admin"}, {TLS_ROLE_INVOKE, "invoke"}};
    size_t used = 0;
    snprintf(out, size, "that nobody has");
    for (size_t i = 0; i < sizeof NAMES / sizeof NAMES[0]; i++) {
        if (roles & NAMES[i].role)
            used += (size_t) snprintf(out + used, size - used, "%s%s", used > 0 ? " or " : "", NAMES[i].name);
    }
}

static bool judge_role(struct grpc_call *call, unsigned roles, struct slice path)
{
    const struct tls_peer *peer = conn_tls_peer(http_exchange_conn(call->x));
    if (!peer || (peer->roles & roles))
        return true;
    char names[64], message[256];
    role_names(roles, names, sizeof names);
    snprintf(message, sizeof message, "%.*s needs a certificate with the role %s", SLICE_FMT(path), names);
    grpc_call_finish(call, GRPC_PERMISSION_DENIED, message);
    return false;
}

static bool service_exists(const struct grpc_server *s, struct slice path)
{
    for (size_t i = 0; i < s->service_count; i++) {
        size_t size = strlen(s->services[i]->name);
        if (path.size > size + 1 && path.data[size + 1] == '/' && memcmp(path.data + 1, s->services[i]->name, size) == 0)
            return true;
    }
    return false;
}

static void call_begin(struct grpc_call *call, const struct method_slot *slot, struct slice path)
{
    unsigned roles = slot ? slot->roles : roles_for(call->server, path);
    if ((slot || roles) && !judge_role(call, roles, path))
        return;
    if (!slot) {
        refuse(call, GRPC_UNIMPLEMENTED, service_exists(call->server, path) ? "there is no method " : "there is no service for ",
               path, "");
        return;
    }
    if (!judge_encoding(call) || !start_deadline(call))
        return;
    slot->method->on_call(slot->service->ctx, call);
    assert(call->events || call->finished);
}

/* ---- what is refused before it is a call ---- */

static void ignore_data(void *ctx, struct http_exchange *x, struct slice bytes)
{
    (void) ctx;
    (void) x;
    (void) bytes;
}

static void ignore_end(void *ctx, struct http_exchange *x)
{
    (void) ctx;
    (void) x;
}

static void ignore_close(void *ctx, struct http_exchange *x, int err)
{
    (void) ctx;
    (void) x;
    (void) err;
}

static const struct http_exchange_events REFUSED_EVENTS = {.on_data = ignore_data, .on_end = ignore_end, .on_close = ignore_close};

static bool refuse_http(struct http_exchange *x, int status, struct slice sentence)
{
    struct http_header type = {SLICE("content-type"), SLICE("text/plain")};
    http_exchange_bind(x, &REFUSED_EVENTS, NULL);
    http_respond(x, status, &type, 1, sentence);
    return true;
}

/* application/grpc, also +proto and with parameters; not grpc-web. */
static bool is_grpc_type(struct slice type)
{
    struct slice prefix = SLICE("application/grpc");
    if (!slice_equal_nocase(slice_first(type, prefix.size), prefix))
        return false;
    return type.size == prefix.size || type.data[prefix.size] == '+' || type.data[prefix.size] == ';';
}

bool grpc_server_handle(struct grpc_server *s, struct http_exchange *x)
{
    const struct http_request_head *head = http_exchange_head(x);
    const struct method_slot *slot = method_find(s, head->target);
    struct slice type = http_header_find(head->headers, head->header_count, "content-type");
    bool begins = slice_equal_nocase(slice_first(type, 16), SLICE("application/grpc"));
    bool post = slice_equal_str(head->method, "POST");
    if (!begins && !(slot && post))
        return false;
    if (http_exchange_protocol(x) != HTTP_2)
        return refuse_http(x, 505, SLICE("gRPC is spoken over HTTP/2.\n"));
    if (!is_grpc_type(type))
        return refuse_http(x, 415, SLICE("gRPC asks for content-type application/grpc.\n"));
    if (!post)
        return refuse_http(x, 405, SLICE("gRPC calls are POST.\n"));
    struct grpc_call *call = call_take(s);
    if (!call)
        return refuse_http(x, 503, SLICE("Out of memory.\n"));
    call_start(call, x, slot ? slot->method : NULL);
    http_exchange_bind(x, slot && !slot->method->client_streams ? &ONE_MESSAGE_EVENTS : &STREAM_EVENTS, call);
    call_begin(call, slot, head->target);
    return true;
}
