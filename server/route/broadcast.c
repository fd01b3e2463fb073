/* A broadcast is one pinned call per node, each collected whole. */
#include <stdlib.h>

#include "base/buf.h"
#include "server/route/dispatch.h"

struct dispatch_broadcast;

/* The call to one node. */
struct copy {
    struct dispatch_broadcast *owner;
    const struct route_node *node;
    struct invocation *inv; /* NULL when it has ended */
    struct invocation_answer answer;
    struct buf body;
    bool headed, out_of_memory;
};

struct dispatch_broadcast {
    struct dispatch *dispatch;
    struct invocation *inv; /* the caller's; copies borrow from it */
    const struct dispatch_broadcast_events *events;
    void *ctx;
    struct route_view *view; /* keeps the nodes */
    struct loop_deferred begin;
    bool include_local, cancelled;
    size_t count, under_way;
    struct copy copies[];
};

static void broadcast_finish_if_done(struct dispatch_broadcast *b)
{
    if (b->under_way > 0)
        return;
    b->events->on_done(b->ctx, b->count);
    route_view_unref(b->view);
    free(b);
}

static void copy_report(struct copy *k, const struct invocation_fault *fault)
{
    struct dispatch_broadcast *b = k->owner;
    static const struct invocation_fault no_memory = {
        .status = GRPC_RESOURCE_EXHAUSTED, .message = "this node is out of memory", .pushback_ms = -1};
    if (k->out_of_memory)
        fault = &no_memory;
    if (!b->cancelled)
        b->events->on_each(b->ctx, fault ? NULL : &k->answer, fault ? slice_of(NULL, 0) : buf_slice(&k->body), fault, k->node);
    buf_dispose(&k->body);
    b->under_way--;
}

static void on_head(struct invocation *inv, const struct invocation_answer *answer)
{
    struct copy *k = inv->sink_ctx;
    k->headed = true;
    k->answer = *answer;
    k->answer.content_type = arena_copy(inv->arena, answer->content_type);
    k->answer.function_error = arena_copy(inv->arena, answer->function_error);
    k->answer.headers = NULL;
    k->answer.header_count = 0;
}

static void on_data(struct invocation *inv, struct slice bytes)
{
    struct copy *k = inv->sink_ctx;
    if (!k->out_of_memory && buf_append(&k->body, bytes) != 0)
        k->out_of_memory = true;
}

static void on_end(struct invocation *inv, const struct invocation_fault *fault)
{
    struct copy *k = inv->sink_ctx;
    struct dispatch_broadcast *b = k->owner;
    copy_report(k, fault);
    k->inv = NULL;
    invocation_destroy(inv);
    broadcast_finish_if_done(b);
}

static const struct invocation_sink sink = {on_head, on_data, on_end};

static void copy_start(struct copy *k)
{
    const struct invocation *from = k->owner->inv;
    struct invocation *inv = invocation_create();
    if (!inv) {
        k->out_of_memory = true;
        copy_report(k, NULL);
        return;
    }
    memcpy(inv->id, from->id, sizeof inv->id);
    inv->task = from->task;
    inv->handler = from->handler;
    inv->payload = from->payload;
    inv->content_type = from->content_type;
    inv->traceparent = from->traceparent;
    inv->key = from->key;
    inv->idempotency_key = from->idempotency_key;
    inv->from = from->from;
    inv->metadata = from->metadata;
    inv->metadata_count = from->metadata_count;
    inv->deadline_ms = from->deadline_ms;
    inv->node = slice_of_str(k->node->id);
    inv->sink = &sink;
    inv->sink_ctx = k;
    k->inv = inv;
    dispatch_start(k->owner->dispatch, inv);
}

static void broadcast_begin(void *arg)
{
    struct dispatch_broadcast *b = arg;
    b->under_way = b->count + 1; /* one for this function */
    for (size_t i = 0; i < b->count; i++)
        if (b->cancelled)
            b->under_way--;
        else
            copy_start(&b->copies[i]);
    b->under_way--;
    broadcast_finish_if_done(b);
}

static void broadcast_add_nodes(struct dispatch_broadcast *b)
{
    const struct route_table *t = b->view->table;
    for (size_t i = b->include_local ? 0 : 1; i < t->node_count; i++)
        if (t->nodes[i].routable) {
            b->copies[b->count] = (struct copy){.owner = b, .node = &t->nodes[i]};
            buf_init(&b->copies[b->count++].body, 0);
        }
}

struct dispatch_broadcast *dispatch_broadcast(struct dispatch *d, struct invocation *inv, bool include_local,
                                              const struct dispatch_broadcast_events *events, void *ctx)
{
    struct route_view *view = dispatch_view(d);
    size_t nodes = view ? view->table->node_count : 0;
    struct dispatch_broadcast *b = calloc(1, sizeof *b + nodes * sizeof(struct copy));
    if (!b)
        return NULL;
    b->dispatch = d;
    b->inv = inv;
    b->events = events;
    b->ctx = ctx;
    b->include_local = include_local;
    if (view) {
        b->view = route_view_ref(view);
        broadcast_add_nodes(b);
    }
    loop_defer(dispatch_loop(d), &b->begin, broadcast_begin, b);
    return b;
}

void dispatch_broadcast_cancel(struct dispatch_broadcast *b)
{
    b->cancelled = true;
    b->under_way++; /* the last copy may end inside */
    for (size_t i = 0; i < b->count; i++)
        if (b->copies[i].inv)
            dispatch_cancel(b->dispatch, b->copies[i].inv);
    b->under_way--;
    if (!b->begin.prev)
        broadcast_finish_if_done(b);
}
