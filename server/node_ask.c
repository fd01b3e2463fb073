/* Questions of grid.v1.PeerTrust between members: a connection for each, since they are rare; and the service that answers. */
#include "server/node_ask.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "api/pb.h"
#include "base/err.h"
#include "discovery/member_reach.h"
#include "grid/v1/trust.pb-c.h"
#include "net/grpc_client.h"
#include "server/node_certificate.h"
#include "server/node_ledger.h"
#include "server/node_verdict.h"

enum { MESSAGE_MAX = 64 * 1024, ARENA_MAX = 256 * 1024 };

/* ---- asking ---- */

struct node_question {
    struct node *node;
    struct node_question *next, **prev;
    struct http_client *client;
    struct grpc_client_call *call;
    struct loop_timer timer;
    char id[65];
    char path[64];
    struct buf message, answer;
    int status;
    char why[256];
    node_answer_fn fn;
    void *arg;
};

static void question_free(struct node_question *q)
{
    loop_timer_stop(&q->timer);
    *q->prev = q->next;
    if (q->next)
        q->next->prev = q->prev;
    buf_dispose_wiped(&q->message);
    buf_dispose(&q->answer);
    free(q);
}

static void on_message(void *ctx, struct grpc_client_call *call, struct slice message)
{
    struct node_question *q = ctx;
    (void) call;
    (void) buf_append(&q->answer, message);
}

static void on_end(void *ctx, struct grpc_client_call *call, int status, struct slice message, enum http_sent sent, int64_t pushback_ms)
{
    struct node_question *q = ctx;
    (void) call, (void) sent, (void) pushback_ms;
    q->call = NULL;
    q->status = status;
    snprintf(q->why, sizeof q->why, "%.*s", (int) (message.size < 250 ? message.size : 250), (const char *) message.data);
    http_client_close(q->client);
}

static const struct grpc_client_events CALL_EVENTS = {.on_message = on_message, .on_close = on_end};

static void on_open(void *ctx, struct http_client *client)
{
    struct node_question *q = ctx;
    conn_set_wiped(http_client_conn(client)); /* a key goes out, perhaps, or a password */
    bool right = node_verdict_is_member(q->node, conn_tls_peer(http_client_conn(client)), q->id);
    if (!right || grpc_client_call_start(client, q->path, NODE_ASK_MS, NULL, 0, buf_slice(&q->message), false, MESSAGE_MAX, &CALL_EVENTS, q, &q->call) != 0)
        http_client_close(client);
}

static void on_draining(void *ctx, struct http_client *client)
{
    (void) ctx, (void) client;
}

static void on_closed(void *ctx, struct http_client *client, int err)
{
    struct node_question *q = ctx;
    (void) client, (void) err;
    q->fn(q->node, q->arg, q->status, buf_slice(&q->answer), q->why);
    question_free(q);
}

static const struct http_client_events CLIENT_EVENTS = {on_open, on_draining, on_closed};

static void on_timeout(void *arg)
{
    struct node_question *q = arg;
    http_client_close(q->client);
}

int node_ask(struct node *n, const struct member *who, const char *method, struct slice message, node_answer_fn fn, void *arg)
{
    char path[64];
    struct addr to;
    snprintf(path, sizeof path, "/grid.v1.PeerTrust/%s", method);
    return n->gossip && gossip_where(n->gossip, who, &to) ? node_ask_at(n, who, &to, path, message, fn, arg) : n->stopping ? GRID_ECANCELED : GRID_EINVAL;
}

