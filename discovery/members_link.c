/* Links: their coming and going, the queue of each, and what is given out for it. */
#include "discovery/members_internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"

enum { FRAME_SHORT = 112, FRAMES_SPARE = 64, STANDS_MS = 2000 /* a refusal comes sooner after the Hello */ };

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

/* ---- places ---- */

enum { PLACES_MAX = 1 << 16 };

static void may_send(struct members *m, const struct members_link *l)
{
    m->sends[l->place / 64] |= UINT64_C(1) << l->place % 64;
}

/* Makes room for one more. 0, GRID_ELIMIT or GRID_ENOMEM. */
static int grow_places(struct members *m)
{
    size_t capacity = m->place_capacity ? 2 * m->place_capacity : 64;
    if (m->place_count < m->place_capacity)
        return 0;
    if (capacity > PLACES_MAX)
        return GRID_ELIMIT;
    struct members_link **places = realloc(m->places, capacity * sizeof *places);
    m->places = places ? places : m->places;
    uint64_t *sends = realloc(m->sends, capacity / 64 * sizeof *sends);
    m->sends = sends ? sends : m->sends;
    if (!places || !sends)
        return GRID_ENOMEM;
    memset(sends + m->place_capacity / 64, 0, (capacity - m->place_capacity) / 64 * sizeof *sends);
    m->place_capacity = capacity;
    return 0;
}

/* The younger ones move up. */
static void leave_place(struct members *m, const struct members_link *l)
{
    m->place_count--;
    for (size_t i = l->place; i < m->place_count; i++) {
        m->places[i] = m->places[i + 1];
        m->places[i]->place = (uint16_t) i;
    }
    size_t word = l->place / 64;
    uint64_t older = (UINT64_C(1) << l->place % 64) - 1;
    m->sends[word] = (m->sends[word] & older) | (m->sends[word] >> 1 & ~older);
    for (; word + 1 < m->place_capacity / 64; word++) {
        m->sends[word] |= m->sends[word + 1] << 63;
        m->sends[word + 1] >>= 1;
    }
}

/* ---- frames ---- */

/* Most frames are short, and memory for one is used again. */
static struct members_frame *frame_new(struct members *m, struct slice bytes)
{
    struct members_frame *f = bytes.size <= FRAME_SHORT ? m->spare : NULL;
    if (f) {
        m->spare = f->next;
        m->spare_count--;
    } else if (!(f = malloc(sizeof *f + (bytes.size > FRAME_SHORT ? bytes.size : FRAME_SHORT))))
        return NULL;
    f->next = NULL;
    f->size = bytes.size;
    memcpy(f->data, bytes.data, bytes.size);
    return f;
}

static void frame_drop(struct members *m, struct members_frame *f)
{
    if (!f || f->size > FRAME_SHORT || m->spare_count == FRAMES_SPARE) {
        free(f);
        return;
    }
    f->next = m->spare;
    m->spare = f;
    m->spare_count++;
}

void members_frames_free(struct members *m)
{
    frame_drop(m, m->held);
    for (struct members_frame *f; (f = m->spare);) {
        m->spare = f->next;
        free(f);
    }
}

static void drop_frames(struct members *m, struct members_link *l)
{
    while (l->head) {
        struct members_frame *next = l->head->next;
        frame_drop(m, l->head);
        l->head = next;
    }
    l->tail = &l->head;
    l->queued = 0;
}

static void uncount(struct members *m, const struct members_link *l)
{
    m->link_count--;
    m->pending_count -= !l->ready;
}

void members_link_free(struct members *m, struct members_link *l)
{
    struct members_link **at = &m->links;
    while (*at != l)
        at = &(*at)->next;
    *at = l->next;
    leave_place(m, l);
    if (m->found[l->id % MEMBERS_FOUND] == l)
        m->found[l->id % MEMBERS_FOUND] = NULL;
    drop_frames(m, l);
    if (l->closing)
        m->closing_count--;
    else
        uncount(m, l);
    free(l);
}

void members_link_close(struct members *m, struct members_link *l)
{
    struct members_entry *e = l->entry;
    if (l->closing)
        return;
    uncount(m, l);
    m->closing_count++;
    l->closing = true;
    l->paused = false;
    l->any_dirty = false;
    l->entry = NULL;
    if (e && e->link == l) {
        e->link = members_link_spare(m, e);
        e->member.linked = e->link != NULL;
        e->pinged_ms = 0;
        members_ring_look(m, e);
        members_touch(m, e);
    }
}

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
    members_entry_meet(m, e);
    e->pinged_ms = 0;
    members_dial_the_denied(m);
    members_ring_look(m, e);
    members_touch(m, e);
}

bool members_link_stands(const struct members *m)
{
    for (const struct members_link *l = m->links; l; l = l->next)
        if (l->ready && !l->closing && m->now_ms >= l->opened_ms + STANDS_MS)
            return true;
    return false;
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
    struct members_frame *f = gossip_frame_pack(frame, &m->packed) == 0 ? frame_new(m, buf_slice(&m->packed)) : NULL;
    if (f) {
        *l->tail = f;
        l->tail = &f->next;
        l->queued++;
        may_send(m, l);
    }
    if (l->queued > MEMBERS_QUEUE_MAX) /* it takes nothing: as good as lost */
        give_up_link(m, l);
}

