/* TCP as far as it matters to those above it. One wire per connection, two flows per wire. A frame that is lost holds up all behind it until
 * it has been sent again, after 200 ms at first, then twice as late each time up to a second (TCP_RTO_MAX_MS: Linux under heavy loss does not keep to
 * the even intervals of thin streams); what has not been acknowledged for TCP_USER_TIMEOUT ends the connection at the sender. */
#include "tests/sim/sim_net.h"

#include <stdlib.h>
#include <string.h>

#include "tests/sim/sim_random.h"

enum {
    RETRY_MS = 200,
    RETRY_SHIFT_MAX = 3,
    RETRY_MAX_MS = 1000,
    SYN_RETRY_MS = 1000,
    FLIGHTS = 3, /* of a handshake, one after the other */
    STOPPED_LOOK_MS = 20,
    ECHO_MAX_MS = 2000,
    CLASS_MIN = 6, /* the smallest frame buffer has 64 bytes */
    CLASSES = 21,
    LANES = 4, /* of the fingerprint */
};
#define NEVER UINT32_MAX

enum kind { ARRIVE, RETRY, RESET, ACCEPT, DIAL_STEP, DIAL_LIMIT, ECHO };

struct frame {
    struct frame *next;
    uint32_t sent_at, arrive_at; /* NEVER: lost, to be sent again */
    uint32_t size, class;
    bool fin;
    uint8_t data[];
};

struct flow { /* what one end sends: on its way, lost, or waiting for a stopped process */
    struct frame *head, *last;
    uint32_t clear_at;      /* nothing sent now arrives before: order */
    uint32_t unacked_since; /* NEVER: all is acknowledged */
    uint32_t retry_at;      /* NEVER: none is planned */
    uint32_t tries;
    bool begun; /* its first frame has been delivered */
};

struct wire {
    uint32_t node[2]; /* 0: the dialler */
    bool open[2];     /* the process has it */
    bool mute[2];     /* closed in order: what still comes is swallowed, not answered with a reset */
    bool waits[2];    /* for a stopped process: its end was lost */
    bool accepting;   /* the accepting process has not seen it yet */
    enum members_loss loss[2];
    struct flow flow[2];
};

struct dial {
    uint32_t from, to, started_at, connect_ms, flights, tries, serial;
    uint64_t token;
    bool active, established, refused, told;
};

struct luck { /* of dials between two */
    uint32_t lost_in_a_row, run_at;
};

struct echo {
    struct frame *frame;
    uint32_t wire, end;
};

struct wires { /* of one node, some of them ended */
    uint32_t *items;
    size_t count, capacity;
};

struct sim_net {
    struct sim_wheel *wheel;
    const struct sim_net_events *events;
    void *ctx;
    const struct members_times *times;
    uint64_t random, fingerprint;
    uint32_t count, loss, duplication, base_ms, jitter_ms;
    enum sim_host *hosts;
    uint32_t *node_delay;
    struct sim_traffic *traffic;
    uint8_t *blocks; /* [from * count + to] */
    struct luck *luck; /* the same; of both, at the lower one */
    struct wires *of; /* by node */
    struct wire *wires;
    size_t wire_count, wire_capacity;
    struct dial *dials;
    size_t dial_count, dial_capacity, dial_free; /* free: all before it are active */
    uint32_t serial;
    struct sim_event *held; /* for stopped processes */
    size_t held_count, held_capacity;
    struct echo *echoes;
    size_t echo_count, echo_capacity;
};

/* Freed frames by size; they live as long as the program. */
static struct frame *spare[CLASSES];

/* ---- memory ---- */

static void *grow(void *items, size_t count, size_t *capacity, size_t size)
{
    if (count < *capacity)
        return items;
    *capacity = *capacity ? 2 * *capacity : 64;
    items = realloc(items, *capacity * size);
    if (!items)
        abort();
    return items;
}

static void *zeroed(size_t count, size_t size)
{
    void *p = calloc(count, size);
    if (!p)
        abort();
    return p;
}

static struct frame *frame_new(struct slice bytes)
{
    uint32_t class = CLASS_MIN;
    while ((size_t) 1 << class < bytes.size)
        class++;
    struct frame *f = spare[class];
    if (f)
        spare[class] = f->next;
    else if (!(f = malloc(sizeof *f + ((size_t) 1 << class))))
        abort();
    *f = (struct frame){.size = (uint32_t) bytes.size, .class = class};
    if (bytes.size > 0)
        memcpy(f->data, bytes.data, bytes.size);
    return f;
}

