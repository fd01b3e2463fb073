/* The provider that shows EC keys alone: what the node needs works as before. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/provider.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>
#include <string.h>

#include "base/err.h"
#include "net/crypto_provider.h"

/* A self-signed certificate of an RSA key, made with the whole default provider before ours is installed. */
static unsigned char rsa_certificate[2048];
static int rsa_certificate_size;

static X509 *self_signed(OSSL_LIB_CTX *context, EVP_PKEY *key)
{
    X509 *x = X509_new_ex(context, NULL);
    X509_gmtime_adj(X509_getm_notBefore(x), -60);
    X509_gmtime_adj(X509_getm_notAfter(x), 3600);
    X509_set_pubkey(x, key);
    assert_true(X509_sign(x, key, EVP_sha256()) > 0);
    return x;
}

static void make_rsa(void)
{
    OSSL_LIB_CTX *context = OSSL_LIB_CTX_new();
    OSSL_PROVIDER *whole = OSSL_PROVIDER_load(context, "default");
    EVP_PKEY *key = EVP_PKEY_Q_keygen(context, NULL, "RSA", (size_t) 2048);
    assert_non_null(key);
    X509 *x = self_signed(context, key);
    unsigned char *at = rsa_certificate;
    rsa_certificate_size = i2d_X509(x, &at);
    assert_true(rsa_certificate_size > 0);
    X509_free(x);
    EVP_PKEY_free(key);
    OSSL_PROVIDER_unload(whole);
    OSSL_LIB_CTX_free(context);
}

static int install(void **state)
{
    (void) state;
    make_rsa();
    return crypto_provider_install();
}

static void is_installed_once(void **state)
{
    (void) state;
    assert_int_equal(OSSL_PROVIDER_available(NULL, "gridcontrol"), 1);
    assert_int_equal(crypto_provider_install(), GRID_EBUSY);
}

static void keys_of_the_grid_go_out_and_come_back(void **state)
{
    (void) state;
    unsigned char der[512], *at = der;
    EVP_PKEY *key = EVP_EC_gen("P-256");
    assert_non_null(key);
    int size = i2d_PrivateKey(key, &at);
    const unsigned char *from = der;
    EVP_PKEY *back = d2i_AutoPrivateKey(NULL, &from, size);
    assert_non_null(back);
    assert_int_equal(EVP_PKEY_eq(key, back), 1);
    BIO *pem = BIO_new(BIO_s_mem());
    assert_int_equal(PEM_write_bio_PrivateKey(pem, key, NULL, NULL, 0, NULL, NULL), 1);
    EVP_PKEY *from_pem = PEM_read_bio_PrivateKey(pem, NULL, NULL, NULL);
    assert_non_null(from_pem);
    assert_int_equal(EVP_PKEY_eq(key, from_pem), 1);
    BIO_free(pem);
    EVP_PKEY_free(from_pem);
    EVP_PKEY_free(back);
    EVP_PKEY_free(key);
}

static void rsa_certificates_are_seen_for_what_they_are(void **state)
{
    (void) state;
    const unsigned char *at = rsa_certificate;
    X509 *x = d2i_X509(NULL, &at, rsa_certificate_size);
    assert_non_null(x);
    assert_int_equal(EVP_PKEY_get_base_id(X509_get0_pubkey(x)), EVP_PKEY_RSA);
    X509_free(x);
    ERR_clear_error();
}

static SSL_CTX *tls_context(const SSL_METHOD *method, EVP_PKEY *key, X509 *x)
{
    SSL_CTX *context = SSL_CTX_new(method);
    assert_non_null(context);
    assert_int_equal(SSL_CTX_set_min_proto_version(context, TLS1_3_VERSION), 1);
    assert_int_equal(SSL_CTX_use_certificate(context, x), 1);
    assert_int_equal(SSL_CTX_use_PrivateKey(context, key), 1);
    return context;
}

/* Both ends in turn until neither wants more. */
static void shake_hands(SSL *client, SSL *server)
{
    for (int turn = 0; turn < 10; turn++) {
        int c = SSL_do_handshake(client), s = SSL_do_handshake(server);
        if (c == 1 && s == 1)
            return;
    }
    fail_msg("no handshake");
}

static void tls_works_over_x25519_and_p256(void **state)
{
    (void) state;
    const char *const groups[] = {"X25519", "P-256"};
    EVP_PKEY *key = EVP_EC_gen("P-256");
    X509 *x = self_signed(NULL, key);
    for (size_t i = 0; i < 2; i++) {
        SSL_CTX *client_context = tls_context(TLS_client_method(), key, x), *server_context = tls_context(TLS_server_method(), key, x);
        assert_int_equal(SSL_CTX_set1_groups_list(client_context, groups[i]), 1);
        SSL *client = SSL_new(client_context), *server = SSL_new(server_context);
        BIO *near, *far;
        assert_int_equal(BIO_new_bio_pair(&near, 0, &far, 0), 1);
        SSL_set_bio(client, near, near);
        SSL_set_bio(server, far, far);
        SSL_set_connect_state(client);
        SSL_set_accept_state(server);
        shake_hands(client, server);
        assert_string_equal(SSL_get_version(client), "TLSv1.3");
        unsigned char exported[32];
        assert_int_equal(SSL_export_keying_material(client, exported, sizeof exported, "EXPORTER-Channel-Binding", 24, NULL, 0, 0), 1);
        SSL_free(client);
        SSL_free(server);
        SSL_CTX_free(client_context);
        SSL_CTX_free(server_context);
    }
    X509_free(x);
    EVP_PKEY_free(key);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(is_installed_once),
        cmocka_unit_test(keys_of_the_grid_go_out_and_come_back),
        cmocka_unit_test(rsa_certificates_are_seen_for_what_they_are),
        cmocka_unit_test(tls_works_over_x25519_and_p256),
    };
    return cmocka_run_group_tests_name("crypto_provider", tests, install, NULL);
}
