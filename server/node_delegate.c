/* A question to an issuer, its answer, and a look at the own ledger until it shows what was asked for.
 *
 *   asked -> answered yes -> looking -> shown: the answer is passed on | too late: it is said not to be so
 *         -> anything else: passed on as it is */
#include "server/node_delegate.h"

#include <stdlib.h>

#include "api/pb.h"
#include "net/grpc.h"
#include "server/node_ask.h"
#include "server/node_ledger.h"
#include "trust/stretch.h"

enum { ARENA_BLOCK = 4096, ARENA_MAX = 256 * 1024, LOOK_MS = 20 };

/* What of the own ledger tells whether it has been done. */
struct mark {
    size_t evictions;
    uint64_t root, next, epoch;
    bool open;
};

struct delegation {
    struct delegation *next, **prev;
    struct node *node;
    struct admin_call *call;
    Grid__V1__DecideRequest__WhatCase what;
    char evictee[TRUST_ID_SIZE]; /* "" when it is not known here who is meant */
    bool begins;                 /* a rotation, which otherwise is only looked at */
    char issuer[NODE_NAME_MAX + 1];
    struct mark before;
    bool answered;
    struct buf answer;
    uint64_t until_ms;
    struct loop_timer timer;
};

static struct mark mark_of(const struct node *n)
{
    const struct ledger_authority *next = ledger_next(n->ledger);
    struct mark m = {.evictions = ledger_tombstone_count(n->ledger), .root = ledger_root(n->ledger)->sequence, .next = next ? next->sequence : 0};
    ledger_door(n->ledger, &m.epoch, &m.open);
    return m;
}

static bool is_shown(const struct delegation *d)
{
    const struct mark now = mark_of(d->node);
    if (d->what == GRID__V1__DECIDE_REQUEST__WHAT_EVICT)
        return d->evictee[0] ? ledger_is_evicted(d->node->ledger, d->evictee) : now.evictions > d->before.evictions;
    if (d->what == GRID__V1__DECIDE_REQUEST__WHAT_ROTATE)
        return !d->begins || now.next != 0 || now.root > d->before.root;
    return now.open && (now.epoch > d->before.epoch || now.root > d->before.root);
}

/* ---- the end ---- */

static void delegation_free(struct delegation *d)
{
    loop_timer_stop(&d->timer);
    *d->prev = d->next;
    if (d->next)
        d->next->prev = d->prev;
    buf_dispose(&d->answer);
    free(d);
}

static void finish(struct delegation *d, int status, const char *message)
{
    admin_finish(d->call, status, message);
    delegation_free(d);
}

/* The answer inside a DecideResponse is the administrator's; NULL when there is none. */
static const ProtobufCMessage *answer_in(const Grid__V1__DecideResponse *r)
{
    if (r->what_case == GRID__V1__DECIDE_RESPONSE__WHAT_EVICT)
        return &r->evict->base;
    if (r->what_case == GRID__V1__DECIDE_RESPONSE__WHAT_ROTATE)
        return &r->rotate->base;
    return r->what_case == GRID__V1__DECIDE_RESPONSE__WHAT_SET_PASSWORD ? &r->set_password->base : NULL;
}

static void pass_on(struct delegation *d)
{
    admin_reply(d->call, buf_slice(&d->answer));
    finish(d, GRPC_OK, NULL);
}

static void look(void *arg)
{
    struct delegation *d = arg;
    char why[NODE_WHY_MAX];
    if (is_shown(d)) {
        pass_on(d);
    } else if (loop_now_ms(d->node->loop) < d->until_ms) {
        loop_timer_start(d->node->loop, &d->timer, LOOK_MS, look, d);
    } else {
        snprintf(why, sizeof why, "%s says that it is done, but the grid's signed statements, as this node has them, do not: see \"grid list --all\", and ask again or on another node", d->issuer);
        finish(d, GRPC_ABORTED, why);
    }
}

/* ---- asking ---- */

static bool is_of_kind(const struct delegation *d, const Grid__V1__DecideResponse *r)
{
    if (d->what == GRID__V1__DECIDE_REQUEST__WHAT_EVICT)
        return r->what_case == GRID__V1__DECIDE_RESPONSE__WHAT_EVICT;
    if (d->what == GRID__V1__DECIDE_REQUEST__WHAT_ROTATE)
        return r->what_case == GRID__V1__DECIDE_RESPONSE__WHAT_ROTATE;
    return r->what_case == GRID__V1__DECIDE_RESPONSE__WHAT_SET_PASSWORD;
}

