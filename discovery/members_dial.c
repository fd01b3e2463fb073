/* Whom to connect to, and when again. In a grid of up to MEMBERS_LINKS_MAX members (whoever else there is said to be since) each is linked with each. In a greater one each keeps an active
 * view: its neighbours on the ring of ids, who watch one another, and some that a hash of both ids picks, so that both sides pick the same. */
#include <string.h>

#include "base/err.h"
#include "discovery/members_internal.h"

enum { MAX_SHIFT = 7, NEIGHBOURS = 2, MESH_SHARE_MS = 10, SOON = 8, FEW_DEAD = 4, OFTEN = 100, KNOCKS = 4 };

uint64_t members_backoff(struct members *m, unsigned failures, uint64_t max_ms)
{
    uint64_t delay = members_earlier((uint64_t) m->times->redial_min_ms << (failures < MAX_SHIFT ? failures : MAX_SHIFT), max_ms);
    return delay * 3 / 4 + swim_random_below(&m->random, delay / 2 + 1);
}

bool members_link_pending(const struct members *m, const char *peer)
{
    for (const struct members_link *l = m->pending_count > 0 ? m->links : NULL; l; l = l->next)
        if (!l->closing && !l->ready && strcmp(l->peer, peer) == 0)
            return true;
    return false;
}

/* ---- the ring and the active view ---- */

bool members_wanted(const struct members *m, const struct members_entry *e)
{
    if (e->met_early && m->met < MEMBERS_LINKS_MAX) /* those may all be there are */
        return true;
    return m->living <= MEMBERS_LINKS_MAX || e->near || m->now_ms < e->keep_until_ms || e->member.state != MEMBER_ALIVE; /* who is doubted is looked for */
}

static int compare(const struct members_entry *a, const struct members_entry *b)
{
    if (a->key != b->key)
        return a->key < b->key ? -1 : 1;
    return strcmp(a->member.id, b->member.id);
}

/* True when `e` comes sooner than `best` on the way up from `from`, round the ring. */
static bool sooner_up(const struct members_entry *from, const struct members_entry *e, const struct members_entry *best)
{
    if (!best)
        return true;
    bool e_wraps = compare(e, from) < 0, best_wraps = compare(best, from) < 0;
    return e_wraps != best_wraps ? best_wraps : compare(e, best) < 0;
}

static bool sooner_down(const struct members_entry *from, const struct members_entry *e, const struct members_entry *best)
{
    if (!best)
        return true;
    bool e_wraps = compare(e, from) > 0, best_wraps = compare(best, from) > 0;
    return e_wraps != best_wraps ? best_wraps : compare(e, best) > 0;
}

struct neighbours {
    struct members_entry *up[NEIGHBOURS], *down[NEIGHBOURS];
};

static void place(const struct members_entry *from, struct members_entry *e, struct members_entry **best,
                  bool (*sooner)(const struct members_entry *, const struct members_entry *, const struct members_entry *))
{
    for (int i = 0; i < NEIGHBOURS; i++)
        if (sooner(from, e, best[i])) {
            struct members_entry *pushed = best[i];
            best[i] = e;
            if (!(e = pushed))
                return;
        }
}

static bool is_among(const struct members_entry *e, const struct neighbours *n)
{
    for (int i = 0; i < NEIGHBOURS; i++)
        if (n->up[i] == e || n->down[i] == e)
            return true;
    return false;
}

static void choose_active(struct members *m)
{
    struct neighbours n = {{NULL}, {NULL}};
    uint64_t share = UINT64_MAX / m->living * (MEMBERS_ACTIVE_LINKS - 2 * NEIGHBOURS);
    for (size_t i = 1; i < m->count; i++)
        if (members_lives(m->order[i])) {
            place(m->self, m->order[i], n.up, sooner_up);
            place(m->self, m->order[i], n.down, sooner_down);
        }
    for (size_t i = 1; i < m->count; i++) {
        struct members_entry *e = m->order[i];
        bool near = e->pair < share || is_among(e, &n);
        if (near != e->near || m->living == MEMBERS_LINKS_MAX + 1)
            members_touch(m, e);
        e->near = near;
    }
}

void members_ring_look(struct members *m, const struct members_entry *e)
{
    bool stands = e->link && e->member.state == MEMBER_ALIVE;
    if (m->ring_changed)
        return;
    m->ring_changed = m->living > MEMBERS_LINKS_MAX || e == m->watched || e == m->watcher ||
                      (stands && (sooner_up(m->self, e, m->watched) || sooner_down(m->self, e, m->watcher)));
}

