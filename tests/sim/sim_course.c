/* Kinds of faults as a table: how each is laid out in time, and what it does when it begins, ends, and in between. */
#include "tests/sim/sim_course.h"

#include <stdio.h>
#include <string.h>

#include "tests/sim/sim_check.h"
#include "tests/sim/sim_random.h"

enum { BEGIN, END, AGAIN };
enum {
    FEWEST_FAULTS = 8,
    MOST_FAULTS = 16,
    MOST_KINDS = 6,
    PLACE_TRIES = 30,
    NODE_GAP_MS = 6000, /* between two faults of one node: it is heard in between */
    JOIN_SPREAD_MS = 1000,
    SLOW_RUN_MS = 40,
    FLAP_MS = 2000,
    RESET_EVERY_MS = 200,
    CHANGE_EVERY_MS = 150,
    DAY_MS = 24 * 3600 * 1000,
};

struct kind {
    const char *name;
    bool of_node;
    uint32_t least_ms, most_ms, least, most; /* of its time and its amount */
    void (*step)(struct sim_world *w, const struct sim_fault *f, uint32_t place, uint32_t step);
};

static void again(struct sim_world *w, uint32_t place, uint32_t in_ms)
{
    sim_wheel_add(w->wheel, sim_now(w) + in_ms, SIM_FAULT, place, AGAIN);
}

/* ---- the network ---- */

static void loss_step(struct sim_world *w, const struct sim_fault *f, uint32_t place, uint32_t step)
{
    (void) place;
    sim_set_loss(w, step == BEGIN ? f->amount : 0);
}

static void duplication_step(struct sim_world *w, const struct sim_fault *f, uint32_t place, uint32_t step)
{
    (void) place;
    sim_say(w, "duplication of frames: %u%%", step == BEGIN ? f->amount : 0);
    sim_net_set_duplication(w->net, step == BEGIN ? f->amount : 0);
}

static void split_step(struct sim_world *w, const struct sim_fault *f, uint32_t place, uint32_t step)
{
    uint64_t random = f->amount, sides[(MEMBERS_MAX + 63) / 64];
    (void) place;
    for (size_t i = 0; i < sizeof sides / sizeof sides[0]; i++)
        sides[i] = sim_random(&random);
    sim_say(w, "split%s", step == BEGIN ? "" : " healed");
    for (uint32_t a = 0; a < w->count; a++)
        for (uint32_t b = 0; b < w->count; b++)
            if ((sides[a / 64] >> a % 64 & 1) != (sides[b / 64] >> b % 64 & 1))
                sim_block(w, a, b, step == BEGIN ? 1 : -1);
}

/* amount % 3: it is not heard; it does not hear; neither with half of the others. */
static void one_way_step(struct sim_world *w, const struct sim_fault *f, uint32_t place, uint32_t step)
{
    uint64_t random = f->amount;
    int by = step == BEGIN ? 1 : -1;
    (void) place;
    sim_say(w, "node %u: one-way %u%s", f->node, f->amount % 3, by > 0 ? "" : " healed");
    for (uint32_t i = 0; i < w->count; i++) {
        bool chosen = f->amount % 3 != 2 || sim_below(&random, 2) == 0;
        if (i == f->node || !chosen)
            continue;
        if (f->amount % 3 == 1)
            sim_block(w, i, f->node, by);
        else
            sim_block(w, f->node, i, by);
    }
}

static void cut_step(struct sim_world *w, const struct sim_fault *f, uint32_t place, uint32_t step)
{
    (void) place;
    sim_say(w, "node %u is cut off%s", f->node, step == BEGIN ? "" : " no more");
    for (uint32_t i = 0; i < w->count; i++)
        if (i != f->node) {
            sim_block(w, i, f->node, step == BEGIN ? 1 : -1);
            sim_block(w, f->node, i, step == BEGIN ? 1 : -1);
        }
}

static void delay_step(struct sim_world *w, const struct sim_fault *f, uint32_t place, uint32_t step)
{
    (void) place;
    sim_set_node_delay(w, f->node, step == BEGIN ? f->amount : 0);
}

static void resets_step(struct sim_world *w, const struct sim_fault *f, uint32_t place, uint32_t step)
{
    sim_disturb(w, f->node, step != END);
    if (step == END || sim_now(w) >= f->until)
        return;
    sim_net_reset_one(w->net, f->node);
    again(w, place, RESET_EVERY_MS);
}

