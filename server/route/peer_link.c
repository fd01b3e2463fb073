/* Call links: dialling, sharing and closing HTTP/2 connections to nodes, and one gRPC call per invocation over them. */
#include "server/route/peer_link.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/err.h"
#include "base/log.h"
#include "net/grpc_client.h"
#include "net/race.h"
#include "server/route/hop.h"

enum {
    LINK_CLIENTS_MAX = 4,
    LINK_HANDSHAKE_MS = 3000,
    LINK_IDLE_MS = 60 * 1000,
    LINK_SWEEP_MS = 10 * 1000,
    LINK_BACKOFF_MIN_MS = 100,
    LINK_BACKOFF_MAX_MS = 5000,
    LINK_ENVELOPE_BYTES = 64 * 1024, /* of an answer's message beside its body */
    SCRATCH_BLOCK_BYTES = 16 * 1024,
};

struct peer_call;

enum client_state { CLIENT_DIALLING, CLIENT_OPEN, CLIENT_LEAVING };

/* One connection of a link. */
struct link_client {
    struct peer_link *link;
    struct http_client *http;
    struct link_client *next, **prev;
    enum client_state state;
    int address; /* in the race, while dialling */
    unsigned calls;
    uint64_t idle_since_ms;
};

struct peer_link {
    struct peer_links *owner;
    struct peer_link *next, **prev;
    char id[65], name[64];
    uint64_t incarnation;
    struct addr addresses[ROUTE_ADDRESSES_MAX];
    unsigned address_count;
    struct race race;   /* the round over all addresses that is under way, or was the last */
    struct addr worked; /* where it was reached last; size 0: not yet */
    struct link_client *clients;
    struct peer_call *first_pending, **last_pending;
    struct loop_timer stagger;
    unsigned failures;
    uint64_t down_until_ms;
    bool current; /* the table still has it */
};

struct peer_links {
    struct loop *loop;
    struct peer_links_options options;
    struct route_table *table;
    struct peer_link **by_node; /* as many as the table's nodes; NULL for ours */
    struct peer_link *links;
    struct arena *scratch;  /* answers are unpacked here */
    uint64_t down_until_ms; /* the latest of all links' */
    struct loop_timer sweep;
    struct loop_deferred closed;
    bool closing;
    loop_fn done;
    void *done_arg;
};

/* One invocation on its way over a link; in its arena. */
struct peer_call {
    struct peer_links *owner;
    struct invocation *inv;
    const struct attempt_events *events;
    struct grpc_client_call *grpc; /* NULL while pending */
    struct link_client *client;
    struct peer_call *next, **prev; /* pending */
    struct peer_link *pending_at;
    struct slice request;
    size_t body_bytes;
    bool headed, ended, cancelled, paused;
    char node[64];
    /* An end that comes later. */
    struct loop_deferred later;
    int end_status;
    bool end_refused;
    const char *end_message;
};

/* ---- ends ---- */

static void call_end_later_run(void *arg)
{
    struct peer_call *c = arg;
    c->events->on_end(c->inv, c->end_status, c->end_message, ATTEMPT_UNSEEN, c->end_refused, -1);
}

/* Ends a call that no peer has seen. `message` is static or lives in the arena. */
static void call_end_later(struct peer_call *c, int status, const char *message, bool refused)
{
    c->end_status = status;
    c->end_message = message;
    c->end_refused = refused;
    loop_defer(c->owner->loop, &c->later, call_end_later_run, c);
}

static const char *call_sentence(const struct peer_call *c, const char *before, const char *after)
{
    const char *text = arena_printf(c->inv->arena, "%s%s%s", before, c->node, after);
    return text ? text : "out of memory";
}

/* ---- pending calls ---- */

static void pending_add(struct peer_link *link, struct peer_call *c)
{
    c->pending_at = link;
    c->next = NULL;
    c->prev = link->last_pending;
    *link->last_pending = c;
    link->last_pending = &c->next;
}

static void pending_remove(struct peer_call *c)
{
    *c->prev = c->next;
    if (c->next)
        c->next->prev = c->prev;
    else
        c->pending_at->last_pending = c->prev;
    c->pending_at = NULL;
}

static void pending_fail(struct peer_link *link, int status, const char *after, bool refused)
{
    while (link->first_pending) {
        struct peer_call *c = link->first_pending;
        pending_remove(c);
        call_end_later(c, status, call_sentence(c, "the node ", after), refused);
    }
}