/* Whom this node watches and by whom it is watched: the next on the ring that is linked and answers. */
void members_ring_update(struct members *m)
{
    struct members_entry *up = NULL, *down = NULL;
    m->ring_changed = false;
    if (m->living > MEMBERS_LINKS_MAX)
        choose_active(m);
    for (struct members_link *l = m->links; l; l = l->next) {
        struct members_entry *e = l->entry;
        if (!e || e->link != l || e->member.state != MEMBER_ALIVE)
            continue;
        up = sooner_up(m->self, e, up) ? e : up;
        down = sooner_down(m->self, e, down) ? e : down;
    }
    if (up && up != m->watched)
        members_touch(m, up);
    m->watched = up;
    m->watcher = down;
}

/* ---- when ---- */

/* True when nobody who lives stands between the two on one side of the ring: they will watch one another. */
static bool is_neighbour(const struct members *m, const struct members_entry *e)
{
    bool up = true, down = true;
    for (size_t i = 1; i < m->count && (up || down); i++) {
        struct members_entry *other = m->order[i];
        if (other == e || !members_lives(other))
            continue;
        up = up && sooner_up(m->self, e, other);
        down = down && sooner_down(m->self, e, other);
    }
    return up || down;
}

void members_schedule_first_dial(struct members *m, struct members_entry *e)
{
    e->unplanned = true;
    e->failures = 0;
    members_touch(m, e);
}

/* Who is new is dialled by the lower id soon and by the higher one a good deal later, so that mostly one link is made. A handshake costs a
 * millisecond of both sides: in a grid of many the views become equal first, over the links that there are; then who watch one another are linked, then the
 * rest, spread over a while. How many there are is known once all of a table has been read. */
static void plan_first_dial(struct members *m, struct members_entry *e)
{
    uint64_t mesh = m->times->mesh_ms, wait = 0, span = (m->living > 3 ? m->living - 3 : 0) * MESH_SHARE_MS;
    bool lower = strcmp(m->self->member.id, e->member.id) < 0;
    if (m->living > SOON) {
        bool next = is_neighbour(m, e);
        wait = next ? mesh : 2 * mesh;
        span = next ? mesh / 2 : mesh;
    }
    e->unplanned = false;
    e->dial_at_ms = m->now_ms + wait + swim_random_below(&m->random, span + 1) + (lower ? 0 : mesh / 2 + 3 * span);
}

uint64_t members_redial_dead(struct members *m, const struct members_entry *e)
{
    uint64_t delay = m->times->redial_dead_ms * (1 + m->dead / FEW_DEAD);
    if (m->now_ms >= e->ended_ms + m->times->redial_slow_after_ms)
        delay = members_later(delay, m->times->redial_slow_ms);
    return m->now_ms + delay * 3 / 4 + swim_random_below(&m->random, delay / 2 + 1);
}

static bool may_dial(const struct members *m, const struct members_entry *e)
{
    return e->token == 0 && !e->link && e->member.state != MEMBER_LEFT && e->member.state != MEMBER_EVICTED && e->member.address_count > 0 &&
           members_wanted(m, e);
}

static uint64_t may_dial_at(const struct members_entry *e)
{
    return members_later(e->dial_at_ms, e->denied_until_ms);
}

static void end_meeting(struct members *m, struct members_entry *e)
{
    m->meetings -= e->meeting;
    e->meeting = false;
}

/* A handshake that takes so long waits for a process that stands still: it costs nobody anything, and holds up no other any more. */
static uint64_t consider_meeting(struct members *m, struct members_entry *e)
{
    uint64_t late = e->dialled_ms + m->times->late_ms;
    if (e->meeting && m->now_ms >= late)
        end_meeting(m, e);
    return e->meeting ? late : MEMBERS_NEVER;
}

uint64_t members_consider_dial(struct members *m, struct members_entry *e)
{
    uint64_t bit = UINT64_C(1) << e->slot % 64;
    if (e->unplanned)
        plan_first_dial(m, e);
    if (e->token != 0)
        return consider_meeting(m, e);
    if (m->leaving || !may_dial(m, e))
        return MEMBERS_NEVER;
    if (members_link_pending(m, e->member.id))
        return m->now_ms + m->times->ack_ms;
    if (m->now_ms < may_dial_at(e))
        return may_dial_at(e);
    m->dial_count += !(m->dial_wanted[e->slot / 64] & bit);
    m->dial_wanted[e->slot / 64] |= bit;
    return MEMBERS_NEVER;
}

/* ---- dials that end ---- */

void members_dial_denied(struct members *m, struct members_entry *e)
{
    e->denied_until_ms = m->now_ms + members_backoff(m, e->denials++, m->times->denied_ms);
    m->any_denied = true;
    members_touch(m, e);
}

