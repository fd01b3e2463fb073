/* A header, entries back to back, a checksum; and a table over them by name and inode. Integers are big-endian and of fixed size. */
#include "fs/stat_cache.h"

#include <endian.h>
#include <stdlib.h>

#include "base/err.h"
#include "base/crc32c.h"

#define CHECKSUM_BYTES 4u
#define FIXED_BYTES (2 * 8u + 2 * 12u + OBJECT_ID_BYTES) /* inode, size, both times, id */
/* FAT's times are even seconds; every other file system is finer. */
#define COARSEST_CLOCK_S 2
#define NANOSECONDS 1000000000u
/* An entry that finds no place within so many slots is not found again: names cannot be chosen so that looking them up takes long. */
#define PROBES_MAX 64
#define CHUNKS_MAX (OBJECT_LISTING_MAX / (OBJECT_ID_BYTES + 4u))

static const uint8_t magic[8] = {'G', 'R', 'I', 'D', 'S', 'T', 'A', 1};

/* ---- decoding ---- */

static bool take_u32(struct slice *in, uint32_t *out)
{
    uint64_t wide;
    if (!slice_take_uint(in, sizeof *out, &wide))
        return false;
    *out = (uint32_t) wide;
    return true;
}

static bool take_head(struct slice *in, struct stat_cache_head *out)
{
    return take_u32(in, &out->chunker.min_bytes) && take_u32(in, &out->chunker.average_bytes) && take_u32(in, &out->chunker.max_bytes) &&
           slice_take_uint(in, 8, &out->chunker.seed) && slice_take_uint(in, 8, &out->device);
}

static uint64_t u64_at(const uint8_t *at)
{
    uint64_t value;
    memcpy(&value, at, sizeof value);
    return be64toh(value);
}

static bool time_at(const uint8_t *at, struct timespec *out)
{
    uint32_t nanoseconds;
    memcpy(&nanoseconds, at + 8, sizeof nanoseconds);
    *out = (struct timespec){.tv_sec = (time_t) u64_at(at), .tv_nsec = (long) be32toh(nanoseconds)};
    return (uint64_t) out->tv_nsec < NANOSECONDS;
}

static bool take_name(struct slice *in, struct slice *out)
{
    uint64_t size;
    return slice_take_uint(in, 1, &size) && slice_take(in, (size_t) size, out) && manifest_name_valid(*out);
}

/* Of a long file alone. */
static bool take_chunks(struct slice *in, struct slice *out)
{
    uint32_t count;
    return take_u32(in, &count) && count >= 2 && count <= CHUNKS_MAX && slice_take(in, (size_t) count * OBJECT_ID_BYTES, out);
}

/* What every entry has behind its name: a tree of many files is read at every publish. */
static bool take_fixed(struct slice *in, struct stat_cache_entry *out)
{
    struct slice fixed;
    if (!slice_take(in, FIXED_BYTES, &fixed))
        return false;
    out->stamp.inode = u64_at(fixed.data);
    out->stamp.size = u64_at(fixed.data + 8);
    memcpy(out->id.bytes, fixed.data + 40, OBJECT_ID_BYTES);
    return time_at(fixed.data + 16, &out->stamp.modified) && time_at(fixed.data + 28, &out->stamp.changed);
}

static bool take_entry(struct slice *in, struct stat_cache_entry *out)
{
    uint64_t kind;
    *out = (struct stat_cache_entry){0};
    if (!slice_take_uint(in, 1, &kind) || (kind != MANIFEST_FILE && kind != MANIFEST_LONG_FILE) || !take_name(in, &out->name) || !take_fixed(in, out))
        return false;
    out->kind = (enum manifest_kind) kind;
    return kind == MANIFEST_FILE ? out->stamp.size <= OBJECT_CHUNK_MAX : take_chunks(in, &out->chunks);
}

/* ---- the table ---- */

static uint32_t slot_of(const struct stat_cache *c, struct slice name, uint64_t inode)
{
    uint64_t hash = inode * UINT64_C(0x9e3779b97f4a7c15);
    for (size_t i = 0; i < name.size; i++)
        hash = (hash ^ name.data[i]) * UINT64_C(0x100000001b3); /* FNV-1a */
    return (uint32_t) (hash >> 32) & (c->slot_count - 1);
}

