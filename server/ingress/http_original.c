/* The original's routes, byte for byte as the grid-api client of npm and plain curl send them (CONTRACT.md). */
#include "server/ingress/http_original.h"

#include <stdio.h>

#include "api/pb.h"
#include "base/err.h"
#include "base/form.h"
#include "grid/v1/control.pb-c.h"
#include "server/ingress/guard.h"
#include "server/ingress/host_json.h"
#include "server/ingress/task_error.h"
#include "server/supervise/supervisor.h"

/* ---- bodies: JSON or form, both end as one JSON object ---- */

/* 0 and the object (in the arena), or a sentence in `why`. An empty body is an empty object. */
static int read_object(struct door_request *r, struct slice *object, const char **why)
{
    if (slice_trim(buf_slice(&r->body)).size == 0) {
        *object = SLICE("{}");
        return 0;
    }
    if (guard_media_type_is(r->content_type, "application/x-www-form-urlencoded")) {
        struct buf json;
        struct form_error error;
        buf_init(&json, r->body.max_size);
        int err = form_to_json(buf_slice(&r->body), &json, &error);
        *object = err == 0 ? arena_copy(r->arena, buf_slice(&json)) : slice_of(NULL, 0);
        buf_dispose(&json);
        if (err == GRID_EPROTO)
            *why = arena_printf(r->arena, "the form is malformed: parameter %zu %s", error.parameter, error.reason);
        else if (err != 0)
            *why = "the form has more than 1,000 parameters, or is nested deeper than 20 brackets: send JSON";
        return err;
    }
    size_t at;
    int err = json_validate(buf_slice(&r->body), object, &at);
    if (err != 0)
        *why = arena_printf(r->arena, "the body is not valid JSON (at byte %zu): send a JSON object or a form", at);
    else if (json_type(*object) != JSON_OBJECT) {
        err = GRID_EPROTO;
        *why = "the body is not a JSON object: send {\"task_id\": ..., \"data\": ...}";
    }
    return err;
}

static struct slice string_of(struct door_request *r, struct slice object, const char *key)
{
    struct slice raw, text = {0};
    if (json_object_get(object, key, &raw) == 0)
        (void) json_string_decode(raw, r->arena, &text);
    return text;
}

/* A number, or a string of digits as forms send it. */
static bool number_read(struct door_request *r, struct slice raw, uint64_t max, uint64_t *out)
{
    struct slice text;
    int64_t number;
    if (json_int_decode(raw, 0, (int64_t) max, &number) == 0) {
        *out = (uint64_t) number;
        return true;
    }
    return json_string_decode(raw, r->arena, &text) == 0 && slice_parse_u64(text, max, out) == 0;
}

/* What forms, and JavaScript's callers, send for a member that is not set. */
static bool is_unset(struct slice raw)
{
    return json_type(raw) == JSON_NULL || slice_equal(raw, SLICE("\"\"")) || slice_equal(raw, SLICE("{}"));
}

enum { TIMEOUT_MAX_MS = 24 * 3600 * 1000, ENV_MAX = 512 /* a release takes as many */ };

/* ---- {err, data, server} ---- */

struct trigger_answer {
    int status;
    struct slice type, function_error, body;
    const struct route_node *node;
    const struct invocation_fault *fault; /* of the grid; NULL when a task answered */
};

static void write_server(struct json_writer *w, const struct route_node *node)
{
    struct buf aged;
    buf_init(&aged, 0);
    json_write_key(w, "server");
    if (node && host_json_append_aged(&aged, node->host_json, loop_wall_ms()) == 0)
        json_write_raw(w, buf_slice(&aged));
    else
        json_write_null(w);
    buf_dispose(&aged);
}

/* {name, message, code, stack}: code is raw JSON, null when empty; the stack as JavaScript has it, "NAME: MESSAGE" and the frames.
 */
