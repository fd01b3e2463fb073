/* The invariants. What an event says is judged at once; what must not last is judged by sweeps over arrays, which cost little. */
#include "tests/sim/sim_check.h"

#include <string.h>

enum { BUDGET_SWEEPS = 4, BUDGET_FRAMES = 800, BUDGET_FRAMES_EACH = 60 };

static const uint32_t BOUNDS[SIM_STATES] = {
    [MEMBER_ALIVE] = SIM_MEET_MS, /* of the process before */
    [MEMBER_STALLED] = SIM_RESUME_MS,
    [MEMBER_DEAD] = SIM_REFUTE_MS,
    [MEMBER_LEFT] = SIM_MEET_MS,
    [MEMBER_EVICTED] = SIM_MEET_MS,
    [SIM_UNKNOWN] = SIM_MEET_MS,
};

static const char *state_name(uint8_t state)
{
    return state == SIM_UNKNOWN ? "unknown" : member_state_name(state);
}

static uint32_t latest(uint32_t a, uint32_t b)
{
    return a > b ? a : b;
}

/* ---- events ---- */

/* Of several events that were waiting the earlier show the member as it is after all of them: only what still holds is judged. */
static void judge_death(struct sim_world *w, uint32_t observer, uint32_t target, const struct member *m)
{
    const struct sim_node *t = &w->nodes[target];
    if (!t->core || m->started_at_ms != t->started_at_ms || m->state != MEMBER_DEAD)
        return;
    w->false_deaths++;
    if (sim_now(w) >= t->doubtful_until)
        sim_break(w, "node %u takes node %u for dead, without cause", observer, target);
}

/* Doubts about somebody to whom nothing happens, by somebody to whom nothing happens. */
static void count_disturbance(struct sim_world *w, uint32_t observer, uint32_t target, const struct members_event *e)
{
    bool doubts = e->kind == MEMBERS_STALLED || e->kind == MEMBERS_FAILED;
    if (doubts && w->nodes[observer].well_since != SIM_NEVER && w->nodes[target].well_since != SIM_NEVER)
        w->disturbances++;
}

void sim_check_event(struct sim_world *w, uint32_t observer, const struct members_event *e)
{
    const struct member *m = e->member;
    if (e->kind == MEMBERS_REFUSED)
        sim_break(w, "a node was refused at node %u: %.*s", observer, (int) (e->bytes.size < 99 ? e->bytes.size : 99), (const char *) e->bytes.data);
    if (!m || m->local)
        return;
    uint32_t target = sim_index_of(w, m->id);
    struct sim_view *v = sim_view_of(w, observer, target);
    sim_say(w, "node %u: node %u %s (now %s, incarnation +%lld%s)", observer, target, members_event_name(e->kind), member_state_name(m->state),
            (long long) (m->incarnation - w->nodes[target].birth), m->started_at_ms == w->nodes[target].started_at_ms ? "" : " of an earlier process");
    if (m->incarnation < v->incarnation)
        sim_break(w, "node %u went back in node %u's incarnation", observer, target);
    count_disturbance(w, observer, target, e);
    if (e->kind == MEMBERS_FAILED)
        judge_death(w, observer, target, m);
    if (w->calm && (e->kind != MEMBERS_UPDATED && e->kind != MEMBERS_LINKED))
        sim_break(w, "node %u: node %u %s, in calm", observer, target, members_event_name(e->kind));
    w->nodes[observer].right_since = 0;
    v->told_at = m->started_at_ms == v->started_at_ms ? v->told_at : sim_now(w);
    v->state = (uint8_t) m->state;
    v->incarnation = m->incarnation;
    v->started_at_ms = m->started_at_ms;
}

static enum gossip_kind kind_of(struct slice bytes)
{
    struct gossip_frame f = {.kind = GOSSIP_UNKNOWN};
    struct arena *arena = arena_create(4096, 0);
    if (arena)
        gossip_frame_unpack(bytes, arena, NULL, &f);
    arena_destroy(arena);
    return f.kind;
}

