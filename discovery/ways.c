/* A map of ids to addresses. */
#include "discovery/ways.h"

#include <stdlib.h>
#include <string.h>

#include "base/map.h"

struct ways {
    struct map *by_id;
};

struct ways *ways_create(void)
{
    struct ways *w = calloc(1, sizeof *w);
    if (w && !(w->by_id = map_create(free))) {
        free(w);
        return NULL;
    }
    return w;
}

void ways_destroy(struct ways *w)
{
    if (w)
        map_destroy(w->by_id);
    free(w);
}

void ways_found(struct ways *w, const char *id, const struct addr *at)
{
    struct addr *known = map_get(w->by_id, slice_of_str(id));
    if (known) {
        *known = *at;
        return;
    }
    if (map_count(w->by_id) >= WAYS_MAX)
        map_clear(w->by_id);
    known = malloc(sizeof *known);
    if (!known)
        return;
    *known = *at;
    if (map_set(w->by_id, slice_of_str(id), known) != 0)
        free(known);
}

const struct addr *ways_of(const struct ways *w, const char *id)
{
    return map_get(w->by_id, slice_of_str(id));
}

size_t ways_prefer(const struct ways *w, const char *id, struct addr *addresses, size_t count, size_t max)
{
    const struct addr *way = ways_of(w, id);
    size_t at = 0;
    if (!way)
        return count;
    while (at < count && !addr_equal(&addresses[at], way))
        at++;
    if (at == count && count == max)
        at = addr_is_member(&addresses[count - 1]) && count > 1 ? count - 2 : count - 1;
    else
        count += at == count;
    memmove(addresses + 1, addresses, at * sizeof *addresses);
    addresses[0] = *way;
    return count;
}
