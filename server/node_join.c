/* The node's side of every exchange: who may come how often, what it says of its grid, whom it gives certificates, what it
 * installs. */
#include "server/node_join_internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/err.h"
#include "base/log.h"
#include "server/node_ledger.h"
#include "server/node_password.h"

/* ---- the password ---- */

struct stretch_job {
    struct node_join *join;
    struct buf plain; /* empty: --open */
    char grid[NODE_NAME_MAX + 1];
    uint8_t out[STRETCH_SIZE];
    int err;
};

static void stretch_work(void *arg)
{
    struct stretch_job *job = arg;
    job->err =
        job->plain.size > 0 ? stretch_password(buf_slice(&job->plain), job->grid, job->out) : stretch_open(job->grid, job->out);
}

/* The password that this node was started with, where the grid has set none since. */
static bool opens_now(const struct node *n)
{
    struct node_standing now;
    node_trust_standing(n, &now);
    return !now.founded || now.door_open;
}

static void stretch_done(void *arg)
{
    struct stretch_job *job = arg;
    struct node_join *s = job->join;
    if (job->err != 0)
        log_line(LOG_ERROR,
                 "the password cannot be stretched, which takes 128 MiB for a moment: nobody can join by it, free memory and "
                 "restart this node",
                 LOGF_ERR(job->err));
    else if (!s->closing && !s->has_password && opens_now(s->node))
        node_join_set_password(s->node, job->out);
    explicit_bzero(job->out, sizeof job->out);
    buf_dispose_wiped(&job->plain);
    free(job);
    if (!s->closing && s->has_password)
        join_dial_start(s);
}

static void stretch_start(struct node_join *s)
{
    struct stretch_job *job = calloc(1, sizeof *job);
    if (!job)
        return;
    job->join = s;
    job->plain = s->plain;
    buf_init(&s->plain, 0);
    snprintf(job->grid, sizeof job->grid, "%s", s->node->grid);
    if (loop_work(s->node->loop, stretch_work, stretch_done, job) != 0) {
        job->err = GRID_ENOMEM;
        stretch_done(job);
    }
}

bool node_join_is_under_way(const struct node *n)
{
    const struct node_join *s = n->join;
    return s && s->wanted && n->standing.provisional && (!s->has_password || s->at);
}

const uint8_t *node_join_password(const struct node *n)
{
    return n->join && n->join->has_password ? n->join->password : NULL;
}

void node_join_set_password(struct node *n, const uint8_t *stretched)
{
    memcpy(n->join->password, stretched, STRETCH_SIZE);
    n->join->has_password = true;
    if (n->gossip)
        node_gossip_update(n); /* an issuer's record says which password it knows */
}

void node_join_forget_password(struct node *n)
{
    if (!n->join || (!n->join->has_password && n->join->plain.size == 0))
        return;
    buf_dispose_wiped(&n->join->plain);
    explicit_bzero(n->join->password, sizeof n->join->password);
    n->join->has_password = false;
}

void node_join_anew(struct node *n)
{
    struct node_join *s = n->join;
    if (!s || s->closing)
        return;
    loop_timer_stop(&s->settle);
    s->shared = false;
    s->unsettled = 0;
    s->hold_until_ms = 0;
    s->granted_by[0] = '\0';
    join_dial_again(s);
}

bool node_join_wanted(const struct node *n)
{
    return n->join && n->join->wanted;
}

struct slice node_join_guest_certificate(const struct node *n)
{
    return buf_slice(&n->join->guest_certificate);
}

struct slice node_join_guest_key(const struct node *n)
{
    return key_private_der(n->join->guest_key);
}

/* ---- what this node brings ---- */

struct join_config join_terms(struct node_join *s, const char **addresses)
{
    const struct node *n = s->node;
    size_t count = node_certificate_names(n, addresses);
    return (struct join_config){
        .grid = n->grid, .password = s->password, .key = n->key, .name = n->name, .addresses = addresses, .address_count = count};
}

struct join_slot *join_slot_free(struct node_join *s)
{
    for (size_t i = 0; i < JOIN_SLOTS; i++)
        if (!s->slots[i].exchange)
            return &s->slots[i];
    return NULL;
}

