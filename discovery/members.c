/* The membership core's frame: entries and links, the queues that the driver drains, and what arrives handed to the part that knows. */
#include "discovery/members_internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"

enum { REFUSED_FAILURES = 5, SCRATCH_BLOCK = 16 * 1024, SCRATCH_MAX = 64 << 20 };

/* ---- entries ---- */

/* Ids are hashes already. */
static unsigned hash_of(const char *id)
{
    uint64_t first, second;
    memcpy(&first, id, sizeof first);
    memcpy(&second, id + sizeof first, sizeof second);
    return (unsigned) (members_mix(first, second) >> 32);
}

struct members_entry *members_entry_find(const struct members *m, const char *id)
{
    struct members_entry *e = NULL;
    HASH_FIND_BYHASHVALUE(hh, m->by_id, id, MEMBER_ID_SIZE - 1, hash_of(id), e);
    return e;
}

static bool evict_one_ended(struct members *m)
{
    struct members_entry *oldest = NULL;
    for (size_t i = 1; i < m->count; i++) {
        struct members_entry *e = m->order[i];
        bool ended = e->member.state != MEMBER_ALIVE && e->member.state != MEMBER_STALLED && !e->link;
        if (ended && (!oldest || e->ended_ms < oldest->ended_ms))
            oldest = e;
    }
    if (oldest)
        members_entry_remove(m, oldest);
    return oldest != NULL;
}

static uint16_t free_slot(const struct members *m)
{
    uint16_t slot = 0;
    while (m->slots[slot])
        slot++;
    return slot;
}

static void set_keys(const struct members *m, struct members_entry *e)
{
    char half[17] = "";
    memcpy(half, e->member.id, sizeof half - 1);
    e->key = strtoull(half, NULL, 16);
    if (m->self)
        e->pair = members_mix(members_earlier(e->key, m->self->key), members_later(e->key, m->self->key));
}

/* What is counted and kept of the living and of the dead. */
static void recount(struct members *m, struct members_entry *e, bool living)
{
    if (living == e->living)
        return;
    e->living = living;
    m->living += living ? 1 : (size_t) -1;
    members_rehash(m, e);
    m->ring_changed = true;
    if (e == m->self || m->count == 1)
        return;
    if (living)
        (void) swim_probe_add(&m->probe, e->slot, &m->random);
    else
        swim_probe_remove(&m->probe, e->slot);
}

static void count(size_t *n, bool before, bool after)
{
    *n -= before;
    *n += after;
}

void members_state_set(struct members *m, struct members_entry *e, enum member_state state)
{
    count(&m->dead, e->member.state == MEMBER_DEAD, state == MEMBER_DEAD);
    count(&m->stalled, e->member.state == MEMBER_STALLED, state == MEMBER_STALLED);
    bool stays = members_lives(e) && (state == MEMBER_ALIVE || state == MEMBER_STALLED);
    if (state != e->member.state)
        m->ring_changed = true;
    if (!stays) {
        members_changed(m, e);
        m->seed_due_ms = members_earlier(m->seed_due_ms, m->now_ms); /* one that led to it may be dialled anew */
    }
    e->member.state = state;
    recount(m, e, members_lives(e));
}

struct members_entry *members_entry_add(struct members *m, const char *id)
{
    if (m->count >= MEMBERS_MAX && !evict_one_ended(m))
        return NULL;
    struct members_entry *e = calloc(1, sizeof *e);
    if (!e)
        return NULL;
    memcpy(e->member.id, id, MEMBER_ID_SIZE);
    e->known_ms = m->now_ms;
    e->slot = free_slot(m);
    m->slots[e->slot] = e;
    if (e->slot >= m->slot_end)
        m->slot_end = e->slot + 1u;
    m->order[m->count++] = e;
    HASH_ADD_BYHASHVALUE(hh, m->by_id, member.id, MEMBER_ID_SIZE - 1, hash_of(id), e);
    set_keys(m, e);
    members_state_set(m, e, MEMBER_ALIVE);
    return e;
}

