/* What the grid has decided about trust, on this node. A timer looks twice a second at what is still to be done, by the state alone, so that whatever is lost on the way is
 * done again: get a certificate of the newest authority, hand keys and password to those who shall have them, go on with a rotation. */
#include "server/node_ledger.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/err.h"
#include "base/log.h"
#include "server/node_discover.h"
#include "server/node_join.h"
#include "server/node_ledger_internal.h"
#include "server/node_logs.h"
#include "server/node_standing.h"
#include "server/node_tunnel.h"
#include "server/node_verdict.h"

enum { SOON_MS = 20, LISTEN_MS = 5000, FIRST_LOOK_MS = 200, LINES_PER_S = 1, LINES_BURST = 10 };

int64_t node_ledger_now_s(void)
{
    return (int64_t) time(NULL);
}

struct node_trust_work *node_ledger_work_of(struct node *n)
{
    if (n->trust_work)
        return n->trust_work;
    n->trust_work = calloc(1, sizeof *n->trust_work);
    if (!n->trust_work)
        abort(); /* without it a node could not say which authority it goes by */
    token_bucket_init(&n->trust_work->lines, LINES_PER_S, LINES_BURST, 0);
    return n->trust_work;
}

/* ---- whether anybody has told ---- */

bool node_ledger_has_heard(const struct node *n)
{
    return !n->trust_work || n->trust_work->heard;
}

void node_ledger_listen(struct node *n)
{
    struct node_trust_work *w = node_ledger_work_of(n);
    w->heard = n->standing.provisional || n->options->join_count + n->options->seek_count == 0;
    w->listens_until_ms = loop_now_ms(n->loop) + LISTEN_MS;
}

static void heard(struct node *n)
{
    node_ledger_work_of(n)->heard = true;
    node_gossip_heard(n);
}

/* It goes on alone, as it does when nobody of --join is there. */
static void listen_look(struct node *n)
{
    struct node_trust_work *w = node_ledger_work_of(n);
    if (w->heard || loop_now_ms(n->loop) < w->listens_until_ms)
        return;
    log_line(LOG_WARN, "no node of --join has told this one what the grid has decided: it goes by what it knows");
    heard(n);
}

/* ---- what a replacement takes away ---- */

/* The authority that was gone by, and the one that was to follow it, if any: in phase use members have certificates of that one already. */
struct replaced {
    char id[TRUST_ID_SIZE], next_id[TRUST_ID_SIZE];
    struct buf der, next_der;
};

static void replaced_note(struct replaced *r, const struct node *n)
{
    *r = (struct replaced){0};
    memcpy(r->id, authority_id(n->authority), sizeof r->id);
    buf_init(&r->der, 0);
    buf_init(&r->next_der, 0);
    buf_append(&r->der, authority_certificate_der(n->authority));
    if (!n->next)
        return;
    memcpy(r->next_id, authority_id(n->next), sizeof r->next_id);
    buf_append(&r->next_der, authority_certificate_der(n->next));
}

static void replaced_dispose(struct replaced *r)
{
    buf_dispose(&r->der);
    buf_dispose(&r->next_der);
}

/* ---- pins: who may go on for a while with certificates of an authority that was replaced at once ---- */

/* All members known now, this one too, and whoever has gone in order: he may come back. */
static void pin_members(struct node *n, const struct replaced *before, int64_t until_s)
{
    struct standing *s = &n->standing;
    int err = until_s > node_ledger_now_s() && before->der.size > 0 ? standing_pin(s, buf_slice(&before->der), buf_slice(&before->next_der), until_s) : GRID_ENOENT;
    for (size_t i = 0; err == 0 && i < node_member_count(n); i++) {
        const struct member *m = node_member(n, i);
        if (m->state != MEMBER_EVICTED)
            err = standing_pin_id(s, m->id);
    }
    if (err == GRID_ENOENT || err == GRID_ENOMEM)
        standing_unpin(s);
}

