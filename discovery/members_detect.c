/* Who is heard, who is silent, who is dead, and whom to dial: the rules of DESIGN.md's Membership, in the time given. */
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "discovery/members_internal.h"

enum { ASK_MS = 1000, DENIED_MS = 30000, LIVING_REDIAL_MAX_MS = 2000, TICK_MAX_MS = 500, MAX_SHIFT = 7 };

static bool lives(const struct members_entry *e)
{
    return e->member.state == MEMBER_ALIVE || e->member.state == MEMBER_STALLED;
}

bool members_link_fresh(const struct members *m, const struct members_link *l)
{
    return m->now_ms < l->heard_ms + MEMBERS_STALL_MS;
}

/* xorshift64*, for jitter only. */
static uint64_t random_next(struct members *m)
{
    m->random ^= m->random >> 12;
    m->random ^= m->random << 25;
    m->random ^= m->random >> 27;
    return m->random * UINT64_C(2685821657736338717);
}

uint64_t members_backoff(struct members *m, unsigned failures, uint64_t max_ms)
{
    uint64_t delay = (uint64_t) MEMBERS_REDIAL_MIN_MS << (failures < MAX_SHIFT ? failures : MAX_SHIFT);
    if (delay > max_ms)
        delay = max_ms;
    return delay * 3 / 4 + (random_next(m) >> 32) % (delay / 2 + 1);
}

void members_acquit(struct members_entry *e)
{
    e->failures = 0;
    e->refusals = 0;
    e->witness_count = 0;
}

void members_heard(struct members *m, struct members_link *l)
{
    struct members_entry *e = l->entry;
    l->heard_ms = m->now_ms;
    if (!e)
        return;
    e->heard_ms = m->now_ms;
    if (e->member.state != MEMBER_STALLED)
        return;
    e->member.state = MEMBER_ALIVE;
    members_acquit(e);
    members_note(m, MEMBERS_RESUMED, e->member.id);
}

void members_stall(struct members *m, struct members_entry *e)
{
    if (e->member.state != MEMBER_ALIVE)
        return;
    e->member.state = MEMBER_STALLED;
    m->counters.stalls++;
    members_note(m, MEMBERS_STALLED, e->member.id);
}

void members_convict(struct members *m, struct members_entry *e)
{
    e->member.state = MEMBER_DEAD;
    e->ended_ms = m->now_ms;
    e->dial_at_ms = m->now_ms + members_backoff(m, 2, MEMBERS_REDIAL_MAX_MS);
    m->counters.deaths++;
    members_note(m, MEMBERS_FAILED, e->member.id);
    if (e->link)
        members_link_close(e->link);
    members_spread(m, e, NULL);
}

/* ---- witnesses ---- */

static unsigned witnesses_needed(const struct members *m, const struct members_entry *e)
{
    for (size_t i = 1; i < m->count; i++)
        if (m->order[i] != e && m->order[i]->member.state == MEMBER_ALIVE)
            return 2;
    return 1;
}

static void add_witness(struct members_entry *e, const char *id)
{
    for (unsigned i = 0; i < e->witness_count; i++)
        if (strcmp(e->witnesses[i], id) == 0)
            return;
    if (e->witness_count < MEMBERS_WITNESSES_MAX)
        memcpy(e->witnesses[e->witness_count++], id, MEMBER_ID_SIZE);
}

/* A refused dial is a witness of a dead process; where there is only one witness, it must have seen it twice. */
static void judge_witnesses(struct members *m, struct members_entry *e)
{
    if (!lives(e) || e->link)
        return;
    unsigned needed = witnesses_needed(m, e);
    if (needed == 1 ? e->refusals >= 2 : e->witness_count >= needed)
        members_convict(m, e);
}

static void tell_all(struct members *m, const struct gossip_frame *frame)
{
    for (struct members_link *l = m->links; l; l = l->next)
        if (l->ready && !l->closing)
            members_queue(m, l, frame);
}

static struct gossip_frame witness_frame(const struct members_entry *e, bool refused)
{
    struct gossip_frame frame = {.kind = GOSSIP_WITNESS, .incarnation = e->member.incarnation, .refused = refused};
    memcpy(frame.target, e->member.id, sizeof frame.target);
    return frame;
}

void members_witness(struct members *m, const char *witness, const struct gossip_frame *frame)
{
    struct members_entry *e = members_entry_find(m, frame->target);
    if (!e || e == m->self || !lives(e) || frame->incarnation != e->member.incarnation)
        return;
    if (!frame->refused) {
        e->vouched_ms = m->now_ms;
        return;
    }
    add_witness(e, witness);
    if (!e->link && !e->token)
        e->dial_at_ms = m->now_ms; /* see for ourselves */
    judge_witnesses(m, e);
}

