/* A node changes sides, once what it holds alone of its grid is held by another member too.
 *
 *   asked -> waiting, while it holds the key alone -> done | ten seconds have passed: refused | the asker has gone: nothing is changed */
#include "server/node_adopt.h"

#include <stdlib.h>

#include "api/pb.h"
#include "grid/v1/control.pb-c.h"
#include "net/grpc.h"
#include "server/node_ledger.h"
#include "server/node_trust.h"
#include "trust/authority.h"

enum { ARENA_BLOCK = 256, ARENA_MAX = 4096, LOOK_MS = 20 };

struct adoption {
    struct node *node;
    struct admin_call *call;
    uint64_t until_ms;
    struct loop_timer timer;
};

static void adopt(struct node *n, struct admin_call *call)
{
    Grid__V1__AdoptResponse response = GRID__V1__ADOPT_RESPONSE__INIT;
    char why[NODE_WHY_MAX], text[256];
    struct buf packed;
    if (node_trust_adopt(n, why) != 0) {
        admin_finish(call, GRPC_FAILED_PRECONDITION, why);
        return;
    }
    snprintf(text, sizeof text, "this node goes by authority %.8s now%s", authority_id(n->authority), n->standing.provisional ? ", a provisional one, until it has joined" : "");
    response.message = pb_str(text);
    buf_init(&packed, 0);
    if (pb_append(&packed, &response.base) == 0)
        admin_reply(call, buf_slice(&packed));
    buf_dispose(&packed);
    admin_finish(call, GRPC_OK, NULL);
}

/* ---- waiting ---- */

/* Frees it; the call is still to be finished. */
static struct admin_call *end(struct adoption *a)
{
    struct admin_call *call = a->call;
    loop_timer_stop(&a->timer);
    a->node->adoption = NULL;
    free(a);
    return call;
}

static void look(void *arg)
{
    struct adoption *a = arg;
    struct node *n = a->node;
    if (!node_ledger_key_is_here_alone(n))
        adopt(n, end(a));
    else if (loop_now_ms(n->loop) < a->until_ms)
        loop_timer_start(n->loop, &a->timer, LOOK_MS, look, a);
    else
        admin_finish(end(a), GRPC_FAILED_PRECONDITION,
                     "no other member that can be reached holds the authority's key yet, and without it nobody could let others into their grid or put them out: see that they are linked (\"grid list\"), "
                     "and ask again; or take leave of that grid with \"grid adopt --lose-key\"");
}

static void on_cancel(void *arg, struct admin_call *call)
{
    (void) call;
    admin_finish(end(arg), GRPC_CANCELLED, NULL);
}

static void wait_for_successor(struct node *n, struct admin_call *call)
{
    if (n->adoption) {
        admin_finish(call, GRPC_ABORTED, "this node has been asked to adopt already, and waits until another member holds the authority's key");
        return;
    }
    struct adoption *a = calloc(1, sizeof *a);
    if (!a) {
        admin_finish(call, GRPC_UNAVAILABLE, "the node is out of memory: try again later");
        return;
    }
    *a = (struct adoption){.node = n, .call = call, .until_ms = loop_now_ms(n->loop) + NODE_ADOPT_WAIT_MS};
    n->adoption = a;
    admin_on_cancel(call, on_cancel, a);
    node_ledger_look_soon(n);
    look(a);
}

void node_control_adopt(void *ctx, struct admin_call *call, struct slice request)
{
    struct node *n = ctx;
    struct arena *arena = arena_create(ARENA_BLOCK, ARENA_MAX);
    const Grid__V1__AdoptRequest *asked = arena ? pb_unpack(&grid__v1__adopt_request__descriptor, arena, request) : NULL;
    bool lose_key = asked && asked->lose_key;
    arena_destroy(arena);
    if (!asked)
        admin_finish(call, GRPC_INVALID_ARGUMENT, "the request is malformed");
    else if (!n->grid[0])
        admin_finish(call, GRPC_FAILED_PRECONDITION, "this node is in no grid, and was given neither a Gridfile nor --grid: there is nothing to adopt");
    else if (lose_key)
        adopt(n, call);
    else
        wait_for_successor(n, call);
}

void node_adopt_stop(struct node *n)
{
    if (n->adoption)
        admin_finish(end(n->adoption), GRPC_UNAVAILABLE, "the node is stopping: ask again when it is back");
}
