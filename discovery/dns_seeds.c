/* One row for each name:
 *
 *     asking -> (services: -> one lookup for each service ->) answered, wait for the TTL -> asking ...
 *        +----> failed, wait longer each time ---------------------------------------------^
 *
 * A row that is no longer named while questions of it are under way goes with the last of them. */
#include "discovery/dns_seeds.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"

static const char SRV[] = "srv:";

struct row {
    struct row *next;
    struct dns_seeds *d;
    char *name;
    struct loop_timer timer;
    unsigned asked; /* questions under way */
    unsigned failures;
    size_t found;   /* addresses, of the answers at hand */
    uint32_t ttl_s; /* the least of them */
    int err;        /* the last of their faults */
    int said;       /* the fault that was last told of; 0: none */
    bool named, kept; /* `kept` by the call of dns_seeds_set under way */
};

struct dns_seeds {
    struct loop *loop;
    struct resolver *resolver;
    const struct dns_seeds_events *events;
    void *ctx;
    struct row *rows;
    bool closing;
    loop_fn on_closed;
    void *on_closed_arg;
};

static void ask(void *arg);

static bool is_service(struct slice name)
{
    return name.size > sizeof SRV - 1 && memcmp(name.data, SRV, sizeof SRV - 1) == 0;
}

static struct slice service_of(struct slice name)
{
    return slice_of(name.data + sizeof SRV - 1, name.size - (sizeof SRV - 1));
}

/* RFC 2782: "_service._proto", and the domain, which is a search domain where it is left out. */
static bool service_valid(struct slice name)
{
    ptrdiff_t dot = slice_find_byte(name, 0, '.');
    return name.size <= DNS_NAME_MAX && dot > 1 && name.data[0] == '_' && name.size > (size_t) dot + 2 && name.data[dot + 1] == '_';
}

bool dns_seed_valid(struct slice name)
{
    struct slice host;
    uint16_t port;
    if (memchr(name.data, '\0', name.size))
        return false;
    if (is_service(name))
        return service_valid(service_of(name));
    return addr_split(name, &host, &port) == 0 && host.size > 0 && host.size <= DNS_NAME_MAX && port != 0;
}

/* ---- answers ---- */

static void row_free(struct row *w)
{
    struct row **at = &w->d->rows;
    while (*at != w)
        at = &(*at)->next;
    *at = w->next;
    loop_timer_stop(&w->timer);
    free(w->name);
    free(w);
}

static uint64_t clamp(uint64_t value, uint64_t least, uint64_t most)
{
    return value < least ? least : value > most ? most : value;
}

static uint64_t ask_again_ms(uint32_t ttl_s)
{
    return clamp((uint64_t) ttl_s * 1000, DNS_SEEDS_ASK_MIN_MS, DNS_SEEDS_ASK_MAX_MS);
}

static const char *clause_of(int err)
{
    switch (err) {
    case GRID_ENOENT:
        return "no such name is known";
    case GRID_ETIMEOUT:
        return "no name server answers";
    case GRID_EPROTO:
        return "the name server's answer cannot be read";
    default:
        return "the name servers refuse or fail";
    }
}

static void say_fault(struct row *w)
{
    if (w->said != w->err)
        w->d->events->on_fault(w->d->ctx, w->name, clause_of(w->err));
    w->said = w->err;
}

/* All that was asked has been answered. */
static void row_settle(struct row *w)
{
    uint64_t delay;
    if (w->found > 0) {
        w->failures = 0;
        w->said = 0;
        delay = ask_again_ms(w->ttl_s);
    } else {
        say_fault(w);
        delay = clamp((uint64_t) DNS_SEEDS_RETRY_MS << (w->failures < 10 ? w->failures : 10), DNS_SEEDS_RETRY_MS, DNS_SEEDS_RETRY_MAX_MS);
        w->failures++;
    }
    loop_timer_start(w->d->loop, &w->timer, delay, ask, w);
}

/* One question of the row is answered. */
static void row_answered(struct row *w)
{
    if (--w->asked > 0 || w->d->closing)
        return;
    if (w->named)
        row_settle(w);
    else
        row_free(w);
}

static void give(struct row *w, const struct resolved *answer)
{
    char text[ADDR_TEXT_MAX];
    uint64_t ttl_ms = ask_again_ms(answer->ttl_s) + DNS_SEEDS_GRACE_MS;
    for (size_t i = 0; i < answer->count && w->found < DNS_SEEDS_ADDRESSES_MAX; i++, w->found++) {
        addr_format(&answer->addresses[i], text);
        w->d->events->on_address(w->d->ctx, text, ttl_ms);
    }
    w->ttl_s = answer->ttl_s < w->ttl_s ? answer->ttl_s : w->ttl_s;
}

