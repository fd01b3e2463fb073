/* The node's key and certificate, the grid's authority, and the TLS contexts made of them. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/err.h"
#include "base/log.h"
#include "server/node_internal.h"

/* One protocol for calls, one for the control plane's links: the acceptor hands each to its owner (DESIGN.md, Links). */
#define ALPN_CALLS "h2"
#define ALPN_CONTROL "grid-control/1"
#define ALPN_PLAIN_CALLS "http/1.1" /* of remote clients that know no HTTP/2 */

const char *node_id(const struct node *n)
{
    return key_id(n->key);
}

int node_sign(void *arg, struct slice bytes, uint8_t signature[ENTRY_SIGNATURE_BYTES], size_t *size)
{
    const struct node *n = arg;
    return key_sign(n->key, bytes, signature, size);
}

/* ---- judging others ---- */

static int verify_peer(void *arg, const struct slice *chain, size_t count, struct tls_peer *peer, char why[160])
{
    const struct node *n = arg;
    struct verify_holder holder;
    int err = verify_chain(n->verifier, chain, count, (int64_t) time(NULL), &holder, why);
    if (err != 0)
        return err;
    memcpy(peer->id, holder.id, sizeof peer->id);
    memcpy(peer->name, holder.name, sizeof peer->name);
    peer->roles = holder.roles;
    return 0;
}

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
    if (n->verifier)
        err = verify_chain(n->verifier, &certificate_der, 1, (int64_t) time(NULL), &holder, why);
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
    if (!options_is_known(entry->key))
        log_line(LOG_WARN, "the Gridfile has a key that this version does not know: it is passed over", LOGF_SLICE("key", entry->key), LOGF_INT("line", entry->line));
}

static int load_gridfile(struct node *n, char why[NODE_WHY_MAX])
{
    char path[4096];
    if (!options_find_gridfile(n->options, path, sizeof path))
        return 0;
    int err = gridfile_load(path, warn_unknown, NULL, &n->gridfile, why);
    if (err == 0)
        err = gridfile_authority(&n->gridfile, n->options->grid, &n->authority, why);
    if (err == 0)
        snprintf(n->grid, sizeof n->grid, "%s", authority_grid_name(n->authority));
    return err;
}

/* ---- the node's own certificate ---- */

static int issue_certificate(struct node *n, char why[NODE_WHY_MAX])
{
    const char *addresses[HOST_ADDRESSES_MAX];
    struct certificate_request request = {.public_der = key_public_der(n->key), .name = n->name, .roles = TRUST_ROLE_NODE, .addresses = addresses};
    for (unsigned i = 0; i < n->host.address_count; i++)
        addresses[request.address_count++] = n->host.addresses[i];
    if (!authority_can_issue(n->authority))
        return identity_certificate_load(n->options->state, n->key, &n->certificate_der, why);
    int err = authority_issue(n->authority, &request, (int64_t) time(NULL), &n->certificate_der);
    if (err != 0)
        snprintf(why, NODE_WHY_MAX, "the node's certificate cannot be issued (%s): check --name and the Gridfile", grid_err_text(err));
    return err;
}

static int make_context(struct node *n, const char *alpn, struct tls_context **out)
{
    struct tls_config config = {.certificate_der = buf_slice(&n->certificate_der), .issuer_der = authority_certificate_der(n->authority),
                                .key_der = key_private_der(n->key), .verify = verify_peer, .verify_arg = n, .alpn = alpn};
    return tls_context_create(&config, out);
}

static int make_contexts(struct node *n, char why[NODE_WHY_MAX])
{
    struct slice authority = authority_certificate_der(n->authority);
    int err = verifier_create(&authority, 1, NULL, 0, &n->verifier);
    if (err == 0)
        err = make_context(n, ALPN_CALLS "," ALPN_CONTROL "," ALPN_PLAIN_CALLS, &n->server_tls);
    if (err == 0)
        err = make_context(n, ALPN_CALLS, &n->call_tls);
    if (err == 0)
        err = make_context(n, ALPN_CONTROL, &n->control_tls);
    if (err != 0)
        snprintf(why, NODE_WHY_MAX, "the Gridfile's authority cannot be used for TLS (%s): mint a new one with \"grid new\"", grid_err_text(err));
    return err;
}

int node_trust_check(struct node *n, char why[NODE_WHY_MAX])
{
    int err = load_gridfile(n, why);
    if (err != 0 || n->authority || (!n->options->grid && n->options->join_count == 0))
        return err; /* without a Gridfile it is a grid of one until told */
    snprintf(why, NODE_WHY_MAX, "%s needs a Gridfile: mint one with \"grid new\", and give it to every node with --gridfile FILE",
             n->options->grid ? "--grid" : "--join");
    return GRID_EINVAL;
}

int node_trust_open(struct node *n, char why[NODE_WHY_MAX])
{
    buf_init(&n->certificate_der, 0);
    int err = identity_load(n->options->state, &n->key, why);
    if (err == 0)
        err = node_trust_check(n, why);
    if (err == 0 && n->authority)
        err = issue_certificate(n, why);
    return err == 0 && n->authority ? make_contexts(n, why) : err;
}

void node_trust_close(struct node *n)
{
    if (n->server_tls)
        tls_context_unref(n->server_tls);
    if (n->call_tls)
        tls_context_unref(n->call_tls);
    if (n->control_tls)
        tls_context_unref(n->control_tls);
    verifier_destroy(n->verifier);
    authority_destroy(n->authority);
    gridfile_dispose(&n->gridfile);
    key_destroy(n->key);
    buf_dispose(&n->certificate_der);
}
