/* Frames to bytes and back: one packer and one taker per kind, in a table and a switch by kind; the commonest by gossip_quick.c. */
#include "discovery/gossip_frame.h"

#include <stdlib.h>
#include <string.h>

#include "api/pb.h"
#include "base/err.h"
#include "discovery/gossip_quick.h"
#include "grid/v1/peer.pb-c.h"

static Grid__V1__MemberState state_to_wire(enum member_state state)
{
    if (state == MEMBER_EVICTED)
        state = MEMBER_LEFT; /* who holds the tombstone too knows better */
    static const Grid__V1__MemberState wire[] = {GRID__V1__MEMBER_STATE__MEMBER_STATE_ALIVE, GRID__V1__MEMBER_STATE__MEMBER_STATE_STALLED,
                                                 GRID__V1__MEMBER_STATE__MEMBER_STATE_DEAD, GRID__V1__MEMBER_STATE__MEMBER_STATE_LEFT};
    return wire[state];
}

static int state_from_wire(Grid__V1__MemberState wire, enum member_state *out)
{
    if (wire < GRID__V1__MEMBER_STATE__MEMBER_STATE_ALIVE || wire > GRID__V1__MEMBER_STATE__MEMBER_STATE_LEFT)
        return GRID_EPROTO;
    *out = (enum member_state) ((int) wire - 1);
    return 0;
}

/* ---- packing ---- */

static int pack_body(Grid__V1__GossipFrame *message, struct buf *out)
{
    size_t size = grid__v1__gossip_frame__get_packed_size(message);
    int err = size > GOSSIP_FRAME_MAX ? GRID_ELIMIT : buf_reserve(out, size);
    if (err == 0)
        out->size += grid__v1__gossip_frame__pack(message, out->data + out->size);
    return err;
}

static Grid__V1__MemberEntry entry_message(const struct gossip_entry *entry)
{
    Grid__V1__MemberEntry message = GRID__V1__MEMBER_ENTRY__INIT;
    message.sealed = pb_bytes(entry->record);
    message.load = pb_bytes(entry->load);
    message.met = entry->met;
    message.state = state_to_wire(entry->state);
    return message;
}

static int pack_hello(const struct gossip_frame *f, Grid__V1__GossipFrame *message, struct buf *out)
{
    Grid__V1__Hello hello = GRID__V1__HELLO__INIT;
    Grid__V1__MemberEntry self = entry_message(&f->entries[0]);
    ProtobufCBinaryData also[GOSSIP_ALSO_MAX];
    hello.authority = pb_bytes(f->authority);
    hello.grid = pb_bytes(f->grid);
    hello.protocol = f->protocol;
    hello.self = &self;
    for (size_t i = 0; i < f->also_count; i++)
        also[i] = pb_bytes(f->also[i]);
    hello.also = also;
    hello.n_also = f->also_count;
    message->body_case = GRID__V1__GOSSIP_FRAME__BODY_HELLO;
    message->hello = &hello;
    return pack_body(message, out);
}

static int pack_release(const struct gossip_frame *f, Grid__V1__GossipFrame *message, struct buf *out)
{
    message->body_case = GRID__V1__GOSSIP_FRAME__BODY_RELEASE;
    message->release = pb_bytes(f->release);
    return pack_body(message, out);
}

static int pack_refusal(const struct gossip_frame *f, Grid__V1__GossipFrame *message, struct buf *out)
{
    Grid__V1__Refusal refusal = GRID__V1__REFUSAL__INIT;
    refusal.code = (Grid__V1__Refusal__Code) f->refusal;
    refusal.reason = pb_bytes(f->reason);
    message->body_case = GRID__V1__GOSSIP_FRAME__BODY_REFUSAL;
    message->refusal = &refusal;
    return pack_body(message, out);
}

static int pack_ledger(const struct gossip_frame *f, Grid__V1__GossipFrame *message, struct buf *out)
{
    Grid__V1__Ledger ledger = GRID__V1__LEDGER__INIT;
    ledger.digest = pb_bytes(f->digest);
    ledger.packed = pb_bytes(f->ledger);
    ledger.last = f->last;
    message->body_case = GRID__V1__GOSSIP_FRAME__BODY_LEDGER;
    message->ledger = &ledger;
    return pack_body(message, out);
}