void members_queue_hearsay(struct members *m, struct members_link *l, const struct gossip_frame *frame)
{
    if (l->queued < MEMBERS_HEARSAY_MAX)
        members_queue(m, l, frame);
}

void members_queue_all(struct members *m, const struct gossip_frame *frame, const struct members_entry *but)
{
    for (struct members_link *l = m->links; l; l = l->next)
        if (l->ready && !l->closing && l->entry != but)
            members_queue(m, l, frame);
}

void members_link_mark(struct members *m, struct members_link *l, const struct members_entry *e)
{
    if (!l->ready || l->closing || e->member.state == MEMBER_EVICTED || members_name_lost(e))
        return;
    l->dirty[e->slot / 64] |= UINT64_C(1) << e->slot % 64;
    l->any_dirty = true;
    may_send(m, l);
}

/* What is packed of a claim. */
static void claim_into(struct gossip_entry *claim, const struct members_entry *e)
{
    claim->record = e->record;
    claim->state = e->member.state == MEMBER_STALLED ? MEMBER_ALIVE : e->member.state;
    claim->load = e->load;
    claim->met = e->met;
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
    struct members_link *l = grow_places(m) == 0 ? calloc(1, sizeof *l) : NULL;
    if (!l)
        return GRID_ENOMEM;
    *l = (struct members_link){.next = m->links, .id = link, .dialled = token != 0, .opened_ms = m->now_ms, .heard_ms = m->now_ms};
    snprintf(l->peer, sizeof l->peer, "%s", peer_id);
    l->tail = &l->head;
    m->links = l;
    l->place = (uint16_t) m->place_count;
    m->places[m->place_count++] = l;
    m->link_count++;
    m->pending_count++;
    m->pending_due_ms = members_earlier(m->pending_due_ms, l->opened_ms + m->times->hello_ms);
    if (token != 0)
        members_dial_settled(m, token, l->peer);
    if (strcmp(l->peer, m->self->member.id) == 0 || members_is_evicted(m, l->peer))
        members_link_close(m, l);
    else
        greet(m, l);
    members_settle(m);
    return 0;
}

void members_link_relayed(struct members *m, uint64_t link)
{
    struct members_link *l = members_link_find(m, link);
    if (l)
        l->relayed = true;
}

void members_link_down(struct members *m, uint64_t link, enum members_loss loss, uint64_t now_ms)
{
    struct members_link *l = members_link_find(m, link);
    m->now_ms = members_later(m->now_ms, now_ms);
    if (!l)
        return;
    struct members_entry *e = l->entry;
    struct members_entry *denied = loss == MEMBERS_LOST_DENIED && l->dialled && !l->ready ? members_entry_find(m, l->peer) : NULL;
    bool used = e && e->link == l;
    members_link_free(m, l);
    if (denied)
        members_dial_denied(m, denied);
    if (used)
        members_lost(m, e, loss);
    members_settle(m);
}

void members_link_pause(struct members *m, uint64_t link, bool paused)
{
    struct members_link *l = members_link_find(m, link);
    if (l && !l->closing)
        l->paused = paused;
}

bool members_next_close(struct members *m, uint64_t *link)
{
    for (struct members_link *l = m->closing_count > 0 ? m->links : NULL; l; l = l->next)
        if (l->closing) {
            *link = l->id;
            members_link_free(m, l);
            return true;
        }
    return false;
}

/* ---- what goes out ---- */

static struct slice pop_frame(struct members *m, struct members_link *l)
{
    struct members_frame *f = l->head;
    frame_drop(m, m->held);
    m->held = f;
    l->head = f->next;
    if (!l->head)
        l->tail = &l->head;
    l->queued--;
    return slice_of(f->data, f->size);
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
    buf_clear(&m->out);
    return frame.entry_count > 0 && gossip_frame_pack(&frame, &m->out) == 0;
}

/* The next frame of a link; false when it has none. */
static bool give(struct members *m, struct members_link *l, struct slice *bytes)
{
    if (l->head)
        *bytes = pop_frame(m, l);
    else if (l->any_dirty && pack_marked(m, l))
        *bytes = buf_slice(&m->out);
    else
        return false;
    l->sent_ms = m->now_ms;
    m->counters.frames_out++;
    m->counters.bytes_out += bytes->size;
    return true;
}

bool members_next_send(struct members *m, uint64_t *link, struct slice *bytes)
{
    for (size_t word = (m->place_count + 63) / 64; word-- > 0;)
        for (uint64_t left = m->sends[word]; left != 0;) {
            uint64_t bit = UINT64_C(1) << (63 - __builtin_clzll(left));
            struct members_link *l = m->places[word * 64 + 63 - (unsigned) __builtin_clzll(left)];
            left &= ~bit;
            if (l->paused)
                continue;
            *link = l->id;
            if (give(m, l, bytes))
                return true;
            m->sends[word] &= ~bit;
        }
    return false;
}
