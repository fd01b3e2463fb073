/* What is known of each member: found by id, in slots, and what is counted of the living, the silent and the dead. */
#include "discovery/members_internal.h"

#include <stdlib.h>
#include <string.h>

#include "base/err.h"

enum { TEXTS_BYTES = 512 /* of most records, beside what is sealed */, TELLERS_MAX = 64, TELLS_PER_S = 1 };

/* ---- the index: open addressing; a place holds 16 bits of the id's hash above 1 + slot, so that who is not meant is not looked at; 0: free ---- */

enum { INDEX_MIN = 64, SLOT_BITS = 16, SLOT_MASK = 0xffff };

/* Ids are hashes already: the first bytes are enough. */
static uint32_t hash_of(const uint8_t *id_bytes)
{
    uint64_t first;
    memcpy(&first, id_bytes, sizeof first);
    return (uint32_t) (members_mix(first, 0) >> 32);
}

/* The next entry whose hash begins like this one, from *at on; NULL when there is none. */
static struct members_entry *next_like(const struct members *m, uint32_t hash, uint32_t *at)
{
    uint32_t place;
    while (m->index && (place = m->index[(*at)++ & m->index_mask]) != 0)
        if ((place ^ hash) >> SLOT_BITS == 0)
            return m->slots[(place & SLOT_MASK) - 1];
    return NULL;
}

struct members_entry *members_entry_find(const struct members *m, const char *id)
{
    uint8_t first[sizeof(uint64_t)];
    member_id_bytes(id, first, sizeof first);
    uint32_t hash = hash_of(first), at = hash;
    struct members_entry *e;
    while ((e = next_like(m, hash, &at)) && memcmp(e->member.id, id, MEMBER_ID_SIZE - 1) != 0)
        ;
    return e;
}

struct members_entry *members_entry_find_bytes(const struct members *m, const uint8_t id[MEMBER_ID_BYTES])
{
    uint32_t hash = hash_of(id), at = hash;
    struct members_entry *e;
    while ((e = next_like(m, hash, &at)) && memcmp(e->id_bytes, id, sizeof e->id_bytes) != 0)
        ;
    return e;
}

static void index_put(struct members *m, const struct members_entry *e)
{
    uint32_t hash = hash_of(e->id_bytes), at = hash;
    while (m->index[at & m->index_mask] != 0)
        at++;
    m->index[at & m->index_mask] = (hash & ~(uint32_t) SLOT_MASK) | (e->slot + 1u);
}

/* Of all that are in the order, with room for one more: at most half of the places are taken. */
static int index_make(struct members *m)
{
    size_t places = m->index ? m->index_mask + 1u : INDEX_MIN;
    while (places < 2 * (m->count + 1))
        places *= 2;
    uint32_t *index = calloc(places, sizeof *index);
    if (!index)
        return GRID_ENOMEM;
    free(m->index);
    m->index = index;
    m->index_mask = (uint32_t) places - 1;
    for (size_t i = 0; i < m->count; i++)
        index_put(m, m->order[i]);
    return 0;
}

static bool index_has_room(const struct members *m)
{
    return m->index && 2 * (m->count + 1) <= m->index_mask + 1u;
}

/* Those behind it in its row may have been put there since its place was taken: they move up. */
static void index_remove(struct members *m, const struct members_entry *e)
{
    uint32_t hash = hash_of(e->id_bytes), at = hash;
    while ((m->index[at & m->index_mask] & SLOT_MASK) != e->slot + 1u)
        at++;
    for (m->index[at++ & m->index_mask] = 0; m->index[at & m->index_mask] != 0; at++) {
        const struct members_entry *next = m->slots[(m->index[at & m->index_mask] & SLOT_MASK) - 1];
        m->index[at & m->index_mask] = 0;
        index_put(m, next);
    }
}

/* ---- slots ---- */

static uint64_t key_of(const char *id)
{
    uint8_t first[sizeof(uint64_t)];
    uint64_t key;
    member_id_bytes(id, first, sizeof first);
    memcpy(&key, first, sizeof key);
    return be64toh(key);
}

