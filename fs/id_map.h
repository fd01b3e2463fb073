/* fs/id_map.h: object ids as dense numbers, so that what is known of an object can stand in a plain array beside the map.
 * Open addressing over a table of numbers; 36 bytes an id and 8 to 16 of table. Any one thread at a time. */
#ifndef GRID_FS_ID_MAP_H
#define GRID_FS_ID_MAP_H

#include <stddef.h>
#include <stdint.h>

#include "fs/hash.h"

#define ID_MAP_NONE UINT32_MAX

/* ids[0..count) are in use. Fields may be read; they change only through id_map_*. */
struct id_map {
    struct object_id *ids;
    uint32_t count;
    uint32_t capacity;
    uint32_t *slots; /* number + 1 of an id, 0 when free */
    uint32_t slot_count; /* 0 or a power of two */
};

/* Takes no memory yet. */
void id_map_init(struct id_map *m);
void id_map_dispose(struct id_map *m);

/* Forgets all ids and keeps the memory. */
void id_map_clear(struct id_map *m);

/* Room for so many ids in all. False when out of memory, with the map as it was. */
bool id_map_reserve(struct id_map *m, uint32_t count);

/* The id's number, or ID_MAP_NONE. */
uint32_t id_map_find(const struct id_map *m, const struct object_id *id);

/* The id's number, given anew (then it is count - 1) when it was unknown. ID_MAP_NONE when out of memory. */
uint32_t id_map_add(struct id_map *m, const struct object_id *id);

/* Takes the id of that number out. The last id takes its number: move what stands beside it from `count` (as it is afterwards)
 * to `number`. */
void id_map_remove(struct id_map *m, uint32_t number);

#endif
