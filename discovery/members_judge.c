/* What time and lost links bring: each judge looks at one member and says when to look again. */
#include "discovery/members_internal.h"

enum { MANY = 4 };

uint64_t members_last_sign_ms(const struct members *m, const struct members_entry *e)
{
    uint64_t quiet = m->times->late_ms + m->times->ack_ms;
    uint64_t asked = e->unanswered_ms > quiet ? e->unanswered_ms - quiet : 0;
    return members_later(members_later(e->heard_ms, asked), e->vouched_ms);
}

/* ---- links that end ---- */

void members_lost(struct members *m, struct members_entry *e, enum members_loss loss)
{
    e->link = members_link_spare(m, e);
    e->member.linked = e->link != NULL;
    e->unanswered_ms = e->pinged_ms != 0 ? e->pinged_ms : m->now_ms;
    e->pinged_ms = 0;
    members_ring_look(m, e);
    members_touch(m, e);
    if (e->link || !members_lives(e) || (loss != MEMBERS_LOST_TIMEOUT && !members_wanted(m, e)))
        return;
    if (loss == MEMBERS_LOST_TIMEOUT && members_is_accused(m, e)) {
        members_convict(m, e); /* the others saw it before us */
        return;
    }
    if (!members_link_pending(m, e->member.id) && e->token == 0) /* of two links to one member the first may end before the second is ready */
        members_stall(m, e);
    e->gone = loss == MEMBERS_LOST_TIMEOUT;
    e->failures = e->gone ? 1 : 0;
    e->refusals = 0;
    e->dial_at_ms = m->now_ms + (e->gone || m->living <= MANY ? 0 : swim_random_below(&m->random, 2 * m->living)); /* two witnesses are enough */
}

/* ---- judges ---- */

static uint64_t judge_silence(struct members *m, struct members_entry *e)
{
    uint64_t late = e->pinged_ms + swim_health_scale(&m->health, m->times->ack_ms);
    if (e->member.state == MEMBER_ALIVE) {
        if (m->now_ms < late)
            return late;
        members_stall(m, e);
        members_tell_of_silence(m, e);
    }
    if (!e->link)
        return m->now_ms + 1;
    if (m->now_ms >= e->repinged_ms + m->times->stalled_ping_ms)
        members_ping(m, e);
    return e->repinged_ms + m->times->stalled_ping_ms;
}

/* The link stands, so the kernel at its other end answers; the process has said nothing for long. */
static uint64_t judge_standstill(struct members *m, struct members_entry *e)
{
    uint64_t silent = members_later(e->link->heard_ms, e->pinged_ms) + m->times->silent_ms; /* before the ping nobody expected a word */
    if (m->now_ms < silent)
        return silent;
    if (e->vouched_ms > silent) {
        members_link_close(m, e->link); /* others hear him: the link is at fault */
        e->dial_at_ms = m->now_ms;
        return m->now_ms + 1;
    }
    members_suspect(m, e);
    uint64_t due = swim_suspicion_due_ms(&e->suspicion);
    if (m->now_ms >= due)
        members_convict(m, e);
    return due;
}

/* Beyond the active view a link is kept for a while, and ended by who made it. */
static uint64_t judge_surplus(struct members *m, struct members_entry *e)
{
    if (!e->link->dialled || members_wanted(m, e))
        return MEMBERS_NEVER;
    members_link_close(m, e->link);
    return MEMBERS_NEVER;
}

static uint64_t judge_linked(struct members *m, struct members_entry *e)
{
    uint64_t due = MEMBERS_NEVER;
    if (e->pinged_ms == 0 && e == m->watched) {
        due = e->heard_ms + m->times->late_ms;
        if (m->now_ms >= due)
            members_ping(m, e);
    } else if (e->pinged_ms == 0 && e->member.state == MEMBER_STALLED) { /* the link on which it was silent has ended, and another one stands */
        members_ping(m, e);
    }
    if (e->link && e->pinged_ms != 0)
        due = judge_silence(m, e);
    if (e->link && e->member.state == MEMBER_STALLED)
        due = members_earlier(due, judge_standstill(m, e));
    if (e->link && m->living > MEMBERS_LINKS_MAX && e->member.state == MEMBER_ALIVE) {
        judge_surplus(m, e);
        due = members_earlier(due, members_later(e->keep_until_ms, m->now_ms + m->times->sync_ms));
    }
    return due;
}

static uint64_t judge_unlinked(struct members *m, struct members_entry *e)
{
    uint64_t last = members_later(members_last_sign_ms(m, e), e->known_ms), due;
    if (members_link_pending(m, e->member.id))
        return m->now_ms + m->times->ack_ms;
    if (!e->gone && e->silent_since_ms == 0)
        return MEMBERS_NEVER;
    if (e->silent_since_ms != 0)
        last = members_later(last, e->silent_since_ms + m->times->silent_ms - m->times->gone_ms);
    if (!e->gone && m->now_ms < last)
        return last;
    members_ask_others(m, e);
    if (e->vouched_ms != 0 && m->now_ms < e->vouched_ms + m->times->gone_ms / 2)
        return members_earlier(e->vouched_ms + m->times->gone_ms / 2, e->asked_ms + MEMBERS_ASK_MS);
    members_suspect(m, e);
    swim_suspicion_need(&e->suspicion, members_others_living(m, e));
    due = last + m->times->gone_ms;
    if (!members_is_accused(m, e))
        due = members_later(due, swim_suspicion_due_ms(&e->suspicion));
    if (m->now_ms < due)
        return members_earlier(due, e->asked_ms + MEMBERS_ASK_MS);
    members_convict(m, e);
    return MEMBERS_NEVER;
}

static uint64_t judge_ended(struct members *m, struct members_entry *e)
{
    uint64_t reap = e->ended_ms + m->times->reap_ms;
    if (!e->link)
        return reap;
    if (m->now_ms < e->link->heard_ms + m->times->silent_ms)
        return e->link->heard_ms + m->times->silent_ms;
    members_link_close(m, e->link);
    return reap;
}

static void judge(struct members *m, struct members_entry *e)
{
    uint64_t due;
    if (!members_lives(e) && !e->link && m->now_ms >= e->ended_ms + m->times->reap_ms) {
        members_entry_remove(m, e);
        return;
    }
    if (!members_lives(e))
        due = judge_ended(m, e);
    else
        due = e->link ? judge_linked(m, e) : judge_unlinked(m, e);
    due = members_earlier(due, members_consider_dial(m, e));
    if (due != MEMBERS_NEVER)
        swim_timers_set(&m->timers, e->slot, members_later(due, m->now_ms + 1));
}
uint64_t members_pause_ms(const struct members *m)
{
    uint64_t late = m->due_ms != 0 && m->now_ms > m->due_ms ? m->now_ms - m->due_ms : 0;
    return late >= MEMBERS_PAUSE_MS ? late : 0;
}

/* When what has come in while we stood still is read before time is looked at, nobody is judged by that time: the next tick forgives it first. */
void members_settle(struct members *m)
{
    uint16_t slot;
    if (m->ring_changed)
        members_ring_update(m);
    while (!m->leaving && members_pause_ms(m) == 0 && swim_timers_pop(&m->timers, m->now_ms, &slot))
        if (m->slots[slot] && m->slots[slot] != m->self)
            judge(m, m->slots[slot]);
}
