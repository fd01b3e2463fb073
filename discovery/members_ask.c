/* What members tell and ask one another about a third: whether he is heard, that he is silent, that he is suspected. */
#include <string.h>

#include "discovery/members_internal.h"

enum { GIVES_UP_LATE_MS = 2000 };

/* ---- telling others ---- */

void members_tell_news(struct members *m, const struct members_entry *e, enum gossip_news news)
{
    struct gossip_frame frame = {.kind = GOSSIP_NEWS, .news = news, .incarnation = e->member.incarnation};
    memcpy(frame.target, e->member.id, sizeof frame.target);
    members_queue_all(m, &frame, e);
}

struct gossip_frame members_witness_frame(const struct members_entry *e, bool refused)
{
    struct gossip_frame frame = {.kind = GOSSIP_WITNESS, .incarnation = e->member.incarnation, .refused = refused};
    memcpy(frame.target, e->member.id, sizeof frame.target);
    return frame;
}

static void vouch(struct members *m, struct members_link *l, const struct members_entry *e)
{
    struct gossip_frame frame = members_witness_frame(e, false);
    members_queue(m, l, &frame);
}

/* SWIM's indirect probe (section 3.1): k others, at most once a second, whether they hear from a member that we do not. */
void members_ask_others(struct members *m, struct members_entry *e)
{
    if (e->asked_ms != 0 && m->now_ms < e->asked_ms + MEMBERS_ASK_MS)
        return;
    struct gossip_frame frame = {.kind = GOSSIP_PROBE};
    e->asked_ms = m->now_ms;
    memcpy(frame.target, e->member.id, sizeof frame.target);
    struct members_link *asked[2 * MEMBERS_INDIRECT];
    int k = e->suspicion.active ? 2 * MEMBERS_INDIRECT : MEMBERS_INDIRECT; /* more depends on it */
    for (int i = 0; i < k; i++) {
        asked[i] = members_link_random(m);
        bool again = !asked[i] || asked[i]->entry == e;
        for (int before = 0; before < i; before++)
            again |= asked[before] == asked[i];
        if (!again)
            members_queue(m, asked[i], &frame);
    }
}

void members_answer_askers(struct members *m, struct members_entry *e)
{
    while (e->asker_count > 0) {
        struct members_link *l = members_link_find(m, e->askers[--e->asker_count]);
        if (l && l->ready && !l->closing)
            vouch(m, l, e);
    }
}

static void add_asker(struct members_entry *e, const struct members_link *l)
{
    for (unsigned i = 0; i < e->asker_count; i++)
        if (e->askers[i] == l->id)
            return;
    if (e->asker_count < MEMBERS_ASKERS_MAX)
        e->askers[e->asker_count++] = l->id;
}

/* ---- being asked ---- */

/* Answered at once when it was just heard, else when it answers a ping of ours. */
static void look_for(struct members *m, struct members_link *l, struct members_entry *e)
{
    if (!e->link)
        return;
    if (e->member.state == MEMBER_ALIVE && m->now_ms <= e->heard_ms + m->times->ack_ms) {
        vouch(m, l, e);
        return;
    }
    add_asker(e, l);
    if (e->pinged_ms == 0)
        members_ping(m, e);
}

/* Its link would have been given up if nothing were acknowledged: it is the process that is silent, and it may yet wake. What was acknowledged before
 * we stood still ourselves for long says nothing of now: it is counted from when we ran again, and asked again. */
static bool kernel_answers(const struct members *m, const struct members_entry *e)
{
    uint64_t unanswered = members_later(e->pinged_ms, m->woke_ms);
    return m->now_ms < m->due_ms + MEMBERS_PAUSE_MS && e->link && e->pinged_ms != 0 && m->now_ms > unanswered + m->times->unacknowledged_ms + GIVES_UP_LATE_MS &&
           m->now_ms < e->pinged_ms + m->times->silent_ms;
}

void members_probe_asked(struct members *m, struct members_link *l, const char *target)
{
    struct members_entry *e = members_entry_find(m, target);
    if (!e || e == m->self || !members_lives(e))
        return;
    if (kernel_answers(m, e))
        vouch(m, l, e);
    else
        look_for(m, l, e);
    if (!e->link && e->refusals > 0) {
        struct gossip_frame frame = members_witness_frame(e, true);
        members_queue(m, l, &frame);
    }
}

/* ---- what others have seen ---- */

void members_meet_now(struct members *m, struct members_entry *e)
{
    if (e->link || e->token != 0 || e->dialled_ms >= e->known_ms)
        return;
    e->unplanned = false;
    e->dial_at_ms = members_earlier(e->dial_at_ms, m->now_ms);
    members_touch(m, e);
}

static void heard_stalled(struct members *m, struct members_link *l, struct members_entry *e)
{
    (void) l;
    members_corroborated(m, e);
    members_meet_now(m, e);
    if (e->link && e->pinged_ms == 0 && e->heard_ms < m->now_ms)
        members_ping(m, e);
}

/* Lifeguard's buddy system (section IV-C): the suspect is told by who has a link to it, so that it can refute. */
static void tell_suspect(struct members *m, struct members_entry *e)
{
    struct gossip_frame frame = {.kind = GOSSIP_NEWS, .news = GOSSIP_NEWS_SUSPECT, .incarnation = e->member.incarnation};
    memcpy(frame.target, e->member.id, sizeof frame.target);
    members_queue_hearsay(m, e->link, &frame);
}

static void heard_suspected(struct members *m, struct members_link *l, struct members_entry *e)
{
    struct swim_suspicion *s = &e->suspicion;
    if (e->link && e->member.state == MEMBER_ALIVE) {
        tell_suspect(m, e);
        if (e->link)
            look_for(m, l, e);
        return;
    }
    if (e->link)
        add_asker(e, l);
    members_corroborated(m, e);
    members_meet_now(m, e);
    if (!s->active)
        members_begin_suspicion(m, e, l->entry->slot); /* it convicts only with what this node sees itself */
    else if (swim_suspicion_confirm(s, l->entry->slot))
        members_touch(m, e);
}

static void accused_ourselves(struct members *m, struct members_link *l, const struct gossip_frame *f)
{
    struct gossip_frame beat = {.kind = GOSSIP_ACK, .loaded = members_load_numbers(m)};
    if (f->news == GOSSIP_NEWS_STALLED)
        members_queue(m, l, &beat);
    if (f->news != GOSSIP_NEWS_SUSPECT || f->incarnation != m->self->member.incarnation) /* one that we never had, only our own record can tell of */
        return;
    swim_health_note(&m->health, SWIM_HEALTH_ACCUSED);
    members_refute(m, f->incarnation);
}

void members_receive_news(struct members *m, struct members_link *l, const struct gossip_frame *f)
{
    struct members_entry *e = members_entry_find(m, f->target);
    if (!e)
        return;
    if (e == m->self) {
        accused_ourselves(m, l, f);
        return;
    }
    if (f->incarnation < e->member.incarnation || !members_lives(e)) {
        members_link_mark(m, l, e); /* he should know what we know */
        return;
    }
    if (f->incarnation > e->member.incarnation || e == l->entry)
        return;
    if (f->news == GOSSIP_NEWS_STALLED)
        heard_stalled(m, l, e);
    else if (f->news == GOSSIP_NEWS_SUSPECT)
        heard_suspected(m, l, e);
    else if (e->link && e->pinged_ms == 0 && e->member.state == MEMBER_STALLED)
        members_ping(m, e);
}
