/* P-256 keys over OpenSSL: what is asked for again and again (id, DER forms) is worked out once. */
#include "trust/key.h"

#include <openssl/bio.h>
#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/sha.h>
#include <openssl/x509.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/err.h"
#include "base/hex.h"

struct key {
    EVP_PKEY *pkey;
    uint8_t *public_der;
    uint8_t *private_der;
    size_t public_size;
    size_t private_size;
    char id[TRUST_ID_SIZE];
};

void key_id_of_public(struct slice public_der, char id[TRUST_ID_SIZE])
{
    uint8_t digest[SHA256_DIGEST_LENGTH];
    SHA256(public_der.data, public_der.size, digest);
    hex_encode(slice_of(digest, sizeof digest), id);
}

int key_require_p256(const EVP_PKEY *pkey)
{
    char group[32] = "";
    if (!EVP_PKEY_is_a(pkey, "EC") || EVP_PKEY_get_group_name(pkey, group, sizeof group, NULL) != 1)
        return GRID_EINVAL;
    return strcmp(group, "prime256v1") == 0 ? 0 : GRID_EINVAL;
}

/* OpenSSL takes the public key that a file of a private one may carry as it is: whoever put another's there would pass for him. */
static bool is_pair(EVP_PKEY *pkey)
{
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new(pkey, NULL);
    bool is = ctx && EVP_PKEY_check(ctx) == 1;
    EVP_PKEY_CTX_free(ctx);
    ERR_clear_error();
    return is;
}

static int private_der_of(EVP_PKEY *pkey, uint8_t **out, size_t *size)
{
    PKCS8_PRIV_KEY_INFO *info = EVP_PKEY2PKCS8(pkey);
    int length = info ? i2d_PKCS8_PRIV_KEY_INFO(info, out) : -1;
    PKCS8_PRIV_KEY_INFO_free(info);
    if (length <= 0)
        return GRID_ENOMEM;
    *size = (size_t) length;
    return 0;
}

/* Takes `pkey` over, on failure too. */
static int key_wrap(EVP_PKEY *pkey, struct key **out)
{
    struct key *k = calloc(1, sizeof *k);
    if (!k) {
        EVP_PKEY_free(pkey);
        return GRID_ENOMEM;
    }
    k->pkey = pkey;
    int size = i2d_PUBKEY(pkey, &k->public_der);
    if (size <= 0 || private_der_of(pkey, &k->private_der, &k->private_size) != 0) {
        key_destroy(k);
        return GRID_ENOMEM;
    }
    k->public_size = (size_t) size;
    key_id_of_public(key_public_der(k), k->id);
    *out = k;
    return 0;
}

int key_mint(struct key **out)
{
    EVP_PKEY *pkey = EVP_EC_gen("P-256");
    return pkey ? key_wrap(pkey, out) : GRID_ENOMEM;
}

/* Never asks a terminal for a passphrase. */
static int no_passphrase(char *buffer, int size, int writing, void *arg)
{
    (void) buffer, (void) size, (void) writing, (void) arg;
    return -1;
}

int key_parse_pem(struct slice pem, struct key **out, char why[TRUST_WHY_MAX])
{
    BIO *bio = pem.size <= 16384 ? BIO_new_mem_buf(pem.data, (int) pem.size) : NULL;
    EVP_PKEY *pkey = bio ? PEM_read_bio_PrivateKey(bio, NULL, no_passphrase, NULL) : NULL;
    BIO_free(bio);
    ERR_clear_error();
    if (!pkey) {
        snprintf(why, TRUST_WHY_MAX, "it is not an unencrypted private key in PEM");
        return GRID_EINVAL;
    }
    if (key_require_p256(pkey) != 0) {
        const char *type = EVP_PKEY_get0_type_name(pkey);
        snprintf(why, TRUST_WHY_MAX, "it is a key of type %.20s, not ECDSA on P-256", type ? type : "unknown");
        EVP_PKEY_free(pkey);
        return GRID_EINVAL;
    }
    if (!is_pair(pkey)) {
        snprintf(why, TRUST_WHY_MAX, "its public key is not its private key's");
        EVP_PKEY_free(pkey);
        return GRID_EINVAL;
    }
    int err = key_wrap(pkey, out);
    if (err != 0)
        snprintf(why, TRUST_WHY_MAX, "%s", grid_err_text(err));
    return err;
}

int key_parse_der(struct slice der, struct key **out)
{
    const unsigned char *at = der.data;
    EVP_PKEY *pkey = der.size > 0 && der.size <= 4096 ? d2i_AutoPrivateKey(NULL, &at, (long) der.size) : NULL;
    ERR_clear_error();
    if (pkey && at == der.data + der.size && key_require_p256(pkey) == 0 && is_pair(pkey))
        return key_wrap(pkey, out);
    EVP_PKEY_free(pkey);
    return GRID_EINVAL;
}

void key_destroy(struct key *k)
{
    if (!k)
        return;
    OPENSSL_clear_free(k->private_der, k->private_size);
    OPENSSL_free(k->public_der);
    EVP_PKEY_free(k->pkey);
    free(k);
}

const char *key_id(const struct key *k)
{
    return k->id;
}

struct slice key_public_der(const struct key *k)
{
    return slice_of(k->public_der, k->public_size);
}

struct slice key_private_der(const struct key *k)
{
    return slice_of(k->private_der, k->private_size);
}

EVP_PKEY *key_pkey(const struct key *k)
{
    return k->pkey;
}

int key_append_pem(const struct key *k, struct buf *out)
{
    BIO *bio = BIO_new(BIO_s_mem());
    char *text = NULL;
    int err = GRID_ENOMEM;
    if (bio && PEM_write_bio_PKCS8PrivateKey(bio, k->pkey, NULL, NULL, 0, NULL, NULL) == 1) {
        long size = BIO_get_mem_data(bio, &text);
        err = buf_append(out, slice_of(text, (size_t) size));
    }
    BIO_free(bio);
    return err;
}

int key_sign(const struct key *k, struct slice bytes, uint8_t signature[TRUST_SIGNATURE_MAX], size_t *size)
{
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    *size = TRUST_SIGNATURE_MAX;
    bool signed_well = ctx && EVP_DigestSignInit(ctx, NULL, EVP_sha256(), NULL, k->pkey) == 1 &&
                       EVP_DigestSign(ctx, signature, size, bytes.data, bytes.size) == 1;
    EVP_MD_CTX_free(ctx);
    return signed_well ? 0 : GRID_ENOMEM;
}

int key_verify(struct slice public_der, struct slice bytes, struct slice signature)
{
    const unsigned char *at = public_der.data;
    EVP_PKEY *pkey = public_der.size > 0 ? d2i_PUBKEY(NULL, &at, (long) public_der.size) : NULL;
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    bool good = pkey && ctx && at == public_der.data + public_der.size && key_require_p256(pkey) == 0 &&
                EVP_DigestVerifyInit(ctx, NULL, EVP_sha256(), NULL, pkey) == 1 &&
                EVP_DigestVerify(ctx, signature.data, signature.size, bytes.data, bytes.size) == 1;
    EVP_MD_CTX_free(ctx);
    EVP_PKEY_free(pkey);
    ERR_clear_error();
    return good ? 0 : GRID_EPERM;
}
