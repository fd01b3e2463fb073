/* What an administrator decides about trust: carried out here when this node is an issuer, else asked of one. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "api/pb.h"
#include "base/err.h"
#include "grid/v1/trust.pb-c.h"
#include "net/grpc.h"
#include "server/node_ask.h"
#include "server/node_delegate.h"
#include "server/node_ledger.h"
#include "trust/stretch.h"
#include "trust/weak_password.h"

enum { ARENA_BLOCK = 4096, ARENA_MAX = 256 * 1024 };

/* ---- carrying out ---- */

static void done_with(struct node *n, const Grid__V1__DecideResponse *response, node_answer_fn done, void *arg)
{
    struct buf packed;
    buf_init(&packed, 0);
    if (pb_append(&packed, &response->base) == 0)
        done(n, arg, GRPC_OK, buf_slice(&packed), NULL);
    else
        done(n, arg, GRPC_UNAVAILABLE, slice_of(NULL, 0), "the node is out of memory: try again later");
    buf_dispose(&packed);
}

static void decide_evict(struct node *n, const Grid__V1__EvictRequest *asked, node_answer_fn done, void *arg)
{
    Grid__V1__DecideResponse response = GRID__V1__DECIDE_RESPONSE__INIT;
    Grid__V1__EvictResponse evict = GRID__V1__EVICT_RESPONSE__INIT;
    char why[NODE_WHY_MAX];
    int status = node_ledger_evict(n, pb_slice(asked->node), asked->replace_authority, why);
    if (status != GRPC_OK) {
        done(n, arg, status, slice_of(NULL, 0), why);
        return;
    }
    evict.message = pb_str(why);
    response.what_case = GRID__V1__DECIDE_RESPONSE__WHAT_EVICT;
    response.evict = &evict;
    done_with(n, &response, done, arg);
}

static void decide_rotate(struct node *n, const Grid__V1__RotateRequest *asked, node_answer_fn done, void *arg)
{
    Grid__V1__DecideResponse response = GRID__V1__DECIDE_RESPONSE__INIT;
    Grid__V1__RotateResponse rotate = GRID__V1__ROTATE_RESPONSE__INIT;
    ProtobufCBinaryData missing[64];
    struct node_rotation now;
    char why[NODE_WHY_MAX];
    int status = node_ledger_rotate(n, asked->begin, asked->overlap_s, &now, why);
    if (status != GRPC_OK) {
        done(n, arg, status, slice_of(NULL, 0), why);
        return;
    }
    rotate.phase = pb_str(now.phase);
    rotate.authority = pb_str(now.authority);
    rotate.missing = missing;
    for (; rotate.n_missing < now.missing_count; rotate.n_missing++)
        missing[rotate.n_missing] = pb_str(now.missing[rotate.n_missing]);
    response.what_case = GRID__V1__DECIDE_RESPONSE__WHAT_ROTATE;
    response.rotate = &rotate;
    done_with(n, &response, done, arg);
}

/* A password while the pool stretches it. */
struct stretching {
    struct node *node;
    bool handed_on; /* to an issuer; `arg` is the administrator's call then */
    node_answer_fn done;
    void *arg;
    struct buf plain;
    char grid[NODE_NAME_MAX + 1];
    uint8_t stretched[STRETCH_SIZE];
    int err;
};

static void stretch_work(void *arg)
{
    struct stretching *s = arg;
    s->err = stretch_password(buf_slice(&s->plain), s->grid, s->stretched);
}

static void stretching_free(struct stretching *s)
{
    buf_dispose_wiped(&s->plain);
    explicit_bzero(s->stretched, sizeof s->stretched);
    free(s);
}

static void open_door(struct node *n, const uint8_t *stretched, size_t size, node_answer_fn done, void *arg)
{
    Grid__V1__DecideResponse response = GRID__V1__DECIDE_RESPONSE__INIT;
    Grid__V1__SetPasswordResponse set = GRID__V1__SET_PASSWORD_RESPONSE__INIT;
    char why[NODE_WHY_MAX] = "the request is malformed";
    int status = size != STRETCH_SIZE ? GRPC_INVALID_ARGUMENT : node_ledger_set_password(n, stretched, size, why);
    set.message = pb_str(why);
    response.what_case = GRID__V1__DECIDE_RESPONSE__WHAT_SET_PASSWORD;
    response.set_password = &set;
    if (status == GRPC_OK)
        done_with(n, &response, done, arg);
    else
        done(n, arg, status, slice_of(NULL, 0), why);
}

