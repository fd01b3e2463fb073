/* Reads what nobody may have asked for in long, so that damage is found while others still have what was hit. */
#include <pthread.h>
#include <stdlib.h>

#include "base/err.h"
#include "fs/store_internal.h"

/* The object of that number and where it lies, its segment with a reference; that it is read so is no use of it. False: there are no more. */
static bool take_at(struct store *s, uint32_t number, struct object_id *id, struct store_location *at, struct segment **segment)
{
    pthread_mutex_lock(&s->index);
    bool is_there = number < s->ids.count;
    *segment = NULL;
    if (is_there) {
        *id = s->ids.ids[number];
        *at = s->locations[number];
        *segment = store_segment_find(s, at->segment);
    }
    if (*segment)
        (*segment)->refs++;
    pthread_mutex_unlock(&s->index);
    return is_there;
}

static int scrub_record(struct store *s, const struct segment *segment, const struct object_id *id, const struct store_location *at, struct store_scrubbed *out)
{
    struct record_packed packed;
    uint8_t *memory = NULL;
    int err = store_read_record(segment, id, at, &memory, &packed);
    free(memory);
    out->bytes += store_record_bytes(at->stored_size);
    if (err != GRID_ECORRUPT)
        return err;
    store_drop_damaged(s, id, at);
    out->damaged++;
    return 0;
}

int store_scrub(struct store *s, uint32_t *next, uint64_t bytes, struct store_scrubbed *out)
{
    struct store_location at;
    struct segment *segment;
    struct object_id id;
    int err = 0;
    *out = (struct store_scrubbed){0};
    while (err == 0 && out->bytes < bytes) {
        if (!take_at(s, *next, &id, &at, &segment)) {
            *next = 0;
            break;
        }
        uint64_t damaged = out->damaged;
        if (segment)
            err = scrub_record(s, segment, &id, &at, out);
        *next += out->damaged == damaged; /* else another has taken its number */
        if (!segment)
            continue;
        store_segment_unref(s, segment);
    }
    return err;
}
