/* The grid: nodes with their drivers, and what can befall them. */
#include "tests/sim/sim_world.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/sim/sim_check.h"
#include "tests/sim/sim_random.h"

enum { EVENTS_MAX = 20 * 1000 * 1000, ID_DIGITS = 8, INDEX_DIGITS = 4 };
#define EPOCH_MS INT64_C(1700000000000)
#define MONOTONIC_MS UINT64_C(5000000) /* the cores' clock at the beginning */

static void *zeroed(size_t count, size_t size)
{
    void *p = calloc(count, size);
    if (!p)
        abort();
    return p;
}

/* ---- telling ---- */

void sim_say(const struct sim_world *w, const char *format, ...)
{
    if (!w->trace)
        return;
    va_list args;
    printf("%8.3f  ", (double) sim_now(w) / 1000);
    va_start(args, format);
    vprintf(format, args);
    va_end(args);
    putchar('\n');
}

void sim_break(struct sim_world *w, const char *format, ...)
{
    if (w->broken[0])
        return;
    int head = snprintf(w->broken, sizeof w->broken, "at %.3f s ", (double) sim_now(w) / 1000);
    va_list args;
    va_start(args, format);
    vsnprintf(w->broken + head, sizeof w->broken - (size_t) head, format, args);
    va_end(args);
    sim_say(w, "BROKEN %s", w->broken);
}

uint32_t sim_index_of(const struct sim_world *w, const char *id)
{
    uint32_t index = 0;
    for (int i = 0; i < INDEX_DIGITS; i++) {
        char c = id[ID_DIGITS + i];
        index = index * 16 + (uint32_t) (c <= '9' ? c - '0' : c - 'a' + 10);
    }
    return index < w->count ? index : 0;
}

bool sim_up(const struct sim_world *w, uint32_t node)
{
    return w->nodes[node].core != NULL;
}

/* ---- a node's driver ---- */

static uint64_t core_now(const struct sim_world *w)
{
    return MONOTONIC_MS + sim_now(w);
}

static void touch(struct sim_world *w, uint32_t node)
{
    if (w->nodes[node].touched)
        return;
    w->nodes[node].touched = true;
    w->touched[w->touched_count++] = node;
}

static void send_frames(struct sim_world *w, uint32_t node)
{
    struct slice bytes;
    uint64_t link;
    while (members_next_send(w->nodes[node].core, &link, &bytes)) {
        sim_check_frame(w, node, bytes);
        sim_net_send(w->net, node, (uint32_t) link, bytes);
    }
    while (members_next_close(w->nodes[node].core, &link))
        sim_net_close(w->net, node, (uint32_t) link);
}

static void drain(struct sim_world *w, uint32_t node)
{
    struct members_event event;
    struct members_dial dial;
    send_frames(w, node);
    while (members_next_dial(w->nodes[node].core, &dial))
        sim_net_dial(w->net, node, (uint32_t) strtoul(dial.addresses[0] + 1, NULL, 10), dial.token, dial.connect_ms);
    while (members_next_event(w->nodes[node].core, &event))
        sim_check_event(w, node, &event);
}

static void plan_tick(struct sim_world *w, uint32_t node)
{
    struct sim_node *n = &w->nodes[node];
    if (n->tick_planned <= n->tick_at)
        return;
    n->tick_planned = n->tick_at;
    sim_wheel_add(w->wheel, n->tick_at, SIM_TICK, node, 0);
}

static void run_node(struct sim_world *w, uint32_t node)
{
    struct sim_node *n = &w->nodes[node];
    if (!n->core || sim_net_host(w->net, node) != SIM_RUNNING)
        return;
    uint64_t in_ms = members_tick(n->core, core_now(w));
    n->tick_at = sim_now(w) + (in_ms < 60000 ? (uint32_t) in_ms : 60000);
    if (in_ms == 0)
        sim_break(w, "node %u must tick again at once, for ever", node);
    drain(w, node);
    plan_tick(w, node);
}

static void run_touched(struct sim_world *w)
{
    for (uint32_t i = 0; i < w->touched_count; i++) {
        w->nodes[w->touched[i]].touched = false;
        run_node(w, w->touched[i]);
    }
    w->touched_count = 0;
}

