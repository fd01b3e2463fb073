/* The planner: rows of objects, two queues of what is wanted, slots of requests in flight, and what is known of each peer. */
#include "fs/sync.h"

#include <stdlib.h>

#include "base/err.h"
#include "fs/id_map.h"
#include "fs/manifest.h"

#define REQUESTS_PER_PEER 4u
#define REQUESTS_PER_PEER_MAX 16u
#define BACKOFF_MS 500u
#define BACKOFF_MAX_MS 60000u
#define LIAR_BACKOFF_MS 30000u
/* A small remainder is not cut into more parts than this many objects each. */
#define SHARE_MIN 32u
#define NOBODY UINT32_MAX

enum row_state { ROW_WALK, ROW_WANTED, ROW_ASKED, ROW_HAD };

/* What is known of an object, beside its id in the map. */
struct row {
    uint64_t size;    /* by the manifest: of a chunk or directory its content, of a file its length; 0 for the root, which nobody names */
    uint64_t lacking; /* peers that do not have it, one bit each */
    uint32_t next;    /* in its queue, by number */
    uint32_t prev;
    uint16_t slot; /* of its request, while asked */
    uint8_t type;
    uint8_t state;
};

/* A doubly linked list through rows. */
struct queue {
    uint32_t first;
    uint32_t last;
    uint32_t count;
};

enum { QUEUE_WALK, QUEUE_LISTINGS, QUEUE_CHUNKS, QUEUES };

struct peer {
    bool present;
    uint32_t in_flight;
    uint32_t failures; /* in a row */
    uint32_t lies;
    uint64_t retry_at_ms;
};

struct slot {
    bool used;
    uint32_t peer;
    uint32_t count;
    uint32_t *numbers; /* SYNC_REQUEST_IDS_MAX, taken at first use */
};

struct sync {
    struct sync_source source;
    struct sync_options options;
    struct id_map ids;
    struct row *rows;
    uint32_t row_capacity;
    struct queue queues[QUEUES];
    struct peer peers[SYNC_PEERS_MAX];
    struct slot slots[SYNC_PEERS_MAX * REQUESTS_PER_PEER_MAX];
    uint32_t cursor; /* the peer asked last */
    uint32_t asked;  /* objects in flight */
    uint64_t had;
    uint64_t bytes_wanted;
    uint64_t bytes_received;
    int err;
    struct object_id request_ids[SYNC_REQUEST_IDS_MAX];
};

/* ---- queues ---- */

static void queue_push(struct sync *s, int which, uint32_t number, bool front)
{
    struct queue *q = &s->queues[which];
    struct row *r = &s->rows[number];
    r->prev = front ? NOBODY : q->last;
    r->next = front ? q->first : NOBODY;
    *(r->prev == NOBODY ? &q->first : &s->rows[r->prev].next) = number;
    *(r->next == NOBODY ? &q->last : &s->rows[r->next].prev) = number;
    q->count++;
}

static void queue_take(struct sync *s, int which, uint32_t number)
{
    struct queue *q = &s->queues[which];
    const struct row *r = &s->rows[number];
    *(r->prev == NOBODY ? &q->first : &s->rows[r->prev].next) = r->next;
    *(r->next == NOBODY ? &q->last : &s->rows[r->next].prev) = r->prev;
    q->count--;
}

static int wanted_queue(const struct row *r)
{
    return r->type == OBJECT_CHUNK ? QUEUE_CHUNKS : QUEUE_LISTINGS;
}

/* ---- rows ---- */

/* Bytes an answer will have for it, about. */
static uint64_t row_cost(const struct row *r)
{
    return r->type == OBJECT_FILE ? (r->size / CHUNKER_AVERAGE_BYTES + 2) * 36 : r->size;
}

static void row_want(struct sync *s, uint32_t number, bool front)
{
    struct row *r = &s->rows[number];
    r->state = ROW_WANTED;
    s->bytes_wanted += row_cost(r);
    queue_push(s, wanted_queue(r), number, front);
}

static void row_had(struct sync *s, uint32_t number)
{
    s->rows[number].state = ROW_HAD;
    s->had++;
}

