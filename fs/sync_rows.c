/* Rows of objects, and the two queues of what is wanted. */
#include <stdlib.h>

#include "base/err.h"
#include "fs/sync_internal.h"

/* What frames an object in an answer: its id and sizes. */
#define FRAME_BYTES 64u
/* A file object names its chunks, of which even the smallest but the last have so many bytes. */
#define FILE_CHUNK_LEAST 1024u
#define FILE_ENTRY_BYTES 36u

/* ---- queues ---- */

void sync_queues_init(struct sync *s)
{
    for (int i = 0; i < QUEUES; i++)
        s->queues[i] = (struct queue){SYNC_NOBODY, SYNC_NOBODY, SYNC_NOBODY, 0};
}

static struct queue *queue_of(struct sync *s, uint32_t number)
{
    return &s->queues[s->rows[number].type == OBJECT_CHUNK ? QUEUE_CHUNKS : QUEUE_LISTINGS];
}

static void queue_push(struct sync *s, uint32_t number, bool front)
{
    struct queue *q = queue_of(s, number);
    struct row *r = &s->rows[number];
    r->prev = front ? SYNC_NOBODY : q->last;
    r->next = front ? q->first : SYNC_NOBODY;
    *(r->prev == SYNC_NOBODY ? &q->first : &s->rows[r->prev].next) = number;
    *(r->next == SYNC_NOBODY ? &q->last : &s->rows[r->next].prev) = number;
    q->count++;
}

static void queue_take(struct sync *s, uint32_t number)
{
    struct queue *q = queue_of(s, number);
    const struct row *r = &s->rows[number];
    *(r->prev == SYNC_NOBODY ? &q->first : &s->rows[r->prev].next) = r->next;
    *(r->next == SYNC_NOBODY ? &q->last : &s->rows[r->next].prev) = r->prev;
    if (q->hand == number)
        q->hand = r->next;
    q->count--;
}

/* ---- rows ---- */

uint64_t sync_row_cost(const struct row *r)
{
    return r->type == OBJECT_FILE ? (r->size / CHUNKER_AVERAGE_BYTES + 2) * FILE_ENTRY_BYTES : r->size;
}

uint64_t sync_row_cost_max(const struct row *r)
{
    uint64_t bytes = r->type == OBJECT_FILE ? (r->size / FILE_CHUNK_LEAST + 2) * FILE_ENTRY_BYTES : r->size;
    if (r->size == 0 || bytes > OBJECT_LISTING_MAX)
        bytes = OBJECT_LISTING_MAX;
    return bytes + bytes / 128 + FRAME_BYTES;
}

void sync_row_want(struct sync *s, uint32_t number, bool front)
{
    struct row *r = &s->rows[number];
    r->state = ROW_WANTED;
    s->bytes_wanted += sync_row_cost(r);
    s->large = s->large || s->bytes_wanted > SYNC_SWARM_BYTES;
    queue_push(s, number, front);
}

void sync_row_ask(struct sync *s, uint32_t number, uint16_t slot)
{
    struct row *r = &s->rows[number];
    if (r->state == ROW_WANTED) {
        queue_take(s, number);
        s->asked++;
    }
    r->state = ROW_ASKED;
    r->slot = slot;
}

void sync_row_return(struct sync *s, uint32_t number)
{
    s->asked--;
    s->bytes_wanted -= sync_row_cost(&s->rows[number]); /* it is counted again */
    sync_row_want(s, number, true);
}

static void row_had(struct sync *s, uint32_t number)
{
    s->rows[number].state = ROW_HAD;
    s->had++;
    if (s->had_log_count < s->row_capacity)
        s->had_log[s->had_log_count++] = number;
}

void sync_row_arrived(struct sync *s, uint32_t number)
{
    struct row *r = &s->rows[number];
    s->bytes_wanted -= sync_row_cost(r);
    if (r->state == ROW_ASKED)
        s->asked--;
    else
        queue_take(s, number);
    row_had(s, number);
}

void sync_row_lost(struct sync *s, uint32_t number)
{
    s->had--;
    sync_row_want(s, number, true);
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
    uint32_t *had_log = realloc(s->had_log, capacity * sizeof *had_log);
    if (!had_log)
        return false;
    s->had_log = had_log;
    s->row_capacity = capacity;
    return true;
}

static int row_twin(struct sync *s, const struct object_id *twin, uint32_t *out)
{
    *out = twin ? id_map_add(&s->twins, twin) : SYNC_NOBODY;
    return twin && *out == ID_MAP_NONE ? GRID_ENOMEM : 0;
}

int sync_row_meet(struct sync *s, const struct object_id *id, enum object_type type, uint64_t size, const struct object_id *twin)
{
    uint32_t before = s->ids.count, twin_number;
    if (before >= SYNC_OBJECTS_MAX)
        return GRID_ELIMIT;
    if (!rows_reserve(s))
        return GRID_ENOMEM;
    uint32_t number = id_map_add(&s->ids, id);
    if (number == ID_MAP_NONE)
        return GRID_ENOMEM;
    if (number < before)
        return s->rows[number].type == type && s->rows[number].size == size ? 0 : GRID_EPROTO;
    int err = row_twin(s, twin, &twin_number);
    s->rows[number] = (struct row){.size = size, .type = (uint8_t) type, .twin = twin_number};
    if (s->source.have(s->source.arg, id))
        row_had(s, number);
    else
        sync_row_want(s, number, false);
    return err;
}