static void on_tick(struct sim_world *w, uint32_t node)
{
    struct sim_node *n = &w->nodes[node];
    if (n->tick_planned == sim_now(w))
        n->tick_planned = SIM_NEVER;
    if (!n->core || sim_net_host(w->net, node) != SIM_RUNNING)
        return;
    if (n->tick_at <= sim_now(w))
        run_node(w, node);
    else
        plan_tick(w, node);
}

/* ---- what the network tells ---- */

static void on_up(void *ctx, uint32_t node, uint32_t link, uint32_t peer, uint64_t token)
{
    struct sim_world *w = ctx;
    if (members_link_up(w->nodes[node].core, link, w->nodes[peer].id, token, core_now(w)) != 0)
        sim_net_close(w->net, node, link);
    touch(w, node);
}

static void on_frame(void *ctx, uint32_t node, uint32_t link, struct slice bytes)
{
    struct sim_world *w = ctx;
    int err = members_receive(w->nodes[node].core, link, bytes, core_now(w));
    if (err != 0)
        sim_break(w, "node %u refused another core's frame: error %d", node, err);
    touch(w, node);
}

static void on_lost(void *ctx, uint32_t node, uint32_t link, enum members_loss loss)
{
    struct sim_world *w = ctx;
    members_link_down(w->nodes[node].core, link, loss, core_now(w));
    touch(w, node);
}

static void on_dial_connected(void *ctx, uint32_t node, uint64_t token)
{
    struct sim_world *w = ctx;
    members_dial_connected(w->nodes[node].core, token, core_now(w));
    touch(w, node);
}

static void on_dial_failed(void *ctx, uint32_t node, uint64_t token, enum members_dial_fault fault)
{
    struct sim_world *w = ctx;
    members_dial_failed(w->nodes[node].core, token, fault, core_now(w));
    touch(w, node);
}

static const struct sim_net_events NET_EVENTS = {on_up, on_frame, on_lost, on_dial_connected, on_dial_failed};

/* ---- what befalls nodes ---- */

static struct member record_of(const struct sim_node *n)
{
    static const struct member_task TASKS[] = {{"render", 2, "", false}, {"resize", 1, "", false}, {"thumbnail", 4, "", false}};
    struct member self = {.hostname = n->name, .platform = "linux-x86_64", .user = "grid", .version = "1.0.0"};
    memcpy(self.name, n->name, sizeof n->name);
    memcpy(self.id, n->id, sizeof self.id);
    self.incarnation = n->birth;
    self.started_at_ms = n->started_at_ms;
    self.addresses = n->addresses;
    self.address_count = 1;
    self.tasks = TASKS;
    self.task_count = 1 + n->changes % 3;
    self.api_port = 7800;
    return self;
}

/* Nothing is known to a new process. */
static void forget_views(struct sim_world *w, uint32_t observer)
{
    w->nodes[observer].right_since = 0;
    for (uint32_t t = 0; t < w->count; t++)
        *sim_view_of(w, observer, t) = (struct sim_view){.state = SIM_UNKNOWN, .wrong_since = SIM_NEVER};
}

void sim_start(struct sim_world *w, uint32_t node)
{
    struct sim_node *n = &w->nodes[node];
    const char *seeds[SIM_SEEDS];
    size_t seed_count = 0;
    for (uint32_t i = 0; i < SIM_SEEDS && i < w->count; i++)
        seeds[seed_count++] = w->nodes[i].address;
    int64_t wall = EPOCH_MS + sim_now(w) + n->wall_offset_ms;
    n->started_at_ms = wall == n->started_at_ms ? wall + 1 : wall;
    n->birth = (uint64_t) wall;
    w->facts++;
    struct member self = record_of(n);
    struct members_config config = {.authority = "authority", .grid = "sim", .self = &self, .seeds = seeds, .seed_count = seed_count,
                                    .seed = sim_random(&w->random), .times = w->times};
    if (members_create(&config, core_now(w), &n->core) != 0)
        abort();
    sim_net_set_host(w->net, node, SIM_NO_PROCESS);
    sim_net_set_host(w->net, node, SIM_RUNNING);
    forget_views(w, node);
    n->well_since = sim_now(w);
    n->doubtful_until = n->doubts > 0 ? SIM_NEVER : sim_now(w);
    sim_say(w, "node %u starts", node);
    touch(w, node);
    run_touched(w);
}