static int pack_news(const struct gossip_frame *f, Grid__V1__GossipFrame *message, struct buf *out)
{
    Grid__V1__News news = GRID__V1__NEWS__INIT;
    news.kind = (Grid__V1__News__Kind) ((int) f->news + 1);
    news.target = pb_bytes(slice_of_str(f->target));
    news.incarnation = f->incarnation;
    news.observer = pb_bytes(slice_of_str(f->observer));
    message->body_case = GRID__V1__GOSSIP_FRAME__BODY_NEWS;
    message->news = &news;
    return pack_body(message, out);
}

static int pack_load(const struct gossip_frame *f, Grid__V1__GossipFrame *message, struct buf *out)
{
    Grid__V1__MemberLoad load = GRID__V1__MEMBER_LOAD__INIT;
    load.id = pb_bytes(slice_of_str(f->target));
    load.load = pb_bytes(f->load);
    message->body_case = GRID__V1__GOSSIP_FRAME__BODY_LOAD;
    message->load = &load;
    return pack_body(message, out);
}

int gossip_frame_pack(const struct gossip_frame *frame, struct buf *out)
{
    static int (*const packers[])(const struct gossip_frame *, Grid__V1__GossipFrame *, struct buf *) = {
        [GOSSIP_HELLO] = pack_hello, [GOSSIP_RELEASE] = pack_release, [GOSSIP_REFUSAL] = pack_refusal, [GOSSIP_LEDGER] = pack_ledger,
        [GOSSIP_NEWS] = pack_news,   [GOSSIP_LOAD] = pack_load};
    if (gossip_quick_can(frame))
        return gossip_quick_pack(frame, out);
    Grid__V1__GossipFrame message = GRID__V1__GOSSIP_FRAME__INIT;
    return packers[frame->kind](frame, &message, out);
}

/* ---- unpacking ---- */

/* The message lives in the arena, and so do its bytes. */
static int take_slice(ProtobufCBinaryData from, size_t max, struct slice *out)
{
    *out = pb_slice(from);
    return from.len > max ? GRID_ELIMIT : 0;
}

static int take_target(ProtobufCBinaryData from, char out[MEMBER_ID_SIZE])
{
    if (!member_id_valid(slice_of(from.data, from.len)))
        return GRID_EPROTO;
    memcpy(out, from.data, from.len);
    return 0;
}

static int take_load(struct arena *arena, ProtobufCBinaryData from, struct slice *packed, struct member_load *out)
{
    int err = take_slice(from, MEMBER_LOAD_MAX, packed);
    return err != 0 ? err : member_load_unpack(*packed, arena, out);
}

/* Nothing of it is read again but whether the load is another one. */
static bool take_known(const struct gossip_known *known, struct slice load, struct gossip_entry *out)
{
    struct slice last;
    out->known = known ? known->find(known->ctx, out->record, &last) : NULL;
    if (!out->known)
        return false;
    if (slice_equal(load, last))
        out->load = slice_of(NULL, 0);
    return true;
}

int gossip_entry_read(struct arena *arena, struct gossip_entry *entry)
{
    struct member *member = arena_alloc(arena, sizeof *member);
    int err = member ? member_seal_unpack(entry->record, arena, &entry->seal) : GRID_ENOMEM;
    entry->known = NULL;
    entry->member = member;
    return err != 0 ? err : member_unpack(entry->seal.record, arena, member);
}

/* What its bytes say. */
static int read_entry(struct arena *arena, const struct gossip_known *known, struct gossip_entry *out)
{
    int err = out->record.size > MEMBER_SEALED_MAX || out->load.size > MEMBER_LOAD_MAX ? GRID_ELIMIT : 0;
    if (err == 0 && !take_known(known, out->load, out))
        err = gossip_entry_read(arena, out);
    if (err == 0 && out->load.size > 0)
        err = member_load_unpack(out->load, arena, &out->loaded);
    if (err == 0 && (out->known ? out->known->leaving : out->member->leaving))
        out->state = MEMBER_LEFT;
    else if (out->state == MEMBER_LEFT) /* not by its own word */
        out->state = MEMBER_DEAD;
    return err;
}

static int read_entries(struct arena *arena, const struct gossip_known *known, struct gossip_frame *out)
{
    int err = 0;
    for (size_t i = 0; err == 0 && i < out->entry_count; i++)
        err = read_entry(arena, known, &out->entries[i]);
    return err;
}

