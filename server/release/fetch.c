/* One fetch: what happens on the loop becomes an event; the pool feeds the planner and the store with them.
 *
 * The planner belongs to whoever works: what happens on the loop becomes an event in a queue; the pool takes the whole queue in order, feeds
 * planner and store, and walks listings; when it is out and nothing has come meanwhile, the loop makes new requests.
 *
 *   idle --events, or listings to walk--> working (pool) --> idle: connect, request, look at the state --> ended */
#include <stdlib.h>
#include <string.h>

#include "api/pb.h"
#include "base/err.h"
#include "grid/v1/sync.pb-c.h"
#include "server/release/fetch_internal.h"

enum {
    FETCH_RETRY_MS = 500,     /* before others are looked for again */
    FETCH_TICK_MS = 100,      /* while answers are awaited: is one slow, may another be asked? */
    FETCH_WALK_LISTINGS = 256, /* per turn of the pool */
    FETCH_ARENA_MAX = 48 * 1024 * 1024,
};

static void fetch_pump(void *arg);

void fetch_pump_later(struct fetch *f)
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

static void drop_events(struct fetch_event *e)
{
    for (struct fetch_event *next; e; e = next) {
        next = e->next;
        free(e);
    }
}

static void fetch_free(struct fetch *f)
{
    loop_defer_cancel(&f->pump);
    loop_timer_stop(&f->tick);
    fetch_peers_leave(f);
    drop_events(f->events);
    drop_events(f->taken);
    store_batch_dispose(&f->batch);
    sync_destroy(f->sync);
    arena_destroy(f->arena);
    buf_dispose(&f->content);
    free(f->had);
    free(f);
}

void fetch_end(struct fetch *f, int err, const char *sentence)
{
    if (f->ended)
        return;
    f->ended = true;
    f->end_err = err;
    f->end_sentence = sentence;
    fetch_peers_leave(f);
    fetch_pump_later(f);
}

static void fetch_finish(struct fetch *f)
{
    struct fetch_options options = f->options;
    char full[STORE_FULL_MAX];
    int err = f->end_err;
    const char *sentence = f->end_sentence == f->full ? full : f->end_sentence;
    memcpy(full, f->full, sizeof full);
    fetch_free(f);
    options.on_done(options.ctx, err, sentence);
}

void fetch_cancel(struct fetch *f)
{
    fetch_end(f, GRID_ECANCELED, NULL);
}

/* ---- events ---- */

void fetch_event_add(struct fetch *f, enum fetch_event_kind kind, uint32_t peer, uint32_t number, struct slice bytes)
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
    f->events_bytes += bytes.size;
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

/* Wrong bytes are the peer's fault, all else is this node's. */
static void take_bytes(struct fetch *f, const struct fetch_event *e)
{
    if (f->liars >> e->peer & 1)
        return;
    int err = e->kind == EVENT_MESSAGE ? take_message(f, e) : fetch_take_have(f, e->peer, slice_of(e->bytes, e->size));
    if (err == GRID_ECORRUPT) {
        f->liars |= UINT64_C(1) << e->peer;
        sync_peer_failed(f->sync, e->peer, f->now_ms);
    } else if (err != 0) {
        f->err = err;
    }
}

