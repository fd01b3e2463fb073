/* Connections of a fetch, and who is left alone. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "server/release/fetch_internal.h"

enum {
    FETCH_ALONE_MS = 300, /* little is fetched from one peer alone, for so long */
};

/* ---- who is left alone ---- */

static struct fetch_aside *aside_of(struct fetch *f, const char *id)
{
    for (unsigned i = 0; i < f->aside_count; i++)
        if (strcmp(f->asides[i].id, id) == 0)
            return &f->asides[i];
    return NULL;
}

static struct fetch_aside *aside_make(struct fetch *f, const char *id)
{
    struct fetch_aside *aside = aside_of(f, id);
    if (aside)
        return aside;
    if (f->aside_count < FETCH_ASIDE_MAX) {
        aside = &f->asides[f->aside_count++];
    } else { /* the one whose time is over first gives its place */
        aside = &f->asides[0];
        for (unsigned i = 1; i < FETCH_ASIDE_MAX; i++)
            if (f->asides[i].until_ms < aside->until_ms)
                aside = &f->asides[i];
    }
    *aside = (struct fetch_aside){0};
    snprintf(aside->id, sizeof aside->id, "%s", id);
    return aside;
}

static void put_aside(struct fetch *f, const char *id, uint64_t base_ms, uint64_t max_ms)
{
    struct fetch_aside *aside = aside_make(f, id);
    uint64_t wait = base_ms << (aside->times < 10 ? aside->times : 10);
    aside->times++;
    aside->until_ms = loop_now_ms(f->options.loop) + (wait < max_ms ? wait : max_ms);
}

static bool is_aside(struct fetch *f, const char *id)
{
    const struct fetch_aside *aside = aside_of(f, id);
    return aside && aside->until_ms > loop_now_ms(f->options.loop);
}

void fetch_peer_gave(struct fetch_peer *peer)
{
    struct fetch_aside *aside = aside_of(peer->fetch, peer->at.id);
    if (aside)
        aside->times = 0;
}

static void peer_end(void *arg);

static void give_up_dial(struct fetch_peer *peer)
{
    h2_race_close(peer->race);
    loop_defer(peer->fetch->options.loop, &peer->gone, peer_end, peer);
}

void fetch_peer_fail(struct fetch_peer *peer, uint64_t base_ms, uint64_t max_ms)
{
    struct fetch *f = peer->fetch;
    if (!f || peer->failed)
        return;
    peer->failed = true;
    put_aside(f, peer->at.id, base_ms, max_ms);
    if (peer->known)
        fetch_event_add(f, EVENT_FAILED, peer->number, 0, slice_of(NULL, 0));
    if (peer->client)
        http_client_close(peer->client);
    else
        give_up_dial(peer);
}

void fetch_peer_lied(struct fetch_peer *peer)
{
    log_line(LOG_WARN, "a peer sent wrong bytes and is left alone for a while", LOGF_STR("peer", peer->at.id), LOGF_STR("release", peer->fetch->root_hex));
    fetch_peer_fail(peer, FETCH_LIE_MS, FETCH_LIE_MAX_MS);
}

void fetch_close_some(struct fetch *f, bool (*whom)(const void *arg, const struct tls_peer *peer), const void *arg)
{
    for (struct fetch_peer *peer = f->peers, *next; peer; peer = next) {
        const struct tls_peer *who = peer->open ? conn_tls_peer(http_client_conn(peer->client)) : NULL;
        next = peer->next;
        if (who && whom(arg, who))
            fetch_peer_fail(peer, FETCH_BREAK_MS, FETCH_BREAK_MAX_MS);
    }
}

void fetch_peers_close_liars(struct fetch *f)
{
    for (struct fetch_peer *peer = f->peers, *next; peer; peer = next) {
        next = peer->next;
        if (peer->known && (f->liars >> peer->number & 1) && !peer->failed)
            fetch_peer_lied(peer);
    }
    f->liars = 0;
}

/* ---- the list ---- */