static struct join_slot *slot_of(struct node_join *s, const struct join_exchange *x)
{
    for (size_t i = 0; i < JOIN_SLOTS; i++)
        if (s->slots[i].exchange == x)
            return &s->slots[i];
    return NULL;
}

static bool is_proven(const struct join_exchange *x)
{
    return join_exchange_core(x) && join_is_proven(join_exchange_core(x));
}

static bool is_issuer(const struct member *m)
{
    for (size_t i = 0; i < m->capability_count; i++)
        if (strcmp(m->capabilities[i], NODE_CAPABILITY_ISSUER) == 0)
            return true;
    return false;
}

/* Where issuers are reached: the one that let this node in, and those of which gossip tells. */
static size_t issuer_addresses(const struct node *n, const char *out[JOIN_ADDRESSES_MAX])
{
    size_t count = 0;
    if (n->join->granted_by[0])
        out[count++] = n->join->granted_by;
    for (size_t i = 1; i < node_member_count(n) && count < JOIN_ADDRESSES_MAX; i++) {
        const struct member *m = node_member(n, i);
        if (is_issuer(m) && member_routable(m) && m->address_count > 0)
            out[count++] = m->addresses[0];
    }
    return count;
}

/* ---- decisions ---- */

static void on_held_late(void *arg)
{
    struct node_join *s = arg;
    uint64_t wait_ms;
    for (struct join_exchange *x; (x = join_held_late(&s->held, loop_now_ms(s->node->loop), &wait_ms));)
        join_exchange_end(x, "it has proven that it knows the password, and did not go on");
    if (wait_ms != UINT64_MAX)
        loop_timer_start(s->node->loop, &s->held_timer, wait_ms, on_held_late, s);
}

/* Who came has proven that he knows the password. False: there are enough of them under way. */
static bool hold(struct node_join *s, struct join_exchange *x)
{
    const struct join_slot *slot = slot_of(s, x);
    void *ended;
    if (!slot || slot->target) /* it was dialled */
        return true;
    if (!join_held_add(&s->held, x, slot->source, loop_now_ms(s->node->loop), &ended))
        return false;
    if (ended)
        join_exchange_end(ended, "it has proven that it knows the password, and did not go on while others waited");
    if (!s->closing && !loop_timer_running(&s->held_timer))
        loop_timer_start(s->node->loop, &s->held_timer, JOIN_HELD_MS, on_held_late, s);
    return true;
}

static void on_stand(void *ctx, struct join_exchange *x, struct join *j)
{
    struct node_join *s = ctx;
    struct node_standing now;
    struct join_standing own = {0};
    bool held = hold(s, x);
    node_trust_standing(s->node, &now);
    if (!held || !now.founded || (now.provisional && s->promised && s->promised != x)) {
        join_refuse(j, JOIN_BUSY, NULL, 0);
        return;
    }
    if (now.provisional)
        s->promised = x;
    memcpy(own.authority_id, now.authority, sizeof own.authority_id);
    own.hardened = !now.provisional;
    own.can_issue = now.can_issue;
    own.shared = s->shared || !now.can_issue;
    own.door_epoch = now.door_epoch;
    join_stand(j, &own);
}

/* Addresses go into the certificate only as numbers: a name could be somebody else's. */
static size_t take_addresses(const struct join_request *r, char (*text)[ADDR_TEXT_MAX], const char **out)
{
    size_t count = 0;
    struct addr parsed;
    char with_port[ADDR_TEXT_MAX + 8];
    for (size_t i = 0; i < r->address_count; i++) {
        struct slice a = r->addresses[i];
        bool v6 = a.size > 0 && slice_find_byte(a, 0, ':') >= 0;
        if (a.size >= ADDR_TEXT_MAX)
            continue;
        snprintf(text[count], ADDR_TEXT_MAX, "%.*s", SLICE_FMT(a));
        snprintf(with_port, sizeof with_port, v6 ? "[%s]:1" : "%s:1", text[count]);
        if (addr_parse(slice_of_str(with_port), &parsed) == 0) {
            out[count] = text[count];
            count++;
        }
    }
    return count;
}

