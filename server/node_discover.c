/* Sources name addresses; discovery/hints.h says which to try; here a try is a seed of gossip, or a node to join by, that is looked at until it is decided. */
#include "server/node_discover.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <bsd/stdlib.h>

#include "base/err.h"
#include "base/log.h"
#include "discovery/file_seeds.h"
#include "discovery/hints.h"
#include "discovery/mdns.h"
#include "discovery/reach.h"
#include "server/node_dht.h"
#include "server/node_join.h"
#include "server/node_lonely.h"
#include "server/node_remembered.h"
#include "server/node_trust.h"

enum {
    LOOK_MS = 200,         /* while somebody is being tried */
    LOOK_IDLE_MS = 5000,
    TRY_MS = 15 * 1000,    /* so long, */
    TRY_DIALS = 3,         /* or so many dials, until another one has its turn */
    DHT_WAITING = 8,       /* so many are taken from the DHT ahead: it chooses better among them than chance does */
    DHT_TTL_MS = 15 * 60 * 1000,
};

/* Where the addresses of one source come in. */
struct inlet {
    struct node_discover *d;
    enum hint_source source;
};

struct node_discover {
    struct node *node;
    struct hints *hints;
    struct loop_timer timer;
    struct inlet dns_inlet, file_inlet, mdns_inlet, remembered_inlet;
    struct dns_seeds *dns;
    struct mdns *mdns;
    struct file_seeds *files[OPTIONS_JOIN_MAX + 1];
    size_t file_count;
    struct node_dht *dht;
    struct node_remembered *remembered;
    struct reach *reach; /* anybody names places by DHT and mDNS, and many where nobody is; those that are remembered may be somebody else's now */
    unsigned open; /* parts of sources that are on the loop */
    bool closing;
    loop_fn done;
    void *done_arg;
};

/* ---- trying ---- */

static void look(void *arg);

static bool is_own_seed(const struct node *n, const char *address)
{
    for (size_t i = 0; i < n->options->join_count; i++)
        if (strcmp(n->options->join[i], address) == 0)
            return true;
    return false;
}

static void give_up(struct node *n, const char *address)
{
    if (n->gossip && !is_own_seed(n, address))
        gossip_remove_seed(n->gossip, address);
    node_join_forget(n, address);
}

/* Joining takes one place after the other, and one that anybody may have named is most likely nobody's: it has to speak TLS first. */
static enum reach_state look_before_joining(struct node_discover *d, const struct hint *hint)
{
    return d->reach && !hint_source_is_operators(hint->source) ? reach_look(d->reach, hint->address) : REACH_YES;
}

static void try_no_more(struct node_discover *d, const struct hint *hint, uint64_t now)
{
    char address[HINT_ADDRESS_MAX + 1];
    memcpy(address, hint->address, sizeof address);
    give_up(d->node, address);
    if (d->reach)
        reach_forget(d->reach, address);
    hints_failed(d->hints, address, now);
}

/* A node without a place in the grid has nothing to show to gossip: it goes there to join. Afterwards the same address is gossip's. */
static void follow(struct node_discover *d, const struct hint *hint, uint64_t now)
{
    struct node *n = d->node;
    unsigned failures = 0;
    enum members_seed_state state = gossip_seed_look(n->gossip, hint->address, &failures);
    bool settled = node_trust_is_settled(n);
    enum reach_state reach = settled ? REACH_YES : look_before_joining(d, hint);
    if (state == MEMBERS_SEED_FOUND || state == MEMBERS_SEED_SELF || reach == REACH_SELF) {
        hints_found(d->hints, hint->address);
    } else if (failures >= TRY_DIALS || now >= hint->due_ms + TRY_MS || reach == REACH_NO) {
        try_no_more(d, hint, now);
    } else if (settled && state == MEMBERS_SEED_NONE) {
        (void) gossip_add_seed(n->gossip, hint->address, 0); /* no memory or no room: it fails in time */
    } else if (!settled && reach == REACH_YES) {
        node_join_try(n, hint->address, hint_source_is_operators(hint->source));
    }
}

