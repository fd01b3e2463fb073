/* Lines of tasks: old ones of all tasks in order of time, new ones as they come; of another member over a connection of its own. */
#include "server/node_logs.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "api/pb.h"
#include "base/err.h"
#include "discovery/member_reach.h"
#include "grid/v1/control.pb-c.h"
#include "net/grpc_client.h"
#include "server/node_ledger.h"
#include "server/node_verdict.h"

enum { LOG_LINES_MAX = 10000, LINE_MESSAGE_MAX = 64 * 1024, LINE_ARENA_BLOCK = 1024, LINE_ARENA_MAX = 4 * LINE_MESSAGE_MAX, ANSWER_MS = 10000 };

/* ---- this node's ---- */

struct log_reader {
    struct node *node;
    struct log_reader *next, **prev; /* of those that follow */
    struct admin_call *call;
    struct log_follower *follower;
    char *task;
};

/* Text as foreign decoders insist on it: each byte that is no UTF-8 becomes U+FFFD, in `room`. Results as buf_append. */
static int take_text(struct slice text, struct buf *room, ProtobufCBinaryData *out)
{
    int err = 0;
    *out = pb_bytes(text);
    if (slice_is_utf8(text))
        return 0;
    while (err == 0 && text.size > 0) {
        size_t length = slice_utf8_length(text);
        err = buf_append(room, length > 0 ? slice_first(text, length) : SLICE("\xef\xbf\xbd"));
        text = slice_from(text, length > 0 ? length : 1);
    }
    *out = pb_bytes(buf_slice(room));
    return err;
}

/* Packs the line with its text made sound, and sends it. */
static void reply_line(struct admin_call *call, Grid__V1__LogLine *line)
{
    struct buf text, packed;
    buf_init(&text, 0);
    buf_init(&packed, 0);
    if (take_text(pb_slice(line->text), &text, &line->text) == 0 && pb_append(&packed, &line->base) == 0)
        admin_reply(call, buf_slice(&packed));
    buf_dispose(&packed);
    buf_dispose(&text);
}

static void log_emit(void *ctx, const struct task_line *line)
{
    struct log_reader *r = ctx;
    Grid__V1__LogLine out = GRID__V1__LOG_LINE__INIT;
    out.time_ms = line->time_ms;
    out.task = pb_str(line->task);
    out.instance = line->instance;
    out.stream = pb_str(task_stream_name(line->stream));
    out.text = pb_bytes(line->text);
    out.node = pb_str(r->node->name);
    reply_line(r->call, &out);
}

static void log_reader_free(struct log_reader *r)
{
    free(r->task);
    free(r);
}

static void follow_end(struct log_reader *r, int status, const char *why)
{
    supervisor_unfollow(r->node->supervisor, r->follower);
    *r->prev = r->next;
    if (r->next)
        r->next->prev = r->prev;
    admin_finish(r->call, status, why);
    log_reader_free(r);
}

static void on_reader_gone(void *arg, struct admin_call *call)
{
    (void) call;
    follow_end(arg, GRPC_CANCELLED, NULL);
}

static void follow_begin(struct log_reader *r)
{
    r->next = r->node->log_readers;
    r->prev = &r->node->log_readers;
    r->node->log_readers = r;
    if (r->next)
        r->next->prev = &r->next;
    admin_on_cancel(r->call, on_reader_gone, r);
}

/* Lines as the supervisor has them, borrowed until the loop goes on. */
struct line_list {
    struct task_line *lines;
    size_t count, capacity;
    bool failed;
};

static void line_list_add(void *ctx, const struct task_line *line)
{
    struct line_list *list = ctx;
    if (list->count == list->capacity) {
        size_t capacity = list->capacity ? 2 * list->capacity : 256;
        struct task_line *lines = realloc(list->lines, capacity * sizeof *lines);
        list->failed |= !lines;
        if (!lines)
            return;
        list->lines = lines;
        list->capacity = capacity;
    }
    list->lines[list->count++] = *line;
}

/* Of pointers into the list: lines of one moment stay in its order. */
static int compare_lines(const void *a, const void *b)
{
    const struct task_line *x = *(const struct task_line *const *) a, *y = *(const struct task_line *const *) b;
    if (x->time_ms != y->time_ms)
        return x->time_ms < y->time_ms ? -1 : 1;
    return x < y ? -1 : x > y;
}

