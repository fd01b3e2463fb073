/* This node's own record, and what it hears of others. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "api/pb.h"
#include "base/err.h"
#include "base/log.h"
#include "base/token_buckets.h"
#include "server/node_direct.h"
#include "server/node_faults.h"
#include "server/node_found.h"
#include "server/node_internal.h"
#include "server/node_join.h"
#include "server/node_ledger.h"
#include "server/node_lonely.h"
#include "server/node_reach.h"
#include "server/node_reverse.h"
#include "server/release/release_peers.h"

enum { JOIN_WAIT_MS = 5000, JOIN_WAITS = 3 /* while a node is asked to let this one in */, REFUSED_MS = 2000, REFUSED_LASTS_MS = 90 * 1000 /* three times as long as until the next dial */,
       MEMBER_LINES_PER_S = 2, MEMBER_LINES_BURST = 200 };

/* ---- the view ---- */

size_t node_member_count(const struct node *n)
{
    return n->gossip ? members_count(gossip_members(n->gossip)) : 1;
}

const struct member *node_member(const struct node *n, size_t index)
{
    return index == 0 ? &n->self : members_at(gossip_members(n->gossip), index);
}

struct slice node_name_of(const struct node *n, struct slice id)
{
    for (size_t i = 0; i < node_member_count(n); i++)
        if (slice_equal_str(id, node_member(n, i)->id))
            return slice_of_str(node_member(n, i)->name);
    return id;
}

void node_host_of(const struct node *n, const struct member *m, Grid__V1__Host *out)
{
    struct slice ip = slice_of(NULL, 0);
    uint16_t port = 0;
    grid__v1__host__init(out);
    if (m->address_count > 0)
        (void) addr_split(slice_of_str(m->addresses[0]), &ip, &port);
    out->id = pb_str(m->id);
    out->name = pb_str(m->name);
    out->public_ip = out->private_ip = pb_bytes(ip);
    out->api_port = m->api_port;
    out->hostname = pb_str(m->hostname);
    out->platform = pb_str(m->platform);
    out->grid = pb_str(n->grid);
    out->user = pb_str(m->user);
    out->version = pb_str(m->version);
    out->started_at_ms = m->started_at_ms;
    out->local = m == &n->self;
    out->state = pb_str(member_state_name(m->state));
    out->release = pb_str(m->release);
    out->synchronized = m->synchronized;
    out->listen_port = port;
}

/* ---- the own record ---- */

static int add_address(struct node *n, const char **list, const char *host, uint16_t port)
{
    bool v6 = strchr(host, ':') != NULL;
    list[n->self.address_count] = arena_printf(n->self_arena, "%s%s%s:%u", v6 ? "[" : "", host, v6 ? "]" : "", (unsigned) port);
    return list[n->self.address_count++] ? 0 : GRID_ENOMEM;
}

/* The one by which others have found this node, although no interface of the host has it, as behind a gateway that passes everything on. */
static int add_seen(struct node *n, const char **list, uint16_t port)
{
    const char *seen = node_reach_seen(n);
    if (seen[0] == '\0' || node_reach_state(n) != REACHABILITY_REACHABLE || n->self.address_count >= HOST_ADDRESSES_MAX)
        return 0;
    for (unsigned i = 0; i < n->host.address_count; i++)
        if (strcmp(n->host.addresses[i], seen) == 0)
            return 0;
    return add_address(n, list, seen, port);
}

/* --advertise, else the address listened on, else every address of the host, and the one that others see. */
static int take_addresses(struct node *n)
{
    const struct addr *bound = worker_set_peer(n->workers);
    const char **list = arena_calloc(n->self_arena, HOST_ADDRESSES_MAX, sizeof *list);
    char host[ADDR_TEXT_MAX];
    int err = 0;
    n->self.addresses = list;
    n->self.address_count = 0;
    if (!list)
        return GRID_ENOMEM;
    for (size_t i = 0; i < n->options->advertise_count; i++)
        list[n->self.address_count++] = n->options->advertise[i];
    if (n->self.address_count > 0)
        return 0;
    if (bound->size == 0)
        return add_address(n, list, n->host.private_ip, 0);
    addr_format_host(bound, host);
    if (!addr_is_any(bound))
        return add_address(n, list, host, addr_port(bound));
    for (unsigned i = 0; err == 0 && i < n->host.address_count; i++)
        err = add_address(n, list, n->host.addresses[i], addr_port(bound));
    return err == 0 ? add_seen(n, list, addr_port(bound)) : err;
}