void members_dial_the_denied(struct members *m)
{
    for (size_t i = 1; m->any_denied && i < m->count; i++) {
        m->order[i]->denials = 0;
        m->order[i]->denied_until_ms = 0;
        members_touch(m, m->order[i]);
    }
    m->any_denied = false;
}

/* Often for some minutes: it may be the only way to the others. Seldom where one was who has been evicted: somebody else may come to live there. */
static uint64_t seed_backoff(struct members *m, struct members_seed *s)
{
    unsigned failures = s->failures++;
    if (members_is_evicted(m, s->id))
        return members_backoff(m, failures, m->times->denied_ms);
    return members_backoff(m, failures, failures < OFTEN ? 4 * m->times->redial_max_ms : m->times->redial_slow_ms);
}

void members_dial_ended(struct members *m, struct members_entry *e)
{
    e->token = 0;
    m->dialled[e->slot / 64] &= ~(UINT64_C(1) << e->slot % 64);
    end_meeting(m, e);
}

static struct members_entry *find_dial(const struct members *m, uint64_t token)
{
    for (size_t word = 0; word * 64 < m->slot_end; word++)
        for (uint64_t left = m->dialled[word]; left != 0; left &= left - 1) {
            struct members_entry *e = m->slots[word * 64 + (unsigned) __builtin_ctzll(left)];
            if (e->token == token)
                return e;
        }
    return NULL;
}

/* A lost SYN costs nobody anything, and where packets are lost each one more is a chance that the host is found to be there. A handshake that was not finished has cost a
 * process that is slow anyway. */
static uint64_t redial_delay(struct members *m, struct members_entry *e, enum members_dial_fault fault)
{
    unsigned failures = e->failures++;
    if (fault == MEMBERS_DIAL_TIMEOUT)
        return 1 + swim_random_below(&m->random, m->times->redial_min_ms / 2);
    return members_backoff(m, failures, fault == MEMBERS_DIAL_SILENT ? m->times->hello_ms : m->times->redial_max_ms);
}

static void entry_dial_failed(struct members *m, struct members_entry *e, enum members_dial_fault fault)
{
    members_dial_ended(m, e);
    members_touch(m, e);
    if (fault == MEMBERS_DIAL_DENIED) {
        e->dial_at_ms = m->now_ms + m->times->denied_ms;
        return;
    }
    if (!members_lives(e)) {
        e->dial_at_ms = members_redial_dead(m, e);
        return;
    }
    if (e->dialled_ms < e->known_ms) { /* it was to the process before this one */
        e->dial_at_ms = m->now_ms;
        return;
    }
    e->dial_at_ms = m->now_ms + redial_delay(m, e, fault);
    if (e->link || members_link_pending(m, e->member.id))
        return;
    members_stall(m, e);
    if (fault == MEMBERS_DIAL_SILENT && e->silent_since_ms == 0)
        e->silent_since_ms = m->now_ms;
    if (fault != MEMBERS_DIAL_SILENT)
        e->silent_since_ms = 0;
    e->gone = fault == MEMBERS_DIAL_TIMEOUT || e->refusals > 1;
    if (fault == MEMBERS_DIAL_REFUSED)
        members_refused(m, e);
}

/* The dial `token` found `peer`: whoever asked for it hears. */
void members_dial_settled(struct members *m, uint64_t token, const char *peer)
{
    for (size_t i = 0; i < m->seed_count; i++) {
        struct members_seed *s = &m->seeds[i];
        if (s->token != token)
            continue;
        s->token = 0;
        s->dial_at_ms = m->now_ms + seed_backoff(m, s);
        m->seed_due_ms = members_earlier(m->seed_due_ms, s->dial_at_ms);
        memcpy(s->id, peer, sizeof s->id);
    }
    struct members_entry *e = find_dial(m, token);
    if (!e)
        return;
    if (strcmp(e->member.id, peer) != 0) { /* somebody else lives there now, whom it cost a handshake */
        entry_dial_failed(m, e, MEMBERS_DIAL_TIMEOUT);
        e->dial_at_ms = members_later(e->dial_at_ms, m->now_ms + members_backoff(m, e->failures, m->times->hello_ms));
        members_settle(m);
        return;
    }
    members_dial_ended(m, e);
    e->dial_at_ms = m->now_ms + members_backoff(m, e->failures++, m->times->redial_max_ms);
    members_touch(m, e);
}

void members_dial_failed(struct members *m, uint64_t token, enum members_dial_fault fault, uint64_t now_ms)
{
    struct members_entry *e = find_dial(m, token);
    m->now_ms = members_later(m->now_ms, now_ms);
    if (e)
        entry_dial_failed(m, e, fault);
    for (size_t i = 0; i < m->seed_count && !e; i++) {
        struct members_seed *s = &m->seeds[i];
        if (s->token != token)
            continue;
        s->token = 0;
        s->dial_at_ms = m->now_ms + seed_backoff(m, s);
        m->seed_due_ms = members_earlier(m->seed_due_ms, s->dial_at_ms);
    }
    members_settle(m);
}