static void end_process(struct sim_world *w, uint32_t node, enum sim_host host)
{
    struct sim_node *n = &w->nodes[node];
    members_destroy(n->core);
    n->core = NULL;
    w->facts++;
    n->well_since = SIM_NEVER;
    n->ended_at = sim_now(w);
    sim_net_set_host(w->net, node, host);
}

void sim_kill(struct sim_world *w, uint32_t node)
{
    sim_say(w, "node %u is killed", node);
    end_process(w, node, SIM_NO_PROCESS);
}

void sim_power_off(struct sim_world *w, uint32_t node)
{
    sim_say(w, "node %u is switched off", node);
    end_process(w, node, SIM_NO_HOST);
}

/* As gossip_leave does it: says so, ends its links in order, exits. */
void sim_leave(struct sim_world *w, uint32_t node)
{
    uint32_t links[256];
    sim_say(w, "node %u leaves", node);
    members_leave(w->nodes[node].core, core_now(w));
    run_node(w, node);
    size_t count = sim_net_links(w->net, node, links, sizeof links / sizeof links[0]);
    for (size_t i = 0; i < count; i++)
        sim_net_close(w->net, node, links[i]);
    end_process(w, node, SIM_NO_PROCESS);
}

/* One more, or one less, reason to take the node's process for dead. */
static void doubt(struct sim_world *w, uint32_t node, int by)
{
    struct sim_node *n = &w->nodes[node];
    n->doubts += by;
    n->doubtful_until = n->doubts > 0 ? SIM_NEVER : sim_now(w) + SIM_DOUBT_MS;
}

void sim_stop(struct sim_world *w, uint32_t node, bool mortal)
{
    sim_say(w, "node %u is stopped", node);
    w->nodes[node].well_since = SIM_NEVER;
    w->nodes[node].mortal = mortal;
    if (mortal)
        doubt(w, node, 1);
    sim_net_set_host(w->net, node, SIM_STOPPED);
}

void sim_continue(struct sim_world *w, uint32_t node)
{
    struct sim_node *n = &w->nodes[node];
    sim_say(w, "node %u goes on", node);
    if (n->mortal)
        doubt(w, node, -1);
    n->mortal = false;
    n->well_since = sim_now(w);
    if (sim_below(&w->random, 2) == 0) /* its timer is due before it reads what has come in, or behind that */
        members_tick(n->core, core_now(w));
    sim_net_set_host(w->net, node, SIM_RUNNING);
    touch(w, node);
    run_touched(w);
}

void sim_jump_clock(struct sim_world *w, uint32_t node, int64_t by_ms)
{
    sim_say(w, "node %u: its clock jumps by %.0f s", node, (double) by_ms / 1000);
    w->nodes[node].wall_offset_ms += by_ms;
}

void sim_change(struct sim_world *w, uint32_t node)
{
    struct sim_node *n = &w->nodes[node];
    n->changes++;
    struct member self = record_of(n);
    members_set_self(n->core, &self, core_now(w));
    members_set_load(n->core, n->changes % 7, n->changes % 5, n->changes % 100);
    touch(w, node);
    run_touched(w);
}

void sim_back_pressure(struct sim_world *w, uint32_t node, bool on)
{
    uint32_t links[256];
    size_t count = sim_net_links(w->net, node, links, sizeof links / sizeof links[0]);
    sim_say(w, "node %u: back-pressure %s", node, on ? "on some links" : "ends");
    for (size_t i = 0; i < count; i++)
        if (!on || sim_below(&w->random, 2) == 0)
            members_link_pause(w->nodes[node].core, links[i], on);
    touch(w, node);
    run_touched(w);
}

void sim_disturb(struct sim_world *w, uint32_t node, bool on)
{
    if (sim_up(w, node))
        w->nodes[node].well_since = on ? SIM_NEVER : sim_now(w);
}

/* ---- what befalls the network ---- */

void sim_block(struct sim_world *w, uint32_t from, uint32_t to, int by)
{
    sim_net_block(w->net, from, to, by);
    bool blocked = sim_net_blocked(w->net, from, to) || sim_net_blocked(w->net, to, from);
    w->path_well_since[from * w->count + to] = w->path_well_since[to * w->count + from] = blocked ? SIM_NEVER : sim_now(w);
    doubt(w, from, by);
    doubt(w, to, by);
}