static bool rows_reserve(struct sync *s)
{
    if (s->ids.count < s->row_capacity)
        return true;
    uint32_t capacity = s->row_capacity ? s->row_capacity + s->row_capacity / 2 : 256;
    struct row *rows = realloc(s->rows, capacity * sizeof *rows);
    if (!rows)
        return false;
    s->rows = rows;
    s->row_capacity = capacity;
    return true;
}

/* Where a newly met object goes. */
static void row_sort(struct sync *s, uint32_t number)
{
    const struct object_id *id = &s->ids.ids[number];
    struct row *r = &s->rows[number];
    if (!s->source.have(s->source.arg, id)) {
        row_want(s, number, false);
    } else if (r->type == OBJECT_CHUNK ||
               (r->type == OBJECT_DIRECTORY && s->source.complete && s->source.complete(s->source.arg, id))) {
        row_had(s, number);
    } else {
        r->state = ROW_WALK;
        queue_push(s, QUEUE_WALK, number, false);
    }
}

/* A listing names an object. One id with two types or sizes is a malformed manifest. */
static int row_meet(struct sync *s, const struct object_id *id, enum object_type type, uint64_t size)
{
    uint32_t before = s->ids.count;
    if (before >= SYNC_OBJECTS_MAX)
        return GRID_ELIMIT;
    if (!rows_reserve(s))
        return GRID_ENOMEM;
    uint32_t number = id_map_add(&s->ids, id);
    if (number == ID_MAP_NONE)
        return GRID_ENOMEM;
    if (number < before)
        return s->rows[number].type == type && s->rows[number].size == size ? 0 : GRID_EPROTO;
    s->rows[number] = (struct row){.size = size, .type = (uint8_t) type};
    row_sort(s, number);
    return 0;
}

/* ---- listings ---- */

static int expand_directory(struct sync *s, uint32_t number, struct slice content)
{
    struct manifest_dir dir;
    struct manifest_entry entry;
    int err = manifest_dir_open(content, &dir);
    if (err == 0 && (dir.root != (number == 0) || (number != 0 && content.size != s->rows[number].size)))
        err = GRID_EPROTO;
    while (err == 0 && manifest_dir_next(&dir, &entry))
        if (entry.kind != MANIFEST_SYMLINK)
            err = row_meet(s, &entry.id, manifest_kind_object(entry.kind), entry.size);
    return err;
}

static int expand_file(struct sync *s, uint32_t number, struct slice content)
{
    struct manifest_file file;
    struct manifest_chunk chunk;
    int err = manifest_file_open(content, &file);
    if (err == 0 && file.size != s->rows[number].size)
        err = GRID_EPROTO;
    while (err == 0 && manifest_file_next(&file, &chunk))
        err = row_meet(s, &chunk.id, OBJECT_CHUNK, chunk.size);
    return err;
}

static int expand(struct sync *s, uint32_t number, struct slice content)
{
    if (s->rows[number].type == OBJECT_DIRECTORY)
        return expand_directory(s, number, content);
    if (s->rows[number].type == OBJECT_FILE)
        return expand_file(s, number, content);
    return content.size == s->rows[number].size ? 0 : GRID_EPROTO;
}

static int walk_one(struct sync *s, struct buf *content)
{
    uint32_t number = s->queues[QUEUE_WALK].first;
    struct object_id id = s->ids.ids[number];
    queue_take(s, QUEUE_WALK, number);
    buf_clear(content);
    int err = s->source.load(s->source.arg, &id, (enum object_type) s->rows[number].type, content);
    if (err == GRID_ENOENT || err == GRID_ECORRUPT) {
        row_want(s, number, true);
        return 0;
    }
    row_had(s, number);
    return err == 0 ? expand(s, number, buf_slice(content)) : err;
}

int sync_walk(struct sync *s, uint32_t max_objects)
{
    struct buf content;
    buf_init(&content, OBJECT_LISTING_MAX);
    for (; max_objects > 0 && s->err == 0 && s->queues[QUEUE_WALK].count > 0; max_objects--)
        s->err = walk_one(s, &content);
    buf_dispose(&content);
    if (s->err != 0)
        return s->err;
    return s->queues[QUEUE_WALK].count > 0 ? GRID_EAGAIN : 0;
}

/* ---- life ---- */

