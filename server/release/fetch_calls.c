/* Calls of a fetch to its peers: requests for objects, and what they say they have. */
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "api/pb.h"
#include "base/err.h"
#include "grid/v1/sync.pb-c.h"
#include "net/grpc_client.h"
#include "server/release/fetch_internal.h"
#include "server/release/have_codec.h"

enum {
    FETCH_DEADLINE_MS = 600000,
    FETCH_STALL_MS = 20000,
    FETCH_AHEAD_BYTES = 8 * 1024 * 1024, /* that wait for the pool: nothing more is asked for meanwhile */
    HAVE_MESSAGE_MAX = 16 * 1024 * 1024, /* of numbers; SYNC_OBJECTS_MAX of them fit */
    HAVE_DEADLINE_MS = 3600 * 1000,
};

struct fetch_request {
    struct fetch_peer *peer;
    uint32_t number;
    uint64_t estimate; /* spent of the rate */
    uint64_t most;     /* bytes of an honest answer */
    uint64_t received;
    struct grpc_client_call *call;
    struct loop_timer stall;
};

/* ---- objects ---- */

static void on_stall(void *arg)
{
    struct fetch_request *request = arg;
    fetch_peer_fail(request->peer, FETCH_BREAK_MS, FETCH_BREAK_MAX_MS);
}

static void watch_stall(struct fetch_request *request)
{
    const struct fetch_options *o = &request->peer->fetch->options;
    loop_timer_start(o->loop, &request->stall, o->stall_ms ? o->stall_ms : FETCH_STALL_MS, on_stall, request);
}

static uint64_t still_ahead(const struct fetch_request *request)
{
    return request->received < request->estimate ? request->estimate - request->received : 0;
}

static void on_message(void *ctx, struct grpc_client_call *call, struct slice message)
{
    struct fetch_request *request = ctx;
    struct fetch_peer *peer = request->peer;
    (void) call;
    if (!peer->fetch || peer->failed)
        return;
    watch_stall(request);
    peer->fetch->ahead -= still_ahead(request);
    request->received += message.size;
    peer->fetch->ahead += still_ahead(request);
    if (peer->fetch->options.traffic)
        atomic_fetch_add_explicit(&peer->fetch->options.traffic->received, message.size, memory_order_relaxed);
    if (request->received > request->most)
        fetch_peer_lied(peer);
    else
        fetch_event_add(peer->fetch, EVENT_MESSAGE, peer->number, 0, message);
}

/* What was spent of the rate was a guess. */
static void settle_rate(const struct fetch_request *request)
{
    struct fetch *f = request->peer->fetch;
    if (!f || !f->options.pacer)
        return; /* fetch_calls_leave has done it */
    f->ahead -= still_ahead(request);
    if (request->received < request->estimate)
        pacer_refund(f->options.pacer, request->estimate - request->received);
    else
        pacer_spend(f->options.pacer, request->received - request->estimate, loop_now_ms(f->options.loop));
}

void fetch_calls_leave(struct fetch *f)
{
    if (f->options.pacer)
        pacer_refund(f->options.pacer, f->ahead);
    f->ahead = 0;
}

static void on_call_close(void *ctx, struct grpc_client_call *call, int status, struct slice message, enum http_sent sent, int64_t pushback_ms)
{
    struct fetch_request *request = ctx;
    struct fetch_peer *peer = request->peer;
    (void) call, (void) message, (void) sent, (void) pushback_ms;
    loop_timer_stop(&request->stall);
    settle_rate(request);
    if (status != GRPC_OK) {
        fetch_peer_fail(peer, FETCH_BREAK_MS, FETCH_BREAK_MAX_MS);
    } else if (peer->fetch && !peer->failed) {
        if (request->received > 0)
            fetch_peer_gave(peer);
        fetch_event_add(peer->fetch, EVENT_END, peer->number, request->number, slice_of(NULL, 0));
    }
    free(request);
}

static const struct grpc_client_events CALL_EVENTS = {.on_message = on_message, .on_close = on_call_close};

static int pack_request(const struct fetch *f, const struct sync_request *asked, struct buf *out)
{
    Grid__V1__FetchRequest message = GRID__V1__FETCH_REQUEST__INIT;
    ProtobufCBinaryData ids[SYNC_REQUEST_IDS_MAX];
    for (uint32_t i = 0; i < asked->count; i++)
        ids[i] = pb_bytes(slice_of(asked->ids[i].bytes, sizeof asked->ids[i].bytes));
    message.ids = ids;
    message.n_ids = asked->count;
    message.root = pb_bytes(slice_of(f->root.bytes, sizeof f->root.bytes));
    message.fetched_bytes = f->progress.bytes_received;
    message.wanted_bytes = f->progress.bytes_wanted;
    return pb_append(out, &message.base);
}

