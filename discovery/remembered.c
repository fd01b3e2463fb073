/* The table in memory is the file's: a header, members with their addresses, a checksum. */
#include "discovery/remembered.h"

#include <stdio.h>
#include <string.h>

#include "base/crc32c.h"
#include "base/err.h"
#include "base/hex.h"
#include "net/addr.h"

enum { VERSION = 1, CHECKSUM_SIZE = 4 };

static const char MAGIC[] = "GPRS";

/* ---- what is kept ---- */

static struct remembered_peer *find(struct remembered *r, const char *id)
{
    for (size_t i = 0; i < r->count; i++)
        if (strcmp(r->peers[i].id, id) == 0)
            return &r->peers[i];
    return NULL;
}

/* NULL when all others were here lately. */
static struct remembered_peer *make_room(struct remembered *r, int64_t now_s)
{
    struct remembered_peer *oldest = r->peers;
    if (r->count < REMEMBERED_MAX)
        return &r->peers[r->count++];
    for (size_t i = 1; i < r->count; i++)
        if (r->peers[i].seen_s < oldest->seen_s)
            oldest = &r->peers[i];
    return now_s - oldest->seen_s >= REMEMBERED_YIELDS_S ? oldest : NULL;
}

static bool is_address(struct slice text)
{
    struct slice host;
    uint16_t port;
    if (text.size == 0 || text.size > HINT_ADDRESS_MAX || addr_split(text, &host, &port) != 0 || host.size == 0 || port == 0)
        return false;
    for (size_t i = 0; i < text.size; i++)
        if (text.data[i] <= ' ' || text.data[i] > '~')
            return false;
    return true;
}

static bool has_address(const struct remembered_peer *p, const char *address)
{
    for (size_t i = 0; i < p->address_count; i++)
        if (strcmp(p->addresses[i], address) == 0)
            return true;
    return false;
}

/* What stands there twice counts once. */
static void take_addresses(struct remembered_peer *p, const char *const *addresses, size_t count)
{
    p->address_count = 0;
    for (size_t i = 0; i < count && p->address_count < REMEMBERED_ADDRESSES_MAX; i++)
        if (is_address(slice_of_str(addresses[i])) && !has_address(p, addresses[i]))
            snprintf(p->addresses[p->address_count++], sizeof p->addresses[0], "%s", addresses[i]);
}

static bool same_addresses(const struct remembered_peer *a, const struct remembered_peer *b)
{
    bool same = a->address_count == b->address_count;
    for (size_t i = 0; same && i < a->address_count; i++)
        same = strcmp(a->addresses[i], b->addresses[i]) == 0;
    return same;
}

bool remembered_see(struct remembered *r, const char *id, const char *const *addresses, size_t count, int64_t now_s)
{
    struct remembered_peer seen = {.seen_s = now_s}, *known = find(r, id);
    snprintf(seen.id, sizeof seen.id, "%s", id);
    take_addresses(&seen, addresses, count);
    if (seen.address_count == 0)
        return false;
    bool news = !known || !same_addresses(known, &seen) || now_s - known->seen_s >= REMEMBERED_RENEW_S;
    if (!known && !(known = make_room(r, now_s)))
        return false;
    *known = seen;
    return news;
}

bool remembered_forget(struct remembered *r, const char *id)
{
    struct remembered_peer *known = find(r, id);
    if (known)
        *known = r->peers[--r->count];
    return known != NULL;
}

bool remembered_age(struct remembered *r, int64_t now_s)
{
    size_t before = r->count;
    for (size_t i = r->count; i-- > 0;)
        if (now_s - r->peers[i].seen_s >= REMEMBERED_LASTS_S)
            r->peers[i] = r->peers[--r->count];
    return r->count != before;
}

/* ---- bytes ---- */

static int append_text(struct buf *out, const char *text)
{
    int err = buf_append_byte(out, (uint8_t) strlen(text));
    return err == 0 ? buf_append_str(out, text) : err;
}