void members_probe_asked(struct members *m, struct members_link *l, const char *target)
{
    struct members_entry *e = members_entry_find(m, target);
    if (!e || e == m->self)
        return;
    bool fresh = e->link && members_link_fresh(m, e->link);
    if (fresh || (e->refusals > 0 && !e->link)) {
        struct gossip_frame frame = witness_frame(e, !fresh);
        members_queue(m, l, &frame);
    }
}

/* Asks the others, at most once a second, whether they hear from a member that we do not (SWIM's indirect probe). */
static void ask_others(struct members *m, struct members_entry *e)
{
    struct gossip_frame frame = {.kind = GOSSIP_PROBE};
    if (e->asked_ms != 0 && m->now_ms < e->asked_ms + ASK_MS)
        return;
    e->asked_ms = m->now_ms;
    memcpy(frame.target, e->member.id, sizeof frame.target);
    for (struct members_link *l = m->links; l; l = l->next)
        if (l->ready && !l->closing && l->entry != e)
            members_queue(m, l, &frame);
}

/* ---- links and dials that fail ---- */

static bool link_pending(const struct members *m, const char *peer)
{
    for (const struct members_link *l = m->links; l; l = l->next)
        if (!l->closing && strcmp(l->peer, peer) == 0)
            return true;
    return false;
}

void members_lost(struct members *m, struct members_entry *e, enum members_loss loss)
{
    e->link = NULL;
    e->member.linked = false;
    if (!lives(e))
        return;
    if (!link_pending(m, e->member.id)) /* of two links to one member the first may end before the second is ready */
        members_stall(m, e);
    e->failures = loss == MEMBERS_LOST_TIMEOUT ? 1 : 0;
    e->refusals = 0;
    e->dial_at_ms = m->now_ms;
}

static void dial_backoff(struct members *m, struct members_entry *e)
{
    uint64_t max = lives(e) ? LIVING_REDIAL_MAX_MS : MEMBERS_REDIAL_MAX_MS;
    e->dial_at_ms = m->now_ms + members_backoff(m, e->failures, max);
    e->failures++;
}

static void entry_dial_failed(struct members *m, struct members_entry *e, enum members_dial_fault fault)
{
    e->token = 0;
    if (fault == MEMBERS_DIAL_DENIED) {
        e->dial_at_ms = m->now_ms + DENIED_MS;
        return;
    }
    dial_backoff(m, e);
    if (e->link || !lives(e))
        return;
    members_stall(m, e);
    if (fault == MEMBERS_DIAL_REFUSED) {
        struct gossip_frame frame = witness_frame(e, true);
        e->refusals++;
        add_witness(e, m->self->member.id);
        tell_all(m, &frame);
        judge_witnesses(m, e);
    }
    if (lives(e))
        ask_others(m, e);
}

void members_dial_failed(struct members *m, uint64_t token, enum members_dial_fault fault, uint64_t now_ms)
{
    m->now_ms = members_later(m->now_ms, now_ms);
    for (size_t i = 1; i < m->count; i++)
        if (m->order[i]->token == token) {
            entry_dial_failed(m, m->order[i], fault);
            return;
        }
    for (size_t i = 0; i < m->seed_count; i++)
        if (m->seeds[i].token == token) {
            m->seeds[i].token = 0;
            m->seeds[i].dial_at_ms = m->now_ms + members_backoff(m, m->seeds[i].failures++, MEMBERS_REDIAL_MAX_MS);
        }
}

/* ---- what time brings ---- */

static void judge_linked(struct members *m, struct members_entry *e)
{
    const struct members_link *l = e->link;
    if (l->unanswered_ms == 0 || m->now_ms < l->unanswered_ms + MEMBERS_STALL_MS)
        return;
    members_stall(m, e);
    ask_others(m, e);
    if (m->now_ms < l->heard_ms + MEMBERS_SILENT_MS)
        return;
    if (m->now_ms < e->vouched_ms + MEMBERS_GONE_MS && e->vouched_ms != 0) {
        members_link_close(e->link); /* others hear him: the link is at fault */
        e->dial_at_ms = m->now_ms;
        return;
    }
    members_convict(m, e);
}

static void judge_unlinked(struct members *m, struct members_entry *e)
{
    if (e->failures == 0 || link_pending(m, e->member.id))
        return;
    ask_others(m, e);
    uint64_t last = members_later(members_later(e->heard_ms, e->known_ms), e->vouched_ms);
    if (m->now_ms >= last + MEMBERS_GONE_MS)
        members_convict(m, e);
}

static void judge_entries(struct members *m)
{
    for (size_t i = m->count; i-- > 1;) {
        struct members_entry *e = m->order[i];
        if (!lives(e)) {
            if (!e->link && m->now_ms >= e->ended_ms + MEMBERS_REAP_MS)
                members_entry_remove(m, e);
        } else if (e->link)
            judge_linked(m, e);
        else
            judge_unlinked(m, e);
    }
}

