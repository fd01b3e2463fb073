/* Keys with self-signed certificates, and TLS contexts that expect one of the other side. Include cmocka.h first. */
#ifndef GRID_TESTS_NET_IDENTITY_H
#define GRID_TESTS_NET_IDENTITY_H

#include <openssl/evp.h>
#include <openssl/x509.h>
#include <stdio.h>

#include "base/buf.h"
#include "base/err.h"
#include "net/tls.h"

/* A key with a certificate that it has signed itself. */
struct identity {
    struct buf certificate, key;
};

static inline void identity_take_der(struct buf *out, unsigned char *der, int size)
{
    assert_true(size > 0);
    buf_init(out, 0);
    assert_int_equal(buf_append(out, slice_of(der, (size_t) size)), 0);
    OPENSSL_free(der);
}

static inline struct identity identity_make(const char *name)
{
    struct identity id;
    unsigned char *der = NULL;
    EVP_PKEY *key = EVP_EC_gen("P-256");
    X509 *x = X509_new();
    X509_NAME *subject = X509_get_subject_name(x);
    X509_set_version(x, X509_VERSION_3);
    ASN1_INTEGER_set(X509_get_serialNumber(x), 1);
    X509_gmtime_adj(X509_getm_notBefore(x), -3600);
    X509_gmtime_adj(X509_getm_notAfter(x), 3600);
    X509_NAME_add_entry_by_txt(subject, "CN", MBSTRING_ASC, (const unsigned char *) name, -1, -1, 0);
    X509_set_issuer_name(x, subject);
    X509_set_pubkey(x, key);
    assert_true(X509_sign(x, key, EVP_sha256()) > 0);
    int size = i2d_X509(x, &der);
    identity_take_der(&id.certificate, der, size);
    der = NULL;
    size = i2d_PrivateKey(key, &der);
    identity_take_der(&id.key, der, size);
    X509_free(x);
    EVP_PKEY_free(key);
    return id;
}

static inline void identity_dispose(struct identity *id)
{
    buf_dispose(&id->certificate);
    buf_dispose(&id->key);
}

/* Lets in the certificate it is told to expect, as a node. */
static inline int identity_verify(void *arg, X509 *const *chain, size_t count, struct tls_peer *peer, char why[160])
{
    const struct identity *expected = arg;
    unsigned char *der = NULL;
    int size = i2d_X509(chain[0], &der);
    bool same = count == 1 && size > 0 && slice_equal(slice_of(der, (size_t) size), buf_slice(&expected->certificate));
    OPENSSL_free(der);
    if (!same) {
        snprintf(why, 160, "not the certificate that was expected");
        return GRID_EPERM;
    }
    snprintf(peer->id, sizeof peer->id, "id");
    peer->roles = TLS_ROLE_NODE;
    return 0;
}

static inline struct tls_context *identity_context(const struct identity *own, const struct identity *expected, const char *alpn)
{
    struct tls_context *c = NULL;
    const struct tls_config config = {
        .certificate_der = buf_slice(&own->certificate),
        .key_der = buf_slice(&own->key),
        .verify = identity_verify,
        .verify_arg = (void *) (uintptr_t) expected,
        .alpn = alpn,
    };
    assert_int_equal(tls_context_create(&config, &c), 0);
    return c;
}

#endif
