/* One fetch: connections to peers, requests as the planner asks for them, answers into the store.
 *
 * The planner belongs to whoever works: what happens on the loop becomes an event in a queue; the pool takes the whole queue in order, feeds
 * planner and store, and walks listings; when it is out and nothing has come meanwhile, the loop makes new requests.
 *
 *   idle --events, or listings to walk--> working (pool) --> idle: connect, request, look at the state --> ended */
#include "server/release/fetch.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "api/pb.h"
#include "base/err.h"
#include "base/log.h"
#include "fs/sync.h"
#include "grid/v1/sync.pb-c.h"
#include "net/grpc_client.h"

enum {
    FETCH_PEERS_MAX = 8,      /* connections at once */
    FETCH_RETRY_MS = 500,     /* before others are looked for again */
    FETCH_WALK_LISTINGS = 256, /* per turn of the pool */
    FETCH_ARENA_MAX = 48 * 1024 * 1024,
    FETCH_ANSWER_MAX = 10 * 1024 * 1024, /* of one request: over what may be asked for at once, and the largest listing */
    FETCH_DEADLINE_MS = 600000,
    FETCH_STALL_MS = 20000,
    FETCH_ASIDE_MAX = 64,
    FETCH_BREAK_MS = 500, FETCH_BREAK_MAX_MS = 30000,
    FETCH_LIE_MS = 30000, FETCH_LIE_MAX_MS = 600000,
};

/* dialling (one address after the other) -> open -> asked (the planner knows it, by number) */
struct fetch_peer {
    struct fetch *fetch; /* NULL once the fetch is gone: only the connection's end is awaited */
    struct http_client *client;
    struct release_peer at;
    size_t dialled; /* addresses, so far */
    uint32_t number;
    bool open;
    bool asked;
    bool failed;   /* told so, and being closed: what its calls still say is not heard */
    bool stranger; /* another node answered at one of the addresses */
    struct fetch_peer *next;
};

struct fetch_request {
    struct fetch_peer *peer;
    uint32_t number;
    size_t received;
    struct grpc_client_call *call;
    struct loop_timer stall;
};

enum fetch_event_kind { EVENT_MESSAGE, EVENT_END, EVENT_FAILED, EVENT_REMOVED, EVENT_FORGET };

/* Something the planner must hear of. */
struct fetch_event {
    struct fetch_event *next;
    enum fetch_event_kind kind;
    uint32_t peer, number;
    size_t size; /* of a message */
    uint8_t bytes[];
};

/* A peer that is left alone. */
struct fetch_aside {
    char id[65];
    uint64_t until_ms;
    unsigned times;
};

struct fetch {
    struct fetch_options options;
    struct object_id root;
    char root_hex[OBJECT_ID_HEX + 1];
    struct fetch_peer *peers;
    unsigned peer_count;
    struct loop_deferred pump;
    struct loop_timer retry;
    struct fetch_aside asides[FETCH_ASIDE_MAX];
    unsigned aside_count;
    uint64_t progress_ms; /* when something new arrived last */
    uint64_t objects_had;
    struct fetch_event *events, **events_tail;
    bool working;
    bool ended;
    int end_err;
    const char *end_sentence;
    /* The pool's while working. */
    struct sync *sync;
    struct store_batch batch;
    struct fetch_event *taken;
    struct arena *arena; /* of one message */
    struct buf content;
    uint64_t now_ms;
    uint64_t liars; /* bits by peer number */
    bool walks;     /* more listings to look into */
    int err;
};

static void fetch_pump(void *arg);

static void fetch_pump_later(struct fetch *f)
{
    loop_defer(f->options.loop, &f->pump, fetch_pump, f);
}

/* ---- the planner's view of the store; on the pool, but for the root's own first look ---- */

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

static void drop_events(struct fetch_event *e)
{
    for (struct fetch_event *next; e; e = next) {
        next = e->next;
        free(e);
    }
}

