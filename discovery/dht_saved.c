/* The saved table: a header, the own ids, nodes of fixed size, a checksum. */
#include "discovery/dht_saved.h"

#include "base/crc32c.h"
#include "base/err.h"

enum { VERSION = 1, HEADER_SIZE = 8, NODES_AT = HEADER_SIZE + DHT_FAMILIES * DHT_ID_SIZE, NODE_SIZE = DHT_ID_SIZE + 16 + 2, CHECKSUM_SIZE = 4 };

static const char MAGIC[] = "GDHT";

int dht_saved_pack(const struct dht_saved *s, struct buf *out)
{
    size_t before = out->size, size = NODES_AT + s->count * NODE_SIZE + CHECKSUM_SIZE;
    int err = buf_reserve(out, size);
    if (err != 0)
        return err;
    buf_append_str(out, MAGIC); /* none of these fails: there is room */
    buf_append_u16be(out, VERSION);
    buf_append_u16be(out, (uint16_t) s->count);
    for (size_t f = 0; f < DHT_FAMILIES; f++)
        buf_append(out, slice_of(s->own[f].bytes, DHT_ID_SIZE));
    for (size_t i = 0; i < s->count; i++) {
        buf_append(out, slice_of(s->nodes[i].id.bytes, DHT_ID_SIZE));
        buf_append(out, slice_of(s->nodes[i].at.ip, sizeof s->nodes[i].at.ip));
        buf_append_u16be(out, s->nodes[i].at.port);
    }
    return buf_append_u32be(out, crc32c(0, slice_from(buf_slice(out), before)));
}

static uint16_t read_u16(const uint8_t *at)
{
    return (uint16_t) (at[0] << 8 | at[1]);
}

static bool has_checksum(struct slice in)
{
    const uint8_t *at = in.data + in.size - CHECKSUM_SIZE;
    uint32_t crc = (uint32_t) read_u16(at) << 16 | read_u16(at + 2);
    return crc == crc32c(0, slice_first(in, in.size - CHECKSUM_SIZE));
}

static bool read_node(const uint8_t *at, struct krpc_node *out)
{
    memcpy(out->id.bytes, at, DHT_ID_SIZE);
    memcpy(out->at.ip, at + DHT_ID_SIZE, sizeof out->at.ip);
    out->at.port = read_u16(at + DHT_ID_SIZE + sizeof out->at.ip);
    return dht_endpoint_scope(&out->at) != DHT_SCOPE_NONE;
}

int dht_saved_unpack(struct slice in, struct dht_saved *out)
{
    out->count = 0;
    if (in.size < NODES_AT + CHECKSUM_SIZE || !slice_has_prefix(in, SLICE("GDHT")))
        return GRID_ECORRUPT;
    if (read_u16(in.data + 4) != VERSION)
        return GRID_EUNSUPPORTED;
    size_t count = read_u16(in.data + 6);
    if (count > DHT_SAVED_NODES_MAX || in.size != NODES_AT + count * NODE_SIZE + CHECKSUM_SIZE || !has_checksum(in))
        return GRID_ECORRUPT;
    for (size_t f = 0; f < DHT_FAMILIES; f++)
        memcpy(out->own[f].bytes, in.data + HEADER_SIZE + f * DHT_ID_SIZE, DHT_ID_SIZE);
    for (size_t i = 0; i < count; i++)
        if (!read_node(in.data + NODES_AT + i * NODE_SIZE, &out->nodes[i]))
            return GRID_ECORRUPT;
    out->count = count;
    return 0;
}
