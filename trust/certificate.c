/* Certificates built and read with OpenSSL's typed API: no text is ever parsed as an extension, so a name cannot smuggle one in. */
#include "trust/certificate.h"

#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/sha.h>
#include <openssl/x509v3.h>
#include <stdio.h>

#include "base/err.h"
#include "base/hex.h"

#define ROLE_URI "gridcontrol://role/"

static const struct {
    unsigned role;
    const char *name;
} role_table[] = {{TRUST_ROLE_NODE, "node"}, {TRUST_ROLE_ADMIN, "admin"}, {TRUST_ROLE_INVOKE, "invoke"}};
enum { ROLE_COUNT = sizeof role_table / sizeof role_table[0] };

const char *trust_role_name(unsigned role)
{
    for (size_t i = 0; i < ROLE_COUNT; i++)
        if (role_table[i].role == role)
            return role_table[i].name;
    return NULL;
}

unsigned trust_role_parse(struct slice name)
{
    for (size_t i = 0; i < ROLE_COUNT; i++)
        if (slice_equal_str(name, role_table[i].name))
            return role_table[i].role;
    return TRUST_ROLE_NONE;
}

bool trust_name_valid(struct slice name)
{
    if (name.size == 0 || name.size > TRUST_NAME_MAX || !slice_is_utf8(name))
        return false;
    for (size_t i = 0; i < name.size; i++)
        if (name.data[i] < 0x20 || name.data[i] == 0x7f)
            return false;
    return true;
}

void trust_dns_name(const char id[TRUST_ID_SIZE], char out[TRUST_DNS_NAME_SIZE])
{
    snprintf(out, TRUST_DNS_NAME_SIZE, "%.32s.%.32s.node.grid", id, id + 32);
}

/* Letters, digits, hyphens and dots: what a DNS name in a certificate may hold. */
static bool is_dns_name(struct slice s)
{
    if (s.size == 0 || s.size > 253 || s.data[0] == '-' || s.data[0] == '.')
        return false;
    for (size_t i = 0; i < s.size; i++) {
        uint8_t c = s.data[i];
        bool fine = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '.';
        if (!fine)
            return false;
    }
    return true;
}

/* ---- building ---- */

static bool set_serial(X509 *x)
{
    uint8_t bytes[16];
    if (RAND_bytes(bytes, sizeof bytes) != 1)
        return false;
    bytes[0] = (uint8_t) ((bytes[0] & 0x7f) | 0x40); /* positive, of full length (RFC 5280, 4.1.2.2) */
    BIGNUM *number = BN_bin2bn(bytes, sizeof bytes, NULL);
    bool fine = number && BN_to_ASN1_INTEGER(number, X509_get_serialNumber(x)) != NULL;
    BN_free(number);
    return fine;
}

static bool set_validity(X509 *x, int64_t now_s, unsigned days)
{
    time_t from = (time_t) (now_s - TRUST_BACKDATE_S), until = (time_t) (now_s + (int64_t) days * 86400);
    return ASN1_TIME_set(X509_getm_notBefore(x), from) && ASN1_TIME_set(X509_getm_notAfter(x), until);
}

static bool set_name(X509_NAME *to, const char *name)
{
    return X509_NAME_add_entry_by_txt(to, "CN", MBSTRING_UTF8, (const unsigned char *) name, -1, -1, 0) == 1;
}

static bool add_extension(X509 *x, int nid, void *value, bool critical)
{
    return value && X509_add1_ext_i2d(x, nid, value, critical, X509V3_ADD_DEFAULT) == 1;
}

static bool add_basic_constraints(X509 *x, bool authority)
{
    BASIC_CONSTRAINTS *value = BASIC_CONSTRAINTS_new();
    if (value && authority) {
        value->ca = 0xff; /* DER knows only this for true (X.690, 11.1); OpenSSL writes the byte as it is, and strict readers refuse others */
        value->pathlen = ASN1_INTEGER_new();
        if (!value->pathlen || ASN1_INTEGER_set(value->pathlen, 0) != 1)
            authority = false;
    }
    bool fine = add_extension(x, NID_basic_constraints, value, true) && (!authority || value->pathlen);
    BASIC_CONSTRAINTS_free(value);
    return fine;
}