static void entry_free(struct members_entry *e)
{
    members_load_drop(e);
    arena_destroy(e->arena);
    free(e);
}

static void clear_dirty(struct members *m, size_t slot)
{
    for (struct members_link *l = m->links; l; l = l->next)
        l->dirty[slot / 64] &= ~(UINT64_C(1) << slot % 64);
}

void members_entry_remove(struct members *m, struct members_entry *e)
{
    size_t at = 0;
    while (m->order[at] != e)
        at++;
    memmove(&m->order[at], &m->order[at + 1], (m->count - at - 1) * sizeof *m->order);
    members_state_set(m, e, MEMBER_LEFT); /* out of all counts */
    m->count--;
    m->slots[e->slot] = NULL;
    clear_dirty(m, e->slot);
    swim_spread_drop(&m->spread, e->slot);
    swim_timers_remove(&m->timers, e->slot);
    members_dial_ended(m, e);
    m->watched = m->watched == e ? NULL : m->watched;
    m->watcher = m->watcher == e ? NULL : m->watcher;
    HASH_DEL(m->by_id, e);
    entry_free(e);
}

static void keep_own_view(const struct member *before, struct member *after)
{
    after->state = before->state;
    after->local = before->local;
    after->linked = before->linked;
    after->tasks = before->tasks;
    after->task_count = before->task_count;
    after->in_flight = before->in_flight;
    after->queued = before->queued;
    after->cpu_percent = before->cpu_percent;
    after->rtt_us = before->rtt_us;
}

int members_entry_set(struct members *m, struct members_entry *e, const struct member *member, struct slice record)
{
    struct arena *arena = arena_create(1024, 0);
    struct member copy;
    struct slice bytes = {0};
    int err = arena ? member_copy(member, arena, &copy) : GRID_ENOMEM;
    if (err == 0)
        bytes = arena_copy(arena, record);
    if (err != 0 || !bytes.data) {
        arena_destroy(arena);
        return GRID_ENOMEM;
    }
    if (e->member.started_at_ms != member->started_at_ms)
        members_load_drop(e);
    keep_own_view(&e->member, &copy);
    arena_destroy(e->arena);
    e->arena = arena;
    e->record = bytes;
    memcpy(copy.id, e->member.id, sizeof copy.id); /* the hash table's key stays where it is */
    e->member = copy;
    members_changed(m, e);
    members_rehash(m, e);
    return 0;
}

static int seal(const struct members *m, struct slice record, struct buf *sealed)
{
    const struct member_seal by_nobody = {.record = record};
    return m->seal ? m->seal(m->ctx, record, sealed) : member_seal_pack(&by_nobody, sealed);
}

int members_self_repack(struct members *m, const struct member *self)
{
    struct buf record, sealed;
    struct member copy = *self;
    struct arena *arena = arena_create(1024, 0);
    buf_init(&record, 0);
    buf_init(&sealed, MEMBER_SEALED_MAX);
    int err = arena ? member_pack(self, &record) : GRID_ENOMEM;
    if (err == 0)
        err = member_unpack(buf_slice(&record), arena, &copy); /* what others would refuse is refused here */
    if (err == 0)
        err = seal(m, buf_slice(&record), &sealed);
    if (err == 0)
        err = members_entry_set(m, m->self, &copy, buf_slice(&sealed));
    buf_dispose(&record);
    buf_dispose(&sealed);
    arena_destroy(arena);
    return err == GRID_EPROTO ? GRID_EINVAL : err;
}

/* ---- events ---- */

void members_note_bytes(struct members *m, struct members_note note, struct slice bytes)
{
    if (bytes.size > 0) {
        note.bytes = slice_to_str(bytes);
        note.size = note.bytes ? bytes.size : 0;
    }
    if (m->note_count == m->note_capacity) {
        size_t capacity = m->note_capacity ? 2 * m->note_capacity : 64;
        struct members_note *notes = realloc(m->notes, capacity * sizeof *notes);
        if (!notes) {
            free(note.bytes);
            return;
        }
        m->notes = notes;
        m->note_capacity = capacity;
    }
    m->notes[m->note_count++] = note;
}