static void stretch_done(void *arg)
{
    struct stretching *s = arg;
    struct node *n = s->node;
    if (s->done) /* else the node stops: it has been told */
        n->stretching = NULL;
    if (s->done && (s->err != 0 || !n->releases))
        s->done(n, s->arg, s->err != 0 ? GRPC_INVALID_ARGUMENT : GRPC_UNAVAILABLE, slice_of(NULL, 0), "the password cannot be taken: give one of 1 to 1,024 bytes");
    else if (s->done && s->handed_on)
        node_delegate_password(n, s->arg, s->stretched);
    else if (s->done)
        open_door(n, s->stretched, sizeof s->stretched, s->done, s->arg);
    stretching_free(s);
}

void node_decide_stop(struct node *n)
{
    struct stretching *s = n->stretching;
    if (!s)
        return;
    node_answer_fn done = s->done;
    s->done = NULL;
    n->stretching = NULL;
    done(n, s->arg, GRPC_UNAVAILABLE, slice_of(NULL, 0), "the node is stopping: ask again when it is back, or another one");
}

static void stretch_begin(struct node *n, const Grid__V1__SetPasswordRequest *asked, bool handed_on, node_answer_fn done, void *arg)
{
    if (n->stretching) {
        done(n, arg, GRPC_RESOURCE_EXHAUSTED, slice_of(NULL, 0), "another password is being set: try again in a moment");
        return;
    }
    char clause[WEAK_PASSWORD_WHY], sentence[NODE_WHY_MAX];
    if (asked->password.len > 0 && !asked->weak && weak_password(pb_slice(asked->password), n->grid, clause)) {
        snprintf(sentence, sizeof sentence, "the password is too easy to guess: %s; give a better one, or say that a weak one is meant", clause);
        done(n, arg, GRPC_INVALID_ARGUMENT, slice_of(NULL, 0), sentence);
        return;
    }
    struct stretching *s = calloc(1, sizeof *s);
    if (s) {
        *s = (struct stretching){.node = n, .handed_on = handed_on, .done = done, .arg = arg};
        buf_init(&s->plain, STRETCH_PASSWORD_MAX);
        snprintf(s->grid, sizeof s->grid, "%s", n->grid);
        if (buf_append(&s->plain, pb_slice(asked->password)) == 0 && loop_work(n->loop, stretch_work, stretch_done, s) == 0) {
            n->stretching = s; /* one at a time: 128 MiB each */
            return;
        }
        buf_dispose(&s->plain);
        free(s);
    }
    done(n, arg, GRPC_INVALID_ARGUMENT, slice_of(NULL, 0), "the password cannot be taken: give one of 1 to 1,024 bytes");
}

void node_decide(struct node *n, struct slice packed, node_answer_fn done, void *arg)
{
    struct arena *a = arena_create(ARENA_BLOCK, ARENA_MAX);
    const Grid__V1__DecideRequest *asked = a ? pb_unpack(&grid__v1__decide_request__descriptor, a, packed) : NULL;
    if (asked && asked->what_case == GRID__V1__DECIDE_REQUEST__WHAT_EVICT)
        decide_evict(n, asked->evict, done, arg);
    else if (asked && asked->what_case == GRID__V1__DECIDE_REQUEST__WHAT_ROTATE)
        decide_rotate(n, asked->rotate, done, arg);
    else if (asked && asked->what_case == GRID__V1__DECIDE_REQUEST__WHAT_SET_PASSWORD)
        stretch_begin(n, asked->set_password, false, done, arg);
    else if (asked && asked->what_case == GRID__V1__DECIDE_REQUEST__WHAT_OPEN_DOOR)
        open_door(n, asked->open_door->stretched.data, asked->open_door->stretched.len, done, arg);
    else
        done(n, arg, GRPC_INVALID_ARGUMENT, slice_of(NULL, 0), "the request is malformed");
    arena_destroy_wiped(a);
}

/* ---- the administrator's questions ---- */

static void reply_packed(struct admin_call *call, const ProtobufCMessage *message)
{
    struct buf packed;
    buf_init(&packed, 0);
    if (pb_append(&packed, message) == 0)
        admin_reply(call, buf_slice(&packed));
    buf_dispose(&packed);
    admin_finish(call, GRPC_OK, NULL);
}

