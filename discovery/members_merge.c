/* Claims about members: which of two is newer, and what follows from it; and the Hello that opens a link. */
#include <stdio.h>
#include <string.h>

#include "base/err.h"
#include "discovery/members_internal.h"

enum { REFUTATIONS_PER_SECOND = 8 };

/* What of an incarnation beats what: alive < dead < left. */
static int rank_of(enum member_state state)
{
    return state == MEMBER_EVICTED ? 3 : state == MEMBER_LEFT ? 2 : state == MEMBER_DEAD ? 1 : 0;
}

static int compare_u64(uint64_t a, uint64_t b)
{
    return a < b ? -1 : a > b;
}

/* Order of two claims about one member: incarnation, then state, then revision. */
static int claim_compare(const struct gossip_entry *claim, const struct member *known)
{
    int order = compare_u64(claim->member->incarnation, known->incarnation);
    if (order == 0)
        order = rank_of(claim->state) - rank_of(known->state);
    return order != 0 ? order : compare_u64(claim->member->revision, known->revision);
}

static bool is_newer_record(const struct member *claimed, const struct member *known)
{
    return claimed->incarnation > known->incarnation || (claimed->incarnation == known->incarnation && claimed->revision > known->revision);
}

/* Whether a record that would replace what is known (e, NULL: nothing) is not its owner's own. */
static bool is_forged(struct members *m, const struct members_entry *e, const struct gossip_entry *claim)
{
    bool asked = m->admit && (!e || is_newer_record(claim->member, &e->member));
    bool forged = asked && !m->admit(m->ctx, claim);
    m->counters.rejected += forged;
    return forged;
}

/* At most so many a second: one that does nothing but accuse us must not make us shout all the time. */
void members_refute(struct members *m, uint64_t incarnation)
{
    struct member next = m->self->member;
    if (m->leaving)
        return;
    if (m->now_ms >= m->refuted_ms + 1000 || m->refuted_ms == 0) {
        m->refuted_ms = m->now_ms;
        m->refuted_count = 0;
    }
    incarnation = members_later(incarnation, m->refute_above);
    m->refute_above = 0;
    if (incarnation < next.incarnation)
        return;
    if (m->refuted_count++ >= REFUTATIONS_PER_SECOND) {
        m->refute_above = incarnation;
        return;
    }
    next.incarnation = incarnation + 1;
    next.state = MEMBER_ALIVE;
    if (next.incarnation >= MEMBER_INCARNATION_LIMIT || members_self_repack(m, &next) != 0)
        return;
    m->counters.refutations++;
    members_spread(m, m->self, NULL);
    members_pass_on(m, m->self);
}

/* Only a node speaks for its own aliveness: a claim that we are gone, or one of an incarnation we never had, is outdone. */
static void claim_about_self(struct members *m, const struct gossip_entry *claim)
{
    const struct member *self = &m->self->member;
    bool accused = claim->state != MEMBER_ALIVE && claim->member->incarnation >= self->incarnation;
    /* An earlier process of this node, whose clock was ahead, has used this incarnation before. */
    bool taken = claim->member->incarnation == self->incarnation && claim->member->started_at_ms != self->started_at_ms;
    if (accused || taken || claim_compare(claim, self) > 0)
        members_refute(m, claim->member->incarnation);
}

/* Whose own link it came on is told of to all at once: nobody else may have it yet. So is who came back, since all that lost him wait for it. What
 * others know too is passed on in SWIM's way, but by which of two this node goes now, which is to be known of each. */
static void tell_others(struct members *m, const struct members_entry *e, const struct members_link *from)
{
    if (m->name_moved)
        members_spread(m, e, NULL);
    if (strcmp(from->peer, e->member.id) == 0 && !from->ready)
        members_spread(m, e, from);
    members_pass_on(m, e);
}

/* As many as there may be, then one a second: more than that it makes up, or somebody does to it. Those that it has met have a measure of their own, so that they are heard of beside others'. */
static bool may_tell(const struct members *m, struct members_entry *teller, bool met)
{
    return !teller || token_bucket_take(met ? &teller->meets : &teller->tells, 1, m->now_ms);
}