void sim_check_frame(struct sim_world *w, uint32_t sender, struct slice frame)
{
    if (frame.size > (w->great ? GOSSIP_FRAME_MAX : SIM_FRAME_MAX))
        sim_break(w, "node %u sends a frame of %zu bytes", sender, frame.size);
    if (w->calm && kind_of(frame) == GOSSIP_SUMMARY)
        sim_break(w, "node %u finds another view than its own, in calm", sender);
}

/* ---- the sweep ---- */

static void note_worst(const struct sim_world *w, struct sim_worst *worst, uint32_t since, uint32_t observer, uint32_t target)
{
    uint32_t ms = sim_now(w) - since;
    if (ms > worst->ms)
        *worst = (struct sim_worst){ms, observer, target, sim_now(w)};
}

/* Since when a newcomer has had somebody undisturbed to ask; SIM_NEVER: there is nobody. */
static uint32_t rooted_since(const struct sim_world *w, uint32_t node)
{
    uint32_t since = SIM_NEVER;
    for (uint32_t s = 0; s < SIM_SEEDS && s < w->count; s++) {
        uint32_t well = latest(w->nodes[s].well_since, w->path_well_since[s * w->count + node]);
        if (s != node && well < since)
            since = well;
    }
    return since;
}

static uint32_t undisturbed_since(const struct sim_world *w, uint32_t observer, uint32_t target)
{
    uint32_t nodes = latest(w->nodes[observer].well_since, w->nodes[target].well_since);
    return latest(nodes, latest(w->net_well_since, w->path_well_since[observer * w->count + target]));
}

/* The target lives, and the observer does not see it so.
 * Two without a link meet by a dial, which needs a SYN and its answer. Where loss takes one of them of each of SIM_LOST_RUN dials in a row, not a word passes between the
 * two all that time: to both the path is cut, whatever they say or do, however little is lost elsewhere. A shorter run must be borne, so that
 * who dials too seldom has no excuse. */
static void judge_wrong(struct sim_world *w, uint32_t observer, uint32_t target, struct sim_view *v)
{
    uint32_t since = undisturbed_since(w, observer, target);
    if (v->wrong_since == SIM_NEVER)
        v->wrong_since = sim_now(w);
    w->wrong_pairs++;
    if (since == SIM_NEVER)
        return;
    if (v->state == SIM_UNKNOWN || v->state == MEMBER_LEFT) /* those that have left are not dialled again but as seeds */
        since = latest(since, latest(rooted_since(w, observer), rooted_since(w, target)));
    if (v->state == MEMBER_STALLED)
        since = latest(since, sim_net_run_lost_at(w->net, observer, target));
    since = latest(since, v->wrong_since);
    if (since == SIM_NEVER)
        return;
    note_worst(w, &w->worst[v->state], since, observer, target);
    if (!w->great && sim_now(w) > since + w->patience * BOUNDS[v->state])
        sim_break(w, "node %u has seen the living node %u as %s for %.3f s without cause", observer, target, state_name(v->state),
                  (double) (sim_now(w) - since) / 1000);
}

/* The target has no process. An observer may have heard of it since, from one who did not know; also while it still held the process before for alive: nobody
 * misses a process that he has not heard of. */
static void judge_ended(struct sim_world *w, uint32_t observer, uint32_t target, struct sim_view *v)
{
    const struct sim_node *t = &w->nodes[target];
    if (v->state != MEMBER_ALIVE && v->state != MEMBER_STALLED) {
        v->wrong_since = SIM_NEVER;
        return;
    }
    w->wrong_pairs++;
    if (v->wrong_since == SIM_NEVER)
        v->wrong_since = sim_now(w);
    uint32_t since = latest(latest(t->ended_at, w->nodes[observer].well_since), latest(w->net_well_since, w->path_well_since[observer * w->count + target]));
    since = latest(since, latest(v->wrong_since, v->told_at));
    if (since == SIM_NEVER)
        return;
    note_worst(w, v->state == MEMBER_ALIVE ? &w->unnoticed : &w->undead, since, observer, target);
    if (sim_now(w) > since + w->patience * (v->state == MEMBER_ALIVE ? SIM_NOTICE_MS : SIM_DEAD_MS))
        sim_break(w, "node %u sees node %u as %s %.3f s after its end", observer, target, state_name(v->state), (double) (sim_now(w) - since) / 1000);
}