void sim_set_loss(struct sim_world *w, uint32_t percent)
{
    sim_say(w, "loss %u%%", percent);
    if (percent > SIM_LOSS_TIMELY)
        w->net_well_since = SIM_NEVER;
    else if (w->loss > SIM_LOSS_TIMELY)
        w->net_well_since = sim_now(w);
    int deadly = (percent > SIM_LOSS_BORNE) - (w->loss > SIM_LOSS_BORNE);
    for (uint32_t i = 0; i < w->count && deadly != 0; i++)
        doubt(w, i, deadly);
    w->loss = percent;
    sim_net_set_loss(w->net, percent);
}

void sim_set_node_delay(struct sim_world *w, uint32_t node, uint32_t extra_ms)
{
    sim_say(w, "node %u: %u ms further away", node, extra_ms);
    int far = (extra_ms > SIM_DELAY_BORNE) - (w->nodes[node].delay_ms > SIM_DELAY_BORNE);
    for (uint32_t i = 0; i < w->count && far != 0; i++) /* no dial from there comes to an end in its time */
        doubt(w, i, far);
    w->nodes[node].delay_ms = extra_ms;
    sim_net_set_node_delay(w->net, node, extra_ms);
    sim_disturb(w, node, extra_ms > 0);
}

/* ---- time ---- */

static void happen(struct sim_world *w, const struct sim_event *e)
{
    if (e->kind < SIM_NET_KINDS)
        sim_net_happen(w->net, e);
    else if (e->kind == SIM_TICK)
        on_tick(w, e->a);
    else if (e->kind == SIM_START)
        sim_start(w, e->a);
    else
        w->on_fault(w, e->a, e->b);
    run_touched(w);
}

void sim_world_run(struct sim_world *w, uint32_t until)
{
    struct sim_event e;
    while (!w->broken[0] && sim_now(w) < until) {
        uint32_t to = w->sweep_at < until ? w->sweep_at : until;
        while (!w->broken[0] && sim_wheel_next(w->wheel, to, &e)) {
            if (++w->events > EVENTS_MAX)
                sim_break(w, "there is no end of events");
            happen(w, &e);
        }
        if (sim_now(w) < w->sweep_at || w->broken[0])
            continue;
        sim_check_sweep(w);
        w->sweep_at += SIM_SWEEP_MS;
    }
}

/* ---- life ---- */

static void name_node(struct sim_world *w, uint32_t node)
{
    struct sim_node *n = &w->nodes[node];
    snprintf(n->id, sizeof n->id, "%08x%04x%052x", (unsigned) sim_random(&w->random), (unsigned) (node & 0xffff), 7);
    snprintf(n->name, sizeof n->name, "node%u", node);
    snprintf(n->address, sizeof n->address, "n%u:7900", node);
    n->addresses[0] = n->address;
    n->tick_planned = n->well_since = SIM_NEVER;
}

void sim_world_create(struct sim_world *w, const struct sim_config *config)
{
    static struct sim_wheel wheel;
    size_t pairs = (size_t) config->nodes * config->nodes;
    sim_wheel_reset(&wheel);
    wheel.now = 1;
    *w = (struct sim_world){.wheel = &wheel, .random = config->seed, .count = config->nodes, .trace = config->trace, .sweep_at = SIM_SWEEP_MS,
                            .times = config->times ? config->times : &MEMBERS_LAN, .patience = config->patience > 0 ? config->patience : 1};
    w->net = sim_net_create(&wheel, w->count, sim_random(&w->random), &NET_EVENTS, w, w->times);
    w->nodes = zeroed(w->count, sizeof *w->nodes);
    w->views = zeroed(pairs, sizeof *w->views);
    w->path_well_since = zeroed(pairs, sizeof *w->path_well_since);
    w->touched = zeroed(w->count, sizeof *w->touched);
    for (uint32_t i = 0; i < w->count; i++) {
        name_node(w, i);
        forget_views(w, i);
    }
}

void sim_world_destroy(struct sim_world *w)
{
    for (uint32_t i = 0; i < w->count; i++)
        members_destroy(w->nodes[i].core);
    sim_net_destroy(w->net);
    free(w->nodes);
    free(w->views);
    free(w->path_well_since);
    free(w->touched);
}