/* Bits by their numbers in RFC 5280, 4.2.1.3: 0 digitalSignature, 5 keyCertSign, 6 cRLSign. */
static bool add_key_usage(X509 *x, bool authority)
{
    ASN1_BIT_STRING *bits = ASN1_BIT_STRING_new();
    bool fine = bits && (authority ? ASN1_BIT_STRING_set_bit(bits, 5, 1) && ASN1_BIT_STRING_set_bit(bits, 6, 1)
                                   : ASN1_BIT_STRING_set_bit(bits, 0, 1));
    fine = fine && add_extension(x, NID_key_usage, bits, true);
    ASN1_BIT_STRING_free(bits);
    return fine;
}

/* Key identifiers are the first 20 bytes of SHA-256 over the SubjectPublicKeyInfo (RFC 7093, 2, method 4): the start of an id. */
static bool set_key_id(ASN1_OCTET_STRING *to, const EVP_PKEY *pkey)
{
    uint8_t digest[SHA256_DIGEST_LENGTH], *der = NULL;
    int size = i2d_PUBKEY(pkey, &der);
    if (size <= 0)
        return false;
    SHA256(der, (size_t) size, digest);
    OPENSSL_free(der);
    return ASN1_OCTET_STRING_set(to, digest, 20) == 1;
}

static bool add_key_ids(X509 *x, const EVP_PKEY *issuer)
{
    ASN1_OCTET_STRING *own = ASN1_OCTET_STRING_new();
    AUTHORITY_KEYID *theirs = AUTHORITY_KEYID_new();
    bool fine = own && theirs && (theirs->keyid = ASN1_OCTET_STRING_new()) != NULL;
    fine = fine && set_key_id(own, X509_get0_pubkey(x)) && set_key_id(theirs->keyid, issuer) &&
           add_extension(x, NID_subject_key_identifier, own, false) &&
           add_extension(x, NID_authority_key_identifier, theirs, false);
    AUTHORITY_KEYID_free(theirs);
    ASN1_OCTET_STRING_free(own);
    return fine;
}

static bool add_usages(X509 *x, unsigned roles)
{
    EXTENDED_KEY_USAGE *usages = EXTENDED_KEY_USAGE_new();
    bool fine = usages && sk_ASN1_OBJECT_push(usages, OBJ_nid2obj(NID_client_auth)) > 0;
    if (fine && (roles & TRUST_ROLE_NODE))
        fine = sk_ASN1_OBJECT_push(usages, OBJ_nid2obj(NID_server_auth)) > 0;
    fine = fine && add_extension(x, NID_ext_key_usage, usages, false);
    EXTENDED_KEY_USAGE_free(usages);
    return fine;
}

static bool push_text(GENERAL_NAMES *names, int type, const char *text)
{
    GENERAL_NAME *name = GENERAL_NAME_new();
    ASN1_IA5STRING *value = ASN1_IA5STRING_new();
    if (!name || !value || !ASN1_STRING_set(value, text, -1)) {
        GENERAL_NAME_free(name);
        ASN1_IA5STRING_free(value);
        return false;
    }
    GENERAL_NAME_set0_value(name, type, value);
    if (sk_GENERAL_NAME_push(names, name) > 0)
        return true;
    GENERAL_NAME_free(name);
    return false;
}

/* Takes `ip` over. */
static bool push_ip(GENERAL_NAMES *names, ASN1_OCTET_STRING *ip)
{
    GENERAL_NAME *name = GENERAL_NAME_new();
    if (!name) {
        ASN1_OCTET_STRING_free(ip);
        return false;
    }
    GENERAL_NAME_set0_value(name, GEN_IPADD, ip);
    if (sk_GENERAL_NAME_push(names, name) > 0)
        return true;
    GENERAL_NAME_free(name);
    return false;
}