static int append_peer(struct buf *out, const struct remembered_peer *p)
{
    uint8_t id[MEMBER_ID_BYTES];
    member_id_bytes(p->id, id, sizeof id);
    int err = buf_append(out, slice_of(id, sizeof id));
    if (err == 0)
        err = buf_append_u64be(out, (uint64_t) p->seen_s);
    if (err == 0)
        err = buf_append_byte(out, (uint8_t) p->address_count);
    for (size_t i = 0; err == 0 && i < p->address_count; i++)
        err = append_text(out, p->addresses[i]);
    return err;
}

int remembered_pack(const struct remembered *r, struct buf *out)
{
    size_t before = out->size;
    int err = buf_append_str(out, MAGIC);
    if (err == 0)
        err = buf_append_u16be(out, VERSION);
    if (err == 0)
        err = append_text(out, r->grid);
    if (err == 0)
        err = append_text(out, r->authority);
    if (err == 0)
        err = buf_append_u16be(out, (uint16_t) r->count);
    for (size_t i = 0; err == 0 && i < r->count; i++)
        err = append_peer(out, &r->peers[i]);
    return err == 0 ? buf_append_u32be(out, crc32c(0, slice_from(buf_slice(out), before))) : err;
}

/* `size` is that of `out`, with its NUL. */
static bool take_text(struct slice *in, char *out, size_t size)
{
    uint64_t length;
    struct slice text;
    if (!slice_take_uint(in, 1, &length) || length >= size || !slice_take(in, (size_t) length, &text) || (length > 0 && memchr(text.data, '\0', text.size)))
        return false;
    snprintf(out, size, "%.*s", SLICE_FMT(text));
    return true;
}

static bool take_peer(struct slice *in, struct remembered_peer *out)
{
    struct slice id;
    uint64_t seen, count;
    if (!slice_take(in, MEMBER_ID_BYTES, &id) || !slice_take_uint(in, 8, &seen) || seen > INT64_MAX / 2 || !slice_take_uint(in, 1, &count))
        return false;
    if (count == 0 || count > REMEMBERED_ADDRESSES_MAX)
        return false;
    hex_encode(id, out->id);
    out->seen_s = (int64_t) seen;
    out->address_count = (size_t) count;
    for (size_t i = 0; i < count; i++)
        if (!take_text(in, out->addresses[i], sizeof out->addresses[i]) || !is_address(slice_of_str(out->addresses[i])))
            return false;
    return true;
}

static bool has_checksum(struct slice in)
{
    struct slice end = slice_from(in, in.size - CHECKSUM_SIZE);
    uint64_t crc = 0;
    return slice_take_uint(&end, CHECKSUM_SIZE, &crc) && crc == crc32c(0, slice_first(in, in.size - CHECKSUM_SIZE));
}

static bool take_all(struct slice in, struct remembered *out)
{
    uint64_t count;
    if (!take_text(&in, out->grid, sizeof out->grid) || !take_text(&in, out->authority, sizeof out->authority) || !slice_take_uint(&in, 2, &count) || count > REMEMBERED_MAX)
        return false;
    if (out->authority[0] != '\0' && !member_id_valid(slice_of_str(out->authority)))
        return false;
    for (; out->count < count; out->count++)
        if (!take_peer(&in, &out->peers[out->count]) || find(out, out->peers[out->count].id))
            return false;
    return in.size == 0;
}

int remembered_unpack(struct slice in, struct remembered *out)
{
    struct slice body = in, magic;
    uint64_t version;
    *out = (struct remembered){0};
    if (in.size < sizeof MAGIC - 1 + 2 + CHECKSUM_SIZE || !slice_take(&body, sizeof MAGIC - 1, &magic) || !slice_equal_str(magic, MAGIC) || !slice_take_uint(&body, 2, &version))
        return GRID_ECORRUPT;
    if (version != VERSION)
        return GRID_EUNSUPPORTED;
    if (has_checksum(in) && take_all(slice_first(body, body.size - CHECKSUM_SIZE), out))
        return 0;
    *out = (struct remembered){0};
    return GRID_ECORRUPT;
}