void members_note(struct members *m, enum members_event_kind kind, const char *id)
{
    struct members_note note = {.kind = kind};
    memcpy(note.id, id, sizeof note.id);
    members_note_bytes(m, note, slice_of(NULL, 0));
}

bool members_next_event(struct members *m, struct members_event *out)
{
    free(m->given.bytes);
    m->given = (struct members_note){0};
    const struct members_entry *e = NULL;
    while (m->note_at < m->note_count && !e) {
        free(m->given.bytes);
        m->given = m->notes[m->note_at++];
        e = members_entry_find(m, m->given.id);
        if (!e && m->given.kind == MEMBERS_REFUSED)
            break;
    }
    if (m->given.id[0] == '\0' || (!e && m->given.kind != MEMBERS_REFUSED)) {
        m->note_at = m->note_count = 0;
        return false;
    }
    *out = (struct members_event){m->given.kind, e ? &e->member : NULL, slice_of(m->given.bytes, m->given.size), m->given.refusal,
                                  m->given.by_peer};
    return true;
}

const char *members_event_name(enum members_event_kind kind)
{
    static const char *const names[] = {"joined",  "left",      "failed", "stalled", "resumed",
                                        "updated", "restarted", "linked", "release", "evicted", "ledger", "refused"};
    return (unsigned) kind < sizeof names / sizeof names[0] ? names[kind] : "unknown";
}

/* ---- links ---- */

struct members_link *members_link_find(struct members *m, uint64_t id)
{
    struct members_link **found = &m->found[id % MEMBERS_FOUND];
    if (*found && (*found)->id == id)
        return *found;
    for (struct members_link *l = m->links; l; l = l->next)
        if (l->id == id)
            return *found = l;
    return NULL;
}

static void drop_frames(struct members *m, struct members_link *l)
{
    while (l->head) {
        struct members_frame *next = l->head->next;
        free(l->head);
        l->head = next;
        m->output_count--;
    }
    l->tail = &l->head;
    l->queued = 0;
}

static void uncount(struct members *m, const struct members_link *l)
{
    m->link_count--;
    m->pending_count -= !l->ready;
}

static void link_free(struct members *m, struct members_link *l)
{
    struct members_link **at = &m->links;
    while (*at != l)
        at = &(*at)->next;
    *at = l->next;
    m->sending = NULL;
    if (m->found[l->id % MEMBERS_FOUND] == l)
        m->found[l->id % MEMBERS_FOUND] = NULL;
    drop_frames(m, l);
    m->output_count -= l->any_dirty;
    if (l->closing)
        m->closing_count--;
    else
        uncount(m, l);
    free(l);
}

/* What was queued before is still sent. */
void members_link_close(struct members *m, struct members_link *l)
{
    struct members_entry *e = l->entry;
    if (l->closing)
        return;
    uncount(m, l);
    m->closing_count++;
    m->output_count -= l->any_dirty;
    l->closing = true;
    l->paused = false;
    m->sending = NULL;
    l->any_dirty = false;
    l->entry = NULL;
    if (e && e->link == l) {
        e->link = members_link_spare(m, e);
        e->member.linked = e->link != NULL;
        e->pinged_ms = 0;
        m->ring_changed = true;
        members_touch(m, e);
    }
}

/* Another ready link to the same member (members_merge.c, surplus_link). */
struct members_link *members_link_spare(const struct members *m, const struct members_entry *e)
{
    for (struct members_link *l = m->links; l; l = l->next)
        if (l->ready && !l->closing && l != e->link && l->entry == e)
            return l;
    return NULL;
}