/* ---- answers ---- */

static void call_cancel_for(struct peer_call *c, const char *message)
{
    c->end_status = GRPC_INTERNAL;
    c->end_message = message;
    grpc_client_call_cancel(c->grpc);
}

static void call_head(struct peer_call *c, const struct hop_answer *answer)
{
    c->headed = true;
    struct invocation_answer out = {
        .status = answer->status, .content_type = answer->content_type, .function_error = answer->function_error, .release = answer->release};
    c->events->on_head(c->inv, &out);
}

static void call_data(struct peer_call *c, struct slice body)
{
    c->body_bytes += body.size;
    if (c->body_bytes > c->owner->options.max_answer)
        call_cancel_for(c, call_sentence(c, "the answer from the node ", " is over the limit"));
    else if (body.size > 0)
        c->events->on_data(c->inv, body);
}

/* Where a message is read into; what it held before is gone. */
static struct arena *scratch_fresh(struct peer_call *c)
{
    arena_reset(c->owner->scratch);
    return c->owner->scratch;
}

static int call_receive_whole(struct peer_call *c, struct slice message)
{
    struct hop_answer answer;
    if (c->headed || hop_unpack_response(scratch_fresh(c), message, &answer) != 0)
        return GRID_EPROTO;
    call_head(c, &answer);
    call_data(c, answer.body);
    return 0;
}

static int call_receive_piece(struct peer_call *c, struct slice message)
{
    struct hop_answer answer;
    enum hop_part part;
    if (hop_unpack_chunk(scratch_fresh(c), message, &part, &answer) != 0 || c->ended || (part == HOP_HEAD) == c->headed)
        return GRID_EPROTO;
    if (part == HOP_HEAD)
        call_head(c, &answer);
    else if (part == HOP_DATA)
        call_data(c, answer.body);
    else
        c->ended = true;
    return 0;
}

static void on_message(void *ctx, struct grpc_client_call *grpc, struct slice message)
{
    struct peer_call *c = ctx;
    (void) grpc;
    if (c->cancelled || c->end_message)
        return;
    int err = c->inv->stream ? call_receive_piece(c, message) : call_receive_whole(c, message);
    if (err)
        call_cancel_for(c, call_sentence(c, "the node ", " answered something malformed"));
}

static enum attempt_seen seen_of(const struct peer_call *c, enum http_sent sent, struct slice trailer)
{
    if (c->headed)
        return ATTEMPT_ANSWERED;
    if (sent == HTTP_NOT_SENT)
        return ATTEMPT_UNPROCESSED;
    return slice_equal(trailer, SLICE("0")) ? ATTEMPT_UNSEEN : ATTEMPT_UNKNOWN;
}

/* The status of a call whose link broke is nothing that the peer said. */
static bool link_broke(const struct peer_call *c, int status, enum http_sent sent)
{
    return status != GRPC_OK && !c->cancelled && (sent != HTTP_ANSWERED || status == GRPC_CANCELLED);
}

static void client_call_done(struct link_client *client);

static void on_call_close(void *ctx, struct grpc_client_call *grpc, int status, struct slice message, enum http_sent sent,
                          int64_t pushback_ms)
{
    struct peer_call *c = ctx;
    enum attempt_seen seen = seen_of(c, sent, grpc_client_call_trailer(grpc, "grid-seen"));
    struct slice load = grpc_client_call_trailer(grpc, "grid-load");
    const char *text = arena_str(c->inv->arena, message);
    client_call_done(c->client);
    if (load.size > 0 && c->events->on_load)
        c->events->on_load(c->inv, load);
    if (c->end_message && !c->cancelled) {
        status = c->end_status;
        text = c->end_message;
        seen = ATTEMPT_ANSWERED;
    } else if (link_broke(c, status, sent)) {
        status = GRPC_UNAVAILABLE;
        text = call_sentence(c, "the connection to the node ", " was lost before it had answered");
    } else if (status == GRPC_OK && !(c->inv->stream ? c->ended : c->headed)) {
        status = GRPC_INTERNAL;
        text = call_sentence(c, "the node ", " ended the call without an answer");
    }
    c->events->on_end(c->inv, status, text ? text : "", seen, false, pushback_ms);
}

static const struct grpc_client_events call_events = {.on_message = on_message, .on_close = on_call_close};

/* ---- producing ---- */

