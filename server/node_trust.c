/* The node's place in a grid: what the state folder and the Gridfile say of it, and what changes while it runs. */
#include "server/node_join.h"
#include "server/node_trust.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/err.h"
#include "base/log.h"

const char *node_id(const struct node *n)
{
    return key_id(n->key);
}

int node_sign(void *arg, struct slice bytes, uint8_t signature[ENTRY_SIGNATURE_BYTES], size_t *size)
{
    const struct node *n = arg;
    return key_sign(n->key, bytes, signature, size);
}

/* ---- publishers ---- */

static bool may_publish(const struct node *n, const char *id)
{
    for (size_t i = 0; i < n->gridfile.publisher_count; i++)
        if (strcmp(n->gridfile.publishers[i], id) == 0)
            return true;
    return n->gridfile.publisher_count == 0;
}

int node_verify_entry(void *arg, struct slice certificate_der, const char *publisher, struct slice bytes, struct slice signature, char why[160])
{
    const struct node *n = arg;
    struct verify_holder holder;
    int err = GRID_EPERM;
    snprintf(why, 160, "this node is in no grid");
    if (n->verdict)
        err = verify_chain(node_verdict_verifier(n->verdict), &certificate_der, 1, (int64_t) time(NULL), &holder, why);
    if (err != 0)
        return err;
    if (strcmp(holder.id, publisher) != 0)
        snprintf(why, 160, "its certificate is not its publisher's");
    else if (!(holder.roles & (TRUST_ROLE_NODE | TRUST_ROLE_ADMIN)) || !may_publish(n, publisher))
        snprintf(why, 160, "its publisher is not among those who may publish");
    else if (verify_signature(certificate_der, bytes, signature) != 0)
        snprintf(why, 160, "its signature is wrong");
    else
        return 0;
    return GRID_EPERM;
}

/* ---- the Gridfile ---- */

static void warn_unknown(void *ctx, const struct toml_entry *entry)
{
    (void) ctx;
    if (entry->table.size > 0 || !options_is_known(entry->key))
        log_line(LOG_WARN, "the Gridfile has a key that this version does not know: it is passed over", LOGF_SLICE("key", entry->key), LOGF_INT("line", entry->line));
}

/* A card without an authority will do where a password is what lets in. */
static bool is_password_card(const struct node *n)
{
    const struct options *o = n->options;
    return o->password_file || o->password || o->open || (n->gridfile.grid_password && *n->gridfile.grid_password);
}

/* *card: its authority, NULL when there is no Gridfile or it names none. */
static int load_gridfile(struct node *n, struct authority **card, char why[NODE_WHY_MAX])
{
    char path[4096];
    *card = NULL;
    if (!options_find_gridfile(n->options, path, sizeof path))
        return 0;
    int err = gridfile_load(path, warn_unknown, NULL, &n->gridfile, why);
    if (err != 0)
        return err;
    err = gridfile_authority(&n->gridfile, n->options->grid, card, why);
    return err == GRID_ENOENT && is_password_card(n) ? 0 : err;
}

/* ---- the standing ---- */

/* The authority as kept, with its key where one of the kept ones is its own. */
static int load_kept(const struct standing *s, struct authority **out, char why[NODE_WHY_MAX])
{
    char clause[TRUST_WHY_MAX];
    *out = NULL;
    if (s->authority.size == 0)
        return 0;
    for (size_t i = 0; i < STANDING_KEYS_MAX; i++)
        if (s->keys[i].size > 0 && authority_load_der(buf_slice(&s->authority), buf_slice(&s->keys[i]), out, clause) == 0)
            return 0;
    int err = authority_load_der(buf_slice(&s->authority), slice_of(NULL, 0), out, clause);
    if (err != 0)
        snprintf(why, NODE_WHY_MAX, "the state folder's authority cannot be used (%s): move the file trust away and join the grid anew", clause);
    return err;
}

static int refuse_card(const struct node *n, const struct authority *card, const struct authority *kept, char why[NODE_WHY_MAX])
{
    snprintf(why, NODE_WHY_MAX,
             "--gridfile: the Gridfile's authority %.8s of grid \"%s\" is not %.8s of grid \"%s\", which this node belongs to by its state folder %.200s: run "
             "\"grid adopt\" to change sides, or give the other Gridfile or another --state",
             authority_id(card), authority_grid_name(card), authority_id(kept), authority_grid_name(kept), n->options->state);
    return GRID_EPERM;
}

