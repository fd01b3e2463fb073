/* trust/key.h: P-256 keys: minting, PEM and DER, signatures. No sockets, no clock. Any thread; a key does not change once made. */
#ifndef GRID_TRUST_KEY_H
#define GRID_TRUST_KEY_H

#include <openssl/types.h>

#include "base/buf.h"

enum { TRUST_ID_SIZE = 65, TRUST_WHY_MAX = 160, TRUST_SIGNATURE_MAX = 80 };

struct key;

/* A random key pair. 0, or GRID_ENOMEM. */
int key_mint(struct key **out);

/* Reads an unencrypted P-256 private key: PKCS#8 or SEC1 PEM. What it says of its public key must be true: who has the struct has the private
 * key. 0; GRID_EINVAL for anything else, and `why` is a clause that tells it
 * apart ("it is an RSA key, not P-256"). */
int key_parse_pem(struct slice pem, struct key **out, char why[TRUST_WHY_MAX]);

/* The same from PKCS#8 or SEC1 DER with nothing behind it. 0, GRID_EINVAL or GRID_ENOMEM. */
int key_parse_der(struct slice der, struct key **out);

void key_destroy(struct key *k);

/* Lowercase hex SHA-256 of the DER SubjectPublicKeyInfo: the id of a node and of an authority. Lives as long as the key. */
const char *key_id(const struct key *k);
/* The DER SubjectPublicKeyInfo, and the PKCS#8 DER of the private key. Live as long as the key. */
struct slice key_public_der(const struct key *k);
struct slice key_private_der(const struct key *k);

/* Appends the PKCS#8 PEM. 0, GRID_ELIMIT or GRID_ENOMEM. */
int key_append_pem(const struct key *k, struct buf *out);

/* Signs bytes: ECDSA P-256 over SHA-256, DER; `size` is at most TRUST_SIGNATURE_MAX. 0, or GRID_ENOMEM. */
int key_sign(const struct key *k, struct slice bytes, uint8_t signature[TRUST_SIGNATURE_MAX], size_t *size);

/* Judges such a signature by a P-256 DER SubjectPublicKeyInfo. 0, or GRID_EPERM. */
int key_verify(struct slice public_der, struct slice bytes, struct slice signature);

/* The id of any DER SubjectPublicKeyInfo. */
void key_id_of_public(struct slice public_der, char id[TRUST_ID_SIZE]);

/* For trust/ alone: OpenSSL's view of it, borrowed. */
EVP_PKEY *key_pkey(const struct key *k);
/* 0 when the public key is on P-256 (named curve), else GRID_EINVAL. */
int key_require_p256(const EVP_PKEY *pkey);

#endif