static int issue(struct node_join *s, struct join_slot *slot, const struct join_request *r, struct buf *der)
{
    char text[TRUST_ADDRESSES_MAX][ADDR_TEXT_MAX], why[NODE_WHY_MAX];
    const char *addresses[NODE_CERTIFICATE_NAMES_MAX];
    struct certificate_request request = {
        .public_der = r->public_der, .name = slot->joined, .roles = TRUST_ROLE_NODE, .addresses = addresses};
    snprintf(slot->joined, sizeof slot->joined, "%.*s", SLICE_FMT(r->name));
    key_id_of_public(r->public_der, slot->joined_id);
    request.address_count = take_addresses(r, text, addresses);
    int err = node_certificate_issue_joiner(s->node, &request, der, why);
    if (err != 0)
        log_line(LOG_WARN, "a node that knows the password gets no certificate", LOGF_STR("name", slot->joined),
                 LOGF_STR("id", slot->joined_id), LOGF_STR("why", why));
    return err;
}

/* Whoever knows the password can make as many keys as he likes, and each that has a certificate is one member more for all to remember. */
static bool are_enough(struct node_join *s, const struct join_exchange *x, struct slice public_der)
{
    uint8_t source[ATTEMPTS_SOURCE_SIZE];
    char id[TRUST_ID_SIZE], peer[ADDR_TEXT_MAX];
    uint64_t now_ms = loop_now_ms(s->node->loop);
    key_id_of_public(public_der, id);
    bool known = s->node->gossip && members_find(gossip_members(s->node->gossip), id);
    addr_source(join_exchange_peer(x), source);
    if (known || join_limit_take(&s->given, source, now_ms))
        return false;
    addr_format_host(join_exchange_peer(x), peer);
    if (s->enough_said_ms != 0 && now_ms < s->enough_said_ms + JOIN_ENOUGH_SAID_MS)
        return true;
    s->enough_said_ms = now_ms;
    log_line(LOG_WARN, "nodes that know the password are sent away: from their address as many have joined within an hour as --join-limit allows", LOGF_STR("peer", peer),
             LOGF_INT("limit", s->node->options->join_limit));
    return true;
}

/* Why no certificate is given, 0 when one is. */
static enum join_reason issue_refusal(const struct node_join *s, const struct join *j, const struct node_standing *now)
{
    if (!now->door_open)
        return JOIN_DOOR_CLOSED;
    if (!s->has_password || !join_goes_by(j, s->password)) /* somebody was evicted, and another one set, since it began */
        return JOIN_MISMATCH;
    if (!now->can_issue)
        return JOIN_NOT_ISSUER;
    bool holds = now->provisional && loop_now_ms(s->node->loop) < s->hold_until_ms;
    return holds || !node_ledger_has_heard(s->node) ? JOIN_BUSY : 0;
}

static void on_issue(void *ctx, struct join_exchange *x, struct join *j)
{
    struct node_join *s = ctx;
    struct join_slot *slot = slot_of(s, x);
    const char *issuers[JOIN_ADDRESSES_MAX];
    struct node_standing now;
    struct buf der;
    node_trust_standing(s->node, &now);
    enum join_reason refusal = issue_refusal(s, j, &now);
    buf_init(&der, 0);
    if (refusal == 0 && are_enough(s, x, join_request_of(j)->public_der))
        refusal = JOIN_ENOUGH;
    if (refusal == 0 && issue(s, slot, join_request_of(j), &der) != 0)
        refusal = JOIN_NOT_ADMITTED;
    if (refusal != 0) {
        join_refuse(j, refusal, issuers, refusal == JOIN_NOT_ISSUER ? issuer_addresses(s->node, issuers) : 0);
    } else {
        size_t taken = der.size + node_trust_authority(s->node).size;
        struct join_grant grant = {buf_slice(&der), node_trust_authority(s->node),
                                   node_trust_ledger(s->node, taken < JOIN_GRANT_ROOM ? JOIN_GRANT_ROOM - taken : 0)};
        slot->issued = join_give(j, &grant) == JOIN_STEP_SETTLED;
    }
    buf_dispose(&der);
}

/* ---- a young grid ---- */