static void peer_unlink(struct fetch_peer *peer)
{
    struct fetch *f = peer->fetch;
    for (struct fetch_peer **at = &f->peers; *at; at = &(*at)->next)
        if (*at == peer) {
            *at = peer->next;
            f->peer_count--;
            return;
        }
}

void fetch_peers_leave(struct fetch *f)
{
    fetch_calls_leave(f);
    for (struct fetch_peer *peer = f->peers, *next; peer; peer = next) {
        next = peer->next;
        peer->fetch = NULL;
        if (peer->client) {
            http_client_close(peer->client);
        } else {
            if (!peer->failed)
                h2_race_close(peer->race);
            loop_defer_cancel(&peer->gone);
            free(peer);
        }
    }
    f->peers = NULL;
    f->peer_count = 0;
}

struct fetch_peer *fetch_peer_of(struct fetch *f, uint32_t number)
{
    struct fetch_peer *peer = f->peers;
    while (peer && !(peer->known && peer->number == number))
        peer = peer->next;
    return peer;
}

/* ---- connections ---- */

/* Another node at that address is not asked in this one's name. */
static bool peer_may_win(void *ctx, struct http_client *c, bool last)
{
    struct fetch_peer *peer = ctx;
    const struct tls_peer *who = conn_tls_peer(http_client_conn(c));
    (void) last;
    bool right = !peer->fetch->options.tls || (who && strcmp(who->id, peer->at.id) == 0 && (who->roles & TLS_ROLE_NODE));
    peer->stranger |= !right;
    return right;
}

static void peer_on_open(void *ctx, struct http_client *c)
{
    struct fetch_peer *peer = ctx;
    peer->race = NULL;
    peer->client = c;
    peer->open = true;
    fetch_pump_later(peer->fetch);
}

static void peer_on_draining(void *ctx, struct http_client *c)
{
    (void) ctx, (void) c;
}

static void peer_lost(struct fetch_peer *peer)
{
    struct fetch *f = peer->fetch;
    bool stranger = peer->stranger && !peer->open;
    if (!peer->failed)
        put_aside(f, peer->at.id, stranger ? FETCH_LIE_MS : FETCH_BREAK_MS, stranger ? FETCH_LIE_MAX_MS : FETCH_BREAK_MAX_MS);
    if (peer->known)
        fetch_event_add(f, EVENT_REMOVED, peer->number, 0, slice_of(NULL, 0));
    else
        fetch_pump_later(f);
}

static void peer_end(void *arg)
{
    struct fetch_peer *peer = arg;
    if (peer->fetch)
        peer_lost(peer);
    if (peer->fetch) /* fetch_event_add may have ended it */
        peer_unlink(peer);
    free(peer);
}

static void peer_on_close(void *ctx, struct http_client *c, int err)
{
    (void) c, (void) err;
    peer_end(ctx);
}

static const struct h2_race_events PEER_EVENTS = {.may_win = peer_may_win, .client = {peer_on_open, peer_on_draining, peer_on_close}, .on_lost = peer_end};

static int peer_dial(struct fetch_peer *peer)
{
    const struct h2_race_options options = {.conn.tls = peer->fetch->options.tls};
    struct race addresses = {0};
    for (size_t i = 0; i < peer->at.address_count; i++)
        race_add(&addresses, &peer->at.addresses[i]);
    race_sort(&addresses);
    return h2_race_create(peer->fetch->options.loop, &addresses, &options, &PEER_EVENTS, peer, &peer->race);
}

static bool is_connected(const struct fetch *f, const char *id)
{
    for (const struct fetch_peer *peer = f->peers; peer; peer = peer->next)
        if (strcmp(peer->at.id, id) == 0)
            return true;
    return false;
}

/* FNV-1a. */
uint64_t fetch_key_of(const char *id)
{
    uint64_t x = UINT64_C(0xcbf29ce484222325);
    for (; *id; id++)
        x = (x ^ (uint8_t) *id) * UINT64_C(0x100000001b3);
    return x;
}