static bool push_address(GENERAL_NAMES *names, const char *address)
{
    ASN1_OCTET_STRING *ip = a2i_IPADDRESS(address);
    ERR_clear_error();
    if (ip)
        return push_ip(names, ip);
    return is_dns_name(slice_of_str(address)) ? push_text(names, GEN_DNS, address) : true;
}

static bool push_roles(GENERAL_NAMES *names, unsigned roles)
{
    char uri[sizeof ROLE_URI + 16];
    for (size_t i = 0; i < ROLE_COUNT; i++) {
        snprintf(uri, sizeof uri, ROLE_URI "%s", role_table[i].name);
        if ((roles & role_table[i].role) && !push_text(names, GEN_URI, uri))
            return false;
    }
    return true;
}

static bool push_own_names(GENERAL_NAMES *names, const struct certificate_request *request)
{
    char id[TRUST_ID_SIZE], dns[TRUST_DNS_NAME_SIZE];
    key_id_of_public(request->public_der, id);
    trust_dns_name(id, dns);
    return push_text(names, GEN_DNS, dns) && (!request->name_is_host || push_address(names, request->name)) && push_text(names, GEN_DNS, "localhost") &&
           push_address(names, "127.0.0.1") && push_address(names, "::1");
}

static bool add_alternative_names(X509 *x, const struct certificate_request *request)
{
    GENERAL_NAMES *names = GENERAL_NAMES_new();
    bool fine = names && push_roles(names, request->roles);
    if (fine && (request->roles & TRUST_ROLE_NODE))
        fine = push_own_names(names, request);
    for (size_t i = 0; fine && i < request->address_count; i++)
        fine = push_address(names, request->addresses[i]);
    fine = fine && add_extension(x, NID_subject_alt_name, names, false);
    GENERAL_NAMES_free(names);
    return fine;
}

static int append_signed(X509 *x, const struct key *k, struct buf *der)
{
    uint8_t *bytes = NULL;
    if (X509_sign(x, key_pkey(k), EVP_sha256()) <= 0)
        return GRID_ENOMEM;
    int size = i2d_X509(x, &bytes);
    int err = size > 0 ? buf_append(der, slice_of(bytes, (size_t) size)) : GRID_ENOMEM;
    OPENSSL_free(bytes);
    return err;
}

int certificate_self_sign(const struct key *k, const char *name, int64_t now_s, struct buf *der)
{
    if (!trust_name_valid(slice_of_str(name)))
        return GRID_EINVAL;
    X509 *x = X509_new();
    bool fine = x && X509_set_version(x, X509_VERSION_3) && set_serial(x) && set_validity(x, now_s, TRUST_LONG_LIFE_DAYS) &&
                set_name(X509_get_subject_name(x), name) && set_name(X509_get_issuer_name(x), name) && X509_set_pubkey(x, key_pkey(k)) &&
                add_basic_constraints(x, true) && add_key_usage(x, true) && add_key_ids(x, key_pkey(k));
    int err = fine ? append_signed(x, k, der) : GRID_ENOMEM;
    X509_free(x);
    return err;
}

static int check_request(const struct certificate_request *request)
{
    bool known_roles = request->roles != 0 && (request->roles & ~(unsigned) TRUST_ROLES_ALL) == 0;
    if (!trust_name_valid(slice_of_str(request->name)) || !known_roles || request->days > TRUST_LONG_LIFE_DAYS)
        return GRID_EINVAL;
    return request->address_count <= TRUST_ADDRESSES_MAX ? 0 : GRID_ELIMIT;
}