static int table_create(struct stat_cache *c)
{
    c->slot_count = 16;
    while (c->slot_count < c->count + c->count / 2)
        c->slot_count *= 2;
    c->slots = calloc(c->slot_count, sizeof *c->slots);
    return c->slots ? 0 : GRID_ENOMEM;
}

/* Of an entry that was read once: kind, size of the name, name, inode. */
static bool entry_is(const struct stat_cache *c, size_t at, struct slice name, uint64_t inode)
{
    const uint8_t *entry = c->bytes.data + at;
    return entry[1] == name.size && memcmp(entry + 2, name.data, name.size) == 0 && u64_at(entry + 2 + name.size) == inode;
}

/* The slot of an entry of this name and inode, or the free one where it belongs; slot_count when neither is near. */
static uint32_t table_probe(const struct stat_cache *c, struct slice name, uint64_t inode)
{
    uint32_t slot = slot_of(c, name, inode);
    for (unsigned i = 0; i < PROBES_MAX; i++, slot = (slot + 1) & (c->slot_count - 1))
        if (c->slots[slot] == 0 || entry_is(c, (size_t) c->slots[slot] - 1, name, inode))
            return slot;
    return c->slot_count;
}

/* Of two with one name and inode, which hard links in two folders are, the first one stays. */
static void table_add(struct stat_cache *c, const struct stat_cache_entry *e, size_t at)
{
    uint32_t slot = table_probe(c, e->name, e->stamp.inode);
    if (slot < c->slot_count && c->slots[slot] == 0)
        c->slots[slot] = (uint32_t) at + 1;
}

/* Every entry is read once here, so that reading it again cannot fail. */
static int table_fill(struct stat_cache *c)
{
    struct stat_cache_entry entry;
    struct slice rest = c->bytes;
    for (uint32_t i = 0; i < c->count; i++) {
        size_t at = c->bytes.size - rest.size;
        if (!take_entry(&rest, &entry))
            return GRID_EPROTO;
        table_add(c, &entry, at);
    }
    return rest.size == 0 ? 0 : GRID_EPROTO;
}

/* Takes header and checksum off; `content` becomes the entries. */
static int open_frame(struct slice *content, struct stat_cache *out)
{
    struct slice begin;
    uint32_t checksum;
    if (content->size > STAT_CACHE_BYTES_MAX || content->size < sizeof magic + CHECKSUM_BYTES)
        return GRID_EPROTO;
    struct slice covered = slice_first(*content, content->size - CHECKSUM_BYTES), end = slice_from(*content, covered.size);
    if (memcmp(content->data, magic, sizeof magic - 1) != 0)
        return GRID_EPROTO;
    if (content->data[sizeof magic - 1] != magic[sizeof magic - 1])
        return GRID_EUNSUPPORTED;
    if (!take_u32(&end, &checksum) || checksum != crc32c(0, covered))
        return GRID_ECORRUPT;
    *content = covered;
    bool sound = slice_take(content, sizeof magic, &begin) && take_head(content, &out->head) && take_u32(content, &out->count);
    return sound && out->count <= MANIFEST_ENTRIES_MAX ? 0 : GRID_EPROTO;
}

int stat_cache_open(struct slice content, struct stat_cache *out)
{
    *out = (struct stat_cache){0};
    int err = open_frame(&content, out);
    out->bytes = content;
    if (err == 0)
        err = table_create(out);
    if (err == 0)
        err = table_fill(out);
    if (err != 0)
        stat_cache_dispose(out);
    return err;
}

void stat_cache_dispose(struct stat_cache *c)
{
    free(c->slots);
    *c = (struct stat_cache){0};
}

bool stat_cache_find(const struct stat_cache *c, struct slice name, const struct scan_stamp *stamp, struct stat_cache_entry *out)
{
    if (c->count == 0)
        return false;
    uint32_t slot = table_probe(c, name, stamp->inode);
    size_t at = slot < c->slot_count ? (size_t) c->slots[slot] : 0;
    return at-- > 0 && stat_cache_next(c, &at, out) && scan_stamp_equal(&out->stamp, stamp);
}