static void leave_peers(struct fetch *f)
{
    for (struct fetch_peer *peer = f->peers, *next; peer; peer = next) {
        next = peer->next;
        peer->fetch = NULL;
        http_client_close(peer->client);
    }
    f->peers = NULL;
    f->peer_count = 0;
}

static void fetch_free(struct fetch *f)
{
    loop_defer_cancel(&f->pump);
    loop_timer_stop(&f->retry);
    leave_peers(f);
    drop_events(f->events);
    drop_events(f->taken);
    store_batch_dispose(&f->batch);
    sync_destroy(f->sync);
    arena_destroy(f->arena);
    buf_dispose(&f->content);
    free(f);
}

/* The first reason counts. `sentence` is static or lives in the fetch. */
static void fetch_end(struct fetch *f, int err, const char *sentence)
{
    if (f->ended)
        return;
    f->ended = true;
    f->end_err = err;
    f->end_sentence = sentence;
    leave_peers(f);
    fetch_pump_later(f);
}

static void fetch_finish(struct fetch *f)
{
    struct fetch_options options = f->options;
    int err = f->end_err;
    const char *sentence = f->end_sentence;
    fetch_free(f);
    options.on_done(options.ctx, err, sentence);
}

void fetch_cancel(struct fetch *f)
{
    fetch_end(f, GRID_ECANCELED, NULL);
}

/* ---- events ---- */

static void event_add(struct fetch *f, enum fetch_event_kind kind, uint32_t peer, uint32_t number, struct slice bytes)
{
    struct fetch_event *e = malloc(sizeof *e + bytes.size);
    if (!e) {
        fetch_end(f, GRID_ENOMEM, NULL);
        return;
    }
    *e = (struct fetch_event){.kind = kind, .peer = peer, .number = number, .size = bytes.size};
    if (bytes.size > 0)
        memcpy(e->bytes, bytes.data, bytes.size);
    *f->events_tail = e;
    f->events_tail = &e->next;
    fetch_pump_later(f);
}

/* ---- on the pool ---- */

static int take_object(struct fetch *f, uint32_t peer, const Grid__V1__ObjectRecord *record)
{
    struct record_packed packed = {.raw_size = record->raw_size, .codec = (enum record_codec) record->codec, .data = pb_slice(record->data)};
    struct object_id id;
    enum object_type type;
    buf_clear(&f->content);
    if (object_id_from_slice(pb_slice(record->id), &id) != 0 || record_unpack(&packed, &type, &f->content) != 0)
        return GRID_ECORRUPT;
    int err = sync_receive(f->sync, peer, &id, type, buf_slice(&f->content), f->now_ms);
    if (err == GRID_ENOENT)
        return 0;
    return err == 0 ? store_batch_put_packed(&f->batch, &id, &packed) : err;
}

static int take_message(struct fetch *f, const struct fetch_event *e)
{
    struct object_id id;
    arena_reset(f->arena);
    const Grid__V1__ObjectBatch *batch = pb_unpack(&grid__v1__object_batch__descriptor, f->arena, slice_of(e->bytes, e->size));
    int err = batch ? 0 : GRID_ECORRUPT;
    for (size_t i = 0; err == 0 && i < batch->n_objects; i++)
        err = take_object(f, e->peer, batch->objects[i]);
    for (size_t i = 0; err == 0 && i < batch->n_missing; i++)
        if (object_id_from_slice(pb_slice(batch->missing[i]), &id) == 0)
            sync_missing(f->sync, e->peer, &id);
    int stored = store_batch_commit(&f->batch); /* also what came before a wrong object: it was verified */
    return err != 0 ? err : stored;
}

