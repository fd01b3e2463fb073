/* Who is meant by a name. Calls are sent to names and members evicted by them, so that a name is one member's, on every node the same one's, whatever a member says of how long it
 * has run: whoever this node has known longest by it keeps it, over restarts (the key is the same), and for a while after its death. Others of that name are no members here.
 *
 * Views may differ: two halves of a split grid may each have taken somebody in, and a newcomer may meet a false one first. Then each node goes by the majority of those that it is linked
 * with and itself; of two with as many, by whoever died here by that name before it was given anew, else by the smaller id. All count the same, and come to the same. Who came later
 * than the holder, and is not among its first, has no say: otherwise whoever gets many certificates could take any name.
 *
 * A holder whom this node hears itself gives way only to one that has come here too: a record that is passed on may be of nobody. And as many against him as for him count only while one
 * of them may not have heard of him for no fault of its own: the name is young, or he is just back and was away when it was given. Else one member could take any name in a grid of three. */
#include <stdio.h>
#include <string.h>

#include "discovery/members_internal.h"

#define KEPT_MS (UINT64_C(5) * 60 * 1000)  /* the dead keep their name so long; and so long after one was given it all have a say */
#define YOUNG_MS (UINT64_C(5) * 60 * 1000) /* a name is; the time for a death to be noticed, and for who was refused to come again, twice a minute, until he has met all */

static bool holds(const struct members *m, const struct members_entry *e)
{
    return members_lives(e) || (e->member.state == MEMBER_DEAD && m->now_ms < e->ended_ms + KEPT_MS);
}

static struct members_entry *find(const struct members *m, const char *name)
{
    return m->names ? map_get(m->names, slice_of_str(name)) : NULL;
}

struct members_entry *members_name_holder(const struct members *m, const char *name)
{
    struct members_entry *e = find(m, name);
    return e && holds(m, e) ? e : NULL;
}

static bool is_holder(const struct members *m, const struct members_entry *e)
{
    return find(m, e->member.name) == e;
}

void members_name_drop(struct members *m, struct members_entry *e)
{
    if (e->member.name[0] != '\0' && is_holder(m, e))
        (void) map_remove(m->names, slice_of_str(e->member.name));
}

void members_name_take(struct members *m, struct members_entry *e)
{
    struct members_entry *before = find(m, e->member.name);
    if (before && (before == e || holds(m, before)))
        return;
    if (!m->names)
        m->names = map_create(NULL);
    if (m->names && map_set(m->names, slice_of_str(e->member.name), e) == 0) /* without memory for it nobody is meant by the name */
        e->named_ms = m->now_ms;
}

/* ---- when views differ ---- */

static bool has_say(const struct members_entry *voter, const struct members_entry *holder)
{
    return voter->first_ms <= holder->named_ms + KEPT_MS;
}

static bool disputes(const struct members_link *l, const struct members_entry *holder)
{
    return (l->disputes[holder->slot / 64] >> holder->slot % 64 & 1) && has_say(l->entry, holder);
}

/* Whether he may go by another one since he has not heard of the holder: until a while after the name was given, or after he came back, when he was away then. */
static bool has_excuse(const struct members *m, const struct members_entry *voter, const struct members_entry *holder)
{
    bool was_away = voter->ended_ms != 0 && voter->ended_ms <= holder->named_ms + YOUNG_MS && voter->returned_ms >= holder->named_ms;
    uint64_t since = was_away ? voter->returned_ms : holder->named_ms;
    return m->now_ms <= since + YOUNG_MS;
}

struct votes {
    size_t against, with; /* those that go by another one; who has said nothing goes by the holder, as this node itself */
    bool excused;         /* one of the former */
};

static struct votes count_votes(const struct members *m, const struct members_entry *holder)
{
    struct votes v = {.with = 1};
    for (const struct members_link *l = m->links; l; l = l->next) {
        if (!l->ready || l->closing || l->entry == holder || l->entry->link != l)
            continue;
        bool against = disputes(l, holder);
        v.against += against;
        v.with += !against;
        v.excused |= against && has_excuse(m, l->entry, holder);
    }
    return v;
}

/* He went by this name here until he died, and nobody has taken it from him: it was given anew since he was away too long. */
static bool died_by_it(const struct members_entry *rival, const struct members_entry *holder)
{
    return rival && rival->member.state == MEMBER_DEAD && !members_name_lost(rival) && strcmp(rival->member.name, holder->member.name) == 0;
}

/* In a great grid few are linked with both. */
static bool has_come(const struct members *m, const struct members_link *from, const struct members_entry *rival, const char *id)
{
    return strcmp(from->peer, id) == 0 || (rival && rival->met) || m->met > MEMBERS_LINKS_MAX;
}

/* Whether the holder has lost his name to `id`, of whom there is word on a link. */
static bool is_outvoted(const struct members *m, const struct members_link *from, const struct members_entry *holder, const char *id)
{
    const struct members_entry *rival = members_entry_find(m, id);
    struct votes v = count_votes(m, holder);
    if (v.against < v.with || (holder->link && !has_come(m, from, rival, id)))
        return false;
    if (v.against > v.with)
        return true;
    return (!holder->link || v.excused) && (died_by_it(rival, holder) || strcmp(id, holder->member.id) < 0);
}

/* He is no member any more to this node, and what comes of him counts as new. */
static void oust(struct members *m, struct members_entry *e, const char *for_id)
{
    char reason[256];
    snprintf(reason, sizeof reason, "the name \"%s\" is taken by node %.8s: start with another --name", e->member.name, for_id);
    for (struct members_link *l = m->links; l; l = l->next)
        if (l->entry == e && !l->closing)
            members_refuse(m, l, GOSSIP_REFUSAL_NAME, reason);
    members_name_drop(m, e);
    members_acquit(e);
    members_entry_unmark(m, e->slot);
    m->name_moved = true;
    members_state_set(m, e, MEMBER_LEFT);
    e->record = slice_of(NULL, 0);
    e->member.incarnation = e->member.revision = 0;
    e->ended_ms = m->now_ms;
    members_touch(m, e);
    members_note(m, MEMBERS_LEFT, e->member.id);
}

bool members_name_contested(struct members *m, struct members_link *from, const char *id, const char *name)
{
    struct members_entry *holder = members_name_holder(m, name);
    if (!holder || strcmp(holder->member.id, id) == 0)
        return false;
    if (from->ready && from->entry != holder)
        from->disputes[holder->slot / 64] |= UINT64_C(1) << holder->slot % 64;
    if (holder == m->self || !is_outvoted(m, from, holder, id))
        return true;
    oust(m, holder, id);
    return false;
}