static void write_error(struct json_writer *w, struct slice name, struct slice message, struct slice code,
                        const struct task_error *error)
{
    struct buf stack;
    buf_init(&stack, 0);
    buf_append(&stack, name);
    buf_append_str(&stack, ": ");
    buf_append(&stack, message);
    for (size_t i = 0; error && i < error->stack_count; i++) {
        buf_append_str(&stack, "\n    ");
        buf_append(&stack, error->stack[i]);
    }
    json_write_key(w, "err");
    json_open_object(w);
    json_write_key(w, "name");
    json_write_string(w, name);
    json_write_key(w, "message");
    json_write_string(w, message);
    json_write_key(w, "code");
    json_write_raw(w, code.size > 0 ? code : SLICE("null"));
    json_write_key(w, "stack");
    json_write_string(w, buf_slice(&stack));
    json_close_object(w);
    buf_dispose(&stack);
}

static void write_fault(struct arena *arena, struct json_writer *w, int status, const char *message)
{
    const char *code = status == GRPC_DEADLINE_EXCEEDED ? "ETIMEDOUT" : grpc_status_name(status);
    write_error(w, SLICE("Error"), slice_of_str(message), slice_of_str(arena_printf(arena, "\"%s\"", code)), NULL);
    json_write_key(w, "data");
    json_write_null(w);
}

static void write_failure(struct json_writer *w, const struct task_error *error)
{
    if (error->value.size > 0) {
        json_write_key(w, "err");
        json_write_raw(w, error->value);
    } else {
        write_error(w, error->type, error->message, error->code, error);
    }
    json_write_key(w, "data");
    json_write_null(w);
}

/* The members of an answer without `err` and `data` stand at the top level too, as the original merged them. */
static void write_merged(struct arena *arena, struct json_writer *w, struct slice object)
{
    struct json_iter members;
    struct slice key, value, name;
    if (json_object_get(object, "err", &value) == 0 || json_object_get(object, "data", &value) == 0 ||
        json_iter_init_object(&members, object) != 0)
        return;
    while (json_object_next(&members, &key, &value)) {
        if (json_string_equal(key, SLICE("server")) || json_string_decode(key, arena, &name) != 0)
            continue;
        json_write_key_slice(w, name);
        json_write_raw(w, value);
    }
}

static void write_success(struct arena *arena, struct json_writer *w, const struct trigger_answer *a)
{
    struct slice raw;
    bool json = json_validate(a->body, &raw, NULL) == 0;
    json_write_key(w, "err");
    json_write_null(w);
    json_write_key(w, "data");
    if (json)
        json_write_raw(w, raw);
    else
        json_write_string(w, a->body);
    if (json && json_type(raw) == JSON_OBJECT)
        write_merged(arena, w, raw);
}

static void write_trigger_answer(struct arena *arena, struct buf *out, const struct trigger_answer *a)
{
    struct json_writer w;
    struct task_error error;
    json_writer_init(&w, out);
    json_open_object(&w);
    if (a->fault)
        write_fault(arena, &w, a->fault->status, a->fault->message);
    else if (task_error_from_answer(arena, a->status, a->function_error, a->body, &error))
        write_failure(&w, &error);
    else
        write_success(arena, &w, a);
    write_server(&w, a->node);
    json_close_object(&w);
}

static const struct route_node *local_node(const struct ingress *i)
{
    const struct route_table *t = ingress_table(i);
    return t && t->node_count > 0 ? &t->nodes[0] : NULL;
}

/* ---- POST /tasks/lb_trigger_single ---- */

static void trigger_send(struct door_request *r, const struct trigger_answer *answer)
{
    struct buf out;
    buf_init(&out, 0);
    write_trigger_answer(r->arena, &out, answer);
    door_answer_json(r, 200, buf_slice(&out));
    buf_dispose(&out);
}

static void trigger_refuse(struct door_request *r, int http_status, const char *code, const char *message)
{
    (void) code;
    int status = http_status == 413 ? GRPC_RESOURCE_EXHAUSTED : http_status == 503 ? GRPC_UNAVAILABLE : GRPC_INVALID_ARGUMENT;
    struct invocation_fault fault = {.status = status, .message = message, .pushback_ms = -1};
    trigger_send(r, &(struct trigger_answer){.fault = &fault, .node = local_node(r->ingress)});
}

