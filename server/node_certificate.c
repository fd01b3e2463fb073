/* Certificates that authorities of the grid sign here: the own one, and others'. */
#include "server/node_certificate.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <time.h>

#include "base/err.h"
#include "fs/hash.h"
#include "server/node_ledger.h"

size_t node_certificate_names(const struct node *n, const char *names[NODE_CERTIFICATE_NAMES_MAX])
{
    size_t count = 0, given;
    const struct option_hostport *advertise = option_hostports(n->options->set, "advertise", &given);
    names[count++] = n->host.hostname;
    for (size_t i = 0; i < given; i++)
        names[count++] = advertise[i].host;
    for (unsigned i = 0; i < n->host.address_count && count < NODE_CERTIFICATE_NAMES_MAX; i++)
        names[count++] = n->host.addresses[i];
    return count;
}

/* ---- the own one ---- */

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
int64_t node_certificate_sequence(const struct node *n)
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

const struct authority *node_certificate_issuer(const struct node *n)
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

bool node_certificate_is_ours(const struct node *n, const struct verifier *v, struct slice der, char clause[TRUST_WHY_MAX])
{
    struct verify_holder holder;
    if (verify_chain(v, &der, 1, (int64_t) time(NULL), &holder, clause) != 0)
        return false;
    bool ours = strcmp(holder.id, node_id(n)) == 0 && (holder.roles & TRUST_ROLE_NODE);
    if (!ours)
        snprintf(clause, TRUST_WHY_MAX, "it is not a node's certificate for this node's key");
    return ours;
}

bool node_certificate_is_newest(const struct node *n, struct slice der, char clause[TRUST_WHY_MAX])
{
    const struct slice newest = authority_certificate_der(node_certificate_issuer(n));
    struct verifier *v;
    snprintf(clause, TRUST_WHY_MAX, "out of memory");
    if (verifier_create(&newest, 1, NULL, 0, &v) != 0)
        return false;
    bool ours = node_certificate_is_ours(n, v, der, clause);
    verifier_destroy(v);
    return ours;
}

bool node_certificate_sign_own(struct node *n)
{
    struct buf fresh;
    const struct authority *a = node_certificate_issuer(n);
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
    return n->standing.certificate.size > 0 && node_certificate_sequence(n) == (int64_t) newest;
}

static bool is_for_our_key(const struct node *n, struct slice der)
{
    char id[TRUST_ID_SIZE];
    return der.size > 0 && certificate_id(der, id) == 0 && strcmp(id, node_id(n)) == 0;
}

/* An issuer's is made anew at each start, since name and addresses may have changed. Else the kept one (others may take it even when its authority was replaced meanwhile),
 * else STATE/node.crt, where an operator puts it. */
int node_certificate_take(struct node *n, const struct verifier *v, char why[NODE_WHY_MAX])
{
    char clause[TRUST_WHY_MAX];
    struct buf *der = &n->standing.certificate;
    if (authority_can_issue(node_certificate_issuer(n))) {
        if ((n->verdict && is_of_newest(n)) || node_certificate_sign_own(n))
            return 0;
        snprintf(why, NODE_WHY_MAX, "the node's certificate cannot be issued: check --name and the Gridfile");
        return GRID_EINVAL;
    }
    if (is_for_our_key(n, buf_slice(der)))
        return 0;
    buf_clear(der);
    int err = identity_certificate_load(n->options->state, n->key, der, why);
    if (err != 0 || node_certificate_is_ours(n, v, buf_slice(der), clause))
        return err;
    snprintf(why, NODE_WHY_MAX, "the node's certificate in %.300s cannot be used: %s; issue it anew, or join again", n->options->state, clause);
    return GRID_EPERM;
}

/* ---- others' ---- */

/* Its own name, its host's, or one by which it is dialled. */
static bool is_called(const struct member *m, const char *name)
{
    size_t size = strlen(name);
    bool is = strcasecmp(m->name, name) == 0 || (m->hostname && strcasecmp(m->hostname, name) == 0);
    for (size_t i = 0; !is && i < m->address_count; i++)
        is = strncasecmp(m->addresses[i], name, size) == 0 && m->addresses[i][size] == ':';
    return is;
}

/* A name that somebody gives himself is a host name in his certificate only where it cannot be another's: one word, by which no living member is called. */
static bool may_be_named(const struct node *n, const char *id, const char *name)
{
    bool free_name = strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-") == strlen(name);
    for (size_t i = 0; free_name && i < node_member_count(n); i++) {
        const struct member *m = node_member(n, i);
        bool lives = m->state == MEMBER_ALIVE || m->state == MEMBER_STALLED;
        free_name = !lives || !is_called(m, name) || strcmp(m->id, id) == 0;
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

int node_certificate_issue(struct node *n, const struct certificate_request *request, struct buf *der, char why[NODE_WHY_MAX])
{
    return issue_by(n, n->authority ? node_certificate_issuer(n) : NULL, request, der, why);
}

int node_certificate_issue_joiner(struct node *n, const struct certificate_request *request, struct buf *der, char why[NODE_WHY_MAX])
{
    return issue_by(n, n->authority, request, der, why);
}