/* ---- processes ---- */

static void crash_step(struct sim_world *w, const struct sim_fault *f, uint32_t place, uint32_t step)
{
    (void) place;
    if (step == BEGIN)
        sim_kill(w, f->node);
    else
        sim_start(w, f->node);
}

/* It does not come back. */
static void death_step(struct sim_world *w, const struct sim_fault *f, uint32_t place, uint32_t step)
{
    (void) place;
    if (step == BEGIN)
        sim_kill(w, f->node);
}

static void power_step(struct sim_world *w, const struct sim_fault *f, uint32_t place, uint32_t step)
{
    (void) place;
    if (step == BEGIN)
        sim_power_off(w, f->node);
    else
        sim_start(w, f->node);
}

static void clock_step(struct sim_world *w, const struct sim_fault *f, uint32_t place, uint32_t step)
{
    (void) place;
    if (step == END) {
        sim_start(w, f->node);
        return;
    }
    int64_t by_ms = (int64_t) f->amount % (2 * DAY_MS) - DAY_MS;
    sim_jump_clock(w, f->node, by_ms);
    sim_kill(w, f->node);
}

static void leave_step(struct sim_world *w, const struct sim_fault *f, uint32_t place, uint32_t step)
{
    (void) place;
    if (step == BEGIN)
        sim_leave(w, f->node);
    else
        sim_start(w, f->node);
}

static void stop_step(struct sim_world *w, const struct sim_fault *f, uint32_t place, uint32_t step)
{
    (void) place;
    if (step == BEGIN)
        sim_stop(w, f->node, f->until - f->at >= SIM_LONG_STOP_MS);
    else
        sim_continue(w, f->node);
}

/* Too much to do: it stands still more than it runs. */
static void slow_step(struct sim_world *w, const struct sim_fault *f, uint32_t place, uint32_t step)
{
    bool stopped = sim_net_host(w->net, f->node) == SIM_STOPPED;
    if (stopped)
        sim_continue(w, f->node);
    if (step == END) {
        sim_disturb(w, f->node, false);
        return;
    }
    if (!stopped && sim_now(w) < f->until)
        sim_stop(w, f->node, false);
    sim_disturb(w, f->node, true);
    if (sim_now(w) < f->until)
        again(w, place, stopped ? SLOW_RUN_MS : f->amount);
}

static void flap_step(struct sim_world *w, const struct sim_fault *f, uint32_t place, uint32_t step)
{
    if (step == END) {
        if (!sim_up(w, f->node))
            sim_start(w, f->node);
        return;
    }
    if (sim_now(w) >= f->until)
        return;
    if (sim_up(w, f->node))
        sim_kill(w, f->node);
    else
        sim_start(w, f->node);
    again(w, place, FLAP_MS);
}

static void change_step(struct sim_world *w, const struct sim_fault *f, uint32_t place, uint32_t step)
{
    if (step == END || sim_now(w) >= f->until)
        return;
    sim_change(w, f->node);
    again(w, place, CHANGE_EVERY_MS);
}

static void back_pressure_step(struct sim_world *w, const struct sim_fault *f, uint32_t place, uint32_t step)
{
    (void) place;
    sim_disturb(w, f->node, step == BEGIN);
    sim_back_pressure(w, f->node, step == BEGIN);
}

static void late_step(struct sim_world *w, const struct sim_fault *f, uint32_t place, uint32_t step)
{
    (void) place;
    if (step == END)
        sim_start(w, f->node);
}