static void learn(struct members *m, struct members_link *from, const struct gossip_entry *claim)
{
    if (rank_of(claim->state) > 0) /* the dead of before our time are none of ours */
        return;
    if (!may_tell(m, from->entry, claim->met))
        return;
    struct members_entry *e = members_entry_add(m, claim->member->id, from->peer);
    if (!e)
        return;
    e->told_met = claim->met;
    if (members_entry_set(m, e, claim->member, claim->record) != 0) {
        members_entry_remove(m, e);
        return;
    }
    members_known_there(from, e);
    members_schedule_first_dial(m, e);
    members_note(m, MEMBERS_JOINED, e->member.id);
    tell_others(m, e, from);
}

void members_accuse(struct members *m, struct members_entry *e, struct slice record, enum member_state state)
{
    struct gossip_entry entry = {.record = record, .state = state};
    struct gossip_frame frame = {.kind = GOSSIP_TABLE, .entries = &entry, .entry_count = 1};
    members_queue_hearsay(m, e->link, &frame);
}

/* Others hold somebody for dead to whom our link stands. He is told, and refutes it; when he was not heard just now he is pinged too. Until our
 * own link is gone, or has been silent for long, he lives for us: what killed him would have ended it. Nor is he dead whom somebody heard within the time
 * that makes him so: under heavy loss the one verdict that is wrong would be everybody's. True when the claim is not believed yet. */
static bool doubt(struct members *m, struct members_entry *e, const struct gossip_entry *claim)
{
    uint64_t last = members_last_sign_ms(m, e);
    if (!e->link && (last == 0 || m->now_ms >= last + m->times->gone_ms || e->refusals > 0))
        return false;
    if (e->link)
        members_accuse(m, e, claim->record, claim->state);
    if (e->link && members_link_fresh(m, e->link))
        return true;
    e->accused_ms = m->now_ms;
    e->accused_incarnation = claim->member->incarnation;
    if (e->link && e->pinged_ms == 0)
        members_ping(m, e);
    if (!e->link && !members_wanted(m, e))
        members_seek(m, e); /* its link was ended since it was not needed: nothing else would look */
    members_meet_now(m, e);
    members_touch(m, e);
    return true;
}

static void end_member(struct members *m, struct members_entry *e, enum member_state state)
{
    if (state == MEMBER_DEAD)
        m->counters.deaths++;
    members_acquit(e);
    members_state_set(m, e, state);
    e->ended_ms = m->now_ms;
    e->dial_at_ms = members_redial_dead(m, e);
    members_touch(m, e);
    members_note(m, state == MEMBER_DEAD ? MEMBERS_FAILED : MEMBERS_LEFT, e->member.id);
}

/* What a newer record of somebody who lives means. */
static enum members_event_kind news_of(enum member_state before, bool new_process)
{
    if (before == MEMBER_DEAD || before == MEMBER_LEFT)
        return new_process ? MEMBERS_JOINED : MEMBERS_RESUMED;
    return new_process ? MEMBERS_RESTARTED : MEMBERS_UPDATED;
}

static void live_on(struct members *m, struct members_entry *e, enum member_state before, bool new_process)
{
    bool was_gone = before == MEMBER_DEAD || before == MEMBER_LEFT;
    if (was_gone || new_process) {
        members_acquit(e);
        e->known_ms = m->now_ms;
        members_state_set(m, e, MEMBER_ALIVE);
        if (!e->link && !e->token)
            members_schedule_first_dial(m, e);
    }
    if (before == MEMBER_DEAD)
        e->returned_ms = m->now_ms;
    m->counters.false_positives += before == MEMBER_DEAD && !new_process;
    members_note(m, news_of(before, new_process), e->member.id);
}

