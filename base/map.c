/* A thin coat over uthash, whose entries are also a list in order of insertion. */
#include "base/map.h"

#include <stdlib.h>

#include "base/err.h"

/* Where uthash cannot grow its table, the entry stays out and is marked so. */
#define HASH_NONFATAL_OOM 1
#define uthash_nonfatal_oom(entry) ((entry)->refused = true)
#include <uthash.h>

struct entry {
    UT_hash_handle hh;
    void *value;
    bool refused;
    size_t key_size;
    uint8_t key[];
};

struct map {
    struct entry *entries;
    void (*dispose)(void *value);
};

struct map *map_create(void (*dispose)(void *value))
{
    struct map *m = malloc(sizeof *m);
    if (m)
        *m = (struct map){.dispose = dispose};
    return m;
}

static void dispose_value(const struct map *m, void *value)
{
    if (m->dispose)
        m->dispose(value);
}

static struct entry *find_entry(const struct map *m, struct slice key)
{
    struct entry *found = NULL;
    if (key.size > UINT32_MAX / 2)
        return NULL;
    const void *bytes = key.size > 0 ? (const void *) key.data : "";
    HASH_FIND(hh, m->entries, bytes, (unsigned) key.size, found);
    return found;
}

/* Takes the entry out and gives its value, leaving the disposal to the caller, who may look into the map again. */
static void *delete_entry(struct map *m, struct entry *entry)
{
    void *value = entry->value;
    HASH_DELETE(hh, m->entries, entry);
    free(entry);
    return value;
}

void map_clear(struct map *m)
{
    while (m->entries)
        dispose_value(m, delete_entry(m, m->entries));
}

void map_destroy(struct map *m)
{
    if (!m)
        return;
    map_clear(m);
    free(m);
}

static int add_entry(struct map *m, struct slice key, void *value)
{
    struct entry *entry = malloc(sizeof *entry + key.size);
    if (!entry)
        return GRID_ENOMEM;
    *entry = (struct entry){.value = value, .key_size = key.size};
    if (key.size > 0)
        memcpy(entry->key, key.data, key.size);
    HASH_ADD_KEYPTR(hh, m->entries, entry->key, (unsigned) key.size, entry);
    if (entry->refused) {
        free(entry);
        return GRID_ENOMEM;
    }
    return 0;
}

int map_set(struct map *m, struct slice key, void *value)
{
    struct entry *entry = find_entry(m, key);
    if (key.size > UINT32_MAX / 2)
        return GRID_ELIMIT;
    if (!entry)
        return add_entry(m, key, value);
    void *old = entry->value;
    entry->value = value;
    if (old != value)
        dispose_value(m, old);
    return 0;
}

void *map_get(const struct map *m, struct slice key)
{
    struct entry *entry = find_entry(m, key);
    return entry ? entry->value : NULL;
}

void *map_take(struct map *m, struct slice key)
{
    struct entry *entry = find_entry(m, key);
    return entry ? delete_entry(m, entry) : NULL;
}

bool map_remove(struct map *m, struct slice key)
{
    struct entry *entry = find_entry(m, key);
    if (entry)
        dispose_value(m, delete_entry(m, entry));
    return entry != NULL;
}

size_t map_count(const struct map *m)
{
    return HASH_COUNT(m->entries);
}

struct map_iter map_begin(const struct map *m)
{
    return (struct map_iter){.next = m->entries};
}

bool map_next(struct map_iter *iter)
{
    struct entry *entry = iter->next;
    if (!entry)
        return false;
    iter->key = slice_of(entry->key, entry->key_size);
    iter->value = entry->value;
    iter->next = entry->hh.next;
    return true;
}
