/* A frame that is read as asking for a connection is what is packed for that, up to how its numbers are written. */
// links: grid_discovery
#include <stdlib.h>

#include "discovery/gossip_turn.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    enum gossip_plane plane, again;
    struct buf packed;
    if (!gossip_turn_unpack(slice_of(data, size), &plane))
        return 0;
    buf_init(&packed, 0);
    if (gossip_turn_pack(plane, &packed) != 0 || !gossip_turn_unpack(buf_slice(&packed), &again) || again != plane || packed.size > size)
        abort();
    buf_dispose(&packed);
    return 0;
}
