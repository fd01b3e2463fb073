/* The TLS contexts that judge by a verdict. */
#include <string.h>

#include "server/node_join.h"
#include "server/node_trust.h"

/* One protocol for calls, one for the control plane's links: the acceptor hands each to its owner (DESIGN.md, Links). */
#define ALPN_CALLS "h2"
#define ALPN_CONTROL "grid-control/1"
#define ALPN_PLAIN_CALLS "http/1.1" /* of remote clients that know no HTTP/2 */

/* Those who dial in may be strangers that want to join; this node dials nobody as one here. */
static int replace_context(struct tls_context *c, struct node *n, const char *alpn, struct verdict *v, struct slice issuer_der)
{
    bool accepts = c == n->server_tls;
    struct tls_config config = {.guest_alpn = accepts ? NODE_JOIN_ALPN : NULL, .guest_certificate_der = node_join_guest_certificate(n),
                                .guest_key_der = node_join_guest_key(n), .certificate_der = buf_slice(&n->standing.certificate), .issuer_der = issuer_der,
                                .key_der = key_private_der(n->key), .verify = verdict_judge, .verify_arg = verdict_ref(v), .release = verdict_release, .alpn = alpn};
    int err = tls_context_replace(c, &config);
    if (err != 0)
        verdict_unref(v);
    return err;
}

int node_verdict_apply(struct node *n, struct verdict *v, struct slice issuer_der)
{
    int err = replace_context(n->server_tls, n, ALPN_CALLS "," ALPN_CONTROL "," ALPN_PLAIN_CALLS, v, issuer_der);
    if (err == 0)
        err = replace_context(n->call_tls, n, ALPN_CALLS, v, issuer_der);
    return err == 0 ? replace_context(n->control_tls, n, ALPN_CONTROL, v, issuer_der) : err;
}