int node_ask_at(struct node *n, const struct member *who, const struct addr *at, const char *path, struct slice message, node_answer_fn fn, void *arg)
{
    const struct conn_options options = {.tls = n->control_tls};
    struct node_question *q = n->stopping ? NULL : calloc(1, sizeof *q);
    if (!q)
        return n->stopping ? GRID_ECANCELED : GRID_ENOMEM;
    *q = (struct node_question){.node = n, .status = GRPC_UNAVAILABLE, .fn = fn, .arg = arg, .next = n->questions, .prev = &n->questions};
    if (q->next)
        q->next->prev = &q->next;
    n->questions = q;
    snprintf(q->id, sizeof q->id, "%s", who->id);
    snprintf(q->why, sizeof q->why, "the node %.63s cannot be reached", who->name);
    snprintf(q->path, sizeof q->path, "%s", path);
    buf_init(&q->message, 0);
    buf_init(&q->answer, MESSAGE_MAX);
    int err = buf_append(&q->message, message);
    if (err == 0)
        err = http2_client_dial(n->loop, at, &options, &CLIENT_EVENTS, q, &q->client);
    if (err != 0) {
        question_free(q);
        return err;
    }
    loop_timer_start(n->loop, &q->timer, NODE_ASK_MS, on_timeout, q);
    return 0;
}

void node_ask_stop(struct node *n)
{
    for (struct node_question *q = n->questions; q; q = q->next)
        http_client_close(q->client);
}

/* ---- answering ---- */

struct answering {
    struct node *node;
    struct grpc_call *call; /* NULL once closed */
    bool waits;             /* for node_decide's end */
};

static void answer(struct grpc_call *call, const ProtobufCMessage *message)
{
    struct buf packed;
    buf_init(&packed, 0);
    int err = pb_append(&packed, message);
    if (err == 0)
        err = grpc_call_send(call, buf_slice(&packed));
    grpc_call_finish(call, err == 0 ? GRPC_OK : GRPC_INTERNAL, err == 0 ? NULL : "the answer could not be packed");
    buf_dispose(&packed);
}

/* A member is certified for addresses, and for host names that it was certified for before: others could be somebody else's. */
static bool may_be_called(const struct conn *c, const char *host)
{
    struct addr parsed;
    char with_port[ADDR_TEXT_MAX + 8];
    snprintf(with_port, sizeof with_port, strchr(host, ':') ? "[%.*s]:1" : "%.*s:1", ADDR_TEXT_MAX, host);
    return addr_parse(slice_of_str(with_port), &parsed) == 0 || conn_tls_peer_named(c, host);
}

static void answer_renew(struct answering *a, struct arena *arena, struct slice message)
{
    const Grid__V1__RenewRequest *asked = pb_unpack(&grid__v1__renew_request__descriptor, arena, message);
    Grid__V1__RenewResponse response = GRID__V1__RENEW_RESPONSE__INIT;
    char id[65] = "", why[NODE_WHY_MAX];
    struct buf der;
    if (!asked || asked->n_addresses > TRUST_ADDRESSES_MAX || asked->public_key.len > 256 || !trust_name_valid(pb_slice(asked->name))) {
        grpc_call_finish(a->call, GRPC_INVALID_ARGUMENT, "the request is malformed");
        return;
    }
    key_id_of_public(pb_slice(asked->public_key), id);
    if (strcmp(id, conn_tls_peer(grpc_call_conn(a->call))->id) != 0) {
        grpc_call_finish(a->call, GRPC_PERMISSION_DENIED, "a certificate is given for the caller's own key alone");
        return;
    }
    const char *addresses[TRUST_ADDRESSES_MAX];
    struct certificate_request request = {.public_der = pb_slice(asked->public_key), .name = arena_str(arena, pb_slice(asked->name)), .roles = TRUST_ROLE_NODE,
                                          .addresses = addresses};
    request.name_is_host = conn_tls_peer_named(grpc_call_conn(a->call), request.name);
    for (size_t i = 0; i < asked->n_addresses; i++) {
        addresses[request.address_count] = arena_str(arena, pb_slice(asked->addresses[i]));
        request.address_count += may_be_called(grpc_call_conn(a->call), addresses[request.address_count]);
    }
    buf_init(&der, 0);
    if (node_certificate_issue(a->node, &request, &der, why) != 0)
        grpc_call_finish(a->call, GRPC_FAILED_PRECONDITION, why);
    else {
        response.certificate = pb_bytes(buf_slice(&der));
        answer(a->call, &response.base);
    }
    buf_dispose(&der);
}

