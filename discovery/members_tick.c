/* What a node does by the clock: its own signs of life, its probes, the comparison of views, and what it forgives after a pause of its own. */
#include "discovery/members_internal.h"

static void tend_pending_links(struct members *m)
{
    uint64_t next = MEMBERS_NEVER;
    for (struct members_link *l = m->links; l; l = l->next) {
        if (l->closing || l->ready)
            continue;
        if (m->now_ms >= l->opened_ms + m->times->hello_ms)
            members_link_close(m, l);
        else
            next = members_earlier(next, l->opened_ms + m->times->hello_ms);
    }
    m->pending_due_ms = next;
}

/* ---- this node's own signs of life, and its probes ---- */

static uint64_t beat_due(const struct members *m)
{
    return m->watcher && m->watcher->link ? m->watcher->link->sent_ms + m->times->beat_ms : MEMBERS_NEVER;
}

static void beat(struct members *m)
{
    if (m->now_ms < beat_due(m))
        return;
    struct gossip_frame frame = {.kind = GOSSIP_ACK, .loaded = members_load_numbers(m)};
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
    uint64_t pause = members_pause_ms(m);
    if (pause == 0)
        return;
    m->due_ms = m->now_ms;
    if (pause > m->times->stalled_ping_ms)
        m->woke_ms = m->now_ms;
    m->pending_due_ms = m->now_ms;
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
    if (m->now_ms >= m->pending_due_ms)
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
