/* A frame that unpacks is packed again, and the same comes back; so do the records in it, their seals and what is read of them. */
// links: grid_discovery
// covers: discovery/gossip_frame.c discovery/gossip_quick.c discovery/member.c discovery/member_quick.c
#include <stdlib.h>
#include <string.h>

#include "discovery/gossip_quick.h"
#include "discovery/member_quick.h"
#include "grid/v1/peer.pb-c.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void expect(bool so)
{
    if (!so)
        abort();
}

static void check_member(struct arena *arena, const struct member *m)
{
    struct member again, copy;
    struct buf packed;
    buf_init(&packed, 0);
    if (member_pack(m, &packed) == 0) { /* what was read of a record with unknown fields may be repeated ones */
        expect(member_unpack(buf_slice(&packed), arena, &again) == 0 && member_copy(&again, arena, &copy) == 0);
        expect(strcmp(copy.id, m->id) == 0 && strcmp(copy.name, m->name) == 0 && copy.incarnation == m->incarnation && copy.revision == m->revision);
        expect(copy.address_count == m->address_count && copy.leaving == m->leaving);
    }
    buf_dispose(&packed);
}

/* What is asked of a member that was read. */
static void check_questions(struct arena *arena, const struct member *m, const struct member_load *l)
{
    struct member whole = *m;
    whole.tasks = l->tasks;
    whole.task_count = l->task_count;
    expect(!member_lacks_task(&whole, "") || whole.capability_count > 0);
    expect(member_runs(m, m->release, m->release_sequence, slice_of_str(m->release_publisher)));
    for (size_t i = 0; i < l->task_count; i++) {
        const char *fault = member_task_fault(&whole, l->tasks[i].name), *shown = member_fault_shown(arena, l->tasks[i].name);
        expect(!member_lacks_task(&whole, l->tasks[i].name) && (!fault || fault[0] != '\0') && (!shown || strlen(shown) <= MEMBER_FAULT_MAX));
    }
    expect(member_load_quantized(l->in_flight) <= l->in_flight && member_state_name(m->state)[0] != '\0');
}

static void check_load(struct arena *arena, const struct member_load *l)
{
    struct member_load again;
    struct buf packed;
    buf_init(&packed, 0);
    if (member_load_pack(l, &packed) == 0) { /* as above */
        expect(member_load_unpack(buf_slice(&packed), arena, &again) == 0 && again.task_count == l->task_count && again.revision == l->revision);
        for (size_t i = 0; i < l->task_count; i++)
            expect(strcmp(again.tasks[i].name, l->tasks[i].name) == 0 && strcmp(again.tasks[i].fault, l->tasks[i].fault) == 0);
    }
    buf_dispose(&packed);
}

static void check_seal(struct arena *arena, const struct gossip_entry *e)
{
    struct member_seal again;
    struct buf sealed, signed_bytes;
    buf_init(&signed_bytes, 0);
    expect(member_seal_signed_bytes(e->seal.record, e->seal.certificate, &signed_bytes) == 0 && signed_bytes.size == 25 + e->seal.record.size + e->seal.certificate.size);
    buf_dispose(&signed_bytes);
    buf_init(&sealed, 0);
    expect(member_seal_pack(&e->seal, &sealed) == 0 && member_seal_unpack(buf_slice(&sealed), arena, &again) == 0);
    expect(slice_equal(again.record, e->seal.record) && slice_equal(again.certificate, e->seal.certificate) && slice_equal(again.signature, e->seal.signature));
    expect(e->member->leaving == (e->state == MEMBER_LEFT));
    buf_dispose(&sealed);
}

/* The message as the general decoder reads it from the bytes; both say the same. */
static void expect_general(const ProtobufCMessage *quick, struct slice bytes)
{
    ProtobufCMessage *general = protobuf_c_message_unpack(quick->descriptor, NULL, bytes.size, bytes.data);
    struct buf a, b;
    buf_init(&a, 0);
    buf_init(&b, 0);
    expect(general && general->n_unknown_fields == 0 && pb_append(&a, quick) == 0 && pb_append(&b, general) == 0);
    expect(slice_equal(buf_slice(&a), buf_slice(&b)));
    buf_dispose(&a);
    buf_dispose(&b);
    protobuf_c_message_free_unpacked(general, NULL);
}

static void check_quick_record(struct slice record)
{
    struct member_quick quick;
    if (!member_quick_read(record, &quick))
        return;
    quick.message.base = (ProtobufCMessage) PROTOBUF_C_MESSAGE_INIT(&grid__v1__member__descriptor);
    expect_general(&quick.message.base, record);
}

