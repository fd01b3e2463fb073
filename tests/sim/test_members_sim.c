/* Whole grids of membership cores in virtual time, with lossy links, splits, crashes, restarts and pauses, all from one seed. A failing seed is
 * printed; GRID_SIM_SEED=N runs that one alone and says what happens in it, GRID_SIM_SEEDS=N runs N of them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "discovery/members.h"

enum {
    NODES_MAX = 8,
    LINKS_MAX = 4096,
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
    SEEDS_DEFAULT = 40,
#else
    SEEDS_DEFAULT = 200,
#endif
    FAULTS_MS = 60000,
    CALM_MS = 90000,
    STEP_CHECK_MS = 250,
    KERNEL_GIVES_UP_MS = 5000,
    HANDSHAKE_MS = 5000,
    HOLD_MS = 50,
    SETTLE_MS = 3000,
    /* The longest a redial waits (30 s and a quarter), a dial that times out before it, and the exchange. */
    REFUTED_WITHIN_MS = 45000,
};

struct node {
    struct members *core;
    bool up, paused;
    char id[65], address[32];
    const char *address_list[1];
    uint64_t tick_at;
    int64_t started_at;
    uint64_t seen_incarnation[NODES_MAX]; /* of the others, in this process's view */
    uint64_t dead_since[NODES_MAX];
    unsigned failed_events;
};

struct wire { /* one TCP connection */
    bool open[2];    /* each end still has it */
    int node[2];     /* 0: the dialler */
    uint64_t id;     /* link number at both ends */
    uint64_t clear_at[2]; /* nothing sent by this end arrives before: order is kept */
    uint64_t stuck_since;
};

enum kind { DELIVER, RESET, DIAL_ARRIVES, DIAL_FAILS, LINK_OPENS };
struct happening {
    uint64_t at, order;
    enum kind kind;
    int node; /* whom it happens to */
    int from;
    uint64_t wire, token;
    enum members_dial_fault fault;
    uint8_t *bytes;
    size_t size;
    int process; /* of `node` when it was sent; another one ignores it */
};

struct sim {
    uint64_t random, now, order;
    int count;
    struct node nodes[NODES_MAX];
    int process[NODES_MAX];
    int side[NODES_MAX]; /* of a split */
    struct wire *wires;
    size_t wire_count;
    struct happening *heap;
    size_t heap_count, heap_capacity;
    unsigned loss_percent;
    uint64_t delay_ms;
    uint64_t fault_at; /* the last one */
    bool trace;
    const char *broken;
};

/* ---- randomness and time ---- */

static uint64_t random_u64(struct sim *s)
{
    s->random += UINT64_C(0x9e3779b97f4a7c15); /* splitmix64 */
    uint64_t z = s->random;
    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return z ^ (z >> 31);
}

static uint64_t below(struct sim *s, uint64_t limit)
{
    return random_u64(s) % limit;
}

static bool earlier(const struct happening *a, const struct happening *b)
{
    return a->at != b->at ? a->at < b->at : a->order < b->order;
}

static void heap_swap(struct sim *s, size_t a, size_t b)
{
    struct happening h = s->heap[a];
    s->heap[a] = s->heap[b];
    s->heap[b] = h;
}

static void heap_push(struct sim *s, struct happening h)
{
    if (s->heap_count == s->heap_capacity) {
        s->heap_capacity = s->heap_capacity ? 2 * s->heap_capacity : 256;
        s->heap = realloc(s->heap, s->heap_capacity * sizeof *s->heap);
        assert_non_null(s->heap);
    }
    size_t at = s->heap_count++;
    s->heap[at] = h;
    while (at > 0 && earlier(&s->heap[at], &s->heap[(at - 1) / 2])) {
        heap_swap(s, at, (at - 1) / 2);
        at = (at - 1) / 2;
    }
}

static void plan(struct sim *s, struct happening h)
{
    h.order = s->order++;
    h.process = s->process[h.node];
    heap_push(s, h);
}

static struct happening heap_pop(struct sim *s)
{
    struct happening top = s->heap[0];
    s->heap[0] = s->heap[--s->heap_count];
    for (size_t at = 0;;) {
        size_t least = at, left = 2 * at + 1;
        if (left < s->heap_count && earlier(&s->heap[left], &s->heap[least]))
            least = left;
        if (left + 1 < s->heap_count && earlier(&s->heap[left + 1], &s->heap[least]))
            least = left + 1;
        if (least == at)
            return top;
        heap_swap(s, at, least);
        at = least;
    }
}

