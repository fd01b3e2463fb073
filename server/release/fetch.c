/* One fetch: connections to peers, requests as the planner asks for them, answers into the store. */
#include "server/release/fetch.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "api/pb.h"
#include "base/err.h"
#include "base/log.h"
#include "grid/v1/sync.pb-c.h"
#include "net/grpc_client.h"

enum {
    FETCH_PEERS_MAX = 8,        /* connections at once */
    FETCH_LIARS_MAX = 16,
    FETCH_RETRY_MS = 500,       /* before others are looked for again */
    FETCH_WALK_LISTINGS = 256,  /* per turn of the loop */
    FETCH_MESSAGE_MAX = 10 * 1024 * 1024,
    FETCH_DEADLINE_MS = 60000,  /* of one request */
};

struct fetch_request;

struct fetch_peer {
    struct fetch *fetch; /* NULL once the fetch is gone: only the connection's end is awaited */
    struct http_client *client;
    char id[65];
    uint32_t number;
    unsigned requests;
    bool closing;
    struct fetch_peer *next;
};

struct fetch_request {
    struct fetch_peer *peer;
    uint32_t number;
    struct grpc_client_call *call;
};

struct fetch {
    struct fetch_options options;
    struct object_id root;
    char root_hex[OBJECT_ID_HEX + 1];
    struct sync *sync;
    struct store_batch batch;
    struct fetch_peer *peers;
    unsigned peer_count;
    struct loop_deferred pump;
    struct loop_timer retry;
    struct arena *arena; /* of one message */
    struct buf content;
    char liars[FETCH_LIARS_MAX][65]; /* sent wrong bytes: not asked again by this fetch */
    unsigned liar_count;
};

static void fetch_pump(void *arg);

static void fetch_pump_later(struct fetch *f)
{
    loop_defer(f->options.loop, &f->pump, fetch_pump, f);
}

/* ---- the planner's view of the store ---- */

static bool source_have(void *arg, const struct object_id *id)
{
    return store_has(((struct fetch *) arg)->options.store, id);
}

static int source_load(void *arg, const struct object_id *id, enum object_type type, struct buf *out)
{
    return store_get_typed(((struct fetch *) arg)->options.store, id, type, out);
}

/* ---- the end ---- */

static void peer_unlink(struct fetch_peer *peer)
{
    struct fetch *f = peer->fetch;
    for (struct fetch_peer **at = &f->peers; *at; at = &(*at)->next)
        if (*at == peer) {
            *at = peer->next;
            f->peer_count--;
            return;
        }
}

static void fetch_free(struct fetch *f)
{
    loop_defer_cancel(&f->pump);
    loop_timer_stop(&f->retry);
    for (struct fetch_peer *peer = f->peers, *next; peer; peer = next) {
        next = peer->next;
        peer->fetch = NULL;
        http_client_close(peer->client);
    }
    store_batch_dispose(&f->batch);
    sync_destroy(f->sync);
    arena_destroy(f->arena);
    buf_dispose(&f->content);
    free(f);
}

void fetch_cancel(struct fetch *f)
{
    fetch_free(f);
}

static void fetch_finish(struct fetch *f, int err, const char *sentence)
{
    struct fetch_options options = f->options;
    fetch_free(f);
    options.on_done(options.ctx, err, sentence);
}

/* ---- answers ---- */

static int take_object(struct fetch *f, const struct fetch_peer *peer, const Grid__V1__ObjectRecord *record)
{
    struct record_packed packed = {.raw_size = record->raw_size, .codec = (enum record_codec) record->codec, .data = pb_slice(record->data)};
    struct object_id id;
    enum object_type type;
    buf_clear(&f->content);
    if (object_id_from_slice(pb_slice(record->id), &id) != 0 || record_unpack(&packed, &type, &f->content) != 0)
        return GRID_ECORRUPT;
    int err = sync_receive(f->sync, peer->number, &id, type, buf_slice(&f->content), loop_now_ms(f->options.loop));
    if (err == GRID_ENOENT)
        return 0;
    return err == 0 ? store_batch_put_packed(&f->batch, &id, &packed) : err;
}

static int take_batch(struct fetch *f, const struct fetch_peer *peer, struct slice message)
{
    struct object_id id;
    arena_reset(f->arena);
    const Grid__V1__ObjectBatch *batch = pb_unpack(&grid__v1__object_batch__descriptor, f->arena, message);
    int err = batch ? 0 : GRID_ECORRUPT;
    for (size_t i = 0; err == 0 && i < batch->n_objects; i++)
        err = take_object(f, peer, batch->objects[i]);
    for (size_t i = 0; err == 0 && i < batch->n_missing; i++)
        if (object_id_from_slice(pb_slice(batch->missing[i]), &id) == 0)
            sync_missing(f->sync, peer->number, &id);
    return err == 0 ? store_batch_commit(&f->batch) : err;
}

