/* The node's place in a grid, and how it changes. */
#include "server/node_trust.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/err.h"
#include "base/log.h"
#include "server/node_certificate.h"
#include "server/node_join.h"
#include "server/node_ledger.h"
#include "server/node_standing.h"
#include "server/node_verdict.h"

const char *node_id(const struct node *n)
{
    return key_id(n->key);
}

int node_sign(void *arg, struct slice bytes, uint8_t signature[ENTRY_SIGNATURE_BYTES], size_t *size)
{
    const struct node *n = arg;
    return key_sign(n->key, bytes, signature, size);
}

/* ---- questions ---- */

void node_trust_standing(const struct node *n, struct node_standing *out)
{
    *out = (struct node_standing){.founded = n->authority != NULL};
    if (!n->authority)
        return;
    memcpy(out->authority, authority_id(n->authority), sizeof out->authority);
    out->provisional = n->standing.provisional;
    out->can_issue = authority_can_issue(n->authority);
    ledger_door(n->ledger, &out->door_epoch, &out->door_open);
    uint64_t epoch = n->standing.has_password ? n->standing.password_epoch : 0; /* that it was started with is the first */
    out->door_open &= epoch == out->door_epoch;
}

bool node_trust_is_settled(const struct node *n)
{
    struct node_standing now;
    node_trust_standing(n, &now);
    return now.founded && !now.provisional;
}

struct slice node_trust_authority(const struct node *n)
{
    return n->authority ? authority_certificate_der(n->authority) : slice_of(NULL, 0);
}

struct slice node_trust_ledger(const struct node *n, size_t size_max)
{
    struct node *mutable = (struct node *) (uintptr_t) n; /* the pack is remade in a buffer of n's */
    buf_clear(&mutable->brief_ledger);
    int err = n->ledger ? ledger_pack_brief(n->ledger, size_max, &mutable->brief_ledger) : 0;
    if (err != 0)
        log_line(LOG_ERROR, "what the grid has decided cannot be told to one who joins", LOGF_ERR(err));
    return err == 0 ? buf_slice(&n->brief_ledger) : slice_of(NULL, 0);
}

/* ---- telling the parts that run ---- */

static void on_listening(void *arg, int err, const char *why)
{
    struct node *n = arg;
    if (err != 0)
        log_line(LOG_ERROR, "other nodes cannot reach this one", LOGF_STR("why", why));
    else
        node_gossip_update(n);
}

static void tell_gossip(struct node *n)
{
    const char *ids[3] = {ledger_root(n->ledger)->id};
    uint8_t digest[LEDGER_DIGEST_SIZE];
    size_t count = 1;
    if (ledger_next(n->ledger))
        ids[count++] = ledger_next(n->ledger)->id;
    if (n->standing.former_count > 0) /* whoever is let in by TLS may be one step behind */
        ids[count++] = n->standing.former[0];
    ledger_digest(n->ledger, digest);
    gossip_set_authorities(n->gossip, ids, count, n->grid);
    int err = gossip_set_ledger(n->gossip, slice_of(digest, sizeof digest), buf_slice(&n->standing.ledger));
    for (size_t i = 0; err == 0 && i < ledger_tombstone_count(n->ledger); i++)
        err = gossip_evict(n->gossip, ledger_tombstone_at(n->ledger, i)->id);
    if (err != 0)
        log_line(LOG_ERROR, "membership could not take in what the grid has decided: restart this node", LOGF_ERR(err));
}

/* Before the parts are open there is nobody to tell. */
void node_trust_spread(struct node *n)
{
    struct addr at;
    char why[NODE_WHY_MAX];
    if (!n->workers || !n->releases || !n->gossip)
        return;
    releases_set_certificate(n->releases, buf_slice(&n->standing.certificate));
    tell_gossip(n);
    worker_set_judge(n->workers, n->verdict);
    node_gossip_update(n);
    node_routes_changed(n);
    if (worker_set_peer(n->workers)->size != 0)
        return;
    if (node_peer_address(n, &at, why) == 0)
        worker_set_listen(n->workers, &at, on_listening, n);
    else
        on_listening(n, GRID_EINVAL, why);
}

/* ---- changes ---- */

/* A fresh ledger under the authority, or the granted one. */
static int take_ledger(const struct authority *a, struct slice granted, struct ledger **out)
{
    if (granted.size == 0)
        return ledger_create(authority_certificate_der(a), out);
    int err = ledger_load(granted, out);
    if (err == 0 && strcmp(ledger_root(*out)->id, authority_id(a)) != 0) {
        ledger_destroy(*out);
        err = GRID_EPROTO;
    }
    return err;
}

/* What a node had before it changed sides, to go back to when the change fails. */
struct node_before {
    struct standing standing;
    struct ledger *ledger;
    struct authority *authority, *next;
};