/* Where a task may have begun it, or this node when none has. */
static const struct route_node *fault_node(const struct door_request *r, const struct invocation_fault *fault)
{
    return fault->node ? fault->node : local_node(r->ingress);
}

static void trigger_on_answer(struct door_request *r, const struct invocation_fault *fault)
{
    struct trigger_answer answer = {.status = r->answer_status,
                                    .type = r->answer_type,
                                    .function_error = r->answer_error,
                                    .body = buf_slice(&r->answer),
                                    .node = fault ? fault_node(r, fault) : r->answer_node,
                                    .fault = fault};
    trigger_send(r, &answer);
}

/* {task_id, data, opts} of the body. `data` is null when there is none. */
struct trigger_body {
    struct slice task_id, data;
    uint64_t timeout_ms; /* 0: the default */
};

/* NULL, or what is wrong with `opts`. A timeout of 0 is one that is not set, as it is for the original's callers. */
static const char *read_opts(struct door_request *r, struct slice object, struct trigger_body *out)
{
    struct slice opts, raw;
    if (json_object_get(object, "opts", &opts) != 0 || is_unset(opts))
        return NULL;
    if (json_type(opts) != JSON_OBJECT)
        return "opts is no object: send {\"timeout\": milliseconds}, or nothing";
    if (json_object_get(opts, "timeout", &raw) != 0 || is_unset(raw) || number_read(r, raw, TIMEOUT_MAX_MS, &out->timeout_ms))
        return NULL;
    return arena_printf(r->arena, "opts.timeout is %.*s: give whole milliseconds from 1 to 86400000, or 0 for the default",
                        SLICE_FMT(slice_first(raw, 40)));
}

/* NULL, or what is wrong with `task_id`. */
static const char *read_task_id(struct door_request *r, struct slice object, struct trigger_body *out)
{
    struct slice raw;
    if (json_object_get(object, "task_id", &raw) != 0 || is_unset(raw))
        return "task_id is missing: name the task to call, as \"file\" or \"file.handler\"";
    if (json_string_decode(raw, r->arena, &out->task_id) != 0)
        return arena_printf(r->arena, "task_id is %.*s: give the task's name as a string", SLICE_FMT(slice_first(raw, 40)));
    return ingress_name_fault(out->task_id);
}

/* 0, or refused in the door's form. */
static int read_trigger(struct door_request *r, struct trigger_body *out)
{
    struct slice object;
    const char *why = NULL;
    int err = read_object(r, &object, &why);
    if (err != 0) {
        door_refuse(r, err == GRID_ENOMEM ? 503 : 400, "INVALID_ARGUMENT", why);
        return err;
    }
    if (json_object_get(object, "data", &out->data) != 0)
        out->data = SLICE("null");
    why = read_task_id(r, object, out);
    if (!why)
        why = read_opts(r, object, out);
    if (why)
        door_refuse(r, err = 400, "INVALID_ARGUMENT", why);
    else if (out->data.size > r->ingress->options.max_payload)
        door_refuse(r, err = 413, "RESOURCE_EXHAUSTED",
                    arena_printf(r->arena, "data is larger than %zu bytes: send less, or start gridd with a larger --max-payload",
                                 r->ingress->options.max_payload));
    return err;
}

/* Fills the request's invocation from the body. NULL: refused. */
static struct invocation *trigger_invocation(struct door_request *r)
{
    struct slice task, handler;
    struct trigger_body body = {0};
    if (read_trigger(r, &body) != 0)
        return NULL;
    ingress_split_task(r->ingress, body.task_id, &task, &handler);
    struct invocation *inv = door_invocation(r, task, handler);
    if (!inv)
        return NULL;
    inv->payload = body.data;
    inv->content_type = SLICE("application/json");
    if (body.timeout_ms > 0)
        inv->deadline_ms = loop_now_ms(r->ingress->loop) + body.timeout_ms;
    return inv;
}

static void trigger_single(struct door_request *r)
{
    if (trigger_invocation(r))
        door_invoke_collect(r, trigger_on_answer);
}

