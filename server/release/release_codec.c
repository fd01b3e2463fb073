/* Release entries on the wire, and which of them are known. */
#include "server/release/release_codec.h"

#include <stdio.h>
#include <string.h>

#include "api/pb.h"
#include "base/err.h"
#include "grid/v1/sync.pb-c.h"

int release_entry_pack(const struct release_entry *e, struct buf *out)
{
    Grid__V1__ReleaseEntry m = GRID__V1__RELEASE_ENTRY__INIT;
    m.app = pb_bytes(e->app);
    m.sequence = e->sequence;
    m.root = pb_bytes(slice_of(e->root.bytes, sizeof e->root.bytes));
    m.config_hash = pb_bytes(slice_of(e->config_hash, sizeof e->config_hash));
    if (e->has_parent)
        m.parent = pb_bytes(slice_of(e->parent.bytes, sizeof e->parent.bytes));
    m.publisher = pb_bytes(e->publisher);
    m.published_at_ms = e->published_at_ms;
    m.config = pb_bytes(e->config);
    m.signature = pb_bytes(e->signature);
    m.certificate = pb_bytes(e->certificate);
    m.files = e->files;
    m.size_bytes = e->size_bytes;
    return pb_append(out, &m.base);
}

int release_entry_unpack(struct slice packed, struct arena *arena, struct release_entry *out)
{
    const Grid__V1__ReleaseEntry *m = pb_unpack(&grid__v1__release_entry__descriptor, arena, packed);
    if (!m || object_id_from_slice(pb_slice(m->root), &out->root) != 0 || m->config_hash.len != sizeof out->config_hash)
        return GRID_EPROTO;
    out->has_parent = m->parent.len > 0;
    if (out->has_parent && object_id_from_slice(pb_slice(m->parent), &out->parent) != 0)
        return GRID_EPROTO;
    memcpy(out->config_hash, m->config_hash.data, sizeof out->config_hash);
    out->app = pb_slice(m->app);
    out->sequence = m->sequence;
    out->publisher = pb_slice(m->publisher);
    out->published_at_ms = m->published_at_ms;
    out->config = pb_slice(m->config);
    out->signature = pb_slice(m->signature);
    out->certificate = pb_slice(m->certificate);
    out->files = m->files;
    out->size_bytes = m->size_bytes;
    return release_entry_check(out);
}

/* ---- which are known ---- */

bool entry_key_is(const struct entry_key *key, const struct release_entry *e)
{
    return key->sequence == e->sequence && slice_equal_str(e->publisher, key->publisher);
}

void entry_key_set(struct entry_key *key, const struct release_entry *e)
{
    key->sequence = e->sequence;
    snprintf(key->publisher, sizeof key->publisher, "%.*s", SLICE_FMT(e->publisher));
}

int history_request_pack(const struct entry_key *known, size_t count, struct buf *out)
{
    Grid__V1__HistoryRequest m = GRID__V1__HISTORY_REQUEST__INIT;
    Grid__V1__ReleaseKey keys[HISTORY_KNOWN_MAX], *list[HISTORY_KNOWN_MAX];
    if (count > HISTORY_KNOWN_MAX)
        return GRID_ELIMIT;
    for (size_t i = 0; i < count; i++) {
        grid__v1__release_key__init(list[i] = &keys[i]);
        keys[i].sequence = known[i].sequence;
        keys[i].publisher = pb_bytes(slice_of_str(known[i].publisher));
    }
    m.known = list;
    m.n_known = count;
    return pb_append(out, &m.base);
}

int history_request_unpack(struct slice packed, struct arena *arena, struct entry_key known[HISTORY_KNOWN_MAX], size_t *count)
{
    const Grid__V1__HistoryRequest *m = pb_unpack(&grid__v1__history_request__descriptor, arena, packed);
    *count = 0;
    if (!m)
        return GRID_EPROTO;
    if (m->n_known > HISTORY_KNOWN_MAX)
        return GRID_ELIMIT;
    for (size_t i = 0; i < m->n_known; i++) {
        struct slice publisher = pb_slice(m->known[i]->publisher);
        if (publisher.size > RELEASE_PUBLISHER_MAX)
            return GRID_ELIMIT;
        known[i].sequence = m->known[i]->sequence;
        snprintf(known[i].publisher, sizeof known[i].publisher, "%.*s", SLICE_FMT(publisher));
    }
    *count = m->n_known;
    return 0;
}
