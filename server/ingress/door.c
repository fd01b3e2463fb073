/* The plain HTTP doors' common life: body in, handler, answer out, memory gone when everything has ended. */
#include "server/ingress/door.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "server/ingress/guard.h"

enum { DOOR_ARENA_BLOCK = 2048, DOOR_FORM_FACTOR = 3, DOOR_ALLOW_MAX = 64, HELD_PUSHBACK_MS = 1000 };

static void request_free(struct door_request *r)
{
    budget_set(&r->ingress->held, &r->held, 0);
    buf_dispose(&r->body);
    buf_dispose(&r->answer);
    arena_destroy(r->arena);
    free(r);
}

static void request_maybe_free(struct door_request *r)
{
    if (!r->x && r->pending == 0)
        request_free(r);
}

void door_hold(struct door_request *r)
{
    r->pending++;
}

void door_release(struct door_request *r)
{
    r->pending--;
    request_maybe_free(r);
}

/* ---- answers ---- */

void door_answer(struct door_request *r, int status, const char *content_type, struct slice body)
{
    struct http_header header = {SLICE("content-type"), slice_of_str(content_type)};
    if (r->x)
        http_respond(r->x, status, &header, content_type ? 1 : 0, body);
}

void door_answer_json(struct door_request *r, int status, struct slice json)
{
    door_answer(r, status, "application/json", json);
}

static int error_json(struct buf *out, const char *code, const char *message)
{
    struct json_writer w;
    json_writer_init(&w, out);
    json_open_object(&w);
    json_write_key(&w, "error");
    json_open_object(&w);
    json_write_key(&w, "code");
    json_write_str(&w, code);
    json_write_key(&w, "message");
    json_write_str(&w, message);
    json_close_object(&w);
    json_close_object(&w);
    return json_writer_finish(&w);
}

void door_answer_error_with(struct door_request *r, int http_status, const char *code, const char *message, int64_t pushback_ms,
                            const struct http_header *extra, size_t count)
{
    struct buf json;
    char seconds[24];
    struct http_header headers[2 + DOOR_EXTRA_MAX] = {{SLICE("content-type"), SLICE("application/json")}};
    size_t n = 1;
    if (!r->x)
        return;
    for (size_t i = 0; i < count && i < DOOR_EXTRA_MAX; i++)
        headers[n++] = extra[i];
    snprintf(seconds, sizeof seconds, "%" PRId64, pushback_ms < 1000 ? 1 : (pushback_ms + 999) / 1000);
    if (pushback_ms >= 0)
        headers[n++] = (struct http_header){SLICE("retry-after"), slice_of_str(seconds)};
    buf_init(&json, 0);
    if (error_json(&json, code, message) == 0)
        http_respond(r->x, http_status, headers, n, buf_slice(&json));
    else
        http_respond(r->x, http_status, NULL, 0, slice_of(NULL, 0));
    buf_dispose(&json);
}

void door_answer_error(struct door_request *r, int http_status, const char *code, const char *message, int64_t pushback_ms)
{
    door_answer_error_with(r, http_status, code, message, pushback_ms, NULL, 0);
}

void door_answer_stray(struct http_exchange *x, int status, const char *code, const char *message, const char *allow)
{
    struct http_header headers[2] = {{SLICE("content-type"), SLICE("application/json")}, {SLICE("allow"), slice_of_str(allow)}};
    struct buf json;
    buf_init(&json, 0);
    if (error_json(&json, code, message) == 0)
        http_answer_unread(x, status, headers, allow ? 2 : 1, buf_slice(&json));
    else
        http_answer_unread(x, status, NULL, 0, slice_of(NULL, 0));
    buf_dispose(&json);
}

void door_refuse(struct door_request *r, int http_status, const char *code, const char *message)
{
    if (r->door->refuse)
        r->door->refuse(r, http_status, code, message);
    else
        door_answer_error(r, http_status, code, message, -1);
}

