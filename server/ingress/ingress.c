/* Sorts requests to their doors: gRPC by content type, everything else by path. */
#include <stdlib.h>
#include <unistd.h>

#include "base/err.h"
#include "server/ingress/guard.h"
#include "server/ingress/http_invoke.h"
#include "server/ingress/http_lambda.h"
#include "server/ingress/http_ops.h"
#include "server/ingress/http_original.h"
#include "server/ingress/ingress_internal.h"
#include "server/ingress/rpc_roles.h"

void ingress_caller(struct conn *c, bool token, struct admin_caller *out)
{
    const struct tls_peer *peer = conn_tls_peer(c);
    *out = (struct admin_caller){.token = token, .remote = peer != NULL, .roles = peer ? peer->roles : 0};
    if (peer)
        return;
    out->uid_known = conn_peer_uid(c, &out->uid, &out->gid) == 0;
    out->groups_known = conn_peer_groups(c, out->groups, ADMIN_GROUPS_MAX, &out->group_count) == 0;
}

const char INGRESS_TASK_REFUSAL[] =
    "a task's processes, and callers whose user cannot be told, may invoke and nothing else: ask as another user of this machine";

bool ingress_may_look(const struct ingress *i, struct conn *c, bool token)
{
    uid_t uid;
    gid_t gid;
    if (conn_tls_peer(c))
        return true; /* the certificate's roles decide */
    if (conn_peer_uid(c, &uid, &gid) != 0)
        return token;
    if (i->options.is_task && i->options.is_task(i->options.ctx, uid))
        return false;
    return !i->options.tasks_share_user || uid != geteuid() || !conn_peer_confined(c);
}

const struct route_table *ingress_table(const struct ingress *i)
{
    struct route_view *view = dispatch_view(i->dispatch);
    return view ? view->table : NULL;
}

const char *ingress_name_fault(struct slice task_id)
{
    if (slice_find_byte(task_id, 0, '\0') >= 0)
        return "the task's name holds a NUL, which no name has";
    if (task_id.size > 0 && task_id.data[0] == '.')
        return "no task is named before the dot: name one as \"file\" or \"file.handler\"";
    return slice_is_utf8(task_id) ? NULL : "the task's name is not UTF-8";
}

void ingress_split_task(const struct ingress *i, struct slice task_id, struct slice *task, struct slice *handler)
{
    const struct route_table *t = ingress_table(i);
    ptrdiff_t first = slice_find_byte(task_id, 0, '.');
    *task = task_id;
    *handler = slice_of(NULL, 0);
    if (first < 0 || (t && route_table_task(t, task_id)))
        return;
    for (size_t at = task_id.size; t && at-- > (size_t) first + 1;)
        if (task_id.data[at] == '.' && route_table_task(t, slice_first(task_id, at))) {
            first = (ptrdiff_t) at;
            break;
        }
    *task = slice_first(task_id, (size_t) first);
    *handler = slice_from(task_id, (size_t) first + 1);
}

static int add_services(struct ingress *i, struct grpc_server *server)
{
    const struct grpc_service *services[] = {&i->invoke_service, &i->control_service, &i->health_service, &i->reflection_v1,
                                             &i->reflection_v1alpha};
    int err = 0;
    for (size_t n = 0; err == 0 && n < sizeof services / sizeof *services; n++)
        err = grpc_server_add(server, services[n]);
    return err;
}

/* The tables are shared by all workers; each ingress is the context of its own copies. */
static struct grpc_service service_for(const struct grpc_service *service, struct ingress *i)
{
    struct grpc_service copy = *service;
    copy.ctx = i;
    return copy;
}

