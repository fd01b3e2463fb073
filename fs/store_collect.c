/* Collection: what is held, what is dead, segments cut and rewritten. docs/formats/store.md, "Collection". */
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "fs/store_internal.h"

/* A sweep looks again at a segment that came into use meanwhile, so many times. */
#define SWEEP_ROUNDS 4

void store_hold_begin(struct store *s, struct store_hold *h)
{
    pthread_mutex_lock(&s->index);
    h->epoch = ++s->epoch;
    h->next = s->holds;
    h->prev = &s->holds;
    if (h->next)
        h->next->prev = &h->next;
    s->holds = h;
    pthread_mutex_unlock(&s->index);
}

void store_hold_end(struct store *s, struct store_hold *h)
{
    pthread_mutex_lock(&s->index);
    *h->prev = h->next;
    if (h->next)
        h->next->prev = h->prev;
    pthread_mutex_unlock(&s->index);
}

int store_collect_begin(struct store *s, struct store_collection *c)
{
    pthread_mutex_lock(&s->index);
    bool busy = s->collecting;
    if (!busy) {
        s->collecting = true;
        c->thorough = false;
        c->limit = ++s->epoch;
        for (struct store_hold *h = s->holds; h; h = h->next)
            if (h->epoch < c->limit)
                c->limit = h->epoch;
    }
    pthread_mutex_unlock(&s->index);
    return busy ? GRID_EBUSY : 0;
}

void store_collect_abort(struct store *s, struct store_collection *c)
{
    (void) c;
    pthread_mutex_lock(&s->index);
    s->collecting = false;
    pthread_mutex_unlock(&s->index);
}

struct sweep {
    struct store *store;
    uint32_t limit;
    bool thorough;
    const struct id_map *live;
    struct store_collected *out;
};

struct victim {
    uint32_t segment; /* number */
    uint64_t alive;   /* bytes of records */
};

/* Under the index mutex. */
static bool is_alive(const struct sweep *w, uint32_t number)
{
    return w->store->locations[number].epoch >= w->limit || id_map_find(w->live, &w->store->ids.ids[number]) != ID_MAP_NONE;
}

static uint64_t alive_bytes(const struct sweep *w, uint32_t segment)
{
    const struct store *s = w->store;
    uint64_t bytes = 0;
    for (uint32_t i = 0; i < s->ids.count; i++)
        if (s->locations[i].segment == segment && is_alive(w, i))
            bytes += store_record_bytes(s->locations[i].stored_size);
    return bytes;
}

static bool is_worth_it(const struct sweep *w, uint64_t size, uint64_t alive)
{
    uint64_t dead = size - SEGMENT_HEADER_BYTES - alive;
    return alive * 2 < size || (w->thorough && dead * 16 > size);
}

/* Lists segments of which much is dead, by one pass over the index: alive[] is of as many as there are segments. */
static uint32_t pick_victims(const struct sweep *w, uint64_t *alive, struct victim *victims)
{
    const struct store *s = w->store;
    uint32_t count = 0, number = 0, at = 0;
    for (uint32_t i = 0; i < s->ids.count; i++) {
        if (number != s->locations[i].segment)
            at = store_segment_at(s, number = s->locations[i].segment);
        if (at < s->segment_count && is_alive(w, i))
            alive[at] += store_record_bytes(s->locations[i].stored_size);
    }
    for (uint32_t i = 0; i < s->segment_count; i++) {
        bool is_begun = s->segments[i]->size <= SEGMENT_HEADER_BYTES && i + 1 == s->segment_count;
        if (!is_begun && is_worth_it(w, s->segments[i]->size, alive[i]))
            victims[count++] = (struct victim){s->segments[i]->number, alive[i]};
    }
    return count;
}

/* What costs least comes first: on a full disk it makes the room that the others need. */
static int compare_victims(const void *a, const void *b)
{
    const struct victim *x = a, *y = b;
    return x->alive < y->alive ? -1 : x->alive > y->alive;
}