static bool evict_one_ended(struct members *m)
{
    struct members_entry *oldest = NULL;
    for (size_t i = 1; i < m->count; i++) {
        struct members_entry *e = m->order[i];
        bool ended = e->member.state != MEMBER_ALIVE && e->member.state != MEMBER_STALLED && !e->link;
        if (ended && (!oldest || e->ended_ms < oldest->ended_ms))
            oldest = e;
    }
    if (oldest)
        members_entry_remove(m, oldest);
    return oldest != NULL;
}

/* Lives by others' word alone: nobody may ever have been there. */
static bool is_hearsay(const struct members_entry *e)
{
    return e->told_by != 0 && !e->met && !e->link;
}

/* Of how many such somebody told, how many of them he had not met either, and one of them by chance: one of these where there is any. */
struct teller {
    uint64_t id;
    size_t count, unmet;
    struct members_entry *any;
};

/* What is more than there are places is counted in the last one. */
static struct teller *teller_of(struct teller tellers[TELLERS_MAX], uint64_t id)
{
    size_t i = 0;
    while (i < TELLERS_MAX - 1 && tellers[i].count > 0 && tellers[i].id != id)
        i++;
    tellers[i].id = id;
    return &tellers[i];
}

static void count_told(struct members *m, struct teller *t, struct members_entry *e)
{
    t->count++;
    t->unmet += !e->told_met;
    if (e->told_met && t->unmet > 0)
        return;
    if (swim_random_below(&m->random, e->told_met ? t->count : t->unmet) == 0)
        t->any = e;
}

/* Whoever told of most of them gives one up, by chance: among a thousand that are made up it is seldom one that is there, and who is there is soon linked with. The longest known or the
 * newest would often be him, since a table is told in one piece. Who was lied to passes on those that he has met himself too: they stay. */
static struct members_entry *find_surplus(struct members *m)
{
    struct teller tellers[TELLERS_MAX] = {{0}};
    const struct teller *most = tellers;
    for (size_t i = 1; i < m->count; i++) {
        if (!is_hearsay(m->order[i]))
            continue;
        struct teller *t = teller_of(tellers, m->order[i]->told_by);
        count_told(m, t, m->order[i]);
        most = t->count > most->count ? t : most;
    }
    return most->any;
}

static bool make_room(struct members *m)
{
    if (evict_one_ended(m))
        return true;
    struct members_entry *surplus = find_surplus(m);
    if (surplus)
        members_entry_remove(m, surplus);
    return surplus != NULL;
}

static uint16_t free_slot(const struct members *m)
{
    uint16_t slot = 0;
    while (m->slots[slot])
        slot++;
    return slot;
}

static void set_keys(const struct members *m, struct members_entry *e)
{
    e->key = key_of(e->member.id);
    if (m->self)
        e->pair = members_mix(members_earlier(e->key, m->self->key), members_later(e->key, m->self->key));
}

/* What is counted and kept of the living and of the dead. */
static void recount(struct members *m, struct members_entry *e, bool living)
{
    if (living == e->living)
        return;
    e->living = living;
    m->living += living ? 1 : (size_t) -1;
    m->met += e->met ? living ? 1 : (size_t) -1 : 0;
    members_rehash(m, e);
    if (e == m->self || m->count == 1)
        return;
    if (living)
        (void) swim_probe_add(&m->probe, e->slot, &m->random);
    else
        swim_probe_remove(&m->probe, e->slot);
}

static void count(size_t *n, bool before, bool after)
{
    *n -= before;
    *n += after;
}

void members_state_set(struct members *m, struct members_entry *e, enum member_state state)
{
    count(&m->dead, e->member.state == MEMBER_DEAD, state == MEMBER_DEAD);
    count(&m->stalled, e->member.state == MEMBER_STALLED, state == MEMBER_STALLED);
    bool stays = members_lives(e) && (state == MEMBER_ALIVE || state == MEMBER_STALLED);
    if (!stays) {
        members_changed(m, e);
        m->seed_due_ms = members_earlier(m->seed_due_ms, m->now_ms); /* one that led to it may be dialled anew */
    }
    e->member.state = state;
    recount(m, e, members_lives(e));
    members_ring_look(m, e);
}