static void pins_look(struct node *n)
{
    if (n->standing.pins.count == 0 || node_ledger_now_s() < n->standing.pins.until_s)
        return;
    standing_unpin(&n->standing);
    node_ledger_changed(n);
}

/* ---- changes ---- */

static void on_cut(void *arg)
{
    struct node *n = arg;
    if (!n->releases || !n->verdict)
        return;
    if (n->control_server)
        http_server_close_some(n->control_server, verdict_refuses, n->verdict);
    if (n->gossip)
        gossip_cut(n->gossip, verdict_refuses, n->verdict);
    node_tunnel_cut(n, verdict_refuses, n->verdict);
    node_logs_cut(n, verdict_refuses, n->verdict);
    releases_close_some(n->releases, verdict_refuses, n->verdict);
}

/* The control loop's own connections; the workers cut theirs. */
static void cut_connections(struct node *n)
{
    if (n->control_server)
        http_server_close_some(n->control_server, verdict_evicts, n->verdict);
    if (n->gossip)
        gossip_cut(n->gossip, verdict_evicts, n->verdict);
    node_tunnel_cut(n, verdict_evicts, n->verdict);
    node_logs_cut(n, verdict_evicts, n->verdict);
    if (n->releases)
        releases_close_some(n->releases, verdict_evicts, n->verdict);
    loop_timer_start(n->loop, &node_ledger_work_of(n)->cut, WORKER_CUT_MS, on_cut, n);
}

static void note_root(struct node *n, struct replaced *before)
{
    const struct ledger_authority *root = ledger_root(n->ledger);
    if (strcmp(before->next_id, root->id) == 0)
        buf_clear(&before->next_der);
    else if (before->next_id[0])
        standing_add_former(&n->standing, before->next_id);
    standing_add_former(&n->standing, before->id);
    n->standing.provisional = false;
    pin_members(n, before, root->until_s > root->when_s ? node_ledger_now_s() + (root->until_s - root->when_s) : 0); /* by this node's clock */
    log_line(LOG_WARN, "the grid's authority has been replaced", LOGF_STR("before", before->id), LOGF_STR("authority", root->id));
}

/* A restart would go by what was kept before, so it is tried until it is done. */
static void keep(struct node *n)
{
    struct node_trust_work *w = node_ledger_work_of(n);
    char why[NODE_WHY_MAX];
    int err = node_standing_keep(n, why);
    if (err != 0 && !w->unkept)
        log_line(LOG_ERROR, "what the grid has decided is in force here, but not kept on disk: it is tried again until it is", LOGF_STR("why", why));
    else if (err == 0 && w->unkept)
        log_line(LOG_INFO, "what the grid has decided is kept on disk now");
    w->unkept = err != 0;
}

/* Of an epoch that is over: nobody can open by it any more. */
static void forget_dead_password(struct node *n)
{
    struct node_standing now;
    node_trust_standing(n, &now);
    if (now.door_open)
        return;
    standing_forget_password(&n->standing);
    node_join_forget_password(n);
}

void node_ledger_changed(struct node *n)
{
    char why[NODE_WHY_MAX];
    struct replaced before;
    replaced_note(&before, n);
    int err = node_standing_load_authorities(n, why);
    if (err == 0 && strcmp(before.id, authority_id(n->authority)) != 0)
        note_root(n, &before);
    replaced_dispose(&before);
    if (err == 0)
        err = node_verdict_remake(n, why);
    if (err != 0) {
        log_line(LOG_ERROR, "what the grid has decided could not be put in force", LOGF_STR("why", why));
        return;
    }
    forget_dead_password(n);
    keep(n);
    node_trust_spread(n);
    if (n->loop && n->workers)
        cut_connections(n);
}

