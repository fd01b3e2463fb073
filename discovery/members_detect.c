/* Who is heard, who is silent, who is suspected, who is dead (members.h has the states and the reasons).
 *
 * A link is not pinged all the time. A node says something to its predecessor on the ring of ids every beat_ms, and is pinged by it when it does
 * not; and one member, taken in turn, is probed every probe_ms (SWIM, section 3.1). Whoever finds somebody silent tells all, and each looks for
 * itself: so it takes one watcher to see a silence, and no one's word to believe in it. */
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "discovery/members_internal.h"

enum { ASK_MS = 1000, MANY = 4, GIVES_UP_LATE_MS = 2000 };

static const uint64_t NEVER = UINT64_MAX;

bool members_lives(const struct members_entry *e)
{
    return e->member.state == MEMBER_ALIVE || e->member.state == MEMBER_STALLED;
}

bool members_link_fresh(const struct members *m, const struct members_link *l)
{
    return m->now_ms < l->heard_ms + m->times->late_ms && (!l->entry || l->entry->member.state != MEMBER_STALLED);
}

void members_touch(struct members *m, struct members_entry *e)
{
    swim_timers_set(&m->timers, e->slot, m->now_ms);
}

void members_acquit(struct members_entry *e)
{
    e->failures = 0;
    e->refusals = 0;
    e->witness_count = 0;
    e->gone = false;
    e->silent_since_ms = 0;
    e->accused_incarnation = 0;
    swim_suspicion_end(&e->suspicion);
}

/* ---- telling others ---- */

static void tell_news(struct members *m, const struct members_entry *e, enum gossip_news news)
{
    struct gossip_frame frame = {.kind = GOSSIP_NEWS, .news = news, .incarnation = e->member.incarnation};
    memcpy(frame.target, e->member.id, sizeof frame.target);
    members_queue_all(m, &frame, e);
}

static struct gossip_frame witness_frame(const struct members_entry *e, bool refused)
{
    struct gossip_frame frame = {.kind = GOSSIP_WITNESS, .incarnation = e->member.incarnation, .refused = refused};
    memcpy(frame.target, e->member.id, sizeof frame.target);
    return frame;
}

static void vouch(struct members *m, struct members_link *l, const struct members_entry *e)
{
    struct gossip_frame frame = witness_frame(e, false);
    members_queue(m, l, &frame);
}

