/* POST /2015-03-31/functions/NAME/invocations and GET /2015-03-31/functions (Lambda API reference). RequestResponse and DryRun;
 * signatures are not verified, as on every local endpoint. */
#include "server/ingress/http_lambda.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

#include "api/pb.h"
#include "base/err.h"
#include "base/percent.h"
#include "grid/v1/control.pb-c.h"
#include "server/ingress/lambda_name.h"
#include "server/ingress/task_error.h"

#define LAMBDA_PREFIX "/2015-03-31/functions/"
#define LAMBDA_SUFFIX "/invocations"

struct lambda_request {
    struct slice name; /* as asked for */
    struct slice task, handler;
    uint64_t started_ms;
    char id[37]; /* an invocation's, once there is one */
};

/* ---- service errors ---- */

static void service_error(struct door_request *r, int status, const char *type, const char *message)
{
    const struct lambda_request *l = r->state;
    char id[37];
    invocation_new_id(id);
    struct http_header headers[4] = {{SLICE("content-type"), SLICE("application/json")},
                                     {SLICE("x-amzn-errortype"), slice_of_str(type)},
                                     {SLICE("x-amzn-requestid"), slice_of_str(l ? l->id : id)},
                                     {SLICE("retry-after"), SLICE("1")}};
    struct buf json;
    struct json_writer w;
    if (!r->x)
        return;
    buf_init(&json, 0);
    json_writer_init(&w, &json);
    json_open_object(&w);
    json_write_key(&w, "Type");
    json_write_str(&w, status >= 500 ? "Service" : "User");
    json_write_key(&w, "Message");
    json_write_str(&w, message);
    if (status == 429) {
        json_write_key(&w, "Reason");
        json_write_str(&w, "ConcurrentInvocationLimitExceeded");
    }
    json_close_object(&w);
    http_respond(r->x, status, headers, status == 429 ? 4 : 3, buf_slice(&json));
    buf_dispose(&json);
}

static void lambda_refuse(struct door_request *r, int http_status, const char *code, const char *message)
{
    (void) code;
    if (http_status == 413)
        service_error(r, 413, "RequestEntityTooLargeException", message);
    else if (http_status == 415)
        service_error(r, 415, "UnsupportedMediaTypeException", message);
    else if (http_status >= 500)
        service_error(r, 500, "ServiceException", message);
    else
        service_error(r, 400, "InvalidParameterValueException", message);
}

/* ---- function answers ---- */

/* `type` NULL: nothing follows that would have one. */
static void answer_typed(struct door_request *r, int status, const char *type, struct slice function_error, struct slice body)
{
    struct lambda_request *l = r->state;
    struct http_header headers[4] = {{SLICE("x-amz-executed-version"), SLICE("$LATEST")},
                                     {SLICE("x-amzn-requestid"), slice_of_str(l->id)}};
    size_t n = 2;
    if (type)
        headers[n++] = (struct http_header){SLICE("content-type"), slice_of_str(type)};
    if (function_error.size > 0)
        headers[n++] = (struct http_header){SLICE("x-amz-function-error"), function_error};
    if (r->x)
        http_respond(r->x, status, headers, n, body);
}

static void answer_function(struct door_request *r, int status, struct slice function_error, struct slice body)
{
    answer_typed(r, status, "application/json", function_error, body);
}

/* A payload is JSON: that of the task byte for byte, nothing as null, other text as a JSON string, other bytes as they are. */
static void answer_success(struct door_request *r, struct slice body)
{
    struct slice raw;
    struct buf json;
    buf_init(&json, 0);
    if (json_validate(body, &raw, NULL) == 0)
        answer_function(r, 200, slice_of(NULL, 0), body);
    else if (slice_trim(body).size == 0)
        answer_function(r, 200, slice_of(NULL, 0), SLICE("null"));
    else if (slice_is_utf8(body) && json_append_string(&json, body) == 0)
        answer_function(r, 200, slice_of(NULL, 0), buf_slice(&json));
    else
        answer_typed(r, 200, "application/octet-stream", slice_of(NULL, 0), body);
    buf_dispose(&json);
}