/* The answer inside a DecideResponse is the administrator's. */
static void on_decided(struct node *n, void *arg, int status, struct slice packed, const char *message)
{
    struct admin_call *call = arg;
    struct arena *a = arena_create(ARENA_BLOCK, ARENA_MAX);
    const Grid__V1__DecideResponse *answer = a && status == GRPC_OK ? pb_unpack(&grid__v1__decide_response__descriptor, a, packed) : NULL;
    (void) n;
    if (!answer)
        admin_finish(call, status == GRPC_OK ? GRPC_UNAVAILABLE : status, message);
    else if (answer->what_case == GRID__V1__DECIDE_RESPONSE__WHAT_EVICT)
        reply_packed(call, &answer->evict->base);
    else if (answer->what_case == GRID__V1__DECIDE_RESPONSE__WHAT_ROTATE)
        reply_packed(call, &answer->rotate->base);
    else if (answer->what_case == GRID__V1__DECIDE_RESPONSE__WHAT_SET_PASSWORD)
        reply_packed(call, &answer->set_password->base);
    else
        admin_finish(call, GRPC_UNAVAILABLE, "the issuer that was asked gave an empty answer: ask again, or on another node");
    arena_destroy(a);
}

/* Stretched here, so that it goes to nobody as it was given. */
static void hand_on_password(struct node *n, struct admin_call *call, const Grid__V1__SetPasswordRequest *asked)
{
    const char *refusal = node_delegate_refusal(n);
    if (refusal)
        admin_finish(call, GRPC_FAILED_PRECONDITION, refusal);
    else
        stretch_begin(n, asked, true, on_decided, call);
}

static void decide_for(struct node *n, struct admin_call *call, const Grid__V1__DecideRequest *request)
{
    struct buf packed;
    buf_init(&packed, 0);
    if (pb_append(&packed, &request->base) != 0)
        admin_finish(call, GRPC_UNAVAILABLE, "the node is out of memory: try again later");
    else if (n->authority && authority_can_issue(n->authority))
        node_decide(n, buf_slice(&packed), on_decided, call);
    else if (n->ledger && request->what_case == GRID__V1__DECIDE_REQUEST__WHAT_EVICT && node_ledger_means_self(n, pb_slice(request->evict->node)))
        admin_finish(call, GRPC_INVALID_ARGUMENT, NODE_EVICTS_ITSELF); /* the issuer would, and nobody would hear its answer */
    else if (request->what_case == GRID__V1__DECIDE_REQUEST__WHAT_SET_PASSWORD)
        hand_on_password(n, call, request->set_password);
    else
        node_delegate(n, call, request);
    buf_dispose_wiped(&packed);
}

/* Unpacks one of the three requests into the arena and decides; `what` says which. */
static void decide_packed(struct node *n, struct admin_call *call, struct slice request, Grid__V1__DecideRequest__WhatCase what, const ProtobufCMessageDescriptor *type)
{
    struct arena *a = arena_create(ARENA_BLOCK, ARENA_MAX);
    Grid__V1__DecideRequest decide = GRID__V1__DECIDE_REQUEST__INIT;
    void *asked = a ? pb_unpack(type, a, request) : NULL;
    decide.what_case = what;
    if (what == GRID__V1__DECIDE_REQUEST__WHAT_EVICT)
        decide.evict = asked;
    else if (what == GRID__V1__DECIDE_REQUEST__WHAT_ROTATE)
        decide.rotate = asked;
    else
        decide.set_password = asked;
    if (asked)
        decide_for(n, call, &decide);
    else
        admin_finish(call, GRPC_INVALID_ARGUMENT, "the request is malformed");
    arena_destroy_wiped(a);
}

void node_control_evict(void *node, struct admin_call *call, struct slice request)
{
    decide_packed(node, call, request, GRID__V1__DECIDE_REQUEST__WHAT_EVICT, &grid__v1__evict_request__descriptor);
}

void node_control_rotate(void *node, struct admin_call *call, struct slice request)
{
    decide_packed(node, call, request, GRID__V1__DECIDE_REQUEST__WHAT_ROTATE, &grid__v1__rotate_request__descriptor);
}

void node_control_set_password(void *node, struct admin_call *call, struct slice request)
{
    decide_packed(node, call, request, GRID__V1__DECIDE_REQUEST__WHAT_SET_PASSWORD, &grid__v1__set_password_request__descriptor);
}
