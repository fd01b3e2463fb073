/* What the grid has decided about trust, as far as membership carries it: authorities in greetings, the ledger's digest, and who was evicted. */
#include <stdio.h>
#include <string.h>

#include "base/err.h"
#include "discovery/members_internal.h"

/* ---- authorities ---- */

static bool goes_by(const struct members *m, struct slice authority)
{
    bool found = slice_equal_str(authority, m->authority);
    for (size_t i = 0; !found && i < m->also_count; i++)
        found = slice_equal_str(authority, m->also[i]);
    return found;
}

bool members_shares_authority(const struct members *m, const struct gossip_frame *hello)
{
    bool shares = goes_by(m, hello->authority);
    for (size_t i = 0; !shares && i < hello->also_count; i++)
        shares = goes_by(m, hello->also[i]);
    return shares;
}

static void forget_all(struct members *m)
{
    for (struct members_link *l = m->links; l; l = l->next)
        members_link_close(m, l);
    while (m->count > 1)
        members_entry_remove(m, m->order[m->count - 1]);
    for (size_t i = 0; i < m->seed_count; i++) {
        m->seeds[i].id[0] = '\0';
        m->seeds[i].failures = 0;
        m->seeds[i].dial_at_ms = m->now_ms;
    }
    m->seed_due_ms = m->now_ms;
    buf_clear(&m->digest);
    buf_clear(&m->ledger);
    map_destroy(m->evicted);
    m->evicted = NULL;
}

/* Whether exactly these are gone by. */
static bool same_authorities(const struct members *m, const char *const *authorities, size_t count)
{
    bool same = count == m->also_count + 1;
    for (size_t i = 0; same && i < count; i++)
        same = strcmp(authorities[i], i == 0 ? m->authority : m->also[i - 1]) == 0;
    return same;
}

/* Records that were refused for their certificates' authority may be taken now: who has them is found by comparing views. */
static void compare_views(struct members *m)
{
    for (struct members_link *l = m->links; l; l = l->next)
        if (l->ready && !l->closing)
            members_tell_view(m, l);
}

void members_set_authorities(struct members *m, const char *const *authorities, size_t count, const char *grid, uint64_t now_ms)
{
    bool shares = false, same = same_authorities(m, authorities, count);
    m->now_ms = members_later(m->now_ms, now_ms);
    for (size_t i = 0; i < count; i++)
        shares |= goes_by(m, slice_of_str(authorities[i]));
    if (!shares || strcmp(m->grid, grid) != 0)
        forget_all(m);
    snprintf(m->authority, sizeof m->authority, "%s", count > 0 ? authorities[0] : "");
    snprintf(m->grid, sizeof m->grid, "%s", grid);
    m->also_count = 0;
    for (size_t i = 1; i < count && i <= GOSSIP_ALSO_MAX; i++)
        snprintf(m->also[m->also_count++], MEMBER_ID_SIZE, "%s", authorities[i]);
    if (!same) {
        members_dial_the_denied(m);
        compare_views(m);
    }
}

/* ---- the ledger ---- */

void members_tell_digest(struct members *m, struct members_link *l)
{
    struct gossip_frame frame = {.kind = GOSSIP_LEDGER, .digest = buf_slice(&m->digest)};
    if (m->digest.size > 0)
        members_queue(m, l, &frame);
}

static int replace(struct buf *b, struct slice bytes)
{
    buf_clear(b);
    return buf_append(b, bytes);
}

int members_set_ledger(struct members *m, struct slice digest, struct slice packed, uint64_t now_ms)
{
    m->now_ms = members_later(m->now_ms, now_ms);
    if (slice_equal(digest, buf_slice(&m->digest)))
        return 0;
    if (packed.size > GOSSIP_FRAME_MAX - 128)
        return GRID_ELIMIT;
    int err = replace(&m->digest, digest);
    if (err == 0)
        err = replace(&m->ledger, packed);
    for (struct members_link *l = m->links; err == 0 && l; l = l->next)
        if (l->ready)
            members_tell_digest(m, l);
    return err;
}

/* A digest that is not ours is answered with our pack; so is a pack, once, and it goes up. */
void members_receive_ledger(struct members *m, struct members_link *l, const struct gossip_frame *f)
{
    struct members_note note = {.kind = MEMBERS_LEDGER};
    struct gossip_frame answer = {.kind = GOSSIP_LEDGER, .digest = buf_slice(&m->digest), .ledger = buf_slice(&m->ledger)};
    if (m->digest.size == 0)
        return;
    if (slice_equal(f->digest, buf_slice(&m->digest))) {
        members_note(m, MEMBERS_LEDGER, l->peer);
        return;
    }
    answer.last = f->ledger.size > 0;
    if (!f->last)
        members_queue(m, l, &answer);
    if (f->ledger.size == 0)
        return;
    memcpy(note.id, l->peer, sizeof note.id);
    members_note_bytes(m, note, f->ledger);
}

/* ---- the evicted ---- */

bool members_is_evicted(const struct members *m, const char *id)
{
    return m->evicted && map_get(m->evicted, slice_of_str(id)) != NULL;
}

int members_evict(struct members *m, const char *id, uint64_t now_ms)
{
    m->now_ms = members_later(m->now_ms, now_ms);
    if (members_is_evicted(m, id) || strcmp(id, m->self->member.id) == 0)
        return 0;
    if (!m->evicted && !(m->evicted = map_create(NULL)))
        return GRID_ENOMEM;
    int err = map_set(m->evicted, slice_of_str(id), m);
    if (err != 0)
        return err;
    for (struct members_link *l = m->links; l; l = l->next)
        if (strcmp(l->peer, id) == 0)
            members_link_close(m, l);
    struct members_entry *e = members_entry_find(m, id);
    if (e) {
        members_state_set(m, e, MEMBER_EVICTED);
        members_touch(m, e);
        e->ended_ms = m->now_ms;
        members_note(m, MEMBERS_EVICTED, e->member.id);
    }
    return 0;
}