static void go_back(struct node *n, const struct node_before *before)
{
    char ignored[NODE_WHY_MAX];
    standing_dispose(&n->standing);
    ledger_destroy(n->ledger);
    authority_destroy(n->authority);
    authority_destroy(n->next);
    n->standing = before->standing;
    n->ledger = before->ledger;
    n->authority = before->authority;
    n->next = before->next;
    if (n->ledger)
        (void) node_verdict_remake(n, ignored); /* the contexts may hold the new terms */
}

/* Fills in the new standing; what fails is undone by the caller. */
static int fill_standing(struct node *n, struct authority *a, const struct node_trust_grant *grant, char why[NODE_WHY_MAX])
{
    const struct key *k = authority_key(a);
    int err = take_ledger(a, grant->ledger, &n->ledger);
    if (err == 0)
        err = standing_set(&n->standing.certificate, grant->certificate_der);
    if (err == 0 && k)
        err = standing_set(&n->standing.keys[0], key_private_der(k));
    if (err != 0)
        snprintf(why, NODE_WHY_MAX, "what was granted cannot be used: %s", grid_err_text(err));
    if (err == 0)
        err = node_standing_load_authorities(n, why);
    if (err == 0)
        err = node_verdict_remake(n, why);
    return err == 0 ? node_standing_keep(n, why) : err;
}

/* Takes the authority over. `certificate` and `ledger` may be empty: an issuer makes its own. Nothing has changed when it fails. */
static int change_standing(struct node *n, struct authority *a, bool provisional, const struct node_trust_grant *grant, char why[NODE_WHY_MAX])
{
    struct node_before before = {n->standing, n->ledger, n->authority, n->next};
    standing_init(&n->standing);
    n->ledger = NULL;
    n->authority = n->next = NULL;
    n->standing.provisional = provisional;
    int err = fill_standing(n, a, grant, why);
    authority_destroy(a);
    if (err != 0) {
        go_back(n, &before);
        return err;
    }
    standing_dispose(&before.standing);
    ledger_destroy(before.ledger);
    authority_destroy(before.authority);
    authority_destroy(before.next);
    node_trust_spread(n);
    if (grant->ledger.size == 0 && n->trust_work)
        node_ledger_listen(n);
    return 0;
}

int node_trust_found(struct node *n, char why[NODE_WHY_MAX])
{
    struct authority *a;
    const struct node_trust_grant nothing = {0};
    const char *name = n->grid;
    int err = authority_mint(name, (int64_t) time(NULL), &a);
    if (err != 0) {
        snprintf(why, NODE_WHY_MAX, "--grid: no authority can be minted for \"%.100s\" (%s): give a name of 1 to 63 bytes of plain text", name, grid_err_text(err));
        return err;
    }
    return change_standing(n, a, true, &nothing, why);
}

void node_trust_harden(struct node *n)
{
    char why[NODE_WHY_MAX];
    if (!n->standing.provisional)
        return;
    n->standing.provisional = false;
    if (node_standing_keep(n, why) != 0)
        log_line(LOG_ERROR, "the grid's authority is settled, but that could not be kept on disk", LOGF_STR("why", why));
    else
        log_line(LOG_INFO, "the grid's authority is settled: provisional ones yield to it from now on", LOGF_STR("authority", authority_id(n->authority)));
}

static int refuse_grant(char why[NODE_WHY_MAX], const char *clause)
{
    snprintf(why, NODE_WHY_MAX, "what was granted cannot be used: %s", clause);
    return GRID_EINVAL;
}

static int judge_certificate(struct node *n, const struct ledger *l, struct slice certificate_der, char why[NODE_WHY_MAX])
{
    char clause[TRUST_WHY_MAX];
    struct slice accepted[2] = {ledger_root(l)->der};
    size_t count = 1;
    struct verifier *v;
    if (ledger_next(l))
        accepted[count++] = ledger_next(l)->der;
    int err = verifier_create(accepted, count, NULL, 0, &v);
    if (err != 0)
        return refuse_grant(why, grid_err_text(err));
    bool ours = node_certificate_is_ours(n, v, certificate_der, clause);
    verifier_destroy(v);
    return ours ? 0 : refuse_grant(why, clause);
}

static int judge_grant(struct node *n, const struct authority *a, const struct node_trust_grant *grant, char why[NODE_WHY_MAX])
{
    struct ledger *l;
    if (strcmp(n->grid, authority_grid_name(a)) != 0)
        return refuse_grant(why, "it is another grid's");
    int err = take_ledger(a, grant->ledger, &l);
    if (err != 0)
        return refuse_grant(why, "its ledger does not hold");
    err = judge_certificate(n, l, grant->certificate_der, why);
    ledger_destroy(l);
    return err;
}