static int take_tasks(struct node *n)
{
    size_t count;
    const struct supervisor_task *tasks = supervisor_list(n->supervisor, &count);
    struct member_task *list = arena_calloc(n->self_arena, count + 1, sizeof *list);
    n->self.tasks = list;
    n->self.task_count = 0;
    if (!list)
        return GRID_ENOMEM;
    for (size_t i = 0; i < count && i < MEMBER_TASKS_MAX; i++) {
        struct member_task *t = &list[i];
        *t = (struct member_task){arena_str(n->self_arena, slice_of_str(tasks[i].name)), tasks[i].ready, member_fault_shown(n->self_arena, tasks[i].reason), tasks[i].renewing};
        if (!t->name || !t->fault)
            return GRID_ENOMEM;
        n->self.task_count++;
    }
    return 0;
}

/* What runs here. */
static void take_release(struct node *n)
{
    const char *publisher;
    n->self.release_sequence = releases_running(n->releases, &publisher);
    snprintf(n->self.release, sizeof n->self.release, "%s", releases_current(n->releases));
    snprintf(n->self.release_publisher, sizeof n->self.release_publisher, "%s", publisher);
    n->self.release_fetched_bytes = releases_fetched_bytes(n->releases);
    n->self.synchronized = releases_synchronized(n->releases);
    n->self.tasks_sequence = n->self.release_sequence;
}

static int make_self(struct node *n)
{
    const char **capabilities;
    struct arena *before = n->self_arena;
    n->self_arena = arena_create(2048, 0);
    if (!n->self_arena) {
        n->self_arena = before;
        return GRID_ENOMEM;
    }
    snprintf(n->self.id, sizeof n->self.id, "%s", node_id(n));
    snprintf(n->self.name, sizeof n->self.name, "%s", n->name);
    take_release(n);
    n->self.local = true;
    capabilities = arena_calloc(n->self_arena, 2 + NODE_LEDGER_CAPABILITIES + NODE_REACH_CAPABILITIES, sizeof *capabilities);
    n->self.capabilities = capabilities;
    n->self.capability_count = 0;
    if (capabilities) {
        capabilities[0] = MEMBER_NAMES_ALL_TASKS;
        n->self.capability_count = 1 + node_ledger_capabilities(n, capabilities + 1);
        if (n->authority && authority_can_issue(n->authority))
            capabilities[n->self.capability_count++] = NODE_CAPABILITY_ISSUER;
        n->self.capability_count += node_reach_capabilities(n, capabilities + n->self.capability_count);
    }
    n->self.state = n->stopping ? MEMBER_LEFT : MEMBER_ALIVE;
    n->self.started_at_ms = n->started_at_ms;
    n->self.incarnation = (uint64_t) n->started_at_ms;
    n->self.api_port = addr_port(worker_set_api(n->workers));
    n->self.hostname = n->host.hostname;
    n->self.platform = n->host.platform;
    n->self.user = n->host.user;
    n->self.version = GRID_VERSION;
    int err = take_addresses(n);
    if (err == 0)
        err = take_tasks(n);
    arena_destroy(before);
    return err;
}

static void count_members(struct node *n)
{
    uint64_t alive = 0;
    for (size_t i = 0; i < node_member_count(n); i++)
        alive += member_routable(node_member(n, i));
    atomic_store(&n->metric_members, alive);
}

static uint64_t own_revision(const struct node *n)
{
    return n->gossip ? members_at(gossip_members(n->gossip), 0)->revision : 0;
}

void node_gossip_update(struct node *n)
{
    uint64_t before = own_revision(n);
    if (n->stopping && !n->releases)
        return; /* taken down too far to say anything of itself */
    int err = make_self(n);
    count_members(n);
    if (err == 0 && n->gossip && !n->stopping)
        err = gossip_update_self(n->gossip, &n->self);
    if (err == 0 && n->gossip && !n->stopping && node_records_stale(n))
        err = gossip_reseal(n->gossip);
    if (err != 0)
        log_line(LOG_ERROR, "this node's record could not be brought up to date", LOGF_ERR(err));
    if (own_revision(n) != before)
        node_watchers_event(n, "updated", &n->self);
}