void members_link_ready(struct members *m, struct members_link *l, struct members_entry *e)
{
    l->ready = true;
    l->entry = e;
    m->pending_count--;
    e->link = l;
    e->member.linked = true;
    e->pinged_ms = 0;
    m->ring_changed = true;
    members_touch(m, e);
}

static void give_up_link(struct members *m, struct members_link *l)
{
    struct members_entry *e = l->entry;
    members_link_close(m, l);
    if (e && !e->link)
        members_lost(m, e, MEMBERS_LOST_RESET);
}

void members_queue(struct members *m, struct members_link *l, const struct gossip_frame *frame)
{
    if (l->closing)
        return;
    buf_clear(&m->packed);
    struct members_frame *f = gossip_frame_pack(frame, &m->packed) == 0 ? malloc(sizeof *f + m->packed.size) : NULL;
    if (f) {
        *f = (struct members_frame){.size = m->packed.size};
        memcpy(f->data, m->packed.data, m->packed.size);
        *l->tail = f;
        l->tail = &f->next;
        l->queued++;
        m->output_count++;
        m->sending = NULL;
    }
    if (l->queued > MEMBERS_QUEUE_MAX) /* it takes nothing: as good as lost */
        give_up_link(m, l);
}

void members_queue_all(struct members *m, const struct gossip_frame *frame, const struct members_entry *but)
{
    for (struct members_link *l = m->links; l; l = l->next)
        if (l->ready && !l->closing && l->entry != but)
            members_queue(m, l, frame);
}

void members_link_mark(struct members *m, struct members_link *l, const struct members_entry *e)
{
    if (!l->ready || l->closing || e->member.state == MEMBER_EVICTED)
        return;
    l->dirty[e->slot / 64] |= UINT64_C(1) << e->slot % 64;
    m->output_count += !l->any_dirty;
    l->any_dirty = true;
    m->sending = NULL;
}

/* What is packed of a claim. */
static void claim_into(struct gossip_entry *claim, const struct members_entry *e)
{
    claim->record = e->record;
    claim->state = e->member.state == MEMBER_STALLED ? MEMBER_ALIVE : e->member.state;
    claim->load = e->load;
}

static void greet(struct members *m, struct members_link *l)
{
    struct gossip_entry self;
    claim_into(&self, m->self);
    struct gossip_frame hello = {.kind = GOSSIP_HELLO,
                                 .authority = slice_of_str(m->authority),
                                 .grid = slice_of_str(m->grid),
                                 .protocol = GOSSIP_PROTOCOL,
                                 .entries = &self,
                                 .entry_count = 1};
    for (; hello.also_count < m->also_count; hello.also_count++)
        hello.also[hello.also_count] = slice_of_str(m->also[hello.also_count]);
    l->greeted_incarnation = m->self->member.incarnation;
    l->greeted_revision = m->self->member.revision;
    l->greeted_load = m->self->load_revision;
    members_queue(m, l, &hello);
}

int members_link_up(struct members *m, uint64_t link, const char *peer_id, uint64_t token, uint64_t now_ms)
{
    m->now_ms = members_later(m->now_ms, now_ms);
    struct members_link *l = calloc(1, sizeof *l);
    if (!l)
        return GRID_ENOMEM;
    *l = (struct members_link){.next = m->links, .id = link, .dialled = token != 0, .opened_ms = m->now_ms, .heard_ms = m->now_ms};
    snprintf(l->peer, sizeof l->peer, "%s", peer_id);
    l->tail = &l->head;
    m->links = l;
    m->sending = NULL;
    m->link_count++;
    m->pending_count++;
    if (token != 0)
        members_dial_settled(m, token, l->peer);
    if (strcmp(l->peer, m->self->member.id) == 0 || members_is_evicted(m, l->peer))
        members_link_close(m, l);
    else
        greet(m, l);
    members_settle(m);
    return 0;
}

void members_link_down(struct members *m, uint64_t link, enum members_loss loss, uint64_t now_ms)
{
    struct members_link *l = members_link_find(m, link);
    m->now_ms = members_later(m->now_ms, now_ms);
    if (!l)
        return;
    struct members_entry *e = l->entry;
    bool used = e && e->link == l;
    link_free(m, l);
    if (used)
        members_lost(m, e, loss);
    members_settle(m);
}