static void accept(struct members *m, struct members_entry *e, const struct gossip_entry *claim)
{
    enum member_state before = e->member.state;
    bool newer_record = is_newer_record(claim->member, &e->member);
    bool new_process = claim->member->started_at_ms != e->member.started_at_ms;
    if (claim->member->incarnation > e->member.incarnation) { /* it said so itself, and not long ago: of the earlier one nothing counts */
        swim_suspicion_end(&e->suspicion);
        e->known_ms = m->now_ms;
    }
    if (newer_record && members_entry_set(m, e, claim->member, claim->record) != 0)
        return;
    if (e->suspicion.active && e->suspicion.incarnation < e->member.incarnation)
        swim_suspicion_end(&e->suspicion); /* it is refuted */
    if (rank_of(claim->state) == 0)
        live_on(m, e, before, new_process);
    else if (rank_of(before) < rank_of(claim->state))
        end_member(m, e, claim->state);
}

/* Somebody who is known otherwise, or not at all, lives, and by this name: is that to be believed? */
static bool is_others_name(struct members *m, struct members_link *from, const struct members_entry *e, const struct gossip_entry *claim)
{
    bool as_before = e && members_lives(e) && strcmp(e->member.name, claim->member->name) == 0;
    return rank_of(claim->state) == 0 && !as_before && members_name_contested(m, from, claim->member->id, claim->member->name);
}

/* To the other end of the link he lives by his name. */
static void settle_name(struct members_link *from, const struct members_entry *e, const struct gossip_entry *claim)
{
    if (rank_of(claim->state) == 0)
        from->disputes[e->slot / 64] &= ~(UINT64_C(1) << e->slot % 64);
}

static void claim_record(struct members *m, struct members_link *from, struct members_entry *e, const struct gossip_entry *claim)
{
    m->name_moved = false;
    if (members_is_evicted(m, claim->member->id) || is_forged(m, e, claim))
        return;
    if (e == m->self) {
        claim_about_self(m, claim);
        return;
    }
    if (!e) {
        if (!is_others_name(m, from, NULL, claim))
            learn(m, from, claim);
        return;
    }
    int order = claim_compare(claim, &e->member);
    settle_name(from, e, claim);
    if (order < 0)
        members_link_mark(m, from, e); /* he should know what we know */
    if (order == 0)
        members_echoed(m, from, e);
    if (order <= 0)
        return;
    if (claim->state == MEMBER_DEAD && members_lives(e) && doubt(m, e, claim))
        return;
    if (is_others_name(m, from, e, claim))
        return;
    bool was_gone = !members_lives(e);
    accept(m, e, claim);
    members_known_there(from, e);
    if (was_gone && members_lives(e))
        members_spread(m, e, from);
    tell_others(m, e, from);
}

static struct members_entry *find_claimed(const struct members *m, const struct gossip_entry *claim)
{
    return members_entry_find(m, claim->known ? (const char *) member_seal_peek_id(claim->record).data : claim->member->id);
}

/* Most of what is told is told again, and looked at no further. False when it is not so: what was known when the frame was read may have given way to a
 * claim before this one. */
static bool claim_again(struct members *m, struct members_link *from, struct members_entry *e, const struct gossip_entry *claim)
{
    if (!e || e == m->self || rank_of(claim->state) != rank_of(e->member.state) || !slice_equal(e->record, claim->record))
        return false;
    settle_name(from, e, claim);
    members_echoed(m, from, e);
    if (claim->load.size > 0)
        members_load_hear(m, from, e, claim->load, &claim->loaded, false);
    return true;
}

/* Fills what was left out of a known one. */
static int complete(struct members *m, const struct members_entry *e, struct gossip_entry *claim)
{
    if (!e || !slice_equal(e->record, claim->record))
        return gossip_entry_read(m->scratch, claim);
    claim->member = &e->member;
    return 0;
}