static void ping(struct members *m, struct members_link *l)
{
    struct gossip_frame frame = {.kind = GOSSIP_PING, .sequence = ++l->sequence, .sent_at_ms = m->now_ms};
    l->ping_at_ms = m->now_ms + MEMBERS_PROBE_MS;
    if (l->unanswered_ms == 0)
        l->unanswered_ms = m->now_ms;
    m->counters.probes++;
    members_queue(m, l, &frame);
}

static void tend_links(struct members *m)
{
    for (struct members_link *l = m->links; l; l = l->next) {
        if (l->closing)
            continue;
        if (!l->ready && m->now_ms >= l->opened_ms + MEMBERS_HELLO_MS)
            members_link_close(l);
        else if (l->ready && m->now_ms >= l->heard_ms + MEMBERS_SILENT_MS && !lives(l->entry))
            members_link_close(l);
        else if (l->ready && m->now_ms >= l->ping_at_ms)
            ping(m, l);
    }
}

/* When we ourselves did not run (a stopped process, a sleeping machine), the others' silence is ours: it is not held against them. */
static void forgive_pause(struct members *m)
{
    uint64_t gap = m->now_ms - m->ticked_ms;
    if (gap < 2 * TICK_MAX_MS)
        return;
    for (struct members_link *l = m->links; l; l = l->next) {
        l->heard_ms = l->heard_ms + gap < m->now_ms ? l->heard_ms + gap : m->now_ms;
        l->opened_ms = l->opened_ms + gap < m->now_ms ? l->opened_ms + gap : m->now_ms;
        if (l->unanswered_ms != 0)
            l->unanswered_ms = m->now_ms;
    }
    for (size_t i = 1; i < m->count; i++) {
        struct members_entry *e = m->order[i];
        e->known_ms = e->known_ms + gap < m->now_ms ? e->known_ms + gap : m->now_ms;
        e->heard_ms = e->heard_ms != 0 && e->heard_ms + gap < m->now_ms ? e->heard_ms + gap : e->heard_ms;
    }
}

static uint64_t next_due(const struct members *m)
{
    uint64_t due = m->now_ms + TICK_MAX_MS;
    for (const struct members_link *l = m->links; l; l = l->next)
        if (l->ready && l->ping_at_ms < due)
            due = l->ping_at_ms;
    for (size_t i = 1; i < m->count; i++) {
        const struct members_entry *e = m->order[i];
        if (!e->link && !e->token && e->dial_at_ms < due && e->dial_at_ms > m->now_ms)
            due = e->dial_at_ms;
    }
    for (size_t i = 0; i < m->seed_count; i++)
        if (m->seeds[i].token == 0 && m->seeds[i].dial_at_ms < due && m->seeds[i].dial_at_ms > m->now_ms)
            due = m->seeds[i].dial_at_ms;
    return due > m->now_ms ? due - m->now_ms : 1;
}

uint64_t members_tick(struct members *m, uint64_t now_ms)
{
    m->now_ms = members_later(m->now_ms, now_ms);
    forgive_pause(m);
    m->ticked_ms = m->now_ms;
    if (!m->leaving)
        judge_entries(m);
    tend_links(m);
    return next_due(m);
}

/* ---- whom to dial ---- */

static size_t links_held(const struct members *m)
{
    size_t count = 0;
    for (const struct members_link *l = m->links; l; l = l->next)
        count += !l->closing;
    return count;
}

static bool entry_due(const struct members *m, const struct members_entry *e)
{
    return e->token == 0 && !e->link && e->member.state != MEMBER_LEFT && e->member.state != MEMBER_EVICTED && e->member.address_count > 0 && m->now_ms >= e->dial_at_ms &&
           !link_pending(m, e->member.id);
}

static bool seed_due(const struct members *m, const struct members_seed *s)
{
    if (s->token != 0 || m->now_ms < s->dial_at_ms || strcmp(s->id, m->self->member.id) == 0)
        return false;
    if (s->id[0] == '\0')
        return true;
    const struct members_entry *e = members_entry_find(m, s->id);
    return (!e || e->member.state == MEMBER_LEFT || e->member.state == MEMBER_EVICTED) && !link_pending(m, s->id);
}

bool members_next_dial(struct members *m, struct members_dial *out)
{
    if (m->leaving || links_held(m) >= MEMBERS_LINKS_MAX)
        return false;
    for (size_t i = 1; i < m->count; i++) {
        struct members_entry *e = m->order[i];
        if (!entry_due(m, e))
            continue;
        e->token = ++m->next_token;
        *out = (struct members_dial){e->token, e->member.id, e->member.addresses, e->member.address_count};
        return true;
    }
    for (size_t i = 0; i < m->seed_count; i++) {
        struct members_seed *s = &m->seeds[i];
        if (!seed_due(m, s))
            continue;
        s->token = ++m->next_token;
        *out = (struct members_dial){s->token, s->id, (const char *const *) &s->address, 1};
        return true;
    }
    return false;
}
