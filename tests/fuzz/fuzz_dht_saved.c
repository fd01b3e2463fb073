/* A table of the DHT that reads is written again as the same bytes, and read back the same. */
// links: grid_discovery
#include <stdlib.h>

#include "discovery/dht_saved.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct dht_saved first, second;
    struct buf out;
    if (dht_saved_unpack(slice_of(data, size), &first) != 0)
        return 0;
    buf_init(&out, DHT_SAVED_SIZE_MAX);
    if (dht_saved_pack(&first, &out) != 0 || !slice_equal(buf_slice(&out), slice_of(data, size)))
        abort();
    if (dht_saved_unpack(buf_slice(&out), &second) != 0 || second.count != first.count)
        abort();
    for (size_t i = 0; i < first.count; i++)
        if (!dht_id_equal(&first.nodes[i].id, &second.nodes[i].id) || !dht_endpoint_equal(&first.nodes[i].at, &second.nodes[i].at))
            abort();
    buf_dispose(&out);
    return 0;
}
