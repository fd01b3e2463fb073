/* Eight frames by hand, in protobuf's wire format: a tag is a field's number and its type in one byte, numbers and lengths are varints, and a field that is 0 or
 * empty is left out. */
#include "discovery/gossip_quick.h"

#include "api/pb_reader.h"
#include "base/err.h"

enum {
    HASH_BYTES = 8,
    SHORT_MAX = 64, /* a Ping or an Ack: tags and lengths, five numbers */
    ABOUT_MAX = MEMBER_ID_SIZE + 32,
    TAG_PING = 2 << 3 | 2,
    TAG_ACK = 3 << 3 | 2,
    TAG_TABLE = 4 << 3 | 2,
    TAG_DIGEST = 11 << 3 | 2,
    TAG_SUMMARY = 12 << 3 | 2,
    /* of Ping and Ack */
    TAG_SEQUENCE = 1 << 3,
    TAG_SENT_AT = 2 << 3,
    TAG_NUMBERS = 3 << 3 | 2,
    /* of Load */
    TAG_IN_FLIGHT = 1 << 3,
    TAG_CPU_PERCENT = 2 << 3,
    TAG_QUEUED = 3 << 3,
    /* of MemberTable and MemberEntry */
    TAG_ENTRY = 1 << 3 | 2,
    TAG_STATE = 2 << 3,
    TAG_SEALED = 3 << 3 | 2,
    TAG_LOAD = 4 << 3 | 2,
    TAG_MET = 5 << 3,
    /* of ViewDigest, ViewSummary and MemberVersion */
    TAG_HASH = 1 << 3 | 1,
    TAG_MEMBERS = 2 << 3,
    TAG_VERSION = 1 << 3 | 2,
    TAG_LAST = 2 << 3,
    TAG_ID = 1 << 3 | 2,
    TAG_INCARNATION = 2 << 3,
    TAG_REVISION = 3 << 3,
    TAG_VERSION_STATE = 4 << 3,
    STATE_BYTES = 2,
    STATE_FIRST = MEMBER_ALIVE + 1, /* 0 on the wire is none */
    STATE_LAST = MEMBER_LEFT + 1,
};

/* The frames about somebody: the tags of what is in them, 0 for what is not. */
struct about {
    enum gossip_kind kind;
    uint8_t tag, news, target, incarnation, refused;
};

static const struct about ABOUT[] = {
    {GOSSIP_PROBE, .tag = 6 << 3 | 2, .target = 1 << 3 | 2},
    {GOSSIP_WITNESS, .tag = 7 << 3 | 2, .target = 1 << 3 | 2, .incarnation = 2 << 3, .refused = 3 << 3},
    {GOSSIP_NEWS, .tag = 10 << 3 | 2, .news = 1 << 3, .target = 2 << 3 | 2, .incarnation = 3 << 3},
};
enum { ABOUT_COUNT = sizeof ABOUT / sizeof ABOUT[0], NEWS_FIRST = GOSSIP_NEWS_STALLED + 1, NEWS_LAST = GOSSIP_NEWS_SUSPECT + 1 };

static const struct about *about_of(enum gossip_kind kind)
{
    const struct about *row = NULL;
    for (size_t i = 0; i < ABOUT_COUNT && !row; i++)
        row = ABOUT[i].kind == kind ? &ABOUT[i] : NULL;
    return row;
}

static const struct about *about_tagged(uint8_t tag)
{
    const struct about *row = NULL;
    for (size_t i = 0; i < ABOUT_COUNT && !row; i++)
        row = ABOUT[i].tag == tag ? &ABOUT[i] : NULL;
    return row;
}

/* ---- packing ---- */

static uint8_t *put_number(uint8_t *at, uint8_t tag, uint64_t number)
{
    if (number == 0)
        return at;
    *at++ = tag;
    return pb_varint_put(at, number);
}

/* Fewer than 128 bytes stand behind `begin`, which has room for their tag and length. */
static void put_short_length(uint8_t *begin, uint8_t tag, const uint8_t *end)
{
    begin[0] = tag;
    begin[1] = (uint8_t) (end - begin - 2);
}

static int pack_short(const struct gossip_frame *frame, struct buf *out)
{
    uint8_t bytes[SHORT_MAX], *end = put_number(bytes + 2, TAG_SEQUENCE, frame->sequence);
    end = put_number(end, TAG_SENT_AT, frame->sent_at_ms);
    if (frame->kind == GOSSIP_ACK) {
        uint8_t *numbers = end;
        end = put_number(numbers + 2, TAG_IN_FLIGHT, frame->loaded.in_flight);
        end = put_number(end, TAG_CPU_PERCENT, frame->loaded.cpu_percent);
        end = put_number(end, TAG_QUEUED, frame->loaded.queued);
        put_short_length(numbers, TAG_NUMBERS, end);
    }
    put_short_length(bytes, frame->kind == GOSSIP_ACK ? TAG_ACK : TAG_PING, end);
    return buf_append(out, slice_of(bytes, (size_t) (end - bytes)));
}

