/* Avahi's own responder in this process (avahi-core). It shares port 5353 with others on the host: another node, avahi-daemon, systemd-resolved. Of each address
 * only one of them may say whose it is (a PTR record, which Avahi announces with every address of its own accord, and withdraws everything where another has it): this
 * one says nothing of the kind, and so tells the host's addresses itself. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <avahi-common/address.h>
#include <avahi-common/alternative.h>
#include <avahi-common/error.h>
#include <avahi-common/malloc.h>
#include <avahi-common/timeval.h>
#include <avahi-core/core.h>
#include <avahi-core/log.h>
#include <avahi-core/lookup.h>
#include <avahi-core/publish.h>

#include "base/err.h"
#include "base/log.h"
#include "discovery/avahi_library.h"
#include "discovery/mdns_responder.h"
#include "net/interface_addresses.h"

enum {
    CACHE_ENTRIES_MAX = 4096,
    ADDRESSES_MAX = 32,
    ADDRESSES_LOOK_MS = 1000, /* whether they are others */
};

#define FUNCTIONS(X) \
    X(server_errno) X(s_entry_group_new) X(s_entry_group_reset) X(server_add_service_strlst) X(server_add_address) X(s_entry_group_commit) X(server_get_host_name) \
    X(server_set_host_name) X(s_service_resolver_free) X(s_service_resolver_new) X(server_free) X(set_log_function) X(server_config_init) \
    X(server_new) X(server_config_free) X(s_service_browser_new)

static struct {
    FUNCTIONS(AVAHI_LIBRARY_POINTER)
} avahi; /* the same once loaded; of the one thread that looks */

struct own_address {
    AvahiIfIndex interface;
    AvahiAddress address;
};

struct own_addresses {
    size_t count;
    struct own_address at[ADDRESSES_MAX];
};

struct built_in {
    struct mdns_responder_options options;
    char name[MDNS_NAME_MAX + 1];
    AvahiServer *server;
    AvahiSEntryGroup *group;
    AvahiSServiceBrowser *browser;
    AvahiTimeout *look_timer;
    struct own_addresses own; /* as announced */
};

/* ---- the host's addresses ---- */

/* As Avahi has it. */
static struct own_address own_address(const struct interface_address *from)
{
    struct own_address own = {.interface = from->interface};
    bool v4 = addr_is_v4(&from->address);
    own.address.proto = v4 ? AVAHI_PROTO_INET : AVAHI_PROTO_INET6;
    if (v4)
        memcpy(&own.address.data.ipv4, &from->address.u.v4.sin_addr, sizeof own.address.data.ipv4);
    else
        memcpy(&own.address.data.ipv6, &from->address.u.v6.sin6_addr, sizeof own.address.data.ipv6);
    return own;
}

static void read_addresses(struct own_addresses *out)
{
    struct interface_address found[ADDRESSES_MAX];
    size_t count = interface_addresses_read(found, ADDRESSES_MAX);
    memset(out, 0, sizeof *out);
    for (; out->count < count; out->count++)
        out->at[out->count] = own_address(&found[out->count]);
}

static bool own_equal(const struct own_addresses *a, const struct own_addresses *b)
{
    bool equal = a->count == b->count;
    for (size_t i = 0; equal && i < a->count; i++)
        equal = a->at[i].interface == b->at[i].interface && avahi_address_cmp(&a->at[i].address, &b->at[i].address) == 0;
    return equal;
}

/* ---- announcing ---- */

static void on_group(AvahiServer *server, AvahiSEntryGroup *group, AvahiEntryGroupState state, void *arg)
{
    struct built_in *b = arg;
    (void) group;
    if (state == AVAHI_ENTRY_GROUP_COLLISION)
        b->options.events->on_collision(b->options.ctx);
    else if (state == AVAHI_ENTRY_GROUP_FAILURE)
        b->options.events->on_end(b->options.ctx, avahi_strerror(avahi.server_errno(server)));
}

static int add_addresses(struct built_in *b, AvahiServer *server)
{
    int err = 0;
    read_addresses(&b->own);
    for (size_t i = 0; i < b->own.count && err == 0; i++)
        err = avahi.server_add_address(server, b->group, b->own.at[i].interface, AVAHI_PROTO_UNSPEC, AVAHI_PUBLISH_NO_REVERSE, NULL, &b->own.at[i].address);
    return err;
}

static void announce(struct built_in *b, AvahiServer *server)
{
    if (!b->group)
        b->group = avahi.s_entry_group_new(server, on_group, b);
    if (!b->group)
        return;
    avahi.s_entry_group_reset(b->group);
    int err = add_addresses(b, server);
    if (err == 0)
        err = avahi.server_add_service_strlst(server, b->group, AVAHI_IF_UNSPEC, AVAHI_PROTO_UNSPEC, 0, b->name, MDNS_TYPE, MDNS_DOMAIN, NULL, b->options.port, b->options.txt);
    if (err == AVAHI_ERR_COLLISION)
        b->options.events->on_collision(b->options.ctx);
    else if (err != 0 || (err = avahi.s_entry_group_commit(b->group)) < 0)
        b->options.events->on_end(b->options.ctx, avahi_strerror(err));
}

static void look_at_addresses(AvahiTimeout *timer, void *arg)
{
    struct built_in *b = arg;
    struct own_addresses now;
    struct timeval next;
    read_addresses(&now);
    if (!own_equal(&now, &b->own))
        announce(b, b->server);
    b->options.poll->timeout_update(timer, avahi_elapse_time(&next, ADDRESSES_LOOK_MS, 0));
}

