/* The TLS contexts that judge by a verdict. */
#include <string.h>

#include "server/node_join.h"
#include "server/node_trust.h"

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
                                .alpn = ALPN_CALLS "," ALPN_CONTROL "," ALPN_PLAIN_CALLS};
    int err = tls_context_replace(n->server_tls, &config);
    if (err != 0)
        verdict_unref(v);
    return err;
}

int node_verdict_apply(struct node *n, struct verdict *v, struct slice issuer_der)
{
    int err = replace_server(n, v, issuer_der);
    if (err == 0)
        err = tls_context_follow(n->call_tls, n->server_tls, ALPN_CALLS);
    return err == 0 ? tls_context_follow(n->control_tls, n->server_tls, ALPN_CONTROL) : err;
}