/* With a tag and a length before it. */
static size_t size_of_field(size_t size)
{
    return 1 + pb_varint_size(size) + size;
}

static size_t size_of_bytes(struct slice bytes)
{
    return bytes.size > 0 ? size_of_field(bytes.size) : 0;
}

static size_t size_of_number(uint64_t number)
{
    return number > 0 ? 1 + pb_varint_size(number) : 0;
}

static size_t size_of_entry(const struct gossip_entry *e)
{
    return STATE_BYTES + size_of_bytes(e->record) + size_of_bytes(e->load) + size_of_number(e->met);
}

static uint8_t *put_bytes(uint8_t *at, uint8_t tag, struct slice bytes)
{
    if (bytes.size == 0)
        return at;
    at = put_number(at, tag, bytes.size);
    memcpy(at, bytes.data, bytes.size);
    return at + bytes.size;
}

/* Who holds the tombstone of an evicted one too knows better than what is told. */
static uint64_t wire_state(enum member_state state)
{
    return (uint64_t) (state == MEMBER_EVICTED ? MEMBER_LEFT : state) + STATE_FIRST;
}

static uint8_t *put_entry(uint8_t *at, const struct gossip_entry *e)
{
    at = put_number(at, TAG_ENTRY, size_of_entry(e));
    at = put_number(at, TAG_STATE, wire_state(e->state));
    at = put_bytes(at, TAG_SEALED, e->record);
    at = put_bytes(at, TAG_LOAD, e->load);
    return put_number(at, TAG_MET, e->met);
}

/* Makes room in `out` for a field of so many bytes, which are to be put at *at. */
static int begin_great(struct buf *out, uint8_t tag, size_t inside, uint8_t **at)
{
    size_t size = size_of_field(inside);
    int err = size > GOSSIP_FRAME_MAX ? GRID_ELIMIT : buf_reserve(out, size);
    if (err != 0)
        return err;
    uint8_t *begin = out->data + out->size;
    *begin++ = tag;
    *at = pb_varint_put(begin, inside);
    out->size += size;
    return 0;
}

static int pack_table(const struct gossip_frame *frame, struct buf *out)
{
    size_t inside = 0;
    for (size_t i = 0; i < frame->entry_count; i++)
        inside += size_of_field(size_of_entry(&frame->entries[i]));
    uint8_t *at;
    int err = begin_great(out, TAG_TABLE, inside, &at);
    for (size_t i = 0; err == 0 && i < frame->entry_count; i++)
        at = put_entry(at, &frame->entries[i]);
    return err;
}

static int pack_digest(const struct gossip_frame *frame, struct buf *out)
{
    uint8_t bytes[SHORT_MAX], *end = bytes + 2;
    if (frame->view != 0) {
        *end++ = TAG_HASH;
        for (unsigned i = 0; i < HASH_BYTES; i++)
            *end++ = (uint8_t) (frame->view >> 8 * i);
    }
    end = put_number(end, TAG_MEMBERS, frame->view_count);
    put_short_length(bytes, TAG_DIGEST, end);
    return buf_append(out, slice_of(bytes, (size_t) (end - bytes)));
}

static size_t size_of_version(const struct gossip_version *v)
{
    return size_of_field(sizeof v->id) + size_of_number(v->incarnation) + size_of_number(v->revision) + STATE_BYTES;
}

static uint8_t *put_version(uint8_t *at, const struct gossip_version *v)
{
    at = put_number(at, TAG_VERSION, size_of_version(v));
    at = put_bytes(at, TAG_ID, slice_of(v->id, sizeof v->id));
    at = put_number(at, TAG_INCARNATION, v->incarnation);
    at = put_number(at, TAG_REVISION, v->revision);
    return put_number(at, TAG_VERSION_STATE, wire_state(v->state));
}

static int pack_summary(const struct gossip_frame *frame, struct buf *out)
{
    size_t inside = size_of_number(frame->last);
    for (size_t i = 0; i < frame->version_count; i++)
        inside += size_of_field(size_of_version(&frame->versions[i]));
    uint8_t *at;
    int err = begin_great(out, TAG_SUMMARY, inside, &at);
    for (size_t i = 0; err == 0 && i < frame->version_count; i++)
        at = put_version(at, &frame->versions[i]);
    if (err == 0)
        (void) put_number(at, TAG_LAST, frame->last);
    return err;
}