static void frame_free(struct frame *f)
{
    f->next = spare[f->class];
    spare[f->class] = f;
}

/* ---- paths ---- */

static bool is_lost(struct sim_net *net)
{
    return net->loss > 0 && sim_below(&net->random, 100) < net->loss;
}

static bool passes(struct sim_net *net, uint32_t from, uint32_t to)
{
    if (net->blocks[from * net->count + to] > 0 || net->hosts[from] == SIM_NO_HOST || net->hosts[to] == SIM_NO_HOST)
        return false;
    return !is_lost(net);
}

static uint32_t way_ms(struct sim_net *net, uint32_t from, uint32_t to)
{
    return net->base_ms + sim_below(&net->random, net->jitter_ms + 1) + net->node_delay[from] + net->node_delay[to];
}

static void plan(struct sim_net *net, uint32_t in_ms, enum kind kind, uint32_t a, uint32_t b)
{
    sim_wheel_add(net->wheel, net->wheel->now + in_ms, kind, a, b);
}

/* For a stopped process: it happens when it goes on. */
static void hold(struct sim_net *net, const struct sim_event *e)
{
    net->held = grow(net->held, net->held_count, &net->held_capacity, sizeof *net->held);
    net->held[net->held_count++] = *e;
}

/* ---- flows ---- */

static void flow_drop(struct flow *flow)
{
    while (flow->head) {
        struct frame *next = flow->head->next;
        frame_free(flow->head);
        flow->head = next;
    }
    flow->last = NULL;
    flow->unacked_since = NEVER;
}

static struct frame *first_lost(const struct flow *flow)
{
    struct frame *f = flow->head;
    while (f && f->arrive_at != NEVER)
        f = f->next;
    return f;
}

static void plan_retry(struct sim_net *net, uint32_t wire, uint32_t end, uint32_t in_ms)
{
    struct flow *flow = &net->wires[wire].flow[end];
    uint32_t at = net->wheel->now + in_ms;
    if (flow->retry_at <= at)
        return;
    flow->retry_at = at;
    plan(net, in_ms, RETRY, wire, end);
}

static uint32_t timeout_ms(uint32_t tries)
{
    uint32_t ms = (uint32_t) RETRY_MS << (tries < RETRY_SHIFT_MAX ? tries : RETRY_SHIFT_MAX);
    return ms < RETRY_MAX_MS ? ms : RETRY_MAX_MS;
}

static void frame_leaves(struct sim_net *net, uint32_t wire, uint32_t end, struct frame *f)
{
    struct wire *w = &net->wires[wire];
    struct flow *flow = &w->flow[end];
    uint32_t at = net->wheel->now + way_ms(net, w->node[end], w->node[1 - end]);
    if (!passes(net, w->node[end], w->node[1 - end])) {
        f->arrive_at = NEVER;
        plan_retry(net, wire, end, timeout_ms(flow->tries));
        return;
    }
    f->arrive_at = flow->clear_at = at > flow->clear_at ? at : flow->clear_at;
    sim_wheel_add(net->wheel, f->arrive_at, ARRIVE, wire, end);
}

static void flow_append(struct sim_net *net, uint32_t wire, uint32_t end, struct frame *f)
{
    struct flow *flow = &net->wires[wire].flow[end];
    f->sent_at = net->wheel->now;
    if (flow->last)
        flow->last->next = f;
    else
        flow->head = f;
    flow->last = f;
    if (flow->unacked_since == NEVER)
        flow->unacked_since = f->sent_at;
    frame_leaves(net, wire, end, f);
}

/* The receiving kernel's acknowledgement of all that has arrived. */
static void acknowledge(struct sim_net *net, uint32_t wire, uint32_t end)
{
    struct wire *w = &net->wires[wire];
    struct flow *flow = &w->flow[end];
    const struct frame *f = flow->head;
    while (f && f->arrive_at <= net->wheel->now)
        f = f->next;
    if (!passes(net, w->node[1 - end], w->node[end])) {
        plan_retry(net, wire, end, timeout_ms(flow->tries));
        return;
    }
    flow->tries = 0;
    flow->unacked_since = f ? f->sent_at : NEVER;
    if (f && f->arrive_at == NEVER) /* it shows that something is missing */
        plan_retry(net, wire, end, 2 * way_ms(net, w->node[end], w->node[1 - end]));
}