int node_trust_install(struct node *n, const struct node_trust_grant *grant, char why[NODE_WHY_MAX])
{
    char clause[TRUST_WHY_MAX];
    struct authority *a;
    if (authority_load_der(grant->authority_der, slice_of(NULL, 0), &a, clause) != 0)
        return refuse_grant(why, clause);
    int err = judge_grant(n, a, grant, why);
    if (err != 0) {
        authority_destroy(a);
        return err;
    }
    err = change_standing(n, a, grant->provisional, grant, why);
    if (err == 0)
        log_line(LOG_INFO, "this node is a member now", LOGF_STR("grid", n->grid), LOGF_STR("authority", authority_id(n->authority)));
    return err;
}

/* ---- life ---- */

/* Without a Gridfile it is a grid of one until told. */
static int check_way_in(const struct node *n, char why[NODE_WHY_MAX])
{
    if (n->authority || node_join_wanted(n) || (!n->options->grid && n->options->join_count + n->options->seek_count == 0))
        return 0;
    snprintf(why, NODE_WHY_MAX, "%s needs a Gridfile or a password: give every node the same --password-file FILE, or mint a Gridfile with \"grid new\" and give it to "
                                "every node with --gridfile FILE", n->options->grid ? "--grid" : "--join");
    return GRID_EINVAL;
}

int node_trust_check(struct node *n, char why[NODE_WHY_MAX])
{
    bool taken;
    standing_init(&n->standing);
    int err = node_standing_load(n, &taken, why);
    if (err == 0)
        err = node_join_open(n, why);
    return err == 0 ? check_way_in(n, why) : err;
}

/* Anew, to yield to whom its password opens for. */
static int found_to_join(struct node *n, char why[NODE_WHY_MAX])
{
    struct node_standing now;
    node_trust_standing(n, &now);
    if (!now.founded || now.door_open || !node_join_wanted(n)) {
        int err = node_trust_found(n, why);
        if (err == 0)
            node_join_anew(n);
        return err;
    }
    snprintf(why, NODE_WHY_MAX, "this node has forgotten the password, which opens nothing in its grid since somebody was evicted: stop it, run \"grid adopt --state %.200s\", and start it with the "
                                "password of the grid that it shall join", n->options->state);
    return GRID_EPERM;
}

int node_trust_adopt(struct node *n, char why[NODE_WHY_MAX])
{
    const struct node_trust_grant nothing = {0};
    struct authority *card;
    gridfile_dispose(&n->gridfile);
    n->gridfile = (struct gridfile){0};
    int err = node_standing_load_card(n, &card, why);
    gridfile_forget_secrets(&n->gridfile);
    if (err != 0)
        return err;
    if (!card)
        return found_to_join(n, why);
    if (strcmp(n->grid, authority_grid_name(card)) == 0)
        return change_standing(n, card, false, &nothing, why);
    snprintf(why, NODE_WHY_MAX, "the Gridfile is of grid \"%s\", and a node changes the grid's name only at a start: stop it, run \"grid adopt --state %.200s\", and start it again",
             authority_grid_name(card), n->options->state);
    authority_destroy(card);
    return GRID_EPERM;
}

int node_trust_open(struct node *n, char why[NODE_WHY_MAX])
{
    bool taken = false;
    standing_init(&n->standing);
    buf_init(&n->brief_ledger, 0);
    int err = identity_load(n->options->state, &n->key, why);
    if (err == 0 && (err = node_verdict_open(n)) != 0)
        snprintf(why, NODE_WHY_MAX, "out of memory");
    if (err == 0)
        err = node_standing_load(n, &taken, why);
    if (err == 0)
        err = node_join_open(n, why);
    gridfile_forget_secrets(&n->gridfile);
    if (err == 0)
        err = check_way_in(n, why);
    if (err == 0 && !n->authority && node_join_wanted(n))
        return node_trust_found(n, why);
    if (err != 0 || !n->authority)
        return err;
    if (taken)
        err = node_standing_adopt_card(n);
    if (err == 0)
        err = node_standing_keep_key(n);
    if (err == 0)
        err = node_standing_load_authorities(n, why);
    if (err == 0)
        err = node_verdict_remake(n, why);
    return err == 0 ? node_standing_keep(n, why) : err;
}

void node_trust_close(struct node *n)
{
    node_join_free(n);
    tls_context_unref(n->server_tls);
    tls_context_unref(n->call_tls);
    tls_context_unref(n->control_tls);
    tls_context_unref(n->reverse_tls);
    tls_context_unref(n->reverse_control_tls);
    verdict_unref(n->verdict);
    ledger_destroy(n->ledger);
    authority_destroy(n->authority);
    authority_destroy(n->next);
    buf_dispose(&n->brief_ledger);
    node_ledger_free(n);
    gridfile_dispose(&n->gridfile);
    key_destroy(n->key);
    standing_dispose(&n->standing);
}
