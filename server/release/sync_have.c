/* Answers SyncChunk.Have. Who listens is told at once what there is, and of what comes at most twenty times a second. */
#include <stdlib.h>

#include "base/err.h"
#include "server/release/have_codec.h"
#include "server/release/sync_service_internal.h"

enum { TELL_MS = 50, LISTENERS_MAX = 512, QUEUE_MAX = 256 * 1024, NUMBERS_LEAST = 64, NUMBER_BYTES = 3 /* of most varints */ };

struct have_call {
    struct have_call *next, **prev; /* among the listeners */
    struct sync_service *service;
    struct grpc_call *call; /* NULL once closed */
    struct have_request asked;
    bool begun;
    uint64_t serial; /* of the fetch that was told of */
    size_t told;     /* of its objects */
};

static void unlisten(struct have_call *h)
{
    if (!h->prev)
        return;
    *h->prev = h->next;
    if (h->next)
        h->next->prev = h->prev;
    h->prev = NULL;
    h->service->listener_count--;
}

static void listen_on(struct have_call *h)
{
    struct sync_service *s = h->service;
    h->next = s->listeners;
    h->prev = &s->listeners;
    if (h->next)
        h->next->prev = &h->next;
    s->listeners = h;
    s->listener_count++;
}

/* ---- messages ---- */

static int send_state(struct have_call *h, const struct have_state *state)
{
    struct buf packed;
    buf_init(&packed, 0);
    int err = have_state_pack(state, &packed);
    if (err == 0)
        err = grpc_call_send(h->call, buf_slice(&packed));
    buf_dispose(&packed);
    return err;
}

static int send_numbers(struct have_call *h, const uint32_t *numbers, size_t count)
{
    return send_state(h, &(struct have_state){.had = numbers, .had_count = count});
}

static int send_bits(struct have_call *h, const uint32_t *numbers, size_t count, uint32_t greatest)
{
    size_t bytes = (size_t) greatest / 8 + 1;
    uint8_t *bits = calloc(1, bytes);
    if (!bits)
        return GRID_ENOMEM;
    for (size_t i = 0; i < count; i++)
        bits[numbers[i] / 8] |= (uint8_t) (1u << numbers[i] % 8);
    int err = send_state(h, &(struct have_state){.bits = slice_of(bits, bytes)});
    free(bits);
    return err;
}

/* By numbers or by bits, whichever is shorter. */
static int send_had(struct have_call *h, const struct sync_have *have)
{
    size_t fresh = have->had_count - h->told;
    uint32_t greatest = 0;
    if (fresh > NUMBERS_LEAST)
        for (size_t i = 0; i < have->had_count; i++)
            greatest = have->had[i] > greatest ? have->had[i] : greatest;
    bool as_bits = fresh > NUMBERS_LEAST && fresh * NUMBER_BYTES > greatest / 8;
    return as_bits ? send_bits(h, have->had, have->had_count, greatest) : send_numbers(h, have->had + h->told, fresh);
}

/* Ends the call with its last word. */
static void finish_with(struct have_call *h, bool whole)
{
    struct grpc_call *call = h->call;
    int err = send_state(h, &(struct have_state){.whole = whole, .maybe = !whole});
    unlisten(h);
    grpc_call_finish(call, err == 0 ? GRPC_OK : GRPC_UNAVAILABLE, NULL);
}

static void tell_filling(struct have_call *h, const struct sync_have *have)
{
    if (h->serial != have->serial)
        h->told = 0;
    h->serial = have->serial;
    if ((h->begun && h->told == have->had_count) || grpc_call_queued(h->call) > QUEUE_MAX)
        return;
    if (send_had(h, have) == 0)
        h->told = have->had_count;
    h->begun = true;
}

static void tell(struct have_call *h)
{
    struct sync_service *s = h->service;
    struct sync_have have = {.kind = SYNC_HAVE_MAYBE};
    if (s->look)
        s->look(s->look_ctx, &h->asked.root, h->asked.has_beside ? &h->asked.beside : NULL, &have);
    switch (have.kind) {
    case SYNC_HAVE_WHOLE:
    case SYNC_HAVE_MAYBE:
        finish_with(h, have.kind == SYNC_HAVE_WHOLE);
        return;
    case SYNC_HAVE_NOTHING_YET:
        if (!h->begun)
            send_numbers(h, NULL, 0);
        h->begun = true;
        return;
    case SYNC_HAVE_FILLING:
        tell_filling(h, &have);
        return;
    }
}

static void tell_all(void *arg)
{
    struct sync_service *s = arg;
    s->told_ms = loop_now_ms(s->loop);
    for (struct have_call *h = s->listeners, *next; h; h = next) {
        next = h->next;
        tell(h);
    }
}

void sync_service_have_changed(struct sync_service *s)
{
    uint64_t now = loop_now_ms(s->loop);
    if (s->listeners && !loop_timer_running(&s->tell))
        loop_timer_start(s->loop, &s->tell, now < s->told_ms + TELL_MS ? s->told_ms + TELL_MS - now : 0, tell_all, s);
}

/* ---- the call ---- */

static bool take_request(struct have_call *h, struct slice message)
{
    struct arena *arena = arena_create(1024, 64 * 1024);
    bool good = arena && have_request_unpack(message, arena, &h->asked) == 0;
    arena_destroy(arena);
    return good;
}

static void on_message(void *ctx, struct grpc_call *call, struct slice message)
{
    struct have_call *h = ctx;
    if (h->prev)
        return; /* one request to a call */
    if (!take_request(h, message)) {
        grpc_call_finish(call, GRPC_INVALID_ARGUMENT, "root and beside are SHA-256 hashes of 32 bytes");
    } else if (h->service->listener_count >= LISTENERS_MAX) {
        grpc_call_finish(call, GRPC_RESOURCE_EXHAUSTED, "too many nodes listen: fetch without");
    } else {
        listen_on(h);
        tell(h);
    }
}

static void on_close(void *ctx, struct grpc_call *call, int err)
{
    struct have_call *h = ctx;
    (void) call, (void) err;
    unlisten(h);
    free(h);
}

static const struct grpc_call_events CALL_EVENTS = {.on_message = on_message, .on_close = on_close};

void sync_have_on_call(void *ctx, struct grpc_call *call)
{
    struct have_call *h = calloc(1, sizeof *h);
    if (!h) {
        grpc_call_finish(call, GRPC_UNAVAILABLE, "the node is out of memory: try again later");
        return;
    }
    h->service = ctx;
    h->call = call;
    grpc_call_bind(call, &CALL_EVENTS, h);
}

void sync_service_set_have(struct sync_service *s, sync_have_fn look, void *ctx)
{
    s->look = look;
    s->look_ctx = ctx;
}