static void send_old_lines(struct log_reader *r, size_t wanted)
{
    struct line_list list = {0};
    supervisor_logs(r->node->supervisor, r->task, wanted, line_list_add, &list);
    const struct task_line **order = list.count > 0 ? malloc(list.count * sizeof *order) : NULL;
    for (size_t i = 0; order && i < list.count; i++)
        order[i] = &list.lines[i];
    if (order)
        qsort(order, list.count, sizeof *order, compare_lines);
    for (size_t i = list.count > wanted ? list.count - wanted : 0; order && i < list.count; i++)
        log_emit(r, order[i]);
    free(order);
    free(list.lines);
}

static bool is_task(struct node *n, struct slice name)
{
    size_t count;
    const struct supervisor_task *tasks = supervisor_list(n->supervisor, &count);
    for (size_t i = 0; i < count; i++)
        if (slice_equal_str(name, tasks[i].name))
            return true;
    return false;
}

/* Following is for tasks to come, too. */
static void read_here(struct node *n, struct admin_call *call, const Grid__V1__LogsRequest *asked)
{
    char sentence[256];
    if (asked->task.len > 0 && !asked->follow && !is_task(n, pb_slice(asked->task))) {
        snprintf(sentence, sizeof sentence, "this node runs no task %.*s: \"grid tasks\" lists those that there are", SLICE_FMT(slice_first(pb_slice(asked->task), 128)));
        admin_finish(call, GRPC_NOT_FOUND, sentence);
        return;
    }
    struct log_reader *r = calloc(1, sizeof *r);
    if (!r) {
        admin_finish(call, GRPC_UNAVAILABLE, "the node is out of memory: try again later");
        return;
    }
    *r = (struct log_reader){.node = n, .call = call, .task = asked->task.len > 0 ? slice_to_str(pb_slice(asked->task)) : NULL};
    if (asked->lines > 0)
        send_old_lines(r, asked->lines);
    if (asked->follow && !n->stopping && (r->follower = supervisor_follow(n->supervisor, r->task, log_emit, r))) {
        follow_begin(r);
    } else {
        log_reader_free(r);
        admin_finish(call, GRPC_OK, NULL);
    }
}

/* ---- another member's ---- */

struct log_relay {
    struct node *node;
    struct log_relay *next, **prev;
    struct admin_call *call;
    struct http_client *client;
    struct grpc_client_call *rpc;
    struct loop_timer timer;
    struct buf request;
    char id[65], name[64];
    int status;
    char why[256];
};

/* A member's lines are its own, whoever it says has written them; what is none is passed over. */
static void relay_message(void *ctx, struct grpc_client_call *rpc, struct slice message)
{
    struct log_relay *r = ctx;
    struct arena *arena = arena_create(LINE_ARENA_BLOCK, LINE_ARENA_MAX);
    Grid__V1__LogLine *line = arena ? pb_unpack(&grid__v1__log_line__descriptor, arena, message) : NULL;
    (void) rpc;
    if (line && slice_is_utf8(pb_slice(line->task)) && slice_is_utf8(pb_slice(line->stream))) {
        line->node = pb_str(r->name);
        reply_line(r->call, line);
    }
    arena_destroy(arena);
}

static void relay_end(void *ctx, struct grpc_client_call *rpc, int status, struct slice message, enum http_sent sent, int64_t pushback_ms)
{
    struct log_relay *r = ctx;
    (void) rpc, (void) sent, (void) pushback_ms;
    r->status = status;
    if (message.size > 0)
        snprintf(r->why, sizeof r->why, "%.*s", SLICE_FMT(slice_first(message, 250)));
    http_client_close(r->client);
}

static const struct grpc_client_events RELAY_EVENTS = {.on_message = relay_message, .on_close = relay_end};

static void relay_open(void *ctx, struct http_client *client)
{
    struct log_relay *r = ctx;
    bool right = node_verdict_is_member(r->node, conn_tls_peer(http_client_conn(client)), r->id);
    if (!right || grpc_client_call_start(client, "/grid.v1.Control/Logs", 0, NULL, 0, buf_slice(&r->request), false, LINE_MESSAGE_MAX, &RELAY_EVENTS, r, &r->rpc) != 0)
        http_client_close(client);
}

static void relay_draining(void *ctx, struct http_client *client)
{
    (void) ctx, (void) client;
}

static void relay_closed(void *ctx, struct http_client *client, int err)
{
    struct log_relay *r = ctx;
    (void) client, (void) err;
    loop_timer_stop(&r->timer);
    *r->prev = r->next;
    if (r->next)
        r->next->prev = r->prev;
    admin_finish(r->call, admin_cancelled(r->call) ? GRPC_CANCELLED : r->status, r->status == GRPC_OK ? NULL : r->why);
    buf_dispose(&r->request);
    free(r);
}