/* Which of the two counts; the other is destroyed. *taken: it is the Gridfile's, new here. */
static int choose_authority(struct node *n, struct authority *card, struct authority *kept, bool *taken, char why[NODE_WHY_MAX])
{
    *taken = false;
    if (!card || !kept) {
        n->authority = card ? card : kept;
        *taken = card != NULL;
        return 0;
    }
    bool same = strcmp(authority_id(card), authority_id(kept)) == 0, stale = standing_is_former(&n->standing, authority_id(card));
    if (same || (!stale && n->standing.provisional)) {
        bool keep_kept = same && authority_can_issue(kept);
        n->authority = keep_kept ? kept : card;
        *taken = !same;
        authority_destroy(keep_kept ? card : kept);
        return 0;
    }
    n->authority = kept;
    int err = stale ? 0 : refuse_card(n, card, kept, why);
    if (stale)
        log_line(LOG_WARN, "the Gridfile is from before the grid's authority was replaced: what the state folder has is used", LOGF_STR("gridfile", authority_id(card)),
                 LOGF_STR("authority", authority_id(kept)));
    authority_destroy(card);
    return err;
}

static int check_grid_name(const struct node *n, char why[NODE_WHY_MAX])
{
    const char *asked = n->options->grid;
    if (!n->authority || !asked || strcmp(asked, authority_grid_name(n->authority)) == 0)
        return 0;
    snprintf(why, NODE_WHY_MAX, "--grid: this node belongs to grid \"%s\" by its state folder %.200s, not to \"%s\": run \"grid adopt\", or give another --state",
             authority_grid_name(n->authority), n->options->state, asked);
    return GRID_EINVAL;
}

static int load_standing(struct node *n, bool *taken, char why[NODE_WHY_MAX])
{
    struct authority *card = NULL, *kept = NULL;
    int err = standing_load(n->options->state, &n->standing, why);
    if (err == 0)
        err = load_gridfile(n, &card, why);
    if (err == 0)
        err = load_kept(&n->standing, &kept, why);
    if (err != 0) {
        authority_destroy(card);
        authority_destroy(kept);
        return err;
    }
    err = choose_authority(n, card, kept, taken, why);
    if (err == 0)
        err = check_grid_name(n, why);
    const char *name = n->authority ? authority_grid_name(n->authority) : n->options->grid ? n->options->grid : n->gridfile.grid_name;
    if (err == 0 && name)
        snprintf(n->grid, sizeof n->grid, "%s", name);
    return err;
}

/* ---- certificates ---- */

size_t node_certificate_names(const struct node *n, const char *names[NODE_CERTIFICATE_NAMES_MAX])
{
    size_t count = 0, given;
    const struct option_hostport *advertise = option_hostports(n->options->set, "advertise", &given);
    names[count++] = n->host.hostname;
    if (given > 0)
        names[count++] = advertise[0].host;
    for (unsigned i = 0; i < n->host.address_count; i++)
        names[count++] = n->host.addresses[i];
    return count;
}

static int sign_certificate(const struct node *n, const struct authority *a, struct buf *der)
{
    const char *names[NODE_CERTIFICATE_NAMES_MAX];
    struct certificate_request request = {.public_der = key_public_der(n->key), .name = n->name, .roles = TRUST_ROLE_NODE, .addresses = names};
    request.address_count = node_certificate_names(n, names);
    return authority_issue(a, &request, (int64_t) time(NULL), der);
}

static bool certificate_is_ours(const struct node *n, const struct verifier *v, struct slice der, char clause[TRUST_WHY_MAX])
{
    struct verify_holder holder;
    if (verify_chain(v, &der, 1, (int64_t) time(NULL), &holder, clause) != 0)
        return false;
    bool ours = strcmp(holder.id, node_id(n)) == 0 && (holder.roles & TRUST_ROLE_NODE);
    if (!ours)
        snprintf(clause, TRUST_WHY_MAX, "it is not a node's certificate for this node's key");
    return ours;
}

/* An issuer's is made anew at each start, since name and addresses may have changed. Else the kept one, else STATE/node.crt, where an operator puts it. */
static int take_certificate(struct node *n, const struct verifier *v, char why[NODE_WHY_MAX])
{
    char clause[TRUST_WHY_MAX];
    struct buf *der = &n->standing.certificate;
    int err = 0;
    if (authority_can_issue(n->authority)) {
        buf_clear(der);
        err = sign_certificate(n, n->authority, der);
        if (err != 0)
            snprintf(why, NODE_WHY_MAX, "the node's certificate cannot be issued (%s): check --name and the Gridfile", grid_err_text(err));
        return err;
    }
    if (der->size > 0 && certificate_is_ours(n, v, buf_slice(der), clause))
        return 0;
    buf_clear(der);
    err = identity_certificate_load(n->options->state, n->key, der, why);
    if (err != 0 || certificate_is_ours(n, v, buf_slice(der), clause))
        return err;
    snprintf(why, NODE_WHY_MAX, "the node's certificate in %.300s cannot be used: %s; issue it anew, or join again", n->options->state, clause);
    return GRID_EPERM;
}

