/* The host's avahi-daemon, over D-Bus. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <avahi-client/client.h>
#include <avahi-client/lookup.h>
#include <avahi-client/publish.h>
#include <avahi-common/error.h>

#include "base/err.h"
#include "discovery/avahi_library.h"
#include "discovery/mdns_responder.h"

#define FUNCTIONS(X) \
    X(client_errno) X(entry_group_get_client) X(entry_group_new) X(entry_group_reset) X(entry_group_add_service_strlst) X(entry_group_commit) \
    X(service_browser_get_client) X(service_resolver_free) X(service_resolver_new) X(client_free) X(client_new) X(service_browser_new)

static struct {
    FUNCTIONS(AVAHI_LIBRARY_POINTER)
} avahi; /* the same once loaded; of the one thread that looks */

struct daemon {
    struct mdns_responder_options options;
    char name[MDNS_NAME_MAX + 1];
    AvahiClient *client;
    AvahiEntryGroup *group;
    AvahiServiceBrowser *browser;
    bool opened;
    int refused; /* why it announces nothing, as told before it was open; 0 */
};

/* Nobody hears of one that is not open yet: opening it fails. */
static void end(struct daemon *d, int err)
{
    if (d->opened)
        d->options.events->on_end(d->options.ctx, avahi_strerror(err));
    else
        d->refused = err;
}

/* ---- announcing ---- */

static void on_group(AvahiEntryGroup *group, AvahiEntryGroupState state, void *arg)
{
    struct daemon *d = arg;
    if (state == AVAHI_ENTRY_GROUP_COLLISION)
        d->options.events->on_collision(d->options.ctx);
    else if (state == AVAHI_ENTRY_GROUP_FAILURE)
        end(d, avahi.client_errno(avahi.entry_group_get_client(group)));
}

static void announce(struct daemon *d, AvahiClient *client)
{
    if (!d->group)
        d->group = avahi.entry_group_new(client, on_group, d);
    if (!d->group) {
        end(d, avahi.client_errno(client));
        return;
    }
    avahi.entry_group_reset(d->group);
    int err = avahi.entry_group_add_service_strlst(d->group, AVAHI_IF_UNSPEC, AVAHI_PROTO_UNSPEC, 0, d->name, MDNS_TYPE, MDNS_DOMAIN, NULL, d->options.port, d->options.txt);
    if (err == AVAHI_ERR_COLLISION)
        d->options.events->on_collision(d->options.ctx);
    else if (err != 0 || (err = avahi.entry_group_commit(d->group)) < 0)
        end(d, err);
}

static void on_client(AvahiClient *client, AvahiClientState state, void *arg)
{
    struct daemon *d = arg;
    switch (state) {
    case AVAHI_CLIENT_S_RUNNING:
        announce(d, client);
        break;
    case AVAHI_CLIENT_FAILURE:
        end(d, avahi.client_errno(client));
        break;
    case AVAHI_CLIENT_S_COLLISION:
    case AVAHI_CLIENT_S_REGISTERING:
        if (d->group)
            avahi.entry_group_reset(d->group);
        break;
    case AVAHI_CLIENT_CONNECTING:
        break;
    }
}

/* ---- browsing ---- */

static void on_browsed(AvahiServiceBrowser *browser, AvahiIfIndex interface, AvahiProtocol protocol, AvahiBrowserEvent event, const char *name, const char *type,
                       const char *domain, AvahiLookupResultFlags flags, void *arg)
{
    struct daemon *d = arg;
    struct mdns_key key;
    (void) type, (void) domain, (void) flags;
    if (event == AVAHI_BROWSER_FAILURE)
        end(d, avahi.client_errno(avahi.service_browser_get_client(browser)));
    else if (event == AVAHI_BROWSER_NEW && mdns_key_of(interface, protocol, name, &key))
        d->options.events->on_service(d->options.ctx, &key);
    else if (event == AVAHI_BROWSER_REMOVE && mdns_key_of(interface, protocol, name, &key))
        d->options.events->on_gone(d->options.ctx, &key);
}

static void on_resolved(AvahiServiceResolver *resolver, AvahiIfIndex interface, AvahiProtocol protocol, AvahiResolverEvent event, const char *name, const char *type,
                        const char *domain, const char *host, const AvahiAddress *address, uint16_t port, AvahiStringList *txt, AvahiLookupResultFlags flags, void *arg)
{
    struct daemon *d = arg;
    struct mdns_key key;
    char text[MDNS_ADDRESS_MAX + 1];
    bool found = event == AVAHI_RESOLVER_FOUND && mdns_address_of(address, port, text);
    (void) type, (void) domain, (void) host, (void) flags;
    if (mdns_key_of(interface, protocol, name, &key))
        d->options.events->on_looked(d->options.ctx, &key, found ? text : NULL, found ? txt : NULL);
    avahi.service_resolver_free(resolver);
}

static int daemon_look(void *responder, const struct mdns_key *key)
{
    struct daemon *d = responder;
    return avahi.service_resolver_new(d->client, key->interface, key->protocol, key->name, MDNS_TYPE, MDNS_DOMAIN, AVAHI_PROTO_UNSPEC, 0, on_resolved, d) ? 0 : GRID_EIO;
}

/* ---- life ---- */

/* What the daemon announced for this client goes with its connection. */
static void daemon_close(void *responder)
{
    struct daemon *d = responder;
    if (d->client)
        avahi.client_free(d->client);
    free(d);
}

static void daemon_rename(void *responder, const char *name)
{
    struct daemon *d = responder;
    snprintf(d->name, sizeof d->name, "%s", name);
    announce(d, d->client);
}

static int daemon_open(const struct mdns_responder_options *options, void **out, char why[160])
{
    static const char *const names[] = {FUNCTIONS(AVAHI_LIBRARY_NAME)};
    int err = AVAHI_ERR_NO_MEMORY;
    if (avahi_library_load("libavahi-client.so.3", names, sizeof names / sizeof *names, &avahi, why) != 0)
        return GRID_EIO;
    struct daemon *d = calloc(1, sizeof *d);
    if (d) {
        d->options = *options;
        snprintf(d->name, sizeof d->name, "%s", options->name);
        d->client = avahi.client_new(options->poll, 0, on_client, d, &err);
    }
    if (d && d->client && d->refused == 0) /* it may be one that takes no services of others (disable-user-service-publishing) */
        d->browser = avahi.service_browser_new(d->client, AVAHI_IF_UNSPEC, AVAHI_PROTO_UNSPEC, MDNS_TYPE, MDNS_DOMAIN, 0, on_browsed, d);
    if (d && d->browser && d->refused == 0) {
        d->opened = true;
        *out = d;
        return 0;
    }
    snprintf(why, 160, "%s", avahi_strerror(d && d->refused != 0 ? d->refused : d && d->client ? avahi.client_errno(d->client) : err));
    if (d)
        daemon_close(d);
    return GRID_EIO;
}

const struct mdns_responder MDNS_DAEMON = {"avahi-daemon", daemon_open, daemon_close, daemon_look, daemon_rename};