static const struct http_client_events RELAY_CLIENT_EVENTS = {relay_open, relay_draining, relay_closed};

static void relay_give_up(void *arg)
{
    struct log_relay *r = arg;
    http_client_close(r->client);
}

static void relay_cancelled(void *arg, struct admin_call *call)
{
    (void) call;
    relay_give_up(arg);
}

/* The same question, to be answered there and passed on no further. */
static int pack_question(const Grid__V1__LogsRequest *asked, struct buf *out)
{
    Grid__V1__LogsRequest question = GRID__V1__LOGS_REQUEST__INIT;
    question.task = asked->task;
    question.lines = asked->lines;
    question.follow = asked->follow;
    return pb_append(out, &question.base);
}

static int relay_dial(struct log_relay *r, const struct member *who)
{
    const struct conn_options options = {.tls = r->node->call_tls};
    struct addr to;
    return gossip_where(r->node->gossip, who, &to) ? http2_client_dial(r->node->loop, &to, &options, &RELAY_CLIENT_EVENTS, r, &r->client) : GRID_EINVAL;
}

static void ask_member(struct node *n, struct admin_call *call, const Grid__V1__LogsRequest *asked, const struct member *who)
{
    struct log_relay *r = calloc(1, sizeof *r);
    if (!r) {
        admin_finish(call, GRPC_UNAVAILABLE, "the node is out of memory: try again later");
        return;
    }
    *r = (struct log_relay){.node = n, .call = call, .status = GRPC_UNAVAILABLE};
    buf_init(&r->request, 0);
    snprintf(r->id, sizeof r->id, "%s", who->id);
    snprintf(r->name, sizeof r->name, "%s", who->name);
    snprintf(r->why, sizeof r->why, "the node %.63s cannot be reached", who->name);
    if (n->stopping || pack_question(asked, &r->request) != 0 || relay_dial(r, who) != 0) {
        admin_finish(call, r->status, r->why);
        buf_dispose(&r->request);
        free(r);
        return;
    }
    r->next = n->log_relays;
    r->prev = &n->log_relays;
    n->log_relays = r;
    if (r->next)
        r->next->prev = &r->next;
    if (!asked->follow)
        loop_timer_start(n->loop, &r->timer, ANSWER_MS, relay_give_up, r);
    admin_on_cancel(call, relay_cancelled, r);
}

void node_logs_cut(struct node *n, bool (*whom)(const void *arg, const struct tls_peer *peer), const void *arg)
{
    for (struct log_relay *r = n->log_relays; r; r = r->next) {
        const struct tls_peer *peer = conn_tls_peer(http_client_conn(r->client));
        if (peer && whom(arg, peer))
            http_client_close(r->client);
    }
}

void node_logs_stop(struct node *n)
{
    while (n->log_readers)
        follow_end(n->log_readers, GRPC_UNAVAILABLE, NODE_STOPS);
    for (struct log_relay *r = n->log_relays; r; r = r->next)
        http_client_close(r->client);
}

/* ---- the question ---- */

static void refuse_node(struct admin_call *call, struct slice who, size_t matches)
{
    char sentence[256];
    snprintf(sentence, sizeof sentence, matches == 0 ? "no member is called \"%.*s\": see \"grid list\"" : "several members are meant by \"%.*s\": give the whole id",
             SLICE_FMT(slice_first(who, 80)));
    admin_finish(call, matches == 0 ? GRPC_NOT_FOUND : GRPC_INVALID_ARGUMENT, sentence);
}

static void route_question(struct node *n, struct admin_call *call, const Grid__V1__LogsRequest *asked)
{
    size_t matches = 1;
    const struct member *who = asked->node.len > 0 ? node_ledger_member(n, pb_slice(asked->node), &matches) : node_member(n, 0);
    if (matches != 1 || !who)
        refuse_node(call, pb_slice(asked->node), matches);
    else if (who == node_member(n, 0))
        read_here(n, call, asked);
    else
        ask_member(n, call, asked, who);
}

void node_control_logs(void *node, struct admin_call *call, struct slice request)
{
    Grid__V1__LogsRequest *asked = grid__v1__logs_request__unpack(NULL, request.size, request.data);
    if (!asked || asked->lines > LOG_LINES_MAX)
        admin_finish(call, GRPC_INVALID_ARGUMENT, "lines is a number up to 10,000 and task the name of a task, or empty");
    else
        route_question(node, call, asked);
    if (asked)
        grid__v1__logs_request__free_unpacked(asked, NULL);
}
