/* Who is heard, and who is silent: signs of life, pings and their answers (members.h has the states and the reasons).
 *
 * A link is not pinged all the time. A node says something to its predecessor on the ring of ids every beat_ms, and is pinged by it when it does
 * not; and one member, taken in turn, is probed every probe_ms (SWIM, section 3.1). Whoever finds somebody silent tells all, and each looks for
 * itself: so it takes one watcher to see a silence, and no one's word to believe in it. */
#include "discovery/members_internal.h"

/* ---- hearing ---- */

bool members_link_fresh(const struct members *m, const struct members_link *l)
{
    return m->now_ms < l->heard_ms + m->times->late_ms && (!l->entry || l->entry->member.state != MEMBER_STALLED);
}

/* What made us think it gone was lost on the way: its host is there. From now on it is a process that is silent, and may yet wake. */
void members_kernel_found(struct members *m, struct members_entry *e)
{
    e->gone = false;
    e->failures = 0;
    e->vouched_ms = m->now_ms;
    if (e->silent_since_ms == 0)
        e->silent_since_ms = m->now_ms;
    if (e->suspicion.active)
        members_take_back(m, e);
    members_touch(m, e);
}

static void resume(struct members *m, struct members_entry *e)
{
    members_state_set(m, e, MEMBER_ALIVE);
    members_acquit(e);
    members_note(m, MEMBERS_RESUMED, e->member.id);
}

void members_heard(struct members *m, struct members_link *l)
{
    struct members_entry *e = l->entry;
    l->heard_ms = m->now_ms;
    if (!e)
        return;
    e->heard_ms = m->now_ms;
    e->pinged_ms = 0;
    e->told = e->blamed = false;
    e->accused_incarnation = 0;
    if (e->asker_count > 0)
        members_answer_askers(m, e);
    if (e->suspicion.active)
        members_take_back(m, e);
    if (e->member.state == MEMBER_STALLED)
        resume(m, e);
}

/* ---- pings and their answers ---- */

const uint32_t MEMBERS_RTT_BOUNDS_US[MEMBERS_RTT_BOUNDS] = {100, 250, 500, 1000, 2500, 5000, 10000, 25000, 50000, 100000, 250000, 500000, 1000000};

void members_set_precise(struct members *m, uint64_t now_ms, uint64_t now_us)
{
    m->precise_ms = now_ms;
    m->precise_us = now_us;
}

static uint64_t now_us(const struct members *m)
{
    return m->precise_ms == m->now_ms ? m->precise_us : m->now_ms * 1000;
}

void members_ping(struct members *m, struct members_entry *e)
{
    struct members_link *l = e->link;
    struct gossip_frame frame = {.kind = GOSSIP_PING, .sequence = ++l->sequence, .sent_at_ms = m->now_ms};
    if (e->pinged_ms == 0)
        e->pinged_ms = m->now_ms;
    e->repinged_ms = l->pinged_ms = m->now_ms;
    l->pinged_us = now_us(m);
    m->counters.probes++;
    members_queue(m, l, &frame);
    if (e->link) {
        members_piggyback(m, l);
        members_touch(m, e);
    }
}

/* By our own note of it when it answers the latest ping; else by what it says that we said. */
static uint64_t round_trip_us(const struct members *m, const struct members_link *l, uint64_t sent_at_ms)
{
    uint64_t sent_us = sent_at_ms == l->pinged_ms ? l->pinged_us : sent_at_ms * 1000;
    return members_later(now_us(m), sent_us) - sent_us;
}

static void note_round_trip(struct members *m, uint64_t rtt_us)
{
    unsigned at = 0;
    while (at < MEMBERS_RTT_BOUNDS && rtt_us > MEMBERS_RTT_BOUNDS_US[at])
        at++;
    m->counters.probe_rtts[at]++;
    m->counters.probe_rtt_us += rtt_us;
}

/* One with sequence 0 is a sign of life that was not asked for. */
void members_receive_ack(struct members *m, struct members_link *l, const struct gossip_frame *f)
{
    struct member *member = &l->entry->member;
    member->in_flight = f->loaded.in_flight;
    member->queued = f->loaded.queued;
    member->cpu_percent = f->loaded.cpu_percent;
    if (f->sequence == 0 || f->sequence > l->sequence || f->sent_at_ms > m->now_ms)
        return;
    uint64_t rtt_us = round_trip_us(m, l, f->sent_at_ms);
    member->rtt_us = (uint32_t) members_earlier(rtt_us, UINT32_MAX);
    note_round_trip(m, rtt_us);
    if (rtt_us <= m->times->ack_ms * UINT64_C(1000))
        swim_health_note(&m->health, SWIM_HEALTH_ANSWERED);
}

/* ---- silence ---- */

/* Its silence, if nobody else knows of it yet, may be our own fault. */
void members_tell_of_silence(struct members *m, struct members_entry *e)
{
    if (e->told)
        return;
    e->told = true;
    e->blamed = true;
    swim_health_note(&m->health, SWIM_HEALTH_UNANSWERED);
    members_tell_news(m, e, GOSSIP_NEWS_STALLED);
    members_ask_others(m, e);
}

/* One who falls silent may have troubles of his own; where it is two, the network may have split, and behind the split others are silent whom nobody watches from here. */
static void look_at_all(struct members *m)
{
    if (m->stalled < 2 || m->now_ms < m->looked_ms + m->times->late_ms)
        return;
    m->looked_ms = m->now_ms;
    for (struct members_link *l = m->links; l; l = l->next) {
        struct members_entry *e = l->entry;
        if (e && e->link == l && e->pinged_ms == 0 && m->now_ms >= e->heard_ms + m->times->late_ms)
            members_ping(m, e);
    }
}

void members_stall(struct members *m, struct members_entry *e)
{
    if (e->member.state != MEMBER_ALIVE)
        return;
    members_state_set(m, e, MEMBER_STALLED);
    m->counters.stalls++;
    members_note(m, MEMBERS_STALLED, e->member.id);
    members_touch(m, e);
    look_at_all(m);
}
