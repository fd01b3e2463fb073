/* Who is let in: the verifier as a shared, immutable snapshot, and the TLS contexts that judge by it. */
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/err.h"
#include "server/node_join.h"
#include "server/node_trust.h"

/* One protocol for calls, one for the control plane's links: the acceptor hands each to its owner (DESIGN.md, Links). */
#define ALPN_CALLS "h2"
#define ALPN_CONTROL "grid-control/1"
#define ALPN_PLAIN_CALLS "http/1.1" /* of remote clients that know no HTTP/2 */

struct node_verdict {
    atomic_int references;
    struct verifier *verifier;
};

struct node_verdict *node_verdict_create(struct verifier *v)
{
    struct node_verdict *verdict = calloc(1, sizeof *verdict);
    if (!verdict) {
        verifier_destroy(v);
        return NULL;
    }
    atomic_init(&verdict->references, 1);
    verdict->verifier = v;
    return verdict;
}

struct node_verdict *node_verdict_ref(struct node_verdict *v)
{
    atomic_fetch_add_explicit(&v->references, 1, memory_order_relaxed);
    return v;
}

void node_verdict_unref(struct node_verdict *v)
{
    if (!v || atomic_fetch_sub_explicit(&v->references, 1, memory_order_acq_rel) != 1)
        return;
    verifier_destroy(v->verifier);
    free(v);
}

const struct verifier *node_verdict_verifier(const struct node_verdict *v)
{
    return v->verifier;
}

/* On whatever thread the handshake runs. */
static int verify_peer(void *arg, const struct slice *chain, size_t count, struct tls_peer *peer, char why[160])
{
    const struct node_verdict *v = arg;
    struct verify_holder holder;
    int err = verify_chain(v->verifier, chain, count, (int64_t) time(NULL), &holder, why);
    if (err != 0)
        return err;
    memcpy(peer->id, holder.id, sizeof peer->id);
    memcpy(peer->name, holder.name, sizeof peer->name);
    memcpy(peer->issuer, holder.issuer, sizeof peer->issuer);
    peer->roles = holder.roles;
    return 0;
}

static void release_verdict(void *arg)
{
    node_verdict_unref(arg);
}

/* Those who dial in may be strangers that want to join; this node dials nobody as one here. */
static int replace_context(struct tls_context *c, struct node *n, const char *alpn, struct node_verdict *v, struct slice issuer_der)
{
    bool accepts = c == n->server_tls;
    struct tls_config config = {.guest_alpn = accepts ? NODE_JOIN_ALPN : NULL, .guest_certificate_der = node_join_guest_certificate(n),
                                .guest_key_der = node_join_guest_key(n), .certificate_der = buf_slice(&n->standing.certificate), .issuer_der = issuer_der, .key_der = key_private_der(n->key),
                                .verify = verify_peer, .verify_arg = node_verdict_ref(v), .release = release_verdict, .alpn = alpn};
    int err = tls_context_replace(c, &config);
    if (err != 0)
        node_verdict_unref(v);
    return err;
}

int node_verdict_apply(struct node *n, struct node_verdict *v, struct slice issuer_der)
{
    int err = replace_context(n->server_tls, n, ALPN_CALLS "," ALPN_CONTROL "," ALPN_PLAIN_CALLS, v, issuer_der);
    if (err == 0)
        err = replace_context(n->call_tls, n, ALPN_CALLS, v, issuer_der);
    return err == 0 ? replace_context(n->control_tls, n, ALPN_CONTROL, v, issuer_der) : err;
}