bool stat_cache_next(const struct stat_cache *c, size_t *at, struct stat_cache_entry *out)
{
    struct slice rest = slice_from(c->bytes, *at);
    if (!take_entry(&rest, out))
        return false;
    out->stamp.device = c->head.device;
    *at = c->bytes.size - rest.size;
    return true;
}

/* ---- encoding ---- */

static void keep(struct stat_cache_writer *w, int err)
{
    if (w->err == 0)
        w->err = err;
}

static void put_u32(struct stat_cache_writer *w, uint32_t value)
{
    keep(w, buf_append_u32be(w->out, value));
}

static void put_u64(struct stat_cache_writer *w, uint64_t value)
{
    keep(w, buf_append_u64be(w->out, value));
}

static void put_time(struct stat_cache_writer *w, struct timespec time)
{
    put_u64(w, (uint64_t) time.tv_sec);
    put_u32(w, (uint32_t) time.tv_nsec);
}

void stat_cache_begin(struct stat_cache_writer *w, struct buf *out, const struct stat_cache_head *head)
{
    *w = (struct stat_cache_writer){.out = out, .begin_at = out->size};
    keep(w, buf_append(out, slice_of(magic, sizeof magic)));
    put_u32(w, head->chunker.min_bytes);
    put_u32(w, head->chunker.average_bytes);
    put_u32(w, head->chunker.max_bytes);
    put_u64(w, head->chunker.seed);
    put_u64(w, head->device);
    put_u32(w, 0); /* the count */
}

static bool entry_sound(const struct stat_cache_entry *e)
{
    size_t count = e->chunks.size / OBJECT_ID_BYTES;
    bool one = e->kind == MANIFEST_FILE && e->chunks.size == 0 && e->stamp.size <= OBJECT_CHUNK_MAX;
    bool many = e->kind == MANIFEST_LONG_FILE && count >= 2 && count <= CHUNKS_MAX && e->chunks.size % OBJECT_ID_BYTES == 0;
    return (one || many) && manifest_name_valid(e->name);
}

void stat_cache_add(struct stat_cache_writer *w, const struct stat_cache_entry *e)
{
    if (w->err != 0)
        return;
    keep(w, !entry_sound(e) ? GRID_EINVAL : w->count == MANIFEST_ENTRIES_MAX ? GRID_ELIMIT : 0);
    keep(w, buf_append_byte(w->out, (uint8_t) e->kind));
    keep(w, buf_append_byte(w->out, (uint8_t) e->name.size));
    keep(w, buf_append(w->out, e->name));
    put_u64(w, e->stamp.inode);
    put_u64(w, e->stamp.size);
    put_time(w, e->stamp.modified);
    put_time(w, e->stamp.changed);
    keep(w, buf_append(w->out, slice_of(e->id.bytes, OBJECT_ID_BYTES)));
    if (e->kind == MANIFEST_LONG_FILE) {
        put_u32(w, (uint32_t) (e->chunks.size / OBJECT_ID_BYTES));
        keep(w, buf_append(w->out, e->chunks));
    }
    w->count++;
}

int stat_cache_end(struct stat_cache_writer *w)
{
    enum { COUNT_AT = sizeof magic + 3 * 4 + 2 * 8 };
    if (w->err != 0)
        return w->err;
    for (unsigned i = 0; i < 4; i++)
        w->out->data[w->begin_at + COUNT_AT + i] = (uint8_t) (w->count >> (24 - 8 * i));
    put_u32(w, crc32c(0, slice_from(buf_slice(w->out), w->begin_at)));
    if (w->err == 0 && w->out->size - w->begin_at > STAT_CACHE_BYTES_MAX)
        w->err = GRID_ELIMIT;
    return w->err;
}

/* ---- trust ---- */

static bool older(struct timespec time, struct timespec now)
{
    struct timespec limit = {.tv_sec = now.tv_sec - COARSEST_CLOCK_S, .tv_nsec = now.tv_nsec};
    return time.tv_sec < limit.tv_sec || (time.tv_sec == limit.tv_sec && time.tv_nsec < limit.tv_nsec);
}

bool stat_cache_trusts(const struct scan_stamp *stamp, struct timespec now)
{
    return older(stamp->modified, now) && older(stamp->changed, now);
}
