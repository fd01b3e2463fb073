/* The node's place in a grid: what the state folder and the Gridfile say of it, and what changes while it runs. */
#include "server/node_ledger.h"
#include "server/node_join.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>

#include "base/err.h"
#include "base/log.h"
#include "fs/hash.h"

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
        err = verify_chain(verdict_verifier(n->verdict), &certificate_der, 1, (int64_t) time(NULL), &holder, why);
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

static bool is_start_of(const char *start, const char *id)
{
    return strncmp(start, id, strlen(start)) == 0;
}

bool node_trust_is_of_grid(const void *arg, struct slice certificate_der)
{
    const struct node *n = arg;
    char issuer[TRUST_ISSUER_SIZE];
    if (!n->ledger || certificate_issuer(certificate_der, issuer) != 0) /* what others made need not name its issuer */
        return true;
    bool is = is_start_of(issuer, ledger_root(n->ledger)->id) || (ledger_next(n->ledger) && is_start_of(issuer, ledger_next(n->ledger)->id));
    for (size_t i = 0; i < n->standing.former_count; i++)
        is |= is_start_of(issuer, n->standing.former[i]);
    return is;
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
    n->keyless = err == 0 && !authority_can_issue(*card);
    return err == GRID_ENOENT && is_password_card(n) ? 0 : err;
}

/* ---- the standing ---- */

/* An authority of the ledger, with its key where one of the kept ones is its own. */
static int load_authority(const struct standing *s, struct slice der, struct authority **out, char clause[TRUST_WHY_MAX])
{
    for (size_t i = 0; i < STANDING_KEYS_MAX; i++)
        if (s->keys[i].size > 0 && authority_load_der(der, buf_slice(&s->keys[i]), out, clause) == 0)
            return 0;
    return authority_load_der(der, slice_of(NULL, 0), out, clause);
}