/* ---- ends ---- */

/* One end is over for its process. */
static void end_lost(struct sim_net *net, uint32_t wire, uint32_t end, enum members_loss loss)
{
    struct wire *w = &net->wires[wire];
    flow_drop(&w->flow[end]);
    if (!w->open[end])
        return;
    if (net->hosts[w->node[end]] == SIM_STOPPED) {
        w->waits[end] = true;
        w->loss[end] = loss;
        flow_drop(&w->flow[1 - end]);
        return;
    }
    w->open[end] = false;
    if (!(end == 1 && w->accepting))
        net->events->lost(net->ctx, w->node[end], wire + 1, loss);
}

/* The kernel at `end` has no such connection and says so, unless the answer is lost. */
static void answer_reset(struct sim_net *net, uint32_t wire, uint32_t end)
{
    struct wire *w = &net->wires[wire];
    if (passes(net, w->node[end], w->node[1 - end]))
        plan(net, way_ms(net, w->node[end], w->node[1 - end]), RESET, wire, 1 - end);
}

static void echo_later(struct sim_net *net, uint32_t wire, uint32_t end, const struct frame *f)
{
    if (net->duplication == 0 || !net->wires[wire].flow[end].begun || sim_below(&net->random, 100) >= net->duplication)
        return;
    net->echoes = grow(net->echoes, net->echo_count, &net->echo_capacity, sizeof *net->echoes);
    net->echoes[net->echo_count] = (struct echo){frame_new(slice_of(f->data, f->size)), wire, end};
    plan(net, sim_below(&net->random, ECHO_MAX_MS), ECHO, (uint32_t) net->echo_count++, 0);
}

static void deliver(struct sim_net *net, uint32_t wire, uint32_t end, const struct frame *f)
{
    struct wire *w = &net->wires[wire];
    uint32_t to = w->node[1 - end];
    net->traffic[to].frames_in++;
    net->traffic[to].bytes_in += f->size;
    net->events->frame(net->ctx, to, wire + 1, slice_of(f->data, f->size));
}

/* The receiving process reads what has arrived. */
static void read_arrived(struct sim_net *net, uint32_t wire, uint32_t end)
{
    struct frame *f;
    while ((f = net->wires[wire].flow[end].head) && f->arrive_at <= net->wheel->now && net->wires[wire].open[1 - end]) {
        struct flow *flow = &net->wires[wire].flow[end];
        flow->head = f->next;
        if (!flow->head)
            flow->last = NULL;
        if (f->fin) {
            net->wires[wire].mute[1 - end] = true;
            end_lost(net, wire, 1 - end, MEMBERS_LOST_RESET);
        } else {
            deliver(net, wire, end, f);
            echo_later(net, wire, end, f);
            net->wires[wire].flow[end].begun = true;
        }
        frame_free(f);
    }
}

static void on_arrive(struct sim_net *net, uint32_t wire, uint32_t end)
{
    struct wire *w = &net->wires[wire];
    uint32_t to = w->node[1 - end];
    if (!w->flow[end].head)
        return;
    if (net->hosts[to] == SIM_NO_HOST) {
        for (struct frame *f = w->flow[end].head; f; f = f->next)
            f->arrive_at = NEVER;
        plan_retry(net, wire, end, timeout_ms(w->flow[end].tries));
        return;
    }
    if (w->waits[1 - end])
        return;
    if (!w->open[1 - end]) {
        flow_drop(&w->flow[end]);
        if (!w->mute[1 - end])
            answer_reset(net, wire, 1 - end);
        return;
    }
    if (net->hosts[to] == SIM_RUNNING && !w->accepting)
        read_arrived(net, wire, end);
    acknowledge(net, wire, end);
}

