/* How views become one: news passed on a limited number of times (SWIM, section 4.1), and views compared, first by a digest of a few bytes, then by a
 * list of versions, so that only the records that one side lacks travel. */
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "discovery/members_internal.h"

enum { PIGGYBACK_MAX = 8, NEWCOMER_VIEW = 2, SUMMARY_PAUSE_MS = 250 };

/* ---- the view's digest ---- */

uint64_t members_mix(uint64_t a, uint64_t b)
{
    uint64_t z = (a ^ b) + UINT64_C(0x9e3779b97f4a7c15); /* splitmix64 (Steele, Lea, Flood 2014) */
    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return z ^ (z >> 31);
}

static uint64_t hash_of(const struct members_entry *e)
{
    uint64_t hash = 0;
    for (size_t i = 0; i + 8 < MEMBER_ID_SIZE; i += 8) {
        uint64_t part;
        memcpy(&part, e->member.id + i, sizeof part);
        hash = members_mix(hash, part);
    }
    return members_mix(members_mix(hash, e->member.incarnation), e->member.revision);
}

/* The dead do not count: who came after them has never heard of them. */
void members_rehash(struct members *m, struct members_entry *e)
{
    m->view -= e->hash;
    e->hash = e->living ? hash_of(e) : 0;
    m->view += e->hash;
}

/* ---- passing on ---- */

void members_spread(struct members *m, const struct members_entry *e, const struct members_link *but)
{
    for (struct members_link *l = m->links; l; l = l->next)
        if (l != but)
            members_link_mark(m, l, e);
}

void members_pass_on(struct members *m, const struct members_entry *e)
{
    if (m->spread.count == 0)
        m->spread_at_ms = members_later(m->spread_at_ms, m->now_ms);
    swim_spread_put(&m->spread, e->slot);
}

static void mark_news(struct members *m, struct members_link *l, size_t max)
{
    uint16_t slots[SWIM_SLOTS_MAX];
    size_t count = swim_spread_take(&m->spread, swim_spread_limit(MEMBERS_SPREAD_LAMBDA, m->living), max, slots);
    for (size_t i = 0; i < count; i++)
        if (!(l->has[slots[i] / 64] >> slots[i] % 64 & 1))
            members_link_mark(m, l, m->slots[slots[i]]);
}

void members_known_there(struct members_link *l, const struct members_entry *e)
{
    l->has[e->slot / 64] |= UINT64_C(1) << e->slot % 64;
}

void members_echoed(struct members *m, struct members_link *l, const struct members_entry *e)
{
    members_known_there(l, e);
    swim_spread_echo(&m->spread, e->slot, swim_spread_limit(MEMBERS_SPREAD_LAMBDA, m->living));
}

void members_changed(struct members *m, const struct members_entry *e)
{
    for (struct members_link *l = m->links; l; l = l->next)
        l->has[e->slot / 64] &= ~(UINT64_C(1) << e->slot % 64);
}

void members_piggyback(struct members *m, struct members_link *l)
{
    if (m->spread.count > 0)
        mark_news(m, l, PIGGYBACK_MAX);
}

static bool takes_news(const struct members_link *l)
{
    return l->ready && !l->closing && !l->paused && l->entry->member.state == MEMBER_ALIVE;
}

struct members_link *members_link_random(struct members *m)
{
    struct members_link *found = NULL;
    uint64_t seen = 0;
    for (struct members_link *l = m->links; l; l = l->next)
        if (takes_news(l) && swim_random_below(&m->random, ++seen) == 0)
            found = l;
    return found;
}

void members_flush_news(struct members *m)
{
    m->spread_at_ms = m->now_ms + m->times->spread_ms;
    for (int i = 0; i < MEMBERS_SPREAD_FANOUT && m->spread.count > 0; i++) {
        struct members_link *l = members_link_random(m);
        if (!l)
            return;
        mark_news(m, l, SWIM_SLOTS_MAX);
    }
}

/* ---- comparing ---- */

void members_tell_view(struct members *m, struct members_link *l)
{
    struct gossip_frame frame = {.kind = GOSSIP_DIGEST, .view = m->view, .view_count = (uint32_t) m->living};
    members_queue(m, l, &frame);
}

void members_mark_view(struct members *m, struct members_link *l)
{
    for (size_t i = 0; i < m->count; i++)
        if (m->order[i] != l->entry || !members_lives(l->entry))
            members_link_mark(m, l, m->order[i]);
}

static void version_of(const struct members_entry *e, struct gossip_version *out)
{
    memcpy(out->id, e->id_bytes, sizeof out->id);
    out->incarnation = e->member.incarnation;
    out->revision = e->member.revision;
    out->state = members_lives(e) ? MEMBER_ALIVE : e->member.state;
}

/* One that asks again at once has its answer under way. */
static void tell_summary(struct members *m, struct members_link *l, bool last)
{
    struct gossip_frame frame = {.kind = GOSSIP_SUMMARY, .last = last};
    if (l->summed_ms != 0 && m->now_ms < l->summed_ms + SUMMARY_PAUSE_MS)
        return;
    struct gossip_version *versions = arena_calloc(m->scratch, m->count + 1, sizeof *versions);
    if (!versions)
        return;
    l->summed_ms = m->now_ms;
    for (size_t i = 0; i < m->count; i++)
        if (m->order[i]->member.state != MEMBER_EVICTED && !members_name_lost(m->order[i]))
            version_of(m->order[i], &versions[frame.version_count++]);
    frame.versions = versions;
    members_queue(m, l, &frame);
}

void members_receive_digest(struct members *m, struct members_link *l, const struct gossip_frame *f)
{
    if (f->view == m->view) {
        memset(l->disputes, 0, sizeof l->disputes); /* they go by the same names */
        return;
    }
    if (f->view_count <= NEWCOMER_VIEW)
        members_mark_view(m, l); /* knows nobody but itself and us */
    else
        tell_summary(m, l, false);
}

/* Whether what we hold is newer than what he does. */
static bool is_newer(const struct members_entry *e, const struct gossip_version *v)
{
    struct gossip_version ours;
    version_of(e, &ours);
    if (ours.incarnation != v->incarnation)
        return ours.incarnation > v->incarnation;
    if (ours.state != v->state)
        return ours.state > v->state;
    return ours.revision > v->revision;
}

void members_receive_summary(struct members *m, struct members_link *l, const struct gossip_frame *f)
{
    uint64_t known[MEMBERS_MAX / 64] = {0};
    for (size_t i = 0; i < f->version_count; i++) {
        const struct members_entry *e = members_entry_find_bytes(m, f->versions[i].id);
        if (!e)
            continue;
        known[e->slot / 64] |= UINT64_C(1) << e->slot % 64;
        if (is_newer(e, &f->versions[i]))
            members_link_mark(m, l, e);
    }
    for (size_t i = 0; i < m->count; i++) {
        const struct members_entry *e = m->order[i];
        if (members_lives(e) && !(known[e->slot / 64] >> e->slot % 64 & 1))
            members_link_mark(m, l, e);
    }
    if (!f->last)
        tell_summary(m, l, true);
}