static int send_request(struct fetch_peer *peer, const struct sync_request *asked)
{
    struct fetch_request *request = calloc(1, sizeof *request);
    struct buf packed;
    if (!request)
        return GRID_ENOMEM;
    *request = (struct fetch_request){.peer = peer, .number = asked->number, .estimate = asked->bytes, .most = asked->bytes_max};
    buf_init(&packed, 0);
    int err = pack_request(peer->fetch, asked, &packed);
    if (err == 0)
        err = grpc_client_call_start(peer->client, "/grid.v1.SyncChunk/Fetch", FETCH_DEADLINE_MS, NULL, 0, buf_slice(&packed), false, request->most,
                                     &CALL_EVENTS, request, &request->call);
    buf_dispose(&packed);
    if (err != 0) {
        free(request);
        return err;
    }
    watch_stall(request);
    peer->fetch->ahead += request->estimate;
    if (peer->fetch->options.pacer)
        pacer_spend(peer->fetch->options.pacer, request->estimate, loop_now_ms(peer->fetch->options.loop));
    return 0;
}

uint64_t fetch_calls_send(struct fetch *f)
{
    struct sync_request request;
    while (!f->ended && f->events_bytes < FETCH_AHEAD_BYTES) {
        uint64_t wait_ms = f->options.pacer ? pacer_wait_ms(f->options.pacer, loop_now_ms(f->options.loop)) : 0;
        if (wait_ms > 0)
            return wait_ms;
        if (!sync_next_request(f->sync, f->now_ms, &request))
            return 0;
        struct fetch_peer *peer = fetch_peer_of(f, request.peer);
        if (peer && !peer->failed && send_request(peer, &request) == 0)
            continue;
        sync_peer_failed(f->sync, request.peer, f->now_ms);
        if (peer)
            fetch_peer_fail(peer, FETCH_BREAK_MS, FETCH_BREAK_MAX_MS);
    }
    return 0;
}

/* ---- what a peer has ---- */

struct have_question {
    struct fetch_peer *peer;
    bool answered;
};

static void have_on_message(void *ctx, struct grpc_client_call *call, struct slice message)
{
    struct have_question *q = ctx;
    (void) call;
    q->answered = true;
    if (q->peer->fetch && !q->peer->failed)
        fetch_event_add(q->peer->fetch, EVENT_HAVE, q->peer->number, 0, message);
}

/* One that does not know the question, or will not answer it, may have something all the same. */
static void have_on_close(void *ctx, struct grpc_client_call *call, int status, struct slice message, enum http_sent sent, int64_t pushback_ms)
{
    struct have_question *q = ctx;
    (void) call, (void) message, (void) sent, (void) pushback_ms;
    if (q->peer->fetch && !q->peer->failed && (status != GRPC_OK || !q->answered))
        fetch_event_add(q->peer->fetch, EVENT_MAYBE, q->peer->number, 0, slice_of(NULL, 0));
    free(q);
}

static const struct grpc_client_events HAVE_EVENTS = {.on_message = have_on_message, .on_close = have_on_close};

static int start_question(struct fetch_peer *peer, struct have_question *q)
{
    const struct fetch *f = peer->fetch;
    struct have_request asked = {.root = f->root, .beside = f->base, .has_beside = f->has_base};
    struct grpc_client_call *call;
    struct buf packed;
    buf_init(&packed, 0);
    int err = have_request_pack(&asked, &packed);
    if (err == 0)
        err = grpc_client_call_start(peer->client, "/grid.v1.SyncChunk/Have", HAVE_DEADLINE_MS, NULL, 0, buf_slice(&packed), false, HAVE_MESSAGE_MAX, &HAVE_EVENTS, q,
                                     &call);
    buf_dispose(&packed);
    return err;
}

int fetch_calls_ask_have(struct fetch_peer *peer)
{
    struct have_question *q = calloc(1, sizeof *q);
    if (!q)
        return GRID_ENOMEM;
    q->peer = peer;
    int err = start_question(peer, q);
    if (err != 0)
        free(q);
    return err;
}

int fetch_take_have(struct fetch *f, uint32_t peer, struct slice packed)
{
    struct have_state state;
    arena_reset(f->arena);
    if (have_state_unpack(packed, f->arena, &state) != 0)
        return GRID_ECORRUPT;
    if (state.whole || state.maybe || !sync_is_numbered_alike(f->sync)) {
        sync_peer_set_kind(f->sync, peer, state.whole ? SYNC_PEER_WHOLE : SYNC_PEER_MAYBE, f->now_ms);
        return 0;
    }
    int err = sync_peer_has_bits(f->sync, peer, state.bits, f->now_ms);
    return err == 0 ? sync_peer_has(f->sync, peer, state.had, state.had_count, f->now_ms) : err;
}