static void rename_host(AvahiServer *server)
{
    char *other = avahi_alternative_host_name(avahi.server_get_host_name(server));
    if (other)
        avahi.server_set_host_name(server, other);
    avahi_free(other);
}

static void on_server(AvahiServer *server, AvahiServerState state, void *arg)
{
    struct built_in *b = arg;
    switch (state) {
    case AVAHI_SERVER_RUNNING:
        announce(b, server);
        break;
    case AVAHI_SERVER_COLLISION:
        rename_host(server);
        break;
    case AVAHI_SERVER_FAILURE:
        b->options.events->on_end(b->options.ctx, avahi_strerror(avahi.server_errno(server)));
        break;
    case AVAHI_SERVER_REGISTERING:
        if (b->group)
            avahi.s_entry_group_reset(b->group);
        break;
    case AVAHI_SERVER_INVALID:
        break;
    }
}

/* ---- browsing ---- */

static void on_browsed(AvahiSServiceBrowser *browser, AvahiIfIndex interface, AvahiProtocol protocol, AvahiBrowserEvent event, const char *name, const char *type,
                       const char *domain, AvahiLookupResultFlags flags, void *arg)
{
    struct built_in *b = arg;
    struct mdns_key key;
    (void) browser, (void) type, (void) domain, (void) flags;
    if (event == AVAHI_BROWSER_FAILURE)
        b->options.events->on_end(b->options.ctx, avahi_strerror(avahi.server_errno(b->server)));
    else if (event == AVAHI_BROWSER_NEW && mdns_key_of(interface, protocol, name, &key))
        b->options.events->on_service(b->options.ctx, &key);
    else if (event == AVAHI_BROWSER_REMOVE && mdns_key_of(interface, protocol, name, &key))
        b->options.events->on_gone(b->options.ctx, &key);
}

static void on_resolved(AvahiSServiceResolver *resolver, AvahiIfIndex interface, AvahiProtocol protocol, AvahiResolverEvent event, const char *name, const char *type,
                        const char *domain, const char *host, const AvahiAddress *address, uint16_t port, AvahiStringList *txt, AvahiLookupResultFlags flags, void *arg)
{
    struct built_in *b = arg;
    struct mdns_key key;
    char text[MDNS_ADDRESS_MAX + 1];
    bool found = event == AVAHI_RESOLVER_FOUND && mdns_address_of(address, port, text);
    (void) type, (void) domain, (void) host, (void) flags;
    if (mdns_key_of(interface, protocol, name, &key))
        b->options.events->on_looked(b->options.ctx, &key, found ? text : NULL, found ? txt : NULL);
    avahi.s_service_resolver_free(resolver);
}

static int built_in_look(void *responder, const struct mdns_key *key)
{
    struct built_in *b = responder;
    return avahi.s_service_resolver_new(b->server, key->interface, key->protocol, key->name, MDNS_TYPE, MDNS_DOMAIN, AVAHI_PROTO_UNSPEC, 0, on_resolved, b) ? 0 : GRID_EIO;
}

/* ---- life ---- */

static void built_in_close(void *responder)
{
    struct built_in *b = responder;
    if (b->look_timer)
        b->options.poll->timeout_free(b->look_timer);
    if (b->server)
        avahi.server_free(b->server);
    free(b);
}

static void built_in_rename(void *responder, const char *name)
{
    struct built_in *b = responder;
    snprintf(b->name, sizeof b->name, "%s", name);
    announce(b, b->server);
}

static void on_avahi_log(AvahiLogLevel level, const char *text)
{
    (void) level;
    log_line(LOG_DEBUG, "avahi", LOGF_STR("text", text));
}

/* The host's own name may be another responder's on this host: this one has the service's. */
static AvahiServer *start(struct built_in *b, int *err)
{
    AvahiServerConfig config;
    avahi.set_log_function(on_avahi_log);
    avahi.server_config_init(&config);
    avahi_free(config.host_name);
    config.host_name = avahi_strdup(b->name);
    config.publish_addresses = config.publish_hinfo = config.publish_workstation = config.publish_domain = config.enable_wide_area = 0;
    config.n_cache_entries_max = CACHE_ENTRIES_MAX;
    AvahiServer *server = avahi.server_new(b->options.poll, &config, on_server, b, err);
    avahi.server_config_free(&config);
    return server;
}

static int built_in_open(const struct mdns_responder_options *options, void **out, char why[160])
{
    static const char *const names[] = {FUNCTIONS(AVAHI_LIBRARY_NAME)};
    int err = AVAHI_ERR_NO_MEMORY;
    struct timeval next;
    if (avahi_library_load("libavahi-core.so.7", names, sizeof names / sizeof *names, &avahi, why) != 0)
        return GRID_EIO;
    struct built_in *b = calloc(1, sizeof *b);
    if (b) {
        b->options = *options;
        snprintf(b->name, sizeof b->name, "%s", options->name);
        b->server = start(b, &err);
    }
    if (b && b->server)
        b->browser = avahi.s_service_browser_new(b->server, AVAHI_IF_UNSPEC, AVAHI_PROTO_UNSPEC, MDNS_TYPE, MDNS_DOMAIN, 0, on_browsed, b);
    if (b && b->browser)
        b->look_timer = options->poll->timeout_new(options->poll, avahi_elapse_time(&next, ADDRESSES_LOOK_MS, 0), look_at_addresses, b);
    if (b && b->look_timer) {
        *out = b;
        return 0;
    }
    snprintf(why, 160, "%s", avahi_strerror(b && b->server ? avahi.server_errno(b->server) : err));
    if (b)
        built_in_close(b);
    return GRID_EIO;
}

const struct mdns_responder MDNS_BUILT_IN = {"built-in", built_in_open, built_in_close, built_in_look, built_in_rename};