/* ---- news ---- */

static const char *event_kind(enum members_event_kind kind)
{
    switch (kind) {
    case MEMBERS_JOINED:
        return "joined";
    case MEMBERS_LEFT:
        return "left";
    case MEMBERS_FAILED:
        return "failed";
    case MEMBERS_EVICTED:
        return "left";
    default:
        return "updated";
    }
}

static bool is_worth_a_line(enum members_event_kind kind)
{
    return kind != MEMBERS_UPDATED && kind != MEMBERS_LINKED;
}

/* A member may start, leave and come back as often as it likes to say: of each a good many lines, more than a faulty host gives rise to, then two a second. */
static void log_event(struct node *n, enum members_event_kind kind, const struct member *m)
{
    if (is_worth_a_line(kind) && token_buckets_take(n->member_lines, slice_of_str(m->id), loop_now_ms(n->loop)))
        log_line(kind == MEMBERS_FAILED ? LOG_WARN : LOG_INFO, "membership", LOGF_STR("event", members_event_name(kind)), LOGF_STR("member", m->name), LOGF_STR("id", m->id));
}

static void on_taken(void *arg)
{
    struct node *n = arg;
    n->refused[0] = '\0';
    node_routes_changed(n);
}

/* A link is there before the other side has judged this node. */
static void joined(struct node *n)
{
    n->linked_once = n->joined = true;
    loop_timer_stop(&n->join_timer);
    if (n->refused[0])
        loop_timer_start(n->loop, &n->refused_timer, REFUSED_MS, on_taken, n);
}

static void on_event(void *ctx, enum members_event_kind kind, const struct member *m)
{
    struct node *n = ctx;
    if (!n->releases)
        return; /* closing */
    log_event(n, kind, m);
    if (kind == MEMBERS_JOINED || kind == MEMBERS_LINKED)
        node_found_hear(n, m);
    if (kind == MEMBERS_LINKED) {
        joined(n);
        node_faults_accepted(n);
        node_join_linked(n);
        node_ledger_look_soon(n);
        node_reach_look_soon(n);
        worker_set_leave_peer(n->workers, m->id);
    }
    if (kind == MEMBERS_LINKED || kind == MEMBERS_UPDATED)
        node_direct_look_soon(n);
    if (m != NULL && !m->local)
        node_watchers_event(n, event_kind(kind), m);
    count_members(n);
    releases_peers_changed(n->releases);
    node_routes_changed(n);
}

static void take_release_entry(struct node *n, struct slice packed)
{
    if (n->releases)
        node_join_settle(n);
    if (n->releases)
        releases_receive(n->releases, packed);
}

/* Who was evicted may have come before anybody who knows it. All members announce the same entry, so few places will do. */
static void hold_entry(struct node *n, struct slice packed)
{
    for (size_t i = 0; i < n->held_count; i++)
        if (slice_equal(buf_slice(&n->held_entries[i]), packed))
            return;
    if (n->held_count == NODE_HELD_MAX)
        return;
    struct buf *held = &n->held_entries[n->held_count];
    buf_init(held, 0);
    n->held_count += buf_append(held, packed) == 0;
}

void node_gossip_heard(struct node *n)
{
    for (size_t i = 0; i < n->held_count; i++)
        take_release_entry(n, buf_slice(&n->held_entries[i]));
    node_gossip_dispose(n);
}

void node_gossip_dispose(struct node *n)
{
    for (size_t i = 0; i < n->held_count; i++)
        buf_dispose(&n->held_entries[i]);
    n->held_count = 0;
}

static void on_release(void *ctx, struct slice packed, const struct member *from)
{
    struct node *n = ctx;
    (void) from;
    if (node_ledger_has_heard(n))
        take_release_entry(n, packed);
    else
        hold_entry(n, packed);
}

static bool is_linked_with_somebody(const struct node *n)
{
    for (size_t i = 1; i < node_member_count(n); i++)
        if (node_member(n, i)->state == MEMBER_ALIVE)
            return true;
    return false;
}

/* A name that is taken is taken in the whole grid; other refusals are one node's view. Who is refused asks again, and is refused again: a single word does not count for ever, and while others take this
 * node for a member, for a moment alone, in which they would have refused it too. */
