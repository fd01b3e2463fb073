/* TLS contexts: what OpenSSL is told once, and the hand-over of the peer's chain to whoever judges it. */
#include "net/tls.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

#include <openssl/err.h>
#include <openssl/x509.h>

#include "base/err.h"
#include "net/tls_internal.h"

enum { TLS_CHAIN_MAX = 8, TLS_CHAIN_BYTES = 16 * 1024, TLS_ALPN_BYTES = 128 };

struct tls_terms {
    atomic_int references;
    SSL_CTX *ssl;
    struct tls_terms *whole; /* whose `ssl` it is, when these are another's but for the protocols offered */
    tls_verify_fn verify;
    void *verify_arg;
    void (*release)(void *verify_arg);
    uint8_t alpn[TLS_ALPN_BYTES]; /* length-prefixed names (RFC 7301), the guests' last */
    unsigned alpn_size;
    unsigned offered_size;        /* of these, when dialling */
    struct slice guest;           /* the guests' name within `alpn`; empty: none */
    bool guest_only;
    X509 *guest_certificate;
    EVP_PKEY *guest_key;
};

struct tls_context {
    atomic_int references;
    pthread_mutex_t lock; /* around `terms` alone */
    struct tls_terms *terms;
};

SSL_CTX *tls_terms_ssl(struct tls_terms *t)
{
    return t->ssl;
}

struct slice tls_terms_offered(const struct tls_terms *t)
{
    return slice_of(t->alpn, t->offered_size);
}

bool tls_terms_has(const struct tls_terms *t, struct slice protocol)
{
    for (unsigned at = 0; at < t->alpn_size; at += 1u + t->alpn[at])
        if (slice_equal(slice_of(t->alpn + at + 1, t->alpn[at]), protocol))
            return true;
    return false;
}

void tls_terms_unref(struct tls_terms *t)
{
    if (!t || atomic_fetch_sub_explicit(&t->references, 1, memory_order_acq_rel) != 1)
        return;
    if (t->whole)
        tls_terms_unref(t->whole);
    else
        SSL_CTX_free(t->ssl);
    X509_free(t->guest_certificate);
    EVP_PKEY_free(t->guest_key);
    if (t->release)
        t->release(t->verify_arg);
    free(t);
}

struct tls_terms *tls_context_terms(struct tls_context *c)
{
    pthread_mutex_lock(&c->lock);
    struct tls_terms *t = c->terms;
    if (t)
        atomic_fetch_add_explicit(&t->references, 1, memory_order_relaxed);
    pthread_mutex_unlock(&c->lock);
    return t;
}

/* "h2,x" becomes \2h2\1x. */
static int alpn_encode(const char *list, struct tls_terms *t)
{
    struct slice rest = slice_of_str(list);
    while (rest.size > 0) {
        ptrdiff_t comma = slice_find_byte(rest, 0, ',');
        struct slice name = comma < 0 ? rest : slice_first(rest, (size_t) comma);
        if (name.size == 0 || name.size > 255 || t->alpn_size + 1 + name.size > sizeof t->alpn)
            return GRID_EINVAL;
        t->alpn[t->alpn_size++] = (uint8_t) name.size;
        memcpy(t->alpn + t->alpn_size, name.data, name.size);
        t->alpn_size += (unsigned) name.size;
        rest = comma < 0 ? slice_of(NULL, 0) : slice_from(rest, (size_t) comma + 1);
    }
    return t->alpn_size > 0 ? 0 : GRID_EINVAL;
}

static int on_alpn(SSL *ssl, const unsigned char **out, unsigned char *out_size, const unsigned char *in, unsigned in_size,
                   void *arg)
{
    struct tls_terms *t = arg;
    unsigned char *chosen;
    (void) ssl;
    if (SSL_select_next_proto(&chosen, out_size, t->alpn, t->alpn_size, in, in_size) != OPENSSL_NPN_NEGOTIATED)
        return SSL_TLSEXT_ERR_ALERT_FATAL;
    *out = chosen;
    return SSL_TLSEXT_ERR_OK;
}