/* ---- what follows from the standing ---- */

static int make_verifier(const struct node *n, struct verifier **out)
{
    struct slice authority = authority_certificate_der(n->authority);
    return verifier_create(&authority, 1, NULL, 0, out);
}

/* Verifier and contexts from authority and certificate. */
static int make_verdict(struct node *n, char why[NODE_WHY_MAX])
{
    struct verifier *v;
    int err = make_verifier(n, &v);
    struct node_verdict *verdict = err == 0 ? node_verdict_create(v) : NULL;
    if (err == 0 && !verdict)
        err = GRID_ENOMEM;
    if (err == 0)
        err = take_certificate(n, v, why);
    else
        snprintf(why, NODE_WHY_MAX, "the grid's authority cannot be used (%s): mint a new one with \"grid new\"", grid_err_text(err));
    if (err == 0 && (err = node_verdict_apply(n, verdict, authority_certificate_der(n->authority))) != 0)
        snprintf(why, NODE_WHY_MAX, "the node's certificate cannot be used for TLS (%s)", grid_err_text(err));
    if (err != 0) {
        node_verdict_unref(verdict);
        return err;
    }
    node_verdict_unref(n->verdict);
    n->verdict = verdict;
    return 0;
}

static int make_empty_contexts(struct node *n)
{
    int err = tls_context_create_empty(&n->server_tls);
    if (err == 0)
        err = tls_context_create_empty(&n->call_tls);
    return err == 0 ? tls_context_create_empty(&n->control_tls) : err;
}

static int keep_standing(struct node *n, char why[NODE_WHY_MAX])
{
    return standing_store(n->options->state, &n->standing, why);
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
    out->door_open = true;
}

struct slice node_trust_authority(const struct node *n)
{
    return n->authority ? authority_certificate_der(n->authority) : slice_of(NULL, 0);
}

struct slice node_trust_ledger(const struct node *n)
{
    return buf_slice(&n->standing.ledger);
}

int node_trust_issue(struct node *n, const struct certificate_request *request, struct buf *der, char why[NODE_WHY_MAX])
{
    char id[TRUST_ID_SIZE];
    if (!n->authority || !authority_can_issue(n->authority)) {
        snprintf(why, NODE_WHY_MAX, "this node holds no authority's key: ask one that does");
        return GRID_EPERM;
    }
    key_id_of_public(request->public_der, id);
    if (verifier_refuses(node_verdict_verifier(n->verdict), id, authority_id(n->authority))) {
        snprintf(why, NODE_WHY_MAX, "the key %.8s has been evicted from the grid", id);
        return GRID_EPERM;
    }
    int err = authority_issue(n->authority, request, (int64_t) time(NULL), der);
    if (err != 0)
        snprintf(why, NODE_WHY_MAX, "a certificate for %.63s cannot be issued: %s", request->name, grid_err_text(err));
    return err;
}

/* ---- changes ---- */

static void on_listening(void *arg, int err, const char *why)
{
    struct node *n = arg;
    if (err != 0)
        log_line(LOG_ERROR, "other nodes cannot reach this one", LOGF_STR("why", why));
    else
        node_gossip_update(n);
}

/* Tells the parts that run of the new standing. Before they are open there is nobody to tell. */
static void spread_change(struct node *n)
{
    struct addr at;
    char why[NODE_WHY_MAX];
    if (!n->workers)
        return;
    if (n->releases)
        releases_set_certificate(n->releases, buf_slice(&n->standing.certificate));
    if (n->gossip && gossip_set_trust(n->gossip, authority_id(n->authority), n->grid) != 0)
        log_line(LOG_ERROR, "membership could not take in the new authority: restart this node");
    if (n->gossip)
        node_gossip_update(n);
    node_routes_changed(n);
    if (worker_set_peer(n->workers)->size != 0)
        return;
    if (node_peer_address(n, &at, why) == 0)
        worker_set_listen(n->workers, &at, on_listening, n);
    else
        on_listening(n, GRID_EINVAL, why);
}