static void peer_know(struct fetch_peer *peer)
{
    struct fetch *f = peer->fetch;
    peer->known = sync_add_peer(f->sync, fetch_key_of(peer->at.id), SYNC_PEER_AWAITED, f->now_ms, &peer->number) == 0;
}

static void peer_connect(struct fetch *f, const struct release_peer *at)
{
    struct fetch_peer *peer = calloc(1, sizeof *peer);
    if (!peer)
        return;
    peer->fetch = f;
    peer->at = *at;
    if (peer_dial(peer) != 0) {
        put_aside(f, at->id, FETCH_BREAK_MS, FETCH_BREAK_MAX_MS);
        free(peer);
        return;
    }
    peer->next = f->peers;
    f->peers = peer;
    f->peer_count++;
    if (!aside_of(f, at->id))
        peer_know(peer);
}

/* Little beside a base comes from one peer in less time than it takes to reach the others. */
static bool is_little(const struct fetch *f)
{
    return f->has_base && f->progress.bytes_wanted <= SYNC_SWARM_BYTES && loop_now_ms(f->options.loop) < f->started_ms + FETCH_ALONE_MS;
}

/* Who may have the release, in memory of the thread until the next call. */
static const struct release_peer *find_peers(struct fetch *f, size_t *count)
{
    static _Thread_local struct release_peer found[RELEASE_PEERS_MAX];
    *count = f->options.peers(f->options.peers_ctx, f->root_hex, found);
    return found;
}

static bool may_connect(struct fetch *f, const struct release_peer *at)
{
    return !is_connected(f, at->id) && !is_aside(f, at->id);
}

/* Those that run the release first. */
void fetch_peers_connect(struct fetch *f)
{
    size_t count;
    const struct release_peer *found = find_peers(f, &count);
    unsigned most = is_little(f) ? 1 : FETCH_PEERS_MAX;
    for (int pass = 0; pass < 2; pass++)
        for (size_t i = 0; i < count && f->peer_count < most; i++)
            if (found[i].runs_it == (pass == 0) && may_connect(f, &found[i]))
                peer_connect(f, &found[i]);
}

/* Who is not known to have all is asked what it has. */
static void peer_ask(struct fetch_peer *peer)
{
    struct fetch *f = peer->fetch;
    if (!peer->known)
        peer_know(peer);
    if (!peer->known)
        return;
    peer->asked = true;
    sync_peer_set_kind(f->sync, peer->number, peer->at.runs_it ? SYNC_PEER_ORIGIN : SYNC_PEER_AWAITED, f->now_ms);
    if (!peer->at.runs_it && fetch_calls_ask_have(peer) != 0)
        fetch_peer_fail(peer, FETCH_BREAK_MS, FETCH_BREAK_MAX_MS);
}

void fetch_peers_ask(struct fetch *f)
{
    for (struct fetch_peer *peer = f->peers, *next; peer; peer = next) {
        next = peer->next;
        if (peer->open && !peer->asked && !peer->failed)
            peer_ask(peer);
    }
}

static bool somebody_waits(struct fetch *f)
{
    size_t count, i = 0;
    const struct release_peer *found = find_peers(f, &count);
    while (i < count && !may_connect(f, &found[i]))
        i++;
    return i < count;
}

/* The one of longest standing, but who runs the release after all others: it has what they only come to have. */
static struct fetch_peer *peer_to_leave(struct fetch *f)
{
    struct fetch_peer *leaves = NULL; /* the newest comes first in the list */
    for (struct fetch_peer *peer = f->peers; peer; peer = peer->next)
        if (!leaves || !peer->at.runs_it || leaves->at.runs_it)
            leaves = peer;
    return leaves;
}

void fetch_peers_rotate(struct fetch *f)
{
    bool is_stuck = !f->working && !f->ended && sync_status(f->sync, loop_now_ms(f->options.loop), NULL) == SYNC_STUCK;
    if (is_stuck && f->peer_count >= FETCH_PEERS_MAX && somebody_waits(f))
        fetch_peer_fail(peer_to_leave(f), FETCH_BREAK_MS, FETCH_BREAK_MAX_MS);
}
