/* Entries of the log that this node lacks, since it came late or was away, are asked of other nodes, one after the other: those that are kept, so that it can go back to
 * the same releases as the others and list them. Each is judged as one that was announced. What its release holds is fetched when it is gone back to.
 *
 * Nobody is asked before a member has announced an entry: by then this node has heard what the grid has decided, evictions too. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/log.h"
#include "net/grpc_client.h"
#include "net/h2_race.h"
#include "server/release/releases_internal.h"

#define PATH "/grid.v1.SyncChunk/History"

enum { ASK_MS = 20000, ENTRY_BYTES_MAX = RELEASE_CONFIG_MAX + RELEASE_CERTIFICATE_MAX + 8192 };

/* dialling -> asked -> closed */
struct history_ask {
    struct releases *releases;  /* NULL once nobody waits for it: only the connection's end is awaited */
    struct h2_race *race;       /* while dialling */
    struct http_client *client; /* from then on */
    struct loop *loop;
    struct tls_context *tls;
    struct loop_timer limit;
    char id[65];
    size_t entries, taken;
    bool answered;
    char why[TASK_ERROR_MAX]; /* an entry was refused; "": none */
};

static void look(void *arg);

static void look_after(struct releases *r, uint64_t delay_ms)
{
    loop_timer_start(r->options.loop, &r->history_timer, delay_ms, look, r);
}

static bool lacks(const struct releases *r)
{
    return release_keep_lacks(r->log, RELEASES_APP, &r->options.keep, loop_wall_ms());
}

/* ---- the end of one question ---- */

static void say(struct releases *r, const struct history_ask *ask)
{
    if (ask->taken > 0)
        log_line(LOG_INFO, "former releases were heard of", LOGF_STR("from", ask->id), LOGF_INT("releases", ask->taken));
    if (ask->why[0] && !r->history_said)
        log_line(LOG_INFO, "a former release that another node keeps does not count here, and is not gone back to from here", LOGF_STR("from", ask->id), LOGF_STR("why", ask->why));
    r->history_said = r->history_said || ask->why[0];
}

static void ask_free(struct history_ask *ask)
{
    loop_timer_stop(&ask->limit);
    free(ask);
}

/* The connection is gone. */
static void ask_over(void *arg)
{
    struct history_ask *ask = arg;
    struct releases *r = ask->releases;
    if (r) {
        r->history_ask = NULL;
        say(r, ask);
        if (ask->answered)
            history_turns_answered(&r->history_turns, ask->id);
        else
            history_turns_failed(&r->history_turns, ask->id, loop_now_ms(ask->loop));
        look_after(r, HISTORY_NEXT_MS);
    }
    ask_free(ask);
}

void releases_history_stop(struct releases *r)
{
    struct history_ask *ask = r->history_ask;
    loop_timer_stop(&r->history_timer);
    r->history_ask = NULL;
    if (!ask)
        return;
    ask->releases = NULL;
    if (ask->client) {
        http_client_close(ask->client);
    } else {
        h2_race_close(ask->race);
        ask_free(ask);
    }
}

void releases_history_close_some(struct releases *r, bool (*whom)(const void *arg, const struct tls_peer *peer), const void *arg)
{
    struct history_ask *ask = r->history_ask;
    const struct tls_peer *who = ask && ask->client ? conn_tls_peer(http_client_conn(ask->client)) : NULL;
    if (who && whom(arg, who))
        http_client_close(ask->client);
}

/* ---- the call ---- */

/* More than anybody keeps is no honest answer. */
static void on_message(void *ctx, struct grpc_client_call *call, struct slice message)
{
    struct history_ask *ask = ctx;
    bool is_taken = false;
    char why[TASK_ERROR_MAX];
    (void) call;
    if (!ask->releases)
        return;
    if (++ask->entries > RELEASE_KEPT)
        http_client_close(ask->client);
    else if (releases_take_former(ask->releases, message, &is_taken, why) != 0)
        memcpy(ask->why, why, sizeof why);
    else
        ask->taken += is_taken;
}

/* A node of an older version does not know the question. */
static void on_end(void *ctx, struct grpc_client_call *call, int status, struct slice message, enum http_sent sent, int64_t pushback_ms)
{
    struct history_ask *ask = ctx;
    (void) call, (void) message, (void) sent, (void) pushback_ms;
    ask->answered = (status == GRPC_OK && ask->entries <= RELEASE_KEPT) || status == GRPC_UNIMPLEMENTED;
    http_client_close(ask->client);
}

static const struct grpc_client_events CALL_EVENTS = {.on_message = on_message, .on_close = on_end};

static int ask_start(struct history_ask *ask)
{
    const struct releases *r = ask->releases;
    struct entry_key known[RELEASE_KEPT];
    struct grpc_client_call *call;
    struct buf packed;
    size_t count = 0;
    for (; count < RELEASE_KEPT && release_log_at(r->log, RELEASES_APP, count); count++)
        entry_key_set(&known[count], release_log_at(r->log, RELEASES_APP, count));
    buf_init(&packed, 0);
    int err = history_request_pack(known, count, &packed);
    if (err == 0)
        err = grpc_client_call_start(ask->client, PATH, ASK_MS, NULL, 0, buf_slice(&packed), false, ENTRY_BYTES_MAX, &CALL_EVENTS, ask, &call);
    buf_dispose(&packed);
    return err;
}

