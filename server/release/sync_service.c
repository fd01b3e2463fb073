/* Answers SyncChunk.Fetch. A call waits for its turn, reads a batch on the pool, sends it, and waits again when the last has left. */
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

#include "api/pb.h"
#include "base/err.h"
#include "grid/v1/sync.pb-c.h"
#include "server/release/sync_service_internal.h"

enum { FETCH_IDS_MAX = 4096, BATCH_BYTES = 1024 * 1024, BATCH_OBJECTS = 256, QUEUE_LOW = 256 * 1024, REQUEST_BYTES_MAX = 256 * 1024, READING_MAX = 3 };

/* waits for the client -> ready (in line) -> reading (pool) -> sent: ready again, or waits until the queue is low, or ended */

struct fetch_call {
    struct fetch_call *next_ready;
    struct sync_service *service;
    struct grpc_call *call; /* NULL once closed */
    struct arena *arena;    /* the request */
    struct object_id *ids;
    size_t count, next;
    bool ready; /* in line */
    bool reading;
    bool finished;
    bool damaged;     /* something of the batch */
    struct buf batch; /* packed, filled on the pool */
    int err;
};

static void fetch_free(struct fetch_call *f)
{
    if (f->call || f->reading || f->ready)
        return;
    buf_dispose(&f->batch);
    arena_destroy(f->arena);
    free(f);
}

/* ---- on the thread pool ---- */

struct batch_builder {
    Grid__V1__ObjectBatch message;
    Grid__V1__ObjectRecord records[BATCH_OBJECTS];
    Grid__V1__ObjectRecord *record_list[BATCH_OBJECTS];
    ProtobufCBinaryData missing[BATCH_OBJECTS];
    struct buf memory[BATCH_OBJECTS];
    size_t bytes;
    bool damaged;
};

static int batch_add(struct batch_builder *b, struct store *store, const struct object_id *id)
{
    struct record_packed packed;
    size_t at = b->message.n_objects;
    buf_init(&b->memory[at], 0);
    int err = store_get_packed(store, id, &b->memory[at], &packed);
    b->damaged = b->damaged || err == GRID_ECORRUPT;
    if (err == GRID_ENOENT || err == GRID_ECORRUPT) {
        buf_dispose(&b->memory[at]);
        b->missing[b->message.n_missing++] = pb_bytes(slice_of(id->bytes, sizeof id->bytes));
        return 0;
    }
    if (err != 0) {
        buf_dispose(&b->memory[at]);
        return err;
    }
    Grid__V1__ObjectRecord *record = &b->records[at];
    grid__v1__object_record__init(record);
    record->id = pb_bytes(slice_of(id->bytes, sizeof id->bytes));
    record->raw_size = packed.raw_size;
    record->codec = (uint32_t) packed.codec;
    record->data = pb_bytes(packed.data);
    b->record_list[b->message.n_objects++] = record;
    b->bytes += packed.data.size;
    return 0;
}

static void read_batch(void *arg)
{
    struct fetch_call *f = arg;
    struct batch_builder *b = calloc(1, sizeof *b);
    f->err = b ? 0 : GRID_ENOMEM;
    if (!b)
        return;
    grid__v1__object_batch__init(&b->message);
    b->message.objects = b->record_list;
    b->message.missing = b->missing;
    while (f->err == 0 && f->next < f->count && b->bytes < BATCH_BYTES && b->message.n_objects < BATCH_OBJECTS && b->message.n_missing < BATCH_OBJECTS)
        f->err = batch_add(b, f->service->store, &f->ids[f->next++]);
    f->damaged = b->damaged;
    buf_clear(&f->batch);
    if (f->err == 0)
        f->err = pb_append(&f->batch, &b->message.base);
    for (size_t i = 0; i < b->message.n_objects; i++)
        buf_dispose(&b->memory[i]);
    free(b);
}

/* ---- on the loop ---- */

static void finish(struct fetch_call *f, int status, const char *message)
{
    f->finished = true;
    grpc_call_finish(f->call, status, message);
}

static void fetch_continue(struct fetch_call *f);
static void serve(void *service);

static void batch_read(void *arg)
{
    struct fetch_call *f = arg;
    struct sync_service *s = f->service;
    f->reading = false;
    s->reading--;
    if (f->damaged && s->damaged)
        s->damaged(s->damaged_ctx);
    if (!f->call) {
        fetch_free(f);
    } else if (f->err != 0) {
        finish(f, GRPC_UNAVAILABLE, grid_err_text(f->err));
    } else {
        pacer_spend(&s->pacer, f->batch.size, loop_now_ms(s->loop));
        if (s->traffic)
            atomic_fetch_add_explicit(&s->traffic->sent, f->batch.size, memory_order_relaxed);
        grpc_call_send(f->call, buf_slice(&f->batch));
        fetch_continue(f);
    }
    serve(s);
}

static void start_reading(struct fetch_call *f)
{
    f->reading = true;
    f->service->reading++;
    if (loop_work(f->service->loop, read_batch, batch_read, f) == 0)
        return;
    f->reading = false;
    f->service->reading--;
    finish(f, GRPC_UNAVAILABLE, "the node is out of memory: try again later");
}

/* Those in line, as many at once as may, while the rate allows. */
static void serve(void *service)
{
    struct sync_service *s = service;
    while (s->ready && s->reading < READING_MAX) {
        uint64_t wait_ms = pacer_wait_ms(&s->pacer, loop_now_ms(s->loop));
        if (wait_ms > 0) {
            loop_timer_start(s->loop, &s->pace, wait_ms, serve, s);
            return;
        }
        struct fetch_call *f = s->ready;
        s->ready = f->next_ready;
        if (!s->ready)
            s->ready_tail = &s->ready;
        f->ready = false;
        if (f->call && !f->finished)
            start_reading(f);
        else
            fetch_free(f);
    }
}