static const struct kind KINDS[] = {
    {"loss", false, 3000, 40000, 1, SIM_LOSS_BORNE, loss_step},
    {"heavy loss", false, 1000, 10000, SIM_LOSS_BORNE + 1, 60, loss_step},
    {"duplication", false, 3000, 30000, 1, 30, duplication_step},
    {"split", false, 300, 30000, 1, 1 << 30, split_step},
    {"one-way", true, 300, 20000, 1, 1 << 30, one_way_step},
    {"cut", true, 300, 30000, 0, 0, cut_step},
    {"delay", true, 1000, 20000, 5, 2 * SIM_DELAY_BORNE, delay_step},
    {"resets", true, 1000, 8000, 0, 0, resets_step},
    {"crash", true, 1000, 30000, 0, 0, crash_step},
    {"fast restart", true, 1, 300, 0, 0, crash_step},
    {"power", true, 500, 30000, 0, 0, power_step},
    {"clock", true, 1, 3000, 0, UINT32_MAX - 1, clock_step},
    {"leave", true, 200, 10000, 0, 0, leave_step},
    {"pause", true, 100, SIM_LONG_STOP_MS - 1, 0, 0, stop_step},
    {"stop", true, SIM_LONG_STOP_MS, 30000, 0, 0, stop_step},
    {"slow", true, 2000, 20000, 100, 900, slow_step},
    {"flap", true, 6000, 20000, 0, 0, flap_step},
    {"change", true, 1000, 10000, 0, 0, change_step},
    {"back-pressure", true, 300, 5000, 0, 0, back_pressure_step},
    {"death", true, 1000, 60000, 0, 0, death_step},
    {"late", true, 100, 30000, 0, 0, late_step},
};
enum { KIND_COUNT = sizeof KINDS / sizeof KINDS[0], KIND_LATE = KIND_COUNT - 1, KIND_DEATH = KIND_COUNT - 2 };

/* ---- a plan ---- */

static bool collides(const struct sim_fault *f, const struct sim_fault *other)
{
    if (f->node != other->node)
        return false;
    if (f->node == SIM_NEVER) /* one loss, one duplication at a time; splits may lie across each other */
        return KINDS[f->kind].step == KINDS[other->kind].step && f->at <= other->until && other->at <= f->until;
    if (f->kind == KIND_DEATH || other->kind == KIND_DEATH)
        return true;
    return f->at < other->until + NODE_GAP_MS && other->at < f->until + NODE_GAP_MS;
}

static bool place_fault(struct sim_plan *plan, uint32_t nodes, uint32_t kind, uint64_t *random)
{
    const struct kind *k = &KINDS[kind];
    for (int i = 0; i < PLACE_TRIES; i++) {
        uint32_t last_ms = k->most_ms;
        struct sim_fault f = {.at = sim_between(random, SIM_FAULTS_FROM_MS, SIM_FAULTS_TO_MS - k->least_ms), .kind = kind};
        if (last_ms > SIM_FAULTS_TO_MS - f.at)
            last_ms = SIM_FAULTS_TO_MS - f.at;
        f.until = f.at + sim_between(random, k->least_ms, last_ms);
        f.node = k->of_node ? sim_below(random, nodes) : SIM_NEVER;
        if ((kind == KIND_DEATH || kind == KIND_LATE) && f.node < SIM_SEEDS) /* newcomers must find somebody */
            continue;
        f.amount = k->least + (uint32_t) (sim_random(random) % ((uint64_t) k->most - k->least + 1));
        if (kind == KIND_LATE)
            f.at = 0;
        uint32_t place = 0;
        while (place < plan->count && !collides(&f, &plan->faults[place]))
            place++;
        if (place == plan->count) {
            plan->faults[plan->count++] = f;
            return true;
        }
    }
    return false;
}

struct sim_plan sim_plan_make(uint32_t nodes, uint64_t seed)
{
    struct sim_plan plan = {0};
    uint64_t random = seed ^ UINT64_C(0x5851f42d4c957f2d);
    uint32_t wanted = sim_between(&random, SIM_KINDS_LEAST, MOST_KINDS), faults = sim_between(&random, FEWEST_FAULTS, MOST_FAULTS);
    uint32_t chosen[MOST_KINDS], taken = 0;
    while (plan.kinds < wanted) {
        uint32_t kind = sim_below(&random, KIND_COUNT);
        if (taken >> kind & 1 || !place_fault(&plan, nodes, kind, &random))
            continue;
        taken |= 1u << kind;
        chosen[plan.kinds++] = kind;
    }
    while (plan.count < faults)
        if (!place_fault(&plan, nodes, chosen[sim_below(&random, plan.kinds)], &random))
            faults--;
    return plan;
}

void sim_plan_drop(struct sim_plan *plan, uint32_t place)
{
    memmove(&plan->faults[place], &plan->faults[place + 1], (plan->count - place - 1) * sizeof plan->faults[0]);
    plan->count--;
}