void members_claim(struct members *m, struct members_link *from, const struct gossip_entry *claim)
{
    struct members_entry *e = find_claimed(m, claim);
    struct gossip_entry whole;
    if (e && claim->met && from->entry)
        members_entry_vouch(e, from->entry);
    if (claim->known) {
        if (claim_again(m, from, e, claim))
            return;
        whole = *claim;
        if (complete(m, e, &whole) != 0)
            return;
        claim = &whole;
    }
    bool news = !e || is_newer_record(claim->member, &e->member);
    claim_record(m, from, e, claim);
    e = e ? e : members_entry_find(m, claim->member->id);
    if (e && claim->load.size > 0)
        members_load_hear(m, from, e, claim->load, &claim->loaded, news);
}

/* ---- Hello ---- */

void members_refuse(struct members *m, struct members_link *l, enum gossip_refusal code, const char *reason)
{
    struct gossip_frame frame = {.kind = GOSSIP_REFUSAL, .refusal = code, .reason = slice_of_str(reason)};
    struct members_note note = {.kind = MEMBERS_REFUSED, .refusal = code};
    members_queue(m, l, &frame);
    memcpy(note.id, l->peer, sizeof note.id);
    members_note_bytes(m, note, frame.reason);
    members_link_close(m, l);
}

/* Who comes to a grid by his own dial, and has no other link that stands, is the newcomer of the two that have his name: he says so himself, and tells the other nothing. */
static void yield_name(struct members *m, struct members_link *l, const char *reason)
{
    struct members_note note = {.kind = MEMBERS_REFUSED, .refusal = GOSSIP_REFUSAL_NAME, .by_peer = true};
    memcpy(note.id, l->peer, sizeof note.id);
    members_note_bytes(m, note, slice_of_str(reason));
    members_link_close(m, l);
}

/* True when the greeted goes by a name that is another's. */
static bool judge_name(struct members *m, struct members_link *l, const struct member *newcomer)
{
    char reason[256];
    if (!members_name_contested(m, l, newcomer->id, newcomer->name))
        return false;
    const struct members_entry *holder = members_name_holder(m, newcomer->name);
    bool ours = holder == m->self, away = !members_lives(holder);
    if (ours && l->dialled && !members_link_stands(m)) {
        snprintf(reason, sizeof reason, "the name \"%s\" is taken by node %.8s: start with another --name", newcomer->name, newcomer->id);
        yield_name(m, l, reason);
        return true;
    }
    snprintf(reason, sizeof reason, "the name \"%s\" is taken by node %.8s%s: start with another --name%s", newcomer->name, holder->member.id, away ? ", which is away" : "",
             away ? ", or wait five minutes" : "");
    members_refuse(m, l, GOSSIP_REFUSAL_NAME, reason);
    return true;
}

/* True when the Hello was refused. */
static bool judge_hello(struct members *m, struct members_link *l, const struct gossip_frame *hello)
{
    const struct member *newcomer = hello->entry_count > 0 ? hello->entries[0].member : NULL;
    char reason[256] = "";
    enum gossip_refusal code = GOSSIP_REFUSAL_NONE;
    if (!members_shares_authority(m, hello)) {
        code = GOSSIP_REFUSAL_OTHER_GRID;
        snprintf(reason, sizeof reason, "this is grid \"%.63s\" of authority %.8s, not \"%.*s\" of %.*s", m->grid, m->authority,
                 (int) (hello->grid.size < 63 ? hello->grid.size : 63), (const char *) hello->grid.data,
                 (int) (hello->authority.size < 8 ? hello->authority.size : 8), (const char *) hello->authority.data);
    } else if (!newcomer || hello->protocol + 1 < GOSSIP_PROTOCOL || hello->protocol > GOSSIP_PROTOCOL + 1) {
        code = GOSSIP_REFUSAL_VERSION;
        snprintf(reason, sizeof reason, "protocol version %u does not go with %d: upgrade the older node", hello->protocol, GOSSIP_PROTOCOL);
    } else if (strcmp(newcomer->id, l->peer) != 0) {
        code = GOSSIP_REFUSAL_HELLO;
        snprintf(reason, sizeof reason, "the certificate is of %.8s but the greeting of %.8s", l->peer, newcomer->id);
    } else if (is_forged(m, members_entry_find(m, l->peer), &hello->entries[0])) {
        code = GOSSIP_REFUSAL_HELLO;
        snprintf(reason, sizeof reason, "the record of \"%s\" is not signed by its node's key with a certificate of this grid", newcomer->name);
    }
    if (code != GOSSIP_REFUSAL_NONE)
        members_refuse(m, l, code, reason);
    return code != GOSSIP_REFUSAL_NONE || judge_name(m, l, newcomer);
}

