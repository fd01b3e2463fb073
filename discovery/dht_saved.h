/* discovery/dht_saved.h: the nodes of the DHT as bytes, kept across restarts: docs/formats/dht-table.md. No files, no state. Any thread. */
#ifndef GRID_DISCOVERY_DHT_SAVED_H
#define GRID_DISCOVERY_DHT_SAVED_H

#include "base/buf.h"
#include "discovery/krpc.h"

enum { DHT_SAVED_NODES_MAX = 512, DHT_SAVED_SIZE_MAX = 8 + 2 * DHT_ID_SIZE + DHT_SAVED_NODES_MAX * 38 + 4 };

struct dht_saved {
    struct dht_id own[DHT_FAMILIES];
    struct krpc_node nodes[DHT_SAVED_NODES_MAX];
    size_t count;
};

/* 0, GRID_ELIMIT or GRID_ENOMEM. */
int dht_saved_pack(const struct dht_saved *s, struct buf *out);

/* 0, GRID_EUNSUPPORTED for another version, GRID_ECORRUPT for anything that is not whole and right. */
int dht_saved_unpack(struct slice in, struct dht_saved *out);

#endif