static int take_entries(Grid__V1__MemberEntry *const *from, size_t count, struct arena *arena, const struct gossip_known *known, struct gossip_frame *out)
{
    if (count > GOSSIP_ENTRIES_MAX)
        return GRID_ELIMIT;
    out->entries = arena_calloc(arena, count + 1, sizeof *out->entries);
    out->entry_count = count;
    int err = out->entries ? 0 : GRID_ENOMEM;
    for (size_t i = 0; err == 0 && i < count; i++) {
        out->entries[i].record = pb_slice(from[i]->sealed);
        out->entries[i].load = pb_slice(from[i]->load);
        out->entries[i].met = from[i]->met;
        err = state_from_wire(from[i]->state, &out->entries[i].state);
    }
    return err != 0 ? err : read_entries(arena, known, out);
}

static int copy_known(struct arena *arena, struct gossip_entry *entry)
{
    struct member *copy = arena_alloc(arena, sizeof *copy);
    if (!copy)
        return GRID_ENOMEM;
    *copy = *entry->known;
    entry->member = copy;
    return 0;
}

static int take_hello(const Grid__V1__Hello *hello, struct arena *arena, const struct gossip_known *known, struct gossip_frame *out)
{
    out->kind = GOSSIP_HELLO;
    out->protocol = hello->protocol;
    if (!hello->self)
        return GRID_EPROTO;
    if (hello->n_also > GOSSIP_ALSO_MAX)
        return GRID_ELIMIT;
    for (; out->also_count < hello->n_also; out->also_count++) {
        int bad = take_slice(hello->also[out->also_count], MEMBER_TEXT_MAX, &out->also[out->also_count]);
        if (bad != 0)
            return bad;
    }
    int err = take_slice(hello->authority, MEMBER_TEXT_MAX, &out->authority);
    if (err == 0)
        err = take_slice(hello->grid, MEMBER_TEXT_MAX, &out->grid);
    if (hello->protocol < GOSSIP_PROTOCOL_MIN) /* to be refused; its record looks otherwise */
        return err;
    if (err == 0)
        err = take_entries(&hello->self, 1, arena, known, out);
    return err == 0 && out->entries[0].known ? copy_known(arena, &out->entries[0]) : err;
}

static int take_ack(const Grid__V1__Ack *ack, struct gossip_frame *out)
{
    out->kind = GOSSIP_ACK;
    out->sequence = ack->sequence;
    out->sent_at_ms = ack->sent_at_ms;
    if (ack->load) {
        out->loaded.in_flight = ack->load->in_flight;
        out->loaded.queued = ack->load->queued;
        out->loaded.cpu_percent = ack->load->cpu_percent;
    }
    return 0;
}

static int take_refusal(const Grid__V1__Refusal *refusal, struct gossip_frame *out)
{
    out->kind = GOSSIP_REFUSAL;
    out->refusal = refusal->code >= 1 && refusal->code <= 5 ? (enum gossip_refusal) refusal->code : GOSSIP_REFUSAL_NONE;
    if (!slice_is_utf8(slice_of(refusal->reason.data, refusal->reason.len)))
        return GRID_EPROTO;
    return take_slice(refusal->reason, 256, &out->reason);
}

static int take_ledger(const Grid__V1__Ledger *ledger, struct gossip_frame *out)
{
    out->kind = GOSSIP_LEDGER;
    out->last = ledger->last;
    if (ledger->digest.len != GOSSIP_DIGEST_SIZE)
        return GRID_EPROTO;
    int err = take_slice(ledger->digest, GOSSIP_DIGEST_SIZE, &out->digest);
    return err == 0 && ledger->packed.len > 0 ? take_slice(ledger->packed, GOSSIP_FRAME_MAX, &out->ledger) : err;
}

static int take_news(const Grid__V1__News *news, struct gossip_frame *out)
{
    out->kind = GOSSIP_NEWS;
    out->incarnation = news->incarnation;
    if (news->kind < GRID__V1__NEWS__KIND__KIND_STALLED || news->kind > GRID__V1__NEWS__KIND__KIND_SUSPECT) {
        out->kind = GOSSIP_UNKNOWN; /* of a newer version */
        return 0;
    }
    out->news = (enum gossip_news) ((int) news->kind - 1);
    int err = news->observer.len > 0 ? take_target(news->observer, out->observer) : 0;
    return err != 0 ? err : take_target(news->target, out->target);
}