/* The segments to empty, as malloc'ed memory. */
static int list_victims(const struct sweep *w, struct victim **victims, uint32_t *count)
{
    struct store *s = w->store;
    int err = GRID_ENOMEM;
    pthread_mutex_lock(&s->append);
    pthread_mutex_lock(&s->index);
    uint64_t *alive = calloc(s->segment_count + 1, sizeof *alive);
    *victims = calloc(s->segment_count + 1, sizeof **victims);
    *count = 0;
    if (alive && *victims) {
        *count = pick_victims(w, alive, *victims);
        err = 0;
    }
    pthread_mutex_unlock(&s->index);
    pthread_mutex_unlock(&s->append);
    free(alive);
    if (*count > 0)
        qsort(*victims, *count, sizeof **victims, compare_victims);
    return err;
}

/* Nothing may be appended to a victim: when it is the last segment the next one is begun. */
static int seal_victim(struct store *s, uint32_t victim)
{
    pthread_mutex_lock(&s->append);
    int err = store_last_segment(s)->number == victim ? store_begin_segment(s) : 0;
    pthread_mutex_unlock(&s->append);
    return err;
}

/* Some live object of the victim; false when none is left. */
static bool next_survivor(const struct sweep *w, uint32_t victim, uint32_t *cursor, struct object_id *id, struct store_location *at)
{
    struct store *s = w->store;
    bool found = false;
    pthread_mutex_lock(&s->index);
    for (; *cursor < s->ids.count && !found; (*cursor)++) {
        if (s->locations[*cursor].segment == victim && is_alive(w, *cursor)) {
            *id = s->ids.ids[*cursor];
            *at = s->locations[*cursor];
            found = true;
        }
    }
    pthread_mutex_unlock(&s->index);
    return found;
}

/* Copies one record as it is into the batch; a damaged one is dropped instead. */
static int copy_survivor(struct sweep *w, struct store_batch *b, const struct segment *segment, const struct object_id *id,
                         const struct store_location *at)
{
    struct record_packed packed;
    uint8_t *memory = NULL;
    int err = store_read_record(segment, id, at, &memory, &packed);
    if (err == 0)
        err = store_batch_add(b, id, &packed);
    if (err == 0)
        w->out->copied_bytes += store_record_bytes(at->stored_size);
    if (err == GRID_ECORRUPT) {
        store_drop_damaged(w->store, id, at);
        err = 0;
    }
    free(memory);
    return err;
}

static int copy_survivors(struct sweep *w, const struct segment *segment)
{
    struct object_id id;
    struct store_location at;
    struct store_batch batch;
    uint32_t cursor = 0;
    int err = 0;
    store_batch_init(&batch, w->store);
    batch.beyond_budget = true; /* for as long as it takes to take the victim away */
    while (err == 0 && next_survivor(w, segment->number, &cursor, &id, &at))
        err = copy_survivor(w, &batch, segment, &id, &at);
    if (err == 0)
        err = store_batch_commit(&batch);
    store_batch_dispose(&batch);
    return err == 0 ? store_sync(w->store) : err;
}

/* Under both mutexes. */
static void forget_segment(struct sweep *w, uint32_t at)
{
    struct store *s = w->store;
    w->out->segments++;
    w->out->freed_bytes += s->segments[at]->size;
    s->disk_bytes -= s->segments[at]->size;
    store_segment_release(s->segments[at]);
    memmove(&s->segments[at], &s->segments[at + 1], (s->segment_count - at - 1) * sizeof(struct segment *));
    s->segment_count--;
}

/* Takes the segment and its dead objects out, unless one of them has come into use: then false. */
static bool remove_victim(struct sweep *w, uint32_t victim)
{
    struct store *s = w->store;
    pthread_mutex_lock(&s->append);
    pthread_mutex_lock(&s->index);
    bool removed = alive_bytes(w, victim) == 0;
    for (uint32_t i = s->ids.count; removed && i-- > 0;)
        if (s->locations[i].segment == victim)
            store_index_remove(s, i);
    if (removed)
        forget_segment(w, store_segment_at(s, victim));
    pthread_mutex_unlock(&s->index);
    pthread_mutex_unlock(&s->append);
    return removed;
}

static struct segment *segment_take(struct store *s, uint32_t number)
{
    pthread_mutex_lock(&s->index);
    struct segment *segment = store_segment_find(s, number);
    if (segment)
        segment->refs++;
    pthread_mutex_unlock(&s->index);
    return segment;
}