static void check_quick_seal(struct slice sealed)
{
    Grid__V1__SealedMember message = GRID__V1__SEALED_MEMBER__INIT;
    struct member_seal seal;
    if (!member_quick_read_seal(sealed, &seal))
        return;
    message.record = pb_bytes(seal.record);
    message.certificate = pb_bytes(seal.certificate);
    message.signature = pb_bytes(seal.signature);
    expect_general(&message.base, sealed);
}

static void check_quick_load(struct arena *arena, struct slice load)
{
    struct member_quick_load quick;
    if (!member_quick_read_load(load, &quick))
        return;
    Grid__V1__TaskReady *tasks = arena_calloc(arena, quick.task_count + 1, sizeof *tasks), **at = arena_calloc(arena, quick.task_count + 1, sizeof *at);
    if (!tasks || !at)
        return;
    quick.message.base = (ProtobufCMessage) PROTOBUF_C_MESSAGE_INIT(&grid__v1__load__descriptor);
    quick.message.n_tasks = quick.task_count;
    quick.message.tasks = at;
    for (size_t i = 0; i < quick.task_count; i++) {
        at[i] = &tasks[i];
        member_quick_next_task(&quick, at[i]);
        at[i]->base = (ProtobufCMessage) PROTOBUF_C_MESSAGE_INIT(&grid__v1__task_ready__descriptor);
    }
    expect_general(&quick.message.base, load);
}

static void check_entries(struct arena *arena, const struct gossip_frame *a, const struct gossip_frame *b)
{
    expect(a->entry_count == b->entry_count);
    for (size_t i = 0; i < a->entry_count; i++) {
        expect(slice_equal(a->entries[i].record, b->entries[i].record) && a->entries[i].state == b->entries[i].state);
        check_member(arena, a->entries[i].member);
        expect(slice_equal(a->entries[i].load, b->entries[i].load));
        check_load(arena, &a->entries[i].loaded);
        check_questions(arena, a->entries[i].member, &a->entries[i].loaded);
        check_seal(arena, &a->entries[i]);
        check_quick_record(a->entries[i].seal.record);
        check_quick_seal(a->entries[i].record);
        check_quick_load(arena, a->entries[i].load);
    }
}

static void check_rest(const struct gossip_frame *a, const struct gossip_frame *b)
{
    expect(a->kind == b->kind && slice_equal(a->authority, b->authority) && slice_equal(a->grid, b->grid) && a->also_count == b->also_count);
    expect(slice_equal(a->digest, b->digest) && slice_equal(a->ledger, b->ledger) && a->last == b->last && a->protocol == b->protocol);
    expect(a->sequence == b->sequence && a->sent_at_ms == b->sent_at_ms && slice_equal(a->load, b->load) && a->loaded.in_flight == b->loaded.in_flight && a->loaded.queued == b->loaded.queued && a->loaded.cpu_percent == b->loaded.cpu_percent);
    expect(slice_equal(a->release, b->release) && strcmp(a->target, b->target) == 0 && a->incarnation == b->incarnation && a->refused == b->refused);
    expect(a->refusal == b->refusal && slice_equal(a->reason, b->reason) && a->news == b->news && strcmp(a->observer, b->observer) == 0);
    expect(a->view == b->view && a->view_count == b->view_count && a->version_count == b->version_count);
}

/* A greeting of a protocol too old to be read has no record to give back. */
static bool can_be_packed(const struct gossip_frame *f)
{
    return f->kind != GOSSIP_UNKNOWN && (f->kind != GOSSIP_HELLO || f->entry_count == 1);
}

static void check_ping(const struct gossip_frame *f, const Grid__V1__GossipFrame *message)
{
    expect(message->body_case == GRID__V1__GOSSIP_FRAME__BODY_PING && f->sequence == message->ping->sequence && f->sent_at_ms == message->ping->sent_at_ms);
}

static void check_ack(const struct gossip_frame *f, const Grid__V1__GossipFrame *message)
{
    expect(message->body_case == GRID__V1__GOSSIP_FRAME__BODY_ACK && f->sequence == message->ack->sequence && f->sent_at_ms == message->ack->sent_at_ms);
    const Grid__V1__Load *load = message->ack->load;
    expect(f->loaded.in_flight == (load ? load->in_flight : 0) && f->loaded.queued == (load ? load->queued : 0) && f->loaded.cpu_percent == (load ? load->cpu_percent : 0));
}

static void check_table(const struct gossip_frame *f, const Grid__V1__GossipFrame *message)
{
    expect(message->body_case == GRID__V1__GOSSIP_FRAME__BODY_MEMBERS && f->entry_count == message->members->n_members);
    for (size_t i = 0; i < f->entry_count; i++) {
        const Grid__V1__MemberEntry *e = message->members->members[i];
        expect(slice_equal(f->entries[i].record, slice_of(e->sealed.data, e->sealed.len)) && slice_equal(f->entries[i].load, slice_of(e->load.data, e->load.len)));
        expect((int) f->entries[i].state + 1 == (int) e->state);
    }
}