/* One way's delay: what is lost is sent again 200 ms later, as thin streams do. */
static uint64_t travel_ms(struct sim *s)
{
    uint64_t ms = 1 + below(s, s->delay_ms);
    for (int i = 0; i < 8 && below(s, 100) < s->loss_percent; i++)
        ms += 200;
    return ms;
}

static bool apart(const struct sim *s, int a, int b)
{
    return s->side[a] != s->side[b];
}

/* ---- nodes ---- */

static void say(const struct sim *s, int node, const char *what, const char *about)
{
    if (s->trace)
        printf("%8.3f  node %d  %s %s\n", (double) s->now / 1000, node, what, about);
}

static void dial(struct sim *s, int from, const struct members_dial *d)
{
    int to = -1;
    for (int i = 0; i < s->count; i++)
        if (strcmp(s->nodes[i].address, d->addresses[0]) == 0)
            to = i;
    assert_true(to >= 0);
    struct happening h = {.node = from, .from = to, .token = d->token};
    if (apart(s, from, to)) {
        h.kind = DIAL_FAILS, h.fault = MEMBERS_DIAL_TIMEOUT, h.at = s->now + HANDSHAKE_MS;
    } else if (!s->nodes[to].up) {
        h.kind = DIAL_FAILS, h.fault = MEMBERS_DIAL_REFUSED, h.at = s->now + travel_ms(s) + travel_ms(s);
    } else if (s->nodes[to].paused) {
        h.kind = DIAL_FAILS, h.fault = MEMBERS_DIAL_TIMEOUT, h.at = s->now + HANDSHAKE_MS;
    } else {
        h.kind = LINK_OPENS, h.at = s->now + travel_ms(s) + travel_ms(s) + travel_ms(s);
    }
    plan(s, h);
}

static int end_of(const struct wire *w, int node)
{
    return w->node[0] == node ? 0 : 1;
}

static void transmit(struct sim *s, int from, uint64_t link, struct slice bytes)
{
    struct wire *w = &s->wires[link];
    int end = end_of(w, from);
    if (!w->open[end])
        return;
    uint64_t at = s->now + travel_ms(s);
    at = at > w->clear_at[end] ? at : w->clear_at[end];
    w->clear_at[end] = at;
    struct happening h = {.at = at, .kind = DELIVER, .node = w->node[1 - end], .from = from, .wire = link, .size = bytes.size};
    h.bytes = malloc(bytes.size);
    memcpy(h.bytes, bytes.data, bytes.size);
    plan(s, h);
}

static void shut(struct sim *s, int node, uint64_t link)
{
    struct wire *w = &s->wires[link];
    int end = end_of(w, node);
    if (!w->open[end])
        return;
    w->open[end] = false;
    uint64_t at = s->now + travel_ms(s);
    plan(s, (struct happening){.at = at > w->clear_at[end] ? at : w->clear_at[end], .kind = RESET, .node = w->node[1 - end], .wire = link});
}

static void take_event(struct sim *s, int node, const struct members_event *e)
{
    if (e->kind == MEMBERS_FAILED)
        s->nodes[node].failed_events++;
    if (e->kind == MEMBERS_REFUSED)
        s->broken = "a node was refused";
    if (s->trace && e->member && e->kind != MEMBERS_UPDATED)
        say(s, node, members_event_name(e->kind), e->member->name);
}

static void drain(struct sim *s, int node)
{
    struct members *m = s->nodes[node].core;
    struct members_event event;
    struct members_dial d;
    struct slice bytes;
    uint64_t link;
    s->nodes[node].tick_at = s->now + members_tick(m, s->now);
    while (members_next_send(m, &link, &bytes))
        transmit(s, node, link, bytes);
    while (members_next_close(m, &link))
        shut(s, node, link);
    while (members_next_dial(m, &d))
        dial(s, node, &d);
    while (members_next_event(m, &event))
        take_event(s, node, &event);
}

static void start(struct sim *s, int i)
{
    struct node *n = &s->nodes[i];
    static const char *const seeds[] = {"10.0.0.0:7900", "10.0.0.1:7900"};
    const char *nothing = "";
    struct member self = {.hostname = nothing, .platform = nothing, .user = nothing, .version = nothing};
    snprintf(self.name, sizeof self.name, "node%d", i);
    memcpy(self.id, n->id, sizeof self.id);
    n->started_at = (int64_t) (1700000000000 + s->now);
    self.incarnation = (uint64_t) n->started_at;
    self.started_at_ms = n->started_at;
    self.addresses = n->address_list;
    self.address_count = 1;
    struct members_config config = {.authority = "authority", .grid = "sim", .self = &self, .seeds = seeds, .seed_count = 2, .seed = random_u64(s)};
    assert_int_equal(members_create(&config, s->now, &n->core), 0);
    n->up = true;
    n->paused = false;
    n->tick_at = s->now;
    s->process[i]++;
    memset(n->seen_incarnation, 0, sizeof n->seen_incarnation);
    memset(n->dead_since, 0, sizeof n->dead_since);
    say(s, i, "starts", "");
}

