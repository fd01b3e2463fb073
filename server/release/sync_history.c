/* Answers SyncChunk.History: entry after entry, as the caller takes them, so that large ones are not all held at once. */
#include <stdlib.h>

#include "base/err.h"
#include "server/release/sync_service_internal.h"

enum { QUEUE_LOW = 256 * 1024, REQUEST_ARENA_MAX = 64 * 1024 };

struct history_call {
    struct sync_service *service;
    struct grpc_call *call;
    struct entry_key known[HISTORY_KNOWN_MAX];
    size_t known_count;
    struct entry_key told; /* the last that was sent */
    bool asked, finished;
};

static void finish(struct history_call *h, int status, const char *message)
{
    h->finished = true;
    grpc_call_finish(h->call, status, message);
}

static bool send_next(struct history_call *h)
{
    struct sync_service *s = h->service;
    struct buf packed;
    buf_init(&packed, 0);
    bool more = s->history && s->history(s->history_ctx, h->known, h->known_count, &h->told, &packed) && grpc_call_send(h->call, buf_slice(&packed)) == 0;
    buf_dispose(&packed);
    return more;
}

static void tell(struct history_call *h)
{
    while (grpc_call_queued(h->call) <= QUEUE_LOW)
        if (!send_next(h)) {
            finish(h, GRPC_OK, NULL);
            return;
        }
}

static bool take_request(struct history_call *h, struct slice message)
{
    struct arena *arena = arena_create(1024, REQUEST_ARENA_MAX);
    bool good = arena && history_request_unpack(message, arena, h->known, &h->known_count) == 0;
    arena_destroy(arena);
    return good;
}

static void on_message(void *ctx, struct grpc_call *call, struct slice message)
{
    struct history_call *h = ctx;
    (void) call;
    if (h->asked || h->finished)
        return; /* one request to a call */
    h->asked = true;
    if (take_request(h, message))
        tell(h);
    else
        finish(h, GRPC_INVALID_ARGUMENT, "at most 64 entries are named, by sequence and publisher");
}

static void on_writable(void *ctx, struct grpc_call *call)
{
    struct history_call *h = ctx;
    (void) call;
    if (h->asked && !h->finished)
        tell(h);
}

static void on_close(void *ctx, struct grpc_call *call, int err)
{
    (void) call, (void) err;
    free(ctx);
}

static const struct grpc_call_events CALL_EVENTS = {.on_message = on_message, .on_writable = on_writable, .on_close = on_close};

void sync_history_on_call(void *ctx, struct grpc_call *call)
{
    struct history_call *h = calloc(1, sizeof *h);
    if (!h) {
        grpc_call_finish(call, GRPC_UNAVAILABLE, "the node is out of memory: try again later");
        return;
    }
    h->service = ctx;
    h->call = call;
    grpc_call_bind(call, &CALL_EVENTS, h);
}

void sync_service_set_history(struct sync_service *s, sync_history_fn next, void *ctx)
{
    s->history = next;
    s->history_ctx = ctx;
}