static uint32_t or_default(uint32_t value, uint32_t fallback)
{
    return value ? value : fallback;
}

static struct sync_options options_complete(const struct sync_options *given)
{
    struct sync_options o = given ? *given : (struct sync_options){0};
    o.requests_per_peer = or_default(o.requests_per_peer, REQUESTS_PER_PEER);
    if (o.requests_per_peer > REQUESTS_PER_PEER_MAX)
        o.requests_per_peer = REQUESTS_PER_PEER_MAX;
    o.backoff_ms = or_default(o.backoff_ms, BACKOFF_MS);
    o.backoff_max_ms = or_default(o.backoff_max_ms, BACKOFF_MAX_MS);
    o.liar_backoff_ms = or_default(o.liar_backoff_ms, LIAR_BACKOFF_MS);
    return o;
}

int sync_create(const struct object_id *root, const struct sync_source *source, const struct sync_options *options, struct sync **out)
{
    struct sync *s = calloc(1, sizeof *s);
    *out = s;
    if (!s)
        return GRID_ENOMEM;
    s->source = *source;
    s->options = options_complete(options);
    id_map_init(&s->ids);
    for (int i = 0; i < QUEUES; i++)
        s->queues[i] = (struct queue){NOBODY, NOBODY, 0};
    int err = row_meet(s, root, OBJECT_DIRECTORY, 0);
    if (err != 0) {
        sync_destroy(s);
        *out = NULL;
    }
    return err;
}

void sync_destroy(struct sync *s)
{
    if (!s)
        return;
    for (size_t i = 0; i < sizeof s->slots / sizeof *s->slots; i++)
        free(s->slots[i].numbers);
    id_map_dispose(&s->ids);
    free(s->rows);
    free(s);
}

/* ---- peers ---- */

int sync_add_peer(struct sync *s, uint32_t *peer)
{
    for (uint32_t i = 0; i < SYNC_PEERS_MAX; i++) {
        if (s->peers[i].present)
            continue;
        s->peers[i] = (struct peer){.present = true};
        for (uint32_t n = 0; n < s->ids.count; n++)
            s->rows[n].lacking &= ~(UINT64_C(1) << i);
        *peer = i;
        return 0;
    }
    return GRID_ELIMIT;
}

static void slot_free(struct sync *s, struct slot *slot)
{
    s->peers[slot->peer].in_flight--;
    slot->used = false;
}

/* Gives back what a request has not delivered; with `lacking` the peer is not asked for it again. */
static void slot_return(struct sync *s, struct slot *slot, bool lacking)
{
    uint16_t index = (uint16_t) (slot - s->slots);
    for (uint32_t i = 0; i < slot->count; i++) {
        struct row *r = &s->rows[slot->numbers[i]];
        if (r->state != ROW_ASKED || r->slot != index)
            continue;
        if (lacking)
            r->lacking |= UINT64_C(1) << slot->peer;
        s->asked--;
        s->bytes_wanted -= row_cost(r); /* row_want counts it again */
        row_want(s, slot->numbers[i], true);
    }
    slot_free(s, slot);
}

static void return_all(struct sync *s, uint32_t peer)
{
    for (size_t i = 0; i < sizeof s->slots / sizeof *s->slots; i++)
        if (s->slots[i].used && s->slots[i].peer == peer)
            slot_return(s, &s->slots[i], false);
}

void sync_remove_peer(struct sync *s, uint32_t peer)
{
    if (peer >= SYNC_PEERS_MAX || !s->peers[peer].present)
        return;
    return_all(s, peer);
    s->peers[peer].present = false;
}

static uint64_t backoff_after(uint32_t base_ms, uint32_t times, uint32_t max_ms)
{
    uint64_t wait = (uint64_t) base_ms << (times < 16 ? times : 16);
    return wait < max_ms || max_ms < base_ms ? wait : max_ms;
}

void sync_peer_failed(struct sync *s, uint32_t peer, uint64_t now_ms)
{
    if (peer >= SYNC_PEERS_MAX || !s->peers[peer].present)
        return;
    struct peer *p = &s->peers[peer];
    uint64_t retry_at = now_ms + backoff_after(s->options.backoff_ms, p->failures++, s->options.backoff_max_ms);
    if (retry_at > p->retry_at_ms)
        p->retry_at_ms = retry_at;
    return_all(s, peer);
}