/* Kill -9: the kernel resets what the process had. */
static void crash(struct sim *s, int i)
{
    say(s, i, "is killed", "");
    for (size_t w = 0; w < s->wire_count; w++)
        if (s->wires[w].node[0] == i || s->wires[w].node[1] == i)
            shut(s, i, w);
    members_destroy(s->nodes[i].core);
    s->nodes[i].core = NULL;
    s->nodes[i].up = false;
    s->nodes[i].paused = false;
    s->process[i]++;
}

/* ---- what happens ---- */

static void open_wire(struct sim *s, const struct happening *h)
{
    int to = h->from;
    if (!s->nodes[to].up || apart(s, h->node, to) || s->nodes[to].paused) {
        members_dial_failed(s->nodes[h->node].core, h->token, s->nodes[to].up ? MEMBERS_DIAL_TIMEOUT : MEMBERS_DIAL_REFUSED, s->now);
        return;
    }
    assert_true(s->wire_count < LINKS_MAX);
    uint64_t id = s->wire_count++;
    s->wires[id] = (struct wire){.open = {true, true}, .node = {h->node, to}, .id = id};
    assert_int_equal(members_link_up(s->nodes[to].core, id, s->nodes[h->node].id, 0, s->now), 0);
    drain(s, to);
    assert_int_equal(members_link_up(s->nodes[h->node].core, id, s->nodes[to].id, h->token, s->now), 0);
}

static void deliver(struct sim *s, struct happening *h)
{
    struct wire *w = &s->wires[h->wire];
    if (!w->open[end_of(w, h->node)])
        return;
    if (members_receive(s->nodes[h->node].core, h->wire, slice_of(h->bytes, h->size), s->now) != 0) {
        s->broken = "a core refused another core's frame";
        return;
    }
}

static void end_wire(struct sim *s, int node, uint64_t link, enum members_loss loss)
{
    struct wire *w = &s->wires[link];
    int end = end_of(w, node);
    if (!w->open[end])
        return;
    w->open[end] = false;
    members_link_down(s->nodes[node].core, link, loss, s->now);
}

/* Holds back what cannot happen now: a stopped process takes nothing, and nothing crosses a split. */
static bool hold(struct sim *s, struct happening *h)
{
    bool crossing = (h->kind == DELIVER || h->kind == RESET) &&
                    apart(s, s->wires[h->wire].node[0], s->wires[h->wire].node[1]);
    if (!s->nodes[h->node].paused && !crossing)
        return false;
    struct wire *w = &s->wires[h->wire];
    bool on_wire = h->kind == DELIVER || h->kind == RESET;
    if (on_wire && !w->open[end_of(w, h->node)]) {
        free(h->bytes);
        return true;
    }
    struct happening later = *h; /* with its place in the order; what is sent meanwhile comes behind it */
    later.at = (s->now / HOLD_MS + 1) * HOLD_MS;
    if (on_wire && w->clear_at[1 - end_of(w, h->node)] < later.at)
        w->clear_at[1 - end_of(w, h->node)] = later.at;
    heap_push(s, later);
    return true;
}

static void happen(struct sim *s, struct happening *h)
{
    bool ours = s->nodes[h->node].up && s->process[h->node] == h->process;
    if (!ours) {
        free(h->bytes);
        return;
    }
    if (hold(s, h))
        return;
    if (h->kind == DELIVER)
        deliver(s, h);
    else if (h->kind == RESET)
        end_wire(s, h->node, h->wire, MEMBERS_LOST_RESET);
    else if (h->kind == DIAL_FAILS)
        members_dial_failed(s->nodes[h->node].core, h->token, h->fault, s->now);
    else
        open_wire(s, h);
    free(h->bytes);
    drain(s, h->node);
}