static void on_message(void *ctx, struct grpc_client_call *call, struct slice message)
{
    struct fetch_request *request = ctx;
    struct fetch_peer *peer = request->peer;
    struct fetch *f = peer->fetch;
    (void) call;
    if (!f)
        return;
    int err = take_batch(f, peer, message);
    if (err == GRID_ECORRUPT) {
        log_line(LOG_WARN, "a peer sent wrong bytes and is not asked again for this release", LOGF_STR("peer", peer->id), LOGF_STR("release", f->root_hex));
        if (f->liar_count < FETCH_LIARS_MAX)
            memcpy(f->liars[f->liar_count++], peer->id, sizeof peer->id);
        sync_peer_failed(f->sync, peer->number, loop_now_ms(f->options.loop));
        http_client_close(peer->client);
    } else if (err != 0) {
        fetch_finish(f, err, err == GRID_ENOSPC ? "the disk of the state folder is full: free some space, the node tries again" : grid_err_text(err));
    } else {
        fetch_pump_later(f);
    }
}

static void on_call_close(void *ctx, struct grpc_client_call *call, int status, struct slice message, enum http_sent sent, int64_t pushback_ms)
{
    struct fetch_request *request = ctx;
    struct fetch_peer *peer = request->peer;
    (void) call;
    (void) message;
    (void) sent;
    (void) pushback_ms;
    peer->requests--;
    if (peer->fetch) {
        if (status == GRPC_OK)
            sync_request_end(peer->fetch->sync, request->number);
        else
            sync_peer_failed(peer->fetch->sync, peer->number, loop_now_ms(peer->fetch->options.loop));
        fetch_pump_later(peer->fetch);
    }
    free(request);
}

static const struct grpc_client_events CALL_EVENTS = {.on_message = on_message, .on_close = on_call_close};

/* ---- requests ---- */

static struct fetch_peer *peer_of(struct fetch *f, uint32_t number)
{
    struct fetch_peer *peer = f->peers;
    while (peer && peer->number != number)
        peer = peer->next;
    return peer;
}

static int send_request(struct fetch_peer *peer, const struct sync_request *asked)
{
    Grid__V1__FetchRequest message = GRID__V1__FETCH_REQUEST__INIT;
    ProtobufCBinaryData ids[SYNC_REQUEST_IDS_MAX];
    struct fetch_request *request = calloc(1, sizeof *request);
    struct buf packed;
    if (!request)
        return GRID_ENOMEM;
    *request = (struct fetch_request){.peer = peer, .number = asked->number};
    for (uint32_t i = 0; i < asked->count; i++)
        ids[i] = pb_bytes(slice_of(asked->ids[i].bytes, sizeof asked->ids[i].bytes));
    message.ids = ids;
    message.n_ids = asked->count;
    buf_init(&packed, 0);
    int err = pb_append(&packed, &message.base);
    if (err == 0)
        err = grpc_client_call_start(peer->client, "/grid.v1.SyncChunk/Fetch", FETCH_DEADLINE_MS, NULL, 0, buf_slice(&packed), false, FETCH_MESSAGE_MAX,
                                     &CALL_EVENTS, request, &request->call);
    buf_dispose(&packed);
    if (err != 0)
        free(request);
    else
        peer->requests++;
    return err;
}

static void send_requests(struct fetch *f)
{
    uint64_t now_ms = loop_now_ms(f->options.loop);
    struct sync_request request;
    while (sync_next_request(f->sync, now_ms, &request)) {
        struct fetch_peer *peer = peer_of(f, request.peer);
        if (!peer || send_request(peer, &request) != 0)
            sync_peer_failed(f->sync, request.peer, now_ms);
    }
}

/* ---- peers ---- */

static void peer_on_open(void *ctx, struct http_client *c)
{
    (void) ctx;
    (void) c;
}

static void peer_on_draining(void *ctx, struct http_client *c)
{
    (void) ctx;
    (void) c;
}

static void peer_on_close(void *ctx, struct http_client *c, int err)
{
    struct fetch_peer *peer = ctx;
    struct fetch *f = peer->fetch;
    (void) c;
    (void) err;
    if (f) {
        sync_remove_peer(f->sync, peer->number);
        peer_unlink(peer);
        loop_timer_start(f->options.loop, &f->retry, FETCH_RETRY_MS, fetch_pump, f);
    }
    free(peer);
}

