/* What an issuer decides about members: who is evicted, by which password others join; and what follows for releases and for evictions that crossed with a new authority. */
#include <stdio.h>
#include <string.h>

#include "api/pb.h"
#include "base/err.h"
#include "base/log.h"
#include "grid/v1/trust.pb-c.h"
#include "net/grpc.h"
#include "server/node_ask.h"
#include "server/node_ledger_internal.h"
#include "server/node_standing.h"
#include "server/node_verdict.h"

enum { TELL_MS = 2000, SIGN_WAIT_MS = 10000 };

/* ---- releases: what was signed by a key that counts no more is signed again, so that who joins later takes it ---- */

static void on_signed_again(void *ctx, int err, const char *sentence, const struct release_entry *entry)
{
    (void) ctx, (void) entry;
    if (err != 0)
        log_line(LOG_WARN, "the current release could not be signed again: nodes that join get it with the next deploy", LOGF_STR("why", sentence));
}

static void on_nothing(void *ctx, const char *phase, const struct publish_progress *progress)
{
    (void) ctx, (void) phase, (void) progress;
}

static void on_warning(void *ctx, const char *sentence)
{
    (void) ctx, (void) sentence;
}

static const struct release_events SIGNED_AGAIN = {.on_progress = on_nothing, .on_warning = on_warning, .on_done = on_signed_again};

/* Whether one who joins takes what this certificate has signed: he knows nobody who may go on for a while with one of an authority that was replaced. */
static bool counts_for_all(const struct node *n, struct slice certificate)
{
    const struct ledger_authority *root = ledger_root(n->ledger), *next = ledger_next(n->ledger);
    struct verify_holder holder;
    char why[TRUST_WHY_MAX];
    if (verify_chain(verdict_verifier(n->verdict), &certificate, 1, node_ledger_now_s(), &holder, why) != 0)
        return false;
    return strcmp(holder.issuer, root->id) == 0 || (next && strcmp(holder.issuer, next->id) == 0);
}

/* The newest release, when it is the grid's and its signature counts no more; else NULL. */
static const struct release_entry *unsigned_release(const struct node *n)
{
    const struct release_entry *newest = releases_newest(n->releases);
    if (!newest || releases_is_publishing(n->releases) || !releases_is_of_grid(n->releases, newest) || counts_for_all(n, newest->certificate))
        return NULL;
    return newest;
}

/* Whether another living member has published this: it signs anew by itself when its certificate is made anew. */
static bool publisher_lives(const struct node *n, const struct release_entry *e)
{
    for (size_t i = 1; i < node_member_count(n); i++)
        if (slice_equal_str(e->publisher, node_member(n, i)->id))
            return node_issuers_lives(node_member(n, i)) && !ledger_is_evicted(n->ledger, node_member(n, i)->id);
    return false;
}

static void sign_release(struct node *n, const struct release_entry *e)
{
    char root[OBJECT_ID_HEX + 1];
    if (!node_may_publish(n, node_id(n))) {
        log_line(LOG_WARN, "the current release is signed by a node or an authority that counts no more, and the Gridfile does not name this node among its publishers: "
                           "nodes that join get it when one of those deploys again");
        return;
    }
    object_id_to_hex(&e->root, root);
    if (releases_rollback(n->releases, slice_of_str(root), &SIGNED_AGAIN, n) != 0)
        log_line(LOG_WARN, "the current release could not be signed again: nodes that join get it with the next deploy");
}

/* Two that sign at once publish two releases: a living publisher goes first. */
void node_evict_sign_release_again(struct node *n)
{
    const struct release_entry *e = unsigned_release(n);
    node_ledger_work_of(n)->sign_at_ms = 0;
    if (e && publisher_lives(n, e))
        node_ledger_work_of(n)->sign_at_ms = loop_now_ms(n->loop) + SIGN_WAIT_MS;
    else if (e)
        sign_release(n, e);
}

void node_evict_sign_look(struct node *n)
{
    const struct release_entry *e;
    if (node_ledger_work_of(n)->sign_at_ms == 0 || loop_now_ms(n->loop) < node_ledger_work_of(n)->sign_at_ms)
        return;
    node_ledger_work_of(n)->sign_at_ms = 0;
    if ((e = unsigned_release(n)))
        sign_release(n, e);
}

/* ---- evictions that the new authority has not signed: an issuer does, and others ask one ---- */