static void answer_hand(struct answering *a, struct arena *arena, struct slice message)
{
    const Grid__V1__HandRequest *got = pb_unpack(&grid__v1__hand_request__descriptor, arena, message);
    const Grid__V1__HandResponse response = GRID__V1__HAND_RESPONSE__INIT;
    struct slice keys[STANDING_KEYS_MAX];
    size_t count = 0;
    for (; got && count < got->n_keys && count < STANDING_KEYS_MAX; count++)
        keys[count] = pb_slice(got->keys[count]);
    if (!got || node_ledger_take(a->node, keys, count, got->password.data, got->password.len, got->password_epoch) != 0)
        grpc_call_finish(a->call, GRPC_PERMISSION_DENIED, "only an issuer hands on, by a key of this grid's authority, and not to one whose Gridfile has no key");
    else
        answer(a->call, &response.base);
}

static void on_decided(struct node *n, void *arg, int status, struct slice packed, const char *message)
{
    struct answering *a = arg;
    (void) n;
    a->waits = false;
    if (!a->call) {
        free(a);
        return;
    }
    if (status == GRPC_OK)
        grpc_call_send(a->call, packed);
    grpc_call_finish(a->call, status, status == GRPC_OK ? NULL : message);
}

static void answer_decide(struct answering *a, struct arena *arena, struct slice message)
{
    (void) arena;
    if (!a->node->authority || !authority_can_issue(a->node->authority)) { /* not passed on twice */
        grpc_call_finish(a->call, GRPC_FAILED_PRECONDITION, "this node holds no authority's key");
        return;
    }
    a->waits = true;
    node_decide(a->node, message, on_decided, a);
}

static const struct {
    const char *name;
    void (*answer)(struct answering *a, struct arena *arena, struct slice message);
} ANSWERS[] = {{"Renew", answer_renew}, {"Hand", answer_hand}, {"Decide", answer_decide}};

static void on_asked(void *ctx, struct grpc_call *call, struct slice message)
{
    struct answering *a = ctx;
    const char *name = strrchr(grpc_call_method(call)->path, '/') + 1;
    struct arena *arena = arena_create(4096, ARENA_MAX);
    if (!arena || !a->node->releases) {
        grpc_call_finish(call, GRPC_UNAVAILABLE, "the node is stopping, or out of memory");
        arena_destroy(arena);
        return;
    }
    for (size_t i = 0; i < sizeof ANSWERS / sizeof *ANSWERS; i++)
        if (strcmp(name, ANSWERS[i].name) == 0)
            ANSWERS[i].answer(a, arena, message);
    arena_destroy_wiped(arena); /* a key, or a password */
}

static void on_close(void *ctx, struct grpc_call *call, int err)
{
    struct answering *a = ctx;
    (void) call, (void) err;
    a->call = NULL;
    if (!a->waits)
        free(a);
}

static const struct grpc_call_events ANSWER_EVENTS = {.on_message = on_asked, .on_close = on_close};

static void on_call(void *ctx, struct grpc_call *call)
{
    struct answering *a = conn_tls_peer(grpc_call_conn(call)) ? calloc(1, sizeof *a) : NULL;
    if (!a) {
        grpc_call_finish(call, GRPC_UNAUTHENTICATED, "trust is for nodes, over mutual TLS");
        return;
    }
    *a = (struct answering){.node = ctx, .call = call};
    grpc_call_bind(call, &ANSWER_EVENTS, a);
}

static const struct grpc_method METHODS[] = {
    {.path = "/grid.v1.PeerTrust/Renew", .on_call = on_call, .max_message = MESSAGE_MAX},
    {.path = "/grid.v1.PeerTrust/Hand", .on_call = on_call, .max_message = MESSAGE_MAX, .secret = true},
    {.path = "/grid.v1.PeerTrust/Decide", .on_call = on_call, .max_message = MESSAGE_MAX, .secret = true},
};

const struct grpc_service *node_trust_service(struct node *n)
{
    n->trust_service = (struct grpc_service){.name = "grid.v1.PeerTrust", .methods = METHODS, .method_count = sizeof METHODS / sizeof *METHODS, .ctx = n};
    return &n->trust_service;
}