/* Takes the authority over. `certificate` and `ledger` may be empty: an issuer makes its own. Nothing has changed when it fails. */
static int change_standing(struct node *n, struct authority *a, bool provisional, const struct node_trust_grant *grant, char why[NODE_WHY_MAX])
{
    struct authority *before = n->authority;
    struct standing was = n->standing;
    const struct key *k = authority_key(a);
    standing_init(&n->standing);
    n->authority = a;
    n->standing.provisional = provisional;
    int err = standing_set(&n->standing.authority, authority_certificate_der(a));
    if (err == 0)
        err = standing_set(&n->standing.certificate, grant->certificate_der);
    if (err == 0)
        err = standing_set(&n->standing.ledger, grant->ledger);
    if (err == 0 && k)
        err = standing_set(&n->standing.keys[0], key_private_der(k));
    if (err != 0)
        snprintf(why, NODE_WHY_MAX, "out of memory");
    if (err == 0)
        err = make_verdict(n, why);
    if (err == 0)
        err = keep_standing(n, why);
    if (err != 0) { /* the contexts may hold the new terms: back to the old */
        char ignored[NODE_WHY_MAX];
        standing_dispose(&n->standing);
        authority_destroy(a);
        n->standing = was;
        n->authority = before;
        if (before)
            (void) make_verdict(n, ignored);
        return err;
    }
    standing_dispose(&was);
    authority_destroy(before);
    spread_change(n);
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
    if (keep_standing(n, why) != 0)
        log_line(LOG_ERROR, "the grid's authority is settled, but that could not be kept on disk", LOGF_STR("why", why));
    else
        log_line(LOG_INFO, "the grid's authority is settled: provisional ones yield to it from now on", LOGF_STR("authority", authority_id(n->authority)));
}

static int refuse_grant(char why[NODE_WHY_MAX], const char *clause)
{
    snprintf(why, NODE_WHY_MAX, "what was granted cannot be used: %s", clause);
    return GRID_EINVAL;
}

static int judge_grant(struct node *n, const struct authority *a, const struct node_trust_grant *grant, char why[NODE_WHY_MAX])
{
    char clause[TRUST_WHY_MAX] = "it is another grid's";
    struct slice authority = authority_certificate_der(a);
    struct verifier *v;
    if (strcmp(n->grid, authority_grid_name(a)) != 0)
        return refuse_grant(why, clause);
    int err = verifier_create(&authority, 1, NULL, 0, &v);
    if (err != 0)
        return refuse_grant(why, grid_err_text(err));
    bool ours = certificate_is_ours(n, v, grant->certificate_der, clause);
    verifier_destroy(v);
    return ours ? 0 : refuse_grant(why, clause);
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
    if (n->authority || node_join_wanted(n) || (!n->options->grid && n->options->join_count == 0))
        return 0;
    snprintf(why, NODE_WHY_MAX, "%s needs a Gridfile or a password: give every node the same --password-file FILE, or mint a Gridfile with \"grid new\" and give it to "
                                "every node with --gridfile FILE", n->options->grid ? "--grid" : "--join");
    return GRID_EINVAL;
}

int node_trust_check(struct node *n, char why[NODE_WHY_MAX])
{
    bool taken;
    standing_init(&n->standing);
    int err = load_standing(n, &taken, why);
    if (err == 0)
        err = node_join_open(n, why);
    return err == 0 ? check_way_in(n, why) : err;
}

/* The Gridfile's authority becomes the state folder's; its key stays where it is. */
static int adopt_card(struct node *n)
{
    standing_dispose(&n->standing);
    standing_init(&n->standing);
    return standing_set(&n->standing.authority, authority_certificate_der(n->authority));
}

int node_trust_open(struct node *n, char why[NODE_WHY_MAX])
{
    bool taken = false;
    standing_init(&n->standing);
    int err = identity_load(n->options->state, &n->key, why);
    if (err == 0 && (err = make_empty_contexts(n)) != 0)
        snprintf(why, NODE_WHY_MAX, "out of memory");
    if (err == 0)
        err = load_standing(n, &taken, why);
    if (err == 0)
        err = node_join_open(n, why);
    if (err == 0)
        err = check_way_in(n, why);
    if (err == 0 && !n->authority && node_join_wanted(n))
        return node_trust_found(n, why);
    if (err != 0 || !n->authority)
        return err;
    if (taken)
        err = adopt_card(n);
    if (err == 0)
        err = make_verdict(n, why);
    return err == 0 ? keep_standing(n, why) : err;
}

void node_trust_close(struct node *n)
{
    node_join_free(n);
    tls_context_unref(n->server_tls);
    tls_context_unref(n->call_tls);
    tls_context_unref(n->control_tls);
    node_verdict_unref(n->verdict);
    authority_destroy(n->authority);
    gridfile_dispose(&n->gridfile);
    key_destroy(n->key);
    standing_dispose(&n->standing);
}