static void on_owed_told(struct node *n, void *arg, int status, struct slice answer, const char *message)
{
    (void) arg, (void) answer;
    node_ledger_work_of(n)->telling = false;
    if (status != GRPC_OK)
        log_line(LOG_DEBUG, "an eviction could not be told to an issuer", LOGF_STR("why", message));
}

static void tell_owed(struct node *n)
{
    struct node_trust_work *w = node_ledger_work_of(n);
    const struct ledger_tombstone *t = ledger_owed_at(n->ledger, 0);
    const struct member *issuer = node_issuers_pick(n, ledger_root(n->ledger)->sequence, NULL);
    Grid__V1__DecideRequest request = GRID__V1__DECIDE_REQUEST__INIT;
    Grid__V1__EvictRequest evict = GRID__V1__EVICT_REQUEST__INIT;
    struct buf packed;
    w->tell_at_ms = loop_now_ms(n->loop) + TELL_MS;
    if (!issuer)
        return;
    evict.node = pb_str(t->id);
    request.what_case = GRID__V1__DECIDE_REQUEST__WHAT_EVICT;
    request.evict = &evict;
    buf_init(&packed, 0);
    w->telling = pb_append(&packed, &request.base) == 0 && node_ask(n, issuer, "Decide", buf_slice(&packed), on_owed_told, NULL) == 0;
    buf_dispose(&packed);
}

void node_evict_owed_look(struct node *n)
{
    struct node_trust_work *w = node_ledger_work_of(n);
    if (ledger_owed_count(n->ledger) == 0) {
        w->tell_at_ms = loop_now_ms(n->loop) + TELL_MS;
        return;
    }
    if (!authority_can_issue(n->authority)) {
        if (!w->telling && loop_now_ms(n->loop) >= w->tell_at_ms)
            tell_owed(n);
        return;
    }
    int err = ledger_pay(n->ledger, n->authority, node_ledger_now_s());
    if (err != 0)
        log_line(LOG_ERROR, "evictions that crossed with a new authority cannot be signed by it: they hold on this node alone", LOGF_ERR(err));
    else
        log_line(LOG_INFO, "evictions that crossed with a new authority are signed by it now");
    if (err == 0) {
        node_ledger_changed(n);
        node_evict_sign_release_again(n);
    }
}

/* ---- decisions ---- */

/* Who decides must be able to keep it: an authority's new key is nowhere else at first. */
int node_evict_need_disk(struct node *n, char why[NODE_WHY_MAX])
{
    char cause[NODE_WHY_MAX];
    if (node_standing_keep(n, cause) == 0)
        return GRPC_OK;
    snprintf(why, NODE_WHY_MAX, "nothing was decided, since it could not be kept: %.400s", cause);
    return GRPC_FAILED_PRECONDITION;
}

int node_evict_need_issuer(const struct node *n, char why[NODE_WHY_MAX])
{
    if (n->authority && authority_can_issue(n->authority))
        return GRPC_OK;
    snprintf(why, NODE_WHY_MAX, "%s", n->authority ? "this node holds no authority's key" : "this node is in no grid: there is nobody to decide for");
    return GRPC_FAILED_PRECONDITION;
}

int node_evict_of_err(int err, char why[NODE_WHY_MAX])
{
    if (err == 0)
        return GRPC_OK;
    snprintf(why, NODE_WHY_MAX, err == GRID_ELIMIT ? "the grid has evicted as many nodes as its ledger holds (%d): no more can be" : "it could not be signed (%d)",
             err == GRID_ELIMIT ? (int) LEDGER_TOMBSTONES_MAX : err);
    return err == GRID_ELIMIT ? GRPC_RESOURCE_EXHAUSTED : GRPC_INTERNAL;
}

static bool is_id_prefix(struct slice who)
{
    if (who.size < 8 || who.size > TRUST_ID_SIZE - 1)
        return false;
    for (size_t i = 0; i < who.size; i++)
        if (!memchr("0123456789abcdef", who.data[i], 16))
            return false;
    return true;
}

/* Of several that had the name the living ones are meant. */
static bool lives_as(const struct node *n, struct slice name)
{
    for (size_t i = 0; i < node_member_count(n); i++)
        if (slice_equal_str(name, node_member(n, i)->name) && node_issuers_lives(node_member(n, i)))
            return true;
    return false;
}