int door_status_of_fault(int grpc_status)
{
    switch (grpc_status) {
    case GRPC_NOT_FOUND:
        return 404;
    case GRPC_INVALID_ARGUMENT:
    case GRPC_FAILED_PRECONDITION:
    case GRPC_OUT_OF_RANGE:
        return 400;
    case GRPC_PERMISSION_DENIED:
        return 403;
    case GRPC_UNAUTHENTICATED:
        return 401;
    case GRPC_RESOURCE_EXHAUSTED:
        return 429;
    case GRPC_CANCELLED:
        return 499;
    case GRPC_INTERNAL:
    case GRPC_UNKNOWN:
    case GRPC_DATA_LOSS:
        return 502; /* the task's fault: garbage, too much, died in the middle */
    case GRPC_UNAVAILABLE:
        return 503;
    case GRPC_DEADLINE_EXCEEDED:
        return 504;
    case GRPC_UNIMPLEMENTED:
        return 501;
    default:
        return 500;
    }
}

/* ---- invocations ---- */

struct invocation *door_invocation(struct door_request *r, struct slice task, struct slice handler)
{
    struct invocation *inv = invocation_create();
    if (!inv) {
        door_refuse(r, 503, "UNAVAILABLE", "the node is out of memory: try again later");
        return NULL;
    }
    inv->task = task;
    inv->handler = handler;
    inv->payload = buf_slice(&r->body);
    inv->content_type = r->content_type;
    inv->deadline_ms = loop_now_ms(r->ingress->loop) + r->ingress->options.default_deadline_ms;
    inv->started_wall_ms = loop_wall_ms();
    inv->sink_ctx = r;
    r->inv = inv;
    return inv;
}

void door_invoke(struct door_request *r, const struct invocation_sink *sink)
{
    r->inv->sink = sink;
    door_hold(r);
    dispatch_start(r->ingress->dispatch, r->inv);
}

void door_invocation_ended(struct door_request *r)
{
    struct invocation *inv = r->inv;
    r->inv = NULL;
    invocation_destroy(inv);
    door_release(r);
}

static void collect_on_head(struct invocation *inv, const struct invocation_answer *answer)
{
    struct door_request *r = inv->sink_ctx;
    r->answer_status = answer->status;
    r->answer_type = arena_copy(r->arena, answer->content_type);
    r->answer_error = arena_copy(r->arena, answer->function_error);
    r->answer_node = answer->node;
    r->answer_attempts = answer->attempts;
}

static void collect_on_data(struct invocation *inv, struct slice bytes)
{
    struct door_request *r = inv->sink_ctx;
    if (buf_append(&r->answer, bytes) != 0)
        r->answer_too_large = true;
}

static void collect_on_end(struct invocation *inv, const struct invocation_fault *fault)
{
    struct door_request *r = inv->sink_ctx;
    const struct invocation_fault too_large = {.status = GRPC_INTERNAL,
                                               .message = "the task's answer is larger than --max-payload",
                                               .pushback_ms = -1,
                                               .node = r->answer_node,
                                               .attempts = r->answer_attempts};
    if (r->x)
        r->on_answer(r, !fault && r->answer_too_large ? &too_large : fault);
    door_invocation_ended(r);
}

static const struct invocation_sink COLLECT_SINK = {collect_on_head, collect_on_data, collect_on_end};

void door_invoke_collect(struct door_request *r, void (*on_answer)(struct door_request *r, const struct invocation_fault *fault))
{
    r->on_answer = on_answer;
    door_invoke(r, &COLLECT_SINK);
}

/* ---- questions ---- */

static void question_on_message(void *ctx, struct slice packed)
{
    struct door_request *r = ctx;
    r->replied = true;
    if (r->x && r->on_reply)
        r->on_reply(r, packed);
}

static void question_on_end(void *ctx, int status, const char *message)
{
    struct door_request *r = ctx;
    r->question = NULL;
    if (r->x && status == GRPC_OK && r->on_reply && !r->replied)
        r->on_replied(r, GRPC_INTERNAL, "the node gave no answer: see its log");
    else if (r->x)
        r->on_replied(r, status, message);
    door_release(r);
}

static const struct admin_events QUESTION_EVENTS = {question_on_message, question_on_end};