/* It answered at a place that the operator named; at one that is remembered, or found, there may be somebody whom the grid has evicted meanwhile. */
static bool is_operators(const struct node *n, const struct member *m)
{
    size_t at = 0;
    for (const char *address; (address = gossip_next_seed(n->gossip, m->id, &at));)
        if (node_discover_is_operators(n, address))
            return true;
    return false;
}

/* Whoever this node was sent to has told all that it holds. */
static void note_heard(struct node *n, const struct member *from)
{
    if (!node_ledger_work_of(n)->heard && is_operators(n, from))
        heard(n);
}

static void note_evictions(const struct node *n, size_t before)
{
    if (ledger_tombstone_count(n->ledger) > before && ledger_is_evicted(n->ledger, node_id(n)))
        log_line(LOG_ERROR, "this node has been evicted from the grid: no member speaks with it any more");
}

static void say_changed(struct node *n, const struct member *from)
{
    log_line(LOG_INFO, "trust: the grid has decided", LOGF_STR("from", from->name), LOGF_STR("authority", ledger_root(n->ledger)->id),
             LOGF_INT("evicted", (int64_t) ledger_tombstone_count(n->ledger)));
}

static void say_refused(struct node *n, const struct member *from, const struct ledger_news *news, int err)
{
    if ((err == 0 && news->refused == 0) || !token_bucket_take(&node_ledger_work_of(n)->lines, 1, loop_now_ms(n->loop)))
        return;
    if (err != 0)
        log_line(LOG_WARN, "a member's ledger cannot be taken in", LOGF_STR("member", from->name), LOGF_ERR(err));
    else
        log_line(LOG_WARN, "a member's ledger has statements that do not hold: they are refused", LOGF_STR("member", from->name), LOGF_INT("refused", (int64_t) news->refused));
}

void node_ledger_receive(struct node *n, struct slice packed, const struct member *from)
{
    struct ledger_news news;
    if (!n->ledger)
        return;
    if (packed.size == 0) {
        note_heard(n, from);
        return;
    }
    size_t before = ledger_tombstone_count(n->ledger);
    int err = ledger_merge(n->ledger, packed, &news);
    bool whole = err == 0 && news.refused == 0 && news.stale == 0;
    say_refused(n, from, &news, err);
    if (news.changed) {
        node_ledger_changed(n);
        note_evictions(n, before);
        say_changed(n, from);
    }
    if (whole)
        note_heard(n, from);
}

/* ---- the timer ---- */

static void look(void *arg)
{
    struct node *n = arg;
    if (n->stopping)
        return;
    loop_timer_start(n->loop, &node_ledger_work_of(n)->timer, NODE_LEDGER_LOOK_MS, look, n);
    if (!n->ledger || !n->releases)
        return;
    if (node_ledger_work_of(n)->unkept)
        keep(n);
    listen_look(n);
    pins_look(n);
    node_evict_owed_look(n);
    node_evict_lost_look(n);
    node_evict_sign_look(n);
    node_rotate_witness_look(n);
    node_rotate_look(n);
    node_issuers_certificate_look(n);
    node_issuers_heirs_look(n);
}

void node_ledger_look_soon(struct node *n)
{
    if (n->trust_work && loop_timer_running(&n->trust_work->timer))
        loop_timer_start(n->loop, &n->trust_work->timer, SOON_MS, look, n);
}

void node_ledger_start(struct node *n)
{
    node_ledger_listen(n);
    if (n->ledger)
        node_trust_spread(n);
    loop_timer_start(n->loop, &node_ledger_work_of(n)->timer, FIRST_LOOK_MS, look, n);
}

void node_ledger_stop(struct node *n)
{
    if (!n->trust_work)
        return;
    loop_timer_stop(&n->trust_work->timer);
    loop_timer_stop(&n->trust_work->cut);
}

void node_ledger_free(struct node *n)
{
    if (!n->trust_work)
        return;
    map_destroy(n->trust_work->seen);
    free(n->trust_work);
    n->trust_work = NULL;
}
