/* Who is let in: the verdict by what the ledger says, and the TLS contexts that judge by it; and whose release entries count. */
#include "server/node_verdict.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/err.h"
#include "server/node_certificate.h"
#include "server/node_join.h"
#include "server/node_reverse.h"

/* ---- the TLS contexts ---- */

/* One protocol for calls, one for the control plane's links: the acceptor hands each to its owner (DESIGN.md, Links). */
#define ALPN_CALLS "h2"
#define ALPN_CONTROL "grid-control/1"
#define ALPN_PLAIN_CALLS "http/1.1" /* of remote clients that know no HTTP/2 */

/* Those who dial in may be strangers that want to join; this node dials nobody as one here. */
static int replace_server(struct node *n, struct verdict *v, struct slice issuer_der)
{
    struct tls_config config = {.guest_alpn = NODE_JOIN_ALPN, .guest_certificate_der = node_join_guest_certificate(n),
                                .guest_key_der = node_join_guest_key(n), .certificate_der = buf_slice(&n->standing.certificate), .issuer_der = issuer_der,
                                .key_der = key_private_der(n->key), .verify = verdict_judge, .verify_arg = verdict_ref(v), .release = verdict_release,
                                .alpn = ALPN_CALLS "," ALPN_CONTROL "," ALPN_PLAIN_CALLS "," NODE_REVERSE_ALPN "," NODE_REVERSE_CONTROL_ALPN};
    int err = tls_context_replace(n->server_tls, &config);
    if (err != 0)
        verdict_unref(v);
    return err;
}

static int apply(struct node *n, struct verdict *v, struct slice issuer_der)
{
    int err = replace_server(n, v, issuer_der);
    if (err == 0)
        err = tls_context_follow(n->call_tls, n->server_tls, ALPN_CALLS);
    if (err == 0)
        err = tls_context_follow(n->control_tls, n->server_tls, ALPN_CONTROL);
    if (err == 0)
        err = tls_context_follow(n->reverse_tls, n->server_tls, NODE_REVERSE_ALPN);
    return err == 0 ? tls_context_follow(n->reverse_control_tls, n->server_tls, NODE_REVERSE_CONTROL_ALPN) : err;
}

/* ---- the verdict ---- */

/* Until their time is over. */
static int add_pinned(const struct standing_pins *p, struct verifier *v)
{
    const char **ids = p->count > 0 && (int64_t) time(NULL) < p->until_s ? calloc(p->count, sizeof *ids) : NULL;
    if (!ids)
        return 0;
    for (size_t i = 0; i < p->count; i++)
        ids[i] = p->ids[i];
    int err = verifier_add_pinned(v, buf_slice(&p->authority), ids, p->count);
    if (err == 0 && p->next.size > 0)
        err = verifier_add_pinning(v, buf_slice(&p->next));
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
    int64_t sequence = node_certificate_sequence(n);
    if (next && sequence == (int64_t) next->sequence)
        return next->cross_der;
    if (sequence != (int64_t) root->sequence)
        return slice_of(NULL, 0);
    return root->cross_der.size > 0 ? root->cross_der : root->der;
}

/* Verifier and contexts from ledger and certificate. */
int node_verdict_remake(struct node *n, char why[NODE_WHY_MAX])
{
    struct verifier *v;
    int err = make_verifier(n, &v);
    struct verdict *verdict = err == 0 ? verdict_create(v) : NULL;
    if (err == 0 && !verdict)
        err = GRID_ENOMEM;
    if (err == 0)
        err = node_certificate_take(n, v, why);
    else
        snprintf(why, NODE_WHY_MAX, "the grid's authority cannot be used (%s): mint a new one with \"grid new\"", grid_err_text(err));
    if (err == 0 && (err = apply(n, verdict, issuer_to_send(n))) != 0)
        snprintf(why, NODE_WHY_MAX, "the node's certificate cannot be used for TLS (%s)", grid_err_text(err));
    if (err != 0) {
        verdict_unref(verdict);
        return err;
    }
    verdict_unref(n->verdict);
    n->verdict = verdict;
    return 0;
}

int node_verdict_open(struct node *n)
{
    int err = tls_context_create_empty(&n->server_tls);
    if (err == 0)
        err = tls_context_create_empty(&n->call_tls);
    if (err == 0)
        err = tls_context_create_empty(&n->control_tls);
    if (err == 0)
        err = tls_context_create_empty(&n->reverse_tls);
    return err == 0 ? tls_context_create_empty(&n->reverse_control_tls) : err;
}

bool node_verdict_is_member(const struct node *n, const struct tls_peer *peer, const char *id)
{
    return peer && strcmp(peer->id, id) == 0 && (peer->roles & TLS_ROLE_NODE) && !(n->verdict && verdict_refuses(n->verdict, peer));
}

/* ---- entries ---- */

bool node_may_publish(const struct node *n, const char *id)
{
    for (size_t i = 0; i < n->gridfile.publisher_count; i++)
        if (strcmp(n->gridfile.publishers[i], id) == 0)
            return true;
    return n->gridfile.publisher_count == 0;
}

int node_verdict_of_entry(void *arg, struct slice certificate_der, const char *publisher, struct slice bytes, struct slice signature, char why[160])
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
    else if (!(holder.roles & (TRUST_ROLE_NODE | TRUST_ROLE_ADMIN)) || !node_may_publish(n, publisher))
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

bool node_verdict_is_of_grid(const void *arg, struct slice certificate_der)
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