void members_entry_meet(struct members *m, struct members_entry *e)
{
    m->met += !e->met && e->living;
    e->met_early |= m->living <= MEMBERS_LINKS_MAX;
    e->met = true;
}

void members_entry_vouch(struct members_entry *e, const struct members_entry *teller)
{
    if (e->told_by == 0 || e->told_met)
        return;
    e->told_by = teller->key;
    e->told_met = true;
}

struct members_entry *members_entry_add(struct members *m, const char *id, const char *teller)
{
    if (m->count >= MEMBERS_MAX && !make_room(m))
        return NULL;
    struct members_entry *e = index_has_room(m) || index_make(m) == 0 ? calloc(1, sizeof *e) : NULL;
    if (!e)
        return NULL;
    memcpy(e->member.id, id, MEMBER_ID_SIZE);
    member_id_bytes(id, e->id_bytes, sizeof e->id_bytes);
    e->known_ms = e->first_ms = m->now_ms;
    e->told_by = strcmp(id, teller) == 0 ? 0 : key_of(teller);
    token_bucket_init(&e->tells, TELLS_PER_S, MEMBERS_MAX, m->now_ms);
    e->meets = e->tells;
    e->slot = free_slot(m);
    m->slots[e->slot] = e;
    if (e->slot >= m->slot_end)
        m->slot_end = e->slot + 1u;
    m->order[m->count++] = e;
    index_put(m, e);
    set_keys(m, e);
    members_state_set(m, e, MEMBER_ALIVE);
    return e;
}

void members_entry_free(struct members_entry *e)
{
    members_load_drop(e);
    arena_destroy(e->arena);
    free(e);
}

void members_entry_unmark(struct members *m, size_t slot)
{
    uint64_t kept = ~(UINT64_C(1) << slot % 64);
    for (struct members_link *l = m->links; l; l = l->next) {
        l->dirty[slot / 64] &= kept;
        l->disputes[slot / 64] &= kept;
    }
}

void members_entry_remove(struct members *m, struct members_entry *e)
{
    size_t at = 0;
    while (m->order[at] != e)
        at++;
    memmove(&m->order[at], &m->order[at + 1], (m->count - at - 1) * sizeof *m->order);
    members_state_set(m, e, MEMBER_LEFT); /* out of all counts */
    members_name_drop(m, e);
    m->count--;
    index_remove(m, e);
    m->slots[e->slot] = NULL;
    members_entry_unmark(m, e->slot);
    swim_spread_drop(&m->spread, e->slot);
    swim_timers_remove(&m->timers, e->slot);
    members_dial_ended(m, e);
    m->watched = m->watched == e ? NULL : m->watched;
    m->watcher = m->watcher == e ? NULL : m->watcher;
    members_entry_free(e);
}

static void keep_own_view(const struct member *before, struct member *after)
{
    after->state = before->state;
    after->local = before->local;
    after->linked = before->linked;
    after->tasks = before->tasks;
    after->task_count = before->task_count;
    after->tasks_sequence = before->tasks_sequence;
    after->in_flight = before->in_flight;
    after->queued = before->queued;
    after->cpu_percent = before->cpu_percent;
    after->rtt_us = before->rtt_us;
}

int members_entry_set(struct members *m, struct members_entry *e, const struct member *member, struct slice record)
{
    struct arena *arena = arena_create(record.size + TEXTS_BYTES, 0);
    struct member copy;
    struct slice bytes = {0};
    int err = arena ? member_copy(member, arena, &copy) : GRID_ENOMEM;
    if (err == 0)
        bytes = arena_copy(arena, record);
    if (err != 0 || !bytes.data) {
        arena_destroy(arena);
        return GRID_ENOMEM;
    }
    if (e->member.started_at_ms != member->started_at_ms)
        members_load_drop(e);
    keep_own_view(&e->member, &copy);
    if (strcmp(e->member.name, copy.name) != 0)
        members_name_drop(m, e);
    arena_destroy(e->arena);
    e->arena = arena;
    e->record = bytes;
    memcpy(copy.id, e->member.id, sizeof copy.id); /* the hash table's key stays where it is */
    e->member = copy;
    members_name_take(m, e);
    members_changed(m, e);
    members_rehash(m, e);
    return 0;
}