void sim_plan_print(const struct sim_plan *plan)
{
    for (uint32_t i = 0; i < plan->count; i++) {
        const struct sim_fault *f = &plan->faults[i];
        printf("  %7.3f .. %7.3f  %-13s", (double) f->at / 1000, (double) f->until / 1000, KINDS[f->kind].name);
        if (f->node != SIM_NEVER)
            printf("  node %u", f->node);
        if (KINDS[f->kind].most > 0)
            printf("  %u", f->amount);
        putchar('\n');
    }
}

static const struct sim_plan *plan_of;

static void on_fault(struct sim_world *w, uint32_t place, uint32_t step)
{
    const struct sim_fault *f = &plan_of->faults[place];
    KINDS[f->kind].step(w, f, place, step);
}

static bool starts_late(const struct sim_plan *plan, uint32_t node)
{
    for (uint32_t i = 0; i < plan->count; i++)
        if (plan->faults[i].kind == KIND_LATE && plan->faults[i].node == node)
            return true;
    return false;
}

void sim_plan_apply(struct sim_world *w, const struct sim_plan *plan)
{
    plan_of = plan;
    w->on_fault = on_fault;
    for (uint32_t i = 0; i < w->count; i++)
        if (!starts_late(plan, i))
            sim_wheel_add(w->wheel, 1 + sim_below(&w->random, JOIN_SPREAD_MS), SIM_START, i, 0);
    for (uint32_t i = 0; i < plan->count; i++) {
        sim_wheel_add(w->wheel, plan->faults[i].at, SIM_FAULT, i, BEGIN);
        sim_wheel_add(w->wheel, plan->faults[i].until, SIM_FAULT, i, END);
    }
}

/* ---- a course ---- */

struct sim_result sim_result_of(const struct sim_world *w)
{
    struct sim_result r = {.unnoticed = w->unnoticed, .undead = w->undead, .events = w->wheel->taken, .fingerprint = sim_net_fingerprint(w->net)};
    memcpy(r.broken, w->broken, sizeof r.broken);
    memcpy(r.worst, w->worst, sizeof r.worst);
    for (uint32_t i = 0; i < w->count; i++) {
        r.frames += sim_net_traffic(w->net, i)->frames_out;
        r.bytes += sim_net_traffic(w->net, i)->bytes_out;
    }
    return r;
}

uint32_t sim_converge(struct sim_world *w, uint32_t from, uint32_t deadline)
{
    while (!w->broken[0] && sim_now(w) < deadline) {
        sim_world_run(w, sim_now(w) + SIM_SWEEP_MS);
        if (!w->broken[0] && sim_check_converged(w))
            return sim_now(w) - from;
    }
    return SIM_NEVER;
}

static void run_calm(struct sim_world *w)
{
    sim_say(w, "calm");
    w->calm = true;
    sim_world_run(w, sim_now(w) + SIM_QUIET_MS);
    if (!w->broken[0])
        sim_check_views(w);
}

struct sim_result sim_course_run(const struct sim_config *config, const struct sim_plan *plan)
{
    static struct sim_world w;
    sim_world_create(&w, config);
    uint64_t random = config->seed + 1;
    sim_net_set_delay(w.net, sim_below(&random, 3), sim_below(&random, 30));
    sim_plan_apply(&w, plan);
    sim_world_run(&w, SIM_FAULTS_TO_MS);
    sim_say(&w, "all faults have ended");
    uint32_t converged_ms = sim_converge(&w, SIM_FAULTS_TO_MS, SIM_FAULTS_TO_MS + SIM_CONVERGE_MS);
    if (sim_now(&w) < SIM_FAULTS_TO_MS + SIM_SETTLE_MS)
        sim_world_run(&w, SIM_FAULTS_TO_MS + SIM_SETTLE_MS);
    if (sim_converge(&w, 0, SIM_FAULTS_TO_MS + SIM_CONVERGE_MS) == SIM_NEVER)
        sim_break(&w, "the views have not become equal");
    if (!w.broken[0])
        run_calm(&w);
    struct sim_result result = sim_result_of(&w);
    result.converged_ms = converged_ms;
    sim_world_destroy(&w);
    return result;
}

struct sim_plan sim_course_shrink(const struct sim_config *config, struct sim_plan plan)
{
    struct sim_config quiet = *config;
    quiet.trace = false;
    for (uint32_t i = plan.count; i-- > 0;) {
        struct sim_plan fewer = plan;
        sim_plan_drop(&fewer, i);
        if (sim_course_run(&quiet, &fewer).broken[0])
            plan = fewer;
    }
    return plan;
}