static void on_settled(void *arg)
{
    struct node_join *s = arg;
    if (s->promised || (join_dial_differs(s) && s->unsettled++ < JOIN_SETTLE_TIMES)) {
        loop_timer_start(s->node->loop, &s->settle, JOIN_SETTLE_MS, on_settled, s);
        return;
    }
    node_trust_harden(s->node);
    join_dial_again(s);
}

/* Something has changed: peace begins anew. */
static void stay_young(struct node_join *s)
{
    struct node_standing now;
    node_trust_standing(s->node, &now);
    s->shared = true;
    s->unsettled = 0;
    if (now.founded && now.provisional && !s->closing)
        loop_timer_start(s->node->loop, &s->settle, JOIN_SETTLE_MS, on_settled, s);
    else
        loop_timer_stop(&s->settle);
}

void node_join_linked(struct node *n)
{
    if (n->join && !loop_timer_running(&n->join->settle))
        stay_young(n->join);
}

void node_join_settle(struct node *n)
{
    if (!n->join || !n->standing.provisional)
        return;
    loop_timer_stop(&n->join->settle);
    node_trust_harden(n);
    join_dial_again(n->join);
}

static void install(struct node_join *s, const struct join *j)
{
    const struct join_grant *g = join_grant_of(j);
    struct node_trust_grant grant = {.authority_der = g->authority_der,
                                     .certificate_der = g->certificate_der,
                                     .ledger = g->ledger,
                                     .provisional = !join_peer_standing(j)->hardened};
    struct node_standing now;
    char why[NODE_WHY_MAX] = "this node's own grid has been settled meanwhile by a deploy: run \"grid adopt\" on one of the two";
    node_trust_standing(s->node, &now);
    if (now.founded && !now.provisional)
        log_line(LOG_ERROR, "this node was let in by another grid of its name and cannot follow", LOGF_STR("why", why));
    else if (node_trust_install(s->node, &grant, why) != 0)
        log_line(LOG_ERROR, "this node was let in, but cannot take its certificate", LOGF_STR("why", why));
    else {
        s->granted_by[0] = '\0';
        stay_young(s);
        join_dial_again(s);
    }
}

/* ---- the end of an exchange ---- */

/* Who came says nothing about why it went: what it may mean is said. */
static void say_answered(const struct join_slot *slot, const struct join *j, const char *why)
{
    char peer[ADDR_TEXT_MAX];
    bool by_peer;
    addr_format_host(join_exchange_peer(slot->exchange), peer);
    if (!j || (join_step(j) == JOIN_STEP_RECEIVE && !join_is_spent(j) && !join_is_proven(j))) {
        log_line(LOG_DEBUG, "a stranger came and went", LOGF_STR("peer", peer), LOGF_STR("why", why));
        return;
    }
    const struct join_refusal *refusal = join_refusal_of(j, &by_peer);
    if (join_step(j) != JOIN_STEP_REFUSED)
        log_line(LOG_WARN, "a node tried to join and failed", LOGF_STR("peer", peer), LOGF_STR("why", why));
    else if (refusal->reason == JOIN_MISMATCH)
        log_line(LOG_WARN, "a node tried to join and failed", LOGF_STR("peer", peer),
                 LOGF_STR("why", join_reason_text(JOIN_MISMATCH)));
    else if (refusal->reason == JOIN_OTHER_GRID)
        log_line(LOG_ERROR, "a node of another grid of the same name came: run \"grid adopt\" on the side that is to change",
                 LOGF_STR("peer", peer), LOGF_STR("authority", join_peer_standing(j)->authority_id));
    else
        log_line(LOG_DEBUG, "a join was put off", LOGF_STR("peer", peer), LOGF_STR("why", join_reason_text(refusal->reason)));
}

/* We asked for a certificate and heard nothing: it may have been given. */
static bool asked_in_vain(const struct join *j, const struct node_standing *now, bool shared)
{
    struct join_standing own = {.hardened = !now->provisional, .shared = shared};
    memcpy(own.authority_id, now->authority, sizeof own.authority_id);
    bool unheard = j && (join_step(j) == JOIN_STEP_RECEIVE || join_step(j) == JOIN_STEP_BROKEN);
    return unheard && now->founded && join_is_proven(j) && join_peer_standing(j)->authority_id[0] != '\0' &&
           join_who_yields(&own, join_peer_standing(j)) == JOIN_WE_YIELD;
}