static int pack_about(const struct about *row, const struct gossip_frame *frame, struct buf *out)
{
    uint8_t bytes[ABOUT_MAX], *end = bytes + 2;
    if (row->news != 0)
        end = put_number(end, row->news, (uint64_t) frame->news + NEWS_FIRST);
    end = put_bytes(end, row->target, slice_of_str(frame->target));
    if (row->incarnation != 0)
        end = put_number(end, row->incarnation, frame->incarnation);
    if (row->refused != 0)
        end = put_number(end, row->refused, frame->refused);
    put_short_length(bytes, row->tag, end);
    return buf_append(out, slice_of(bytes, (size_t) (end - bytes)));
}

typedef int (*packer)(const struct gossip_frame *frame, struct buf *out);

static packer packer_of(enum gossip_kind kind)
{
    static const packer packers[GOSSIP_UNKNOWN + 1] = {
        [GOSSIP_PING] = pack_short, [GOSSIP_ACK] = pack_short, [GOSSIP_TABLE] = pack_table, [GOSSIP_DIGEST] = pack_digest, [GOSSIP_SUMMARY] = pack_summary};
    return packers[kind];
}

bool gossip_quick_can(const struct gossip_frame *frame)
{
    if (frame->kind == GOSSIP_NEWS && frame->observer[0] != '\0')
        return false;
    return packer_of(frame->kind) != NULL || about_of(frame->kind) != NULL;
}

int gossip_quick_pack(const struct gossip_frame *frame, struct buf *out)
{
    packer pack = packer_of(frame->kind);
    return pack ? pack(frame, out) : pack_about(about_of(frame->kind), frame, out);
}

/* ---- unpacking ---- */

static bool take_short(enum gossip_kind kind, struct slice inside, struct gossip_frame *out)
{
    struct pb_reader body = pb_reader_of(inside);
    struct slice numbers;
    uint64_t sequence = pb_reader_number(&body, TAG_SEQUENCE, UINT64_MAX), sent_at_ms = pb_reader_number(&body, TAG_SENT_AT, UINT64_MAX);
    if (kind == GOSSIP_ACK)
        (void) pb_reader_inside(&body, TAG_NUMBERS, &numbers);
    else
        numbers = slice_of(NULL, 0);
    struct pb_reader load = pb_reader_of(numbers);
    uint32_t in_flight = (uint32_t) pb_reader_number(&load, TAG_IN_FLIGHT, UINT32_MAX);
    uint32_t cpu_percent = (uint32_t) pb_reader_number(&load, TAG_CPU_PERCENT, UINT32_MAX);
    uint32_t queued = (uint32_t) pb_reader_number(&load, TAG_QUEUED, UINT32_MAX);
    if (!pb_reader_done(&body) || !pb_reader_done(&load))
        return false;
    out->kind = kind;
    out->sequence = sequence;
    out->sent_at_ms = sent_at_ms;
    out->loaded = (struct member_load){.in_flight = in_flight, .queued = queued, .cpu_percent = cpu_percent};
    return true;
}

/* How many; 0 when there are others too, or none. */
static size_t count_entries(struct slice table)
{
    struct pb_reader r = pb_reader_of(table);
    struct slice entry;
    size_t count = 0;
    while (pb_reader_inside(&r, TAG_ENTRY, &entry))
        count++;
    return pb_reader_done(&r) && count <= GOSSIP_ENTRIES_MAX ? count : 0;
}

static bool take_entry(struct slice inside, struct gossip_entry *out)
{
    struct pb_reader r = pb_reader_of(inside);
    uint64_t state = pb_reader_number(&r, TAG_STATE, STATE_LAST);
    *out = (struct gossip_entry){0};
    (void) pb_reader_inside(&r, TAG_SEALED, &out->record);
    (void) pb_reader_inside(&r, TAG_LOAD, &out->load);
    out->met = pb_reader_number(&r, TAG_MET, 1) != 0;
    if (!pb_reader_done(&r) || state < STATE_FIRST)
        return false;
    out->state = (enum member_state) (state - STATE_FIRST);
    return true;
}

static bool take_table(struct slice inside, struct arena *arena, struct gossip_frame *out)
{
    size_t count = count_entries(inside);
    struct gossip_entry *entries = count > 0 ? arena_alloc(arena, count * sizeof *entries) : NULL;
    struct pb_reader r = pb_reader_of(inside);
    struct slice entry;
    for (size_t i = 0; entries && i < count; i++)
        if (!pb_reader_inside(&r, TAG_ENTRY, &entry) || !take_entry(entry, &entries[i]))
            return false;
    if (!entries)
        return false;
    out->kind = GOSSIP_TABLE;
    out->entries = entries;
    out->entry_count = count;
    return true;
}