void members_link_pause(struct members *m, uint64_t link, bool paused)
{
    struct members_link *l = members_link_find(m, link);
    if (l && !l->closing)
        l->paused = paused;
    m->sending = NULL;
}

bool members_next_close(struct members *m, uint64_t *link)
{
    for (struct members_link *l = m->closing_count > 0 ? m->links : NULL; l; l = l->next)
        if (l->closing) {
            *link = l->id;
            link_free(m, l);
            return true;
        }
    return false;
}

/* ---- what goes out ---- */

static void pop_frame(struct members *m, struct members_link *l)
{
    struct members_frame *f = l->head;
    buf_clear(&m->out);
    buf_append(&m->out, slice_of(f->data, f->size));
    l->head = f->next;
    if (!l->head)
        l->tail = &l->head;
    l->queued--;
    m->output_count--;
    free(f);
}

static bool is_full(const struct gossip_frame *table, size_t bytes)
{
    return table->entry_count == MEMBERS_TABLE_ENTRIES || bytes > MEMBERS_TABLE_BYTES;
}

/* Packs what is marked for the link, as much as one frame may hold; the rest stays marked. */
static bool pack_marked(struct members *m, struct members_link *l)
{
    struct gossip_entry entries[MEMBERS_TABLE_ENTRIES];
    struct gossip_frame frame = {.kind = GOSSIP_TABLE, .entries = entries};
    size_t bytes = 0;
    l->any_dirty = false;
    for (size_t word = 0; word * 64 < m->slot_end && !l->any_dirty; word++)
        while (l->dirty[word] != 0 && !(l->any_dirty = is_full(&frame, bytes))) {
            uint64_t bit = l->dirty[word] & -l->dirty[word];
            const struct members_entry *e = m->slots[word * 64 + (unsigned) __builtin_ctzll(bit)];
            l->dirty[word] &= ~bit;
            l->has[word] |= bit;
            claim_into(&entries[frame.entry_count++], e);
            bytes += e->record.size + e->load.size;
        }
    m->output_count -= !l->any_dirty;
    buf_clear(&m->out);
    return frame.entry_count > 0 && gossip_frame_pack(&frame, &m->out) == 0;
}

bool members_next_send(struct members *m, uint64_t *link, struct slice *bytes)
{
    for (struct members_link *l = m->output_count == 0 ? NULL : m->sending ? m->sending : m->links; l; l = l->next) {
        if (l->paused)
            continue;
        if (l->head)
            pop_frame(m, l);
        else if (!l->any_dirty || !pack_marked(m, l))
            continue;
        m->sending = l;
        *link = l->id;
        *bytes = buf_slice(&m->out);
        l->sent_ms = m->now_ms;
        m->counters.frames_out++;
        m->counters.bytes_out += bytes->size;
        return true;
    }
    m->sending = NULL;
    return false;
}

/* ---- what comes in ---- */

static void receive_ping(struct members *m, struct members_link *l, const struct gossip_frame *f)
{
    struct gossip_frame ack = {.kind = GOSSIP_ACK,
                               .sequence = f->sequence,
                               .sent_at_ms = f->sent_at_ms,
                               .loaded = members_load_numbers(m)};
    members_queue(m, l, &ack);
    if (!l->closing)
        members_piggyback(m, l);
}

static void receive_table(struct members *m, struct members_link *l, const struct gossip_frame *f)
{
    for (size_t i = 0; i < f->entry_count; i++)
        members_claim(m, l, &f->entries[i]);
}

static void receive_release(struct members *m, struct members_link *l, const struct gossip_frame *f)
{
    struct members_note note = {.kind = MEMBERS_RELEASE};
    memcpy(note.id, l->peer, sizeof note.id);
    members_note_bytes(m, note, f->release);
}