/* A member may call itself by the start of another's id, or as another is called. */
const struct member *node_ledger_member(const struct node *n, struct slice who, size_t *matches)
{
    const struct member *found = NULL;
    bool lives = lives_as(n, who);
    *matches = 0;
    for (size_t i = 0; i < node_member_count(n); i++) {
        const struct member *m = node_member(n, i);
        bool named = slice_equal_str(who, m->name) && (!lives || node_issuers_lives(m));
        if (named || (is_id_prefix(who) && slice_has_prefix(slice_of_str(m->id), who))) {
            found = m;
            ++*matches;
        }
    }
    return found;
}

bool node_ledger_means_self(const struct node *n, struct slice who)
{
    size_t matches;
    return node_ledger_member(n, who, &matches) == node_member(n, 0) && matches == 1;
}

/* Who is to be evicted. */
struct evictee {
    char id[TRUST_ID_SIZE], name[NODE_NAME_MAX + 1];
    bool issuer;
};

/* By its own word, which alone would not do, or by the ledger's. A key of an authority that has been replaced is worth nothing: its holder needs no new one, which those that have not
 * heard of the one before could not follow. */
static bool holds_key(const struct node *n, const struct member *m, const char *id)
{
    struct member_trust t = {0};
    if (m)
        node_issuers_read(m, &t);
    return (t.issuer && t.key >= ledger_root(n->ledger)->sequence) || ledger_is_heir(n->ledger, id);
}

/* A whole id will do of one who is not known here (any more). */
static int find_evictee(const struct node *n, struct slice who, struct evictee *out, char why[NODE_WHY_MAX])
{
    size_t matches;
    const struct member *m = node_ledger_member(n, who, &matches);
    bool whole = !m && who.size == TRUST_ID_SIZE - 1 && is_id_prefix(who);
    snprintf(out->id, sizeof out->id, "%.*s", whole ? (int) who.size : 0, (const char *) who.data);
    snprintf(out->name, sizeof out->name, "%.*s", whole ? 8 : 0, (const char *) who.data);
    if (m) {
        memcpy(out->id, m->id, sizeof out->id);
        snprintf(out->name, sizeof out->name, "%s", m->name);
    }
    out->issuer = holds_key(n, m, out->id);
    if (node_ledger_means_self(n, who)) {
        snprintf(why, NODE_WHY_MAX, NODE_EVICTS_ITSELF);
        return GRPC_INVALID_ARGUMENT;
    }
    if (matches == 1 || whole)
        return GRPC_OK;
    snprintf(why, NODE_WHY_MAX, matches == 0 ? "no member is called \"%.*s\": see \"grid list --all\", or give the whole id" : "several members are meant by \"%.*s\": give the whole id",
             (int) (who.size < 80 ? who.size : 80), (const char *) who.data);
    return matches == 0 ? GRPC_NOT_FOUND : GRPC_INVALID_ARGUMENT;
}

/* Announces a fresh authority in a phase, and evicts somebody by it (NULL: nobody): what the one before holds may be full of false evictions. */
int node_evict_announce_fresh(struct node *n, enum ledger_phase phase, int64_t until_s, const char *evicted, const char *name)
{
    struct authority *fresh;
    int err = authority_mint(n->grid, node_ledger_now_s(), &fresh);
    if (err != 0)
        return err;
    err = standing_set(node_issuers_key_slot(n, n->authority), key_private_der(authority_key(fresh)));
    ledger_hear_sequence(n->ledger, node_issuers_root_sequence(n));
    if (err == 0)
        err = ledger_announce(n->ledger, n->authority, fresh, phase, node_ledger_now_s(), until_s);
    if (err == 0 && evicted)
        err = ledger_evict(n->ledger, fresh, evicted, name, node_ledger_now_s());
    authority_destroy(fresh);
    return err;
}

/* ---- an eviction that crossed with the handing over of the key to whom it evicts ---- */

static struct lost_key_view view_of_lost(const struct node *n, const struct ledger_tombstone *holder)
{
    struct lost_key_view v = {.lost = holder, .living = 1, .known = 1};
    v.may = authority_can_issue(n->authority) && node_ledger_has_heard(n) && !ledger_is_evicted(n->ledger, node_id(n));
    for (size_t i = 1; i < node_member_count(n); i++) {
        const struct member *m = node_member(n, i);
        bool lives = node_issuers_lives(m), counts = lives || m->state == MEMBER_DEAD;
        if (!counts || ledger_is_evicted(n->ledger, m->id))
            continue;
        v.known++;
        v.living += lives;
        v.before += lives && node_issuers_is(m) && strcmp(m->id, node_id(n)) < 0;
    }
    return v;
}