static int sweep_victim(struct sweep *w, uint32_t victim)
{
    bool removed = false;
    struct segment *segment = segment_take(w->store, victim);
    int err = seal_victim(w->store, victim);
    for (int round = 0; err == 0 && !removed && round < SWEEP_ROUNDS; round++) {
        err = copy_survivors(w, segment);
        if (err == 0)
            removed = remove_victim(w, victim);
    }
    store_segment_unref(w->store, segment);
    if (removed) {
        store_hint_unlink(w->store, victim);
        err = segment_unlink(w->store->dir_fd, victim);
    }
    return err;
}

/* By segment: where its last live record ends, or its size when it is to be left as it is. Under both mutexes. */
static void find_ends(const struct sweep *w, uint64_t *ends)
{
    const struct store *s = w->store;
    for (uint32_t i = 0; i < s->segment_count; i++) {
        const struct segment *segment = s->segments[i];
        bool in_use = segment->refs > 1 || segment->damaged || segment->size < SEGMENT_HEADER_BYTES;
        ends[i] = in_use ? segment->size : SEGMENT_HEADER_BYTES;
    }
    for (uint32_t i = 0; i < s->ids.count; i++) {
        const struct store_location *at = &s->locations[i];
        uint32_t segment = store_segment_at(s, at->segment);
        uint64_t end = at->offset + (uint64_t) store_record_bytes(at->stored_size);
        if (segment < s->segment_count && ends[segment] < end && is_alive(w, i))
            ends[segment] = end;
    }
}

/* From here on nobody finds what lies behind the ends. Under both mutexes. */
static void forget_behind(struct sweep *w, const uint64_t *ends)
{
    struct store *s = w->store;
    for (uint32_t i = s->ids.count; i-- > 0;) {
        uint32_t segment = store_segment_at(s, s->locations[i].segment);
        if (segment < s->segment_count && s->locations[i].offset >= ends[segment])
            store_index_remove(s, i);
    }
    for (uint32_t i = 0; i < s->segment_count; i++) {
        w->out->freed_bytes += s->segments[i]->size - ends[i];
        s->disk_bytes -= s->segments[i]->size - ends[i];
    }
}

/* Under the append mutex, so that the table of segments stays as it is. */
static int cut_segments(struct store *s, const uint64_t *ends)
{
    int err = 0;
    for (uint32_t i = 0; i < s->segment_count && err == 0; i++) {
        if (s->segments[i]->size == ends[i])
            continue;
        if (s->segments[i]->hinted == 0 || s->segments[i]->hinted > ends[i])
            err = store_hint_drop(s, s->segments[i]);
        if (err == 0)
            err = segment_truncate(s->segments[i], ends[i]);
    }
    return err;
}

/* Gives back what lies dead at the ends of segments, such as all of a publish that failed: this needs no room, where rewriting does. */
static int cut_dead_ends(struct sweep *w)
{
    struct store *s = w->store;
    int err = GRID_ENOMEM;
    pthread_mutex_lock(&s->append);
    uint64_t *ends = calloc(s->segment_count + 1, sizeof *ends);
    if (ends) {
        pthread_mutex_lock(&s->index);
        find_ends(w, ends);
        forget_behind(w, ends);
        pthread_mutex_unlock(&s->index);
        err = cut_segments(s, ends);
    }
    pthread_mutex_unlock(&s->append);
    free(ends);
    return err;
}

int store_collect_sweep(struct store *s, struct store_collection *c, const struct id_map *live, struct store_collected *out)
{
    struct sweep w = {s, c->limit, c->thorough, live, out};
    struct victim *victims = NULL;
    uint32_t count = 0;
    *out = (struct store_collected){0};
    int err = cut_dead_ends(&w);
    if (err == 0)
        err = list_victims(&w, &victims, &count);
    for (uint32_t i = 0; i < count && err == 0; i++)
        err = sweep_victim(&w, victims[i].segment);
    if (err == 0)
        err = store_sync(s);
    free(victims);
    store_collect_abort(s, c);
    return err;
}