/* ---- POST /tasks/lb_trigger_all ---- */

static void all_on_each(void *ctx, const struct invocation_answer *answer, struct slice body, const struct invocation_fault *fault,
                        const struct route_node *node)
{
    struct door_request *r = ctx;
    struct buf out;
    struct trigger_answer a = {.body = body, .node = node, .fault = fault};
    if (!r->x)
        return;
    if (!fault) {
        a.status = answer->status;
        a.type = answer->content_type;
        a.function_error = answer->function_error;
    }
    buf_init(&out, 0);
    write_trigger_answer(r->arena, &out, &a);
    http_respond_data(r->x, buf_slice(&out));
    buf_dispose(&out);
}

static void all_on_done(void *ctx, size_t nodes)
{
    struct door_request *r = ctx;
    (void) nodes;
    r->broadcast = NULL;
    if (r->x)
        http_respond_end(r->x, NULL, 0);
    invocation_destroy(r->state);
    door_release(r);
}

static const struct dispatch_broadcast_events ALL_EVENTS = {all_on_each, all_on_done};

static void trigger_all(struct door_request *r)
{
    static const struct http_header JSON_TYPE = {SLICE_INIT("content-type"), SLICE_INIT("application/json")};
    struct invocation *inv = trigger_invocation(r);
    if (!inv)
        return;
    r->inv = NULL;
    r->broadcast = dispatch_broadcast(r->ingress->dispatch, inv, false, &ALL_EVENTS, r);
    if (!r->broadcast) {
        invocation_destroy(inv);
        door_refuse(r, 503, "UNAVAILABLE", "the node is out of memory: try again later");
        return;
    }
    r->state = inv;
    door_hold(r);
    http_respond_begin(r->x, 200, &JSON_TYPE, 1);
}

/* ---- lists ---- */

static void reply_failed(struct door_request *r, int status, const char *message)
{
    if (status != GRPC_OK)
        door_answer_error(r, door_status_of_fault(status), grpc_status_name(status), message, -1);
}

typedef void (*reply_write_fn)(struct json_writer *w, const void *message);

/* Answers what the node replied, as `write` has it. */
static void answer_reply(struct door_request *r, const ProtobufCMessageDescriptor *type, struct slice packed, reply_write_fn write)
{
    const void *message = pb_unpack(type, r->arena, packed);
    struct buf out;
    struct json_writer w;
    buf_init(&out, 0);
    json_writer_init(&w, &out);
    if (message)
        write(&w, message);
    if (message && json_writer_finish(&w) == 0)
        door_answer_json(r, 200, buf_slice(&out));
    else
        door_answer_error(r, 500, "INTERNAL", "the node is out of memory: try again later", -1);
    buf_dispose(&out);
}

static void write_task(struct json_writer *w, const Grid__V1__TaskInfo *task)
{
    struct buf name;
    buf_init(&name, 0);
    buf_append_str(&name, "task:");
    buf_append(&name, pb_slice(task->name));
    json_open_object(w);
    json_write_key(w, "port");
    json_write_uint(w, task->port);
    json_write_key(w, "task_id");
    json_write_string(w, pb_slice(task->name));
    json_write_key(w, "pm2_name");
    json_write_string(w, buf_slice(&name));
    json_write_key(w, "path");
    json_write_string(w, pb_slice(task->path));
    json_write_key(w, "status");
    json_write_string(w, pb_slice(task->status));
    json_close_object(w);
    buf_dispose(&name);
}

/* One of another platform is not among this node's. */
static bool is_of_this_node(const Grid__V1__TaskInfo *task)
{
    return task->path.len > 0;
}

static void write_list(struct json_writer *w, const void *message)
{
    const Grid__V1__ListTasksResponse *list = message;
    json_open_array(w);
    for (size_t i = 0; i < list->n_tasks; i++)
        if (is_of_this_node(list->tasks[i]))
            write_task(w, list->tasks[i]);
    json_close_array(w);
}