static void on_unreached(void *ctx, struct join_exchange *x, const struct addr *at, bool own, const char *why)
{
    (void) x;
    join_dial_unreached(ctx, at, own, why);
}

static void on_reached(void *ctx, struct join_exchange *x)
{
    struct node_join *s = ctx;
    struct join_slot *slot = slot_of(s, x);
    if (slot && !slot->over)
        join_dial_reached(s, slot);
}

static void on_end(void *ctx, struct join_exchange *x, const struct join *j, const char *why)
{
    struct node_join *s = ctx;
    struct join_slot *slot = slot_of(s, x);
    struct node_standing now;
    bool by_peer;
    if (s->promised == x)
        s->promised = NULL;
    if (!slot || slot->over)
        return;
    slot->over = true;
    half_open_remove(&s->unproven, x);
    join_held_remove(&s->held, x);
    if (slot->target) {
        s->reached_self = join_exchange_is_own(x);
        slot->target->last = *join_exchange_peer(x);
    }
    if (!j || !join_is_spent(j)) {
        if (slot->target)
            join_dial_give_back(s, slot);
        else
            attempts_give_back(s->answered, slot->source);
    }
    node_trust_standing(s->node, &now);
    if (asked_in_vain(j, &now, s->shared || !now.can_issue))
        s->hold_until_ms = loop_now_ms(s->node->loop) + JOIN_HOLD_MS;
    if (slot->issued)
        stay_young(s);
    if (slot->issued)
        log_line(LOG_INFO, "a node has joined by password", LOGF_STR("name", slot->joined), LOGF_STR("id", slot->joined_id));
    else if (j && join_step(j) == JOIN_STEP_GRANTED)
        install(s, j);
    else if (j && join_is_proven(j) && join_step(j) == JOIN_STEP_REFUSED && join_refusal_of(j, &by_peer)->reason == JOIN_NOT_ISSUER && by_peer)
        join_dial_hints(s, join_refusal_of(j, &by_peer)->addresses, join_refusal_of(j, &by_peer)->address_count);
    else if (!slot->target && !(j && join_step(j) == JOIN_STEP_SETTLED))
        say_answered(slot, j, why);
    if (slot->target)
        join_dial_ended(s, j, why);
    else
        join_dial_start(s); /* what there is to dial may be another thing now */
}

void join_closed(struct node_join *s)
{
    for (size_t i = 0; i < JOIN_SLOTS; i++)
        if (s->slots[i].exchange)
            return;
    if (s->closing && !s->resolver && s->closed) {
        loop_fn done = s->closed;
        s->closed = NULL;
        done(s->closed_arg);
    }
}

static void on_gone(void *ctx, struct join_exchange *x)
{
    struct node_join *s = ctx;
    struct join_slot *slot = slot_of(s, x);
    if (s->promised == x)
        s->promised = NULL;
    half_open_remove(&s->unproven, x);
    join_held_remove(&s->held, x);
    if (slot)
        *slot = (struct join_slot){0};
    if (s->closing)
        join_closed(s);
}

const struct join_exchange_events JOIN_EVENTS = {on_unreached, on_reached, on_stand, on_issue, on_end, on_gone};

/* ---- those who come ---- */

/* Why somebody is sent away before anything is said, 0 when not. */
static enum join_reason refusal_at_the_door(struct node_join *s, const uint8_t source[ATTEMPTS_SOURCE_SIZE])
{
    struct node_standing now;
    node_trust_standing(s->node, &now);
    if (!s->wanted && !s->has_password)
        return JOIN_NOT_ISSUER;
    if (now.founded && !now.door_open)
        return JOIN_DOOR_CLOSED;
    if (!now.founded || !s->has_password)
        return JOIN_BUSY; /* it is being stretched */
    uint64_t now_ms = loop_now_ms(s->node->loop);
    if (!join_held_has_room(&s->held, source, now_ms))
        return JOIN_BUSY;
    if (!attempts_take(s->answered, source, now_ms, NULL))
        return JOIN_TOO_MANY;
    return attempts_take_of_all(s->answered, source, now_ms) ? 0 : JOIN_BUSY;
}