/* Of two links to one peer, the one to give up: NULL for neither. Both ends must come to the same, or they close one each, and neither knows in
 * which order the other sees them. Who dialled is known to both: when both sides did, the dial of the lower id stays; of two dials of one side that
 * side gives up the older. One by way of a third is given up for one that needs none, by who has dialled it. Where we cannot be sure both stay, and the newer one is used. */
static struct members_link *surplus_link(const struct members *m, struct members_link *old, struct members_link *fresh, bool restarted)
{
    bool we_are_lower = strcmp(m->self->member.id, fresh->peer) < 0;
    if (restarted)
        return old;
    if (old->relayed != fresh->relayed) {
        struct members_link *relayed = old->relayed ? old : fresh;
        return relayed->dialled ? relayed : NULL;
    }
    if (old->dialled == fresh->dialled)
        return fresh->dialled ? old : NULL;
    if (fresh->dialled == we_are_lower)
        return old;
    return old->entry && old->entry->member.state == MEMBER_STALLED ? NULL : fresh;
}

static void tell_all_we_have(struct members *m, struct members_link *l, const struct member *greeted)
{
    struct gossip_frame frame = {.kind = GOSSIP_RELEASE, .release = buf_slice(&m->release)};
    const struct member *self = &m->self->member;
    if (l->dialled)
        members_tell_view(m, l);
    if (!members_lives(l->entry) || greeted->incarnation < l->entry->member.incarnation || greeted->started_at_ms != l->entry->member.started_at_ms)
        members_link_mark(m, l, l->entry); /* what he is to refute */
    if (l->greeted_incarnation != self->incarnation || l->greeted_revision != self->revision || l->greeted_load != m->self->load_revision)
        members_link_mark(m, l, m->self);
    if (m->release.size > 0)
        members_queue(m, l, &frame);
    members_tell_digest(m, l);
}

static void establish(struct members *m, struct members_link *l, struct members_entry *e, const struct member *greeted)
{
    members_link_ready(m, l, e);
    tell_all_we_have(m, l, greeted);
    for (size_t i = 0; i < m->seed_count; i++)
        if (strcmp(m->seeds[i].id, l->peer) == 0)
            m->seeds[i].failures = 0;
    if (l->dialled) /* several answers in a row, in time */
        swim_health_note(&m->health, SWIM_HEALTH_ANSWERED);
    members_acquit(e);
    members_note(m, MEMBERS_LINKED, e->member.id);
    members_heard(m, l);
}

void members_hello(struct members *m, struct members_link *l, const struct gossip_frame *hello)
{
    if (judge_hello(m, l, hello))
        return;
    const struct member *newcomer = hello->entries[0].member;
    struct members_entry *e = members_entry_find(m, l->peer);
    struct members_link *old = e ? e->link : NULL;
    bool restarted = e && e->member.started_at_ms != newcomer->started_at_ms && newcomer->incarnation > e->member.incarnation;
    members_claim(m, l, &hello->entries[0]);
    e = members_entry_find(m, l->peer);
    if (!e) {
        members_refuse(m, l, GOSSIP_REFUSAL_FULL, "the grid is full");
        return;
    }
    struct members_link *surplus = old ? surplus_link(m, old, l, restarted) : NULL;
    if (surplus)
        members_link_close(m, surplus);
    if (surplus != l)
        establish(m, l, e, newcomer);
    else if (e->link && e->pinged_ms == 0)
        members_ping(m, e); /* does it stand, if he made another one? */
}