static size_t follow_all(struct node_discover *d, uint64_t now)
{
    size_t trying = 0;
    for (size_t i = 0; i < hints_count(d->hints); i++) {
        const struct hint *hint = hints_at(d->hints, i);
        if (hint->state == HINT_TRYING)
            follow(d, hint, now);
        trying += hint->state == HINT_TRYING;
    }
    return trying;
}

/* How many addresses of the DHT have not been tried yet. */
static size_t dht_waiting(const struct node_discover *d)
{
    size_t count = 0;
    for (size_t i = 0; i < hints_count(d->hints); i++) {
        const struct hint *hint = hints_at(d->hints, i);
        count += hint->source == HINT_DHT && hint->state == HINT_WAITING && hint->failures == 0;
    }
    return count;
}

static void take_from_dht(struct node_discover *d, uint64_t now)
{
    char address[ADDR_TEXT_MAX];
    while (d->dht && dht_waiting(d) < DHT_WAITING && node_dht_next(d->dht, address))
        if (hints_add(d->hints, HINT_DHT, slice_of_str(address), DHT_TTL_MS, now) != 0)
            return; /* its share is full of those under way */
}

static void look(void *arg)
{
    struct node_discover *d = arg;
    struct hint gone;
    uint64_t now = loop_now_ms(d->node->loop), wait;
    if (d->closing || !d->node->gossip)
        return;
    while (hints_expire(d->hints, now, &gone))
        give_up(d->node, gone.address);
    take_from_dht(d, now);
    for (const struct hint *hint; (hint = hints_take(d->hints, now, &wait));)
        log_line(LOG_DEBUG, "a place where a node may be is tried", LOGF_STR("at", hint->address), LOGF_STR("source", hint_source_name(hint->source)));
    uint64_t most = follow_all(d, now) > 0 ? LOOK_MS : LOOK_IDLE_MS;
    loop_timer_start(d->node->loop, &d->timer, wait < most ? wait : most, look, d);
}

/* ---- sources ---- */

static void on_address(void *ctx, const char *address, uint64_t ttl_ms)
{
    struct inlet *in = ctx;
    struct node_discover *d = in->d;
    (void) hints_add(d->hints, in->source, slice_of_str(address), ttl_ms, loop_now_ms(d->node->loop)); /* its share is full: another time */
    if (!d->closing)
        loop_timer_start(d->node->loop, &d->timer, 0, look, d);
}

static void on_fault(void *ctx, const char *name, const char *why)
{
    struct inlet *in = ctx;
    log_line(LOG_WARN, "other nodes cannot be looked for there now: it is tried again and again", LOGF_STR("at", name), LOGF_STR("source", hint_source_name(in->source)),
             LOGF_STR("why", why));
}

static const struct dns_seeds_events SEEDS_EVENTS = {on_address, on_fault};

static void over(struct node_discover *d)
{
    loop_fn done = d->done;
    void *arg = d->done_arg;
    if (d->open > 0 || !d->closing)
        return;
    d->node->discover = NULL;
    hints_destroy(d->hints);
    free(d);
    done(arg);
}

static void part_closed(void *arg)
{
    struct node_discover *d = arg;
    d->open--;
    over(d);
}

static const char *file_of(const char *place)
{
    return strncmp(place, "file:", 5) == 0 ? place + 5 : NULL;
}

/* Names with changing addresses, and services. */
static int dns_open(struct node_discover *d)
{
    const struct options *o = d->node->options;
    struct slice names[OPTIONS_JOIN_MAX + 1];
    size_t count = 0;
    for (size_t i = 0; i < o->seek_count; i++)
        if (!file_of(o->seek[i]))
            names[count++] = slice_of_str(o->seek[i]);
    if (count == 0)
        return 0;
    int err = dns_seeds_create(d->node->loop, &SEEDS_EVENTS, &d->dns_inlet, &d->dns);
    if (err != 0)
        return err;
    d->open++;
    return dns_seeds_set(d->dns, names, count);
}

