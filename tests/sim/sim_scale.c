/* A great grid: how long until all know all, what it costs to stay together, and how long until all know of an end. */
#include "tests/sim/sim_scale.h"

#include <stdio.h>

#include "tests/sim/sim_check.h"
#include "tests/sim/sim_course.h"
#include "tests/sim/sim_random.h"

enum { JOIN_EACH_MS = 5, JOINED_BY_MS = 120000, IDLE_MS = 30000, KNOWN_BY_MS = 60000, WRONG_SHOWN = 10, LINKS_MOST = 2 * MEMBERS_LINKS_MAX };

struct sums {
    uint64_t frames, bytes;
};

static struct sums sum_received(const struct sim_world *w)
{
    struct sums s = {0};
    for (uint32_t i = 0; i < w->count; i++) {
        s.frames += sim_net_traffic(w->net, i)->frames_in;
        s.bytes += sim_net_traffic(w->net, i)->bytes_in;
    }
    return s;
}

static void print_cost(const struct sim_world *w, const char *what, struct sums before, uint32_t ms)
{
    struct sums now = sum_received(w);
    double seconds = (double) ms / 1000, members = w->count;
    printf("%s: %.1f frames and %.0f bytes of gossip received a second and member\n", what, (double) (now.frames - before.frames) / seconds / members,
           (double) (now.bytes - before.bytes) / seconds / members);
}

/* False when somebody is on the way to a link with everybody. One who came early keeps some of those that it made while the grid was small, beside its active view. */
static bool judge_links(const struct sim_world *w)
{
    uint32_t links[2 * MEMBERS_MAX], most = 0;
    size_t all = 0;
    for (uint32_t i = 0; i < w->count; i++) {
        size_t count = sim_net_links(w->net, i, links, sizeof links / sizeof links[0]);
        most = count > most ? (uint32_t) count : most;
        all += count;
    }
    printf("links: %.1f a member, %u at most\n", (double) all / w->count, most);
    return most <= LINKS_MOST;
}

/* Everybody has come, and knows everybody. */
static bool gather(struct sim_world *w)
{
    uint64_t random = 1;
    uint32_t join_ms = JOIN_EACH_MS * w->count;
    for (uint32_t i = 0; i < w->count; i++)
        sim_wheel_add(w->wheel, 1 + sim_below(&random, join_ms), SIM_START, i, 0);
    sim_world_run(w, join_ms + 1);
    uint32_t took = sim_converge(w, join_ms, join_ms + JOINED_BY_MS);
    if (took == SIM_NEVER)
        return false;
    printf("%u members that start within %.1f s: all views equal %.2f s after the last start\n", w->count, (double) join_ms / 1000, (double) took / 1000);
    print_cost(w, "joining", (struct sums){0}, sim_now(w));
    return true;
}

static bool lose_one(struct sim_world *w)
{
    uint32_t from = sim_now(w);
    struct sums before = sum_received(w);
    sim_kill(w, w->count / 2);
    uint32_t took = sim_converge(w, from, from + KNOWN_BY_MS);
    if (took == SIM_NEVER)
        return false;
    printf("one is killed: all know %.2f s later\n", (double) took / 1000);
    print_cost(w, "its end", before, took);
    return true;
}

static void print_wrong(const struct sim_world *w)
{
    int shown = 0;
    for (uint32_t o = 0; o < w->count; o++)
        for (uint32_t t = 0; t < w->count && shown < WRONG_SHOWN; t++) {
            const struct sim_view *v = sim_view_of(w, o, t);
            if (o == t || !sim_up(w, o) || !sim_up(w, t) || v->state == MEMBER_ALIVE)
                continue;
            printf("node %u sees node %u as %s\n", o, t, v->state == SIM_UNKNOWN ? "unknown" : member_state_name(v->state));
            shown++;
        }
}

bool sim_scale_run(uint32_t nodes, uint64_t seed, bool trace)
{
    static struct sim_world w;
    const struct sim_config config = {.nodes = nodes, .seed = seed, .trace = trace};
    sim_world_create(&w, &config);
    w.great = true;
    sim_net_set_delay(w.net, 0, 3);
    bool fine = gather(&w);
    if (fine) {
        sim_world_run(&w, sim_now(&w) + IDLE_MS);
        struct sums before = sum_received(&w);
        sim_world_run(&w, sim_now(&w) + IDLE_MS);
        print_cost(&w, "idle", before, IDLE_MS);
        if (!judge_links(&w))
            sim_break(&w, "somebody keeps more links than %d", LINKS_MOST);
        fine = !w.broken[0] && lose_one(&w);
    }
    if (!fine)
        printf("%s: %u wrong views of %u\n", w.broken[0] ? w.broken : "the views do not become equal", w.wrong_pairs, w.count * w.count);
    if (!fine)
        print_wrong(&w);
    sim_world_destroy(&w);
    return fine;
}