static void receive_probe(struct members *m, struct members_link *l, const struct gossip_frame *f)
{
    members_probe_asked(m, l, f->target);
}

static void receive_witness(struct members *m, struct members_link *l, const struct gossip_frame *f)
{
    members_witness(m, l->peer, f);
}

static void receive_refusal(struct members *m, struct members_link *l, const struct gossip_frame *f)
{
    struct members_note note = {.kind = MEMBERS_REFUSED, .refusal = f->refusal, .by_peer = true};
    struct members_entry *e = l->entry;
    memcpy(note.id, l->peer, sizeof note.id);
    members_note_bytes(m, note, f->reason);
    members_link_close(m, l);
    if (e) /* asking again at once would change nothing */
        e->dial_at_ms = m->now_ms + members_backoff(m, REFUSED_FAILURES, m->times->redial_slow_ms);
}

static void receive_nothing(struct members *m, struct members_link *l, const struct gossip_frame *f)
{
    (void) m, (void) l, (void) f;
}

static int dispatch(struct members *m, struct members_link *l, const struct gossip_frame *f)
{
    static void (*const receivers[])(struct members *, struct members_link *, const struct gossip_frame *) = {
        [GOSSIP_HELLO] = members_hello,     [GOSSIP_PING] = receive_ping,       [GOSSIP_ACK] = members_receive_ack,
        [GOSSIP_TABLE] = receive_table,     [GOSSIP_RELEASE] = receive_release, [GOSSIP_PROBE] = receive_probe,
        [GOSSIP_WITNESS] = receive_witness, [GOSSIP_REFUSAL] = receive_refusal, [GOSSIP_LEDGER] = members_receive_ledger,
        [GOSSIP_NEWS] = members_receive_news, [GOSSIP_DIGEST] = members_receive_digest, [GOSSIP_SUMMARY] = members_receive_summary,
        [GOSSIP_LOAD] = members_receive_load, [GOSSIP_UNKNOWN] = receive_nothing};
    bool opening = f->kind == GOSSIP_HELLO;
    if (f->kind != GOSSIP_REFUSAL && opening == l->ready) /* Hello is the first frame, and only the first */
        return GRID_EPROTO;
    if (l->ready)
        members_heard(m, l);
    receivers[f->kind](m, l, f);
    return 0;
}

static const struct member *find_known(void *ctx, struct slice record, struct slice *load)
{
    const struct members *m = ctx;
    struct slice id = member_seal_peek_id(record);
    const struct members_entry *e = id.size > 0 ? members_entry_find(m, (const char *) id.data) : NULL;
    if (!e || !slice_equal(e->record, record))
        return NULL;
    *load = e->load;
    return &e->member;
}

int members_receive(struct members *m, uint64_t link, struct slice frame, uint64_t now_ms)
{
    const struct gossip_known known = {find_known, m};
    struct members_link *l = members_link_find(m, link);
    struct gossip_frame f;
    m->now_ms = members_later(m->now_ms, now_ms);
    if (!l || l->closing)
        return 0;
    m->counters.frames_in++;
    m->counters.bytes_in += frame.size;
    int err = gossip_frame_unpack(frame, m->scratch, &known, &f);
    if (err == 0)
        err = dispatch(m, l, &f);
    arena_reset(m->scratch);
    members_settle(m);
    return err;
}

/* ---- this node ---- */

static bool same_text(const char *const *a, size_t a_count, const char *const *b, size_t b_count)
{
    if (a_count != b_count)
        return false;
    for (size_t i = 0; i < a_count; i++)
        if (strcmp(a[i], b[i]) != 0)
            return false;
    return true;
}