static void on_refused(void *ctx, enum gossip_refusal refusal, struct slice reason, bool by_peer)
{
    struct node *n = ctx;
    if (n->releases && refusal != GOSSIP_REFUSAL_NAME)
        node_lonely_refused(n, reason, by_peer);
    if (!n->releases || !by_peer || refusal != GOSSIP_REFUSAL_NAME)
        return;
    loop_timer_start(n->loop, &n->refused_timer, is_linked_with_somebody(n) ? REFUSED_MS : REFUSED_LASTS_MS, on_taken, n);
    snprintf(n->refused, sizeof n->refused, "%.*s", SLICE_FMT(reason));
    node_routes_changed(n);
}

static void on_denied(void *ctx, const char *address, const char *why, enum tls_refusal refusal)
{
    struct node *n = ctx;
    if (n->releases)
        node_faults_denied(n, address, why, refusal);
}

static void on_missed(void *ctx, const char *address, enum members_dial_fault fault)
{
    struct node *n = ctx;
    if (n->releases)
        node_lonely_missed(n, address, fault);
}

static void on_ledger(void *ctx, struct slice packed, const struct member *from)
{
    struct node *n = ctx;
    if (n->releases)
        node_ledger_receive(n, packed, from);
}

static const struct gossip_events GOSSIP_EVENTS = {.on_event = on_event, .on_release = on_release, .on_refused = on_refused, .on_ledger = on_ledger, .on_denied = on_denied, .on_missed = on_missed, .on_turn = node_reverse_turn};

static void on_join_timeout(void *arg)
{
    struct node *n = arg;
    if (node_join_is_under_way(n) && ++n->join_waits < JOIN_WAITS) {
        loop_timer_start(n->loop, &n->join_timer, JOIN_WAIT_MS, on_join_timeout, n);
        return;
    }
    n->linked_once = true;
    log_line(LOG_WARN, "no node of --join is linked yet: this node goes on alone and keeps trying");
    node_routes_changed(n);
}

int node_gossip_open(struct node *n, char why[NODE_WHY_MAX])
{
    int err = make_self(n);
    count_members(n);
    n->linked_once = n->joined = true;
    if (err != 0)
        return err;
    /* A provisional node has nothing to show to those of --join: joining comes first (server/node_join.h). */
    struct gossip_config config = {.loop = n->loop, .tls = n->control_tls, .authority = n->authority ? authority_id(n->authority) : "", .grid = n->grid, .self = &n->self,
                                   .seeds = n->options->join, .seed_count = n->standing.provisional ? 0 : n->options->join_count, .times = members_times_named(n->options->profile), .events = &GOSSIP_EVENTS, .admit = node_records_admit, .seal = node_records_seal, .ctx = n};
    err = node_records_open(n);
    if (err == 0 && !(n->member_lines = token_buckets_create(MEMBER_LINES_PER_S, MEMBER_LINES_BURST, MEMBERS_MAX)))
        err = GRID_ENOMEM;
    if (err == 0)
        err = gossip_create(&config, &n->gossip);
    if (err != 0) {
        snprintf(why, NODE_WHY_MAX, "membership cannot be started (%s): check --name, --advertise and --join", grid_err_text(err));
        return err;
    }
    if (n->options->join_count + n->options->seek_count > 0) {
        n->linked_once = n->joined = false;
        loop_timer_start(n->loop, &n->join_timer, JOIN_WAIT_MS, on_join_timeout, n);
    }
    return 0;
}

/* ---- for releases ---- */

static const struct member *member_at(const void *node, size_t index)
{
    return node_member(node, index);
}

size_t node_release_peers(void *arg, const char *root, struct release_peer out[RELEASE_PEERS_MAX])
{
    const struct node *n = arg;
    struct release_members members = {member_at, n, node_member_count(n)};
    size_t count = release_peers_pick(&members, root, arc4random(), out);
    for (size_t i = 0; n->gossip && i < count; i++)
        out[i].address_count = ways_prefer(gossip_ways(n->gossip), out[i].id, out[i].addresses, out[i].address_count, RELEASE_PEER_ADDRESSES_MAX);
    return count;
}

void node_announce(void *arg, struct slice packed)
{
    struct node *n = arg;
    if (n->gossip && gossip_announce_release(n->gossip, packed) != 0)
        log_line(LOG_ERROR, "a release could not be announced: deploy it again");
}
