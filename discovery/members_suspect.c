/* Suspicion and conviction: who accuses whom, what takes it back, and the witnesses of a dead process. */
#include <string.h>

#include "discovery/members_internal.h"

/* ---- suspicion ---- */

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

/* Who has counted our suspicion hears that it was none. */
void members_take_back(struct members *m, struct members_entry *e)
{
    struct gossip_frame frame = members_witness_frame(e, false);
    if (swim_suspicion_accused_by(&e->suspicion, m->self->slot))
        members_queue_all(m, &frame, e);
    swim_suspicion_end(&e->suspicion);
}

static unsigned others_alive(const struct members *m, const struct members_entry *but, unsigned enough)
{
    unsigned count = 0;
    for (size_t i = 1; i < m->count && count < enough; i++)
        count += m->order[i] != but && m->order[i]->member.state == MEMBER_ALIVE;
    return count;
}

/* Also those that are silent for us: under heavy loss they may hear whom we do not, and be heard again. */
unsigned members_others_living(const struct members *m, const struct members_entry *but)
{
    size_t others = m->living - 1 - (but->living ? 1 : 0);
    return others < MEMBERS_CONFIRMATIONS ? (unsigned) others : MEMBERS_CONFIRMATIONS;
}

void members_begin_suspicion(struct members *m, struct members_entry *e, uint16_t accuser)
{
    unsigned needed = members_others_living(m, e);
    m->counters.suspicions++;
    swim_suspicion_begin(&e->suspicion, e->member.incarnation, accuser, needed, m->times->suspect_min_ms, m->times->suspect_max_ms, m->now_ms);
}

/* By what this node has seen itself. Told to all: who hears the suspect says so, the suspect refutes it, and who has seen the same confirms. */
void members_suspect(struct members *m, struct members_entry *e)
{
    struct swim_suspicion *s = &e->suspicion;
    bool news = true;
    if (s->active && swim_suspicion_accused_by(s, m->self->slot))
        return;
    if (s->active)
        news = swim_suspicion_confirm(s, m->self->slot);
    else
        members_begin_suspicion(m, e, m->self->slot);
    if (news)
        members_tell_news(m, e, GOSSIP_NEWS_SUSPECT);
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
bool members_is_accused(const struct members *m, const struct members_entry *e)
{
    return e->accused_incarnation == e->member.incarnation && m->now_ms < e->accused_ms + 2 * m->times->gone_ms;
}

/* A refused dial is a witness of a dead process; where there is only one witness, it must have seen it twice. */
static void judge_witnesses(struct members *m, struct members_entry *e)
{
    if (!members_lives(e) || e->link)
        return;
    bool alone = others_alive(m, e, 1) == 0, convicted = members_is_accused(m, e) && e->refusals > 0;
    if (convicted || (alone ? e->refusals >= 2 : e->witness_count >= 2))
        members_convict(m, e);
}

void members_refused(struct members *m, struct members_entry *e)
{
    struct gossip_frame frame = members_witness_frame(e, true);
    e->refusals++;
    if (e->witness_count < 2) /* enough have said so otherwise */
        members_queue_all(m, &frame, e);
    add_witness(e, m->self->member.id);
    judge_witnesses(m, e);
}

void members_corroborated(struct members *m, struct members_entry *e)
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
    members_corroborated(m, e);
    add_witness(e, witness);
    if (!e->link && !e->token)
        e->dial_at_ms = m->now_ms; /* see for ourselves */
    members_touch(m, e);
    judge_witnesses(m, e);
}