static void on_retry(struct sim_net *net, uint32_t wire, uint32_t end)
{
    struct wire *w = &net->wires[wire];
    struct flow *flow = &w->flow[end];
    if (flow->retry_at != net->wheel->now)
        return;
    flow->retry_at = NEVER;
    if (flow->unacked_since == NEVER)
        return;
    if (net->wheel->now >= flow->unacked_since + net->times->unacknowledged_ms) {
        w->mute[end] = false;
        end_lost(net, wire, end, MEMBERS_LOST_TIMEOUT);
        return;
    }
    flow->tries++;
    struct frame *f = first_lost(flow);
    if (f)
        frame_leaves(net, wire, end, f);
    else if (passes(net, w->node[end], w->node[1 - end]))
        acknowledge(net, wire, end);
    else
        plan_retry(net, wire, end, timeout_ms(flow->tries));
}

static void on_reset(struct sim_net *net, uint32_t wire, uint32_t end)
{
    net->wires[wire].mute[end] = false;
    end_lost(net, wire, end, MEMBERS_LOST_RESET);
}

static void on_echo(struct sim_net *net, uint32_t place)
{
    struct echo *e = &net->echoes[place];
    uint32_t to = net->wires[e->wire].node[1 - e->end];
    if (net->wires[e->wire].open[1 - e->end] && net->hosts[to] == SIM_RUNNING)
        deliver(net, e->wire, e->end, e->frame);
    frame_free(net->echoes[place].frame);
    net->echoes[place].frame = NULL;
}

/* ---- dials ---- */

static void wires_add(struct wires *list, uint32_t wire)
{
    list->items = grow(list->items, list->count, &list->capacity, sizeof *list->items);
    list->items[list->count++] = wire;
}

static uint32_t wire_new(struct sim_net *net, uint32_t from, uint32_t to)
{
    net->wires = grow(net->wires, net->wire_count, &net->wire_capacity, sizeof *net->wires);
    uint32_t wire = (uint32_t) net->wire_count++;
    struct wire *w = &net->wires[wire];
    *w = (struct wire){.node = {from, to}, .open = {true, true}, .accepting = true};
    for (int end = 0; end < 2; end++)
        w->flow[end] = (struct flow){.unacked_since = NEVER, .retry_at = NEVER};
    wires_add(&net->of[from], wire);
    wires_add(&net->of[to], wire);
    return wire;
}

static void dial_ends(struct sim_net *net, struct dial *d)
{
    size_t place = (size_t) (d - net->dials);
    d->active = false;
    net->dial_free = place < net->dial_free ? place : net->dial_free;
}

static void dial_over(struct sim_net *net, struct dial *d, enum members_dial_fault fault)
{
    dial_ends(net, d);
    net->events->dial_failed(net->ctx, d->from, d->token, fault);
}

/* The dialler's handshake is through; the other side sees it one way later, and nothing that was sent to it before that. */
static void dial_opens(struct sim_net *net, struct dial *d)
{
    uint32_t from = d->from, to = d->to, wire = wire_new(net, from, to), way = way_ms(net, from, to);
    uint64_t token = d->token;
    dial_ends(net, d);
    net->wires[wire].flow[0].clear_at = net->wheel->now + way;
    if (from == to) /* its own address: it knows itself by the certificate */
        net->wires[wire].open[1] = false;
    else
        plan(net, way, ACCEPT, wire, 0);
    net->events->up(net->ctx, from, wire + 1, to, token);
}

static void on_accept(struct sim_net *net, const struct sim_event *e)
{
    struct wire *w = &net->wires[e->a];
    if (!w->open[1])
        return;
    if (net->hosts[w->node[1]] == SIM_STOPPED) {
        hold(net, e);
        return;
    }
    w->accepting = false;
    net->events->up(net->ctx, w->node[1], e->a + 1, w->node[0], 0);
    read_arrived(net, e->a, 0);
}

static struct luck *luck_of(const struct sim_net *net, uint32_t a, uint32_t b)
{
    return &net->luck[a < b ? a * net->count + b : b * net->count + a];
}

static void dial_was_lost(struct sim_net *net, const struct dial *d)
{
    struct luck *luck = luck_of(net, d->from, d->to);
    if (net->loss > 0 && ++luck->lost_in_a_row >= SIM_LOST_RUN)
        luck->run_at = net->wheel->now;
}

uint32_t sim_net_run_lost_at(const struct sim_net *net, uint32_t a, uint32_t b)
{
    return luck_of(net, a, b)->run_at;
}

static void dial_again_in(struct sim_net *net, uint32_t place, uint32_t in_ms)
{
    plan(net, in_ms, DIAL_STEP, place, net->dials[place].serial);
}