static uint64_t take_hash(struct pb_reader *r)
{
    uint64_t hash = 0;
    if (r->at == r->end || *r->at != TAG_HASH)
        return 0;
    r->fine &= r->end - r->at > HASH_BYTES;
    for (unsigned i = 0; r->fine && i < HASH_BYTES; i++)
        hash |= (uint64_t) r->at[1 + i] << 8 * i;
    r->at = r->fine ? r->at + 1 + HASH_BYTES : r->end;
    return hash;
}

static bool take_digest(struct slice inside, struct gossip_frame *out)
{
    struct pb_reader body = pb_reader_of(inside);
    uint64_t view = take_hash(&body), count = pb_reader_number(&body, TAG_MEMBERS, UINT32_MAX);
    if (!pb_reader_done(&body))
        return false;
    out->kind = GOSSIP_DIGEST;
    out->view = view;
    out->view_count = (uint32_t) count;
    return true;
}

static bool take_version(struct slice inside, struct gossip_version *out)
{
    struct pb_reader r = pb_reader_of(inside);
    struct slice id;
    (void) pb_reader_inside(&r, TAG_ID, &id);
    out->incarnation = pb_reader_number(&r, TAG_INCARNATION, MEMBER_INCARNATION_LIMIT - 1);
    out->revision = pb_reader_number(&r, TAG_REVISION, UINT64_MAX);
    uint64_t state = pb_reader_number(&r, TAG_VERSION_STATE, STATE_LAST);
    if (!pb_reader_done(&r) || id.size != sizeof out->id || state < STATE_FIRST)
        return false;
    memcpy(out->id, id.data, sizeof out->id);
    out->state = (enum member_state) (state - STATE_FIRST);
    return true;
}

static bool take_summary(struct slice inside, struct arena *arena, struct gossip_frame *out)
{
    struct pb_reader r = pb_reader_of(inside);
    struct slice version;
    size_t count = 0;
    while (pb_reader_inside(&r, TAG_VERSION, &version))
        count++;
    uint64_t last = pb_reader_number(&r, TAG_LAST, 1);
    struct gossip_version *versions = pb_reader_done(&r) && count <= GOSSIP_VERSIONS_MAX ? arena_calloc(arena, count + 1, sizeof *versions) : NULL;
    r = pb_reader_of(inside);
    for (size_t i = 0; versions && i < count; i++)
        if (!pb_reader_inside(&r, TAG_VERSION, &version) || !take_version(version, &versions[i]))
            return false;
    if (!versions)
        return false;
    out->kind = GOSSIP_SUMMARY;
    out->last = last != 0;
    out->versions = versions;
    out->version_count = count;
    return true;
}

static bool take_about(const struct about *row, struct slice inside, struct gossip_frame *out)
{
    if (!row)
        return false;
    struct pb_reader body = pb_reader_of(inside);
    struct slice target;
    uint64_t news = row->news != 0 ? pb_reader_number(&body, row->news, NEWS_LAST) : NEWS_FIRST;
    (void) pb_reader_inside(&body, row->target, &target);
    uint64_t incarnation = row->incarnation != 0 ? pb_reader_number(&body, row->incarnation, UINT64_MAX) : 0;
    uint64_t refused = row->refused != 0 ? pb_reader_number(&body, row->refused, 1) : 0;
    if (!pb_reader_done(&body) || news < NEWS_FIRST || !member_id_valid(target))
        return false;
    out->kind = row->kind;
    out->news = (enum gossip_news) (news - NEWS_FIRST);
    memcpy(out->target, target.data, target.size);
    out->incarnation = incarnation;
    out->refused = refused != 0;
    return true;
}

bool gossip_quick_unpack(struct slice bytes, struct arena *arena, struct gossip_frame *out)
{
    struct pb_reader frame = pb_reader_of(bytes);
    struct slice inside;
    uint8_t tag = bytes.size > 0 ? bytes.data[0] : 0;
    if (!pb_reader_inside(&frame, tag, &inside) || !pb_reader_done(&frame))
        return false;
    switch (tag) {
    case TAG_PING: return take_short(GOSSIP_PING, inside, out);
    case TAG_ACK: return take_short(GOSSIP_ACK, inside, out);
    case TAG_TABLE: return take_table(inside, arena, out);
    case TAG_DIGEST: return take_digest(inside, out);
    case TAG_SUMMARY: return take_summary(inside, arena, out);
    default: return take_about(about_tagged(tag), inside, out);
    }
}