static void take_event(struct fetch *f, const struct fetch_event *e)
{
    switch (e->kind) {
    case EVENT_MESSAGE:
    case EVENT_HAVE:
        take_bytes(f, e);
        return;
    case EVENT_MAYBE:
        sync_peer_set_kind(f->sync, e->peer, SYNC_PEER_MAYBE, f->now_ms);
        return;
    case EVENT_END:
        sync_request_end(f->sync, e->number, f->now_ms);
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

void fetch_peers_changed(struct fetch *f)
{
    if (!f->ended)
        fetch_event_add(f, EVENT_FORGET, 0, 0, slice_of(NULL, 0));
}

/* ---- the pump ---- */

/* What has come since the pool was out last, for those who ask. */
static void note_progress(struct fetch *f)
{
    size_t count, before = f->had_count;
    const uint32_t *had = sync_had(f->sync, &count);
    sync_progress_get(f->sync, &f->progress);
    f->misnumbered = !sync_is_numbered_alike(f->sync);
    if (count > f->had_capacity) {
        uint32_t *grown = realloc(f->had, (count + count / 2) * sizeof *grown);
        if (!grown)
            return; /* others hear of it later, or ask somebody else */
        f->had = grown;
        f->had_capacity = count + count / 2;
    }
    if (count == before)
        return;
    memcpy(f->had + before, had + before, (count - before) * sizeof *had);
    f->had_count = count;
    f->progress_ms = loop_now_ms(f->options.loop);
    if (f->options.on_progress && !f->ended)
        f->options.on_progress(f->options.ctx);
}

static void work_done(void *arg)
{
    struct fetch *f = arg;
    f->working = false;
    drop_events(f->taken);
    f->taken = NULL;
    note_progress(f);
    if (!f->ended)
        fetch_peers_close_liars(f);
    if (f->err == GRID_ENOSPC)
        store_full_clause(f->options.store, f->full);
    if (f->err != 0)
        fetch_end(f, f->err, f->err == GRID_ENOSPC ? f->full : NULL);
    fetch_pump(f);
}

static void start_work(struct fetch *f)
{
    f->now_ms = loop_now_ms(f->options.loop);
    f->taken = f->events;
    f->events = NULL;
    f->events_tail = &f->events;
    f->events_bytes = 0;
    f->working = true;
    if (loop_work(f->options.loop, fetch_work, work_done, f) != 0) {
        f->working = false;
        fetch_end(f, GRID_ENOMEM, NULL);
    }
}

static void on_tick(void *arg)
{
    struct fetch *f = arg;
    if (f->retry_at_ms == 0 || loop_now_ms(f->options.loop) < f->retry_at_ms) {
        fetch_pump(f);
        return;
    }
    f->retry_at_ms = 0;
    fetch_peers_rotate(f);
    fetch_peers_changed(f); /* who lacked something may have it by now */
}

static void tick_after(struct fetch *f, uint64_t delay_ms)
{
    loop_timer_start(f->options.loop, &f->tick, delay_ms > 0 ? delay_ms : 1, on_tick, f);
}

/* Until time has passed, or somebody else is there. */
static void wait_for_peers(struct fetch *f, uint64_t ask_at_ms)
{
    if (f->options.patience_ms != 0 && fetch_idle_ms(f) >= f->options.patience_ms) {
        fetch_end(f, GRID_ETIMEOUT, "no node that can be reached has all of the release: bring back one that ran it, or deploy it again");
        return;
    }
    if (f->retry_at_ms == 0)
        f->retry_at_ms = f->now_ms + FETCH_RETRY_MS;
    uint64_t at = ask_at_ms < f->retry_at_ms ? ask_at_ms : f->retry_at_ms;
    tick_after(f, at > f->now_ms ? at - f->now_ms : 0);
}

/* Nobody works and nothing is to be told: what next? */
static void look(struct fetch *f)
{
    uint64_t ask_at_ms, wait_ms = 0;
    f->now_ms = loop_now_ms(f->options.loop);
    if (sync_status(f->sync, f->now_ms, NULL) != SYNC_DONE) {
        fetch_peers_connect(f);
        fetch_peers_ask(f);
        wait_ms = fetch_calls_send(f);
    }
    switch (sync_status(f->sync, f->now_ms, &ask_at_ms)) {
    case SYNC_DONE:
        fetch_end(f, 0, NULL);
        break;
    case SYNC_FAILED:
        fetch_end(f, sync_error(f->sync), "the release's manifest is malformed: deploy it again");
        break;
    case SYNC_STUCK:
        wait_for_peers(f, ask_at_ms);
        break;
    case SYNC_WALK:
    case SYNC_MORE:
        f->retry_at_ms = 0;
        tick_after(f, wait_ms > 0 && wait_ms < FETCH_TICK_MS ? wait_ms : FETCH_TICK_MS);
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

/* ---- start ---- */

static int fetch_open(struct fetch *f)
{
    struct sync_source source = {.have = source_have, .load = source_load, .arg = f};
    struct sync_options options = {.base = f->has_base ? &f->base : NULL, .key = f->options.self ? fetch_key_of(f->options.self) : 0};
    f->arena = arena_create(64 * 1024, FETCH_ARENA_MAX);
    if (!f->arena)
        return GRID_ENOMEM;
    f->walks = true; /* the root itself may be here */
    return sync_create(&f->root, &source, &options, &f->sync);
}

static void fetch_init(struct fetch *f, const struct fetch_options *options, const struct object_id *root)
{
    static uint64_t serial; /* control thread */
    f->options = *options;
    f->root = *root;
    f->has_base = options->base && !object_id_equal(options->base, root);
    if (f->has_base)
        f->base = *options->base;
    f->serial = ++serial;
    f->events_tail = &f->events;
    f->now_ms = f->progress_ms = f->started_ms = loop_now_ms(options->loop);
    object_id_to_hex(root, f->root_hex);
    buf_init(&f->content, 0);
    store_batch_init(&f->batch, options->store);
}

int fetch_start(const struct fetch_options *options, const struct object_id *root, struct fetch **out)
{
    struct fetch *f = calloc(1, sizeof *f);
    if (!f)
        return GRID_ENOMEM;
    fetch_init(f, options, root);
    int err = fetch_open(f);
    f->options.base = NULL; /* borrowed for the call */
    f->options.self = NULL;
    if (err != 0) {
        fetch_free(f);
        return err;
    }
    fetch_pump_later(f);
    *out = f;
    return 0;
}

/* ---- what is known of it ---- */

uint64_t fetch_idle_ms(const struct fetch *f)
{
    return loop_now_ms(f->options.loop) - f->progress_ms;
}

void fetch_sum(const struct fetch *f, struct fetch_sum *out)
{
    *out = (struct fetch_sum){f->progress.objects_known, f->progress.objects_had, f->progress.bytes_wanted, f->progress.bytes_received};
}

const uint32_t *fetch_had(const struct fetch *f, size_t *count, uint64_t *serial)
{
    *count = f->had_count;
    *serial = f->serial;
    return f->had;
}

bool fetch_counts_from(const struct fetch *f, const struct object_id *base)
{
    return !f->misnumbered && f->has_base == (base != NULL) && (!base || object_id_equal(base, &f->base));
}