static void dns_close(struct node_discover *d)
{
    if (d->dns)
        dns_seeds_close(d->dns, part_closed, d);
}

static int files_open(struct node_discover *d)
{
    const struct options *o = d->node->options;
    int err = 0;
    for (size_t i = 0; err == 0 && i < o->seek_count; i++) {
        const char *path = file_of(o->seek[i]);
        if (!path)
            continue;
        err = file_seeds_create(d->node->loop, path, &SEEDS_EVENTS, &d->file_inlet, &d->files[d->file_count]);
        d->file_count += err == 0;
        d->open += err == 0;
    }
    return err;
}

static void files_close(struct node_discover *d)
{
    for (size_t i = 0; i < d->file_count; i++)
        file_seeds_close(d->files[i], part_closed, d);
}

static void on_dht_found(void *arg)
{
    struct node_discover *d = arg;
    uint64_t now = loop_now_ms(d->node->loop);
    if (!d->closing && (!loop_timer_running(&d->timer) || d->timer.due_ms > now + LOOK_MS))
        loop_timer_start(d->node->loop, &d->timer, 0, look, d);
}

/* Who listens where nobody else comes need not be found from elsewhere. */
static bool is_reachable(const struct node *n)
{
    const struct addr *bound = worker_set_peer(n->workers);
    return n->grid[0] && bound->size != 0 && !addr_is_loopback(bound);
}

/* Only a node that knows whom to let in looks there; unasked only where a password was given, and others may come. */
bool node_discover_looks_in_dht(const struct node *n)
{
    if (n->options->dht)
        return n->grid[0] && (n->authority || node_join_wanted(n));
    return n->options->discover_default && is_reachable(n) && node_join_wanted(n) && !n->options->open;
}

static int dht_open(struct node_discover *d)
{
    if (!node_discover_looks_in_dht(d->node))
        return 0;
    int err = node_dht_open(d->node, on_dht_found, d, &d->dht);
    d->open += d->dht != NULL;
    return err;
}

static void dht_close(struct node_discover *d)
{
    if (d->dht)
        node_dht_close(d->dht, part_closed, d);
    d->dht = NULL;
}

static bool wants_mdns(const struct node *n)
{
    return n->options->mdns && is_reachable(n);
}

static void on_mdns_address(void *ctx, const char *address, uint64_t ttl_ms)
{
    const struct inlet *in = ctx;
    node_lonely_mdns(in->d->node, NULL);
    on_address(ctx, address, ttl_ms);
}

static void on_mdns_fault(void *ctx, const char *name, const char *why)
{
    const struct inlet *in = ctx;
    node_lonely_mdns(in->d->node, why);
    on_fault(ctx, name, why);
}

static const struct mdns_events MDNS_EVENTS = {on_mdns_address, on_mdns_fault};

static int mdns_open(struct node_discover *d)
{
    const struct node *n = d->node;
    if (!wants_mdns(n))
        return 0;
    struct mdns_options options = {.loop = n->loop, .grid = slice_of_str(n->grid), .port = addr_port(worker_set_peer(n->workers)), .events = &MDNS_EVENTS, .ctx = &d->mdns_inlet};
    int err = mdns_create(&options, &d->mdns);
    d->open += err == 0;
    return err;
}

static void close_mdns(struct node_discover *d)
{
    if (d->mdns)
        mdns_close(d->mdns, part_closed, d);
}

static void on_withdrawn(void *ctx)
{
    struct inlet *in = ctx;
    struct node_discover *d = in->d;
    hints_withdraw(d->hints, in->source);
    loop_timer_start(d->node->loop, &d->timer, 0, look, d);
}