int ingress_create(struct loop *l, const struct ingress_options *options, struct dispatch *dispatch, struct admin *admin,
                   struct ingress **out)
{
    enum { MESSAGE_OVERHEAD = 64 * 1024 };
    struct ingress *i = calloc(1, sizeof *i);
    if (!i)
        return GRID_ENOMEM;
    *i = (struct ingress){.loop = l, .options = *options, .dispatch = dispatch, .admin = admin};
    snprintf(i->payload_limit, sizeof i->payload_limit, "the payload is larger than %zu bytes: send less, or start gridd with a larger --max-payload", options->max_payload);
    i->held.max = options->held_bytes ? options->held_bytes : SIZE_MAX;
    i->invoke_service = service_for(&RPC_INVOKE, i);
    i->control_service = service_for(&RPC_CONTROL, i);
    i->health_service = service_for(&RPC_HEALTH, i);
    i->reflection_v1 = service_for(&RPC_REFLECTION_V1, i);
    i->reflection_v1alpha = service_for(&RPC_REFLECTION_V1ALPHA, i);
    int err = grpc_server_create(l, options->max_payload + MESSAGE_OVERHEAD, &i->api_grpc);
    if (err == 0)
        err = grpc_server_create(l, options->max_payload + MESSAGE_OVERHEAD, &i->peer_grpc);
    if (err == 0) {
        grpc_server_set_roles(i->peer_grpc, rpc_roles);
        grpc_server_set_limit_text(i->api_grpc, i->payload_limit);
        grpc_server_set_limit_text(i->peer_grpc, i->payload_limit);
        grpc_server_share(i->api_grpc, &i->held);
        grpc_server_share(i->peer_grpc, &i->held);
        err = add_services(i, i->api_grpc);
    }
    if (err == 0)
        err = grpc_server_add(i->api_grpc, &RPC_PEER_GOSSIP);
    if (err == 0)
        err = grpc_server_add(i->api_grpc, &RPC_SYNC_CHUNK);
    if (err == 0)
        err = add_services(i, i->peer_grpc);
    if (err != 0)
        ingress_destroy(i);
    else
        *out = i;
    return err;
}

void ingress_destroy(struct ingress *i)
{
    if (!i)
        return;
    if (i->api_grpc)
        grpc_server_destroy(i->api_grpc);
    if (i->peer_grpc)
        grpc_server_destroy(i->peer_grpc);
    rpc_invoke_dispose(i);
    free(i);
}

/* ---- the two ports ---- */

static bool is_grpc(struct http_exchange *x)
{
    const struct http_request_head *head = http_exchange_head(x);
    return slice_has_prefix(http_header_find(head->headers, head->header_count, "content-type"), SLICE("application/grpc"));
}

/* The path names a method of one of our services: its caller wants gRPC, whatever it sent. */
static bool is_grpc_path(const struct ingress *i, struct slice path)
{
    for (size_t n = 0; n < grpc_server_service_count(i->api_grpc); n++) {
        struct slice name = slice_of_str(grpc_server_service(i->api_grpc, n)->name);
        if (path.size > name.size + 1 && path.data[name.size + 1] == '/' && slice_has_prefix(slice_from(path, 1), name))
            return true;
    }
    return false;
}

/* What no door takes. */
static void answer_unknown(struct ingress *i, struct http_exchange *x)
{
    bool token;
    if (door_guard(i, NULL, x, &token) != 0)
        return;
    if (is_grpc_path(i, http_target_path(http_exchange_head(x)->target)))
        door_answer_stray(x, 415, "INVALID_ARGUMENT", "this is a gRPC method: send Content-Type application/grpc", NULL);
    else
        door_answer_stray(x, 404, "NOT_FOUND", "there is no such route: docs/http-api.md lists them", NULL);
}

void ingress_on_api_request(void *ingress, struct http_exchange *x)
{
    static const struct door *const DOORS[] = {HTTP_INVOKE, HTTP_ORIGINAL, HTTP_LAMBDA, HTTP_OPS};
    struct ingress *i = ingress;
    bool token;
    if (is_grpc(x)) {
        if (door_guard(i, NULL, x, &token) == 0 && !grpc_server_handle(i->api_grpc, x))
            door_answer_stray(x, 415, "INVALID_ARGUMENT", "the content type is none of gRPC's: send application/grpc", NULL);
        return;
    }
    for (size_t n = 0; n < sizeof DOORS / sizeof *DOORS; n++)
        if (door_open(i, DOORS[n], x))
            return;
    answer_unknown(i, x);
}

/* The original's routes are for this machine alone: they take forms, and folders by path. Every role may use the doors that are
 * here. */
void ingress_on_peer_request(void *ingress, struct http_exchange *x)
{
    static const struct door *const DOORS[] = {HTTP_INVOKE, HTTP_LAMBDA, HTTP_OPS};
    struct ingress *i = ingress;
    bool token;
    if (is_grpc(x)) {
        if (door_guard(i, NULL, x, &token) == 0 && !grpc_server_handle(i->peer_grpc, x))
            door_answer_stray(x, 415, "INVALID_ARGUMENT", "the content type is none of gRPC's: send application/grpc", NULL);
        return;
    }
    for (size_t n = 0; n < sizeof DOORS / sizeof *DOORS; n++)
        if (door_open(i, DOORS[n], x))
            return;
    answer_unknown(i, x);
}