static const struct http_client_events PEER_EVENTS = {peer_on_open, peer_on_draining, peer_on_close};

static bool peer_is_liar(const struct fetch *f, const char *id)
{
    for (unsigned i = 0; i < f->liar_count; i++)
        if (strcmp(f->liars[i], id) == 0)
            return true;
    return false;
}

static bool peer_is_connected(const struct fetch *f, const char *id)
{
    for (const struct fetch_peer *peer = f->peers; peer; peer = peer->next)
        if (strcmp(peer->id, id) == 0)
            return true;
    return false;
}

static void peer_connect(struct fetch *f, const struct release_peer *at)
{
    struct conn_options options = {.tls = f->options.tls};
    struct fetch_peer *peer = calloc(1, sizeof *peer);
    if (!peer)
        return;
    peer->fetch = f;
    memcpy(peer->id, at->id, sizeof peer->id);
    if (http2_client_dial(f->options.loop, &at->address, &options, &PEER_EVENTS, peer, &peer->client) != 0) {
        free(peer);
        return;
    }
    if (sync_add_peer(f->sync, &peer->number) != 0) {
        peer->fetch = NULL;
        http_client_close(peer->client);
        return;
    }
    peer->next = f->peers;
    f->peers = peer;
    f->peer_count++;
}

/* Those that run the release first. */
static void connect_peers(struct fetch *f)
{
    static _Thread_local struct release_peer found[RELEASE_PEERS_MAX];
    size_t count = f->options.peers(f->options.peers_ctx, f->root_hex, found);
    for (int pass = 0; pass < 2; pass++)
        for (size_t i = 0; i < count && f->peer_count < FETCH_PEERS_MAX; i++)
            if (found[i].runs_it == (pass == 0) && !peer_is_connected(f, found[i].id) && !peer_is_liar(f, found[i].id))
                peer_connect(f, &found[i]);
}

void fetch_peers_changed(struct fetch *f)
{
    sync_forget_missing(f->sync);
    fetch_pump_later(f);
}

/* ---- the pump ---- */

static void on_retry(void *arg)
{
    struct fetch *f = arg;
    sync_forget_missing(f->sync);
    fetch_pump(f);
}

static void wait_for_peers(struct fetch *f, uint64_t now_ms, uint64_t retry_at_ms)
{
    uint64_t delay = FETCH_RETRY_MS;
    if (retry_at_ms != UINT64_MAX && retry_at_ms > now_ms && retry_at_ms - now_ms < delay)
        delay = retry_at_ms - now_ms;
    loop_timer_start(f->options.loop, &f->retry, delay, on_retry, f);
}

static void fetch_pump(void *arg)
{
    struct fetch *f = arg;
    uint64_t now_ms = loop_now_ms(f->options.loop), retry_at_ms;
    if (sync_walk(f->sync, FETCH_WALK_LISTINGS) == GRID_EAGAIN)
        loop_timer_start(f->options.loop, &f->retry, 0, fetch_pump, f);
    if (sync_status(f->sync, now_ms, NULL) != SYNC_DONE)
        connect_peers(f);
    send_requests(f);
    switch (sync_status(f->sync, now_ms, &retry_at_ms)) {
    case SYNC_DONE:
        fetch_finish(f, 0, NULL);
        break;
    case SYNC_FAILED:
        fetch_finish(f, sync_error(f->sync), "the release's manifest is malformed: deploy it again");
        break;
    case SYNC_STUCK:
        wait_for_peers(f, now_ms, retry_at_ms);
        break;
    case SYNC_WALK:
    case SYNC_MORE:
        break;
    }
}

int fetch_start(const struct fetch_options *options, const struct object_id *root, struct fetch **out)
{
    struct fetch *f = calloc(1, sizeof *f);
    struct arena *arena = arena_create(64 * 1024, 0);
    if (!f || !arena) {
        free(f);
        arena_destroy(arena);
        return GRID_ENOMEM;
    }
    *f = (struct fetch){.options = *options, .root = *root, .arena = arena};
    struct sync_source source = {.have = source_have, .load = source_load, .arg = f};
    object_id_to_hex(root, f->root_hex);
    buf_init(&f->content, 0);
    store_batch_init(&f->batch, options->store);
    int err = sync_create(root, &source, NULL, &f->sync);
    if (err != 0) {
        fetch_free(f);
        return err;
    }
    fetch_pump_later(f);
    *out = f;
    return 0;
}

void fetch_progress(const struct fetch *f, struct sync_progress *out)
{
    sync_progress_get(f->sync, out);
}