void members_dial_connected(struct members *m, uint64_t token, uint64_t now_ms)
{
    struct members_entry *e = find_dial(m, token);
    m->now_ms = members_later(m->now_ms, now_ms);
    if (e && members_lives(e) && !e->link && e->gone && e->dialled_ms >= e->known_ms)
        members_kernel_found(m, e);
}

const char *members_next_seed(const struct members *m, const char *id, size_t *at)
{
    while (*at < m->seed_count) {
        const struct members_seed *s = &m->seeds[(*at)++];
        if (strcmp(s->id, id) == 0)
            return s->address;
    }
    return NULL;
}

bool members_is_seed(const struct members *m, const char *id)
{
    size_t at = 0;
    return members_next_seed(m, id, &at) != NULL;
}

/* ---- what is given out ---- */

/* Whoever says in his record that he lives at a seed's address may lie: who is there is found by dialling it once. */
static bool seed_due(const struct members *m, const struct members_seed *s)
{
    if (s->token != 0 || m->now_ms < s->dial_at_ms || strcmp(s->id, m->self->member.id) == 0)
        return false;
    if (s->id[0] == '\0')
        return true;
    const struct members_entry *e = members_entry_find(m, s->id);
    return (!e || e->member.state == MEMBER_LEFT || e->member.state == MEMBER_EVICTED) && !members_link_pending(m, s->id);
}

static bool take_seed(struct members *m, struct members_dial *out)
{
    m->seed_due_ms = MEMBERS_NEVER;
    for (size_t i = 0; i < m->seed_count; i++) {
        struct members_seed *s = &m->seeds[i];
        if (seed_due(m, s)) {
            s->token = ++m->next_token;
            m->seed_due_ms = m->now_ms; /* perhaps another one too */
            *out = (struct members_dial){s->token, s->id, (const char *const *) &s->address, 1, m->times->connect_ms};
            return true;
        }
        if (s->token == 0 && s->dial_at_ms > m->now_ms)
            m->seed_due_ms = members_earlier(m->seed_due_ms, s->dial_at_ms);
    }
    return false;
}

static bool is_meeting(const struct members_entry *e)
{
    return members_lives(e) && !e->gone;
}

/* Who is gone is knocked for by a few short dials for each long one, which finds also who is far. */
static uint32_t connect_ms(const struct members *m, const struct members_entry *e)
{
    return members_lives(e) && e->gone && e->failures % KNOCKS != 0 ? m->times->connect_ms / KNOCKS : m->times->connect_ms;
}

/* The next one in `word` from `bit` on that may be dialled now; who is not to be dialled any more is taken out. */
static struct members_entry *take_wanted(struct members *m, size_t word)
{
    for (uint64_t left = m->dial_wanted[word]; left != 0; left &= left - 1) {
        struct members_entry *e = m->slots[word * 64 + (unsigned) __builtin_ctzll(left)];
        bool stale = !e || !may_dial(m, e) || m->now_ms < may_dial_at(e) || members_link_pending(m, e->member.id);
        if (!stale && is_meeting(e) && m->meetings >= MEMBERS_MEETINGS_MAX)
            continue;
        m->dial_wanted[word] &= ~(left & -left);
        m->dial_count--;
        if (!stale)
            return e;
        if (e)
            members_touch(m, e);
    }
    return NULL;
}

/* Linked with as many as in any grid. One member may hold several links. */
static bool has_links_enough(const struct members *m)
{
    size_t linked = 0;
    if (m->link_count < MEMBERS_LINKS_MAX)
        return false;
    for (size_t i = 1; i < m->count; i++)
        linked += m->order[i]->link != NULL;
    return linked >= MEMBERS_LINKS_MAX;
}

bool members_next_dial(struct members *m, struct members_dial *out)
{
    if (m->leaving || has_links_enough(m))
        return false;
    for (size_t word = 0; m->dial_count > 0 && word < MEMBERS_MAX / 64; word++) {
        struct members_entry *e = take_wanted(m, word);
        if (!e)
            continue;
        e->meeting = is_meeting(e);
        m->meetings += e->meeting;
        members_touch(m, e);
        e->token = ++m->next_token;
        m->dialled[e->slot / 64] |= UINT64_C(1) << e->slot % 64;
        e->dialled_ms = m->now_ms;
        *out = (struct members_dial){e->token, e->member.id, e->member.addresses, e->member.address_count, connect_ms(m, e)};
        return true;
    }
    return m->now_ms >= m->seed_due_ms && take_seed(m, out);
}