/* The wrappers' refusal of a handler has no frames: its sentence ends with the file's name. */
static bool is_missing_in_js(const struct task_error *error)
{
    return slice_equal_str(error->type, "HandlerNotFound") &&
           (slice_has_suffix(error->message, SLICE(".js")) || slice_has_suffix(error->message, SLICE(".mjs")) ||
            slice_has_suffix(error->message, SLICE(".cjs")));
}

/* True when the failure is JavaScript's (a mere value, or frames such as "at f (file:1:2)"): Node functions give their frames as
 * `trace`, others as `stackTrace`. */
static bool is_node_error(const struct task_error *error)
{
    for (size_t i = 0; i < error->stack_count; i++)
        if (!slice_has_prefix(error->stack[i], SLICE("at ")))
            return false;
    return error->stack_count > 0 || error->value.size > 0 || is_missing_in_js(error);
}

/* {"errorType","errorMessage","trace":["TypeError: text","    at f (file:1:2)"]} */
static int write_node_error(struct buf *out, const struct task_error *error)
{
    struct json_writer w;
    struct buf line;
    json_writer_init(&w, out);
    json_open_object(&w);
    json_write_key(&w, "errorType");
    json_write_string(&w, error->type);
    json_write_key(&w, "errorMessage");
    json_write_string(&w, error->message);
    json_write_key(&w, "trace");
    json_open_array(&w);
    for (size_t i = 0; error->stack_count > 0 && i <= error->stack_count; i++) {
        buf_init(&line, 0);
        buf_append(&line, i == 0 ? error->type : SLICE("    "));
        buf_append(&line, i == 0 ? SLICE(": ") : error->stack[i - 1]);
        buf_append(&line, i == 0 ? error->message : slice_of(NULL, 0));
        json_write_string(&w, buf_slice(&line));
        buf_dispose(&line);
    }
    json_close_array(&w);
    json_close_object(&w);
    return json_writer_finish(&w);
}

/* The wrapper's error document, as AWS's runtime of that language would have written it. */
static void answer_function_error(struct door_request *r, const struct task_error *error)
{
    struct buf json;
    buf_init(&json, 0);
    if (is_node_error(error) && write_node_error(&json, error) == 0)
        answer_function(r, 200, r->answer_error, buf_slice(&json));
    else
        answer_function(r, 200, r->answer_error, buf_slice(&r->answer));
    buf_dispose(&json);
}

static void answer_failure(struct door_request *r, const char *type, const char *message)
{
    struct buf json;
    struct json_writer w;
    buf_init(&json, 0);
    json_writer_init(&w, &json);
    json_open_object(&w);
    if (type) {
        json_write_key(&w, "errorType");
        json_write_str(&w, type);
    }
    json_write_key(&w, "errorMessage");
    json_write_str(&w, message);
    json_close_object(&w);
    answer_function(r, 200, SLICE("Unhandled"), buf_slice(&json));
    buf_dispose(&json);
}

static void answer_timeout(struct door_request *r)
{
    const struct lambda_request *l = r->state;
    char stamp[32], message[160];
    time_t now = (time_t) (loop_wall_ms() / 1000);
    struct tm utc;
    gmtime_r(&now, &utc);
    strftime(stamp, sizeof stamp, "%Y-%m-%dT%H:%M:%S.000Z", &utc);
    snprintf(message, sizeof message, "%s %s Task timed out after %.2f seconds", stamp, l->id,
             (double) (loop_now_ms(r->ingress->loop) - l->started_ms) / 1000);
    answer_failure(r, NULL, message);
}