static void check_digest(const struct gossip_frame *f, const Grid__V1__GossipFrame *message)
{
    expect(message->body_case == GRID__V1__GOSSIP_FRAME__BODY_VIEW && f->view == message->view->hash && f->view_count == message->view->members);
}

static void check_summary(const struct gossip_frame *f, const Grid__V1__GossipFrame *message)
{
    expect(message->body_case == GRID__V1__GOSSIP_FRAME__BODY_SUMMARY && f->version_count == message->summary->n_members && f->last == (message->summary->last != 0));
    for (size_t i = 0; i < f->version_count; i++) {
        const Grid__V1__MemberVersion *v = message->summary->members[i];
        expect(slice_equal(slice_of(f->versions[i].id, sizeof f->versions[i].id), slice_of(v->id.data, v->id.len)) && f->versions[i].incarnation == v->incarnation);
        expect(f->versions[i].revision == v->revision && (int) f->versions[i].state + 1 == (int) v->state);
    }
}

static void check_about(const struct gossip_frame *f, const Grid__V1__GossipFrame *message)
{
    ProtobufCBinaryData target = f->kind == GOSSIP_PROBE ? message->probe->target : f->kind == GOSSIP_NEWS ? message->news->target : message->witness->target;
    expect(slice_equal_str(slice_of(target.data, target.len), f->target));
    if (f->kind == GOSSIP_NEWS)
        expect((int) f->news + 1 == (int) message->news->kind && f->incarnation == message->news->incarnation && message->news->observer.len == 0);
    if (f->kind == GOSSIP_WITNESS)
        expect(f->incarnation == message->witness->incarnation && f->refused == (message->witness->refused != 0));
}

/* What is read quickly says the same to the general decoder. */
static void check_quick(struct slice bytes, struct arena *arena)
{
    struct gossip_frame quick = {0};
    if (!gossip_quick_unpack(bytes, arena, &quick))
        return;
    Grid__V1__GossipFrame *message = grid__v1__gossip_frame__unpack(NULL, bytes.size, bytes.data);
    expect(message && gossip_quick_can(&quick));
    if (quick.kind == GOSSIP_PING)
        check_ping(&quick, message);
    else if (quick.kind == GOSSIP_ACK)
        check_ack(&quick, message);
    else if (quick.kind == GOSSIP_TABLE)
        check_table(&quick, message);
    else if (quick.kind == GOSSIP_DIGEST)
        check_digest(&quick, message);
    else if (quick.kind == GOSSIP_SUMMARY)
        check_summary(&quick, message);
    else
        check_about(&quick, message);
    grid__v1__gossip_frame__free_unpacked(message, NULL);
}

static const struct member *find_known(void *ctx, struct slice record, struct slice *load)
{
    const struct gossip_frame *frame = ctx;
    for (size_t i = 0; i < frame->entry_count; i++)
        if (slice_equal(frame->entries[i].record, record)) {
            *load = frame->entries[i].load;
            return frame->entries[i].member;
        }
    return NULL;
}

/* What is known need not be read, and is told as it was read before. */
static void check_known(struct slice bytes, struct arena *arena, struct gossip_frame *frame)
{
    const struct gossip_known known = {find_known, frame};
    struct gossip_frame again;
    expect(gossip_frame_unpack(bytes, arena, &known, &again) == 0 && again.entry_count == frame->entry_count);
    for (size_t i = 0; i < again.entry_count; i++) {
        struct gossip_entry *e = &again.entries[i];
        expect(e->known && e->state == frame->entries[i].state && e->met == frame->entries[i].met && (e->load.size == 0 || slice_equal(e->load, frame->entries[i].load)));
        expect(gossip_entry_read(arena, e) == 0 && !e->known && strcmp(e->member->id, frame->entries[i].member->id) == 0);
        struct slice id = member_seal_peek_id(e->record);
        expect(id.size == 0 || id.size == MEMBER_ID_SIZE - 1);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct arena *arena = arena_create(4096, 16 * 1024 * 1024);
    struct gossip_frame frame, again;
    struct buf packed;
    if (!arena)
        return 0;
    buf_init(&packed, 0);
    check_quick(slice_of(data, size), arena);
    if (gossip_frame_unpack(slice_of(data, size), arena, NULL, &frame) == 0 && can_be_packed(&frame)) {
        expect(gossip_frame_pack(&frame, &packed) == 0 && gossip_frame_unpack(buf_slice(&packed), arena, NULL, &again) == 0);
        check_rest(&frame, &again);
        check_load(arena, &frame.loaded);
        check_entries(arena, &frame, &again);
        check_known(slice_of(data, size), arena, &frame);
    }
    buf_dispose(&packed);
    arena_destroy(arena);
    return 0;
}
