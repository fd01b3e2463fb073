/* Links: their coming and going, the queue of each, and what is given out for it. */
#include "discovery/members_internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"

enum { FRAME_SHORT = 112, FRAMES_SPARE = 64 };

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

void members_link_free(struct members *m, struct members_link *l)
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
    members_dial_the_denied(m);
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
    struct members_frame *f = gossip_frame_pack(frame, &m->packed) == 0 ? frame_new(m, buf_slice(&m->packed)) : NULL;
    if (f) {
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
    m->sending = NULL;
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
    m->output_count--;
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
            *bytes = pop_frame(m, l);
        else if (l->any_dirty && pack_marked(m, l))
            *bytes = buf_slice(&m->out);
        else
            continue;
        m->sending = l;
        *link = l->id;
        l->sent_ms = m->now_ms;
        m->counters.frames_out++;
        m->counters.bytes_out += bytes->size;
        return true;
    }
    m->sending = NULL;
    return false;
}