static EVP_PKEY *parse_public(struct slice der)
{
    const uint8_t *at = der.data;
    EVP_PKEY *pkey = der.size > 0 && der.size <= 256 ? d2i_PUBKEY(NULL, &at, (long) der.size) : NULL;
    ERR_clear_error();
    if (pkey && at == der.data + der.size && key_require_p256(pkey) == 0)
        return pkey;
    EVP_PKEY_free(pkey);
    return NULL;
}

int certificate_issue(const struct key *issuer_key, struct slice issuer_der, const struct certificate_request *request, int64_t now_s,
                      struct buf *der)
{
    unsigned days = request->days ? request->days : TRUST_LONG_LIFE_DAYS;
    int err = check_request(request);
    if (err != 0)
        return err;
    EVP_PKEY *holder = parse_public(request->public_der);
    X509 *issuer = certificate_parse(issuer_der), *x = X509_new();
    bool fine = x && holder && issuer && X509_set_version(x, X509_VERSION_3) && set_serial(x) && set_validity(x, now_s, days) &&
                set_name(X509_get_subject_name(x), request->name) && X509_set_issuer_name(x, X509_get_subject_name(issuer)) &&
                X509_set_pubkey(x, holder) && add_basic_constraints(x, false) && add_key_usage(x, false) &&
                add_key_ids(x, key_pkey(issuer_key)) && add_usages(x, request->roles) && add_alternative_names(x, request);
    err = !holder || !issuer ? GRID_EINVAL : fine ? append_signed(x, issuer_key, der) : GRID_ENOMEM;
    X509_free(x);
    X509_free(issuer);
    EVP_PKEY_free(holder);
    return err;
}

int certificate_cross_sign(const struct key *issuer_key, struct slice issuer_der, struct slice subject_der, int64_t now_s, struct buf *der)
{
    X509 *issuer = certificate_parse(issuer_der), *subject = certificate_parse(subject_der), *x = X509_new();
    bool fine = x && issuer && subject && X509_set_version(x, X509_VERSION_3) && set_serial(x) && set_validity(x, now_s, TRUST_LONG_LIFE_DAYS) &&
                X509_set_subject_name(x, X509_get_subject_name(subject)) && X509_set_issuer_name(x, X509_get_subject_name(issuer)) &&
                X509_set_pubkey(x, X509_get0_pubkey(subject)) && add_basic_constraints(x, true) && add_key_usage(x, true) &&
                add_key_ids(x, key_pkey(issuer_key));
    int err = !issuer || !subject ? GRID_EINVAL : fine ? append_signed(x, issuer_key, der) : GRID_ENOMEM;
    X509_free(x);
    X509_free(subject);
    X509_free(issuer);
    return err;
}

/* ---- reading ---- */

X509 *certificate_parse(struct slice der)
{
    const uint8_t *at = der.data;
    X509 *x = der.size > 0 && der.size <= TRUST_CERTIFICATE_MAX ? d2i_X509(NULL, &at, (long) der.size) : NULL;
    ERR_clear_error();
    if (x && at == der.data + der.size)
        return x;
    X509_free(x);
    return NULL;
}

int certificate_id_parsed(X509 *x, char id[TRUST_ID_SIZE])
{
    uint8_t *spki = NULL;
    int size = x ? i2d_X509_PUBKEY(X509_get_X509_PUBKEY(x), &spki) : -1;
    if (size > 0)
        key_id_of_public(slice_of(spki, (size_t) size), id);
    OPENSSL_free(spki);
    return size > 0 ? 0 : GRID_EINVAL;
}

int certificate_id(struct slice der, char id[TRUST_ID_SIZE])
{
    X509 *x = certificate_parse(der);
    int err = certificate_id_parsed(x, id);
    X509_free(x);
    return err;
}