static void producer_cancel(struct invocation *inv)
{
    struct peer_call *c = inv->producer_ctx;
    c->cancelled = true;
    if (c->pending_at) {
        pending_remove(c);
        call_end_later(c, GRPC_CANCELLED, "cancelled", false);
    } else if (c->grpc) {
        grpc_client_call_cancel(c->grpc);
    }
}

static void producer_pause(struct invocation *inv)
{
    struct peer_call *c = inv->producer_ctx;
    c->paused = true;
    if (c->grpc)
        grpc_client_call_pause(c->grpc);
}

static void producer_resume(struct invocation *inv)
{
    struct peer_call *c = inv->producer_ctx;
    c->paused = false;
    if (c->grpc)
        grpc_client_call_resume(c->grpc);
}

static const struct invocation_producer producer = {producer_cancel, producer_pause, producer_resume};

/* ---- connections ---- */

static void link_dial_next(struct peer_link *link);
static void link_connect(struct peer_link *link);
static void link_start_pending(struct peer_link *link, struct link_client *client);

static void links_check_closed(struct peer_links *p);

static void link_free_if_done(struct peer_link *link)
{
    if (link->current || link->clients)
        return;
    struct peer_links *p = link->owner;
    loop_timer_stop(&link->stagger);
    *link->prev = link->next;
    if (link->next)
        link->next->prev = link->prev;
    free(link);
    links_check_closed(p);
}

static unsigned link_count(const struct peer_link *link, enum client_state state)
{
    unsigned count = 0;
    for (const struct link_client *c = link->clients; c; c = c->next)
        count += c->state == state;
    return count;
}

static uint64_t link_backoff_ms(const struct peer_link *link)
{
    unsigned doublings = link->failures < 6 ? link->failures : 6;
    uint64_t bound = (uint64_t) LINK_BACKOFF_MIN_MS << doublings;
    if (bound > LINK_BACKOFF_MAX_MS)
        bound = LINK_BACKOFF_MAX_MS;
    return bound / 2 + arc4random_uniform((uint32_t) bound / 2 + 1);
}

/* No address answered. */
static void link_failed(struct peer_link *link)
{
    struct peer_links *p = link->owner;
    link->down_until_ms = loop_now_ms(p->loop) + link_backoff_ms(link);
    if (p->down_until_ms < link->down_until_ms)
        p->down_until_ms = link->down_until_ms;
    link->failures++;
    loop_timer_stop(&link->stagger);
    pending_fail(link, GRPC_UNAVAILABLE, " cannot be reached", true);
    if (link->current && p->options.on_failed)
        p->options.on_failed(p->options.ctx, link->id);
}

static bool identity_right(const struct peer_link *link, struct http_client *http)
{
    const struct tls_peer *peer = conn_tls_peer(http_client_conn(http));
    if (!peer)
        return link->owner->options.in_clear;
    return strcmp(peer->id, link->id) == 0 && (peer->roles & TLS_ROLE_NODE) != 0;
}

static void client_leave(struct link_client *client)
{
    if (client->state == CLIENT_LEAVING)
        return;
    client->state = CLIENT_LEAVING;
    http_client_finish(client->http);
}

static void on_client_open(void *ctx, struct http_client *http)
{
    struct link_client *client = ctx;
    struct peer_link *link = client->link;
    if (client->state != CLIENT_DIALLING)
        return;
    if (!identity_right(link, http)) { /* behind NAT that is to be expected: private addresses are anybody's */
        log_line(link->address_count > 0 && addr_is_member(&link->addresses[link->address_count - 1]) ? LOG_DEBUG : LOG_WARN, "an address of a node is answered by another", LOGF_STR("member", link->name));
        http_client_close(http);
        return;
    }
    client->state = CLIENT_OPEN;
    client->idle_since_ms = loop_now_ms(link->owner->loop);
    link->worked = link->race.at[client->address];
    link->failures = 0;
    loop_timer_stop(&link->stagger);
    for (struct link_client *other = link->clients; other; other = other->next)
        if (other->state == CLIENT_DIALLING) {
            other->state = CLIENT_LEAVING;
            http_client_close(other->http);
        }
    link_start_pending(link, client);
}

static void on_client_draining(void *ctx, struct http_client *http)
{
    struct link_client *client = ctx;
    (void) http;
    if (client->state == CLIENT_OPEN)
        client_leave(client);
}