static void on_answer(struct node *n, void *arg, int status, struct slice packed, const char *message)
{
    struct delegation *d = arg;
    struct arena *a = status == GRPC_OK && n->ledger ? arena_create(ARENA_BLOCK, ARENA_MAX) : NULL;
    const Grid__V1__DecideResponse *r = a ? pb_unpack(&grid__v1__decide_response__descriptor, a, packed) : NULL;
    if (status != GRPC_OK || n->stopping) {
        finish(d, status == GRPC_OK ? GRPC_UNAVAILABLE : status, message);
    } else if (!r || !answer_in(r) || !is_of_kind(d, r)) {
        finish(d, GRPC_UNAVAILABLE, "the issuer that was asked gave an empty answer: ask again, or on another node");
    } else if (pb_append(&d->answer, answer_in(r)) != 0) {
        finish(d, GRPC_UNAVAILABLE, "the node is out of memory: try again later");
    } else {
        d->answered = true;
        d->until_ms = loop_now_ms(n->loop) + NODE_DELEGATE_WAIT_MS;
        look(d);
    }
    arena_destroy(a);
}

const char *node_delegate_refusal(const struct node *n)
{
    if (!n->ledger)
        return "this node is in no grid: there is nobody to decide for";
    return node_ledger_issuer(n, NULL) ? NULL
                                       : "no issuer can be reached: no living member holds the authority's key. Bring back one that did, or start one with the Gridfile that has it; when it is "
                                         "lost for good, run \"grid adopt\" on each node, which founds the grid anew";
}

/* NULL when nobody is to be evicted, or several or nobody may be meant as far as is known here. */
static const struct member *evictee_of(const struct node *n, const Grid__V1__DecideRequest *request)
{
    size_t matches = 0;
    const struct member *m = request->what_case == GRID__V1__DECIDE_REQUEST__WHAT_EVICT ? node_ledger_member(n, pb_slice(request->evict->node), &matches) : NULL;
    return matches == 1 ? m : NULL;
}

static struct delegation *delegation_create(struct node *n, struct admin_call *call, const Grid__V1__DecideRequest *request, const struct member *evictee)
{
    struct delegation *d = calloc(1, sizeof *d);
    if (!d)
        return NULL;
    *d = (struct delegation){.node = n, .call = call, .what = request->what_case, .before = mark_of(n), .next = n->delegations, .prev = &n->delegations};
    d->begins = request->what_case == GRID__V1__DECIDE_REQUEST__WHAT_ROTATE && request->rotate->begin;
    if (evictee)
        snprintf(d->evictee, sizeof d->evictee, "%s", evictee->id);
    buf_init(&d->answer, 0);
    if (d->next)
        d->next->prev = &d->next;
    n->delegations = d;
    return d;
}

void node_delegate(struct node *n, struct admin_call *call, const Grid__V1__DecideRequest *request)
{
    const char *refusal = node_delegate_refusal(n);
    const struct member *evictee = refusal ? NULL : evictee_of(n, request);
    const struct member *issuer = refusal ? NULL : node_ledger_issuer(n, evictee); /* who is to be evicted is not asked for it */
    if (!issuer) {
        admin_finish(call, GRPC_FAILED_PRECONDITION, refusal ? refusal : "nobody else holds the authority's key, as far as this node knows: start a node with the Gridfile that has it, and ask there");
        return;
    }
    struct buf packed;
    struct delegation *d = delegation_create(n, call, request, evictee);
    buf_init(&packed, 0);
    if (d)
        snprintf(d->issuer, sizeof d->issuer, "%s", issuer->name);
    if (!d || pb_append(&packed, &request->base) != 0 || node_ask(n, issuer, "Decide", buf_slice(&packed), on_answer, d) != 0) {
        admin_finish(call, GRPC_UNAVAILABLE, "the issuer cannot be asked: try again later");
        if (d)
            delegation_free(d);
    }
    buf_dispose_wiped(&packed);
}

void node_delegate_password(struct node *n, struct admin_call *call, const uint8_t *stretched)
{
    Grid__V1__DecideRequest request = GRID__V1__DECIDE_REQUEST__INIT;
    Grid__V1__OpenDoorRequest open = GRID__V1__OPEN_DOOR_REQUEST__INIT;
    open.stretched = pb_bytes(slice_of(stretched, STRETCH_SIZE));
    request.what_case = GRID__V1__DECIDE_REQUEST__WHAT_OPEN_DOOR;
    request.open_door = &open;
    node_delegate(n, call, &request);
}

void node_delegate_stop(struct node *n)
{
    for (struct delegation *d = n->delegations, *next; d; d = next) {
        next = d->next;
        if (d->answered) /* the others end with their question */
            finish(d, GRPC_UNAVAILABLE, "the node is stopping: ask again when it is back, or another one");
    }
}