static void take_event(struct fetch *f, const struct fetch_event *e)
{
    int err;
    switch (e->kind) {
    case EVENT_MESSAGE:
        if (f->liars >> e->peer & 1)
            return;
        err = take_message(f, e);
        if (err == GRID_ECORRUPT) {
            f->liars |= UINT64_C(1) << e->peer;
            sync_peer_failed(f->sync, e->peer, f->now_ms);
        } else if (err != 0) {
            f->err = err;
        }
        return;
    case EVENT_END:
        sync_request_end(f->sync, e->number);
        return;
    case EVENT_FAILED:
        sync_peer_failed(f->sync, e->peer, f->now_ms);
        return;
    case EVENT_REMOVED:
        sync_remove_peer(f->sync, e->peer);
        return;
    case EVENT_FORGET:
        sync_forget_missing(f->sync);
        return;
    }
}

static void fetch_work(void *arg)
{
    struct fetch *f = arg;
    for (const struct fetch_event *e = f->taken; e && f->err == 0; e = e->next)
        take_event(f, e);
    f->walks = f->err == 0 && sync_walk(f->sync, FETCH_WALK_LISTINGS) == GRID_EAGAIN;
}

/* ---- who is left alone ---- */

static struct fetch_aside *aside_of(struct fetch *f, const char *id)
{
    for (unsigned i = 0; i < f->aside_count; i++)
        if (strcmp(f->asides[i].id, id) == 0)
            return &f->asides[i];
    return NULL;
}

static struct fetch_aside *aside_make(struct fetch *f, const char *id)
{
    struct fetch_aside *aside = aside_of(f, id);
    if (aside)
        return aside;
    if (f->aside_count < FETCH_ASIDE_MAX) {
        aside = &f->asides[f->aside_count++];
    } else { /* the one whose time is over first gives its place */
        aside = &f->asides[0];
        for (unsigned i = 1; i < FETCH_ASIDE_MAX; i++)
            if (f->asides[i].until_ms < aside->until_ms)
                aside = &f->asides[i];
    }
    *aside = (struct fetch_aside){0};
    snprintf(aside->id, sizeof aside->id, "%s", id);
    return aside;
}

static void put_aside(struct fetch *f, const char *id, uint64_t base_ms, uint64_t max_ms)
{
    struct fetch_aside *aside = aside_make(f, id);
    uint64_t wait = base_ms << (aside->times < 10 ? aside->times : 10);
    aside->times++;
    aside->until_ms = loop_now_ms(f->options.loop) + (wait < max_ms ? wait : max_ms);
}

static bool is_aside(struct fetch *f, const char *id)
{
    const struct fetch_aside *aside = aside_of(f, id);
    return aside && aside->until_ms > loop_now_ms(f->options.loop);
}

static void peer_fail(struct fetch_peer *peer, uint64_t base_ms, uint64_t max_ms)
{
    struct fetch *f = peer->fetch;
    if (!f || peer->failed)
        return;
    peer->failed = true;
    put_aside(f, peer->at.id, base_ms, max_ms);
    if (peer->asked)
        event_add(f, EVENT_FAILED, peer->number, 0, slice_of(NULL, 0));
    http_client_close(peer->client);
}

void fetch_close_some(struct fetch *f, bool (*whom)(const void *arg, const struct tls_peer *peer), const void *arg)
{
    for (struct fetch_peer *peer = f->peers, *next; peer; peer = next) {
        const struct tls_peer *who = peer->open ? conn_tls_peer(http_client_conn(peer->client)) : NULL;
        next = peer->next;
        if (who && whom(arg, who))
            peer_fail(peer, FETCH_BREAK_MS, FETCH_BREAK_MAX_MS);
    }
}

/* What the pool found out. */
static void close_liars(struct fetch *f)
{
    for (struct fetch_peer *peer = f->peers, *next; peer; peer = next) {
        next = peer->next;
        if (!peer->asked || !(f->liars >> peer->number & 1) || peer->failed)
            continue;
        log_line(LOG_WARN, "a peer sent wrong bytes and is left alone for a while", LOGF_STR("peer", peer->at.id), LOGF_STR("release", f->root_hex));
        peer_fail(peer, FETCH_LIE_MS, FETCH_LIE_MAX_MS);
    }
    f->liars = 0;
}

/* ---- requests ---- */