bool certificate_same_issuer(struct slice a, struct slice b)
{
    X509 *first = certificate_parse(a), *second = certificate_parse(b);
    const ASN1_OCTET_STRING *of_first = first ? X509_get0_authority_key_id(first) : NULL;
    const ASN1_OCTET_STRING *of_second = second ? X509_get0_authority_key_id(second) : NULL;
    bool same = of_first && of_second && ASN1_OCTET_STRING_cmp(of_first, of_second) == 0;
    X509_free(first);
    X509_free(second);
    return same;
}

int certificate_issuer(struct slice der, char issuer[TRUST_ISSUER_SIZE])
{
    X509 *x = certificate_parse(der);
    const ASN1_OCTET_STRING *of = x ? X509_get0_authority_key_id(x) : NULL;
    bool named = of && ASN1_STRING_length(of) * 2 == TRUST_ISSUER_SIZE - 1;
    if (named)
        hex_encode(slice_of(ASN1_STRING_get0_data(of), (size_t) ASN1_STRING_length(of)), issuer);
    X509_free(x);
    return named ? 0 : GRID_ENOENT;
}

void certificate_name(const X509 *certificate, char name[TRUST_NAME_MAX + 1])
{
    const X509_NAME *subject = X509_get_subject_name(certificate);
    int index = X509_NAME_get_index_by_NID(subject, NID_commonName, -1);
    uint8_t *text = NULL;
    name[0] = '\0';
    if (index < 0)
        return;
    int size = ASN1_STRING_to_UTF8(&text, X509_NAME_ENTRY_get_data(X509_NAME_get_entry(subject, index)));
    if (size > 0 && trust_name_valid(slice_of(text, (size_t) size))) {
        memcpy(name, text, (size_t) size);
        name[size] = '\0';
    }
    OPENSSL_free(text);
}

static unsigned role_of_name(const GENERAL_NAME *name)
{
    if (name->type != GEN_URI)
        return TRUST_ROLE_NONE;
    const ASN1_IA5STRING *uri = name->d.uniformResourceIdentifier;
    struct slice text = slice_of(ASN1_STRING_get0_data(uri), (size_t) ASN1_STRING_length(uri));
    return slice_has_prefix(text, SLICE(ROLE_URI)) ? trust_role_parse(slice_from(text, sizeof ROLE_URI - 1)) : TRUST_ROLE_NONE;
}

unsigned certificate_roles(const X509 *certificate)
{
    GENERAL_NAMES *names = X509_get_ext_d2i(certificate, NID_subject_alt_name, NULL, NULL);
    unsigned roles = TRUST_ROLE_NONE;
    for (int i = 0; names && i < sk_GENERAL_NAME_num(names); i++)
        roles |= role_of_name(sk_GENERAL_NAME_value(names, i));
    GENERAL_NAMES_free(names);
    ERR_clear_error();
    return roles;
}

int certificate_parse_pem(struct slice pem, struct buf *der)
{
    uint8_t *bytes = NULL;
    BIO *bio = pem.size <= 4 * TRUST_CERTIFICATE_MAX ? BIO_new_mem_buf(pem.data, (int) pem.size) : NULL;
    X509 *x = bio ? PEM_read_bio_X509(bio, NULL, NULL, NULL) : NULL;
    int size = x ? i2d_X509(x, &bytes) : -1;
    int err = size > 0 ? buf_append(der, slice_of(bytes, (size_t) size)) : GRID_EINVAL;
    OPENSSL_free(bytes);
    X509_free(x);
    BIO_free(bio);
    ERR_clear_error();
    return err;
}

int certificate_append_pem(struct slice der, struct buf *pem)
{
    char *text = NULL;
    X509 *x = certificate_parse(der);
    BIO *bio = BIO_new(BIO_s_mem());
    int err = x ? GRID_ENOMEM : GRID_EINVAL;
    if (x && bio && PEM_write_bio_X509(bio, x) == 1) {
        long size = BIO_get_mem_data(bio, &text);
        err = buf_append(pem, slice_of(text, (size_t) size));
    }
    BIO_free(bio);
    X509_free(x);
    return err;
}
