/* One trouble at a time. A case brings its grid together, waits for a random phase, makes the trouble, and measures. */
#include "tests/sim/sim_cases.h"

#include <stdio.h>
#include <string.h>

#include "tests/sim/sim_check.h"
#include "tests/sim/sim_course.h"
#include "tests/sim/sim_random.h"

enum { LOOK_MS = 10, GIVE_UP_MS = 60000, SETTLE_MS = 5000, PHASE_MS = 3000, FRAME_OVERHEAD = 90, ACKNOWLEDGEMENT = 52, DAY_MS = 24 * 3600 * 1000 };

/* ---- what is looked for ---- */

typedef bool (*sees_fn)(const struct sim_world *w, const struct sim_view *v, uint32_t target);

static bool sees_dead(const struct sim_world *w, const struct sim_view *v, uint32_t target)
{
    (void) w, (void) target;
    return v->state == MEMBER_DEAD;
}

static bool sees_left(const struct sim_world *w, const struct sim_view *v, uint32_t target)
{
    (void) w, (void) target;
    return v->state == MEMBER_LEFT;
}

static bool sees_unroutable(const struct sim_world *w, const struct sim_view *v, uint32_t target)
{
    (void) w, (void) target;
    return v->state != MEMBER_ALIVE;
}

static bool sees_alive(const struct sim_world *w, const struct sim_view *v, uint32_t target)
{
    return v->state == MEMBER_ALIVE && v->started_at_ms == w->nodes[target].started_at_ms;
}

static bool all_see(const struct sim_world *w, uint32_t target, sees_fn sees)
{
    for (uint32_t o = 0; o < w->count; o++)
        if (o != target && sim_net_host(w->net, o) == SIM_RUNNING && !sees(w, sim_view_of(w, o, target), target))
            return false;
    return true;
}

/* Milliseconds until everybody sees the target so. */
static uint32_t until_all_see(struct sim_world *w, uint32_t target, sees_fn sees)
{
    uint32_t from = sim_now(w);
    while (!w->broken[0] && sim_now(w) < from + GIVE_UP_MS) {
        if (all_see(w, target, sees))
            return sim_now(w) - from;
        sim_world_run(w, sim_now(w) + LOOK_MS);
    }
    return SIM_NEVER;
}

static bool all_equal(const struct sim_world *w)
{
    for (uint32_t t = 0; t < w->count; t++)
        if (sim_up(w, t) && !all_see(w, t, sees_alive))
            return false;
    return true;
}

static uint32_t until_equal(struct sim_world *w)
{
    uint32_t from = sim_now(w);
    while (!w->broken[0] && sim_now(w) < from + GIVE_UP_MS) {
        if (all_equal(w))
            return sim_now(w) - from;
        sim_world_run(w, sim_now(w) + LOOK_MS);
    }
    return SIM_NEVER;
}

/* ---- the beginning of most ---- */

static void run_for(struct sim_world *w, uint32_t ms)
{
    sim_world_run(w, sim_now(w) + ms);
}

/* Everybody is there, and some time has passed. */
static void gather(struct sim_world *w, uint64_t *random)
{
    for (uint32_t i = 0; i < w->count; i++) {
        sim_start(w, i);
        run_for(w, sim_below(random, 50));
    }
    run_for(w, w->patience * SETTLE_MS + sim_below(random, PHASE_MS));
    w->disturbances = w->false_deaths = 0;
    sim_say(w, "all are there");
}

static uint32_t somebody(const struct sim_world *w, uint64_t *random)
{
    return sim_below(random, w->count);
}

/* ---- ends ---- */

static uint32_t run_kill(struct sim_world *w, uint64_t *random)
{
    uint32_t target = somebody(w, random);
    gather(w, random);
    sim_kill(w, target);
    return until_all_see(w, target, sees_dead);
}

static uint32_t run_power(struct sim_world *w, uint64_t *random)
{
    uint32_t target = somebody(w, random);
    gather(w, random);
    sim_power_off(w, target);
    return until_all_see(w, target, sees_dead);
}