static void on_stall(void *arg)
{
    struct fetch_request *request = arg;
    peer_fail(request->peer, FETCH_BREAK_MS, FETCH_BREAK_MAX_MS);
}

static void watch_stall(struct fetch_request *request)
{
    const struct fetch_options *o = &request->peer->fetch->options;
    loop_timer_start(o->loop, &request->stall, o->stall_ms ? o->stall_ms : FETCH_STALL_MS, on_stall, request);
}

static void on_message(void *ctx, struct grpc_client_call *call, struct slice message)
{
    struct fetch_request *request = ctx;
    struct fetch_peer *peer = request->peer;
    (void) call;
    if (!peer->fetch || peer->failed)
        return;
    watch_stall(request);
    request->received += message.size;
    if (request->received > FETCH_ANSWER_MAX)
        peer_fail(peer, FETCH_LIE_MS, FETCH_LIE_MAX_MS);
    else
        event_add(peer->fetch, EVENT_MESSAGE, peer->number, 0, message);
}

static void on_call_close(void *ctx, struct grpc_client_call *call, int status, struct slice message, enum http_sent sent, int64_t pushback_ms)
{
    struct fetch_request *request = ctx;
    struct fetch_peer *peer = request->peer;
    (void) call, (void) message, (void) sent, (void) pushback_ms;
    loop_timer_stop(&request->stall);
    if (status != GRPC_OK) {
        peer_fail(peer, FETCH_BREAK_MS, FETCH_BREAK_MAX_MS);
    } else if (peer->fetch && !peer->failed) {
        struct fetch_aside *aside = aside_of(peer->fetch, peer->at.id);
        if (aside && request->received > 0)
            aside->times = 0;
        event_add(peer->fetch, EVENT_END, peer->number, request->number, slice_of(NULL, 0));
    }
    free(request);
}

static const struct grpc_client_events CALL_EVENTS = {.on_message = on_message, .on_close = on_call_close};

static struct fetch_peer *peer_of(struct fetch *f, uint32_t number)
{
    struct fetch_peer *peer = f->peers;
    while (peer && !(peer->asked && peer->number == number))
        peer = peer->next;
    return peer;
}

static int pack_request(const struct sync_request *asked, struct buf *out)
{
    Grid__V1__FetchRequest message = GRID__V1__FETCH_REQUEST__INIT;
    ProtobufCBinaryData ids[SYNC_REQUEST_IDS_MAX];
    for (uint32_t i = 0; i < asked->count; i++)
        ids[i] = pb_bytes(slice_of(asked->ids[i].bytes, sizeof asked->ids[i].bytes));
    message.ids = ids;
    message.n_ids = asked->count;
    return pb_append(out, &message.base);
}

static int send_request(struct fetch_peer *peer, const struct sync_request *asked)
{
    struct fetch_request *request = calloc(1, sizeof *request);
    struct buf packed;
    if (!request)
        return GRID_ENOMEM;
    *request = (struct fetch_request){.peer = peer, .number = asked->number};
    buf_init(&packed, 0);
    int err = pack_request(asked, &packed);
    if (err == 0)
        err = grpc_client_call_start(peer->client, "/grid.v1.SyncChunk/Fetch", FETCH_DEADLINE_MS, NULL, 0, buf_slice(&packed), false, FETCH_ANSWER_MAX,
                                     &CALL_EVENTS, request, &request->call);
    buf_dispose(&packed);
    if (err != 0)
        free(request);
    else
        watch_stall(request);
    return err;
}

static void send_requests(struct fetch *f)
{
    struct sync_request request;
    while (!f->ended && sync_next_request(f->sync, f->now_ms, &request)) {
        struct fetch_peer *peer = peer_of(f, request.peer);
        if (peer && !peer->failed && send_request(peer, &request) == 0)
            continue;
        sync_peer_failed(f->sync, request.peer, f->now_ms);
        if (peer)
            peer_fail(peer, FETCH_BREAK_MS, FETCH_BREAK_MAX_MS);
    }
}

/* ---- peers ---- */

static const struct http_client_events PEER_EVENTS;