void door_ask(struct door_request *r, const char *method, struct slice request,
              void (*on_reply)(struct door_request *r, struct slice packed),
              void (*on_replied)(struct door_request *r, int status, const char *message))
{
    struct admin_caller caller;
    ingress_caller(http_exchange_conn(r->x), r->token, &caller);
    r->on_reply = on_reply;
    r->on_replied = on_replied;
    r->replied = false;
    if (admin_start(r->ingress->admin, r->ingress->loop, method, &caller, request, &QUESTION_EVENTS, r, &r->question) != 0) {
        door_refuse(r, 503, "UNAVAILABLE", "the node is out of memory: try again later");
        return;
    }
    door_hold(r);
}

/* ---- the request ---- */

bool door_body_json(const struct door_request *r, struct slice *raw)
{
    return json_validate(buf_slice(&r->body), raw, NULL) == 0;
}

/* What came of it, and what may still come. */
static void drop_body(struct door_request *r)
{
    r->body_unwanted = true;
    buf_dispose(&r->body);
    budget_set(&r->ingress->held, &r->held, 0);
}

static void refuse_body(struct door_request *r)
{
    drop_body(r);
    door_refuse(r, 413, "RESOURCE_EXHAUSTED", r->ingress->payload_limit);
}

/* 429 in the form of the grid's own routes, whatever the door. */
static void refuse_held(struct door_request *r)
{
    drop_body(r);
    door_answer_error(r, 429, "RESOURCE_EXHAUSTED", "this node holds as many request bytes as it may: try again shortly",
                      HELD_PUSHBACK_MS);
}

static void request_on_data(void *ctx, struct http_exchange *x, struct slice bytes)
{
    struct door_request *r = ctx;
    (void) x;
    if (r->body_unwanted)
        return;
    if (!budget_set(&r->ingress->held, &r->held, r->held + bytes.size))
        refuse_held(r);
    else if (buf_append(&r->body, bytes) != 0)
        refuse_body(r);
}

static void request_on_end(void *ctx, struct http_exchange *x)
{
    struct door_request *r = ctx;
    (void) x;
    if (!r->body_unwanted)
        r->door->handle(r);
}

static void request_on_writable(void *ctx, struct http_exchange *x)
{
    struct door_request *r = ctx;
    (void) x;
    if (r->inv)
        dispatch_resume(r->inv);
}

static void request_on_close(void *ctx, struct http_exchange *x, int err)
{
    struct door_request *r = ctx;
    (void) x;
    (void) err;
    r->x = NULL;
    r->head = NULL;
    r->pending++; /* what is cancelled may end inside */
    if (r->inv)
        dispatch_cancel(r->ingress->dispatch, r->inv);
    if (r->broadcast)
        dispatch_broadcast_cancel(r->broadcast);
    if (r->question)
        admin_cancel(r->question);
    door_release(r);
}

/* In the form of the grid's own routes, whatever the door. */
static void request_on_overdue(void *ctx, struct http_exchange *x, int status)
{
    struct door_request *r = ctx;
    (void) x;
    drop_body(r);
    if (status == 408)
        door_answer_error(r, status, "DEADLINE_EXCEEDED", "the rest of the request did not arrive in time: send it again", -1);
    else
        door_answer_error(r, status, "UNAVAILABLE", "this node stops before the request has arrived: send it to another", -1);
}

static const struct http_exchange_events REQUEST_EVENTS = {request_on_data, request_on_end, request_on_writable, request_on_close,
                                                           request_on_overdue};

static struct door_request *request_create(struct ingress *i, const struct door *door, struct http_exchange *x)
{
    struct door_request *r = calloc(1, sizeof *r);
    struct arena *arena = arena_create(DOOR_ARENA_BLOCK, 0);
    if (!r || !arena)
        abort(); /* a request of a few hundred bytes: the kernel would have ended us before */
    const struct http_request_head *head = http_exchange_head(x);
    *r = (struct door_request){.ingress = i, .door = door, .x = x, .head = head, .arena = arena};
    r->path = arena_copy(arena, http_target_path(head->target));
    r->query = arena_copy(arena, http_target_query(head->target));
    r->content_type = arena_copy(arena, http_header_find(head->headers, head->header_count, "content-type"));
    buf_init(&r->body, i->options.max_payload * (door->form_body ? DOOR_FORM_FACTOR : 1));
    buf_init(&r->answer, i->options.max_payload);
    http_exchange_bind(x, &REQUEST_EVENTS, r);
    return r;
}

