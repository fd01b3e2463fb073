/* What is known of each member: found by id, in slots, and what is counted of the living, the silent and the dead. */
#include "discovery/members_internal.h"

#include <stdlib.h>
#include <string.h>

#include "base/err.h"

enum { TEXTS_BYTES = 512 }; /* of most records, beside what is sealed */

/* Ids are hashes already. */
static unsigned hash_of(const char *id)
{
    uint64_t first, second;
    memcpy(&first, id, sizeof first);
    memcpy(&second, id + sizeof first, sizeof second);
    return (unsigned) (members_mix(first, second) >> 32);
}

struct members_entry *members_entry_find(const struct members *m, const char *id)
{
    struct members_entry *e = NULL;
    HASH_FIND_BYHASHVALUE(hh, m->by_id, id, MEMBER_ID_SIZE - 1, hash_of(id), e);
    return e;
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

static uint16_t free_slot(const struct members *m)
{
    uint16_t slot = 0;
    while (m->slots[slot])
        slot++;
    return slot;
}

static void set_keys(const struct members *m, struct members_entry *e)
{
    char half[17] = "";
    memcpy(half, e->member.id, sizeof half - 1);
    e->key = strtoull(half, NULL, 16);
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
    members_rehash(m, e);
    m->ring_changed = true;
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
    if (state != e->member.state)
        m->ring_changed = true;
    if (!stays) {
        members_changed(m, e);
        m->seed_due_ms = members_earlier(m->seed_due_ms, m->now_ms); /* one that led to it may be dialled anew */
    }
    e->member.state = state;
    recount(m, e, members_lives(e));
}

struct members_entry *members_entry_add(struct members *m, const char *id)
{
    if (m->count >= MEMBERS_MAX && !evict_one_ended(m))
        return NULL;
    struct members_entry *e = calloc(1, sizeof *e);
    if (!e)
        return NULL;
    memcpy(e->member.id, id, MEMBER_ID_SIZE);
    e->known_ms = m->now_ms;
    e->slot = free_slot(m);
    m->slots[e->slot] = e;
    if (e->slot >= m->slot_end)
        m->slot_end = e->slot + 1u;
    m->order[m->count++] = e;
    HASH_ADD_BYHASHVALUE(hh, m->by_id, member.id, MEMBER_ID_SIZE - 1, hash_of(id), e);
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

static void clear_dirty(struct members *m, size_t slot)
{
    for (struct members_link *l = m->links; l; l = l->next)
        l->dirty[slot / 64] &= ~(UINT64_C(1) << slot % 64);
}

void members_entry_remove(struct members *m, struct members_entry *e)
{
    size_t at = 0;
    while (m->order[at] != e)
        at++;
    memmove(&m->order[at], &m->order[at + 1], (m->count - at - 1) * sizeof *m->order);
    members_state_set(m, e, MEMBER_LEFT); /* out of all counts */
    m->count--;
    m->slots[e->slot] = NULL;
    clear_dirty(m, e->slot);
    swim_spread_drop(&m->spread, e->slot);
    swim_timers_remove(&m->timers, e->slot);
    members_dial_ended(m, e);
    m->watched = m->watched == e ? NULL : m->watched;
    m->watcher = m->watcher == e ? NULL : m->watcher;
    HASH_DEL(m->by_id, e);
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
    arena_destroy(e->arena);
    e->arena = arena;
    e->record = bytes;
    memcpy(copy.id, e->member.id, sizeof copy.id); /* the hash table's key stays where it is */
    e->member = copy;
    members_changed(m, e);
    members_rehash(m, e);
    return 0;
}