static void list_on_reply(struct door_request *r, struct slice packed)
{
    answer_reply(r, &grid__v1__list_tasks_response__descriptor, packed, write_list);
}

static void tasks_list(struct door_request *r)
{
    door_ask(r, "ListTasks", slice_of(NULL, 0), list_on_reply, reply_failed);
}

static void write_stats(struct json_writer *w, const void *message)
{
    const Grid__V1__ListTasksResponse *list = message;
    json_open_object(w);
    for (size_t i = 0; i < list->n_tasks; i++) {
        const Grid__V1__TaskInfo *task = list->tasks[i];
        json_write_key_slice(w, pb_slice(task->name));
        json_open_object(w);
        json_write_key(w, "invokations");
        json_write_uint(w, task->invocations);
        json_write_key(w, "success");
        json_write_uint(w, task->success);
        json_write_key(w, "errors");
        json_write_uint(w, task->errors);
        json_write_key(w, "remote_invok");
        json_write_uint(w, task->remote_invocations);
        json_close_object(w);
    }
    json_close_object(w);
}

static void stats_on_reply(struct door_request *r, struct slice packed)
{
    answer_reply(r, &grid__v1__list_tasks_response__descriptor, packed, write_stats);
}

static void tasks_stats(struct door_request *r)
{
    door_ask(r, "ListTasks", slice_of(NULL, 0), stats_on_reply, reply_failed);
}

static void write_processing(struct json_writer *w, const void *message)
{
    const Grid__V1__ListProcessingResponse *list = message;
    json_open_array(w);
    for (size_t i = 0; i < list->n_calls; i++) {
        json_open_object(w);
        json_write_key(w, "started_at");
        json_write_int(w, list->calls[i]->started_at_ms);
        json_write_key(w, "peer_info");
        if (list->calls[i]->from.len > 0)
            json_write_string(w, pb_slice(list->calls[i]->from));
        else
            json_write_null(w);
        json_write_key(w, "task_id");
        json_write_string(w, pb_slice(list->calls[i]->task));
        json_write_key(w, "request_id");
        json_write_string(w, pb_slice(list->calls[i]->request_id));
        json_close_object(w);
    }
    json_close_array(w);
}

static void processing_on_reply(struct door_request *r, struct slice packed)
{
    answer_reply(r, &grid__v1__list_processing_response__descriptor, packed, write_processing);
}

static void tasks_processing(struct door_request *r)
{
    door_ask(r, "ListProcessing", slice_of(NULL, 0), processing_on_reply, reply_failed);
}

static void write_hosts(struct json_writer *w, const void *message)
{
    const Grid__V1__ListNodesResponse *list = message;
    json_open_array(w);
    for (size_t i = 0; i < list->n_nodes; i++)
        host_json_write(w, list->nodes[i], loop_wall_ms());
    json_close_array(w);
}

static void hosts_on_reply(struct door_request *r, struct slice packed)
{
    answer_reply(r, &grid__v1__list_nodes_response__descriptor, packed, write_hosts);
}

static void hosts_list(struct door_request *r)
{
    door_ask(r, "ListNodes", slice_of(NULL, 0), hosts_on_reply, reply_failed);
}

static void write_conf(struct json_writer *w, const void *message)
{
    const Grid__V1__NodeInfo *node = message;
    json_open_object(w);
    for (size_t i = 0; i < node->n_options; i++) {
        json_write_key_slice(w, pb_slice(node->options[i]->key));
        json_write_string(w, pb_slice(node->options[i]->value));
    }
    json_close_object(w);
}

static void conf_on_reply(struct door_request *r, struct slice packed)
{
    answer_reply(r, &grid__v1__node_info__descriptor, packed, write_conf);
}

static void conf(struct door_request *r)
{
    door_ask(r, "GetNode", slice_of(NULL, 0), conf_on_reply, reply_failed);
}

/* ---- DELETE /tasks/clear ---- */