/* For somebody else's sake. A guess that was not ended counts as one all the same. */
static void drop_unproven(struct node_join *s, struct join_exchange *x)
{
    struct join_slot *slot = slot_of(s, x);
    if (!slot || slot->over)
        return;
    slot->over = true;
    if (!join_is_spent(join_exchange_core(x)))
        attempts_give_back(s->answered, slot->source);
    join_exchange_close(x);
}

/* Whoever says nothing, or stops before he has proven anything, holds his place until others want it. */
static void note_unproven(struct node_join *s, struct join_exchange *x)
{
    for (size_t i = s->unproven.count; i-- > 0;)
        if (is_proven(s->unproven.entries[i].item))
            half_open_remove(&s->unproven, s->unproven.entries[i].item);
    struct join_exchange *dropped = half_open_add(&s->unproven, x, join_exchange_peer(x));
    if (dropped)
        drop_unproven(s, dropped);
}

/* Those who were answered and do not go. */
static void keep_slots_free(struct node_join *s)
{
    struct join_slot *oldest = NULL;
    size_t available = 0;
    for (size_t i = 0; i < JOIN_SLOTS; i++) {
        struct join_slot *slot = &s->slots[i];
        available += !slot->exchange;
        if (slot->exchange && slot->over && (!oldest || slot->number < oldest->number))
            oldest = slot;
    }
    if (available < JOIN_SLOTS_SPARE && oldest)
        join_exchange_close(oldest->exchange);
}

void node_join_accept(struct node *n, struct conn *c)
{
    struct node_join *s = n->join;
    keep_slots_free(s);
    struct join_slot *slot = s->closing || n->stopping ? NULL : join_slot_free(s);
    const char *addresses[TRUST_ADDRESSES_MAX];
    uint8_t source[ATTEMPTS_SOURCE_SIZE];
    if (!slot) {
        conn_close(c);
        return;
    }
    addr_source(conn_peer_addr(c), source);
    enum join_reason refusal = refusal_at_the_door(s, source);
    struct join_config terms = join_terms(s, addresses);
    struct join_exchange_config config = {n->loop, &terms, &JOIN_EVENTS, s};
    struct join_exchange *x = NULL;
    if (join_exchange_serve(&config, c, refusal, &x) != 0) {
        if (refusal == 0)
            attempts_give_back(s->answered, source);
        return;
    }
    *slot = (struct join_slot){.exchange = x, .over = refusal != 0, .number = s->slot_number++};
    memcpy(slot->source, source, sizeof source);
    if (refusal == 0)
        note_unproven(s, x);
}

/* ---- life ---- */

static int make_guest(struct node_join *s)
{
    int err = key_mint(&s->guest_key);
    if (err == 0)
        err = certificate_self_sign(s->guest_key, NODE_JOIN_ALPN, (int64_t) time(NULL), &s->guest_certificate);
    return err;
}

struct tls_context *join_dial_tls(struct node_join *s)
{
    struct tls_config config = {.guest_alpn = NODE_JOIN_ALPN,
                                .guest_certificate_der = buf_slice(&s->guest_certificate),
                                .guest_key_der = key_private_der(s->guest_key)};
    if (!s->dial_tls && tls_context_create(&config, &s->dial_tls) != 0)
        return NULL;
    return s->dial_tls;
}

struct tls_context *node_join_guest_tls(const struct node *n)
{
    return join_dial_tls(n->join);
}

static int make_parts(struct node_join *s)
{
    int err = make_guest(s);
    if (err == 0)
        err = attempts_create(&(struct attempts_config){JOIN_MEMBER_LIMIT, JOIN_MEMBER_WINDOW_MS, JOIN_SOURCES_MAX, JOIN_MEMBER_ALL_PER_S, JOIN_MEMBER_ALL_BURST},
                              &s->answered);
    if (err == 0)
        err = join_limit_init(&s->given, s->node->options->join_limit);
    if (err == 0)
        err = attempts_create(&(struct attempts_config){.limit = JOIN_DIAL_FOUND_LIMIT, .window_ms = JOIN_DIAL_WINDOW_MS, .source_count = 1}, &s->dialled_found);
    return err == 0 ? attempts_create(&(struct attempts_config){.limit = JOIN_DIAL_LIMIT, .window_ms = JOIN_DIAL_WINDOW_MS, .source_count = 1}, &s->dialled) : err;
}