static bool door_path_matches(const struct door *door, struct slice path)
{
    struct slice pattern = slice_of_str(door->path);
    return door->prefix ? path.size > pattern.size && slice_has_prefix(path, pattern) : slice_equal(path, pattern);
}

static void request_begin(struct ingress *i, const struct door *door, struct http_exchange *x, bool token)
{
    struct door_request *r = request_create(i, door, x);
    int64_t announced = http_exchange_content_length(x);
    r->token = token;
    if (announced > 0 && (uint64_t) announced > r->body.max_size) {
        refuse_body(r);
    } else if (!door->any_body_type && !guard_json_like(r->content_type)) {
        r->body_unwanted = true;
        door_refuse(r, 415, "INVALID_ARGUMENT",
                    "the body is marked as a form or as text, which is what curl does by itself: send Content-Type "
                    "application/json, or application/octet-stream for bytes");
    }
}

/* The token is set when any listener is beyond loopback; the Unix socket never asks for it, and a certificate stands for it. */
static bool asks_for_no_token(const struct ingress *i, const struct conn *c)
{
    return !i->options.api_token || conn_tls_peer(c) || conn_local_addr(c)->u.any.sa_family == AF_UNIX;
}

int door_guard(const struct ingress *i, const struct door *door, struct http_exchange *x, bool *token)
{
    const struct conn *c = http_exchange_conn(x);
    bool known = conn_tls_peer(c) || conn_local_addr(c)->u.any.sa_family == AF_UNIX; /* a rebound name has no certificate */
    struct guard_rules rules = {.hosts = i->options.api_hosts,
                                .loopback = asks_for_no_token(i, c),
                                .any_host = known || (door && door->any_host),
                                .no_token = door && door->no_token,
                                .token = i->options.api_token};
    const char *why;
    int status = guard_check(&rules, http_exchange_head(x), token, &why);
    if (status != 0)
        door_answer_stray(x, status, status == 401 ? "UNAUTHENTICATED" : "PERMISSION_DENIED", why, NULL);
    return status;
}

/* ---- which door ---- */

static bool door_takes_method(const struct door *door, struct slice method)
{
    return !door->method || slice_equal_str(method, door->method) ||
           (slice_equal_str(method, "HEAD") && strcmp(door->method, "GET") == 0);
}

/* The door of this path and method. NULL: none, and the methods that the path has are in `allow`, "" when it is no door's path. */
static const struct door *door_find(const struct door *doors, struct slice path, struct slice method, char allow[DOOR_ALLOW_MAX])
{
    size_t used = 0;
    allow[0] = '\0';
    for (const struct door *d = doors; d->path; d++) {
        if (!door_path_matches(d, path))
            continue;
        if (door_takes_method(d, method))
            return d;
        int wrote = snprintf(allow + used, DOOR_ALLOW_MAX - used, "%s%s%s", used ? ", " : "", d->method,
                             strcmp(d->method, "GET") ? "" : ", HEAD");
        used += wrote > 0 && (size_t) wrote < DOOR_ALLOW_MAX - used ? (size_t) wrote : 0;
    }
    return NULL;
}

bool door_open(struct ingress *i, const struct door *doors, struct http_exchange *x)
{
    const struct http_request_head *head = http_exchange_head(x);
    char allow[DOOR_ALLOW_MAX];
    bool token;
    const struct door *found = door_find(doors, http_target_path(head->target), head->method, allow);
    if (!found && allow[0] == '\0')
        return false;
    if (door_guard(i, found, x, &token) != 0)
        return true;
    if (found && !found->for_tasks && !ingress_may_look(i, http_exchange_conn(x), token))
        door_answer_stray(x, 403, "PERMISSION_DENIED", INGRESS_TASK_REFUSAL, NULL);
    else if (found)
        request_begin(i, found, x, token);
    else
        door_answer_stray(x, 405, "UNIMPLEMENTED",
                          "this path does not take that method: see Allow, and docs/http-api.md for the routes", allow);
    return true;
}