static void dial_connect(struct sim_net *net, uint32_t place)
{
    struct dial *d = &net->dials[place];
    uint32_t round = way_ms(net, d->from, d->to) + way_ms(net, d->to, d->from);
    if (!passes(net, d->from, d->to) || !passes(net, d->to, d->from)) {
        dial_again_in(net, place, SYN_RETRY_MS);
        return;
    }
    d->refused = net->hosts[d->to] == SIM_NO_PROCESS;
    d->established = !d->refused;
    luck_of(net, d->from, d->to)->lost_in_a_row = 0;
    dial_again_in(net, place, d->refused ? round : 2 * round);
}

/* Of its flights each is sent again until it arrives. True when all have arrived; else it goes on later. */
static bool handshake_done(struct sim_net *net, uint32_t place)
{
    struct dial *d = &net->dials[place];
    while (d->flights < FLIGHTS && !is_lost(net)) {
        d->flights++;
        d->tries = 0;
    }
    if (d->flights < FLIGHTS)
        dial_again_in(net, place, timeout_ms(d->tries++));
    return d->flights == FLIGHTS;
}

static void tell_connected(struct sim_net *net, struct dial *d)
{
    if (d->established && !d->told)
        net->events->dial_connected(net->ctx, d->from, d->token);
    d->told = d->established;
}

static void on_dial_step(struct sim_net *net, const struct sim_event *e)
{
    struct dial *d = &net->dials[e->a];
    if (!d->active || d->serial != e->b)
        return;
    if (net->hosts[d->from] != SIM_STOPPED)
        tell_connected(net, d);
    if (net->hosts[d->from] == SIM_STOPPED)
        hold(net, e);
    else if (d->refused)
        dial_over(net, d, MEMBERS_DIAL_REFUSED);
    else if (!d->established)
        dial_connect(net, e->a);
    else if (net->hosts[d->to] == SIM_NO_PROCESS) /* it ended amid the handshake */
        dial_over(net, d, MEMBERS_DIAL_TIMEOUT);
    else if (net->hosts[d->to] != SIM_RUNNING)
        dial_again_in(net, e->a, STOPPED_LOOK_MS);
    else if (sim_net_blocked(net, d->from, d->to) || sim_net_blocked(net, d->to, d->from))
        dial_again_in(net, e->a, RETRY_MS);
    else if (handshake_done(net, e->a))
        dial_opens(net, d);
}

static void on_dial_limit(struct sim_net *net, const struct sim_event *e)
{
    struct dial *d = &net->dials[e->a];
    if (!d->active || d->serial != e->b)
        return;
    if (net->hosts[d->from] == SIM_STOPPED)
        hold(net, e);
    else if (d->established && net->wheel->now < d->started_at + d->connect_ms + net->times->handshake_ms)
        plan(net, net->times->handshake_ms, DIAL_LIMIT, e->a, d->serial);
    else {
        if (!d->established)
            dial_was_lost(net, d);
        dial_over(net, d, d->established ? MEMBERS_DIAL_SILENT : MEMBERS_DIAL_TIMEOUT);
    }
}

void sim_net_dial(struct sim_net *net, uint32_t from, uint32_t to, uint64_t token, uint32_t connect_ms)
{
    size_t place = net->dial_free;
    while (place < net->dial_count && net->dials[place].active)
        place++;
    net->dial_free = place + 1;
    if (place == net->dial_count) {
        net->dials = grow(net->dials, net->dial_count, &net->dial_capacity, sizeof *net->dials);
        net->dial_count++;
    }
    net->dials[place] = (struct dial){.from = from, .to = to, .started_at = net->wheel->now, .connect_ms = connect_ms, .serial = ++net->serial, .token = token, .active = true};
    net->traffic[from].dials++;
    plan(net, connect_ms, DIAL_LIMIT, (uint32_t) place, net->serial);
    dial_again_in(net, (uint32_t) place, 0);
}

/* ---- what processes do ---- */

static uint32_t end_of(const struct wire *w, uint32_t node)
{
    return w->node[0] == node ? 0 : 1;
}

static uint64_t stirred(uint64_t hash, uint64_t word)
{
    hash = (hash ^ word) * UINT64_C(0x9e3779b97f4a7c15);
    return hash ^ hash >> 29;
}

