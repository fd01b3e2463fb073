/* One entry for each member, kept while there is room when it is not linked by way of a third any more. */
#include "discovery/direct_retry.h"

#include <stdio.h>
#include <string.h>

#include "discovery/swim_random.h"

void direct_retry_init(struct direct_retry *r, uint64_t seed)
{
    *r = (struct direct_retry){.random = seed ? seed : 1};
}

/* From three quarters of it to five, so that those who were linked together are not dialled together. */
static uint64_t about(struct direct_retry *r, uint64_t pause_ms)
{
    return pause_ms * 3 / 4 + swim_random_below(&r->random, pause_ms / 2 + 1);
}

/* ---- who is linked so ---- */

static struct direct_retry_entry *find(struct direct_retry *r, const char *id)
{
    for (size_t i = 0; i < DIRECT_RETRY_MEMBERS_MAX; i++)
        if (strcmp(r->entries[i].id, id) == 0)
            return &r->entries[i];
    return NULL;
}

/* A free place, or that of the one who is linked otherwise for the longest time; NULL: there is none. */
static struct direct_retry_entry *make_room(struct direct_retry *r)
{
    struct direct_retry_entry *oldest = NULL;
    for (size_t i = 0; i < DIRECT_RETRY_MEMBERS_MAX; i++) {
        struct direct_retry_entry *e = &r->entries[i];
        if (e->id[0] == '\0')
            return e;
        if (!e->relayed && !e->named && (!oldest || e->ended_ms < oldest->ended_ms))
            oldest = e;
    }
    return oldest;
}

static struct direct_retry_entry *meet(struct direct_retry *r, const struct direct_retry_member *m, uint64_t now_ms)
{
    struct direct_retry_entry *e = make_room(r);
    if (!e)
        return NULL;
    *e = (struct direct_retry_entry){.places = m->places, .pause_ms = DIRECT_RETRY_FIRST_MS};
    e->due_ms = now_ms + about(r, e->pause_ms);
    snprintf(e->id, sizeof e->id, "%s", m->id);
    return e;
}

/* Something is different: what failed before may work now. Who changes all the time has nobody dialled all the time. */
static void begin_anew(struct direct_retry *r, struct direct_retry_entry *e, uint64_t now_ms)
{
    uint64_t soon = now_ms + about(r, DIRECT_RETRY_SOON_MS);
    uint64_t again = e->dialled_ms != 0 ? e->dialled_ms + DIRECT_RETRY_AGAIN_MS : 0;
    soon = soon > again ? soon : again;
    e->due_ms = e->due_ms < soon ? e->due_ms : soon;
    e->pause_ms = DIRECT_RETRY_FIRST_MS;
}

/* Its direct link has ended. One that did not stand for long is not worth to be made as often as before. */
static void is_back(struct direct_retry *r, struct direct_retry_entry *e, uint64_t now_ms)
{
    if (now_ms - e->ended_ms >= e->pause_ms)
        e->pause_ms = DIRECT_RETRY_FIRST_MS;
    e->due_ms = now_ms + about(r, e->pause_ms);
}

static void look_at(struct direct_retry *r, const struct direct_retry_member *m, uint64_t now_ms)
{
    struct direct_retry_entry *e = find(r, m->id);
    if (!e && !(e = meet(r, m, now_ms)))
        return;
    if (e->ended_ms != 0 && !e->relayed)
        is_back(r, e, now_ms);
    if (e->places != m->places)
        begin_anew(r, e, now_ms);
    e->places = m->places;
    e->relayed = e->named = true;
}

static void look_at_all(struct direct_retry *r, const struct direct_retry_member *relayed, size_t count, uint64_t now_ms)
{
    for (size_t i = 0; i < count; i++)
        look_at(r, &relayed[i], now_ms);
    for (size_t i = 0; i < DIRECT_RETRY_MEMBERS_MAX; i++) {
        struct direct_retry_entry *e = &r->entries[i];
        if (e->relayed && !e->named)
            e->ended_ms = now_ms;
        e->relayed = e->named;
        e->named = false;
    }
}

/* ---- whose turn it is ---- */

static struct direct_retry_entry *first_due(struct direct_retry *r)
{
    struct direct_retry_entry *first = NULL;
    for (size_t i = 0; i < DIRECT_RETRY_MEMBERS_MAX; i++)
        if (r->entries[i].relayed && (!first || r->entries[i].due_ms < first->due_ms))
            first = &r->entries[i];
    return first;
}

/* When the next one may be dialled. */
static uint64_t wait_of(struct direct_retry *r, uint64_t now_ms)
{
    const struct direct_retry_entry *next = first_due(r);
    uint64_t due = !next ? 0 : next->due_ms > r->next_ms ? next->due_ms : r->next_ms;
    return !next ? UINT64_MAX : due > now_ms ? due - now_ms : 0;
}

int direct_retry_next(struct direct_retry *r, const struct direct_retry_member *relayed, size_t count, uint64_t now_ms,
                      uint64_t *wait_ms)
{
    int index = 0;
    look_at_all(r, relayed, count, now_ms);
    *wait_ms = wait_of(r, now_ms);
    if (*wait_ms > 0)
        return -1;
    struct direct_retry_entry *e = first_due(r);
    while (strcmp(relayed[index].id, e->id) != 0)
        index++;
    e->pause_ms = 2 * e->pause_ms < DIRECT_RETRY_MAX_MS ? 2 * e->pause_ms : DIRECT_RETRY_MAX_MS;
    e->due_ms = now_ms + about(r, e->pause_ms);
    e->dialled_ms = now_ms;
    r->next_ms = now_ms + DIRECT_RETRY_GAP_MS;
    *wait_ms = wait_of(r, now_ms);
    return index;
}

void direct_retry_network_changed(struct direct_retry *r, uint64_t now_ms)
{
    for (size_t i = 0; i < DIRECT_RETRY_MEMBERS_MAX; i++)
        if (r->entries[i].id[0] != '\0')
            begin_anew(r, &r->entries[i], now_ms);
}