static uint32_t run_leave(struct sim_world *w, uint64_t *random)
{
    uint32_t target = somebody(w, random);
    gather(w, random);
    sim_leave(w, target);
    return until_all_see(w, target, sees_left);
}

static uint32_t run_restart(struct sim_world *w, uint64_t *random)
{
    uint32_t target = somebody(w, random);
    gather(w, random);
    sim_kill(w, target);
    run_for(w, 1 + sim_below(random, 200));
    sim_start(w, target);
    return until_all_see(w, target, sees_alive);
}

/* The wall clock has been set back by a day before the restart: its new incarnation is below the one that is known. */
static uint32_t run_clock_back(struct sim_world *w, uint64_t *random)
{
    uint32_t target = somebody(w, random);
    gather(w, random);
    sim_jump_clock(w, target, -(int64_t) DAY_MS);
    sim_kill(w, target);
    run_for(w, 1 + sim_below(random, 5000));
    sim_start(w, target);
    return until_all_see(w, target, sees_alive);
}

/* ---- pauses ---- */

static uint32_t pause_seen(struct sim_world *w, uint64_t *random, uint32_t ms)
{
    uint32_t target = somebody(w, random), seen;
    gather(w, random);
    sim_stop(w, target, false);
    uint32_t stopped_at = sim_now(w);
    seen = until_all_see(w, target, sees_unroutable);
    sim_world_run(w, stopped_at + ms);
    sim_continue(w, target);
    run_for(w, w->patience * SETTLE_MS);
    if (!all_see(w, target, sees_alive))
        sim_break(w, "a stopped process is not seen as alive %u s after it went on", w->patience * SETTLE_MS / 1000);
    return w->false_deaths > 0 ? SIM_NEVER : seen;
}

static uint32_t run_pause_5(struct sim_world *w, uint64_t *random)
{
    return pause_seen(w, random, 5000);
}

static uint32_t run_pause_10(struct sim_world *w, uint64_t *random)
{
    return pause_seen(w, random, 10000);
}

static uint32_t run_pause_20(struct sim_world *w, uint64_t *random)
{
    return pause_seen(w, random, 20000);
}

static uint32_t run_wake(struct sim_world *w, uint64_t *random)
{
    uint32_t target = somebody(w, random);
    gather(w, random);
    sim_stop(w, target, false);
    run_for(w, sim_between(random, 3000, 10000));
    sim_continue(w, target);
    return until_all_see(w, target, sees_alive);
}

/* It is stopped and does not go on: dead in the end, though its kernel answers. */
static uint32_t run_standstill(struct sim_world *w, uint64_t *random)
{
    uint32_t target = somebody(w, random);
    gather(w, random);
    sim_stop(w, target, true);
    return until_all_see(w, target, sees_dead);
}

/* It stands still for less than 10 s, and loses all its links at once: nobody's kernel can vouch for it, but it takes connections. */
static uint32_t run_adrift(struct sim_world *w, uint64_t *random)
{
    uint32_t target = somebody(w, random);
    gather(w, random);
    sim_stop(w, target, false);
    for (uint32_t i = 0; i < 4 * w->count; i++)
        sim_net_reset_one(w->net, target);
    run_for(w, sim_between(random, 7000, 9500));
    sim_continue(w, target);
    run_for(w, SETTLE_MS);
    return (uint32_t) w->false_deaths;
}

/* The silence of the others while it stood still itself is not theirs. */
static uint32_t run_sleeper(struct sim_world *w, uint64_t *random)
{
    uint32_t target = somebody(w, random), other = (target + 1 + sim_below(random, w->count - 1)) % w->count;
    gather(w, random);
    sim_stop(w, other, false);
    run_for(w, sim_between(random, 900, 3000)); /* it has asked, and has no answer yet */
    sim_stop(w, target, false);
    run_for(w, sim_between(random, 500, 2000));
    sim_continue(w, other);
    run_for(w, sim_between(random, 1000, 7500));
    w->disturbances = 0;
    sim_continue(w, target);
    run_for(w, SETTLE_MS);
    return (uint32_t) w->disturbances;
}