static void on_client_close(void *ctx, struct http_client *http, int err)
{
    struct link_client *client = ctx;
    struct peer_link *link = client->link;
    (void) http;
    (void) err;
    bool dialling = client->state == CLIENT_DIALLING;
    if (dialling)
        race_failed(&link->race, client->address);
    *client->prev = client->next;
    if (client->next)
        client->next->prev = client->prev;
    free(client);
    if (link->current && dialling)
        link_dial_next(link);
    else if (link->current && link->first_pending)
        link_connect(link);
    link_free_if_done(link);
}

static const struct http_client_events client_events = {on_client_open, on_client_draining, on_client_close};

static int link_dial(struct peer_link *link, int address)
{
    struct peer_links *p = link->owner;
    struct link_client *client = calloc(1, sizeof *client);
    if (!client)
        return GRID_ENOMEM;
    struct conn_options options = {.tls = p->options.in_clear ? NULL : p->table->peer_tls,
                                   .handshake_timeout_ms = LINK_HANDSHAKE_MS};
    client->link = link;
    client->address = address;
    int err = http2_client_dial(p->loop, &link->race.at[address], &options, &client_events, client, &client->http);
    if (err) {
        free(client);
        return err;
    }
    client->next = link->clients;
    client->prev = &link->clients;
    if (client->next)
        client->next->prev = &client->next;
    link->clients = client;
    return 0;
}

static void on_stagger(void *arg)
{
    link_dial_next(arg);
}

/* Dials the next address that can be dialled; when there is none and nothing is under way the link has failed. */
static void link_dial_next(struct peer_link *link)
{
    struct peer_links *p = link->owner;
    uint64_t wait;
    for (int next; (next = race_next(&link->race, loop_now_ms(p->loop), &wait)) >= 0;)
        if (link_dial(link, next) != 0)
            race_failed(&link->race, next);
    if (wait != UINT64_MAX)
        loop_timer_start(p->loop, &link->stagger, wait, on_stagger, link);
    if (link_count(link, CLIENT_DIALLING) == 0 && link->first_pending)
        link_failed(link);
}

/* Begins a round over all addresses, unless one is under way. */
static void link_connect(struct peer_link *link)
{
    if (link_count(link, CLIENT_DIALLING) > 0)
        return;
    link->race = (struct race){0};
    for (unsigned i = 0; i < link->address_count; i++)
        race_add(&link->race, &link->addresses[i]);
    race_sort(&link->race);
    if (link->worked.size != 0)
        race_prefer(&link->race, &link->worked);
    link_dial_next(link);
}

/* ---- calls on connections ---- */

static void client_call_done(struct link_client *client)
{
    if (--client->calls == 0)
        client->idle_since_ms = loop_now_ms(client->link->owner->loop);
}

static uint64_t time_left_ms(const struct peer_links *p, const struct invocation *inv)
{
    uint64_t now = loop_now_ms(p->loop);
    return inv->deadline_ms > now ? inv->deadline_ms - now : 1;
}

/* 0, or what grpc_client_call_start says. */
static int call_start(struct peer_call *c, struct link_client *client)
{
    struct peer_links *p = c->owner;
    struct http_header metadata[HOP_METADATA_MAX];
    size_t count = hop_metadata(c->inv, slice_of_str(p->table->nodes[0].name), metadata);
    const char *path = c->inv->stream ? "/grid.v1.Invoke/CallStream" : "/grid.v1.Invoke/Call";
    int err = grpc_client_call_start(client->http, path, time_left_ms(p, c->inv), metadata, count, c->request, false,
                                     p->options.max_answer + LINK_ENVELOPE_BYTES, &call_events, c, &c->grpc);
    if (err)
        return err;
    c->client = client;
    client->calls++;
    if (c->paused)
        grpc_client_call_pause(c->grpc);
    return 0;
}

/* Tries the open connections; GRID_EAGAIN when none has room. */
static int link_start(struct peer_link *link, struct peer_call *c)
{
    for (struct link_client *client = link->clients; client; client = client->next) {
        if (client->state != CLIENT_OPEN)
            continue;
        int err = call_start(c, client);
        if (err == 0 || err == GRID_ENOMEM)
            return err;
    }
    return GRID_EAGAIN;
}