/* The chain as sent, leaf first; the count, or 0 when it is empty or too long. */
static size_t chain_list(STACK_OF(X509) *sent, X509 *chain[TLS_CHAIN_MAX])
{
    int count = sk_X509_num(sent);
    if (count < 1 || count > TLS_CHAIN_MAX)
        return 0;
    for (int i = 0; i < count; i++)
        chain[i] = sk_X509_value(sent, i);
    return (size_t) count;
}

/* By the protocol that was agreed, and by nothing else: a server has chosen it before it presents its certificate or asks for
 * the other's (RFC 8446, 2; it stands in the first flight). A dialler does not go by what the other side chose. */
static bool is_guest(SSL *ssl, const struct tls_terms *t)
{
    const unsigned char *name = NULL;
    unsigned size = 0;
    if (t->guest_only || t->guest.size == 0 || !SSL_is_server(ssl))
        return t->guest_only;
    SSL_get0_alpn_selected(ssl, &name, &size);
    return slice_equal(slice_of(name, size), t->guest);
}

/* A guest is shown the guests' certificate: the grid's own says nothing to strangers. */
static int on_certificate(SSL *ssl, void *arg)
{
    struct tls_terms *t = arg;
    if (t->guest_only || !is_guest(ssl, t))
        return 1;
    SSL_certs_clear(ssl);
    return SSL_use_certificate(ssl, t->guest_certificate) == 1 && SSL_use_PrivateKey(ssl, t->guest_key) == 1;
}

/* What the other side is told by its alert. */
static int error_of(const struct tls_judgement *j)
{
    if (j->err == 0)
        return X509_V_OK;
    if (j->peer.revoked)
        return X509_V_ERR_CERT_REVOKED;
    return j->peer.untimely ? X509_V_ERR_CERT_HAS_EXPIRED : X509_V_ERR_CERT_REJECTED;
}

/* OpenSSL's own path building is not used: what a certificate means is said by the verify function alone. */
static int on_verify(X509_STORE_CTX *store, void *arg)
{
    struct tls_terms *t = arg;
    SSL *ssl = X509_STORE_CTX_get_ex_data(store, SSL_get_ex_data_X509_STORE_CTX_idx());
    struct tls_judgement *judgement = SSL_get_app_data(ssl);
    X509 *chain[TLS_CHAIN_MAX];
    size_t count = chain_list(X509_STORE_CTX_get0_untrusted(store), chain);
    if (count == 0) {
        judgement->err = GRID_EPERM;
        snprintf(judgement->why, sizeof judgement->why, "the certificate chain is empty or too long");
    } else if (is_guest(ssl, t)) {
        judgement->peer = (struct tls_peer){.roles = TLS_ROLE_NONE};
    } else {
        judgement->err = t->verify(t->verify_arg, chain, count, &judgement->peer, judgement->why);
    }
    X509_STORE_CTX_set_error(store, error_of(judgement));
    return judgement->err == 0;
}

/* A client's list of what was sent begins with the leaf, a server's behind it (SSL_get_peer_cert_chain(3)). */
static size_t peer_chain(SSL *ssl, X509 *chain[TLS_CHAIN_MAX])
{
    X509 *leaf = SSL_get0_peer_certificate(ssl);
    STACK_OF(X509) *sent = SSL_get_peer_cert_chain(ssl);
    size_t count = 0;
    if (leaf)
        chain[count++] = leaf;
    for (int i = SSL_is_server(ssl) ? 0 : 1; leaf && i < sk_X509_num(sent) && count < TLS_CHAIN_MAX; i++)
        chain[count++] = sk_X509_value(sent, i);
    return count;
}

static const struct tls_terms *judging(const struct tls_terms *t)
{
    return t->whole ? t->whole : t;
}