/* Dials the next address that can be dialled; false when none is left. */
static bool peer_dial(struct fetch_peer *peer)
{
    struct conn_options options = {.tls = peer->fetch->options.tls};
    while (peer->dialled < peer->at.address_count)
        if (http2_client_dial(peer->fetch->options.loop, &peer->at.addresses[peer->dialled++], &options, &PEER_EVENTS, peer, &peer->client) == 0)
            return true;
    return false;
}

/* Another node at that address is not asked in this one's name. */
static void peer_on_open(void *ctx, struct http_client *c)
{
    struct fetch_peer *peer = ctx;
    const struct tls_peer *who = conn_tls_peer(http_client_conn(c));
    if (!peer->fetch)
        return;
    if (peer->fetch->options.tls && (!who || strcmp(who->id, peer->at.id) != 0 || !(who->roles & TLS_ROLE_NODE))) {
        peer->stranger = true;
        http_client_close(c);
        return;
    }
    peer->open = true;
    fetch_pump_later(peer->fetch);
}

static void peer_on_draining(void *ctx, struct http_client *c)
{
    (void) ctx, (void) c;
}

static void peer_lost(struct fetch_peer *peer)
{
    struct fetch *f = peer->fetch;
    bool stranger = peer->stranger && !peer->open;
    if (!peer->failed)
        put_aside(f, peer->at.id, stranger ? FETCH_LIE_MS : FETCH_BREAK_MS, stranger ? FETCH_LIE_MAX_MS : FETCH_BREAK_MAX_MS);
    if (peer->asked)
        event_add(f, EVENT_REMOVED, peer->number, 0, slice_of(NULL, 0));
    else
        fetch_pump_later(f);
}

static void peer_on_close(void *ctx, struct http_client *c, int err)
{
    struct fetch_peer *peer = ctx;
    (void) c, (void) err;
    if (peer->fetch && !peer->open && !peer->failed && peer_dial(peer))
        return;
    if (peer->fetch)
        peer_lost(peer);
    if (peer->fetch) /* event_add may have ended it */
        peer_unlink(peer);
    free(peer);
}

static const struct http_client_events PEER_EVENTS = {peer_on_open, peer_on_draining, peer_on_close};

static bool is_connected(const struct fetch *f, const char *id)
{
    for (const struct fetch_peer *peer = f->peers; peer; peer = peer->next)
        if (strcmp(peer->at.id, id) == 0)
            return true;
    return false;
}