static void write_cleared(struct json_writer *w, const void *message)
{
    const Grid__V1__ClearResponse *cleared = message;
    json_open_object(w);
    json_write_key(w, "success");
    json_write_bool(w, true);
    json_write_key(w, "processes_deleted");
    json_open_array(w);
    for (size_t i = 0; i < cleared->n_processes; i++)
        json_write_string(w, pb_slice(cleared->processes[i]));
    json_close_array(w);
    json_close_object(w);
}

static void clear_on_reply(struct door_request *r, struct slice packed)
{
    answer_reply(r, &grid__v1__clear_response__descriptor, packed, write_cleared);
}

static void tasks_clear(struct door_request *r)
{
    door_ask(r, "Clear", slice_of(NULL, 0), clear_on_reply, reply_failed);
}

/* ---- POST /tasks/init: a deploy, then the tasks it made ---- */

static void init_refuse(struct door_request *r, int http_status, const char *code, const char *message)
{
    struct buf out;
    struct json_writer w;
    (void) code;
    buf_init(&out, 0);
    json_writer_init(&w, &out);
    json_open_object(&w);
    json_write_key(&w, "msg");
    json_write_str(&w, message);
    json_write_key(&w, "success");
    json_write_bool(&w, false);
    json_close_object(&w);
    door_answer_json(r, http_status == 403 ? 403 : 500, buf_slice(&out));
    buf_dispose(&out);
}

static void write_init_list(struct json_writer *w, const void *message)
{
    const Grid__V1__ListTasksResponse *list = message;
    json_open_object(w);
    for (size_t i = 0; i < list->n_tasks; i++) {
        if (!is_of_this_node(list->tasks[i]))
            continue;
        json_write_key_slice(w, pb_slice(list->tasks[i]->name));
        write_task(w, list->tasks[i]);
    }
    json_close_object(w);
}

static void init_list_on_reply(struct door_request *r, struct slice packed)
{
    answer_reply(r, &grid__v1__list_tasks_response__descriptor, packed, write_init_list);
}

static void init_failed(struct door_request *r, int status, const char *message)
{
    if (status != GRPC_OK)
        init_refuse(r, status == GRPC_PERMISSION_DENIED ? 403 : 500, NULL, message);
}

static void init_on_deployed(struct door_request *r, int status, const char *message)
{
    if (status != GRPC_OK)
        init_failed(r, status, message);
    else
        door_ask(r, "ListTasks", slice_of(NULL, 0), init_list_on_reply, init_failed);
}

/* One variable: numbers and booleans as they are written. NULL: out of memory, or no text. */
static Grid__V1__StringPair *read_variable(struct arena *arena, struct slice key, struct slice value)
{
    Grid__V1__StringPair *pair = arena_calloc(arena, 1, sizeof *pair);
    struct slice name, text = value;
    if (!pair || json_string_decode(key, arena, &name) != 0)
        return NULL;
    if (json_type(value) == JSON_STRING && json_string_decode(value, arena, &text) != 0)
        return NULL;
    grid__v1__string_pair__init(pair);
    pair->key = pb_bytes(name);
    pair->value = pb_bytes(text);
    return pair;
}

/* NULL, or what is wrong with `env`. */
static const char *read_env(struct door_request *r, struct slice object, Grid__V1__ReleaseConfig *config)
{
    struct json_iter members;
    struct slice env, key, value;
    if (json_object_get(object, "env", &env) != 0 || is_unset(env))
        return NULL;
    if (json_iter_init_object(&members, env) != 0)
        return "env is no object: send {\"NAME\": \"value\", ...}";
    config->env = arena_calloc(r->arena, ENV_MAX, sizeof *config->env);
    while (config->env && json_object_next(&members, &key, &value)) {
        if (config->n_env == ENV_MAX)
            return arena_printf(r->arena, "env has more than %d variables: keep the others in a file of the project", ENV_MAX);
        Grid__V1__StringPair *pair = read_variable(r->arena, key, value);
        if (!pair)
            return arena_printf(r->arena, "env has a variable whose name or value is no text: %.*s", SLICE_FMT(slice_first(key, 80)));
        config->env[config->n_env++] = pair;
    }
    return NULL;
}