int tls_context_judge_again(struct tls_context *c, const struct tls_terms *begun, SSL *ssl, struct tls_judgement *judgement)
{
    X509 *chain[TLS_CHAIN_MAX];
    struct tls_terms *now = tls_context_terms(c);
    const struct tls_terms *judge = judging(now);
    if (judge != judging(begun) && !is_guest(ssl, judging(begun))) {
        judgement->peer = (struct tls_peer){0};
        judgement->err = judge->verify(judge->verify_arg, chain, peer_chain(ssl, chain), &judgement->peer, judgement->why);
    }
    tls_terms_unref(now);
    return judgement->err;
}

static X509 *certificate_decode(struct slice der)
{
    const unsigned char *at = der.data;
    X509 *x = d2i_X509(NULL, &at, (long) der.size);
    if (x && at != der.data + der.size) {
        X509_free(x);
        return NULL;
    }
    return x;
}

static int terms_set_guest(struct tls_terms *t, const struct tls_config *config)
{
    const unsigned char *at = config->guest_key_der.data;
    t->offered_size = t->alpn_size;
    if (!config->guest_alpn)
        return 0;
    unsigned start = t->alpn_size + 1;
    int err = alpn_encode(config->guest_alpn, t);
    if (err != 0)
        return err;
    t->guest = slice_of(t->alpn + start, t->alpn_size - start);
    t->guest_only = !config->alpn;
    if (t->guest_only)
        t->offered_size = t->alpn_size;
    t->guest_certificate = certificate_decode(config->guest_certificate_der);
    t->guest_key = d2i_AutoPrivateKey(NULL, &at, (long) config->guest_key_der.size);
    return t->guest_certificate && t->guest_key && X509_check_private_key(t->guest_certificate, t->guest_key) == 1 ? 0
                                                                                                                   : GRID_EINVAL;
}

static int context_set_certificates(SSL_CTX *ssl, const struct tls_config *config)
{
    struct slice key_der = config->alpn ? config->key_der : config->guest_key_der;
    const unsigned char *at = key_der.data;
    X509 *leaf = certificate_decode(config->alpn ? config->certificate_der : config->guest_certificate_der), *issuer = NULL;
    EVP_PKEY *key = d2i_AutoPrivateKey(NULL, &at, (long) key_der.size);
    int err = GRID_EINVAL;
    if (!leaf || !key || SSL_CTX_use_certificate(ssl, leaf) != 1 || SSL_CTX_use_PrivateKey(ssl, key) != 1 ||
        SSL_CTX_check_private_key(ssl) != 1)
        goto done;
    if (config->issuer_der.size > 0) {
        issuer = certificate_decode(config->issuer_der);
        if (!issuer || SSL_CTX_add1_chain_cert(ssl, issuer) != 1)
            goto done;
    }
    err = 0;
done:
    X509_free(issuer);
    X509_free(leaf);
    EVP_PKEY_free(key);
    return err;
}

static void context_set_policy(struct tls_terms *t)
{
    SSL_CTX_set_min_proto_version(t->ssl, TLS1_3_VERSION);
    SSL_CTX_set_max_proto_version(t->ssl, TLS1_3_VERSION);
    SSL_CTX_set_options(t->ssl, SSL_OP_NO_TICKET | SSL_OP_NO_RENEGOTIATION);
    SSL_CTX_set_num_tickets(t->ssl, 0);
    SSL_CTX_set_max_early_data(t->ssl, 0);
    SSL_CTX_set_session_cache_mode(t->ssl, SSL_SESS_CACHE_OFF);
    SSL_CTX_set_mode(t->ssl, SSL_MODE_RELEASE_BUFFERS | SSL_MODE_AUTO_RETRY);
    SSL_CTX_set_max_cert_list(t->ssl, TLS_CHAIN_BYTES);
    SSL_CTX_set_verify(t->ssl, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, NULL);
    SSL_CTX_set_cert_verify_callback(t->ssl, on_verify, t);
    SSL_CTX_set_alpn_select_cb(t->ssl, on_alpn, t);
    SSL_CTX_set_cert_cb(t->ssl, on_certificate, t);
}