static int check_grid(const struct node *n, char why[NODE_WHY_MAX])
{
    if (n->grid[0])
        return 0;
    snprintf(why, NODE_WHY_MAX, "%s needs the grid's name: give --grid NAME",
             n->options->open            ? "--open"
             : n->options->password_file ? "--password-file"
             : n->options->password      ? "GRID_AUTH"
                                         : "grid_password");
    return GRID_EINVAL;
}

int node_join_open(struct node *n, char why[NODE_WHY_MAX])
{
    struct node_join *s = calloc(1, sizeof *s);
    snprintf(why, NODE_WHY_MAX, "out of memory");
    if (!s)
        return GRID_ENOMEM;
    s->node = n;
    n->join = s;
    buf_init(&s->plain, 0);
    buf_init(&s->guest_certificate, 0);
    int err = make_parts(s);
    if (err == 0)
        err = node_password_read(n, &s->plain, why);
    s->wanted = s->plain.size > 0 || n->options->open || n->standing.has_password;
    if (err == 0 && s->plain.size > 0 && n->options->open) {
        snprintf(why, NODE_WHY_MAX,
                 "--open: this grid has a password, and --open lets everybody in who knows its name: leave one of the two out");
        err = GRID_EINVAL;
    }
    return err == 0 && s->wanted ? check_grid(n, why) : err;
}

/* What "grid password" has set, here or on the issuer that handed it on, counts more than what this node was started with. */
static bool take_kept_password(struct node_join *s)
{
    const struct standing *kept = &s->node->standing;
    if (!kept->has_password || kept->password_size != STRETCH_SIZE)
        return false;
    if (s->plain.size > 0)
        log_line(LOG_INFO, "joining goes by the password that was set in the grid, not by the one this node was started with",
                 LOGF_INT("epoch", kept->password_epoch));
    buf_dispose_wiped(&s->plain);
    node_join_set_password(s->node, kept->password);
    join_dial_start(s);
    return true;
}

void node_join_start(struct node *n)
{
    struct node_join *s = n->join;
    if (!s->wanted)
        return;
    if (n->options->open)
        log_line(LOG_WARN,
                 "THIS GRID IS OPEN: everybody who reaches this node and knows the grid's name may join it and run code on all its "
                 "nodes; give all of them --password-file instead of --open, unless nobody else can reach them",
                 LOGF_STR("grid", n->grid));
    if (join_dial_open(s) != 0)
        log_line(LOG_ERROR, "this node cannot look for others to join: out of memory");
    if (!opens_now(n))
        buf_dispose_wiped(&s->plain); /* worth nothing since somebody was evicted */
    else if (!take_kept_password(s))
        stretch_start(s);
}

void node_join_close(struct node *n, loop_fn done, void *arg)
{
    struct node_join *s = n->join;
    if (!s) {
        done(arg);
        return;
    }
    s->closing = true;
    loop_timer_stop(&s->settle);
    loop_timer_stop(&s->held_timer);
    s->closed = done;
    s->closed_arg = arg;
    for (size_t i = 0; i < JOIN_SLOTS; i++)
        if (s->slots[i].exchange)
            join_exchange_close(s->slots[i].exchange);
    join_dial_close(s);
}

void node_join_free(struct node *n)
{
    struct node_join *s = n->join;
    if (!s)
        return;
    buf_dispose_wiped(&s->plain);
    key_destroy(s->guest_key);
    buf_dispose(&s->guest_certificate);
    tls_context_unref(s->dial_tls);
    attempts_destroy(s->answered);
    attempts_destroy(s->dialled);
    attempts_destroy(s->dialled_found);
    join_limit_dispose(&s->given);
    explicit_bzero(s, sizeof *s);
    free(s);
    n->join = NULL;
}