static const struct node_remembered_events REMEMBERED_EVENTS = {on_address, on_withdrawn};

static int remembered_open(struct node_discover *d)
{
    int err = node_remembered_open(d->node, &REMEMBERED_EVENTS, &d->remembered_inlet, &d->remembered);
    d->open += err == 0;
    return err;
}

static void remembered_close(struct node_discover *d)
{
    if (d->remembered)
        node_remembered_close(d->remembered, part_closed, d);
    d->remembered = NULL;
}

/* ---- a first look at what anybody may name ---- */

static int open_reach(struct node_discover *d)
{
    if (d->node->grid[0] == '\0')
        return 0;
    int err = reach_create(d->node->loop, node_join_guest_tls(d->node), &d->reach);
    d->open += err == 0;
    return err;
}

static void close_reach(struct node_discover *d)
{
    if (d->reach)
        reach_close(d->reach, part_closed, d);
    d->reach = NULL;
}

/* ---- life ---- */

static const struct {
    int (*open)(struct node_discover *d);
    void (*close)(struct node_discover *d); /* each part that was opened ends with part_closed */
} SOURCES[] = {{open_reach, close_reach}, {dns_open, dns_close}, {files_open, files_close}, {dht_open, dht_close}, {mdns_open, close_mdns}, {remembered_open, remembered_close}};

int node_discover_open(struct node *n, char why[NODE_WHY_MAX])
{
    if (n->grid[0] == '\0' && n->options->seek_count == 0)
        return 0;
    struct node_discover *d = calloc(1, sizeof *d);
    int err = d ? hints_create((uint64_t) arc4random() << 32 | arc4random(), &d->hints) : GRID_ENOMEM;
    if (err != 0) {
        free(d);
        snprintf(why, NODE_WHY_MAX, "discovery cannot be started: out of memory");
        return err;
    }
    d->node = n;
    d->dns_inlet = (struct inlet){d, HINT_DNS};
    d->file_inlet = (struct inlet){d, HINT_FILE};
    d->mdns_inlet = (struct inlet){d, HINT_MDNS};
    d->remembered_inlet = (struct inlet){d, HINT_REMEMBERED};
    n->discover = d;
    for (size_t i = 0; err == 0 && i < sizeof SOURCES / sizeof SOURCES[0]; i++)
        err = SOURCES[i].open(d);
    if (err != 0)
        snprintf(why, NODE_WHY_MAX, "discovery cannot be started (%s): check --join, --discover and /etc/resolv.conf", grid_err_text(err));
    return err;
}

const char *node_discover_source(const struct node *n, const char *address)
{
    const struct node_discover *d = n->discover;
    if (is_own_seed(n, address))
        return NULL;
    for (size_t i = 0; d && i < hints_count(d->hints); i++)
        if (strcmp(hints_at(d->hints, i)->address, address) == 0)
            return hint_source_name(hints_at(d->hints, i)->source);
    return NULL;
}

bool node_discover_is_operators(const struct node *n, const char *address)
{
    const struct node_discover *d = n->discover;
    if (is_own_seed(n, address))
        return true;
    for (size_t i = 0; d && i < hints_count(d->hints); i++)
        if (strcmp(hints_at(d->hints, i)->address, address) == 0)
            return hint_source_is_operators(hints_at(d->hints, i)->source);
    return false;
}

bool node_discover_by_mdns(const struct node *n)
{
    return wants_mdns(n);
}

void node_discover_close(struct node *n, loop_fn done, void *arg)
{
    struct node_discover *d = n->discover;
    if (!d) {
        done(arg);
        return;
    }
    d->done = done;
    d->done_arg = arg;
    loop_timer_stop(&d->timer);
    d->open++; /* not to be over before all are told */
    d->closing = true;
    for (size_t i = 0; i < sizeof SOURCES / sizeof SOURCES[0]; i++)
        SOURCES[i].close(d);
    part_closed(d);
}