/* NULL, or what is wrong with `instances`. Forms send digits as text, and nothing at all, or an empty text, for a number that is
 * not set. */
static const char *read_instances(struct door_request *r, struct slice object, Grid__V1__ReleaseConfig *config)
{
    struct slice raw;
    uint64_t number;
    if (json_object_get(object, "instances", &raw) != 0 || json_type(raw) == JSON_NULL || slice_equal(raw, SLICE("\"\"")))
        return NULL;
    if (number_read(r, raw, SUPERVISOR_INSTANCES_MAX, &number)) {
        config->instances = (uint32_t) number;
        return NULL;
    }
    return arena_printf(r->arena, "instances is %.*s: give a number from 0 to %d, where 0 starts one and grows to one per core",
                        SLICE_FMT(slice_first(raw, 40)), SUPERVISOR_INSTANCES_MAX);
}

/* What the original's client sends, as a DeployRequest of the arena's. NULL, or the fault. */
static const char *read_init(struct door_request *r, Grid__V1__DeployRequest *deploy, Grid__V1__ReleaseConfig *config)
{
    struct slice object, json_conf;
    const char *why = NULL;
    if (read_object(r, &object, &why) != 0)
        return why;
    deploy->directory = pb_bytes(string_of(r, object, "base_folder"));
    deploy->config = config;
    deploy->wait_ms = 1; /* the answer is about this node; the others follow by themselves */
    config->task_folder = pb_bytes(string_of(r, object, "task_folder"));
    if (json_object_get(object, "json_conf", &json_conf) == 0)
        config->json_conf = pb_bytes(json_conf);
    if (deploy->directory.len == 0)
        return "base_folder is missing: give the absolute path of the project's folder";
    why = read_instances(r, object, config);
    return why ? why : read_env(r, object, config);
}

static void tasks_init(struct door_request *r)
{
    Grid__V1__ReleaseConfig config = GRID__V1__RELEASE_CONFIG__INIT;
    Grid__V1__DeployRequest deploy = GRID__V1__DEPLOY_REQUEST__INIT;
    struct buf packed;
    const char *why = read_init(r, &deploy, &config);
    if (why) {
        door_refuse(r, 500, "INVALID_ARGUMENT", why);
        return;
    }
    buf_init(&packed, 0);
    if (pb_append(&packed, &deploy.base) == 0)
        door_ask(r, "Deploy", buf_slice(&packed), NULL, init_on_deployed);
    else
        door_refuse(r, 503, "UNAVAILABLE", "the node is out of memory: try again later");
    buf_dispose(&packed);
}

static void ping(struct door_request *r)
{
    door_answer(r, 200, "text/plain", SLICE("pong"));
}

const struct door HTTP_ORIGINAL[] = {
    {.method = "POST",
     .path = "/tasks/init",
     .any_body_type = true,
     .form_body = true,
     .handle = tasks_init,
     .refuse = init_refuse},
    {.method = "POST",
     .path = "/tasks/lb_trigger_single",
     .any_body_type = true,
     .form_body = true,
     .for_tasks = true,
     .handle = trigger_single,
     .refuse = trigger_refuse},
    {.method = "POST",
     .path = "/tasks/lb_trigger_all",
     .any_body_type = true,
     .form_body = true,
     .for_tasks = true,
     .handle = trigger_all,
     .refuse = trigger_refuse},
    {.method = "GET", .path = "/tasks/list", .any_body_type = true, .handle = tasks_list},
    {.method = "GET", .path = "/tasks/stats", .any_body_type = true, .handle = tasks_stats},
    {.method = "GET", .path = "/tasks/processing", .any_body_type = true, .handle = tasks_processing},
    {.method = "DELETE", .path = "/tasks/clear", .any_body_type = true, .handle = tasks_clear},
    {.method = "GET", .path = "/hosts/list", .any_body_type = true, .handle = hosts_list},
    {.method = "GET", .path = "/conf", .any_body_type = true, .handle = conf},
    {.method = "GET", .path = "/ping", .any_body_type = true, .for_tasks = true, .handle = ping},
    {0},
};