static void link_start_pending(struct peer_link *link, struct link_client *client)
{
    while (link->first_pending) {
        struct peer_call *c = link->first_pending;
        int err = call_start(c, client);
        if (err == GRID_EAGAIN || err == GRID_ECLOSED)
            break;
        pending_remove(c);
        if (err)
            call_end_later(c, GRPC_RESOURCE_EXHAUSTED, "out of memory", false);
    }
    if (!link->first_pending)
        return;
    if (link_count(link, CLIENT_OPEN) < LINK_CLIENTS_MAX)
        link_connect(link);
    else
        pending_fail(link, GRPC_RESOURCE_EXHAUSTED, " has as many calls in flight as it allows", false);
}

static const char *link_fault(const struct peer_links *p, const struct peer_link *link)
{
    if (!p->table->peer_tls && !p->options.in_clear)
        return " cannot be called: this node has no certificate";
    if (loop_now_ms(p->loop) < link->down_until_ms || link->address_count == 0)
        return " cannot be reached";
    return NULL;
}

/* Puts a call on its way, now or when a connection has opened. */
static void link_take(struct peer_link *link, struct peer_call *c)
{
    int err = link_start(link, c);
    const char *fault = err == GRID_EAGAIN ? link_fault(link->owner, link) : NULL;
    if (err == GRID_ENOMEM)
        call_end_later(c, GRPC_RESOURCE_EXHAUSTED, "out of memory", false);
    else if (fault)
        call_end_later(c, GRPC_UNAVAILABLE, call_sentence(c, "the node ", fault), true);
    else if (err == GRID_EAGAIN && link_count(link, CLIENT_OPEN) >= LINK_CLIENTS_MAX)
        call_end_later(c, GRPC_RESOURCE_EXHAUSTED, call_sentence(c, "the node ", " has as many calls in flight as it allows"),
                       false);
    else if (err == GRID_EAGAIN) {
        pending_add(link, c);
        link_connect(link);
    }
}

int peer_links_send(struct peer_links *p, unsigned node, struct invocation *inv, const struct attempt_events *events)
{
    struct peer_call *c = arena_calloc(inv->arena, 1, sizeof *c);
    if (!c || hop_pack_request(inv, &c->request) != 0)
        return GRID_ENOMEM;
    c->owner = p;
    c->inv = inv;
    c->events = events;
    snprintf(c->node, sizeof c->node, "%s", p->table->nodes[node].name);
    inv->producer = &producer;
    inv->producer_ctx = c;
    if (p->closing)
        call_end_later(c, GRPC_UNAVAILABLE, "this node is shutting down", false);
    else
        link_take(p->by_node[node], c);
    return 0;
}

/* ---- the set of links ---- */

static void link_abandon(struct peer_link *link, const char *why)
{
    link->current = false;
    loop_timer_stop(&link->stagger);
    pending_fail(link, GRPC_UNAVAILABLE, why, true);
    for (struct link_client *client = link->clients; client; client = client->next) {
        client->state = CLIENT_LEAVING;
        http_client_close(client->http);
    }
    link_free_if_done(link);
}

static void on_sweep(void *arg)
{
    struct peer_links *p = arg;
    uint64_t now = loop_now_ms(p->loop);
    for (struct peer_link *link = p->links; link; link = link->next)
        for (struct link_client *client = link->clients; client; client = client->next)
            if (client->state == CLIENT_OPEN && client->calls == 0 && now - client->idle_since_ms >= LINK_IDLE_MS)
                client_leave(client);
    loop_timer_start(p->loop, &p->sweep, LINK_SWEEP_MS, on_sweep, p);
}

int peer_links_create(struct loop *l, const struct peer_links_options *options, struct peer_links **out)
{
    struct peer_links *p = calloc(1, sizeof *p);
    struct arena *scratch = arena_create(SCRATCH_BLOCK_BYTES, 0);
    if (!p || !scratch) {
        free(p);
        arena_destroy(scratch);
        return GRID_ENOMEM;
    }
    p->loop = l;
    p->options = *options;
    p->scratch = scratch;
    loop_timer_start(l, &p->sweep, LINK_SWEEP_MS, on_sweep, p);
    *out = p;
    return 0;
}

static void links_closed(void *arg)
{
    struct peer_links *p = arg;
    loop_fn done = p->done;
    void *done_arg = p->done_arg;
    route_table_unref(p->table);
    arena_destroy(p->scratch);
    free(p->by_node);
    free(p);
    done(done_arg);
}

static void links_check_closed(struct peer_links *p)
{
    if (p->closing && !p->links)
        loop_defer(p->loop, &p->closed, links_closed, p);
}