/* So short an absence that dials to the process before come to an end when the new one is there. */
static uint32_t run_blink(struct sim_world *w, uint64_t *random)
{
    uint32_t target = somebody(w, random);
    sim_net_set_delay(w->net, 10, 20);
    gather(w, random);
    for (int i = 0; i < 10 && !w->broken[0]; i++) {
        sim_kill(w, target);
        run_for(w, sim_between(random, 1, 60));
        sim_start(w, target);
        run_for(w, 3000);
    }
    return (uint32_t) w->false_deaths;
}

/* ---- the network ---- */

static uint32_t deaths_under_loss(struct sim_world *w, uint64_t *random, uint32_t percent)
{
    gather(w, random);
    sim_set_loss(w, percent);
    run_for(w, 60000);
    return (uint32_t) w->false_deaths;
}

static uint32_t run_peace(struct sim_world *w, uint64_t *random)
{
    gather(w, random);
    run_for(w, 60000);
    return (uint32_t) w->disturbances;
}

static uint32_t run_loss_25(struct sim_world *w, uint64_t *random)
{
    return deaths_under_loss(w, random, 25);
}

static uint32_t run_loss_50(struct sim_world *w, uint64_t *random)
{
    return deaths_under_loss(w, random, 50);
}

static void split(struct sim_world *w, int by)
{
    sim_say(w, by > 0 ? "split" : "healed");
    for (uint32_t a = 0; a < w->count; a++)
        for (uint32_t b = 0; b < w->count; b++)
            if (a % 2 != b % 2)
                sim_block(w, a, b, by);
}

static bool split_seen(const struct sim_world *w)
{
    for (uint32_t o = 0; o < w->count; o++)
        for (uint32_t t = 0; t < w->count; t++)
            if (o % 2 != t % 2 && sim_view_of(w, o, t)->state != MEMBER_DEAD)
                return false;
    return true;
}

static uint32_t run_split(struct sim_world *w, uint64_t *random)
{
    gather(w, random);
    split(w, 1);
    uint32_t from = sim_now(w);
    while (!w->broken[0] && !split_seen(w) && sim_now(w) < from + GIVE_UP_MS)
        run_for(w, LOOK_MS);
    return sim_now(w) - from;
}

static uint32_t healed_after(struct sim_world *w, uint64_t *random, uint32_t ms)
{
    gather(w, random);
    split(w, 1);
    run_for(w, ms);
    split(w, -1);
    return until_equal(w);
}

static uint32_t run_heal_60(struct sim_world *w, uint64_t *random)
{
    return healed_after(w, random, 60000);
}

static uint32_t run_heal_150(struct sim_world *w, uint64_t *random)
{
    return healed_after(w, random, 150000);
}

static uint32_t run_join(struct sim_world *w, uint64_t *random)
{
    (void) random;
    for (uint32_t i = 0; i < w->count; i++)
        sim_start(w, i);
    return until_equal(w);
}

/* ---- what one's trouble does to the rest ---- */

static uint32_t run_flap(struct sim_world *w, uint64_t *random)
{
    uint32_t target = somebody(w, random);
    gather(w, random);
    for (int i = 0; i < 15; i++) {
        sim_kill(w, target);
        run_for(w, 2000);
        sim_start(w, target);
        w->nodes[target].well_since = SIM_NEVER;
        run_for(w, 2000);
    }
    return (uint32_t) w->disturbances;
}

/* It hears nobody and says so to everybody. */
static uint32_t run_deaf(struct sim_world *w, uint64_t *random)
{
    uint32_t target = somebody(w, random);
    gather(w, random);
    for (uint32_t i = 0; i < w->count; i++)
        if (i != target)
            sim_block(w, i, target, 1);
    sim_disturb(w, target, true);
    run_for(w, 60000);
    return (uint32_t) w->disturbances;
}