/* ---- the connection ---- */

static bool may_win(void *ctx, struct http_client *c, bool last)
{
    const struct history_ask *ask = ctx;
    const struct tls_peer *who = conn_tls_peer(http_client_conn(c));
    (void) last;
    return !ask->tls || (who && strcmp(who->id, ask->id) == 0 && (who->roles & TLS_ROLE_NODE));
}

static void on_open(void *ctx, struct http_client *c)
{
    struct history_ask *ask = ctx;
    ask->race = NULL;
    ask->client = c;
    if (ask_start(ask) != 0)
        http_client_close(c);
}

static void on_draining(void *ctx, struct http_client *c)
{
    (void) ctx, (void) c;
}

static void on_close(void *ctx, struct http_client *c, int err)
{
    (void) c, (void) err;
    ask_over(ctx);
}

static const struct h2_race_events RACE_EVENTS = {.may_win = may_win, .client = {on_open, on_draining, on_close}, .on_lost = ask_over};

static void on_limit(void *arg)
{
    struct history_ask *ask = arg;
    if (ask->client) {
        http_client_close(ask->client);
    } else {
        h2_race_close(ask->race);
        ask_over(ask);
    }
}

static int dial(struct history_ask *ask, const struct release_peer *at)
{
    const struct h2_race_options options = {.conn.tls = ask->tls};
    struct race addresses = {0};
    for (size_t i = 0; i < at->address_count; i++)
        race_add(&addresses, &at->addresses[i]);
    race_sort(&addresses);
    return h2_race_create(ask->loop, &addresses, &options, &RACE_EVENTS, ask, &ask->race);
}

static void ask_node(struct releases *r, const struct release_peer *at)
{
    struct history_ask *ask = calloc(1, sizeof *ask);
    if (!ask) {
        look_after(r, HISTORY_NEXT_MS);
        return;
    }
    *ask = (struct history_ask){.releases = r, .loop = r->options.loop, .tls = r->options.peer_tls};
    memcpy(ask->id, at->id, sizeof ask->id);
    r->history_ask = ask;
    if (dial(ask, at) != 0)
        ask_over(ask);
    else
        loop_timer_start(ask->loop, &ask->limit, ASK_MS, on_limit, ask);
}

/* ---- when, and whom ---- */

/* Who may be asked: the newest entry's publisher first, which knew the one before. */
static size_t find_nodes(struct releases *r, const struct release_entry *newest, struct release_peer found[RELEASE_PEERS_MAX], const char *ids[RELEASE_PEERS_MAX])
{
    char hex[OBJECT_ID_HEX + 1];
    object_id_to_hex(&newest->root, hex);
    size_t count = r->options.peers(r->options.ctx, hex, found);
    for (size_t i = 0; i < count; i++)
        if (slice_equal_str(newest->publisher, found[i].id)) {
            struct release_peer first = found[i];
            found[i] = found[0];
            found[0] = first;
        }
    for (size_t i = 0; i < count; i++)
        ids[i] = found[i].id;
    return count;
}

static void look(void *arg)
{
    static _Thread_local struct release_peer found[RELEASE_PEERS_MAX];
    struct releases *r = arg;
    const struct release_entry *newest = release_log_current(r->log, RELEASES_APP);
    const char *ids[RELEASE_PEERS_MAX];
    uint64_t wait_ms;
    if (r->closing || r->history_ask || !lacks(r))
        return;
    if (!entry_key_is(&r->history_of, newest)) {
        entry_key_set(&r->history_of, newest);
        r->history_turns = (struct history_turns){0};
        r->history_said = false;
    }
    size_t count = find_nodes(r, newest, found, ids);
    size_t next = history_turns_pick(&r->history_turns, ids, count, loop_now_ms(r->options.loop), &wait_ms);
    if (next < count)
        ask_node(r, &found[next]);
    else if (wait_ms != UINT64_MAX)
        look_after(r, wait_ms);
}

void releases_history_soon(struct releases *r)
{
    if (!r->closing && r->history_due && !r->history_ask && !loop_timer_running(&r->history_timer) && lacks(r))
        look_after(r, HISTORY_FIRST_MS);
}

/* ---- for others ---- */

static bool is_among(const struct entry_key *keys, size_t count, const struct release_entry *e)
{
    for (size_t i = 0; i < count; i++)
        if (entry_key_is(&keys[i], e))
            return true;
    return false;
}

static bool is_below(const struct release_entry *e, const struct entry_key *told)
{
    const struct release_entry last = {.sequence = told->sequence, .publisher = slice_of_str(told->publisher)};
    return told->sequence == 0 || release_entry_compare(e, &last) < 0;
}

bool releases_history_next(void *ctx, const struct entry_key *known, size_t count, struct entry_key *told, struct buf *packed)
{
    const struct releases *r = ctx;
    for (size_t i = 0; i < release_log_count(r->log, RELEASES_APP); i++) {
        const struct release_entry *e = release_log_at(r->log, RELEASES_APP, i);
        if (!is_below(e, told) || is_among(known, count, e) || !releases_is_of_grid(r, e))
            continue;
        entry_key_set(told, e);
        return release_entry_pack(e, packed) == 0;
    }
    return false;
}
