/* POST /2015-03-31/functions/NAME/invocations and GET /2015-03-31/functions (Lambda API reference). RequestResponse and DryRun;
 * signatures are not verified, as on every local endpoint. */
#include "server/ingress/http_lambda.h"

#include <stdio.h>
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
    char id[37];
};

/* ---- service errors ---- */

static void service_error(struct door_request *r, int status, const char *type, const char *message)
{
    struct http_header headers[3] = {{SLICE("content-type"), SLICE("application/json")},
                                     {SLICE("x-amzn-errortype"), slice_of_str(type)},
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
    http_respond(r->x, status, headers, status == 429 ? 3 : 2, buf_slice(&json));
    buf_dispose(&json);
}

static void lambda_refuse(struct door_request *r, int http_status, const char *code, const char *message)
{
    (void) code;
    if (http_status == 413)
        service_error(r, 413, "RequestEntityTooLargeException", message);
    else if (http_status >= 500)
        service_error(r, 500, "ServiceException", message);
    else
        service_error(r, 400, "InvalidParameterValueException", message);
}

/* ---- function answers ---- */

static void answer_function(struct door_request *r, int status, struct slice function_error, struct slice body)
{
    struct lambda_request *l = r->state;
    struct http_header headers[4] = {{SLICE("content-type"), SLICE("application/json")},
                                     {SLICE("x-amz-executed-version"), SLICE("$LATEST")},
                                     {SLICE("x-amzn-requestid"), slice_of_str(l->id)},
                                     {SLICE("x-amz-function-error"), function_error}};
    if (r->x)
        http_respond(r->x, status, headers, function_error.size > 0 ? 4 : 3, body);
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
    case GRPC_INTERNAL:
        answer_failure(r, "Runtime.ExitError", fault->message);
        break;
    default:
        service_error(r, 500, "ServiceException", fault->message);
    }
}

static void on_answer(struct door_request *r, const struct invocation_fault *fault)
{
    struct task_error error;
    if (fault)
        answer_fault(r, fault);
    else if (!task_error_from_answer(r->arena, r->answer_status, r->answer_error, buf_slice(&r->answer), &error))
        answer_function(r, 200, slice_of(NULL, 0), buf_slice(&r->answer));
    else if (r->answer_error.size > 0)
        answer_function(r, 200, r->answer_error, buf_slice(&r->answer));
    else
        answer_failure(r, arena_str(r->arena, error.type), arena_str(r->arena, error.message));
}

/* ---- the request ---- */

/* The function named in the path. 0, or refused. */
static int read_name(struct door_request *r, struct lambda_request *l)
{
    struct slice segment = slice_from(r->path, sizeof LAMBDA_PREFIX - 1), qualifier;
    struct buf decoded;
    segment.size -= sizeof LAMBDA_SUFFIX - 1;
    buf_init(&decoded, 0);
    int err = percent_decode(&decoded, segment, PERCENT_PLUS_AS_IS);
    struct slice text = arena_copy(r->arena, buf_slice(&decoded));
    buf_dispose(&decoded);
    if (err == 0)
        err = slice_is_utf8(text) ? lambda_name_parse(text, &l->name, &qualifier) : GRID_EINVAL;
    if (err != 0)
        service_error(r, 400, "InvalidParameterValueException", "the function's name is neither a name nor an ARN of a function");
    else if (qualifier.size > 0 && !slice_equal_str(qualifier, "$LATEST"))
        service_error(r, err = 404, "ResourceNotFoundException",
                      arena_printf(r->arena, "Function not found: %.*s:%.*s", SLICE_FMT(l->name), SLICE_FMT(qualifier)));
    return err;
}

static void dry_run(struct door_request *r, const struct lambda_request *l)
{
    const struct route_table *t = ingress_table(r->ingress);
    if (t && route_table_task(t, l->task))
        answer_function(r, 204, slice_of(NULL, 0), slice_of(NULL, 0));
    else
        answer_fault(r, &(struct invocation_fault){.status = GRPC_NOT_FOUND});
}

static void lambda_invoke(struct door_request *r)
{
    struct slice type = http_header_find(r->head->headers, r->head->header_count, "x-amz-invocation-type"), raw;
    struct lambda_request *l = arena_calloc(r->arena, 1, sizeof *l);
    if (!slice_has_suffix(r->path, SLICE(LAMBDA_SUFFIX))) {
        service_error(r, 404, "ResourceNotFoundException", "no such operation: POST " LAMBDA_PREFIX "NAME" LAMBDA_SUFFIX);
        return;
    }
    r->state = l;
    if (!l || read_name(r, l) != 0)
        return;
    ingress_split_task(r->ingress, l->name, &l->task, &l->handler);
    if (slice_equal_str(type, "DryRun")) {
        snprintf(l->id, sizeof l->id, "00000000-0000-0000-0000-000000000000");
        dry_run(r, l);
    } else if (type.size > 0 && !slice_equal_str(type, "RequestResponse")) {
        service_error(r, 400, "InvalidParameterValueException",
                      "this version takes the invocation types RequestResponse and DryRun");
    } else if (r->body.size > 0 && !door_body_json(r, &raw)) {
        service_error(r, 400, "InvalidRequestContentException",
                      "Could not parse request body into json: the payload is not one JSON value");
    } else {
        struct invocation *inv = door_invocation(r, l->task, l->handler);
        if (!inv)
            return;
        snprintf(l->id, sizeof l->id, "%s", inv->id);
        l->started_ms = loop_now_ms(r->ingress->loop);
        inv->payload = r->body.size > 0 ? raw : SLICE("{}");
        inv->content_type = SLICE("application/json");
        door_invoke_collect(r, on_answer);
    }
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
    {.method = "POST", .path = LAMBDA_PREFIX, .prefix = true, .handle = lambda_invoke, .refuse = lambda_refuse},
    {.method = "GET", .path = "/2015-03-31/functions", .any_body_type = true, .handle = lambda_list},
    {.method = "GET", .path = "/2015-03-31/functions/", .any_body_type = true, .handle = lambda_list},
    {0},
};