/* It stands still most of the time, and sees the others late. */
static uint32_t run_slow(struct sim_world *w, uint64_t *random)
{
    uint32_t target = somebody(w, random);
    gather(w, random);
    for (uint32_t until = sim_now(w) + 60000; sim_now(w) < until && !w->broken[0];) {
        sim_stop(w, target, false);
        run_for(w, sim_between(random, 100, 1500));
        sim_continue(w, target);
        sim_disturb(w, target, true);
        run_for(w, 40);
    }
    return (uint32_t) w->disturbances;
}

static uint64_t received(const struct sim_world *w, uint32_t node)
{
    const struct sim_traffic *t = sim_net_traffic(w->net, node);
    return t->bytes_in + t->frames_in * FRAME_OVERHEAD + t->frames_out * ACKNOWLEDGEMENT;
}

/* Bytes a second that the node receives with the most of it, TLS and TCP reckoned in. */
static uint32_t busiest(struct sim_world *w, uint32_t ms, uint32_t but)
{
    uint64_t before[MEMBERS_MAX], most = 0;
    for (uint32_t i = 0; i < w->count; i++)
        before[i] = received(w, i);
    run_for(w, ms);
    for (uint32_t i = 0; i < w->count; i++)
        if (i != but && received(w, i) - before[i] > most)
            most = received(w, i) - before[i];
    return (uint32_t) (most * 1000 / ms);
}

static uint32_t run_idle(struct sim_world *w, uint64_t *random)
{
    gather(w, random);
    return busiest(w, 60000, SIM_NEVER);
}

/* What each of the others receives for one that is killed and comes back every 10 s. */
static uint32_t run_cost(struct sim_world *w, uint64_t *random)
{
    uint32_t target = somebody(w, random), most = 0;
    gather(w, random);
    for (int i = 0; i < 4; i++) {
        sim_kill(w, target);
        uint32_t down = busiest(w, 5000, target);
        sim_start(w, target);
        uint32_t up = busiest(w, 5000, target);
        most = down + up > most ? down + up : most;
    }
    return most / 2;
}

static uint64_t frames_sent(const struct sim_world *w)
{
    uint64_t sent = 0;
    for (uint32_t i = 0; i < w->count; i++)
        sent += sim_net_traffic(w->net, i)->frames_out;
    return sent;
}

/* Frames that all together send in 3 s of it beyond those of 3 s in which nothing happens. */
static uint32_t frames_for(struct sim_world *w, uint64_t *random, void (*trouble)(struct sim_world *w, uint32_t node))
{
    gather(w, random);
    uint64_t before = frames_sent(w);
    run_for(w, 3000);
    uint64_t idle = frames_sent(w) - before;
    trouble(w, somebody(w, random));
    run_for(w, 3000);
    uint64_t all = frames_sent(w) - before;
    return all > 2 * idle ? (uint32_t) (all - 2 * idle) : 0;
}

static uint32_t run_news(struct sim_world *w, uint64_t *random)
{
    return frames_for(w, random, sim_change);
}

static uint32_t run_death(struct sim_world *w, uint64_t *random)
{
    return frames_for(w, random, sim_kill);
}

/* The other profiles: `wan` is given time, `local` saves some. */
#define WAN(base, jitter) .times = &MEMBERS_WAN, .patience = 4, .way_ms = (base), .jitter_ms = (jitter)
#define LOCAL .times = &MEMBERS_LOCAL