/* SWIM's indirect probe (section 3.1): k others, at most once a second, whether they hear from a member that we do not. */
static void ask_others(struct members *m, struct members_entry *e)
{
    struct gossip_frame frame = {.kind = GOSSIP_PROBE};
    if (e->asked_ms != 0 && m->now_ms < e->asked_ms + ASK_MS)
        return;
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

static void answer_askers(struct members *m, struct members_entry *e)
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

/* ---- hearing ---- */

/* Who has counted our suspicion hears that it was none. */
static void take_back(struct members *m, struct members_entry *e)
{
    struct gossip_frame frame = witness_frame(e, false);
    if (swim_suspicion_accused_by(&e->suspicion, m->self->slot))
        members_queue_all(m, &frame, e);
    swim_suspicion_end(&e->suspicion);
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
        take_back(m, e);
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
        answer_askers(m, e);
    if (e->suspicion.active)
        take_back(m, e);
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
static void tell_of_silence(struct members *m, struct members_entry *e)
{
    if (e->told)
        return;
    e->told = true;
    e->blamed = true;
    swim_health_note(&m->health, SWIM_HEALTH_UNANSWERED);
    tell_news(m, e, GOSSIP_NEWS_STALLED);
    ask_others(m, e);
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

/* ---- suspicion and conviction ---- */

static unsigned others_alive(const struct members *m, const struct members_entry *but, unsigned enough)
{
    unsigned count = 0;
    for (size_t i = 1; i < m->count && count < enough; i++)
        count += m->order[i] != but && m->order[i]->member.state == MEMBER_ALIVE;
    return count;
}

/* Also those that are silent for us: under heavy loss they may hear whom we do not, and be heard again. */
static unsigned others_living(const struct members *m, const struct members_entry *but)
{
    size_t others = m->living - 1 - (but->living ? 1 : 0);
    return others < MEMBERS_CONFIRMATIONS ? (unsigned) others : MEMBERS_CONFIRMATIONS;
}

static void begin_suspicion(struct members *m, struct members_entry *e, uint16_t accuser)
{
    unsigned needed = others_living(m, e);
    m->counters.suspicions++;
    swim_suspicion_begin(&e->suspicion, e->member.incarnation, accuser, needed, m->times->suspect_min_ms, m->times->suspect_max_ms, m->now_ms);
}

/* By what this node has seen itself. Told to all: who hears the suspect says so, the suspect refutes it, and who has seen the same confirms. */
static void suspect(struct members *m, struct members_entry *e)
{
    struct swim_suspicion *s = &e->suspicion;
    bool news = true;
    if (s->active && swim_suspicion_accused_by(s, m->self->slot))
        return;
    if (s->active)
        news = swim_suspicion_confirm(s, m->self->slot);
    else
        begin_suspicion(m, e, m->self->slot);
    if (news)
        tell_news(m, e, GOSSIP_NEWS_SUSPECT);
}

void members_convict(struct members *m, struct members_entry *e)
{
    members_acquit(e);
    members_state_set(m, e, MEMBER_DEAD);
    e->ended_ms = m->now_ms;
    e->dial_at_ms = members_redial_dead(m, e);
    m->counters.deaths++;
    members_note(m, MEMBERS_FAILED, e->member.id);
    if (e->link)
        members_link_close(m, e->link);
    members_pass_on(m, e); /* the others see it for themselves, mostly */
    members_touch(m, e);
}

/* ---- witnesses of a dead process ---- */

static void add_witness(struct members_entry *e, const char *id)
{
    for (unsigned i = 0; i < e->witness_count; i++)
        if (strcmp(e->witnesses[i], id) == 0)
            return;
    if (e->witness_count < MEMBERS_WITNESSES_MAX)
        memcpy(e->witnesses[e->witness_count++], id, MEMBER_ID_SIZE);
}

/* Others have convicted it, and we were not sure: it has had time to refute that. */
static bool is_accused(const struct members *m, const struct members_entry *e)
{
    return e->accused_incarnation == e->member.incarnation && m->now_ms < e->accused_ms + 2 * m->times->gone_ms;
}

/* A refused dial is a witness of a dead process; where there is only one witness, it must have seen it twice. */
static void judge_witnesses(struct members *m, struct members_entry *e)
{
    if (!members_lives(e) || e->link)
        return;
    bool alone = others_alive(m, e, 1) == 0, convicted = is_accused(m, e) && e->refusals > 0;
    if (convicted || (alone ? e->refusals >= 2 : e->witness_count >= 2))
        members_convict(m, e);
}

void members_refused(struct members *m, struct members_entry *e)
{
    struct gossip_frame frame = witness_frame(e, true);
    e->refusals++;
    if (e->witness_count < 2) /* enough have said so otherwise */
        members_queue_all(m, &frame, e);
    add_witness(e, m->self->member.id);
    judge_witnesses(m, e);
}

static void corroborated(struct members *m, struct members_entry *e)
{
    e->told = true;
    if (e->blamed)
        swim_health_note(&m->health, SWIM_HEALTH_CORROBORATED);
    e->blamed = false;
}

static void contradicted(struct members *m, struct members_entry *e)
{
    e->vouched_ms = m->now_ms;
    swim_suspicion_end(&e->suspicion);
    if (e->blamed)
        swim_health_note(&m->health, SWIM_HEALTH_CONTRADICTED);
    e->blamed = false;
}

void members_witness(struct members *m, const char *witness, const struct gossip_frame *frame)
{
    struct members_entry *e = members_entry_find(m, frame->target);
    if (!e || e == m->self || !members_lives(e) || frame->incarnation < e->member.incarnation)
        return;
    if (!frame->refused) {
        contradicted(m, e); /* also when it has refuted already, and we do not know yet */
        return;
    }
    if (frame->incarnation != e->member.incarnation)
        return;
    corroborated(m, e);
    add_witness(e, witness);
    if (!e->link && !e->token)
        e->dial_at_ms = m->now_ms; /* see for ourselves */
    members_touch(m, e);
    judge_witnesses(m, e);
}

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

/* Its link would have been given up if nothing were acknowledged: it is the process that is silent, and it may yet wake. When we have just woken
 * ourselves we do not know what became of the link. */
static bool kernel_answers(const struct members *m, const struct members_entry *e)
{
    return m->now_ms < m->due_ms + MEMBERS_PAUSE_MS && e->link && e->pinged_ms != 0 && m->now_ms > e->pinged_ms + m->times->unacknowledged_ms + GIVES_UP_LATE_MS &&
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
        struct gossip_frame frame = witness_frame(e, true);
        members_queue(m, l, &frame);
    }
}

uint64_t members_last_sign_ms(const struct members *m, const struct members_entry *e)
{
    uint64_t quiet = m->times->late_ms + m->times->ack_ms;
    uint64_t asked = e->unanswered_ms > quiet ? e->unanswered_ms - quiet : 0;
    return members_later(members_later(e->heard_ms, asked), e->vouched_ms);
}

/* ---- what others have seen ---- */

/* A newcomer has no link yet to most, and would meet this one only later. */
static void meet_now(struct members *m, struct members_entry *e)
{
    if (e->link || e->token != 0 || e->dialled_ms >= e->known_ms)
        return;
    e->dial_at_ms = members_earlier(e->dial_at_ms, m->now_ms);
    members_touch(m, e);
}

static void heard_stalled(struct members *m, struct members_link *l, struct members_entry *e)
{
    (void) l;
    corroborated(m, e);
    meet_now(m, e);
    if (e->link && e->pinged_ms == 0 && e->heard_ms < m->now_ms)
        members_ping(m, e);
}

/* Lifeguard's buddy system (section IV-C): the suspect is told by who has a link to it, so that it can refute. */
static void tell_suspect(struct members *m, struct members_entry *e)
{
    struct gossip_frame frame = {.kind = GOSSIP_NEWS, .news = GOSSIP_NEWS_SUSPECT, .incarnation = e->member.incarnation};
    memcpy(frame.target, e->member.id, sizeof frame.target);
    members_queue(m, e->link, &frame);
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
    corroborated(m, e);
    meet_now(m, e);
    if (!s->active)
        begin_suspicion(m, e, l->entry->slot); /* it convicts only with what this node sees itself */
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

/* ---- links that end ---- */

void members_lost(struct members *m, struct members_entry *e, enum members_loss loss)
{
    e->link = members_link_spare(m, e);
    e->member.linked = e->link != NULL;
    e->unanswered_ms = e->pinged_ms != 0 ? e->pinged_ms : m->now_ms;
    e->pinged_ms = 0;
    m->ring_changed = true;
    members_touch(m, e);
    if (e->link || !members_lives(e) || (loss != MEMBERS_LOST_TIMEOUT && !members_wanted(m, e)))
        return;
    if (loss == MEMBERS_LOST_TIMEOUT && is_accused(m, e)) {
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

/* ---- what time brings: each judge looks at one member and says when to look again ---- */

static uint64_t judge_silence(struct members *m, struct members_entry *e)
{
    uint64_t late = e->pinged_ms + swim_health_scale(&m->health, m->times->ack_ms);
    if (e->member.state == MEMBER_ALIVE) {
        if (m->now_ms < late)
            return late;
        members_stall(m, e);
        tell_of_silence(m, e);
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
    suspect(m, e);
    uint64_t due = swim_suspicion_due_ms(&e->suspicion);
    if (m->now_ms >= due)
        members_convict(m, e);
    return due;
}

/* Beyond the active view a link is kept for a while, and ended by who made it. */
static uint64_t judge_surplus(struct members *m, struct members_entry *e)
{
    if (!e->link->dialled || members_wanted(m, e))
        return NEVER;
    members_link_close(m, e->link);
    return NEVER;
}

static uint64_t judge_linked(struct members *m, struct members_entry *e)
{
    uint64_t due = NEVER;
    if (e->pinged_ms == 0 && e == m->watched) {
        due = e->heard_ms + m->times->late_ms;
        if (m->now_ms >= due)
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
        return NEVER;
    if (e->silent_since_ms != 0)
        last = members_later(last, e->silent_since_ms + m->times->silent_ms - m->times->gone_ms);
    if (!e->gone && m->now_ms < last)
        return last;
    ask_others(m, e);
    if (e->vouched_ms != 0 && m->now_ms < e->vouched_ms + m->times->gone_ms / 2)
        return members_earlier(e->vouched_ms + m->times->gone_ms / 2, e->asked_ms + ASK_MS);
    suspect(m, e);
    swim_suspicion_need(&e->suspicion, others_living(m, e));
    due = last + m->times->gone_ms;
    if (!is_accused(m, e))
        due = members_later(due, swim_suspicion_due_ms(&e->suspicion));
    if (m->now_ms < due)
        return members_earlier(due, e->asked_ms + ASK_MS);
    members_convict(m, e);
    return NEVER;
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
    if (due != NEVER)
        swim_timers_set(&m->timers, e->slot, members_later(due, m->now_ms + 1));
}

/* How long we have not run when we should have; 0: we have. */
static uint64_t pause_ms(const struct members *m)
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
    while (!m->leaving && pause_ms(m) == 0 && swim_timers_pop(&m->timers, m->now_ms, &slot))
        if (m->slots[slot] && m->slots[slot] != m->self)
            judge(m, m->slots[slot]);
}

static void tend_pending_links(struct members *m)
{
    for (struct members_link *l = m->links; l; l = l->next)
        if (!l->closing && !l->ready && m->now_ms >= l->opened_ms + m->times->hello_ms)
            members_link_close(m, l);
}

/* ---- this node's own signs of life, and its probes ---- */

static uint64_t beat_due(const struct members *m)
{
    return m->watcher && m->watcher->link ? m->watcher->link->sent_ms + m->times->beat_ms : NEVER;
}

static void beat(struct members *m)
{
    struct gossip_frame frame = {.kind = GOSSIP_ACK, .loaded = members_load_numbers(m)};
    if (m->now_ms < beat_due(m))
        return;
    m->watcher->link->sent_ms = m->now_ms;
    members_queue(m, m->watcher->link, &frame);
    if (m->watcher && m->watcher->link)
        members_piggyback(m, m->watcher->link);
}

/* Beyond the active view: dialled now, and kept for a while. */
void members_seek(struct members *m, struct members_entry *e)
{
    e->keep_until_ms = m->now_ms + 2 * m->times->probe_ms;
    e->dial_at_ms = m->now_ms;
    members_touch(m, e);
}

/* Who was heard of late needs no probe; who is beyond the active view is dialled for it. */
static bool probe_one(struct members *m, struct members_entry *e)
{
    if (!e || !members_lives(e) || m->now_ms < e->heard_ms + m->times->probe_ms)
        return false;
    if (e->link && e->pinged_ms == 0) {
        members_ping(m, e);
        return true;
    }
    if (e->link || members_wanted(m, e))
        return false;
    members_seek(m, e);
    return true;
}

static void probe_next(struct members *m)
{
    uint16_t slot;
    m->probe_at_ms = m->now_ms + swim_health_scale(&m->health, m->times->probe_ms);
    for (size_t tries = m->probe.count; tries > 0 && swim_probe_next(&m->probe, &m->random, &slot); tries--)
        if (probe_one(m, m->slots[slot]))
            return;
}

/* Of two links that were both kept the other side mostly ends one; one that says nothing is of no use. */
static void close_spare_links(struct members *m)
{
    for (struct members_link *l = m->links; l; l = l->next)
        if (l->ready && !l->closing && l->entry->link != l && m->now_ms >= l->heard_ms + m->times->silent_ms)
            members_link_close(m, l);
}

static void compare_views(struct members *m)
{
    close_spare_links(m);
    struct members_link *l = members_link_random(m);
    m->sync_at_ms = m->now_ms + m->times->sync_ms * 3 / 4 + swim_random_below(&m->random, m->times->sync_ms / 2 + 1);
    if (l)
        members_tell_view(m, l);
}

/* ---- our own pauses ---- */

static void forgive(uint64_t *moment_ms, uint64_t pause_ms, uint64_t now_ms)
{
    if (*moment_ms != 0)
        *moment_ms = members_earlier(*moment_ms + pause_ms, now_ms);
}

/* A link whose Hello was on its way when a long pause began has most likely been given up by the other side, in silence: if the Hello is not here soon, another
 * one is dialled. */
static void forgive_link(struct members *m, struct members_link *l, uint64_t pause_ms)
{
    forgive(&l->heard_ms, pause_ms, m->now_ms);
    forgive(&l->opened_ms, pause_ms, m->now_ms);
    if (!l->ready && pause_ms > m->times->hello_ms && m->now_ms > m->times->hello_ms)
        l->opened_ms = members_earlier(l->opened_ms, m->now_ms - m->times->hello_ms + m->times->late_ms);
}

/* When we ourselves did not run (a stopped process, a sleeping machine), the others' silence is ours: it is not held against them. */
static void forgive_pause(struct members *m)
{
    uint64_t pause = pause_ms(m);
    if (pause == 0)
        return;
    m->due_ms = m->now_ms;
    swim_health_note(&m->health, SWIM_HEALTH_PAUSED);
    for (struct members_link *l = m->links; l; l = l->next)
        forgive_link(m, l, pause);
    for (size_t i = 1; i < m->count; i++) {
        struct members_entry *e = m->order[i];
        uint64_t *const moments[] = {&e->known_ms, &e->heard_ms, &e->vouched_ms, &e->pinged_ms, &e->unanswered_ms, &e->suspicion.began_ms};
        for (size_t k = 0; k < sizeof moments / sizeof *moments; k++)
            forgive(moments[k], pause, m->now_ms);
    }
}

static uint64_t next_due(const struct members *m)
{
    uint64_t due = members_earlier(m->now_ms + MEMBERS_TICK_MAX_MS, swim_timers_next_ms(&m->timers));
    due = members_earlier(due, beat_due(m));
    due = members_earlier(due, m->probe_at_ms);
    due = members_earlier(due, m->sync_at_ms);
    if (m->spread.count > 0)
        due = members_earlier(due, m->spread_at_ms);
    if (m->seed_due_ms > m->now_ms)
        due = members_earlier(due, m->seed_due_ms);
    if (m->refute_above != 0)
        due = members_earlier(due, m->refuted_ms + 1000);
    return members_later(due, m->now_ms + 1);
}

uint64_t members_tick(struct members *m, uint64_t now_ms)
{
    m->now_ms = members_later(m->now_ms, now_ms);
    forgive_pause(m);
    if (m->pending_count > 0)
        tend_pending_links(m);
    if (m->refute_above != 0)
        members_refute(m, m->refute_above);
    members_settle(m);
    if (m->now_ms >= m->probe_at_ms)
        probe_next(m);
    if (m->now_ms >= m->sync_at_ms)
        compare_views(m);
    if (m->spread.count > 0 && m->now_ms >= m->spread_at_ms)
        members_flush_news(m);
    beat(m);
    members_settle(m);
    m->due_ms = next_due(m);
    return m->due_ms - m->now_ms;
}
