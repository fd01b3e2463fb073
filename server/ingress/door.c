/* The plain HTTP doors' common life: body in, handler, answer out, memory gone when everything has ended. */
#include "server/ingress/door.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/err.h"
#include "server/ingress/guard.h"

enum { DOOR_ARENA_BLOCK = 2048, DOOR_FORM_FACTOR = 3 };

static void request_free(struct door_request *r)
{
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

void door_answer_error(struct door_request *r, int http_status, const char *code, const char *message, int64_t pushback_ms)
{
    struct buf json;
    struct json_writer w;
    char seconds[24];
    struct http_header headers[2] = {{SLICE("content-type"), SLICE("application/json")}, {SLICE("retry-after"), {0}}};
    if (!r->x)
        return;
    buf_init(&json, 0);
    json_writer_init(&w, &json);
    json_open_object(&w);
    json_write_key(&w, "error");
    json_open_object(&w);
    json_write_key(&w, "code");
    json_write_str(&w, code);
    json_write_key(&w, "message");
    json_write_str(&w, message);
    json_close_object(&w);
    json_close_object(&w);
    snprintf(seconds, sizeof seconds, "%" PRId64, pushback_ms < 1000 ? 1 : (pushback_ms + 999) / 1000);
    headers[1].value = slice_of_str(seconds);
    http_respond(r->x, http_status, headers, pushback_ms >= 0 ? 2 : 1, buf_slice(&json));
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
    static const struct invocation_fault TOO_LARGE = {.status = GRPC_INTERNAL, .message = "the task's answer is larger than --max-payload", .pushback_ms = -1};
    if (r->x)
        r->on_answer(r, !fault && r->answer_too_large ? &TOO_LARGE : fault);
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
    if (r->x && r->on_reply)
        r->on_reply(r, packed);
}

static void question_on_end(void *ctx, int status, const char *message)
{
    struct door_request *r = ctx;
    r->question = NULL;
    if (r->x)
        r->on_replied(r, status, message);
    door_release(r);
}

static const struct admin_events QUESTION_EVENTS = {question_on_message, question_on_end};

void door_ask(struct door_request *r, const char *method, struct slice request, void (*on_reply)(struct door_request *r, struct slice packed),
              void (*on_replied)(struct door_request *r, int status, const char *message))
{
    struct admin_caller caller;
    ingress_caller(http_exchange_conn(r->x), r->token, &caller);
    r->on_reply = on_reply;
    r->on_replied = on_replied;
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

static void request_on_data(void *ctx, struct http_exchange *x, struct slice bytes)
{
    struct door_request *r = ctx;
    (void) x;
    if (!r->body_too_large && buf_append(&r->body, bytes) == 0)
        return;
    if (!r->body_too_large) {
        char message[160];
        r->body_too_large = true;
        snprintf(message, sizeof message, "the body is larger than %zu bytes: send less, or start gridd with a larger --max-payload", r->body.max_size);
        door_refuse(r, 413, "RESOURCE_EXHAUSTED", message);
    }
}

static void request_on_end(void *ctx, struct http_exchange *x)
{
    struct door_request *r = ctx;
    (void) x;
    if (!r->body_too_large)
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
    r->x = NULL;
    r->head = NULL;
    r->pending++; /* what is cancelled may end inside */
    if (err != 0 && r->inv)
        dispatch_cancel(r->ingress->dispatch, r->inv);
    if (err != 0 && r->broadcast)
        dispatch_broadcast_cancel(r->broadcast);
    if (err != 0 && r->question)
        admin_cancel(r->question);
    door_release(r);
}

static const struct http_exchange_events REQUEST_EVENTS = {request_on_data, request_on_end, request_on_writable, request_on_close};

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
    buf_init(&r->body, door->any_body_type && door->refuse ? i->options.max_payload * DOOR_FORM_FACTOR : i->options.max_payload);
    buf_init(&r->answer, i->options.max_payload);
    http_exchange_bind(x, &REQUEST_EVENTS, r);
    return r;
}

static bool door_path_matches(const struct door *door, struct slice path)
{
    struct slice pattern = slice_of_str(door->path);
    return door->prefix ? path.size > pattern.size && slice_has_prefix(path, pattern) : slice_equal(path, pattern);
}

/* A refused request has no handler: its body is read and dropped. */
static void ignore_end(struct door_request *r)
{
    (void) r;
}

static void request_refuse_at_once(struct ingress *i, struct http_exchange *x, int status, const char *code, const char *message)
{
    static const struct door NO_DOOR = {.path = "", .handle = ignore_end};
    struct door_request *r = request_create(i, &NO_DOOR, x);
    r->body_too_large = true;
    door_answer_error(r, status, code, message, -1);
}

static void request_begin(struct ingress *i, const struct door *door, struct http_exchange *x, bool token)
{
    struct door_request *r = request_create(i, door, x);
    int64_t announced = http_exchange_content_length(x);
    r->token = token;
    if (announced > 0 && (uint64_t) announced > r->body.max_size) {
        char message[160];
        r->body_too_large = true;
        snprintf(message, sizeof message, "the body of %" PRId64 " bytes is larger than %zu: send less, or start gridd with a larger --max-payload",
                 announced, r->body.max_size);
        door_refuse(r, 413, "RESOURCE_EXHAUSTED", message);
    }
}

/* The token is set when any listener is beyond loopback; the Unix socket never asks for it. */
bool ingress_trusts_listener(const struct ingress *i, struct http_exchange *x)
{
    return !i->options.api_token || conn_local_addr(http_exchange_conn(x))->u.any.sa_family == AF_UNIX;
}

bool door_open(struct ingress *i, const struct door *doors, struct http_exchange *x)
{
    const struct http_request_head *head = http_exchange_head(x);
    struct slice path = http_target_path(head->target);
    struct guard_rules rules = {.hosts = i->options.api_hosts, .loopback = ingress_trusts_listener(i, x), .token = i->options.api_token};
    const struct door *found = NULL;
    const char *why;
    bool token, path_known = false;
    for (const struct door *d = doors; d->path && !found; d++) {
        if (!door_path_matches(d, path))
            continue;
        path_known = true;
        if (!d->method || slice_equal_str(head->method, d->method))
            found = d;
    }
    if (!path_known)
        return false;
    int status = guard_check(&rules, head, &token, &why);
    if (status != 0 && !(found && found->exempt)) {
        request_refuse_at_once(i, x, status, status == 401 ? "UNAUTHENTICATED" : "PERMISSION_DENIED", why);
        return true;
    }
    if (!found)
        request_refuse_at_once(i, x, 405, "UNIMPLEMENTED", "this path does not take that method: docs/http-api.md lists the routes");
    else if (!found->any_body_type && !guard_json_like(http_header_find(head->headers, head->header_count, "content-type")))
        request_refuse_at_once(i, x, 415, "INVALID_ARGUMENT", "forms and plain text are taken only on the original's routes: send JSON or application/octet-stream");
    else
        request_begin(i, found, x, token);
    return true;
}