static bool same_record(const struct member *a, const struct member *b)
{
    const char *a_texts[] = {a->name, a->release, a->hostname, a->platform, a->user, a->version};
    const char *b_texts[] = {b->name, b->release, b->hostname, b->platform, b->user, b->version};
    return same_text(a_texts, 6, b_texts, 6) && same_text(a->addresses, a->address_count, b->addresses, b->address_count) &&
           same_text(a->capabilities, a->capability_count, b->capabilities, b->capability_count) &&
           a->release_sequence == b->release_sequence && strcmp(a->release_publisher, b->release_publisher) == 0 &&
           a->api_port == b->api_port && a->synchronized == b->synchronized && a->started_at_ms == b->started_at_ms;
}

static int change_record(struct members *m, const struct member *self)
{
    struct member next = *self;
    memcpy(next.id, m->self->member.id, sizeof next.id);
    next.incarnation = m->self->member.incarnation;
    next.revision = m->self->member.revision + 1;
    return members_self_repack(m, &next);
}

/* A record that changed together with the tasks goes out with them, in one frame. */
int members_set_self(struct members *m, const struct member *self, uint64_t now_ms)
{
    bool other_record = !same_record(self, &m->self->member), other_tasks = members_load_changes(m, self);
    m->now_ms = members_later(m->now_ms, now_ms);
    int err = other_record ? change_record(m, self) : 0;
    if (err == 0 && other_tasks)
        err = members_load_own(m, self);
    if (other_record) {
        members_spread(m, m->self, NULL);
        members_pass_on(m, m->self);
    } else if (err == 0 && other_tasks)
        members_load_tell(m);
    return err;
}

int members_reseal(struct members *m, uint64_t now_ms)
{
    struct member next = m->self->member;
    m->now_ms = members_later(m->now_ms, now_ms);
    next.revision++;
    int err = members_self_repack(m, &next);
    if (err != 0)
        return err;
    members_spread(m, m->self, NULL);
    members_pass_on(m, m->self);
    return 0;
}

int members_announce_release(struct members *m, struct slice packed, uint64_t now_ms)
{
    struct gossip_frame frame = {.kind = GOSSIP_RELEASE, .release = packed};
    m->now_ms = members_later(m->now_ms, now_ms);
    if (packed.size > GOSSIP_FRAME_MAX - 64)
        return GRID_ELIMIT;
    int err = buf_reserve(&m->release, packed.size);
    if (err != 0)
        return err;
    buf_clear(&m->release);
    buf_append(&m->release, packed);
    for (struct members_link *l = m->links; l; l = l->next)
        if (l->ready)
            members_queue(m, l, &frame);
    return 0;
}

void members_leave(struct members *m, uint64_t now_ms)
{
    m->now_ms = members_later(m->now_ms, now_ms);
    m->leaving = true;
    struct member last = m->self->member;
    last.leaving = true;
    last.revision++;
    if (members_self_repack(m, &last) != 0)
        return;
    members_state_set(m, m->self, MEMBER_LEFT);
    members_spread(m, m->self, NULL);
}

/* ---- the view ---- */

size_t members_count(const struct members *m)
{
    return m->count;
}

const struct member *members_at(const struct members *m, size_t index)
{
    return &m->order[index]->member;
}

const struct member *members_find(const struct members *m, const char *id)
{
    if (!member_id_valid(slice_of_str(id)))
        return NULL;
    const struct members_entry *e = members_entry_find(m, id);
    return e ? &e->member : NULL;
}

const struct members_counters *members_counters(const struct members *m)
{
    return &m->counters;
}

unsigned members_health(const struct members *m)
{
    return m->health.score;
}

/* ---- life ---- */

static int append_seed(struct members *m, const char *address)
{
    struct members_seed *grown = realloc(m->seeds, (m->seed_count + 1) * sizeof *grown);
    if (!grown)
        return GRID_ENOMEM;
    m->seeds = grown;
    grown[m->seed_count] = (struct members_seed){.address = slice_to_str(slice_of_str(address))};
    if (!grown[m->seed_count].address)
        return GRID_ENOMEM;
    m->seed_count++;
    return 0;
}