void peer_links_close(struct peer_links *p, loop_fn done, void *arg)
{
    p->done = done;
    p->done_arg = arg;
    p->closing = true;
    loop_timer_stop(&p->sweep);
    struct peer_link *next;
    for (struct peer_link *link = p->links; link; link = next) {
        next = link->next;
        link_abandon(link, " cannot be called: this node is shutting down");
    }
    links_check_closed(p);
}

static struct peer_link *link_create(struct peer_links *p)
{
    struct peer_link *link = calloc(1, sizeof *link);
    if (!link)
        return NULL;
    link->owner = p;
    link->last_pending = &link->first_pending;
    link->next = p->links;
    link->prev = &p->links;
    if (link->next)
        link->next->prev = &link->next;
    p->links = link;
    return link;
}

static struct peer_link *link_find(struct peer_links *p, const struct route_node *node)
{
    for (struct peer_link *link = p->links; link; link = link->next)
        if (link->current && link->incarnation == node->incarnation && strcmp(link->id, node->id) == 0)
            return link;
    return NULL;
}

static bool addresses_changed(const struct peer_link *link, const struct route_node *node)
{
    if (link->address_count != node->address_count)
        return true;
    for (unsigned i = 0; i < node->address_count; i++)
        if (!addr_equal(&link->addresses[i], &node->addresses[i]))
            return true;
    return false;
}

/* New addresses are tried at once, down or not. */
static void link_update(struct peer_link *link, const struct route_node *node)
{
    link->current = true;
    memcpy(link->id, node->id, sizeof link->id);
    memcpy(link->name, node->name, sizeof link->name);
    link->incarnation = node->incarnation;
    if (!addresses_changed(link, node))
        return;
    memcpy(link->addresses, node->addresses, sizeof link->addresses);
    link->address_count = node->address_count;
    link->worked.size = 0;
    link->down_until_ms = 0;
}

static bool table_has(const struct peer_links *p, const struct peer_link *link)
{
    for (size_t i = 1; i < p->table->node_count; i++)
        if (p->by_node[i] == link)
            return true;
    return false;
}

static void links_drop_departed(struct peer_links *p)
{
    struct peer_link *next;
    for (struct peer_link *link = p->links; link; link = next) {
        next = link->next;
        if (link->current && !table_has(p, link))
            link_abandon(link, " is gone");
    }
}

void peer_links_publish(struct peer_links *p, struct route_table *table)
{
    struct peer_link **by_node = calloc(table->node_count + 1, sizeof(struct peer_link *));
    if (!by_node)
        abort(); /* a worker that cannot take a table in would send calls to nodes that are gone */
    for (size_t i = 1; i < table->node_count; i++) {
        struct peer_link *link = link_find(p, &table->nodes[i]);
        if (!link && !(link = link_create(p)))
            abort();
        link_update(link, &table->nodes[i]);
        by_node[i] = link;
    }
    free(p->by_node);
    route_table_unref(p->table);
    p->by_node = by_node;
    p->table = route_table_ref(table);
    links_drop_departed(p);
}

static bool is_named(const struct link_client *client, peer_whom_fn whom, const void *arg)
{
    const struct tls_peer *peer = client->state == CLIENT_DIALLING ? NULL : conn_tls_peer(http_client_conn(client->http));
    return peer && whom(arg, peer);
}

void peer_links_close_some(struct peer_links *p, peer_whom_fn whom, const void *arg)
{
    for (struct peer_link *link = p->links; link; link = link->next)
        for (struct link_client *client = link->clients; client; client = client->next)
            if (is_named(client, whom, arg)) {
                client->state = CLIENT_LEAVING;
                http_client_close(client->http);
            }
}

void peer_links_leave_some(struct peer_links *p, peer_whom_fn whom, const void *arg)
{
    for (struct peer_link *link = p->links; link; link = link->next)
        for (struct link_client *client = link->clients; client; client = client->next)
            if (client->state == CLIENT_OPEN && is_named(client, whom, arg)) {
                client_leave(client);
                if (addr_is_member(&link->worked)) /* there may be a better way by now */
                    link->worked.size = 0;
            }
}

uint64_t peer_links_down(const struct peer_links *p)
{
    uint64_t mask = 0, now = loop_now_ms(p->loop);
    if (p->down_until_ms <= now)
        return 0;
    for (size_t i = 1; p->table && i < p->table->node_count && i < 64; i++)
        if (p->by_node[i]->down_until_ms > now)
            mask |= (uint64_t) 1 << i;
    return mask;
}