static void replace_lost(struct node *n, const struct ledger_tombstone *holder)
{
    const struct ledger_tombstone t = *holder; /* it goes with the ledger of before */
    char why[NODE_WHY_MAX];
    int err = node_evict_need_disk(n, why) == GRPC_OK ? node_evict_announce_fresh(n, LEDGER_REMOVE, node_ledger_now_s() + NODE_LEDGER_OVERLAP_S, t.id, t.name) : GRID_EIO;
    if (err != 0) {
        n->trust_work->lost = (struct lost_key){0}; /* not at every look */
        log_line(LOG_ERROR, "the authority, whose key an evicted node holds, could not be replaced", LOGF_STR("member", t.name), LOGF_ERR(err));
        return;
    }
    log_line(LOG_WARN, "an evicted node holds the authority's key: the authority is replaced; Gridfiles and client certificates of before are worth nothing now", LOGF_STR("member", t.name),
             LOGF_STR("id", t.id));
    node_ledger_changed(n);
    node_evict_sign_release_again(n);
}

void node_evict_lost_look(struct node *n)
{
    struct node_trust_work *w = node_ledger_work_of(n);
    const struct ledger_tombstone *holder = ledger_evicted_heir(n->ledger);
    const struct lost_key_view v = view_of_lost(n, holder);
    if (holder && !w->lost_said)
        log_line(LOG_ERROR, NODE_LEDGER_LOST_KEY, LOGF_STR("member", holder->name), LOGF_STR("id", holder->id));
    w->lost_said = holder;
    if (lost_key_is_due(&w->lost, &v, loop_now_ms(n->loop)))
        replace_lost(n, holder);
}

int node_ledger_evict(struct node *n, struct slice who, bool replace, char why[NODE_WHY_MAX])
{
    struct evictee e;
    int status = node_evict_need_issuer(n, why);
    if (status == GRPC_OK)
        status = find_evictee(n, who, &e, why);
    if (status == GRPC_OK && !replace && ledger_is_evicted(n->ledger, e.id) && !ledger_is_heir(n->ledger, e.id) && ledger_owed_count(n->ledger) == 0) {
        snprintf(why, NODE_WHY_MAX, "%s is evicted", e.name);
        return GRPC_OK;
    }
    if (status == GRPC_OK)
        status = node_evict_need_disk(n, why);
    if (status != GRPC_OK)
        return status;
    int err = e.issuer || replace ? node_evict_announce_fresh(n, LEDGER_REMOVE, node_ledger_now_s() + NODE_LEDGER_OVERLAP_S, e.id, e.name) : ledger_evict(n->ledger, n->authority, e.id, e.name, node_ledger_now_s());
    if (err != 0)
        return node_evict_of_err(err, why);
    log_line(LOG_WARN, "a node is evicted", LOGF_STR("member", e.name), LOGF_STR("id", e.id));
    node_ledger_changed(n);
    node_evict_sign_release_again(n);
    snprintf(why, NODE_WHY_MAX, "%s is evicted; joining by password is closed until \"grid password\" sets a new one%s", e.name,
             e.issuer        ? "; it was an issuer, so the authority is replaced: Gridfiles and client certificates of before are worth nothing now"
             : replace ? "; the authority is replaced: Gridfiles and client certificates of before are worth nothing now"
                       : "");
    return GRPC_OK;
}

int node_ledger_set_password(struct node *n, const uint8_t *stretched, size_t size, char why[NODE_WHY_MAX])
{
    struct node_standing now;
    int status = node_evict_need_issuer(n, why);
    if (status == GRPC_OK)
        status = node_evict_need_disk(n, why);
    if (status != GRPC_OK)
        return status;
    int err = size > STANDING_PASSWORD_SIZE ? GRID_EINVAL : ledger_set_door(n->ledger, n->authority, true, node_ledger_now_s());
    if (err == GRID_ELIMIT)
        snprintf(why, NODE_WHY_MAX, "somebody with the authority's key has set passwords as often as can be counted: evict him, or run \"grid rotate\", then set a new one");
    if (err != 0)
        return err == GRID_ELIMIT ? GRPC_FAILED_PRECONDITION : node_evict_of_err(err, why);
    node_trust_standing(n, &now);
    node_issuers_take_password(n, stretched, size, now.door_epoch);
    node_ledger_changed(n);
    snprintf(why, NODE_WHY_MAX, "joining is open for the new password alone");
    return GRPC_OK;
}