/* The kernel gives a connection up when nothing has been acknowledged for its time. */
static void tend_wires(struct sim *s)
{
    for (size_t i = 0; i < s->wire_count; i++) {
        struct wire *w = &s->wires[i];
        if (!apart(s, w->node[0], w->node[1])) {
            w->stuck_since = 0;
            continue;
        }
        if (w->stuck_since == 0)
            w->stuck_since = s->now;
        if (s->now < w->stuck_since + KERNEL_GIVES_UP_MS)
            continue;
        for (int end = 0; end < 2; end++)
            if (w->open[end] && s->nodes[w->node[end]].up && !s->nodes[w->node[end]].paused) {
                end_wire(s, w->node[end], i, MEMBERS_LOST_TIMEOUT);
                drain(s, w->node[end]);
            }
    }
}

static void tick_all(struct sim *s)
{
    for (int i = 0; i < s->count; i++) {
        struct node *n = &s->nodes[i];
        if (!n->up || n->paused || s->now < n->tick_at)
            continue;
        drain(s, i);
    }
}

/* ---- invariants ---- */

static void check_pair(struct sim *s, int o, int t)
{
    struct node *n = &s->nodes[o];
    const struct member *m = members_find(n->core, s->nodes[t].id);
    if (!m)
        return;
    if (m->incarnation < n->seen_incarnation[t])
        s->broken = "an incarnation went backward";
    n->seen_incarnation[t] = m->incarnation;
    bool wrongly = m->state == MEMBER_DEAD && s->nodes[t].up && !s->nodes[t].paused;
    if (!wrongly)
        n->dead_since[t] = 0;
    else if (n->dead_since[t] == 0)
        n->dead_since[t] = s->now;
    uint64_t since = n->dead_since[t] > s->fault_at ? n->dead_since[t] : s->fault_at;
    if (wrongly && s->now > since + REFUTED_WITHIN_MS)
        s->broken = "a living member stayed dead";
}

static void check_all(struct sim *s)
{
    for (int o = 0; o < s->count; o++)
        for (int t = 0; t < s->count; t++)
            if (o != t && s->nodes[o].up && !s->nodes[o].paused)
                check_pair(s, o, t);
}

static bool converged(const struct sim *s, int o)
{
    for (int t = 0; t < s->count; t++) {
        const struct member *m = members_find(s->nodes[o].core, s->nodes[t].id);
        bool alive = m && m->state == MEMBER_ALIVE;
        bool fresh = m && m->started_at_ms == s->nodes[t].started_at;
        if (o == t ? false : s->nodes[t].up ? !alive || !fresh || !m->linked : alive)
            return false;
    }
    return true;
}

/* ---- faults ---- */

static void split(struct sim *s)
{
    for (int i = 0; i < s->count; i++)
        s->side[i] = (int) below(s, 2);
    say(s, -1, "split", "");
}

static void heal(struct sim *s)
{
    memset(s->side, 0, sizeof s->side);
    say(s, -1, "healed", "");
}

static void one_fault(struct sim *s, unsigned kinds)
{
    int i = (int) below(s, (uint64_t) s->count);
    struct node *n = &s->nodes[i];
    s->fault_at = s->now;
    switch (below(s, 6)) {
    case 0:
        if (n->up && (kinds & 1))
            crash(s, i);
        break;
    case 1:
        if (!n->up)
            start(s, i);
        break;
    case 2:
        if (kinds & 2)
            split(s);
        break;
    case 3:
        heal(s);
        break;
    case 4:
        if (n->up && (kinds & 4)) {
            n->paused = true;
            say(s, i, "is stopped", "");
        }
        break;
    default:
        n->paused = false;
        break;
    }
}

static void end_faults(struct sim *s)
{
    heal(s);
    s->loss_percent = 0;
    for (int i = 0; i < s->count; i++)
        s->nodes[i].paused = false;
    s->fault_at = s->now;
    say(s, -1, "all faults end", "");
}

/* ---- a run ---- */

static void set_up(struct sim *s, uint64_t seed, bool trace)
{
    *s = (struct sim){.random = seed, .now = 1000, .trace = trace};
    s->count = 2 + (int) below(s, NODES_MAX - 1);
    s->loss_percent = (unsigned) below(s, 30);
    s->delay_ms = 1 + below(s, 40);
    s->wires = calloc(LINKS_MAX, sizeof *s->wires);
    for (int i = 0; i < s->count; i++) {
        struct node *n = &s->nodes[i];
        snprintf(n->id, sizeof n->id, "%064llx", (unsigned long long) random_u64(s));
        snprintf(n->address, sizeof n->address, "10.0.0.%d:7900", i);
        n->address_list[0] = n->address;
        start(s, i);
    }
}