static void answer_fault(struct door_request *r, const struct invocation_fault *fault)
{
    const struct lambda_request *l = r->state;
    switch (fault->status) {
    case GRPC_NOT_FOUND:
        service_error(r, 404, "ResourceNotFoundException", arena_printf(r->arena, "Function not found: %.*s", SLICE_FMT(l->name)));
        break;
    case GRPC_DEADLINE_EXCEEDED:
        answer_timeout(r);
        break;
    case GRPC_RESOURCE_EXHAUSTED:
        service_error(r, 429, "TooManyRequestsException", fault->message);
        break;
    case GRPC_INVALID_ARGUMENT:
        service_error(r, 400, "InvalidParameterValueException", fault->message);
        break;
    default:
        /* What the function may have begun is its failure: a ServiceException would make SDKs call again. */
        if (fault->unseen)
            service_error(r, 500, "ServiceException", fault->message);
        else
            answer_failure(r, "Runtime.ExitError", fault->message);
    }
}

static void on_answer(struct door_request *r, const struct invocation_fault *fault)
{
    struct task_error error;
    if (fault)
        answer_fault(r, fault);
    else if (!task_error_from_answer(r->arena, r->answer_status, r->answer_error, buf_slice(&r->answer), &error))
        answer_success(r, buf_slice(&r->answer));
    else if (r->answer_error.size > 0)
        answer_function_error(r, &error);
    else
        answer_failure(r, arena_str(r->arena, error.type), arena_str(r->arena, error.message));
}

/* ---- the request ---- */

/* The value of ?Qualifier=, empty when there is none. */
static struct slice query_qualifier(const struct door_request *r)
{
    static const struct slice KEY = SLICE_INIT("Qualifier=");
    struct slice rest = r->query;
    while (rest.size > 0) {
        ptrdiff_t end = slice_find_byte(rest, 0, '&');
        struct slice parameter = end < 0 ? rest : slice_first(rest, (size_t) end);
        if (slice_has_prefix(parameter, KEY))
            return slice_from(parameter, KEY.size);
        rest = end < 0 ? slice_of(NULL, 0) : slice_from(rest, (size_t) end + 1);
    }
    return rest;
}

static int decode(struct door_request *r, struct slice encoded, struct slice *out)
{
    struct buf decoded;
    buf_init(&decoded, 0);
    int err = percent_decode(&decoded, encoded, PERCENT_PLUS_AS_IS);
    *out = arena_copy(r->arena, buf_slice(&decoded));
    buf_dispose(&decoded);
    return err;
}

/* The function named in the path. There is one version of each, so that every well-formed qualifier means it. 0, or refused. */
static int read_name(struct door_request *r, struct lambda_request *l)
{
    struct slice segment = slice_from(r->path, sizeof LAMBDA_PREFIX - 1), text, qualifier, other;
    segment.size -= sizeof LAMBDA_SUFFIX - 1;
    int err = decode(r, segment, &text);
    if (err == 0)
        err = slice_is_utf8(text) ? lambda_name_parse(text, &l->name, &qualifier) : GRID_EINVAL;
    if (err == 0 && ingress_name_fault(l->name))
        err = GRID_EINVAL;
    if (err != 0) {
        service_error(r, 400, "InvalidParameterValueException", "the function's name is neither a name nor an ARN of a function");
        return err;
    }
    if (decode(r, query_qualifier(r), &other) != 0 || (other.size > 0 && !lambda_qualifier_valid(other)) ||
        (other.size > 0 && qualifier.size > 0 && !slice_equal(other, qualifier)))
        service_error(r, err = 400, "InvalidParameterValueException",
                      "The derived qualifier from the function name does not match the specified qualifier.");
    return err;
}

static void dry_run(struct door_request *r, const struct lambda_request *l)
{
    const struct route_table *t = ingress_table(r->ingress);
    if (t && route_table_task(t, l->task))
        answer_typed(r, 204, NULL, slice_of(NULL, 0), slice_of(NULL, 0));
    else
        answer_fault(r, &(struct invocation_fault){.status = GRPC_NOT_FOUND});
}

