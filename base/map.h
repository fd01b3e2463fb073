/* base/map.h: byte strings to pointers, kept in the order they were first set. One thread at a time.
 * The hash is not keyed: cap the number of entries whose keys strangers choose. */
#ifndef GRID_BASE_MAP_H
#define GRID_BASE_MAP_H

#include "base/slice.h"

struct map;

/* `dispose` (may be NULL) is called with a value that is replaced, removed by map_remove, or left when the map goes. NULL when out
 * of memory. */
struct map *map_create(void (*dispose)(void *value));

/* NULL is allowed. */
void map_destroy(struct map *m);

/* Removes all entries. */
void map_clear(struct map *m);

/* Sets `key` (copied, at most UINT32_MAX / 2 bytes) to `value`; an existing key keeps its place, and its old value is disposed of.
 * 0, GRID_ELIMIT for the key's length, or GRID_ENOMEM with the map unchanged and `value` still the caller's. */
int map_set(struct map *m, struct slice key, void *value);

/* NULL when there is none. */
void *map_get(const struct map *m, struct slice key);

/* Disposes of the entry. False when there was none. */
bool map_remove(struct map *m, struct slice key);

/* Removes the entry without disposing of its value, which is returned; NULL when there was none. */
void *map_take(struct map *m, struct slice key);

size_t map_count(const struct map *m);

/* for (struct map_iter it = map_begin(m); map_next(&it);) use(it.key, it.value);
 * The key lives as long as the entry. Only the entry just given may be removed or replaced meanwhile; entries added meanwhile may
 * be missed. */
struct map_iter {
    struct slice key;
    void *value;
    void *next; /* the map's own */
};
struct map_iter map_begin(const struct map *m);
bool map_next(struct map_iter *iter);

#endif