static void on_addresses(void *arg, const struct resolved *answer)
{
    struct row *w = arg;
    if (answer->err != 0)
        w->err = answer->err;
    else if (w->named && !w->d->closing)
        give(w, answer);
    row_answered(w);
}

static void ask_address(struct row *w, struct slice host_port)
{
    int err = resolver_lookup(w->d->resolver, host_port, on_addresses, w);
    if (err == 0)
        w->asked++;
    else
        w->err = err;
}

static void on_services(void *arg, int err, const struct dns_services *services)
{
    struct row *w = arg;
    char host_port[DNS_NAME_MAX + 8];
    if (err != 0)
        w->err = err;
    else
        w->ttl_s = services->ttl_s;
    for (size_t i = 0; err == 0 && w->named && !w->d->closing && i < services->count; i++) {
        snprintf(host_port, sizeof host_port, "%s:%u", services->at[i].host, services->at[i].port);
        ask_address(w, slice_of_str(host_port));
    }
    row_answered(w);
}

static void ask(void *arg)
{
    struct row *w = arg;
    struct slice name = slice_of_str(w->name);
    w->found = 0;
    w->ttl_s = UINT32_MAX;
    w->err = GRID_ENOENT;
    if (!is_service(name)) {
        ask_address(w, name);
    } else {
        int err = resolver_lookup_services(w->d->resolver, service_of(name), on_services, w);
        w->asked += err == 0;
        w->err = err == 0 ? w->err : err;
    }
    if (w->asked == 0)
        row_settle(w);
}

/* ---- names ---- */

static struct row *row_find(struct dns_seeds *d, struct slice name)
{
    struct row *w = d->rows;
    while (w && !slice_equal_str(name, w->name))
        w = w->next;
    return w;
}

static int row_add(struct dns_seeds *d, struct slice name)
{
    struct row *w = calloc(1, sizeof *w);
    char *copy = slice_to_str(name);
    if (!w || !copy) {
        free(w);
        free(copy);
        return GRID_ENOMEM;
    }
    *w = (struct row){.next = d->rows, .d = d, .name = copy, .named = true, .kept = true};
    d->rows = w;
    loop_timer_start(d->loop, &w->timer, 0, ask, w);
    return 0;
}

static int row_keep(struct dns_seeds *d, struct slice name)
{
    struct row *w = row_find(d, name);
    if (!w)
        return row_add(d, name);
    w->kept = true;
    if (!w->named && w->asked == 0)
        loop_timer_start(d->loop, &w->timer, 0, ask, w);
    w->named = true;
    return 0;
}

static void drop_others(struct dns_seeds *d)
{
    for (struct row *w = d->rows, *next; w; w = next) {
        next = w->next;
        if (w->kept)
            continue;
        w->named = false;
        if (w->asked == 0)
            row_free(w);
    }
}

int dns_seeds_set(struct dns_seeds *d, const struct slice *names, size_t count)
{
    int err = count > DNS_SEEDS_MAX ? GRID_ELIMIT : 0;
    for (struct row *w = d->rows; w; w = w->next)
        w->kept = false;
    for (size_t i = 0; i < count && i < DNS_SEEDS_MAX; i++)
        if (dns_seed_valid(names[i]) && row_keep(d, names[i]) != 0)
            err = GRID_ENOMEM;
    drop_others(d);
    return err;
}

/* ---- life ---- */

int dns_seeds_create(struct loop *l, const struct dns_seeds_events *events, void *ctx, struct dns_seeds **out)
{
    struct dns_seeds *d = calloc(1, sizeof *d);
    if (!d)
        return GRID_ENOMEM;
    *d = (struct dns_seeds){.loop = l, .events = events, .ctx = ctx};
    int err = resolver_create(l, &d->resolver);
    if (err != 0) {
        free(d);
        return err;
    }
    *out = d;
    return 0;
}

int dns_seeds_use_servers(struct dns_seeds *d, const char *servers)
{
    return resolver_use_servers(d->resolver, servers);
}

static void on_resolver_closed(void *arg)
{
    struct dns_seeds *d = arg;
    loop_fn on_closed = d->on_closed;
    void *on_closed_arg = d->on_closed_arg;
    while (d->rows)
        row_free(d->rows);
    free(d);
    if (on_closed)
        on_closed(on_closed_arg);
}

void dns_seeds_close(struct dns_seeds *d, loop_fn on_closed, void *arg)
{
    d->closing = true;
    d->on_closed = on_closed;
    d->on_closed_arg = arg;
    for (struct row *w = d->rows; w; w = w->next)
        loop_timer_stop(&w->timer);
    resolver_close(d->resolver, on_resolver_closed, d);
}