/* Ledger and root as kept; *kept is NULL when there is none. */
static int load_kept(struct node *n, struct authority **kept, char why[NODE_WHY_MAX])
{
    char clause[TRUST_WHY_MAX] = "it is damaged";
    *kept = NULL;
    if (n->standing.ledger.size == 0)
        return 0;
    int err = ledger_load(buf_slice(&n->standing.ledger), &n->ledger);
    if (err == 0)
        err = ledger_load_owed(n->ledger, buf_slice(&n->standing.owed));
    if (err == 0)
        err = load_authority(&n->standing, ledger_root(n->ledger)->der, kept, clause);
    if (err != 0)
        snprintf(why, NODE_WHY_MAX, "the ledger in %.300s/trust cannot be used (%s): move that file away and join the grid anew", n->options->state, clause);
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
        err = load_kept(n, &kept, why);
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

static bool authority_holds(const struct ledger_authority *a, struct slice der, int64_t now)
{
    struct verifier *v;
    struct verify_holder holder;
    char clause[TRUST_WHY_MAX];
    if (!a || verifier_create(&a->der, 1, NULL, 0, &v) != 0)
        return false;
    bool holds = verify_chain(v, &der, 1, now, &holder, clause) == 0;
    verifier_destroy(v);
    return holds;
}

/* What the answer hangs on besides the time, as one hash. False without memory. */
static bool memo_key(const struct ledger_authority *const all[2], struct slice der, uint8_t out[32])
{
    struct buf text;
    buf_init(&text, 0);
    int err = buf_append(&text, der);
    for (size_t i = 0; err == 0 && i < 2; i++)
        if (all[i])
            err = buf_append(&text, all[i]->der);
    if (err == 0)
        err = hash_sha256(buf_slice(&text), out);
    buf_dispose(&text);
    return err == 0;
}

/* It is asked every second, and checking a signature takes a tenth of a millisecond: the answer is kept for a minute. */
int64_t node_trust_certificate_sequence(const struct node *n)
{
    enum { KEPT_S = 60 };
    const struct ledger_authority *const all[] = {ledger_next(n->ledger), ledger_root(n->ledger)};
    struct slice der = buf_slice(&n->standing.certificate);
    struct certificate_memo *memo = n->certificate_memo;
    uint8_t key[32];
    int64_t now = (int64_t) time(NULL), sequence = -1;
    bool keyed = memo_key(all, der, key);
    if (keyed && now >= memo->at && now < memo->at + KEPT_S && memcmp(key, memo->key, sizeof key) == 0)
        return memo->sequence;
    for (size_t i = 0; i < 2 && sequence < 0; i++)
        if (authority_holds(all[i], der, now))
            sequence = (int64_t) all[i]->sequence;
    if (keyed) {
        memcpy(memo->key, key, sizeof key);
        memo->at = now;
        memo->sequence = sequence;
    }
    return sequence;
}

const struct authority *node_trust_issuer(const struct node *n)
{
    const struct ledger_authority *next = ledger_next(n->ledger);
    return next && next->phase == LEDGER_USE && n->next ? n->next : n->authority;
}

static int sign_certificate(const struct node *n, const struct authority *a, struct buf *der)
{
    const char *names[NODE_CERTIFICATE_NAMES_MAX];
    struct certificate_request request = {.public_der = key_public_der(n->key), .name = n->name, .name_is_host = true, .roles = TRUST_ROLE_NODE, .addresses = names};
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

bool node_trust_sign_own(struct node *n)
{
    struct buf fresh;
    const struct authority *a = node_trust_issuer(n);
    buf_init(&fresh, TRUST_CERTIFICATE_MAX);
    bool signed_well = authority_can_issue(a) && sign_certificate(n, a, &fresh) == 0 && standing_set(&n->standing.certificate, buf_slice(&fresh)) == 0;
    buf_dispose(&fresh);
    return signed_well;
}

/* The own certificate is of the newest authority in use. */
static bool is_of_newest(const struct node *n)
{
    const struct ledger_authority *next = ledger_next(n->ledger);
    uint64_t newest = next && next->phase == LEDGER_USE && n->next ? next->sequence : ledger_root(n->ledger)->sequence;
    return n->standing.certificate.size > 0 && node_trust_certificate_sequence(n) == (int64_t) newest;
}

static bool is_for_our_key(const struct node *n, struct slice der)
{
    char id[TRUST_ID_SIZE];
    return der.size > 0 && certificate_id(der, id) == 0 && strcmp(id, node_id(n)) == 0;
}

/* An issuer's is made anew at each start, since name and addresses may have changed. Else the kept one (others may take it even when its authority was replaced meanwhile),
 * else STATE/node.crt, where an operator puts it. */
static int take_certificate(struct node *n, const struct verifier *v, char why[NODE_WHY_MAX])
{
    char clause[TRUST_WHY_MAX];
    struct buf *der = &n->standing.certificate;
    if (authority_can_issue(node_trust_issuer(n))) {
        if ((n->verdict && is_of_newest(n)) || node_trust_sign_own(n))
            return 0;
        snprintf(why, NODE_WHY_MAX, "the node's certificate cannot be issued: check --name and the Gridfile");
        return GRID_EINVAL;
    }
    if (is_for_our_key(n, buf_slice(der)))
        return 0;
    buf_clear(der);
    int err = identity_certificate_load(n->options->state, n->key, der, why);
    if (err != 0 || certificate_is_ours(n, v, buf_slice(der), clause))
        return err;
    snprintf(why, NODE_WHY_MAX, "the node's certificate in %.300s cannot be used: %s; issue it anew, or join again", n->options->state, clause);
    return GRID_EPERM;
}

/* ---- what follows from the standing ---- */

/* Until their time is over. */
static int add_pinned(const struct standing_pins *p, struct verifier *v)
{
    const char **ids = p->count > 0 && (int64_t) time(NULL) < p->until_s ? calloc(p->count, sizeof *ids) : NULL;
    if (!ids)
        return 0;
    for (size_t i = 0; i < p->count; i++)
        ids[i] = p->ids[i];
    int err = verifier_add_pinned(v, buf_slice(&p->authority), ids, p->count);
    free(ids);
    return err;
}

static int create_verifier(const struct node *n, const char *const *evicted, size_t count, struct verifier **out)
{
    struct slice accepted[2] = {ledger_root(n->ledger)->der};
    size_t accepted_count = 1;
    if (ledger_next(n->ledger))
        accepted[accepted_count++] = ledger_next(n->ledger)->der;
    int err = verifier_create(accepted, accepted_count, evicted, count, out);
    if (err == 0 && (err = add_pinned(&n->standing.pins, *out)) != 0)
        verifier_destroy(*out);
    return err;
}

static int make_verifier(const struct node *n, struct verifier **out)
{
    size_t count = ledger_tombstone_count(n->ledger);
    const char **evicted = calloc(count + 1, sizeof *evicted);
    if (!evicted)
        return GRID_ENOMEM;
    for (size_t i = 0; i < count; i++)
        evicted[i] = ledger_tombstone_at(n->ledger, i)->id;
    int err = create_verifier(n, evicted, count, out);
    free(evicted);
    return err;
}

/* What is sent behind the own certificate: its authority, vouched for by the one before where there was one, for those who were away. */
static struct slice issuer_to_send(const struct node *n)
{
    const struct ledger_authority *root = ledger_root(n->ledger), *next = ledger_next(n->ledger);
    int64_t sequence = node_trust_certificate_sequence(n);
    if (next && sequence == (int64_t) next->sequence)
        return next->cross_der;
    if (sequence != (int64_t) root->sequence)
        return slice_of(NULL, 0);
    return root->cross_der.size > 0 ? root->cross_der : root->der;
}

/* Verifier and contexts from ledger and certificate. */
int node_trust_remake(struct node *n, char why[NODE_WHY_MAX])
{
    struct verifier *v;
    int err = make_verifier(n, &v);
    struct verdict *verdict = err == 0 ? verdict_create(v) : NULL;
    if (err == 0 && !verdict)
        err = GRID_ENOMEM;
    if (err == 0)
        err = take_certificate(n, v, why);
    else
        snprintf(why, NODE_WHY_MAX, "the grid's authority cannot be used (%s): mint a new one with \"grid new\"", grid_err_text(err));
    if (err == 0 && (err = node_verdict_apply(n, verdict, issuer_to_send(n))) != 0)
        snprintf(why, NODE_WHY_MAX, "the node's certificate cannot be used for TLS (%s)", grid_err_text(err));
    if (err != 0) {
        verdict_unref(verdict);
        return err;
    }
    verdict_unref(n->verdict);
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

/* Keys of authorities that count no more are forgotten. */
static void drop_old_keys(struct node *n)
{
    for (size_t i = 0; i < STANDING_KEYS_MAX; i++) {
        struct slice der = buf_slice(&n->standing.keys[i]);
        const struct authority *const all[] = {n->authority, n->next};
        bool counts = false;
        for (size_t a = 0; a < 2; a++)
            counts |= all[a] && authority_can_issue(all[a]) && slice_equal(der, key_private_der(authority_key(all[a])));
        for (size_t b = 0; b < i; b++)
            counts &= !slice_equal(der, buf_slice(&n->standing.keys[b]));
        if (der.size > 0 && !counts)
            (void) standing_set(&n->standing.keys[i], slice_of(NULL, 0));
    }
}

int node_trust_keep(struct node *n, char why[NODE_WHY_MAX])
{
    struct buf packed;
    buf_init(&packed, LEDGER_BYTES_MAX);
    drop_old_keys(n);
    int err = ledger_pack(n->ledger, &packed);
    if (err == 0)
        err = standing_set(&n->standing.ledger, buf_slice(&packed));
    buf_clear(&packed);
    if (err == 0)
        err = ledger_pack_owed(n->ledger, &packed);
    if (err == 0)
        err = standing_set(&n->standing.owed, buf_slice(&packed));
    if (err != 0)
        snprintf(why, NODE_WHY_MAX, "the ledger cannot be kept: %s", grid_err_text(err));
    buf_dispose(&packed);
    return err == 0 ? standing_store(n->options->state, &n->standing, why) : err;
}

/* The ledger's root is at hand with its key: reading keys is a good part of a start. */
static bool has_root(const struct node *n)
{
    return n->authority && authority_can_issue(n->authority) && slice_equal(authority_certificate_der(n->authority), ledger_root(n->ledger)->der);
}

int node_trust_load_authorities(struct node *n, char why[NODE_WHY_MAX])
{
    char clause[TRUST_WHY_MAX];
    const struct ledger_authority *next = ledger_next(n->ledger);
    bool stays = has_root(n);
    struct authority *root = n->authority, *coming = NULL;
    int err = stays ? 0 : load_authority(&n->standing, ledger_root(n->ledger)->der, &root, clause);
    if (err == 0 && next && (err = load_authority(&n->standing, next->der, &coming, clause)) != 0 && !stays)
        authority_destroy(root);
    if (err != 0) {
        snprintf(why, NODE_WHY_MAX, "the grid's authority cannot be used: %s", clause);
        return err;
    }
    if (!stays)
        authority_destroy(n->authority);
    authority_destroy(n->next);
    n->authority = root;
    n->next = coming;
    return 0;
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

/* A name that somebody gives himself is a host name in his certificate only where it cannot be another's: one word, which no living member has as its name or its host's. */
static bool may_be_named(const struct node *n, const char *id, const char *name)
{
    bool free_name = strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-") == strlen(name);
    for (size_t i = 0; free_name && i < node_member_count(n); i++) {
        const struct member *m = node_member(n, i);
        bool lives = m->state == MEMBER_ALIVE || m->state == MEMBER_STALLED;
        bool has = strcasecmp(m->name, name) == 0 || (m->hostname && strcasecmp(m->hostname, name) == 0);
        free_name = !lives || !has || strcmp(m->id, id) == 0;
    }
    return free_name;
}

/* `a` may be NULL. */
static int issue_by(struct node *n, const struct authority *a, const struct certificate_request *request, struct buf *der, char why[NODE_WHY_MAX])
{
    char id[TRUST_ID_SIZE];
    if (!a || !authority_can_issue(a)) {
        snprintf(why, NODE_WHY_MAX, "this node holds no authority's key: ask one that does");
        return GRID_EPERM;
    }
    if (!node_ledger_has_heard(n)) {
        snprintf(why, NODE_WHY_MAX, "this node has just started and has not heard yet whom the grid has evicted: ask again in some seconds");
        return GRID_EPERM;
    }
    key_id_of_public(request->public_der, id);
    if (ledger_is_evicted(n->ledger, id)) {
        snprintf(why, NODE_WHY_MAX, "the key %.8s has been evicted from the grid", id);
        return GRID_EPERM;
    }
    struct certificate_request judged = *request;
    judged.name_is_host = request->name_is_host || may_be_named(n, id, request->name);
    int err = authority_issue(a, &judged, (int64_t) time(NULL), der);
    if (err != 0)
        snprintf(why, NODE_WHY_MAX, "a certificate for %.63s cannot be issued: %s", request->name, grid_err_text(err));
    return err;
}

int node_trust_issue(struct node *n, const struct certificate_request *request, struct buf *der, char why[NODE_WHY_MAX])
{
    return issue_by(n, n->authority ? node_trust_issuer(n) : NULL, request, der, why);
}

int node_trust_issue_joiner(struct node *n, const struct certificate_request *request, struct buf *der, char why[NODE_WHY_MAX])
{
    return issue_by(n, n->authority, request, der, why);
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
        (void) node_trust_remake(n, ignored); /* the contexts may hold the new terms */
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
        err = node_trust_load_authorities(n, why);
    if (err == 0)
        err = node_trust_remake(n, why);
    return err == 0 ? node_trust_keep(n, why) : err;
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
    if (node_trust_keep(n, why) != 0)
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
    bool ours = certificate_is_ours(n, v, certificate_der, clause);
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
    int err = load_standing(n, &taken, why);
    if (err == 0)
        err = node_join_open(n, why);
    return err == 0 ? check_way_in(n, why) : err;
}

/* The Gridfile's authority becomes the state folder's. */
static int adopt_card(struct node *n)
{
    standing_dispose(&n->standing);
    standing_init(&n->standing);
    ledger_destroy(n->ledger);
    n->ledger = NULL;
    return ledger_create(authority_certificate_der(n->authority), &n->ledger);
}

/* The Gridfile's key, where it has one, stays with this node: an issuer is one at later starts too. */
static int keep_key(struct node *n)
{
    struct slice der = authority_can_issue(n->authority) ? key_private_der(authority_key(n->authority)) : slice_of(NULL, 0);
    for (size_t i = 0; i < STANDING_KEYS_MAX; i++)
        if (der.size == 0 || slice_equal(der, buf_slice(&n->standing.keys[i])))
            return 0;
    return standing_set(&n->standing.keys[n->standing.keys[0].size > 0], der);
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
    int err = load_gridfile(n, &card, why);
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
    if (err == 0 && (err = make_empty_contexts(n)) != 0)
        snprintf(why, NODE_WHY_MAX, "out of memory");
    if (err == 0)
        err = load_standing(n, &taken, why);
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
        err = adopt_card(n);
    if (err == 0)
        err = keep_key(n);
    if (err == 0)
        err = node_trust_load_authorities(n, why);
    if (err == 0)
        err = node_trust_remake(n, why);
    return err == 0 ? node_trust_keep(n, why) : err;
}

void node_trust_close(struct node *n)
{
    node_join_free(n);
    tls_context_unref(n->server_tls);
    tls_context_unref(n->call_tls);
    tls_context_unref(n->control_tls);
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
