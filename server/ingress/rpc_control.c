/* grid.v1.Control: every method is the admin question of the same name. */
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "server/ingress/guard.h"
#include "server/ingress/ingress_internal.h"

/* How many may be under way, of one worker: what one caller asks without end is not to fill the control thread's mailbox. Those that last have a bound
 * of their own, so that they do not keep out the others. */
enum { QUESTIONS_MAX = 1024, FOLLOWERS_MAX = 256 };

struct rpc_question {
    struct ingress *ingress;
    struct grpc_call *call; /* NULL once closed */
    struct admin_call *question;
    size_t *counted; /* among which */
};

static void question_free(struct rpc_question *q)
{
    if (!q->call && !q->question)
        free(q);
}

static void on_reply(void *ctx, struct slice packed)
{
    struct rpc_question *q = ctx;
    if (q->call)
        grpc_call_send(q->call, packed);
}

static void on_end(void *ctx, int status, const char *message)
{
    struct rpc_question *q = ctx;
    q->question = NULL;
    --*q->counted;
    if (q->call)
        grpc_call_finish(q->call, status, message);
    question_free(q);
}

static const struct admin_events ADMIN_EVENTS = {on_reply, on_end};

/* False when there are too many of its kind. */
static bool question_has_room(struct rpc_question *q, const char *name)
{
    bool follows = strcmp(name, "WatchNodes") == 0 || strcmp(name, "Logs") == 0;
    q->counted = follows ? &q->ingress->followers : &q->ingress->questions;
    return *q->counted < (follows ? FOLLOWERS_MAX : QUESTIONS_MAX);
}

static void on_message(void *ctx, struct grpc_call *call, struct slice message)
{
    struct rpc_question *q = ctx;
    struct admin_caller caller;
    const char *name = strrchr(grpc_call_method(call)->path, '/') + 1;
    bool token = guard_token_given(q->ingress->options.api_token, grpc_call_head(call));
    if (!ingress_may_look(q->ingress, grpc_call_conn(call), token)) {
        grpc_call_finish(call, GRPC_PERMISSION_DENIED, INGRESS_TASK_REFUSAL);
        return;
    }
    if (!question_has_room(q, name)) {
        grpc_call_finish(call, GRPC_RESOURCE_EXHAUSTED, "too many questions to this node are under way: try again later");
        return;
    }
    ingress_caller(grpc_call_conn(call), token, &caller);
    int err = admin_start(q->ingress->admin, q->ingress->loop, name, &caller, message, &ADMIN_EVENTS, q, &q->question);
    if (err == 0)
        ++*q->counted;
    else if (err == GRID_ENOENT)
        grpc_call_finish(call, GRPC_UNIMPLEMENTED, "this node does not answer that question: ask one of a newer version");
    else
        grpc_call_finish(call, GRPC_UNAVAILABLE, "the node is out of memory: try again later");
}

static void on_close(void *ctx, struct grpc_call *call, int err)
{
    struct rpc_question *q = ctx;
    (void) call;
    (void) err;
    q->call = NULL;
    if (q->question)
        admin_cancel(q->question);
    question_free(q);
}

static const struct grpc_call_events CALL_EVENTS = {.on_message = on_message, .on_close = on_close};

static void on_call(void *ctx, struct grpc_call *call)
{
    struct rpc_question *q = calloc(1, sizeof *q);
    if (!q) {
        grpc_call_finish(call, GRPC_UNAVAILABLE, "the node is out of memory: try again later");
        return;
    }
    *q = (struct rpc_question){.ingress = ctx, .call = call};
    grpc_call_bind(call, &CALL_EVENTS, q);
}

/* What the control thread is made to decode is bounded here: a field costs two bytes to send, and a hundred to take. */
enum { QUESTION_BYTES_MAX = 4 * 1024, DEPLOY_BYTES_MAX = 1024 * 1024 };

/* Questions are small; a Deploy carries at most an environment and a configuration, and is read only of who may deploy. */
#define METHOD_OF(name, streams, bytes_max, secret)                                                                                \
    {                                                                                                                              \
        "/grid.v1.Control/" name, false, streams, on_call, bytes_max, secret                                                       \
    }
#define METHOD(name, streams) METHOD_OF(name, streams, QUESTION_BYTES_MAX, false)

/* Who may call each over TLS stands in rpc_roles.c. */
static const struct grpc_method METHODS[] = {
    METHOD("GetNode", false),      METHOD("ListNodes", false),     METHOD("WatchNodes", true),
    METHOD("ListTasks", false),    METHOD("ListProcesses", false), METHOD("ListProcessing", false),
    METHOD("ListReleases", false), METHOD_OF("Deploy", true, DEPLOY_BYTES_MAX, false), METHOD("Rollback", true),
    METHOD("Clear", false),        METHOD("Logs", true),           METHOD("Evict", false),
    METHOD("Rotate", false),       METHOD_OF("SetPassword", false, QUESTION_BYTES_MAX, true), METHOD("Adopt", false),
};

const struct grpc_service RPC_CONTROL = {
    .name = "grid.v1.Control", .methods = METHODS, .method_count = sizeof METHODS / sizeof *METHODS};