/* In several lanes, none of which waits for another. */
static uint64_t hash_of(struct slice bytes)
{
    uint64_t lanes[LANES] = {bytes.size, 1, 2, 3}, words[LANES] = {0};
    while (bytes.size >= sizeof words) {
        memcpy(words, bytes.data, sizeof words);
        for (int i = 0; i < LANES; i++)
            lanes[i] = stirred(lanes[i], words[i]);
        bytes = slice_of(bytes.data + sizeof words, bytes.size - sizeof words);
    }
    memset(words, 0, sizeof words);
    if (bytes.size > 0)
        memcpy(words, bytes.data, bytes.size);
    for (int i = 0; i < LANES; i++)
        lanes[i] = stirred(lanes[i], words[i]);
    return stirred(stirred(lanes[0], lanes[1]), stirred(lanes[2], lanes[3]));
}

static void note_traffic(struct sim_net *net, uint32_t node, uint32_t link, struct slice bytes)
{
    net->fingerprint = stirred(net->fingerprint ^ ((uint64_t) net->wheel->now << 32 | link), hash_of(bytes));
    net->traffic[node].frames_out++;
    net->traffic[node].bytes_out += bytes.size;
}

void sim_net_send(struct sim_net *net, uint32_t node, uint32_t link, struct slice bytes)
{
    struct wire *w = &net->wires[link - 1];
    uint32_t end = end_of(w, node);
    if (!w->open[end])
        return;
    note_traffic(net, node, link, bytes);
    flow_append(net, link - 1, end, frame_new(bytes));
}

/* The kernel ends it: FIN behind what was sent. */
static void end_in_order(struct sim_net *net, uint32_t wire, uint32_t end, bool mute)
{
    struct wire *w = &net->wires[wire];
    if (!w->open[end])
        return;
    w->open[end] = w->waits[end] = false;
    w->mute[end] = mute;
    struct frame *f = frame_new(slice_of(NULL, 0));
    f->fin = true;
    flow_append(net, wire, end, f);
}

void sim_net_close(struct sim_net *net, uint32_t node, uint32_t link)
{
    end_in_order(net, link - 1, end_of(&net->wires[link - 1], node), true);
}

/* ---- what befalls them ---- */

static void host_ends(struct sim_net *net, uint32_t node, bool silently)
{
    for (size_t i = 0; i < net->of[node].count; i++) {
        uint32_t wire = net->of[node].items[i];
        struct wire *w = &net->wires[wire];
        uint32_t end = end_of(w, node);
        if (!silently)
            end_in_order(net, wire, end, false);
        else
            flow_drop(&w->flow[end]);
        w->open[end] = w->waits[end] = w->mute[end] = false;
    }
    net->of[node].count = 0;
    for (size_t i = 0; i < net->dial_count; i++)
        if (net->dials[i].from == node)
            dial_ends(net, &net->dials[i]);
}

static void wake_wire(struct sim_net *net, uint32_t node, uint32_t wire)
{
    struct wire *w = &net->wires[wire];
    uint32_t end = end_of(w, node);
    if (w->waits[end]) { /* with it went what had come in before */
        w->waits[end] = false;
        flow_drop(&w->flow[1 - end]);
        end_lost(net, wire, end, w->loss[end]);
    } else if (!(end == 1 && w->accepting))
        read_arrived(net, wire, 1 - end);
}

static void host_wakes(struct sim_net *net, uint32_t node)
{
    struct wires *list = &net->of[node];
    for (size_t i = 0; i < net->held_count; i++)
        sim_wheel_add(net->wheel, net->wheel->now, net->held[i].kind, net->held[i].a, net->held[i].b);
    net->held_count = 0;
    for (size_t i = 0, count = list->count; i < count; i++)
        wake_wire(net, node, list->items[i]);
    size_t kept = 0;
    for (size_t i = 0; i < list->count; i++) {
        const struct wire *w = &net->wires[list->items[i]];
        if (w->open[end_of(w, node)])
            list->items[kept++] = list->items[i];
    }
    list->count = kept;
}

void sim_net_set_host(struct sim_net *net, uint32_t node, enum sim_host host)
{
    enum sim_host before = net->hosts[node];
    net->hosts[node] = host;
    if (before == SIM_STOPPED && host == SIM_RUNNING)
        host_wakes(net, node);
    else if (host == SIM_NO_PROCESS || host == SIM_NO_HOST)
        host_ends(net, node, host == SIM_NO_HOST || before == SIM_NO_HOST);
}