static void start(struct door_request *r, struct lambda_request *l, struct slice payload)
{
    struct invocation *inv = door_invocation(r, l->task, l->handler);
    if (!inv)
        return;
    memcpy(l->id, inv->id, sizeof l->id);
    l->started_ms = loop_now_ms(r->ingress->loop);
    inv->payload = payload;
    inv->content_type = SLICE("application/json");
    door_invoke_collect(r, on_answer);
}

static void start_as_asked(struct door_request *r, struct lambda_request *l)
{
    struct slice type = http_header_find(r->head->headers, r->head->header_count, "x-amz-invocation-type"), payload = SLICE("{}");
    if (slice_equal_str(type, "DryRun"))
        dry_run(r, l);
    else if (type.size > 0 && !slice_equal_str(type, "RequestResponse"))
        service_error(r, 400, "InvalidParameterValueException",
                      arena_printf(r->arena, "the invocation type %.*s is not taken: use RequestResponse or DryRun",
                                   SLICE_FMT(slice_first(type, 64))));
    else if (r->body.size > 0 && !door_body_json(r, &payload))
        service_error(r, 400, "InvalidRequestContentException",
                      "Could not parse request body into json: the payload is not one JSON value");
    else
        start(r, l, payload);
}

static void lambda_invoke(struct door_request *r)
{
    struct lambda_request *l = arena_calloc(r->arena, 1, sizeof *l);
    if (!l || !slice_has_suffix(r->path, SLICE(LAMBDA_SUFFIX)) || r->path.size < sizeof LAMBDA_PREFIX LAMBDA_SUFFIX - 1) {
        service_error(r, 404, "ResourceNotFoundException", "no such operation: POST " LAMBDA_PREFIX "NAME" LAMBDA_SUFFIX);
        return;
    }
    invocation_new_id(l->id);
    r->state = l;
    if (read_name(r, l) != 0)
        return;
    ingress_split_task(r->ingress, l->name, &l->task, &l->handler);
    start_as_asked(r, l);
}

/* ---- GET /2015-03-31/functions ---- */

static void write_function(struct json_writer *w, struct slice name)
{
    struct buf arn;
    buf_init(&arn, 0);
    buf_printf(&arn, "arn:aws:lambda:local:000000000000:function:%.*s", SLICE_FMT(name));
    json_open_object(w);
    json_write_key(w, "FunctionName");
    json_write_string(w, name);
    json_write_key(w, "FunctionArn");
    json_write_string(w, buf_slice(&arn));
    json_write_key(w, "Version");
    json_write_str(w, "$LATEST");
    json_write_key(w, "PackageType");
    json_write_str(w, "Zip");
    json_close_object(w);
    buf_dispose(&arn);
}

static void lambda_list(struct door_request *r)
{
    const struct route_table *t = ingress_table(r->ingress);
    struct buf out;
    struct json_writer w;
    buf_init(&out, 0);
    json_writer_init(&w, &out);
    json_open_object(&w);
    json_write_key(&w, "Functions");
    json_open_array(&w);
    for (size_t i = 0; t && i < t->task_count; i++)
        write_function(&w, slice_of_str(t->tasks[i].name));
    json_close_array(&w);
    json_write_key(&w, "NextMarker");
    json_write_null(&w);
    json_close_object(&w);
    door_answer_json(r, 200, buf_slice(&out));
    buf_dispose(&out);
}

const struct door HTTP_LAMBDA[] = {
    {.method = "POST", .path = LAMBDA_PREFIX, .prefix = true, .for_tasks = true, .handle = lambda_invoke, .refuse = lambda_refuse},
    {.method = "GET", .path = "/2015-03-31/functions", .any_body_type = true, .handle = lambda_list},
    {.method = "GET", .path = "/2015-03-31/functions/", .any_body_type = true, .handle = lambda_list},
    {0},
};