/* Views that were all right stay so until one of them or what they are of changes. */
static void sweep_observer(struct sim_world *w, uint32_t observer)
{
    uint32_t wrong_before = w->wrong_pairs;
    if (w->nodes[observer].right_since == w->facts)
        return;
    for (uint32_t t = 0; t < w->count; t++) {
        struct sim_view *v = sim_view_of(w, observer, t);
        const struct sim_node *target = &w->nodes[t];
        if (t == observer)
            continue;
        if (!target->core)
            judge_ended(w, observer, t, v);
        else if (v->state != MEMBER_ALIVE || v->started_at_ms != target->started_at_ms)
            judge_wrong(w, observer, t, v);
        else
            v->wrong_since = SIM_NEVER;
    }
    w->nodes[observer].right_since = w->wrong_pairs == wrong_before ? w->facts : 0;
}

static void judge_budget(struct sim_world *w, uint32_t node)
{
    struct sim_node *n = &w->nodes[node];
    uint64_t sent = sim_net_traffic(w->net, node)->frames_out, more = sent - n->frames_before;
    n->frames_before = sent;
    if (more > BUDGET_FRAMES + (uint64_t) BUDGET_FRAMES_EACH * w->count)
        sim_break(w, "node %u sent %llu frames in a second", node, (unsigned long long) more);
}

void sim_check_sweep(struct sim_world *w)
{
    w->wrong_pairs = 0;
    for (uint32_t o = 0; o < w->count; o++)
        if (w->nodes[o].core && sim_net_host(w->net, o) == SIM_RUNNING)
            sweep_observer(w, o);
    if (++w->sweeps % BUDGET_SWEEPS == 0 && !w->great)
        for (uint32_t i = 0; i < w->count; i++)
            judge_budget(w, i);
}

/* ---- convergence ---- */

static bool linked_to_all(const struct sim_world *w, uint32_t observer)
{
    const struct members *core = w->nodes[observer].core;
    for (size_t i = 1; i < members_count(core); i++) {
        const struct member *m = members_at(core, i);
        if (m->state == MEMBER_ALIVE && !m->linked)
            return false;
    }
    return true;
}

bool sim_check_converged(const struct sim_world *w)
{
    for (uint32_t i = 0; w->count < MEMBERS_LINKS_MAX && w->wrong_pairs == 0 && i < w->count; i++)
        if (w->nodes[i].core && !linked_to_all(w, i))
            return false;
    return w->wrong_pairs == 0;
}

static void compare_views(struct sim_world *w, uint32_t observer, uint32_t target)
{
    const struct member *m = members_find(w->nodes[observer].core, w->nodes[target].id);
    const struct member *own = w->nodes[target].core ? members_at(w->nodes[target].core, 0) : NULL;
    const struct sim_view *v = sim_view_of(w, observer, target);
    bool ended = m && m->state != MEMBER_ALIVE && m->state != MEMBER_STALLED; /* of a dead one only the death is told */
    if (m && (m->state != v->state || (!ended && (m->incarnation != v->incarnation || m->started_at_ms != v->started_at_ms))))
        sim_break(w, "node %u's events do not tell its view of node %u: %s, told %s", observer, target, member_state_name(m->state),
                  state_name(v->state));
    if (own && (!m || m->incarnation != own->incarnation || m->revision != own->revision))
        sim_break(w, "node %u has another record of node %u than that itself", observer, target);
}

void sim_check_views(struct sim_world *w)
{
    for (uint32_t o = 0; o < w->count; o++)
        for (uint32_t t = 0; t < w->count; t++)
            if (o != t && w->nodes[o].core)
                compare_views(w, o, t);
}