const struct sim_case SIM_CASES[] = {
    {"kill", "ms until all know that a process was killed", 16, 2000, .run = run_kill},
    {"kill-2", "ms until the other one knows that a process was killed", 2, 2000, .run = run_kill},
    {"power", "ms until all know that a host was switched off", 16, 6000, .run = run_power},
    {"leave", "ms until all know that one has left", 16, 1000, .run = run_leave},
    {"restart", "ms until all know the new process", 16, 2000, .run = run_restart},
    {"clock-back", "ms until all know a process whose clock was set back", 16, 2000, .run = run_clock_back},
    {"pause-5", "ms until nobody routes to a stopped process, which is never dead", 16, 1500, .run = run_pause_5},
    {"pause-10", "ms until nobody routes to a stopped process, which is never dead", 16, 1500, .run = run_pause_10},
    {"wake", "ms until a process that goes on is routed to by all", 16, 1000, .run = run_wake},
    {"standstill", "ms until all know that a process does not move any more", 16, 22000, .run = run_standstill},
    {"adrift", "deaths of a stopped process that loses its links", 8, 0, .run = run_adrift},
    {"sleeper", "doubts of one that stood still about the others", 16, 2, .run = run_sleeper},
    {"blink", "deaths of the new process in ten restarts of some ms", 16, 0, .run = run_blink},
    {"loss-25", "false deaths in a minute of 25% loss", 8, 0, .run = run_loss_25},
    {"loss-50", "false deaths in a minute of 50% loss", 8, 3, .run = run_loss_50},
    {"split", "ms until a split is seen by all", 8, 10000, .run = run_split},
    {"heal-60", "ms until all is whole again after a split of 60 s", 8, 2000, .run = run_heal_60},
    {"heal-150", "ms until all is whole again after a split of 150 s", 8, 5000, .run = run_heal_150},
    {"join", "ms until the views of all that start at once are equal", 32, 1000, .run = run_join},
    {"flap", "doubts about anybody else while one restarts every 2 s", 16, 0, .run = run_flap},
    {"deaf", "doubts about anybody else while one hears nobody", 16, 0, .run = run_deaf},
    {"slow", "doubts about anybody else while one stands still most of the time", 16, 0, .run = run_slow},
    {"idle", "bytes a second received, when nothing happens", 8, 500, .run = run_idle},
    {"news", "frames that one change of one record causes in all the grid", 32, 400, .run = run_news},
    {"death", "frames that one's end causes in all the grid", 32, 1500, .run = run_death},
    {"cost", "bytes a second received while one dies and comes back every 10 s", 32, 4000, .run = run_cost},
    {"wan-peace", "doubts about anybody in a minute, over ways of 150 to 250 ms", 16, 0, .run = run_peace, WAN(150, 100)},
    {"wan-loss-25", "false deaths in a minute of 25% loss, over ways of 60 to 120 ms", 8, 0, .run = run_loss_25, WAN(60, 60)},
    {"wan-kill", "ms until all know that a process was killed, over such ways", 16, 4000, .run = run_kill, WAN(60, 60)},
    {"wan-power", "ms until all know that a host was switched off, over such ways", 16, 20000, .run = run_power, WAN(60, 60)},
    {"wan-pause-20", "ms until nobody routes to a process stopped for 20 s, which is never dead", 16, 5000, .run = run_pause_20, WAN(60, 60)},
    {"wan-join", "ms until the views of all that start at once are equal, over such ways", 32, 6000, .run = run_join, WAN(60, 60)},
    {"local-kill", "ms until all know that a process was killed", 16, 1000, .run = run_kill, LOCAL},
    {"local-power", "ms until all know that a process's network is gone", 16, 4000, .run = run_power, LOCAL},
    {"local-pause-10", "ms until nobody routes to a stopped process, which is never dead", 16, 800, .run = run_pause_10, LOCAL},
};
const size_t SIM_CASE_COUNT = sizeof SIM_CASES / sizeof SIM_CASES[0];

void sim_case_run(const struct sim_case *c, uint64_t seed, bool trace, uint32_t *measured, char *broken)
{
    static struct sim_world w;
    const struct sim_config config = {.nodes = c->nodes, .seed = seed, .trace = trace, .times = c->times, .patience = c->patience};
    uint64_t random = seed + 1;
    sim_world_create(&w, &config);
    sim_net_set_delay(w.net, c->way_ms + sim_below(&random, 2), c->jitter_ms + sim_below(&random, 4));
    *measured = c->run(&w, &random);
    if (*measured == SIM_NEVER && !w.broken[0])
        snprintf(w.broken, sizeof w.broken, "%s: in no time", c->figure);
    if (*measured > c->limit && !w.broken[0])
        snprintf(w.broken, sizeof w.broken, "%s: %u, at most %u", c->figure, *measured, c->limit);
    memcpy(broken, w.broken, sizeof w.broken);
    sim_world_destroy(&w);
}