static void tear_down(struct sim *s)
{
    for (int i = 0; i < s->count; i++)
        members_destroy(s->nodes[i].core);
    for (size_t i = 0; i < s->heap_count; i++)
        free(s->heap[i].bytes);
    free(s->heap);
    free(s->wires);
}

static uint64_t next_moment(const struct sim *s)
{
    uint64_t at = s->now + 50;
    for (int i = 0; i < s->count; i++)
        if (s->nodes[i].up && !s->nodes[i].paused && s->nodes[i].tick_at < at)
            at = s->nodes[i].tick_at;
    if (s->heap_count > 0 && s->heap[0].at < at)
        at = s->heap[0].at;
    return at > s->now ? at : s->now;
}

static void step(struct sim *s)
{
    s->now = next_moment(s);
    for (int i = 0; i < 10000 && s->heap_count > 0 && s->heap[0].at <= s->now; i++) {
        struct happening h = heap_pop(s);
        happen(s, &h);
    }
    tend_wires(s);
    tick_all(s);
}

static void run_until(struct sim *s, uint64_t end, unsigned kinds)
{
    uint64_t fault_at = s->now + below(s, 5000) + 1, check_at = s->now;
    while (s->now < end && !s->broken) {
        step(s);
        if (kinds && s->now >= fault_at) {
            one_fault(s, kinds);
            fault_at = s->now + below(s, 8000) + 1;
        }
        if (s->now >= check_at) {
            check_all(s);
            check_at = s->now + STEP_CHECK_MS;
        }
    }
}

static const char *run_faults(uint64_t seed, bool trace)
{
    static struct sim s;
    set_up(&s, seed, trace);
    run_until(&s, s.now + FAULTS_MS, 1 + (unsigned) below(&s, 7));
    end_faults(&s);
    run_until(&s, s.now + CALM_MS, 0);
    for (int i = 0; i < s.count && !s.broken; i++)
        if (s.nodes[i].up && !converged(&s, i))
            s.broken = "the views did not converge";
    const char *broken = s.broken;
    tear_down(&s);
    return broken;
}

/* Loss and delay alone never make a death. */
static const char *run_lossy(uint64_t seed, bool trace)
{
    static struct sim s;
    set_up(&s, seed, trace);
    run_until(&s, s.now + FAULTS_MS, 0);
    s.loss_percent = 0;
    run_until(&s, s.now + SETTLE_MS, 0);
    for (int i = 0; i < s.count && !s.broken; i++) {
        if (s.nodes[i].failed_events > 0)
            s.broken = "somebody was declared dead for mere loss";
        else if (!converged(&s, i))
            s.broken = "the views did not converge under loss";
    }
    const char *broken = s.broken;
    tear_down(&s);
    return broken;
}

static void run_seeds(const char *(*run)(uint64_t, bool), const char *name, unsigned share)
{
    const char *one = getenv("GRID_SIM_SEED"), *many = getenv("GRID_SIM_SEEDS");
    uint64_t count = (many ? strtoull(many, NULL, 10) : SEEDS_DEFAULT) / share, first = one ? strtoull(one, NULL, 10) : 1;
    for (uint64_t seed = first; seed < first + (one ? 1 : count); seed++) {
        const char *broken = run(seed, one != NULL);
        if (broken)
            fail_msg("%s: seed %llu: %s; replay with GRID_SIM_SEED=%llu", name, (unsigned long long) seed, broken, (unsigned long long) seed);
    }
}

static void test_members_sim__keeps_its_invariants_under_faults(void **state)
{
    (void) state;
    run_seeds(run_faults, "faults", 1);
}

static void test_members_sim__takes_loss_and_delay_for_no_death(void **state)
{
    (void) state;
    run_seeds(run_lossy, "loss", 4);
}

static void test_members_sim__is_the_same_for_the_same_seed(void **state)
{
    (void) state;
    static struct sim s;
    uint64_t frames[2] = {0};
    for (int round = 0; round < 2; round++) {
        set_up(&s, 42, false);
        run_until(&s, s.now + 20000, 7);
        for (int i = 0; i < s.count; i++)
            frames[round] += s.nodes[i].core ? members_counters(s.nodes[i].core)->bytes_out : 0;
        tear_down(&s);
    }
    assert_true(frames[0] > 0);
    assert_int_equal(frames[0], frames[1]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_members_sim__keeps_its_invariants_under_faults),
        cmocka_unit_test(test_members_sim__takes_loss_and_delay_for_no_death),
        cmocka_unit_test(test_members_sim__is_the_same_for_the_same_seed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
