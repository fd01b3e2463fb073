/* Linear probing over numbers of ids; ids are hashes already, so their first bytes are the hash. */
#include "fs/id_map.h"

#include <stdlib.h>

void id_map_init(struct id_map *m)
{
    *m = (struct id_map){0};
}

void id_map_dispose(struct id_map *m)
{
    free(m->ids);
    free(m->slots);
    id_map_init(m);
}

void id_map_clear(struct id_map *m)
{
    if (m->slot_count > 0)
        memset(m->slots, 0, m->slot_count * sizeof *m->slots);
    m->count = 0;
}

static uint32_t id_home(const struct id_map *m, const struct object_id *id)
{
    uint32_t word;
    memcpy(&word, id->bytes, sizeof word);
    return word & (m->slot_count - 1);
}

/* The slot that holds the id, or the free one where it belongs. */
static uint32_t id_slot(const struct id_map *m, const struct object_id *id)
{
    uint32_t slot = id_home(m, id);
    while (m->slots[slot] != 0 && !object_id_equal(&m->ids[m->slots[slot] - 1], id))
        slot = (slot + 1) & (m->slot_count - 1);
    return slot;
}

uint32_t id_map_find(const struct id_map *m, const struct object_id *id)
{
    if (m->slot_count == 0)
        return ID_MAP_NONE;
    return m->slots[id_slot(m, id)] - 1; /* 0 - 1 is ID_MAP_NONE */
}

static bool set_capacity(struct id_map *m, uint32_t capacity)
{
    struct object_id *ids = realloc(m->ids, capacity * sizeof *ids);
    if (!ids)
        return false;
    m->ids = ids;
    m->capacity = capacity;
    return true;
}

static bool set_slots(struct id_map *m, uint32_t slot_count)
{
    uint32_t *slots = calloc(slot_count, sizeof *slots);
    if (!slots)
        return false;
    free(m->slots);
    m->slots = slots;
    m->slot_count = slot_count;
    for (uint32_t i = 0; i < m->count; i++)
        m->slots[id_slot(m, &m->ids[i])] = i + 1;
    return true;
}

/* At most half of the slots are taken. */
static bool grow(struct id_map *m)
{
    if (m->count == m->capacity && (m->capacity > UINT32_MAX / 4 || !set_capacity(m, m->capacity ? m->capacity + m->capacity / 2 : 64)))
        return false;
    return m->count < m->slot_count / 2 || set_slots(m, m->slot_count ? m->slot_count * 2 : 128);
}

bool id_map_reserve(struct id_map *m, uint32_t count)
{
    uint32_t slot_count = m->slot_count ? m->slot_count : 128;
    if (count > UINT32_MAX / 4)
        return false;
    while (slot_count / 2 < count)
        slot_count *= 2;
    return (count <= m->capacity || set_capacity(m, count)) && (slot_count == m->slot_count || set_slots(m, slot_count));
}

uint32_t id_map_add(struct id_map *m, const struct object_id *id)
{
    uint32_t number = id_map_find(m, id);
    if (number != ID_MAP_NONE)
        return number;
    if (!grow(m))
        return ID_MAP_NONE;
    m->ids[m->count] = *id;
    m->slots[id_slot(m, id)] = m->count + 1;
    return m->count++;
}

/* Empties a slot and moves back what had probed past it (Knuth, volume 3, algorithm 6.4R). */
static void id_map_free_slot(struct id_map *m, uint32_t hole)
{
    uint32_t mask = m->slot_count - 1, slot = hole;
    for (;;) {
        m->slots[hole] = 0;
        do {
            slot = (slot + 1) & mask;
            if (m->slots[slot] == 0)
                return;
        } while (((slot - id_home(m, &m->ids[m->slots[slot] - 1])) & mask) < ((slot - hole) & mask));
        m->slots[hole] = m->slots[slot];
        hole = slot;
    }
}

void id_map_remove(struct id_map *m, uint32_t number)
{
    id_map_free_slot(m, id_slot(m, &m->ids[number]));
    uint32_t last = m->count - 1;
    if (number != last) {
        m->slots[id_slot(m, &m->ids[last])] = number + 1;
        m->ids[number] = m->ids[last];
    }
    m->count = last;
}