static void peer_connect(struct fetch *f, const struct release_peer *at)
{
    struct fetch_peer *peer = calloc(1, sizeof *peer);
    if (!peer)
        return;
    peer->fetch = f;
    peer->at = *at;
    if (!peer_dial(peer)) {
        put_aside(f, at->id, FETCH_BREAK_MS, FETCH_BREAK_MAX_MS);
        free(peer);
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
            if (found[i].runs_it == (pass == 0) && !is_connected(f, found[i].id) && !is_aside(f, found[i].id))
                peer_connect(f, &found[i]);
}

/* The planner hears of those whose connection is open. Nobody works. */
static void ask_peers(struct fetch *f)
{
    for (struct fetch_peer *peer = f->peers; peer; peer = peer->next)
        if (peer->open && !peer->asked && !peer->failed)
            peer->asked = sync_add_peer(f->sync, &peer->number) == 0;
}

/* As many are connected as may be, and none of them has what is missing: the one of longest standing makes room for another. */
static void rotate_peers(struct fetch *f)
{
    struct fetch_peer *oldest = f->peers;
    if (f->working || f->ended || f->peer_count < FETCH_PEERS_MAX || sync_status(f->sync, loop_now_ms(f->options.loop), NULL) != SYNC_STUCK)
        return;
    while (oldest->next)
        oldest = oldest->next;
    peer_fail(oldest, FETCH_BREAK_MS, FETCH_BREAK_MAX_MS);
}

void fetch_peers_changed(struct fetch *f)
{
    if (!f->ended)
        event_add(f, EVENT_FORGET, 0, 0, slice_of(NULL, 0));
}

/* ---- the pump ---- */

static void work_done(void *arg)
{
    struct fetch *f = arg;
    struct sync_progress progress;
    f->working = false;
    drop_events(f->taken);
    f->taken = NULL;
    sync_progress_get(f->sync, &progress);
    if (progress.objects_had != f->objects_had)
        f->progress_ms = loop_now_ms(f->options.loop);
    f->objects_had = progress.objects_had;
    if (!f->ended)
        close_liars(f);
    if (f->err != 0)
        fetch_end(f, f->err, f->err == GRID_ENOSPC ? "the disk of the state folder is full: free some space, the node tries again" : NULL);
    fetch_pump(f);
}

static void start_work(struct fetch *f)
{
    f->now_ms = loop_now_ms(f->options.loop);
    f->taken = f->events;
    f->events = NULL;
    f->events_tail = &f->events;
    f->working = true;
    if (loop_work(f->options.loop, fetch_work, work_done, f) != 0) {
        f->working = false;
        fetch_end(f, GRID_ENOMEM, NULL);
    }
}

static void on_retry(void *arg)
{
    struct fetch *f = arg;
    rotate_peers(f);
    fetch_peers_changed(f); /* who lacked something may have it by now */
}

static void wait_for_peers(struct fetch *f)
{
    if (f->options.patience_ms != 0 && fetch_idle_ms(f) >= f->options.patience_ms)
        fetch_end(f, GRID_ETIMEOUT, "no node that can be reached has all of the release: bring back one that ran it, or deploy it again");
    else
        loop_timer_start(f->options.loop, &f->retry, FETCH_RETRY_MS, on_retry, f);
}

/* Nobody works and nothing is to be told: what next? */
static void look(struct fetch *f)
{
    f->now_ms = loop_now_ms(f->options.loop);
    if (sync_status(f->sync, f->now_ms, NULL) != SYNC_DONE) {
        connect_peers(f);
        ask_peers(f);
        send_requests(f);
    }
    switch (sync_status(f->sync, f->now_ms, NULL)) {
    case SYNC_DONE:
        fetch_end(f, 0, NULL);
        break;
    case SYNC_FAILED:
        fetch_end(f, sync_error(f->sync), "the release's manifest is malformed: deploy it again");
        break;
    case SYNC_STUCK:
        wait_for_peers(f);
        break;
    case SYNC_WALK:
    case SYNC_MORE:
        break;
    }
}

static void fetch_pump(void *arg)
{
    struct fetch *f = arg;
    if (f->working)
        return;
    if (!f->ended && !f->events && !f->walks)
        look(f);
    if (f->ended)
        fetch_finish(f);
    else if (f->events || f->walks)
        start_work(f);
}

static int fetch_open(struct fetch *f)
{
    struct sync_source source = {.have = source_have, .load = source_load, .arg = f};
    f->arena = arena_create(64 * 1024, FETCH_ARENA_MAX);
    if (!f->arena)
        return GRID_ENOMEM;
    f->walks = true; /* the root itself may be here */
    return sync_create(&f->root, &source, NULL, &f->sync);
}

int fetch_start(const struct fetch_options *options, const struct object_id *root, struct fetch **out)
{
    struct fetch *f = calloc(1, sizeof *f);
    if (!f)
        return GRID_ENOMEM;
    f->options = *options;
    f->root = *root;
    f->events_tail = &f->events;
    f->now_ms = f->progress_ms = loop_now_ms(options->loop);
    object_id_to_hex(root, f->root_hex);
    buf_init(&f->content, 0);
    store_batch_init(&f->batch, options->store);
    int err = fetch_open(f);
    if (err != 0) {
        fetch_free(f);
        return err;
    }
    fetch_pump_later(f);
    *out = f;
    return 0;
}

uint64_t fetch_idle_ms(const struct fetch *f)
{
    return loop_now_ms(f->options.loop) - f->progress_ms;
}
