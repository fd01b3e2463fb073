/* A table of members that reads is written again as the same bytes, and read back the same. */
// links: grid_discovery
#include <stdlib.h>

#include "discovery/remembered.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static bool same(const struct remembered_peer *a, const struct remembered_peer *b)
{
    bool equal = strcmp(a->id, b->id) == 0 && a->seen_s == b->seen_s && a->address_count == b->address_count;
    for (size_t i = 0; equal && i < a->address_count; i++)
        equal = strcmp(a->addresses[i], b->addresses[i]) == 0;
    return equal;
}

/* What is kept while members come and go, from whatever there was. */
static void live_on(struct remembered *r)
{
    static const char *const ADDRESSES[] = {"10.0.0.1:7900", "no address", "[fe80::1]:7900"};
    char id[MEMBER_ID_SIZE];
    memset(id, '5', sizeof id - 1);
    id[sizeof id - 1] = '\0';
    bool had = remembered_forget(r, id);
    if (remembered_see(r, id, ADDRESSES, 3, 1) && remembered_see(r, id, ADDRESSES, 3, 1))
        abort();
    if (had && r->count == 0)
        abort();
    if (!remembered_age(r, INT64_MAX / 2 + REMEMBERED_LASTS_S) && r->count > 0)
        abort();
    if (r->count != 0)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct remembered first, second;
    struct buf out;
    if (remembered_unpack(slice_of(data, size), &first) != 0)
        return 0;
    buf_init(&out, REMEMBERED_SIZE_MAX);
    if (remembered_pack(&first, &out) != 0 || !slice_equal(buf_slice(&out), slice_of(data, size)))
        abort();
    if (remembered_unpack(buf_slice(&out), &second) != 0 || second.count != first.count || strcmp(first.grid, second.grid) != 0 || strcmp(first.authority, second.authority) != 0)
        abort();
    for (size_t i = 0; i < first.count; i++)
        if (!same(&first.peers[i], &second.peers[i]))
            abort();
    live_on(&first);
    buf_dispose(&out);
    return 0;
}