static void fetch_continue(struct fetch_call *f)
{
    struct sync_service *s = f->service;
    if (f->ready || f->reading || f->finished || !f->call || !f->ids)
        return;
    if (f->next == f->count) {
        finish(f, GRPC_OK, NULL);
        return;
    }
    if (grpc_call_queued(f->call) > QUEUE_LOW)
        return; /* on_writable goes on */
    f->ready = true;
    f->next_ready = NULL;
    *s->ready_tail = f;
    s->ready_tail = &f->next_ready;
    serve(s);
}

static void take_claim(struct fetch_call *f, const Grid__V1__FetchRequest *request)
{
    const struct tls_peer *who = conn_tls_peer(grpc_call_conn(f->call));
    struct fetch_claim claim = {.fetched_bytes = request->fetched_bytes, .wanted_bytes = request->wanted_bytes};
    if (!who || object_id_from_slice(pb_slice(request->root), &claim.root) != 0)
        return;
    snprintf(claim.node, sizeof claim.node, "%s", who->id);
    fetch_claims_take(&f->service->claims, &claim);
}

static bool take_ids(struct fetch_call *f, struct slice message)
{
    const Grid__V1__FetchRequest *request = pb_unpack(&grid__v1__fetch_request__descriptor, f->arena, message);
    if (!request || request->n_ids > FETCH_IDS_MAX)
        return false;
    take_claim(f, request);
    f->ids = arena_calloc(f->arena, request->n_ids + 1, sizeof *f->ids);
    for (size_t i = 0; f->ids && i < request->n_ids; i++)
        if (object_id_from_slice(pb_slice(request->ids[i]), &f->ids[f->count++]) != 0)
            return false;
    return f->ids != NULL;
}

static void on_message(void *ctx, struct grpc_call *call, struct slice message)
{
    struct fetch_call *f = ctx;
    (void) call;
    if (f->finished || f->ids)
        return; /* one request to a call */
    if (take_ids(f, message))
        fetch_continue(f);
    else
        finish(f, GRPC_INVALID_ARGUMENT, "ids are SHA-256 hashes of 32 bytes, at most 4,096 of them");
}

static void on_writable(void *ctx, struct grpc_call *call)
{
    (void) call;
    fetch_continue(ctx);
}

static void on_close(void *ctx, struct grpc_call *call, int err)
{
    struct fetch_call *f = ctx;
    (void) call;
    (void) err;
    f->call = NULL;
    fetch_free(f);
}

static const struct grpc_call_events CALL_EVENTS = {.on_message = on_message, .on_writable = on_writable, .on_close = on_close};

static void on_fetch(void *ctx, struct grpc_call *call)
{
    struct fetch_call *f = calloc(1, sizeof *f);
    struct arena *arena = arena_create(4096, 2 * 1024 * 1024);
    if (!f || !arena) {
        free(f);
        arena_destroy(arena);
        grpc_call_finish(call, GRPC_UNAVAILABLE, "the node is out of memory: try again later");
        return;
    }
    *f = (struct fetch_call){.service = ctx, .call = call, .arena = arena};
    buf_init(&f->batch, 0);
    grpc_call_bind(call, &CALL_EVENTS, f);
}

static const struct grpc_method METHODS[] = {
    {.path = "/grid.v1.SyncChunk/Fetch", .server_streams = true, .on_call = on_fetch, .max_message = REQUEST_BYTES_MAX},
    {.path = "/grid.v1.SyncChunk/Have", .server_streams = true, .on_call = sync_have_on_call, .max_message = 1024},
    {.path = "/grid.v1.SyncChunk/History", .server_streams = true, .on_call = sync_history_on_call, .max_message = 8192},
};

int sync_service_create(struct loop *l, struct store *store, struct sync_service **out)
{
    struct sync_service *s = calloc(1, sizeof *s);
    if (!s)
        return GRID_ENOMEM;
    *s = (struct sync_service){.loop = l, .store = store};
    s->ready_tail = &s->ready;
    s->grpc = (struct grpc_service){.name = "grid.v1.SyncChunk", .methods = METHODS, .method_count = sizeof METHODS / sizeof *METHODS, .ctx = s};
    *out = s;
    return 0;
}

/* Calls that were in line and are closed by now. */
static void drop_ready(struct sync_service *s)
{
    while (s->ready) {
        struct fetch_call *f = s->ready;
        s->ready = f->next_ready;
        f->ready = false;
        fetch_free(f);
    }
}

void sync_service_destroy(struct sync_service *s)
{
    loop_timer_stop(&s->pace);
    loop_timer_stop(&s->tell);
    drop_ready(s);
    free(s);
}

void sync_service_count(struct sync_service *s, struct sync_traffic *t)
{
    s->traffic = t;
}

void sync_service_set_rate(struct sync_service *s, uint64_t bytes_per_s)
{
    pacer_init(&s->pacer, bytes_per_s);
}

void sync_service_set_damaged(struct sync_service *s, loop_fn damaged, void *ctx)
{
    s->damaged = damaged;
    s->damaged_ctx = ctx;
}

const struct fetch_claim *sync_service_claim(const struct sync_service *s, const char *node, const struct object_id *root)
{
    return fetch_claims_find(&s->claims, node, root);
}

bool sync_service_idle(const struct sync_service *s)
{
    return s->reading == 0;
}

const struct grpc_service *sync_service_grpc(const struct sync_service *s)
{
    return &s->grpc;
}
