/* Names are looked up, all at once, while numeric addresses are dialled already. A dial is a race, and at most one more for the last resort:
 *
 *   race over all addresses --lost--> race for the last resort alone --lost--> lost
 *
 * Its memory waits for the lookups. */
#include "discovery/gossip_dial.h"

#include <stdlib.h>
#include <string.h>

#include "base/err.h"

enum {
    UNLIKELY_MS = 400, /* for TCP's part with an address that others could not dial */
    CARRIED_MS = 4000, /* for a way to be found to a member that cannot be dialled */
};

struct gossip_dial {
    struct gossip_dial_config config;
    const struct gossip_dial_events *events;
    void *ctx;
    char id[MEMBER_ID_SIZE], self[MEMBER_ID_SIZE];
    uint32_t connect_ms;
    struct h2_race *race;  /* NULL: over */
    struct addr resort;    /* dialled when all has failed; size 0: none */
    bool resorted;         /* it is being dialled: whoever answers will do */
    unsigned lookups;
    bool timed_out, denied, refused, silent;
};

static const struct h2_race_events EVENTS;

static void free_if_done(struct gossip_dial *d)
{
    if (!d->race && d->lookups == 0)
        free(d);
}

/* Of several addresses: the one that says most for its life. */
static enum members_dial_fault fault_of(const struct gossip_dial *d)
{
    if (d->denied)
        return MEMBERS_DIAL_DENIED;
    if (d->silent)
        return MEMBERS_DIAL_SILENT;
    return d->timed_out || d->config.hidden || !d->refused ? MEMBERS_DIAL_TIMEOUT : MEMBERS_DIAL_REFUSED;
}

/* ---- the race ---- */

static int race_start(struct gossip_dial *d, const struct race *addresses, uint32_t connect_ms, bool awaits)
{
    const struct h2_race_options options = {.conn = {.tls = d->config.tls, .connect_timeout_ms = connect_ms, .handshake_timeout_ms = d->config.times->handshake_ms}, .awaits = awaits};
    return h2_race_create(d->config.loop, addresses, &options, &EVENTS, d, &d->race);
}

static void on_dial(void *ctx, struct http_client *client)
{
    const struct gossip_dial *d = ctx;
    conn_make_thin(http_client_conn(client), d->config.times->unacknowledged_ms);
}

/* Whoever lives at a member's address now is worth a link when nobody else is there; but not at one that others could not dial either, which may mean another host to this one. */
static void take_stranger(struct gossip_dial *d, const struct conn *c, const char *id)
{
    d->timed_out = true;
    if (!d->config.hidden && d->resort.size == 0 && strcmp(id, d->self) != 0)
        d->resort = *conn_peer_addr(c);
}

static bool may_win(void *ctx, struct http_client *client, bool last)
{
    struct gossip_dial *d = ctx;
    const struct conn *c = http_client_conn(client);
    const struct tls_peer *peer = conn_tls_peer(c);
    if (!peer || !(peer->roles & TLS_ROLE_NODE)) {
        d->denied = true;
        return false;
    }
    if (d->id[0] == '\0' || strcmp(peer->id, d->id) == 0 || (!d->config.hidden && (last || d->resorted)))
        return true;
    take_stranger(d, c, peer->id);
    return false;
}

static void on_failed(void *ctx, struct http_client *client, int err)
{
    struct gossip_dial *d = ctx;
    const struct conn *c = client ? http_client_conn(client) : NULL;
    bool connected = c && conn_was_connected(c);
    if (err == GRID_EPERM && c)
        d->events->on_denied(d->ctx, c);
    d->silent |= connected && (err == GRID_ETIMEOUT || err == GRID_ECLOSED);
    d->timed_out |= !c || (!connected && err == GRID_ETIMEOUT);
    d->denied |= c && (err == GRID_EPERM || err == GRID_EPROTO);
    d->refused |= err == GRID_EREFUSED;
}

static void end(struct gossip_dial *d)
{
    d->race = NULL;
    free_if_done(d);
}

static void on_open(void *ctx, struct http_client *client)
{
    struct gossip_dial *d = ctx;
    http_client_set_events(client, &d->events->client, d->ctx);
    d->events->client.on_open(d->ctx, client);
    end(d);
}

/* True when there is one more to dial. */
static bool resort(struct gossip_dial *d)
{
    struct race last = {0};
    if (d->resort.size == 0)
        return false;
    race_add(&last, &d->resort);
    d->resort.size = 0;
    d->resorted = true;
    return race_start(d, &last, d->config.carry ? CARRIED_MS : d->connect_ms, false) == 0;
}

static void on_lost(void *ctx)
{
    struct gossip_dial *d = ctx;
    if (resort(d))
        return;
    d->events->on_lost(d->ctx, fault_of(d));
    end(d);
}

static const struct h2_race_events EVENTS = {.on_dial = on_dial, .may_win = may_win, .on_failed = on_failed, .client = {.on_open = on_open}, .on_lost = on_lost};

/* ---- addresses ---- */

static void on_resolved(void *arg, const struct resolved *answer)
{
    struct gossip_dial *d = arg;
    d->lookups--;
    d->timed_out |= answer->err != 0;
    for (size_t i = 0; d->race && answer->err == 0 && i < answer->count; i++)
        h2_race_add(d->race, &answer->addresses[i]);
    if (d->race && d->lookups == 0)
        h2_race_complete(d->race);
    free_if_done(d);
}

/* Numeric ones into *out; names are asked for. */
static void take_addresses(struct gossip_dial *d, const struct members_dial *wish, struct race *out)
{
    struct addr at;
    for (size_t i = 0; i < wish->address_count && i < MEMBER_ADDRESSES_MAX; i++) {
        struct slice text = slice_of_str(wish->addresses[i]);
        if (addr_parse(text, &at) == 0)
            race_add(out, &at);
        else if (resolver_lookup(d->config.resolver, text, on_resolved, d) == 0)
            d->lookups++;
        else
            d->timed_out = true;
    }
    race_sort(out);
    if (d->config.known)
        race_prefer(out, d->config.known);
}

int gossip_dial_create(const struct gossip_dial_config *config, const struct gossip_dial_events *events, void *ctx, struct gossip_dial **out)
{
    struct race addresses = {0};
    struct gossip_dial *d = calloc(1, sizeof *d);
    if (!d)
        return GRID_ENOMEM;
    *d = (struct gossip_dial){.config = *config, .events = events, .ctx = ctx, .connect_ms = config->wish->connect_ms};
    memcpy(d->id, config->wish->id, strlen(config->wish->id) + 1);
    memcpy(d->self, config->self, strlen(config->self) + 1);
    if (config->carry) {
        addr_member(d->id, &d->resort);
        d->connect_ms = d->connect_ms < UNLIKELY_MS ? d->connect_ms : UNLIKELY_MS;
    }
    take_addresses(d, config->wish, &addresses);
    d->config.wish = NULL; /* these three are the caller's */
    d->config.known = NULL;
    d->config.self = NULL;
    int err = race_start(d, &addresses, d->connect_ms, d->lookups > 0);
    if (err != 0)
        free_if_done(d);
    else
        *out = d;
    return err;
}

bool gossip_dial_is_connected(const struct gossip_dial *d)
{
    return d->race && h2_race_is_connected(d->race);
}

void gossip_dial_close(struct gossip_dial *d)
{
    struct h2_race *race = d->race;
    d->race = NULL;
    if (race)
        h2_race_close(race);
    free_if_done(d);
}