static void peer_lied(struct sync *s, uint32_t peer, uint64_t now_ms)
{
    struct peer *p = &s->peers[peer];
    p->retry_at_ms = now_ms + backoff_after(s->options.liar_backoff_ms, p->lies++, UINT32_MAX);
    return_all(s, peer);
}

void sync_forget_missing(struct sync *s)
{
    for (uint32_t i = 0; i < s->ids.count; i++)
        s->rows[i].lacking = 0;
}

/* ---- requests ---- */

static bool peer_free(const struct sync *s, uint32_t peer, uint64_t now_ms)
{
    const struct peer *p = &s->peers[peer];
    return p->present && p->in_flight < s->options.requests_per_peer && p->retry_at_ms <= now_ms;
}

/* The first object of a queue, from `number` on, that the peer may have. */
static uint32_t next_askable(const struct sync *s, uint32_t number, uint32_t peer)
{
    while (number != NOBODY && s->rows[number].lacking >> peer & 1)
        number = s->rows[number].next;
    return number;
}

static bool peer_useful(const struct sync *s, uint32_t peer)
{
    return next_askable(s, s->queues[QUEUE_LISTINGS].first, peer) != NOBODY ||
           next_askable(s, s->queues[QUEUE_CHUNKS].first, peer) != NOBODY;
}

/* The least busy peer that may be asked and is not known to lack all, in turn; NOBODY when there is none. */
static uint32_t pick_peer(const struct sync *s, uint64_t now_ms)
{
    uint32_t best = NOBODY;
    for (uint32_t i = 1; i <= SYNC_PEERS_MAX; i++) {
        uint32_t peer = (s->cursor + i) % SYNC_PEERS_MAX;
        if (peer_free(s, peer, now_ms) && (best == NOBODY || s->peers[peer].in_flight < s->peers[best].in_flight) &&
            peer_useful(s, peer))
            best = peer;
    }
    return best;
}

static struct slot *slot_take(struct sync *s, uint32_t peer)
{
    for (size_t i = 0; i < sizeof s->slots / sizeof *s->slots; i++) {
        struct slot *slot = &s->slots[i];
        if (slot->used)
            continue;
        if (!slot->numbers)
            slot->numbers = malloc(SYNC_REQUEST_IDS_MAX * sizeof *slot->numbers);
        if (!slot->numbers)
            return NULL;
        slot->used = true;
        slot->peer = peer;
        slot->count = 0;
        s->peers[peer].in_flight++;
        return slot;
    }
    return NULL;
}

/* How many objects one request takes, so that all peers get a share of a small remainder. */
static uint32_t request_share(const struct sync *s)
{
    uint32_t present = 0, wanted = s->queues[QUEUE_LISTINGS].count + s->queues[QUEUE_CHUNKS].count;
    for (uint32_t i = 0; i < SYNC_PEERS_MAX; i++)
        present += s->peers[i].present;
    uint32_t share = (wanted + present - 1) / present;
    share = share < SHARE_MIN ? SHARE_MIN : share;
    return share < SYNC_REQUEST_IDS_MAX ? share : SYNC_REQUEST_IDS_MAX;
}

/* Moves objects of one queue into the request, until it is full. */
static void slot_fill(struct sync *s, struct slot *slot, int queue, uint32_t share, uint64_t *bytes)
{
    uint32_t number = next_askable(s, s->queues[queue].first, slot->peer);
    while (number != NOBODY && slot->count < share) {
        struct row *r = &s->rows[number];
        uint32_t next = r->next;
        if (slot->count > 0 && *bytes + row_cost(r) > SYNC_REQUEST_BYTES_MAX)
            return;
        *bytes += row_cost(r);
        queue_take(s, queue, number);
        r->state = ROW_ASKED;
        r->slot = (uint16_t) (slot - s->slots);
        s->asked++;
        s->request_ids[slot->count] = s->ids.ids[number];
        slot->numbers[slot->count++] = number;
        number = next_askable(s, next, slot->peer);
    }
}