/* Without a release function: that is set once it has succeeded, since a failure leaves the argument to the caller. */
static int terms_create(const struct tls_config *config, struct tls_terms **out)
{
    struct tls_terms *t = calloc(1, sizeof *t);
    if (!t)
        return GRID_ENOMEM;
    atomic_init(&t->references, 1);
    t->verify = config->verify;
    t->verify_arg = config->verify_arg;
    int err = config->alpn ? alpn_encode(config->alpn, t) : config->guest_alpn ? 0 : GRID_EINVAL;
    if (err == 0)
        err = terms_set_guest(t, config);
    if (err == 0 && !(t->ssl = SSL_CTX_new(TLS_method())))
        err = GRID_ENOMEM;
    if (err == 0)
        err = context_set_certificates(t->ssl, config);
    if (err == 0)
        context_set_policy(t);
    ERR_clear_error();
    if (err != 0) {
        tls_terms_unref(t);
        return err;
    }
    t->release = config->release;
    *out = t;
    return 0;
}

int tls_context_create_empty(struct tls_context **out)
{
    struct tls_context *c = calloc(1, sizeof *c);
    if (!c)
        return GRID_ENOMEM;
    atomic_init(&c->references, 1);
    pthread_mutex_init(&c->lock, NULL);
    *out = c;
    return 0;
}

static void context_take(struct tls_context *c, struct tls_terms *fresh)
{
    pthread_mutex_lock(&c->lock);
    struct tls_terms *before = c->terms;
    c->terms = fresh;
    pthread_mutex_unlock(&c->lock);
    tls_terms_unref(before);
}

int tls_context_replace(struct tls_context *c, const struct tls_config *config)
{
    struct tls_terms *fresh = NULL;
    int err = terms_create(config, &fresh);
    if (err == 0)
        context_take(c, fresh);
    return err;
}

/* OpenSSL is told the protocols with each dial; what it asks back on the way are `whole`'s terms. */
static int terms_follow(struct tls_terms *whole, const char *alpn, struct tls_terms **out)
{
    struct tls_terms *t = calloc(1, sizeof *t);
    int err = t ? alpn_encode(alpn, t) : GRID_ENOMEM;
    if (err != 0) {
        free(t);
        return err;
    }
    atomic_init(&t->references, 1);
    atomic_fetch_add_explicit(&whole->references, 1, memory_order_relaxed);
    t->whole = whole;
    t->ssl = whole->ssl;
    t->offered_size = t->alpn_size;
    *out = t;
    return 0;
}

int tls_context_follow(struct tls_context *c, struct tls_context *like, const char *alpn)
{
    struct tls_terms *fresh, *now = tls_context_terms(like);
    int err = now ? terms_follow(now->whole ? now->whole : now, alpn, &fresh) : GRID_EPERM;
    if (err == 0)
        context_take(c, fresh);
    tls_terms_unref(now);
    return err;
}

int tls_context_create(const struct tls_config *config, struct tls_context **out)
{
    struct tls_context *c;
    int err = tls_context_create_empty(&c);
    if (err == 0 && (err = tls_context_replace(c, config)) != 0)
        tls_context_unref(c);
    if (err == 0)
        *out = c;
    return err;
}

struct tls_context *tls_context_ref(struct tls_context *c)
{
    atomic_fetch_add_explicit(&c->references, 1, memory_order_relaxed);
    return c;
}

void tls_context_unref(struct tls_context *c)
{
    if (!c || atomic_fetch_sub_explicit(&c->references, 1, memory_order_acq_rel) != 1)
        return;
    tls_terms_unref(c->terms);
    pthread_mutex_destroy(&c->lock);
    free(c);
}