static int take_version(const Grid__V1__MemberVersion *from, struct gossip_version *out)
{
    if (from->id.len != sizeof out->id || from->incarnation >= MEMBER_INCARNATION_LIMIT)
        return GRID_EPROTO;
    memcpy(out->id, from->id.data, sizeof out->id);
    out->incarnation = from->incarnation;
    out->revision = from->revision;
    return state_from_wire(from->state, &out->state);
}

static int take_summary(const Grid__V1__ViewSummary *summary, struct arena *arena, struct gossip_frame *out)
{
    out->kind = GOSSIP_SUMMARY;
    out->last = summary->last;
    if (summary->n_members > GOSSIP_VERSIONS_MAX)
        return GRID_ELIMIT;
    struct gossip_version *versions = arena_calloc(arena, summary->n_members + 1, sizeof *versions);
    int err = versions ? 0 : GRID_ENOMEM;
    for (size_t i = 0; err == 0 && i < summary->n_members; i++)
        err = take_version(summary->members[i], &versions[i]);
    out->versions = versions;
    out->version_count = summary->n_members;
    return err;
}

static int take_member_load(const Grid__V1__MemberLoad *load, struct arena *arena, struct gossip_frame *out)
{
    out->kind = GOSSIP_LOAD;
    int err = take_target(load->id, out->target);
    return err != 0 ? err : take_load(arena, load->load, &out->load, &out->loaded);
}

static int take_body(const Grid__V1__GossipFrame *message, struct arena *arena, const struct gossip_known *known, struct gossip_frame *out)
{
    switch (message->body_case) {
    case GRID__V1__GOSSIP_FRAME__BODY_HELLO:
        return take_hello(message->hello, arena, known, out);
    case GRID__V1__GOSSIP_FRAME__BODY_PING:
        *out = (struct gossip_frame){.kind = GOSSIP_PING, .sequence = message->ping->sequence, .sent_at_ms = message->ping->sent_at_ms};
        return 0;
    case GRID__V1__GOSSIP_FRAME__BODY_ACK:
        return take_ack(message->ack, out);
    case GRID__V1__GOSSIP_FRAME__BODY_MEMBERS:
        out->kind = GOSSIP_TABLE;
        return take_entries(message->members->members, message->members->n_members, arena, known, out);
    case GRID__V1__GOSSIP_FRAME__BODY_RELEASE:
        out->kind = GOSSIP_RELEASE;
        return take_slice(message->release, GOSSIP_FRAME_MAX, &out->release);
    case GRID__V1__GOSSIP_FRAME__BODY_PROBE:
        out->kind = GOSSIP_PROBE;
        return take_target(message->probe->target, out->target);
    case GRID__V1__GOSSIP_FRAME__BODY_WITNESS:
        *out = (struct gossip_frame){.kind = GOSSIP_WITNESS, .incarnation = message->witness->incarnation, .refused = message->witness->refused};
        return take_target(message->witness->target, out->target);
    case GRID__V1__GOSSIP_FRAME__BODY_REFUSAL:
        return take_refusal(message->refusal, out);
    case GRID__V1__GOSSIP_FRAME__BODY_LEDGER:
        return take_ledger(message->ledger, out);
    case GRID__V1__GOSSIP_FRAME__BODY_NEWS:
        return take_news(message->news, out);
    case GRID__V1__GOSSIP_FRAME__BODY_VIEW:
        *out = (struct gossip_frame){.kind = GOSSIP_DIGEST, .view = message->view->hash, .view_count = message->view->members};
        return 0;
    case GRID__V1__GOSSIP_FRAME__BODY_SUMMARY:
        return take_summary(message->summary, arena, out);
    case GRID__V1__GOSSIP_FRAME__BODY_LOAD:
        return take_member_load(message->load, arena, out);
    default:
        out->kind = GOSSIP_UNKNOWN;
        return 0;
    }
}

int gossip_frame_unpack(struct slice bytes, struct arena *arena, const struct gossip_known *known, struct gossip_frame *out)
{
    *out = (struct gossip_frame){0};
    if (bytes.size > GOSSIP_FRAME_MAX)
        return GRID_ELIMIT;
    if (gossip_quick_unpack(bytes, arena, out))
        return read_entries(arena, known, out);
    const Grid__V1__GossipFrame *message = pb_unpack(&grid__v1__gossip_frame__descriptor, arena, bytes);
    return message ? take_body(message, arena, known, out) : GRID_EPROTO;
}