bool sync_next_request(struct sync *s, uint64_t now_ms, struct sync_request *out)
{
    uint64_t bytes = 0;
    uint32_t peer = s->err == 0 ? pick_peer(s, now_ms) : NOBODY;
    struct slot *slot = peer != NOBODY ? slot_take(s, peer) : NULL;
    if (!slot)
        return false;
    uint32_t share = request_share(s);
    slot_fill(s, slot, QUEUE_LISTINGS, share, &bytes);
    slot_fill(s, slot, QUEUE_CHUNKS, share, &bytes);
    s->cursor = peer;
    *out = (struct sync_request){peer, (uint32_t) (slot - s->slots), s->request_ids, slot->count};
    return true;
}

/* ---- answers ---- */

static bool row_open(const struct row *r)
{
    return r->state == ROW_ASKED || r->state == ROW_WANTED;
}

static void row_arrived(struct sync *s, uint32_t number, size_t size)
{
    struct row *r = &s->rows[number];
    s->bytes_wanted -= row_cost(r);
    s->bytes_received += size;
    if (r->state == ROW_ASKED)
        s->asked--;
    else
        queue_take(s, wanted_queue(r), number);
    row_had(s, number);
}

int sync_receive(struct sync *s, uint32_t peer, const struct object_id *id, enum object_type type, struct slice content,
                 uint64_t now_ms)
{
    struct object_id real;
    uint32_t number = id_map_find(&s->ids, id);
    if (s->err != 0)
        return s->err;
    if (peer >= SYNC_PEERS_MAX || !s->peers[peer].present || number == ID_MAP_NONE || !row_open(&s->rows[number]))
        return GRID_ENOENT;
    int err = object_id_compute(type, content, &real);
    if (err != 0)
        return s->err = err;
    if (!object_id_equal(&real, id)) {
        peer_lied(s, peer, now_ms);
        return GRID_ECORRUPT;
    }
    s->peers[peer].failures = 0;
    row_arrived(s, number, content.size);
    return s->err = type == (enum object_type) s->rows[number].type ? expand(s, number, content) : GRID_EPROTO;
}

void sync_missing(struct sync *s, uint32_t peer, const struct object_id *id)
{
    uint32_t number = id_map_find(&s->ids, id);
    if (number == ID_MAP_NONE || peer >= SYNC_PEERS_MAX || !row_open(&s->rows[number]))
        return;
    struct row *r = &s->rows[number];
    r->lacking |= UINT64_C(1) << peer;
    if (r->state != ROW_ASKED || s->slots[r->slot].peer != peer)
        return;
    s->asked--;
    s->bytes_wanted -= row_cost(r);
    row_want(s, number, true);
}

void sync_request_end(struct sync *s, uint32_t number)
{
    if (number < sizeof s->slots / sizeof *s->slots && s->slots[number].used)
        slot_return(s, &s->slots[number], true);
}

/* ---- state ---- */

/* When a peer put aside, that may have something wanted, can be asked again. */
static uint64_t earliest_retry(const struct sync *s, uint64_t now_ms)
{
    uint64_t earliest = UINT64_MAX;
    for (uint32_t i = 0; i < SYNC_PEERS_MAX; i++) {
        const struct peer *p = &s->peers[i];
        if (p->present && p->retry_at_ms > now_ms && p->retry_at_ms < earliest && peer_useful(s, i))
            earliest = p->retry_at_ms;
    }
    return earliest;
}

enum sync_state sync_status(const struct sync *s, uint64_t now_ms, uint64_t *retry_at_ms)
{
    if (retry_at_ms)
        *retry_at_ms = UINT64_MAX;
    if (s->err != 0)
        return SYNC_FAILED;
    if (s->had == s->ids.count)
        return SYNC_DONE;
    if (s->asked > 0 || pick_peer(s, now_ms) != NOBODY)
        return SYNC_MORE;
    if (s->queues[QUEUE_WALK].count > 0)
        return SYNC_WALK;
    if (retry_at_ms)
        *retry_at_ms = earliest_retry(s, now_ms);
    return SYNC_STUCK;
}

int sync_error(const struct sync *s)
{
    return s->err;
}

void sync_progress_get(const struct sync *s, struct sync_progress *out)
{
    *out = (struct sync_progress){s->ids.count, s->had, s->bytes_wanted, s->bytes_received};
}