int members_add_seed(struct members *m, const char *address, uint64_t delay_ms, uint64_t now_ms)
{
    size_t i = 0;
    m->now_ms = members_later(m->now_ms, now_ms);
    while (i < m->seed_count && strcmp(m->seeds[i].address, address) != 0)
        i++;
    if (i == MEMBERS_SEEDS_MAX)
        return GRID_ELIMIT;
    int err = i == m->seed_count ? append_seed(m, address) : 0;
    if (err != 0)
        return err;
    m->seeds[i].failures = 0;
    m->seeds[i].dial_at_ms = m->now_ms + delay_ms;
    m->seed_due_ms = members_earlier(m->seed_due_ms, m->seeds[i].dial_at_ms);
    return 0;
}

static int add_seeds(struct members *m, const char *const *seeds, size_t count)
{
    m->seeds = calloc(count + 1, sizeof *m->seeds);
    if (!m->seeds)
        return GRID_ENOMEM;
    for (size_t i = 0; i < count; i++) {
        m->seeds[i].address = slice_to_str(slice_of_str(seeds[i]));
        if (!m->seeds[i].address)
            return GRID_ENOMEM;
        m->seed_count++;
    }
    return 0;
}

static int add_self(struct members *m, const struct member *self)
{
    if (!member_id_valid(slice_of_str(self->id)) || self->name[0] == '\0')
        return GRID_EINVAL;
    m->self = members_entry_add(m, self->id);
    if (!m->self)
        return GRID_ENOMEM;
    m->self->member.local = true;
    int err = members_self_repack(m, self);
    return err == 0 ? members_load_own(m, self) : err;
}

int members_create(const struct members_config *config, uint64_t now_ms, struct members **out)
{
    struct members *m = calloc(1, sizeof *m);
    if (!m)
        return GRID_ENOMEM;
    m->now_ms = now_ms;
    m->random = config->seed ? config->seed : 1;
    m->times = config->times ? config->times : &MEMBERS_LAN;
    m->admit = config->admit;
    m->seal = config->seal;
    m->ctx = config->ctx;
    m->probe_at_ms = now_ms + swim_random_below(&m->random, m->times->probe_ms + 1);
    m->sync_at_ms = now_ms + swim_random_below(&m->random, m->times->sync_ms + 1);
    buf_init(&m->out, GOSSIP_FRAME_MAX);
    buf_init(&m->packed, GOSSIP_FRAME_MAX);
    buf_init(&m->release, GOSSIP_FRAME_MAX);
    buf_init(&m->digest, GOSSIP_DIGEST_SIZE);
    buf_init(&m->ledger, GOSSIP_FRAME_MAX);
    snprintf(m->authority, sizeof m->authority, "%s", config->authority);
    snprintf(m->grid, sizeof m->grid, "%s", config->grid);
    m->order = calloc(MEMBERS_MAX, sizeof(struct members_entry *));
    m->scratch = arena_create(SCRATCH_BLOCK, SCRATCH_MAX);
    int err = m->order && m->scratch ? add_self(m, config->self) : GRID_ENOMEM;
    if (err == 0)
        err = add_seeds(m, config->seeds, config->seed_count);
    if (err == 0)
        *out = m;
    else
        members_destroy(m);
    return err;
}

void members_destroy(struct members *m)
{
    if (!m)
        return;
    while (m->links)
        link_free(m, m->links);
    HASH_CLEAR(hh, m->by_id);
    for (size_t i = 0; i < m->count; i++)
        entry_free(m->order[i]);
    for (size_t i = 0; i < m->seed_count; i++)
        free(m->seeds[i].address);
    while (m->note_at < m->note_count)
        free(m->notes[m->note_at++].bytes);
    free(m->given.bytes);
    free(m->notes);
    free(m->seeds);
    free(m->order);
    buf_dispose(&m->out);
    buf_dispose(&m->packed);
    arena_destroy(m->scratch);
    buf_dispose(&m->release);
    buf_dispose(&m->digest);
    buf_dispose(&m->ledger);
    map_destroy(m->evicted);
    free(m);
}
