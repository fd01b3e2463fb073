/* The index of a store: where each object lies, and the table of segments. */
#include <pthread.h>
#include <stdlib.h>

#include "base/err.h"
#include "fs/store_internal.h"

static bool index_reserve(struct store *s)
{
    if (s->ids.count < s->location_capacity)
        return true;
    uint32_t capacity = s->location_capacity ? s->location_capacity + s->location_capacity / 2 : 256;
    struct store_location *locations = realloc(s->locations, capacity * sizeof *locations);
    if (!locations)
        return false;
    s->locations = locations;
    s->location_capacity = capacity;
    return true;
}

static void forget_lost(struct store *s, const struct object_id *id)
{
    uint32_t number = s->lost.count > 0 ? id_map_find(&s->lost, id) : ID_MAP_NONE;
    if (number != ID_MAP_NONE)
        id_map_remove(&s->lost, number);
}

/* Sets where an object lies; a record of it elsewhere is dead from now on. */
int store_index_set(struct store *s, const struct object_id *id, const struct store_location *at)
{
    uint32_t before = s->ids.count;
    if (!index_reserve(s))
        return GRID_ENOMEM;
    uint32_t number = id_map_add(&s->ids, id);
    if (number == ID_MAP_NONE)
        return GRID_ENOMEM;
    if (s->ids.count == before)
        s->stored_bytes -= store_record_bytes(s->locations[number].stored_size);
    s->locations[number] = *at;
    s->stored_bytes += store_record_bytes(at->stored_size);
    forget_lost(s, id);
    return 0;
}

void store_index_remove(struct store *s, uint32_t number)
{
    s->stored_bytes -= store_record_bytes(s->locations[number].stored_size);
    id_map_remove(&s->ids, number);
    s->locations[number] = s->locations[s->ids.count];
}

/* Finds an object and notes that it is in use. */
struct store_location *store_index_touch(struct store *s, const struct object_id *id)
{
    uint32_t number = id_map_find(&s->ids, id);
    if (number == ID_MAP_NONE)
        return NULL;
    s->locations[number].epoch = s->epoch;
    return &s->locations[number];
}

uint32_t store_segments_place(struct segment *const *segments, uint32_t count, uint32_t number)
{
    uint32_t low = 0, high = count;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (segments[middle]->number < number)
            low = middle + 1;
        else
            high = middle;
    }
    return low < count && segments[low]->number == number ? low : count;
}

struct segment *store_segment_find(struct store *s, uint32_t number)
{
    uint32_t at = store_segment_at(s, number);
    return at < s->segment_count ? s->segments[at] : NULL;
}

uint32_t store_segment_at(const struct store *s, uint32_t number)
{
    return store_segments_place(s->segments, s->segment_count, number);
}

void store_segment_release(struct segment *segment)
{
    if (--segment->refs > 0)
        return;
    segment_close(segment);
    free(segment);
}

void store_segment_unref(struct store *s, struct segment *segment)
{
    pthread_mutex_lock(&s->index);
    store_segment_release(segment);
    pthread_mutex_unlock(&s->index);
}

int store_segments_add(struct store *s, const struct segment *segment)
{
    if (s->segment_count == s->segment_capacity) {
        uint32_t capacity = s->segment_capacity ? s->segment_capacity * 2 : 16;
        struct segment **segments = realloc(s->segments, capacity * sizeof(struct segment *));
        if (!segments)
            return GRID_ENOMEM;
        s->segments = segments;
        s->segment_capacity = capacity;
    }
    struct segment *copy = malloc(sizeof *copy);
    if (!copy)
        return GRID_ENOMEM;
    *copy = *segment;
    copy->refs = 1;
    s->segments[s->segment_count++] = copy;
    s->disk_bytes += copy->size;
    return 0;
}

struct segment *store_last_segment(struct store *s)
{
    return s->segment_count > 0 ? s->segments[s->segment_count - 1] : NULL;
}
