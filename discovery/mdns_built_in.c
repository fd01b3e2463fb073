/* Avahi's own responder in this process (avahi-core). It shares port 5353 with others on the host. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <avahi-common/alternative.h>
#include <avahi-common/error.h>
#include <avahi-common/malloc.h>
#include <avahi-core/core.h>
#include <avahi-core/log.h>
#include <avahi-core/lookup.h>
#include <avahi-core/publish.h>

#include "base/err.h"
#include "base/log.h"
#include "discovery/avahi_library.h"
#include "discovery/mdns_responder.h"

enum { CACHE_ENTRIES_MAX = 4096 };

#define FUNCTIONS(X) \
    X(server_errno) X(s_entry_group_new) X(s_entry_group_reset) X(server_add_service_strlst) X(s_entry_group_commit) X(server_get_host_name) \
    X(server_set_host_name) X(s_service_resolver_free) X(s_service_resolver_new) X(server_free) X(set_log_function) X(server_config_init) \
    X(server_new) X(server_config_free) X(s_service_browser_new)

static struct {
    FUNCTIONS(AVAHI_LIBRARY_POINTER)
} avahi; /* the same once loaded; of the one thread that looks */

struct built_in {
    struct mdns_responder_options options;
    char name[MDNS_NAME_MAX + 1];
    AvahiServer *server;
    AvahiSEntryGroup *group;
    AvahiSServiceBrowser *browser;
};

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

static void announce(struct built_in *b, AvahiServer *server)
{
    if (!b->group)
        b->group = avahi.s_entry_group_new(server, on_group, b);
    if (!b->group)
        return;
    avahi.s_entry_group_reset(b->group);
    int err = avahi.server_add_service_strlst(server, b->group, AVAHI_IF_UNSPEC, AVAHI_PROTO_UNSPEC, 0, b->name, MDNS_TYPE, MDNS_DOMAIN, NULL, b->options.port, b->options.txt);
    if (err == AVAHI_ERR_COLLISION)
        b->options.events->on_collision(b->options.ctx);
    else if (err != 0 || (err = avahi.s_entry_group_commit(b->group)) < 0)
        b->options.events->on_end(b->options.ctx, avahi_strerror(err));
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
    config.publish_hinfo = config.publish_workstation = config.publish_domain = config.enable_wide_area = 0;
    config.n_cache_entries_max = CACHE_ENTRIES_MAX;
    AvahiServer *server = avahi.server_new(b->options.poll, &config, on_server, b, err);
    avahi.server_config_free(&config);
    return server;
}

static int built_in_open(const struct mdns_responder_options *options, void **out, char why[160])
{
    static const char *const names[] = {FUNCTIONS(AVAHI_LIBRARY_NAME)};
    int err = AVAHI_ERR_NO_MEMORY;
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
    if (b && b->browser) {
        *out = b;
        return 0;
    }
    snprintf(why, 160, "%s", avahi_strerror(b && b->server ? avahi.server_errno(b->server) : err));
    if (b)
        built_in_close(b);
    return GRID_EIO;
}

const struct mdns_responder MDNS_BUILT_IN = {"built-in", built_in_open, built_in_close, built_in_look, built_in_rename};