enum sim_host sim_net_host(const struct sim_net *net, uint32_t node)
{
    return net->hosts[node];
}

void sim_net_block(struct sim_net *net, uint32_t from, uint32_t to, int by)
{
    uint8_t *blocks = &net->blocks[from * net->count + to];
    *blocks = (uint8_t) (*blocks + by);
}

bool sim_net_blocked(const struct sim_net *net, uint32_t from, uint32_t to)
{
    return net->blocks[from * net->count + to] > 0;
}

void sim_net_set_loss(struct sim_net *net, uint32_t percent)
{
    net->loss = percent;
}

void sim_net_set_duplication(struct sim_net *net, uint32_t percent)
{
    net->duplication = percent;
}

void sim_net_set_delay(struct sim_net *net, uint32_t base_ms, uint32_t jitter_ms)
{
    net->base_ms = base_ms;
    net->jitter_ms = jitter_ms;
}

void sim_net_set_node_delay(struct sim_net *net, uint32_t node, uint32_t extra_ms)
{
    net->node_delay[node] = extra_ms;
}

size_t sim_net_links(const struct sim_net *net, uint32_t node, uint32_t *links, size_t max)
{
    size_t count = 0;
    for (size_t i = 0; i < net->of[node].count && count < max; i++) {
        const struct wire *w = &net->wires[net->of[node].items[i]];
        uint32_t end = end_of(w, node);
        if (w->open[end] && !(end == 1 && w->accepting))
            links[count++] = net->of[node].items[i] + 1;
    }
    return count;
}

void sim_net_reset_one(struct sim_net *net, uint32_t node)
{
    const struct wires *list = &net->of[node];
    if (list->count == 0)
        return;
    uint32_t wire = list->items[sim_below(&net->random, (uint32_t) list->count)];
    plan(net, 0, RESET, wire, 0);
    plan(net, 0, RESET, wire, 1);
}

const struct sim_traffic *sim_net_traffic(const struct sim_net *net, uint32_t node)
{
    return &net->traffic[node];
}

uint64_t sim_net_fingerprint(const struct sim_net *net)
{
    return net->fingerprint;
}

/* ---- life ---- */

void sim_net_happen(struct sim_net *net, const struct sim_event *e)
{
    switch ((enum kind) e->kind) {
    case ARRIVE: on_arrive(net, e->a, e->b); break;
    case RETRY: on_retry(net, e->a, e->b); break;
    case RESET: on_reset(net, e->a, e->b); break;
    case ACCEPT: on_accept(net, e); break;
    case DIAL_STEP: on_dial_step(net, e); break;
    case DIAL_LIMIT: on_dial_limit(net, e); break;
    case ECHO: on_echo(net, e->a); break;
    }
}

struct sim_net *sim_net_create(struct sim_wheel *wheel, uint32_t count, uint64_t seed, const struct sim_net_events *events, void *ctx,
                               const struct members_times *times)
{
    struct sim_net *net = zeroed(1, sizeof *net);
    *net = (struct sim_net){.wheel = wheel, .events = events, .ctx = ctx, .times = times, .random = seed, .count = count, .base_ms = 1};
    net->hosts = zeroed(count, sizeof *net->hosts);
    net->node_delay = zeroed(count, sizeof *net->node_delay);
    net->traffic = zeroed(count, sizeof *net->traffic);
    net->blocks = zeroed((size_t) count * count, 1);
    net->luck = zeroed((size_t) count * count, sizeof *net->luck);
    net->of = zeroed(count, sizeof *net->of);
    return net;
}

void sim_net_destroy(struct sim_net *net)
{
    for (size_t i = 0; i < net->wire_count; i++) {
        flow_drop(&net->wires[i].flow[0]);
        flow_drop(&net->wires[i].flow[1]);
    }
    for (size_t i = 0; i < net->echo_count; i++)
        if (net->echoes[i].frame)
            frame_free(net->echoes[i].frame);
    for (uint32_t i = 0; i < net->count; i++)
        free(net->of[i].items);
    void *parts[] = {net->hosts, net->node_delay, net->traffic, net->blocks, net->luck, net->of, net->wires, net->dials, net->held, net->echoes, net};
    for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++)
        free(parts[i]);
}
